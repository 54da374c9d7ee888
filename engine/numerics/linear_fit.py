"""Least squares of energies and forces on what they are linear in, with a ridge, from sums over configurations.

All that a fit needs of its configurations is in sums of products of their rows. Such sums add up: a learning curve and
a cross-validation are then sums of parts, and no row is multiplied twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from engine.errors import MetricError

FloatArray = NDArray[np.float64]

WEIGHTS = (10.0, 30.0)  # Å: with 10, an error of 1 meV/atom counts as much as one of 10 meV/Å
RIDGES = (1e-8, 1e-5)  # of columns that are scaled to one


@dataclass(frozen=True)
class Sums:
    """Sums of products over the rows of some configurations; those of two sets of configurations add up.

    Rows of energies are per atom and end with a one, whose coefficient is the constant energy of an atom.

    Attributes:
        n_energies: Number of energies.
        n_components: Number of force components.
        energy_gram: Shape (k + 1, k + 1).
        force_gram: Shape (k, k).
        energy_moment: Rows times labels, shape (k + 1,), eV/atom.
        force_moment: Shape (k,), eV/Å.
        energy_square: Sum of squared labels, (eV/atom)².
        force_square: (eV/Å)².
    """

    n_energies: int
    n_components: int
    energy_gram: FloatArray
    force_gram: FloatArray
    energy_moment: FloatArray
    force_moment: FloatArray
    energy_square: float
    force_square: float

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.n_energies + other.n_energies,
            self.n_components + other.n_components,
            self.energy_gram + other.energy_gram,
            self.force_gram + other.force_gram,
            self.energy_moment + other.energy_moment,
            self.force_moment + other.force_moment,
            self.energy_square + other.energy_square,
            self.force_square + other.force_square,
        )

    def squared_errors(self, coefficients: FloatArray) -> tuple[float, float]:
        """Sums of squared errors of energies, (eV/atom)², and of force components, (eV/Å)², of a fit.

        Args:
            coefficients: Shape (k + 1,), the constant last.
        """
        c = coefficients
        energy = c @ self.energy_gram @ c - 2.0 * c @ self.energy_moment + self.energy_square
        c = c[:-1]
        force = c @ self.force_gram @ c - 2.0 * c @ self.force_moment + self.force_square
        return max(float(energy), 0.0), max(float(force), 0.0)


def sums_of(
    energy_rows: FloatArray,
    force_rows: FloatArray,
    energies: FloatArray,
    forces: FloatArray,
    *,
    gram: Sums | None = None,
) -> Sums:
    """Sums over the rows of some configurations.

    Args:
        energy_rows: Per atom, without the one, shape (n, k).
        force_rows: Shape (m, k).
        energies: Labels, shape (n,), eV/atom.
        forces: Labels, shape (m,), eV/Å.
        gram: Sums over the same rows with other labels, whose products of rows are taken over.

    Raises:
        MetricError: Shapes do not fit.
    """
    if len(energy_rows) != len(energies) or len(force_rows) != len(forces):
        raise MetricError(f"{energy_rows.shape=}, {energies.shape=}, {force_rows.shape=} and {forces.shape=} differ")
    rows = np.column_stack([energy_rows, np.ones(len(energy_rows))])
    return Sums(
        n_energies=len(energies),
        n_components=len(forces),
        energy_gram=rows.T @ rows if gram is None else gram.energy_gram,
        force_gram=force_rows.T @ force_rows if gram is None else gram.force_gram,
        energy_moment=rows.T @ energies,
        force_moment=force_rows.T @ forces,
        energy_square=float(energies @ energies),
        force_square=float(forces @ forces),
    )


def fit(sums: Sums, weight: float, ridge: float) -> FloatArray:
    """Coefficients that minimise weight² times the mean squared energy error plus that of force components.

    Columns are scaled to one before the ridge is added; the constant has none.

    Args:
        sums: Over the configurations to fit.
        weight: Of an energy error in eV/atom against a force error in eV/Å; Å.
        ridge: What is added to the diagonal.

    Returns:
        Shape (k + 1,), the constant last.

    Raises:
        MetricError: There is no energy or no force.
    """
    if not sums.n_energies or not sums.n_components:
        raise MetricError("a fit needs energies and forces")
    matrix = weight**2 / sums.n_energies * sums.energy_gram
    matrix[:-1, :-1] += sums.force_gram / sums.n_components
    moment = weight**2 / sums.n_energies * sums.energy_moment
    moment[:-1] += sums.force_moment / sums.n_components
    scale = np.sqrt(np.diagonal(matrix))
    scale = np.where(scale > 0, scale, 1.0)
    matrix /= np.outer(scale, scale)
    matrix[np.diag_indices(len(matrix) - 1)] += ridge
    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    return np.asarray(cho_solve(factor, moment / scale, check_finite=False) / scale)


def choose(
    parts: Sequence[Sums], weights: Sequence[float] = WEIGHTS, ridges: Sequence[float] = RIDGES
) -> tuple[float, float]:
    """Weight and ridge with the smallest product of energy and force RMSE when each part is left out in turn.

    Args:
        parts: Of the training configurations, in at least two parts that share no cluster.
        weights: To choose from.
        ridges: To choose from.

    Raises:
        MetricError: There are fewer than two parts.
    """
    if len(parts) < 2:
        raise MetricError("cross-validation needs at least two parts")
    others = [total([one for j, one in enumerate(parts) if j != k]) for k in range(len(parts))]
    best, chosen = np.inf, (weights[0], ridges[0])
    for weight, ridge in product(weights, ridges):
        found = [part.squared_errors(fit(rest, weight, ridge)) for part, rest in zip(parts, others, strict=True)]
        energy, force = np.sum(found, axis=0)
        if (score := energy * force) < best:
            best, chosen = score, (weight, ridge)
    return chosen


def total(parts: Sequence[Sums]) -> Sums:
    """Sums over all parts together."""
    first, *rest = parts
    for part in rest:
        first = first + part
    return first
