"""Flat drawings of defects: those of the paper, made by rule, and one cell of each group of a dataset."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import address, furniture, tables, wording
from app.export import Provenance
from app.figures import defect_drawings
from app.links import structure_link
from app.selection import Selection
from engine.queries import drawings
from engine.queries.scope import Scope

MOST = 12  # panels


TITLE = "What the defects look like"


def show(chosen: Selection) -> None:
    """Drawings of the paper's defects, and of the groups of the sidebar's dataset.

    Args:
        chosen: The sidebar's choices, of which the dataset and the model count.
    """
    _by_rule()
    _of_dataset(chosen)


def _table(cells: Sequence[drawings.Drawn]) -> pd.DataFrame:
    """One row per atom."""
    return pd.DataFrame(
        [
            {"config_id": cell.config_id, "group_name": cell.group_name or cell.head, "atom_index": k,
             "element": cell.symbols[k], "class_name": cell.classes[k], "x": x, "y": y, "z": z}
            for cell in cells
            for k, (x, y, z) in enumerate(cell.positions.tolist())
        ]
    )  # fmt: skip


def _by_rule() -> None:
    """The paper's twelve defects; nothing in a store that has none."""
    cells = drawings.drawn_by_rule()
    if not cells:
        return
    title = f"{len(cells)} common defects of bcc metals, drawn from cells of {cells[0].symbols[0]}"
    origin = furniture.provenance_beside(
        "defects", title, [], "drawings, made by rule", f"{len(cells)} cells without energies"
    )
    _figure(cells, title, origin, "drawn-defects")
    furniture.rebuilds(
        "6 (a)",
        "these cells are drawings. No DFT was run on them, and no error of a model rests on them. The paper draws a "
        "vacancy, ⟨110⟩ and ⟨111⟩ dumbbells, seven grain boundaries that it does not name, a generalised stacking "
        "fault and a screw dislocation; its text counts eleven kinds and its caption twelve. Our seven boundaries are "
        "symmetric tilt boundaries of small coincidence cells.",
    )
    table = pd.DataFrame([{"Defect": cell.head, "Atoms": len(cell.symbols), "Rule": cell.rule} for cell in cells])
    rule = st.column_config.TextColumn(width="large")
    tables.view_data(table, "drawn-defects-rules", {"Rule": rule}, label="How each was made")


def _figure(cells: Sequence[drawings.Drawn], title: str, origin: Provenance, key: str) -> None:
    """Some cells as flat views, with their table."""
    furniture.figure(
        lambda ink: defect_drawings.drawings(cells, ink, title, origin.source_line()),
        _table(cells),
        origin,
        f"{title}: flat views with periodic images, atoms coloured by class of local environment.",
        key=key,
    )


def _of_dataset(chosen: Selection) -> None:
    """One cell of each group of a dataset; nothing where its environments are not described."""
    cells = drawings.one_of_each_group(chosen.dataset_id)[:MOST]
    if not cells:
        return
    title = f"One cell of each group of {wording.dataset_label(chosen.dataset_id)}"
    origin = furniture.provenance("defects", title, [], Scope.of(chosen.dataset_id), f"{len(cells)} cells")
    _figure(cells, title, origin, "defect-drawings")
    st.caption(
        "The largest cell of each group, seen near the shortest cell vector, with the longest one upwards. Full "
        "colour: atoms of the cell. Faint: periodic images. Squares: the rarer elements. The page Environments defines "
        "the classes."
    )
    names = {cell.config_id: f"{cell.group_name}: {cell.config_id}" for cell in cells}
    key = f"drawn-{chosen.dataset_id}"
    address.heed(key, names, names.__getitem__)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        config_id = st.selectbox(
            "See one in 3D", list(names), format_func=names.__getitem__, key=key, bind="query-params", width=300
        )
        structure_link(chosen.dataset_id, config_id, chosen.model_id)
