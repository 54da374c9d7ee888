"""Units and signs: a set of Cu from effective medium theory, right, and wrong in each way that can be told."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from engine.readers.plausibility import Finding, examine
from engine.records import Configuration

HARTREE, BOHR = 27.211386, 0.52917721


def labelled(atoms: Atoms, name: str) -> Configuration:
    """A cell with what EMT says of it, counted from -3.7 eV for each atom."""
    atoms.calc = EMT()
    energy = atoms.get_potential_energy() - 3.7 * len(atoms)
    return Configuration(
        name, "all", atoms.numbers, atoms.positions, atoms.cell.array, (True, True, True),
        energy, atoms.get_forces(), atoms.get_stress(),
    )  # fmt: skip


@cache
def right_set() -> tuple[Configuration, ...]:
    """Twelve steps of a walk of eight atoms, and nine cells under hydrostatic strain."""
    walk = bulk("Cu", "fcc", a=3.6, cubic=True) * (2, 1, 1)
    walk.rattle(0.05, seed=0)
    drift = np.random.default_rng(1).normal(scale=0.01, size=(8, 3))
    cells = []
    for k in range(12):
        walk.positions += drift
        cells.append(labelled(walk.copy(), f"walk-{k}"))
    for k, a in enumerate(np.linspace(3.4, 3.56, 9)):
        cells.append(labelled(bulk("Cu", "fcc", a=a, cubic=True), f"strain-{k}"))
    return tuple(cells)


def verdicts(cells: list[Configuration]) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(cells)}


def scaled(energy: float = 1, forces: float = 1, stress: float = 1) -> list[Configuration]:
    """The right set in wrong units."""
    return [
        dataclasses.replace(c, energy=c.energy * energy, forces=c.forces * forces, stress=c.stress * stress)
        for c in right_set()
    ]


def test_right_labels_pass_every_check() -> None:
    assert {finding.verdict for finding in examine(right_set())} == {"ok"}


@pytest.mark.parametrize(
    ("scales", "name", "guess"),
    [
        ({"energy": 1e3}, "Forces against energies", "energies in meV"),
        ({"energy": 1 / HARTREE}, "Forces against energies", "energies in Hartree"),
        ({"forces": -1}, "Forces against energies", "the sign is opposite"),
        ({"forces": 1e3}, "Forces against energies", "forces in meV/Å"),
        ({"forces": BOHR / (HARTREE / 2)}, "Forces against energies", "forces in Ry/bohr"),
        ({"forces": BOHR / HARTREE}, "Forces against energies", "forces in Hartree/bohr"),
        ({"energy": 1 / HARTREE, "forces": BOHR / HARTREE}, "Forces against energies", "Hartree/bohr"),
        ({"stress": 160.21766}, "Stresses against strain", "stresses in GPa"),
        ({"stress": -1602.1766}, "Stresses against strain", "the sign is opposite, and it looks like stresses in kbar"),
        ({"stress": -1}, "Stresses against strain", "the sign is opposite"),
    ],
)
def test_wrong_units_and_signs_are_told_by_neighbours(scales: dict[str, float], name: str, guess: str) -> None:
    finding = verdicts(scaled(**scales))[name]

    assert finding.verdict == "refused"
    assert guess in finding.text


def test_energies_per_atom_are_refused() -> None:
    cells = [dataclasses.replace(c, energy=c.energy / c.n_atoms) for c in right_set()]

    assert "do not grow with the number of atoms" in verdicts(cells)["Energies"].text


def test_without_neighbours_the_check_says_so() -> None:
    found = verdicts([right_set()[0], right_set()[-1]])

    assert found["Forces against energies"].verdict == "warning"
    assert "not checked" in found["Stresses against strain"].text


@pytest.mark.parametrize(
    ("change", "name", "verdict", "text"),
    [
        ({"energy": None}, "Labels", "refused", "'walk-0' has no energy"),
        ({"energy": -1e7}, "Energies", "refused", "no energy in eV"),
        ({"forces": np.full((8, 3), 2e4)}, "Forces", "refused", "2e+04 eV/Å"),
        ({"forces": np.full((8, 3), 0.1)}, "Net forces", "warning", "0.8 eV/Å ('walk-0')"),
        ({"stress": np.full(6, 5e3)}, "Stresses", "refused", "5e+03 eV/Å³ ('walk-0')"),
        ({"positions": np.zeros((8, 3)), "geometry_hash": ""}, "Distances", "refused", "atoms overlap"),
        ({"cell": np.eye(3) * 1.5, "geometry_hash": ""}, "Periodicity", "refused", "smaller than any metal"),
        ({"cell": np.diag([9, 9, 2e3]), "geometry_hash": ""}, "Periodicity", "refused", "a vector of 2e+03 Å"),
        ({"pbc": (True, True, False), "geometry_hash": ""}, "Periodicity", "warning", "1 along two vectors"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_impossible_configuration_is_found(change: dict, name: str, verdict: str, text: str) -> None:
    first, *others = right_set()

    finding = verdicts([dataclasses.replace(first, **change), *others])[name]

    assert finding.verdict == verdict
    assert text in finding.text


def test_forces_that_do_not_add_up_are_refused() -> None:
    cells = [dataclasses.replace(c, forces=np.abs(c.forces) + 0.1) for c in right_set()]

    assert verdicts(cells)["Net forces"].verdict == "refused"


def test_repeated_geometry_is_reported_with_its_difference() -> None:
    first, *others = right_set()
    again = dataclasses.replace(first, config_id="again", energy=first.energy + 0.8)

    finding = verdicts([first, *others, again])["Duplicates"]

    assert finding.verdict == "warning"
    assert "1 repeated geometries (such as 'walk-0'), energies up to 0.1 eV/atom apart" in finding.text
