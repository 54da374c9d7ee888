"""Learning curves: errors against the size of the training set, and where they cross the error of another model."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import MetricError
from engine.numerics.metrics import draws

FloatArray = NDArray[np.float64]


def folds(clusters: NDArray[np.int64], n_folds: int, seed: int) -> NDArray[np.int64]:
    """Parts of like size that share no cluster.

    Clusters are taken largest first, equally large ones in random order, each into the part that is smallest so far.

    Args:
        clusters: Label of each configuration, shape (n_configs,).
        n_folds: Number of parts; fewer clusters leave some empty.
        seed: Of the order.

    Returns:
        Part of each configuration, shape (n_configs,).

    Example:
        >>> folds(np.array([7, 7, 7, 8, 9, 9]), 2, seed=0).tolist()
        [0, 0, 0, 1, 1, 1]
    """
    names, index, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    part, filled = np.zeros(len(names), dtype=np.int64), np.zeros(n_folds, dtype=np.int64)
    for k in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        part[k] = filled.argmin()
        filled[part[k]] += sizes[k]
    return np.asarray(part[index])


def aligned_square(errors: ArrayLike, squares: ArrayLike, counts: ArrayLike) -> FloatArray:
    """Mean squared energy error about the mean error of all other configurations, from sums.

    For one element this is what `alignment.leave_one_out_errors` gives: each error less the mean of the others is
    n / (n - 1) times the error less the mean of all.

    Args:
        errors: Sums of errors, any shape, eV/atom.
        squares: Sums of their squares, same shape.
        counts: Numbers of errors, same shape, at least 2.
    """
    total, square, n = (np.asarray(values, dtype=float) for values in (errors, squares, counts))
    return np.asarray(np.maximum(square / n - (total / n) ** 2, 0.0) * (n / (n - 1.0)) ** 2)


def crossing(sizes: ArrayLike, errors: ArrayLike, target: ArrayLike) -> FloatArray:
    """Smallest size from which on a learning curve stays at or below an error.

    Between two sizes the curve is a straight line of the logarithms.

    Args:
        sizes: Of the training set, rising, shape (n,).
        errors: The curve, positive, shape (..., n).
        target: The error of the other model, shape (...,).

    Returns:
        Shape (...,). The first size where the curve is never above, which says no more than that; infinite where it
        is above at the end.

    Raises:
        MetricError: Sizes do not rise, or shapes do not fit.

    Example:
        >>> crossing([10, 100, 1000], [100.0, 10.0, 1.0], 10**1.5).round(3).item()
        31.623
        >>> crossing([10, 100], [3.0, 2.0], 1.0).item(), crossing([10, 100], [3.0, 2.0], 4.0).item()
        (inf, 10.0)
    """
    x, y, level = (np.asarray(values, dtype=float) for values in (sizes, errors, target))
    if x.ndim != 1 or y.shape[-1:] != x.shape or (np.diff(x) <= 0).any() or y.shape[:-1] != level.shape:
        raise MetricError(f"{x.shape=}, {y.shape=} and {level.shape=} are no curve and its targets")
    is_above = y > level[..., None]
    last = len(x) - 1 - np.argmax(is_above[..., ::-1], axis=-1)  # the last size at which the curve is above
    low = np.minimum(last, len(x) - 2)
    upper, lower = (np.log(np.take_along_axis(y, k[..., None], axis=-1))[..., 0] for k in (low, low + 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((upper - np.log(level)) / (upper - lower), 0.0, 1.0)
    inside = np.exp(np.log(x[low]) + share * (np.log(x[low + 1]) - np.log(x[low])))
    found = np.where(is_above[..., -1], np.inf, inside)
    return np.asarray(np.where(is_above.any(axis=-1), found, x[0]))


def resampled(seeds: int, clusters: int) -> tuple[NDArray[np.int64], FloatArray]:
    """One seed of the training set and a draw of clusters for every resample.

    Returns:
        Seeds, shape (n_resamples,), and how often each cluster is drawn, shape (n_resamples, clusters).
    """
    drawn = draws(clusters)
    return np.random.default_rng(1).integers(0, seeds, len(drawn)), drawn


def quantiles(values: ArrayLike) -> tuple[float, float]:
    """2.5 % and 97.5 % quantiles of values that may be infinite."""
    low, high = np.quantile(np.asarray(values, dtype=float), [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)
