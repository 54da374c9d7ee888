"""Error against cost with the Pareto front, labelled beside the points instead of by a legend."""

from collections.abc import Collection, Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.figures import base
from app.figures.base import Ink
from engine.quantities import METRICS, QUANTITIES, significant
from engine.queries.training import SEEN_MARK


def training_marker(training_sets: Iterable[str]) -> str:
    """Marker shape by training data: the paper's main distinction is with or without OMat24."""
    names = {name.lower() for name in training_sets}
    if not names:
        return "x"
    if "omat24" in names:
        return "diamond" if names == {"omat24"} else "square"
    return "circle" if names == {"mptrj"} else "triangle-up"


TRAINING_LEGEND = "● MPtrj only   ◆ OMat24 only   ■ OMat24 and more   ▲ other data   ✕ not trained on DFT crystals"

_WIDTH, _HEIGHT = 880.0, 424.0  # of the plot, pixels
_CHARACTER_WIDTH = 6.8
_LABEL_HEIGHT = 16.0
_COVERED = 0.02  # share of a label that may lie on others
_NOISE_MARGIN = 0.1  # decades beyond the noise of the reference, where the axis is made longer for it
_NOISE_ROOM = 0.25  # share of the axis that may be added for it
_BoxTuple = tuple[float, float, float, float]


def place_labels(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    labels: Sequence[str],
    width: float,
    height: float,
    obstacles: Sequence[_BoxTuple] = (),
    always: Collection[int] = (),
) -> list[tuple[float, float] | None]:
    """Offsets that keep labels off points, lines and each other, and inside the plot.

    Args:
        x: Horizontal pixels of the points, rightwards, shape (n,).
        y: Vertical pixels of the points, upwards, shape (n,).
        labels: One per point.
        width: Of the plot, pixels.
        height: Of the plot, pixels.
        obstacles: More boxes (left, bottom, right, top) to keep clear, pixels.
        always: Positions of points whose labels come first, and are there even where they cover others.

    Returns:
        For each point the shift (right, up) in pixels of the label's centre; None where it would cover another label.
    """
    taken = [(px - 7, py - 7, px + 7, py + 7) for px, py in zip(x, y, strict=True)] + list(obstacles)
    n_fixed = len(taken)
    offsets: list[tuple[float, float] | None] = [None] * len(labels)
    for k in sorted(range(len(labels)), key=lambda k: k not in always):
        px, py, half = x[k], y[k], _CHARACTER_WIDTH * len(labels[k]) / 2
        candidates = []
        for rise, side in product((0, 1, -1, 2, -2, 3, -3), (1, -1, 0)):
            dx, dy = side * (half + 11), rise * (_LABEL_HEIGHT + 1)
            if side or abs(rise) == 1:
                candidates.append((dx, dy))
        boxes = [_box_around(px + dx, py + dy, half) for dx, dy in candidates]
        costs = [_overlap(box, taken) + _outside(box, width, height) for box in boxes]
        best = int(np.argmin([cost + 0.01 * place for place, cost in enumerate(costs)]))
        if k in always or _overlap(boxes[best], taken[n_fixed:]) <= _COVERED * 2 * half * _LABEL_HEIGHT:
            taken.append(boxes[best])
            offsets[k] = candidates[best]
    return offsets


def _box_around(x: float, y: float, half: float) -> _BoxTuple:
    return x - half, y - _LABEL_HEIGHT / 2, x + half, y + _LABEL_HEIGHT / 2


def _overlap(box: _BoxTuple, others: Sequence[_BoxTuple]) -> float:
    """Area shared with other boxes, square pixels."""
    return sum(
        max(0.0, min(box[2], o[2]) - max(box[0], o[0])) * max(0.0, min(box[3], o[3]) - max(box[1], o[1]))
        for o in others
    )


def _outside(box: _BoxTuple, width: float, height: float) -> float:
    """How far a box sticks out of the plot, weighted to lose against any place inside."""
    return 100.0 * (max(0.0, -box[0]) + max(0.0, box[2] - width) + max(0.0, -box[1]) + max(0.0, box[3] - height))


