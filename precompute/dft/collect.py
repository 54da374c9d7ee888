"""Collected DFT results: the extended XYZ file, the convergence table and the comparison of both.

Reads finished results and writes the files that ship in `data/embedded/`; starts no calculation.
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from engine.data_folder import EMBEDDED
from engine.errors import DatasetError, SettingsError
from engine.files import write_text
from precompute.dft.check_jobs import CHECK_DENSITIES
from precompute.dft.jobs import Job, dataset_jobs, dense_jobs, original_of, reference_crystal
from precompute.dft.settings import ReferenceSettings

DATASET_ID = "open-defects"

PACKAGES = ("gpaw", "gpaw-data", "ase", "numpy", "scipy")

DATASET_FILE = "open-defects.extxyz"

COARSE = "@coarse"  # ends the id of what is kept of a cell's first mesh beside its denser one: the energy
SLAB = "surface"

SAME_PLACE = 1e-7  # Å; the shipped file has eight decimals

FINGERPRINT_PREFIX = "sha256:"  # without it, readers of extended XYZ take a fingerprint of digits for a number

VERIFY_ENERGY_MEV_PER_ATOM = 0.5

VERIFY_FORCE_MEV_PER_ANG = 3.0

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
            done = [job for job in jobs if are_done([job], results)]
            frames += [labelled(job, settings, results, None) for job in done]
            continue
        chosen = _chosen(jobs, _dense(settings, symbol, results), results)
        reference = chosen.get(reference_crystal(jobs).config_id)
        for job in (chosen[job.config_id] for job in jobs if job.config_id in chosen and reference is not None):
            original = chosen.get(original_of(job.config_id) or "")
            frames.append(labelled(job, settings, results, reference, original))
    if not frames:
        return
    text = io.StringIO()
    ase.io.write(text, frames, format="extxyz")
    write_text(output / DATASET_FILE, text.getvalue())


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
    if original is not None and reference is not None and is_dense(original):
        correction = _mesh_correction(original, results, reference) + energy(results, original.config_id)
        correction -= _first_energy(results, original)
    atoms = Atoms(job.atoms.numbers, positions=job.atoms.positions, cell=job.atoms.cell, pbc=True)
    labels, scf, versions = result["labels"], result["scf"], result["versions"]
    atoms.info = {
        "config_id": plain(job.config_id),
        "dataset": DATASET_ID,
        "group": job.group,
        "parent_id": plain(job.parent_id),
        "REF_energy": labels["energy"] + correction,
        "REF_energy_sigma0": labels["energy_sigma0"] + correction,
        "mesh_correction": correction,
    }
    if is_dense(job):
        atoms.info["first_mesh_ev"] = _first_energy(results, job)
    if job.computes_stress and "stress" in labels:
        atoms.info["REF_stress"] = np.array(labels["stress"]).ravel()
    if job.is_spin_polarized(settings):
        atoms.info["REF_magnetic_moment"] = labels["magnetic_moment"]
        atoms.set_array("REF_magnetic_moments", np.array(labels["magnetic_moments"]))
    atoms.info |= {
        "functional": settings.common.functional,
        "cutoff_ev": job.cutoff_ev,
        "kpoints": _mesh_text(job),
        "kpoints_per_inverse_angstrom": job.kpoint_density,
        "smearing_ev": settings.common.smearing_ev,
        "setup": _setup_text(job, settings),
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
        labels, under the id of its dense job, and its energy on the first mesh, under an id that ends in `COARSE`. The
        denser mesh may be one that the table named before.
    """
    results: Results = {}
    for job, atoms in _shipped(settings, output):
        results[job.config_id] = _result_of(atoms) | {"is_shipped": True}
        if is_dense(job):
            results[atoms.info["config_id"] + COARSE] = {
                "labels": {"energy": atoms.info["first_mesh_ev"], "forces": [[0.0] * 3] * len(atoms)}
            }
    return results


def _shipped(settings: ReferenceSettings, output: Path) -> Iterator[tuple[Job, Atoms]]:
    """The shipped configurations that still fit the settings table, with the job that each is the result of."""
    if not (output / DATASET_FILE).exists():
        return
    left = {atoms.info["config_id"]: atoms for atoms in read_shipped(output)}
    for density in (None, *CHECK_DENSITIES):
        jobs = dense_jobs(settings, settings.systems, density)
        for job in jobs if density else [*dataset_jobs(settings, settings.systems), *jobs]:
            atoms = left.get(plain(job.config_id))
            if atoms is not None and is_result_of(atoms, job, settings):
                yield job, left.pop(plain(job.config_id))
        if not left:
            return


def _dense(settings: ReferenceSettings, symbol: str, results: Results) -> list[Job]:
    """The dense jobs of a metal.

    Cells that ship on a mesh that the table named before keep it until all cells of their parent have the table's.
    """
    dense = dense_jobs(settings, [symbol])
    ships = {name for name, result in results.items() if result.get("is_shipped")} - {job.config_id for job in dense}
    if not any(name.startswith(f"{symbol.lower()}-") and "@kd" in name for name in ships):
        return dense
    before = {
        plain(job.config_id): job
        for density in CHECK_DENSITIES
        for job in dense_jobs(settings, [symbol], density)
        if job.config_id in ships
    }
    waiting = {_family(job) for job in dense if plain(job.config_id) in before and not are_done([job], results)}
    return [before.get(plain(job.config_id), job) if _family(job) in waiting else job for job in dense]


