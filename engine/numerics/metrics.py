"""Errors of predictions against DFT references: RMSE, MAE, softening slope, bounds.

Definitions follow Shuang et al. (2025): the energy RMSE runs over configurations and counts (E_pred - E_ref)/N;
the force RMSE runs over all Cartesian components of all atoms. Inputs are in eV and Å; results of functions whose
name says `mev` are in meV.
"""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from engine.errors import MetricError

FloatArray = NDArray[np.float64]

MEV = 1000.0
N_RESAMPLES = 1000
MIN_CLUSTERS = 6  # with fewer, bounds miss one time in four (benchmarks/coverage.py)


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


def rmse_bounds(
    squares: ArrayLike, counts: ArrayLike, clusters: Sequence[object] | NDArray[np.int64] | None = None
) -> tuple[float, float]:
    """95 % bounds of a RMSE over clusters of configurations.

    The squared RMSE is a ratio of sums over clusters; its standard error is that of the residuals, total - ratio x
    size. Bounds are Student's on the logarithm. Squared errors are skewed and some clusters large, so the degrees of
    freedom are those that the residuals' own kurtosis leaves (Satterthwaite): n - 1 where all clusters weigh alike, 2
    where one dominates. Quantiles of resamples ignore that and miss more often; resamples in units of their own error
    (bootstrap-t) miss a little less, but diverge where one cluster dominates.
    `python -m benchmarks.coverage` measures all three.

    Args:
        squares: Sum of squared errors of each configuration, shape (n_configs,).
        counts: Number of errors in each sum, shape (n_configs,); 1 for energies, 3 N for forces.
        clusters: Label of each configuration; those that share one count as one draw (see `clusters`).

    Returns:
        Bounds in the unit of the errors; both NaN for fewer than `MIN_CLUSTERS` clusters.

    Raises:
        MetricError: Lengths differ, or a value is not finite.

    Source:
        Cochran, Sampling Techniques (1977), chapter 6 (ratios); Satterthwaite, Biometrics Bull. 2, 110 (1946).
    """
    totals, sizes = _finite(squares), _finite(counts)
    if totals.ndim != 1 or totals.shape != sizes.shape:
        raise MetricError(f"{totals.shape=} != {sizes.shape=}")
    if clusters is not None:
        if len(clusters) != len(totals):
            raise MetricError(f"{len(clusters)=} != {len(totals)=}")
        index = np.unique(np.asarray(clusters), return_inverse=True)[1]
        totals = np.bincount(index, weights=totals).astype(float)
        sizes = np.bincount(index, weights=sizes).astype(float)
    n = len(totals)
    if n < MIN_CLUSTERS:
        return float("nan"), float("nan")
    ratio = totals.sum() / sizes.sum()
    residuals = totals - ratio * sizes
    second = (residuals**2).sum()
    if second <= (1e-9 * totals.sum()) ** 2:  # all clusters err alike
        return float(np.sqrt(ratio)), float(np.sqrt(ratio))
    peakedness = ((residuals / np.sqrt(second)) ** 4).sum()  # from 1/n, all alike, to 1, where one rules
    freedom = 2.0 / max(peakedness - 1.0 / n, 2.0 / (n - 1.0))
    error = np.sqrt(n / (n - 1.0) * second) / sizes.sum()
    step = float(stdtrit(freedom, 0.975) * 0.5 * error / ratio)  # of the logarithm of the RMSE
    return float(np.sqrt(ratio) * np.exp(-step)), float(np.sqrt(ratio) * np.exp(step))


def mae_bounds(sizes: ArrayLike, clusters: Sequence[object] | NDArray[np.int64] | None = None) -> tuple[float, float]:
    """95 % bounds of a mean absolute error over clusters, by the same estimator as `rmse_bounds`.

    Args:
        sizes: Absolute errors, shape (n,).
        clusters: Label of each error; those that share one count as one draw.

    Returns:
        Bounds in the unit of the errors; both NaN for fewer than `MIN_CLUSTERS` clusters.
    """
    values = _finite(sizes)
    low, high = rmse_bounds(values, np.ones(len(values)), clusters)  # of the root of the mean
    return low**2, high**2


@functools.lru_cache(maxsize=4)
def draws(n: int, n_resamples: int = N_RESAMPLES, seed: int = 0) -> FloatArray:
    """Number of draws of each of n clusters, shape (n_resamples, n); the same for all models on a dataset."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=n_resamples)
    return drawn.astype(float)


def energy_metrics(errors: FloatArray, clusters: Sequence[object] | NDArray[np.int64]) -> dict[str, float]:
    """Energy columns of the store's metrics over some configurations, and `n_energy`, how many they rest on.

    Args:
        errors: (E_pred - E_ref)/N, shape (n_configs,), eV/atom.
        clusters: As `rmse_bounds` takes them.
    """
    errors = errors * MEV
    low, high = rmse_bounds(errors**2, np.ones(len(errors)), clusters)
    return {
        "n_energy": len(errors),
        "energy_rmse_mev_per_atom": rmse(errors),
        "energy_rmse_mev_per_atom_lo": low,
        "energy_rmse_mev_per_atom_hi": high,
        "energy_mae_mev_per_atom": mae(errors),
    }


def force_metrics(
    n_atoms: ArrayLike,
    clusters: Sequence[object] | NDArray[np.int64],
    rmses: FloatArray,
    maes: FloatArray,
    reference_dot_predicted: FloatArray,
    reference_dot_reference: FloatArray,
) -> dict[str, float]:
    """Force columns of the store's metrics over some configurations, from numbers of each of them.

    Args:
        n_atoms: Number of atoms, shape (n_configs,) like all other arrays.
        clusters: As `rmse_bounds` takes them.
        rmses: Root mean square errors over force components, eV/Å.
        maes: Mean absolute errors over force components, eV/Å.
        reference_dot_predicted: Sums over components of reference times prediction, eV²/Å².
        reference_dot_reference: Sums over components of the squared reference, eV²/Å².

    Returns:
        `n_force`, the number of configurations; RMSE with bounds, MAE and slope: the least-squares slope through the
        origin of predicted over reference components, below 1 where a model is too soft, NaN where all references are
        zero.

    Source:
        Deng et al., npj Comput. Mater. 11, 9 (2025), doi:10.1038/s41524-024-01500-6 (softening).
    """
    n_components = 3.0 * np.asarray(n_atoms)
    squares = n_components * (rmses * MEV) ** 2
    low, high = rmse_bounds(squares, n_components, clusters)
    norm = float(reference_dot_reference.sum())
    return {
        "n_force": len(squares),
        "force_rmse_mev_per_ang": float(np.sqrt(squares.sum() / n_components.sum())),
        "force_rmse_mev_per_ang_lo": low,
        "force_rmse_mev_per_ang_hi": high,
        "force_mae_mev_per_ang": float(np.average(maes, weights=n_components) * MEV),
        "force_slope": float(reference_dot_predicted.sum()) / norm if norm > 0 else float("nan"),
    }


def _finite(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=float)
    if array.size == 0:
        raise MetricError("no values")
    if not np.isfinite(array).all():
        raise MetricError("a value is not finite; failed predictions must be left out before")
    return array
