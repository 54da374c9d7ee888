"""Models: a list of all, and one page for each, named in the address, with facts, errors, failures and cost."""

import json
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import furniture, links, selection, tables, wording
from app.figures import bar_plots, base
from app.sections import model_list, timing_table
from engine.numerics.comparison import UNRANKED
from engine.quantities import ALIGNMENTS, METRICS, QUANTITIES, significant
from engine.queries import catalog, error_metrics
from engine.queries.scope import Scope

N_WEAKEST = 8
_MACHINE = ["device", "hardware", "n_threads"]
FORMATION_ENERGIES = "mp-formation-energies"  # level of theory of models that give no forces


def show() -> None:
    """The page of the model in the address; without one, the list of all models and the coverage matrix."""
    models = catalog.models()
    model_id = st.query_params.get("id", "")
    found = models[models["model_id"] == model_id]
    if len(found):
        _page(found.iloc[0])
        return
    slot = furniture.header(
        "Models", "Which models are there, on which data were they trained, and on which were they run?"
    )
    furniture.say_unheeded(selection.selection().scope, "The list does not heed")
    if model_id:
        furniture.empty(f"No model '{model_id}'", "The registry has no such id. Choose one from the list.")
    chosen = model_list.filtered(models)
    if chosen.empty:
        furniture.empty("No model fits", "Remove a filter.")
        return
    model_list.model_list(chosen)
    holds = ("absent", "unrun")
    tables.drawers([("Coverage: models and datasets", "covered", holds, lambda: model_list.coverage(chosen, slot))])


def _page(model: pd.Series) -> None:
    slot = furniture.header(
        str(model["label"]),
        "What is this model, how far can it be trusted, at what cost, and who made the numbers?",
    )
    within = selection.selection().scope.on()
    # A link to the page that is open would keep its parameters.
    st.button("All models", icon=":material/arrow_back:", type="tertiary", on_click=_close)
    runs = catalog.runs()
    runs = runs[runs["model_id"] == model["model_id"]]
    _headline(model, within)
    _state(model, has_runs=len(runs) > 0)
    _facts(model, runs)
    if model["n_tried"]:
        _datasets(model, within, slot)
        _weakest(model, within, selection.selection().with_seen)
        _failures(model, within)
    if len(runs):
        _cost(model)
        _provenance(runs)


def _close() -> None:
    st.query_params.pop("id", None)


def _metrics_of(model_id: str, alignment: str, within: Scope, *, with_seen: bool = False) -> pd.DataFrame:
    """The model's metrics in the order of the datasets, with why_not_energy and why_not_force: what bars a rank."""
    metrics = error_metrics.dataset_metrics(alignment, within, with_seen=with_seen)
    forces = error_metrics.dataset_metrics("raw", within, quantity="force", with_seen=with_seen)
    forces = forces[["model_id", "dataset_id", "cause"]].rename(columns={"cause": "cause_force"})
    table = catalog.datasets()[["dataset_id"]].merge(metrics[metrics["model_id"] == model_id], on="dataset_id")
    table = wording.judged(table, is_raw=alignment == "raw").merge(forces, on=["model_id", "dataset_id"], how="left")
    barred = {name: table[name].where(table[name].isin(error_metrics.NEVER)) for name in ("cause", "cause_force")}
    why_energy = barred["cause"].map(UNRANKED).where(table["comparable"], table["why_not"])
    return table.assign(
        why_not_energy=why_energy.fillna(""), why_not_force=barred["cause_force"].map(UNRANKED).fillna("")
    )


def _headline(model: pd.Series, within: Scope) -> None:
    metrics = _metrics_of(model["model_id"], "raw", within)
    costs = catalog.costs()
    costs = costs[costs["model_id"] == model["model_id"]]
    n_here = int(catalog.datasets()["available"].fillna(False).sum())
    values = [
        (
            "Family",
            str(model["family"]),
            f"row {model['paper_row']:.0f} of Table 1" if pd.notna(model["paper_row"]) else "",
        ),
        ("Parameters", _count(model["n_parameters"]), ""),
        ("Training structures", _count(model["n_training_structures"]), ""),
        ("Datasets with numbers", f"{model['n_datasets']}", f"of {n_here} here"),
    ]
    if len(metrics):
        below = base.lacking(metrics[["n_failed", "n_outside"]].sum()) or "none failed"
        values.append(("Configurations", f"{metrics['n_configs'].sum():,}", below))
    if len(costs):
        values.append(_cost_in_short(costs))
    furniture.numbers(values)


