"""Equations of state: against ASE's own curve and fit, and where a fit is refused."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState, birchmurnaghan

from engine.errors import MetricError
from engine.numerics.equation_of_state import GPA, fit
from engine.records import Configuration
from engine.volume_scans import VolumeScan, volume


def copper(a: float = 3.6) -> Configuration:
    atoms = bulk("Cu", a=a, cubic=True)
    return Configuration(
        "cu", "g", atoms.numbers, atoms.positions, np.array(atoms.cell), (True, True, True), energy=1.0
    )


def energies(configurations) -> np.ndarray:
    found = []
    for c in configurations:
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(c.cell)
        atoms.positions = c.positions
        atoms.calc = EMT()
        found.append(atoms.get_potential_energy())
    return np.array(found)


def test_exact_energies_give_their_parameters_back():
    volumes = np.linspace(44, 50, 9)
    found = fit(volumes, birchmurnaghan(volumes, -0.5, 0.8, 4.7, 46.5))
    assert (found.energy, found.bulk_modulus, found.derivative, found.volume) == pytest.approx((-0.5, 0.8, 4.7, 46.5))
    assert found.residual < 1e-8
    np.testing.assert_allclose(found.energies(volumes), birchmurnaghan(volumes, -0.5, 0.8, 4.7, 46.5), atol=1e-8)


def test_copper_by_emt_is_what_ase_fits():
    scan = VolumeScan().of(copper())
    volumes, found = np.array([volume(c) for c in scan]), energies(scan)
    expected = EquationOfState(volumes, found, eos="birchmurnaghan").fit()
    mine = fit(volumes, found)
    assert (mine.volume, mine.energy, mine.bulk_modulus) == pytest.approx(expected, rel=1e-9)
    assert mine.bulk_modulus_gpa == pytest.approx(expected[2] / units.GPa, rel=1e-6)
    assert pytest.approx(1 / units.GPa, rel=1e-6) == GPA


def test_order_of_the_volumes_does_not_matter():
    volumes = np.linspace(44, 50, 9)
    found = birchmurnaghan(volumes, -0.5, 0.8, 4.7, 46.5)
    assert fit(volumes[::-1], found[::-1]).volume == pytest.approx(fit(volumes, found).volume)


@pytest.mark.parametrize(("a", "end"), [(3.75, "smallest"), (3.4, "largest")])
def test_a_minimum_outside_the_volumes_is_refused(a, end):
    scan = VolumeScan(strain=0.05).of(copper(a))
    with pytest.raises(MetricError, match=f"lowest at the {end} volume"):
        fit(np.array([volume(c) for c in scan]), energies(scan))


def test_four_volumes_are_too_few():
    with pytest.raises(MetricError, match="five or more"):
        fit(np.arange(4.0), np.arange(4.0))


def test_a_scan_keeps_shape_and_drops_labels():
    first, *_, last = VolumeScan(5, 0.1).of(copper())
    assert [volume(first) / volume(copper()), volume(last) / volume(copper())] == pytest.approx([0.9, 1.1])
    np.testing.assert_allclose(
        np.linalg.solve(first.cell.T, first.positions.T), np.linalg.solve(last.cell.T, last.positions.T)
    )
    assert first.energy is None
    assert first.geometry_hash != last.geometry_hash


@pytest.mark.parametrize(
    "options", [{"n_volumes": 4}, {"n_volumes": 16}, {"strain": 0.0}, {"strain": float("nan")}], ids=str
)
def test_impossible_scans_are_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        VolumeScan(**options)


def test_a_cluster_has_no_volume():
    atoms = copper()
    with pytest.raises(ValueError, match="all three directions"):
        VolumeScan().of(Configuration("c", "g", atoms.numbers, atoms.positions, atoms.cell, (True, True, False)))
