"""Relaxation with a cheap potential, to take overlapping atoms apart before DFT sees them.

The potential is the second-moment form of tight binding (Cleri and Rosato, Phys. Rev. B 48, 22,
1993, doi:10.1103/PhysRevB.48.22), E_i = sum_j A exp(-p x_ij) - (sum_j exp(-2 q x_ij))^(1/2) with
x_ij = r_ij / r_0 - 1, with one p and q for all metals and A such that the perfect crystal is at
rest. It knows the neighbour distance and nothing else of the metal: good enough for a start
geometry, which is all it is used for.
"""

from itertools import product

import numpy as np
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray
from scipy.optimize import minimize

from engine.cells.lattices import Lattice

REPULSION = 10.0  # p
ATTRACTION = 1.5  # q; with this reach small enough for bcc to be stable
REACH = 1.7  # neighbour distances
NEWTON_STEPS = 60
FRESH_HESSIANS = 3
DECIMALS = 7  # of coordinates in Å: below GPAW's symmetry tolerance, far above rounding noise


def round_coordinates(atoms: Atoms) -> None:
    """Round positions and cell in place: the last digits may differ between machines, and a fingerprint sees them."""
    atoms.positions = np.round(atoms.positions, DECIMALS) + 0.0  # no negative zeros
    atoms.set_cell(np.round(atoms.cell, DECIMALS) + 0.0)


def relaxed(
    atoms: Atoms,
    lattice: Lattice,
    *,
    relaxes_height: bool = False,
    mirror: NDArray[np.int64] | None = None,
) -> Atoms:
    """The stationary structure nearest to the one given, with the symmetry of that one.

    Neighbours are those of the start, so that the energy is smooth; a rough minimisation is
    followed by Newton steps, which neither leave the symmetry nor depend on rounding.

    Args:
        atoms: Start, periodic, one metal, Å.
        lattice: The metal's crystal.
        relaxes_height: Whether the z component of the third cell vector moves too.
        mirror: Index of the image of each atom under the mirror z = 0, shape (n_atoms,). It keeps a start
            with that mirror from sliding off it where it is no minimum.

    Returns:
        Relaxed copy, coordinates rounded to `DECIMALS`, Å.
    """
    potential = _Potential(atoms, lattice, relaxes_height, mirror)
    start = np.append(atoms.positions.ravel(), atoms.cell[2, 2])
    # Stopped early: a long search would leave a symmetric saddle along its own rounding errors.
    rough = minimize(potential.energy_and_gradient, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-2})
    coordinates = rough.x
    for number in range(NEWTON_STEPS):
        if number < FRESH_HESSIANS:
            # The pseudo-inverse ignores the three translations.
            inverse = np.linalg.pinv(potential.hessian(coordinates), rcond=1e-6, hermitian=True)
        step = inverse @ potential.energy_and_gradient(coordinates)[1]
        coordinates = coordinates - step
        if np.abs(step).max() < 1e-11:
            break
    moved: Atoms = atoms.copy()
    cell = np.array(atoms.cell)
    cell[2, 2] = coordinates[-1]
    moved.set_cell(np.round(cell, DECIMALS))
    positions = potential.positions(coordinates)
    moved.positions = np.round(positions - positions[0], DECIMALS)
    return moved


