"""Figures made of tiles: the matrix of models and datasets, and the periodic table.

Tiles are bars and not heat maps: Streamlit reports a click on a bar, and one on a heat map not.
"""

from itertools import product

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from ase.data import atomic_names, atomic_numbers, chemical_symbols

from app import charts
from app.charts import Ink
from engine.quantities import METRICS, QUANTITIES, significant


def cell_state(n_configs: float, n_failed: float, n_expected: float) -> str:
    """`missing`, `failed` (all), `partial` (some failed), `unfinished` or `ok`: they must not look alike."""
    if not n_configs:
        return "failed" if n_failed else "missing"
    if n_configs + n_failed < n_expected:
        return "unfinished"
    return "partial" if n_failed else "ok"


def _cell_text(row: pd.Series, column: str) -> str:
    if row["state"] == "missing":
        return "not run"
    if row["state"] == "failed":
        return f"{row['n_failed']:.0f} failed"
    value = significant(row[column])
    if "imported" in str(row["origin"]):
        value = f"<i>{value}</i>{charts.IMPORTED_MARK}"
    notes = {
        "partial": f"{row['n_failed']:,.0f} failed",
        "unfinished": f"{row['n_configs']:,.0f} of {row['n_expected']:,.0f}",
    }
    if row["state"] in notes:
        value += f" <span style='font-size:10px'>({notes[row['state']]})</span>"
    return value


def _cell_hover(row: pd.Series, column: str) -> str:
    head = f"<b>{row['label']}</b> on <b>{row['dataset_label']}</b>"
    if row["state"] == "missing":
        return f"{head}<br>not run yet"
    source = f" from {row['source']}" if isinstance(row["source"], str) else ""
    note = f"<br>{row['note']}" if isinstance(row["note"], str) and row["note"] else ""
    numbers = (
        f"{QUANTITIES[column].label} {significant(row[column])} {QUANTITIES[column].unit}"
        f"<br>95 % bounds {significant(row[column + '_lo'])} to {significant(row[column + '_hi'])}<br>"
        if row["state"] != "failed"
        else ""
    )
    return (
        f"{head}<br>{numbers}n = {row['n_configs']:,.0f} of {row['n_expected']:,.0f}, "
        f"failed {row['n_failed']:,.0f}<br>{row['origin']}{source}{note}"
    )


def matrix_cells(metrics: pd.DataFrame, models: pd.DataFrame, datasets: pd.DataFrame) -> pd.DataFrame:
    """One row for each pair of model and dataset, the pairs without numbers included.

    Args:
        metrics: As `queries.dataset_metrics` gives it.
        models: model_id and label, in the order of the rows.
        datasets: dataset_id and label, in the order of the columns.

    Returns:
        The metrics with `row`, `column` and `state`.
    """
    pairs = pd.DataFrame(
        [
            (m.model_id, m.label, d.dataset_id, d.label, i, j)
            for (i, m), (j, d) in product(
                enumerate(models.itertuples(index=False)), enumerate(datasets.itertuples(index=False))
            )
        ],
        columns=["model_id", "label", "dataset_id", "dataset_label", "row", "column"],
    )
    cells = pairs.merge(metrics.drop(columns=["label", "dataset_label"]), on=["model_id", "dataset_id"], how="left")
    counts = ["n_configs", "n_failed", "n_expected"]
    cells[counts] = cells[counts].fillna(0)
    cells["state"] = [cell_state(*row) for row in cells[counts].itertuples(index=False)]
    return cells


