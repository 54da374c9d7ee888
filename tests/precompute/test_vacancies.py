"""Vacancies relaxed by real EMT workers: energies against ASE's own steps, what fails, what is done already."""

import dataclasses

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from engine.cells.vacancies import fitted_lattice, jump, lattice_of_volume, unit_cell, vacancy
from engine.data_folder import DataFolder
from engine.errors import SettingsError
from engine.records import read_run_record
from engine.registry.models import get_model
from engine.registry.published_vacancies import counted_vacancies, load_published_vacancies
from engine.relaxed_vacancies import FORMATION, RelaxedVacancy, read_vacancies, write_vacancies
from precompute.acquire.weights import Checkpoint
from precompute.jobs import build as building
from precompute.jobs import vacancies as job

COPPER = job.Settings(with_migration=True, elements=("Cu",))


@pytest.fixture
def relaxed(folder) -> tuple[DataFolder, list[RelaxedVacancy]]:
    return folder, list(job.relax_vacancies(get_model("emt"), folder, "cpu", COPPER))


def energy_by_hand() -> float:
    """Formation energy of copper's vacancy in 32 sites, step by step with ASE alone, eV."""
    crystal = bulk("Cu", "fcc", a=3.6, cubic=True)
    crystal.calc = EMT()
    BFGS(FrechetCellFilter(crystal), logfile=None).run(fmax=1e-4, steps=100)
    holed = crystal.repeat(2)
    del holed[5]  # any site will do
    holed.calc = EMT()
    BFGS(holed, logfile=None).run(fmax=0.002, steps=200)
    return float(holed.get_potential_energy() - 31 / 4 * crystal.get_potential_energy())


def test_energies_are_those_of_the_same_steps_by_hand_and_are_computed_once(relaxed):
    folder, rows = relaxed
    found = {(row.structure, row.quantity): row for row in rows}
    assert set(found) == {
        ("fcc", FORMATION), ("hcp", FORMATION), ("fcc", "nearest"), ("hcp", "between-layers"), ("hcp", "in-layer")
    }  # fmt: skip
    formation = found["fcc", FORMATION]
    assert formation.energy == pytest.approx(energy_by_hand(), abs=2e-3)
    assert formation.unrelaxed_energy > formation.energy
    assert formation.a == pytest.approx(3.59, abs=0.01)  # of EMT's copper
    assert 0.5 < found["fcc", "nearest"].energy < 1.1  # EMT of ASE has 0.7 to 0.8 eV; copper has 0.7
    assert list(job.relax_vacancies(get_model("emt"), folder, "cpu", COPPER)) == []
    paths = Checkpoint(get_model("emt"), folder).vacancies
    assert sorted(path.name for path in paths) == sorted(row.file_name for row in rows)
    assert read_run_record(paths[0]).model_id == "emt"


def test_a_build_reads_what_is_there_and_names_what_is_damaged(relaxed):
    folder, rows = relaxed
    damaged = Checkpoint(get_model("emt"), folder).vacancies[0].parent / "Au-fcc-32-formation.parquet"
    damaged.write_bytes(b"no parquet")
    models = [get_model("emt")]
    left_out: list[str] = []

    found = list(building._vacancies(models, folder, left_out))
    assert {row for row, _ in found if row.element == "Cu"} == set(rows)  # other metals are shipped
    assert left_out and "Au-fcc-32" in left_out[0]


def test_a_model_that_knows_no_such_element_relaxes_none_and_a_wrong_symbol_is_named(folder):
    settings = dataclasses.replace(COPPER, elements=("Zr",))
    assert list(job.relax_vacancies(get_model("emt"), folder, "cpu", settings)) == []
    with pytest.raises(SettingsError, match="Xx"):
        list(job.relax_vacancies(get_model("emt"), folder, "cpu", dataclasses.replace(COPPER, elements=("Xx",))))


def test_rows_survive_their_file(tmp_path):
    rows = [
        RelaxedVacancy("m", "Cu", "fcc", 32, FORMATION, "ok", energy=1.0, a=3.6, n_steps=4),
        RelaxedVacancy("m", "Zn", "hcp", 36, "in-layer", "failed", "the jumping atom left the middle"),
    ]
    path = tmp_path / "rows.parquet"
    write_vacancies(path, rows, dataclasses.replace(job.RunRecord(), model_id="m"))
    assert read_vacancies(path) == rows
    assert read_run_record(path).model_id == "m"


@pytest.mark.parametrize(("structure", "name"), [("fcc", "nearest"), ("hcp", "between-layers"), ("hcp", "in-layer")])
def test_the_force_on_a_jumping_atom_has_no_part_along_its_jump(structure, name):
    """That symmetry keeps it in the middle, before and after the others relax."""
    lattice = lattice_of_volume("Cu", structure, 11.8)
    made = jump(lattice, {"fcc": 32, "hcp": 36}[structure], name)
    atoms = made.atoms
    atoms.calc = EMT()
    start = atoms.positions[made.mover].copy()
    BFGS(atoms, logfile=None).run(fmax=0.02, steps=60)
    assert abs(atoms.get_forces()[made.mover] @ made.direction) < 1e-6
    assert abs((atoms.positions[made.mover] - start) @ made.direction) < 1e-6
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.02


@pytest.mark.parametrize("structure", ["fcc", "hcp"])
def test_a_relaxed_crystal_gives_its_lattice_and_another_one_is_refused(structure):
    lattice = lattice_of_volume("Mg", structure, 22.9)
    atoms = unit_cell(lattice)
    assert atoms.get_volume() / len(atoms) == pytest.approx(22.9)
    moved = atoms.positions + 0.3  # the crystal may slide
    found = fitted_lattice("Mg", structure, atoms.cell.array, moved)
    assert (found.a, found.c) == (
        pytest.approx(lattice.a),
        lattice.c if lattice.c is None else pytest.approx(lattice.c),
    )
    sheared = atoms.copy()
    sheared.set_cell(atoms.cell.array @ np.array([[1, 0.03, 0], [0, 1, 0], [0, 0, 1]]), scale_atoms=True)
    with pytest.raises(SettingsError, match="left"):
        fitted_lattice("Mg", structure, sheared.cell.array, sheared.positions)
    assert len(vacancy(lattice, {"fcc": 32, "hcp": 36}[structure])) == {"fcc": 31, "hcp": 35}[structure]


def test_rows_that_count_are_one_per_metal_and_structure_and_of_stable_crystals():
    counted = counted_vacancies()
    keys = [(one.element, one.structure) for one in counted]
    assert len(set(keys)) == len(keys)
    assert min(one.formation for one in counted) > 0.1
    assert not {one.element for one in counted} & {"He", "Ne", "Ar", "Kr", "Xe"}
    nickel = next(one for one in counted if (one.element, one.structure) == ("Ni", "fcc"))
    assert nickel.is_magnetic and nickel.formation == 1.43  # table A1, spin-polarised
    assert nickel.value("nearest") == 1.08
    assert len(load_published_vacancies()) == 114
