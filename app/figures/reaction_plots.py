"""Figures of interaction energies: parity by system and model, and how far the errors of the parts cancel."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from plotly.subplots import make_subplots

from app.figures import base
from app.figures.base import Ink
from engine.quantities import QUANTITIES, significant

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#8a949e")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "pentagon", "star", "x", "hexagram")
SMALLEST = 0.1  # meV: below this, float32 total energies of a hundred atoms are noise

_PANELS_PER_ROW = 3
_PANEL_HEIGHT = 340
_SINGLE_HEIGHT = 480
_LEGEND_WIDTH = 150


def parity(
    table: pd.DataFrame, model_ids: Sequence[str], systems: Sequence[str], ink: Ink, title: str, source: str
) -> go.Figure:
    """Predicted against reference interaction energies: one panel a model, one colour and symbol a system.

    Args:
        table: Rows of `queries.interaction_energies`.
        model_ids: One panel each, in this order; all of them are in the table.
        systems: All systems of the set, so that a system keeps its colour whatever is shown.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    n_columns = 2 if len(model_ids) == 4 else min(len(model_ids), _PANELS_PER_ROW)
    n_rows = -(-len(model_ids) // n_columns)
    height = 150 + (_SINGLE_HEIGHT - 70 if n_rows == n_columns == 1 else n_rows * _PANEL_HEIGHT)
    labels = dict(zip(table["model_id"], table["label"], strict=True))
    figure = make_subplots(
        rows=n_rows,
        cols=n_columns,
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.09 if n_rows > 1 else 0.0,
        figure=base.base_figure(ink, title, source, height, left=76, right=_LEGEND_WIDTH),
    )
    low, high = _limits(table)
    listed: set[str] = set()
    for number, model_id in enumerate(model_ids):
        place = {"row": number // n_columns + 1, "col": number % n_columns + 1}
        figure.add_trace(_line((low, high), (low, high), ink), **place)
        if len(model_ids) > 1:
            # The titles of make_subplots would take the place of the source line.
            head = {"text": labels[model_id], "showarrow": False, "font": {"size": 13, "color": ink.text}}
            figure.add_annotation(head, x=0.5, y=1, xref="x domain", yref="y domain", yanchor="bottom", **place)
        here = table[table["model_id"] == model_id]
        for system in systems:
            rows = here[here["system"] == system]
            if len(rows):
                figure.add_trace(_points(rows, system, systems.index(system), ink, system not in listed), **place)
                listed.add(system)
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(range=[low, high], zeroline=True, zerolinecolor=ink.muted, zerolinewidth=1)
    figure.update_xaxes(title_text=QUANTITIES["reference_interaction"].title(), row=n_rows)
    figure.update_yaxes(title_text=QUANTITIES["predicted_interaction"].title(), col=1)
    _legend(figure)
    return figure


def cancellation(table: pd.DataFrame, model_ids: Sequence[str], ink: Ink, title: str, source: str) -> go.Figure:
    """Size of the error of an interaction energy against the errors of its parts.

    Args:
        table: Rows of `queries.interaction_energies`.
        model_ids: One colour and symbol each, in this order; all of them are in the table.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    figure = base.base_figure(ink, title, source, 630, left=76, right=_LEGEND_WIDTH)
    parts, errors = _in_mev(table, "part_error_rss"), _in_mev(table, "interaction_error")
    x_span, y_span = base.log_span(parts, parts, 0.05), base.log_span(errors, errors, 0.05)
    ends = max(x_span[0], y_span[0]), min(x_span[1], y_span[1])
    if ends[0] < ends[1]:
        figure.add_trace(_line(10 ** np.array(ends), 10 ** np.array(ends), ink))
        near_end = 0.15 * ends[0] + 0.85 * ends[1]
        figure.add_annotation(
            x=near_end,
            y=near_end,
            text="independent",
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            xshift=-6,
            font={"size": 11, "color": ink.muted},
        )
    for number, model_id in enumerate(model_ids):
        rows = table[table["model_id"] == model_id]
        figure.add_trace(
            go.Scatter(
                x=_in_mev(rows, "part_error_rss"),
                y=_in_mev(rows, "interaction_error"),
                mode="markers",
                name=str(rows["label"].iloc[0]),
                marker={
                    "size": 8,
                    "opacity": 0.8,
                    "color": base.model_colour(model_id),
                    "symbol": SYMBOLS[number % len(SYMBOLS)],
                    "line": {"color": ink.muted, "width": 1},
                },
                hovertext=[_hover(row) for _, row in rows.iterrows()],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    base.log_axis(figure, "x", x_span, QUANTITIES["part_error_rss"].title())
    base.log_axis(figure, "y", y_span, f"Size of the {_lower(QUANTITIES['interaction_error'].title())}")
    _legend(figure)
    return figure


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    values = table[["reference_interaction", "predicted_interaction"]].to_numpy(dtype=float)
    low, high = float(values.min()), float(values.max())
    pad = 0.05 * (high - low) or 0.1
    return low - pad, high + pad


def _line(x: ArrayLike, y: ArrayLike, ink: Ink) -> go.Scatter:
    return go.Scatter(
        x=np.asarray(x),
        y=np.asarray(y),
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        line={"color": ink.muted, "width": 1, "dash": "dash"},
    )


def _points(rows: pd.DataFrame, system: str, number: int, ink: Ink, is_listed: bool) -> go.Scatter:
    return go.Scatter(
        x=rows["reference_interaction"],
        y=rows["predicted_interaction"],
        mode="markers",
        name=system,
        legendgroup=system,
        showlegend=is_listed,
        marker={
            "size": 8,
            "opacity": 0.85,
            "color": COLOURS[number % len(COLOURS)],
            "symbol": SYMBOLS[number % len(SYMBOLS)],
            "line": {"color": ink.background, "width": 0.5},
        },
        hovertext=[_hover(row) for _, row in rows.iterrows()],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _legend(figure: go.Figure) -> None:
    figure.update_layout(
        showlegend=True, dragmode="zoom", legend={"x": 1.01, "xanchor": "left", "y": 1, "tracegroupgap": 2}
    )


def _in_mev(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Sizes in meV, at least `SMALLEST`, for a logarithmic axis."""
    sizes: NDArray[np.float64] = np.abs(table[column].to_numpy(dtype=float)) * 1000.0
    return np.maximum(sizes, SMALLEST)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _hover(row: pd.Series) -> str:
    sizes = ", ".join(f"{error * 1000:+.0f}" for _, _, error in row["part_errors"])
    return (
        f"<b>{row['system']}</b>, {row['added']}, {row['environment']}, {row['place']}<br>{row['label']}"
        f"<br>reference {row['reference_interaction']:.3f} eV, predicted {row['predicted_interaction']:.3f} eV"
        f"<br>error {row['interaction_error'] * 1000:+.0f} meV, of the parts {sizes} meV"
        f"<br>cancellation ratio {significant(row['cancellation'], 2)}"
    )
