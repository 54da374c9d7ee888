"""More defect cells of elemental metals: displaced atoms, divacancies, interstitials, hydrogen and solutes.

This module continues `engine.cells.lattices` with the same names, parents and seeds. The structures of
`lattices.structures` come first everywhere; a structure that is made here never changes one of them.
"""

from functools import lru_cache

import numpy as np
from ase import Atoms
from ase.build import bulk

from engine.cells.lattices import (
    GROUPS,
    RATTLE_FRACTIONS,
    Lattice,
    NamedStructure,
    named,
    primitive_cell,
    rattle_cell,
    rattled_copy,
    two_atom_cell,
    vacancy_cell,
)
from engine.cells.pair_relaxation import relaxed, round_coordinates
from engine.cells.stacked import boundary_structures, fault_structures

ALL_GROUPS = (*GROUPS, "displaced", "fault", "boundary", "interstitial", "divacancy", "hydrogen", "solute")

TWO_ATOM_PARENT = 4
SIXTEEN_SITE_PARENT = 7

# Fractional coordinates in the cubic cell.
OCTAHEDRAL, FCC_TETRAHEDRAL = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
BCC_TETRAHEDRAL = (0.5, 0.25, 0.0)
# Start of the split interstitials: each half's way from the site, in lattice constants.
DUMBBELLS = {"fcc": (0.28, 0.0, 0.0), "bcc": (0.25, 0.25, 0.0)}


@lru_cache(maxsize=256)
def more_structures(
    lattice: Lattice, solutes: tuple[str, ...] = (), takes_hydrogen: bool = False
) -> tuple[NamedStructure, ...]:
    """All structures of one metal beside the eleven of `lattices.structures`.

    Args:
        lattice: The crystal.
        solutes: Symbols of the metals that replace one atom.
        takes_hydrogen: Whether to add the cells with hydrogen; for cubic metals only.

    Returns:
        The structures of every generator of this module and of `engine.cells.stacked`;
        parents are among them or among the eleven. Coordinates in Å, rounded to 1e-7.
    """
    made = [
        *displaced_structures(lattice),
        *fault_structures(lattice),
        *(hydrogen_structures(lattice) if takes_hydrogen else []),
        *solute_structures(lattice, solutes),
        *boundary_structures(lattice),
        *interstitial_structures(lattice),
        *divacancy_structures(lattice),
    ]
    for structure in made:
        round_coordinates(structure.atoms)
    return tuple(made)


def displaced_structures(lattice: Lattice) -> list[NamedStructure]:
    """Two-atom cells with one atom moved along the axis of most symmetry, by 1 % and 2 % of a.

    Frozen phonons at the zone boundary (hcp: an optical one at its centre): forces at the price
    of a symmetric cell.

    Args:
        lattice: The crystal.

    Returns:
        The parent, unless the primitive cell is it (hcp), and one structure per amplitude.
    """
    parent = 1 if lattice.structure == "hcp" else TWO_ATOM_PARENT
    perfect = two_atom_cell(lattice)
    made = []
    if parent == TWO_ATOM_PARENT:
        made.append(named(lattice, "bulk", parent, perfect, parent_number=parent, is_symmetric=True))
    for number, fraction in enumerate(RATTLE_FRACTIONS, start=1):
        atoms = perfect.copy()
        atoms.positions[1, 2] += fraction * lattice.a
        made.append(named(lattice, "displaced", number, atoms, parent_number=parent, is_symmetric=True))
    return made


def hydrogen_structures(lattice: Lattice) -> list[NamedStructure]:
    """One hydrogen atom in the unrelaxed metal, fcc with four and bcc with eight sites.

    Args:
        lattice: The crystal, cubic.

    Returns:
        The stable site (fcc octahedral, bcc tetrahedral), the same rattled by 1 %, and for fcc
        the tetrahedral site.
    """
    group = "hydrogen"
    sites: tuple[tuple[float, float, float], ...]
    if lattice.structure == "fcc":
        host, parent, sites = rattle_cell(lattice), 2, (OCTAHEDRAL, FCC_TETRAHEDRAL)
    else:
        host, parent, sites = vacancy_cell(lattice), 3, (BCC_TETRAHEDRAL,)
    stable, *others = (host + Atoms("H", [np.array(site) * lattice.a]) for site in sites)
    return [
        named(lattice, group, 1, stable, parent_number=parent, is_symmetric=True),
        rattled_copy(lattice, group, 2, stable, RATTLE_FRACTIONS[0], parent_number=parent),
        *(
            named(lattice, group, number, atoms, parent_number=parent, is_symmetric=True)
            for number, atoms in enumerate(others, start=3)
        ),
    ]


