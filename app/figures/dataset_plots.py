"""Figures of the reference data: elements, distributions, what alignment changed, and which pairs can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from ase.data import atomic_names, atomic_numbers, chemical_symbols
from plotly.subplots import make_subplots

from app.figures import base, periodic_table, tile_maps
from app.figures.base import Ink
from engine.quantities import QUANTITIES, interval, significant
from engine.queries.reference_data import Histogram

COUNT_SCALE = tile_maps.COVERAGE_SCALE
ROW_HEIGHT = 24
LEAST_ERROR = 1e-3  # meV/atom; below it an error is rounding, and would stretch a logarithmic axis
PANEL_HEIGHT = 270


def element_table(table: pd.DataFrame, ink: Ink, title: str, source: str, *, framed: Sequence[str] = ()) -> go.Figure:
    """Configurations with each element on the periodic table; the colours are logarithmic.

    Args:
        table: element, n_configs, n_atoms, n_datasets.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
        framed: Elements to frame.
    """
    counts = {row.element: row for row in table.itertuples()}
    top = max(10.0, float(table["n_configs"].max()))
    symbols = chemical_symbols[1:]
    fills = dict.fromkeys(symbols, ink.blank)
    fills |= dict(
        zip(table["element"], base.log_colours(table["n_configs"].tolist(), COUNT_SCALE, (1.0, top)), strict=True)
    )
    figure = base.base_figure(ink, title, source, 560, left=10)
    figure.add_trace(
        periodic_table.element_tiles(
            list(fills.values()),
            [f"<b>{s}</b><br>{_count(counts[s].n_configs)}" if s in counts else s for s in symbols],
            [base.text_on(fill) if fill.startswith("rgb(") else ink.muted for fill in fills.values()],
            [_element_hover(s, counts.get(s)) for s in symbols],
            12,
            {"color": ink.accent, "width": [2.5 if s in framed else 0 for s in symbols]},
        )
    )
    figure.add_trace(base.log_colour_bar(ink, "Configurations", COUNT_SCALE, (1.0, top)))
    for text, row in (("57–71", 6), ("89–103", 7)):
        figure.add_annotation(
            x=3, y=-row, text=text, showarrow=False, font={"size": 11, "color": ink.muted}, name="range"
        )
    return periodic_table.framed(figure, tile=34)


def _count(n: int) -> str:
    """At most four characters, as much as a tile can hold."""
    return f"{n:,}" if n < 10_000 else f"{n / 1000:.0f}k"


def _element_hover(symbol: str, row: Any) -> str:
    head = f"<b>{atomic_names[atomic_numbers[symbol]]}</b><br>"
    if row is None:
        return f"{head}no data"
    sets = "1 dataset" if row.n_datasets == 1 else f"{row.n_datasets} datasets"
    return f"{head}{row.n_configs:,} configurations of {sets}<br>{row.n_atoms:,} atoms"


@dataclass(frozen=True)
class Panel:
    """One histogram of a figure.

    Attributes:
        title: What is counted, with unit.
        noun: What one sample is, in the plural.
        histogram: The counts.
        is_log: Whether the counts have a logarithmic axis.
    """

    title: str
    noun: str
    histogram: Histogram
    is_log: bool


def histograms(panels: Sequence[Panel], ink: Ink, title: str, source: str) -> go.Figure:
    """Distributions side by side, two in a row.

    Args:
        panels: One to four histograms.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    n_rows = (len(panels) + 1) // 2
    figure = base.base_figure(ink, title, source, 150 + PANEL_HEIGHT * n_rows, left=64)
    base.set_least_width(figure, 600)
    grid = make_subplots(rows=n_rows, cols=2, horizontal_spacing=0.1, vertical_spacing=0.32 / n_rows)
    figure.update_layout({name: grid.layout[name] for name in grid.layout if name[1:].startswith("axis")})
    for k, panel in enumerate(panels):
        number = str(k + 1) if k else ""
        edges, counts = panel.histogram.edges, panel.histogram.counts
        centres, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0])
        figure.add_trace(
            go.Bar(
                x=centres,
                y=np.where(counts > 0, counts, np.nan) if panel.is_log else counts,
                width=width,
                xaxis=f"x{number}",
                yaxis=f"y{number}",
                marker={"color": base.ARCHITECTURE_COLOURS["sevennet"], "line": {"width": 0}},
                customdata=np.column_stack([edges[:-1], edges[1:]]),
                hovertemplate="%{customdata[0]:.4~g} to %{customdata[1]:.4~g}: <b>%{y:,}</b> "
                f"{panel.noun}<extra></extra>",
            )
        )
        outside = f" ({panel.histogram.n_outside:,} outside)" if panel.histogram.n_outside else ""
        figure.update_layout(
            {
                f"xaxis{number}": {"title": {"text": panel.title}, "range": [edges[0], edges[-1]]},
                f"yaxis{number}": {
                    "title": {"text": f"{panel.noun.capitalize()}{outside}", "font": {"size": 12}},
                    "type": "log" if panel.is_log else "linear",
                    "exponentformat": "power" if panel.is_log else "none",
                    "dtick": 1 if panel.is_log else None,
                    "rangemode": "normal" if panel.is_log else "tozero",
                },
            }
        )
    figure.update_layout(dragmode="zoom")
    return figure


