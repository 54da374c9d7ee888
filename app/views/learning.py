"""Learning curves: how many DFT labels a specialised potential needs before it beats universal ones."""

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, furniture, selection, tables, wording
from app.figures import group_plots, learning_plots
from engine.learning_curves import CLUSTERS, DFT_LABELS, NEAR_EQUILIBRIUM, OTHER_GROUPS, TRAININGS
from engine.quantities import METRICS, QUANTITIES, significant
from engine.queries import learning, specialised
from engine.queries.scope import Scope

N_LINES = 4
APART = 0.15  # decades between two lines
N_BEST = 2
LEVELLED = 1.1  # of the last error: from there on the curve counts as level
_SIZES = ("n_train", "n_train_lo", "n_train_hi")
LEAST_FORCE = 1.0  # meV/Å
ALIGNMENTS = {"raw": "Raw", "per_element": "Aligned"}


def show() -> None:
    """Learning curves, where they pass other models, what the labels cost, and errors by group."""
    studied = learning.studied()
    slot = furniture.header(
        "Learning",
        "How much DFT does a specialised potential need? From how many labelled configurations of a metal on is a "
        "potential of your own better than universal ones?",
    )
    furniture.say_unheeded(selection.selection().scope)
    if not studied:
        furniture.empty(
            "No learning curves yet",
            "Make them: `python -m precompute train --dataset w-g --study` and then `python -m precompute build`.",
        )
        return
    quantity = selection.selection().quantity
    with furniture.controls():
        address.heed("study", studied, wording.dataset_label)
        dataset_id = st.selectbox(
            "Trained and tested on", studied, key="study", bind="query-params", format_func=wording.dataset_label
        )
        alignment = _alignment() if quantity == "energy" else "raw"
    about = learning.potential(dataset_id)
    rivals = learning.rivals(dataset_id, quantity, alignment)
    fair = rivals[~rivals["is_seen"] & ~rivals["is_specialised"]]
    table = learning.curves(dataset_id, quantity, alignment)
    _curves(table, fair, about, (dataset_id, quantity, alignment), slot)
    _conclusion(table, fair, dataset_id, quantity)
    if len(fair):
        _crossings(fair, table, (dataset_id, quantity, alignment))
    _groups(dataset_id, quantity, fair)
    _method(about)
    tables.drawers([("All numbers", "numbers", (), lambda: _numbers(rivals, table))])


def _numbers(rivals: pd.DataFrame, table: pd.DataFrame) -> None:
    heads = {name: f"Configurations{end}" for name, end in zip(_SIZES, ("", ", low", ", high"), strict=True)}
    heads |= {"hours": "DFT hours", "hours_lo": "DFT hours, low", "hours_hi": "DFT hours, high"}
    shown = rivals.drop(columns=["dataset_id", "smallest", "seen_reason"]).replace(np.inf, np.nan)
    tables.table_view(shown, "learning-rivals", heads)
    st.caption("No number of configurations: the model is not beaten, or its bound lies beyond all of them.")
    tables.table_view(table, "learning-curves")


def _alignment() -> str:
    """Whether energies are as the models give them, or about each one's mean error."""
    address.heed("energies", ALIGNMENTS, ALIGNMENTS.__getitem__)
    return st.segmented_control(
        "Energies", list(ALIGNMENTS), default="per_element", required=True, key="energies", bind="query-params",
        format_func=ALIGNMENTS.__getitem__, help="Aligned: each model's mean error is taken off, as elsewhere here.",
    )  # fmt: skip


def _series(labels: str, training: str) -> str:
    """Name of a series."""
    if labels != DFT_LABELS:
        return f"The same, taught by {wording.model_labels().get(labels, labels)}"
    return f"Trained on {TRAININGS[training]}"


