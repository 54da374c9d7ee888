"""Collected DFT results: the extended XYZ file, the convergence table and the comparison of both.

Reads finished results and writes the files that ship in `data/embedded/`; starts no calculation.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.eos import EquationOfState
from ase.units import GPa

from engine.data_folder import EMBEDDED
from engine.errors import DatasetError, SettingsError
from precompute.dft.jobs import (
    CHECK_DENSITIES,
    DENSE_GROUPS,
    LATTICE_VOLUME_FACTORS,
    NOISE_CONFIGS,
    Job,
    cutoff_jobs,
    dataset_jobs,
    dense_jobs,
    lattice_jobs,
    mesh_jobs,
    noise_jobs,
    original_of,
    reference_crystal,
    scan_jobs,
)
from precompute.dft.settings import ReferenceSettings

DATASET_ID = "open-defects"
PACKAGES = ("gpaw", "gpaw-data", "ase", "numpy", "scipy")
DATASET_FILE = "open-defects.extxyz"
CONVERGENCE_FILE = "convergence.csv"
FINGERPRINT_PREFIX = "sha256:"  # without it, readers of extended XYZ take a fingerprint of digits for a number

COARSE = "@coarse"  # ends the id of what is kept of a cell's first mesh beside its denser one: the energy
SLAB = "surface"
DEFECT_GROUPS = tuple(group for group in DENSE_GROUPS if group != "eos")
DEFECT_TOLERANCE_MEV, DEFECT_TOLERANCE = 20.0, 0.05  # a defect energy is converged within the larger of the two

VERIFY_ENERGY_MEV_PER_ATOM = 0.5
VERIFY_FORCE_MEV_PER_ANG = 3.0

CONVERGENCE_COLUMNS = (
    "kind",
    "config_id",
    "kpoints_per_inverse_angstrom",
    "kpoints",
    "cutoff_ev",
    "compared_with",
    "force_rms_mev_per_ang",
    "force_difference_rms_mev_per_ang",
    "force_difference_max_mev_per_ang",
    "relative_energy_mev_per_atom",
    "relative_energy_difference_mev_per_atom",
    "volume_ang3_per_atom",
    "bulk_modulus_gpa",
    "plane_wave_pressure_gpa",
    "defect_energy_ev",
    "defect_energy_difference_mev",
    "cpu_seconds",
    "fingerprint",
)

Results = dict[str, dict[str, Any]]


def write_dataset(settings: ReferenceSettings, results: Results, output: Path) -> None:
    """Write the extended XYZ file, atomically and in the order of the settings table.

    A configuration waits for its parent and for the reference crystal of its metal, without which its energy says
    nothing. It has the denser mesh of `dense_jobs` where all cells of its parent have that (`_chosen`).

    Args:
        settings: The settings table.
        results: Config id to finished result.
        output: Folder of the shipped files.
    """
    frames = []
    for symbol in settings.systems:
        jobs = dataset_jobs(settings, [symbol])
        if symbol in settings.alloys:
            done = [job for job in jobs if _are_done([job], results)]
            frames += [labelled(job, settings, results, None) for job in done]
            continue
        chosen = _chosen(jobs, dense_jobs(settings, [symbol]), results)
        reference = chosen.get(reference_crystal(jobs).config_id)
        for job in (chosen[job.config_id] for job in jobs if job.config_id in chosen and reference is not None):
            original = chosen.get(original_of(job.config_id) or "")
            frames.append(labelled(job, settings, results, reference, original))
    if not frames:
        return
    text = io.StringIO()
    ase.io.write(text, frames, format="extxyz")
    _write(output / DATASET_FILE, text.getvalue())


def labelled(
    job: Job, settings: ReferenceSettings, results: Results, reference: Job | None, original: Job | None = None
) -> Atoms:
    """Atoms with labels and provenance in `info` and `arrays`.

    Args:
        job: The calculation.
        settings: The settings table.
        results: Finished results, those of the job, its parent and the reference crystal among them.
        reference: The perfect crystal that all energies of a metal count from; None for an alloy, whose perfect
            crystals are not one crystal.
        original: The defect that the configuration is a randomly displaced copy of, if that one has a denser mesh.

    Returns:
        Atoms with `REF_energy` (free energy, eV), `REF_energy_sigma0` (eV), `mesh_correction` (eV, part of both),
        `REF_stress` (nine numbers, eV/Å^3, where the metal ships it), and the array `REF_forces` (eV/Å). A cell with a
        denser mesh also has `first_mesh_ev` (eV), its free energy on the mesh of all cells, without correction.
    """
    result = results[job.config_id]
    correction = 0.0 if reference is None else _mesh_correction(job, results, reference)
    if original is not None and reference is not None and _is_dense(original):
        correction = _mesh_correction(original, results, reference) + _energy(results, original.config_id)
        correction -= _first_energy(results, original)
    atoms = Atoms(job.atoms.numbers, positions=job.atoms.positions, cell=job.atoms.cell, pbc=True)
    labels, scf, versions = result["labels"], result["scf"], result["versions"]
    setup = job.setup(settings)
    atoms.info = {
        "config_id": _plain(job.config_id),
        "dataset": DATASET_ID,
        "group": job.group,
        "parent_id": _plain(job.parent_id),
        "REF_energy": labels["energy"] + correction,
        "REF_energy_sigma0": labels["energy_sigma0"] + correction,
        "mesh_correction": correction,
    }
    if _is_dense(job):
        atoms.info["first_mesh_ev"] = _first_energy(results, job)
    if job.computes_stress and "stress" in labels:
        atoms.info["REF_stress"] = np.array(labels["stress"]).ravel()
    if job.is_spin_polarized(settings):
        atoms.info["REF_magnetic_moment"] = labels["magnetic_moment"]
        atoms.set_array("REF_magnetic_moments", np.array(labels["magnetic_moments"]))
    atoms.info |= {
        "functional": settings.common.functional,
        "cutoff_ev": job.cutoff_ev,
        "kpoints": "x".join(str(number) for number in job.kpoints),
        "kpoints_per_inverse_angstrom": job.kpoint_density,
        "smearing_ev": settings.common.smearing_ev,
        "setup": setup if isinstance(setup, str) else " ".join(f"{key}:{setup[key]}" for key in setup),
        "scf_converged": scf["converged"],
        "scf_iterations": scf["n_iterations"],
        "cpu_seconds": result["cpu_seconds"],
        "fingerprint": FINGERPRINT_PREFIX + result["fingerprint"],
        **{_version_key(package): versions[package] for package in PACKAGES},
    }
    atoms.set_array("REF_forces", np.array(labels["forces"]))
    return atoms


def shipped_results(settings: ReferenceSettings, output: Path) -> Results:
    """The shipped configurations that still fit the settings table, as results.

    Args:
        settings: The settings table.
        output: Folder of the shipped files; may be empty.

    Returns:
        Config id to result, with what the extended XYZ file keeps of it. A cell with a denser mesh has two entries: its
        labels, under the id of its dense job, and its energy on the first mesh, under an id that ends in `COARSE`.
    """
    if not (output / DATASET_FILE).exists():
        return {}
    shipped = {atoms.info["config_id"]: atoms for atoms in read_shipped(output)}
    results: Results = {}
    for job in [*dataset_jobs(settings, settings.systems), *dense_jobs(settings, settings.systems)]:
        atoms = shipped.get(_plain(job.config_id))
        if atoms is None or atoms.info["fingerprint"] != job.content(settings)["fingerprint"]:
            continue
        results[job.config_id] = _result_of(atoms)
        if _is_dense(job):
            results[atoms.info["config_id"] + COARSE] = {
                "labels": {"energy": atoms.info["first_mesh_ev"], "forces": [[0.0] * 3] * len(atoms)}
            }
    return results


def shipped_jobs(settings: ReferenceSettings, output: Path) -> dict[str, Job]:
    """The jobs that made the shipped configurations.

    Args:
        settings: The settings table.
        output: Folder of the shipped files; may be empty.

    Returns:
        Id of the configuration to the job, on the mesh that the shipped labels have.
    """
    results = shipped_results(settings, output)
    jobs = [*dataset_jobs(settings, settings.systems), *dense_jobs(settings, settings.systems)]
    return {_plain(job.config_id): job for job in jobs if job.config_id in results}


def write_convergence(settings: ReferenceSettings, results: Results, output: Path) -> None:
    """Write the convergence table from what is there.

    Args:
        settings: The settings table.
        results: Config id to finished result.
        output: Folder of the shipped files.
    """
    path = output / CONVERGENCE_FILE
    old = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    kept = {(row["kind"], row["fingerprint"]): row for row in old}
    rows = [row for symbol in settings.elements for row in _rows(settings, results, symbol, kept)]
    for symbol in settings.additions:
        rows += _compared(settings, results, kept, _scans(settings, symbol))
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, CONVERGENCE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _write(path, text.getvalue())


def read_shipped(output: Path = EMBEDDED) -> list[Atoms]:
    """The shipped configurations.

    Args:
        output: Folder of the shipped files.

    Returns:
        Atoms as `labelled` makes them, fingerprints without their prefix.

    Raises:
        DatasetError: There is no such file.
    """
    path = output / DATASET_FILE
    if not path.exists():
        raise DatasetError(f"{path} does not exist; compute it with: python -m precompute reference")
    shipped = list(ase.io.iread(path, index=":", format="extxyz"))
    for atoms in shipped:
        atoms.info["fingerprint"] = atoms.info["fingerprint"].removeprefix(FINGERPRINT_PREFIX)
    return shipped


def draw_shipped(output: Path, n_configs: int, seed: int) -> dict[str, Atoms]:
    """Random shipped configurations.

    Args:
        output: Folder of the shipped files.
        n_configs: How many.
        seed: Which ones.

    Returns:
        Config id to atoms.

    Raises:
        SettingsError: Fewer than one or more than there are were asked for.
    """
    shipped = read_shipped(output)
    if not 1 <= n_configs <= len(shipped):
        raise SettingsError(f"--verify {n_configs}: give 1 to {len(shipped)} configurations.")
    chosen = np.random.RandomState(seed).choice(len(shipped), n_configs, replace=False)
    return {shipped[index].info["config_id"]: shipped[index] for index in chosen}


def report_difference(shipped: Atoms, result: dict[str, Any]) -> bool:
    """Print how far a recomputed configuration is from the shipped one.

    Args:
        shipped: Atoms with the shipped labels.
        result: The recomputed result.

    Returns:
        Whether energy and forces agree within `VERIFY_ENERGY_MEV_PER_ATOM` and
        `VERIFY_FORCE_MEV_PER_ANG`.
    """
    labels = result["labels"]
    energy = 1e3 * abs(labels["energy"] + shipped.info["mesh_correction"] - shipped.info["REF_energy"]) / len(shipped)
    force = 1e3 * float(np.abs(labels["forces"] - shipped.arrays["REF_forces"]).max())
    agrees = energy <= VERIFY_ENERGY_MEV_PER_ATOM and force <= VERIFY_FORCE_MEV_PER_ANG
    print(
        f"{shipped.info['config_id']}: energy {energy:.3f} meV/atom (tolerance "
        f"{VERIFY_ENERGY_MEV_PER_ATOM}), force {force:.2f} meV/Å at most (tolerance "
        f"{VERIFY_FORCE_MEV_PER_ANG}): {'agrees' if agrees else 'DIFFERS'}"
    )
    return agrees


def _rows(
    settings: ReferenceSettings,
    results: Results,
    symbol: str,
    kept: dict[tuple[str, str], dict[str, str]],
) -> Iterable[Mapping[str, str | float]]:
    """Rows of one metal, computed from results or kept from the shipped table."""
    lattice = lattice_jobs(settings, symbol)
    middle = lattice[LATTICE_VOLUME_FACTORS.index(1.0)].content(settings)["fingerprint"]
    if _are_done(lattice, results):
        yield {**_lattice_row(lattice, results), "fingerprint": middle}
    elif ("lattice", middle) in kept:
        yield kept["lattice", middle]
    yield from _compared(settings, results, kept, _comparisons(settings, symbol))
    yield from _defect_rows(settings, results, symbol, kept)


def defect_parts(job: Job, jobs: dict[str, Job]) -> dict[str, float]:
    """What a defect energy is made of.

    Args:
        job: The cell with the defect.
        jobs: All jobs of the metal on the same mesh, by id without mesh.

    Returns:
        Id without mesh to the factor of its energy: minus the perfect crystal of the host's atoms, and for a solute
        beside a vacancy both of them alone. Empty for anything else, and for a solute alone, whose energy depends on
        the zero of its element.
    """
    if job.group not in DEFECT_GROUPS or original_of(_plain(job.config_id)):
        return {}
    crystal = reference_crystal(list(jobs.values()))
    parent = crystal if job.group == SLAB else jobs[_plain(job.parent_id)]
    name, parent_id = _plain(job.config_id), _plain(parent.config_id)
    if job.group != "solute":
        return {name: 1.0, parent_id: -_n_host(job, crystal) / len(parent.atoms)}
    prefix, _, number = name.rpartition("-")
    if int(number) % 2:
        return {}
    vacancy = prefix.removesuffix("solute") + "vacancy-01"
    return {name: 1.0, vacancy: -1.0, f"{prefix}-{int(number) - 1:02d}": -1.0, parent_id: 1.0}


def is_converged(row: Mapping[str, str]) -> bool:
    """Whether a defect energy is within the stated tolerance of the denser mesh.

    Args:
        row: A row `defect` of the convergence table.

    Returns:
        True within 20 meV, or 5 % of the energy; with hydrogen within 20 meV, for that energy depends on its zero.
    """
    energy = 0.0 if "-hydrogen-" in row["config_id"] else 1e3 * abs(float(row["defect_energy_ev"]))
    return abs(float(row["defect_energy_difference_mev"])) <= max(DEFECT_TOLERANCE_MEV, DEFECT_TOLERANCE * energy)


def defect_table(settings: ReferenceSettings, output: Path) -> str:
    """What the meshes do to the defect energies, metal by metal.

    A defect energy counts as shown where the mesh of its label is within the tolerance of a denser one, or where even
    the first mesh was within the tolerance of the label's.

    Args:
        settings: The settings table.
        output: Folder of the shipped files.

    Returns:
        A Markdown table: defect energies, how many have a denser mesh, how many are shown to be converged, the
        largest change from the first mesh to the densest, the largest difference left between the label and a denser
        mesh (both in meV), and the cells that are not shown.
    """
    table = csv.DictReader((output / CONVERGENCE_FILE).read_text().splitlines())
    rows = {row["config_id"]: row for row in table if row["kind"] == "defect"}
    labels = shipped_jobs(settings, output)
    lines = ["| metal | defects | denser mesh | shown | change | left | not shown |", "|---|---|---|---|---|---|---|"]
    for symbol in settings.elements:
        jobs = {job.config_id: job for job in dataset_jobs(settings, [symbol])}
        names = [name for name in jobs if name in labels and defect_parts(jobs[name], jobs)]
        own = {name: rows.get(labels[name].config_id) for name in names}
        first = {name: rows.get(name) for name in names}
        missing = []
        for name in names:
            row = own[name] or (first[name] if _is_dense(labels[name]) else None)
            if row is None or not is_converged(row):
                missing.append(name.split("-", 2)[2])
        if names:
            n_dense = sum(_is_dense(labels[name]) for name in names)
            numbers = [str(len(names)), str(n_dense), str(len(names) - len(missing)), _largest(first), _largest(own)]
            lines.append(f"| {symbol} | {' | '.join(numbers)} | {', '.join(missing)} |")
    return "\n".join(lines)


def _largest(rows: Mapping[str, Mapping[str, str] | None]) -> str:
    """The largest difference of some rows in meV, empty without any."""
    found = [abs(float(row["defect_energy_difference_mev"])) for row in rows.values() if row is not None]
    return f"{max(found):.0f}" if found else ""


def _defect_rows(
    settings: ReferenceSettings, results: Results, symbol: str, kept: dict[tuple[str, str], dict[str, str]]
) -> Iterable[Mapping[str, str | float]]:
    """Defect energies on each mesh but the densest, compared with that one."""
    first, dense, *checks = (
        {_plain(job.config_id): job for job in jobs}
        for jobs in (
            dataset_jobs(settings, [symbol]),
            dense_jobs(settings, [symbol]),
            *(dense_jobs(settings, [symbol], density) for density in CHECK_DENSITIES),
        )
    )
    for name in dense:
        parts = defect_parts(first[name], first)
        if not parts:
            continue
        by_density = {jobs[name].kpoint_density: jobs for jobs in (first, *checks, dense)}
        families = [by_density[density] for density in sorted(by_density)]
        done = [jobs for jobs in families if all(_has_energy(results, jobs[part]) for part in parts)]
        for jobs in families[:-1]:
            mark = jobs[name].content(settings)["fingerprint"]
            old = kept.get(("defect", mark))
            best = done[-1] if done and jobs in done[:-1] else None
            if best and not (old and _density_of(old["compared_with"]) > best[name].kpoint_density):
                energy, best_energy = (
                    sum(factor * _energy(results, one[part].config_id) for part, factor in parts.items())
                    for one in (jobs, best)
                )
                yield {
                    "kind": "defect",
                    "config_id": jobs[name].config_id,
                    **_settings_columns(jobs[name]),
                    "compared_with": best[name].config_id,
                    "defect_energy_ev": round(energy, 4),
                    "defect_energy_difference_mev": round(1e3 * (energy - best_energy), 1),
                    "fingerprint": mark,
                }
            elif old:
                yield old


def _has_energy(results: Results, job: Job) -> bool:
    """Whether the energy of a job is known."""
    return job.config_id in results or job.config_id + COARSE in results


def _density_of(config_id: str) -> float:
    """The mesh density that an id ends in, 1/(1/Å)."""
    return float(config_id.rpartition("@kd")[2])


def _compared(
    settings: ReferenceSettings,
    results: Results,
    kept: dict[tuple[str, str], dict[str, str]],
    comparisons: Iterable[tuple[str, Job, Job]],
) -> Iterable[Mapping[str, str | float]]:
    """Rows of comparisons, computed from results or kept from the shipped table."""
    for kind, job, best in comparisons:
        mark = job.content(settings)["fingerprint"]
        if _are_done((job, best), results):
            yield {**_comparison_row(kind, job, best, results), "fingerprint": mark}
        elif (kind, mark) in kept:
            yield kept[kind, mark]


def _comparisons(settings: ReferenceSettings, symbol: str) -> Iterable[tuple[str, Job, Job]]:
    """What is compared with what: kind, job, and the best job of its kind."""
    meshes = [job for job in mesh_jobs(settings, symbol) if job.config_id != job.parent_id]
    for job in meshes:
        yield "kpoints", job, meshes[-1]
    *_, high = cutoff_jobs(settings, symbol)
    yield "cutoff", meshes[0], high
    yield from _scans(settings, symbol)
    shipped = {job.config_id: job for job in dataset_jobs(settings, [symbol])}
    for tight in noise_jobs(settings, symbol):
        name = tight.config_id.partition("@")[0]
        if name in NOISE_CONFIGS:
            yield "noise", shipped[name], tight


def _scans(settings: ReferenceSettings, symbol: str) -> Iterable[tuple[str, Job, Job]]:
    """The lower cutoffs of a scan, compared with the highest one."""
    *lower, highest = scan_jobs(settings, symbol)
    for job in lower:
        yield "scan", job, highest


def _are_done(jobs: Iterable[Job], results: Results) -> bool:
    """Whether the jobs have results, and their parents; of a parent's first mesh the energy is enough."""
    return all(
        job.config_id in results and (job.parent_id in results or job.parent_id + COARSE in results) for job in jobs
    )


