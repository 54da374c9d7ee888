"""The worker's own functions, in this process; its life as a process is in test_runner.py."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

from engine.records import Configuration
from precompute.worker import periodic_atoms, predict

REACH = 6.0


def configuration(atoms: Atoms) -> Configuration:
    return Configuration("c", "g", atoms.numbers, atoms.positions, np.array(atoms.cell), tuple(map(bool, atoms.pbc)))


class Fixed(Calculator):
    """A calculator that returns what a test wants."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, **results):
        super().__init__()
        self.fixed = results

    def calculate(self, atoms=None, properties=None, system_changes=None):
        self.results = dict(self.fixed)


@pytest.mark.parametrize("pbc", [(True, True, False), (False, True, False), (False, False, False)], ids=str)
def test_open_directions_get_vacuum_beyond_twice_the_reach(pbc):
    atoms = fcc111("Cu", (2, 2, 3))
    atoms.pbc = pbc
    atoms.cell[2] = [0, 0, 20]
    padded, was_padded = periodic_atoms(configuration(atoms), REACH)
    assert was_padded
    assert padded.pbc.all()
    for axis in range(3):
        if not pbc[axis]:
            normal = padded.cell[axis] / np.linalg.norm(padded.cell[axis])
            assert np.linalg.norm(padded.cell[axis]) - np.ptp(padded.positions @ normal) > 2 * REACH
        else:
            np.testing.assert_array_equal(padded.cell[axis], atoms.cell[axis])


def test_padding_gives_the_energy_of_the_open_system():
    slab = fcc111("Cu", (2, 2, 3), vacuum=None)
    slab.cell[2] = [0, 0, 1]
    slab.pbc = (True, True, False)
    reference = slab.copy()
    reference.calc = EMT()  # EMT is right for mixed boundary conditions
    prediction = predict(EMT(), configuration(slab), REACH)
    assert prediction.energy == pytest.approx(reference.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(prediction.forces, reference.get_forces(), atol=1e-9)
    assert prediction.stress is None  # the volume of a padded cell means nothing


def test_a_periodic_cell_is_left_alone():
    atoms = bulk("Cu", cubic=True)
    padded, was_padded = periodic_atoms(configuration(atoms), REACH)
    assert not was_padded
    np.testing.assert_array_equal(padded.cell, atoms.cell)


def test_stress_has_the_sign_of_tension():
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell * 1.03, scale_atoms=True)
    prediction = predict(EMT(), configuration(atoms), REACH)
    assert (prediction.stress[:3] > 0).all()


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ({"energy": np.nan, "forces": np.zeros((4, 3))}, "energy is nan"),
        ({"energy": 0.0, "forces": np.full((4, 3), np.inf)}, "not finite"),
        ({"energy": 0.0, "forces": np.zeros((3, 3))}, "shape"),
        ({"energy": 0.0, "forces": np.zeros((4, 3)), "stress": np.full(6, np.nan)}, "stress"),
    ],
    ids=["energy", "forces", "shape", "stress"],
)
def test_what_is_no_number_is_a_failure_with_a_reason(results, reason):
    prediction = predict(Fixed(**results), configuration(bulk("Cu", cubic=True)), REACH)
    assert prediction.status == "failed"
    assert reason in prediction.reason
    assert prediction.energy is None
    assert prediction.forces is None


@pytest.mark.parametrize(
    "cell", [np.zeros((3, 3)), np.array([[3.0, 0, 0], [6, 0, 0], [0, 0, 3]])], ids=["none", "flat"]
)
def test_an_impossible_periodic_cell_is_a_failure(cell):
    atoms = Configuration("c", "g", np.array([29]), np.zeros((1, 3)), cell, (True, True, True))
    assert predict(EMT(), atoms, REACH).status == "failed"


def test_an_element_that_a_potential_lacks_is_a_failure():
    prediction = predict(EMT(), configuration(bulk("W")), REACH)
    assert (prediction.status, prediction.energy) == ("failed", None)
    assert "W" in prediction.reason


def test_the_input_is_not_changed():
    given = configuration(fcc111("Cu", (1, 1, 3), vacuum=5.0))
    before = given.geometry_hash
    predict(EMT(), given, REACH)
    assert Configuration(
        "c", "g", given.numbers, given.positions, given.cell, given.pbc
    ).geometry_hash == before  # fmt: skip
