"""Figures of errors: residual and parity against the reference, and error against an ensemble's deviation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from app.figures import base
from app.figures.base import Ink
from engine.quantities import METRICS, QUANTITIES
from engine.queries.error_pairs import Density

FloatArray = NDArray[np.float64]

_LEAST_GAP = 0.01  # of the height of a figure, about 4 pixels

Samples: TypeAlias = Density | pd.DataFrame


@dataclass(frozen=True)
class Frame:
    """Limits of a residual or parity figure, in the units of its axes.

    Attributes:
        x: Of the reference.
        y: Of the residual or prediction.
        c_max: Largest count of the colour scale.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    c_max: float


def frame_of(samples: Iterable[Samples], quantity: str, view: str) -> Frame:
    """The limits that hold all of the samples, so that figures can be compared."""
    frames = [_frame(one, quantity, view) for one in samples]
    return Frame(
        (min(f.x[0] for f in frames), max(f.x[1] for f in frames)),
        (min(f.y[0] for f in frames), max(f.y[1] for f in frames)),
        max(f.c_max for f in frames),
    )


def _frame(samples: Samples, quantity: str, view: str) -> Frame:
    if isinstance(samples, Density):
        y = samples.y_edges[[0, -1]] * _factor(quantity, view)
        return Frame(tuple(samples.x_edges[[0, -1]]), tuple(y), float(np.nanmax(samples.counts)))
    return Frame(_padded(samples["reference"]), _padded(_ordinates(samples, quantity, view)), 1.0)


def _padded(values: ArrayLike) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    pad = 0.04 * (high - low) or 0.01
    return low - pad, high + pad


def table_of(samples: Samples) -> pd.DataFrame:
    """The samples, or the filled bins with the centre of each, as rows."""
    if isinstance(samples, pd.DataFrame):
        return samples
    rows, columns = np.nonzero(np.isfinite(samples.counts))
    x, y = samples.x_edges, samples.y_edges
    return pd.DataFrame(
        {
            "reference": (x[columns] + x[columns + 1]) / 2,
            "value": (y[rows] + y[rows + 1]) / 2,
            "count": samples.counts[rows, columns].astype(int),
        }
    )


def _axis_titles(quantity: str, view: str) -> tuple[str, str]:
    reference = QUANTITIES[METRICS[quantity].reference]
    error = QUANTITIES[METRICS[quantity].error]
    noun = "energy" if quantity == "energy" else "force component"
    if view == "parity":
        return reference.title(), f"Predicted {noun} ({reference.unit})"
    return reference.title(), f"Predicted − reference ({error.unit})"


def _factor(quantity: str, view: str) -> float:
    """Residuals are shown in milli-units, predictions like their reference."""
    return QUANTITIES[METRICS[quantity].error].factor if view == "residual" else 1.0


def _mark_truth(figure: go.Figure, view: str, low: float, high: float, ink: Ink) -> None:
    """The line of a perfect model."""
    y = [0, 0] if view == "residual" else [low, high]
    figure.add_trace(
        go.Scatter(
            x=[low, high],
            y=y,
            mode="lines",
            hoverinfo="skip",
            line={"color": ink.muted, "width": 1, "dash": "dash"},
        )
    )


def _line_label(figure: go.Figure, x: float, y: float, text: str, ink: Ink, span: tuple[float, float]) -> None:
    """Name a line at its end: beyond it where the x axis goes on, otherwise above it."""
    is_room = span[1] - x > 0.06 * (span[1] - span[0])
    figure.add_annotation(
        x=x,
        y=y,
        text=text,
        showarrow=False,
        xanchor="left" if is_room else "right",
        yanchor="middle" if is_room else "bottom",
        xshift=4 if is_room else 0,
        font={"size": 11, "color": ink.text},
        bgcolor=ink.background,
        opacity=0.85,
        borderpad=1,
    )


def residual(
    samples: Samples,
    quantity: str,
    ink: Ink,
    title: str,
    source: str,
    *,
    view: str = "residual",
    frame: Frame | None = None,
    noise: float | None = None,
    is_comparable: bool = True,
    colour: str = base.ARCHITECTURE_COLOURS["eqv2"],
    by_group: bool = False,
    height: int = 560,
) -> go.Figure:
    """Errors (or predictions) against the reference, as density or as points, with 5, 50 and 95 % lines.

    Args:
        samples: Bins or single samples in the store's units, as `error_pairs.residuals` gives them.
        quantity: `energy` or `force`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
        view: `residual` or `parity`.
        frame: Limits to share with other figures; by default those of the samples.
        noise: Of the reference, in display units; two lines in a residual figure that reaches so far.
        is_comparable: Whether the energies may be compared with the reference as they are; otherwise all is grey.
        colour: Of single samples.
        by_group: Whether single samples have the colour of their group instead; rare groups share one.
        height: Pixels.
    """
    frame = frame or frame_of([samples], quantity, view)
    is_density = isinstance(samples, Density)
    figure = base.base_figure(ink, title, source, height, left=76, right=96 if is_density else 24)
    if isinstance(samples, Density):
        _draw_density(figure, samples, quantity, ink, view, frame, is_comparable=is_comparable)
    else:
        parts = _by_group(samples) if by_group and is_comparable else {"": samples}
        _draw_points(figure, samples, parts, quantity, ink, view, frame, colour if is_comparable else ink.muted)
    if noise is not None and view == "residual" and _is_visible(noise, frame):
        _mark_noise(figure, noise, frame, ink)
    x_title, y_title = _axis_titles(quantity, view)
    figure.update_xaxes(title_text=x_title, range=frame.x)
    figure.update_yaxes(title_text=y_title, range=frame.y)
    figure.update_layout(dragmode="select")
    return figure


