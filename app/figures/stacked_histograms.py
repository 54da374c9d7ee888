"""One distribution over all datasets above, and the same dataset by dataset below, on one axis."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from app.figures import base
from app.figures.base import Ink
from app.figures.tile_maps import COVERAGE_SCALE
from engine.queries.distributions import DatasetHistograms

_TOP = 170  # pixels of the distribution of all
_ROW = 20


def by_dataset(
    found: DatasetHistograms, labels: Sequence[str], noun: str, axis: str, ink: Ink, title: str, source: str
) -> go.Figure:
    """Counts of all datasets as bars, and of each as a row of tiles; both are logarithmic.

    Where there are values below and above zero, a dashed box holds those above.

    Args:
        found: The counts.
        labels: Of the datasets, in the order of `found`.
        noun: What a sample is, in the plural.
        axis: What is counted, with unit.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    inner = _TOP + _ROW * len(labels) + 24
    figure = base.base_figure(ink, title, source, inner + 160, left=50 + int(5.5 * max(map(len, labels))))
    share = _TOP / inner
    centres = (found.edges[:-1] + found.edges[1:]) / 2
    total = found.counts.sum(axis=0)
    ends = np.column_stack([found.edges[:-1], found.edges[1:]])
    figure.add_trace(
        go.Bar(
            x=centres,
            y=np.where(total > 0, total, np.nan),
            width=float(found.edges[1] - found.edges[0]),
            marker={"color": base.ARCHITECTURE_COLOURS["sevennet"], "line": {"width": 0}},
            customdata=ends,
            hovertemplate=f"%{{customdata[0]:.3~g}} to %{{customdata[1]:.3~g}}: <b>%{{y:,}}</b> {noun}<extra></extra>",
        )
    )
    figure.add_trace(_rows(found, labels, noun, centres))
    _box(figure, found, noun, ink)
    if found.n_outside:
        _note(figure, f"beyond the axis: {found.n_outside:,} of {found.totals.sum():,} {noun}", ink.muted)
    figure.update_layout(
        xaxis={"title": {"text": axis}, "range": [found.edges[0], found.edges[-1]], "anchor": "y2"},
        yaxis={
            "domain": [1 - share, 1], "type": "log", "dtick": 1, "exponentformat": "power", "fixedrange": True,
            "title": {"text": noun.capitalize(), "font": {"size": 12}},
        },
        yaxis2={
            "domain": [0, 1 - share - 0.04], "range": [len(labels) - 0.5, -0.5], "tickvals": list(range(len(labels))),
            "ticktext": list(labels), "tickfont": {"color": ink.text, "size": 11}, "showgrid": False, "ticks": "",
            "fixedrange": True,
        },
        dragmode="zoom",
    )  # fmt: skip
    return figure


def _rows(found: DatasetHistograms, labels: Sequence[str], noun: str, centres: np.ndarray) -> go.Heatmap:
    """A row of tiles for each dataset; a bin without samples has none."""
    known = found.counts.astype(float)
    known[found.counts == 0] = np.nan
    return go.Heatmap(
        x=centres,
        y=list(range(len(labels))),
        z=np.log10(known),
        yaxis="y2",
        colorscale=COVERAGE_SCALE,
        showscale=False,
        xgap=0,
        ygap=3,
        customdata=found.counts,
        text=[[label] * len(centres) for label in labels],
        hovertemplate=f"<b>%{{text}}</b><br>%{{x:.3~g}}: %{{customdata:,}} {noun}<extra></extra>",
        hoverongaps=False,
    )


def _box(figure: go.Figure, found: DatasetHistograms, noun: str, ink: Ink) -> None:
    """A dashed box around the samples above zero."""
    low, high = float(found.edges[0]), float(found.edges[-1])
    if low >= 0 or high <= 0:
        return
    n, n_all = int(found.n_positive.sum()), int(found.totals.sum())
    figure.add_shape(
        type="rect", x0=0, x1=high, y0=0, y1=1, yref="paper", line={"color": ink.accent, "width": 1.5, "dash": "dash"}
    )
    _note(figure, f"above zero: {n:,} of {n_all:,} {noun}", ink.accent)


def _note(figure: go.Figure, text: str, colour: str) -> None:
    """A few words above the right end of the plot."""
    figure.add_annotation(
        x=1, xref="paper", y=1, yref="paper", xanchor="right", yanchor="bottom", showarrow=False, text=text,
        font={"color": colour, "size": 11},
    )  # fmt: skip
