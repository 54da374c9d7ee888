"""Error against an ensemble's spread, pooled over datasets."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.figures import base
from app.figures.base import Ink
from engine.quantities import QUANTITIES


def pooled_spread(
    table: pd.DataFrame, measure: str, quantity: str, labels: Mapping[str, str], ink: Ink, title: str, source: str
) -> go.Figure:
    """One point per sample, one colour and symbol per part.

    Args:
        table: Rows of `queries.pooled_spread.samples` with their part.
        measure: `deviation` or `standard_deviation`.
        quantity: `energy` or `force`.
        labels: Names of parts.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    spread, error = QUANTITIES[f"{quantity}_deviation"], QUANTITIES[f"{quantity}_error"]
    table = table[(table[measure] > 0) & (table["error"] > 0)]
    figure = base.base_figure(ink, title, source, 560)
    for number, (part, rows) in enumerate(table.groupby("part", sort=False)):
        figure.add_trace(
            go.Scattergl(
                x=rows[measure] * spread.factor,
                y=rows["error"] * error.factor,
                mode="markers",
                name=labels.get(str(part), str(part)),
                marker=base.series_marker(number, 0.5),
                hovertext=rows["config_id"] + " of " + rows["dataset_id"],
                hovertemplate="%{hovertext}<br>spread %{x:.3g}, error %{y:.3g}<extra></extra>",
            )
        )
    if len(table):
        x, y = table[measure] * spread.factor, table["error"] * error.factor
        spans = [base.log_span(np.quantile(values, [0.005]), np.asarray(values), 0.04) for values in (x, y)]
        ends = [10 ** max(span[0] for span in spans), 10 ** min(span[1] for span in spans)]
        figure.add_trace(base.diagonal(ends, ink))
        word = "Maximum deviation" if measure == "deviation" else "Standard deviation"
        base.log_axis(figure, "x", spans[0], f"{word} of the {quantity} ({spread.unit})")
        base.log_axis(figure, "y", spans[1], error.title())
    legend = {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}
    figure.update_layout(showlegend=True, margin_t=80, legend=legend, dragmode=False)
    return figure
