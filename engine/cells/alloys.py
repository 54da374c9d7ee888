"""Seeded generators of small alloy cells: ordered, random, strained, rattled, with a vacancy."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk

from engine.cells.lattices import (
    EOS_VOLUME_FACTORS,
    RATTLE_FRACTIONS,
    Lattice,
    NamedStructure,
    named,
    rattled_copy,
    seed_of,
)
from engine.cells.pair_relaxation import round_coordinates
from engine.cells.stacked import bravais_stack
from engine.errors import SettingsError

ORDERED_CELLS = {("bcc", 2), ("bcc", 4), ("fcc", 3)}


@dataclass(frozen=True)
class Alloy:
    """An equimolar alloy.

    Attributes:
        name: Name in the ids, for example `MoNb`.
        structure: Lattice of the sites, bcc or fcc.
        a: Lattice constant, Å.
        species: Symbols, in the order of the sites of the ordered cell.
    """

    name: str
    structure: str
    a: float
    species: tuple[str, ...]

    def __post_init__(self) -> None:
        if (self.structure, len(self.species)) not in ORDERED_CELLS:
            raise SettingsError(
                f"{self.name}: no ordered cell of {len(self.species)} species on a {self.structure} lattice; "
                "add one to engine/cells/alloys.py first."
            )


def alloy_structures(alloy: Alloy) -> list[NamedStructure]:
    """All structures of one alloy.

    Args:
        alloy: The alloy.

    Returns:
        The ordered cell, strained and rattled; a random cell of 8 sites (12 for three species),
        the same with a vacancy, and rattled by 2 %. The ordered cells are B2 for two species,
        a 2 x 1 x 1 cubic bcc cell for four, and three (111) layers for three on fcc.
    """
    lattice = Lattice(alloy.name, alloy.structure, alloy.a)
    ordered, random = ordered_cell(alloy), random_cell(alloy)
    vacancy = random.copy()
    del vacancy[0]
    made = [named(lattice, "bulk", 1, ordered, parent_number=1, is_symmetric=True)]
    for number, factor in enumerate(EOS_VOLUME_FACTORS, start=1):
        strained = ordered.copy()
        strained.set_cell(strained.cell * factor ** (1 / 3), scale_atoms=True)
        made.append(named(lattice, "eos", number, strained, parent_number=1, is_symmetric=True))
    for number, fraction in enumerate(RATTLE_FRACTIONS, start=1):
        made.append(rattled_copy(lattice, "rattled", number, ordered, fraction, parent_number=1))
    made += [
        named(lattice, "bulk", 2, random, parent_number=2, is_symmetric=True),
        named(lattice, "vacancy", 1, vacancy, parent_number=2, is_symmetric=True),
        rattled_copy(lattice, "rattled", 3, random, RATTLE_FRACTIONS[1], parent_number=2),
    ]
    for structure in made:
        round_coordinates(structure.atoms)
    return made


def ordered_cell(alloy: Alloy) -> Atoms:
    """The smallest cell with one atom of each species.

    Args:
        alloy: The alloy.

    Returns:
        Periodic atoms, Å.
    """
    if alloy.structure == "fcc":
        lattice = Lattice(alloy.name, "fcc", alloy.a)
        atoms = bravais_stack(lattice, (1, 1, 1), len(alloy.species)).atoms(alloy.species[0])
    else:
        cubic = bulk(alloy.species[0], "bcc", a=alloy.a, cubic=True)
        atoms = cubic.repeat((len(alloy.species) // 2, 1, 1))
    atoms.symbols[:] = list(alloy.species)
    ordered: Atoms = atoms
    return ordered


def random_cell(alloy: Alloy) -> Atoms:
    """A larger cell whose sites are shuffled; seeded by the alloy's name.

    Args:
        alloy: The alloy.

    Returns:
        2 x 2 x 2 primitive cells, or 2 x 2 x 3 for three species. Periodic atoms, Å.
    """
    n_species = len(alloy.species)
    repeats = (2, 2, 3) if n_species == 3 else (2, 2, 2)
    atoms: Atoms = bulk(alloy.species[0], alloy.structure, a=alloy.a).repeat(repeats)
    symbols = np.repeat(alloy.species, len(atoms) // n_species)
    atoms.symbols[:] = list(np.random.RandomState(seed_of(alloy.name)).permutation(symbols))
    return atoms