def _comparison_row(kind: str, job: Job, best: Job, results: Results) -> dict[str, str | float]:
    """Forces and energy above the perfect crystal, against the best run."""
    forces, best_forces = (1e3 * np.array(_labels(results, one)["forces"]) for one in (job, best))
    energies: dict[str, str | float] = {}
    if job.parent_id != job.config_id:
        energy, best_energy = (_relative_energy(results, one) for one in (job, best))
        energies = {
            "relative_energy_mev_per_atom": round(energy, 2),
            "relative_energy_difference_mev_per_atom": round(energy - best_energy, 2),
        }
    return {
        "kind": kind,
        "config_id": job.config_id,
        **_settings_columns(job),
        "compared_with": best.config_id,
        "force_rms_mev_per_ang": round(_rms(forces), 1),
        "force_difference_rms_mev_per_ang": round(_rms(forces - best_forces), 2),
        "force_difference_max_mev_per_ang": round(float(np.abs(forces - best_forces).max()), 2),
        **energies,
        "cpu_seconds": results[job.config_id]["cpu_seconds"],
    }


def _lattice_row(jobs: list[Job], results: Results) -> dict[str, str | float]:
    """Equilibrium volume and bulk modulus, and what the fixed basis does to the pressure."""
    volumes = [job.atoms.get_volume() / len(job.atoms) for job in jobs]
    energies = [_labels(results, job)["energy"] / len(job.atoms) for job in jobs]
    volume, _, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    middle = LATTICE_VOLUME_FACTORS.index(1.0)
    stress = np.array(_labels(results, jobs[middle])["stress"])
    slope = np.polyval(np.polyder(np.polyfit(volumes, energies, 3)), volumes[middle])
    return {
        "kind": "lattice",
        "config_id": jobs[middle].config_id,
        **_settings_columns(jobs[middle]),
        "volume_ang3_per_atom": round(volume, 3),
        "bulk_modulus_gpa": round(modulus / GPa, 1),
        "plane_wave_pressure_gpa": round(float(slope - np.trace(stress) / 3) / GPa, 2),
        "cpu_seconds": round(sum(results[job.config_id]["cpu_seconds"] for job in jobs), 2),
    }


