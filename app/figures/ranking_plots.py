"""Models in the order of their errors over a union of datasets, and the best model of each dataset, as bars."""

import itertools
import textwrap
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.figures import base
from app.figures.base import Ink
from engine.quantities import METRICS, QUANTITIES, interval, significant
from engine.queries.training import SEEN_MARK
from engine.queries.unions import MEAN, POOLED

ROW_HEIGHT = 26
NAME_WIDTH = 24  # characters of a line beside a bar
BEST_ROW_HEIGHT = 42
BEST_WIDTH = 330  # pixels of the plot, so that the name beside the longest bar has room
BAR_COLOUR = base.ARCHITECTURE_COLOURS["sevennet"]
LINES = {"energy": (5.0, 10.0), "force": (70.0,)}  # meV/atom and meV/Å, as in Figure 3 of the paper
AVERAGES = {POOLED: "pooled over configurations", MEAN: "mean over datasets"}

_ROOM = 1.16  # beside the longest bar, for its number
_FAR = 4.0  # times the median error; what is worse would squeeze all others, so its bar is cut


def ranking_bars(
    table: pd.DataFrame, quantity: str, how: str, ink: Ink, title: str, source: str, *, with_other: bool
) -> go.Figure:
    """RMSE of ranked models with 95 % bounds and intervals of ranks, the best first.

    Models trained on MPtrj alone have red names and hatched red bars.

    Args:
        table: Ranked rows of `unions.UnionRanking.models` with at least one model.
        quantity: `energy` or `force`.
        how: `pooled` or `mean`: what bars show and what models are ordered by.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
        with_other: Whether a diamond shows the other average.
    """
    table = table.sort_values([f"{how}_rmse", "label"], ignore_index=True)
    other = MEAN if how == POOLED else POOLED
    values = table[f"{how}_rmse"].to_numpy(dtype=float)
    limit = _limit(values)
    figure = base.base_figure(ink, title, source, 170 + ROW_HEIGHT * len(table), left=235, right=16)
    figure.add_trace(_ranked_bars(table, quantity, how, limit, ink))
    ends = np.minimum(np.fmax(values, table[f"{how}_rmse_hi"].to_numpy(dtype=float)), limit)
    if with_other:
        others = table[f"{other}_rmse"].to_numpy(dtype=float)
        figure.add_trace(_other_average(np.where(others <= limit, others, np.nan), other, ink))
        ends = np.fmax(ends, np.minimum(others, limit))
    texts = [significant(value) + (" →" if value > limit else "") for value in values]
    figure.add_trace(_texts(ends, texts, ink))
    heads = [_head(row, how, ink) for row in table.itertuples()]
    _finish(figure, heads, _ROOM * limit, QUANTITIES[METRICS[quantity].rmse].title(), ink)
    return figure


def _limit(values: NDArray[np.float64]) -> float:
    """Where bars end: at the longest, but not far beyond the errors of most."""
    return float(min(values.max() * 1.25, max(_FAR * float(np.median(values)), values.min() * 1.25)))


