"""Energies of up to five models in one frame, over the full range."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import furniture, tables, wording
from app.figures import overlay_plots
from app.selection import Selection
from engine.quantities import ALIGNMENTS
from engine.queries import energy_overlay
from engine.queries.scope import Scope


def show(chosen: Selection, scope: Scope, alignment: str, seen: Sequence[str]) -> None:
    """Overlay of the sidebar's models, and their errors below and above an energy of zero.

    Args:
        chosen: The sidebar's choices.
        scope: Which configurations.
        alignment: Of the energies.
        seen: Models that were trained on the configurations.
    """
    models = [chosen.model_id, *chosen.compare]
    table = energy_overlay.energies(tuple(models), scope, alignment)
    shown = [model_id for model_id in models if model_id in set(table["model_id"])]
    if not shown:
        return
    st.subheader("Models in one frame, full range", anchor=False)
    names = wording.model_labels()
    labels = {model_id: wording.seen_marked(names[model_id], model_id in seen) for model_id in shown}
    who = labels[shown[0]] if len(shown) == 1 else f"{len(shown)} models"
    title = f"Energies, {ALIGNMENTS[alignment]}, of {who} on {wording.place(scope)}"
    counts = table.groupby("model_id").size()
    n = f"{counts.min():,}" if counts.nunique() == 1 else f"{counts.min():,} to {counts.max():,}"
    origin = furniture.provenance("parity", title, shown, scope, f"{n} configurations a model")
    furniture.figure(
        lambda ink: overlay_plots.energy_overlay(table, shown, labels, ink, title, origin.source_line()),
        table,
        origin,
        f"{title}; predicted against reference, positive reference energies marked, n = {n}.",
        key="energy-overlay",
    )
    agreement = energy_overlay.agreement(table)
    none = " No reference energy here is positive." if not agreement["n_positive"].any() else ""
    more = "" if chosen.compare else " “Compare with” at the left adds up to four models."
    st.caption(f"Nothing is cut off. The band marks reference energies above zero.{none}{more}")
    st.caption(
        "Rebuilds figure 4 of the paper: five models on Mg of RANDSPG, where eqV2 and CHGNet fail on the many positive "
        "energies. What differs: dataset and models are those of the sidebar, and energies may be aligned. Zero means "
        "free atoms only in raw energies that count from them."
    )
    agreement = agreement.assign(label=agreement["model_id"].map(labels)).drop(columns="model_id")
    heads: dict[str, Any] = {"n_negative": "n, E ≤ 0", "n_positive": "n, E > 0"}
    for name, words in (("all", "all"), ("negative", "E ≤ 0"), ("positive", "E > 0")):
        agreement[f"rmse_{name}"] *= 1000
        heads[f"rmse_{name}"] = st.column_config.NumberColumn(f"RMSE, {words} (meV/atom)", format="%.1f")
    order = ["label", "n_negative", "n_positive", "rmse_all", "rmse_negative", "rmse_positive"]
    tables.table_view(agreement[order], "energy-overlay-errors", heads, height="content")