def solute_structures(lattice: Lattice, solutes: tuple[str, ...]) -> list[NamedStructure]:
    """A solute in the eight-site cell, alone and as neighbour of the vacancy, unrelaxed.

    With the perfect cell (`bulk-03`) and the vacancy (`vacancy-01`) of the metal these are the
    four energies of the interaction, E(vacancy + solute) - E(vacancy) - [E(solute) - E(perfect)].

    Args:
        lattice: The crystal.
        solutes: Symbols of the metals that replace one atom.

    Returns:
        Two structures per solute: odd numbers without, even ones with the vacancy.
    """
    made = []
    for index, symbol in enumerate(solutes):
        alone = vacancy_cell(lattice)
        alone.symbols[1] = symbol  # a nearest neighbour of atom 0
        beside = alone.copy()
        del beside[0]
        for number, atoms in enumerate((alone, beside), start=2 * index + 1):
            made.append(named(lattice, "solute", number, atoms, parent_number=3, is_symmetric=True))
    return made


def interstitial_structures(lattice: Lattice) -> list[NamedStructure]:
    """Sixteen-site cells: perfect, with a vacancy, and with one atom too many.

    The interstitials (fcc <100> and bcc <110> dumbbells, hcp octahedral) are relaxed with the
    potential of `engine.cells.pair_relaxation`.

    Args:
        lattice: The crystal.

    Returns:
        The parent, a vacancy (15 atoms), the interstitial (17 atoms) and the same rattled by 1 %.
    """
    perfect = sixteen_site_cell(lattice)
    parent = SIXTEEN_SITE_PARENT
    vacancy = perfect.copy()
    del vacancy[0]
    crowded = relaxed(_with_interstitial(perfect, lattice), lattice)
    return [
        named(lattice, "bulk", parent, perfect, parent_number=parent, is_symmetric=True),
        named(lattice, "vacancy", 3, vacancy, parent_number=parent, is_symmetric=True),
        named(lattice, "interstitial", 1, crowded, parent_number=parent, is_symmetric=True),
        rattled_copy(lattice, "interstitial", 2, crowded, RATTLE_FRACTIONS[0], parent_number=parent),
    ]


def divacancy_structures(lattice: Lattice) -> list[NamedStructure]:
    """Sixteen-site cells without two atoms, first neighbours (01) and second ones (02), unrelaxed.

    With the vacancy (`vacancy-03`) and the perfect cell (`bulk-07`) of the metal these give the binding energy
    2 E(vacancy) - E(divacancy) - E(perfect).

    Args:
        lattice: The crystal.

    Returns:
        Two structures of 14 atoms.
    """
    perfect = sixteen_site_cell(lattice)
    others = np.arange(1, len(perfect))
    distances = perfect.get_distances(0, others, mic=True)
    made = []
    for number, shell in enumerate(np.unique(distances.round(3))[:2], start=1):
        atoms = perfect.copy()
        del atoms[[0, int(others[np.isclose(distances, shell, atol=1e-3)][0])]]
        made.append(named(lattice, "divacancy", number, atoms, parent_number=SIXTEEN_SITE_PARENT, is_symmetric=True))
    return made


def sixteen_site_cell(lattice: Lattice) -> Atoms:
    """A compact cell of sixteen sites.

    Args:
        lattice: The crystal.

    Returns:
        bcc: 2 x 2 x 2 cubic cells; hcp: 2 x 2 x 2 primitive cells; fcc: the primitive cell of a
        bcc lattice of twice the lattice constant. Periodic, Å.
    """
    if lattice.structure == "hcp":
        cell = primitive_cell(lattice).repeat((2, 2, 2))
    elif lattice.structure == "bcc":
        cell = bulk(lattice.symbol, "bcc", a=lattice.a, cubic=True).repeat((2, 2, 2))
    else:
        cubic = bulk(lattice.symbol, "fcc", a=lattice.a, cubic=True).repeat((2, 2, 2))
        # Body centring makes the other half of the 32 atoms.
        half = cubic.positions[:, 0] < 0.9 * lattice.a
        vectors = lattice.a * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
        cell = Atoms(cubic[half].numbers, positions=cubic[half].positions, cell=vectors, pbc=True)
    atoms: Atoms = cell
    return atoms


def _with_interstitial(perfect: Atoms, lattice: Lattice) -> Atoms:
    """The perfect cell with one atom too many, before the relaxation; 17 atoms, Å."""
    crowded: Atoms = perfect.copy()
    crowded.append(lattice.symbol)
    if lattice.structure == "hcp":
        # A quarter of c up, in the column that neither layer occupies.
        crowded.positions[-1] = np.array([2 / 3, 1 / 3, 1 / 4]) @ primitive_cell(lattice).cell
        return crowded
    half = lattice.a * np.array(DUMBBELLS[lattice.structure])
    crowded.positions[-1] = crowded.positions[0] + half
    crowded.positions[0] -= half
    return crowded
