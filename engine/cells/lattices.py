"""Seeded generators of small defect cells in elemental bcc, fcc and hcp metals.

Every generator takes a `Lattice` and returns `NamedStructure`s: a perfect crystal, an
equation-of-state series, rattled crystals, vacancies and surface slabs. All functions are
pure: the same lattice gives the same coordinates, on every machine. A random displacement is
seeded by the configuration's own id, so that adding a structure never moves another one.

All cells are periodic in three dimensions; slabs carry their vacuum inside the cell.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bcc110, bulk, fcc111, hcp0001

from engine.errors import SettingsError

GROUPS = ("bulk", "eos", "rattled", "vacancy", "surface")
STRUCTURES = ("bcc", "fcc", "hcp")

EOS_VOLUME_FACTORS = (0.94, 1.06)
RATTLE_FRACTIONS = (0.01, 0.02)
SLAB_LAYERS = 5
SLAB_VACUUM = 12.0


@dataclass(frozen=True)
class Lattice:
    """An elemental crystal.

    Attributes:
        symbol: Chemical symbol.
        structure: One of `STRUCTURES`.
        a: Lattice constant, Å.
        c: Second lattice constant of an hcp crystal, Å; None for a cubic one.
    """

    symbol: str
    structure: str
    a: float
    c: float | None = None

    def __post_init__(self) -> None:
        if self.structure not in STRUCTURES:
            raise SettingsError(
                f"{self.symbol}: crystal structure {self.structure!r} is not one of "
                f"{', '.join(STRUCTURES)}; add a generator to engine/cells/lattices.py first."
            )
        if (self.structure == "hcp") != (self.c is not None):
            raise SettingsError(
                f"{self.symbol}: an hcp lattice needs a and c, a cubic one only a; "
                f"got {self.structure} with c={self.c}."
            )


@dataclass(frozen=True)
class NamedStructure:
    """One generated configuration.

    Attributes:
        config_id: Unique id, for example `al-fcc-vacancy-01`.
        group: One of `GROUPS`.
        atoms: Atoms in a cell that is periodic in three dimensions, Å.
        parent_id: Id of the perfect crystal whose energy this one is compared with and whose
            k-point mesh it shares; its own id for a perfect crystal, and for a slab, which
            has a mesh of its own.
        is_symmetric: True when no atom was displaced at random and no stack of layers leans, so
            that the crystal's point group is of use.
        has_vacuum: True when the third cell vector crosses vacuum.
    """

    config_id: str
    group: str
    atoms: Atoms
    parent_id: str
    is_symmetric: bool
    has_vacuum: bool = False


def structures(lattice: Lattice) -> list[NamedStructure]:
    """All structures of one metal, the undistorted ones first within each group.

    Args:
        lattice: The crystal.

    Returns:
        Eleven structures of 1 to 8 atoms; every `parent_id` is the id of one of them.

    Example:
        >>> [s.config_id for s in structures(Lattice("Al", "fcc", 4.04))][:2]
        ['al-fcc-bulk-01', 'al-fcc-bulk-02']
    """
    return [made for generate in GENERATORS for made in generate(lattice)]


def bulk_structures(lattice: Lattice) -> list[NamedStructure]:
    """Perfect crystals: primitive cell, parent of the rattled cells, parent of the vacancies.

    Args:
        lattice: The crystal.

    Returns:
        Three structures of 1 (hcp: 2), 4 and 8 atoms.
    """
    cells = (primitive_cell(lattice), rattle_cell(lattice), vacancy_cell(lattice))
    return [
        named(lattice, "bulk", number, atoms, parent_number=number, is_symmetric=True)
        for number, atoms in enumerate(cells, start=1)
    ]


def eos_structures(lattice: Lattice) -> list[NamedStructure]:
    """Primitive cells, strained isotropically to the volumes of `EOS_VOLUME_FACTORS`.

    Args:
        lattice: The crystal.

    Returns:
        One structure per factor.
    """
    made = []
    for number, factor in enumerate(EOS_VOLUME_FACTORS, start=1):
        atoms = primitive_cell(lattice)
        atoms.set_cell(atoms.cell * factor ** (1 / 3), scale_atoms=True)
        made.append(named(lattice, "eos", number, atoms, parent_number=1, is_symmetric=True))
    return made


def rattled_structures(lattice: Lattice) -> list[NamedStructure]:
    """Four-atom crystals, displaced at random by 1 % and 2 % of the lattice constant.

    Args:
        lattice: The crystal.

    Returns:
        One structure per entry of `RATTLE_FRACTIONS`.
    """
    return [
        rattled_copy(lattice, "rattled", number, rattle_cell(lattice), fraction, parent_number=2)
        for number, fraction in enumerate(RATTLE_FRACTIONS, start=1)
    ]


def vacancy_structures(lattice: Lattice) -> list[NamedStructure]:
    """Eight-site cells without their first atom: unrelaxed, and rattled by 1 %.

    Args:
        lattice: The crystal.

    Returns:
        Two structures of seven atoms.
    """
    atoms = vacancy_cell(lattice)
    del atoms[0]
    return [
        named(lattice, "vacancy", 1, atoms, parent_number=3, is_symmetric=True),
        rattled_copy(lattice, "vacancy", 2, atoms, RATTLE_FRACTIONS[0], parent_number=3),
    ]


def surface_structures(lattice: Lattice) -> list[NamedStructure]:
    """Slabs with the densest surface, bcc (110), fcc (111) or hcp (0001): ideal, rattled by 1 %.

    Args:
        lattice: The crystal.

    Returns:
        Two structures of `SLAB_LAYERS` atoms, with `SLAB_VACUUM` Å between the periodic images.
    """
    atoms = slab(lattice)
    return [
        named(lattice, "surface", 1, atoms, parent_number=None, is_symmetric=True),
        rattled_copy(lattice, "surface", 2, atoms, RATTLE_FRACTIONS[0], parent_number=None),
    ]


GENERATORS: tuple[Callable[[Lattice], list[NamedStructure]], ...] = (
    bulk_structures,
    rattled_structures,
    vacancy_structures,
    surface_structures,
    eos_structures,
)


def primitive_cell(lattice: Lattice) -> Atoms:
    """The primitive cell: 1 atom, 2 for hcp.

    Args:
        lattice: The crystal.

    Returns:
        Periodic atoms, Å.
    """
    return bulk(lattice.symbol, lattice.structure, a=lattice.a, c=lattice.c)


def two_atom_cell(lattice: Lattice) -> Atoms:
    """A two-atom cell whose third axis has fourfold (hcp: threefold) symmetry.

    Args:
        lattice: The crystal.

    Returns:
        Periodic atoms, Å: bcc cubic, fcc body-centred tetragonal, hcp primitive.
    """
    if lattice.structure == "hcp":
        return primitive_cell(lattice)
    if lattice.structure == "bcc":
        return bulk(lattice.symbol, "bcc", a=lattice.a, cubic=True)
    return bulk(lattice.symbol, "fcc", a=lattice.a, orthorhombic=True)


def rattle_cell(lattice: Lattice) -> Atoms:
    """A four-atom cell: fcc cubic, bcc 2 x 1 x 1 cubic, hcp 2 x 1 x 1 primitive.

    Args:
        lattice: The crystal.

    Returns:
        Periodic atoms, Å.
    """
    if lattice.structure == "hcp":
        cell = primitive_cell(lattice)
    else:
        cell = bulk(lattice.symbol, lattice.structure, a=lattice.a, cubic=True)
    repeated: Atoms = cell.repeat((1, 1, 1) if lattice.structure == "fcc" else (2, 1, 1))
    return repeated


def vacancy_cell(lattice: Lattice) -> Atoms:
    """An eight-site cell: 2 x 2 x 2 primitive cells, 2 x 2 x 1 for hcp.

    Args:
        lattice: The crystal.

    Returns:
        Periodic atoms, Å.
    """
    repeats = (2, 2, 1) if lattice.structure == "hcp" else (2, 2, 2)
    cell: Atoms = primitive_cell(lattice).repeat(repeats)
    return cell


def slab(lattice: Lattice) -> Atoms:
    """An unrelaxed slab, one atom per layer, centred along the third cell vector.

    Args:
        lattice: The crystal.

    Returns:
        Atoms, periodic in all three directions, Å.
    """
    size = (1, 1, SLAB_LAYERS)
    if lattice.structure == "bcc":
        atoms = bcc110(lattice.symbol, size, a=lattice.a, vacuum=SLAB_VACUUM / 2)
    elif lattice.structure == "fcc":
        atoms = fcc111(lattice.symbol, size, a=lattice.a, vacuum=SLAB_VACUUM / 2)
    else:
        atoms = hcp0001(lattice.symbol, size, a=lattice.a, c=lattice.c, vacuum=SLAB_VACUUM / 2)
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)


def rattle(atoms: Atoms, sigma: float, seed: int) -> Atoms:
    """A copy with independent normal displacements of every coordinate.

    Args:
        atoms: The structure to displace.
        sigma: Standard deviation per Cartesian component, Å.
        seed: Seed of the random numbers.

    Returns:
        Displaced copy, Å.
    """
    displaced: Atoms = atoms.copy()
    displaced.positions += np.random.RandomState(seed).normal(scale=sigma, size=(len(atoms), 3))
    return displaced


def seed_of(config_id: str) -> int:
    """The seed that belongs to a configuration id (its CRC-32).

    Args:
        config_id: Any id.

    Returns:
        Integer in [0, 2**32).
    """
    return zlib.crc32(config_id.encode())


def rattled_copy(
    lattice: Lattice,
    group: str,
    number: int,
    atoms: Atoms,
    fraction: float,
    *,
    parent_number: int | None,
) -> NamedStructure:
    """A structure displaced at random; the root-mean-square displacement of an atom is `fraction * a`.

    Args:
        lattice: The crystal.
        group: Group of the structure.
        number: Its number within the group.
        atoms: The structure to displace, Å.
        fraction: Size of the displacements in units of the lattice constant.
        parent_number: As for `named`.

    Returns:
        The displaced structure.
    """
    seed = seed_of(_config_id(lattice, group, number))
    displaced = rattle(atoms, fraction * lattice.a / np.sqrt(3), seed)
    return named(lattice, group, number, displaced, parent_number=parent_number, is_symmetric=False)


def named(
    lattice: Lattice,
    group: str,
    number: int,
    atoms: Atoms,
    *,
    parent_number: int | None,
    is_symmetric: bool,
) -> NamedStructure:
    """A structure with its id, group and parent.

    Args:
        lattice: The crystal.
        group: Group of the structure.
        number: Its number within the group.
        atoms: The structure, Å.
        parent_number: Number of the perfect crystal (group `bulk`) that is its parent; None for
            the first structure of its own group.
        is_symmetric: Whether the point group may be used.

    Returns:
        The structure.
    """
    parent = ("bulk", parent_number) if parent_number is not None else (group, 1)
    return NamedStructure(
        config_id=_config_id(lattice, group, number),
        group=group,
        atoms=atoms,
        parent_id=_config_id(lattice, *parent),
        is_symmetric=is_symmetric,
        has_vacuum=group == "surface",
    )


def _config_id(lattice: Lattice, group: str, number: int) -> str:
    """The kebab-case id, for example `al-fcc-vacancy-01`."""
    return f"{lattice.symbol.lower()}-{lattice.structure}-{group}-{number:02d}"
