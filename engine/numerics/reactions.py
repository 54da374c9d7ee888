"""Defect energies as balanced sums of total energies, their errors, and how far errors cancel."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from ase.data import chemical_symbols
from ase.units import J
from numpy.typing import NDArray

from engine.errors import MetricError
from engine.numerics.alignment import fit_offsets
from engine.numerics.metrics import MEV, mae, rmse, rmse_bounds
from engine.numerics.uncertainty import spearman
from engine.registry.reactions import AREA, ATOM, Composition, Key, Reaction

FloatArray = NDArray[np.float64]

ENOUGH_FOR_RANKS = 3  # pairs; two are always in perfect order or in perfect disorder

MJ_PER_M2 = 1e23 / J  # in one eV/Å²


@dataclass(frozen=True)
class ReactionError:
    """Reference and predicted value of one defect energy, with the errors of its parts.

    Attributes:
        reaction: The reaction.
        reference: Reference value of the sum of energies, eV, not yet divided by area or atoms.
        predicted: Value of the model, eV.
        part_errors: Coefficient times error of each part, eV, after the model's energy offset per element is removed.
            Their sum is the error of the sum of energies, whatever the offsets are.
    """

    reaction: Reaction
    reference: float
    predicted: float
    part_errors: tuple[float, ...]

    @property
    def error(self) -> float:
        """Predicted minus reference, eV."""
        return self.predicted - self.reference

    @property
    def root_sum_square(self) -> float:
        """Size of the error if the errors of the parts were independent, eV."""
        return math.hypot(*self.part_errors)

    @property
    def sum_absolute(self) -> float:
        """Size of the error if the errors of all parts added up, eV."""
        return math.fsum(map(abs, self.part_errors))

    @property
    def cancellation(self) -> float:
        """|error| over `root_sum_square`: 0 where the parts' errors cancel, about 1 where they are independent.

        At most the root of the number of parts, where equal errors add up; NaN where no part has an error.
        """
        size = self.root_sum_square
        return abs(self.error) / size if size > 0 else math.nan


def reaction_energy(reaction: Reaction, energies: Mapping[Key, float]) -> float:
    """Sum of coefficient times total energy, rounded once.

    Args:
        reaction: The reaction.
        energies: Total energy of each part, eV.

    Returns:
        eV. All-electron-like totals of 2e5 eV leave it good to 1e-10 eV.

    Example:
        >>> from engine.registry.reactions import Part
        >>> parts = Part("d", "seven", Fraction(1)), Part("d", "eight", Fraction(-7, 8))
        >>> one = Reaction("x", "vacancy", "Al", "vacancy", "", "", parts)
        >>> reaction_energy(one, {("d", "seven"): -25.5, ("d", "eight"): -30.0})
        0.75
    """
    exact = sum(part.coefficient * Fraction(energies[part.key]) for part in reaction.parts)
    return float(exact)


def unit_factor(reaction: Reaction, n_atoms: int, cell: FloatArray) -> float:
    """Factor from the sum of energies in eV to the unit of the reaction's kind.

    Args:
        reaction: The reaction.
        n_atoms: Atoms of its first part.
        cell: Cell of its first part, one vector per row, shape (3, 3), Å.

    Returns:
        1 for an energy per defect (eV); for one per area, mJ/m² over the area of all faces; for one per atom, meV over
        the number of atoms.

    Raises:
        MetricError: The faces have no area.

    Example:
        >>> from engine.registry.reactions import Part
        >>> parts = Part("d", "slab", Fraction(1)), Part("d", "crystal", Fraction(-5))
        >>> slab = Reaction("x", "surface", "Al", "surface", "", "", parts, n_faces=2)
        >>> round(unit_factor(slab, 5, np.diag([2.0, 4.0, 20.0])), 2)  # 16021.77 mJ/m² in 1 eV/Å², over 16 Å²
        1001.36
    """
    if reaction.per == ATOM:
        return MEV / n_atoms
    if reaction.per != AREA:
        return 1.0
    first, second = (k for k in range(3) if k != reaction.axis)
    area = float(np.linalg.norm(np.cross(cell[first], cell[second]))) * reaction.n_faces
    if not area > 0:
        raise MetricError(f"Reaction '{reaction.reaction_id}': its faces have an area of {area} Å², expected more.")
    return MJ_PER_M2 / area


def composition(numbers: NDArray[np.int64]) -> Composition:
    """How many atoms of each element there are, from atomic numbers of shape (n_atoms,).

    Example:
        >>> composition(np.array([40, 40, 53]))
        {'Zr': 2, 'I': 1}
    """
    found, counts = np.unique(numbers, return_counts=True)
    return {chemical_symbols[number]: int(count) for number, count in zip(found, counts, strict=True)}


def check_balance(reaction: Reaction, compositions: Mapping[Key, Composition]) -> None:
    """Refuse a reaction whose parts do not hold the same atoms on both sides.

    Args:
        reaction: The reaction.
        compositions: Atoms of each element in each part.

    Raises:
        MetricError: Coefficient times number of atoms does not add up to zero for some element.
    """
    total: dict[str, Fraction] = {}
    for part in reaction.parts:
        for element, count in compositions[part.key].items():
            total[element] = total.get(element, Fraction(0)) + part.coefficient * count
    surplus = [f"{'+' if count > 0 else ''}{count} {element}" for element, count in sorted(total.items()) if count]
    if surplus:
        raise MetricError(f"Reaction '{reaction.reaction_id}' does not balance: its parts leave {', '.join(surplus)}.")


def reaction_errors(
    reactions: Sequence[Reaction],
    compositions: Mapping[Key, Composition],
    reference: Mapping[Key, float],
    predicted: Mapping[Key, float],
) -> list[ReactionError]:
    """Errors of one model on the reactions for which reference and model have all parts.

    The parts' errors are about the least-squares offset per element over all different parts of these reactions. The
    offset changes no defect energy. Without it the parts' errors would be those of different zeros of energy.

    Args:
        reactions: The reactions.
        compositions: Atoms of each element in the parts.
        reference: Total energies of the reference, eV.
        predicted: Total energies of the model, eV.

    Returns:
        One entry per complete reaction, in the order given.

    Raises:
        MetricError: Atoms do not balance in one of them, or an energy is not finite.
    """
    known = compositions.keys() & reference.keys() & predicted.keys()
    complete = [reaction for reaction in reactions if known.issuperset(reaction.keys)]
    for reaction in complete:
        check_balance(reaction, compositions)
    errors = _aligned_errors(sorted({key for one in complete for key in one.keys}), compositions, reference, predicted)
    return [
        ReactionError(
            reaction,
            reaction_energy(reaction, reference),
            reaction_energy(reaction, predicted),
            tuple(float(part.coefficient) * errors[part.key] for part in reaction.parts),
        )
        for reaction in complete
    ]


def agreement(
    reference: FloatArray, predicted: FloatArray, clusters: Sequence[object] | NDArray[np.generic]
) -> dict[str, float]:
    """How well predicted defect energies of one kind agree with the reference.

    Args:
        reference: Defect energies in the unit of the kind, shape (n_reactions,), at least one.
        predicted: Those of a model, in the same unit, shape (n_reactions,).
        clusters: Label of each reaction, n_reactions of them; those that share one count as one draw for the bounds.

    Returns:
        In the unit given: `rmse` with its 95 % bounds `rmse_lo` and `rmse_hi`, `mae` and `mean_error` (predicted minus
        reference). `sign_agreement` is the share of predictions with the sign of the reference. `sign_baseline` is that
        share for a constant answer of the commoner sign; a model below it is worse than that answer. `spearman` is the
        rank correlation, NaN for fewer than `ENOUGH_FOR_RANKS` values or where one side is constant.

    Raises:
        MetricError: There is no value, or one is not finite.

    Example:
        >>> found = agreement(np.array([-1.0, -0.5, 0.5]), np.array([-0.8, -0.7, -0.1]), [1, 2, 3])
        >>> round(found["mae"], 3), round(found["sign_agreement"], 3), round(found["spearman"], 3)
        (0.333, 0.667, 1.0)
        >>> round(found["sign_baseline"], 3)  # two of three attract
        0.667
    """
    errors = predicted - reference
    low, high = rmse_bounds(errors**2, np.ones(len(errors)), np.asarray(clusters))
    found = {"rmse": rmse(errors), "rmse_lo": low, "rmse_hi": high}
    found |= {"mae": mae(errors), "mean_error": float(np.mean(errors))}
    found["sign_agreement"] = float(np.mean(np.sign(reference) == np.sign(predicted)))
    found["sign_baseline"] = float(max(np.mean(reference < 0), np.mean(reference > 0)))
    has_ranks = len(reference) >= ENOUGH_FOR_RANKS and np.ptp(reference) > 0 and np.ptp(predicted) > 0
    found["spearman"] = spearman(reference, predicted) if has_ranks else math.nan
    return found


def _aligned_errors(
    keys: Sequence[Key],
    compositions: Mapping[Key, Composition],
    reference: Mapping[Key, float],
    predicted: Mapping[Key, float],
) -> dict[Key, float]:
    """Errors of total energies without the least-squares offset per element, eV."""
    if not keys:
        return {}
    raw = np.array([predicted[key] - reference[key] for key in keys])
    elements = sorted({element for key in keys for element in compositions[key]})
    counts = np.array([[compositions[key].get(element, 0) for element in elements] for key in keys], dtype=float)
    n_atoms = counts.sum(axis=1)
    offsets = fit_offsets(raw / n_atoms, counts / n_atoms[:, None])
    return dict(zip(keys, (raw - counts @ offsets).tolist(), strict=True))