def pareto(
    table: pd.DataFrame,
    front: NDArray[np.int64],
    quantity: str,
    ink: Ink,
    title: str,
    source: str,
    *,
    noise: float | None = None,
    highlight: Sequence[str] = (),
) -> go.Figure:
    """RMSE against cost per atom and step with the Pareto front, labels beside the points, 95 % bounds and quartiles.

    A label that would cover another is left to the pointer, but for models on the front and ringed ones.

    Args:
        table: model_id, label, training_sets, cost (ms) with its quartiles cost_lo and cost_hi (missing where none
            were kept), the RMSE of the quantity with bounds, is_ranked, n_configs
            and n_expected: a model that is not ranked has an open marker and its own n; comparable and why_not: a
            model whose raw energies cannot be compared is grey; is_seen: a model that was trained on the data
            carries a mark; ranks and why_no_rank; and occasion of the timing, with is_apart: a timing of another
            occasion than those of the front says so; has_random_weights: a network of the model's size was timed,
            which has an open marker with a dot.
        front: Positions in the table that lie on the front, by rising cost.
        quantity: `energy` or `force`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
        noise: Of the reference, in the unit of the RMSE; a line where the axis reaches so far, or nearly.
        highlight: Models to ring.
    """
    column = METRICS[quantity].rmse
    table = table.assign(label=[_label(row) for _, row in table.iterrows()])
    x, y = table["cost"].to_numpy(dtype=float), table[column].to_numpy(dtype=float)
    low = table[column + "_lo"].to_numpy(dtype=float)
    low = np.where(low > 0, low, y)
    high = np.fmax(table[column + "_hi"].to_numpy(dtype=float), y)
    left, right = _quartiles(table)
    x_range, y_range = base.log_span(left, right, 0.12), _with_noise(base.log_span(low, high, 0.12), noise)
    figure = base.base_figure(ink, title, source, int(_HEIGHT) + 150)
    base.set_least_width(figure, int(_WIDTH))  # where labels were placed so that none covers another
    if len(front):
        _draw_front(figure, table.iloc[front], column, 10 ** x_range[1], ink)
    figure.add_trace(_cost_markers(table, (low, high), (left, right), column, ink, highlight))
    px = _pixels(x, x_range, _WIDTH)
    py_low, py, py_high = (_pixels(values, y_range, _HEIGHT) for values in (low, y, high))
    taken = [(a - 3, b, a + 3, c) for a, b, c in zip(px, py_low, py_high, strict=True)]
    px_left, px_right = (_pixels(values, x_range, _WIDTH) for values in (left, right))
    taken += [(a, b - 3, c, b + 3) for a, b, c in zip(px_left, py, px_right, strict=True)]
    taken += _steps(px[front], py[front], _WIDTH) if len(front) else []
    if noise is not None and y_range[0] < np.log10(noise) < y_range[1]:
        _draw_noise(figure, noise, x_range, ink)
        at = float(_pixels(np.array([noise]), y_range, _HEIGHT)[0])
        length = _CHARACTER_WIDTH * len(base.NOISE_LABEL)
        taken += [(0.0, at - 1, _WIDTH, at + 1), (0.0, at, length, at + _LABEL_HEIGHT)]
    always = {*front.tolist(), *np.flatnonzero(table["model_id"].isin(highlight)).tolist()}
    shifts = place_labels(px, py, table["label"].tolist(), _WIDTH, _HEIGHT, taken, always)
    _write_labels(figure, x, y, table["label"].tolist(), shifts, front, ink)
    base.log_axis(figure, "x", x_range, QUANTITIES["us_per_atom_step"].title())
    base.log_axis(figure, "y", y_range, QUANTITIES[column].title())
    figure.update_layout(dragmode=False)
    return figure


