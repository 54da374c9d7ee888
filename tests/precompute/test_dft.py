"""The DFT settings table, the jobs made from it, and the command that runs them."""

import argparse
import json

import numpy as np
import pytest
from ase.data import atomic_numbers
from ase.neighborlist import neighbor_list

from engine.cells import lattices
from engine.errors import SettingsError, WorkerEnvError
from precompute.dft import check_jobs, gpaw_env, settings
from precompute.dft import collect as collecting
from precompute.dft import jobs as dft_jobs
from precompute.dft import run as dft

SETTINGS = settings.load_settings()


every_metal = pytest.mark.parametrize("symbol", SETTINGS.elements)


every_system = pytest.mark.parametrize("symbol", SETTINGS.systems)


@pytest.fixture(scope="module")
def shipped():
    """Config id to shipped atoms."""
    return {atoms.info["config_id"]: atoms for atoms in collecting.read_shipped()}


def jobs_of(symbol):
    """Config id to job, of one metal or alloy."""
    return {job.config_id: job for job in dft_jobs.dataset_jobs(SETTINGS, [symbol])}


def options(*words):
    """Parsed command line."""
    parser = argparse.ArgumentParser()
    dft.add_arguments(parser)
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
    path.write_text(settings.SETTINGS_FILE.read_text().replace("cutoff_ev", "cutof_ev"))

    with pytest.raises(SettingsError, match="cutof_ev"):
        settings.load_settings(path)


def test_mesh_has_the_paper_like_spacing():
    # |b| = 2 pi / 4 Å = 1.571 /Å; times 3.98 is 6.25, so 7 points; one across vacuum.
    cell = lattices.bulk_structures(lattices.Lattice("Al", "fcc", 4.0))[1].atoms.cell

    assert dft_jobs.kpoint_mesh(cell, 3.98) == (7, 7, 7)
    assert dft_jobs.kpoint_mesh(cell, 3.98, has_vacuum=True) == (7, 7, 1)


@every_system
def test_every_job_has_the_mesh_of_its_parent(symbol):
    jobs = jobs_of(symbol)

    for job in jobs.values():
        assert job.kpoints == jobs[job.parent_id].kpoints


@every_metal
def test_cells_that_are_compared_share_a_denser_mesh(symbol):
    first, dense = jobs_of(symbol), dft_jobs.dense_jobs(SETTINGS, [symbol])
    meshes = {}
    for job in dense:
        meshes.setdefault(job.parent_id, set()).add(job.kpoints)
        before = first[job.config_id.partition("@")[0]]
        assert np.prod(job.kpoints) > np.prod(before.kpoints)
        assert np.array_equal(job.atoms.positions, before.atoms.positions)
        assert job.use_point_group == before.use_point_group

    assert {len(found) for found in meshes.values()} == {1}
    assert set(meshes) <= {job.config_id for job in dense}


def test_compact_cells_of_aluminium_need_a_denser_mesh_than_its_stacks():
    meshes = {job.config_id.partition("@")[0]: job.kpoint_density for job in dft_jobs.dense_jobs(SETTINGS, ["Al"])}

    assert meshes["al-fcc-vacancy-01"] == meshes["al-fcc-bulk-03"] == 8.0
    assert meshes["al-fcc-fault-01"] == meshes["al-fcc-bulk-05"] == meshes["al-fcc-surface-01"] == 5.31
    assert not {"al-fcc-vacancy-02", "al-fcc-surface-02", "al-fcc-rattled-01", "al-fcc-displaced-01"} & set(meshes)


def test_dense_jobs_complete_one_metal_after_the_other():
    jobs = dft_jobs.by_metal(SETTINGS, dft_jobs.dense_jobs(SETTINGS, ["W", "Li"]))

    assert [job.symbol for job in jobs] == sorted((job.symbol for job in jobs), key=["Li", "W"].index)
    seen = set()
    for job in jobs:
        seen.add(job.config_id)
        assert job.parent_id in seen