def _curves(
    table: pd.DataFrame, fair: pd.DataFrame, about: dict[str, object], of: tuple[str, str, str], slot: DeltaGenerator
) -> None:
    """The curves with some models as lines."""
    dataset_id, quantity, alignment = of
    label = wording.dataset_label(dataset_id)
    order = {name: place for place, name in enumerate(TRAININGS)}
    keys = table[["labels", "training"]].drop_duplicates()
    keys = keys.assign(is_taught=keys["labels"].ne(DFT_LABELS), place=keys["training"].map(order))
    keys = keys.sort_values(["is_taught", "labels", "place"])
    names = {f"{row.labels} {row.training}": _series(row.labels, row.training) for row in keys.itertuples()}
    table = table.assign(series=table["labels"] + " " + table["training"])
    lines = _lines(fair)
    words = f" ({ALIGNMENTS[alignment].lower()})" if quantity == "energy" else ""
    title = f"{QUANTITIES[METRICS[quantity].rmse].label}{words} on {label} by size of the training set"
    origin = furniture.provenance(
        "learning", title, lines["model_id"], Scope.of(dataset_id), f"{about['n_fits']:,} trained potentials"
    )
    furniture.figure(
        lambda ink: learning_plots.curves(table, names, lines, quantity, ink, title, origin.source_line()),
        table,
        origin,
        f"{title}: curves of {about['potential']}, and universal models as horizontal lines.",
        key="learning",
        slot=slot,
    )
    st.caption(
        f"Potential: {about['potential']}. Every error is against DFT, on configurations that the potential did not "
        "see. Bars: 95 % bounds over the clusters that it was tested on. Horizontal lines: universal models on the "
        "same configurations."
    )


def _lines(fair: pd.DataFrame) -> pd.DataFrame:
    """Some models from the best to the worst, whose names do not cover each other."""
    kept: list[int] = []
    for place, error in enumerate(np.log10(fair["rmse"].to_numpy(dtype=float))):
        if not kept or error - np.log10(fair["rmse"].iloc[kept[-1]]) >= APART:
            kept.append(place)
    places = np.linspace(0, len(kept) - 1, N_LINES).round() if kept else np.array([])
    return fair.iloc[[kept[int(place)] for place in np.unique(places)]]


def _conclusion(table: pd.DataFrame, fair: pd.DataFrame, dataset_id: str, quantity: str) -> None:
    """What the curves say, in sentences."""
    unit = QUANTITIES[METRICS[quantity].rmse].unit
    own = table[(table["labels"] == DFT_LABELS) & (table["training"] == CLUSTERS)].sort_values("share")
    if own.empty or fair.empty:
        return
    end, passed = own.iloc[-1], fair[np.isfinite(fair["n_train"])]
    best = fair.iloc[0]
    st.markdown(
        f"**With {end.n_train:,.0f} configurations the potential is off by {significant(end.rmse)} "
        f"({significant(end.rmse_lo)} to {significant(end.rmse_hi)}) {unit} and beats {len(passed)} of {len(fair)} "
        f"universal models.** The best of them, {best.label}, is off by {significant(best.rmse)} "
        f"({significant(best.rmse_lo)} to {significant(best.rmse_hi)}) {unit} and is "
        f"{'passed too' if np.isfinite(best.n_train) else 'not reached'}."
    )
    level = own[own["rmse"] <= LEVELLED * end.rmse].iloc[0]
    if level.n_train < end.n_train:
        st.markdown(
            f"{level.n_train:,.0f} configurations bring it within {100 * (LEVELLED - 1):.0f} % of that. From there on "
            "more labels of the same kind hardly help: what remains is the form of the potential, and what other "
            "cells have of their own."
        )
    costs = learning.label_costs(dataset_id)
    if len(costs):
        low, middle, high = costs.sort_values("power")["hours"]
        first = costs.iloc[0]
        st.markdown(
            f"Labels of these {first.n_train:,.0f} configurations cost about {_hours(middle)} core hours of our "
            f"own DFT ({_hours(low)} where its time grows in proportion to the atoms, {_hours(high)} with "
            "their cube)."
        )
        st.caption(
            f"Anchor: the median of {first.n_cells:.0f} cells of W with {first.n_atoms:.0f} atoms on average, "
            f"{significant(first.seconds)} s on one core (GPAW). The middle has the square: the work grows with the "
            "cube, while a larger cell needs fewer k-points in proportion. It is our code with our settings, not that "
            "which made these labels."
        )
    _trainings(table, unit)


