"""Reference and error of single samples: points where they are few, densities where they are many."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.numerics.comparison import ENERGY_ERROR
from engine.queries.configurations import BOX_LIMIT
from engine.queries.error_metrics import FloatArray
from engine.queries.scope import Scope
from engine.store import connection
from engine.store.connection import cached

POINTS_LIMIT = 2000

N_BINS = 200

QUANTILE_BINS = 40  # along x; a divisor of N_BINS

FRAME_SAMPLES = 200_000  # samples that fix the limits of a chart; all of them take seconds to sort

LINE_SAMPLES = 100  # in a bin, for a quantile line that means something


@dataclass(frozen=True)
class Density:
    """Binned pairs (x, y) with lines of quantiles of y along x.

    Attributes:
        x_edges: Shape (n_bins + 1,).
        y_edges: Shape (n_bins + 1,).
        counts: Shape (n_bins, n_bins), rows along y; NaN where a bin is empty.
        line_x: Centres of the bins that carry the quantile lines, shape (n_lines,).
        lines: 5, 50 and 95 % quantiles of y, shape (3, n_lines).
        n_total: Number of pairs.
        n_outside: Pairs beyond the edges.
    """

    x_edges: FloatArray
    y_edges: FloatArray
    counts: NDArray[np.float32]
    line_x: FloatArray
    lines: FloatArray
    n_total: int
    n_outside: int


@dataclass(frozen=True)
class Box:
    """A rectangle drawn on a chart, in the store's units (eV/atom or eV/Å)."""

    x0: float
    x1: float
    y0: float
    y1: float


@dataclass(frozen=True)
class Axes:
    """What a residual or parity chart shows.

    Attributes:
        quantity: `energy` (eV/atom) or `force` (Cartesian components, eV/Å).
        alignment: `raw`, `per_element` or `crystal`; forces have no alignment.
        view: `residual` (error against reference) or `parity` (prediction against reference).
        full_range: Edges at the extremes, not at the 0.05 and 99.95 % quantiles.
    """

    quantity: str = "energy"
    alignment: str = "raw"
    view: str = "residual"
    full_range: bool = False

    @property
    def tail(self) -> float:
        """Share of the samples beyond each end of an axis."""
        return 0.0 if self.full_range else 0.0005

    @property
    def y(self) -> str:
        """Expression of the y axis in the columns of the pairs."""
        return {"residual": "error", "parity": "reference + error"}[self.view]


_ENERGY_PAIRS = """select e.reference_energy_per_atom as reference, e.{column} as error, e.dataset_id, e.config_id,
    null as atom_index, null as axis, e.rowid as sample_key from errors e where {within}"""

_FORCE_PAIRS = """select f.reference_{axis}::double as reference, f.error_{axis}::double as error, f.dataset_id,
    f.config_id, f.atom_index, '{axis}' as axis from force_errors f where {within}"""


def _pairs(scope: Scope, axes: Axes) -> str:
    """Statement that gives the pairs of one model."""
    if axes.quantity == "energy":
        within = f"e.model_id = $model and {scope.predicate('e')}"
        return _ENERGY_PAIRS.format(column=ENERGY_ERROR[axes.alignment], within=within)
    within = f"f.model_id = $model and {scope.predicate('f')}"
    return " union all ".join(_FORCE_PAIRS.format(axis=axis, within=within) for axis in "xyz")


@cached
def residuals(model_id: str, scope: Scope, axes: Axes) -> Density | pd.DataFrame | None:
    """Errors of one model against the reference: single samples if they are few, else binned in the store.

    Args:
        model_id: The model.
        scope: Which configurations.
        axes: What the chart shows.

    Returns:
        Below `POINTS_LIMIT` samples a data frame of reference, error, dataset_id, config_id, group_name, atom_index
        and axis; otherwise their density. None where there are no samples.
    """
    named = {"model": model_id} | scope.bindings()
    samples = _pairs(scope, axes)
    if axes.quantity == "force":
        density = _force_density(scope, axes, named)
        if density is None or isinstance(density, Density):
            return density
    else:
        pairs = f"select reference as x, {axes.y} as y, sample_key from ({samples})"
        edges = axis_edges(pairs, named, axes.tail, square=axes.view == "parity")
        if edges is None:
            return None
        x_edges, y_edges, n_total = edges
        if n_total >= POINTS_LIMIT:
            return binned(pairs, named, x_edges, y_edges, n_total)
    return connection.frame(
        f"""
        select p.reference, p.error, p.dataset_id, p.config_id, c.group_name, p.atom_index, p.axis
        from ({samples}) p
        join configurations c using (dataset_id, config_id)
        where isfinite(p.reference) and isfinite(p.error)
        order by p.dataset_id, p.config_id, p.atom_index, p.axis
        """,
        named,
    )


