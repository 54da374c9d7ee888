"""Maps of local environments: principal components fitted on one set, and how much of one set lies outside another."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import MetricError

FloatArray = NDArray[np.float64]

OUTSIDE_QUANTILE = 0.99
SAME = 1e-4  # of vectors of length 1: atoms that symmetry makes equal differ by 1e-6


class Outside(NamedTuple):
    """How much of one set lies outside another.

    Attributes:
        share: Part of the environments of the one set that lie outside, 0 to 1.
        threshold: Distance beyond which an environment is outside.
        distances: From each environment of the one set to the nearest of the other, shape (n,).
    """

    share: float
    threshold: float
    distances: FloatArray


def fit_components(vectors: NDArray[np.floating]) -> Any:
    """Fit two principal components of SOAP vectors by scikit-learn's PCA, whose `transform` projects other vectors.

    Args:
        vectors: SOAP vectors without unit, shape (n_atoms, n_features), at least two atoms.

    Raises:
        MetricError: There are fewer than two vectors.
    """
    from sklearn.decomposition import PCA

    if len(vectors) < 2:
        raise MetricError(f"{len(vectors)} environments have no principal components; expected two or more.")
    return PCA(n_components=2, svd_solver="full").fit(np.asarray(vectors, dtype=float))


def outside(vectors: NDArray[np.floating], others: NDArray[np.floating]) -> Outside:
    """Find environments of one set that are farther from another set than its members are from each other.

    An environment is outside where the nearest of the other set is farther than the 99th percentile of the distances
    from each member of the other set to its nearest neighbour in that set. Neighbours at a distance below `SAME` do not
    count: symmetry repeats environments, and with a set of equal pairs everything would be outside.

    Args:
        vectors: SOAP vectors of the one set, without unit, shape (n, n_features).
        others: SOAP vectors of the other set, without unit, shape (m, n_features), m at least 2.

    Raises:
        MetricError: The other set has fewer than two environments.

    Example:
        >>> outside(np.array([[0.5], [9.0]]), np.array([[0.0], [1.0], [2.0]])).share
        0.5
    """
    from sklearn.metrics import pairwise_distances

    if len(others) < 2:
        raise MetricError(f"{len(others)} environments have no distances between them; expected two or more.")
    between = pairwise_distances(np.asarray(others, dtype=float))
    between[between < SAME] = np.inf
    own = between.min(axis=1)
    distances = pairwise_distances(np.asarray(vectors, dtype=float), np.asarray(others, dtype=float)).min(axis=1)
    threshold = float(np.quantile(own[np.isfinite(own)], OUTSIDE_QUANTILE)) if np.isfinite(own).any() else SAME
    return Outside(float(np.mean(distances > threshold)), threshold, distances)
