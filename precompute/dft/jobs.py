"""The DFT jobs that follow from the settings table.

A job is one JSON file that defines one calculation completely. Its fingerprint is the hash of
that definition: a result with the same fingerprint is the same calculation.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.cell import Cell

from engine.cells.alloys import Alloy, alloy_structures
from engine.cells.defects import more_structures
from engine.cells.lattices import NamedStructure, structures, two_atom_cell
from precompute.dft.settings import ReferenceSettings

LOW_SYMMETRY_GROUPS = ("fault", "interstitial", "divacancy", "hydrogen", "solute", "displaced")
DISPLACEMENT_FRACTION = 0.04

# Cells whose energies are compared: they and their perfect crystals have a mesh of their own (`dense_jobs`).
DENSE_GROUPS = (
    "eos",
    "vacancy",
    "surface",
    "fault",
    "boundary",
    "interstitial",
    "divacancy",
    "hydrogen",
    "solute",
)

STACKED_GROUPS = ("surface", "fault", "boundary")

# Copies of a defect displaced at random. Without symmetry they cost most, and are there for their forces: they keep the
# mesh of all cells, and what that mesh does to the energy is taken from the cell that they are copies of.
RATTLED_COPIES = {
    "vacancy-02": "vacancy-01",
    "surface-02": "surface-01",
    "boundary-02": "boundary-01",
    "boundary-03": "boundary-01",
    "interstitial-02": "interstitial-01",
    "hydrogen-02": "hydrogen-01",
}


@dataclass(frozen=True)
class Job:
    """One calculation.

    Attributes:
        config_id: Id of the configuration, or of the convergence run.
        group: Group of the configuration.
        parent_id: Perfect crystal in the same cell and mesh.
        symbol: The metal or alloy, one of `ReferenceSettings.systems`.
        atoms: The structure, Å.
        kpoints: Numbers of k-points of the Gamma-centred mesh.
        use_point_group: Whether the crystal's point group reduces the mesh.
        kpoint_density: What the mesh was made from, 1/(1/Å).
        cutoff_ev: Plane-wave cutoff, eV.
        computes_stress: Whether the stress is wanted too; no part of the fingerprint.
    """

    config_id: str
    group: str
    parent_id: str
    symbol: str
    atoms: Atoms
    kpoints: tuple[int, int, int]
    use_point_group: bool
    kpoint_density: float
    cutoff_ev: float
    computes_stress: bool

    def content(self, settings: ReferenceSettings) -> dict[str, Any]:
        """What the job file holds, fingerprint included.

        Args:
            settings: The table that the job was made from.

        Returns:
            JSON-ready dictionary.
        """
        content: dict[str, Any] = {
            "config_id": self.config_id,
            "numbers": self.atoms.numbers.tolist(),
            "positions": self.atoms.positions.tolist(),
            "cell": self.atoms.cell.tolist(),
            "initial_magnetic_moments": self.initial_magnetic_moments(settings),
            "kpoints": list(self.kpoints),
            "use_point_group": self.use_point_group,
            "settings": {
                **asdict(settings.common),
                "setup": self.setup(settings),
                "cutoff_ev": self.cutoff_ev,
                "spin_polarized": self.is_spin_polarized(settings),
            },
        }
        return {
            **content,
            "fingerprint": fingerprint(content),
            "computes_stress": self.computes_stress,
        }

    def setup(self, settings: ReferenceSettings) -> str | dict[str, str]:
        """GPAW's setup: one name where all elements have the same, else symbol to name.

        Args:
            settings: The table that the job was made from.

        Returns:
            What GPAW takes.
        """
        setups = {symbol: settings.species(symbol).setup for symbol in sorted(set(self.atoms.symbols))}
        names = set(setups.values())
        return names.pop() if len(names) == 1 else setups

    def is_spin_polarized(self, settings: ReferenceSettings) -> bool:
        """Whether any of the elements is.

        Args:
            settings: The table that the job was made from.

        Returns:
            True for a magnetic metal or an alloy with one.
        """
        return any(settings.species(symbol).spin_polarized for symbol in set(self.atoms.symbols))

    def initial_magnetic_moments(self, settings: ReferenceSettings) -> list[float] | None:
        """Start of the spin density.

        Args:
            settings: The table that the job was made from.

        Returns:
            One moment per atom, in Bohr magnetons, alternating from one (002) plane to
            the next in a bcc or fcc antiferromagnet; None without spin polarisation.
        """
        if not self.is_spin_polarized(settings):
            return None
        moments = np.array([settings.species(symbol).initial_magnetic_moment or 0.0 for symbol in self.atoms.symbols])
        if self.symbol in settings.elements and settings.elements[self.symbol].is_antiferromagnetic:
            moments *= 1 - 2 * (_half_planes(self.atoms.positions, settings.elements[self.symbol].a) % 2)
        found: list[float] = moments.tolist()
        return found

    def seconds(self, settings: ReferenceSettings) -> float:
        """Rough CPU time, from a fit to our own runs.

        Args:
            settings: The table that the job was made from.

        Returns:
            CPU seconds, right to a factor of two for 330 of the 382 shipped configurations, of four for most others.
        """
        electrons = sum(settings.species(symbol).valence_electrons for symbol in self.atoms.symbols)
        bands = 0.65 * electrons + 1
        kpoints = np.prod(self.kpoints) / self._symmetry(settings) + 1
        basis = self.atoms.get_volume() * (self.cutoff_ev / 350) ** 0.7
        spins, iterations = (2, 14) if self.is_spin_polarized(settings) else (1, 10)
        return float(3 + 2.6e-5 * spins * iterations * kpoints * bands * basis)

    def _symmetry(self, settings: ReferenceSettings) -> float:
        """How many times fewer k-points symmetry leaves, roughly."""
        if not self.use_point_group:
            return 2.0
        if self.symbol in settings.alloys:
            return 3.0
        if settings.elements[self.symbol].structure == "hcp":
            found = 6.0
        else:
            found = 12.0 if min(self.kpoints) == max(self.kpoints) else 4.0
        if len(self.atoms) <= 2 and self.group in ("bulk", "eos"):
            return 2 * found
        return found / 2 if self.group in LOW_SYMMETRY_GROUPS else found


def fingerprint(content: dict[str, Any]) -> str:
    """Hash of a job's definition.

    Args:
        content: JSON-ready dictionary.

    Returns:
        Sixteen hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def kpoint_mesh(cell: Cell, density: float, *, has_vacuum: bool = False) -> tuple[int, int, int]:
    """Gamma-centred mesh, n_i = ceil(|b_i| * density); one point across vacuum.

    Args:
        cell: Unit cell, Å.
        density: K-points per reciprocal length, 1/(1/Å); 2 pi is part of b_i.
        has_vacuum: True when the third cell vector crosses vacuum.

    Returns:
        Numbers of points.

    Example:
        >>> kpoint_mesh(Cell.new([4.04, 4.04, 4.04]), 3.98)
        (7, 7, 7)
    """
    lengths = 2 * np.pi * np.linalg.norm(cell.reciprocal(), axis=1)
    first, second, third = (max(1, int(np.ceil(length * density - 1e-6))) for length in lengths)
    return first, second, 1 if has_vacuum else third


