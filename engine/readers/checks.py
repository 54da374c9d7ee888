"""Checks of a structure before it is predicted, the same for the command line and the page.

`refuse_impossible` raises for what no potential can be asked about; `check_structure` says what a person should know
before trusting a prediction.
"""

from collections.abc import Collection, Mapping

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, covalent_radii

from engine.errors import DatasetError
from engine.readers.neighbors import full_cell, heights, nearest_neighbors
from engine.readers.readings import MAX_ATOMS, Check, refuse_many
from engine.records import Configuration, FloatArray

# Closer than any nuclei in a metal, even under shock: an error of units or a doubled atom.
MIN_DISTANCE = 0.4
# Cells outside these bounds make neighbour lists explode or are in the wrong unit.
MIN_HEIGHT, MAX_LENGTH = 1.0, 1000.0
MIN_VOLUME_PER_ATOM = 1.0
MAX_COORDINATE = 1e5
REACH = 6.0
"""How far most potentials look from an atom, Å."""
CLOSE, LOOSE = 0.65, 1.6
"""Shares of the sum of covalent radii between which the shortest distance of a solid lies."""
MIN_GAP, WIDE_GAP = 5.0, 8.0
"""A gap between atoms is vacuum above the first; atoms on both sides do not meet above the second, Å."""


def check_structure(configuration: Configuration, covered: Mapping[str, Collection[str]] | None = None) -> list[Check]:
    """Check what decides whether a prediction means anything: size, cell, vacuum, distances, elements.

    Args:
        configuration: As read; it passed `refuse_impossible`.
        covered: Label of each model that will be asked, and the symbols of the elements it was trained on.
    """
    near = nearest_neighbors(configuration, REACH)
    checks = [_check_size(configuration), _check_cell(configuration), *_check_vacuum(configuration)]
    checks += [
        _check_distances(configuration, near.distances, near.partners),
        *_check_lone(configuration, near.distances),
    ]
    return checks if covered is None else [*checks, check_elements(configuration, covered)]


def check_elements(configuration: Configuration, covered: Mapping[str, Collection[str]]) -> Check:
    """Whether every model knows every element of a structure.

    Args:
        configuration: The structure.
        covered: Label of each model, and the symbols of the elements it was trained on.
    """
    missing = {label: uncovered(configuration, symbols) for label, symbols in covered.items()}
    found = [f"{label} does not know {', '.join(symbols)}" for label, symbols in missing.items() if symbols]
    return Check("Elements", not found, "; ".join(found) or f"{formula(configuration)}: covered by every chosen model")


def uncovered(configuration: Configuration, symbols: Collection[str]) -> list[str]:
    """Symbols of a structure that are not among those given, by atomic number."""
    present = {chemical_symbols[number] for number in configuration.numbers.tolist()}
    return sorted(present - set(symbols), key=lambda symbol: atomic_numbers[symbol])


def formula(configuration: Configuration) -> str:
    """Elements and their counts, by atomic number: `Al1Ni3`."""
    numbers, counts = np.unique(configuration.numbers, return_counts=True)
    return "".join(f"{chemical_symbols[z]}{n}" for z, n in zip(numbers.tolist(), counts.tolist(), strict=True))


def refuse_impossible(name: str, configuration: Configuration) -> None:
    """Raise for what no potential can be asked about.

    Args:
        name: Of the file, for the message.
        configuration: As read.

    Raises:
        DatasetError: No or too many atoms, no elements, numbers out of bounds, a cell too flat, two atoms at one place.
    """
    if configuration.n_atoms == 0:
        raise DatasetError(f"{name} holds no atoms.")
    refuse_many(name, configuration.n_atoms)
    if configuration.numbers.min() < 1:
        raise DatasetError(f"{name} holds an atom that is no chemical element.")
    if not (np.isfinite(configuration.positions).all() and np.isfinite(configuration.cell).all()):
        raise DatasetError(f"{name} holds a coordinate that is not a finite number.")
    if max(np.abs(configuration.positions).max(), np.abs(configuration.cell).max()) > MAX_COORDINATE:
        raise DatasetError(f"{name} holds a coordinate beyond {MAX_COORDINATE:g} Å; check the unit.")
    _refuse_cell(name, configuration)
    _refuse_extent(name, configuration)
    near = nearest_neighbors(configuration, MIN_DISTANCE)
    i = int(np.argmin(near.distances))
    if near.distances[i] < MIN_DISTANCE:
        j = int(near.partners[i])
        raise DatasetError(f"{name}: atoms {i} and {j} (counted from 0) are {near.distances[i]:.3f} Å apart.")


