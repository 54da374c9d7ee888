"""Calibrated intervals of an error: split-conformal, normalised by a deviation, over clusters of configurations.

The size of an error is divided by the ensemble's deviation plus a floor. Quantiles of that score over configurations
with references turn the deviation of a new structure into an interval of its error.

What is exchangeable decides what an interval promises. Atoms of one trajectory err alike, so where there are enough
clusters (`engine.numerics.clusters`) each of them is one unit and weighs the same, whatever its number of atoms; the
interval is then for an atom of a new cluster. Where a kind of structure has few clusters but many configurations, each
configuration is a unit, and the interval is for further configurations of the same trajectories, no more. Held-out
coverage leaves out whole clusters in the first case, and blocks of consecutive configurations in the second.

Distributions of clusters are pooled without the correction for their finite number: it would let an interval from 20
clusters hold 95 to 99 % in place of 90, where the pool holds 88 to 90 (`python -m benchmarks.intervals`). A pool of
single samples keeps it and is the usual split-conformal interval.

Source:
    Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018) (split-conformal, normalised scores); Vovk et al., Proc. ACML
    (2012) (Mondrian categories); Dunn, Wasserman and Ramdas, J. Am. Stat. Assoc. 118, 2491 (2023) (pooled
    distributions of groups); Lee, Barber and Willett, arXiv:2306.06342 (2023) (the correction).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import MetricError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# Added to a deviation before an error is divided by it, so that members that agree by chance do not promise no error.
# About what labels are good for: twelve cells of Open Defects at tighter settings moved by 6.7 meV/Å and 0.2 meV/atom.
FLOORS = {"force": 0.005, "energy": 0.0005}  # eV/Å, eV/atom

MIN_UNITS = {"cluster": 10, "configuration": 20}  # with fewer, 5 % of them on each side are less than half of one
N_BLOCKS = 10  # blocks of consecutive configurations of a cluster that are left out in turn

PER_UNIT = 60  # values that stand for a unit: its own quantiles, where it has more samples

# Where the distribution of scores is kept: dense in the tails, which intervals use.
PROBABILITIES: FloatArray = np.unique(
    np.round(np.concatenate([np.linspace(0, 0.1, 21), np.linspace(0.1, 0.9, 33), np.linspace(0.9, 1, 21)]), 6)
)


@dataclass(frozen=True)
class Calibration:
    """Distribution of scores over units that all weigh the same.

    Attributes:
        quantiles: Scores at `PROBABILITIES`, of the same shape.
        n_units: Units behind it: clusters or configurations.
        n_samples: Atoms or configurations behind it.
    """

    quantiles: FloatArray
    n_units: int
    n_samples: int

    def scores(self, coverage: float) -> tuple[float, float]:
        """Scores between which a share `coverage` of the samples of new units is expected, as much below as above."""
        lower, upper = positions(self.n_units, coverage, is_single=self.n_units == self.n_samples)
        low, high = np.interp([lower, min(upper, 1.0)], PROBABILITIES, self.quantiles)
        return (float(low) if lower > 0 else 0.0), (float(high) if upper <= 1 else np.inf)

    def interval(self, deviation: float, floor: float, coverage: float) -> tuple[float, float]:
        """Smallest and largest size of an error that is expected where an ensemble has this deviation.

        Args:
            deviation: In the unit of the error; 0 with a floor of 1 where the scores are plain errors.
            floor: That the scores were made with.
            coverage: Between 0 and 1.
        """
        low, high = self.scores(coverage)
        return low * (deviation + floor), high * (deviation + floor)

    def share_between(self, low: float, high: float) -> float:
        """Share of samples here whose score lies between two scores: the coverage of another's interval."""
        if not np.isfinite(high):
            high = float(self.quantiles[-1])
        below = np.interp([low, high], self.quantiles, PROBABILITIES, left=0.0, right=1.0)
        return float(below[1] - below[0])


def scores(errors: FloatArray, deviations: FloatArray | None, floor: float) -> FloatArray:
    """Sizes of errors over deviation plus floor, shape (n,); the sizes themselves where there are no deviations.

    Args:
        errors: Signed or unsigned, shape (n,), eV/Å or eV/atom.
        deviations: Shape (n,), in the same unit.
        floor: In the same unit.

    Example:
        >>> scores(np.array([-0.2, 0.1]), np.array([0.1, 0.0]), 0.1)
        array([1., 1.])
    """
    size = np.abs(errors)
    return size if deviations is None else size / (deviations + floor)


def positions(n_units: int, coverage: float, *, is_single: bool) -> tuple[float, float]:
    """Places in a distribution of units, from 0 to 1, between which new samples are expected.

    Args:
        n_units: Units that were pooled.
        coverage: Between 0 and 1.
        is_single: Whether each unit is one sample. A new one then counts as one more: the lower place is 0 and the
            upper one beyond 1 where the units are too few.
    """
    upper = 0.5 * (1 + coverage)
    if not is_single or not n_units:
        return 1 - upper, upper
    rank = int(np.ceil(round(upper * (n_units + 1), 9)))
    return max(0, n_units + 1 - rank) / n_units, rank / n_units


def unit_of(n_clusters: int, n_configs: int) -> str | None:
    """What a calibration of so many clusters and configurations pools; None where both are too few."""
    if n_clusters >= MIN_UNITS["cluster"]:
        return "cluster"
    return "configuration" if n_configs >= MIN_UNITS["configuration"] else None


