"""Figures made of tiles: the matrix of models and datasets, and the periodic table.

Tiles are bars, since Streamlit reports a click on a bar and does not report one on a heat map.
"""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from app.figures import base
from app.figures.base import Ink
from engine.numerics.comparison import UNRANKED
from engine.quantities import METRICS, QUANTITIES, significant
from engine.queries.training import SEEN_MARK

FEW_COLUMNS = 5  # with more, cells are too narrow for a note

_HEAD_ROOM = 110  # characters that all heads together have room for side by side

_BAR_LENGTH = 300  # pixels of a colour bar, which a table of many models would draw out

_LEAN = 45  # degrees, to the left, where the names of the rows leave room


def cell_state(n_configs: float, n_failed: float, is_together: bool, n_outside: float = 0) -> str:
    """What a cell has to say.

    Returns:
        `missing`, `failed` (all), `outside` (without a result, since the model was not made for the elements), `apart`
        (over other configurations), `partial` (some failed) or `ok`.
    """
    if not n_configs:
        return "failed" if n_failed > n_outside else "outside" if n_outside else "missing"
    if not is_together:
        return "apart"
    return "partial" if n_failed > n_outside else "ok"


def _cell_text(row: Mapping[Hashable, Any], column: str, *, is_narrow: bool) -> str:
    if row["state"] == "missing":
        return "" if is_narrow else str(row["nothing"])
    if row["state"] == "outside":
        return "○" if is_narrow else base.OUTSIDE
    if row["state"] == "failed":
        return "✕" if is_narrow else base.lacking(row)
    if pd.isna(row[column]):
        return "–"
    value = _compact(row[column])
    if row["is_odd"]:
        value += base.OWN_MARK
    if row["is_seen"]:
        value += SEEN_MARK
    if _is_other_level(row):
        value += base.LEVEL_MARK
    if "imported" in str(row["origin"]):
        value = f"<i>{value}</i>{base.IMPORTED_MARK}"
    notes = {
        "partial": base.lacking(row),
        "apart": f"{row['n_configs']:,.0f} of {row['n_expected']:,.0f}",
    }
    if is_narrow:
        return f"{value}*" if row["state"] == "apart" else value
    if row["state"] in notes:
        value += f" <span style='font-size:10px'>({notes[row['state']]})</span>"
    return value


def _is_other_level(row: Any) -> bool:
    """Whether a model has no rank because of its level of theory; labels of another zero have their own mark."""
    return bool(row["cause"] == "level" and row["comparable"])


def _cell_hover(row: Mapping[Hashable, Any], column: str) -> str:
    head = f"<b>{row['label']}</b> on <b>{row['dataset_label']}</b>"
    if row["state"] == "missing":
        return f"{head}<br>{row['nothing']}"
    source = f" from {row['source']}" if isinstance(row["source"], str) else ""
    note = f"<br>{row['note']}" if isinstance(row["note"], str) and row["note"] else ""
    shared = f", shared with the ranked models of {row['n_own']:,.0f}" if row["n_own"] > row["n_configs"] else ""
    numbers = (
        f"{QUANTITIES[column].label} {significant(row[column])} {QUANTITIES[column].unit}"
        f"<br>95 % bounds {significant(row[column + '_lo'])} to {significant(row[column + '_hi'])}<br>"
        if row["n_configs"]
        else ""
    )
    return (
        f"{head}<br>{numbers}n = {row['n_configs']:,.0f} of {row['n_expected']:,.0f}{shared}{_resting(row, column)}"
        f"{', ' * bool(row['n_failed'])}{base.lacking(row)}<br>{row['origin']}{source}{note}"
        + (
            ""
            if row["comparable"]
            else f"<br>{base.OWN_MARK} raw energies cannot be compared: {base.wrapped(row['why_not'])}"
        )
        + _seen_hover(row["is_seen"], row["seen_reason"])
        + _unranked_hover(row)
    )


def _resting(row: Mapping[Hashable, Any], column: str) -> str:
    """Numbers of configurations and clusters behind an error, where they are fewer or the error is missing."""
    n = row["n_energy"] if column.startswith("energy") else row["n_force"]
    clusters = f" in {row['n_clusters']:,.0f} clusters" if row["n_clusters"] > 0 else ""
    return clusters if n == row["n_configs"] else f"{clusters}, {n:,.0f} with such an error"


