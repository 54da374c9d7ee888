"""How well an ensemble's deviation agrees with the error of its mean: ranks, detection of large errors, size.

A deviation can rank errors well and still be the wrong size, so both are measured. Bounds come from a bootstrap over
clusters of configurations, since atoms of one trajectory err alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import MetricError
from engine.numerics.metrics import MIN_CLUSTERS, draws

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

N_BINS = 60  # ranks of a bootstrap; its Spearman and AUROC move by less than 0.003
N_RESAMPLES = 400
N_RELIABILITY = 12  # bins of a reliability diagram, of equally many samples
KEPT: FloatArray = np.round(np.linspace(1.0, 0.05, 20), 2)  # shares that a rejection curve keeps

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Detection:
    """How well a deviation tells errors above a limit from those below.

    Attributes:
        threshold: The limit, in the unit of the error.
        share_above: Share of samples whose error is above it.
        auroc: Area under the receiver operating characteristic: the chance that an error above the limit has the larger
            deviation; NaN where all or no errors are above.
        bounds: 95 % bounds of it.
    """

    threshold: float
    share_above: float
    auroc: float
    bounds: Bounds


@dataclass(frozen=True)
class Agreement:
    """Deviation beside error, over some samples.

    Attributes:
        n_samples: Atoms or configurations.
        n_clusters: Clusters that they are of.
        spearman: Rank correlation.
        spearman_bounds: 95 % bounds of it; NaN for fewer than `MIN_CLUSTERS` clusters, like all bounds.
        coverage: Share of samples whose error is below the deviation.
        coverage_bounds: 95 % bounds of it.
        sharpness: Root mean square deviation, in the unit of the error.
        rms_error: Root mean square error.
        detections: One per threshold.
    """

    n_samples: int
    n_clusters: int
    spearman: float
    spearman_bounds: Bounds
    coverage: float
    coverage_bounds: Bounds
    sharpness: float
    rms_error: float
    detections: tuple[Detection, ...]


def auroc(deviations: FloatArray, is_above: NDArray[np.bool_]) -> float:
    """Chance that a sample above has a larger deviation than one below, ties counting half; NaN without either.

    Args:
        deviations: Shape (n,).
        is_above: Shape (n,).

    Source:
        Mann and Whitney, Ann. Math. Stat. 18, 50 (1947).

    Example:
        >>> auroc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, True]))
        0.75
    """
    return _auroc(_ranks(deviations), is_above)


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1, equal values sharing the mean of theirs."""
    from scipy.stats import rankdata  # takes half a second, which the first page need not wait for

    return np.asarray(rankdata(values))


def _auroc(ranks: FloatArray, is_above: NDArray[np.bool_]) -> float:
    """The same from the ranks of the deviations."""
    n_above, n = int(is_above.sum()), len(is_above)
    if n_above in (0, n):
        return float("nan")
    return float((ranks[is_above].sum() - n_above * (n_above + 1) / 2) / (n_above * (n - n_above)))


def agreement(deviations: FloatArray, errors: FloatArray, clusters: IntArray, thresholds: Sequence[float]) -> Agreement:
    """Ranks, detection and size of deviations beside errors, with bounds over clusters.

    Args:
        deviations: Shape (n,), eV/Å or eV/atom.
        errors: Sizes of errors, shape (n,), in the same unit.
        clusters: Label of each sample's cluster, shape (n,).
        thresholds: Limits that an error may be above, in the same unit.

    Raises:
        MetricError: Lengths differ, or there are fewer than three samples.
    """
    if not len(deviations) == len(errors) == len(clusters):
        raise MetricError(f"{len(deviations)=}, {len(errors)=} and {len(clusters)=} differ")
    if len(errors) < 3:
        raise MetricError(f"{len(errors)} samples have no rank correlation")
    x, y = _ranks(deviations), _ranks(errors)
    is_constant = np.ptp(deviations) == 0 or np.ptp(errors) == 0
    rho = float("nan") if is_constant else float(np.corrcoef(x, y)[0, 1])
    index = np.unique(clusters, return_inverse=True)[1].ravel()
    counts = _Counts(x, y, index, [errors > threshold for threshold in thresholds], errors <= deviations)
    rhos, rocs, shares = counts.resampled() if counts.n_clusters >= MIN_CLUSTERS else (None, None, None)
    detections = []
    for k, threshold in enumerate(thresholds):
        is_above = errors > threshold
        value = _auroc(x, is_above)
        bounds = _bounds(None if rocs is None or np.isnan(value) else rocs[:, k])
        detections.append(Detection(threshold, float(is_above.mean()), value, bounds))
    return Agreement(
        len(errors), counts.n_clusters, rho, _bounds(None if np.isnan(rho) else rhos),
        float(np.mean(errors <= deviations)), _bounds(shares), float(np.sqrt(np.mean(deviations**2))),
        float(np.sqrt(np.mean(errors**2))), tuple(detections),
    )  # fmt: skip


