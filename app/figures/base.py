"""What all figures share: themes, colour scales, the empty figure with title and source line, axes.

The other files of this folder have the figures, by subject. All figures are made from arrays and data frames.

Every figure has one of two templates of our own, light or dark: importing Streamlit sets Plotly's default
template to one whose colours only its own page can resolve. Colour maps are light at low values, colour
limits are fixed per quantity so that pictures of different models can be compared, and no value is told by
colour alone.
"""

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.colors import sample_colorscale, sequential

FONT = '"Source Sans", "Source Sans 3", "Helvetica Neue", Arial, sans-serif'


@dataclass(frozen=True)
class Ink:
    """Colours of one theme."""

    name: str
    text: str
    muted: str
    grid: str
    background: str
    tile: str
    blank: str
    accent: str
    alarm: str


LIGHT = Ink("light", "#1b1f24", "#59636e", "#e3e7eb", "#ffffff", "#eceff2", "#f6f7f9", "#c2410c", "#b42318")
DARK = Ink("dark", "#e6eaee", "#9aa5b1", "#2a333c", "#0f1418", "#2a333c", "#181f26", "#ff9d5c", "#ff8a80")

# Okabe-Ito hues for the architectures met most; every other one is grey and told apart by its label.
ARCHITECTURE_COLOURS = {
    "eqv2": "#0072b2",
    "mace": "#d55e00",
    "grace": "#009e73",
    "orb": "#e69f00",
    "sevennet": "#56b4e9",
    "chgnet": "#cc79a7",
    "nequix": "#998700",  # Okabe and Ito's yellow is lost on white
}
OTHER_COLOUR = "#8a949e"

SERIES_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", OTHER_COLOUR)
"""Of series that are no models (Okabe and Ito, told apart by the colour-blind)."""
SERIES_SYMBOLS = (
    "circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "pentagon", "star", "x", "hexagram",
)  # fmt: skip
SERIES_DASHES = ("solid", "6px,3px", "2px,3px")

DENSITY_SCALE = sequential.Viridis
SCALES = {"energy": list(reversed(sequential.Viridis)), "force": sequential.YlOrRd}
# Beyond its upper limit a model is useless for defects, and below its lower one as good as the reference.
LIMITS = {"energy": (1.0, 200.0), "force": (10.0, 1000.0)}

IMPORTED_MARK = "†"
OWN_MARK = "‡"  # energies that count from another zero
LEVEL_MARK = "¶"  # labels of another level of theory, so no rank
NOISE_LABEL = "noise of the DFT labels"


OUTSIDE = "out of scope"  # configurations with elements that the model was not made for


def lacking(row: Any) -> str:
    """Why configurations have no result, such as `3 failed, 20 with elements that it was not made for`.

    Args:
        row: A mapping with n_failed, and n_outside where it is known.
    """
    n_outside = int(row.get("n_outside", 0))
    n_failed = int(row["n_failed"]) - n_outside
    parts = [f"{n_failed:,} failed"] if n_failed else []
    return ", ".join(parts + ([f"{n_outside:,} {OUTSIDE}"] if n_outside else []))


def ink_of(theme: str | None) -> Ink:
    """Colours of the browser's theme, `light` where it is not known."""
    return DARK if theme == "dark" else LIGHT


@functools.cache
def template(ink: Ink) -> go.layout.Template:
    """The Plotly template of one theme."""
    axis = {
        "showgrid": True,
        "gridcolor": ink.grid,
        "gridwidth": 1,
        "zeroline": False,
        "linecolor": ink.muted,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": ink.muted,
        "tickfont": {"color": ink.muted, "size": 12},
        "exponentformat": "none",
        "separatethousands": True,
        "title": {"font": {"color": ink.text, "size": 13}, "standoff": 10},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": ink.text},
            "paper_bgcolor": ink.background,
            "plot_bgcolor": ink.background,
            "xaxis": axis,
            "yaxis": axis,
            "colorway": [*ARCHITECTURE_COLOURS.values(), OTHER_COLOUR],
            "hoverlabel": {
                "bgcolor": ink.background,
                "bordercolor": ink.muted,
                "font": {"family": FONT, "size": 13, "color": ink.text},
                "align": "left",
            },
            "modebar": {"bgcolor": ink.background, "color": ink.muted, "activecolor": ink.text},
            "legend": {"font": {"color": ink.text}, "bgcolor": "rgba(0,0,0,0)"},
        }
    )