def _cost_in_short(costs: pd.DataFrame) -> tuple[str, str, str]:
    """The newest timing with its conditions; the lowest one of all machines and cells would flatter.

    Of single systems where there is one: times of a queue are shorter for small cells.
    """
    single = costs[~costs["is_queue"]]
    newest = (single if len(single) else costs).sort_values(["measured_at", "n_atoms"]).iloc[-1]
    cost = newest["us_per_atom_step"] * QUANTITIES["us_per_atom_step"].factor
    others = f", newest of {len(costs)} timings" if len(costs) > 1 else ""
    return (
        "Cost (ms per atom and step)",
        significant(cost),
        f"{newest['hardware']}, {newest['device']}, {newest['n_threads']} threads, "
        f"{newest['n_atoms']} atoms, {newest['occasion'] or 'unknown day'}{others}",
    )


def _count(value: float) -> str:
    """A number of things in few characters."""
    if pd.isna(value):
        return "unknown"
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{significant(value / size)}{letter}"
    return f"{value:.0f}"


def _state(model: pd.Series, *, has_runs: bool) -> None:
    """The reason why a model cannot run or was not run, and the next step."""
    if model["reason"] and not model["runnable"]:
        note = " The numbers below were imported." if has_runs else ""
        furniture.empty("No loader yet", f"{model['reason']}{note}")
    elif not has_runs:
        furniture.empty(
            "Not run yet",
            f"Run `python -m precompute fetch --model {model['model_id']}`, then `python -m precompute run --model "
            f"{model['model_id']} --dataset open-defects` and `python -m precompute build`.",
        )


def _facts(model: pd.Series, runs: pd.DataFrame) -> None:
    computed = runs[runs["origin"] == "computed"].sort_values("started_at")
    packages = computed["packages"].iloc[-1] if len(computed) else ""
    forces = "minus the gradient of the energy" if model["conservative"] else "predicted directly, not a gradient"
    forces = "none" if model["level_of_theory"] == FORMATION_ENERGIES else forces
    d3 = "training labels include it" if model["d3"] else "not in the training labels"
    furniture.details(
        [
            ("Id", f"`{model['model_id']}`"),
            ("Checkpoint", ", ".join(f"`{name}`" for name in model["checkpoint"].split(", ") if name)),
            ("Packages", packages),
            ("Training data", " + ".join(model["training_sets"]) or "none"),
            ("Functional of the labels", model["functional"]),
            ("Energy reference", model["energy_reference"]),
            ("D3 dispersion", d3),
            ("Forces", forces),
            ("Licence of the weights", model["license"]),
            ("Before the download", model["gate"]),
            ("Source", wording.source_name(model["source"])),
            ("Note", model["note"]),
        ]
    )


_DATASET_COLUMNS = [
    "dataset_label",
    "n_configs",
    "n_expected",
    "n_failed",
    *(name for m in METRICS.values() for name in (m.rmse, f"{m.rmse}_lo", f"{m.rmse}_hi")),
    "force_slope",
    "is_seen",
    "why_not_energy",
    "why_not_force",
    "origin",
    "source",
]


