"""Interaction energies as balanced sums of total energies, their errors, and how far errors cancel."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from scipy.stats import spearmanr

from engine.errors import MetricError
from engine.numerics.alignment import fit_offsets
from engine.numerics.metrics import mae, rmse
from engine.registry.interactions import Composition, FloatArray, IntArray, Interaction, Key

ENOUGH_FOR_RANKS = 3  # pairs; two are always in perfect order or in perfect disorder


@dataclass(frozen=True)
class InteractionError:
    """One interaction energy by the reference and by one model.

    Attributes:
        interaction: The interaction.
        reference: Reference value, eV.
        predicted: Value of the model, eV.
        part_errors: Coefficient times error of each part, eV, after the model's energy offset per element is removed.
            Their sum is the error of the interaction energy, whatever the offsets are.
    """

    interaction: Interaction
    reference: float
    predicted: float
    part_errors: tuple[float, ...]

    @property
    def error(self) -> float:
        """Predicted minus reference, eV."""
        return self.predicted - self.reference

    @property
    def root_sum_square(self) -> float:
        """Size that the error would have if those of the parts were independent, eV."""
        return math.hypot(*self.part_errors)

    @property
    def sum_absolute(self) -> float:
        """Size that the error would have if those of the parts all added up, eV."""
        return math.fsum(map(abs, self.part_errors))

    @property
    def cancellation(self) -> float:
        """|error| over `root_sum_square`: 0 where the parts' errors cancel, about 1 where they are independent.

        At most the root of the number of parts, where equal errors add up; NaN where no part has an error.
        """
        size = self.root_sum_square
        return abs(self.error) / size if size > 0 else math.nan


def interaction_energy(interaction: Interaction, energies: Mapping[Key, float]) -> float:
    """Sum of coefficient times total energy, rounded once.

    Args:
        interaction: The interaction.
        energies: Total energy of each part, eV.

    Returns:
        eV. All-electron-like totals of 2e5 eV leave it good to 1e-10 eV.

    Example:
        >>> from engine.registry.interactions import Part
        >>> parts = [Part("d", name, sign) for name, sign in [("ds", 1), ("d", -1), ("s", -1), ("b", 1)]]
        >>> one = Interaction("x", "open-defects", "Al-Mg", "vacancy", "", "Mg", tuple(parts))
        >>> interaction_energy(one, {("d", "ds"): -9.5, ("d", "d"): -7.0, ("d", "s"): -10.0, ("d", "b"): -8.0})
        -0.5
    """
    return math.fsum(part.coefficient * energies[part.key] for part in interaction.parts)


def composition(numbers: IntArray) -> Composition:
    """How many atoms of each element there are, from atomic numbers of shape (n_atoms,).

    Example:
        >>> composition(np.array([40, 40, 53]))
        {'Zr': 2, 'I': 1}
    """
    found, counts = np.unique(numbers, return_counts=True)
    return {chemical_symbols[number]: int(count) for number, count in zip(found, counts, strict=True)}


def check_balance(interaction: Interaction, compositions: Mapping[Key, Composition]) -> None:
    """Refuse an interaction whose parts do not hold the same atoms on both sides.

    Args:
        interaction: The interaction.
        compositions: Atoms of each element in each part.

    Raises:
        MetricError: Coefficient times number of atoms does not add up to zero for some element.
    """
    total: Counter[str] = Counter()
    for part in interaction.parts:
        for element, count in compositions[part.key].items():
            total[element] += part.coefficient * count
    surplus = [f"{count:+d} {element}" for element, count in sorted(total.items()) if count]
    if surplus:
        raise MetricError(
            f"Interaction '{interaction.interaction_id}' does not balance: its parts leave {', '.join(surplus)}."
        )


def interaction_errors(
    interactions: Sequence[Interaction],
    compositions: Mapping[Key, Composition],
    reference: Mapping[Key, float],
    predicted: Mapping[Key, float],
) -> list[InteractionError]:
    """Interaction energies of one model, for which reference and model have all parts, with their errors.

    The offset per element that is taken from the parts' errors is the least-squares one over all different parts of
    these interactions. It moves no interaction energy; without it the parts' errors would be those of the zeros
    that energies are counted from.

    Args:
        interactions: The interactions.
        compositions: Atoms of each element in the parts.
        reference: Total energies of the reference, eV.
        predicted: Total energies of the model, eV.

    Returns:
        One entry per complete interaction, in the order given.

    Raises:
        MetricError: Atoms do not balance in one of them, or an energy is not finite.
    """
    known = compositions.keys() & reference.keys() & predicted.keys()
    complete = [interaction for interaction in interactions if known.issuperset(interaction.keys)]
    for interaction in complete:
        check_balance(interaction, compositions)
    errors = _aligned_errors(sorted({key for one in complete for key in one.keys}), compositions, reference, predicted)
    return [
        InteractionError(
            interaction,
            interaction_energy(interaction, reference),
            interaction_energy(interaction, predicted),
            tuple(part.coefficient * errors[part.key] for part in interaction.parts),
        )
        for interaction in complete
    ]


def agreement(reference: FloatArray, predicted: FloatArray) -> dict[str, float]:
    """How well predicted interaction energies agree with the reference.

    Args:
        reference: eV, shape (n_interactions,), at least one.
        predicted: Values of a model, eV, shape (n_interactions,).

    Returns:
        In eV: `rmse`, `mae` and `mean_error` (predicted minus reference). `sign_agreement`, the share of predictions
        that attract or repel as the reference does; `sign_baseline`, that share for one who always answers the
        commoner sign of the reference, below which a model knows no signs; and `spearman`, the rank correlation, NaN
        for fewer than `ENOUGH_FOR_RANKS` values or where one side is constant.

    Raises:
        MetricError: There is no value, or one is not finite.

    Example:
        >>> found = agreement(np.array([-1.0, -0.5, 0.5]), np.array([-0.8, -0.7, -0.1]))
        >>> round(found["mae"], 3), round(found["sign_agreement"], 3), round(found["spearman"], 3)
        (0.333, 0.667, 1.0)
        >>> round(found["sign_baseline"], 3)  # two of three attract
        0.667
    """
    errors = predicted - reference
    found = {"rmse": rmse(errors), "mae": mae(errors), "mean_error": float(np.mean(errors))}
    found["sign_agreement"] = float(np.mean(np.sign(reference) == np.sign(predicted)))
    found["sign_baseline"] = float(max(np.mean(reference < 0), np.mean(reference > 0)))
    has_ranks = len(reference) >= ENOUGH_FOR_RANKS and np.ptp(reference) > 0 and np.ptp(predicted) > 0
    found["spearman"] = float(spearmanr(reference, predicted).statistic) if has_ranks else math.nan
    return found


def _aligned_errors(
    keys: Sequence[Key],
    compositions: Mapping[Key, Composition],
    reference: Mapping[Key, float],
    predicted: Mapping[Key, float],
) -> dict[Key, float]:
    """Errors of total energies, eV, after the least-squares offset per element is removed."""
    if not keys:
        return {}
    raw = np.array([predicted[key] - reference[key] for key in keys])
    elements = sorted({element for key in keys for element in compositions[key]})
    counts = np.array([[compositions[key].get(element, 0) for element in elements] for key in keys], dtype=float)
    n_atoms = counts.sum(axis=1)
    offsets = fit_offsets(raw / n_atoms, counts / n_atoms[:, None])
    return dict(zip(keys, (raw - counts @ offsets).tolist(), strict=True))
