"""Pieces that the Structure and Predict pages share: tables of atoms, the selected atom, a chart per atom."""

import textwrap
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app import charts

SOURCE_WIDTH = 74  # characters that fit below the narrow chart


def atom_columns() -> dict[str, Any]:
    """Heads and digits of the columns that tables of atoms have."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "atom": number("Atom", help="Index, counted from 0, as in the file.", width="small"),
        "element": text("Element", width="small"),
        **{axis: number(f"{axis} (Å)", format="%.3f") for axis in "xyz"},
        "reference_force": number("|F| reference (eV/Å)", format="%.3f"),
        "predicted_force": number("|F| predicted (eV/Å)", format="%.3f"),
        "mean_force": number("|F|, mean of the models (eV/Å)", format="%.3f"),
        "force_error": number("|ΔF| (meV/Å)", format="%.1f"),
        "force_deviation": number("dev(F) (meV/Å)", format="%.1f"),
    }


def table_height(table: pd.DataFrame) -> int | Literal["content"]:
    """As high as the rows need, at most nine of them."""
    return 353 if len(table) > 9 else "content"


def selected_atom(n_atoms: int) -> int | None:
    """The atom named in the address; None where there is none or the structure has no such atom."""
    text = st.query_params.get("atom", "")
    return int(text) if text.isdecimal() and int(text) < n_atoms else None


def select_atom(atom: int | None) -> None:
    """Name the atom in the address."""
    if atom is None:
        st.query_params.pop("atom", None)
    else:
        st.query_params["atom"] = str(atom)


def atom_scatter(
    table: pd.DataFrame,
    ink: charts.Ink,
    title: str,
    source: str,
    *,
    x_title: str,
    y_title: str,
    selected: int | None = None,
    colour: str = charts.OTHER_COLOUR,
    height: int = 470,
) -> go.Figure:
    """One point per atom; the selected atom has a ring and its name.

    Args:
        table: Columns atom, element, x and y, in the units of the titles.
        ink: Theme.
        title: Title of the figure.
        source: Provenance; wrapped to the narrow chart.
        x_title: Axis title with unit.
        y_title: Axis title with unit.
        selected: Index of the marked atom.
        colour: Of the points.
        height: px.
    """
    figure = go.Figure(
        go.Scattergl(
            x=table["x"],
            y=table["y"],
            mode="markers",
            marker={
                "size": 8,
                "color": colour,
                "opacity": 0.7,
                "line": {"width": 0.5, "color": ink.background},
            },
            # The ring tells the selected atom; the others must stay readable.
            selected={"marker": {"opacity": 0.7}},
            unselected={"marker": {"opacity": 0.7}},
            customdata=table[["atom", "element"]].to_numpy(),
            hovertemplate="<b>%{customdata[1]} %{customdata[0]}</b><br>x %{x:.4g}, y %{y:.4g}<extra></extra>",
        )
    )
    lines = [line for part in source.split("<br>") for line in textwrap.wrap(part, SOURCE_WIDTH)]
    figure.update_layout(
        template=charts.template(ink),
        height=height,
        margin={"l": 64, "r": 16, "t": 44, "b": 62 + 15 * len(lines)},
        title={"text": f"<b>{title}</b>", "font": {"size": 14}, "x": 0, "xref": "container", "pad": {"l": 4}},
        showlegend=False,
        dragmode="zoom",
        xaxis={"title": {"text": x_title}, "rangemode": "tozero"},
        yaxis={"title": {"text": y_title}, "rangemode": "tozero"},
    )
    figure.add_annotation(
        text="<br>".join(lines), align="left", font={"size": 11, "color": ink.muted}, showarrow=False,
        xref="paper", yref="paper", x=0, y=0, xshift=-60, yshift=-58 - 15 * len(lines),
        xanchor="left", yanchor="bottom",
    )  # fmt: skip
    _mark(figure, table[table["atom"] == selected], ink)
    return figure


def _mark(figure: go.Figure, chosen: pd.DataFrame, ink: charts.Ink) -> None:
    if chosen.empty:
        return
    row = chosen.iloc[0]
    figure.add_trace(
        go.Scatter(
            x=[row["x"]],
            y=[row["y"]],
            mode="markers+text",
            text=[f"{row['element']} {row['atom']}"],
            textposition="top center",
            textfont={"color": ink.text},
            marker={"size": 16, "color": "rgba(0,0,0,0)", "line": {"width": 2.5, "color": ink.accent}},
            hoverinfo="skip",
        )
    )
