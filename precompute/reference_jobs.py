"""The DFT settings table and the jobs that follow from it.

A job is one JSON file that defines one calculation completely. Its fingerprint is the hash of
that definition: a result with the same fingerprint is the same calculation.
"""

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.cell import Cell

from engine.errors import SettingsError
from engine.structures import (
    Lattice,
    NamedStructure,
    primitive_cell,
    rattled_structures,
    structures,
    two_atom_cell,
)
from precompute.data_folder import EMBEDDED

SETTINGS_FILE = EMBEDDED / "reference-settings.toml"

MESH_DENSITIES = (2.65, 3.98, 5.31, 6.37)
CUTOFF_STEP = 150.0
DISPLACEMENT_FRACTION = 0.04
NOISE_DENSITY = 5.31
LATTICE_DENSITY = 5.31
LATTICE_VOLUME_FACTORS = (0.94, 0.97, 1.0, 1.03, 1.06)


@dataclass(frozen=True)
class CommonSettings:
    """Settings shared by all metals; one field per key of `[common]`, units in the names."""

    functional: str
    smearing_ev: float
    kpoints_per_inverse_angstrom: float
    energy_tolerance_ev_per_electron: float
    density_tolerance_electrons: float
    eigenstates_tolerance_ev2: float
    max_iterations: int


@dataclass(frozen=True)
class ElementSettings:
    """Settings of one metal; one field per key of `[elements.X]`, lengths in Å."""

    structure: str
    a: float
    setup: str
    cutoff_ev: float
    spin_polarized: bool
    ships_stress: bool
    c: float | None = None
    initial_magnetic_moment: float | None = None


@dataclass(frozen=True)
class ReferenceSettings:
    """The whole table."""

    common: CommonSettings
    elements: dict[str, ElementSettings]

    def lattice(self, symbol: str) -> Lattice:
        """The crystal of one metal.

        Args:
            symbol: Chemical symbol, a key of `elements`.

        Returns:
            Its lattice.
        """
        element = self.elements[symbol]
        return Lattice(symbol, element.structure, element.a, element.c)


