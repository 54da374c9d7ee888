"""The shipped dataset "Open Defects": its labels, its defect energies, and what denser meshes say of them."""

import csv
import shutil
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.units import GPa

from engine.cells import lattices
from engine.data_folder import EMBEDDED, DataFolder
from engine.registry.datasets import get_dataset
from precompute.dft import all_electron, check_jobs, convergence, gpaw_env, settings
from precompute.dft import collect as collecting
from precompute.dft import jobs as dft_jobs
from precompute.dft import run as dft

SETTINGS = settings.load_settings()


RELATIVE = "relative_energy_difference_mev_per_atom"


DATA = DataFolder.default().root


@pytest.fixture(scope="module")
def shipped():
    """Config id to shipped atoms."""
    return {atoms.info["config_id"]: atoms for atoms in collecting.read_shipped()}


def excess_energy(atoms, shipped):
    """Energy above as many atoms of the perfect crystal in the same cell and mesh, eV."""
    parent = shipped[atoms.info["parent_id"]]
    return atoms.info["REF_energy"] - len(atoms) * parent.info["REF_energy"] / len(parent)


def convergence_rows(kind):
    """Rows of one kind of the shipped convergence table."""
    text = (EMBEDDED / convergence.CONVERGENCE_FILE).read_text()
    return [row for row in csv.DictReader(text.splitlines()) if row["kind"] == kind]


def on_the_denser_mesh():
    """Rows of defect energies on the denser mesh of the settings table, compared with one denser still."""
    names = {job.config_id for job in dft_jobs.dense_jobs(SETTINGS, SETTINGS.systems)}
    return [row for row in convergence_rows("defect") if row["config_id"] in names]


def is_element(atoms):
    """Whether there is one element only."""
    return len(set(atoms.symbols)) == 1


def jobs_of(symbol):
    """Config id to job, of one metal or alloy."""
    return {job.config_id: job for job in dft_jobs.dataset_jobs(SETTINGS, [symbol])}


def test_the_dataset_has_enough_configurations(shipped):
    metals = Counter(atoms.symbols[0] for atoms in shipped.values())

    assert len(shipped) >= 24
    assert sum(count >= 6 for count in metals.values()) >= 4


def test_every_group_is_there_for_the_first_four_metals(shipped):
    for symbol in list(SETTINGS.elements)[:4]:
        groups = {a.info["group"] for a in shipped.values() if a.symbols[0] == symbol}
        assert groups >= set(lattices.GROUPS)


def test_shipped_structures_are_those_of_the_generators(shipped):
    jobs = collecting.shipped_jobs(SETTINGS, EMBEDDED)

    assert set(jobs) == set(shipped)
    for config_id, atoms in shipped.items():
        job = jobs[config_id]
        assert atoms.info["kpoints"] == "x".join(str(number) for number in job.kpoints)
        assert np.allclose(atoms.positions, job.atoms.positions, atol=1e-7)
        assert np.allclose(atoms.cell, job.atoms.cell, atol=1e-7)
        assert collecting.is_result_of(atoms, job, SETTINGS)


def test_last_digits_of_another_processor_leave_a_result_what_it_is_and_other_settings_do_not(shipped):
    job = jobs_of("Co")["co-hcp-eos-01"]
    moved, atoms = job.atoms.copy(), shipped["co-hcp-eos-01"]
    moved.positions += 1e-16 * np.arange(6).reshape(2, 3)

    assert collecting.is_result_of(atoms, replace(job, atoms=moved), SETTINGS)
    assert not collecting.is_result_of(atoms, replace(job, atoms=moved, cutoff_ev=600.0), SETTINGS)
    moved.positions[1, 0] += 1e-3
    assert not collecting.is_result_of(atoms, replace(job, atoms=moved), SETTINGS)


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
        if atoms.info["group"] == "bulk" and is_element(atoms):
            # Meshes that are not as symmetric as the crystal leave some; most in the four-atom cell of Be.
            assert np.abs(atoms.arrays["REF_forces"]).max() < 0.015


def test_perfect_crystals_of_one_metal_have_one_energy_and_small_mesh_corrections(shipped):
    for symbol in SETTINGS.elements:
        metal = [a for a in shipped.values() if is_element(a) and a.symbols[0] == symbol]
        energies = [a.info["REF_energy"] / len(a) for a in metal if a.info["group"] == "bulk"]
        assert not energies or np.ptp(energies) < 1e-6
        assert all(abs(a.info["mesh_correction"]) < 0.03 * len(a) for a in metal)


