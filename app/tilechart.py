"""Figures made of tiles: the matrix of models and datasets, and the periodic table.

Tiles are bars and not heat maps: Streamlit reports a click on a bar, and one on a heat map not.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from ase.data import atomic_names, atomic_numbers, chemical_symbols
from plotly.colors import sample_colorscale

from app import charts
from app.charts import Ink
from engine.quantities import METRICS, QUANTITIES, significant

FEW_COLUMNS = 5  # with more, cells are too narrow for a note
_HEAD_ROOM = 110  # characters that all heads together have room for side by side
_LEAN = 45  # degrees, to the left, where the names of the rows leave room


def cell_state(n_configs: float, n_failed: float, is_ranked: bool) -> str:
    """`missing`, `failed` (all), `apart` (not ranked), `partial` (some failed) or `ok`: they must not look alike."""
    if not n_configs:
        return "failed" if n_failed else "missing"
    if not is_ranked:
        return "apart"
    return "partial" if n_failed else "ok"


def _cell_text(row: pd.Series, column: str, *, is_narrow: bool) -> str:
    if row["state"] == "missing":
        return "" if is_narrow else "not run"
    if row["state"] == "failed":
        return "✕" if is_narrow else f"{row['n_failed']:.0f} failed"
    value = _compact(row[column])
    if row["is_odd"]:
        value += charts.OWN_MARK
    if "imported" in str(row["origin"]):
        value = f"<i>{value}</i>{charts.IMPORTED_MARK}"
    notes = {
        "partial": f"{row['n_failed']:,.0f} failed",
        "apart": f"{row['n_configs']:,.0f} of {row['n_expected']:,.0f}",
    }
    if is_narrow:
        return f"{value}*" if row["state"] == "apart" else value
    if row["state"] in notes:
        value += f" <span style='font-size:10px'>({notes[row['state']]})</span>"
    return value


def _cell_hover(row: pd.Series, column: str) -> str:
    head = f"<b>{row['label']}</b> on <b>{row['dataset_label']}</b>"
    if row["state"] == "missing":
        return f"{head}<br>not run yet"
    source = f" from {row['source']}" if isinstance(row["source"], str) else ""
    note = f"<br>{row['note']}" if isinstance(row["note"], str) and row["note"] else ""
    shared = f", shared with the ranked models of {row['n_own']:,.0f}" if row["n_own"] > row["n_configs"] else ""
    numbers = (
        f"{QUANTITIES[column].label} {significant(row[column])} {QUANTITIES[column].unit}"
        f"<br>95 % bounds {significant(row[column + '_lo'])} to {significant(row[column + '_hi'])}<br>"
        if row["state"] != "failed"
        else ""
    )
    return (
        f"{head}<br>{numbers}n = {row['n_configs']:,.0f} of {row['n_expected']:,.0f}{shared}, "
        f"failed {row['n_failed']:,.0f}<br>{row['origin']}{source}{note}"
        + (
            ""
            if row["comparable"]
            else f"<br>{charts.OWN_MARK} raw energies cannot be compared: {charts.wrapped(row['why_not'])}"
        )
    )


def _compact(value: float) -> str:
    """Three digits, and thousands as k: a column has room for five characters."""
    return f"{value / 1000:,.0f}k" if value >= 10_000 else significant(value)


def grid(models: pd.DataFrame, datasets: pd.DataFrame) -> pd.DataFrame:
    """One row for each pair of model and dataset.

    Args:
        models: model_id and label, in the order of the rows.
        datasets: dataset_id, label and more, in the order of the columns.

    Returns:
        model_id, label, dataset_id, dataset_label, `row`, `column`, and the other columns of the datasets.
    """
    rows = models[["model_id", "label"]].assign(row=range(len(models)))
    columns = datasets.rename(columns={"label": "dataset_label"}).assign(column=range(len(datasets)))
    return rows.merge(columns, how="cross")


def matrix_cells(metrics: pd.DataFrame, models: pd.DataFrame, datasets: pd.DataFrame) -> pd.DataFrame:
    """The metrics of each pair of model and dataset, the pairs without numbers included.

    Args:
        metrics: As `queries.dataset_metrics` or `queries.shared_metrics` gives it, with `comparable`: whether the
            numbers may be compared with the dataset's as they are, and `why_not`.
        models: As `grid` takes them.
        datasets: As `grid` takes them.

    Returns:
        The metrics with `row`, `column` and `state`.
    """
    pairs = grid(models, datasets)
    cells = pairs.merge(metrics.drop(columns=["label", "dataset_label"]), on=["model_id", "dataset_id"], how="left")
    numbers = ["n_configs", "n_own", "n_failed", "n_expected"]
    cells[numbers] = cells[numbers].fillna(0)
    cells["is_ranked"] = cells["is_ranked"].eq(True)
    cells["comparable"] = ~cells["comparable"].eq(False)
    cells["state"] = [cell_state(*row) for row in cells[["n_configs", "n_failed", "is_ranked"]].itertuples(index=False)]
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
    known = (cells[column].notna() & cells["comparable"]).to_numpy()
    fills = np.where(cells[column].notna() | (cells["state"] == "failed"), ink.tile, ink.blank).astype(object)
    fills[known] = charts.log_colours(
        cells.loc[known, column].tolist(), charts.SCALES[quantity], charts.LIMITS[quantity]
    )
    run = cells[cells["state"] != "missing"]
    never = set(run["dataset_id"]) - set(run.loc[run["comparable"], "dataset_id"])
    is_marked = cells["dataset_id"].isin(never)  # once above the column, instead of in each of its cells
    heads = cells["dataset_label"].where(~is_marked, cells["dataset_label"] + f" {charts.OWN_MARK}")
    is_narrow = cells["column"].max() >= FEW_COLUMNS
    cells = cells.assign(is_odd=~cells["comparable"] & ~is_marked)
    cells = cells.assign(
        head=heads,
        fill=fills,
        text=[_cell_text(row, column, is_narrow=is_narrow) for _, row in cells.iterrows()],
        hover=[_cell_hover(row, column) for _, row in cells.iterrows()],
        is_framed=cells["n_failed"] > 0,
        is_hatched=cells["state"] == "failed",
    )
    bar = charts.log_colour_bar(
        ink, QUANTITIES[column].title(), charts.SCALES[quantity], charts.LIMITS[quantity], x=1.01, length=1
    )
    return _tiles(cells, bar, ink, title, source)


COVERAGE_SCALE = ["rgb(222,235,247)", "rgb(158,202,225)", "rgb(66,146,198)", "rgb(8,69,148)"]


def coverage(cells: pd.DataFrame, ink: Ink, title: str, source: str) -> go.Figure:
    """Models (rows) by datasets (columns): how many configurations have a result, coloured by their share.

    Args:
        cells: model_id, label, dataset_id, dataset_label, row, column, n_configs, n_failed, n_expected, origin,
            source, `why` (empty where the model was run) and `mark` (the text of a cell without a run).
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    is_run = (cells["why"] == "").to_numpy()
    has_result = (cells["n_configs"] > 0).to_numpy()
    shares = (cells["n_configs"] / cells["n_expected"].clip(lower=1)).clip(upper=1.0)
    fills = np.where(is_run, ink.tile, ink.blank).astype(object)
    fills[has_result] = sample_colorscale(COVERAGE_SCALE, shares[has_result].tolist()) if has_result.any() else []
    cells = cells.assign(
        head=[f"{row.dataset_label} ({row.n_expected:,})" if row.n_expected else row.dataset_label
              for row in cells.itertuples()],
        fill=fills,
        text=[_coverage_text(row) for row in cells.itertuples()],
        hover=[_coverage_hover(row) for row in cells.itertuples()],
        is_framed=cells["n_failed"] > 0,
        is_hatched=is_run & ~has_result,
    )  # fmt: skip
    bar = go.Scatter(
        x=[None], y=[None], mode="markers", hoverinfo="skip",
        marker={
            "color": [0], "cmin": 0, "cmax": 1, "colorscale": COVERAGE_SCALE, "showscale": True,
            "colorbar": {
                "title": {"text": "Share of the dataset", "side": "right", "font": {"size": 12, "color": ink.text}},
                "tickformat": ".0%", "tickfont": {"size": 11, "color": ink.muted}, "outlinewidth": 0,
                "thickness": 12, "len": 1, "x": 1.01, "xanchor": "left",
            },
        },
    )  # fmt: skip
    return _tiles(cells, bar, ink, title, source)


