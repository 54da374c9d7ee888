"""Energies of interaction between a defect and a solute: interactions.csv, and what a model makes of them.

An interaction energy is a sum over configurations ("parts") of coefficient times total energy, for one solute
E(defect + solute) - E(defect) - [E(bulk + solute) - E(bulk)]; negative where the defect attracts the solute. The
atoms of every element balance in it. So a constant energy per atom of an element, by which two DFT set-ups or a model
and its reference may differ, cancels exactly, and models may be compared whatever zero their energies are counted
from. Errors of the parts do not cancel by themselves: how far they do is what is measured here.

Energies are those of the same geometries for reference and model; a model does not relax them.

Source:
    Hu et al., Nat. Commun. 10, 4484 (2019), doi:10.1038/s41467-019-12452-7 (definition); Fig. 6 of
    Shuang et al., arXiv:2502.03578 (2025).
"""

import csv
import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray
from scipy.stats import spearmanr

from engine.alignment import fit_offsets
from engine.errors import MetricError, RegistryError
from engine.metrics import mae, rmse

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Key = tuple[str, str]  # dataset_id, config_id
Composition = Mapping[str, int]  # element to number of atoms

TABLE = Path(__file__).with_name("interactions.csv")

SETS = {
    "zr-i-cs": "I, Cs and vacancies at boundaries and surfaces of Zr",
    "open-defects": "Solutes beside a vacancy (Open Defects)",
}

ENOUGH_FOR_RANKS = 3  # pairs; two are always in perfect order or in perfect disorder

_PART = re.compile(r"([+-]\d+)\*([^/\s]+)/(\S+)")


@dataclass(frozen=True)
class Part:
    """One configuration of an interaction, with the number by which its total energy is multiplied."""

    dataset_id: str
    config_id: str
    coefficient: int

    @property
    def key(self) -> Key:
        """Dataset and configuration."""
        return self.dataset_id, self.config_id


@dataclass(frozen=True)
class Interaction:
    """One interaction energy.

    Attributes:
        interaction_id: Unique; the source's own code where it has one.
        set_id: Key of `SETS`.
        system: Host and what is added, for example `Mo-W`.
        environment: Kind of defect, for example `grain boundary`.
        place: Which defect of that kind.
        added: What is added to the defect, with the number of the site where there are several.
        parts: At least four; the first is the cell that holds defect and solute.
    """

    interaction_id: str
    set_id: str
    system: str
    environment: str
    place: str
    added: str
    parts: tuple[Part, ...]

    @property
    def keys(self) -> tuple[Key, ...]:
        """Dataset and configuration of each part."""
        return tuple(part.key for part in self.parts)


@dataclass(frozen=True)
class InteractionError:
    """What one model makes of one interaction energy.

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


@functools.cache
def load_interactions(path: Path = TABLE) -> tuple[Interaction, ...]:
    """Read and check a table of interactions, in file order.

    Args:
        path: A CSV file with the columns of `Interaction`; lines that begin with # are comments.

    Raises:
        RegistryError: The file cannot be read, or a row is wrong; the message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(f"{path.name} cannot be read: {error}.") from error
    found: dict[str, Interaction] = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        interaction = _interaction(row, path.name)
        if interaction.interaction_id in found:
            raise RegistryError(f"{path.name}: '{interaction.interaction_id}' occurs twice.")
        found[interaction.interaction_id] = interaction
    return tuple(found.values())


def interactions_of(set_id: str) -> list[Interaction]:
    """Interactions of one set, in the order of the table.

    Raises:
        RegistryError: There is no such set.
    """
    if set_id not in SETS:
        raise RegistryError(f"Set of interactions '{set_id}' is not one of {', '.join(SETS)}.")
    return [interaction for interaction in load_interactions() if interaction.set_id == set_id]


def needed_configurations(interactions: Iterable[Interaction]) -> dict[str, set[str]]:
    """Ids of all configurations that some interactions are made of, by dataset."""
    needed: dict[str, set[str]] = {}
    for dataset_id, config_id in (key for interaction in interactions for key in interaction.keys):
        needed.setdefault(dataset_id, set()).add(config_id)
    return needed


def interaction_energy(interaction: Interaction, energies: Mapping[Key, float]) -> float:
    """Sum of coefficient times total energy, rounded once.

    Args:
        interaction: The interaction.
        energies: Total energy of each part, eV.

    Returns:
        eV. All-electron-like totals of 2e5 eV leave it good to 1e-10 eV.

    Example:
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
    """What one model makes of interactions: of those for which reference and model have all parts.

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
        predicted: The same of a model.

    Returns:
        In eV: `rmse`, `mae` and `mean_error` (predicted minus reference). `sign_agreement`, the share of predictions
        that attract or repel as the reference does, and `spearman`, the rank correlation, NaN for fewer than
        `ENOUGH_FOR_RANKS` values or where one side is constant.

    Raises:
        MetricError: There is no value, or one is not finite.

    Example:
        >>> found = agreement(np.array([-1.0, -0.5, 0.5]), np.array([-0.8, -0.7, -0.1]))
        >>> round(found["mae"], 3), round(found["sign_agreement"], 3), round(found["spearman"], 3)
        (0.333, 0.667, 1.0)
    """
    errors = predicted - reference
    found = {"rmse": rmse(errors), "mae": mae(errors), "mean_error": float(np.mean(errors))}
    found["sign_agreement"] = float(np.mean(np.sign(reference) == np.sign(predicted)))
    has_ranks = len(reference) >= ENOUGH_FOR_RANKS and np.ptp(reference) > 0 and np.ptp(predicted) > 0
    found["spearman"] = float(spearmanr(reference, predicted).statistic) if has_ranks else math.nan
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


def _interaction(row: Mapping[str, str], registry: str) -> Interaction:
    """One row of the table, checked."""
    where = f"{registry}, '{row.get('interaction_id')}'"
    names = ("interaction_id", "set_id", "system", "environment", "place", "added")
    if missing := [name for name in (*names, "parts") if not row.get(name)]:
        raise RegistryError(f"{where}: column '{missing[0]}' is empty or missing.")
    if row["set_id"] not in SETS:
        raise RegistryError(f"{where}: set_id '{row['set_id']}' is not one of {', '.join(SETS)}.")
    parts = []
    for text in row["parts"].split():
        match = _PART.fullmatch(text)
        if match is None or int(match[1]) == 0:
            raise RegistryError(f"{where}: '{text}' is not of the form +1*dataset_id/config_id.")
        parts.append(Part(match[2], match[3], int(match[1])))
    if len({part.key for part in parts}) < max(len(parts), 4):
        raise RegistryError(f"{where}: expected at least four parts, each configuration once.")
    return Interaction(
        row["interaction_id"],
        row["set_id"],
        row["system"],
        row["environment"],
        row["place"],
        row["added"],
        tuple(parts),
    )
