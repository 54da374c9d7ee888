"""The periodic table as a heatmap."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from ase.data import atomic_names, atomic_numbers, chemical_symbols

from app.figures import base
from app.figures.base import Ink
from engine.quantities import QUANTITIES, significant

_MOST_TICKS = 9  # of a colour bar

_GAP = (0.13, 0.65)  # ends of the free place between beryllium and boron, as shares of the width


def grid_position(symbol: str) -> tuple[float, float]:
    """Column (1 to 18) and row (1 to 9, the f block below the table) of an element."""
    number = atomic_numbers[symbol]
    if 57 <= number <= 71:
        return number - 57 + 3, 8.4
    if 89 <= number <= 103:
        return number - 89 + 3, 9.4
    period, first = max((p, z) for p, z in enumerate((1, 3, 11, 19, 37, 55, 87), start=1) if z <= number)
    offset = number - first
    if period == 1:
        return (1, 1) if number == 1 else (18, 1)
    if period in (2, 3):
        return (offset + 1 if offset < 2 else offset + 11), period
    if period >= 6 and offset >= 2:
        return offset - 14 + 1, period
    return offset + 1, period


def _short(value: float) -> str:
    """At most four characters, as much as half a tile can hold."""
    if value >= 1000:
        return f"{value / 1000:.1f}k" if value < 9950 else f"{value / 1000:.0f}k"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _few_characters(n: int) -> str:
    """A count beside the symbol, as short as the tile asks for."""
    return f"{n:,}" if n < 1000 else f"{n / 1000:.1f}k" if n < 9950 else f"{n / 1000:.0f}k"


def _value_tiles(
    table: pd.DataFrame,
    quantity: str,
    column: str,
    limits: tuple[float, float],
    left: float,
    width: float,
    ink: Ink,
    grey: Collection[str],
) -> go.Bar:
    """The coloured part of the tiles for one quantity."""
    known = table[table["n_configs"] > 0]
    has_value = known[column].notna().to_numpy()
    is_grey = known["element"].isin(grey).to_numpy() | ~has_value
    fills = np.full(len(known), ink.tile, dtype=object)
    fills[~is_grey] = base.log_colours(known.loc[~is_grey, column].tolist(), base.SCALES[quantity], limits)
    places = [grid_position(symbol) for symbol in known["element"]]
    unit = QUANTITIES[column].title()
    return go.Bar(
        x=[x + left + width / 2 for x, _ in places],
        base=[-y - 0.46 for _, y in places],
        y=[0.54] * len(places),
        width=width,
        marker={"color": fills.tolist(), "line": {"width": 0}},
        text=["–" if pd.isna(value) else _short(value) for value in known[column]],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        constraintext="none",
        textfont={
            "size": 10 if width < 0.6 else 13,
            "color": [ink.muted if hidden else base.text_on(fill) for fill, hidden in zip(fills, is_grey, strict=True)],
        },
        customdata=known[["element"]].to_numpy(),
        hovertext=[
            f"<b>{atomic_names[atomic_numbers[row.element]]}</b><br>{unit}: "
            f"{significant(getattr(row, column))}"
            f"<br>n = {_resting(row, quantity):,} of {row.n_expected:,} configurations"
            f"{', ' * bool(row.n_failed)}{base.lacking(row._asdict())}"
            + ("" if pd.notna(getattr(row, column)) else f"<br>{base.wrapped(_why_none(row, quantity))}")
            + ("<br>grey: not comparable or no test; below it is said why" if row.element in grey else "")
            for row in known.itertuples()
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )


def _resting(row: Any, quantity: str) -> int:
    """Number of configurations behind an error."""
    return int(row.n_energy if quantity == "energy" and hasattr(row, "n_energy") else row.n_configs)


def _why_none(row: Any, quantity: str) -> str:
    """The reason why an element with configurations has no error."""
    return str(getattr(row, "why_none", "no energies")) if quantity == "energy" else "no forces in the reference"


def element_tiles(
    fills: Sequence[str],
    texts: Sequence[str],
    text_colours: Sequence[str],
    hovers: Sequence[str],
    size: int,
    line: Mapping[str, Any] | None = None,
) -> go.Bar:
    """One tile for each element of the table, in the order of their atomic numbers.

    Args:
        fills: Colour of each tile.
        texts: Text in it.
        text_colours: Colour of that text.
        hovers: Text of the pointer.
        size: Of the text, pixels.
        line: Frame of the tiles; none by default.
    """
    places = [grid_position(symbol) for symbol in chemical_symbols[1:]]
    return go.Bar(
        x=[x for x, _ in places],
        base=[-y - 0.46 for _, y in places],
        y=[0.92] * len(places),
        width=0.94,
        marker={"color": list(fills), "line": dict(line or {"width": 0})},
        text=list(texts),
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        constraintext="none",
        textfont={"size": size, "color": list(text_colours)},
        hovertext=list(hovers),
        hovertemplate="%{hovertext}<extra></extra>",
    )


def framed(figure: go.Figure, *, top: int = 44, bottom: int = 54, tile: int = 28) -> go.Figure:
    """The figure without axes around the whole table, with room for title and source, pixels.

    Colour bars lie in the gap above the transition metals, so that the table has the whole width.

    Args:
        figure: With its tiles and colour bars.
        top: Margin, pixels.
        bottom: Margin, pixels.
        tile: Least width of a tile, pixels.
    """
    base.set_least_width(figure, 18 * tile)
    base.hide_axes(figure)
    figure.update_xaxes(range=[0.4, 18.6])
    figure.update_yaxes(range=[-10, -0.4])
    figure.update_layout(barmode="overlay", dragmode=False, margin={"r": 10})
    bars = [trace for trace in figure.data if trace.marker.showscale]
    for k, trace in enumerate(bars):
        place = {"x": _GAP[0], "xanchor": "left", "len": _GAP[1] - _GAP[0], "y": 1 - 0.16 * k, "yanchor": "top"}
        trace.marker.colorbar.update({"orientation": "h", "xpad": 0, "ypad": 0, "tickangle": 0, **place})
        trace.marker.colorbar.title.side = "top"
        ticks, texts = trace.marker.colorbar.tickvals, trace.marker.colorbar.ticktext
        if len(ticks) > _MOST_TICKS:
            kept = [k for k, text in enumerate(texts) if text.strip("≤≥ ").startswith("1")]
            trace.marker.colorbar.update(tickvals=[ticks[k] for k in kept], ticktext=[texts[k] for k in kept])
    base.set_margins(figure, top, bottom)
    base.move_source(figure, -6)
    return figure


def periodic_table(
    table: pd.DataFrame,
    columns: dict[str, str],
    ink: Ink,
    title: str,
    source: str,
    *,
    selected: str | None = None,
    limits: dict[str, tuple[float, float]] | None = None,
    grey: Mapping[str, Collection[str]] | None = None,
) -> go.Figure:
    """Errors by element on the periodic table: symbol above, one coloured value per quantity below.

    Args:
        table: element, n_configs, n_failed, n_outside, n_expected and the value columns; n_energy, the configurations
            that energy errors rest on, and why_none, the reason where there is none, if they are known.
        columns: Quantity (`energy`, `force`) to column; one fills the tile, two share it.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
        selected: Element to frame.
        limits: Colour limits by quantity; the fixed ones by default.
        grey: By quantity, elements whose errors cannot be compared or are no test of the model.
    """
    limits = limits or base.LIMITS
    figure = base.base_figure(ink, title, source, 640, left=10)
    figure.add_trace(_symbol_tiles(table, ink))
    width = 0.94 / len(columns)
    for k, (quantity, column) in enumerate(columns.items()):
        hidden = (grey or {}).get(quantity, ())
        figure.add_trace(_value_tiles(table, quantity, column, limits[quantity], -0.47 + k * width, width, ink, hidden))
        figure.add_trace(base.log_colour_bar(ink, QUANTITIES[column].title(), base.SCALES[quantity], limits[quantity]))
    figure.add_trace(_share_lines(table, ink))
    for text, row in (("57–71", 6), ("89–103", 7)):
        figure.add_annotation(
            x=3, y=-row, text=text, showarrow=False, font={"size": 11, "color": ink.muted}, name="range"
        )
    if selected:
        x, y = grid_position(selected)
        figure.add_shape(
            type="rect",
            x0=x - 0.49,
            x1=x + 0.49,
            y0=-y - 0.48,
            y1=-y + 0.48,
            line={"color": ink.accent, "width": 3},
        )
    return framed(figure, tile=36)


def _share_lines(table: pd.DataFrame, ink: Ink) -> go.Bar:
    """A line above each tile that rests on a part of the element's configurations, as long as that part."""
    partial = table[(table["n_configs"] > 0) & (table["n_configs"] < table["n_expected"])]
    shares = (partial["n_configs"] / partial["n_expected"]).to_numpy(dtype=float)
    places = [grid_position(symbol) for symbol in partial["element"]]
    return go.Bar(
        x=[x - 0.47 + 0.47 * share for (x, _), share in zip(places, shares, strict=True)],
        base=[-y + 0.41 for _, y in places],
        y=[0.06] * len(places),
        width=0.94 * shares,
        marker={"color": ink.accent, "line": {"width": 0}},
        customdata=partial[["element"]].to_numpy(),
        hoverinfo="skip",
    )


