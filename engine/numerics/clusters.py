"""Which configurations are too alike to count as independent, found from their geometry.

Published sets come shuffled, so neighbours in a file say nothing of neighbours in a trajectory. What a set samples is
found from composition and cell instead: errors of one model on W-g have an intraclass correlation of 0.8 to 0.95 within
one cell of one composition.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from engine.errors import MetricError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MANY_METALS = 20  # with so many hosts in a set, the question is what a model does on another metal
MINORITY = 0.5  # share of an element over that of the commonest, from which on it belongs to the host
STRAIN = 0.02  # of cell lengths, and of angles in radians: one crystal, strained
DISPLACED = 0.25  # root mean square displacement between copies, over the cube root of the volume per atom


def host_of(numbers: IntArray) -> tuple[int, ...]:
    """Atomic numbers of the metal or alloy that a configuration is of, without solutes and hydrogen.

    Args:
        numbers: Atomic numbers, shape (n_atoms,).

    Example:
        >>> host_of(np.array([13] * 7 + [12])), host_of(np.array([41, 41, 42, 42, 73, 73, 74]))
        ((13,), (41, 42, 73, 74))
    """
    found, counts = np.unique(numbers, return_counts=True)
    return tuple(found[counts >= MINORITY * counts.max()].tolist())


def cluster_labels(
    numbers: Sequence[IntArray], positions: Sequence[FloatArray], cells: Sequence[FloatArray]
) -> IntArray:
    """Label of each configuration; those that share one are drawn together by a bootstrap.

    A set of at least `MANY_METALS` hosts has one cluster for each host. Any other has one for each cell: the same
    number of atoms of each element, in a cell that is the same up to a strain of `STRAIN` (linked from one to the next,
    so an equation of state is one cluster whatever its range). Cells with several elements are parted further, into
    arrangements: structures linked by a root mean square displacement of at most `DISPLACED` between atoms of the same
    index, since two random alloys in one cell are independent and two frames of one trajectory are not. Atoms that a
    source reorders between frames are taken for other arrangements.

    Args:
        numbers: Atomic numbers of each configuration, shape (n_atoms,).
        positions: Å, shape (n_atoms, 3).
        cells: One lattice vector per row, Å, shape (3, 3); zeros where there is none.

    Returns:
        Shape (n_configs,), numbered by first appearance.

    Raises:
        MetricError: The three differ in length.
    """
    if not len(numbers) == len(positions) == len(cells):
        raise MetricError(f"{len(numbers)=}, {len(positions)=} and {len(cells)=} differ")
    hosts = [host_of(one) for one in numbers]
    if len(set(hosts)) >= MANY_METALS:
        return _numbered(hosts)
    labels: list[object] = [None] * len(numbers)
    by_composition: dict[bytes, list[int]] = {}
    for i, one in enumerate(numbers):
        by_composition.setdefault(np.sort(one).astype("<i8").tobytes(), []).append(i)
    for composition, members in by_composition.items():
        shapes = _linked_shapes(np.array([_shape(cells[i]) for i in members]))
        for shape in np.unique(shapes):
            alike = [i for i, own in zip(members, shapes, strict=True) if own == shape]
            is_pure = len(np.unique(numbers[alike[0]])) == 1
            parts = np.zeros(len(alike)) if is_pure else _arrangements(alike, numbers, positions, cells)
            for i, part in zip(alike, parts, strict=True):
                labels[i] = (composition, int(shape), int(part))
    return _numbered(labels)


def _numbered(labels: Sequence[object]) -> IntArray:
    known: dict[object, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in labels], dtype=np.int64)


def _shape(cell: FloatArray) -> FloatArray:
    """Logarithms of the lengths (Å) and the angles (radians) of a cell, shape (6,); zeros where a vector is missing."""
    lengths = np.linalg.norm(cell, axis=1)
    if (lengths < 1e-6).any():
        return np.zeros(6)
    a, b, c = cell / lengths[:, None]
    cosines = np.clip([b @ c, a @ c, a @ b], -1.0, 1.0)
    return np.concatenate([np.log(lengths), np.arccos(cosines)])


def _linked_shapes(shapes: FloatArray) -> IntArray:
    """Number of the connected set that each cell shape belongs to, shape (n_shapes,); shapes are (n_shapes, 6).

    Shapes are first put into boxes of half the tolerance, so that a thousand equal cells are one point and the number
    of links stays small.
    """
    boxes, index = np.unique(np.round(shapes / (0.5 * STRAIN)), axis=0, return_inverse=True)
    links = cKDTree(boxes).query_pairs(2.0, p=np.inf, output_type="ndarray")
    return np.asarray(_components(links, len(boxes))[index.ravel()])


def _arrangements(
    members: Sequence[int], numbers: Sequence[IntArray], positions: Sequence[FloatArray], cells: Sequence[FloatArray]
) -> IntArray:
    """Number of the arrangement of each member, shape (n_members,); all have one composition and one cell shape.

    Arrangements grow from one member to all that lie near it, to all that lie near those, and so on. No link is kept,
    so memory stays bounded whatever the length of a trajectory.
    """
    labels = np.zeros(len(members), dtype=np.int64)
    if abs(np.linalg.det(cells[members[0]])) < 1e-6:
        return labels
    points = np.array([_circle_points(numbers[i], positions[i], cells[i]) for i in members], dtype=np.float32)
    squares = (points**2).sum(axis=1)
    n_atoms = len(numbers[members[0]])
    limit = n_atoms * (DISPLACED * (abs(np.linalg.det(cells[members[0]])) / n_atoms) ** (1 / 3)) ** 2
    left = np.arange(len(members))
    label = 0
    while left.size:
        edge, left = left[:1], left[1:]
        labels[edge] = label
        while edge.size and left.size:
            distances = squares[edge, None] + squares[left] - 2.0 * points[edge] @ points[left].T
            is_near = (distances <= limit).any(axis=0)
            edge, left = left[is_near], left[~is_near]
            labels[edge] = label
        label += 1
    return labels


def _circle_points(numbers: IntArray, positions: FloatArray, cell: FloatArray) -> FloatArray:
    """Atoms as points on circles, shape (6 n_atoms,), Å: a distance between two structures that knows periodic images.

    A small displacement u along a lattice vector moves its point on a circle of that circumference by u. Atoms are
    sorted by element, so that files with elements in another order compare.
    """
    lengths = np.linalg.norm(cell, axis=1)
    angles = 2.0 * np.pi * (positions[np.argsort(numbers, kind="stable")] @ np.linalg.inv(cell))
    return np.asarray(lengths / (2.0 * np.pi) * np.array([np.cos(angles), np.sin(angles)])).ravel()


def _components(pairs: NDArray[np.integer], n: int) -> IntArray:
    """Number of the connected component of each of n nodes, shape (n,); edges have the shape (n_edges, 2)."""
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