def test_a_defect_mesh_that_is_no_denser_is_refused(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(settings.SETTINGS_FILE.read_text().replace("Al = 8.0", "Al = 3.98"))

    with pytest.raises(SettingsError, match="Al is no denser"):
        settings.load_settings(path)


def test_cells_of_one_crystal_can_have_a_mesh_of_their_own(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(settings.SETTINGS_FILE.read_text().replace("Mg = 8.0", "Mg = 8.0\nta-bcc-bulk-07 = 10.0"))
    jobs = dft_jobs.dense_jobs(settings.load_settings(path), ["Ta"])
    tight = {job.config_id for job in jobs if job.kpoint_density == 10.0}
    assert tight == {job.config_id for job in jobs if job.parent_id == "ta-bcc-bulk-07@kd10.00"}
    assert "ta-bcc-vacancy-03@kd10.00" in tight and len(tight) < len(jobs)

    path.write_text(path.read_text().replace("ta-bcc-bulk-07", "ta-fcc-bulk-07"))
    with pytest.raises(SettingsError, match="ta-fcc-bulk-07, which has no entry"):
        settings.load_settings(path)


@every_system
def test_a_parent_is_computed_before_its_children(symbol):
    jobs = list(jobs_of(symbol).values())

    order = [job.config_id for job in dft_jobs.by_breadth(SETTINGS, jobs)]

    assert sorted(order) == sorted(job.config_id for job in jobs)
    for job in jobs:
        assert order.index(job.parent_id) <= order.index(job.config_id)


def test_the_queue_starts_with_cheap_cells_of_many_metals():
    queue = dft_jobs.by_breadth(SETTINGS, dft_jobs.dataset_jobs(SETTINGS, list(SETTINGS.elements)))

    assert len({job.symbol for job in queue[:100]}) >= 15


def test_a_foreign_atom_leaves_cutoff_and_mesh_of_the_interaction_alone():
    jobs = jobs_of("Al")

    partners = [jobs[f"al-fcc-{name}"] for name in ("bulk-03", "vacancy-01", "solute-01", "solute-02")]

    assert {(job.cutoff_ev, job.kpoints) for job in partners} == {(350.0, partners[0].kpoints)}
    assert {job.content(SETTINGS)["settings"]["setup"] for job in partners} == {"paw"}


def test_a_solute_that_needs_more_than_its_host_is_refused(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(settings.SETTINGS_FILE.read_text().replace('solutes = ["Mg", "Li"]', 'solutes = ["Cu"]'))

    with pytest.raises(SettingsError, match="Cu needs a higher cutoff than its host Al"):
        settings.load_settings(path)


def test_antiferromagnetic_moments_alternate_between_neighbours():
    for job in (job for job in jobs_of("Cr").values() if job.group != "interstitial"):
        moments = np.array(job.content(SETTINGS)["initial_magnetic_moments"])
        first, second = neighbor_list("ij", job.atoms, 2.6)  # 8 neighbours at 2.48 Å, no more
        assert (moments[first] == -moments[second]).all()
        # One too many beside a vacancy, and two beside a pair of them on one sublattice.
        n_missing = 2 if job.group == "divacancy" else 1
        assert abs(moments.sum()) <= n_missing * abs(moments).max() + 1e-9


def test_moments_of_an_fcc_antiferromagnet_alternate_from_plane_to_plane():
    for job in (job for job in jobs_of("Mn").values() if job.group == "bulk"):
        moments = np.array(job.content(SETTINGS)["initial_magnetic_moments"])
        first, second = neighbor_list("ij", job.atoms, 2.6)  # 12 neighbours at 2.53 Å, no more
        unlike = np.bincount(first[moments[first] == -moments[second]], minlength=len(moments))
        assert (unlike == 8).all() and len(first) == 12 * len(moments)


@every_system
def test_the_point_group_is_used_in_no_leaning_stack(symbol):
    for job in jobs_of(symbol).values():
        long, *short = np.argsort(-job.atoms.cell.lengths())
        is_leaning = abs(job.atoms.cell[short] @ job.atoms.cell[long]).max() > 1e-4
        if len(job.atoms) >= 6 and job.group in ("fault", "boundary") and is_leaning:
            assert not job.use_point_group


def test_a_ferromagnet_starts_with_equal_moments_and_an_alloy_with_those_of_its_metals():
    iron, alloy = jobs_of("Fe")["fe-bcc-bulk-02"], jobs_of("CrCoNi")["crconi-fcc-bulk-01"]

    assert iron.content(SETTINGS)["initial_magnetic_moments"] == [2.2] * 4
    assert alloy.content(SETTINGS)["initial_magnetic_moments"] == [1.2, 1.7, 0.7]


def test_tighter_settings_are_tighter_and_keep_the_structure():
    shipped, tight = jobs_of("Al"), check_jobs.noise_jobs(SETTINGS, "Al")

    names = ("bulk-02", "rattled-02")
    assert [job.config_id for job in tight] == [f"al-fcc-{name}@kd5.31-cutoff450" for name in names]
    for job in tight:
        loose = shipped[job.config_id.partition("@")[0]]
        assert np.prod(job.kpoints) > np.prod(loose.kpoints)
        assert np.array_equal(job.atoms.positions, loose.atoms.positions)


def test_the_noise_is_taken_of_twelve_configurations_that_exist():
    names = {job.config_id for job in dft_jobs.dataset_jobs(SETTINGS, list(SETTINGS.elements))}

    assert len(check_jobs.NOISE_CONFIGS) == 12
    assert set(check_jobs.NOISE_CONFIGS) <= names


def test_a_changed_setting_changes_the_fingerprint():
    job = dft_jobs.dataset_jobs(SETTINGS, ["Al"])[0]
    other = dft_jobs.replace(job, cutoff_ev=job.cutoff_ev + 50)

    assert job.content(SETTINGS)["fingerprint"] == job.content(SETTINGS)["fingerprint"]
    assert job.content(SETTINGS)["fingerprint"] != other.content(SETTINGS)["fingerprint"]


def test_a_result_of_other_settings_is_not_taken(tmp_path):
    job = dft_jobs.dataset_jobs(SETTINGS, ["Al"])[0]
    path = tmp_path / "results" / f"{job.config_id}.result"
    path.parent.mkdir()
    path.write_text(json.dumps({"fingerprint": "of another job"}))

    assert dft.read_result(job, SETTINGS, tmp_path) is None


def test_running_without_the_environment_names_the_command(tmp_path):
    with pytest.raises(WorkerEnvError, match="reference --setup"):
        dft.main(options("--data", str(tmp_path)))


def test_missing_libraries_are_named_as_debian_packages(monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(WorkerEnvError, match=r"apt-get install .*libxc-dev"):
        gpaw_env.check_compiler()


@pytest.mark.parametrize("words", [("--element", "Xx"), ("--jobs", "0"), ("--verify", "0")])
def test_impossible_options_are_refused(words, tmp_path):
    with pytest.raises(SettingsError, match=words[0]):
        dft.main(options("--data", str(tmp_path), *words))


def test_dense_recomputes_what_is_shipped_and_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(gpaw_env, "python", lambda data: tmp_path)
    asked = []
    monkeypatch.setattr(dft, "run_jobs", lambda jobs, *rest, **names: asked.extend(jobs) or 0)
    monkeypatch.setattr(dft, "collect", lambda *rest: None)
    words = ("--data", str(tmp_path), "--dense", "--element", "Li", "--element", "K")

    assert dft.main(options(*words)) == 0
    missing = [job.config_id for job in asked]
    assert dft.main(options(*words, "--fresh")) == 0

    names = [job.config_id.partition("@")[0] for job in asked[len(missing) :]]
    assert {"li-bcc-vacancy-01", "k-bcc-vacancy-01"} <= set(names)
    assert "li-bcc-vacancy-02" not in names
    assert "li-bcc-vacancy-01@kd5.31" not in missing  # Li has its denser mesh


def test_calculations_that_take_too_long_are_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpaw_env, "python", lambda data: tmp_path)
    asked = []
    monkeypatch.setattr(dft, "run_jobs", lambda jobs, *rest, **names: asked.extend(jobs) or 0)
    monkeypatch.setattr(dft, "collect", lambda *rest: None)

    words = ("--data", str(tmp_path), "--output", str(tmp_path), "--element", "Li", "--up-to", "5")
    assert dft.main(options(*words)) == 0

    assert {"li-bcc-bulk-01"} <= {job.config_id for job in asked}
    assert all(job.seconds(SETTINGS) <= 5 for job in asked)
    assert "left out" in capsys.readouterr().out


def test_time_left_follows_the_estimates(capsys, monkeypatch):
    clock = iter([0.0, 60.0])
    monkeypatch.setattr(dft.time, "monotonic", lambda: next(clock))
    progress = dft.Progress([10.0, 40.0])

    progress.advance(None, 10.0)

    # A fifth of the estimated cost took one minute, so the rest takes four.
    assert "[1/2] ok; 1 min gone, about 4 min left" in capsys.readouterr().out
