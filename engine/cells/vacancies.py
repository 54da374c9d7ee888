"""Supercells with one vacancy, or with an atom half-way on its jump into one, for relaxations with models."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from engine.cells.lattices import Lattice
from engine.errors import SettingsError

IDEAL_RATIO = np.sqrt(8 / 3)  # c/a of close-packed spheres
LEFT_LATTICE = 0.01
"""Difference of scalar products of cell vectors, or of fractional coordinates, that no cell of a lattice has."""

REPEATS = {
    "fcc": {32: (2, 2, 2), 108: (3, 3, 3)},
    "hcp": {36: (3, 3, 2), 96: (4, 4, 3)},
}
"""Repeats of the cubic cell of four atoms (fcc) and of the primitive cell (hcp), by number of sites."""

JUMPS = {"fcc": ("nearest",), "hcp": ("between-layers", "in-layer")}
"""Jumps to a nearest neighbour. Symmetry fixes their middle: it is an inversion centre or, for a jump in the layer of
hcp, in a mirror plane at right angles to the jump."""


@dataclass(frozen=True)
class Jump:
    """A crystal without one atom, whose neighbour is half-way on its jump to the empty site.

    Attributes:
        atoms: Periodic, Å.
        mover: Place of the jumping atom in `atoms`.
        direction: Unit vector along the jump, shape (3,).
        length: Of the whole jump, Å.
    """

    atoms: Atoms
    mover: int
    direction: NDArray[np.float64]
    length: float


def lattice_of_volume(symbol: str, structure: str, volume: float) -> Lattice:
    """The crystal with that volume per atom, hcp with the ideal ratio of its axes.

    Args:
        symbol: Chemical symbol.
        structure: fcc or hcp.
        volume: Per atom, Å³.

    Raises:
        SettingsError: The structure has no supercells here.

    Example:
        >>> lattice_of_volume("Cu", "fcc", 16.0).a
        4.0
    """
    _known(structure)
    a = round(float(np.cbrt(4 * volume)), 12)
    if structure == "fcc":
        return Lattice(symbol, "fcc", a)
    return Lattice(symbol, "hcp", a / np.sqrt(2), a / np.sqrt(2) * IDEAL_RATIO)


def unit_cell(lattice: Lattice) -> Atoms:
    """The cell that supercells repeat: cubic of four atoms (fcc), primitive of two (hcp); Å."""
    _known(lattice.structure)
    return bulk(
        lattice.symbol, lattice.structure, a=lattice.a, c=lattice.c, **({"cubic": True} if lattice.c is None else {})
    )


def fitted_lattice(symbol: str, structure: str, cell: NDArray[np.float64], positions: NDArray[np.float64]) -> Lattice:
    """The lattice whose unit cell a relaxed one is.

    Args:
        symbol: Chemical symbol.
        structure: fcc or hcp.
        cell: One lattice vector per row, shape (3, 3), Å.
        positions: Of the atoms of `unit_cell`, shape (n_atoms, 3), Å.

    Raises:
        SettingsError: The cell or the atoms have left the lattice by more than `LEFT_LATTICE`.
    """
    volume = abs(float(np.linalg.det(cell))) / len(positions)
    lattice = lattice_of_volume(symbol, structure, volume)
    if structure == "hcp":
        ratio = float(np.linalg.norm(cell[2]) / np.linalg.norm(cell[:2], axis=1).mean())
        a = float(np.cbrt(4 * volume / (np.sqrt(3) * ratio)))
        lattice = Lattice(symbol, "hcp", a, a * ratio)
    ideal = unit_cell(lattice)
    metric, wanted = cell @ cell.T, ideal.cell.array @ ideal.cell.array.T
    moved = np.linalg.solve(cell.T, (positions - positions[0]).T).T - ideal.get_scaled_positions()
    lengths = np.sqrt(np.diag(wanted))
    strain = np.abs(metric - wanted) / np.outer(lengths, lengths)
    if max(strain.max(), np.abs(moved - moved.round()).max()) > LEFT_LATTICE:
        raise SettingsError(f"{symbol}: the relaxed crystal has left the {structure} lattice.")
    return lattice


def supercell(lattice: Lattice, n_sites: int) -> Atoms:
    """A perfect crystal of that many sites, Å.

    Raises:
        SettingsError: There is no supercell of that size.
    """
    sizes = _known(lattice.structure)
    if n_sites not in sizes:
        raise SettingsError(
            f"{lattice.structure} supercells have {' or '.join(map(str, sizes))} sites; {n_sites} were asked for."
        )
    repeated: Atoms = unit_cell(lattice).repeat(sizes[n_sites])
    return repeated


def vacancy(lattice: Lattice, n_sites: int) -> Atoms:
    """The supercell without its first atom, unrelaxed, Å."""
    atoms = supercell(lattice, n_sites)
    del atoms[0]
    return atoms


def jump(lattice: Lattice, n_sites: int, name: str) -> Jump:
    """The middle of the jump of a nearest neighbour into the vacancy, unrelaxed.

    Args:
        lattice: The crystal.
        n_sites: Of the supercell.
        name: One of `JUMPS` of the structure.

    Raises:
        SettingsError: The structure has no such jump.
    """
    if name not in JUMPS[lattice.structure]:
        raise SettingsError(f"{lattice.structure} has the jumps {', '.join(JUMPS[lattice.structure])}; not '{name}'.")
    atoms = supercell(lattice, n_sites)
    vectors = atoms.get_distances(0, range(1, len(atoms)), mic=True, vector=True)
    lengths = np.linalg.norm(vectors, axis=1)
    in_layer = np.abs(vectors[:, 2]) < 0.1
    fits = {"nearest": np.full(len(lengths), True), "in-layer": in_layer, "between-layers": ~in_layer}[name]
    chosen = int(np.argmin(np.where(fits, lengths.round(6), np.inf)))
    atoms.positions[chosen + 1] = atoms.positions[0] + vectors[chosen] / 2
    del atoms[0]
    return Jump(atoms, chosen, vectors[chosen] / lengths[chosen], float(lengths[chosen]))


def _known(structure: str) -> dict[int, tuple[int, int, int]]:
    """Supercells of a structure by their number of sites."""
    if structure not in REPEATS:
        raise SettingsError(f"There are vacancy supercells of {' and '.join(REPEATS)}; not of '{structure}'.")
    return REPEATS[structure]
