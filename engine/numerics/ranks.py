"""Ranks of models with their uncertainty, and means that weigh all kinds of structures alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from engine.errors import MetricError
from engine.numerics.metrics import MIN_CLUSTERS, N_RESAMPLES, draws

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SURE = 0.975  # share of resamples in which one model must beat another: one side of a 95 % interval


@dataclass(frozen=True)
class RankIntervals:
    """Ranks of models, 1 for the best, each of shape (n_models,).

    Attributes:
        rank: One more than the number of models that are better beyond doubt, so models that cannot be told apart from
            the best of them share its rank. It is the lower end of the interval.
        high: Number of models less those that are worse beyond doubt: the upper end of the interval.
        n_clusters: What was resampled.
    """

    rank: IntArray
    high: IntArray
    n_clusters: int


def rank_intervals(
    squares: FloatArray,
    counts: FloatArray,
    clusters: NDArray[np.generic],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> RankIntervals:
    """Rank models by RMSE, with intervals by a bootstrap that draws the same clusters for all of them.

    A model is better than another beyond doubt if it is so in a share `SURE` of the resamples. Drawing alike keeps
    what models have in common, the difficulty of a configuration, out of the comparison. Errors are taken as they are:
    no offset is fitted again in a resample. Pairs of models are not corrected for their number.

    Args:
        squares: Sum of squared errors of each model on each configuration, shape (n_models, n_configs).
        counts: Number of errors in each sum, shape (n_configs,).
        clusters: Label of each configuration, shape (n_configs,).
        n_resamples: Number of resampled sets.
        seed: Of the random generator.

    Returns:
        Ranks; with fewer than `MIN_CLUSTERS` clusters nothing can be told apart, and all go from 1 to n_models.

    Raises:
        MetricError: Shapes differ, or a value is not finite.

    Example:
        >>> squares = np.array([np.full(8, 1.0), np.full(8, 4.0), np.full(8, 1.0)])
        >>> found = rank_intervals(squares, np.ones(8), np.arange(8))
        >>> found.rank.tolist(), found.high.tolist()
        ([1, 3, 1], [2, 3, 2])
    """
    if squares.ndim != 2 or not squares.shape[1] == len(counts) == len(clusters):
        raise MetricError(f"{squares.shape=} does not fit {counts.shape=} and {clusters.shape=}")
    if not np.isfinite(squares).all():
        raise MetricError("a value is not finite; models are ranked over configurations that all have")
    n_models = len(squares)
    totals, sizes = _by_cluster(squares, counts, clusters)
    n_clusters = len(sizes)
    if n_clusters < MIN_CLUSTERS:
        return RankIntervals(np.ones(n_models, dtype=np.int64), np.full(n_models, n_models), n_clusters)
    return told_apart(resampled_means(totals, sizes, n_resamples=n_resamples, seed=seed), n_clusters)


def told_apart(values: FloatArray, n_clusters: int) -> RankIntervals:
    """Ranks of models by what resamples say of them.

    Args:
        values: Error of each model in each resample, the smaller the better, shape (n_resamples, n_models).
        n_clusters: What was resampled.
    """
    # Equal errors must stay equal, or rounding would rank them.
    is_better = values[:, :, None] < values[:, None, :] * (1.0 - 1e-9)  # resample, model, other
    is_sure = is_better.mean(axis=0) >= SURE
    return RankIntervals(1 + is_sure.sum(axis=0), values.shape[1] - is_sure.sum(axis=1), n_clusters)


def mean_rank_intervals(
    squares: FloatArray,
    counts: FloatArray,
    cells: NDArray[np.generic],
    clusters: NDArray[np.generic],
    *,
    n_resamples: int = N_RESAMPLES,
) -> RankIntervals:
    """Rank models by the mean over cells of the RMSE in each, such as datasets, so that no large one rules.

    As `rank_intervals`, but clusters are drawn within their cell: the cells are chosen and not drawn.

    Args:
        squares: Sum of squared errors of each model on each configuration, shape (n_models, n_configs), finite.
        counts: Number of errors in each sum, shape (n_configs,).
        cells: Label of the cell that each configuration belongs to, shape (n_configs,).
        clusters: Label of each configuration within its cell, shape (n_configs,).
        n_resamples: Number of resampled sets.

    Returns:
        Ranks, with the number of clusters of the cell that has the fewest; where these are fewer than `MIN_CLUSTERS`,
        nothing can be told apart.

    Example:
        >>> squares = np.array([np.r_[np.ones(8), np.full(8, 9.0)], np.full(16, 4.0)])
        >>> cells, clusters = np.repeat([0, 1], 8), np.arange(16)
        >>> mean_rank_intervals(squares, np.ones(16), cells, clusters).rank.tolist()  # means of 2 and 2
        [1, 1]
    """
    n_models, names = len(squares), np.unique(cells)
    fewest = min(len(np.unique(clusters[cells == name])) for name in names)
    if fewest < MIN_CLUSTERS:
        return RankIntervals(np.ones(n_models, dtype=np.int64), np.full(n_models, n_models), fewest)
    total = np.zeros((n_resamples, n_models))
    for k, name in enumerate(names):
        total += np.sqrt(_resampled(squares, counts, clusters, cells == name, n_resamples, k))
    return told_apart(total, fewest)


def _resampled(
    squares: FloatArray, counts: FloatArray, clusters: NDArray[np.generic], inside: NDArray[np.bool_], n: int, seed: int
) -> FloatArray:
    """Mean squared errors over n resamples of the clusters of some configurations, shape (n, n_models)."""
    totals, sizes = _by_cluster(squares[:, inside], counts[inside], clusters[inside])
    return resampled_means(totals, sizes, n_resamples=n, seed=seed)


def _by_cluster(
    squares: FloatArray, counts: FloatArray, clusters: NDArray[np.generic]
) -> tuple[FloatArray, FloatArray]:
    """Sums over clusters: of squared errors, shape (n_clusters, n_models), and of their numbers, (n_clusters,)."""
    index = np.unique(clusters, return_inverse=True)[1]
    totals = np.zeros((int(index.max()) + 1, len(squares)))
    np.add.at(totals, index, squares.T)
    return totals, np.bincount(index, weights=counts).astype(float)


def resampled_means(
    totals: FloatArray, sizes: FloatArray, *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> FloatArray:
    """Mean squared errors of models in resamples that draw the same clusters for all of them.

    Args:
        totals: Sum of squared errors of each cluster and model, shape (n_clusters, n_models).
        sizes: Number of errors in each sum, shape (n_clusters,).
        n_resamples: Number of resampled sets.
        seed: Of the random generator.

    Returns:
        Shape (n_resamples, n_models).
    """
    weights = draws(len(sizes), n_resamples, seed)
    return np.asarray((weights @ totals) / (weights @ sizes)[:, None])


def macro_rmse(
    squares: FloatArray, counts: FloatArray, cells: NDArray[np.generic], clusters: NDArray[np.generic]
) -> tuple[float, float, float, int]:
    """Mean over cells of the RMSE in each, so that no kind of structure dominates it, with 95 % bounds.

    The bounds follow from leaving out one cluster at a time (jackknife), on the logarithm, with Student's t: a cluster
    may hold several cells (a metal with its kinds) or be a part of one (a trajectory among others).

    Args:
        squares: Sum of squared errors of each configuration, shape (n_configs,).
        counts: Number of errors in each sum, shape (n_configs,).
        cells: Label of the cell that each configuration belongs to, such as metal and kind, shape (n_configs,).
        clusters: Label of the cluster, shape (n_configs,).

    Returns:
        Mean, bounds in the unit of the errors, and the number of cells. Bounds are NaN for fewer than `MIN_CLUSTERS`
        clusters or a mean of zero.

    Example:
        >>> found = macro_rmse(np.array([1.0, 1.0, 9.0]), np.ones(3), np.array([0, 0, 1]), np.arange(3))
        >>> found[0], found[3]
        (2.0, 2)
    """
    if len(squares) == 0:
        return np.nan, np.nan, np.nan, 0
    cell = np.unique(cells, return_inverse=True)[1]
    cluster = np.unique(clusters, return_inverse=True)[1]
    n_cells, n = int(cell.max()) + 1, int(cluster.max()) + 1
    totals, sizes = np.zeros((n, n_cells)), np.zeros((n, n_cells))
    np.add.at(totals, (cluster, cell), squares)
    np.add.at(sizes, (cluster, cell), counts)
    mean = float(np.sqrt(totals.sum(axis=0) / sizes.sum(axis=0)).mean())
    if n < MIN_CLUSTERS or mean <= 0:
        return mean, np.nan, np.nan, n_cells
    left = sizes.sum(axis=0) - sizes  # without each cluster, shape (n_clusters, n_cells)
    is_there = left > 0.5
    rest = np.where(is_there, np.maximum(totals.sum(axis=0) - totals, 0.0), 0.0) / np.where(is_there, left, 1.0)
    sums = np.sqrt(rest).sum(axis=1)
    if (sums <= 0).any():  # one cluster holds all errors
        return mean, np.nan, np.nan, n_cells
    without = np.log(sums / is_there.sum(axis=1))
    step = np.sqrt((n - 1.0) / n * ((without - without.mean()) ** 2).sum()) * stdtrit(n - 1, 0.975)
    return mean, float(mean * np.exp(-step)), float(mean * np.exp(step)), n_cells
