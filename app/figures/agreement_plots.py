"""Figures of uncertainty: size and use of a deviation, and coverage of calibrated intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.figures import base
from app.figures.base import Ink

FloatArray = NDArray[np.float64]

_GAP = 0.12  # between two panels, as a share of the width
# Coverage from too low to too high, light where it is as stated.
_COVERAGE_SCALE = [[0.0, "#b35806"], [0.45, "#f1a340"], [0.8, "#f7f3ea"], [0.9, "#f7f7f7"], [1.0, "#998ec3"]]


def size_and_use(
    curves: Mapping[str, FloatArray], axes: tuple[str, str], factor: float, ink: Ink, title: str, source: str
) -> go.Figure:
    """Reliability diagram at the left, rejection curve at the right.

    Args:
        curves: As `queries.agreement.curves` gives them.
        axes: Names of deviation and error with their unit.
        factor: From stored values to that unit.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    figure = base.base_figure(ink, title, source, 470)
    x, y = curves["bin_deviations"] * factor, curves["bin_errors"] * factor
    positive = (x > 0) & (y > 0)
    figure.add_trace(
        go.Scatter(
            x=x[positive], y=y[positive], mode="lines+markers", name="RMS error of a bin",
            marker=base.series_marker(0, 1.0), line={"color": base.SERIES_COLOURS[0], "width": 1.5},
            hovertemplate="deviation %{x:.3g}, error %{y:.3g}<extra></extra>",
        )
    )  # fmt: skip
    if positive.any():
        both = np.concatenate([x[positive], y[positive]])
        span = base.log_span(both, both, 0.05)
        figure.add_trace(base.diagonal([10 ** span[0], 10 ** span[1]], ink))
        base.log_axis(figure, "x", span, axes[0])
        base.log_axis(figure, "y", span, axes[1])
    rejected = 100 * (1 - curves["kept"])
    for number, (name, words) in enumerate(
        (("rejection", "largest deviation goes first"), ("best_rejection", "largest error goes first"))
    ):
        figure.add_trace(
            go.Scatter(
                x=rejected, y=curves[name] * factor, mode="lines+markers", xaxis="x2", yaxis="y2", name=words,
                marker=base.series_marker(number + 1, 1.0),
                line={"color": base.SERIES_COLOURS[number + 1], "width": 1.5},
                hovertemplate="%{x:.0f} % left out: RMS error %{y:.3g}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(
        xaxis={"domain": [0, 0.5 - _GAP / 2]},
        xaxis2={"domain": [0.5 + _GAP / 2, 1], "anchor": "y2", "title": {"text": "Left out (%)"}},
        yaxis2={"anchor": "x2", "title": {"text": axes[1].replace("RMS error", "RMS error of the rest")}},
        showlegend=True, margin_t=80, legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        dragmode=False,
    )  # fmt: skip
    figure.update_layout(yaxis2_rangemode="tozero")
    return figure


def coverages(table: pd.DataFrame, nominal: float, tolerance: float, ink: Ink, title: str, source: str) -> go.Figure:
    """Held-out coverage of each model with its bounds, beside the band of the nominal one.

    Args:
        table: label, coverage, held_out_lo, held_out_hi (of left-out clusters) and by_kind (of left-out
            configurations, each kind calibrated on its own), shares.
        nominal: Stated coverage.
        tolerance: Half the width of the band.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    left = 60 + int(6.4 * table["label"].str.len().max())
    figure = base.base_figure(ink, title, source, 190 + 22 * len(table), left=left)
    band = 100 * (nominal - tolerance), 100 * (nominal + tolerance)
    figure.add_vrect(x0=band[0], x1=band[1], fillcolor=ink.muted, opacity=0.18, line_width=0, layer="below")
    known = table[table["coverage"].notna()]
    figure.add_trace(
        go.Scatter(
            x=100 * known["coverage"], y=known["label"], mode="markers", name="new clusters",
            marker=base.series_marker(0, 1.0) | {"size": 9},
            error_x={
                "type": "data", "symmetric": False, "array": 100 * (known["held_out_hi"] - known["coverage"]),
                "arrayminus": 100 * (known["coverage"] - known["held_out_lo"]), "thickness": 1.2, "width": 3,
                "color": base.SERIES_COLOURS[0],
            },
            hovertemplate="%{y}: %{x:.1f} % of new clusters<extra></extra>",
        )
    )  # fmt: skip
    known = table[table["by_kind"].notna()]
    figure.add_trace(
        go.Scatter(
            x=100 * known["by_kind"], y=known["label"], mode="markers", name="new configurations, kind by kind",
            marker=base.series_marker(1, 1.0) | {"size": 9},
            hovertemplate="%{y}: %{x:.1f} % of new configurations<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(
        xaxis={"title": {"text": "Coverage (%)"}, "range": [55, 101]},
        yaxis={"autorange": "reversed", "tickfont": {"color": ink.text, "size": 12}, "dtick": 1},
        showlegend=True, margin_t=80, legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        dragmode=False,
    )  # fmt: skip
    return figure


def transfer_map(
    coverage: FloatArray, labels: Sequence[str], nominal: float, ink: Ink, title: str, source: str
) -> go.Figure:
    """Coverage on each dataset (columns) of intervals that were calibrated on another (rows).

    Args:
        coverage: Shares, shape (n_datasets, n_datasets); NaN where there is none.
        labels: Of the datasets.
        nominal: Stated coverage.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    left = 60 + int(6.4 * max(map(len, labels)))
    figure = base.base_figure(ink, title, source, 220 + 44 * len(labels), left=left)
    texts = [["" if np.isnan(value) else f"{100 * value:.0f}" for value in row] for row in coverage]
    figure.add_trace(
        go.Heatmap(
            z=100 * coverage, x=list(labels), y=list(labels), text=texts, texttemplate="%{text}", zmin=0, zmax=100,
            colorscale=_COVERAGE_SCALE, showscale=False, xgap=2, ygap=2, textfont={"size": 13, "color": "#1b1f24"},
            hovertemplate="calibrated on %{y}, tested on %{x}: %{z:.1f} %<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(
        xaxis={"title": {"text": "Tested on"}, "showgrid": False, "tickfont": {"color": ink.text}},
        yaxis={
            "title": {"text": "Calibrated on"}, "autorange": "reversed", "showgrid": False,
            "tickfont": {"color": ink.text},
        },
        dragmode=False,
    )  # fmt: skip
    return figure