def _settings_columns(job: Job) -> dict[str, str | float]:
    """What was varied."""
    return {
        "kpoints_per_inverse_angstrom": job.kpoint_density,
        "kpoints": "x".join(str(number) for number in job.kpoints),
        "cutoff_ev": job.cutoff_ev,
    }


def _mesh_correction(job: Job, results: Results, reference: Job) -> float:
    """What moves an energy from the mesh of its own cell to that of the reference crystal, eV.

    The perfect crystal has one energy per atom on the job's mesh and another on that of the reference crystal. The
    difference, for each atom of the host, is taken off. A slab has no perfect crystal in its own cell, and keeps the
    error of its mesh.
    """
    if "-bulk-" not in job.parent_id:  # the parent of a slab is a slab
        return 0.0
    best, parent = (_energy_per_atom(results, name) for name in (reference.config_id, job.parent_id))
    return _n_host(job, reference) * (best - parent)


def _chosen(jobs: list[Job], dense: list[Job], results: Results) -> dict[str, Job]:
    """Which mesh each configuration of a metal has: id of the configuration to job.

    The cells of one parent change to the denser mesh together, those with hydrogen by themselves, when all of them that
    there are have it, and only after the reference crystal, the strained crystals and the unrelaxed slab.
    """
    on_dense_mesh = {_plain(job.config_id): job for job in dense}
    first = {job.config_id: job for job in jobs if _are_done([job], results)}
    only_dense = {name for name in on_dense_mesh if name + COARSE in results and name not in first}
    there = {name for name in on_dense_mesh if name in first or name in only_dense}
    waiting: dict[tuple[str, bool], bool] = {}
    for name in there:
        family = _family(on_dense_mesh[name])
        waiting[family] = waiting.get(family, False) or not _are_done([on_dense_mesh[name]], results)
    starts = {_family(reference_crystal(jobs)), *(family for family in waiting if f"-{SLAB}-" in family[0])}
    has_started = not any(waiting.get(family, True) for family in starts)
    chosen = {}
    for job in jobs:
        name = job.config_id
        is_complete = has_started and not waiting.get(_family(job), True)
        if name in only_dense or (name in there and is_complete):
            chosen[name] = on_dense_mesh[name]
        elif name in first:
            chosen[name] = job
    return chosen