def dataset_jobs(settings: ReferenceSettings, symbols: list[str]) -> list[Job]:
    """The jobs of the shipped dataset.

    Args:
        settings: The settings table.
        symbols: Metals, in the order in which they are to be computed.

    Returns:
        One job per configuration. Every job has the mesh of its parent's cell.
    """
    return [job for symbol in symbols for job in _jobs_of(settings, symbol, named_structures(settings, symbol))]


def dense_jobs(settings: ReferenceSettings, symbols: list[str], density: float | None = None) -> list[Job]:
    """The cells that make defect energies, and their perfect crystals, on a denser mesh.

    Args:
        settings: The settings table.
        symbols: Metals and alloys; alloys have no such jobs.
        density: K-points per reciprocal length, 1/(1/Å); by default that of the table.

    Returns:
        Jobs whose ids end in the mesh, for example `al-fcc-vacancy-01@kd8.00`. All cells of one parent are on one mesh.
    """
    dense = []
    for symbol in (symbol for symbol in symbols if symbol in settings.elements):
        jobs = {job.config_id: job for job in dataset_jobs(settings, [symbol])}
        chosen = [job for job in jobs.values() if job.group in DENSE_GROUPS and original_of(job.config_id) is None]
        stacks = {job.parent_id for job in chosen if job.group in STACKED_GROUPS}
        wanted = {name for job in chosen for name in (job.parent_id, job.config_id)}
        wanted.add(reference_crystal(list(jobs.values())).config_id)
        for job in (job for name, job in jobs.items() if name in wanted):
            own = density or settings.defect_mesh(symbol, job.parent_id, is_stack=job.parent_id in stacks)
            dense.append(_on_mesh(job, jobs[job.parent_id].atoms.cell, own))
    return dense


