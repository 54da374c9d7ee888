"""The defects that figure 6 of the paper draws, as cells of bcc tungsten that are made by rule and have no energies.

They are for looking at alone. A vacancy, a fault and a dislocation are unrelaxed; dumbbells and boundaries are relaxed
with the potential of `engine.cells.pair_relaxation`, which knows one neighbour distance and nothing else of the metal.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, reference_states
from numpy.typing import NDArray

from engine.cells.lattices import Lattice
from engine.cells.pair_relaxation import relaxed
from engine.cells.stacked import bravais_stack

_CRYSTAL: Any = reference_states[atomic_numbers["W"]]
TUNGSTEN = Lattice("W", "bcc", float(_CRYSTAL["a"]))

# Symmetric tilt boundaries. The paper draws seven without their names; these are the densest planes with the smallest
# coincidence cells.
BOUNDARIES = {
    "Σ3 (112)": (1, 1, 2),
    "Σ3 (111)": (1, 1, 1),
    "Σ5 (013)": (0, 1, 3),
    "Σ5 (012)": (0, 1, 2),
    "Σ9 (122)": (1, 2, 2),
    "Σ11 (113)": (1, 1, 3),
    "Σ11 (233)": (2, 3, 3),
}
GRAIN_HEIGHT = 9.0  # Å, least distance of the two boundaries in a cell
FAULT_LAYERS = 10
SCREW_REPEATS = (3, 5)  # of the cell with edges <112> and <110>
N_IMAGES = 20  # rows of dislocations on each side that are summed; the field has converged to 1e-12 Å

_DUMBBELL_RULE = "cell of 54 sites and one more atom, relaxed with a simple tight-binding potential"


@dataclass(frozen=True)
class Drawing:
    """One structure to look at.

    Attributes:
        name: Kebab-case name.
        label: Name to show.
        rule: How it was made.
        atoms: Periodic, Å.
    """

    name: str
    label: str
    rule: str
    atoms: Atoms


@functools.cache
def drawings(lattice: Lattice = TUNGSTEN) -> list[Drawing]:
    """Twelve defects, in the order of the paper's caption, made once in a process.

    Args:
        lattice: A bcc crystal.

    Returns:
        A vacancy, two dumbbells, seven boundaries, a fault and a pair of screw dislocations.
    """
    perfect = bulk(lattice.symbol, "bcc", a=lattice.a, cubic=True).repeat(3)
    holed = perfect.copy()
    del holed[_middle(perfect)]
    made = [
        Drawing("vacancy", "Vacancy", "cell of 54 sites without one atom, unrelaxed", holed),
        Drawing("dumbbell-110", "⟨110⟩ dumbbell", _DUMBBELL_RULE, _dumbbell(perfect, lattice, (1.0, 1.0, 0.0))),
        Drawing("dumbbell-111", "⟨111⟩ dumbbell", _DUMBBELL_RULE, _dumbbell(perfect, lattice, (1.0, 1.0, 1.0))),
    ]
    for label, plane in BOUNDARIES.items():
        name = "boundary-" + "".join(map(str, plane))
        rule = "two symmetric tilt boundaries in a cell, relaxed with a simple tight-binding potential"
        made.append(Drawing(name, label, rule, _boundary(lattice, plane)))
    made += [
        Drawing(
            "fault", "Stacking fault", "generalised, half of ⟨111⟩/2 in a {110} plane, unrelaxed", _fault(lattice)
        ),
        Drawing(
            "screw", "Screw dislocations",
            "two of Burgers vectors ±⟨111⟩/2, displaced by isotropic elasticity with all periodic images, unrelaxed",
            screw_dipole(lattice),
        ),
    ]  # fmt: skip
    return made


def _middle(perfect: Atoms) -> int:
    """The atom next to the middle of a cell, so that a drawing shows what is done to it."""
    distances = np.linalg.norm(perfect.positions - perfect.cell.array.sum(axis=0) / 2, axis=1)
    return int(np.argmin(distances.round(6)))


def _dumbbell(perfect: Atoms, lattice: Lattice, direction: tuple[float, float, float]) -> Atoms:
    """Two atoms on the site of one, 0.8 neighbour distances apart along a direction before they relax."""
    crowded: Atoms = perfect.copy()
    site = _middle(perfect)
    unit = np.array(direction) / np.linalg.norm(direction)
    half = 0.4 * lattice.a * np.sqrt(3) / 2 * unit
    crowded.append(lattice.symbol)
    crowded.positions[-1] = crowded.positions[site] + half
    crowded.positions[site] -= half
    moved = relaxed(crowded, lattice)
    moved.positions += crowded.positions[0] - moved.positions[0]
    return moved


def _boundary(lattice: Lattice, plane: tuple[int, int, int]) -> Atoms:
    """A cell with two mirrored grains of at least `GRAIN_HEIGHT`."""
    spacing = bravais_stack(lattice, plane, 2).heights[1]
    n_layers = 2 * int(np.ceil(GRAIN_HEIGHT / spacing))
    stack = bravais_stack(lattice, plane, n_layers)
    images = -np.arange(n_layers) % n_layers
    atoms = relaxed(stack.mirrored().atoms(lattice.symbol), lattice, relaxes_height=True, mirror=images)
    atoms.positions[:, 2] += atoms.cell[2, 2] / 4  # so that no boundary lies on the edge of the drawing
    return atoms


def _fault(lattice: Lattice) -> Atoms:
    """A stack whose upper half is shifted."""
    stack = bravais_stack(lattice, (1, 1, 0), FAULT_LAYERS)
    slip = 0.5 * stack.in_plane[0]
    upper = (np.arange(FAULT_LAYERS) >= FAULT_LAYERS // 2)[:, None]
    return replace(stack, offsets=stack.offsets + upper * slip, closing=stack.closing + slip).atoms(lattice.symbol)


def screw_dipole(lattice: Lattice, repeats: tuple[int, int] = SCREW_REPEATS) -> Atoms:
    """Two screw dislocations of opposite Burgers vector <111>/2 in the quadrupolar arrangement, with easy cores.

    Each atom is displaced along the dislocations by the sum of b/2π times the angle around each of them and all their
    images; a row of images along the first edge L has the angle of sin(π z / L), with z = x + iy. The mean strain of
    that sum is taken out, and both edges lean by half a Burgers vector, so that the cell is free of mean stress.

    Args:
        lattice: A bcc crystal.
        repeats: Of the cell along <112> and <110>.

    Returns:
        Atoms with the dislocations along the third cell vector, Å.

    Source:
        W. Cai et al., Philos. Mag. 83, 539 (2003), doi:10.1080/0141861021000051109 (image sums in periodic cells).
    """
    burgers = lattice.a * np.sqrt(3) / 2
    crystal = _columns(lattice, repeats)
    length, height = crystal.cell[0, 0], crystal.cell[1, 1]
    spacing = lattice.a * np.sqrt(6) / 3  # of columns
    rows = np.array([0.0, spacing * np.sqrt(3) / 2])
    # The middles of triangles of columns that point up, nearest to a quarter of the cell.
    x = (np.arange(3 * repeats[0]) + 0.5) * spacing
    middle = min(
        (complex(px + shift, py) for shift, row in zip((0.0, spacing / 2), rows, strict=True)
         for px in x for py in row + 2 * rows[1] * np.arange(repeats[1]) + spacing / (2 * np.sqrt(3))),
        key=lambda z: (round(abs(z - complex(length, height) / 4), 6), z.real),
    )  # fmt: skip
    other = complex(length, height) - middle

    def displaced(z: NDArray[np.complex128]) -> NDArray[np.float64]:
        angle = np.zeros(len(z))
        for n in range(-N_IMAGES, N_IMAGES + 1):
            image = 1j * n * height
            angle += np.angle(np.sin(np.pi * (z - middle - image) / length))
            angle -= np.angle(np.sin(np.pi * (z - other - image) / length))
        found: NDArray[np.float64] = burgers / (2 * np.pi) * angle + burgers * z.real / (2 * length)
        return found

    points = crystal.positions[:, 0] + 1j * crystal.positions[:, 1]
    atoms: Atoms = crystal.copy()
    atoms.positions[:, 2] += displaced(points)
    atoms.cell[0, 2] += burgers / 2
    atoms.cell[1, 2] += burgers / 2
    return atoms


def _columns(lattice: Lattice, repeats: tuple[int, int]) -> Atoms:
    """The perfect crystal with edges along [11-2], [-110] and [111]/2."""
    axes = np.array([[1, 1, -2], [-1, 1, 0], [1, 1, 1]]) / np.sqrt([[6], [2], [3]])
    edges = lattice.a * np.array([np.sqrt(6), np.sqrt(2), np.sqrt(3) / 2])
    counts = np.array(np.meshgrid(*[range(-4, 5)] * 3)).reshape(3, -1).T
    corners = lattice.a * counts @ axes.T
    sites = np.vstack([corners, corners + lattice.a / 2 * np.ones(3) @ axes.T]) / edges
    inside = (sites > -1e-6).all(axis=1) & (sites < 1 - 1e-6).all(axis=1)
    cell = Atoms([lattice.symbol] * int(inside.sum()), scaled_positions=sites[inside], cell=edges, pbc=True)
    crystal: Atoms = cell.repeat((*repeats, 1))
    return crystal