def _datasets(model: pd.Series, within: Scope, slot: DeltaGenerator) -> None:
    st.subheader("Errors by dataset", anchor=False)
    with furniture.controls():
        alignment = selection.alignment_switch()
    table = _metrics_of(model["model_id"], alignment, within, with_seen=selection.selection().with_seen)
    if table.empty:
        furniture.empty(f"No numbers of {model['label']} here", f"It was not run on {wording.place(within)}.")
        return
    table = table.assign(
        head=[
            wording.marked(row.dataset_label, row.origin, row.is_seen, row.cause_force)
            + ("" if row.comparable else f" {base.OWN_MARK}")
            for row in table.itertuples()
        ],
    )
    narrowed = "".join(f", {words}" for words in within.restrictions())
    title = f"{model['label']}: RMSE by dataset, energies {ALIGNMENTS[alignment]}{narrowed}"
    origin = furniture.provenance(
        "model",
        title,
        [model["model_id"]],
        within.on(*table["dataset_id"]),
        f"{table['n_configs'].sum():,} configurations",
    )
    furniture.figure(
        lambda ink: bar_plots.dataset_bars(
            table, ink, title, origin.source_line(), colour=base.model_colour(model["model_id"])
        ),
        table[_DATASET_COLUMNS],
        origin,
        f"{title}; the table below holds the same numbers.",
        key=f"bars-{model['model_id']}",
        slot=slot,
    )
    st.caption(
        "Each bar is over all configurations that this model has a result for, so bars of two models may rest on "
        "different ones. The Overview compares models on shared configurations. Hatched: a part of the dataset. "
        "Grey: no test of the model or not comparable, so not ranked. "
        f"Lines: 95 % bounds. Long tick: {base.NOISE_LABEL}, where measured. →: beyond the axis. †: imported."
        + ("" if table["comparable"].all() else f" {wording.GREY} The pointer says why.")
    )
    levels = table.assign(cause=table["cause_force"], comparable=True)
    furniture.captions(
        wording.energy_meaning(alignment),
        wording.seen_note(table.assign(label=table["dataset_label"])),
        wording.level_note(levels),
        *(wording.one_composition_note(dataset_id, alignment) for dataset_id in table["dataset_id"]),
    )
    tables.view_data(table[_DATASET_COLUMNS], "bars")
    with st.container(horizontal=True, gap="small"):
        for row in table[table["n_configs"] > 0].itertuples():
            links.parity_link(f"Parity on {row.dataset_label}", model["model_id"], within.on(row.dataset_id))
    furniture.warn_of_leakage(table["dataset_id"].tolist())


def _unseen(model_id: str, within: Scope) -> Scope:
    """Datasets that a model has numbers for and was not trained on; all where there is no other."""
    metrics = _metrics_of(model_id, "raw", within)
    return within.on(*metrics.loc[~metrics["is_seen"], "dataset_id"]) if metrics["is_seen"].any() else within


def _weakest(model: pd.Series, within: Scope, with_seen: bool) -> None:
    """The elements and groups with the largest force errors, on what the model was not trained on."""
    force, energy = METRICS["force"].rmse, METRICS["energy"].rmse
    scope = within if with_seen else _unseen(model["model_id"], within)
    elements = error_metrics.element_metrics(model["model_id"], scope)
    elements = elements.sort_values(force, ascending=False, na_position="last").head(N_WEAKEST)
    groups = error_metrics.group_metrics(model["model_id"], within)
    has_seen = bool(groups["is_seen"].any())
    groups = groups if with_seen else groups.sort_values("is_seen", kind="stable")
    groups = groups.assign(
        n_of=[wording.counts(row) for _, row in groups.iterrows()],
        group_name=[wording.seen_marked(row.group_name, row.is_seen) for row in groups.itertuples()],
    )
    heads: dict[str, Any] = {
        name: st.column_config.NumberColumn(QUANTITIES[name].title(symbol=True), format="%.0f")
        for name in (force, energy, f"{energy}_aligned")
    }
    side_by_side = st.container(horizontal=True, gap="large")
    with side_by_side.container(width=430):
        st.subheader("Weakest elements", anchor=False)
        names = ["element", force, f"{energy}_aligned", "n_configs", "n_failed"]
        if len(elements):
            tables.table_view(elements[names], "weakest-elements", heads, height="content")
            st.page_link(
                "views/elements.py", label="Periodic table of this model", icon=":material/apps:",
                query_params={"model": model["model_id"]},
            )  # fmt: skip
    with side_by_side.container(width="stretch"):
        st.subheader("Weakest groups of structures", anchor=False)
        names = ["dataset_label", "group_name", force, energy, "force_slope", "n_of", "in_dataset"]
        heads |= {
            "n_of": "Configurations",
            "force_slope": st.column_config.NumberColumn("Slope", format="%.2f"),
            "in_dataset": st.column_config.CheckboxColumn(
                "Counts", help="Some groups are kept but do not count as the dataset, such as dimers."
            ),
        }
        tables.table_view(groups[names].head(N_WEAKEST), "weakest-groups", heads, height="content")
        if len(groups) > N_WEAKEST:
            tables.view_data(groups[names], "all-groups", heads, label=f"All {len(groups)} groups")
    left_out = " Elements leave out datasets that the model was trained on." if scope != within else ""
    st.caption(
        "Order: force RMSE over all configurations with the element, or of the group. Energies are aligned."
        + (f"{left_out} Groups with {wording.SEEN} come last." if has_seen and not with_seen else left_out)
    )