def by_metal(settings: ReferenceSettings, jobs: list[Job]) -> list[Job]:
    """Jobs in an order that completes one metal after the other, the cheapest first.

    Args:
        settings: The table that the jobs were made from.
        jobs: Any jobs.

    Returns:
        The same jobs; within a metal, all cells of one parent follow each other, the cheapest parent first.
    """
    metals: dict[str, float] = {}
    families: dict[str, float] = {}
    for job in jobs:
        seconds = job.seconds(settings)
        metals[job.symbol] = metals.get(job.symbol, 0.0) + seconds
        families[job.parent_id] = families.get(job.parent_id, 0.0) + seconds
    return sorted(
        jobs,
        key=lambda job: (metals[job.symbol], job.symbol, families[job.parent_id], job.parent_id != job.config_id),
    )


def reference_crystal(jobs: list[Job]) -> Job:
    """The smallest perfect crystal of a metal, whose energy per atom all of its energies count from.

    Args:
        jobs: All jobs of the metal.

    Returns:
        One of them.
    """
    return min((job for job in jobs if job.group == "bulk"), key=lambda job: len(job.atoms))


def original_of(config_id: str) -> str | None:
    """The defect that a configuration is a randomly displaced copy of.

    Args:
        config_id: Id of a configuration.

    Returns:
        Id of the unrelaxed defect; None for everything else.

    Example:
        >>> original_of("al-fcc-vacancy-02")
        'al-fcc-vacancy-01'
    """
    metal, structure, *rest = config_id.split("-", 2)
    original = RATTLED_COPIES.get("-".join(rest))
    return None if original is None else f"{metal}-{structure}-{original}"


def named_structures(settings: ReferenceSettings, symbol: str) -> list[NamedStructure]:
    """All structures of one metal or alloy.

    Args:
        settings: The settings table.
        symbol: One of `ReferenceSettings.systems`.

    Returns:
        Structures; every parent is one of them. Those whose cell cannot hold the order of an
        antiferromagnet are left out.
    """
    if symbol in settings.alloys:
        alloy = settings.alloys[symbol]
        return alloy_structures(Alloy(symbol, alloy.structure, alloy.a, tuple(alloy.species)))
    element, lattice = settings.elements[symbol], settings.lattice(symbol)
    made = [*structures(lattice), *more_structures(lattice, tuple(element.solutes), element.takes_hydrogen)]
    if not element.is_antiferromagnetic:
        return made
    kept = [one for one in made if _is_even(one.atoms, element.a)]
    names = {one.config_id for one in kept}
    return [one for one in kept if one.parent_id in names]


def by_breadth(settings: ReferenceSettings, jobs: list[Job]) -> list[Job]:
    """Jobs in the order in which they are to be computed: cheap ones first, whatever the metal.

    Args:
        settings: The table that the jobs were made from.
        jobs: Any jobs.

    Returns:
        The same jobs; a parent comes before its first child, and not much earlier.
    """
    cost = {job.config_id: job.seconds(settings) for job in jobs}
    turn = {job.config_id: cost[job.config_id] + cost.get(job.parent_id, 0.0) for job in jobs}
    for job in jobs:
        if job.parent_id in turn and job.parent_id != job.config_id:
            turn[job.parent_id] = min(turn[job.parent_id], turn[job.config_id])
    return sorted(jobs, key=lambda job: (turn[job.config_id], job.parent_id != job.config_id))


