"""Figures of local environments: the map of principal components, shares outside, and errors by class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.figures import base
from app.figures.base import Ink
from engine.numerics.local_environments import CLASSES
from engine.quantities import significant
from engine.queries.environments import EnvironmentMap

FloatArray = NDArray[np.float64]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#8a949e")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "star")
CLASS_COLOURS = dict(zip(CLASSES, ("#0072b2", "#d55e00", "#e69f00", "#cc79a7"), strict=True))

_KINDS = ("dataset_id", "group_name", "class_name")
_LIMITS = (10.0, 1000.0)  # meV/Å, those of force errors elsewhere
_LOST = 0.4  # opacity of atoms without a value


def environment_map(
    found: EnvironmentMap, colour_by: str, names: dict[str, str], ink: Ink, title: str, source: str
) -> go.Figure:
    """Sampled atoms on two principal components.

    Args:
        found: The map.
        colour_by: `dataset_id`, `group_name` or `class_name`, or the column of a force in eV/Å.
        names: Names to show of values of a kind.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    figure = base.base_figure(ink, title, source, 620, left=64, right=24)
    atoms = found.atoms
    if colour_by in _KINDS:
        for number, (value, rows) in enumerate(atoms.groupby(colour_by, sort=True)):
            place = CLASSES.index(value) if colour_by == "class_name" else number
            symbol = SYMBOLS[(place // len(COLOURS) + place) % len(SYMBOLS)]
            marker = {"color": COLOURS[place % len(COLOURS)], "symbol": symbol}
            figure.add_trace(_points(rows, marker, f"{names.get(str(value), str(value))} ({len(rows):,})"))
    else:
        _draw_values(figure, atoms, colour_by, ink)
    for axis, name, share in zip((figure.update_xaxes, figure.update_yaxes), ("1", "2"), found.explained, strict=True):
        axis(title_text=f"Principal component {name} ({share:.0%} of the variance)")
    figure.update_layout(dragmode="pan")
    if colour_by in _KINDS:
        base.legend_above(figure, atoms[colour_by].nunique())
    return figure


def _points(rows: pd.DataFrame, marker: dict[str, Any], name: str) -> go.Scattergl:
    return go.Scattergl(
        x=rows["x"],
        y=rows["y"],
        mode="markers",
        name=name,
        marker={"size": 6, "opacity": 0.75} | marker,
        customdata=rows[["dataset_id", "config_id", "atom_index"]].to_numpy(),
        hovertext=[_hover(row) for row in rows.itertuples()],
        hovertemplate="%{hovertext}<extra></extra>",
        unselected={"marker": {"opacity": 0.5}},
    )


def _draw_values(figure: go.Figure, atoms: pd.DataFrame, column: str, ink: Ink) -> None:
    """Atoms coloured by a force, the largest on top; those without one are grey."""
    without = atoms[atoms[column].isna()]
    if len(without):
        figure.add_trace(_points(without, {"color": ink.muted, "opacity": _LOST}, "no value"))
    known = atoms.dropna(subset=[column]).sort_values(column)
    colours = base.log_colours((known[column] * 1000).tolist(), base.SCALES["force"], _LIMITS)
    figure.add_trace(_points(known, {"color": colours, "line": {"width": 0.5, "color": ink.muted}}, column))
    head = "Force error (meV/Å)" if column == "force_error" else "Force deviation (meV/Å)"
    figure.add_trace(base.log_colour_bar(ink, head, base.SCALES["force"], _LIMITS))
    figure.update_layout(margin_r=96)


def _hover(row: Any) -> str:
    lines = [
        f"<b>{row.element}</b>, atom {row.atom_index} of {row.config_id}",
        f"{row.formula} · {row.group_name} · {row.class_name}",
    ]
    for name, words in (("force_error", "force error"), ("deviation", "ensemble deviation")):
        value = getattr(row, name)
        lines += [] if np.isnan(value) else [f"{words} {1000 * value:.0f} meV/Å"]
    return "<br>".join(lines)


def outside_matrix(table: pd.DataFrame, names: Sequence[str], ink: Ink, title: str, source: str) -> go.Figure:
    """How much of each set (row) lies outside each other one (column), in per cent.

    Args:
        table: Rows of `queries.environments.outside_shares`.
        names: Of the sets, in their order.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    figure = base.base_figure(ink, title, source, 190 + 34 * len(names), left=150, right=24)
    base.set_least_width(figure, 174 + 30 * len(names))
    shares = np.full((len(names), len(names)), np.nan)
    shares[table["one"], table["other"]] = 100 * table["share"]
    texts = [["" if np.isnan(value) else f"{value:.0f}" for value in row] for row in shares]
    figure.add_trace(
        go.Heatmap(
            z=shares, x=list(names), y=list(names), text=texts, texttemplate="%{text}", zmin=0, zmax=100,
            colorscale=base.SCALES["force"], showscale=False, xgap=2, ygap=2, textfont={"size": 12},
            hovertemplate="%{z:.0f} % of %{y} lies outside %{x}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True, showline=False, ticks="")
    figure.update_xaxes(
        showgrid=False, fixedrange=True, showline=False, ticks="", tickangle=-90 if len(names) > 5 else 0,
        title_text="outside of",
    )  # fmt: skip
    figure.update_layout(margin_b=190)
    base.move_source(figure, -146)
    return figure


def class_bars(table: pd.DataFrame, column: str, axis_title: str, ink: Ink, title: str, source: str) -> go.Figure:
    """One quantity by class of local environment, a group of bars for each model, with its bounds where it has any.

    Args:
        table: label, class_name and the column, with `_lo` and `_hi` of it where there are bounds; models in the order
            that they are drawn.
        column: `force_rmse_mev_per_ang` or `force_slope`.
        axis_title: Title of the axis of values.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    models = list(dict.fromkeys(table["label"]))
    figure = base.base_figure(ink, title, source, 230 + 62 * len(models), left=206)
    for class_name in reversed(CLASSES):  # bars of one model go upwards
        rows = table[table["class_name"] == class_name]
        low, high = _bounds(rows, column)
        figure.add_trace(
            go.Bar(
                x=rows[column], y=rows["label"], orientation="h", name=class_name, offsetgroup=class_name,
                marker_color=CLASS_COLOURS[class_name],
                error_x={
                    "type": "data", "symmetric": False, "array": np.nan_to_num(high - rows[column]),
                    "arrayminus": np.nan_to_num(rows[column] - low), "color": ink.text, "thickness": 1, "width": 3,
                },
                hovertext=[_class_hover(row, column) for _, row in rows.iterrows()],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )  # fmt: skip
        figure.add_trace(
            go.Scatter(  # beyond the bounds, where no line crosses the numbers
                x=np.fmax(rows[column], high), y=rows["label"], orientation="h", mode="text", offsetgroup=class_name,
                text=[f" {value:.0f}" if column != "force_slope" else f" {value:.2f}" for value in rows[column]],
                textposition="middle right", cliponaxis=False, textfont={"size": 11, "color": ink.text},
                showlegend=False, hoverinfo="skip",
            )
        )  # fmt: skip
    if column == "force_slope":
        figure.add_vline(x=1, line={"color": ink.muted, "width": 1, "dash": "dash"})
    figure.update_xaxes(title_text=axis_title, fixedrange=True)
    figure.update_yaxes(categoryorder="array", categoryarray=models[::-1], fixedrange=True, showgrid=False)
    figure.update_layout(
        barmode="group", bargap=0.2, scattermode="group", scattergap=0.2, showlegend=True, margin_t=126,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "reversed"},
    )  # fmt: skip
    return figure


def _bounds(rows: pd.DataFrame, column: str) -> tuple[FloatArray, FloatArray]:
    """Bounds of each row, NaN where it has none, each of shape (n_rows,)."""
    if f"{column}_lo" not in rows:
        return np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    return rows[f"{column}_lo"].to_numpy(dtype=float), rows[f"{column}_hi"].to_numpy(dtype=float)


def _class_hover(row: pd.Series, column: str) -> str:
    low, high = (row.get(f"{column}_{end}", np.nan) for end in ("lo", "hi"))
    bounds = "" if pd.isna(low) else f"<br>95 % bounds {significant(low)} to {significant(high)}"
    return (
        f"{row['label']}, {row['class_name']}: {significant(row[column])}{bounds}"
        f"<br>{row['n_atoms']:,} atoms of {row['n_configs']:,} configurations"
    )