def _symbol_tiles(table: pd.DataFrame, ink: Ink) -> go.Bar:
    """The neutral part of all tiles: the strip with the symbol, or the whole tile where there is no value."""
    rows = table.set_index("element")
    with_value = set(table.loc[table["n_configs"] > 0, "element"])
    lacking = dict(zip(table["element"], map(base.lacking, table.to_dict("records")), strict=True))
    failed = set(table.loc[table["n_failed"] > table["n_outside"], "element"]) - with_value
    symbols = chemical_symbols[1:]
    places = [grid_position(symbol) for symbol in symbols]
    return go.Bar(
        x=[x for x, _ in places],
        base=[-y + (0.08 if s in with_value else -0.46) for s, (_, y) in zip(symbols, places, strict=True)],
        y=[0.38 if s in with_value else 0.92 for s in symbols],
        width=0.94,
        marker={
            "color": [ink.tile if s in with_value or s in failed else ink.blank for s in symbols],
            "line": {"width": 0},
            "pattern": {
                "shape": ["/" if s in failed else "" for s in symbols],
                "fgcolor": ink.alarm,
                "size": 7,
                "solidity": 0.12,
            },
        },
        text=[
            f"<b>{s}</b> <span style='font-size:9px'>{_few_characters(rows.loc[s, 'n_configs'])}</span>"
            if s in with_value
            else s
            for s in symbols
        ],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        constraintext="none",
        textfont={
            "size": 13,
            "color": [ink.text if s in with_value | failed else ink.muted for s in symbols],
        },
        customdata=[[s] for s in symbols],
        hovertext=[
            f"<b>{atomic_names[z]}</b><br>" + ("" if s in with_value else lacking.get(s) or "no data")
            for z, s in enumerate(symbols, start=1)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )
