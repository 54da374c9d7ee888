"""Cost: error of models against their computing time."""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, furniture, links, selection, tables, wording
from app.figures import cost_plots
from app.sections import job_cost, timing_table
from engine.numerics.pareto import pareto_front
from engine.quantities import ALIGNMENTS, METRICS, QUANTITIES
from engine.queries import catalog, error_metrics
from engine.queries.ranks import ranks
from engine.queries.timings import machine_name

_WITH_EVERY_ROW = (
    "n_configs", "n_expected", "ranks", "why_no_rank", "is_seen", "occasion", "yardstick_ms", "device", "hardware",
    "n_threads", "n_atoms", "has_random_weights", "is_queue", "batch", "load_seconds", "peak_memory_mb",
    "drift_mev_per_atom_ps", "n_largest",
)  # fmt: skip


def show() -> None:
    """Error against measured cost with the Pareto front, and the timings behind it."""
    chosen = selection.selection()
    slot = furniture.header(
        f"Cost: {chosen.quantity} error on {wording.place(chosen.scope)}",
        "Which model is the most accurate for the available time? No other model beats those on the line.",
    )
    costs = catalog.costs(with_random_weights=True)
    if costs.empty:
        furniture.empty("No timings yet", "Run `python -m precompute bench` and then `python -m precompute build`.")
        return
    with furniture.controls():
        alignment = selection.alignment_switch() if chosen.quantity == "energy" else "raw"
        timings = _setting(costs)
    is_raw = chosen.quantity == "energy" and alignment == "raw"
    timed = tuple(sorted(timings["model_id"]))
    metrics = error_metrics.shared_metrics(
        alignment, chosen.scope, timed, quantity=chosen.quantity, with_seen=chosen.with_seen
    )
    table = _joined(timings, wording.judged(metrics, is_raw=is_raw), chosen)
    if table.empty:
        _nothing_in_common(timings, chosen)
        return
    found = ranks(alignment, chosen.scope, chosen.quantity, timed, with_seen=chosen.with_seen)
    table = wording.with_ranks(table, found)
    _chart(table, chosen, alignment, timings, slot)
    shown = metrics[metrics["model_id"].isin(table["model_id"])]
    levels = table.assign(dataset_label=wording.dataset_label(chosen.dataset_id))
    st.markdown(wording.comparison_note(shown))
    furniture.captions(
        wording.occasions_note(timings[timings["model_id"].isin(table["model_id"])]),
        _random_weights_note(table),
        wording.why_not(table),
        wording.seen_note(shown, with_seen=chosen.with_seen),
        wording.level_note(levels),
        wording.energy_note(shown) if alignment == "per_element" else "",
        wording.one_composition_note(chosen.dataset_id, alignment) if chosen.quantity == "energy" else "",
        wording.noise_note(chosen.dataset_id),
    )
    _table(table, chosen)
    _without_timing(timings, chosen)
    first = timings.iloc[0]
    job_cost.show(machine_name(first["device"], first["hardware"], int(first["n_threads"])))
    if model_id := st.session_state.pop("open_model", None):
        st.switch_page(links.MODEL_PAGE, query_params={"id": model_id})


def _setting(costs: pd.DataFrame) -> pd.DataFrame:
    """The timings of one machine and cell size, since times of different machines cannot share an axis.

    `is_apart` says which were not taken on the occasion that most were: the front is not drawn through them.
    """
    names = [
        f"{row.device.upper()}, {row.n_threads} thread{'s' * (row.n_threads != 1)}, {row.n_atoms} atoms"
        f"{', many waiting' * row.is_queue}, {row.hardware or 'unknown hardware'}"
        for row in costs.itertuples()
    ]
    costs = costs.assign(setting=names)
    options = costs["setting"].value_counts().index.tolist()
    address.heed("machine", options)
    choice = st.selectbox("Measured on", options, key="machine", bind="query-params", width=520)
    here = costs[costs["setting"] == choice].drop_duplicates("model_id")
    here = here.assign(occasion=here["occasion"].fillna("").replace("", "an unknown day"))
    main = here["occasion"].mode().iloc[0]
    return here.assign(is_apart=here["occasion"] != main, main_occasion=main)


def _joined(timings: pd.DataFrame, metrics: pd.DataFrame, chosen: selection.Selection) -> pd.DataFrame:
    column = METRICS[chosen.quantity].rmse
    # An error of zero, that of a potential against its own labels, has no place on a logarithmic axis.
    errors = metrics[metrics[column] > 0].drop(columns=["label", "family", "origin", "source"])
    table = timings.merge(errors, on="model_id", how="inner")
    table = timing_table.completed(table)
    names = {"cost": "us_per_atom_step", "cost_lo": "us_per_atom_step_lo", "cost_hi": "us_per_atom_step_hi"}
    costs = {short: table[name] * QUANTITIES[name].factor for short, name in names.items()}
    return table.assign(**costs).sort_values("cost").reset_index(drop=True)


