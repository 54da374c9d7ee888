"""Figures of defect energies: metals, parity by kind, how far errors of parts cancel, ranking, vacancies."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from ase.data import atomic_names, atomic_numbers, chemical_symbols
from numpy.typing import NDArray
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from app.figures import base, periodic_table
from app.figures.base import Ink
from app.figures.periodic_table import grid_position
from engine.quantities import QUANTITIES, interval, significant

SMALLEST = 0.1  # meV: below this, float32 total energies of a hundred atoms are noise
SIGNED = "RdBu_r"  # blue where the model's energy is too low, red where it is too high
UNCONVERGED = "hollow: label not shown to be converged"

_PANEL = 270  # pixels of height
_ROW = 34


def metals(
    table: pd.DataFrame, unit: str, limit: float, ink: Ink, title: str, source: str, *, selected: str | None = None
) -> go.Figure:
    """Mean signed error by metal on the periodic table.

    Args:
        table: Rows of `queries.reactions.metal_errors`.
        unit: Of the errors.
        limit: Size of the error at both ends of the colours.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
        selected: Element to frame.
    """
    figure = base.base_figure(ink, title, source, 480, left=10)
    known = {row.element: row for row in table.itertuples()}
    fills, texts, hovers, inks = [], [], [], []
    for symbol in chemical_symbols[1:]:
        row = known.get(symbol)
        error = row.error if row is not None and row.n_own > 0 else None
        has_error = error is not None
        fill = ink.blank if row is None else ink.tile if error is None else _signed_colour(error, limit)
        fills.append(fill)
        texts.append(_tile_text(symbol, row, has_error))
        inks.append(base.text_on(fill) if has_error else ink.muted)
        hovers.append(_tile_hover(symbol, row, unit))
    tiles = periodic_table.element_tiles(fills, texts, inks, hovers, 9)
    shown = {"marker": {"opacity": 1}}
    tiles.update(customdata=[[symbol] for symbol in chemical_symbols[1:]], selected=shown, unselected=shown)
    figure.add_trace(tiles)
    figure.add_trace(_colour_bar(f"mean error ({unit})", limit, ink))
    if selected:
        x, y = grid_position(selected)
        line = {"color": ink.accent, "width": 3}
        figure.add_shape(type="rect", x0=x - 0.49, x1=x + 0.49, y0=-y - 0.48, y1=-y + 0.48, line=line)
    return periodic_table.framed(figure, bottom=60)


def _signed_colour(value: float, limit: float) -> str:
    """Colour of a signed error."""
    share = 0.5 + 0.5 * float(np.clip(value / limit, -1.0, 1.0))
    return str(sample_colorscale(SIGNED, [share])[0])


def _tile_text(symbol: str, row: object, has_error: bool) -> str:
    if not has_error:
        return symbol
    return f"<b>{symbol}</b><br>{_signed(row.error)}"  # type: ignore[attr-defined]


def _tile_hover(symbol: str, row: object, unit: str) -> str:
    name = atomic_names[atomic_numbers[symbol]]
    if row is None:
        return f"<b>{name}</b><br>no such defect energy"
    return (
        f"<b>{name}</b><br>mean error {_signed(row.error)} {unit}"  # type: ignore[attr-defined]
        f"<br>mean reference {significant(row.reference)} {unit}"  # type: ignore[attr-defined]
        f"<br>n = {row.n_own:,} of {row.n_reactions:,}; {row.n_own - row.n_shown:,} "  # type: ignore[attr-defined]
        "with labels not shown to be converged"
    )


def _signed(value: float | None) -> str:
    """A signed number of at most five characters."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:+.0f}" if abs(value) >= 10 else f"{value:+.1f}" if abs(value) >= 3 else f"{value:+.2f}"


def _colour_bar(title: str, limit: float, ink: Ink) -> go.Scatter:
    """An invisible trace that carries the bar of signed colours."""
    bar = {
        "title": {"text": title, "side": "right", "font": {"size": 12, "color": ink.text}},
        "tickvals": [-limit, 0, limit],
        "ticktext": [f"≤ −{limit:g}", "0", f"≥ {limit:g}"],
        "tickfont": {"size": 11, "color": ink.muted},
        **base.beside(),
    }
    marker = {"color": [0], "colorscale": SIGNED, "cmin": -limit, "cmax": limit, "showscale": True, "colorbar": bar}
    return go.Scatter(x=[None], y=[None], mode="markers", hoverinfo="skip", marker=marker)


