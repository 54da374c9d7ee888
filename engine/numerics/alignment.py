"""Zeros of energy: what is left of a model's energy error when references are made equal.

Two DFT set-ups can differ by hundreds of meV/atom for one element (Ni: -5.780 against -5.483 eV/atom in two
generations of the Materials Project's potentials). Such a constant says nothing about defects; it cancels in every
energy difference at fixed composition. There are two ways to take it away: the least-squares offset of each element
over a whole dataset, which also absorbs a part of a systematic softening, and the error of the element's perfect
crystal, which does not: what is left then is the error of formation energies.
"""

import numpy as np
from numpy.typing import NDArray

from engine.errors import MetricError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MAX_LEVERAGE = 0.99  # above, a configuration alone fixes an offset, and nothing is left over to be its error
SPARE = 2  # configurations beyond the fitted offsets; from a single independent term no mean can be made
PERFECT = 1e-4  # eV/atom; crystals that lie no higher above the lowest are copies of it


def fit_offsets(errors_per_atom: FloatArray, fractions: FloatArray) -> FloatArray:
    """Least-squares offset of each element.

    Minimises the energy RMSE, so every configuration counts alike whatever its size. Where compositions do not
    determine the offsets (an alloy of one composition), the solution of smallest norm is taken: the error that
    remains is the same for all solutions.

    Args:
        errors_per_atom: (E_pred - E_ref)/N, shape (n_configs,), eV/atom.
        fractions: Share of each element in each configuration, shape (n_configs, n_elements), rows summing to 1.

    Returns:
        Offsets, shape (n_elements,), eV/atom.

    Raises:
        MetricError: Shapes do not fit, there is no configuration, or a value is not finite.

    Example:
        >>> fit_offsets(np.array([0.2, 0.4]), np.array([[1.0, 0.0], [0.0, 1.0]])).round(6).tolist()
        [0.2, 0.4]
    """
    if fractions.ndim != 2 or len(fractions) != len(errors_per_atom) or len(fractions) == 0:
        raise MetricError(f"{errors_per_atom.shape=} does not fit {fractions.shape=}")
    if not (np.isfinite(errors_per_atom).all() and np.isfinite(fractions).all()):
        raise MetricError("a value is not finite; failed predictions must be left out before")
    offsets, *_ = np.linalg.lstsq(fractions, errors_per_atom, rcond=None)
    return np.asarray(offsets)


def leverages(fractions: FloatArray) -> tuple[FloatArray, int]:
    """Diagonal of the hat matrix of the fit of offsets, and the number of offsets that compositions determine.

    Args:
        fractions: Share of each element in each configuration, shape (n_configs, n_elements).

    Returns:
        Leverage h of each configuration, shape (n_configs,), between 0 and 1, summing to the number.

    Example:
        >>> h, n_offsets = leverages(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        >>> h.round(6).tolist(), n_offsets
        ([0.5, 0.5, 1.0], 2)
    """
    left, singular, _ = np.linalg.svd(fractions, full_matrices=False)
    rank = int((singular > singular.max() * max(fractions.shape) * np.finfo(float).eps).sum())
    return np.minimum((left[:, :rank] ** 2).sum(axis=1), 1.0), rank


def leave_one_out_errors(errors_per_atom: FloatArray, fractions: FloatArray) -> FloatArray:
    """Error of each configuration when the offsets are fitted to all others: e/(1 - h).

    Errors about an offset that was fitted to themselves are too small, by a factor of 1 - h in their size: with six
    cells of a metal by a sixth, with one cell altogether.

    Args:
        errors_per_atom: (E_pred - E_ref)/N, shape (n_configs,), eV/atom, finite.
        fractions: Share of each element in each configuration, shape (n_configs, n_elements).

    Returns:
        Shape (n_configs,), eV/atom; NaN where h exceeds `MAX_LEVERAGE`, since no other configuration fixes that
        offset, and everywhere if fewer than `SPARE` configurations are left beyond the offsets.

    Raises:
        MetricError: As `fit_offsets`.

    Example:
        >>> errors = leave_one_out_errors(np.array([0.1, 0.2, 0.3, 0.6]), np.ones((4, 1)))
        >>> errors.round(6).tolist()  # 0.1 - (0.2 + 0.3 + 0.6)/3 and so on
        [-0.266667, -0.133333, 0.0, 0.4]
    """
    inside = errors_per_atom - fractions @ fit_offsets(errors_per_atom, fractions)
    leverage, n_offsets = leverages(fractions)
    if len(fractions) < n_offsets + SPARE:
        return np.full(len(fractions), np.nan)
    is_fixed = leverage > MAX_LEVERAGE
    return np.where(is_fixed, np.nan, inside / np.where(is_fixed, 1.0, 1.0 - leverage))