def _quartiles(table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the level bars: the quartiles of the time, or the time itself where none were kept."""
    cost = table["cost"].to_numpy(dtype=float)
    low, high = table["cost_lo"].to_numpy(dtype=float), table["cost_hi"].to_numpy(dtype=float)
    return np.where(low > 0, np.fmin(low, cost), cost), np.fmax(high, cost)


def _bars(
    values: NDArray[np.float64], ends: tuple[NDArray[np.float64], NDArray[np.float64]], ink: Ink
) -> dict[str, Any]:
    """Error bars from each value to its ends."""
    low, high = ends
    look = {"color": ink.muted, "thickness": 1, "width": 3}
    return {"type": "data", "symmetric": False, "array": high - values, "arrayminus": values - low, **look}


def _spread(row: Any) -> str:
    """The quartiles of a time in words; empty where none were kept."""
    if not row.cost_lo > 0:
        return ""
    return f" (quartiles {significant(row.cost_lo)} to {significant(row.cost_hi)})"


def _pixels(values: NDArray[np.float64], span: tuple[float, float], size: float) -> NDArray[np.float64]:
    """Pixel positions of values along an axis whose ends are given in decades."""
    return np.asarray((np.log10(values) - span[0]) / (span[1] - span[0]) * size)


def _write_labels(
    figure: go.Figure,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    labels: Sequence[str],
    shifts: Sequence[tuple[float, float] | None],
    front: NDArray[np.int64],
    ink: Ink,
) -> None:
    """The names beside the points, those of the front bold; a thin line leads to a point that is not near."""
    for position, (label, shift) in enumerate(zip(labels, shifts, strict=True)):
        if shift is None:
            continue
        dx, dy = shift
        is_beside = abs(dy) <= _LABEL_HEIGHT + 1
        place = (
            {"showarrow": False, "xshift": dx, "yshift": dy}
            if is_beside
            else {"ax": dx, "ay": -dy, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": ink.muted, "standoff": 7}
        )
        figure.add_annotation(
            x=np.log10(x[position]),
            y=np.log10(y[position]),
            text=f"<b>{label}</b>" if position in front else label,
            font={"size": 12, "color": ink.text},
            **place,
        )


def _label(row: pd.Series) -> str:
    """The model with its marks, and with its own n where it shares too few configurations to be ranked."""
    is_other_level = row["cause"] == "level" and row["comparable"]
    marks = [base.OWN_MARK] * (not row["comparable"]) + [SEEN_MARK] * row["is_seen"]
    name = " ".join([row["label"], *marks, *[base.LEVEL_MARK] * is_other_level])
    name += f", timed {row['occasion']}" if row["is_apart"] else ""
    has_all = row["n_configs"] == row["n_expected"]
    if row["is_ranked"] or (row["cause"] in ("seen", "level") and has_all):
        return name
    return f"{name} ({row['n_configs']:,} of {row['n_expected']:,})"


def _with_noise(span: tuple[float, float], noise: float | None) -> tuple[float, float]:
    """The ends of the axis in decades, extended to show the noise where that needs little room."""
    if noise is None:
        return span
    at = float(np.log10(noise))
    wider = min(span[0], at - _NOISE_MARGIN), max(span[1], at + _NOISE_MARGIN)
    return wider if wider[1] - wider[0] <= (1 + _NOISE_ROOM) * (span[1] - span[0]) else span


def _draw_noise(figure: go.Figure, noise: float, x_range: tuple[float, float], ink: Ink) -> None:
    """The line at the noise of the reference, named at its left end; annotations are placed by log10."""
    figure.add_trace(
        go.Scatter(
            x=[10 ** x_range[0], 10 ** x_range[1]],
            y=[noise, noise],
            mode="lines",
            name="noise",
            hoverinfo="skip",
            line=base.noise_line(ink),
        )
    )
    figure.add_annotation(
        x=x_range[0],
        y=float(np.log10(noise)),
        text=base.NOISE_LABEL,
        showarrow=False,
        xanchor="left",
        yanchor="bottom",
        xshift=4,
        font={"size": 11, "color": ink.text},
        name="noise",
    )


def _draw_front(figure: go.Figure, on_front: pd.DataFrame, column: str, end: float, ink: Ink) -> None:
    """Steps from each model of the front to the next, and on to the end of the axis."""
    figure.add_trace(
        go.Scatter(
            x=[*on_front["cost"], end],
            y=[*on_front[column], *on_front[column].tail(1)],
            mode="lines",
            line={"color": ink.accent, "width": 2, "shape": "hv"},
            hoverinfo="skip",
        )
    )


def _steps(x: NDArray[np.float64], y: NDArray[np.float64], width: float) -> list[_BoxTuple]:
    """The lines of the front as thin boxes."""
    right = np.append(x[1:], width)
    flat = [(a, b - 2, c, b + 2) for a, b, c in zip(x, y, right, strict=True)]
    return flat + [(a - 2, low, a + 2, high) for a, low, high in zip(x[1:], y[1:], y[:-1], strict=True)]


def _fill(row: Any, ink: Ink) -> str:
    """Hue of the architecture, or grey; for open markers it is the colour of the outline."""
    if row.comparable:
        return base.model_colour(row.model_id)
    return ink.tile if row.is_ranked else ink.muted


def _openness(row: Any) -> str:
    """End of a marker's name: open without a rank, and with a dot where the model was timed without its weights."""
    if row.has_random_weights:
        return "-open-dot"
    return "" if row.is_ranked else "-open"


def _rank(row: Any) -> str:
    """The interval of the rank, or the reason why there is none."""
    return f"not ranked: {base.wrapped(row.why_no_rank)}" if row.why_no_rank else f"rank {row.ranks}"


def _cost_markers(
    table: pd.DataFrame,
    bounds: tuple[NDArray[np.float64], NDArray[np.float64]],
    quartiles: tuple[NDArray[np.float64], NDArray[np.float64]],
    column: str,
    ink: Ink,
    highlight: Sequence[str],
) -> go.Scatter:
    x, y = table["cost"].to_numpy(dtype=float), table[column].to_numpy(dtype=float)
    ringed = table["model_id"].isin(highlight).to_numpy()
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        error_x=_bars(x, quartiles, ink),
        error_y=_bars(y, bounds, ink),
        marker={
            "size": np.where(ringed, 14, 11).tolist(),
            "symbol": [training_marker(row.training_sets) + _openness(row) for row in table.itertuples()],
            "color": [_fill(row, ink) for row in table.itertuples()],
            "line": {
                "color": np.where(ringed, ink.text, ink.muted).tolist(),
                "width": np.where(ringed, 3, np.where(table["is_ranked"], 1, 2)).tolist(),
            },
        },
        customdata=table[["model_id"]].to_numpy(),
        hovertext=[
            f"<b>{row.label}</b><br>{significant(row.cost)} {QUANTITIES['us_per_atom_step'].unit}{_spread(row)}<br>"
            f"{QUANTITIES[column].label} {significant(getattr(row, column))} {QUANTITIES[column].unit}"
            f"<br>{_rank(row)}, n = {row.n_configs:,} of {row.n_expected:,}<br>timed on {row.occasion}"
            + (", so not on the front" if row.is_apart else "")
            + ("<br>timed with random weights of the published size" if row.has_random_weights else "")
            + ("" if row.comparable else f"<br>{base.wrapped(row.why_not)}")
            for row in table.itertuples()
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )
