"""Expected errors of models for what a visitor asked, as intervals."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.figures import base
from app.figures.base import Ink
from engine.quantities import METRICS, QUANTITIES, interval, significant

ROW_HEIGHT = 26
BEST_COLOUR = base.ARCHITECTURE_COLOURS["sevennet"]
_FAR = 5.0  # times the smallest upper end; what is worse would squeeze all others, so its bar is cut


def expected_errors(table: pd.DataFrame, quantity: str, ink: Ink, title: str, source: str) -> go.Figure:
    """Interval of each model from zero to its upper end, with the median and the RMSE; the recommended ones coloured.

    Args:
        table: Compared models in order, at least one: label, is_best, rank, rank_hi, and median, high and rmse in
            display units; median and high are missing where there is no interval.
        quantity: `force` or `energy`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    high = table["high"].to_numpy(dtype=float)
    ends = table[["high", "rmse"]].max(axis=1).to_numpy(dtype=float)
    limit = float(min(ends.max() * 1.02, _FAR * ends.min()))
    unit = QUANTITIES[METRICS[quantity].rmse].unit
    rows = list(range(len(table)))
    figure = base.base_figure(ink, title, source, 190 + ROW_HEIGHT * len(table), left=235, right=16)
    figure.add_trace(
        go.Bar(
            orientation="h", y=rows, x=[min(value, limit) if value == value else 0 for value in high],
            marker={"color": [BEST_COLOUR if best else base.OTHER_COLOUR for best in table["is_best"]],
                    "opacity": 0.45, "line": {"width": 0}},
            name="90 % of configurations", hovertext=[_hover(row, unit) for row in table.itertuples()],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )  # fmt: skip
    for name, column, symbol in (("half of them", "median", "line-ns-open"), ("RMSE where compared", "rmse", "circle")):
        values = table[column].where(table[column] <= limit)
        figure.add_trace(
            go.Scatter(
                x=values, y=rows, mode="markers", name=name, hoverinfo="skip",
                marker={"symbol": symbol, "size": 12 if column == "median" else 7, "color": ink.text,
                        "line": {"width": 2, "color": ink.text}},
            )
        )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=[min(value, limit) for value in ends], y=rows, mode="text", showlegend=False, hoverinfo="skip",
            text=[f"\u2002{significant(value)}" + (" →" if end > limit else "")
                  for value, end in zip(high, ends, strict=True)],
            textposition="middle right", textfont={"color": ink.text, "size": 12}, cliponaxis=False,
        )
    )  # fmt: skip
    heads = [
        f"<span style='color:{ink.muted}'>{interval(row.rank, row.rank_hi)}</span>\u2002"
        + (f"<b>{row.label}</b>" if row.is_best else str(row.label))
        for row in table.itertuples()
    ]
    figure.update_yaxes(
        range=[len(rows) - 0.5, -0.5], tickvals=rows, ticktext=heads, tickfont={"color": ink.text, "size": 12},
        showgrid=False, ticks="", fixedrange=True,
    )  # fmt: skip
    what = {"force": "Force RMSE", "energy": "Energy error"}[quantity]  # of a configuration; short for narrow windows
    figure.update_xaxes(range=[0, 1.16 * limit], title={"text": f"{what} ({unit})"}, fixedrange=True)
    figure.update_layout(dragmode=False, bargap=0.3, showlegend=True)
    base.legend_above(figure, 3)
    return figure


def _hover(row: Any, unit: str) -> str:
    """One model's interval in words."""
    return (
        f"<b>{row.label}</b><br>90 % of configurations: up to {significant(row.high)} {unit}"
        f"<br>half of them: up to {significant(row.median)} {unit}"
        f"<br>RMSE where compared: {significant(row.rmse)} {unit}"
    )
