"""Errors of predictions against DFT references: RMSE, MAE, softening slope, bootstrap bounds.

Definitions follow Shuang et al. (2025): the energy RMSE runs over configurations and counts (E_pred - E_ref)/N;
the force RMSE runs over all Cartesian components of all atoms. Inputs are in eV and Å; results of functions whose
name says `mev` are in meV.
"""

import functools
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
    weights = _draws(n, n_resamples, seed)
    resampled = np.sqrt((weights @ totals) / (weights @ sizes))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)


@functools.lru_cache(maxsize=4)
def _draws(n: int, n_resamples: int, seed: int) -> FloatArray:
    """How often each of n clusters is drawn, shape (n_resamples, n); the same for all models on a dataset."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=n_resamples)
    return drawn.astype(float)


def energy_metrics(errors: FloatArray, clusters: Sequence[object]) -> dict[str, float]:
    """Energy columns of the store's metrics over some configurations.

    Args:
        errors: (E_pred - E_ref)/N, shape (n_configs,), eV/atom.
        clusters: As `bootstrap_rmse` takes them.
    """
    errors = errors * MEV
    low, high = bootstrap_rmse(errors**2, np.ones(len(errors)), clusters)
    return {
        "energy_rmse_mev_per_atom": rmse(errors),
        "energy_rmse_mev_per_atom_lo": low,
        "energy_rmse_mev_per_atom_hi": high,
        "energy_mae_mev_per_atom": mae(errors),
    }


def force_metrics(
    n_atoms: ArrayLike,
    clusters: Sequence[object],
    rmses: FloatArray,
    maes: FloatArray,
    reference_dot_predicted: FloatArray,
    reference_dot_reference: FloatArray,
) -> dict[str, float]:
    """Force columns of the store's metrics over some configurations, from numbers of each of them.

    Args:
        n_atoms: Atoms, shape (n_configs,) like all others.
        clusters: As `bootstrap_rmse` takes them.
        rmses: Root mean square errors over force components, eV/Å.
        maes: Mean absolute errors over force components, eV/Å.
        reference_dot_predicted: Sums over components of reference times prediction, eV²/Å².
        reference_dot_reference: Sums over components of the squared reference, eV²/Å².

    Returns:
        RMSE with bounds, MAE and slope: the least-squares slope through the origin of predicted over reference
        components, below 1 where a model is too soft, NaN where all references are zero.

    Source:
        Deng et al., npj Comput. Mater. 11, 9 (2025), doi:10.1038/s41524-024-01500-6 (softening).
    """
    n_components = 3.0 * np.asarray(n_atoms)
    squares = n_components * (rmses * MEV) ** 2
    low, high = bootstrap_rmse(squares, n_components, clusters)
    norm = float(reference_dot_reference.sum())
    return {
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
