"""Comparison of two configurations: whether their atoms are the same, and in which order.

Predictions that were computed elsewhere went through other programs, which wrap positions into the cell, round them, or
sort atoms by element. Forces are used only after each is assigned to its own atom.
"""

import numpy as np
from scipy.spatial import cKDTree

from engine.errors import PredictionError
from engine.records import Configuration, FloatArray, IntArray

TOLERANCE = 2e-3
"""Largest distance of an atom from its place, Å: what rounding to three decimals leaves."""


def atom_order(wanted: Configuration, found: Configuration, where: str) -> IntArray:
    """Place of each wanted atom among the atoms found.

    Args:
        wanted: As the dataset has it.
        found: As a file has it.
        where: Names the configuration in messages.

    Returns:
        Indices, shape (n_atoms,): `forces[order]` are the forces in the order of the dataset.

    Raises:
        PredictionError: Atoms, cell or positions differ, or the order is ambiguous.
    """
    if sorted(wanted.numbers.tolist()) != sorted(found.numbers.tolist()):
        raise PredictionError(
            f"{where}: it has {_formula(found)}, the dataset {_formula(wanted)}; nothing was imported."
        )
    if wanted.pbc != found.pbc and any(wanted.pbc):
        raise PredictionError(
            f"{where}: it is periodic along {_axes(found)}, in the dataset along {_axes(wanted)}; nothing was imported."
        )
    _check_cell(wanted, found, where)
    if np.array_equal(wanted.numbers, found.numbers):
        apart = _distances(wanted, found.positions - wanted.positions)
        if apart.max() < TOLERANCE:
            return np.arange(wanted.n_atoms)
    return _matched(wanted, found, where)


def _check_cell(wanted: Configuration, found: Configuration, where: str) -> None:
    """Refuse cells that span different lattices; vectors of directions without period do not count."""
    axes = list(wanted.pbc)
    if not any(axes):
        return
    first, second = wanted.cell[axes], found.cell[axes]
    if np.abs(first - second).max() < TOLERANCE:
        return
    steps, *_ = np.linalg.lstsq(first.T, second.T, rcond=None)  # found vectors in units of the wanted
    whole = np.round(steps)
    is_same = np.abs(whole.T @ first - second).max() < TOLERANCE and abs(abs(np.linalg.det(whole)) - 1) < 1e-6
    if not is_same:
        raise PredictionError(
            f"{where}: its cell differs from that of the dataset by {np.abs(first - second).max():.3g} Å; "
            "nothing was imported."
        )


def _distances(configuration: Configuration, moved: FloatArray) -> FloatArray:
    """Lengths of displacements, modulo the lattice, shape (n_atoms,), Å."""
    axes = list(configuration.pbc)
    if any(axes):
        vectors = configuration.cell[axes]
        moved = moved - np.round(np.linalg.lstsq(vectors.T, moved.T, rcond=None)[0].T) @ vectors
    return np.asarray(np.linalg.norm(moved, axis=1))


def _matched(wanted: Configuration, found: Configuration, where: str) -> IntArray:
    """The order by places, shape (n_atoms,): each wanted atom has exactly one of its element at its place."""
    order = np.full(wanted.n_atoms, -1)
    for number in np.unique(wanted.numbers):
        ours, theirs = np.flatnonzero(wanted.numbers == number), np.flatnonzero(found.numbers == number)
        near = _near(wanted, wanted.positions[ours], found.positions[theirs])
        for i, candidates in zip(ours, near, strict=True):
            if len(candidates) == 1:
                order[i] = theirs[candidates[0]]
    missing = np.flatnonzero(order < 0)
    if len(missing) or len(set(order.tolist())) < len(order):
        first = int(missing[0]) if len(missing) else 0
        raise PredictionError(
            f"{where}: its positions are not those of the dataset: {max(len(missing), 1)} of {wanted.n_atoms} atoms, "
            f"such as atom {first}, have none of their element within {TOLERANCE:g} Å; nothing was imported."
        )
    return order


def _near(configuration: Configuration, places: FloatArray, others: FloatArray) -> list[list[int]]:
    """Which of other places are within `TOLERANCE` of each place, modulo the lattice."""
    axes = list(configuration.pbc)
    if not any(axes):
        return list(cKDTree(others).query_ball_point(places, TOLERANCE))
    vectors = configuration.cell[axes]

    def wrapped(positions: FloatArray) -> FloatArray:
        shares = np.linalg.lstsq(vectors.T, positions.T, rcond=None)[0].T
        return np.asarray(positions - np.floor(shares) @ vectors)

    base, images = wrapped(places), wrapped(others)
    shifts = np.array(np.meshgrid(*[[-1, 0, 1]] * len(vectors))).reshape(len(vectors), -1).T @ vectors
    tree = cKDTree((images[None] + shifts[:, None]).reshape(-1, 3))
    return [sorted({int(k) % len(others) for k in hits}) for hits in tree.query_ball_point(base, TOLERANCE)]


def _formula(configuration: Configuration) -> str:
    from ase.symbols import Symbols

    return str(Symbols(np.sort(configuration.numbers)).formula.format("hill"))


def _axes(configuration: Configuration) -> str:
    return "".join(name for name, is_periodic in zip("abc", configuration.pbc, strict=True) if is_periodic) or "none"
