"""Convergence with mesh and cutoff: convergence.csv, and the table of defect energies on the data card."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from ase.eos import EquationOfState
from ase.units import GPa

from engine.files import write_text
from engine.registry.label_convergence import is_within_tolerance
from precompute.dft.check_jobs import (
    CHECK_DENSITIES,
    LATTICE_VOLUME_FACTORS,
    NOISE_CONFIGS,
    cutoff_jobs,
    lattice_jobs,
    mesh_jobs,
    noise_jobs,
    scan_jobs,
)
from precompute.dft.collect import (
    COARSE,
    SLAB,
    Results,
    are_done,
    energy,
    is_dense,
    labels,
    n_host,
    plain,
    relative_energy,
    rms,
    settings_columns,
    shipped_jobs,
)
from precompute.dft.jobs import DENSE_GROUPS, Job, dataset_jobs, dense_jobs, original_of, reference_crystal
from precompute.dft.settings import ReferenceSettings

CONVERGENCE_FILE = "convergence.csv"


DEFECT_GROUPS = tuple(group for group in DENSE_GROUPS if group != "eos")

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
        rows += compared(settings, results, kept, _scans(settings, symbol))
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, CONVERGENCE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def defect_parts(job: Job, jobs: dict[str, Job]) -> dict[str, float]:
    """The total energies that a defect energy is a sum of.

    Args:
        job: The cell with the defect.
        jobs: All jobs of the metal on the same mesh, by id without mesh.

    Returns:
        Id without mesh to the factor of its energy: minus the perfect crystal of the host's atoms, and for a solute
        beside a vacancy both of them alone. Empty for anything else, and for a solute alone, whose energy depends on
        the zero of its element.
    """
    if job.group not in DEFECT_GROUPS or original_of(plain(job.config_id)):
        return {}
    crystal = reference_crystal(list(jobs.values()))
    parent = crystal if job.group == SLAB else jobs[plain(job.parent_id)]
    name, parent_id = plain(job.config_id), plain(parent.config_id)
    if job.group != "solute":
        return {name: 1.0, parent_id: -n_host(job, crystal) / len(parent.atoms)}
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
    change = float(row["defect_energy_difference_mev"])
    return is_within_tolerance(float(row["defect_energy_ev"]), change, is_absolute="-hydrogen-" in row["config_id"])


def defect_table(settings: ReferenceSettings, output: Path) -> str:
    """Changes of defect energies with the mesh, metal by metal.

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
    rows, labels = _shipped_rows(output), shipped_jobs(settings, output)
    lines = ["| metal | defects | denser mesh | shown | change | left | not shown |", "|---|---|---|---|---|---|---|"]
    for symbol in settings.elements:
        names = _shipped_defects(dataset_jobs(settings, [symbol]), labels)
        missing = [name.split("-", 2)[2] for name in _not_shown(names, rows, labels)]
        if names:
            own = [rows.get(labels[name].config_id) for name in names]
            first = [rows.get(name) for name in names]
            n_dense = sum(is_dense(labels[name]) for name in names)
            numbers = [str(len(names)), str(n_dense), str(len(names) - len(missing)), _largest(first), _largest(own)]
            lines.append(f"| {symbol} | {' | '.join(numbers)} | {', '.join(missing)} |")
    return "\n".join(lines)


def unshown_jobs(settings: ReferenceSettings, output: Path, symbols: Sequence[str], density: float) -> list[Job]:
    """What defect and binding energies that are not shown to be converged are made of, on a mesh that may show it.

    Args:
        settings: The settings table.
        output: Folder of the shipped files.
        symbols: Metals.
        density: K-points per reciprocal length, 1/(1/Å), from CHECK_DENSITIES.

    Returns:
        One job per cell; none for defect energies whose label has that mesh or a denser one.
    """
    rows, labels = _shipped_rows(output), shipped_jobs(settings, output)
    chosen = []
    for symbol in (symbol for symbol in symbols if symbol in settings.elements):
        jobs = dataset_jobs(settings, [symbol])
        first = {job.config_id: job for job in jobs}
        shipped = _shipped_defects(jobs, labels)
        names = _not_shown(shipped, rows, labels)
        names += [one for name in _loose(shipped, rows, labels) for one in (name, _vacancy_beside(name))]
        wanted = {
            part for name in names if labels[name].kpoint_density < density for part in defect_parts(first[name], first)
        }
        chosen += [job for job in dense_jobs(settings, [symbol], density) if plain(job.config_id) in wanted]
    return chosen


def loose_bindings(settings: ReferenceSettings, output: Path, symbol: str) -> list[str]:
    """Divacancies of a metal whose binding energy is not shown to be converged, as ids without mesh.

    A binding energy is the energy of a divacancy less that of two vacancies in cells of the same size. It is far
    smaller than these and has the same tolerance, so it needs a test of its own, in which all are compared with one
    mesh.

    Args:
        settings: The settings table.
        output: Folder of the shipped files.
        symbol: The metal.
    """
    labels = shipped_jobs(settings, output)
    return _loose(_shipped_defects(dataset_jobs(settings, [symbol]), labels), _shipped_rows(output), labels)


def _loose(names: Sequence[str], rows: Mapping[str, Mapping[str, str]], labels: Mapping[str, Job]) -> list[str]:
    """Those of some defect energies that are divacancies of which `loose_bindings` speaks."""
    loose = []
    for name in names:
        if "-divacancy-" not in name:
            continue
        pair, vacancy = (rows.get(labels[one].config_id) or rows.get(one) for one in (name, _vacancy_beside(name)))
        if pair is None or vacancy is None or _meshes(pair) != _meshes(vacancy):
            loose.append(name)
            continue
        energy = float(pair["defect_energy_ev"]) - 2 * float(vacancy["defect_energy_ev"])
        change = float(pair["defect_energy_difference_mev"]) - 2 * float(vacancy["defect_energy_difference_mev"])
        if not is_within_tolerance(energy, change):
            loose.append(name)
    return loose


def _vacancy_beside(divacancy: str) -> str:
    """Id of the vacancy in a cell of the same size."""
    return f"{divacancy.partition('-divacancy-')[0]}-vacancy-03"


def _meshes(row: Mapping[str, str]) -> tuple[str, str]:
    """The mesh of a row and that which it is compared with."""
    return row["kpoints_per_inverse_angstrom"], row["compared_with"].rpartition("@kd")[2]


def _shipped_rows(output: Path) -> dict[str, Mapping[str, str]]:
    """Rows `defect` of the convergence table, by id with mesh."""
    table = csv.DictReader((output / CONVERGENCE_FILE).read_text().splitlines())
    return {row["config_id"]: row for row in table if row["kind"] == "defect"}


def _shipped_defects(jobs: Iterable[Job], labels: Mapping[str, Job]) -> list[str]:
    """Ids without mesh of those jobs of one metal whose labels make a defect energy."""
    by_id = {job.config_id: job for job in jobs}
    return [name for name in by_id if name in labels and defect_parts(by_id[name], by_id)]


def _not_shown(names: Sequence[str], rows: Mapping[str, Mapping[str, str]], labels: Mapping[str, Job]) -> list[str]:
    """Those of some defect energies that are not shown to be converged, as `defect_table` has it."""
    missing = []
    for name in names:
        row = rows.get(labels[name].config_id) or (rows.get(name) if is_dense(labels[name]) else None)
        if row is None or not is_converged(row):
            missing.append(name)
    return missing


def _largest(rows: Iterable[Mapping[str, str] | None]) -> str:
    """The largest difference of some rows in meV, empty without any."""
    found = [abs(float(row["defect_energy_difference_mev"])) for row in rows if row is not None]
    return f"{max(found):.0f}" if found else ""


