"""Entries of a set that are probably no results: zeros for forces, lengths in bohr, a stress of a molecule."""

from collections.abc import Sequence

import numpy as np
from ase.data import covalent_radii

from engine.readers.neighbors import nearest_neighbors
from engine.readers.plausibility import Finding
from engine.records import Configuration

MAX_SAMPLE = 50
LOOSE = 1.6
"""Nearest neighbours in a solid are within this share of their covalent radii; bohr makes it 1.9 times as large."""

_REACH = 8.0


def examine_entries(configurations: Sequence[Configuration]) -> list[Finding]:
    """One warning for each kind of odd entry that a set holds.

    Args:
        configurations: All configurations of the set.
    """
    texts = (_zero_forces(configurations), _long_distances(configurations), _stress_of_open_cells(configurations))
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


def _stress_of_open_cells(configurations: Sequence[Configuration]) -> str:
    odd = [c for c in configurations if not any(c.pbc) and c.cell.any() and c.stress is not None and c.stress.any()]
    if not odd:
        return ""
    return (
        f"{len(odd)} configurations have a cell and a stress but are periodic in no direction (such as "
        f"'{odd[0].config_id}'): models will see clusters. Write pbc=\"T T T\" where they are crystals"
    )