def _failures(model: pd.Series, within: Scope) -> None:
    st.subheader("Failures", anchor=False)
    failures = catalog.failure_counts(model["model_id"], None if within.is_whole else within)
    n_outside = int(failures.loc[failures["is_outside"], "n_failed"].sum())
    failures = failures[~failures["is_outside"]]
    if n_outside:
        known = ", ".join(model["elements"])
        st.markdown(f"{n_outside:,} configurations have elements that it was not made for. It knows {known}.")
    if failures.empty:
        st.markdown(
            "None" + (" of the others." if n_outside else ": every configuration that it was run on has a result.")
        )
        return
    n = int(failures["n_failed"].sum())
    reasons = failures["reason"].nunique()
    st.markdown(f"**{n:,} configurations** failed, for {reasons} {'reason' if reasons == 1 else 'reasons'}.")
    heads = {"config_id": "One of them", "n_failed": "Failed"}
    names = ["dataset_label", "reason", "n_failed", "config_id"]
    tables.table_view(failures[names], "failures", heads, height="content" if len(failures) < 12 else "auto")


def _cost(model: pd.Series) -> None:
    st.subheader("Cost", anchor=False)
    costs = catalog.costs()
    costs = costs[costs["model_id"] == model["model_id"]]
    if costs.empty:
        furniture.empty(
            "Not timed",
            f"Run `python -m precompute bench --model {model['model_id']}` and then `python -m precompute build`."
            if model["runnable"]
            else "A model without a loader cannot be timed; imported numbers carry no timing.",
        )
        return
    costs = timing_table.completed(costs).sort_values([*_MACHINE, "is_queue", "n_atoms"])
    measured = timing_table.known(
        costs, ["ms_low", "ms_high", "peak_memory_mb", "load_seconds", "drift_mev_per_atom_ps"]
    )
    ways = ["way", "batch"] * bool(costs["is_queue"].any())
    names = ["us_per_atom_step", "n_atoms", *ways, "ms_per_step", *measured, *_MACHINE, "occasion", "measured_at"]
    tables.table_view(tables.shown(costs)[names], "costs", timing_table.HEADS, height="content")
    largest = costs.sort_values("n_largest", ascending=False, kind="stable").drop_duplicates(_MACHINE)
    furniture.captions(
        "Largest cell that was tried and fitted: "
        + "; ".join(f"{row.n_largest:,} atoms on {row.hardware or 'unknown hardware'}" for row in largest.itertuples())
        + ". Larger ones did not fit into memory, would have taken too long, or nobody tried them.",
        timing_table.lacking_note(costs),
        timing_table.drift_note(costs),
    )


def _provenance(runs: pd.DataFrame) -> None:
    st.subheader("Where the numbers come from", anchor=False)
    table = runs.assign(
        source=[wording.source_name(source, link=False) for source in runs["source"]],
        options=[_options(text) for text in runs["options"]],
    )
    heads: dict[str, Any] = {
        "dataset_label": st.column_config.TextColumn("Dataset", pinned=True),
        "origin": "Origin",
        "source": "By",
        "n_configs": "Configurations",
        "n_failed": "Failed",
        "packages": st.column_config.TextColumn("Versions", width="medium"),
        "device": "Device",
        "hardware": "Hardware",
        "dtype": "Precision",
        "d3": "D3 in training",
        "options": "Options",
        "started_at": st.column_config.DatetimeColumn("Started", format="YYYY-MM-DD HH:mm"),
        "checkpoint_sha256": "Checkpoint, SHA-256",
        "note": st.column_config.TextColumn("What is inferred", width="large"),
    }
    empty = [name for name in ("dtype", "d3", "options", "note") if not table[name].fillna("").astype(bool).any()]
    columns = [name for name in heads if name not in empty]
    tables.table_view(table[columns], "provenance", heads, height="content" if len(table) < 20 else 600)


def _options(text: object) -> str:
    """Keywords of `load` as `name = value`; empty where there are none."""
    options = json.loads(str(text)) if text else {}
    return ", ".join(f"{key} = {value}" for key, value in options.items())


show()