def test_what_a_denser_mesh_replaced_is_not_needed_again(shipped, tmp_path):
    results = collecting.shipped_results(SETTINGS, EMBEDDED)

    collecting.write_dataset(SETTINGS, results, tmp_path)

    again = {atoms.info["config_id"]: atoms for atoms in collecting.read_shipped(tmp_path)}
    assert set(again) == set(shipped)
    for name, atoms in shipped.items():
        assert again[name].info["fingerprint"] == atoms.info["fingerprint"]
        assert again[name].info["REF_energy"] == pytest.approx(atoms.info["REF_energy"], abs=1e-9)


def test_defect_energies_are_counted_from_the_cells_they_are_compared_with():
    jobs = jobs_of("Al")

    def parts(name):
        """Factors by name without the metal."""
        found = convergence.defect_parts(jobs[f"al-fcc-{name}"], jobs)
        return {key.removeprefix("al-fcc-"): factor for key, factor in found.items()}

    assert parts("vacancy-01") == {"vacancy-01": 1.0, "bulk-03": -7 / 8}
    assert parts("surface-01") == {"surface-01": 1.0, "bulk-01": -5.0}
    assert parts("hydrogen-01") == {"hydrogen-01": 1.0, "bulk-02": -1.0}
    assert parts("solute-04") == {"solute-04": 1.0, "vacancy-01": -1.0, "solute-03": -1.0, "bulk-03": 1.0}
    assert parts("solute-03") == parts("vacancy-02") == parts("rattled-01") == {}


@pytest.mark.parametrize(
    ("energy", "difference", "expected"),
    [(0.1, 20.0, True), (0.1, 21.0, False), (-1.0, 49.0, True), (1.0, 51.0, False)],
)
def test_a_defect_energy_is_converged_within_20_mev_or_5_percent(energy, difference, expected):
    row = {"defect_energy_ev": str(energy), "defect_energy_difference_mev": str(difference)}

    assert convergence.is_converged(row | {"config_id": "al-fcc-vacancy-01"}) == expected
    # The energy of a cell with hydrogen counts from the free atom: per cent of it mean nothing.
    assert convergence.is_converged(row | {"config_id": "al-fcc-hydrogen-01"}) == (difference <= 20)


def test_an_equation_of_state_is_compared_with_the_all_electron_one():
    volume, modulus = 16.4796, 78.077 * GPa  # of Al, from the Delta project
    cells = []
    for name, factor in (("eos-01", 0.94), ("bulk-01", 1.0), ("eos-02", 1.06)):
        atoms = bulk("Al", "fcc", a=(4 * volume * factor) ** (1 / 3))
        energy = all_electron.birch_murnaghan(volume * factor, volume, modulus, 4.57)
        atoms.info = {"config_id": f"al-fcc-{name}", "parent_id": "al-fcc-bulk-01", "kpoints": "1x1x1"}
        atoms.info["REF_energy"] = energy + 0.001 * (name == "eos-02") - 3.7
        cells.append(atoms)

    (row,) = all_electron.delta_rows(cells)

    # Close to the minimum the energy is V0 B0 (V/V0 - 1)^2 / 2.
    assert all_electron.birch_murnaghan(1.001 * volume, volume, modulus, 4.57) == pytest.approx(
        volume * modulus * 0.001**2 / 2, rel=0.01
    )
    assert row["metal"] == "Al"
    assert (row["energy_difference_94_mev_per_atom"], row["energy_difference_106_mev_per_atom"]) == (0.0, 1.0)
    assert row["energy_difference_rms_mev_per_atom"] == 0.7  # sqrt(1/2)
    assert row["bulk_modulus_gpa"] > 78.1 and row["volume_difference_percent"] < 0


def test_the_shipped_comparison_with_all_electrons_is_that_of_the_shipped_energies(shipped):
    rows = list(csv.DictReader((EMBEDDED / all_electron.DELTA_FILE).read_text().splitlines()))

    assert rows == [
        {key: str(value) for key, value in row.items()} for row in all_electron.delta_rows(shipped.values())
    ]
    assert all(float(row["energy_difference_rms_mev_per_atom"]) < 15 for row in rows)