def _hours(value: float) -> str:
    """Two digits, which is more than the scaling bears."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def _trainings(table: pd.DataFrame, unit: str) -> None:
    """The other trainings beside the main one, each with what it was tested on."""
    ends = table.sort_values("share").groupby(["labels", "training"]).last()
    said = [
        f"{_series(*key)}: {significant(row.rmse)} ({significant(row.rmse_lo)} to {significant(row.rmse_hi)}) {unit}"
        for key, row in ends.iterrows()
    ]
    st.markdown("At the end of each curve:\n" + "\n".join(f"- {sentence}" for sentence in said))


def _crossings(fair: pd.DataFrame, table: pd.DataFrame, of: tuple[str, str, str]) -> None:
    """From which size on each universal model is beaten."""
    dataset_id, quantity, _ = of
    largest = float(table.loc[table["training"] == CLUSTERS, "n_train"].max())
    title = f"Configurations that beat each universal model in {quantity}, {wording.dataset_label(dataset_id)}"
    origin = furniture.provenance(
        "learning", title, fair["model_id"], Scope.of(dataset_id), f"{len(fair)} models on all clusters of the test"
    )
    furniture.figure(
        lambda ink: learning_plots.crossings(fair, largest, ink, title, origin.source_line()),
        fair,
        origin,
        f"{title}: a mark with bounds for each model, an arrow for those that are not beaten.",
        key="crossings",
    )
    costs = learning.label_costs(dataset_id)
    hours = ""
    if len(costs):
        low, middle, high = costs.sort_values("power")["hours_per_configuration"]
        hours = (
            f" A configuration costs {_hours(middle)} ({_hours(low)} to {_hours(high)}) core hours of DFT on average."
        )
    st.caption(
        "Bars: 95 % of 1,000 resamples of the test clusters, the same for potential and model. ▶ not beaten with all "
        "configurations; ◀ beaten with the smallest training set already. Models that were trained on these data and "
        "specialised ones are left out." + hours
    )


def _groups(dataset_id: str, quantity: str, fair: pd.DataFrame) -> None:
    """Errors by group of structures, for each training."""
    column = METRICS[quantity].rmse
    table = learning.by_group(dataset_id, quantity, "per_element")
    wanted = table["training"].isin((CLUSTERS, OTHER_GROUPS, NEAR_EQUILIBRIUM)) & (table["labels"] == DFT_LABELS)
    table = table[wanted].rename(columns={"rmse": column}).assign(is_specialised=True)
    table = table.assign(label=[_series(row.labels, row.training) for row in table.itertuples()])
    names = fair["model_id"].head(N_BEST).tolist()
    labels = fair.set_index("model_id")["label"]
    if names:
        universal = specialised.group_errors(Scope.of(dataset_id), tuple(sorted(names)))
        universal = universal.assign(is_specialised=False, label=universal["model_id"].map(labels))
        table = pd.concat([table, universal[["group_name", "label", "n_configs", "is_specialised", column]]])
    if quantity == "force":  # without those in which forces vanish by symmetry, where every potential is right
        table = table[table.groupby("group_name")[column].transform("max") >= LEAST_FORCE]
    title = f"{quantity.capitalize()} RMSE by group on {wording.dataset_label(dataset_id)}, by what was trained on"
    origin = furniture.provenance(
        "learning", title, names, Scope.of(dataset_id), f"{table['group_name'].nunique()} groups"
    )
    furniture.figure(
        lambda ink: group_plots.group_errors(table, quantity, ink, title, origin.source_line()),
        table[["group_name", "label", "n_configs", column]],
        origin,
        f"{title}: open diamonds are the trained potential, filled marks universal models.",
        key="learning-groups",
    )
    st.caption(
        "Energies have each potential's mean error removed. The paper's ACE-new was trained on the W of the sets that "
        "universal models learn from, and stood beside ACE trained on W-g (its Figure 10). Those sets are not here, so "
        "the crystals near equilibrium of this set stand in for them."
    )


def _method(about: dict[str, object]) -> None:
    teachers = about["teachers"]
    assert isinstance(teachers, list)
    furniture.captions(
        f"{about['n_fits']:,} potentials of {about['n_seeds']} seeds. Five parts without a cell or trajectory in "
        "common are left out in turn; configurations are taken in at random. The weight of energies and the ridge are "
        "chosen by cross-validation inside the training part. With random configurations left out, near-copies of "
        "the test are trained on, which flatters the error.",
        f"Distillation: labels of {', '.join(teachers)} in the place of DFT." if teachers else "",
    )


show()
