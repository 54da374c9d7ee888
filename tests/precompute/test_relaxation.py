"""Relaxations with real EMT workers: where they end, what they refuse, how they are kept."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.io import read, write

from engine.data_folder import ROOT, DataFolder
from engine.errors import WorkerError
from engine.records import Configuration
from engine.registry.models import get_model
from engine.relaxations import (
    Relaxation,
    RelaxationOptions,
    Trajectory,
    read_relaxations,
    write_relaxations,
)
from precompute.workers.evaluation import Evaluator
from precompute.workers.pool import Pool
from precompute.workers.process import RELAX
from precompute.workers.relaxation import relax

EMT_REACH = 6.0


def configuration(atoms) -> Configuration:
    pbc = tuple(map(bool, atoms.pbc))
    return Configuration("c", "g", atoms.numbers, atoms.positions.copy(), np.array(atoms.cell), pbc, energy=1.0)


def rattled(a: float = 3.6) -> Configuration:
    atoms = bulk("Cu", a=a, cubic=True).repeat(2)
    atoms.rattle(0.1, seed=3)
    return configuration(atoms)


def energy(atoms) -> float:
    atoms.calc = EMT()
    return float(atoms.get_potential_energy())


def here(given: Configuration, **options) -> Relaxation:
    """A relaxation in this process."""
    return relax(Evaluator(EMT(), EMT_REACH), given, RelaxationOptions(**options))


def test_a_worker_relaxes_a_rattled_crystal_to_the_perfect_one(folder):
    given = rattled()
    with Pool(folder, device="cpu") as pool, pool.borrow(get_model("emt")) as loaded:
        done = loaded.evaluate([given], task=RELAX, options={"fmax": 0.002, "steps": 300})
    (found,) = done.relaxations
    assert (found.status, found.is_converged, done.n_failed, done.predictions) == ("ok", True, 0, ())
    assert np.linalg.norm(found.forces, axis=1).max() < 0.002
    assert found.energy == pytest.approx(energy(bulk("Cu", a=3.6, cubic=True).repeat(2)), abs=1e-3)
    assert found.trajectory.energies[0] > found.energy + 0.5
    np.testing.assert_array_equal(found.trajectory.positions[0], given.positions)
    np.testing.assert_array_equal(found.cell, given.cell)


@pytest.mark.parametrize("optimizer", ["fire", "bfgs"])
def test_a_free_cell_finds_the_lattice_constant_of_a_scan(optimizer):
    lengths = np.linspace(3.56, 3.62, 13)
    coefficients = np.polyfit(lengths, [energy(bulk("Cu", a=a, cubic=True)) for a in lengths], 3)
    minima = np.roots(np.polyder(coefficients))
    [scanned] = [a.real for a in minima if 3.56 < a.real < 3.62]
    given = configuration(bulk("Cu", a=3.75, cubic=True))
    found = here(given, cell="free", fmax=1e-3, optimizer=optimizer)
    assert found.is_converged
    assert np.cbrt(np.linalg.det(found.cell)) == pytest.approx(scanned, abs=2e-3)
    assert np.abs(found.stress).max() < 1e-3


def test_steps_that_are_used_up_are_no_convergence_and_no_failure():
    found = here(rattled(), steps=3, fmax=1e-4)
    assert (found.status, found.is_converged, found.n_steps) == ("ok", False, 3)
    assert list(found.trajectory.steps) == [0, 1, 2, 3]


def test_a_slab_keeps_the_cell_it_was_given_and_cannot_have_a_free_one():
    slab = configuration(fcc111("Cu", (2, 2, 3), vacuum=5.0))
    found = here(slab, steps=5)
    np.testing.assert_array_equal(found.cell, slab.cell)
    assert "three periodic directions" in here(slab, cell="free").reason


def test_an_element_without_parameters_is_a_failed_row_with_its_reason():
    found = here(configuration(bulk("W")))
    assert found.status == "failed"
    assert "No EMT-potential for W" in found.reason


def test_the_relaxed_configuration_has_no_labels_of_the_old_geometry():
    given = rattled()
    end = here(given, steps=2).relaxed(given)
    assert end.energy is None
    assert end.geometry_hash != given.geometry_hash


@pytest.mark.parametrize("options", [{"fmax": 0}, {"steps": -1}, {"cell": "loose"}, {"optimizer": "newton"}], ids=str)
def test_impossible_options_are_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        RelaxationOptions(**options)


def test_a_worker_refuses_options_that_it_does_not_know_and_goes_on(folder):
    with Pool(folder, device="cpu") as pool, pool.borrow(get_model("emt")) as loaded:
        with pytest.raises(WorkerError, match="pressure"):
            loaded.evaluate([rattled()], task=RELAX, options={"pressure": 1.0})
        assert loaded.evaluate([rattled()]).predictions[0].status == "ok"


def test_relaxations_survive_the_file(tmp_path):
    kept = [here(rattled(), steps=2), Relaxation("b", "h", "failed", "no edge")]
    write_relaxations(tmp_path / "r.parquet", kept, RelaxationOptions())
    first, second = read_relaxations(tmp_path / "r.parquet")
    for name in ("forces", "stress", "positions", "cell"):
        np.testing.assert_array_equal(getattr(first, name), getattr(kept[0], name))
    np.testing.assert_array_equal(first.trajectory.positions, kept[0].trajectory.positions)
    assert (first.n_steps, first.energy) == (2, kept[0].energy)
    assert (second.reason, second.trajectory, second.positions) == ("no edge", None, None)


def test_a_long_way_keeps_its_ends():
    n = 250
    way = Trajectory(np.arange(n), np.zeros(n), np.zeros(n), np.zeros((n, 1, 3)), np.zeros((n, 3, 3))).thinned()
    assert (len(way.steps), len(way.positions), way.steps[0], way.steps[-1]) == (100, 100, 0, 249)


def command(folder: DataFolder, *words: object) -> subprocess.CompletedProcess:
    argv = [sys.executable, "-m", "precompute", "relax", *map(str, words), "--data", str(folder.root)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_prints_numbers_and_writes_the_structure(folder, tmp_path):
    source, target = tmp_path / "cu.xyz", tmp_path / "out.xyz"
    given = rattled()
    atoms = bulk("Cu", a=3.6, cubic=True).repeat(2)
    atoms.positions = given.positions
    write(source, atoms, format="extxyz")
    done = command(folder, source, "--model", "emt", "--fmax", "0.005", "--output", target, "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    end = read(target)
    assert row["is_converged"]
    assert row["max_force"] < 0.005
    assert energy(end.copy()) == pytest.approx(row["energy"], abs=1e-6)


def test_the_command_says_what_it_cannot_do(folder, tmp_path):
    source = Path(tmp_path / "w.xyz")
    write(source, bulk("W"), format="extxyz")
    done = command(folder, source, "--model", "emt")
    assert done.returncode == 1
    assert "does not know W" in done.stdout
    refused = command(folder, source, "--model", "emt", "--fmax", "0")
    assert (refused.returncode, refused.stderr) == (1, "error: fmax is 0.0, expected a force above 0 eV/Å.\n")
