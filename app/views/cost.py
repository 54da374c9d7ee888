"""Cost: which model is the most accurate for the time that one has?"""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import components, costchart
from engine import queries
from engine.pareto import pareto_front
from engine.quantities import ALIGNMENTS, METRICS, QUANTITIES


def show() -> None:
    """Error against measured cost with the Pareto front, and the timings behind it."""
    chosen = components.selection()
    slot = components.header(
        f"Cost: {chosen.quantity} error on {components.dataset_label(chosen.dataset_id)}",
        "Which model is the most accurate for the time that one has? Models on the line are beaten by no other.",
    )
    costs = queries.costs()
    if costs.empty:
        components.empty("No timings yet", "Run `python -m precompute bench` and then `python -m precompute build`.")
        return
    with components.controls():
        alignment = components.alignment_switch() if chosen.quantity == "energy" else "raw"
        timings = _setting(costs)
    is_raw = chosen.quantity == "energy" and alignment == "raw"
    metrics = queries.shared_metrics(
        alignment, dataset_id=chosen.dataset_id, model_ids=tuple(sorted(timings["model_id"]))
    )
    table = _joined(timings, components.judged(metrics, is_raw=is_raw), chosen)
    if table.empty:
        _nothing_in_common(timings, chosen)
        return
    _chart(table, chosen, alignment, timings, slot)
    shown = metrics[metrics["model_id"].isin(table["model_id"])]
    st.markdown(components.comparison_note(shown))
    components.captions(
        components.why_not(table),
        components.few_for_offsets(shown) if alignment == "per_element" else "",
        components.noise_note(chosen.dataset_id),
    )
    _table(table, chosen)
    _without_timing(timings, chosen)
    if model_id := st.session_state.pop("open_model", None):
        st.switch_page(components.MODEL_PAGE, query_params={"id": model_id})


def _setting(costs: pd.DataFrame) -> pd.DataFrame:
    """The timings of one machine and cell size, because times of different machines cannot share an axis."""
    names = [
        f"{row.device.upper()}, {row.n_threads} thread{'s' * (row.n_threads != 1)}, {row.n_atoms} atoms, "
        f"{row.hardware or 'unknown hardware'}"
        for row in costs.itertuples()
    ]
    costs = costs.assign(setting=names)
    options = costs["setting"].value_counts().index.tolist()
    choice = st.selectbox("Measured on", options, key="machine", bind="query-params", width=520)
    return costs[costs["setting"] == choice].drop_duplicates("model_id")


def _joined(timings: pd.DataFrame, metrics: pd.DataFrame, chosen: components.Selection) -> pd.DataFrame:
    column = METRICS[chosen.quantity].rmse
    # An error of zero, that of a potential against its own labels, has no place on a logarithmic axis.
    errors = metrics[metrics[column] > 0].drop(columns=["label", "family", "origin", "source"])
    table = timings.merge(errors, on="model_id", how="inner")
    cost = table["us_per_atom_step"] * QUANTITIES["us_per_atom_step"].factor
    return table.assign(cost=cost).sort_values("cost").reset_index(drop=True)


def _chart(
    table: pd.DataFrame,
    chosen: components.Selection,
    alignment: str,
    timings: pd.DataFrame,
    slot: DeltaGenerator,
) -> None:
    column = METRICS[chosen.quantity].rmse
    ranked = table.index[table["is_ranked"] & table["comparable"]].to_numpy()
    front = ranked[pareto_front(table.loc[ranked, "cost"], table.loc[ranked, column])]
    machine = timings.iloc[0]
    wording = f" ({ALIGNMENTS[alignment]})" if chosen.quantity == "energy" else ""
    title = f"{QUANTITIES[column].label}{wording} on {components.dataset_label(chosen.dataset_id)} against cost"
    n = table.loc[ranked, "n_configs"].min() if len(ranked) else 0
    n_of = f", compared on {n:,} of {table['n_expected'].iloc[0]:,} configurations" if n else ""
    origin = components.provenance("cost", title, table["model_id"], [chosen.dataset_id], f"{len(table)} models{n_of}")
    components.figure(
        lambda ink: costchart.pareto(
            table,
            front,
            chosen.quantity,
            ink,
            title,
            origin.source_line(),
            noise=components.noise_of(chosen.dataset_id, chosen.quantity),
            highlight=[chosen.model_id, *chosen.compare],
        ),
        table[
            ["model_id", "label", "cost", column, f"{column}_lo", f"{column}_hi", "n_configs", "is_ranked", "why_not"]
        ],
        origin,
        f"{title}; on the Pareto front: {', '.join(table.iloc[front]['label']) or 'no model'}.",
        key="pareto",
        slot=slot,
        on_select=_open_model,
    )
    st.caption(
        f"Cost: measured on {machine['setting']}, energy and forces of one configuration at a time. "
        f"Bars: 95 % bounds of the RMSE. Ringed: models chosen at the left. Colour: architecture. Open: not ranked. "
        f"Click on a point for its model's page. "
        f"{costchart.TRAINING_LEGEND}"
    )


def _open_model() -> None:
    """Ask for the page of the model whose point was clicked."""
    point = components.clicked("pareto")
    if point:
        st.session_state["open_model"] = point[0]


def _table(table: pd.DataFrame, chosen: components.Selection) -> None:
    column = METRICS[chosen.quantity].rmse
    names = ["label", "us_per_atom_step", column, f"{column}_lo", f"{column}_hi", "peak_memory_mb", "n_configs"]
    view = table[[*names, "n_own", "n_expected"]]
    components.view_data(components.shown(view), "cost")


def _without_timing(timings: pd.DataFrame, chosen: components.Selection) -> None:
    metrics = queries.dataset_metrics("raw")
    here = metrics[(metrics["dataset_id"] == chosen.dataset_id) & (metrics["n_configs"] > 0)]
    missing = here.loc[~here["model_id"].isin(timings["model_id"]), "label"]
    if len(missing):
        st.caption(
            f"Not shown, because their cost was not measured here (imported numbers carry no timing): "
            f"{', '.join(missing)}."
        )


def _nothing_in_common(timings: pd.DataFrame, chosen: components.Selection) -> None:
    components.empty(
        f"No timed model has numbers for {components.dataset_label(chosen.dataset_id)}",
        f"Timed: {', '.join(timings['label'])}. Choose another dataset, or run "
        f"`python -m precompute run --dataset {chosen.dataset_id} --model {timings['model_id'].iloc[0]}`.",
    )


show()
