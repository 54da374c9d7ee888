"""Interaction energies of defects and solutes: the table interactions.csv and its types.

An interaction energy is a sum over configurations ("parts") of coefficient times total energy, for one solute
E(defect + solute) - E(defect) - [E(bulk + solute) - E(bulk)]; negative where the defect attracts the solute. The
atoms of every element balance in it, so a constant energy per atom of an element, by which two DFT set-ups or a model
and its reference may differ, cancels exactly, and models may be compared whatever zero their energies are counted
from. Errors of the parts do not cancel by themselves: how far they do is what is measured here.

Energies are those of the same geometries for reference and model; a model does not relax them.

Source:
    Hu et al., Nat. Commun. 10, 4484 (2019), doi:10.1038/s41467-019-12452-7 (definition); Fig. 6 of
    Shuang et al., arXiv:2502.03578 (2025).
"""

import csv
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import RegistryError

FloatArray = NDArray[np.float64]

IntArray = NDArray[np.int64]

Key = tuple[str, str]  # dataset_id, config_id

Composition = Mapping[str, int]  # element to number of atoms

TABLE = Path(__file__).with_name("interactions.csv")

SETS = {
    "zr-i-cs": "I, Cs and vacancies at boundaries and surfaces of Zr",
    "open-defects": "Solutes beside a vacancy (Open Defects)",
}

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
