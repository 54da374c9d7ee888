"""Crystals stacked layer by layer: stacking faults and symmetric tilt grain boundaries.

A crystal is one atom per layer of a lattice plane; in fcc and bcc each layer is shifted by the same
in-plane vector. A fault is that stack in a cell whose third vector is sheared; a grain boundary
is a stack that turns round halfway and goes back in plane while it goes on upwards, which mirrors
the crystal. Both have the in-plane cell and the number of layers of a perfect stack, their parent.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from engine.cells.lattices import RATTLE_FRACTIONS, Lattice, NamedStructure, named, primitive_cell, rattled_copy
from engine.cells.pair_relaxation import relaxed

FAULT_PLANES = {"fcc": (1, 1, 1), "bcc": (1, 1, 0)}
FAULT_LAYERS = 6
# fcc and hcp: half way and all the way to the intrinsic fault; bcc: quarter and half of <111>/2.
FAULT_FRACTIONS = {"fcc": (0.5, 1.0), "hcp": (0.5, 1.0), "bcc": (0.25, 0.5)}
# Sigma 11 (113) of fcc, Sigma 3 (112) of bcc, the (10-12) twin of hcp: layers far enough apart for 12 to 14 atoms.
BOUNDARY_PLANES = {"fcc": (1, 1, 3), "bcc": (1, 1, 2)}
GRAIN_LAYERS = {"fcc": 6, "bcc": 6, "hcp": 7}
# Zn and Cd: the relaxing potential, which knows one neighbour distance only, pulls their layers together.
LARGEST_AXIAL_RATIO = 1.7

FAULT_PARENT = 5
BOUNDARY_PARENT = 6


@dataclass(frozen=True)
class Stack:
    """Layers of one atom each.

    Attributes:
        in_plane: The two in-plane cell vectors, shape (2, 2), Å.
        offsets: In-plane position of each layer's atom, shape (n_layers, 2), Å.
        heights: Height of each layer, from 0 upwards, shape (n_layers,), Å.
        period: Height of the cell, Å.
        closing: In-plane part of the third cell vector, shape (2,), Å.
    """

    in_plane: NDArray[np.float64]
    offsets: NDArray[np.float64]
    heights: NDArray[np.float64]
    period: float
    closing: NDArray[np.float64]

    def atoms(self, symbol: str) -> Atoms:
        """The periodic structure, one layer's atom after the other from the bottom, near the z axis.

        Args:
            symbol: Chemical symbol.

        Returns:
            Atoms, Å.
        """
        cell = np.zeros((3, 3))
        cell[:2, :2] = self.in_plane
        cell[2] = [*_shortest(self.closing, self.in_plane), self.period]
        offsets = [_shortest(offset, self.in_plane) for offset in self.offsets]
        positions = np.column_stack([offsets, self.heights])
        return Atoms([symbol] * len(offsets), positions=positions, cell=cell, pbc=True)

    @property
    def is_upright(self) -> bool:
        """Whether the third cell vector is at right angles to the layers.

        The point group of a leaning cell exchanges its long axis with the short ones. GPAW then wants as many
        grid points along these as along the long one, which costs ten times more than the k-points that it saves.
        """
        return bool(np.allclose(_shortest(self.closing, self.in_plane), 0.0, atol=1e-6))

    def mirrored(self) -> "Stack":
        """The lower half of the layers and its mirror image above the layer in the middle.

        Returns:
            A stack of as many layers, with a boundary at the bottom and one in the middle.
        """
        middle = len(self.offsets) // 2
        top = self.heights[middle]
        down = slice(middle - 1, 0, -1)
        return Stack(
            in_plane=self.in_plane,
            offsets=np.vstack([self.offsets[: middle + 1], self.offsets[down]]),
            heights=np.append(self.heights[: middle + 1], 2 * top - self.heights[down]),
            period=2 * top,
            closing=np.zeros(2),
        )


def fault_structures(lattice: Lattice) -> list[NamedStructure]:
    """A perfect stack of `FAULT_LAYERS` layers and points of its gamma line, unrelaxed.

    fcc {111}<112>/6, hcp basal <10-10>/3, bcc {110}<111>/2; the slip takes the path that keeps
    away from the position on top of the layer below.

    Args:
        lattice: The crystal.

    Returns:
        The parent (`bulk`) and one structure per entry of `FAULT_FRACTIONS`.
    """
    stack, slip = _fault_stack(lattice)
    made = [_parent(lattice, stack, FAULT_PARENT)]
    for number, fraction in enumerate(FAULT_FRACTIONS[lattice.structure], start=1):
        faulted = replace(stack, closing=stack.closing + fraction * slip)
        atoms, is_symmetric = faulted.atoms(lattice.symbol), faulted.is_upright
        made.append(named(lattice, "fault", number, atoms, parent_number=FAULT_PARENT, is_symmetric=is_symmetric))
    return made


def boundary_structures(lattice: Lattice) -> list[NamedStructure]:
    """Two symmetric tilt boundaries per cell of twice `GRAIN_LAYERS` layers, and their parent.

    fcc Sigma 11 (113) and bcc Sigma 3 (112) with tilt axis <110>, hcp (10-12) twin with tilt axis
    <11-20>; relaxed with the potential of `engine.cells.pair_relaxation` (height of the cell included),
    then rattled by 1 % and 2 %.

    Args:
        lattice: The crystal.

    Returns:
        The parent and three structures; nothing for hcp with c/a above `LARGEST_AXIAL_RATIO`.
    """
    if lattice.c is not None and lattice.c / lattice.a > LARGEST_AXIAL_RATIO:
        return []
    n_layers = 2 * GRAIN_LAYERS[lattice.structure]
    if lattice.structure == "hcp":
        stack = _twin_stack(lattice, n_layers)
    else:
        stack = bravais_stack(lattice, BOUNDARY_PLANES[lattice.structure], n_layers)
    images = -np.arange(n_layers) % n_layers
    atoms = relaxed(stack.mirrored().atoms(lattice.symbol), lattice, relaxes_height=True, mirror=images)
    group, parent = "boundary", BOUNDARY_PARENT
    return [
        _parent(lattice, stack, BOUNDARY_PARENT),
        named(lattice, group, 1, atoms, parent_number=parent, is_symmetric=True),
        *(
            rattled_copy(lattice, group, number, atoms, fraction, parent_number=parent)
            for number, fraction in enumerate(RATTLE_FRACTIONS, start=2)
        ),
    ]


def bravais_stack(lattice: Lattice, plane: tuple[int, int, int], n_layers: int) -> Stack:
    """A perfect fcc or bcc crystal as layers of one lattice plane.

    Args:
        lattice: The crystal, cubic.
        plane: Miller indices of the layers, without common factor.
        n_layers: Number of layers.

    Returns:
        The stack; the first in-plane vector lies along x.
    """
    normal = np.array(plane)
    vectors = _lattice_vectors(lattice.structure)
    heights = vectors @ normal
    flat = vectors[(heights == 0) & (np.abs(vectors).sum(axis=1) > 0)]
    first = flat[0]
    second = next(v for v in flat if np.cross(first, v) @ normal > 0)
    step = heights[heights > 0].min()
    shift = next(v for v in vectors if v @ normal == step)
    x = first / np.sqrt(first @ first)
    z = normal / np.sqrt(normal @ normal)
    axes = np.array([x, np.cross(z, x)]) * lattice.a / 2
    in_plane = np.array([axes @ first, axes @ second])
    offset = _shortest(axes @ shift, in_plane)
    spacing = float(step / np.sqrt(normal @ normal)) * lattice.a / 2
    return Stack(
        in_plane=in_plane,
        offsets=np.outer(np.arange(n_layers), offset),
        heights=spacing * np.arange(float(n_layers)),
        period=n_layers * spacing,
        closing=n_layers * offset,
    )


def _fault_stack(lattice: Lattice) -> tuple[Stack, NDArray[np.float64]]:
    """The perfect stack and the slip that its fractions are taken of."""
    if lattice.structure == "hcp":
        assert lattice.c is not None
        in_plane = lattice.a * np.array([[1.0, 0.0], [-0.5, np.sqrt(3) / 2]])
        hollow = (in_plane[0] + 2 * in_plane[1]) / 3
        offsets = np.outer(np.arange(FAULT_LAYERS) % 2, hollow)
        heights = np.arange(FAULT_LAYERS) * lattice.c / 2
        return Stack(in_plane, offsets, heights, FAULT_LAYERS * lattice.c / 2, np.zeros(2)), -hollow
    stack = bravais_stack(lattice, FAULT_PLANES[lattice.structure], FAULT_LAYERS)
    slip = stack.offsets[1] if lattice.structure == "fcc" else stack.in_plane[0]
    return stack, slip


def _twin_stack(lattice: Lattice, n_layers: int) -> Stack:
    """The perfect hcp crystal as layers parallel to (10-12), two per lattice plane.

    It starts at a layer whose next one is the farther of its two neighbours, so that the mirror
    plane, which the layer lies in, leaves the atoms on both sides room.
    """
    cell = np.array(primitive_cell(lattice).cell)
    normal = np.linalg.inv(cell) @ np.array([1.0, 0.0, 2.0])
    spacing = float(1 / np.linalg.norm(normal))
    first, second = cell[1], np.array([2.0, 1.0, -1.0]) @ cell
    z = normal * spacing
    x = first / np.linalg.norm(first)
    y = np.cross(z, x)
    axes = np.array([x, y]) * np.array([[1.0], [np.sign(y @ second)]])
    # The atom at (1/3, 2/3, 1/2) lies 4/3 planes up: one third, after one step back along the first vector.
    lower = axes @ (np.array([-2 / 3, 2 / 3, 1 / 2]) @ cell)
    step = axes @ cell[0]
    numbers = np.arange(n_layers)
    offsets = np.where((numbers % 2 == 0)[:, None], lower, step) + np.outer(numbers // 2, step)
    heights = np.array([number // 2 + (number % 2) * 2 / 3 for number in range(n_layers)])
    return Stack(
        in_plane=np.array([axes @ first, axes @ second]),
        offsets=offsets - lower,
        heights=heights * spacing,
        period=n_layers / 2 * spacing,
        closing=n_layers / 2 * step,
    )


def _parent(lattice: Lattice, stack: Stack, number: int) -> NamedStructure:
    """The perfect stack as a configuration."""
    atoms = stack.atoms(lattice.symbol)
    return named(lattice, "bulk", number, atoms, parent_number=number, is_symmetric=stack.is_upright)


def _lattice_vectors(structure: str) -> NDArray[np.int64]:
    """Short lattice vectors in units of a/2, shape (n, 3), the shortest first, equal ones in a fixed order."""
    numbers = [v for v in product(range(-4, 5), repeat=3) if _is_lattice_vector(structure, v)]
    return np.array(sorted(numbers, key=lambda v: (v[0] ** 2 + v[1] ** 2 + v[2] ** 2, v)))


def _is_lattice_vector(structure: str, vector: tuple[int, ...]) -> bool:
    """Whether three whole multiples of a/2 make a lattice vector of fcc or bcc."""
    if structure == "fcc":
        return sum(vector) % 2 == 0
    return len({number % 2 for number in vector}) == 1


def _shortest(vector: NDArray[np.float64], in_plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shortest vector that differs from a given one by a vector of the in-plane lattice; shape (2,), Å."""
    start = vector - np.rint(np.linalg.solve(in_plane.T, vector)) @ in_plane
    images = [start + np.array(steps) @ in_plane for steps in product((0, -1, 1), repeat=2)]
    # Rounded, so that the choice among equally short ones is the same on every machine.
    return min(images, key=lambda image: tuple(np.round([image @ image, image[0], image[1]], 6)))
