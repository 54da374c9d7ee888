"""The Datasets page's part on alignment of energies: ranks before and after it, and the removed offsets."""

from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import furniture, selection, tables, wording
from app.figures import dataset_plots
from engine.queries import comparability, error_metrics


def alignment_part(dataset: pd.Series, slot: DeltaGenerator) -> None:
    """Ranks before and after alignment, and the offsets that were removed."""
    dataset_id, label = dataset["dataset_id"], dataset["label"]
    chosen = selection.selection()
    scope = chosen.scope
    table = comparability.alignment_change(scope, with_seen=chosen.with_seen)
    pairs = error_metrics.dataset_metrics("raw", scope, with_seen=chosen.with_seen)
    if table.empty:
        furniture.captions(wording.seen_note(pairs, with_seen=chosen.with_seen))
        furniture.empty(
            f"No energies of models for {label}",
            dataset["reason"]
            or f"Run `python -m precompute run --dataset {dataset_id} --model all`, then `python -m precompute build`.",
        )
        return
    st.markdown(
        "Alignment removes the least-squares energy offset per element of each model. It removes the model's different "
        "zero of energy and any constant error per element. Errors of energy differences at equal composition remain."
    )
    offsets = comparability.element_offsets(dataset_id)
    elements = offsets.columns.drop(["model_id", "label", "n_configs"]).tolist()
    n, n_elements = int(table["n_configs"].min()), len(elements)
    noted = error_metrics.dataset_metrics("per_element", scope)
    furniture.captions(wording.energy_note(noted), wording.one_composition_note(dataset_id, "per_element"))
    in_milli = offsets[elements] * 1000
    title = f"Energy RMSE before and after alignment per element: {label}"
    origin = furniture.provenance("alignment", title, table["model_id"], scope, f"{n:,} shared configurations")
    wide = in_milli.add_prefix("offset_mev_per_atom_").assign(model_id=offsets["model_id"])
    furniture.figure(
        lambda ink: dataset_plots.alignment_change(_with_marks(table, pairs), ink, title, origin.source_line()),
        table.merge(wide, on="model_id", how="left"),
        origin,
        f"{title}, for {len(table)} models; the table below holds the same numbers.",
        key=f"alignment-{dataset_id}",
        slot=slot,
    )
    st.caption(
        "Numbers at the names: 95 % intervals of the rank by raw and by aligned energies. ▲: gains places beyond "
        "doubt. "
        "▼: loses places beyond doubt. A dash: no rank by raw energies, since the labels have another zero. All "
        "numbers "
        f"are over the {n:,} configurations that all {len(table)} ranked models have a result for."
    )
    furniture.captions(wording.seen_note(pairs, with_seen=chosen.with_seen))
    _ranks(table)
    _offsets(_with_marks(offsets, pairs), in_milli, n_elements)
    furniture.say_unheeded(scope, "The offsets do not heed")


def _with_marks(table: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The table with a mark at models that were trained on the dataset."""
    seen = set(pairs.loc[pairs["is_seen"], "model_id"])
    return table.assign(label=[wording.seen_marked(row.label, row.model_id in seen) for row in table.itertuples()])


def _ranks(table: pd.DataFrame) -> None:
    table = table.assign(
        label=[wording.marked(row.label, row.origin, row.is_seen) for row in table.itertuples()],
        state=table["state"].map(wording.STATES),
        rank_raw=wording.intervals(table["rank_raw"], table["rank_raw_hi"]),
        rank_aligned=wording.intervals(table["rank_aligned"], table["rank_aligned_hi"]),
        rank_change=table["rank_change"].map({1: "▲", 0: "=", -1: "▼"}),
    )
    heads: dict[str, Any] = {
        "label": st.column_config.TextColumn("Model", pinned=True, width=220),
        "rank_raw": "Rank, raw",
        "rank_aligned": "Rank, aligned",
        "rank_change": "Change beyond doubt",
        "state": "Raw energies",
        "state_reason": st.column_config.TextColumn("Because", width="large"),
    }
    names = ["energy_rmse_mev_per_atom", "energy_rmse_mev_per_atom_aligned"]
    columns = ["label", "rank_raw", "rank_aligned", "rank_change", *names, "state", "state_reason"]
    tables.table_view(table[columns], "ranks", heads, height="content" if len(table) < 20 else 500)


def _offsets(offsets: pd.DataFrame, in_milli: pd.DataFrame, n_elements: int) -> None:
    st.subheader("Offsets per element (meV/atom)", anchor=False)
    table = pd.concat([offsets[["label", "n_configs"]], in_milli], axis=1)
    heads: dict[str, Any] = {name: st.column_config.NumberColumn(name, format="%+.0f") for name in in_milli}
    heads["label"] = st.column_config.TextColumn("Model", pinned=True, width=220)
    tables.table_view(table, "offsets", heads, height="content" if len(table) < 20 else 500)
    st.caption(
        "Predicted minus reference energy of an atom of the element, fitted to all configurations that each model has "
        "a result for; missing where it has none with the element."
        + (
            ""
            if n_elements == 1
            else " Where compositions do not determine them, those of the smallest size are taken."
        )
    )