class _Potential:
    """Energy over positions and cell height, with a fixed list of neighbours.

    Coordinates have the shape (3 n_atoms + 1,), in Å: the positions, atom by atom, with z scaled to the height at
    the start, and then the height. A mirror so acts on the positions alone.
    """

    def __init__(
        self, atoms: Atoms, lattice: Lattice, relaxes_height: bool, mirror: NDArray[np.int64] | None = None
    ) -> None:
        crystal = bulk(lattice.symbol, lattice.structure, a=lattice.a, c=lattice.c)
        self.r0 = _neighbours(crystal, 1.2 * lattice.a)[3].min()
        first, _, _, distances = _neighbours(crystal, REACH * self.r0)
        x = distances[first == 0] / self.r0
        repulsive, attractive = np.exp(-REPULSION * (x - 1)), np.exp(-2 * ATTRACTION * (x - 1))
        slope = REPULSION * (x @ repulsive) * np.sqrt(attractive.sum())
        self.strength = ATTRACTION * (x @ attractive) / slope
        self.first, self.second, shifts, _ = _neighbours(atoms, REACH * self.r0)
        self.levels = shifts[:, 2]
        cell = np.array(atoms.cell)
        self.height = cell[2, 2]
        cell[2, 2] = 0.0
        self.shifts = shifts @ cell
        self.n_atoms = len(atoms)
        self.relaxes_height = relaxes_height
        self.mirror = mirror
        self.start = atoms.positions.copy()

    def positions(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions, shape (n_atoms, 3), Å."""
        scaled = self.start + self._symmetric(coordinates[:-1].reshape(-1, 3) - self.start)
        found: NDArray[np.float64] = scaled * [1.0, 1.0, coordinates[-1] / self.height]
        return found

    def energy_and_gradient(self, coordinates: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Energy in units of the band strength, and its gradient, shape (3 n_atoms + 1,), per Å."""
        positions = self.positions(coordinates)
        vectors = positions[self.second] - positions[self.first] + self.shifts
        vectors[:, 2] += self.levels * coordinates[-1]
        distances = np.sqrt(np.sum(vectors**2, axis=1))
        x = distances / self.r0 - 1
        repulsive = self.strength * np.exp(-REPULSION * x)
        attractive = np.exp(-2 * ATTRACTION * x)
        band = np.sqrt(np.bincount(self.first, attractive, self.n_atoms))
        energy = float(repulsive.sum() - band.sum())
        slopes = (-REPULSION * repulsive + ATTRACTION * attractive / band[self.first]) / self.r0
        pulls = (slopes / distances)[:, None] * vectors
        forces = np.empty((self.n_atoms, 3))
        for axis in range(3):
            on_first = np.bincount(self.first, pulls[:, axis], self.n_atoms)
            forces[:, axis] = on_first - np.bincount(self.second, pulls[:, axis], self.n_atoms)
        forces = self._symmetric(forces)
        of_height = self.levels @ pulls[:, 2] - forces[:, 2] @ positions[:, 2] / coordinates[-1]
        forces[:, 2] *= coordinates[-1] / self.height
        gradient = np.append(-forces.ravel(), of_height * self.relaxes_height)
        return energy, gradient

    def _symmetric(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """The part of displacements or forces that keeps the mirror, shape (n_atoms, 3)."""
        if self.mirror is None:
            return vectors
        found: NDArray[np.float64] = (vectors + vectors[self.mirror] * [1, 1, -1]) / 2
        return found

    def hessian(self, coordinates: NDArray[np.float64], step: float = 1e-4) -> NDArray[np.float64]:
        """Second derivatives by central differences of the gradient, shape (3 n_atoms + 1, 3 n_atoms + 1), per Å²."""
        rows = []
        for number in range(len(coordinates)):
            moved = np.zeros_like(coordinates)
            moved[number] = step
            forward = self.energy_and_gradient(coordinates + moved)[1]
            backward = self.energy_and_gradient(coordinates - moved)[1]
            rows.append((forward - backward) / (2 * step))
        hessian = np.array(rows)
        if not self.relaxes_height:
            hessian[-1] = hessian[:, -1] = 0.0
        symmetric: NDArray[np.float64] = (hessian + hessian.T) / 2
        return symmetric


def _neighbours(
    atoms: Atoms, reach: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of atoms up to a distance `reach`, Å; every pair occurs twice.

    For a few atoms this is far quicker than ASE's list.

    Returns:
        Index of the first atom and of the second, each of shape (n_pairs,); cell of the second in lattice vectors,
        shape (n_pairs, 3); distance, shape (n_pairs,), Å.
    """
    widths = np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    # One cell more, for atoms that lie outside their cell.
    spans = [range(-n, n + 1) for n in (np.ceil(reach * widths).astype(int) + 1)]
    cells = np.array(list(product(*spans)))
    between = atoms.positions[None, :] - atoms.positions[:, None]
    distances = np.linalg.norm(between + (cells @ np.array(atoms.cell))[:, None, None], axis=-1)
    cell, first, second = np.nonzero((distances < reach) & (distances > 1e-6))
    return first, second, cells[cell], distances[cell, first, second]