def _force_density(scope: Scope, axes: Axes, named: dict[str, Any]) -> Density | int | None:
    """Density of force components; their number where they are few enough for points, None where there are none."""
    forces, labels = connection.arrays(
        f"""
        select p.forces, c.forces as labels from predictions p join configurations c using (dataset_id, config_id)
        where p.model_id = $model and p.forces is not null and c.forces is not null and {scope.predicate("c")}
        """,
        named,
    )
    x = labels.astype(np.float32)
    y = (forces - labels).astype(np.float32) if axes.view == "residual" else forces
    if not (finite := np.isfinite(x) & np.isfinite(y)).all():
        x, y = x[finite], y[finite]
    if len(x) < POINTS_LIMIT:
        return len(x) or None
    places = (
        np.random.default_rng(0).integers(len(x), size=FRAME_SAMPLES) if len(x) > 2 * FRAME_SAMPLES else slice(None)
    )
    ends = [
        [
            float(one)
            for one in (np.quantile(v[places], [axes.tail, 1 - axes.tail]) if axes.tail else (v.min(), v.max()))
        ]
        for v in (x, y)
    ]
    if axes.view == "parity":
        ends = [[min(ends[0][0], ends[1][0]), max(ends[0][1], ends[1][1])]] * 2
    x_edges, y_edges = (_linspace(low, high, N_BINS) for low, high in ends)
    column = np.floor((x - x_edges[0]) / (x_edges[1] - x_edges[0])).astype(np.int32)
    row = np.floor((y - y_edges[0]) / (y_edges[1] - y_edges[0])).clip(-1, N_BINS).astype(np.int32) + 1
    inside = (column >= 0) & (x < x_edges[-1])
    bins = (row * N_BINS + column.clip(0, N_BINS - 1))[inside]
    counts = np.bincount(bins, minlength=(N_BINS + 2) * N_BINS).reshape(N_BINS + 2, N_BINS).astype(float)
    return _density(counts, x_edges, y_edges, len(x))


def axis_edges(
    pairs: str, named: dict[str, Any], tail: float, *, square: bool, n_bins: int = N_BINS
) -> tuple[FloatArray, FloatArray, int] | None:
    """Edges of the bins, at about the quantiles `tail` and 1 - `tail`; the same on both axes if `square`."""
    finite = f"({pairs}) where isfinite(x) and isfinite(y)"
    count = connection.row(f"select count(*) from {finite}", named)
    n_total = int(count[0]) if count else 0
    if not n_total:
        return None
    if tail:
        named = named | {"low": tail, "high": 1.0 - tail}
        ends = "quantile_cont(x, [$low, $high]), quantile_cont(y, [$low, $high])"
        stride = n_total // FRAME_SAMPLES
        if stride > 1:
            finite += f" and hash(sample_key) % {stride} = 0"  # bound as a parameter it takes 20 times as long
    else:
        ends = "[min(x), max(x)], [min(y), max(y)]"
    row = connection.row(f"select {ends} from {finite}", named)
    assert row is not None  # an aggregate without grouping always gives one row
    (x0, x1), (y0, y1) = row
    if square:
        x0 = y0 = min(x0, y0)
        x1 = y1 = max(x1, y1)
    return _linspace(x0, x1, n_bins), _linspace(y0, y1, n_bins), n_total


def _linspace(low: float, high: float, n_bins: int) -> FloatArray:
    """Edges with a margin of 2 %, and of finite width where all values are equal."""
    margin = 0.02 * (high - low) or 1e-3 * max(abs(high), 1e-3)
    return np.linspace(low - margin, high + margin, n_bins + 1)