def _refuse_cell(name: str, configuration: Configuration) -> None:
    periodic = [axis for axis in range(3) if configuration.pbc[axis]]
    for length in np.linalg.norm(configuration.cell[periodic], axis=1).tolist():
        if not MIN_HEIGHT <= length <= MAX_LENGTH:
            raise DatasetError(
                f"{name}: a lattice vector is {length:.3g} Å long; expected {MIN_HEIGHT:g} to {MAX_LENGTH:g} Å."
            )
    if np.linalg.matrix_rank(configuration.cell[periodic], tol=1e-6) < len(periodic):
        raise DatasetError(f"{name}: the lattice vectors of its periodic directions span no volume.")
    lowest = (
        float(heights(full_cell(configuration.cell, configuration.pbc))[periodic].min()) if periodic else MIN_HEIGHT
    )
    if lowest < MIN_HEIGHT * (1 - 1e-9):
        raise DatasetError(
            f"{name}: its cell is {lowest:.3g} Å high between two faces; expected at least {MIN_HEIGHT:g} Å."
        )
    if len(periodic) == 3:
        volume = abs(float(np.linalg.det(configuration.cell))) / configuration.n_atoms
        if volume < MIN_VOLUME_PER_ATOM:
            raise DatasetError(f"{name}: {volume:.2g} Å³ per atom is less than any metal has; check the unit.")


def _refuse_extent(name: str, configuration: Configuration) -> None:
    """Refuse atoms so far apart along an open direction that the cell around them would be huge."""
    cell = full_cell(configuration.cell, configuration.pbc)
    extents = np.ptp(configuration.positions @ np.linalg.inv(cell), axis=0)  # vectors of open directions are 1 Å long
    longest = max((float(extents[axis]) for axis in range(3) if not configuration.pbc[axis]), default=0.0)
    if longest > MAX_LENGTH:
        raise DatasetError(f"{name}: its atoms extend over {longest:.3g} Å; at most {MAX_LENGTH:g} Å are predicted.")


def _check_size(configuration: Configuration) -> Check:
    n = configuration.n_atoms
    return Check("Atoms", True, f"{n} atom{'s' if n > 1 else ''} of at most {MAX_ATOMS}: {formula(configuration)}")


def _check_cell(configuration: Configuration) -> Check:
    open_axes = ["abc"[axis] for axis in range(3) if not configuration.pbc[axis]]
    if len(open_axes) == 3:
        given = "although the file gives a cell" if configuration.cell.any() else "since the file gives no cell"
        text = f"not periodic, {given}: predicted as a cluster in vacuum, not as a crystal"
        return Check("Cell", False, text)
    if open_axes:
        return Check("Cell", True, f"not periodic along {', '.join(open_axes)}: vacuum is added there")
    lengths = np.linalg.norm(configuration.cell, axis=1)
    volume = abs(float(np.linalg.det(configuration.cell))) / configuration.n_atoms
    size = " × ".join(f"{length:.2f}" for length in lengths)
    hand = ", left-handed" if np.linalg.det(configuration.cell) < 0 else ""
    return Check("Cell", True, f"periodic{hand}, {size} Å, {volume:.1f} Å³ per atom")


def _check_vacuum(configuration: Configuration) -> list[Check]:
    """One line per periodic direction in which the atoms leave a gap."""
    cell = full_cell(configuration.cell, configuration.pbc)
    fractional = configuration.positions @ np.linalg.inv(cell)
    tall = heights(cell)
    gaps = {axis: _largest_gap(fractional[:, axis]) * float(tall[axis]) for axis in range(3) if configuration.pbc[axis]}
    checks = []
    for axis, gap in gaps.items():
        if gap > MIN_GAP:
            text = f"{gap:.1f} Å between layers of atoms along {'abc'[axis]}"
            narrow = f": too little for models that look {REACH:g} Å or further from an atom"
            checks.append(Check("Vacuum", gap > WIDE_GAP, text + ("" if gap > WIDE_GAP else narrow)))
    return checks


def _largest_gap(fractional: FloatArray) -> float:
    """Largest distance between neighbours on a circle of circumference 1; places have the shape (n_atoms,)."""
    places = np.sort(fractional % 1.0)
    return float(np.diff(places, append=places[0] + 1.0).max())


def _check_distances(configuration: Configuration, distances: FloatArray, partners: np.ndarray) -> Check:
    i = int(np.argmin(distances))
    if not np.isfinite(distances[i]):
        return Check("Distances", False, f"no two atoms are closer than {REACH:g} Å")
    j = int(partners[i])
    pair = [int(configuration.numbers[k]) for k in (i, j)]
    usual = float(sum(covalent_radii[z] for z in pair))
    names = "–".join(chemical_symbols[z] for z in pair)
    who = f"atoms {i} and {j}" if i != j else f"atom {i} and its own image"
    text = f"shortest {names} {distances[i]:.2f} Å ({who}; covalent radii add up to {usual:.2f} Å)"
    return Check("Distances", bool(CLOSE * usual < distances[i] < LOOSE * usual), text)


def _check_lone(configuration: Configuration, distances: FloatArray) -> list[Check]:
    lone = np.flatnonzero(~np.isfinite(distances)).tolist()
    if not lone:
        return []
    named = ", ".join(f"{k} ({chemical_symbols[int(configuration.numbers[k])]})" for k in lone[:5])
    more = f" and {len(lone) - 5} more" if len(lone) > 5 else ""
    text = (
        f"no neighbour within {REACH:g} Å of atom {named}{more}: most potentials are not made for lone atoms "
        "and give a number that means nothing"
    )
    return [Check("Lone atoms", False, text)]
