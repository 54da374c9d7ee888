"""The DFT settings table, the jobs made from it, and the shipped dataset "Open Defects"."""

import argparse
import json
from collections import Counter

import numpy as np
import pytest
from ase.data import atomic_numbers
from ase.units import GPa

from engine import structures
from engine.errors import SettingsError, WorkerEnvError
from precompute import gpaw_env, reference, reference_collect, reference_jobs
from precompute.data_folder import DataFolder

SETTINGS = reference_jobs.load_settings()
DATA = DataFolder.default().root
every_metal = pytest.mark.parametrize("symbol", SETTINGS.elements)


@pytest.fixture(scope="module")
def shipped():
    """Config id to shipped atoms."""
    return {atoms.info["config_id"]: atoms for atoms in reference_collect.read_shipped()}


def excess_energy(atoms, shipped):
    """Energy above as many atoms of the perfect crystal in the same cell and mesh, eV."""
    parent = shipped[atoms.info["parent_id"]]
    return atoms.info["REF_energy"] - len(atoms) * parent.info["REF_energy"] / len(parent)


def options(*words):
    """Parsed command line."""
    parser = argparse.ArgumentParser()
    reference.add_arguments(parser)
    return parser.parse_args(words)


@every_metal
def test_settings_of_every_metal_are_complete(symbol):
    element = SETTINGS.elements[symbol]

    assert symbol in atomic_numbers
    assert 2.0 < element.a < 6.0
    assert element.cutoff_ev >= 350
    assert element.spin_polarized == (element.initial_magnetic_moment is not None)
    assert SETTINGS.lattice(symbol).structure == element.structure


