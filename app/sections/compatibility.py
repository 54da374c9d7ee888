"""The part of the Datasets page on compatibility: pairs whose raw energies compare, and pairs with leakage."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, export, furniture, selection, tables, wording
from app.figures import base, tile_maps
from engine.queries import catalog, comparability, force_slopes, training
from engine.queries.scope import Scope

FAR = 0.02  # of a ratio of slopes from 1, to be named


def compatibility_part(dataset: pd.Series, datasets: pd.DataFrame, slot: DeltaGenerator) -> None:
    """Which models' raw energies may be compared with which dataset's, and why not."""
    furniture.say_unheeded(selection.selection().scope, "What can be compared does not depend on")
    address.heed_switch("registry")
    everything = st.toggle(
        "Everything in the registry", key="registry", bind="query-params",
        help="Otherwise models that were run and datasets that are here.",
    )  # fmt: skip
    models = catalog.models()
    if not everything:
        models, datasets = models[models["n_tried"] > 0], datasets[datasets["available"].fillna(False).astype(bool)]
    if datasets.empty:
        furniture.empty("No dataset is here", "Run: `python -m precompute fetch --dataset open-defects`")
        return
    judged = comparability.compatibility()
    # Datasets that are alike stand side by side; those that fit the Materials Project come first.
    order = datasets.assign(fits=~datasets["comparable"].fillna(False).astype(bool))
    order = order.sort_values(["fits", "energy_reference"], kind="stable")
    models = models.sort_values(["energy_reference", "label"], key=lambda c: c.str.lower())
    cells = tile_maps.grid(models, order[["dataset_id", "label"]]).merge(judged, on=["model_id", "dataset_id"])
    cells = training.with_seen_columns(cells)
    title = "Can raw energies be compared?"
    origin = furniture.provenance(
        "compatibility", title, models["model_id"], Scope.of(*datasets["dataset_id"]), f"{len(cells):,} pairs"
    )
    columns = ["label", "dataset_label", "state", "state_reason", "is_seen", "seen_reason", "model_id", "dataset_id"]
    table = cells[columns]
    counts = cells["state"].value_counts()
    furniture.figure(
        partial(_draw_compatibility, cells, title, origin),
        table,
        origin,
        f"{title} {len(models)} models by {len(datasets)} datasets: "
        f"{', '.join(f'{counts.get(name, 0)} {text}' for name, text in wording.STATES.items())}.",
        key="compatibility",
        slot=slot,
        on_select=_open_cell,
    )
    st.caption(
        f"{tile_maps.STATE_MARKS['yes']} comparable. {tile_maps.STATE_MARKS['care']} with care: the set-up makes a "
        "part "
        f"of the error. {tile_maps.STATE_MARKS['no']} only aligned: raw errors depend on the zero of energy, and the "
        "app greys them. The verdict rests on functional, zero of energy and pseudopotentials, code, +U, spin and D3. "
        "Click on a cell for its dataset; the pointer and the table say why."
        + (f" {wording.SEEN}: the model, on the whole dataset or a part of it." if cells["is_seen"].any() else "")
    )
    _reasons(dataset, judged, models)
    _force_slopes(dataset)


def _draw_compatibility(cells: pd.DataFrame, title: str, origin: export.Provenance, ink: base.Ink) -> go.Figure:
    return tile_maps.compatibility(cells, ink, title, origin.source_line())


def _open_cell() -> None:
    """Choose the dataset of the clicked cell."""
    cell = furniture.clicked("compatibility")
    if cell:
        selection.choose_dataset(cell[1])


def _reasons(dataset: pd.Series, judged: pd.DataFrame, models: pd.DataFrame) -> None:
    st.subheader(f"Models on {dataset['label']}", anchor=False)
    st.markdown(
        f"{dataset['functional']}, {dataset['code']}; {dataset['potentials'] or 'settings not stated'}. "
        f"Zero of energy: {wording.ZEROS[dataset['energy_reference']]}. {dataset['comparable_note']}"
    )
    here = judged[judged["dataset_id"] == dataset["dataset_id"]].merge(models, on="model_id")
    here = training.with_seen_columns(here)
    order = np.argsort(here["state"].map(list(wording.STATES).index), kind="stable")
    here = here.iloc[order]
    here = here.assign(
        state=here["state"].map(wording.STATES),
        label=[wording.seen_marked(row.label, row.is_seen) for row in here.itertuples()],
    )
    heads: dict[str, Any] = {
        "label": st.column_config.TextColumn("Model", pinned=True, width=220),
        "state": "Raw energies",
        "state_reason": st.column_config.TextColumn("Because", width="large"),
        "seen_reason": st.column_config.TextColumn("Trained on this, or suspected to", width="medium"),
        "functional": "Functional of the labels",
        "energy_reference": "Zero of energy",
        "d3": st.column_config.CheckboxColumn("D3"),
    }
    tables.table_view(here[list(heads)], "reasons", heads, height="content" if len(here) < 15 else 500)


def _force_slopes(dataset: pd.Series) -> None:
    """Effect of pseudopotentials on forces, from models that differ in the labels that they learnt last."""
    st.subheader("Do pseudopotentials change the forces?", anchor=False)
    table = force_slopes.potentials_and_forces()
    if table.empty:
        furniture.empty(
            "No pair of models here",
            "This comparison needs forces of a model trained on OMat24 and of the same model trained further on MPtrj.",
        )
        return
    by_labels = force_slopes.slopes_by_labels()
    st.markdown(_finding(table, by_labels))
    heads: dict[str, Any] = {
        "dataset_label": st.column_config.TextColumn("Dataset", pinned=True, width=170),
        "elements": "Elements",
        "omat24_model": "Labels of OMat24",
        "other_model": "Then of the Materials Project",
        "ratio": st.column_config.NumberColumn("Ratio of slopes", format="%.3f"),
        "ratio_bounds": "95 %",
        "contrast": st.column_config.NumberColumn(
            "Contrast", format="%.3f", help="Ratio here over the median ratio of the same two models on other metals."
        ),
        "contrast_bounds": "95 % of the contrast",
        "slope_omat24": st.column_config.NumberColumn("Slope, OMat24", format="%.3f"),
        "slope_other": st.column_config.NumberColumn("Slope, Materials Project", format="%.3f"),
        "n_configs": "Configurations",
        "n_clusters": "Clusters",
    }
    bounded = table.assign(ratio_bounds=_bounds(table, "ratio"), contrast_bounds=_bounds(table, "contrast"))
    tables.table_view(bounded[list(heads)], "force-slopes", heads, height="content" if len(table) < 15 else 500)
    _by_labels(by_labels)
    _slopes_on(dataset)


def _finding(table: pd.DataFrame, by_labels: pd.DataFrame) -> str:
    """The result of the contrasts of slopes in sentences with numbers."""
    bounded = table.dropna(subset="contrast_lo").sort_values("contrast", key=lambda c: -(c - 1).abs())
    is_apart = (bounded["contrast_lo"] > 1) | (bounded["contrast_hi"] < 1)
    is_far = is_apart & ((bounded["contrast"] - 1).abs() > FAR)
    text = (
        "OMat24 has other pseudopotentials than the Materials Project for some metals. Each row compares two models of "
        "one architecture: one trained on OMat24, and one trained further on labels of the Materials Project. The "
        "ratio is that of their slopes of predicted over reference forces. The contrast divides it by the median ratio "
        "of the same two models on sets of other metals, so what acts on all metals alike, as softening does, cancels. "
        f"Its bounds exclude 1 in {int(is_apart.sum())} of {len(bounded)} rows with bounds; in {int(is_far.sum())} of "
        f"them it is off by more than {FAR:.0%}"
    )
    if not is_far.any():
        return f"{text}."
    worst, far = bounded[is_far].iloc[0], bounded[is_far]
    elements = sorted(set(" ".join(far["elements"]).split()))
    text = (
        f"{text}, all with {', '.join(elements)}. Furthest from 1 is {worst['omat24_model']} on "
        f"{worst['dataset_label']}: {worst['contrast']:.3f} ({worst['contrast_lo']:.3f} to {worst['contrast_hi']:.3f})."
    )
    return " ".join([text, *(_on_element(by_labels[by_labels["elements"] == element]) for element in elements)])


def _on_element(part: pd.DataFrame) -> str:
    """Slopes on the sets of one element by labels, in words; empty where a set has only one kind."""
    sentences = []
    for label, rows in part.groupby("dataset_label"):
        ranges = rows.set_index("learnt")
        both = [name for name in force_slopes.LABELS[:2] if name in ranges.index]
        if len(both) < 2:
            continue
        first, second = (ranges.loc[name] for name in both)
        sentences.append(
            f"On {label} the slopes are {_range(first)} after OMat24 alone ({_counted(first)}) and {_range(second)} "
            f"after labels of the Materials Project ({_counted(second)})."
        )
    return " ".join(sentences)


def _range(row: pd.Series) -> str:
    """Lowest to highest slope."""
    low, high = f"{row['lowest']:.3f}", f"{row['highest']:.3f}"
    return low if low == high else f"{low} to {high}"


def _counted(row: pd.Series) -> str:
    """Numbers of models and of families in words."""
    models, families = row["n_models"], row["n_families"]
    return f"{models} model{'s' if models > 1 else ''} of {families} famil{'ies' if families > 1 else 'y'}"


def _by_labels(table: pd.DataFrame) -> None:
    """Range of slopes of all universal models on each metal, by the labels that they learnt."""
    if table.empty:
        return
    st.caption(
        "Slopes of forces on sets of one metal: lowest and highest of the universal models that learnt the same labels"
    )
    heads: dict[str, Any] = {
        "dataset_label": st.column_config.TextColumn("Dataset", pinned=True, width=170),
        "learnt": st.column_config.TextColumn("Forces learnt from", width=250),
        "lowest": st.column_config.NumberColumn("Lowest slope", format="%.3f"),
        "highest": st.column_config.NumberColumn("Highest slope", format="%.3f"),
        "n_models": "Models",
        "n_families": "Families",
        "n_configs": st.column_config.NumberColumn("Configurations", help="Of the model with the fewest."),
    }
    tables.table_view(table[list(heads)], "slopes-by-labels", heads, height="content" if len(table) < 15 else 500)


def _slopes_on(dataset: pd.Series) -> None:
    """Slopes of all models on the chosen dataset, by the labels that they learnt."""
    table = force_slopes.slopes(Scope.of(dataset["dataset_id"]))
    if table.empty:
        return
    st.caption(f"Slopes of forces on {dataset['label']}, by the labels that a model learnt")
    heads: dict[str, Any] = {
        "label": st.column_config.TextColumn("Model", pinned=True, width=220),
        "energy_reference": "Labels of",
        "slope": st.column_config.NumberColumn("Slope", format="%.3f"),
        "slope_bounds": "95 %",
        "n_configs": "Configurations",
        "n_clusters": "Clusters",
    }
    names = {"omat24": "OMat24", "mp": "the Materials Project", "matpes": "MatPES"}
    shown = table.assign(energy_reference=table["energy_reference"].map(names), slope_bounds=_bounds(table, "slope"))
    tables.table_view(shown[list(heads)], "slopes", heads, height="content" if len(table) < 15 else 500)


def _bounds(table: pd.DataFrame, name: str) -> list[str]:
    """95 % bounds of a column in words; a dash where there are none."""
    pairs = zip(table[f"{name}_lo"], table[f"{name}_hi"], strict=True)
    return [wording.NOTHING if pd.isna(low) else f"{low:.3f} to {high:.3f}" for low, high in pairs]
