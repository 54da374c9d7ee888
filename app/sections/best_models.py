"""The best model of each dataset or kind of structures, as bars with its name."""

from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, furniture, selection, tables, wording
from app.figures import ranking_plots
from engine.queries import best_models
from engine.queries.best_models import DATASETS, KINDS
from engine.queries.scope import Scope

_EACH = {DATASETS: "Dataset", KINDS: "Group of structures"}
_FEW = 3  # datasets; with fewer, bars begin with the groups of structures in the first


def best_part(dataset_ids: tuple[str, ...], alignment: str, chosen: selection.Selection, slot: DeltaGenerator) -> None:
    """Bars of both quantities, and the table of the chosen one.

    Args:
        dataset_ids: At least one dataset.
        alignment: Of the energies.
        chosen: The sidebar's choices.
        slot: Where the Export menu of the chosen quantity goes.
    """
    address.heed("by", _EACH, _EACH.__getitem__)
    with furniture.controls():
        by = st.segmented_control(
            "A bar for each", [DATASETS, KINDS], default=DATASETS if len(dataset_ids) >= _FEW else KINDS, required=True,
            format_func=_EACH.__getitem__, key="by",
            bind="query-params", help="Groups of structures are those of one dataset.",
        )  # fmt: skip
        of = dataset_ids[0]
        if by == KINDS and len(dataset_ids) > 1:
            address.heed("of", dataset_ids, wording.dataset_label)
            of = st.selectbox("Of", dataset_ids, key="of", bind="query-params", format_func=wording.dataset_label)
    found = {quantity: _found(by, of, dataset_ids, alignment, quantity, chosen) for quantity in ("energy", "force")}
    scope = chosen.scope.on(*(dataset_ids if by == DATASETS else (of,)))
    counts = found[chosen.quantity]
    furniture.rebuilds(
        "3",
        f"{len(counts)} {'datasets' if by == DATASETS else f'groups of structures of {wording.dataset_label(of)}'} "
        f"stand in for the paper's 13, with up to {counts['n_models'].max() if len(counts) else 0} models in place of "
        "26. The table names models that cannot be told apart from the best. The paper's caption gives the line of "
        "forces in meV/atom; it must be meV/Å.",
    )
    with st.container(horizontal=True, gap="medium"):
        for quantity, table in found.items():
            with st.container(width=500):
                _chart(table, quantity, by, scope, slot if quantity == chosen.quantity else None)
    st.caption(
        "Bold: RMSE of the best model over the configurations that all ranked models share. Behind its name: how many "
        "others a paired bootstrap cannot tell apart from it. Where independent clusters are too few for bounds, these "
        "are all others. Small number: configurations. Dashed: the lines of the paper."
    )
    _table(counts, chosen.quantity)


def _found(
    by: str, of: str, dataset_ids: tuple[str, ...], alignment: str, quantity: str, chosen: selection.Selection
) -> pd.DataFrame:
    if by == KINDS:
        return best_models.best_by_kind(alignment, of, quantity, with_seen=chosen.with_seen, within=chosen.scope)
    return best_models.best_models(alignment, chosen.scope.on(*dataset_ids), quantity, with_seen=chosen.with_seen)


def _chart(table: pd.DataFrame, quantity: str, by: str, scope: Scope, slot: DeltaGenerator | None) -> None:
    if table.empty:
        furniture.empty(
            f"No ranked model by {quantity}",
            "No model's numbers can be compared with these datasets as they are. Choose Aligned, or other datasets.",
        )
        return
    narrowed = "".join(f", {words}" for words in scope.restrictions())
    place = f"groups of {wording.place(scope)}" if by == KINDS else f"{len(table)} datasets{narrowed}"
    title = f"Lowest {quantity} RMSE and its model: {place}"
    models = list(dict.fromkeys(table["model_id"]))
    n = f"{int(table['n_configs'].sum()):,} configurations"
    origin = furniture.provenance(f"best-{quantity}", title, models, scope, n)
    furniture.figure(
        lambda ink: ranking_plots.best_bars(table, quantity, ink, title, origin.source_line()),
        table.assign(tied=table["tied"].map("; ".join)),
        origin,
        f"{title}; the table below holds the same numbers.",
        key=f"best-{quantity}",
        slot=slot,
    )


def _table(table: pd.DataFrame, quantity: str) -> None:
    """The same numbers with the names of those that cannot be told apart."""
    unit = "meV/atom" if quantity == "energy" else "meV/Å"
    heads: dict[str, Any] = {
        "head": st.column_config.TextColumn("On", pinned=True),
        "label": "Best model",
        "rmse": st.column_config.NumberColumn(f"{quantity.capitalize()} RMSE ({unit})", format="%.2f"),
        "bounds": "95 % bounds",
        "tied": st.column_config.TextColumn("Not told apart from it", width="large"),
        "n_models": "Ranked models",
        "n_configs": st.column_config.NumberColumn("Shared configurations", format="localized"),
        "n_expected": st.column_config.NumberColumn("Of", format="localized"),
    }
    shown = table.assign(
        label=[wording.marked(row.label, row.origin, row.is_seen) for row in table.itertuples()],
        tied=table["tied"].map(", ".join),
        bounds=[wording.bounds(row, "rmse") for _, row in table.iterrows()],
    )
    tables.table_view(shown[list(heads)], "best-models", heads)