def test_a_fingerprint_of_digits_stays_text(tmp_path):
    atoms = bulk("Al")
    atoms.info["fingerprint"] = collecting.FINGERPRINT_PREFIX + "0046481058839e95"
    ase.io.write(tmp_path / collecting.DATASET_FILE, atoms, format="extxyz")

    (again,) = collecting.read_shipped(tmp_path)

    assert again.info["fingerprint"] == "0046481058839e95"


def test_slabs_have_no_mesh_correction():
    crystal, *slabs = (jobs_of("Al")[f"al-fcc-{name}"] for name in ("bulk-01", "surface-01", "surface-02"))

    for slab in slabs:
        assert collecting._mesh_correction(slab, {}, crystal) == 0.0


def test_rattled_crystals_lie_above_the_perfect_one_by_the_work_of_their_forces(shipped):
    for atoms in shipped.values():
        if atoms.info["group"] == "rattled":
            parent = shipped[atoms.info["parent_id"]]
            moved = atoms.positions - parent.positions
            moved -= moved.mean(axis=0)  # a shift of the whole crystal costs nothing
            mean_force = (atoms.arrays["REF_forces"] + parent.arrays["REF_forces"]) / 2
            assert 0 < excess_energy(atoms, shipped) / len(atoms) < 0.2
            assert excess_energy(atoms, shipped) == pytest.approx(-np.vdot(mean_force, moved), rel=0.1)


def test_strained_crystals_lie_above_the_perfect_one(shipped):
    for atoms in shipped.values():
        if atoms.info["group"] == "eos" and is_element(atoms):
            assert 0 < excess_energy(atoms, shipped) / len(atoms) < 0.2


# Relaxed vacancies in large cells, PBE, eV. fcc and hcp: T. Angsten, T. Mayeshiba, H. Wu, D. Morgan, New J. Phys. 16,
# 015018 (2014), doi:10.1088/1367-2630/16/1/015018; W (120 atoms): J. Byggmästar, A. Hamedani, K. Nordlund,
# F. Djurabekova, Phys. Rev. B 100, 144105 (2019).
PUBLISHED_VACANCIES = {
    "Al": 0.61, "Cu": 1.07, "W": 3.22, "Mg": 0.78, "Be": 1.04, "Ti": 2.06, "Pd": 1.16, "Rh": 1.57, "Pt": 0.61,
    "Au": 0.40, "Ir": 1.55,
}  # fmt: skip


VACANCIES_WITHOUT_PUBLISHED_VALUE = {"Mo", "Li", "Na", "K", "Nb", "V", "Ta"}


# Ours are not relaxed, and a vacancy in eight sites is the second neighbour of its own images (hcp, one layer of cells:
# worst, Be 43 % above). Sixteen sites are closer to the isolated defect (Be 27 % above on its denser mesh).
VACANCY_TOLERANCE = {"vacancy-01": 0.45, "vacancy-03": 0.3}


def test_vacancies_agree_with_published_ones_as_far_as_small_unrelaxed_cells_can(shipped):
    compared = set()
    for config_id, atoms in shipped.items():
        symbol, name = str(atoms.symbols[0]), config_id.split("-", 2)[2]
        if name in VACANCY_TOLERANCE and is_element(atoms):
            compared.add(symbol)
            energy = excess_energy(atoms, shipped)
            if symbol in PUBLISHED_VACANCIES:
                published = PUBLISHED_VACANCIES[symbol]
                assert energy == pytest.approx(published, rel=VACANCY_TOLERANCE[name]), config_id
            else:
                assert 0.2 < energy < 4.0, config_id

    assert compared == {*PUBLISHED_VACANCIES, *VACANCIES_WITHOUT_PUBLISHED_VALUE}


def test_a_vacancy_in_sixteen_sites_is_like_one_in_eight(shipped):
    for config_id, atoms in shipped.items():
        if config_id.endswith("vacancy-03"):
            small = shipped[config_id.replace("-03", "-01")]
            assert excess_energy(small, shipped) == pytest.approx(excess_energy(atoms, shipped), rel=0.2)