def _coverage_text(row: Any) -> str:
    if row.why:
        return str(row.mark)
    if not row.n_configs:
        return "✕"
    is_imported = "imported" in str(row.origin)
    return f"<i>{row.n_configs:,}</i>{charts.IMPORTED_MARK}" if is_imported else f"{row.n_configs:,}"


def _coverage_hover(row: Any) -> str:
    head = f"<b>{row.label}</b> on <b>{row.dataset_label}</b><br>"
    if row.why:
        return head + charts.wrapped(row.why)
    failed = f", {row.n_failed:,} failed" if row.n_failed else ""
    return f"{head}{row.n_configs:,} of {row.n_expected:,} configurations{failed}<br>{row.origin}"


# Told apart by sign as well as by colour.
STATE_MARKS = {"yes": "✓", "care": "△", "no": "✕"}
STATE_COLOURS = {"yes": "rgb(120,198,160)", "care": "rgb(245,205,100)", "no": "rgb(226,120,90)"}


def compatibility(cells: pd.DataFrame, ink: Ink, title: str, source: str) -> go.Figure:
    """Models (rows) by datasets (columns): whether raw energies may be compared.

    Args:
        cells: model_id, label, dataset_id, dataset_label, row, column, state and state_reason.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    cells = cells.assign(
        head=cells["dataset_label"],
        fill=cells["state"].map(STATE_COLOURS),
        text=cells["state"].map(STATE_MARKS),
        hover=[
            f"<b>{row.label}</b> on <b>{row.dataset_label}</b><br>{STATE_MARKS[row.state]} "
            f"{charts.wrapped(row.state_reason)}"
            for row in cells.itertuples()
        ],
        is_framed=False,
        is_hatched=False,
    )
    return _tiles(cells, go.Scatter(x=[None], y=[None], hoverinfo="skip"), ink, title, source)


def _tiles(cells: pd.DataFrame, bar: go.Scatter, ink: Ink, title: str, source: str) -> go.Figure:
    """A clickable tile for each pair of model and dataset.

    Args:
        cells: model_id, label, dataset_id, row, column, head (of the column), fill, text, hover, is_framed, is_hatched.
        bar: Trace that carries the colour bar.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    n_rows, n_columns = int(cells["row"].max()) + 1, int(cells["column"].max()) + 1
    names = cells.drop_duplicates("row").sort_values("row")["label"].tolist()
    heads = cells.drop_duplicates("column").sort_values("column")["head"].tolist()
    is_narrow = n_columns > FEW_COLUMNS
    longest = max(map(len, heads))
    is_leaning = n_columns * longest > _HEAD_ROOM
    top = 54 + int(4.3 * longest) if is_leaning else 78
    figure = charts.base_figure(ink, title, source, 86 + top + 27 * n_rows, left=220, right=90)
    text_colours = [
        charts.text_on(fill) if fill.startswith("rgb(") else ink.muted if fill == ink.blank else ink.text
        for fill in cells["fill"]
    ]
    figure.add_trace(
        go.Bar(
            orientation="h",
            y=cells["row"],
            x=np.full(len(cells), 0.97),
            base=cells["column"] - 0.485,
            width=0.92,
            marker={
                "color": cells["fill"].tolist(),
                "line": {
                    "color": np.where(cells["is_framed"], ink.alarm, "rgba(0,0,0,0)").tolist(),
                    "width": np.where(cells["is_framed"], 2, 0).tolist(),
                },
                "pattern": {
                    "shape": np.where(cells["is_hatched"], "/", "").tolist(),
                    "fgcolor": ink.alarm,
                    "size": 7,
                    "solidity": 0.15,
                },
            },
            text=cells["text"],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            constraintext="none",
            textfont={"size": 11 if is_narrow else 13, "color": text_colours},
            customdata=cells[["model_id", "dataset_id"]].to_numpy(),
            hovertext=cells["hover"],
            hovertemplate="%{hovertext}<extra></extra>",
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
        )
    )
    figure.add_trace(bar)
    charts.hide_axes(figure)
    figure.update_yaxes(range=[n_rows - 0.5, -0.5], showticklabels=True, tickvals=list(range(n_rows)), ticktext=names)
    figure.update_xaxes(
        range=[-0.5, n_columns - 0.5],
        showticklabels=True,
        tickvals=list(range(n_columns)),
        ticktext=heads,
        tickangle=_LEAN if is_leaning else 0,
        ticklabeloverflow="allow",
        side="top",
        tickfont={"color": ink.text},
    )
    figure.update_yaxes(tickfont={"color": ink.text, "size": 13})
    figure.update_layout(margin={"t": top, "b": 54}, dragmode=False)
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
        return f"{value / 1000:.1f}k" if value < 9950 else f"{value / 1000:.0f}k"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


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
    known = table[table[column].notna()]
    is_grey = known["element"].isin(grey).to_numpy()
    fills = np.array(charts.log_colours(known[column].tolist(), charts.SCALES[quantity], limits), dtype=object)
    fills[is_grey] = ink.tile
    places = [grid_position(symbol) for symbol in known["element"]]
    unit = QUANTITIES[column].title()
    return go.Bar(
        x=[x + left + width / 2 for x, _ in places],
        base=[-y - 0.46 for _, y in places],
        y=[0.54] * len(places),
        width=width,
        marker={"color": fills.tolist(), "line": {"width": 0}},
        text=[_short(value) for value in known[column]],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        constraintext="none",
        textfont={
            "size": 10 if width < 0.6 else 13,
            "color": [
                ink.muted if hidden else charts.text_on(fill) for fill, hidden in zip(fills, is_grey, strict=True)
            ],
        },
        customdata=known[["element"]].to_numpy(),
        hovertext=[
            f"<b>{atomic_names[atomic_numbers[row.element]]}</b><br>{unit}: "
            f"{significant(getattr(row, column))}"
            f"<br>n = {row.n_configs:,} configurations, failed {row.n_failed:,}"
            + (f"<br>{charts.OWN_MARK} raw energies that cannot be compared" if row.element in grey else "")
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
    grey: Collection[str] = (),
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
        grey: Elements whose energies cannot be compared with the reference as they are.
    """
    limits = limits or charts.LIMITS
    figure = charts.base_figure(ink, title, source, 640, left=10, right=60 + 80 * len(columns))
    figure.add_trace(_symbol_tiles(table, list(columns.values()), ink))
    width = 0.94 / len(columns)
    for k, (quantity, column) in enumerate(columns.items()):
        hidden = grey if quantity == "energy" else ()
        figure.add_trace(_value_tiles(table, quantity, column, limits[quantity], -0.47 + k * width, width, ink, hidden))
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