def matrix(cells: pd.DataFrame, quantity: str, ink: Ink, title: str, source: str) -> go.Figure:
    """Models (rows) by datasets (columns), coloured by RMSE; every cell is clickable.

    Args:
        cells: As `matrix_cells` gives it.
        quantity: `energy` or `force`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    column = METRICS[quantity].rmse
    n_rows, n_columns = int(cells["row"].max()) + 1, int(cells["column"].max()) + 1
    known = cells[column].notna().to_numpy()
    fills = np.where(cells["state"] == "failed", ink.tile, ink.blank).astype(object)
    fills[known] = charts.log_colours(
        cells.loc[known, column].tolist(), charts.SCALES[quantity], charts.LIMITS[quantity]
    )
    texts = np.array([ink.muted] * len(cells), dtype=object)
    texts[known] = [charts.text_on(fill) for fill in fills[known]]
    partial = (cells["n_failed"] > 0).to_numpy()

    figure = charts.base_figure(ink, title, source, 164 + 27 * n_rows, left=220, right=90)
    figure.add_trace(
        go.Bar(
            orientation="h",
            y=cells["row"],
            x=np.full(len(cells), 0.97),
            base=cells["column"] - 0.485,
            width=0.92,
            marker={
                "color": fills.tolist(),
                "line": {
                    "color": np.where(partial, ink.alarm, "rgba(0,0,0,0)").tolist(),
                    "width": np.where(partial, 2, 0).tolist(),
                },
                "pattern": {
                    "shape": np.where(cells["state"] == "failed", "/", "").tolist(),
                    "fgcolor": ink.alarm,
                    "size": 7,
                    "solidity": 0.15,
                },
            },
            text=[_cell_text(row, column) for _, row in cells.iterrows()],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            constraintext="none",
            textfont={"size": 13, "color": texts.tolist()},
            customdata=cells[["model_id", "dataset_id"]].to_numpy(),
            hovertext=[_cell_hover(row, column) for _, row in cells.iterrows()],
            hovertemplate="%{hovertext}<extra></extra>",
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
        )
    )
    figure.add_trace(
        charts.log_colour_bar(
            ink,
            QUANTITIES[column].title(),
            charts.SCALES[quantity],
            charts.LIMITS[quantity],
            x=1.01,
            length=1,
        )
    )
    charts.hide_axes(figure)
    names = cells.drop_duplicates("row").sort_values("row")["label"].tolist()
    heads = cells.drop_duplicates("column").sort_values("column")["dataset_label"].tolist()
    figure.update_yaxes(range=[n_rows - 0.5, -0.5], showticklabels=True, tickvals=list(range(n_rows)), ticktext=names)
    figure.update_xaxes(
        range=[-0.5, n_columns - 0.5],
        showticklabels=True,
        tickvals=list(range(n_columns)),
        ticktext=heads,
        side="top",
        tickfont={"color": ink.text},
    )
    figure.update_yaxes(tickfont={"color": ink.text, "size": 13})
    figure.update_layout(margin={"t": 78, "b": 54}, dragmode=False)
    charts.move_source(figure, -6)
    return figure


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
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _value_tiles(
    table: pd.DataFrame, quantity: str, column: str, limits: tuple[float, float], left: float, width: float
) -> go.Bar:
    """The coloured part of the tiles for one quantity."""
    known = table[table[column].notna()]
    fills = charts.log_colours(known[column].tolist(), charts.SCALES[quantity], limits)
    places = [grid_position(symbol) for symbol in known["element"]]
    unit = QUANTITIES[column].title()
    return go.Bar(
        x=[x + left + width / 2 for x, _ in places],
        base=[-y - 0.46 for _, y in places],
        y=[0.54] * len(places),
        width=width,
        marker={"color": fills, "line": {"width": 0}},
        text=[_short(value) for value in known[column]],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        constraintext="none",
        textfont={"size": 10 if width < 0.6 else 13, "color": [charts.text_on(fill) for fill in fills]},
        customdata=known[["element"]].to_numpy(),
        hovertext=[
            f"<b>{atomic_names[atomic_numbers[row.element]]}</b><br>{unit}: "
            f"{significant(getattr(row, column))}"
            f"<br>n = {row.n_configs:,} configurations, failed {row.n_failed:,}"
            for row in known.itertuples()
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )


def periodic_table(
    table: pd.DataFrame,
    columns: dict[str, str],
    ink: Ink,
    title: str,
    source: str,
    *,
    selected: str | None = None,
    limits: dict[str, tuple[float, float]] | None = None,
) -> go.Figure:
    """Errors by element on the periodic table: symbol above, one coloured value per quantity below.

    Args:
        table: element, n_configs, n_failed and the value columns.
        columns: Quantity (`energy`, `force`) to column; one fills the tile, two share it.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
        selected: Element to frame.
        limits: Colour limits by quantity; the fixed ones by default.
    """
    limits = limits or charts.LIMITS
    figure = charts.base_figure(ink, title, source, 640, left=10, right=60 + 80 * len(columns))
    figure.add_trace(_symbol_tiles(table, list(columns.values()), ink))
    width = 0.94 / len(columns)
    for k, (quantity, column) in enumerate(columns.items()):
        figure.add_trace(_value_tiles(table, quantity, column, limits[quantity], -0.47 + k * width, width))
        bar = charts.log_colour_bar(
            ink,
            QUANTITIES[column].title(),
            charts.SCALES[quantity],
            limits[quantity],
            x=1.01 + 0.085 * k,
            length=0.95,
        )
        figure.add_trace(bar)
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
    charts.hide_axes(figure)
    figure.update_xaxes(range=[0.4, 18.6])
    figure.update_yaxes(range=[-10, -0.4])
    figure.update_layout(barmode="overlay", dragmode=False, margin={"t": 44, "b": 54})
    charts.move_source(figure, -6)
    return figure


def _symbol_tiles(table: pd.DataFrame, columns: list[str], ink: Ink) -> go.Bar:
    """The neutral part of all tiles: the strip with the symbol, or the whole tile where there is no value."""
    rows = table.set_index("element")
    with_value = set(table.loc[table[columns].notna().any(axis=1), "element"])
    failed = set(table.loc[table["n_failed"] > 0, "element"]) - with_value
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
        text=[f"<b>{s}</b>" if s in with_value else s for s in symbols],
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
            f"<b>{atomic_names[z]}</b><br>"
            + (f"all {rows.loc[s, 'n_failed']:,} failed" if s in failed else "" if s in with_value else "no data")
            for z, s in enumerate(symbols, start=1)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )
