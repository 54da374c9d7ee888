"""Checks that the reference labels of a set have the right units and signs.

Absolute energies cannot tell: an all-electron code puts a metal at -1e4 eV and another zero puts it at -9 eV.
Neighbouring configurations can: along a small displacement the energy changes by minus forces times displacements,
and under a small strain by stress times strain times volume, whatever the zero. A ratio of 27 or 0.001 instead of 1
is a unit, -1 is a sign. Where a set has no such neighbours, its check says that it could not be made.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii

from engine.readers.elements import cohesion, largest_stress
from engine.records import Configuration, FloatArray

Verdict = Literal["ok", "warning", "refused"]

MAX_DISPLACEMENT = 0.25
"""Largest displacement of an atom between two configurations that are compared, Å."""

MAX_STRAIN = 0.06
MAX_PAIRS = 400
MIN_PAIRS = 3
MIN_PAIRS_TO_REFUSE = 5
MIN_CHANGE = 1e-3
"""Least change of energy that is no noise of k-meshes, eV; for each atom where the cell changes."""


MIN_DISTANCE = 0.4
"""Closer than any nuclei in a metal, even under shock, Å."""

MIN_VOLUME, MIN_LENGTH, MAX_LENGTH = 1.0, 1.0, 1000.0
"""Least volume of an atom in Å³, and shortest and longest lattice vector in Å, of a cell in the right unit."""

MAX_FORCE, ODD_FORCE = 1e4, 100.0
MAX_STRESS, ODD_STRESS = 10.0, 3.0
MAX_STRESS_RATIO = 2.0
"""The median stress of 13 published sets is 0.04 to 0.7 times what volumes and forces allow (`elements`)."""

MIN_VOLUME_CHANGE = 0.03
MIN_COHESION = 0.45
"""Least share of the energy of cohesion that a total energy has, where its zero is that of atoms."""

MAX_ENERGY_SPAN, ODD_ENERGY = 1e4, 100.0
ODD_NET_FORCE = 0.05
_SEARCH_RADIUS = 2.4

_HARTREE, _RYDBERG, _BOHR, _GPA = 27.211386, 13.605693, 0.52917721, 160.21766
_FORCE_RATIOS = {
    "energies in meV": 1e3,
    "energies in Hartree": 1 / _HARTREE,
    "energies in Rydberg": 1 / _RYDBERG,
    "energies in kJ/mol": 96.4853,
    "energies in kcal/mol": 23.0605,
    "forces in Ry/bohr": _RYDBERG / _BOHR,
    "forces in Hartree/bohr": _HARTREE / _BOHR,
    "forces in meV/Å": 1e-3,
    "energies in Hartree and forces in Hartree/bohr": 1 / _BOHR,
    "energies in Rydberg and forces in Ry/bohr": 1 / _BOHR,
}
_STRESS_RATIOS = {
    "stresses in GPa": 1 / _GPA,
    "stresses in kbar": 0.1 / _GPA,
    "stresses in Ry/bohr³": _RYDBERG / _BOHR**3,
    "energies in meV": 1e3,
    "energies in Hartree": 1 / _HARTREE,
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Args:
        name: What was looked at.
        verdict: `refused` where the set cannot be what it says, `warning` where a person should look.
        text: What was found, with numbers.
    """

    name: str
    verdict: Verdict
    text: str


def examine(configurations: Sequence[Configuration]) -> list[Finding]:
    """Run all checks of a set, in the order of a report.

    Args:
        configurations: All configurations of the set, in the order of their file.
    """
    checks: tuple[Callable[[Sequence[Configuration]], Finding], ...] = (
        labels,
        energies,
        energies_against_forces,
        forces,
        net_forces,
        stresses,
        stresses_against_strain,
        duplicates,
        periodicity,
    )
    findings = [check(configurations) for check in checks]
    if findings[-1].verdict != "refused":  # the neighbours of atoms in a cell that is far too small are too many
        findings.insert(-1, distances(configurations))
    return findings


def labels(configurations: Sequence[Configuration]) -> Finding:
    """Whether there are energies for all, and what else there is."""
    n = len(configurations)
    counts = {
        name: sum(getattr(c, name) is not None for c in configurations) for name in ("energy", "forces", "stress")
    }
    text = f"{n} configurations, {sum(c.n_atoms for c in configurations)} atoms; " + ", ".join(
        f"{name} on {count}" for name, count in counts.items()
    )
    if counts["energy"] < n:
        first = next(c for c in configurations if c.energy is None)
        missing = "none has an energy" if not counts["energy"] else f"'{first.config_id}' has no energy"
        return Finding("Labels", "refused", f"{text}: {missing}")
    return Finding("Labels", "ok" if counts["forces"] == n else "warning", text)


