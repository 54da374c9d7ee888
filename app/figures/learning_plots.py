"""Learning curves of a specialised potential, and the sizes of training sets at which it passes other models."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.figures import base
from app.figures.base import Ink
from engine.quantities import METRICS, QUANTITIES, significant

SIZE_TITLE = "Configurations that it was trained on"
_ROW = 24  # pixels


def curves(
    table: pd.DataFrame,
    names: Mapping[str, str],
    models: pd.DataFrame,
    quantity: str,
    ink: Ink,
    title: str,
    source: str,
) -> go.Figure:
    """Error against the size of the training set, with bounds, and other models as horizontal lines.

    Args:
        table: Rows of `queries.learning.curves` with `series`, a key of `names`.
        names: Name to show of each series, in order; single sizes become marks.
        models: label and rmse of models that do not depend on the size.
        quantity: `energy` or `force`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    metric = QUANTITIES[METRICS[quantity].rmse]
    figure = base.base_figure(ink, title, source, 470)
    lowest = np.fmin(table["rmse_lo"], table["rmse"]).tolist() + models["rmse"].tolist()
    highest = np.fmax(table["rmse_hi"], table["rmse"]).tolist() + models["rmse"].tolist()
    x_span = base.log_span(table["n_train"], table["n_train"], 0.03)
    for row in models.itertuples():
        figure.add_trace(
            go.Scatter(
                x=[10 ** x_span[0], 10 ** x_span[1]], y=[row.rmse, row.rmse], mode="lines", showlegend=False,
                line={"color": ink.muted, "width": 1},
                hovertemplate=f"{row.label}: %{{y:.3g}} {metric.unit}<extra></extra>",
            )
        )  # fmt: skip
        figure.add_annotation(
            x=x_span[0], y=float(np.log10(row.rmse)), text=row.label, showarrow=False, xanchor="left", yanchor="bottom",
            xshift=4, font={"size": 11, "color": ink.text},
        )  # fmt: skip
    for number, (series, name) in enumerate(names.items()):
        rows = table[table["series"] == series].sort_values("n_train")
        if len(rows):
            figure.add_trace(_series(rows, name, number, metric.unit, ink))
    base.log_axis(figure, "x", x_span, SIZE_TITLE)
    base.log_axis(figure, "y", base.log_span(lowest, highest, 0.04), metric.title())
    base.legend_above(figure, 2 * len(names))  # names are long: one fits a line of a narrow window
    figure.update_layout(dragmode=False)
    return figure


def _series(rows: pd.DataFrame, name: str, number: int, unit: str, ink: Ink) -> go.Scatter:
    """One curve with its bounds."""
    colour = base.SERIES_COLOURS[number % len(base.SERIES_COLOURS)]
    value = rows["rmse"].to_numpy(dtype=float)
    low, high = np.fmin(rows["rmse_lo"], value), np.fmax(rows["rmse_hi"], value)
    return go.Scatter(
        x=rows["n_train"],
        y=value,
        mode="lines+markers" if len(rows) > 1 else "markers",
        name=name,
        line={"color": colour, "width": 2, "dash": base.SERIES_DASHES[number % len(base.SERIES_DASHES)]},
        marker={
            "size": 9, "color": colour, "symbol": base.SERIES_SYMBOLS[number % len(base.SERIES_SYMBOLS)],
            "line": {"width": 0.5, "color": ink.muted},
        },
        error_y={
            "type": "data", "symmetric": False, "array": high - value, "arrayminus": value - low, "color": colour,
            "thickness": 1, "width": 3,
        },
        hovertext=[
            f"<b>{name}</b><br>{significant(row.rmse)} {unit} ({significant(row.rmse_lo)} to "
            f"{significant(row.rmse_hi)})<br>trained on {row.n_train:,.0f} configurations"
            for row in rows.itertuples()
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip


def crossings(table: pd.DataFrame, largest: float, ink: Ink, title: str, source: str) -> go.Figure:
    """For every model the size of the training set from which on the potential is better, with its bounds.

    Args:
        table: Rows of `queries.learning.rivals`; a model that is not passed has an arrow at the largest size.
        largest: Size of the whole training set.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    height = 150 + _ROW * len(table)
    figure = base.base_figure(ink, title, source, height, left=190)
    size, low, high = (table[name].to_numpy(dtype=float) for name in ("n_train", "n_train_lo", "n_train_hi"))
    is_passed, is_early = np.isfinite(size), size <= table["smallest"].to_numpy(dtype=float)
    at = np.where(is_passed, size, largest)
    figure.add_trace(
        go.Scatter(
            x=at,
            y=table["label"],
            mode="markers",
            marker={
                "size": 11,
                "symbol": np.where(is_passed, np.where(is_early, "triangle-left", "circle"), "triangle-right").tolist(),
                "color": [base.model_colour(model_id) for model_id in table["model_id"]],
                "line": {"width": 0.5, "color": ink.muted},
            },
            error_x={
                "type": "data", "symmetric": False, "color": ink.muted, "thickness": 1, "width": 3,
                "array": np.minimum(high, largest) - at, "arrayminus": at - np.minimum(low, at),
            },
            hovertext=[_said(row) for row in table.itertuples()],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )  # fmt: skip
    base.log_axis(figure, "x", base.log_span(table["smallest"], [largest], 0.05), SIZE_TITLE)
    figure.update_yaxes(autorange="reversed", fixedrange=True)
    figure.update_layout(dragmode=False)
    return figure


def _said(row: Any) -> str:
    """What a mark means, for the pointer."""
    if not np.isfinite(row.n_train):
        return f"<b>{row.label}</b><br>not passed"
    if row.n_train <= row.smallest:
        return f"<b>{row.label}</b><br>passed with {row.smallest:,.0f} configurations or fewer"
    end = f"{row.n_train_hi:,.0f}" if np.isfinite(row.n_train_hi) else "more than all"
    cost = f"<br>about {significant(row.hours)} core hours of DFT" if np.isfinite(row.hours) else ""
    return f"<b>{row.label}</b><br>passed with {row.n_train:,.0f} configurations ({row.n_train_lo:,.0f} to {end}){cost}"