@dataclass(frozen=True)
class Job:
    """One calculation.

    Attributes:
        config_id: Id of the configuration, or of the convergence run.
        group: Group of the configuration.
        parent_id: Perfect crystal in the same cell and mesh.
        symbol: The metal.
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
        element = settings.elements[self.symbol]
        moment = element.initial_magnetic_moment
        content: dict[str, Any] = {
            "config_id": self.config_id,
            "numbers": self.atoms.numbers.tolist(),
            "positions": self.atoms.positions.tolist(),
            "cell": self.atoms.cell.tolist(),
            "initial_magnetic_moments": None if moment is None else [moment] * len(self.atoms),
            "kpoints": list(self.kpoints),
            "use_point_group": self.use_point_group,
            "settings": {
                **asdict(settings.common),
                "setup": element.setup,
                "cutoff_ev": self.cutoff_ev,
                "spin_polarized": element.spin_polarized,
            },
        }
        return {
            **content,
            "fingerprint": fingerprint(content),
            "computes_stress": self.computes_stress,
        }


def load_settings(path: Path = SETTINGS_FILE) -> ReferenceSettings:
    """Read and check the settings table.

    Args:
        path: A TOML file shaped like the shipped one.

    Returns:
        The table.

    Raises:
        SettingsError: The file is missing, or a key is unknown, missing or of a wrong kind.
    """
    if not path.exists():
        raise SettingsError(f"{path} does not exist; restore it from the repository.")
    try:
        table = tomllib.loads(path.read_text())
        common = CommonSettings(**table["common"])
        elements = {symbol: ElementSettings(**entry) for symbol, entry in table["elements"].items()}
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        known = ", ".join(field.name for field in (*fields(CommonSettings), *fields(ElementSettings)))
        raise SettingsError(f"{path}: {error}; known keys: {known}.") from error
    return ReferenceSettings(common, elements)


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
    return [job for symbol in symbols for job in _jobs_of(settings, symbol, structures(settings.lattice(symbol)))]


def convergence_jobs(settings: ReferenceSettings, symbols: list[str]) -> list[Job]:
    """Jobs beside the dataset's own, the cheapest evidence of every metal first.

    Meshes and a higher cutoff on a two-atom cell with one displaced atom (`mesh_jobs`,
    `cutoff_jobs`), the lattice constants (`lattice_jobs`), and one shipped rattled cell with its
    parent on a denser mesh (`noise_jobs`).

    Args:
        settings: The settings table.
        symbols: Metals.

    Returns:
        Jobs whose ids end in what was varied, for example `w-displaced@kd5.31`.
    """
    makers = (mesh_jobs, cutoff_jobs, lattice_jobs, noise_jobs)
    return [job for make in makers for symbol in symbols for job in make(settings, symbol)]


def mesh_jobs(settings: ReferenceSettings, symbol: str) -> list[Job]:
    """The displaced cell and its parent on each of `MESH_DENSITIES`.

    Args:
        settings: The settings table.
        symbol: The metal.

    Returns:
        Two jobs per density, parent first.
    """
    cutoff = settings.elements[symbol].cutoff_ev
    pair = _displaced_pair(settings, symbol)
    return [_variant(job, density, cutoff) for density in MESH_DENSITIES for job in pair]


def cutoff_jobs(settings: ReferenceSettings, symbol: str) -> list[Job]:
    """The displaced cell and its parent with a cutoff raised by `CUTOFF_STEP`.

    Args:
        settings: The settings table.
        symbol: The metal.

    Returns:
        Two jobs at the coarsest mesh, parent first.
    """
    cutoff = settings.elements[symbol].cutoff_ev + CUTOFF_STEP
    pair = _displaced_pair(settings, symbol)
    return [_variant(job, MESH_DENSITIES[0], cutoff) for job in pair]


def noise_jobs(settings: ReferenceSettings, symbol: str) -> list[Job]:
    """The shipped cell rattled by 2 % and its parent, on a mesh of `NOISE_DENSITY`.

    Args:
        settings: The settings table.
        symbol: The metal.

    Returns:
        Two jobs, parent first.
    """
    lattice = settings.lattice(symbol)
    rattled = rattled_structures(lattice)[-1]
    jobs = _jobs_of(settings, symbol, structures(lattice))
    pair = [job for job in jobs if job.config_id in (rattled.config_id, rattled.parent_id)]
    cutoff = settings.elements[symbol].cutoff_ev
    return [_variant(job, NOISE_DENSITY, cutoff) for job in pair]


def lattice_jobs(settings: ReferenceSettings, symbol: str) -> list[Job]:
    """Equation of state of the primitive cell, with one dense mesh for all volumes.

    Args:
        settings: The settings table.
        symbol: The metal.

    Returns:
        One job per entry of `LATTICE_VOLUME_FACTORS`.
    """
    primitive = primitive_cell(settings.lattice(symbol))
    parent_id = f"{symbol.lower()}-lattice@volume1.00"
    jobs = []
    for factor in LATTICE_VOLUME_FACTORS:
        atoms = primitive.copy()
        atoms.set_cell(primitive.cell * factor ** (1 / 3), scale_atoms=True)
        structure = NamedStructure(f"{symbol.lower()}-lattice@volume{factor:.2f}", "eos", atoms, parent_id, True)
        mesh = kpoint_mesh(primitive.cell, LATTICE_DENSITY)
        job = _job(settings, symbol, structure, mesh, LATTICE_DENSITY)
        jobs.append(replace(job, computes_stress=True))
    return jobs


def _jobs_of(settings: ReferenceSettings, symbol: str, named: list[NamedStructure]) -> list[Job]:
    """Jobs at the table's settings, each on the mesh of its parent's cell."""
    cells = {structure.config_id: structure.atoms.cell for structure in named}
    density = settings.common.kpoints_per_inverse_angstrom
    jobs = []
    for structure in named:
        cell = cells[structure.parent_id]
        mesh = kpoint_mesh(cell, density, has_vacuum=structure.has_vacuum)
        jobs.append(_job(settings, symbol, structure, mesh, density))
    return jobs


def _job(
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
        cutoff_ev=settings.elements[symbol].cutoff_ev,
        computes_stress=settings.elements[symbol].ships_stress,
    )


def _displaced_pair(settings: ReferenceSettings, symbol: str) -> list[Job]:
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


def _variant(job: Job, density: float, cutoff_ev: float) -> Job:
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