def _unranked_hover(row: Mapping[Hashable, Any]) -> str:
    """The reasons for a missing number or rank, without repeating the tile."""
    note = (
        f"<br>{base.wrapped(row['energy_note'])}" if isinstance(row["energy_note"], str) and row["energy_note"] else ""
    )
    is_said = row["cause"] in ("", "seen") or not isinstance(row["cause"], str) or not row["comparable"]
    return note + ("" if is_said else f"<br>not ranked: {base.wrapped(UNRANKED[row['cause']])}")


def _seen_hover(is_seen: bool, reason: str) -> str:
    """Why a model counts as trained on the data; empty where it does not."""
    return f"<br>{SEEN_MARK} trained on this: {base.wrapped(reason)}" if is_seen else ""


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
        metrics: As `error_metrics.dataset_metrics` or `shared_metrics` gives it, with `comparable`: whether the
            numbers may be compared with the dataset's as they are, and `why_not`.
        models: As `grid` takes them.
        datasets: As `grid` takes them; `nothing` is what a cell without numbers says, `not run` without it.

    Returns:
        The metrics with `row`, `column`, `state` and `nothing`.
    """
    pairs = grid(models, datasets if "nothing" in datasets else datasets.assign(nothing="not run"))
    cells = pairs.merge(metrics.drop(columns=["label", "dataset_label"]), on=["model_id", "dataset_id"], how="left")
    numbers = ["n_configs", "n_own", "n_failed", "n_outside", "n_expected", "n_energy", "n_force", "n_clusters"]
    cells[numbers] = cells[numbers].fillna(0)
    cells["is_ranked"] = cells["is_ranked"].eq(True)
    cells["is_seen"] = cells["is_seen"].eq(True)
    cells["comparable"] = ~cells["comparable"].eq(False)
    has_share = _has_configurations_of_the_ranked(cells) & cells["cause"].ne("share")
    is_together = cells["is_ranked"] | has_share
    states = zip(cells["n_configs"], cells["n_failed"], is_together, cells["n_outside"], strict=True)
    return cells.assign(state=[cell_state(*row) for row in states])


def _has_configurations_of_the_ranked(cells: pd.DataFrame) -> pd.Series:
    """Whether a pair has errors over as many configurations as the ranked models of its column.

    In a column whose raw energies mean nothing there is no comparison to stand apart from.
    """
    ranked = cells[cells["is_ranked"]].groupby("dataset_id")["n_configs"].min()
    n_ranked = cells["dataset_id"].map(ranked).fillna(cells["n_expected"])
    return (cells["n_configs"] == n_ranked) | ~cells["comparable"]


def matrix(cells: pd.DataFrame, quantity: str, ink: Ink, title: str, source: str) -> go.Figure:
    """Models (rows) by datasets (columns), coloured by RMSE; every cell is clickable.

    Only a model that is ranked in its column has a colour; the text says what bars the others.

    Args:
        cells: As `matrix_cells` gives it.
        quantity: `energy` or `force`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    column = METRICS[quantity].rmse
    known = (cells[column].notna() & cells["comparable"] & cells["is_ranked"]).to_numpy()
    fills = np.where(cells[column].notna() | (cells["state"] == "failed"), ink.tile, ink.blank).astype(object)
    fills[known] = base.log_colours(cells.loc[known, column].tolist(), base.SCALES[quantity], base.LIMITS[quantity])
    run = cells[cells["state"] != "missing"]
    never = set(run["dataset_id"]) - set(run.loc[run["comparable"], "dataset_id"])
    is_marked = cells["dataset_id"].isin(never)  # once above the column, instead of in each of its cells
    heads = cells["dataset_label"].where(~is_marked, cells["dataset_label"] + f" {base.OWN_MARK}")
    is_narrow = cells["column"].max() >= FEW_COLUMNS
    cells = cells.assign(is_odd=~cells["comparable"] & ~is_marked)
    rows = cells.to_dict("records")
    cells = cells.assign(
        head=heads,
        fill=fills,
        text=[_cell_text(row, column, is_narrow=is_narrow) for row in rows],
        hover=[_cell_hover(row, column) for row in rows],
        is_framed=cells["n_failed"] > cells["n_outside"],
        is_hatched=cells["state"] == "failed",
    )
    bar = base.log_colour_bar(
        ink, QUANTITIES[column].title(), base.SCALES[quantity], base.LIMITS[quantity], pixels=_BAR_LENGTH
    )
    return _tiles(cells, bar, ink, title, source)


COVERAGE_SCALE = ["rgb(222,235,247)", "rgb(158,202,225)", "rgb(66,146,198)", "rgb(8,69,148)"]


