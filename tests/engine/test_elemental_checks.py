"""Units, signs and axes told without neighbouring configurations: labels of EMT, right, and wrong in each way."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from engine.readers.elemental_checks import examine_against_elements
from engine.readers.elements import solid
from engine.readers.entries import examine_entries
from engine.readers.second_moment import estimate
from engine.records import Configuration

HARTREE, BOHR = 27.211386, 0.52917721


@cache
def labelled(symbol: str) -> tuple[Configuration, ...]:
    """Twelve strained and rattled cells of eight atoms, none a neighbour of another."""
    cells = []
    for seed in range(12):
        atoms = bulk(symbol, "fcc", cubic=True) * (2, 1, 1)
        shear = np.random.default_rng(seed).normal(scale=0.04, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + (shear + shear.T) / 2), scale_atoms=True)
        atoms.rattle(0.03 + 0.02 * (seed % 6), seed=seed)
        atoms.calc = EMT()
        cells.append(
            Configuration(
                f"c{seed}", "all", atoms.numbers, atoms.positions, atoms.cell.array, (True, True, True),
                atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(),
            )
        )  # fmt: skip
    return tuple(cells)


def said(symbol: str, **changes) -> dict[str, tuple[str, str]]:
    """Name of what was looked at -> verdict and text, with labels put through functions."""
    cells = [
        dataclasses.replace(c, **{name: change(getattr(c, name)) for name, change in changes.items()})
        for c in labelled(symbol)
    ]
    return {
        finding.name.split(" against")[0]: (finding.verdict, finding.text)
        for finding in examine_against_elements(cells)
    }


@pytest.mark.parametrize("symbol", ["Cu", "Al", "Pt"])
def test_right_labels_are_like_what_the_elements_say(symbol):
    found = said(symbol)

    assert set(found) == {"Energies", "Forces", "Shear stresses"}
    assert {verdict for verdict, _ in found.values()} == {"ok"}


@pytest.mark.parametrize("symbol", ["Ni", "Ag"])
@pytest.mark.parametrize(
    ("name", "changes", "guess"),
    [
        ("Energies", {"energy": lambda e: e / HARTREE}, "Hartree"),
        ("Energies", {"energy": lambda e: 2 * e / HARTREE}, "Rydberg"),
        ("Energies", {"energy": lambda e: 23.06 * e, "forces": lambda f: 23.06 * f}, "kcal/mol"),
        ("Energies", {"energy": lambda e: -e}, "the sign is opposite"),
        ("Forces", {"forces": lambda f: -f}, "the sign is opposite"),
        ("Forces", {"forces": lambda f: f * BOHR / HARTREE}, "Hartree/bohr"),
        ("Forces", {"forces": lambda f: 1e3 * f}, "meV/Å"),
        ("Forces", {"forces": lambda f: 23.06 * f}, "kcal/mol/Å"),
    ],
)
def test_wrong_units_and_signs_are_refused_without_neighbours(symbol, name, changes, guess):
    verdict, text = said(symbol, **changes)[name]

    assert verdict == "refused"
    assert guess in text


@pytest.mark.parametrize("symbol", ["Cu", "Au"])
@pytest.mark.parametrize(
    ("name", "changes", "guess"),
    [
        ("Forces", {"forces": lambda f: f[:, [1, 2, 0]]}, "another order of atoms or other axes"),
        ("Forces", {"forces": lambda f: np.roll(f, 3, axis=0)}, "another order of atoms"),
        ("Forces", {"forces": lambda f: f * [1, 1, -1]}, "axes"),
        ("Shear stresses", {"stress": lambda s: s[[0, 1, 2, 5, 3, 4]]}, "stand as xy, yz, xz"),  # the order of VASP
        ("Shear stresses", {"stress": lambda s: s[[0, 1, 2, 4, 3, 5]]}, "stand as xz, yz, xy"),
    ],
)
def test_turned_and_shuffled_labels_are_told(symbol, name, changes, guess):
    verdict, text = said(symbol, **changes)[name]

    assert verdict == "warning"
    assert guess in text


def test_relaxed_structures_and_unknown_elements_are_not_judged():
    relaxed = said("Cu", forces=lambda f: np.random.default_rng(0).normal(scale=1e-4, size=f.shape))
    unknown = [dataclasses.replace(c, numbers=np.full(8, 2), geometry_hash="") for c in labelled("Cu")]

    assert relaxed["Forces"][0] == "warning"
    assert "not checked" in relaxed["Forces"][1]
    (finding,) = examine_against_elements(unknown)
    assert "not checked" in finding.text


@pytest.mark.parametrize("numbers", [[74] * 4, [28, 13, 28, 13]], ids=["W", "NiAl"])
def test_rough_forces_are_the_slope_of_the_rough_energy(numbers):
    atoms = bulk("Ni", "fcc", a=3.7, cubic=True)
    atoms.numbers[:] = numbers
    atoms.rattle(0.1, seed=0)

    def at(shift: float):
        moved = atoms.positions.copy()
        moved[1, 2] += shift
        return estimate(Configuration("a", "all", atoms.numbers, moved, atoms.cell.array, (True, True, True)))

    slope = (at(1e-5).energy - at(-1e-5).energy) / 2e-5
    assert at(0).forces[1, 2] == pytest.approx(-slope, abs=1e-6)


@pytest.mark.parametrize(("symbol", "a"), [("Cu", 3.615), ("W", 3.165), ("Na", 4.29)])  # measured lattice constants
def test_a_rough_crystal_has_its_cohesion_and_next_to_no_pressure(symbol, a):
    atoms = bulk(symbol, a=a)
    found = estimate(Configuration("a", "all", atoms.numbers, atoms.positions, atoms.cell.array, (True, True, True)))
    cohesion, modulus, volume = solid(int(atoms.numbers[0]))

    assert found.energy == pytest.approx(-cohesion, rel=0.03)
    assert np.abs(found.virial).max() / volume < 0.1 * modulus


def test_energies_of_cells_of_different_sizes_are_compared_per_atom():
    cells = []
    for n in range(1, 8):
        atoms = bulk("Cu", "fcc", cubic=True) * (n, 1, 1)
        atoms.set_cell(atoms.cell.array * (0.94 + 0.02 * n), scale_atoms=True)
        atoms.calc = EMT()
        cells.append(configuration(atoms, f"n{n}", atoms.get_potential_energy() / HARTREE))

    (finding, *_) = examine_against_elements(cells)

    assert (finding.name, finding.verdict) == ("Energies against elements", "refused")
    assert "Hartree" in finding.text


@pytest.mark.parametrize(("shift", "is_told"), [(40.0, True), (-40.0, True), (4.0, False)])
def test_a_single_energy_far_from_all_others_is_named(shift, is_told):
    right, odd = labelled("Cu"), labelled("Cu")[7]
    cells = [*right[:7], dataclasses.replace(odd, energy=odd.energy + shift), *right[8:]]

    told = [finding.text for finding in examine_against_elements(cells) if finding.name == "Single energies"]

    assert bool(told) is is_told
    assert not told or "'c7'" in told[0]


def test_a_pressed_crystal_is_high_for_a_reason():
    atoms = bulk("Cu", "fcc", cubic=True) * (2, 1, 1)
    atoms.set_cell(atoms.cell.array * 0.7, scale_atoms=True)
    atoms.calc = EMT()
    cells = [*labelled("Cu"), configuration(atoms, "pressed", atoms.get_potential_energy())]

    assert "Single energies" not in {finding.name for finding in examine_against_elements(cells)}


def configuration(atoms, name: str, energy: float) -> Configuration:
    """A periodic configuration with an energy alone."""
    return Configuration(
        name, "all", atoms.numbers, atoms.positions, atoms.cell.array, (True, True, True), energy, None, None
    )


@pytest.mark.parametrize(("vacuum", "is_told"), [(0.0, True), (1.0, True), (15.0, False)])
def test_crystals_written_without_periodicity_are_told_from_clusters_in_a_box(vacuum, is_told):
    atoms = bulk("Cu", "fcc", cubic=True) * (2, 2, 2)
    atoms.center(vacuum=vacuum) if vacuum else None
    open_cell = Configuration(
        "c", "all", atoms.numbers, atoms.positions, atoms.cell.array, (False, False, False), -100.0, None, None
    )

    told = [finding.text for finding in examine_entries([open_cell])]

    assert bool(told) is is_told
    assert not told or 'pbc="T T T"' in told[0]
