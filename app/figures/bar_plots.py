"""Errors of one model, dataset by dataset: energies and forces side by side."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.figures import base
from app.figures.base import Ink
from engine.quantities import METRICS, QUANTITIES, significant

ROW_HEIGHT = 40
_PANELS = {"energy": ("x", (0.0, 0.47)), "force": ("x2", (0.53, 1.0))}
_ROOM = 1.4  # beside the longest bar, for its number


def dataset_bars(table: pd.DataFrame, ink: Ink, title: str, source: str, *, colour: str) -> go.Figure:
    """Energy and force RMSE with 95 % bounds on each dataset.

    Bars end at the limit beyond which a model is useless, and say their value.

    Args:
        table: head (of the row), n_configs, n_failed, n_outside, n_expected, why_not_energy and why_not_force (why the
            model has no rank by that error whatever others do; empty where it may have one, else the bar is grey), both
            RMSE with bounds, NaN where no configuration has a result, and the noise of both references, NaN where not
            measured.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
        colour: Of the bars.
    """
    figure = base.base_figure(ink, title, source, 190 + ROW_HEIGHT * len(table), left=210, right=16)
    base.set_least_width(figure, 620)
    for quantity, (axis, domain) in _PANELS.items():
        column = METRICS[quantity].rmse
        limit = _limit(table, quantity)
        bars = _bars(table, quantity, axis, limit, ink, colour)
        noise = _noise_of(table, quantity)
        noise = noise.where((noise <= limit) & _is_meant(table, quantity)).to_numpy()
        figure.add_trace(bars)
        figure.add_trace(_numbers(table, column, bars, noise, limit, ink))
        figure.add_trace(_noise_ticks(noise, axis, ink))
        figure.update_layout(
            {
                f"{axis[0]}axis{axis[1:]}": {
                    "domain": domain,
                    "range": [0, _ROOM * limit],
                    "title": {"text": QUANTITIES[column].title()},
                    "fixedrange": True,
                }
            }
        )
    figure.update_yaxes(
        range=[len(table) - 0.5, -0.5],
        tickvals=list(range(len(table))),
        ticktext=[_head(row, ink) for _, row in table.iterrows()],
        tickfont={"color": ink.text, "size": 13},
        showgrid=False,
        ticks="",
        fixedrange=True,
    )
    figure.update_layout(dragmode=False, bargap=0.35)
    return figure


def _limit(table: pd.DataFrame, quantity: str) -> float:
    """End of the axis: the longest comparable bar or noise tick, within the limits of the quantity."""
    low, high = base.LIMITS[quantity]
    column = METRICS[quantity].rmse
    longest = np.fmax(
        table.loc[_is_meant(table, quantity), [column, f"{column}_hi"]].max(axis=None, skipna=True),
        _noise_of(table, quantity).max(),
    )
    return float(np.clip(longest, low, high)) if np.isfinite(longest) else high


def _bars(table: pd.DataFrame, quantity: str, axis: str, limit: float, ink: Ink, colour: str) -> go.Bar:
    column = METRICS[quantity].rmse
    values = table[column].to_numpy(dtype=float)
    is_cut = values > limit
    shown = np.where(np.isfinite(values), np.minimum(values, limit), 0.0)
    high = np.clip(table[f"{column}_hi"].to_numpy(dtype=float), shown, limit) - shown
    low = shown - np.minimum(table[f"{column}_lo"].to_numpy(dtype=float), shown)
    has_bounds = np.isfinite(high) & np.isfinite(low) & ~is_cut
    is_meant = _is_meant(table, quantity).to_numpy()
    is_part = (table["n_configs"] < table["n_expected"]).to_numpy(dtype=bool)
    return go.Bar(
        orientation="h",
        y=list(range(len(table))),
        x=shown,
        xaxis=axis,
        marker={
            "color": np.where(is_meant, colour, ink.tile).tolist(),
            "opacity": 0.75,  # bounds and noise are drawn over it, white ones in the dark theme
            "line": {"color": ink.muted, "width": 1},
            "pattern": {
                "shape": np.where(is_part, "/", "").tolist(),
                "fillmode": "overlay",
                "fgcolor": ink.background,
                "size": 8,
                "solidity": 0.25,
            },
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": np.where(has_bounds, high, 0.0),
            "arrayminus": np.where(has_bounds, low, 0.0),
            "color": ink.text,
            "thickness": 1,
            "width": 3,
        },
        hovertext=[_hover(row, column, quantity) for _, row in table.iterrows()],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _is_meant(table: pd.DataFrame, quantity: str) -> pd.Series:
    """Whether each number may be ranked."""
    return table[f"why_not_{quantity}"].eq("")


def _noise_of(table: pd.DataFrame, quantity: str) -> pd.Series:
    """Noise of each reference in display units; NaN where it is not known."""
    column = METRICS[quantity].noise
    return table[column].astype(float) * QUANTITIES[column].factor


def _noise_ticks(noise: NDArray[np.float64], axis: str, ink: Ink) -> go.Scatter:
    """A line across each bar at the noise of its reference, longer than the caps of the bounds."""
    return go.Scatter(
        x=noise,
        y=list(range(len(noise))),
        xaxis=axis,
        mode="markers",
        marker={"symbol": "line-ns", "size": 32, "line": {"color": ink.text, "width": 1.5}},
        name="noise",
        hovertemplate=f"{base.NOISE_LABEL}: %{{x:.3g}}<extra></extra>",
    )


def _numbers(
    table: pd.DataFrame, column: str, bars: go.Bar, noise: NDArray[np.float64], limit: float, ink: Ink
) -> go.Scatter:
    """The values, right of bars, bounds and noise, since a bar's own text would cover its bounds."""
    return go.Scatter(
        x=np.fmax(np.asarray(bars.x) + np.asarray(bars.error_x.array), noise),
        y=bars.y,
        xaxis=bars.xaxis,
        mode="text",
        text=[f"\u2002{_text(row, column, limit)}" for _, row in table.iterrows()],
        textposition="middle right",
        textfont={"color": ink.text, "size": 12},
        cliponaxis=False,
        hoverinfo="skip",
    )


def _text(row: pd.Series, column: str, limit: float) -> str:
    value = row[column]
    if not np.isfinite(value):
        return "no value" if row["n_configs"] else f"all {base.lacking(row)}"
    shown = f"{value / 1000:,.0f}k" if value >= 10_000 else significant(value)
    return f"{shown} →" if value > limit else shown


def _head(row: pd.Series, ink: Ink) -> str:
    n = ", ".join(filter(None, [f"{row['n_configs']:,} of {row['n_expected']:,}", base.lacking(row)]))
    return f"{row['head']}<br><span style='font-size:11px;color:{ink.muted}'>{n}</span>"


def _hover(row: pd.Series, column: str, kind: str) -> str:
    quantity = QUANTITIES[column]
    return (
        f"<b>{row['head']}</b><br>{quantity.label} {significant(row[column])} {quantity.unit}"
        f"<br>95 % bounds {significant(row[f'{column}_lo'])} to {significant(row[f'{column}_hi'])}"
        f"<br>n = {row['n_configs']:,} of {row['n_expected']:,}{', ' * bool(row['n_failed'])}{base.lacking(row)}"
        + (f"<br>not ranked: {base.wrapped(row[f'why_not_{kind}'])}" if row[f"why_not_{kind}"] else "")
    )