def _chart(
    table: pd.DataFrame,
    chosen: selection.Selection,
    alignment: str,
    timings: pd.DataFrame,
    slot: DeltaGenerator,
) -> None:
    column = METRICS[chosen.quantity].rmse
    bounds = [f"{column}_lo", f"{column}_hi"]
    ranked = table.index[table["is_ranked"] & table["comparable"] & ~table["is_apart"]].to_numpy()
    front = ranked[pareto_front(table.loc[ranked, "cost"], table.loc[ranked, column])]
    machine = timings.iloc[0]
    words = f" ({ALIGNMENTS[alignment]})" if chosen.quantity == "energy" else ""
    title = f"{QUANTITIES[column].label}{words} on {wording.place(chosen.scope)} against cost"
    occasions = table["occasion"].nunique()
    title += f", timed on {occasions} occasions" if occasions > 1 else ""
    n = table.loc[ranked, "n_configs"].min() if len(ranked) else 0
    n_of = f", compared on {n:,} of {table['n_expected'].iloc[0]:,} configurations" if n else ""
    origin = furniture.provenance("cost", title, table["model_id"], chosen.scope, f"{len(table)} models{n_of}")
    furniture.figure(
        lambda ink: cost_plots.pareto(
            table,
            front,
            chosen.quantity,
            ink,
            title,
            origin.source_line(),
            noise=wording.noise_of(chosen.dataset_id, chosen.quantity),
            highlight=[chosen.model_id, *chosen.compare],
        ),
        table[["model_id", "label", "cost", "cost_lo", "cost_hi", column, *bounds, *_WITH_EVERY_ROW, "why_not"]],
        origin,
        f"{title}; on the Pareto front: {', '.join(table.iloc[front]['label']) or 'no model'}.",
        key="pareto",
        slot=slot,
        on_select=_open_model,
    )
    st.caption(
        f"Cost is measured on {machine['setting']}, with energy and forces of {_at_once(machine)}. The front "
        f"connects timings of one occasion, {machine['main_occasion']}. "
        f"Upright bars: 95 % bounds of the RMSE. {_quartiles(table)}"
        f"Ringed: models chosen at the left. Colour: architecture. Open: not ranked. "
        f"Click on a point for its model's page; where names would cover each other, the pointer has them. "
        f"{cost_plots.TRAINING_LEGEND}"
    )


def _at_once(machine: pd.Series) -> str:
    """How many configurations a call had."""
    return "many configurations waiting" if machine["is_queue"] else "one configuration at a time"


def _quartiles(table: pd.DataFrame) -> str:
    """What the level bars are, and how many models have one."""
    n = int(table["cost_lo"].notna().sum())
    if not n:
        return ""
    of = "" if n == len(table) else f", known for {n} of {len(table)} models"
    return f"Level bars: quartiles of the counted steps{of}. "


def _random_weights_note(table: pd.DataFrame) -> str:
    """Which models were timed without their weights; empty where none was."""
    labels = table.loc[table["has_random_weights"], "label"]
    if labels.empty:
        return ""
    return (
        "Open with a dot: timed as a network of the published size with random weights, for want of the checkpoint "
        f"on that machine: {wording.listed(labels)}. On a CPU trained weights can take up to a third longer; the "
        "error is that of the model itself."
    )


def _open_model() -> None:
    """Ask for the page of the model whose point was clicked."""
    point = furniture.clicked("pareto")
    if point:
        st.session_state["open_model"] = point[0]


def _table(table: pd.DataFrame, chosen: selection.Selection) -> None:
    column = METRICS[chosen.quantity].rmse
    times = ["us_per_atom_step", "us_per_atom_step_lo", "us_per_atom_step_hi", "load_seconds", "peak_memory_mb",
             "drift_mev_per_atom_ps", "n_largest"]  # fmt: skip
    times = timing_table.known(table, times + ["batch"] * bool(table["is_queue"].any()))
    names = ["label", *times, column, f"{column}_lo", f"{column}_hi", "n_configs"]
    view = table[["ranks", *names, "n_own", "n_expected", "is_seen", "why_no_rank", "occasion", "setting"]]
    tables.view_data(tables.shown(view), "cost", timing_table.HEADS)
    furniture.captions(timing_table.lacking_note(table), timing_table.drift_note(table))


def _without_timing(timings: pd.DataFrame, chosen: selection.Selection) -> None:
    here = error_metrics.dataset_metrics("raw", chosen.scope)
    here = here[here["n_configs"] > 0]
    missing = here.loc[~here["model_id"].isin(timings["model_id"]), "label"]
    if len(missing):
        st.caption(
            f"Not shown, because their cost was not measured here (imported numbers carry no timing): "
            f"{wording.listed(missing)}."
        )


def _nothing_in_common(timings: pd.DataFrame, chosen: selection.Selection) -> None:
    furniture.empty(
        f"No timed model has numbers for {wording.dataset_label(chosen.dataset_id)}",
        f"Timed: {', '.join(timings['label'])}. Choose another dataset. Run "
        f"`python -m precompute run --dataset {chosen.dataset_id} --model {timings['model_id'].iloc[0]}`.",
    )


show()
