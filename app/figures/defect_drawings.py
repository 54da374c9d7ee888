"""Drawings of defect cells: flat views with periodic images, atoms coloured by class of local environment."""

import itertools
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from app.figures import base
from app.figures.base import Ink
from app.figures.environment_plots import CLASS_COLOURS
from engine.queries.drawings import Drawn

FloatArray = NDArray[np.float64]

WINDOW = 6.5  # Å, half of the smallest height and width that a panel shows
_COLUMNS = 4
_PANEL = 220  # pixels


def view(cell: FloatArray) -> FloatArray:
    """Axes of a flat view, one a row: across, up along the longest cell vector, and the depth near the shortest.

    Args:
        cell: One lattice vector a row, Å.
    """
    order = np.argsort(np.linalg.norm(cell, axis=1), kind="stable")
    up = cell[order[2]] / np.linalg.norm(cell[order[2]])
    depth = cell[order[0]] - (cell[order[0]] @ up) * up
    depth /= np.linalg.norm(depth)
    return np.array([np.cross(up, depth), up, depth])


def images(drawn: Drawn) -> tuple[FloatArray, NDArray[np.int64], NDArray[np.bool_]]:
    """Atoms and periodic images within the window around the middle of the cell.

    Returns:
        Coordinates across, up and in depth, shape (n, 3), Å; the atom that each is an image of; whether it is the atom.
    """
    axes = view(drawn.cell)
    middle = drawn.cell.sum(axis=0) / 2
    shortest = int(np.argmin(np.linalg.norm(drawn.cell, axis=1)))
    reach = [range(1) if axis == shortest else range(-4, 5) for axis in range(3)]
    shifts = np.array(list(itertools.product(*reach)))
    everything = (drawn.positions[None] + (shifts @ drawn.cell)[:, None] - middle) @ axes.T
    owners = np.broadcast_to(np.arange(len(drawn.positions)), everything.shape[:2])
    is_home = np.broadcast_to((shifts == 0).all(axis=1)[:, None], everything.shape[:2])
    half = max(WINDOW, np.linalg.norm(drawn.cell, axis=1).max() / 2)
    inside = (np.abs(everything[..., :2]) <= half + 1e-6).all(axis=2)
    return everything[inside], owners[inside], is_home[inside]


def drawings(cells: Sequence[Drawn], ink: Ink, title: str, source: str) -> go.Figure:
    """One panel per structure.

    Args:
        cells: The structures.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    n_rows = -(-len(cells) // _COLUMNS)
    figure = make_subplots(
        rows=n_rows, cols=_COLUMNS, horizontal_spacing=0.02, vertical_spacing=0.28 / (n_rows + 1),
        figure=base.base_figure(ink, title, source, 180 + n_rows * _PANEL, left=10, right=10),
    )  # fmt: skip
    for number, drawn in enumerate(cells):
        place = {"row": number // _COLUMNS + 1, "col": number % _COLUMNS + 1}
        _panel(figure, drawn, place, ink, is_first=number == 0)
        axis = "" if number == 0 else str(number + 1)
        figure.update_yaxes(scaleanchor=f"x{axis}", **place)
        name, below = (drawn.head, f"{len(drawn.symbols)} atoms") if drawn.head else (drawn.group_name, drawn.formula)
        head = {"text": f"<b>{name}</b><br>{below}", "font": {"size": 12, "color": ink.text}}
        figure.add_annotation(
            head, x=0.5, y=1, xref="x domain", yref="y domain", yanchor="bottom", showarrow=False, **place
        )
    base.hide_axes(figure)
    legend = {"orientation": "h", "y": 1.0, "yref": "container", "yanchor": "top", "x": 0, "itemsizing": "constant"}
    figure.update_layout(showlegend=True, legend=legend | {"y": 1 - 34 / (180 + n_rows * _PANEL)}, margin_t=136)
    base.move_source(figure, -20)
    return figure


def _panel(figure: go.Figure, drawn: Drawn, place: dict[str, int], ink: Ink, *, is_first: bool) -> None:
    """Atoms of one structure, the deepest first; images are faint, and atoms of the rarer elements are squares."""
    points, owners, is_home = images(drawn)
    order = np.argsort(points[:, 2])
    points, owners, is_home = points[order], owners[order], is_home[order]
    host = max(set(drawn.symbols), key=lambda symbol: (drawn.symbols.count(symbol), symbol))
    for class_name, colour in CLASS_COLOURS.items():
        chosen = np.array([drawn.classes[k] == class_name for k in owners], dtype=bool)
        symbols = [drawn.symbols[k] for k in owners[chosen]]
        figure.add_trace(
            go.Scatter(
                x=points[chosen, 0] if chosen.any() else [None],
                y=points[chosen, 1] if chosen.any() else [None],
                mode="markers",
                name=class_name,
                legendgroup=class_name,
                showlegend=is_first,
                marker={
                    "size": 9, "color": colour, "opacity": np.where(is_home[chosen], 1.0, 0.35).tolist(),
                    "symbol": ["circle" if symbol == host else "square" for symbol in symbols],
                    "line": {"width": 0.7, "color": ink.text},
                },
                text=symbols,
                hovertemplate="%{text}, " + class_name + "<extra>" + drawn.config_id + "</extra>",
            ),
            **place,
        )  # fmt: skip
