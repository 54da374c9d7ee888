"""Maps of local environments: principal components fitted on one set, and how much of one set lies outside another."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import MetricError

FloatArray = NDArray[np.float64]

OUTSIDE_QUANTILE = 0.99
SAME = 1e-4  # of vectors of length 1: atoms that symmetry makes equal differ by 1e-6


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


def shares_outside(sets: Sequence[NDArray[np.floating]]) -> FloatArray:
    """How much of each set lies farther from each other set than its members are from each other.

    An environment is outside where the nearest of the other set is farther than the 99th percentile of the distances
    from each member of the other set to its nearest neighbour in that set. Neighbours at a distance below `SAME` do not
    count: symmetry repeats environments, and with a set of equal pairs everything would be outside.

    Args:
        sets: SOAP vectors without unit, shape (n, n_features) each.

    Returns:
        Shares of the set of the row that lie outside the set of the column, shape (n_sets, n_sets); NaN on the diagonal
        and where either has fewer than two environments.

    Example:
        >>> shares_outside([np.array([[0.5], [9.0]]), np.array([[0.0], [1.0], [2.0]])])
        array([[nan, 0.5],
               [0. , nan]])
    """
    shares = np.full((len(sets), len(sets)), np.nan)
    edges = {k: _edge(vectors) for k, vectors in enumerate(sets) if len(vectors) > 1}
    for one, other in combinations(edges, 2):
        distances = _distances(sets[one], sets[other])
        shares[one, other] = np.mean(distances.min(axis=1) > edges[other])
        shares[other, one] = np.mean(distances.min(axis=0) > edges[one])
    return shares


def _edge(vectors: NDArray[np.floating]) -> float:
    """Distance from a set beyond which an environment is outside it."""
    between = _distances(vectors)
    between[between < SAME] = np.inf
    own = between.min(axis=1)
    return float(np.quantile(own[np.isfinite(own)], OUTSIDE_QUANTILE)) if np.isfinite(own).any() else SAME


def _distances(vectors: NDArray[np.floating], others: NDArray[np.floating] | None = None) -> FloatArray:
    """Distances to the vectors of another set, or of the same, shape (n, m)."""
    from sklearn.metrics import pairwise_distances

    other = None if others is None else np.asarray(others, dtype=float)
    return np.asarray(pairwise_distances(np.asarray(vectors, dtype=float), other))
