"""Errors of several models by group of structures, one row a group."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.figures import base
from app.figures.base import Ink
from engine.quantities import METRICS, QUANTITIES


def group_errors(table: pd.DataFrame, quantity: str, ink: Ink, title: str, source: str) -> go.Figure:
    """One mark per model and group on a logarithmic axis; specialised models are open diamonds.

    Args:
        table: label, group_name, n_configs, is_specialised and the RMSE of the quantity.
        quantity: `energy` or `force`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    column = METRICS[quantity].rmse
    table = table[table[column] > 0]
    sizes = table.groupby("group_name")["n_configs"].max()
    models = list(dict.fromkeys(table["label"]))
    room = 20 * len(models)  # a narrow window has a line for each
    left = max(150, 7 * max(len(f"{name} ({n:,})") for name, n in sizes.items()))
    figure = base.base_figure(ink, title, source, 190 + room + 34 * len(sizes), left=left)
    for number, label in enumerate(models):
        rows = table[table["label"] == label]
        is_open = bool(rows["is_specialised"].iloc[0])
        colour = base.SERIES_COLOURS[number % len(base.SERIES_COLOURS)]
        figure.add_trace(
            go.Scatter(
                x=rows[column],
                y=[f"{name} ({sizes[name]:,})" for name in rows["group_name"]],
                mode="markers",
                name=label,
                marker={
                    "size": 12 if is_open else 10, "color": colour, "symbol": "diamond-open" if is_open else "circle",
                    "line": {"width": 2 if is_open else 0.5, "color": colour if is_open else ink.muted},
                },
                hovertemplate=f"<b>{label}</b><br>%{{y}}: %{{x:.3g}} {QUANTITIES[column].unit}<extra></extra>",
            )
        )  # fmt: skip
    span = base.log_span(np.asarray(table[column]), np.asarray(table[column]), 0.05)
    base.log_axis(figure, "x", span, QUANTITIES[column].title())
    figure.update_yaxes(autorange="reversed", fixedrange=True)
    figure.update_layout(
        showlegend=True, margin_t=52 + room, dragmode=False,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )  # fmt: skip
    return figure