def energies(configurations: Sequence[Configuration]) -> Finding:
    """Whether energies are totals and differ by what atoms can."""
    found = [(c, c.energy) for c in configurations if c.energy is not None]
    if not found:
        return Finding("Energies", "ok", "none")
    per_atom = np.array([energy / c.n_atoms for c, energy in found])
    text = f"{per_atom.min():.3f} to {per_atom.max():.3f} eV/atom"
    # Within one composition, where the zero of each element cannot matter.
    spans = defaultdict(list)
    for (c, _), value in zip(found, per_atom, strict=True):
        spans[composition(c)].append(float(value))
    span = max(max(values) - min(values) for values in spans.values())
    if span > MAX_ENERGY_SPAN:
        owner = found[int(np.abs(per_atom).argmax())][0].config_id
        return Finding(
            "Energies", "refused", f"{text} ('{owner}'): {span:.3g} within one composition is no energy in eV"
        )
    if _look_per_atom(found):
        return Finding("Energies", "refused", f"{text}: they do not grow with the number of atoms; give totals")
    if small := _look_small(found):
        return Finding("Energies", "warning", f"{text}: {small}")
    odd = np.abs(per_atom).max() > ODD_ENERGY
    if odd:
        text += ": an all-electron zero, overlapping atoms or another unit"
    return Finding("Energies", "warning" if odd else "ok", text)


def energies_against_forces(configurations: Sequence[Configuration]) -> Finding:
    """Whether energy changes along small displacements as the forces say."""
    name = "Forces against energies"
    if not any(c.forces is not None for c in configurations):
        return Finding(name, "ok", "no forces")
    return _judge(name, list(_force_ratios(configurations)), "displaced neighbours", _FORCE_RATIOS)


def stresses_against_strain(configurations: Sequence[Configuration]) -> Finding:
    """Whether energy changes under small strains as the stresses say."""
    name = "Stresses against strain"
    if not any(c.stress is not None for c in configurations):
        return Finding(name, "ok", "no stresses")
    return _judge(name, list(_stress_ratios(configurations)), "strained neighbours", _STRESS_RATIOS)


def forces(configurations: Sequence[Configuration]) -> Finding:
    """Whether any force is absurd."""
    largest = [(float(np.abs(c.forces).max()), c.config_id) for c in configurations if c.forces is not None]
    if not largest:
        return Finding("Forces", "ok", "none")
    value, config_id = max(largest)
    verdict: Verdict = "refused" if value > MAX_FORCE else "warning" if value > ODD_FORCE else "ok"
    return Finding("Forces", verdict, f"largest component {value:.3g} eV/Å ('{config_id}')")


def net_forces(configurations: Sequence[Configuration]) -> Finding:
    """Whether the forces of each configuration add up to zero."""
    found = [(c, c.forces) for c in configurations if c.forces is not None and c.n_atoms > 1]
    if not found:
        return Finding("Net forces", "ok", "none")
    net = np.array([float(np.abs(f.sum(axis=0)).max()) for _, f in found])
    gross = np.array([float(np.abs(f).sum()) for _, f in found])
    worst = int(net.argmax())
    text = f"largest {net[worst]:.3g} eV/Å ('{found[worst][0].config_id}'), median {np.median(net):.2g}"
    telling = gross > 0.01
    if telling.any() and np.median((net / np.maximum(gross, 1e-12))[telling]) > 0.3:
        return Finding("Net forces", "refused", f"{text}: forces do not add up to zero; fixed atoms, or wrong rows")
    n_odd = int(np.count_nonzero(net > ODD_NET_FORCE))
    if n_odd:
        return Finding("Net forces", "warning", f"{text}; above {ODD_NET_FORCE:g} in {n_odd}: forces not converged")
    return Finding("Net forces", "ok", text)