def parity(table: pd.DataFrame, kinds: Mapping[str, str], ink: Ink, title: str, source: str) -> go.Figure:
    """Predicted against reference defect energies: one panel a kind, one colour and symbol a model.

    Args:
        table: Rows of `queries.reactions.reaction_errors`.
        kinds: Label with unit of each kind, in the order of the panels; all of them are in the table.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    n_columns = min(len(kinds), 2)  # a narrow window has no room for more
    n_rows = -(-len(kinds) // n_columns)
    height = 170 + n_rows * (_PANEL if n_columns > 1 else 420)
    figure = make_subplots(
        rows=n_rows,
        cols=n_columns,
        horizontal_spacing=0.11,
        vertical_spacing=0.3 / n_rows,
        figure=base.base_figure(ink, title, source, height, left=70),
    )
    base.set_least_width(figure, 320 * n_columns)  # titles of panels side by side
    for number, (kind, name) in enumerate(kinds.items()):
        place = {"row": number // n_columns + 1, "col": number % n_columns + 1}
        here = table[table["kind"] == kind]
        low, high = _limits(here)
        figure.add_trace(base.diagonal((low, high), ink), **place)
        for rank, (model_id, rows) in enumerate(here.groupby("model_id", sort=False)):
            figure.add_trace(_points(rows, str(model_id), rank, ink, is_listed=number == 0), **place)
        head = {"text": name, "showarrow": False, "font": {"size": 12, "color": ink.text}}
        figure.add_annotation(
            head, x=0, y=1, xref="x domain", yref="y domain", xanchor="left", yanchor="bottom", **place
        )
        figure.update_xaxes(range=[low, high], **place)
        figure.update_yaxes(range=[low, high], **place)
    figure.update_xaxes(title_text="reference", row=n_rows)
    figure.update_yaxes(title_text="predicted", col=1)
    _legend(figure)
    return figure


def _points(rows: pd.DataFrame, model_id: str, rank: int, ink: Ink, *, is_listed: bool) -> go.Scatter:
    symbol = base.SERIES_SYMBOLS[rank % len(base.SERIES_SYMBOLS)]
    return go.Scatter(
        x=rows["reference"],
        y=rows["prediction"],
        mode="markers",
        name=str(rows["label"].iloc[0]),
        legendgroup=model_id,
        showlegend=is_listed,
        marker=_marker(rows, model_id, symbol, ink),
        hovertext=[_hover(row) for _, row in rows.iterrows()],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _marker(rows: pd.DataFrame, model_id: str, symbol: str, ink: Ink) -> dict[str, object]:
    """Filled where the label is reliable, hollow where it is not shown to be converged."""
    is_open = rows["is_converged"].eq(False).fillna(False)
    colour = base.model_colour(model_id)
    return {
        "size": 8,
        "color": colour,
        "symbol": [f"{symbol}-open" if hollow else symbol for hollow in is_open],
        "line": {"color": [base.outline(colour, ink) if hollow else ink.muted for hollow in is_open], "width": 1.2},
        "opacity": 0.85,
    }


def cancellation(table: pd.DataFrame, ink: Ink, title: str, source: str) -> go.Figure:
    """Size of the error of a defect energy against the size that independent errors of its parts would give.

    Args:
        table: Rows of `queries.reactions.reaction_errors`; one colour and symbol a model.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    figure = base.base_figure(ink, title, source, 600, left=76)
    parts, errors = _sizes(table, "error_rss_mev"), _sizes(table, "error_mev")
    x_span, y_span = base.log_span(parts, parts, 0.05), base.log_span(errors, errors, 0.05)
    ends = max(x_span[0], y_span[0]), min(x_span[1], y_span[1])
    if ends[0] < ends[1]:
        figure.add_trace(base.diagonal((10 ** ends[0], 10 ** ends[1]), ink))
        near_end = 0.15 * ends[0] + 0.85 * ends[1]
        head = {"text": "independent", "showarrow": False, "font": {"size": 11, "color": ink.muted}}
        figure.add_annotation(head, x=near_end, y=near_end, xanchor="right", yanchor="bottom", xshift=-6)
    for rank, (model_id, rows) in enumerate(table.groupby("model_id", sort=False)):
        figure.add_trace(
            go.Scatter(
                x=_sizes(rows, "error_rss_mev"),
                y=_sizes(rows, "error_mev"),
                mode="markers",
                name=str(rows["label"].iloc[0]),
                marker=_marker(rows, str(model_id), base.SERIES_SYMBOLS[rank % len(base.SERIES_SYMBOLS)], ink),
                hovertext=[_hover(row) for _, row in rows.iterrows()],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    base.log_axis(figure, "x", x_span, QUANTITIES["error_rss_mev"].title())
    base.log_axis(figure, "y", y_span, "Size of the error of the sum of energies (meV)")
    _legend(figure)
    return figure


def ranking(table: pd.DataFrame, unit: str, ink: Ink, title: str, source: str) -> go.Figure:
    """RMSE of each model with 95 % bounds, ranks as intervals beside the names.

    Args:
        table: Rows of `queries.reactions.reaction_metrics` with `head`, the name to show; the first on top.
        unit: Of the errors.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    figure = base.base_figure(ink, title, source, 150 + _ROW * len(table), left=280, right=30)
    base.set_least_width(figure, 540)
    values = table["rmse"].to_numpy(dtype=float)
    values = np.maximum(values, max(1e-4 * values.max(), 1e-6))  # no error at all has no place on the axis
    low, high = (table[name].to_numpy(dtype=float) for name in ("rmse_lo", "rmse_hi"))
    has_bounds = np.isfinite(low) & np.isfinite(high)
    bounds = {
        "type": "data",
        "symmetric": False,
        "array": np.where(has_bounds, high - values, 0.0),
        "arrayminus": np.where(has_bounds, values - low, 0.0),
        "color": ink.muted,
        "thickness": 1.5,
        "width": 4,
    }
    figure.add_trace(
        go.Scatter(
            x=values,
            y=list(range(len(table))),
            error_x=bounds,
            mode="markers",
            marker={
                "size": 11,
                "color": [base.model_colour(name) for name in table["model_id"]],
                "symbol": ["circle" if pd.notna(rank) else "circle-open" for rank in table["rank"]],
                "line": {"color": ink.muted, "width": 1},
            },
            hovertext=[_rank_hover(row, unit) for _, row in table.iterrows()],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    ends = base.log_span(np.fmin(values, np.where(has_bounds, low, np.inf)), np.fmax(values, np.nan_to_num(high)), 0.03)
    base.log_axis(figure, "x", ends, f"RMSE ({unit})")
    heads = [f"{row['head']}  <b>{interval(row['rank_lo'], row['rank_hi'])}</b>" for _, row in table.iterrows()]
    figure.update_yaxes(
        range=[len(table) - 0.5, -0.5], tickvals=list(range(len(table))), ticktext=heads, tickfont={"color": ink.text}
    )
    figure.update_layout(dragmode=False)
    return figure


def relaxed_vacancies(table: pd.DataFrame, quantity: str, ink: Ink, title: str, source: str) -> go.Figure:
    """Energies of vacancies that models relaxed against published ones; one colour and symbol a model.

    Args:
        table: Rows of `queries.relaxed_vacancies.relaxed_vacancies` with an energy, of at least one model.
        quantity: Name of the energy.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    figure = base.base_figure(ink, title, source, 560, left=70)
    values = table[["published", "energy"]].to_numpy(dtype=float)
    pad = 0.05 * (values.max() - values.min()) or 0.1
    ends = float(values.min()) - pad, float(values.max()) + pad
    figure.add_trace(base.diagonal(ends, ink))
    for number, (_, rows) in enumerate(table.groupby("model_id", sort=False)):
        symbol = base.SERIES_SYMBOLS[number % len(base.SERIES_SYMBOLS)]
        is_hcp = rows["structure"] == "hcp"
        figure.add_trace(
            go.Scatter(
                x=rows["published"],
                y=rows["energy"],
                mode="markers",
                name=str(rows["label"].iloc[0]),
                marker={
                    "size": 9, "symbol": [f"{symbol}-open" if hollow else symbol for hollow in is_hcp],
                    "color": base.SERIES_COLOURS[number % len(base.SERIES_COLOURS)], "opacity": 0.85,
                },
                hovertext=[_vacancy_hover(row) for _, row in rows.iterrows()],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_xaxes(title_text=f"{quantity}, published (eV)", range=ends)
    figure.update_yaxes(title_text=f"{quantity}, relaxed by the model (eV)", range=ends)
    _legend(figure)
    return figure


def _vacancy_hover(row: pd.Series) -> str:
    return (
        f"<b>{row['element']}</b> {row['structure']}, {row['label']}"
        f"<br>published {significant(row['published'])} eV, relaxed {significant(row['energy'])} eV"
        f"<br>before atoms moved {significant(row['unrelaxed_energy'])} eV, {row['n_sites']} sites"
        f"<br>volume of the crystal {100 * row['volume_error']:+.1f} %"
    )


def vacancies(table: pd.DataFrame, labels: Mapping[str, str], ink: Ink, title: str, source: str) -> go.Figure:
    """Published relaxed vacancy formation energies beside those of small unrelaxed cells, metal by metal.

    Args:
        table: element, published, and a column per key of `labels`, eV; NaN where there is none.
        labels: Column to name in the legend; the first is our DFT, others are models.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    figure = base.base_figure(ink, title, source, 460, left=70)
    figure.add_trace(
        go.Bar(
            x=table["element"],
            y=table["published"],
            name="published, relaxed (PBE)",
            marker={"color": ink.tile, "line": {"color": ink.muted, "width": 1}},
            hovertemplate="%{x}: %{y:.2f} eV, published<extra></extra>",
        )
    )
    for rank, (column, label) in enumerate(labels.items()):
        figure.add_trace(
            go.Scatter(
                x=table["element"],
                y=table[column],
                name=label,
                mode="markers",
                marker={
                    "size": 9,
                    "symbol": base.SERIES_SYMBOLS[rank % len(base.SERIES_SYMBOLS)],
                    "color": ink.text if column == "reference" else base.model_colour(column),
                    "line": {"color": ink.muted, "width": 1},
                },
                hovertemplate=f"%{{x}}: %{{y:.2f}} eV, {label}<extra></extra>",
            )
        )
    figure.update_yaxes(title_text="Vacancy formation energy (eV)", rangemode="tozero")
    figure.update_layout(bargap=0.3)
    _legend(figure)
    return figure


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    values = table[["reference", "prediction"]].to_numpy(dtype=float)
    low, high = float(values.min()), float(values.max())
    pad = 0.06 * (high - low) or 0.1
    return low - pad, high + pad


def _legend(figure: go.Figure) -> None:
    """Names above the plot, where a narrow window has room for them."""
    top = 1.0 - 38.0 / figure.layout.height
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "y": top, "yanchor": "top", "yref": "container"}
    figure.update_layout(showlegend=True, dragmode="zoom", legend=legend, margin={"t": 108})


def _sizes(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Sizes in meV, at least `SMALLEST`, for a logarithmic axis."""
    sizes: NDArray[np.float64] = np.abs(table[column].to_numpy(dtype=float))
    return np.maximum(sizes, SMALLEST)


def _rank_hover(row: pd.Series, unit: str) -> str:
    return (
        f"<b>{row['head']}</b><br>RMSE {significant(row['rmse'])} {unit}"
        f"<br>95 % bounds {significant(row['rmse_lo'])} to {significant(row['rmse_hi'])}"
        f"<br>mean error {significant(row['mean_error'])} {unit}, n = {row['n_reactions']:,} of {row['n_expected']:,}"
        + (f"<br>{base.wrapped(row['reason'])}" if row["reason"] else "")
    )


def _hover(row: pd.Series) -> str:
    parts = ", ".join(f"{error:+.0f}" for error in row["part_errors"])
    added = f", {row['added']}" if row["added"] else ""
    return (
        f"<b>{row['system']}</b>{added}, {row['place']}<br>{row['label']}"
        f"<br>reference {significant(row['reference'])}, predicted {significant(row['prediction'])} {row['unit']}"
        f"<br>error {row['error_mev']:+.0f} meV, of the parts {parts} meV"
        f"<br>cancellation ratio {significant(row['cancellation'], 2)}"
    )