def test_an_unknown_key_in_the_table_is_refused(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(reference_jobs.SETTINGS_FILE.read_text().replace("cutoff_ev", "cutof_ev"))

    with pytest.raises(SettingsError, match="cutof_ev"):
        reference_jobs.load_settings(path)


def test_mesh_has_the_paper_like_spacing():
    # |b| = 2 pi / 4 Å = 1.571 /Å; times 3.98 is 6.25, so 7 points; one across vacuum.
    cell = structures.bulk_structures(structures.Lattice("Al", "fcc", 4.0))[1].atoms.cell

    assert reference_jobs.kpoint_mesh(cell, 3.98) == (7, 7, 7)
    assert reference_jobs.kpoint_mesh(cell, 3.98, has_vacuum=True) == (7, 7, 1)


@every_metal
def test_every_job_has_the_mesh_of_its_parent(symbol):
    jobs = {job.config_id: job for job in reference_jobs.dataset_jobs(SETTINGS, [symbol])}

    for job in jobs.values():
        assert job.kpoints == jobs[job.parent_id].kpoints


def test_a_changed_setting_changes_the_fingerprint():
    job = reference_jobs.dataset_jobs(SETTINGS, ["Al"])[0]
    other = reference_jobs.replace(job, cutoff_ev=job.cutoff_ev + 50)

    assert job.content(SETTINGS)["fingerprint"] == job.content(SETTINGS)["fingerprint"]
    assert job.content(SETTINGS)["fingerprint"] != other.content(SETTINGS)["fingerprint"]


def test_a_result_of_other_settings_is_not_taken(tmp_path):
    job = reference_jobs.dataset_jobs(SETTINGS, ["Al"])[0]
    path = tmp_path / "results" / f"{job.config_id}.result"
    path.parent.mkdir()
    path.write_text(json.dumps({"fingerprint": "of another job"}))

    assert reference.read_result(job, SETTINGS, tmp_path) is None


def test_running_without_the_environment_names_the_command(tmp_path):
    with pytest.raises(WorkerEnvError, match="reference --setup"):
        reference.main(options("--data", str(tmp_path)))


def test_missing_libraries_are_named_as_debian_packages(monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(WorkerEnvError, match=r"apt-get install .*libxc-dev"):
        gpaw_env.check_compiler()


@pytest.mark.parametrize("words", [("--element", "Xx"), ("--jobs", "0"), ("--verify", "0")])
def test_impossible_options_are_refused(words, tmp_path):
    with pytest.raises(SettingsError, match=words[0]):
        reference.main(options("--data", str(tmp_path), *words))


def test_the_dataset_has_enough_configurations(shipped):
    metals = Counter(atoms.symbols[0] for atoms in shipped.values())

    assert len(shipped) >= 24
    assert sum(count >= 6 for count in metals.values()) >= 4


def test_every_group_is_there_for_the_first_four_metals(shipped):
    for symbol in list(SETTINGS.elements)[:4]:
        groups = {a.info["group"] for a in shipped.values() if a.symbols[0] == symbol}
        assert groups == set(structures.GROUPS)


def test_shipped_structures_are_those_of_the_generators(shipped):
    jobs = {job.config_id: job for job in reference_jobs.dataset_jobs(SETTINGS, list(SETTINGS.elements))}

    for config_id, atoms in shipped.items():
        job = jobs[config_id]
        assert np.allclose(atoms.positions, job.atoms.positions, atol=1e-7)
        assert np.allclose(atoms.cell, job.atoms.cell, atol=1e-7)
        assert atoms.info["fingerprint"] == job.content(SETTINGS)["fingerprint"]


def test_every_parent_is_shipped(shipped):
    assert {atoms.info["parent_id"] for atoms in shipped.values()} <= set(shipped)


def test_every_calculation_converged(shipped):
    for atoms in shipped.values():
        assert atoms.info["scf_converged"]
        assert 1 < atoms.info["scf_iterations"] < SETTINGS.common.max_iterations


def test_labels_are_finite_and_net_forces_small(shipped):
    for atoms in shipped.values():
        forces = atoms.arrays["REF_forces"]
        assert np.isfinite(forces).all() and np.isfinite(atoms.info["REF_energy"])
        # A little net force is left: the grid of exchange and correlation is not invariant.
        assert np.abs(forces.sum(axis=0)).max() < 0.02 * len(atoms)


def test_perfect_crystals_have_no_forces(shipped):
    for atoms in shipped.values():
        if atoms.info["group"] == "bulk":
            assert np.abs(atoms.arrays["REF_forces"]).max() < 0.01


def test_perfect_crystals_of_one_metal_agree_within_the_mesh_noise(shipped):
    for symbol in SETTINGS.elements:
        energies = [
            atoms.info["REF_energy"] / len(atoms)
            for atoms in shipped.values()
            if atoms.symbols[0] == symbol and atoms.info["group"] == "bulk"
        ]
        assert np.ptp(energies) < 0.03 if energies else True


def test_rattled_crystals_lie_above_the_perfect_one_and_rise_with_the_amplitude(shipped):
    for config_id, atoms in shipped.items():
        if atoms.info["group"] == "rattled":
            assert 0 < excess_energy(atoms, shipped) / len(atoms) < 0.2
        if config_id.endswith("rattled-02"):
            smaller = shipped[config_id.replace("-02", "-01")]
            assert excess_energy(atoms, shipped) > excess_energy(smaller, shipped)


def test_strained_crystals_lie_above_the_perfect_one(shipped):
    for atoms in shipped.values():
        if atoms.info["group"] == "eos":
            assert 0 < excess_energy(atoms, shipped) / len(atoms) < 0.2


def test_vacancy_formation_energies_are_physical(shipped):
    # Published PBE values run from 0.6 eV (Al) to 3.3 eV (W); unrelaxed eight-site cells, whose
    # vacancies are neighbours of their own images, lie within a factor of two of them.
    for config_id, atoms in shipped.items():
        if config_id.endswith("vacancy-01"):
            assert 0.3 < excess_energy(atoms, shipped) < 6.0


def test_surface_energies_are_physical(shipped):
    # Published PBE surface energies of densest facets run from 0.5 J/m^2 (Mg) to 3.3 J/m^2 (W).
    for config_id, atoms in shipped.items():
        if config_id.endswith("surface-01"):
            bulk = shipped[config_id.replace("surface", "bulk")]
            per_atom = bulk.info["REF_energy"] / len(bulk)
            area = np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1]))
            excess = atoms.info["REF_energy"] - len(atoms) * per_atom
            joule_per_m2 = excess / (2 * area) / GPa * 0.1
            assert 0.3 < joule_per_m2 < 4.5


def test_stress_is_shipped_only_where_the_basis_allows(shipped):
    for atoms in shipped.values():
        ships = SETTINGS.elements[str(atoms.symbols[0])].ships_stress
        assert ("REF_stress" in atoms.info) == ships


@pytest.mark.skipif(
    not (DATA / "worker_envs" / "gpaw" / "complete").exists(),
    reason="the GPAW environment is not built (python -m precompute reference --setup)",
)
def test_a_recomputed_configuration_agrees_with_the_shipped_one(tmp_path):
    shipped = {atoms.info["config_id"]: atoms for atoms in reference_collect.read_shipped()}
    job = reference_jobs.dataset_jobs(SETTINGS, ["Al"])[0]

    reason = reference.run_job(job, SETTINGS, tmp_path, gpaw_env.python(DATA))

    result = reference.read_result(job, SETTINGS, tmp_path)
    assert reason is None
    assert result is not None
    assert reference_collect.report_difference(shipped[job.config_id], result)
