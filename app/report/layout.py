"""A figure as it is printed: 85 or 180 mm wide, text of 7 to 9 points in one embedded font, light, without its title.

Pages draw figures for a screen. This changes sizes, fonts and margins of such a figure and nothing that it shows.
Title and source line go to the caption.
"""

import json
import re
import textwrap
from typing import Any

import plotly.graph_objects as go

from app.figures import base

WIDTHS = (85, 180)
"""Widths of one and of two columns of a page, mm."""
DPI = 300
FONT = "DejaVu Sans"
PX_PER_MM = 96 / 25.4
POINT = 96 / 72  # px

SMALLEST, LARGEST = 7 * POINT, 9 * POINT  # px
_TEXT = 7.5 * POINT  # Plotly writes heads of colour bars 1.2 times as large, which is 9 points
_SHRINK = 0.8  # of heights, margins and text; on screen a row of 26 px has text of 13 px
_NARROW = 321  # px, of 85 mm
_TITLE_ROOM = 36  # px that `base.base_figure` leaves above a plot without title, for the toolbar
_LETTER = 0.62  # width of a letter over the size of the text
_SMALL_PRINT = re.compile(r"\s*<span style='font-size:[^']*'>[^<]*</span>")
_STYLE_SIZE = re.compile(r"font-size:\s*([\d.]+)px")


def widths_of(figure: go.Figure) -> tuple[int, ...]:
    """Widths in mm at which a figure can be read, the one that suits it first."""
    if asked := (figure.layout.meta or {}).get("widths"):
        return tuple(asked)
    least = base.least_width(figure) or 420
    margins = figure.layout.margin
    is_narrow = least <= 420 and (margins.l or 0) + (margins.r or 0) <= 0.45 * _NARROW / _SHRINK
    if is_narrow:
        return WIDTHS
    return WIDTHS[::-1] if least * _SHRINK <= _NARROW or least <= 420 else WIDTHS[1:]


def pixels(width_mm: int) -> float:
    """Width in px whose picture of 300 dpi has a whole number of pixels."""
    return round(width_mm / 25.4 * DPI) * 96 / DPI + 0.01  # Chromium cuts off fractions of a pixel


def for_print(figure: go.Figure, width_mm: int) -> dict[str, Any]:
    """The figure as Plotly's JSON, with `width` and `height` of its layout in px.

    Args:
        figure: As a page draws it in `base.LIGHT`; it is not changed.
        width_mm: One of `WIDTHS`.
    """
    figure = base.without_title(go.Figure(figure))
    layout = figure.layout
    above = layout.margin.t * _SHRINK
    if layout.margin.t == _TITLE_ROOM and not any(_is_above(note) for note in layout.annotations):
        above = 12.0
    below = layout.margin.b * _SHRINK
    plot = (layout.height - layout.margin.t - layout.margin.b) * _SHRINK
    for note in figure.select_annotations(selector={"name": "source"}):
        below = min(below, (-note.yshift + 6) * 0.9)
    left, right = layout.margin.l * _SHRINK, layout.margin.r * _SHRINK
    width = pixels(width_mm)
    if not _has_rows(figure):
        plot = min(plot, max(width - left - right, 120.0))
    figure.layout.annotations = [note for note in layout.annotations if note.name != "source"]
    figure.update_layout(
        width=width, height=round(plot + above + below), autosize=False, margin={
            "l": left, "r": right, "t": above, "b": below, "autoexpand": True,
        },
        modebar={"remove": ["all"]},
    )  # fmt: skip
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    found: dict[str, Any] = json.loads(str(figure.to_json(engine="json")))
    _shrink_text(found)
    _wrap_titles(found["layout"], width, (left, right), plot)
    if base.least_width(figure) > width:
        _leave_out_small_print(found)
    found["layout"].setdefault("font", {}).update(family=FONT, size=_TEXT)
    for trace in found["data"]:
        if trace["type"] == "scattergl":
            trace["type"] = "scatter"  # WebGL has no vectors
    return found


def _is_above(note: Any) -> bool:
    """Whether an annotation needs the room above the plot."""
    return note.name != "source" and isinstance(note.y, int | float) and note.y >= 1 and note.yanchor != "top"


def _wrap_titles(layout: dict[str, Any], width: float, sides: tuple[float, float], height: float) -> None:
    """Break titles of axes that are longer than there is room, which a lower axis has beside it too."""
    plot = width - sum(sides)
    for name, axis in layout.items():
        if not re.fullmatch(r"[xy]axis\d*", name) or not (axis.get("title") or {}).get("text"):
            continue
        start, end = axis.get("domain") or (0.0, 1.0)
        is_whole = end - start > 0.99
        across = plot + 2 * min(sides) if is_whole else plot * (end - start)
        room = (across if name[0] == "x" else height * (end - start)) / (_TEXT * _LETTER)
        if "<" not in axis["title"]["text"]:
            axis["title"]["text"] = "<br>".join(textwrap.wrap(axis["title"]["text"], max(int(room), 16)))


def _leave_out_small_print(found: dict[str, Any]) -> None:
    """Take counts out of tiles that are too narrow for two numbers; the data have them."""
    for trace in found["data"]:
        if trace["type"] == "bar" and isinstance(trace.get("text"), list):
            trace["text"] = [_SMALL_PRINT.sub("", text) if isinstance(text, str) else text for text in trace["text"]]


def _has_rows(figure: go.Figure) -> bool:
    """Whether the figure grows by rows, each of which needs its height."""
    is_tiled = any(trace.type in ("bar", "heatmap") for trace in figure.data)
    rows = [trace.y for trace in figure.data if getattr(trace, "y", None) is not None and len(trace.y)]
    # A figure that was kept as text has its numbers as mappings.
    is_named = any(not isinstance(values, dict) and isinstance(values[0], str) for values in rows)
    return is_tiled or is_named or bool(figure.layout.yaxis.ticktext) or len(list(figure.select_yaxes())) > 1


def _shrink_text(node: Any, key: str = "") -> None:
    """Give every font below a node the print font and a size between 7 and 9 points."""
    if isinstance(node, dict):
        if "font" in key:
            if isinstance(node.get("size"), int | float):
                node["size"] = _printed(node["size"])
            elif isinstance(node.get("size"), list):
                node["size"] = [_printed(size) for size in node["size"]]
            if "family" in node:
                node["family"] = FONT
        for name, value in node.items():
            if isinstance(value, str):
                node[name] = _with_print_sizes(value)
            else:
                _shrink_text(value, name)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            if isinstance(value, str):
                node[place] = _with_print_sizes(value)
            else:
                _shrink_text(value, key)


def _printed(size: float) -> float:
    """Size in px of text that has this size on a screen."""
    return min(max(_SHRINK * size, SMALLEST), LARGEST)


def _with_print_sizes(text: str) -> str:
    """Text whose own styles name sizes."""
    return _STYLE_SIZE.sub(lambda found: f"font-size:{_printed(float(found[1])):.4g}px", text)
