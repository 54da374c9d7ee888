"""Flat drawings of defects: one cell of each group of a dataset."""

import pandas as pd
import streamlit as st

from app import address, furniture, wording
from app.figures import defect_drawings
from app.links import structure_link
from app.selection import Selection
from engine.queries import drawings
from engine.queries.scope import Scope

MOST = 12  # panels


def show(chosen: Selection) -> None:
    """Drawings of the sidebar's dataset; nothing where its environments are not described.

    Args:
        chosen: The sidebar's choices, of which the dataset and the model count.
    """
    cells = drawings.one_of_each_group(chosen.dataset_id)[:MOST]
    if not cells:
        return
    st.subheader("What the defects look like", anchor=False)
    title = f"One cell of each group of {wording.dataset_label(chosen.dataset_id)}"
    origin = furniture.provenance("defects", title, [], Scope.of(chosen.dataset_id), f"{len(cells)} cells")
    table = pd.DataFrame(
        [
            {"config_id": cell.config_id, "group_name": cell.group_name, "atom_index": k, "element": cell.symbols[k],
             "class_name": cell.classes[k], "x": x, "y": y, "z": z}
            for cell in cells
            for k, (x, y, z) in enumerate(cell.positions.tolist())
        ]
    )  # fmt: skip
    furniture.figure(
        lambda ink: defect_drawings.drawings(cells, ink, title, origin.source_line()),
        table,
        origin,
        f"{title}: flat views with periodic images, atoms coloured by class of local environment.",
        key="defect-drawings",
    )
    st.caption(
        "The largest cell of each group, seen near the shortest cell vector, with the longest one upwards. Full "
        "colour: "
        "atoms of the cell. Faint: periodic images. Squares: the rarer elements. The page Environments defines the "
        "classes."
    )
    st.caption(
        "Rebuilds figure 6a of the paper: drawings of a vacancy, dumbbells, seven grain boundaries, a stacking fault "
        "and a screw dislocation in bcc metals. What differs: these are cells of the dataset at the left. The default "
        "is our own set of small cells, which has no dislocation."
    )
    names = {cell.config_id: f"{cell.group_name}: {cell.config_id}" for cell in cells}
    key = f"drawn-{chosen.dataset_id}"
    address.heed(key, names, names.__getitem__)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        config_id = st.selectbox(
            "See one in 3D", list(names), format_func=names.__getitem__, key=key, bind="query-params", width=300
        )
        structure_link(chosen.dataset_id, config_id, chosen.model_id)
