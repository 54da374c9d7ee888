"""Structures in the report: a flat picture of what the 3D viewer shows, with its atoms as extended XYZ."""

import dataclasses
from functools import partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app import export, wording
from app.figures import structure_drawings
from app.figures.base import Ink
from app.report import basket
from app.structures.atomview import AtomColors
from app.structures.shown import Sight
from engine.queries import catalog
from engine.records import Configuration


def draw(configuration: Configuration, colors: AtomColors | None, title: str, source: str, ink: Ink) -> go.Figure:
    """The flat picture.

    Args:
        configuration: The atoms.
        colors: Values that colour its atoms; by element where None.
        title: Title of the figure.
        source: Provenance line.
        ink: Theme.
    """
    c = configuration
    if colors is None:
        return structure_drawings.projection(c.numbers, c.positions, c.cell, ink, title, source)
    return structure_drawings.projection(
        c.numbers, c.positions, c.cell, ink, title, source, values=np.asarray(colors.values, dtype=float),
        label=f"{colors.label} ({colors.unit})", colormap=colors.colormap, top=colors.top(),
    )  # fmt: skip


def item(
    configuration: Configuration, colors: AtomColors | None, table: pd.DataFrame, origin: export.Provenance,
    structure: str, note: str,
) -> basket.Item:  # fmt: skip
    """A structure as it lies in the basket.

    Args:
        configuration: The atoms.
        colors: Values that colour its atoms; by element where None.
        table: One row per atom.
        origin: Its origin, with the title of the figure.
        structure: Extended XYZ with all that is known of it.
        note: Sentences for the end of the caption.
    """
    make = partial(draw, configuration, colors, origin.title, origin.source_line())
    made = export.figure_item(make, table, origin)
    return dataclasses.replace(made, caption=f"{made.caption} Parallel projection. {note}", structure=structure)


def item_of(sight: Sight, colors: AtomColors | None, origin: export.Provenance) -> basket.Item:
    """A configuration of the benchmark as it lies in the basket.

    Args:
        sight: What is shown.
        colors: Values that colour its atoms; by element where None.
        origin: Its origin.
    """
    model = wording.model_labels().get(sight.model_id, "")
    what = f"coloured by {colors.label} of {model}" if colors is not None and model else "coloured by element"
    title = f"{sight.configuration.config_id}: {sight.formula}, {what}"
    origin = dataclasses.replace(origin, title=title, page="structure", n=f"{sight.configuration.n_atoms} atoms")
    note = "|ΔF|: length of the predicted less the reference force on an atom."
    structure = sight.to_extxyz(catalog.store_info().data_version)
    return item(sight.configuration, colors, sight.atom_table(), origin, structure, note)


def button(sight: Sight, colors: AtomColors | None, origin: export.Provenance, key: str) -> None:
    """Adds the structure to the visitor's report.

    Args:
        sight: What is shown.
        colors: Values that colour its atoms.
        origin: Its origin.
        key: Of the button.
    """
    export.report_button(lambda: item_of(sight, colors, origin), key)
