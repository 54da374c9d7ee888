"""Uncertainty pooled over datasets, with the sets apart that the paper keeps apart, by two measures of spread."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import address, furniture, tables, wording
from app.figures import spread_plots
from app.selection import Selection
from engine.queries import pooled_spread
from engine.queries.pooled_spread import MEASURES, POOLED

_MEASURES = {"deviation": "Maximum", "standard_deviation": "Standard deviation"}


TITLE = "Pooled over datasets"


def show(ensemble: pd.Series, chosen: Selection) -> None:
    """Chart and table of one ensemble over all its datasets.

    Args:
        ensemble: Its row of `catalog.ensembles`, with the members that were trained on the data in `seen`.
        chosen: The sidebar's choices, of which the quantity and the conditions count.
    """
    ensemble_id = ensemble["ensemble_id"]
    within = chosen.scope.on()
    table = pooled_spread.samples(ensemble_id, chosen.quantity, within)
    if table.empty:
        furniture.empty("No samples", "This ensemble has no reference of this quantity on any dataset.")
        return
    known = sorted(table["dataset_id"].unique())
    key = f"apart-{ensemble_id}"
    address.heed("spread", MEASURES, _MEASURES.__getitem__)
    address.heed_many(key, known, wording.dataset_label)
    with furniture.controls():
        measure = st.segmented_control(
            "Spread", list(MEASURES), default=MEASURES[0], required=True, format_func=_MEASURES.__getitem__,
            key="spread", bind="query-params",
        )  # fmt: skip
        usual = [name for name in pooled_spread.apart_by_default(ensemble_id) if name in known]
        apart = st.multiselect(
            "Kept apart", known, default=usual, key=key, bind="query-params",
            format_func=wording.dataset_label, placeholder="no dataset", width=340,
        )  # fmt: skip
    _chart(ensemble, table, measure, apart, chosen)
    agreement = pooled_spread.agreement(ensemble_id, chosen.quantity, tuple(sorted(apart)), within)
    _table(agreement)
    if len(known) == 1:
        st.caption(f"Only {wording.dataset_label(known[0])} has numbers of all members, so nothing is pooled.")
    st.caption(
        "Rebuilds figure 8 of the paper: six eqV2 models pooled over its sets with Mg apart, ρ = 0.88 for energies and "
        "0.70 for forces. What differs: ensembles and sets are ours, energies are aligned per element where members "
        "have other zeros, and atoms without a force by symmetry are left out. The maximum deviation is never smaller "
        "than the standard deviation, so fewer errors lie beyond it."
    )


def _chart(ensemble: pd.Series, table: pd.DataFrame, measure: str, apart: Sequence[str], chosen: Selection) -> None:
    quantity = chosen.quantity
    drawn = table.assign(part=pooled_spread.part_names(table, apart))
    drawn = drawn.groupby("part", sort=False).head(pooled_spread.SHOWN)
    pooled = table.loc[~table["dataset_id"].isin(apart), "dataset_id"].unique()
    labels = {POOLED: wording.dataset_label(pooled[0]) if len(pooled) == 1 else f"{len(pooled)} datasets pooled"}
    labels |= {name: wording.dataset_label(name) for name in apart}
    label = wording.seen_marked(ensemble["label"], len(ensemble["seen"]))
    title = f"{quantity.capitalize()} error against {_MEASURES[measure].lower()}: {label}, pooled"
    noun = "configurations" if quantity == "energy" else "atoms"
    scope = chosen.scope.on(*sorted(table["dataset_id"].unique()))
    n = f"{len(table):,} {noun}" + ("" if len(drawn) == len(table) else f", {len(drawn):,} of them drawn")
    origin = furniture.provenance("uncertainty", title, list(ensemble["model_ids"]), scope, n)
    furniture.figure(
        lambda ink: spread_plots.pooled_spread(drawn, measure, quantity, labels, ink, title, origin.source_line()),
        drawn,
        origin,
        f"{title}, n = {n}; the diagonal is where error and spread are equal.",
        key="pooled-spread",
    )


def _table(agreement: pd.DataFrame) -> None:
    shown = agreement.assign(
        part=agreement["part"].map(lambda name: name if name in ("everything", POOLED) else wording.dataset_label(name))
    )
    for measure in MEASURES:
        shown[f"beyond_{measure}"] *= 100
    names = {"part": "Part", "n_datasets": "Datasets", "n_samples": "Samples"}
    heads = {name: st.column_config.Column(head) for name, head in names.items()}
    for measure, word in _MEASURES.items():
        heads[f"spearman_{measure}"] = st.column_config.NumberColumn(f"ρ, {word.lower()}", format="%.2f")
        heads[f"beyond_{measure}"] = st.column_config.NumberColumn(f"Error beyond {word.lower()} (%)", format="%.0f")
    tables.table_view(shown, "pooled-agreement", heads, height="content")