def is_result_of(atoms: Atoms, job: Job, settings: ReferenceSettings) -> bool:
    """Whether a shipped configuration is the result of a job.

    The fingerprint decides where it is the same. The last digits of some generated positions differ from processor to
    processor, and with them the fingerprint; then structure and settings decide.

    Args:
        atoms: As `read_shipped` returns it.
        job: A job of the same configuration.
        settings: The settings table.
    """
    if atoms.info["fingerprint"] == job.content(settings)["fingerprint"]:
        return True
    own = {"cutoff_ev": job.cutoff_ev, "kpoints": _mesh_text(job), "setup": _setup_text(job, settings)}
    return (
        all(atoms.info[key] == value for key, value in own.items())
        and np.array_equal(atoms.numbers, job.atoms.numbers)
        and np.allclose(atoms.cell, job.atoms.cell, rtol=0, atol=SAME_PLACE)
        and np.allclose(atoms.positions, job.atoms.positions, rtol=0, atol=SAME_PLACE)
    )


def _mesh_text(job: Job) -> str:
    return "x".join(str(number) for number in job.kpoints)


def _setup_text(job: Job, settings: ReferenceSettings) -> str:
    setup = job.setup(settings)
    return setup if isinstance(setup, str) else " ".join(f"{key}:{setup[key]}" for key in setup)


def shipped_jobs(settings: ReferenceSettings, output: Path) -> dict[str, Job]:
    """The jobs that made the shipped configurations.

    Args:
        settings: The settings table.
        output: Folder of the shipped files; may be empty.

    Returns:
        Id of the configuration to the job, on the mesh that the shipped labels have.
    """
    return {plain(job.config_id): job for job, _ in _shipped(settings, output)}


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


def are_done(jobs: Iterable[Job], results: Results) -> bool:
    """Whether the jobs and their parents have results; the energy is enough for a parent's first mesh."""
    return all(
        job.config_id in results and (job.parent_id in results or job.parent_id + COARSE in results) for job in jobs
    )


def settings_columns(job: Job) -> dict[str, str | float]:
    """What was varied."""
    return {
        "kpoints_per_inverse_angstrom": job.kpoint_density,
        "kpoints": _mesh_text(job),
        "cutoff_ev": job.cutoff_ev,
    }


def _mesh_correction(job: Job, results: Results, reference: Job) -> float:
    """Correction of an energy from the mesh of its own cell to that of the reference crystal, eV.

    The perfect crystal has one energy per atom on the job's mesh and another on that of the reference crystal. The
    difference, for each atom of the host, is taken off. A slab has no perfect crystal in its own cell, and keeps the
    error of its mesh.
    """
    if "-bulk-" not in job.parent_id:  # the parent of a slab is a slab
        return 0.0
    best, parent = (_energy_per_atom(results, name) for name in (reference.config_id, job.parent_id))
    return n_host(job, reference) * (best - parent)


def _chosen(jobs: list[Job], dense: list[Job], results: Results) -> dict[str, Job]:
    """Job on the mesh that each configuration of a metal has, by id of the configuration.

    The cells of one parent change to the denser mesh together, those with hydrogen by themselves, when all of them that
    there are have it, and only after the reference crystal, the strained crystals and the unrelaxed slab.
    """
    on_dense_mesh = {plain(job.config_id): job for job in dense}
    first = {job.config_id: job for job in jobs if are_done([job], results)}
    only_dense = {name for name in on_dense_mesh if name + COARSE in results and name not in first}
    there = {name for name in on_dense_mesh if name in first or name in only_dense}
    waiting: dict[tuple[str, bool], bool] = {}
    for name in there:
        family = _family(on_dense_mesh[name])
        waiting[family] = waiting.get(family, False) or not are_done([on_dense_mesh[name]], results)
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
    return plain(job.parent_id), job.group == "hydrogen"


def is_dense(job: Job) -> bool:
    """Whether the job is one of `dense_jobs`."""
    return "@kd" in job.config_id


def plain(config_id: str) -> str:
    """The id of a configuration, without what was varied."""
    return config_id.partition("@")[0]


def energy(results: Results, config_id: str) -> float:
    """Energy of a result, eV; of the first mesh also where only its energy is left."""
    result = results[config_id] if config_id in results else results[config_id + COARSE]
    return float(result["labels"]["energy"])


def _energy_per_atom(results: Results, config_id: str) -> float:
    """Energy per atom of a result, eV/atom."""
    result = results[config_id] if config_id in results else results[config_id + COARSE]
    return float(result["labels"]["energy"]) / len(result["labels"]["forces"])


def _first_energy(results: Results, job: Job) -> float:
    """Energy of a dense job's configuration on the first mesh, eV."""
    return energy(results, plain(job.config_id))


def n_host(job: Job, reference: Job) -> int:
    """Number of atoms of the metal."""
    return int((job.atoms.numbers == reference.atoms.numbers[0]).sum())


def relative_energy(results: Results, job: Job) -> float:
    """Energy above as many atoms of the perfect crystal in the same cell and mesh, meV/atom."""
    return 1e3 * (energy(results, job.config_id) / len(job.atoms) - _energy_per_atom(results, job.parent_id))


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


def labels(results: Results, job: Job) -> dict[str, Any]:
    """The labels of a job's result."""
    labels: dict[str, Any] = results[job.config_id]["labels"]
    return labels


def rms(values: np.ndarray) -> float:
    """Root mean square of all entries."""
    return float(np.sqrt(np.mean(values**2)))
