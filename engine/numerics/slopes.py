"""Ratios of sums over configurations with bounds, such as slopes of forces and ratios of two models' slopes."""

import numpy as np
from numpy.typing import NDArray

from engine.errors import MetricError
from engine.numerics.metrics import MIN_CLUSTERS, draws

FloatArray = NDArray[np.float64]


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
    index = np.unique(clusters, return_inverse=True)[1]
    n_clusters = int(index.max()) + 1
    if n_clusters < MIN_CLUSTERS:
        return ratio, float("nan"), float("nan")
    drawn = draws(n_clusters)
    resampled = drawn @ np.bincount(index, weights=numerators) / (drawn @ np.bincount(index, weights=denominators))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return ratio, float(low), float(high)