def _family(job: Job) -> tuple[str, bool]:
    """The cells that change their mesh together: those of one parent, with hydrogen or without."""
    return _plain(job.parent_id), job.group == "hydrogen"


def _is_dense(job: Job) -> bool:
    """Whether the job is one of `dense_jobs`."""
    return "@kd" in job.config_id


def _plain(config_id: str) -> str:
    """The id of a configuration, without what was varied."""
    return config_id.partition("@")[0]


def _energy(results: Results, config_id: str) -> float:
    """Energy of a result, eV; of the first mesh also where only its energy is left."""
    result = results[config_id] if config_id in results else results[config_id + COARSE]
    return float(result["labels"]["energy"])


def _energy_per_atom(results: Results, config_id: str) -> float:
    """The same for each atom, eV."""
    result = results[config_id] if config_id in results else results[config_id + COARSE]
    return float(result["labels"]["energy"]) / len(result["labels"]["forces"])


def _first_energy(results: Results, job: Job) -> float:
    """Energy of a dense job's configuration on the first mesh, eV."""
    return _energy(results, _plain(job.config_id))


def _n_host(job: Job, reference: Job) -> int:
    """Number of atoms of the metal."""
    return int((job.atoms.numbers == reference.atoms.numbers[0]).sum())


def _relative_energy(results: Results, job: Job) -> float:
    """Energy above as many atoms of the perfect crystal in the same cell and mesh, meV/atom."""
    return 1e3 * (_energy(results, job.config_id) / len(job.atoms) - _energy_per_atom(results, job.parent_id))