def _jobs_of(settings: ReferenceSettings, symbol: str, named: list[NamedStructure]) -> list[Job]:
    """Jobs at the table's settings, each on the mesh of its parent's cell."""
    cells = {structure.config_id: structure.atoms.cell for structure in named}
    density = settings.common.kpoints_per_inverse_angstrom
    jobs = []
    for structure in named:
        cell = cells[structure.parent_id]
        mesh = kpoint_mesh(cell, density, has_vacuum=structure.has_vacuum)
        jobs.append(make_job(settings, symbol, structure, mesh, density))
    return jobs


def make_job(
    settings: ReferenceSettings,
    symbol: str,
    structure: NamedStructure,
    mesh: tuple[int, int, int],
    density: float,
) -> Job:
    """One structure on one mesh."""
    return Job(
        config_id=structure.config_id,
        group=structure.group,
        parent_id=structure.parent_id,
        symbol=symbol,
        atoms=structure.atoms,
        kpoints=mesh,
        use_point_group=structure.is_symmetric,
        kpoint_density=density,
        cutoff_ev=max(settings.species(one).cutoff_ev for one in set(structure.atoms.symbols)),
        computes_stress=symbol in settings.elements and settings.elements[symbol].ships_stress,
    )


def _on_mesh(job: Job, parent_cell: Cell, density: float) -> Job:
    """The same structure on the mesh that its parent's cell has at another density; the id says which."""
    suffix = f"@kd{density:.2f}"
    return replace(
        job,
        config_id=job.config_id + suffix,
        parent_id=job.parent_id + suffix,
        kpoints=kpoint_mesh(parent_cell, density, has_vacuum=job.group == "surface"),
        kpoint_density=density,
    )


def _half_planes(positions: np.ndarray, a: float) -> np.ndarray:
    """In which (002) plane of the bcc or fcc crystal each position lies."""
    planes: np.ndarray = np.rint(2 * positions[..., 2] / a).astype(int)
    return planes


def _is_even(atoms: Atoms, a: float) -> bool:
    """Whether every cell vector spans an even number of (002) planes of the bcc or fcc crystal."""
    heights = np.array(atoms.cell)[:, 2] / a
    return bool(np.allclose(heights, np.rint(heights), atol=1e-5))


def displaced_pair(settings: ReferenceSettings, symbol: str) -> list[Job]:
    """A two-atom crystal and its copy with one atom displaced along the axis of most symmetry."""
    lattice = settings.lattice(symbol)
    perfect = two_atom_cell(lattice)
    displaced = perfect.copy()
    displaced.positions[1, 2] += DISPLACEMENT_FRACTION * lattice.a
    names = (f"{symbol.lower()}-perfect", f"{symbol.lower()}-displaced")
    return _jobs_of(
        settings,
        symbol,
        [
            NamedStructure(names[0], "bulk", perfect, names[0], True),
            NamedStructure(names[1], "rattled", displaced, names[0], True),
        ],
    )


def displaced_addition(settings: ReferenceSettings) -> Job:
    """Hydrogen in Al, displaced from the octahedral site along a cube edge."""
    jobs = {job.config_id: job for job in dataset_jobs(settings, ["Al"])}
    job = jobs["al-fcc-hydrogen-01"]
    atoms = job.atoms.copy()
    atoms.positions[-1, 2] += DISPLACEMENT_FRACTION * settings.elements["Al"].a
    return replace(job, config_id="h-displaced", atoms=atoms)


def variant_of(job: Job, density: float, cutoff_ev: float) -> Job:
    """The same structure on another mesh or with another cutoff; the id says which."""
    suffix = f"@kd{density:.2f}"
    if cutoff_ev != job.cutoff_ev:
        suffix += f"-cutoff{cutoff_ev:.0f}"
    return replace(
        job,
        config_id=job.config_id + suffix,
        parent_id=job.parent_id + suffix,
        kpoints=kpoint_mesh(job.atoms.cell, density),
        kpoint_density=density,
        cutoff_ev=cutoff_ev,
    )