def _is_visible(noise: float, frame: Frame) -> bool:
    """Whether a line at the noise lies inside the frame and can be told from the line at zero."""
    return frame.y[0] < noise < frame.y[1] and noise > _LEAST_GAP * (frame.y[1] - frame.y[0])


def _mark_noise(figure: go.Figure, noise: float, frame: Frame, ink: Ink) -> None:
    """Lines at plus and minus the noise of the reference, named apart from the quantile lines."""
    for value in (noise, -noise):
        figure.add_trace(
            go.Scatter(
                x=frame.x, y=[value, value], mode="lines", name="noise", hoverinfo="skip", line=base.noise_line(ink)
            )
        )
    _note_above(figure, f"finely dashed: ± {base.NOISE_LABEL}", ink)


def _note_above(figure: go.Figure, text: str, ink: Ink) -> None:
    """Name a line above the plot at its left, where no sample can lie."""
    figure.add_annotation(
        text=text,
        x=0,
        y=1,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
        font={"size": 11, "color": ink.muted},
    )


def _draw_density(
    figure: go.Figure,
    density: Density,
    quantity: str,
    ink: Ink,
    view: str,
    frame: Frame,
    *,
    is_comparable: bool,
) -> None:
    factor, noun = _factor(quantity, view), METRICS[quantity].noun
    scale = base.DENSITY_SCALE if is_comparable else [base.OTHER_COLOUR, ink.text]
    figure.add_trace(
        _density_trace(density.x_edges, density.y_edges * factor, density.counts, ink, noun, frame.c_max, scale)
    )
    _mark_truth(figure, view, *frame.x, ink)
    if view == "residual":
        _quantile_traces(figure, density.line_x, density.lines * factor, ink, frame.x)


def _density_trace(
    x_edges: FloatArray,
    y_edges: FloatArray,
    counts: NDArray[np.float32],
    ink: Ink,
    noun: str,
    c_max: float | None = None,
    scale: Sequence[str] = base.DENSITY_SCALE,
) -> go.Heatmap:
    top = max(float(np.log10(c_max or np.nanmax(counts))), 0.5)
    decades = list(range(int(top) + 1))
    return go.Heatmap(
        x=x_edges,
        y=y_edges,
        z=np.log10(counts),
        customdata=counts,
        hovertemplate=f"%{{customdata:,.0f}} {noun}<br>x %{{x:.3f}}<br>y %{{y:.4g}}<extra></extra>",
        hoverongaps=False,
        colorscale=scale,
        zmin=0,
        zmax=top,
        colorbar={
            "title": {"text": f"{noun} per bin", "side": "right", "font": {"size": 12, "color": ink.text}},
            "tickvals": decades,
            "ticktext": [f"{10**d:,}" for d in decades],
            "tickfont": {"size": 11, "color": ink.muted},
            "outlinewidth": 0,
            "thickness": 12,
            "len": 1,
            "x": 1.01,
        },
    )


def _quantile_traces(
    figure: go.Figure,
    x: FloatArray,
    lines: FloatArray,
    ink: Ink,
    span: tuple[float, float],
    *,
    is_log: bool = False,
) -> None:
    """The 5, 50 and 95 % lines, named at their ends; annotations on logarithmic axes are placed by log10."""
    for values, name, dash in zip(lines, ("5 %", "median", "95 %"), ("dot", "solid", "dot"), strict=True):
        figure.add_trace(
            go.Scatter(
                x=x,
                y=values,
                mode="lines",
                name=name,
                hoverinfo="skip",
                line={"color": ink.accent, "width": 2, "dash": dash},
            )
        )
        if len(x):
            end_x, end_y = np.log10([x[-1], values[-1]]) if is_log else (x[-1], values[-1])
            _line_label(figure, end_x, end_y, name, ink, span)