def blocks(clusters: IntArray) -> IntArray:
    """Label of the block of consecutive configurations that each is in, at most `N_BLOCKS` of a cluster.

    Args:
        clusters: Cluster of each configuration in the order of its trajectory, shape (n_configs,).

    Example:
        >>> blocks(np.array([7, 7, 3])).tolist()
        [70, 75, 30]
    """
    labels = np.empty(len(clusters), dtype=np.int64)
    for cluster in np.unique(clusters):
        own = np.flatnonzero(clusters == cluster)
        labels[own] = cluster * N_BLOCKS + np.arange(len(own)) * N_BLOCKS // len(own)
    return labels


class Sample:
    """Scores of configurations with references, in units that weigh the same, in parts that are left out in turn.

    Args:
        values: Scores, shape (n,).
        units: Label of each score's unit, shape (n,).
        parts: Label of the part that each is left out with, shape (n,); a unit lies in one part.

    Raises:
        MetricError: There are no scores, shapes differ, or a score is not finite.
    """

    def __init__(self, values: FloatArray, units: IntArray, parts: IntArray) -> None:
        if not values.shape == units.shape == parts.shape or values.ndim != 1 or not len(values):
            raise MetricError(f"{values.shape=}, {units.shape=} and {parts.shape=} are not one shape of some scores")
        if not np.isfinite(values).all():
            raise MetricError("a score is not finite; failed predictions must be left out before")
        self.values, self.units, self.parts = values, np.unique(units, return_inverse=True)[1].ravel(), parts
        self.n_units = int(self.units.max()) + 1

    @functools.cached_property
    def _sorted(self) -> tuple[FloatArray, FloatArray, IntArray]:
        """Values that stand for the units, rising; their weights, 1 in each unit; their parts."""
        order = np.lexsort((self.values, self.units))
        sizes = np.bincount(self.units)
        n_kept = np.minimum(sizes, PER_UNIT)
        starts = np.repeat(np.cumsum(sizes) - sizes, n_kept)
        place = np.arange(n_kept.sum()) - np.repeat(np.cumsum(n_kept) - n_kept, n_kept)
        kept, size = np.repeat(n_kept, n_kept), np.repeat(sizes, n_kept)
        chosen = order[starts + ((place + 0.5) / kept * size).astype(np.int64)]
        rising = np.argsort(self.values[chosen], kind="stable")
        return self.values[chosen][rising], (1.0 / kept)[rising], self.parts[chosen][rising]

    @property
    def is_single(self) -> bool:
        """Whether each unit is one sample."""
        return self.n_units == len(self.values)

    def ends(self, coverage: float) -> tuple[float, float]:
        """Scores between which a share `coverage` of the samples of new units is expected."""
        values, weights, _ = self._sorted
        return self._ends(values, np.cumsum(weights), self.n_units, coverage)

    def calibration(self) -> Calibration:
        """Distribution over all units."""
        values, weights, _ = self._sorted
        places = np.searchsorted(np.cumsum(weights), PROBABILITIES * self.n_units - 1e-9)
        return Calibration(values[np.minimum(places, len(values) - 1)], self.n_units, len(self.values))

    def held_out(self, coverages: Sequence[float]) -> BoolArray:
        """Whether each score lies in the interval that all other parts give.

        Args:
            coverages: Of the intervals, between 0 and 1.

        Returns:
            Shape (n_coverages, n). All parts are left out once, so that no random split decides.
        """
        values, weights, parts = self._sorted
        inside = np.zeros((len(coverages), len(self.values)), dtype=bool)
        by_part = np.argsort(self.parts, kind="stable")
        for own in np.split(by_part, np.flatnonzero(np.diff(self.parts[by_part])) + 1):
            cumulative = np.cumsum(np.where(parts == self.parts[own[0]], 0.0, weights))
            for k, coverage in enumerate(coverages):
                low, high = self._ends(values, cumulative, round(cumulative[-1]), coverage)
                inside[k, own] = (self.values[own] >= low) & (self.values[own] <= high)
        return inside

    def _ends(self, values: FloatArray, cumulative: FloatArray, n_units: int, coverage: float) -> tuple[float, float]:
        """Scores at the two places of the distribution of the units that are in the cumulative weights."""
        lower, upper = positions(n_units, coverage, is_single=self.is_single)
        places = np.searchsorted(cumulative, np.array([lower, min(upper, 1.0)]) * n_units - 1e-9)
        low, high = values[np.minimum(places, len(values) - 1)]
        return (float(low) if lower > 0 else 0.0), (float(high) if upper <= 1 else np.inf)


def pooled(calibrations: Sequence[Calibration]) -> Calibration:
    """Calibration by the units of several, such as those of different datasets, each unit weighing the same.

    Raises:
        MetricError: There is none.
    """
    if not calibrations:
        raise MetricError("no calibration to pool")
    if len(calibrations) == 1:
        return calibrations[0]
    n_units = sum(one.n_units for one in calibrations)
    grid = np.unique(np.concatenate([one.quantiles for one in calibrations]))
    below = np.zeros(len(grid))
    for one in calibrations:
        below += one.n_units / n_units * np.interp(grid, one.quantiles, PROBABILITIES, left=0.0, right=1.0)
    return Calibration(np.interp(PROBABILITIES, below, grid), n_units, sum(one.n_samples for one in calibrations))


def mean_by(inside: BoolArray, labels: IntArray) -> FloatArray:
    """Share inside of the samples of each label, shape (n_labels,), in order of label.

    Args:
        inside: Shape (n,).
        labels: Shape (n,).
    """
    index = np.unique(labels, return_inverse=True)[1].ravel()
    return np.asarray(np.bincount(index, weights=inside) / np.bincount(index))