def why_no_alignment(fractions: FloatArray) -> str:
    """Why `leave_one_out_errors` has no value for some or all configurations; empty where it has all.

    Example:
        >>> why_no_alignment(np.array([[1.0, 0.0], [0.0, 1.0]]))
        '2 offsets fitted to 2 configurations leave no error to be seen.'
    """
    leverage, n_offsets = leverages(fractions)
    if len(fractions) < n_offsets + SPARE:
        offsets = "1 offset" if n_offsets == 1 else f"{n_offsets} offsets"
        configurations = "1 configuration" if len(fractions) == 1 else f"{len(fractions)} configurations"
        return f"{offsets} fitted to {configurations} leave no error to be seen."
    n_fixed = int((leverage > MAX_LEVERAGE).sum())
    return f"Without {n_fixed} that alone fix the offset of an element." if n_fixed else ""


def against_crystals(
    errors_per_atom: FloatArray, energies: FloatArray, fractions: FloatArray, is_crystal: BoolArray
) -> FloatArray:
    """Errors relative to the perfect crystal: those of formation energies, per atom.

    From each side, model and reference, the energy of the perfect crystals of the same elements is subtracted, weighted
    by composition. The crystal of an element is the lowest in reference energy per atom of the configurations of that
    element alone among `is_crystal`; copies within `PERFECT` of it are taken together, as the mean of their errors. An
    alloy of which an element has no crystal is compared with the lowest crystal of its own composition, where there is
    one. The crystals themselves have no error against themselves and are left out.

    Args:
        errors_per_atom: (E_pred - E_ref)/N, shape (n_configs,), eV/atom; NaN where there is no prediction.
        energies: E_ref/N, shape (n_configs,), eV/atom; NaN where there is none.
        fractions: Share of each element in each configuration, shape (n_configs, n_elements).
        is_crystal: Configurations among which perfect crystals are looked for, shape (n_configs,).

    Returns:
        Shape (n_configs,), eV/atom; NaN where the crystals are missing.

    Example:
        >>> errors, energies = np.array([0.1, 0.3, 0.5]), np.array([-4.0, -3.5, -3.9])
        >>> against_crystals(errors, energies, np.ones((3, 1)), np.array([True, False, True])).round(6)
        array([nan, 0.2, 0.4])
    """
    zeros = np.full(fractions.shape[1], np.nan)
    is_reference = np.zeros(len(fractions), dtype=bool)
    for k in range(fractions.shape[1]):
        copies = _lowest(is_crystal & (fractions[:, k] == 1.0), energies)
        is_reference |= copies
        zeros[k] = _mean(errors_per_atom[copies])
    found = errors_per_atom - np.where(fractions > 0, fractions * np.nan_to_num(zeros), 0.0).sum(axis=1)
    is_lacking = ((fractions > 0) & np.isnan(zeros)).any(axis=1)
    rounded = fractions.round(9)
    for composition in np.unique(rounded[is_lacking], axis=0):
        own = (rounded == composition).all(axis=1)
        copies = _lowest(is_crystal & own, energies)
        is_reference |= copies
        found[own] = errors_per_atom[own] - _mean(errors_per_atom[copies])
    return np.where(is_reference, np.nan, found)


def is_one_composition(fractions: FloatArray) -> bool:
    """Whether a set is of one alloy in one composition, shape (n_configs, n_elements).

    Its aligned error is the standard deviation of the raw one. It says nothing about energies of the alloy: any error
    of them that composition alone decides is gone.
    """
    return len(fractions) > 0 and (fractions > 0).any(axis=0).sum() > 1 and bool(np.ptp(fractions, axis=0).max() < 1e-9)


def _lowest(among: BoolArray, energies: FloatArray) -> BoolArray:
    """Those within `PERFECT` of the lowest energy."""
    known = among & np.isfinite(energies)
    return known & (energies <= energies[known].min() + PERFECT) if known.any() else known


def _mean(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else np.nan
