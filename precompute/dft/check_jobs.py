"""Calculations that check others: denser meshes, higher cutoffs, equations of state, and the noise of the labels."""

from dataclasses import replace

from engine.cells.lattices import NamedStructure, primitive_cell, two_atom_cell
from precompute.dft.jobs import Job, dataset_jobs, displaced_addition, displaced_pair, kpoint_mesh, make_job, variant_of
from precompute.dft.settings import ReferenceSettings

MESH_DENSITIES = (2.65, 3.98, 5.31, 6.37)

CUTOFF_STEP = 150.0

SCANNED_CUTOFFS = (350.0, 450.0, 550.0)

# Meshes on which some defect energies were computed, to choose theirs and to see what is left of its error.
CHECK_DENSITIES = (5.31, 6.0, 8.0, 10.0)


NOISE_DENSITY = 5.31

NOISE_CUTOFF_STEP = 100.0

# Recomputed at tighter settings: cells with forces, which keep the mesh of all cells; simple and transition metals of
# the three lattices, one magnet.
NOISE_CONFIGS = (
    "al-fcc-rattled-02",
    "be-hcp-displaced-02",
    "cu-fcc-displaced-02",
    "fe-bcc-displaced-02",
    "li-bcc-boundary-02",
    "li-bcc-surface-02",
    "mg-hcp-displaced-02",
    "na-bcc-displaced-02",
    "nb-bcc-displaced-02",
    "ti-hcp-displaced-02",
    "v-bcc-displaced-02",
    "w-bcc-displaced-02",
)

LATTICE_DENSITY = 5.31

LATTICE_VOLUME_FACTORS = (0.94, 0.97, 1.0, 1.03, 1.06)


def convergence_jobs(settings: ReferenceSettings, symbols: list[str]) -> list[Job]:
    """Jobs beside the dataset's own, the cheapest evidence of every metal first.

    Cutoffs and meshes on a two-atom cell with one displaced atom (`scan_jobs`, `mesh_jobs`,
    `cutoff_jobs`), the lattice constants (`lattice_jobs`), and some shipped cells with their
    parents at tighter settings (`noise_jobs`).

    Args:
        settings: The settings table.
        symbols: Metals.

    Returns:
        Jobs whose ids end in what was varied, for example `w-displaced@kd5.31`.
    """
    makers = (mesh_jobs, cutoff_jobs, lattice_jobs, noise_jobs)
    scans = [job for symbol in (*symbols, *settings.additions) for job in scan_jobs(settings, symbol)]
    return scans + [job for make in makers for symbol in symbols for job in make(settings, symbol)]


def mesh_jobs(settings: ReferenceSettings, symbol: str) -> list[Job]:
    """The displaced cell and its parent on each of `MESH_DENSITIES`.

    Args:
        settings: The settings table.
        symbol: The metal.

    Returns:
        Two jobs per density, parent first.
    """
    cutoff = settings.elements[symbol].cutoff_ev
    pair = displaced_pair(settings, symbol)
    return [variant_of(job, density, cutoff) for density in MESH_DENSITIES for job in pair]


def cutoff_jobs(settings: ReferenceSettings, symbol: str) -> list[Job]:
    """The displaced cell and its parent with a cutoff raised by `CUTOFF_STEP`.

    Args:
        settings: The settings table.
        symbol: The metal.

    Returns:
        Two jobs at the coarsest mesh, parent first.
    """
    cutoff = settings.elements[symbol].cutoff_ev + CUTOFF_STEP
    pair = displaced_pair(settings, symbol)
    return [variant_of(job, MESH_DENSITIES[0], cutoff) for job in pair]


def scan_jobs(settings: ReferenceSettings, symbol: str) -> list[Job]:
    """A displaced atom with each of `SCANNED_CUTOFFS`, from which an element's cutoff was chosen.

    Args:
        settings: The settings table.
        symbol: A metal, in its two-atom cell, or hydrogen, in the cell of Al with four atoms.

    Returns:
        One job per cutoff, each its own parent: only the forces are compared.
    """
    displaced = displaced_pair(settings, symbol)[1] if symbol in settings.elements else displaced_addition(settings)
    jobs = []
    for cutoff in SCANNED_CUTOFFS:
        job = variant_of(displaced, MESH_DENSITIES[0], cutoff)
        name = f"{displaced.config_id}@scan{cutoff:.0f}"
        jobs.append(replace(job, config_id=name, parent_id=name))
    return jobs


def noise_jobs(settings: ReferenceSettings, symbol: str) -> list[Job]:
    """The metal's configurations of `NOISE_CONFIGS` and their parents, at tighter settings.

    Args:
        settings: The settings table.
        symbol: The metal.

    Returns:
        Jobs on a mesh of `NOISE_DENSITY` with a cutoff raised by `NOISE_CUTOFF_STEP`.
    """
    jobs = {job.config_id: job for job in dataset_jobs(settings, [symbol])}
    chosen = [jobs[name] for name in NOISE_CONFIGS if name in jobs]
    wanted = dict.fromkeys(name for job in chosen for name in (job.parent_id, job.config_id))
    tight = []
    for job in (jobs[name] for name in wanted):
        parent_cell = jobs[job.parent_id].atoms.cell
        variant = variant_of(job, NOISE_DENSITY, job.cutoff_ev + NOISE_CUTOFF_STEP)
        mesh = kpoint_mesh(parent_cell, NOISE_DENSITY, has_vacuum=job.group == "surface")
        tight.append(replace(variant, kpoints=mesh))
    return tight


def lattice_jobs(settings: ReferenceSettings, symbol: str) -> list[Job]:
    """Equation of state of the primitive cell, with one dense mesh for all volumes.

    Args:
        settings: The settings table.
        symbol: The metal.

    Returns:
        One job per entry of `LATTICE_VOLUME_FACTORS`.
    """
    has_two = settings.elements[symbol].is_antiferromagnetic
    primitive = (two_atom_cell if has_two else primitive_cell)(settings.lattice(symbol))
    parent_id = f"{symbol.lower()}-lattice@volume1.00"
    jobs = []
    for factor in LATTICE_VOLUME_FACTORS:
        atoms = primitive.copy()
        atoms.set_cell(primitive.cell * factor ** (1 / 3), scale_atoms=True)
        structure = NamedStructure(f"{symbol.lower()}-lattice@volume{factor:.2f}", "eos", atoms, parent_id, True)
        mesh = kpoint_mesh(primitive.cell, LATTICE_DENSITY)
        job = make_job(settings, symbol, structure, mesh, LATTICE_DENSITY)
        jobs.append(replace(job, computes_stress=True))
    return jobs
