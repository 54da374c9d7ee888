"""A scatter of a structure's atoms."""

import textwrap

import pandas as pd
import plotly.graph_objects as go

from app.figures import base

SOURCE_WIDTH = 74  # characters that fit below the narrow chart


def atom_scatter(
    table: pd.DataFrame,
    ink: base.Ink,
    title: str,
    source: str,
    *,
    x_title: str,
    y_title: str,
    selected: int | None = None,
    colour: str = base.OTHER_COLOUR,
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
            hovertemplate=f"<b>%{{customdata[1]}} %{{customdata[0]}}</b><br>{x_title}: %{{x:.4g}}<br>{y_title}: "
            "%{y:.4g}<extra></extra>",
        )
    )
    figure.update_layout(
        template=base.template(ink),
        height=height,
        title={"text": f"<b>{title}</b>", "font": {"size": 14}, "x": 0, "xref": "container", "pad": {"l": 4}},
        showlegend=False,
        dragmode="zoom",
        xaxis={"title": {"text": x_title}, "rangemode": "tozero"},
        yaxis={"title": {"text": y_title}, "rangemode": "tozero"},
    )
    _write_source(figure, source, ink)
    _mark(figure, table[table["atom"] == selected], ink)
    return figure


def _write_source(figure: go.Figure, source: str, ink: base.Ink) -> None:
    """The provenance below the chart, wrapped to its width."""
    lines = [line for part in source.split("<br>") for line in textwrap.wrap(part, SOURCE_WIDTH)]
    figure.update_layout(margin={"l": 64, "r": 16, "t": 44, "b": 62 + 15 * len(lines)})
    figure.add_annotation(
        text="<br>".join(lines), align="left", font={"size": 11, "color": ink.muted}, showarrow=False,
        xref="paper", yref="paper", x=0, y=0, xshift=-60, yshift=-58 - 15 * len(lines),
        xanchor="left", yanchor="bottom", name="source",
    )  # fmt: skip


def _mark(figure: go.Figure, chosen: pd.DataFrame, ink: base.Ink) -> None:
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