def _ranked_bars(table: pd.DataFrame, quantity: str, how: str, limit: float, ink: Ink) -> go.Bar:
    values = table[f"{how}_rmse"].to_numpy(dtype=float)
    shown = np.minimum(values, limit)
    high = np.minimum(table[f"{how}_rmse_hi"].to_numpy(dtype=float), limit) - shown
    low = shown - table[f"{how}_rmse_lo"].to_numpy(dtype=float)
    has_bounds = np.isfinite(high) & np.isfinite(low) & (values <= limit)
    is_red = table["is_mptrj_only"].to_numpy(dtype=bool)
    return go.Bar(
        orientation="h",
        y=list(range(len(table))),
        x=shown,
        marker={
            "color": np.where(is_red, ink.alarm, BAR_COLOUR).tolist(),
            "opacity": 0.8,
            "line": {"width": 0},
            "pattern": {
                "shape": np.where(is_red, "/", "").tolist(), "fillmode": "overlay", "fgcolor": ink.background,
                "size": 8, "solidity": 0.25,
            },
        },
        error_x={
            "type": "data", "symmetric": False, "array": np.where(has_bounds, high, 0.0),
            "arrayminus": np.where(has_bounds, low, 0.0), "color": ink.text, "thickness": 1, "width": 3,
        },
        hovertext=[_ranked_hover(row, quantity) for _, row in table.iterrows()],
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip


def _other_average(values: NDArray[np.float64], how: str, ink: Ink) -> go.Scatter:
    return go.Scatter(
        x=values,
        y=list(range(len(values))),
        mode="markers",
        name=AVERAGES[how],
        marker={"symbol": "diamond-open", "size": 9, "color": ink.text, "line": {"width": 1.5}},
        hovertemplate=f"{AVERAGES[how]}: %{{x:.3g}}<extra></extra>",
    )


def _texts(ends: NDArray[np.float64], texts: list[str], ink: Ink) -> go.Scatter:
    """Words right of bars and their bounds."""
    return go.Scatter(
        x=ends,
        y=list(range(len(texts))),
        mode="text",
        text=[f"\u2002{text}" for text in texts],
        textposition="middle right",
        textfont={"color": ink.text, "size": 12},
        cliponaxis=False,
        hoverinfo="skip",
    )


def _head(row: Any, how: str, ink: Ink) -> str:
    """Name of a model with the interval of its rank."""
    ranks = interval(getattr(row, f"{how}_rank"), getattr(row, f"{how}_rank_hi"))
    name = row.label + (f" {base.IMPORTED_MARK}" if "imported" in row.origin else "")
    name += f" {SEEN_MARK}" if row.is_seen else ""
    name = f"<span style='color:{ink.alarm}'>{name}</span>" if row.is_mptrj_only else name
    return f"<span style='color:{ink.muted}'>{ranks}</span>\u2002{name}"


def _ranked_hover(row: pd.Series, quantity: str) -> str:
    unit = QUANTITIES[METRICS[quantity].rmse].unit
    lines = [f"<b>{row['label']}</b> ({row['origin']})", f"trained on {' + '.join(row['training_sets']) or 'no set'}"]
    for how, words in AVERAGES.items():
        low, high = significant(row[f"{how}_rmse_lo"]), significant(row[f"{how}_rmse_hi"])
        ranks = interval(row[f"{how}_rank"], row[f"{how}_rank_hi"])
        lines.append(f"{words}: {significant(row[f'{how}_rmse'])} {unit} ({low} to {high}), rank {ranks}")
    return "<br>".join([*lines, f"n = {row['n_configs']:,} configurations"])


def _finish(figure: go.Figure, heads: list[str], end: float, title: str, ink: Ink) -> None:
    """Axes of a figure with one row per head."""
    figure.update_yaxes(
        range=[len(heads) - 0.5, -0.5],
        tickvals=list(range(len(heads))),
        ticktext=heads,
        tickfont={"color": ink.text, "size": 12},
        showgrid=False,
        ticks="",
        fixedrange=True,
    )
    figure.update_xaxes(range=[0, end], title={"text": title}, fixedrange=True)
    figure.update_layout(dragmode=False, bargap=0.3)


def best_bars(table: pd.DataFrame, quantity: str, ink: Ink, title: str, source: str) -> go.Figure:
    """The lowest RMSE on each dataset (or kind of structure) with the name of the model that reaches it.

    Args:
        table: head (of the row), label (of the best model), origin, is_seen, rmse with rmse_lo and rmse_hi (meV/atom
            or meV/Å), n_configs, n_expected, n_models (ranked) and `tied`, the labels of models that cannot be told
            apart from the best; at least one row.
        quantity: `energy` or `force`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    values = table["rmse"].to_numpy(dtype=float)
    limit = float(max(np.nanmax(values), 1.2 * max(LINES[quantity])))
    high = table["rmse_hi"].to_numpy(dtype=float)
    ends = np.fmax(values, np.minimum(high, limit))
    lines = [textwrap.wrap(head, NAME_WIDTH) or [""] for head in table["head"]]
    left = 30 + 7 * max(len(line) for line in [*itertools.chain(*lines), "1,000 of 1,000"])
    figure = base.base_figure(ink, title, source, 180 + BEST_ROW_HEIGHT * len(table), left=left, right=16)
    base.set_least_width(figure, left + BEST_WIDTH)
    bounds = np.where(np.isfinite(high), ends - values, 0.0)
    below = np.where(np.isfinite(high), values - table["rmse_lo"].to_numpy(dtype=float), 0.0)
    figure.add_trace(
        go.Bar(
            orientation="h",
            y=list(range(len(table))),
            x=values,
            marker={"color": BAR_COLOUR, "opacity": 0.8, "line": {"width": 0}},
            error_x={
                "type": "data", "symmetric": False, "array": bounds, "arrayminus": below, "color": ink.text,
                "thickness": 1, "width": 3,
            },
            hovertext=[_best_hover(row, quantity) for row in table.itertuples()],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )  # fmt: skip
    _paper_lines(figure, quantity, ink)
    for k, row in enumerate(table.itertuples()):  # on a ground of their own, since the lines pass below
        figure.add_annotation(
            text=_best_text(row, ink), x=ends[k], y=k, xshift=6, xanchor="left", showarrow=False, align="left",
            bgcolor=ink.background, font={"color": ink.text, "size": 12}, borderpad=0,
        )  # fmt: skip
    heads = [f"{'<br>'.join(head)}<br><span style='font-size:10px;color:{ink.muted}'>{row.n_configs:,} of "
             f"{row.n_expected:,}</span>" for head, row in zip(lines, table.itertuples(), strict=True)]  # fmt: skip
    _finish(figure, heads, 2.5 * limit, QUANTITIES[METRICS[quantity].rmse].title(), ink)
    return figure


def _paper_lines(figure: go.Figure, quantity: str, ink: Ink) -> None:
    """The lines of the paper, with their values above the plot."""
    unit = QUANTITIES[METRICS[quantity].rmse].unit
    for k, line in enumerate(LINES[quantity]):
        is_last = k + 1 == len(LINES[quantity])
        figure.add_vline(
            x=line,
            line={"color": ink.accent, "width": 1.5, "dash": "dash"},
            layer="below",
        )
        figure.add_annotation(
            text=f"{line:g} {unit}" if is_last else f"{line:g}", x=line, y=1, yref="paper", showarrow=False,
            xanchor="left" if is_last else "right", yanchor="bottom", font={"color": ink.accent, "size": 11},
        )  # fmt: skip


def _best_text(row: Any, ink: Ink) -> str:
    name = row.label + (f" {base.IMPORTED_MARK}" if "imported" in row.origin else "")
    name += f" {SEEN_MARK}" if row.is_seen else ""
    lines = textwrap.wrap(f"{significant(row.rmse)} {name}", NAME_WIDTH)  # a narrow window has no room for more
    lines[0] = f"<b>{significant(row.rmse)}</b>{lines[0].removeprefix(significant(row.rmse))}"
    if len(row.tied):
        tied = f"<span style='font-size:10px;color:{ink.muted}'>or {len(row.tied)} more</span>"
        lines = [lines[0], tied] if len(lines) == 1 else [*lines[:-1], f"{lines[-1]} {tied}"]
    return "<br>".join(lines)


def _best_hover(row: Any, quantity: str) -> str:
    unit = QUANTITIES[METRICS[quantity].rmse].unit
    tied = f"<br>not told apart from it: {base.wrapped(', '.join(row.tied))}" if len(row.tied) else ""
    return (
        f"<b>{row.head}</b><br>{row.label}: {significant(row.rmse)} {unit} "
        f"({significant(row.rmse_lo)} to {significant(row.rmse_hi)})"
        f"<br>n = {row.n_configs:,} of {row.n_expected:,}, {row.n_models} ranked models{tied}"
    )
