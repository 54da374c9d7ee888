"""Checks of units, signs and axes of labels, for sets where no configuration has a neighbour to compare with.

The estimate from the elements alone (`engine.readers.second_moment`) is rough, but never opposite to the labels of 28
published sets of metals. Medians over configurations, as sampled here: forces correlate with the estimate by 0.40
(Li-Al) to 1.00, at 0.37 to 2.6 times its size; energies within a composition by 0.93 to 1.00, at 0.67 to 2.7 times; the
three shears by 0.93 to 1.00. Forces that are turned or shuffled correlate by less than 0.1, and the next unit is a
factor of 13 away.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.readers.plausibility import Finding, Verdict, composition
from engine.readers.second_moment import Estimate, estimate
from engine.records import Configuration, FloatArray

MAX_SAMPLE, MAX_ATOMS = 80, 6000
MIN_CONFIGURATIONS, MIN_TO_REFUSE = 3, 5
MIN_COMPONENTS = 24
MIN_FORCE, MIN_ENERGY, MIN_STRESS = 0.1, 0.02, 2e-3
"""What the elements must say at least for a comparison: eV/Å (root mean square), eV/atom and eV/Å³."""

MAX_ENERGY = 3.0
"""Overlapping atoms and lone ones are beyond a rough potential, eV/atom."""

FAR = 4.0
"""How far an energy may be from those of its composition and from the estimate, eV/atom."""

MIN_ENERGIES = 6
LIKE, UNLIKE = 0.7, 0.2
LOWEST, HIGHEST = 0.17, 8.0
"""Factors between which a label is in the right unit."""

MIN_SHEARS = 8
_SHEARS = ("yz", "xz", "xy")

_ENERGY_UNITS = {
    "meV": 1e3, "Hartree": 1 / 27.2114, "Rydberg": 1 / 13.6057, "kJ/mol": 96.4853, "kcal/mol": 23.0605,
}  # fmt: skip
_FORCE_UNITS = {
    "meV/Å": 1e3, "Ry/bohr": 0.0388938, "Hartree/bohr": 0.0194469, "kJ/mol/Å": 96.4853, "kcal/mol/Å": 23.0605,
}  # fmt: skip

_NAME = "{} against elements"


class _Pair(NamedTuple):
    """A configuration and the estimate from its elements."""

    configuration: Configuration
    rough: Estimate


def examine_against_elements(configurations: Sequence[Configuration]) -> list[Finding]:
    """Compare labels with the estimate from the elements; one finding for each quantity that could be compared.

    Args:
        configurations: All configurations of the set; at most `MAX_SAMPLE` are looked at.
    """
    pairs = [_Pair(c, rough) for c in _sample(configurations) if (rough := estimate(c)) is not None]
    findings = [finding for check in (_energies, _forces, _shears) if (finding := check(pairs)) is not None]
    if (odd := _lone_energies(configurations)) is not None:
        findings.append(odd)
    if findings:
        return findings
    text = "not checked: no configurations with elements, displacements and energies that a rough potential can judge"
    return [Finding(_NAME.format("Labels"), "warning", text)]


def _sample(configurations: Sequence[Configuration]) -> list[Configuration]:
    """Configurations of several atoms, spread over the set, small ones where there are enough."""
    several = [c for c in configurations if c.n_atoms > 1]
    if len(several) > 2 * MAX_SAMPLE:
        middle = float(np.median([c.n_atoms for c in several]))
        several = [c for c in several if c.n_atoms <= middle]
    chosen = several[:: max(1, -(-len(several) // MAX_SAMPLE))]
    ends = np.cumsum([c.n_atoms for c in chosen])
    return [c for c, end in zip(chosen, ends, strict=True) if end <= MAX_ATOMS or c is chosen[0]]


def _energies(pairs: Sequence[_Pair]) -> Finding | None:
    """Whether energies per atom within a composition, in cells of any size, differ as the estimate does."""
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for c, rough in pairs:
        if c.energy is not None:
            groups[composition(c)].append((c.energy / c.n_atoms, rough.energy / c.n_atoms))
    several = [np.array(rows) for rows in groups.values() if len(rows) > 1]
    moved = np.concatenate([rows - np.median(rows, axis=0) for rows in several]) if several else np.zeros((0, 2))
    moved = moved[(np.abs(moved[:, 1]) > MIN_ENERGY) & (np.abs(moved[:, 1]) < MAX_ENERGY)]
    if len(moved) < MIN_ENERGIES:
        return None
    likeness = _likeness(moved[:, 0], moved[:, 1])
    factor = float(moved[:, 0] @ moved[:, 1] / (moved[:, 1] @ moved[:, 1]))
    return _judge("Energies", likeness, abs(factor), len(moved), _ENERGY_UNITS)


def _lone_energies(configurations: Sequence[Configuration]) -> Finding | None:
    """Single energies far from all others of their composition, although the structure is not."""
    groups: dict[str, list[tuple[float, Configuration]]] = defaultdict(list)
    for c in configurations:
        if c.energy is not None and c.n_atoms > 1:
            groups[composition(c)].append((c.energy / c.n_atoms, c))
    odd: list[tuple[str, float]] = []
    for members in (rows for rows in groups.values() if len(rows) >= MIN_ENERGIES):
        middle = sorted(members, key=lambda row: row[0])[len(members) // 2]
        usual = estimate(middle[1])
        for energy, c in (row for row in members if abs(row[0] - middle[0]) > FAR):
            rough = None if usual is None or len(odd) >= MAX_SAMPLE else estimate(c)
            if usual is not None and rough is not None:
                expected = rough.energy / c.n_atoms - usual.energy / middle[1].n_atoms
                if abs(expected) < FAR / 2 and abs(energy - middle[0] - expected) > FAR:
                    odd.append((c.config_id, energy - middle[0]))
    if not odd:
        return None
    first, energy = odd[0]
    text = f"'{first}' is {energy:+.1f} eV/atom from others of its composition, for no reason in its structure"
    return Finding("Single energies", "warning", text + (f"; {len(odd)} such configurations" if len(odd) > 1 else ""))


def _forces(pairs: Sequence[_Pair]) -> Finding | None:
    """Whether forces have the direction along each axis, and the size, of the estimate."""
    both = [(c.forces, rough.forces) for c, rough in pairs if c.forces is not None and _rms(rough.forces) > MIN_FORCE]
    sizes = np.array([_rms(label) / _rms(rough) for label, rough in both])
    if not len(sizes) or not sizes.any():
        return None
    # Relaxed structures have small forces where the rough potential has not; they say nothing of direction.
    telling = [pair for pair, size in zip(both, sizes, strict=True) if size > 0.3 * np.quantile(sizes, 0.9)]
    if len(telling) < MIN_CONFIGURATIONS or sum(label.size for label, _ in telling) < MIN_COMPONENTS:
        return None
    likeness = float(np.median([_likeness(label.ravel(), rough.ravel()) for label, rough in telling]))
    factor = float(np.median([_rms(label) / _rms(rough) for label, rough in telling]))
    found = _judge("Forces", likeness, factor, len(telling), _FORCE_UNITS)
    unlike = {axis: value for k, axis in enumerate("xyz") if (value := _axis_likeness(telling, k)) < 0}
    if found.verdict == "ok" and unlike:
        said = ", ".join(f"{value:.2f} along {axis}" for axis, value in unlike.items())
        return Finding(found.name, "warning", f"{found.text}; but {said}, as if axes were mirrored or exchanged")
    return found


def _axis_likeness(pairs: Sequence[tuple[FloatArray, FloatArray]], axis: int) -> float:
    """Median correlation of one component, over configurations that have it."""
    found = [_likeness(label[:, axis], rough[:, axis]) for label, rough in pairs if _rms(rough[:, axis]) > MIN_FORCE]
    return float(np.median(found)) if len(found) >= MIN_TO_REFUSE else 1.0


def _shears(pairs: Sequence[_Pair]) -> Finding | None:
    """Whether the three shear stresses stand in the order yz, xz, xy."""
    found = []
    for c, rough in pairs:
        if c.stress is not None and all(c.pbc) and c.stress[3:].any():
            expected = rough.virial[3:] / abs(float(np.linalg.det(c.cell)))
            if np.linalg.norm(expected) > MIN_STRESS:
                found.append((c.stress[3:], expected))
    if len(found) < MIN_SHEARS:
        return None
    orders = list(itertools.permutations(range(3)))
    likeness = [float(np.median([_likeness(label[list(order)], rough) for label, rough in found])) for order in orders]
    best = int(np.argmax(likeness))
    name = _NAME.format("Shear stresses")
    text = f"they correlate by {likeness[0]:.2f} with what the elements say ({len(found)} configurations)"
    if likeness[0] > 0.5 or likeness[best] < LIKE:
        odd = likeness[0] < -LIKE
        return Finding(name, "warning" if odd else "ok", text + (": the sign is opposite" if odd else ""))
    # Component k is right in place orders[best][k], so what stands there is of component k.
    meant = [""] * 3
    for k, place in enumerate(orders[best]):
        meant[place] = _SHEARS[k]
    return Finding(
        name, "warning", f"{text}, but by {likeness[best]:.2f} if they stand as {', '.join(meant)}: order of components"
    )


def _judge(quantity: str, likeness: float, factor: float, n: int, units: dict[str, float]) -> Finding:
    """Verdict on the correlation with the estimate from the elements, and on the factor to it."""
    name = _NAME.format(quantity)
    text = f"{factor:.2g} times what the elements say, correlation {likeness:.2f} ({n} configurations)"
    is_sure: Verdict = "refused" if n >= MIN_TO_REFUSE else "warning"
    if likeness < -LIKE:
        return Finding(name, is_sure, f"{text}: the sign is opposite")
    is_right_size = LOWEST < factor < HIGHEST
    if likeness < UNLIKE:
        problem = "not checked, they are too unlike in size"
        if is_right_size:
            problem = "as if in another order of atoms or other axes" if quantity == "Forces" else "as if mixed up"
        return Finding(name, "warning", f"{text}: {problem}")
    if is_right_size:
        return Finding(name, "ok", text)
    near = [unit for unit, value in units.items() if 0.4 < factor / value < 4]
    guess = f"as if in {' or '.join(near)}" if near else "another unit"
    return Finding(name, is_sure if likeness > LIKE else "warning", f"{text}: {guess}")


def _likeness(first: FloatArray, second: FloatArray) -> float:
    """Correlation through the origin; 0 where one is all zeros."""
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm > 0 else 0.0


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))
