"""Two models on the same configurations: difference of their RMSEs and how often each has the smaller error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from engine.errors import MetricError
from engine.numerics.metrics import MIN_CLUSTERS, N_RESAMPLES, draws

FloatArray = NDArray[np.float64]

TAIL = 0.025  # at each side of a 95 % interval


@dataclass(frozen=True)
class Duel:
    """How two models compare; bounds are NaN for fewer than `MIN_CLUSTERS` clusters.

    Attributes:
        n_configs: Configurations compared.
        n_clusters: Independent clusters among them, which the bootstrap draws.
        rmse_first: Of the first model, in the unit of the errors.
        rmse_second: Of the second model.
        difference: RMSE of the first minus that of the second; below 0 where the first is better.
        difference_lo: Lower 95 % bound of the difference.
        difference_hi: Upper 95 % bound.
        win_rate: Share of configurations on which the first has the smaller error; equal errors count half.
        win_rate_lo: Lower 95 % bound of the share.
        win_rate_hi: Upper 95 % bound.
        n_wins: Configurations on which the first has the smaller error.
        n_ties: Configurations on which both have the same.
    """

    n_configs: int
    n_clusters: int
    rmse_first: float
    rmse_second: float
    difference: float
    difference_lo: float
    difference_hi: float
    win_rate: float
    win_rate_lo: float
    win_rate_hi: float
    n_wins: int
    n_ties: int


def duel(
    first: FloatArray,
    second: FloatArray,
    counts: FloatArray,
    clusters: NDArray[np.generic],
    *,
    least: float = 0.0,
) -> Duel:
    """Compare two models on the configurations that both predicted.

    The bounds are quantiles over resamples of the clusters (`metrics.draws`). Both models get the same draws, which
    keeps what they have in common, the difficulty of a configuration, out of the comparison. The difference is beyond
    doubt in the same cases in which `ranks.rank_intervals` tells two models apart.

    Where one model wins every configuration, every resample says so too and shows no spread. The far bound is then
    that of Clopper and Pearson for as many draws as there are clusters.

    Args:
        first: Size of the error of the first model on each configuration (of an energy its absolute value, of forces
            the root mean square over components), shape (n_configs,).
        second: The same of the second model.
        counts: Errors that each size stands for, shape (n_configs,): 1 for energies, 3 N for forces.
        clusters: Label of each configuration, shape (n_configs,).
        least: Errors that differ by no more than this count as equal, in their unit; rounding names no winner.

    Raises:
        MetricError: There is no configuration, shapes differ, or a value is not finite.

    Example:
        >>> found = duel(np.array([3.0, 0.0]), np.array([4.0, 4.0]), np.ones(2), np.arange(2))
        >>> found.n_wins, found.win_rate, round(found.difference, 4)
        (2, 1.0, -1.8787)

    Source:
        Clopper and Pearson, Biometrika 26, 404 (1934).
    """
    if not len(first) == len(second) == len(counts) == len(clusters) or len(first) == 0:
        raise MetricError(f"{len(first)=}, {len(second)=}, {len(counts)=} and {len(clusters)=} must be equal and not 0")
    sizes = np.array([first, second], dtype=float)
    if not np.isfinite(sizes).all():
        raise MetricError("a value is not finite; models are compared on configurations that both predicted")
    is_tie = np.abs(sizes[0] - sizes[1]) <= least
    points = np.where(is_tie, 0.5, sizes[0] < sizes[1])
    index = np.unique(clusters, return_inverse=True)[1]
    columns = np.column_stack([counts * sizes[0] ** 2, counts * sizes[1] ** 2, counts, points, np.ones(len(points))])
    totals = np.zeros((int(index.max()) + 1, columns.shape[1]))
    np.add.at(totals, index, columns)
    rmses = np.sqrt(totals[:, :2].sum(axis=0) / totals[:, 2].sum())
    bounds = _bounds(totals)
    return Duel(
        len(points), len(totals), float(rmses[0]), float(rmses[1]), float(rmses[0] - rmses[1]), *bounds[0],
        float(points.mean()), *bounds[1], int(np.sum(points == 1.0)), int(is_tie.sum()),
    )  # fmt: skip


def _bounds(totals: FloatArray) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bounds of the difference of RMSEs and of the win rate.

    Args:
        totals: Of each cluster: squared errors of both models, their number, points and configurations, shape
            (n_clusters, 5).
    """
    n = len(totals)
    if n < MIN_CLUSTERS:
        return (np.nan, np.nan), (np.nan, np.nan)
    sums = draws(n, N_RESAMPLES) @ totals
    rmses = np.sqrt(sums[:, :2] / sums[:, 2:3])
    low, high = np.quantile(rmses[:, 0] - rmses[:, 1], [TAIL, 1.0 - TAIL])
    share_low, share_high = np.quantile(sums[:, 3] / sums[:, 4], [TAIL, 1.0 - TAIL])
    if totals[:, 3].sum() == totals[:, 4].sum():  # the first wins everywhere
        share_low = betaincinv(n, 1, TAIL)
    if totals[:, 3].sum() == 0.0:  # and here nowhere
        share_high = betaincinv(1, n, 1.0 - TAIL)
    return (float(low), float(high)), (float(share_low), float(share_high))