def _by_group(points: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The samples of each of the largest groups, by its name, and those of all others together."""
    groups = points["group_name"].value_counts()
    most = len(base.SERIES_COLOURS)
    named = groups.index[: most if len(groups) <= most else most - 1]
    names = points["group_name"].where(points["group_name"].isin(named), f"{len(groups) - len(named)} other groups")
    parts = {name: points[names == name] for name in named}
    return parts | {name: points[names == name] for name in set(names) - set(named)}


def _draw_points(
    figure: go.Figure, points: pd.DataFrame, parts: Mapping[str, pd.DataFrame], quantity: str, ink: Ink, view: str,
    frame: Frame, colour: str,
) -> None:  # fmt: skip
    values = _ordinates(points, quantity, view)
    x_title, y_title = _axis_titles(quantity, view)
    for number, (name, part) in enumerate(parts.items()):
        marker = base.series_marker(number, 0.7) if name else {"size": 6, "color": colour, "opacity": 0.6}
        figure.add_trace(
            go.Scatter(
                x=part["reference"],
                y=_ordinates(part, quantity, view),
                mode="markers",
                name=f"{name} ({len(part):,})",
                marker=marker | {"size": 6, "line": {"width": 0.5, "color": ink.muted}},
                customdata=part[["config_id", "group_name"]].to_numpy(),
                hovertemplate=f"<b>%{{customdata[0]}}</b><br>%{{customdata[1]}}<br>{x_title}: %{{x:.4f}}<br>{y_title}: "
                "%{y:.4g}<extra></extra>",
                unselected={"marker": {"opacity": 0.25}},
            )
        )
    if len(parts) > 1:
        base.legend_above(figure, len(parts))
    _mark_truth(figure, view, *frame.x, ink)
    if view == "residual" and len(points) >= 20:
        quantiles = np.quantile(values, [0.05, 0.5, 0.95])
        lines = np.repeat(quantiles[:, None], 2, axis=1)
        _quantile_traces(figure, np.array(frame.x), lines, ink, frame.x)
    figure.for_each_trace(lambda trace: trace.update(showlegend=False), selector=lambda trace: trace.mode == "lines")


def _ordinates(points: pd.DataFrame, quantity: str, view: str) -> FloatArray:
    """Residuals in display units, or predictions."""
    values = points["error"] if view == "residual" else points["reference"] + points["error"]
    return np.asarray(values, dtype=float) * _factor(quantity, view)


def _identity(figure: go.Figure, low: float, high: float, ink: Ink) -> None:
    """The line where deviation equals error, labelled."""
    figure.add_trace(
        go.Scatter(
            x=[low, high],
            y=[low, high],
            mode="lines",
            hoverinfo="skip",
            line={"color": ink.muted, "width": 1, "dash": "dash"},
        )
    )
    _note_above(figure, "dashed: deviation = error", ink)


def deviation_points(
    table: pd.DataFrame,
    ink: Ink,
    title: str,
    source: str,
    *,
    colour: str = base.ARCHITECTURE_COLOURS["eqv2"],
) -> go.Figure:
    """Energy error of the ensemble mean against the ensemble's deviation, one point per configuration.

    Args:
        table: config_id, group_name, deviation and error (eV/atom), all positive.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
        colour: Of the points.
    """
    deviation, error = QUANTITIES["energy_deviation"], QUANTITIES["energy_error"]
    x, y = table["deviation"] * deviation.factor, table["error"] * error.factor
    figure = base.base_figure(ink, title, source, 520)
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="markers",
            marker={"size": 6, "color": colour, "opacity": 0.7, "line": {"width": 0.5, "color": ink.muted}},
            customdata=table[["config_id", "group_name"]].to_numpy(),
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<br>deviation %{x:.3g}, error %{y:.3g}"
            "<extra></extra>",
        )
    )
    # Errors cross zero, so a few are tiny by chance: the axis starts at the 1 % quantile.
    x_range = base.log_span(np.quantile(x, [0.005]), np.asarray(x), 0.04)
    y_range = base.log_span(np.quantile(y, [0.01]), np.asarray(y), 0.04)
    _identity(figure, 10 ** min(x_range[0], y_range[0]), 10 ** max(x_range[1], y_range[1]), ink)
    base.log_axis(figure, "x", x_range, deviation.title())
    base.log_axis(figure, "y", y_range, error.title())
    figure.update_layout(dragmode="select")
    return figure


def deviation_density(density: Density, ink: Ink, title: str, source: str) -> go.Figure:
    """Force error of the ensemble mean against the ensemble's deviation, binned over atoms.

    Args:
        density: Bins of log10 of both in eV/Å, as `spread.force_deviation_density` gives them.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    deviation, error = QUANTITIES["force_deviation"], QUANTITIES["force_error"]
    x_edges, y_edges = 10**density.x_edges * deviation.factor, 10**density.y_edges * error.factor
    figure = base.base_figure(ink, title, source, 520, right=96)
    figure.add_trace(_density_trace(x_edges, y_edges, density.counts, ink, "atoms"))
    _identity(figure, min(x_edges[0], y_edges[0]), max(x_edges[-1], y_edges[-1]), ink)
    lines = 10**density.lines * error.factor
    line_x = 10**density.line_x * deviation.factor
    x_span, y_span = tuple(np.log10(x_edges[[0, -1]])), tuple(np.log10(y_edges[[0, -1]]))
    _quantile_traces(figure, line_x, lines, ink, x_span, is_log=True)
    base.log_axis(figure, "x", x_span, deviation.title())
    base.log_axis(figure, "y", y_span, error.title())
    figure.update_layout(dragmode=False)
    return figure