def base_figure(ink: Ink, title: str, source: str, height: int, *, left: int = 70, right: int = 20) -> go.Figure:
    """Empty figure with title above and source line below, so that a saved picture explains itself.

    Args:
        ink: Theme.
        title: Title.
        source: Provenance, two lines.
        height: Pixels.
        left: Margin, pixels.
        right: Margin, pixels.
    """
    figure = go.Figure()
    more = _more_room(source)
    figure.update_layout(
        template=template(ink),
        height=height + more,
        margin={"l": left, "r": right, "t": 52, "b": 98 + more},
        title={
            "text": f"<b>{title}</b>",
            "font": {"size": 14, "color": ink.text},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 8, "l": 4},
        },
        showlegend=False,
        bargap=0,
    )
    figure.add_annotation(
        text=source,
        align="left",
        font={"size": 11, "color": ink.muted},
        showarrow=False,
        xref="paper",
        yref="paper",
        x=0,
        y=0,
        xshift=-left + 4,
        yshift=-54,
        xanchor="left",
        yanchor="top",
        name="source",
    )
    return figure


@functools.lru_cache(maxsize=4096)
def wrapped(text: str) -> str:
    """A long sentence in lines that fit a hover label."""
    return "<br>".join(textwrap.wrap(text, 70))


def ticks_125(low: float, high: float) -> list[float]:
    """1-2-5 numbers within [low, high]."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [m * 10.0**d for d in decades for m in (1, 2, 5) if low * 0.999 <= m * 10.0**d <= high * 1.001]


def log_colours(values: Sequence[float], scale: list[str], limits: tuple[float, float]) -> list[str]:
    """An rgb() colour for each positive value on a logarithmic scale clipped to the limits."""
    low, high = np.log10(limits)
    clipped = np.clip(np.log10(np.maximum(values, 1e-12)), low, high)
    return sample_colorscale(scale, ((clipped - low) / (high - low)).tolist()) if len(values) else []


@functools.lru_cache(maxsize=4096)
def text_on(colour: str) -> str:
    """Black or white, whichever is easier to read on an `rgb(r, g, b)` colour (WCAG luminance)."""
    channels = np.array([float(part) for part in colour[4:-1].split(",")]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "#000000" if linear @ [0.2126, 0.7152, 0.0722] > 0.179 else "#ffffff"


def beside(pixels: int | None = None) -> dict[str, Any]:
    """Where a colour bar is: at the right of the plot, along it or as many pixels long from its top."""
    length = {"len": 0.9} if pixels is None else {"len": pixels, "lenmode": "pixels", "y": 1, "yanchor": "top"}
    return {"x": 1.01, "xanchor": "left", "thickness": 12, "outlinewidth": 0} | length


def log_colour_bar(
    ink: Ink, title: str, scale: list[str], limits: tuple[float, float], *, pixels: int | None = None
) -> go.Scatter:
    """An invisible trace that carries a logarithmic colour bar; its ends are marked as open."""
    ticks = ticks_125(*limits)
    texts = [f"{tick:g}" for tick in ticks]
    if np.isclose(ticks[0], limits[0]):
        texts[0] = f"≤ {texts[0]}"
    if np.isclose(ticks[-1], limits[1]):
        texts[-1] = f"≥ {texts[-1]}"
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        hoverinfo="skip",
        marker={
            "color": [np.log10(limits[0])],
            "colorscale": scale,
            "cmin": float(np.log10(limits[0])),
            "cmax": float(np.log10(limits[1])),
            "showscale": True,
            "colorbar": {
                "title": {"text": title, "side": "right", "font": {"size": 12, "color": ink.text}},
                "tickvals": np.log10(ticks).tolist(),
                "ticktext": texts,
                "tickfont": {"size": 11, "color": ink.muted},
                **beside(pixels),
            },
        },
    )


def hide_axes(figure: go.Figure) -> None:
    """Show the traces alone, without lines, ticks or zoom."""
    figure.update_xaxes(showgrid=False, showline=False, ticks="", showticklabels=False, fixedrange=True)
    figure.update_yaxes(showgrid=False, showline=False, ticks="", showticklabels=False, fixedrange=True)


def noise_line(ink: Ink) -> dict[str, object]:
    """Style of the line at the noise of the reference in every figure: thin, and dashed finer than other lines."""
    return {"color": ink.text, "width": 1, "dash": "3px,3px"}


def model_colour(model_id: str) -> str:
    """Hue of the model's architecture, which every model id begins with; rare ones are grey."""
    return ARCHITECTURE_COLOURS.get(model_id.split("-")[0], OTHER_COLOUR)


