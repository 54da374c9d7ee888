"""Errors of predictions against DFT references: RMSE, MAE, softening slope, bootstrap bounds.

Definitions follow Shuang et al. (2025): the energy RMSE runs over configurations and counts (E_pred - E_ref)/N;
the force RMSE runs over all Cartesian components of all atoms. Inputs are in eV and Å; results of functions whose
name says `mev` are in meV.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import MetricError

FloatArray = NDArray[np.float64]

MEV = 1000.0
N_RESAMPLES = 1000


def rmse(errors: ArrayLike) -> float:
    """Root mean square of errors of any shape, in their unit.

    Raises:
        MetricError: There is no error, or one is not finite.

    Example:
        >>> rmse([3.0, 4.0, 0.0, 0.0])
        2.5
    """
    values = _finite(errors)
    return float(np.sqrt(np.mean(values**2)))


def mae(errors: ArrayLike) -> float:
    """Mean absolute value of errors of any shape, in their unit.

    Raises:
        MetricError: There is no error, or one is not finite.

    Example:
        >>> mae([3.0, -4.0, 0.0, 1.0])
        2.0
    """
    return float(np.mean(np.abs(_finite(errors))))


def slope(reference: ArrayLike, predicted: ArrayLike) -> float:
    """Least-squares slope through the origin of predicted over reference; below 1 means too soft.

    Args:
        reference: Reference force components, any shape, eV/Å.
        predicted: Predicted ones, same shape.

    Returns:
        Dimensionless; NaN where all references are zero.

    Raises:
        MetricError: Shapes differ or a value is not finite.

    Example:
        >>> slope([1.0, -2.0], [0.5, -1.0])
        0.5

    Source:
        Deng et al., npj Comput. Mater. 11, 9 (2025), doi:10.1038/s41524-024-01500-6 (softening).
    """
    x, y = _finite(reference), _finite(predicted)
    if x.shape != y.shape:
        raise MetricError(f"{x.shape=} != {y.shape=}")
    norm = float(np.vdot(x, x))
    return float(np.vdot(x, y)) / norm if norm > 0 else float("nan")


def bootstrap_rmse(
    squares: ArrayLike,
    counts: ArrayLike,
    clusters: Sequence[object] | None = None,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % bounds of a RMSE by resampling configurations, or clusters of them.

    Args:
        squares: Sum of squared errors of each configuration, shape (n_configs,).
        counts: Number of errors in each sum, shape (n_configs,); 1 for energies, 3 N for forces.
        clusters: Label of each configuration; those that share one (neighbours of one MD run) are drawn together.
        n_resamples: Number of resampled sets.
        seed: Of the random generator, so that a build can be repeated.

    Returns:
        2.5 % and 97.5 % quantiles, in the unit of the errors; both NaN for fewer than two clusters.

    Raises:
        MetricError: Lengths differ, or a value is not finite.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), percentile method.
    """
    totals, sizes = _finite(squares), _finite(counts)
    if totals.ndim != 1 or totals.shape != sizes.shape:
        raise MetricError(f"{totals.shape=} != {sizes.shape=}")
    if clusters is not None:
        if len(clusters) != len(totals):
            raise MetricError(f"{len(clusters)=} != {len(totals)=}")
        _, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
        totals = np.bincount(index, weights=totals).astype(float)
        sizes = np.bincount(index, weights=sizes).astype(float)
    n = len(totals)
    if n < 2:
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(n, np.full(n, 1.0 / n), size=n_resamples)
    resampled = np.sqrt((weights @ totals) / (weights @ sizes))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)


def _finite(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=float)
    if array.size == 0:
        raise MetricError("no values")
    if not np.isfinite(array).all():
        raise MetricError("a value is not finite; failed predictions must be left out before")
    return array
