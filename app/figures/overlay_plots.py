"""Predicted against reference energies of several models in one frame, positive energies marked."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from app.figures import base
from app.figures.base import Ink


def energy_overlay(
    table: pd.DataFrame, model_ids: Sequence[str], labels: Mapping[str, str], ink: Ink, title: str, source: str
) -> go.Figure:
    """Every configuration of up to five models, over the full range.

    Args:
        table: Rows of `queries.energy_overlay.energies`.
        model_ids: One colour and symbol each, in this order.
        labels: Names of the models.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    room = 22 * -(-len(model_ids) // 2)
    figure = base.base_figure(ink, title, source, 560 + room, left=76)
    x_span, y_span = _span(table["reference"]), _span(table["predicted"])
    for number, model_id in enumerate(model_ids):
        rows = table[table["model_id"] == model_id]
        figure.add_trace(
            go.Scattergl(
                x=rows["reference"],
                y=rows["predicted"],
                mode="markers",
                name=labels[model_id],
                marker=base.series_marker(number, 0.6),
                hovertext=rows["config_id"] + ", " + rows["group_name"],
                hovertemplate="%{hovertext}<br>reference %{x:.3f}, predicted %{y:.3f} eV/atom<extra></extra>",
            )
        )
    ends = [min(x_span[0], y_span[0]), max(x_span[1], y_span[1])]
    figure.add_trace(base.diagonal(ends, ink))
    if x_span[1] > 0:
        _mark_positive(figure, x_span, ink)
    figure.update_xaxes(range=x_span, title_text="Reference energy (eV/atom)")
    figure.update_yaxes(range=y_span, title_text="Predicted energy (eV/atom)")
    legend = {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "itemsizing": "constant"}
    figure.update_layout(showlegend=True, margin_t=52 + room, legend=legend, dragmode="zoom")
    return figure


def _span(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    pad = 0.04 * (high - low) or 0.01
    return low - pad, high + pad


def _mark_positive(figure: go.Figure, x_span: tuple[float, float], ink: Ink) -> None:
    """A band over the reference energies above zero, where atoms are less bound than free atoms."""
    figure.add_vrect(
        x0=max(0.0, x_span[0]), x1=x_span[1], fillcolor=ink.accent, opacity=0.12, line_width=0, layer="below"
    )
    figure.add_annotation(
        x=x_span[1], y=0.02, xref="x", yref="paper", text="reference above 0", showarrow=False, xanchor="right",
        font={"size": 11, "color": ink.accent},
    )  # fmt: skip
