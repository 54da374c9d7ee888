"""One structure as a flat picture: a parallel projection of its atoms and cell, coloured by element or by a value."""

import numpy as np
import plotly.graph_objects as go
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray

from app.figures import atom_colours, base
from app.figures.base import Ink

FloatArray = NDArray[np.float64]

WIDTH_MM = 85  # that marks, whose size is in pixels, have the size of atoms at
_PLOT = {False: 290, True: 205}  # px: width of the plot in print, without and beside a colour bar
_HIGHEST = 300  # px
_TILT, _TURN = np.radians(-74.0), np.radians(-24.0)  # as the 3D viewer begins: from above the side, third axis up
_RADIUS = 0.72  # of covalent radii, as in the 3D viewer
_EDGES = [((0, j, k), (1, j, k)) for j in (0, 1) for k in (0, 1)]
_EDGES += [((i, 0, k), (i, 1, k)) for i in (0, 1) for k in (0, 1)]
_EDGES += [((i, j, 0), (i, j, 1)) for i in (0, 1) for j in (0, 1)]


def projected(points: FloatArray) -> FloatArray:
    """Coordinates across, up and towards the reader, shape (n, 3), in the unit of the points."""
    c, s = np.cos(_TURN), np.sin(_TURN)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    c, s = np.cos(_TILT), np.sin(_TILT)
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    return np.asarray(points @ (tilt @ turn).T)


def projection(
    numbers: NDArray[np.integer],
    positions: FloatArray,
    cell: FloatArray,
    ink: Ink,
    title: str,
    source: str,
    *,
    values: FloatArray | None = None,
    label: str = "",
    colormap: str = "YlOrRd",
    top: float = 1.0,
) -> go.Figure:
    """The picture; atoms that are nearer to the reader cover others.

    Args:
        numbers: Atomic numbers, shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.
        cell: One lattice vector a row, shape (3, 3), Å.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
        values: To colour by, shape (n_atoms,); by element where None.
        label: Of the values, with their unit.
        colormap: Name of a matplotlib colour map for the values.
        top: Value of its last colour.
    """
    atoms = projected(positions)
    corners = [projected(np.array([start, end], dtype=float) @ cell) for start, end in _EDGES]
    everything = np.vstack([atoms, *corners])[:, :2]
    low, high = everything.min(axis=0) - 1.2, everything.max(axis=0) + 1.2
    span = high - low
    scale = min(_PLOT[values is not None] / span[0], _HIGHEST / span[1])  # px per Å
    # In print heights are four fifths of those on a screen (app/report/layout.py).
    figure = base.base_figure(ink, title, source, int(scale * span[1] / 0.8) + 150, left=10, right=10)
    figure.add_trace(_cell(corners, ink))
    order = np.argsort(atoms[:, 2], kind="stable")
    sizes = 2 * _RADIUS * covalent_radii[numbers] * scale
    marker = {"size": sizes[order], "line": {"width": 0.5, "color": ink.text}, "opacity": 1.0}
    if values is None:
        marker["color"] = [atom_colours.of_element(z) for z in numbers[order]]
    else:
        palette = atom_colours.palette(colormap)
        marker |= {
            "color": np.minimum(values[order], top), "cmin": 0.0, "cmax": top, "showscale": True,
            "colorscale": [[k / 63, colour] for k, colour in enumerate(palette)],
            "colorbar": {"title": {"text": label, "side": "right"}, **base.beside()},
        }  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=atoms[order, 0], y=atoms[order, 1], mode="markers", marker=marker, showlegend=False,
            text=[f"{chemical_symbols[numbers[k]]} {k}" for k in order], hovertemplate="%{text}<extra></extra>",
        )
    )  # fmt: skip
    if values is None:
        for z in np.unique(numbers):
            figure.add_trace(
                go.Scatter(
                    x=[None], y=[None], mode="markers", name=f"{chemical_symbols[z]} × {int((numbers == z).sum())}",
                    marker={"size": 10, "color": atom_colours.of_element(z), "line": {"width": 0.5, "color": ink.text}},
                )
            )  # fmt: skip
        base.legend_above(figure, len(np.unique(numbers)))
    base.hide_axes(figure)
    figure.update_xaxes(range=[low[0], high[0]])
    figure.update_yaxes(range=[low[1], high[1]], scaleanchor="x", scaleratio=1)
    figure.update_layout(meta={"widths": [WIDTH_MM]})
    base.move_source(figure, -16)
    return figure


def _cell(corners: list[FloatArray], ink: Ink) -> go.Scatter:
    """The edges of the cell."""
    x = [value for edge in corners for value in (edge[0, 0], edge[1, 0], None)]
    y = [value for edge in corners for value in (edge[0, 1], edge[1, 1], None)]
    return go.Scatter(x=x, y=y, mode="lines", line={"color": ink.muted, "width": 1}, hoverinfo="skip", showlegend=False)