def test_surface_energies_are_physical(shipped):
    # Published PBE surface energies of densest facets run from 0.1 J/m^2 (K) to 3.3 J/m^2 (W).
    for config_id, atoms in shipped.items():
        if config_id.endswith("surface-01"):
            bulk = shipped[config_id.replace("surface", "bulk")]
            per_atom = bulk.info["REF_energy"] / len(bulk)
            area = np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1]))
            excess = atoms.info["REF_energy"] - len(atoms) * per_atom
            joule_per_m2 = excess / (2 * area) / GPa * 0.1
            assert 0.05 < joule_per_m2 < 4.5


def test_displaced_atoms_cost_energy_that_grows_with_the_square(shipped):
    for config_id, atoms in shipped.items():
        if config_id.endswith("displaced-02") and config_id.replace("-02", "-01") in shipped:
            ratio = excess_energy(atoms, shipped) / excess_energy(shipped[config_id.replace("-02", "-01")], shipped)
            # Harmonic: 4; SCF and mesh leave a little noise on the smaller one.
            assert 3.0 < ratio < 5.0


def test_the_intrinsic_fault_costs_less_than_the_way_there(shipped):
    for config_id, atoms in shipped.items():
        if "-bcc-" not in config_id and config_id.endswith("fault-02"):
            half = shipped[config_id.replace("-02", "-01")]
            area = np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1]))
            # At most 0.3 J/m^2 are published for intrinsic faults of fcc (Ir, Rh, Pt) and hcp metals, Re and Ru apart.
            joule_per_m2 = excess_energy(atoms, shipped) / area / GPa * 0.1
            assert excess_energy(half, shipped) > excess_energy(atoms, shipped)
            assert -0.1 < joule_per_m2 < 1.0


def test_interaction_energies_of_solute_and_vacancy_are_moderate(shipped):
    for config_id, atoms in shipped.items():
        metal, structure, group, number = config_id.split("-")
        if group == "solute" and int(number) % 2 == 0:
            alone = shipped[f"{metal}-{structure}-solute-{int(number) - 1:02d}"]
            vacancy, perfect = (shipped[f"{metal}-{structure}-{name}"] for name in ("vacancy-01", "bulk-03"))
            energies = [one.info["REF_energy"] for one in (atoms, vacancy, alone, perfect)]
            interaction = energies[0] - energies[1] - (energies[2] - energies[3])
            assert abs(interaction) < 2.0


def test_binding_energies_of_two_vacancies_are_moderate(shipped):
    for config_id, atoms in shipped.items():
        if atoms.info["group"] == "divacancy":
            prefix = config_id.rpartition("-divacancy")[0]
            alone = shipped.get(f"{prefix}-vacancy-03")
            if alone is not None:
                binding = 2 * excess_energy(alone, shipped) - excess_energy(atoms, shipped)
                assert abs(binding) < 1.5


def test_magnets_keep_a_moment(shipped):
    # Bulk values: Fe 2.2, Co 1.6, Ni 0.6 Bohr magnetons per atom; Cr and Mn are antiferromagnetic.
    ranges = {"Fe": (1.8, 3.2), "Co": (1.2, 2.2), "Ni": (0.3, 0.9), "Cr": (-0.6, 0.6), "Mn": (-0.6, 0.6)}
    for atoms in shipped.values():
        if is_element(atoms) and atoms.symbols[0] in ranges:
            low, high = ranges[str(atoms.symbols[0])]
            assert low < atoms.info["REF_magnetic_moment"] / len(atoms) < high


def test_the_registered_noise_is_that_of_the_tighter_settings_and_of_the_denser_meshes():
    rows = convergence_rows("noise")
    forces = [float(row["force_difference_rms_mev_per_ang"]) for row in rows]
    energies = [float(row[RELATIVE]) for row in rows]
    defects = [float(row["defect_energy_difference_mev"]) for row in on_the_denser_mesh()]
    dataset = get_dataset("open-defects")

    assert {row["config_id"] for row in rows} == set(check_jobs.NOISE_CONFIGS)
    assert 1e3 * dataset.force_noise == pytest.approx(np.sqrt(np.mean(np.square(forces))), abs=0.06)
    assert 1e3 * dataset.energy_noise == pytest.approx(np.sqrt(np.mean(np.square(energies))), abs=0.006)
    assert 1e3 * dataset.defect_energy_noise == pytest.approx(np.sqrt(np.mean(np.square(defects))), abs=0.6)