def outline(colour: str, ink: Ink) -> str:
    """The hue on its way to the text's colour, for thin lines, in which pale hues are lost."""
    return str(sample_colorscale([[0.0, colour], [1.0, ink.text]], [0.45])[0])


def move_source(figure: go.Figure, yshift: int) -> None:
    """Put the top of the source line some pixels above (negative: below) the bottom of the plot."""
    figure.update_annotations(yshift=yshift, selector={"name": "source"})


def set_margins(figure: go.Figure, top: int, bottom: int) -> None:
    """Margins above and below, with more room for a source of more than three lines.

    Args:
        figure: As `base_figure` made it.
        top: Pixels.
        bottom: Pixels, for a source of at most three lines.
    """
    source = next(figure.select_annotations(selector={"name": "source"})).text
    figure.update_layout(margin={"t": top, "b": bottom + _more_room(source)})


def _more_room(source: str) -> int:
    """Pixels that the lines of a source need beyond three of them."""
    return 14 * max(0, source.count("<br>") - 2)


def set_least_width(figure: go.Figure, pixels: int) -> None:
    """Say how wide the figure must be to be read; in a narrower window its place scrolls sideways."""
    figure.update_layout(meta={"least_width": pixels})


def least_width(figure: go.Figure) -> int:
    """What `set_least_width` was told; 0 without it."""
    return int((figure.layout.meta or {}).get("least_width", 0))


def without_title(figure: go.Figure) -> go.Figure:
    """The figure for a page, which writes the title above it in text that wraps."""
    figure.update_layout(title_text="")
    if figure.layout.legend.yref != "container":
        figure.update_layout(height=figure.layout.height - 16, margin={"t": figure.layout.margin.t - 16})
    return figure


def log_span(low: ArrayLike, high: ArrayLike, pad: float) -> tuple[float, float]:
    """Ends of a logarithmic axis in decades, with a margin of the share `pad`.

    Args:
        low: Smallest values to show, positive.
        high: Largest values to show, positive.
        pad: Margin at each end as a share of the span.
    """
    bottom, top = float(np.log10(np.nanmin(low))), float(np.log10(np.nanmax(high)))
    margin = max(pad * (top - bottom), 0.15)
    return bottom - margin, top + margin


def log_axis(figure: go.Figure, axis: str, span: tuple[float, float], title: str) -> None:
    """Make `x` or `y` logarithmic, with ticks at 1, 2 and 5, or at powers of ten where those are many."""
    ticks = ticks_125(10 ** span[0], 10 ** span[1])
    if span[1] - span[0] > 3:
        ticks = [tick for tick in ticks if f"{tick:e}".startswith("1")]
    figure.update_layout(
        {
            f"{axis}axis": {
                "type": "log",
                "range": span,
                "tickvals": ticks,
                "ticktext": [f"{tick:g}" for tick in ticks],
                "title": {"text": title},
            }
        }
    )


def legend_above(figure: go.Figure, n_names: int) -> None:
    """Names above the plot, with room for them: two fit a line of a narrow window."""
    room = 22 * -(-n_names // 2)
    legend = {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "itemsizing": "constant", "font_size": 12}
    margins, height = figure.layout.margin, figure.layout.height
    figure.update_layout(showlegend=True, legend=legend, margin={"t": margins.t + room}, height=height + room)


def diagonal(ends: Sequence[float], ink: Ink) -> go.Scatter:
    """The dashed line between two values on which both axes are equal; no entry of the legend."""
    line = {"color": ink.muted, "width": 1, "dash": "dash"}
    return go.Scatter(x=ends, y=ends, mode="lines", hoverinfo="skip", showlegend=False, line=line)


def series_marker(number: int, opacity: float) -> dict[str, Any]:
    """Marker of a series of many points, told from the others by colour and shape."""
    colour, symbol = SERIES_COLOURS[number % len(SERIES_COLOURS)], SERIES_SYMBOLS[number % len(SERIES_COLOURS)]
    return {"size": 5, "opacity": opacity, "color": colour, "symbol": symbol}