def coverage(cells: pd.DataFrame, ink: Ink, title: str, source: str) -> go.Figure:
    """Models (rows) by datasets (columns): how many configurations have a result, coloured by their share.

    Args:
        cells: model_id, label, dataset_id, dataset_label, row, column, n_configs, n_failed, n_outside, n_expected,
            origin, source, `why` (empty where the model was run) and `mark` (the text of a cell without a run).
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
        is_framed=cells["n_failed"] > cells["n_outside"],
        is_hatched=is_run & ~has_result & (cells["n_failed"] > cells["n_outside"]),
    )  # fmt: skip
    bar = go.Scatter(
        x=[None], y=[None], mode="markers", hoverinfo="skip",
        marker={
            "color": [0], "cmin": 0, "cmax": 1, "colorscale": COVERAGE_SCALE, "showscale": True,
            "colorbar": {
                "title": {"text": "Share of the dataset", "side": "right", "font": {"size": 12, "color": ink.text}},
                "tickformat": ".0%", "tickfont": {"size": 11, "color": ink.muted}, **base.beside(_BAR_LENGTH),
            },
        },
    )  # fmt: skip
    return _tiles(cells, bar, ink, title, source)


def _coverage_text(row: Any) -> str:
    if row.why:
        return str(row.mark)
    if not row.n_configs:
        return "✕" if row.n_failed > row.n_outside else "○"
    is_imported = "imported" in str(row.origin)
    return f"<i>{row.n_configs:,}</i>{base.IMPORTED_MARK}" if is_imported else f"{row.n_configs:,}"


def _coverage_hover(row: Any) -> str:
    head = f"<b>{row.label}</b> on <b>{row.dataset_label}</b><br>"
    if row.why:
        return head + base.wrapped(row.why)
    n_of = f"{row.n_configs:,} of {row.n_expected:,} configurations"
    return f"{head}{', '.join(filter(None, [n_of, base.lacking(row._asdict())]))}<br>{row.origin}"


# Told apart by sign as well as by colour.
STATE_MARKS = {"yes": "✓", "care": "△", "no": "✕"}

STATE_COLOURS = {"yes": "rgb(120,198,160)", "care": "rgb(245,205,100)", "no": "rgb(226,120,90)"}


def compatibility(cells: pd.DataFrame, ink: Ink, title: str, source: str) -> go.Figure:
    """Models (rows) by datasets (columns): whether raw energies may be compared.

    Args:
        cells: model_id, label, dataset_id, dataset_label, row, column, state, state_reason, is_seen and seen_reason.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    cells = cells.assign(
        head=cells["dataset_label"],
        fill=cells["state"].map(STATE_COLOURS),
        text=cells["state"].map(STATE_MARKS) + cells["is_seen"].map({True: f" {SEEN_MARK}", False: ""}),
        hover=[
            f"<b>{row.label}</b> on <b>{row.dataset_label}</b><br>{STATE_MARKS[row.state]} "
            f"{base.wrapped(row.state_reason)}{_seen_hover(row.is_seen, row.seen_reason)}"
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
    longest = max(map(len, heads))
    is_leaning = n_columns * longest > _HEAD_ROOM
    top = 54 + int(4.3 * longest) if is_leaning else 78
    figure = base.base_figure(ink, title, source, 86 + top + 27 * n_rows, left=220, right=90)
    figure.add_trace(_tile_bars(cells, ink, text_size=11 if n_columns > FEW_COLUMNS else 13))
    figure.add_trace(bar)
    base.hide_axes(figure)
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
    figure.update_layout(dragmode=False)
    base.set_margins(figure, top, 54)
    column = 46 if n_columns > FEW_COLUMNS else 80
    base.set_least_width(figure, 310 + n_columns * (column if is_leaning else max(column, 7 * longest + 6)))
    base.move_source(figure, -6)
    return figure


def _tile_bars(cells: pd.DataFrame, ink: Ink, *, text_size: int) -> go.Bar:
    """The tiles with their texts, as bars that lie side by side."""
    text_colours = [
        base.text_on(fill) if fill.startswith("rgb(") else ink.muted if fill == ink.blank else ink.text
        for fill in cells["fill"]
    ]
    return go.Bar(
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
        textfont={"size": text_size, "color": text_colours},
        customdata=cells[["model_id", "dataset_id"]].to_numpy(),
        hovertext=cells["hover"],
        hovertemplate="%{hovertext}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )
