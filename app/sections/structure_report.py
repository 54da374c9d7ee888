"""Structures in the report: a flat picture of what the 3D viewer shows, with its atoms as extended XYZ."""

import dataclasses
from functools import partial

import numpy as np
import plotly.graph_objects as go

from app import export, wording
from app.figures import structure_drawings
from app.figures.base import Ink
from app.report import basket
from app.structures.atomview import AtomColors
from app.structures.shown import Sight
from engine.queries import catalog


def draw(sight: Sight, colors: AtomColors | None, title: str, source: str, ink: Ink) -> go.Figure:
    """The flat picture.

    Args:
        sight: What is shown.
        colors: Values that colour its atoms; by element where None.
        title: Title of the figure.
        source: Provenance line.
        ink: Theme.
    """
    c = sight.configuration
    if colors is None:
        return structure_drawings.projection(c.numbers, c.positions, c.cell, ink, title, source)
    return structure_drawings.projection(
        c.numbers, c.positions, c.cell, ink, title, source, values=np.asarray(colors.values, dtype=float),
        label=f"{colors.label} ({colors.unit})", colormap=colors.colormap, top=colors.top(),
    )  # fmt: skip


def item(sight: Sight, colors: AtomColors | None, origin: export.Provenance) -> basket.Item:
    """A structure as it lies in the basket.

    Args:
        sight: What is shown.
        colors: Values that colour its atoms; by element where None.
        origin: Its origin.
    """
    model = wording.model_labels().get(sight.model_id, "")
    what = f"coloured by {colors.label} of {model}" if colors is not None and model else "coloured by element"
    title = f"{sight.configuration.config_id}: {sight.formula}, {what}"
    origin = dataclasses.replace(origin, title=title, page="structure", n=f"{sight.configuration.n_atoms} atoms")
    make = partial(draw, sight, colors, title, origin.source_line())
    made = export.figure_item(make, sight.atom_table(), origin)
    text = f"{made.caption} Parallel projection. |ΔF|: length of the predicted less the reference force on an atom."
    return dataclasses.replace(made, caption=text, structure=sight.to_extxyz(catalog.store_info().data_version))


def button(sight: Sight, colors: AtomColors | None, origin: export.Provenance, key: str) -> None:
    """Adds the structure to the visitor's report.

    Args:
        sight: What is shown.
        colors: Values that colour its atoms.
        origin: Its origin.
        key: Of the button.
    """
    export.report_button(lambda: item(sight, colors, origin), key)
