"""Uncertainty of an ensemble of models: distances from the mean, and how well they rank the error.

Source:
    Shuang et al. (2025), equations 1 and 2, after Lysogorskiy et al., Phys. Rev. Mater. 7, 043801 (2023),
    doi:10.1103/PhysRevMaterials.7.043801 (maximum deviation); Liu et al., npj Comput. Mater. (2025), arXiv:2507.21297
    (weighted deviation U).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from engine.errors import MetricError

FloatArray = NDArray[np.float64]

ZERO_FORCE = 1e-4  # eV/Å; models in single precision leave less than that where symmetry wants none
MESH_FORCE = 0.02  # eV/Å; DFT on a mesh less symmetric than the crystal leaves up to 0.013 there (Open Defects, Be)
ENOUGH_ATOMS = 5  # of a configuration, for a rank correlation within it


def energy_deviation(energies: FloatArray, reference: float | None = None) -> tuple[float, float | None]:
    """dev(E) = max_k |E_k - <E>| and the ensemble mean's error |<E> - E_ref|.

    Args:
        energies: One energy per model, shape (n_models,), eV/atom.
        reference: DFT energy, eV/atom.

    Returns:
        Deviation, and error where a reference is given; eV/atom.

    Raises:
        MetricError: Fewer than two models.
    """
    if len(energies) < 2:
        raise MetricError(f"an ensemble has at least two models, got {len(energies)}")
    mean = float(np.mean(energies))
    deviation = float(np.max(np.abs(energies - mean)))
    return deviation, None if reference is None else abs(mean - reference)


def force_deviation(forces: FloatArray, reference: FloatArray | None = None) -> tuple[FloatArray, FloatArray | None]:
    """dev(F_i) = max_k |F_i^k - <F_i>| of each atom and the ensemble mean's error |<F_i> - F_i,ref|.

    Args:
        forces: Shape (n_models, n_atoms, 3), eV/Å.
        reference: DFT forces, shape (n_atoms, 3), eV/Å.

    Returns:
        Deviation, shape (n_atoms,), and error of the same shape where a reference is given; eV/Å.

    Raises:
        MetricError: Fewer than two models, or shapes differ.
    """
    if forces.ndim != 3 or len(forces) < 2 or forces.shape[2] != 3:
        raise MetricError(f"{forces.shape=} is not (at least 2 models, n_atoms, 3)")
    mean = forces.mean(axis=0)
    deviation = np.linalg.norm(forces - mean, axis=2).max(axis=0)
    if reference is None:
        return deviation, None
    if reference.shape != mean.shape:
        raise MetricError(f"{reference.shape=} != {mean.shape=}")
    return deviation, np.linalg.norm(mean - reference, axis=1)


def spearman(deviations: FloatArray, errors: FloatArray) -> float:
    """Spearman's rank correlation of deviations with errors, both of shape (n,); NaN where one of them is constant.

    Raises:
        MetricError: Lengths differ, or fewer than three pairs.

    Example:
        >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 15.0]))
        0.5
    """
    if deviations.shape != errors.shape or len(deviations) < 3:
        raise MetricError(f"{deviations.shape=} and {errors.shape=} are not one shape of at least three")
    if np.ptp(deviations) == 0 or np.ptp(errors) == 0:
        return float("nan")
    from scipy.stats import spearmanr  # takes half a second, which the first page need not wait for

    return float(spearmanr(deviations, errors).statistic)


def is_zero_by_symmetry(forces: FloatArray, reference: FloatArray | None) -> NDArray[np.bool_]:
    """Atoms on which symmetry leaves no force: no member finds one longer than `ZERO_FORCE`, nor DFT than `MESH_FORCE`.

    All agree there because the structure leaves them no choice, so these atoms say nothing of how well a deviation
    ranks an error; counted, they raise its rank correlation (on Open Defects from 0.73 to 0.92). The members decide,
    since they keep symmetry to rounding and DFT does not. An atom on which some member finds a force counts.

    Args:
        forces: Shape (n_models, n_atoms, 3), eV/Å.
        reference: DFT forces, shape (n_atoms, 3), eV/Å; None where there are none.

    Returns:
        Shape (n_atoms,).

    Example:
        >>> forces = np.zeros((2, 2, 3)); forces[0, 1, 0] = 0.1
        >>> is_zero_by_symmetry(forces, np.zeros((2, 3))).tolist()
        [True, False]
    """
    is_zero = np.linalg.norm(forces, axis=2).max(axis=0) < ZERO_FORCE
    if reference is not None:
        is_zero &= np.linalg.norm(reference, axis=1) < MESH_FORCE
    return np.asarray(is_zero)


def spearman_within(parts: Iterable[tuple[FloatArray, FloatArray]]) -> tuple[float, int]:
    """Mean over configurations of the rank correlation of deviations with errors among the atoms of each.

    This is what colour on the atoms of one structure can show; the correlation over atoms of all configurations is
    larger, since it also tells hard configurations from easy ones.

    Args:
        parts: Deviations and errors of the atoms of each configuration, shape (n_atoms,), eV/Å.

    Returns:
        Mean, NaN where there is none, and the number of configurations that it rests on: those of at least
        `ENOUGH_ATOMS` atoms in which neither is constant.

    Example:
        >>> up, down = np.arange(5.0), np.arange(5.0)[::-1]
        >>> spearman_within([(up, up), (up, down), (up, up), (up[:2], up[:2])])
        (0.3333333333333333, 3)
    """
    found = [spearman(*part) for part in parts if len(part[0]) >= ENOUGH_ATOMS]
    known = [value for value in found if np.isfinite(value)]
    return (float(np.mean(known)), len(known)) if known else (float("nan"), 0)


def standard_deviations(energies: FloatArray, forces: FloatArray) -> tuple[float, FloatArray]:
    """Root mean square distance of the members from their mean, the usual measure beside the maximum.

    Args:
        energies: One energy per model, shape (n_models,), eV/atom.
        forces: Shape (n_models, n_atoms, 3), eV/Å.

    Returns:
        Of the energy, eV/atom, and of the force on each atom, shape (n_atoms,), eV/Å.

    Example:
        >>> standard_deviations(np.array([1.0, 3.0]), np.array([[[0.0, 0.0, 0.0]], [[0.0, 0.0, 2.0]]]))
        (1.0, array([1.]))
    """
    squares = np.sum((forces - forces.mean(axis=0)) ** 2, axis=2)
    return float(np.std(energies)), np.sqrt(squares.mean(axis=0))


def inverse_weights(force_rmse: FloatArray) -> FloatArray:
    """Weights of members in U: inverse to their force RMSE (eV/Å), with sum 1, shape (n_models,).

    Raises:
        MetricError: A RMSE is not positive.

    Example:
        >>> inverse_weights(np.array([0.1, 0.3]))
        array([0.75, 0.25])
    """
    if not (force_rmse > 0).all():
        raise MetricError(f"a force RMSE of {force_rmse.min()} has no inverse")
    inverse = 1.0 / force_rmse
    return np.asarray(inverse / inverse.sum())


def cross_fitted_weights(squares: FloatArray, counts: FloatArray, clusters: NDArray[np.int64]) -> FloatArray:
    """Weights of members for each configuration, from their force RMSE on the other half of the clusters.

    So no configuration's error has a part in its own uncertainty.

    Args:
        squares: Sum of squared force errors of each member on each configuration, shape (n_configs, n_models), eV²/Å².
        counts: Force components of each configuration, shape (n_configs,).
        clusters: Label of each configuration, shape (n_configs,); those of one label stay in one half.

    Returns:
        Shape (n_configs, n_models); equal weights where there is one cluster alone, or a member without any error.
    """
    names, index = np.unique(clusters, return_inverse=True)
    half = np.random.default_rng(0).permutation(len(names))[index] % 2
    weights = np.full(squares.shape, 1.0 / squares.shape[1])
    for own in (0, 1):
        other = half != own
        if other.any() and (total := squares[other].sum(axis=0)).min() > 0:
            weights[~other] = inverse_weights(np.sqrt(total / counts[other].sum()))
    return weights


def weighted_deviations(forces: FloatArray, weights: FloatArray) -> tuple[FloatArray, float]:
    """Liu's U of each atom and of the configuration, eV/Å.

    U = sqrt(sum_k w_k max_i |F_i^k - <F_i>|²) of a configuration; of an atom it is the same without the maximum. The
    mean is not weighted, as in the source.

    Args:
        forces: Shape (n_models, n_atoms, 3), eV/Å.
        weights: Shape (n_models,), with sum 1.

    Example:
        >>> forces = np.array([[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
        >>> atoms, configuration = weighted_deviations(forces, np.array([0.5, 0.5]))
        >>> atoms.tolist(), configuration
        ([0.0, 1.0], 1.0)
    """
    squares = np.sum((forces - forces.mean(axis=0)) ** 2, axis=2)
    return np.sqrt(weights @ squares), float(np.sqrt(weights @ squares.max(axis=1)))
