"""Results of DFT jobs become labelled configurations: which mesh counts, and what is corrected."""

import csv
import shutil
from dataclasses import replace

import pytest

from engine.data_folder import EMBEDDED
from precompute.dft import collect as collecting
from precompute.dft import convergence, settings
from precompute.dft import jobs as dft_jobs

SETTINGS = settings.load_settings()


def jobs_of(symbol):
    """Config id to job, of one metal or alloy."""
    return {job.config_id: job for job in dft_jobs.dataset_jobs(SETTINGS, [symbol])}


def test_the_mesh_correction_is_that_of_the_parent_for_each_atom_of_the_host():
    crystal, parent, vacancy = (
        next(job for job in dft_jobs.dataset_jobs(SETTINGS, ["Al"]) if job.config_id == f"al-fcc-{name}")
        for name in ("bulk-01", "bulk-03", "vacancy-01")
    )
    energies = {crystal.config_id: -4.0, parent.config_id: -31.6, vacancy.config_id: -27.0}  # 1, 8 and 7 atoms
    results = {
        job.config_id: {
            "labels": {"energy": energies[job.config_id], "energy_sigma0": 0.0, "forces": [[0.0] * 3] * len(job.atoms)},
            "scf": {"converged": True, "n_iterations": 9},
            "cpu_seconds": 1.0,
            "fingerprint": "none",
            "versions": dict.fromkeys(collecting.PACKAGES, "1"),
        }
        for job in (crystal, parent, vacancy)
    }

    atoms = collecting.labelled(vacancy, SETTINGS, results, crystal)

    # The parent has -3.95 eV/atom instead of -4.0, so seven atoms come down by 0.05 eV each.
    assert atoms.info["mesh_correction"] == pytest.approx(-0.35)
    assert atoms.info["REF_energy"] == pytest.approx(-27.35)
    assert atoms.info["REF_energy_sigma0"] == pytest.approx(-0.35)


def toy_results(energies):
    """Config id to a result with an energy in eV and no forces; the id says of which job."""
    jobs = [*dft_jobs.dataset_jobs(SETTINGS, ["Al"]), *dft_jobs.dense_jobs(SETTINGS, ["Al"])]
    known = {job.config_id: job for job in jobs}
    return {
        name: {
            "labels": {
                "energy": energy,
                "energy_sigma0": energy,
                "forces": [[0.0] * 3] * len(known[name.removesuffix(collecting.COARSE)].atoms),
            },
            "scf": {"converged": True, "n_iterations": 9},
            "cpu_seconds": 1.0,
            "fingerprint": "none",
            "versions": dict.fromkeys(collecting.PACKAGES, "1"),
        }
        for name, energy in energies.items()
    }


FIRST = {"bulk-01": -4.0, "bulk-03": -31.6, "vacancy-01": -27.0, "vacancy-02": -26.5}  # 1, 8, 7 and 7 atoms


DENSE = {"bulk-01": -4.1, "bulk-03": -32.0, "vacancy-01": -27.5}


def collected(first, dense):
    """Name of the configuration to what is shipped of these energies of Al."""
    results = toy_results(
        {f"al-fcc-{name}": energy for name, energy in first.items()}
        | {f"al-fcc-{name}@kd8.00": energy for name, energy in dense.items()}
    )
    jobs = dft_jobs.dataset_jobs(SETTINGS, ["Al"])
    chosen = collecting._chosen(jobs, dft_jobs.dense_jobs(SETTINGS, ["Al"]), results)
    return {
        name.removeprefix("al-fcc-"): collecting.labelled(
            job, SETTINGS, results, chosen["al-fcc-bulk-01"], chosen.get(dft_jobs.original_of(name) or "")
        )
        for name, job in chosen.items()
    }


def test_a_complete_family_has_the_denser_mesh_and_a_rattled_copy_the_mesh_error_of_its_original():
    made = collected(FIRST, DENSE)

    # Seven atoms rise from the parent's -4.0 eV on the denser mesh to the crystal's -4.1: -27.5 - 0.7.
    assert made["vacancy-01"].info["REF_energy"] == pytest.approx(-28.2)
    assert made["vacancy-01"].info["first_mesh_ev"] == -27.0
    assert made["vacancy-01"].info["kpoints"] == "11x11x11"
    # The vacancy went from -27.0 to -28.2, so its copy comes down by 1.2 eV, on its own mesh.
    assert made["vacancy-02"].info["REF_energy"] == pytest.approx(-27.7)
    assert made["vacancy-02"].info["kpoints"] == "6x6x6"
    assert "first_mesh_ev" not in made["vacancy-02"].info