def stresses(configurations: Sequence[Configuration]) -> Finding:
    """Whether any stress is absurd."""
    largest = [(float(np.abs(c.stress).max()), c.config_id) for c in configurations if c.stress is not None]
    if not largest:
        return Finding("Stresses", "ok", "none")
    value, config_id = max(largest)
    median = float(np.median([v for v, _ in largest]))
    text = f"largest component {value:.3g} eV/Å³ ('{config_id}'), median of the largest {median:.2g}"
    if median > MAX_STRESS or value > 100 * MAX_STRESS:
        return Finding("Stresses", "refused", f"{text}: no stress in eV/Å³ (1 eV/Å³ is 160 GPa)")
    problems = [problem for problem in (_look_large(configurations), _look_opposite(configurations)) if problem]
    n_empty = sum(_is_empty(c) for c in configurations)
    if n_empty:
        problems.append(f"exactly zero in {n_empty} with forces, which is an entry without a value")
    return Finding("Stresses", "warning" if value > ODD_STRESS or problems else "ok", "; ".join([text, *problems]))


def _look_large(configurations: Sequence[Configuration]) -> str:
    """What stresses look like that are beyond what their cells can have; empty where they are not."""
    ratios = [
        float(np.abs(c.stress).max()) / limit
        for c in configurations
        if c.stress is not None and all(c.pbc) and (limit := largest_stress(c))
    ]
    median = float(np.median(ratios)) if ratios else 0.0
    if median < MAX_STRESS_RATIO:
        return ""
    guess = "GPa" if median < 80 else "kbar"
    return f"{median:.2g} times what such volumes and forces allow, as if in {guess} (1 eV/Å³ is 160 GPa, 1602 kbar)"


def _look_opposite(configurations: Sequence[Configuration]) -> str:
    """Whether cells of one composition are pulled more the smaller they are, as if pressure were counted positive."""
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for c in configurations:
        if c.stress is not None and all(c.pbc):
            groups[composition(c)].append((np.log(_volume(c) / c.n_atoms), float(c.stress[:3].mean())))
    telling = [np.array(pairs).T for pairs in groups.values() if len(pairs) >= MIN_PAIRS_TO_REFUSE]
    found = [(x, y) for x, y in telling if np.ptp(x) > MIN_VOLUME_CHANGE and np.std(y) > 0]
    if not found or np.median([np.corrcoef(x, y)[0, 1] for x, y in found]) > -0.7:
        return ""
    return "smaller cells are under more tension, as if the sign were opposite (here tension is positive)"


def _is_empty(c: Configuration) -> bool:
    """Whether its stress is exactly zero though its forces are not."""
    return c.stress is not None and not c.stress.any() and c.forces is not None and float(np.abs(c.forces).max()) > 0.01


def duplicates(configurations: Sequence[Configuration]) -> Finding:
    """Whether a geometry occurs twice, and with which labels."""
    same: dict[str, list[Configuration]] = defaultdict(list)
    for c in configurations:
        same[c.geometry_hash].append(c)
    repeated = [members for members in same.values() if len(members) > 1]
    if not repeated:
        return Finding("Duplicates", "ok", "every geometry is there once")
    n_extra = sum(len(members) - 1 for members in repeated)
    spread, (first, *_) = max(((_energy_span(members), members) for members in repeated), key=lambda pair: pair[0])
    text = f"{n_extra} repeated geometries (such as '{first.config_id}'), energies up to {spread:.3g} eV/atom apart"
    return Finding("Duplicates", "warning", text)


def distances(configurations: Sequence[Configuration]) -> Finding:
    """Whether atoms overlap."""
    shortest, close, owner = np.inf, 0, ""
    for c in configurations:
        distance, ratio = _shortest(c)
        close += ratio < 0.65
        if distance < shortest:
            shortest, owner = distance, c.config_id
    if not np.isfinite(shortest):
        return Finding("Distances", "ok", f"no two atoms are closer than {_SEARCH_RADIUS:g} Å")
    text = f"shortest {shortest:.3f} Å ('{owner}')"
    if shortest < MIN_DISTANCE:
        return Finding("Distances", "refused", f"{text}: atoms overlap")
    if close:
        text += f"; {close} configurations with atoms closer than 0.65 of their covalent radii"
    return Finding("Distances", "warning" if close else "ok", text)