def _result_of(atoms: Atoms) -> dict[str, Any]:
    """A shipped configuration in the shape of a result file; the inverse of `labelled`."""
    info = atoms.info
    labels = {
        "energy": info["REF_energy"] - info["mesh_correction"],
        "energy_sigma0": info["REF_energy_sigma0"] - info["mesh_correction"],
        "forces": atoms.arrays["REF_forces"].tolist(),
    }
    if "REF_stress" in info:
        labels["stress"] = info["REF_stress"].tolist()
    if "REF_magnetic_moment" in info:
        labels["magnetic_moment"] = info["REF_magnetic_moment"]
        labels["magnetic_moments"] = atoms.arrays["REF_magnetic_moments"].tolist()
    return {
        "config_id": info["config_id"],
        "fingerprint": info["fingerprint"],
        "labels": labels,
        "scf": {"converged": info["scf_converged"], "n_iterations": info["scf_iterations"]},
        "cpu_seconds": info["cpu_seconds"],
        "versions": {package: info[_version_key(package)] for package in PACKAGES},
    }


def _version_key(package: str) -> str:
    """Key of a package's version in `info`."""
    return f"{package.replace('-', '_')}_version"


def _labels(results: Results, job: Job) -> dict[str, Any]:
    """The labels of a job's result."""
    labels: dict[str, Any] = results[job.config_id]["labels"]
    return labels


def _rms(values: np.ndarray) -> float:
    """Root mean square of all entries."""
    return float(np.sqrt(np.mean(values**2)))


def _write(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(text)
    temporary.replace(path)
