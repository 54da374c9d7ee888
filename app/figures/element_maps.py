"""Small periodic tables that stand side by side: errors, differences, and the model that is best on each element."""

import string
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from ase.data import atomic_names, atomic_numbers, chemical_symbols
from plotly.colors import sample_colorscale

from app.figures import base, periodic_table
from app.figures.base import Ink
from engine.quantities import METRICS, QUANTITIES, significant

DIFFERENCE_SCALE = ["rgb(33,102,172)", "rgb(247,247,247)", "rgb(224,130,20)"]  # blue: the first model is better
# Okabe-Ito, as far as they are told apart on tiles; further models are grey and told by their letter.
WINNER_COLOURS = [
    "rgb(86,180,233)", "rgb(230,159,0)", "rgb(0,158,115)", "rgb(204,121,167)", "rgb(240,228,66)", "rgb(213,94,0)",
    "rgb(0,114,178)",
]  # fmt: skip
OTHER = "rgb(150,156,163)"


def error_map(
    table: pd.DataFrame, quantity: str, limits: tuple[float, float], ink: Ink, title: str, source: str
) -> go.Figure:
    """Errors of one model by element; two maps with the same limits can be compared.

    Args:
        table: element, n_configs and `error` (meV/atom or meV/Å).
        quantity: `energy` or `force`.
        limits: Ends of the logarithmic colours.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    table = table.dropna(subset=["error"])
    unit = QUANTITIES[METRICS[quantity].rmse]
    cells = table.assign(
        fill=base.log_colours(table["error"].tolist(), base.SCALES[quantity], limits),
        text=[_short(value) for value in table["error"]],
        hover=[f"{unit.label} {significant(v)} {unit.unit}" for v in table["error"]],
    )
    bar = base.log_colour_bar(ink, unit.title(), base.SCALES[quantity], limits)
    return _map(cells, bar, ink, title, source)


def difference_map(table: pd.DataFrame, quantity: str, ink: Ink, title: str, source: str) -> go.Figure:
    """Error of one model minus that of another by element, on colours centred at zero.

    Args:
        table: element, n_configs, first, second and difference (meV/atom or meV/Å).
        quantity: `energy` or `force`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    table = table.dropna(subset=["difference"])
    unit = QUANTITIES[METRICS[quantity].rmse].unit
    end = float(max(np.quantile(np.abs(table["difference"]), 0.95), 1e-9)) if len(table) else 1.0
    places = (np.clip(table["difference"] / end, -1, 1) + 1) / 2
    cells = table.assign(
        fill=sample_colorscale(DIFFERENCE_SCALE, places.tolist()) if len(table) else [],
        text=[_signed(value) for value in table["difference"]],
        hover=[
            f"{significant(row.first)} - {significant(row.second)} = {_signed(row.difference)} {unit}"
            for row in table.itertuples()
        ],
    )
    ticks = [-end, 0.0, end]
    bar = go.Scatter(
        x=[None], y=[None], mode="markers", hoverinfo="skip",
        marker={
            "color": [0], "cmin": -end, "cmax": end, "colorscale": DIFFERENCE_SCALE, "showscale": True,
            "colorbar": {
                "title": {"text": f"Difference ({unit})", "side": "right", "font": {"size": 12, "color": ink.text}},
                "tickvals": ticks, "ticktext": [_signed(tick) for tick in ticks],
                "tickfont": {"size": 11, "color": ink.muted}, **base.beside(),
            },
        },
    )  # fmt: skip
    return _map(cells, bar, ink, title, source)


def letters(wins: pd.DataFrame) -> dict[str, str]:
    """A letter for each model that wins somewhere, in the order of the table."""
    return dict(zip(wins["model_id"], string.ascii_uppercase + string.ascii_lowercase, strict=False))


def winner_map(
    table: pd.DataFrame, marks: Mapping[str, str], quantity: str, ink: Ink, title: str, source: str
) -> go.Figure:
    """The model with the smallest error on each element, by letter and colour.

    Args:
        table: As `element_maps.winners` gives it.
        marks: Letter of each model, as `letters` gives them.
        quantity: `energy` or `force`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    unit = QUANTITIES[METRICS[quantity].rmse].unit
    colours = dict(zip(marks, WINNER_COLOURS, strict=False))
    cells = table.assign(
        fill=[colours.get(name, OTHER) for name in table["model_id"]],
        text=[marks.get(name, "?") for name in table["model_id"]],
        hover=[
            f"{row.label}: {significant(row.error)} {unit}"
            + (f"<br>next: {row.second_label}, {significant(row.second)} {unit}" if row.second_label else "")
            for row in table.itertuples()
        ],
    )
    figure = _map(cells, go.Scatter(x=[None], y=[None], hoverinfo="skip"), ink, title, source)
    labels = table.drop_duplicates("model_id").set_index("model_id")["label"]
    for model_id, mark in list(marks.items())[:12]:
        figure.add_trace(
            go.Scatter(
                x=[None], y=[None], mode="markers", showlegend=True, name=f"<b>{mark}</b> {labels[model_id]}",
                marker={"symbol": "square", "size": 12, "color": colours.get(model_id, OTHER)},
            )
        )  # fmt: skip
    for trace in figure.data[:2]:  # the tiles, and what would carry a colour bar
        trace.showlegend = False
    room = 24 + 19 * min(len(marks), 12)  # of a legend of as many lines as a narrow window needs
    legend = {"orientation": "h", "x": 0, "y": -0.01, "yanchor": "top", "font": {"size": 11}}
    figure.update_layout(showlegend=True, legend=legend, height=figure.layout.height - 6 + room, margin={"r": 20})
    base.set_margins(figure, figure.layout.margin.t, room + 54)
    base.move_source(figure, -room)
    return figure


def _short(value: float) -> str:
    """At most four characters."""
    if value >= 1000:
        return f"{value / 1000:.1f}k" if value < 9950 else f"{value / 1000:.0f}k"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _signed(value: float) -> str:
    """A difference with its sign, in few characters."""
    text = _short(abs(value))
    return f"{'+' if value > 0 else '−'}{text}" if text.strip("0.") else "0"


def _map(cells: pd.DataFrame, bar: go.Scatter, ink: Ink, title: str, source: str) -> go.Figure:
    """Tiles with a symbol and a short text; elements without data are pale.

    Args:
        cells: element, n_configs, fill, text and hover.
        bar: Trace that carries a colour bar, or nothing.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    known = {row.element: row for row in cells.itertuples()}
    symbols = chemical_symbols[1:]
    fills = [known[s].fill if s in known else ink.blank for s in symbols]
    figure = base.base_figure(ink, title, source, 430, left=4)
    figure.add_trace(
        periodic_table.element_tiles(
            fills,
            [f"{s}<br><b>{known[s].text}</b>" if s in known else s for s in symbols],
            [base.text_on(fill) if fill.startswith("rgb(") else ink.muted for fill in fills],
            [
                f"<b>{atomic_names[atomic_numbers[s]]}</b><br>"
                + (f"{known[s].hover}<br>n = {known[s].n_configs:,} configurations" if s in known else "no data")
                for s in symbols
            ],
            9,
        )
    )
    figure.add_trace(bar)
    return periodic_table.framed(figure, top=40, bottom=60)
