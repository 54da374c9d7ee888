"""Ratios of sums over configurations with bounds, such as slopes of forces and ratios of two models' slopes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import MetricError
from engine.numerics.metrics import MIN_CLUSTERS, draws

FloatArray = NDArray[np.float64]


class Sums(NamedTuple):
    """Sums over configurations whose ratio is asked for, as `ratio_of_sums` takes them."""

    numerators: FloatArray
    denominators: FloatArray
    clusters: NDArray[np.generic]


def ratio_of_sums(
    numerators: FloatArray, denominators: FloatArray, clusters: NDArray[np.generic]
) -> tuple[float, float, float]:
    """Ratio of two sums over configurations, with 95 % bounds by a bootstrap over clusters of them.

    Sums of reference times prediction over sums of the squared reference give the slope of forces. Sums of reference
    times prediction of one model over those of another give the ratio of their slopes, since the squares are the same.

    Args:
        numerators: One sum per configuration, shape (n_configs,), such as (eV/Å)².
        denominators: One sum per configuration, shape (n_configs,), in the same unit; all totals have one sign.
        clusters: Label of each configuration, shape (n_configs,); those that share one are drawn together.

    Returns:
        Ratio, lower and upper bound: quantiles of the resamples, NaN for fewer than `MIN_CLUSTERS` clusters.

    Raises:
        MetricError: Shapes differ, or there is nothing.

    Example:
        >>> ratio_of_sums(np.array([1.0, 2.0]), np.array([2.0, 2.0]), np.array(["a", "b"]))[0]
        0.75
    """
    if not len(numerators) or numerators.shape != denominators.shape or len(clusters) != len(numerators):
        raise MetricError(f"{numerators.shape=}, {denominators.shape=} and {len(clusters)=} must be alike, above zero")
    ratio = float(numerators.sum() / denominators.sum())
    return ratio, *_bounds(_resampled(Sums(numerators, denominators, clusters)))


def contrast(one: Sums, others: Sequence[Sums]) -> tuple[float, float, float]:
    """A ratio of sums on one dataset over the median of those on others, with 95 % bounds.

    What moves all datasets alike, such as a model that is too soft everywhere, cancels. The median is that of
    logarithms, so that a contrast turned upside down is its inverse. Each dataset is resampled by clusters,
    independently of the others.

    Args:
        one: Of the dataset in question.
        others: Of the datasets that it is compared with.

    Returns:
        Contrast, lower and upper bound; the bounds are NaN where a dataset has fewer than `MIN_CLUSTERS` clusters.

    Raises:
        MetricError: There are no others.

    Example:
        >>> ones, names = np.array([1.0, 1.0]), np.array(["a", "b"])
        >>> contrast(Sums(ones, 2 * ones, names), [Sums(ones, ones, names)])[0]
        0.5
    """
    if not others:
        raise MetricError("a contrast needs other datasets")
    logs = [np.log(sums.numerators.sum() / sums.denominators.sum()) for sums in (one, *others)]
    drawn = [np.log(_resampled(sums, seed)) for seed, sums in enumerate((one, *others))]
    value = float(np.exp(logs[0] - np.median(logs[1:])))
    return value, *_bounds(np.exp(drawn[0] - np.median(drawn[1:], axis=0)))


def _resampled(sums: Sums, seed: int = 0) -> FloatArray:
    """Ratios of the sums over resamples of clusters, shape (n_resamples,); NaN for too few clusters."""
    index = np.unique(sums.clusters, return_inverse=True)[1]
    n_clusters = int(index.max()) + 1
    drawn = draws(n_clusters, seed=seed)
    if n_clusters < MIN_CLUSTERS:
        return np.full(len(drawn), np.nan)
    above, below = (np.bincount(index, weights=values) for values in (sums.numerators, sums.denominators))
    return np.asarray((drawn @ above) / (drawn @ below))


def _bounds(resampled: FloatArray) -> tuple[float, float]:
    """The 95 % bounds, from quantiles."""
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)