def test_a_family_waits_for_its_last_cell_and_for_the_crystal():
    without_vacancy = {name: energy for name, energy in DENSE.items() if name != "vacancy-01"}
    without_crystal = {name: energy for name, energy in DENSE.items() if name != "bulk-01"}

    waiting = collected(FIRST, without_vacancy)
    assert {atoms.info["kpoints"] for name, atoms in waiting.items() if name != "bulk-01"} == {"6x6x6"}
    # The parent's first mesh has -3.95 eV per atom, the crystal's denser one -4.1: -27.0 - 7 * 0.15.
    assert waiting["vacancy-01"].info["REF_energy"] == pytest.approx(-28.05)
    assert collected(FIRST, without_crystal)["bulk-01"].info["kpoints"] == "11x11x11"  # the first mesh of this cell
    assert collected(FIRST, without_crystal)["vacancy-01"].info["REF_energy"] == pytest.approx(-27.35)


def test_labels_survive_another_mesh_in_the_table_until_their_cells_have_it(tmp_path):
    li = {"Li": SETTINGS.elements["Li"]}
    before = replace(SETTINGS, elements=li, alloys={})
    after = replace(before, defect_meshes=before.defect_meshes | {"Li": 8.0})
    assert before.defect_mesh("Li") != 8.0
    shutil.copy(EMBEDDED / collecting.DATASET_FILE, tmp_path)
    collecting.write_dataset(before, collecting.shipped_results(before, EMBEDDED), tmp_path)
    written = (tmp_path / collecting.DATASET_FILE).read_bytes()

    results = collecting.shipped_results(after, tmp_path)
    collecting.write_dataset(after, results, tmp_path)
    assert (tmp_path / collecting.DATASET_FILE).read_bytes() == written
    assert collecting.shipped_jobs(after, tmp_path)["li-bcc-vacancy-01"].config_id == "li-bcc-vacancy-01@kd5.31"

    of_one_parent = [job for job in dft_jobs.dense_jobs(after, ["Li"]) if job.parent_id == "li-bcc-bulk-03@kd8.00"]
    assert len(of_one_parent) == 2  # the crystal of eight sites and its vacancy
    for job in of_one_parent[:1]:
        results[job.config_id] = results[f"{collecting.plain(job.config_id)}@kd5.31"] | {"is_shipped": False}
    collecting.write_dataset(after, results, tmp_path)
    assert (tmp_path / collecting.DATASET_FILE).read_bytes() == written
    results[of_one_parent[1].config_id] = results["li-bcc-vacancy-01@kd5.31"] | {"is_shipped": False}
    collecting.write_dataset(after, results, tmp_path)
    meshes = {a.info["config_id"]: a.info["kpoints_per_inverse_angstrom"] for a in collecting.read_shipped(tmp_path)}
    assert (meshes["li-bcc-bulk-03"], meshes["li-bcc-vacancy-01"], meshes["li-bcc-vacancy-03"]) == (8.0, 8.0, 5.31)


def test_a_relative_energy_counts_as_many_atoms_of_the_crystal():
    vacancy = jobs_of("Al")["al-fcc-vacancy-01"]
    results = toy_results({f"al-fcc-{name}": energy for name, energy in FIRST.items()})

    # (-27.0 eV + 7 * 3.95 eV) / 7
    assert collecting.relative_energy(results, vacancy) == pytest.approx(1e3 * 0.65 / 7)


def test_shipped_comparisons_of_defect_energies_follow_from_the_shipped_results():
    results = collecting.shipped_results(SETTINGS, EMBEDDED)
    table = csv.DictReader((EMBEDDED / convergence.CONVERGENCE_FILE).read_text().splitlines())
    shipped = {(row["config_id"], row["compared_with"]): row for row in table if row["kind"] == "defect"}

    computed = {
        (row["config_id"], row["compared_with"]): row for row in convergence.defect_rows(SETTINGS, results, "Al", {})
    }

    shared = shipped.keys() & computed.keys()
    assert ("al-fcc-interstitial-01", "al-fcc-interstitial-01@kd8.00") in shared
    for name in shared:
        for column in ("defect_energy_ev", "defect_energy_difference_mev"):
            assert computed[name][column] == float(shipped[name][column])