def alignment_change(table: pd.DataFrame, ink: Ink, title: str, source: str) -> go.Figure:
    """Energy RMSE of each model before (ring) and after alignment (disc), the best aligned first.

    Args:
        table: As `comparability.alignment_change` gives it.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    raw, aligned = (
        np.maximum(table[name].to_numpy(dtype=float), LEAST_ERROR)
        for name in ("energy_rmse_mev_per_atom", "energy_rmse_mev_per_atom_aligned")
    )
    rows = np.arange(len(table))
    figure = base.base_figure(ink, title, source, 170 + ROW_HEIGHT * len(table), left=270, right=90)
    gaps = np.full(len(table), np.nan)
    figure.add_trace(
        go.Scatter(
            x=np.column_stack([raw, aligned, gaps]).ravel(),
            y=np.column_stack([rows, rows, gaps]).ravel(),
            mode="lines",
            line={"color": ink.muted, "width": 1},
            hoverinfo="skip",
        )
    )
    blue = base.ARCHITECTURE_COLOURS["sevennet"]
    marks = (
        ("Raw", raw, {"symbol": "circle-open", "size": 11, "color": ink.muted, "line": {"width": 2}}),
        ("Aligned", aligned, {"symbol": "circle", "size": 10, "color": blue}),
    )
    for name, values, marker in marks:
        figure.add_trace(
            go.Scatter(
                x=values,
                y=rows,
                mode="markers",
                name=name,
                marker=marker,
                hovertext=[_change_hover(row) for row in table.itertuples()],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    both = np.concatenate([raw, aligned])
    base.log_axis(figure, "x", base.log_span(both, both, 0.05), QUANTITIES["energy_rmse_mev_per_atom"].title())
    figure.update_yaxes(
        range=[len(table) - 0.5, -0.5],
        tickvals=rows.tolist(),
        ticktext=[_change_head(row, ink) for row in table.itertuples()],
        tickfont={"color": ink.text, "size": 12},
        showgrid=False,
        ticks="",
        fixedrange=True,
    )
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"}
    figure.update_layout(dragmode=False, showlegend=True, legend=legend)
    figure.data[0].showlegend = False
    return figure


def _change_head(row: Any, ink: Ink) -> str:
    arrow = "▲" if row.rank_change > 0 else "▼" if row.rank_change < 0 else "="
    raw, aligned = _rank_intervals(row)
    return f"{row.label} <span style='color:{ink.muted}'>{raw} → {aligned} {arrow}</span>"


def _rank_intervals(row: Any) -> tuple[str, str]:
    """Ranks by raw and by aligned energies with their bounds."""
    bounds = [(row.rank_raw, row.rank_raw_hi), (row.rank_aligned, row.rank_aligned_hi)]
    raw, aligned = (interval(*(None if pd.isna(end) else end for end in ends)) for ends in bounds)
    return raw, aligned


def _change_hover(row: Any) -> str:
    raw, aligned = _rank_intervals(row)
    return (
        f"<b>{row.label}</b><br>raw {significant(row.energy_rmse_mev_per_atom)} meV/atom, rank {raw}"
        f"<br>aligned {significant(row.energy_rmse_mev_per_atom_aligned)} meV/atom, rank {aligned}"
        f"<br>{base.wrapped(row.state_reason)}"
    )