def defect_rows(
    settings: ReferenceSettings, results: Results, symbol: str, kept: dict[tuple[str, str], dict[str, str]]
) -> Iterable[Mapping[str, str | float]]:
    """Defect energies on each mesh but the densest, compared with that one."""
    first, dense, *checks = (
        {plain(job.config_id): job for job in jobs}
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
                defect, best_defect = (
                    sum(factor * energy(results, one[part].config_id) for part, factor in parts.items())
                    for one in (jobs, best)
                )
                yield {
                    "kind": "defect",
                    "config_id": jobs[name].config_id,
                    **settings_columns(jobs[name]),
                    "compared_with": best[name].config_id,
                    "defect_energy_ev": round(defect, 4),
                    "defect_energy_difference_mev": round(1e3 * (defect - best_defect), 1),
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


def compared(
    settings: ReferenceSettings,
    results: Results,
    kept: dict[tuple[str, str], dict[str, str]],
    comparisons: Iterable[tuple[str, Job, Job]],
) -> Iterable[Mapping[str, str | float]]:
    """Rows of comparisons, computed from results or kept from the shipped table."""
    for kind, job, best in comparisons:
        mark = job.content(settings)["fingerprint"]
        if are_done((job, best), results):
            yield {**_comparison_row(kind, job, best, results), "fingerprint": mark}
        elif (kind, mark) in kept:
            yield kept[kind, mark]


def comparisons(settings: ReferenceSettings, symbol: str) -> Iterable[tuple[str, Job, Job]]:
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


def _comparison_row(kind: str, job: Job, best: Job, results: Results) -> dict[str, str | float]:
    """Forces and energy above the perfect crystal, against the best run."""
    forces, best_forces = (1e3 * np.array(labels(results, one)["forces"]) for one in (job, best))
    energies: dict[str, str | float] = {}
    if job.parent_id != job.config_id:
        energy, best_energy = (relative_energy(results, one) for one in (job, best))
        energies = {
            "relative_energy_mev_per_atom": round(energy, 2),
            "relative_energy_difference_mev_per_atom": round(energy - best_energy, 2),
        }
    return {
        "kind": kind,
        "config_id": job.config_id,
        **settings_columns(job),
        "compared_with": best.config_id,
        "force_rms_mev_per_ang": round(rms(forces), 1),
        "force_difference_rms_mev_per_ang": round(rms(forces - best_forces), 2),
        "force_difference_max_mev_per_ang": round(float(np.abs(forces - best_forces).max()), 2),
        **energies,
        "cpu_seconds": results[job.config_id]["cpu_seconds"],
    }


def lattice_row(jobs: list[Job], results: Results) -> dict[str, str | float]:
    """Equilibrium volume (Å³/atom) and bulk modulus, and the error of the pressure by the fixed basis."""
    volumes = [job.atoms.get_volume() / len(job.atoms) for job in jobs]
    energies = [labels(results, job)["energy"] / len(job.atoms) for job in jobs]
    volume, _, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    middle = LATTICE_VOLUME_FACTORS.index(1.0)
    stress = np.array(labels(results, jobs[middle])["stress"])
    slope = np.polyval(np.polyder(np.polyfit(volumes, energies, 3)), volumes[middle])
    return {
        "kind": "lattice",
        "config_id": jobs[middle].config_id,
        **settings_columns(jobs[middle]),
        "volume_ang3_per_atom": round(volume, 3),
        "bulk_modulus_gpa": round(modulus / GPa, 1),
        "plane_wave_pressure_gpa": round(float(slope - np.trace(stress) / 3) / GPa, 2),
        "cpu_seconds": round(sum(results[job.config_id]["cpu_seconds"] for job in jobs), 2),
    }


def _rows(
    settings: ReferenceSettings,
    results: Results,
    symbol: str,
    kept: dict[tuple[str, str], dict[str, str]],
) -> Iterable[Mapping[str, str | float]]:
    """Rows of one metal, computed from results or kept from the shipped table."""
    lattice = lattice_jobs(settings, symbol)
    middle = lattice[LATTICE_VOLUME_FACTORS.index(1.0)].content(settings)["fingerprint"]
    if are_done(lattice, results):
        yield {**lattice_row(lattice, results), "fingerprint": middle}
    elif ("lattice", middle) in kept:
        yield kept["lattice", middle]
    yield from compared(settings, results, kept, comparisons(settings, symbol))
    yield from defect_rows(settings, results, symbol, kept)
