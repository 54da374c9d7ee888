"""Nearest neighbours under periodic boundaries, by bins: cost grows with the number of atoms, not its square."""

import itertools
from typing import NamedTuple

import numpy as np

from engine.records import Configuration, FloatArray, IntArray


class Nearest(NamedTuple):
    """The nearest neighbour of each atom.

    Args:
        distances: Shape (n_atoms,), Å; infinity where there is none within the radius.
        partners: Shape (n_atoms,), index of the neighbour, which may be the atom's own image; -1 where there is none.
    """

    distances: FloatArray
    partners: IntArray


def full_cell(cell: FloatArray, pbc: tuple[bool, bool, bool]) -> FloatArray:
    """Lattice vectors with the directions that are not periodic replaced by unit vectors at right angles to the rest.

    Args:
        cell: Shape (3, 3), Å.
        pbc: Periodic along each lattice vector; the periodic ones are independent.
    """
    complete = np.array(cell, dtype=float)
    kept = [complete[axis] / np.linalg.norm(complete[axis]) for axis in range(3) if pbc[axis]]
    for axis in (axis for axis in range(3) if not pbc[axis]):
        # The last row of V spans what is least covered by the vectors kept so far.
        direction = np.linalg.svd(np.array(kept))[2][-1] if kept else np.array([1.0, 0.0, 0.0])
        complete[axis] = direction
        kept.append(direction)
    return complete


def heights(cell: FloatArray) -> FloatArray:
    """Distances between opposite faces of a cell, shape (3,), Å."""
    return np.asarray(1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0))


def nearest_neighbors(configuration: Configuration, radius: float) -> Nearest:
    """Nearest neighbour of each atom, periodic images included.

    Args:
        configuration: Its periodic vectors are independent.
        radius: How far to look, Å.
    """
    cell = full_cell(configuration.cell, configuration.pbc)
    periodic = np.array(configuration.pbc)
    fractional = configuration.positions @ np.linalg.inv(cell)
    fractional[:, periodic] -= np.floor(fractional[:, periodic])
    home = fractional @ cell
    images, owners = _images(home, cell, periodic, radius)
    return _search(home, images, owners, radius)


def _images(home: FloatArray, cell: FloatArray, periodic: np.ndarray, radius: float) -> tuple[FloatArray, IntArray]:
    """Positions of all images near the atoms, those of the cell itself first, and whose they are."""
    reach = np.where(periodic, np.ceil(radius / heights(cell)), 0).astype(int)
    shifts = [s for s in itertools.product(*(range(-r, r + 1) for r in reach)) if any(s)]
    low, high = home.min(axis=0) - radius, home.max(axis=0) + radius
    positions, owners = [home], [np.arange(len(home))]
    for shift in shifts:
        moved = home + np.array(shift) @ cell
        near = np.flatnonzero(((moved >= low) & (moved <= high)).all(axis=1))
        positions.append(moved[near])
        owners.append(near)
    return np.concatenate(positions), np.concatenate(owners)


def _search(home: FloatArray, images: FloatArray, owners: IntArray, radius: float) -> Nearest:
    origin = images.min(axis=0) - radius
    bins = np.floor((images - origin) / radius).astype(np.int64)
    sizes = bins.max(axis=0) + 2
    strides = np.array([sizes[1] * sizes[2], sizes[2], 1])
    keys = bins @ strides
    order = np.argsort(keys, kind="stable")
    ordered, own = keys[order], keys[: len(home)]
    best = np.full(len(home), np.inf)
    partners = np.full(len(home), -1)
    for offset in itertools.product((-1, 0, 1), repeat=3):
        wanted = own + np.array(offset) @ strides
        first = np.searchsorted(ordered, wanted, "left")
        counts = np.searchsorted(ordered, wanted, "right") - first
        atoms = np.repeat(np.arange(len(home)), counts)
        within = np.arange(len(atoms)) - np.repeat(np.cumsum(counts) - counts, counts)
        candidates = order[np.repeat(first, counts) + within]
        distances = np.linalg.norm(images[candidates] - home[atoms], axis=1)
        distances[(candidates == atoms) | (distances > radius)] = np.inf  # the atom itself is image number `atom`
        ranked = np.lexsort((distances, atoms))
        _, starts = np.unique(atoms[ranked], return_index=True)
        leaders = ranked[starts]
        closer = leaders[distances[leaders] < best[atoms[leaders]]]
        best[atoms[closer]] = distances[closer]
        partners[atoms[closer]] = owners[candidates[closer]]
    return Nearest(best, partners)