def binned(pairs: str, named: dict[str, Any], x_edges: FloatArray, y_edges: FloatArray, n_total: int) -> Density:
    """Count the pairs per bin, by one integer per bin: grouping by two columns takes half as long again.

    Pairs above and below the frame are counted in a row of their own at each end, for the quantile lines.
    """
    n_x, n_y = len(x_edges) - 1, len(y_edges) - 1
    frame = named | {
        "x0": x_edges[0],
        "dx": x_edges[1] - x_edges[0],
        "x1": x_edges[-1],
        "y0": y_edges[0],
        "dy": y_edges[1] - y_edges[0],
        "y1": y_edges[-1],
    }
    bins = connection.frame(
        f"""
        select {n_x} * case when y < $y0 then 0 when y >= $y1 then {n_y + 1}
                else 1 + floor((y - $y0) / $dy)::integer end
            + least({n_x - 1}, floor((x - $x0) / $dx)::integer) as bin, count(*) as n
        from ({pairs}) where isfinite(y) and x >= $x0 and x < $x1 group by bin order by bin
        """,
        frame,
    )
    counts = np.zeros((n_y + 2, n_x))
    counts.flat[bins["bin"].to_numpy()] = bins["n"].to_numpy()
    return _density(counts, x_edges, y_edges, n_total)


def _density(counts: FloatArray, x_edges: FloatArray, y_edges: FloatArray, n_total: int) -> Density:
    """What a chart shows of counts, whose first and last row are what lies below and above the frame."""
    line_x, lines = _quantile_lines(counts, x_edges, y_edges)
    inside = counts[1:-1]
    shown = np.where(inside > 0, inside, np.nan).astype(np.float32)
    return Density(x_edges, y_edges, shown, line_x, lines, n_total, n_total - int(inside.sum()))


def _quantile_lines(counts: FloatArray, x_edges: FloatArray, y_edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """5, 50 and 95 % quantiles of y in wider bins of x, interpolated within the bins of y.

    Args:
        counts: Shape (n_y + 2, n_x), with what lies below and above the frame in the first and last row.
        x_edges: Shape (n_x + 1,).
        y_edges: Shape (n_y + 1,).
    """
    width = (len(x_edges) - 1) // QUANTILE_BINS
    grouped = counts.reshape(len(counts), QUANTILE_BINS, width).sum(axis=2)
    centres = (x_edges[:-1:width] + x_edges[width::width]) / 2
    keep = grouped.sum(axis=0) >= LINE_SAMPLES
    below = np.cumsum(grouped, axis=0)[:-1]  # samples below each edge of y
    lines = [
        np.interp(np.array([0.05, 0.5, 0.95]) * total, cumulated, y_edges)
        for cumulated, total in zip(below.T[keep], grouped.sum(axis=0)[keep], strict=True)
    ]
    return centres[keep], np.array(lines).reshape(-1, 3).T


@cached
def configurations_in_box(model_id: str, scope: Scope, axes: Axes, box: Box) -> pd.DataFrame:
    """The worst configurations of a rectangle of a residual or parity chart, at most `BOX_LIMIT`.

    Returns:
        dataset_id, config_id, group_name, formula, n_atoms, n_samples (in the rectangle), largest_error (signed, the
        store's unit), atom_index (of that error; null for energies), energy_error_per_atom, force_rmse.
    """
    return connection.frame(
        f"""
        with boxed as (
            select dataset_id, config_id, atom_index, error
            from (select *, {axes.y} as y from ({_pairs(scope, axes)}))
            where reference between $x0 and $x1 and y between $y0 and $y1
        ), worst as (
            select dataset_id, config_id, count(*) as n_samples, arg_max(error, abs(error)) as largest_error,
                arg_max(atom_index, abs(error)) as atom_index
            from boxed group by dataset_id, config_id
        )
        select c.dataset_id, c.config_id, c.group_name, c.formula, c.n_atoms, w.n_samples, w.largest_error,
            w.atom_index, e.energy_error_per_atom, e.force_rmse
        from worst w
        join configurations c using (dataset_id, config_id)
        join (select * from errors where model_id = $model) e using (dataset_id, config_id)
        order by abs(w.largest_error) desc, c.dataset_id, c.config_id limit {BOX_LIMIT}
        """,
        {"model": model_id, "x0": box.x0, "x1": box.x1, "y0": box.y0, "y1": box.y1} | scope.bindings(),
    )