def periodicity(configurations: Sequence[Configuration]) -> Finding:
    """Whether cells are of the size of atoms, and how many are periodic along what."""
    counts = Counter(sum(c.pbc) for c in configurations)
    kinds = {3: "periodic", 2: "along two vectors", 1: "along one vector", 0: "not periodic"}
    text = ", ".join(f"{counts[n]} {kind}" for n, kind in kinds.items() if counts[n])
    volumes = [(_volume(c) / c.n_atoms, c.config_id) for c in configurations if all(c.pbc)]
    if volumes:
        (least, owner), (most, _) = min(volumes), max(volumes)
        text += f"; {least:.2f} to {most:.1f} Å³ per atom"
        if least < MIN_VOLUME:
            return Finding("Periodicity", "refused", f"{text}: '{owner}' is smaller than any metal; check the unit")
    lengths = [
        (float(length), c.config_id) for c in configurations for length in np.linalg.norm(c.cell[list(c.pbc)], axis=1)
    ]
    for value, owner in {min(lengths), max(lengths)} if lengths else ():
        if not MIN_LENGTH < value < MAX_LENGTH:
            return Finding("Periodicity", "refused", f"{text}: '{owner}' has a vector of {value:.3g} Å")
    return Finding("Periodicity", "ok" if len(counts) == 1 else "warning", text)


def _judge(name: str, pairs: Sequence[tuple[float, int]], neighbours: str, units: dict[str, float]) -> Finding:
    """Verdict on ratios of the energy's change to what the labels predict, each for so many atoms; all should be 1."""
    ratios = [ratio for ratio, _ in pairs]
    if len(ratios) < MIN_PAIRS:
        return Finding(name, "warning", f"not checked: {len(ratios)} pairs of {neighbours}, {MIN_PAIRS} are needed")
    low, median, high = (float(value) for value in np.quantile(ratios, [0.25, 0.5, 0.75]))
    text = f"energy changes {median:.3g} times as predicted ({len(ratios)} pairs of {neighbours})"
    if 0.8 < median < 1.25:
        return Finding(name, "ok", text)
    if 0.55 < median < 1.75:
        return Finding(name, "warning", f"{text}: labels disagree")
    if len(ratios) < MIN_PAIRS_TO_REFUSE or low * high <= 0 or max(low / high, high / low) > 1.5:
        return Finding(name, "warning", f"{text}, half of them between {low:.3g} and {high:.3g}: too unlike to judge")
    units = units | {"energies per atom": 1 / float(np.median([n_atoms for _, n_atoms in pairs]))}
    guesses = [guess for guess, ratio in units.items() if 0.93 < abs(median) / ratio < 1.07]
    reason = f"it looks like {' or '.join(guesses)}" if guesses else "units are wrong" if median > 0 else ""
    if median < 0:
        reason = f"the sign is opposite, and {reason}" if reason else "the sign is opposite"
    return Finding(name, "refused", f"{text}: {reason}")


def _force_ratios(configurations: Sequence[Configuration]) -> Iterator[tuple[float, int]]:
    """Change of energy over minus mean force times displacement, for neighbours in one cell."""
    for a, b in _neighbours(configurations):
        if a.forces is None or b.forces is None or a.energy is None or b.energy is None:
            continue
        if not np.allclose(a.cell, b.cell, atol=1e-6):
            continue
        moved = _displacements(a, b)
        if not 1e-4 < np.abs(moved).max() < MAX_DISPLACEMENT:
            continue
        ends = (-float(np.sum(a.forces * moved)), -float(np.sum(b.forces * moved)))
        if _agree(*ends) and max(abs(sum(ends)), abs(b.energy - a.energy)) > MIN_CHANGE:
            yield (b.energy - a.energy) * 2 / sum(ends), a.n_atoms


def _stress_ratios(configurations: Sequence[Configuration]) -> Iterator[tuple[float, int]]:
    """Change of energy over volume times mean stress times strain, for cells that differ by a strain alone."""
    for a, b in _neighbours(configurations, fixed_cell=False):
        if a.stress is None or b.stress is None or a.energy is None or b.energy is None:
            continue
        deformation = np.linalg.solve(a.cell, b.cell)
        strain = (deformation + deformation.T) / 2 - np.eye(3)
        if not 1e-4 < np.abs(deformation - np.eye(3)).max() < MAX_STRAIN:
            continue
        if np.abs(np.linalg.solve(b.cell.T, b.positions.T) - np.linalg.solve(a.cell.T, a.positions.T)).max() > 1e-4:
            continue
        work = _voigt(strain) * np.array([1, 1, 1, 2, 2, 2])
        ends = (float(a.stress @ work) * _volume(a), float(b.stress @ work) * _volume(b))
        if _agree(*ends) and max(abs(sum(ends)), abs(b.energy - a.energy)) > MIN_CHANGE * a.n_atoms:
            yield (b.energy - a.energy) * 2 / sum(ends), a.n_atoms


