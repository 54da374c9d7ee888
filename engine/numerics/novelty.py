"""Novelty of local environments: distance to those of a benchmark, and one flag of it and a deviation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import MetricError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

N_FOLDS = 10
FEWEST = 20
"""Atoms above and below the limit, each, without which nothing is measured."""

_LEAST_DISTANCE, _LEAST_DEVIATION = 1e-3, 5e-3  # added before a logarithm: rounding of SOAP, noise of labels (eV/Å)
_ROWS = 1000  # of a matrix of distances in memory at a time


@dataclass(frozen=True)
class Flag:
    """A logistic rule on the logarithms of distance and deviation that tells errors above a limit.

    All measures are of clusters that the rule was not fitted on.

    Attributes:
        weights: Of log10 distance and log10 deviation.
        bias: Added to them; atoms with a positive sum are flagged.
        limit: Size of an error that the flag is for, eV/Å.
        n_atoms: Atoms with known errors.
        n_clusters: Clusters of their configurations.
        base_rate: Share of the atoms with an error above the limit.
        precision: Share of the flagged atoms with such an error.
        recall: Share of the atoms with such an error that are flagged.
        auroc: Probability that such an atom has a larger sum than another one.
        auroc_distance: The same for the distance alone.
        auroc_deviation: The same for the deviation alone.
    """

    weights: tuple[float, float]
    bias: float
    limit: float
    n_atoms: int
    n_clusters: int
    base_rate: float
    precision: float
    recall: float
    auroc: float
    auroc_distance: float
    auroc_deviation: float

    def on(self, distances: FloatArray, deviations: FloatArray) -> BoolArray:
        """Which atoms are flagged, shape (n_atoms,).

        Args:
            distances: To the nearest benchmark environment, shape (n_atoms,).
            deviations: Of the models, shape (n_atoms,), eV/Å.
        """
        return np.asarray(_features(distances, deviations) @ np.array(self.weights) + self.bias > 0)


def nearest_distances(
    vectors: NDArray[np.floating], others: NDArray[np.floating], *, apart: tuple[IntArray, IntArray] | None = None
) -> FloatArray:
    """Distance of each vector to the nearest of others, shape (n,); infinite where none is left.

    Args:
        vectors: Shape (n, n_features).
        others: Shape (m, n_features).
        apart: Labels of both, shapes (n,) and (m,); others with the same label do not count.

    Example:
        >>> points = np.array([[0.0], [0.1], [3.0]])
        >>> nearest_distances(points, points, apart=(np.array([1, 1, 2]), np.array([1, 1, 2]))).tolist()
        [3.0, 2.9, 2.9]
    """
    from sklearn.metrics import pairwise_distances

    found = np.full(len(vectors), np.inf)
    if not len(others):
        return found
    for start in range(0, len(vectors), _ROWS):
        rows = slice(start, start + _ROWS)
        between = pairwise_distances(np.asarray(vectors[rows], dtype=float), np.asarray(others, dtype=float))
        if apart is not None:
            between[apart[0][rows, None] == apart[1][None]] = np.inf
        found[rows] = between.min(axis=1)
    return found


def fit_flag(
    distances: FloatArray, deviations: FloatArray, errors: FloatArray, clusters: IntArray, limit: float
) -> Flag | None:
    """Fit the rule to atoms with known errors, and measure it on clusters that were left out.

    Atoms above and below the limit weigh the same in all in the fit.

    Args:
        distances: To the nearest environment of another cluster, shape (n,).
        deviations: Of the models, shape (n,), eV/Å.
        errors: Sizes of the errors, shape (n,), eV/Å.
        clusters: Labels, shape (n,); atoms of one cluster are left out together.
        limit: Of the errors, eV/Å.

    Returns:
        None where the atoms above or below the limit, or the clusters, are too few.

    Raises:
        MetricError: Shapes differ, or a value is not finite.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold

    if not distances.shape == deviations.shape == errors.shape == clusters.shape:
        raise MetricError(f"{distances.shape=}, {deviations.shape=}, {errors.shape=} and {clusters.shape=} differ")
    if not all(np.isfinite(values).all() for values in (distances, deviations, errors)):
        raise MetricError("a distance, deviation or error is not finite")
    is_large, n_clusters = errors > limit, len(np.unique(clusters))
    if n_clusters < N_FOLDS or min(is_large.sum(), (~is_large).sum()) < FEWEST:
        return None
    features = _features(distances, deviations)
    scores = np.full(len(errors), np.nan)
    for fitted, left_out in GroupKFold(N_FOLDS).split(features, is_large, clusters):
        if is_large[fitted].all() or not is_large[fitted].any():
            return None
        scores[left_out] = _rule(features[fitted], is_large[fitted]).decision_function(features[left_out])
    rule, is_flagged = _rule(features, is_large), scores > 0
    hits = int((is_flagged & is_large).sum())
    return Flag(
        (float(rule.coef_[0, 0]), float(rule.coef_[0, 1])), float(rule.intercept_[0]), limit, len(errors), n_clusters,
        float(is_large.mean()), hits / int(is_flagged.sum()) if is_flagged.any() else float("nan"),
        hits / int(is_large.sum()), float(roc_auc_score(is_large, scores)),
        float(roc_auc_score(is_large, distances)), float(roc_auc_score(is_large, deviations)),
    )  # fmt: skip


def _rule(features: FloatArray, is_large: BoolArray) -> Any:
    from sklearn.linear_model import LogisticRegression

    # Two features: a few Newton steps, where the usual solver calls its threads 250 times.
    return LogisticRegression(class_weight="balanced", solver="newton-cholesky").fit(features, is_large)


def _features(distances: FloatArray, deviations: FloatArray) -> FloatArray:
    return np.log10(np.column_stack([distances + _LEAST_DISTANCE, deviations + _LEAST_DEVIATION]))
