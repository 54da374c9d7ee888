"""Figures of two models on the same configurations: how often each wins, and error against error."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.figures import base
from app.figures.base import Ink
from engine.quantities import METRICS, QUANTITIES, significant

ROW_HEIGHT = 26
MOST_POINTS = 20_000
_SYMBOLS = {True: "circle", False: "circle-open"}


def win_rates(
    table: pd.DataFrame, names: tuple[str, str], quantity: str, ink: Ink, title: str, source: str
) -> go.Figure:
    """Share of configurations on which the first model has the smaller error, with 95 % bounds, one row a part.

    A mark is filled where the bounds leave out one half. At the right are the numbers of configurations that the first
    model wins, of equal ones, and of those that the second one wins.

    Args:
        table: head (of the row) and the attributes of `engine.numerics.duels.Duel`; at least one row.
        names: Of the first and the second model.
        quantity: `energy` or `force`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    left = 40 + 7 * max(len(head) for head in table["head"])
    figure = base.base_figure(ink, title, source, 190 + ROW_HEIGHT * len(table), left=left, right=110)
    rows = list(range(len(table)))
    rate = table["win_rate"].to_numpy(dtype=float)
    low, high = (table[f"win_rate_{end}"].to_numpy(dtype=float) for end in ("lo", "hi"))
    is_sure = (low > 0.5) | (high < 0.5)
    figure.add_trace(
        go.Scatter(
            x=rate,
            y=rows,
            mode="markers",
            marker={
                "size": 10, "color": np.where(rate >= 0.5, base.SERIES_COLOURS[0], base.SERIES_COLOURS[1]).tolist(),
                "symbol": [_SYMBOLS[bool(sure)] for sure in is_sure], "line": {"width": 1.5},
            },
            error_x={
                "type": "data", "symmetric": False, "array": np.nan_to_num(high - rate),
                "arrayminus": np.nan_to_num(rate - low), "color": ink.muted, "thickness": 1.2, "width": 4,
            },
            hovertext=[_hover(row, names, quantity) for row in table.itertuples()],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )  # fmt: skip
    for k, row in enumerate(table.itertuples()):
        n_losses = row.n_configs - row.n_wins - row.n_ties
        figure.add_annotation(
            text=f"{row.n_wins:,} · {row.n_ties:,} · {n_losses:,}", x=1, xref="paper", y=k, xanchor="left", xshift=8,
            showarrow=False, font={"size": 12, "color": ink.muted},
        )  # fmt: skip
    figure.add_vline(x=0.5, line={"color": ink.muted, "width": 1, "dash": "dash"}, layer="below")
    figure.update_xaxes(
        range=[-0.02, 1.02], tickformat=".0%", fixedrange=True,
        title={"text": f"Configurations where {names[0]} has the smaller error"},
    )  # fmt: skip
    figure.update_yaxes(
        range=[len(table) - 0.5, -0.5], tickvals=rows, ticktext=table["head"].tolist(), ticks="", fixedrange=True,
        tickfont={"color": ink.text, "size": 12},
    )  # fmt: skip
    figure.update_layout(dragmode=False)
    return figure


def _hover(row: Any, names: tuple[str, str], quantity: str) -> str:
    unit = QUANTITIES[METRICS[quantity].rmse].unit
    bounds = (
        f"95 %: {row.win_rate_lo:.0%} to {row.win_rate_hi:.0%}"
        if np.isfinite(row.win_rate_lo)
        else f"{row.n_clusters} clusters, too few for bounds"
    )
    return (
        f"<b>{row.head}</b><br>{names[0]} has the smaller error on {row.win_rate:.0%} ({bounds})"
        f"<br>RMSE {significant(row.rmse_first)} against {significant(row.rmse_second)} {unit}"
        f"<br>n = {row.n_configs:,} configurations in {row.n_clusters} clusters"
    )


def error_pairs(
    table: pd.DataFrame,
    names: tuple[str, str],
    quantity: str,
    ink: Ink,
    title: str,
    source: str,
    *,
    marked: str | None = None,
) -> go.Figure:
    """Error of one model against that of the other, one point a configuration; above the diagonal the first is better.

    Args:
        table: config_id, dataset_id, kind_label, formula, first and second (meV/atom or meV/Å, positive).
        names: Of the first and the second model.
        quantity: `energy` or `force`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
        marked: Configuration that is drawn with a ring.
    """
    unit = QUANTITIES[METRICS[quantity].rmse].unit
    figure = base.base_figure(ink, title, source, 560)
    values = table[["first", "second"]].to_numpy(dtype=float)
    span = base.log_span(values, values, 0.04)
    figure.add_trace(base.diagonal([10 ** span[0], 10 ** span[1]], ink))
    for number, (kind, part) in enumerate(table.groupby("kind_label", sort=False)):
        figure.add_trace(
            go.Scatter(
                x=part["first"], y=part["second"], mode="markers", name=str(kind),
                marker=base.series_marker(number, 0.7) | {"size": 7},
                selected={"marker": {"opacity": 0.7}}, unselected={"marker": {"opacity": 0.7}},
                customdata=part[["config_id", "dataset_id", "formula"]].to_numpy(),
                hovertemplate=f"<b>%{{customdata[0]}}</b> %{{customdata[2]}}<br>{names[0]}: %{{x:.3g}} {unit}<br>"
                f"{names[1]}: %{{y:.3g}} {unit}<extra>{kind}</extra>",
            )
        )  # fmt: skip
    ring = table[table["config_id"] == marked]
    figure.add_trace(
        go.Scatter(
            x=ring["first"], y=ring["second"], mode="markers", hoverinfo="skip", showlegend=False,
            marker={"size": 16, "color": "rgba(0,0,0,0)", "line": {"width": 2.5, "color": ink.accent}},
        )
    )  # fmt: skip
    noun = "Energy error" if quantity == "energy" else "Force RMSE"
    base.log_axis(figure, "x", span, f"{noun} of {names[0]} ({unit})")
    base.log_axis(figure, "y", span, f"{noun} of {names[1]} ({unit})")
    for text, x, y, anchors in (
        (f"{names[0]} is better", 0.02, 0.98, ("left", "top")),
        (f"{names[1]} is better", 0.98, 0.02, ("right", "bottom")),
    ):
        figure.add_annotation(
            text=text, x=x, y=y, xref="paper", yref="paper", xanchor=anchors[0], yanchor=anchors[1], showarrow=False,
            font={"size": 12, "color": ink.muted}, bgcolor=ink.background, opacity=0.85,
        )  # fmt: skip
    base.legend_above(figure, int(table["kind_label"].nunique()))
    return figure