def _agree(first: float, second: float) -> bool:
    """Whether what both ends predict is alike, so that their mean is good: a step across a minimum says nothing."""
    return first * second > 0 and 0.5 < first / second < 2


def _neighbours(
    configurations: Iterable[Configuration], *, fixed_cell: bool = True
) -> Iterator[tuple[Configuration, Configuration]]:
    """Pairs of configurations of the same atoms that follow each other, at most `MAX_PAIRS`, spread over the set.

    Args:
        configurations: Where to look.
        fixed_cell: Order by the file, as in a trajectory; else by volume, as in a series of strains.
    """
    families: dict[bytes, list[Configuration]] = defaultdict(list)
    for c in configurations:
        if all(c.pbc):
            families[c.numbers.tobytes()].append(c)
    pairs = []
    for members in families.values():
        ordered = members if fixed_cell else sorted(members, key=_volume)
        pairs += list(pairwise(ordered))
    step = max(1, len(pairs) // MAX_PAIRS)
    yield from pairs[::step]


def _displacements(a: Configuration, b: Configuration) -> FloatArray:
    """Shortest way of each atom from one configuration to the other in the same cell, shape (n_atoms, 3), Å."""
    fractional = np.linalg.solve(a.cell.T, (b.positions - a.positions).T).T
    moved: FloatArray = (fractional - np.round(fractional)) @ a.cell
    return moved


def _look_per_atom(found: Sequence[tuple[Configuration, float]]) -> bool:
    """Whether energies of one element stay the same while the number of atoms changes."""
    by_element: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for c, energy in found:
        if len(set(c.numbers.tolist())) == 1:
            by_element[int(c.numbers[0])].append((c.n_atoms, energy))
    for members in by_element.values():
        sizes, values = np.array([n for n, _ in members]), np.array([e for _, e in members])
        if sizes.max() < 2 * sizes.min() or abs(np.median(values)) < 1:
            continue
        totals, per_atom = np.std(values) / abs(np.mean(values)), np.std(values / sizes) / abs(np.mean(values / sizes))
        if totals < 0.2 * per_atom:
            return True
    return False


def _look_small(found: Sequence[tuple[Configuration, float]]) -> str:
    """What energies look like that are a fraction of any energy of cohesion, though they would do for one atom."""
    bound = [(energy, c.n_atoms, own) for c, energy in found if c.n_atoms > 2 and (own := cohesion(c))]
    small = [(e, n, own) for e, n, own in bound if MIN_COHESION * own < -e < 4 * own and -e / n < MIN_COHESION * own]
    has_total = any(-e / n >= MIN_COHESION * own for e, n, own in bound)
    if has_total or len(small) < max(1.0, 0.3 * len(found)):
        return ""
    energy, n_atoms, own = small[0]
    return (
        f"{energy / n_atoms:.2f} eV/atom is little for elements with {own:.1f} eV/atom of cohesion, {energy:.2f} is "
        "not: they look like energies per atom; totals are expected"
    )


def _shortest(c: Configuration) -> tuple[float, float]:
    """Shortest distance in Å, and the least distance in units of the covalent radii; infinite where none is short."""
    from ase.neighborlist import neighbor_list  # scipy's integrals come with it, which no page opens with

    atoms = Atoms(c.numbers, positions=c.positions, cell=c.cell, pbc=c.pbc)
    i, j, found = neighbor_list("ijd", atoms, _SEARCH_RADIUS)
    if len(found) == 0:
        return float("inf"), float("inf")
    radii = covalent_radii[c.numbers[i]] + covalent_radii[c.numbers[j]]
    return float(found.min()), float((found / radii).min())


def _energy_span(members: Sequence[Configuration]) -> float:
    """Largest difference of energy between equal geometries, eV/atom."""
    values = [c.energy / c.n_atoms for c in members if c.energy is not None]
    return max(values) - min(values) if values else 0.0


def composition(c: Configuration) -> str:
    """Elements and their shares, such as `Mo:0.500 W:0.500`."""
    counts = Counter(c.numbers.tolist())
    return " ".join(f"{chemical_symbols[z]}:{counts[z] / c.n_atoms:.3f}" for z in sorted(counts))


def _volume(c: Configuration) -> float:
    return abs(float(np.linalg.det(c.cell)))


def _voigt(tensor: FloatArray) -> FloatArray:
    return np.array([tensor[0, 0], tensor[1, 1], tensor[2, 2], tensor[1, 2], tensor[0, 2], tensor[0, 1]])
