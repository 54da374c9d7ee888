"""Entries of a set that are probably no results: zeros for forces, lengths in bohr, crystals without periodicity."""

from collections.abc import Sequence

import numpy as np
from ase.data import covalent_radii

from engine.readers.neighbors import nearest_neighbors
from engine.readers.plausibility import Finding
from engine.records import Configuration

MAX_SAMPLE = 50
LOOSE = 1.6
"""Nearest neighbours in a solid are within this share of their covalent radii; bohr makes it 1.9 times as large."""

FULL = 20.0
"""Volume of a cell over the cubes of its covalent radii: 4 to 10 in metals, above 20 only with much vacuum."""

_REACH = 8.0


def examine_entries(configurations: Sequence[Configuration]) -> list[Finding]:
    """One warning for each kind of odd entry that a set holds.

    Args:
        configurations: All configurations of the set.
    """
    texts = (_zero_forces(configurations), _long_distances(configurations), _open_crystals(configurations))
    return [Finding("Entries", "warning", text) for text in texts if text]


def _zero_forces(configurations: Sequence[Configuration]) -> str:
    forces = [c.forces for c in configurations if c.forces is not None and c.n_atoms > 1]
    if not forces or any(values.any() for values in forces):
        return ""
    return (
        f"forces are exactly zero in all {len(forces)} configurations of several atoms: right for perfect crystals "
        "alone. Leave them out with --forces-key none where they are no results"
    )


def _long_distances(configurations: Sequence[Configuration]) -> str:
    solids = [c for c in configurations if all(c.pbc) and c.n_atoms > 1]
    sample = solids[:: max(1, len(solids) // MAX_SAMPLE)]
    shares = [share for c in sample if np.isfinite(share := _nearest_share(c))]
    if not shares or np.median(shares) < LOOSE:
        return ""
    return (
        f"nearest neighbours are {np.median(shares):.2f} times their covalent radii apart, as if lengths were in bohr. "
        "Multiply positions and cells by 0.529177 if so"
    )


def _nearest_share(configuration: Configuration) -> float:
    """Least distance of two atoms in units of their covalent radii; infinite where none is within reach."""
    near = nearest_neighbors(configuration, _REACH)
    i = int(np.argmin(near.distances))
    if not np.isfinite(near.distances[i]):
        return float("inf")
    pair = configuration.numbers[[i, int(near.partners[i])]]
    return float(near.distances[i] / covalent_radii[pair].sum())


def _open_crystals(configurations: Sequence[Configuration]) -> str:
    """Crystals that were written without their periodicity: a cell of the size of its atoms, or one with a stress."""
    odd = [c for c in configurations if not any(c.pbc) and c.cell.any() and (_has_stress(c) or _is_full(c))]
    if not odd:
        return ""
    return (
        f"{len(odd)} configurations have the cell or the stress of a crystal but are periodic in no direction (such as "
        f"'{odd[0].config_id}'): models will see clusters. Write pbc=\"T T T\" where they are crystals"
    )


def _has_stress(configuration: Configuration) -> bool:
    return configuration.stress is not None and bool(configuration.stress.any())


def _is_full(configuration: Configuration) -> bool:
    """Whether the cell is no larger than its atoms need, as that of a crystal or of a slab."""
    volume = abs(float(np.linalg.det(configuration.cell)))
    return 0 < volume < FULL * float((covalent_radii[configuration.numbers] ** 3).sum())