def test_defect_energies_on_their_denser_mesh_are_converged():
    rows = on_the_denser_mesh()
    assert len(rows) >= 31
    assert [row["config_id"] for row in rows if not convergence.is_converged(row)] == []


def test_the_data_card_counts_how_often_two_meshes_that_agreed_were_right():
    energies: dict[str, dict[float, float]] = {}
    for row in convergence_rows("defect"):
        own = energies.setdefault(collecting.plain(row["config_id"]), {})
        energy, change = float(row["defect_energy_ev"]), float(row["defect_energy_difference_mev"])
        own[float(row["kpoints_per_inverse_angstrom"])] = energy
        own[float(row["compared_with"].rpartition("@kd")[2])] = energy - change / 1e3
    held = []
    for name, own in energies.items():
        *meshes, densest = sorted(own)
        for coarse, fine in pairwise(meshes):
            first, second = (
                {"defect_energy_ev": own[a], "defect_energy_difference_mev": 1e3 * (own[a] - own[b]), "config_id": name}
                for a, b in ((coarse, fine), (fine, densest))
            )
            held += [convergence.is_converged(second)] * convergence.is_converged(first)
    n_three = sum(len(own) > 2 for own in energies.values())

    card = " ".join((EMBEDDED / "README.md").read_text().split())
    assert f"Of {len(held)} pairs of meshes that agreed within the tolerance, {sum(held)} agreed with a third" in card
    assert f"For {n_three} energies there are three meshes or more; the other {len(energies) - n_three} rest" in card


def test_the_data_card_has_the_tables_of_the_shipped_files():
    card = (EMBEDDED / "README.md").read_text()
    delta = list(csv.DictReader((EMBEDDED / all_electron.DELTA_FILE).read_text().splitlines()))

    assert convergence.defect_table(SETTINGS, EMBEDDED) in card
    for row in delta:
        assert all_electron.card_line(row) in card


def test_every_defect_energy_is_shown_to_be_converged():
    table = convergence.defect_table(SETTINGS, EMBEDDED).splitlines()[2:]
    assert {row.strip("|").split("|")[-1].strip() for row in table} == {""}


def test_what_the_card_calls_not_shown_is_what_a_check_computes(tmp_path):
    # The shipped files without the densest checks, so that something is not shown.
    shutil.copytree(EMBEDDED, tmp_path / "embedded", ignore=shutil.ignore_patterns("summaries", "learning", "costs"))
    table = tmp_path / "embedded" / "convergence.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(line for line in lines if "@kd10.00," not in line.partition(",")[2]))
    rows = [line.strip("|").split("|") for line in convergence.defect_table(SETTINGS, table.parent).splitlines()[2:]]
    assert any(row[-1].strip() for row in rows)
    for row in rows:
        symbol, unshown = row[0].strip(), set(filter(None, row[-1].strip().split(", ")))
        jobs = convergence.unshown_jobs(SETTINGS, table.parent, [symbol], 10.0)
        loose = convergence.loose_bindings(SETTINGS, table.parent, symbol)
        assert {job.kpoint_density for job in jobs} <= {10.0}
        assert set(loose) <= {convergence.plain(job.config_id) for job in jobs}
        assert unshown <= {job.config_id.split("-", 2)[2].partition("@")[0] for job in jobs}
        assert bool(jobs) == bool(unshown or loose)


def test_stress_is_shipped_only_where_the_basis_allows(shipped):
    for config_id, atoms in shipped.items():
        element = SETTINGS.elements.get(config_id.partition("-")[0].title())
        assert ("REF_stress" in atoms.info) == (element is not None and element.ships_stress)


@pytest.mark.skipif(
    not (DATA / "worker_envs" / "gpaw" / "complete").exists(),
    reason="the GPAW environment is not built (python -m precompute reference --setup)",
)
def test_a_recomputed_configuration_agrees_with_the_shipped_one(tmp_path):
    shipped = {atoms.info["config_id"]: atoms for atoms in collecting.read_shipped()}
    job = collecting.shipped_jobs(SETTINGS, EMBEDDED)["al-fcc-bulk-01"]

    reason = dft.run_job(job, SETTINGS, tmp_path, gpaw_env.python(DATA))

    result = dft.read_result(job, SETTINGS, tmp_path)
    assert reason is None
    assert result is not None
    assert collecting.report_difference(shipped["al-fcc-bulk-01"], result)
