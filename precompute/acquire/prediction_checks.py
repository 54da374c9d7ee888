"""Checks that imported numbers can be predictions of the configurations that they stand for.

Even a poor potential has forces that point as those of DFT do, and energies that grow with the number of atoms. Numbers
that agree with the labels to rounding are the labels; numbers proportional to them by a factor are in another unit.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from engine.errors import PredictionError
from engine.readers.plausibility import Finding, energies, energies_against_forces
from engine.records import Configuration, FloatArray, Prediction
from precompute.acquire.prediction_files import is_label

MIN_COMPONENTS = 12
"""Fewer force components tell nothing."""

MIN_FORCE = 0.05
"""Root mean square of a force component below which a configuration tells nothing, eV/Å."""

MIN_ENERGIES = 4
TELLING = 0.7
"""Least correlation with the labels from which a factor is read."""

UNLIKE, MIN_UNLIKE_COMPONENTS = 0.3, 60
"""Even potentials for one metal reach a correlation of 0.5 on another set; this many components are no coincidence."""

_FORCE_FACTORS = {
    "meV/Å": 1e3,
    "Ry/bohr": 0.0388938,
    "Hartree/bohr": 0.0194469,
    "kcal/mol/Å": 23.0605,
}
_ENERGY_FACTORS = {"meV": 1e3, "Hartree": 0.0367493, "Rydberg": 0.0734986, "kJ/mol": 96.4853, "kcal/mol": 23.0605}


def check_predictions(
    name: str, configurations: Sequence[Configuration], predictions: Sequence[Prediction], *, is_placed: bool
) -> None:
    """Refuse predictions that are the labels, or are in another unit or of the opposite sign.

    Args:
        name: Name of the file, for messages.
        configurations: Of the dataset.
        predictions: Of some of them.
        is_placed: Whether the order of their atoms was compared with the dataset's.

    Raises:
        PredictionError: They are the labels, or are in another unit, sign or order of atoms.
    """
    by_id = {c.config_id: c for c in configurations}
    pairs = [(by_id[p.config_id], p) for p in predictions]
    for problem in (_labels(pairs), _forces(pairs, is_placed), _energies(pairs), _plausible(pairs)):
        if problem:
            raise PredictionError(f"{name}: {problem}; nothing was imported.")


Pairs = Sequence[tuple[Configuration, Prediction]]


def _labels(pairs: Pairs) -> str:
    """What is wrong where the predictions are the labels; empty where they are not."""
    known = [(i, c) for i, (c, _) in enumerate(pairs)]
    for quantity in ("energy", "forces"):
        if is_label([getattr(p, quantity) for _, p in pairs], known, quantity):
            which = "energies" if quantity == "energy" else "forces"
            return f"its {which} are the reference {which} of the dataset to rounding, so they are no predictions"
    return ""


def _forces(pairs: Pairs, is_placed: bool) -> str:
    """What is wrong with unit, sign or order of the forces; empty where nothing is."""
    both = [(c.forces.ravel(), p.forces.ravel()) for c, p in pairs if c.forces is not None and p.forces is not None]
    found = [(first, second) for first, second in both if np.sqrt(np.mean(first**2)) > MIN_FORCE]
    n_components = sum(len(first) for first, _ in found)
    if n_components < MIN_COMPONENTS:
        return ""
    if not any(second.any() for _, second in found):
        return f"its forces are zero in all {len(found)} configurations; import energies alone with --forces-key none"
    # The median over configurations, since one with colliding atoms outweighs all others in a sum.
    slope, likeness = np.median([_slope(first, second) for first, second in found], axis=0)
    if likeness < -TELLING:
        return f"its forces are opposite to those of the dataset (correlation {likeness:.2f}): the sign is turned"
    if likeness < UNLIKE and not is_placed and n_components >= MIN_UNLIKE_COMPONENTS:
        return (
            f"its forces are unlike those of the dataset (median correlation {likeness:.2f}), as if its atoms were in "
            "another order; give extended XYZ with the positions, which tell the order"
        )
    if likeness > TELLING and not 0.1 < slope < 10:
        return f"its forces are {slope:.3g} times those of the dataset{_guess(slope, _FORCE_FACTORS)}"
    return ""


def _energies(pairs: Pairs) -> str:
    """What is wrong with the unit of the energies, by their changes within a composition; empty where nothing is."""
    groups: dict[bytes, list[tuple[float, float]]] = defaultdict(list)
    for c, p in pairs:
        if c.energy is not None and p.energy is not None:
            groups[np.sort(c.numbers).tobytes()].append((c.energy, p.energy))
    values = [np.array(members) for members in groups.values() if len(members) >= 2]
    if sum(map(len, values)) < MIN_ENERGIES:
        return ""
    moved = np.concatenate([members - members.mean(axis=0) for members in values])
    slope, likeness = _slope(moved[:, 0], moved[:, 1])
    if likeness < TELLING:
        return ""
    n_atoms = float(np.median([c.n_atoms for c, _ in pairs]))
    if n_atoms > 2.5 and 0.5 < slope * n_atoms < 1.5:
        return f"its energies change {slope:.3g} times as those of the dataset: they are per atom; totals are expected"
    if not 0.05 < slope < 20:
        return f"its energies change {slope:.3g} times as those of the dataset{_guess(slope, _ENERGY_FACTORS)}"
    return ""


def _plausible(pairs: Pairs) -> str:
    """What the checks of a dataset find in the predictions and not in its labels; empty where nothing."""
    reference = [c for c, _ in pairs]
    predicted = [dataclasses.replace(c, energy=p.energy, forces=p.forces, stress=None) for c, p in pairs]
    for check in (energies, energies_against_forces):
        found, expected = check(predicted), check(reference)
        if _is_bad(found) and not _is_bad(expected):
            return f"{found.name.lower()}: {found.text}"
    return ""


def _is_bad(finding: Finding) -> bool:
    return finding.verdict == "refused" or "energies per atom" in finding.text


def _slope(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """Factor of the second over the first by least squares, and their correlation through the origin."""
    cross, own, other = (float(x @ y) for x, y in ((first, second), (first, first), (second, second)))
    return (cross / own, cross / np.sqrt(own * other)) if own > 0 and other > 0 else (1.0, 0.0)


def _guess(factor: float, units: dict[str, float]) -> str:
    likely = [unit for unit, value in units.items() if 0.7 < factor / value < 1.4]
    return f", as if in {likely[0]}" if likely else ": another unit"