def reliability(
    deviations: FloatArray, errors: FloatArray, n_bins: int = N_RELIABILITY
) -> tuple[FloatArray, FloatArray]:
    """Root mean square deviation and error of bins with equally many samples, by rising deviation.

    On the diagonal the deviation has the size of the error.

    Args:
        deviations: Shape (n,).
        errors: Shape (n,), in the same unit.
        n_bins: Most bins; fewer where there are fewer than ten samples for each.

    Returns:
        Deviations and errors, shape (n_bins,).
    """
    order = np.argsort(deviations, kind="stable")
    parts = np.array_split(order, max(1, min(n_bins, len(order) // 10)))
    return tuple(  # type: ignore[return-value]
        np.array([np.sqrt(np.mean(values[part] ** 2)) for part in parts]) for values in (deviations, errors)
    )


def rejection(deviations: FloatArray, errors: FloatArray, kept: FloatArray = KEPT) -> tuple[FloatArray, FloatArray]:
    """Root mean square error of what remains when the samples of largest deviation go, and at best.

    Args:
        deviations: Shape (n,).
        errors: Shape (n,).
        kept: Shares of samples that remain, shape (n_shares,).

    Returns:
        By the deviation, and by the error itself, which no measure can beat; shape (n_shares,), in the unit of errors.
    """
    n_kept = np.maximum(1, np.round(kept * len(errors)).astype(int))
    curves = []
    for key in (deviations, errors):
        sums = np.cumsum(errors[np.argsort(key, kind="stable")] ** 2)
        curves.append(np.sqrt(sums[n_kept - 1] / n_kept))
    return curves[0], curves[1]


def _bounds(resampled: FloatArray | None) -> Bounds:
    """2.5 and 97.5 % of resampled values; NaN where there are none."""
    if resampled is None:
        return float("nan"), float("nan")
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return float(low), float(high)


class _Counts:
    """What the samples of each cluster sum to: all that a bootstrap over clusters needs.

    Args:
        x: Ranks of the deviations, shape (n,).
        y: Ranks of the errors, shape (n,).
        index: Cluster of each sample, from 0, shape (n,).
        above: For each threshold, whether the error is above it, shape (n,).
        is_covered: Whether the error is below the deviation, shape (n,).
    """

    def __init__(
        self,
        x: FloatArray,
        y: FloatArray,
        index: IntArray,
        above: Sequence[NDArray[np.bool_]],
        is_covered: NDArray[np.bool_],
    ) -> None:
        self.n_clusters = n = int(index.max()) + 1
        cell = index * N_BINS + _bins(x)
        pairs = np.bincount(cell * N_BINS + _bins(y), minlength=n * N_BINS**2)
        self.pairs = pairs.reshape(n, -1).astype(np.float32)
        by_threshold = [np.bincount(cell[one], minlength=n * N_BINS).reshape(n, N_BINS) for one in above]
        self.above = np.stack(by_threshold, axis=1).reshape(n, -1).astype(float)
        self.covered = np.bincount(index, weights=is_covered, minlength=n)

    def resampled(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Spearman, (n_resamples,); AUROC, (n_resamples, n_thresholds); coverage, (n_resamples,)."""
        drawn = draws(self.n_clusters, N_RESAMPLES)
        table = (drawn.astype(np.float32) @ self.pairs).reshape(-1, N_BINS, N_BINS)
        by_x, by_y = table.sum(axis=2, dtype=np.float64), table.sum(axis=1, dtype=np.float64)
        totals = by_x.sum(axis=1)
        x, y = _middle_ranks(by_x), _middle_ranks(by_y)
        covariance = np.einsum("rxy,rx,ry->r", table, x, y, optimize=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            rho = covariance / np.sqrt((by_x * x**2).sum(axis=1) * (by_y * y**2).sum(axis=1))
            above = (drawn @ self.above).reshape(len(drawn), -1, N_BINS)
            below = by_x[:, None, :] - above
            wins = (above * (np.cumsum(below, axis=2) - below / 2)).sum(axis=2)
            roc = wins / (above.sum(axis=2) * below.sum(axis=2))
        return rho, roc, drawn @ self.covered / totals


def _middle_ranks(counts: FloatArray) -> FloatArray:
    """Mean rank of each bin of each resample, about the mean of all; shape (n_resamples, n_bins) as the counts."""
    ranks = np.cumsum(counts, axis=1) - counts / 2
    return np.asarray(ranks - counts.sum(axis=1, keepdims=True) / 2)


def _bins(ranks: FloatArray) -> IntArray:
    """Bin of each rank among `N_BINS`, shape (n,)."""
    return np.minimum(((ranks - 0.5) / len(ranks) * N_BINS).astype(np.int64), N_BINS - 1)
