"""`python -m precompute vacancies`: models relax a vacancy in each published metal, in the crystal that they prefer.

A model first relaxes the perfect crystal with its cell. A supercell of it loses one atom and is relaxed at fixed cell.
The formation energy is E(N - 1 atoms) - (N - 1) E(crystal)/atom. For the migration energy a neighbour of the vacancy is
put half-way on its jump; symmetry keeps it there while the others relax, so no path has to be searched. The energy is
that of this state above the vacancy. That it has one unstable direction alone is not checked.

A file that exists is done.
"""

import argparse
import dataclasses
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from engine.cells.lattices import Lattice
from engine.cells.vacancies import JUMPS, REPEATS, Jump, fitted_lattice, jump, lattice_of_volume, unit_cell, vacancy
from engine.data_folder import DataFolder
from engine.errors import SettingsError
from engine.records import Configuration, RunRecord, read_run_record
from engine.registry.models import Model, select_models
from engine.registry.published_vacancies import PublishedVacancy, counted_vacancies
from engine.relaxations import Relaxation, RelaxationOptions
from engine.relaxed_vacancies import FORMATION, RelaxedVacancy, read_vacancies, write_vacancies
from precompute.acquire.weights import Checkpoint
from precompute.progress import say
from precompute.workers.pool import Loaded, Pool
from precompute.workers.process import RELAX
from precompute.workers.worker_envs import why_not_runnable

CRYSTAL = RelaxationOptions(fmax=0.002, steps=100, cell="free", optimizer="bfgs")
DEFECT = RelaxationOptions(fmax=0.01, steps=100, cell="fixed", optimizer="bfgs")
LEFT_MIDDLE = 0.1  # of a jump: an atom that went so far from the middle has left the saddle point
LEFT_SITE = 0.2  # of the distance of neighbours: with an atom that went so far the crystal has become another
NO_FORCE = 1e-4  # eV/Å: the neighbours of a vacancy feel more in any crystal that they are a part of
SECONDS = 1800.0  # of one relaxation; longer ones have hung


@dataclass(frozen=True)
class Settings:
    """What to relax.

    Attributes:
        is_large: The larger supercell of each structure.
        with_migration: Migration energies too, where the source has one.
        elements: Symbols; empty for all that the model knows.
    """

    is_large: bool = False
    with_migration: bool = False
    elements: tuple[str, ...] = ()

    def n_sites(self, structure: str) -> int:
        """Sites of the supercell of a structure."""
        return sorted(REPEATS[structure])[int(self.is_large)]


class _FailedError(Exception):
    """A step of the procedure has no result; the message becomes the reason of the row."""


def relax_vacancies(model: Model, folder: DataFolder, device: str, settings: Settings) -> Iterator[RelaxedVacancy]:
    """Relax what is not done yet, and write one file for each energy.

    Args:
        model: From the registry.
        folder: Data folder.
        device: auto, cpu or cuda.
        settings: What to relax.

    Yields:
        Each new row, when its file is there.

    Raises:
        SettingsError: An element has no published vacancy.
        EngineError: The model cannot run here.
    """
    target = folder.vacancies(model.model_id, Checkpoint(model, folder).fingerprint)
    metals = _metals(model, settings.elements)
    with Pool(folder, device=device) as pool, pool.borrow(model) as loaded:
        for quantity_of in (_formations, _migrations) if settings.with_migration else (_formations,):
            for published in metals:
                n_sites = settings.n_sites(published.structure)
                for row in quantity_of(loaded, published, n_sites, target):
                    origin = dataclasses.replace(
                        RunRecord.from_metadata(loaded.worker.record), wall_seconds=row.wall_seconds
                    )
                    write_vacancies(target / row.file_name, [row], origin)
                    yield row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--large", action="store_true", help="supercells of 108 (fcc) and 96 (hcp) sites, not 32 and 36"
    )
    parser.add_argument("--migration", action="store_true", help="migration energies too, where one is published")
    parser.add_argument("--element", metavar="SYMBOL", action="append", default=[], help="repeatable (default: all)")


def main(arguments: argparse.Namespace) -> int:
    """Relax a vacancy in each published metal with some models; what is done is not done again."""
    if not arguments.model:
        raise SettingsError("vacancies needs --model ID.")
    folder, n_failed = DataFolder.default(), 0
    settings = Settings(arguments.large, arguments.migration, tuple(arguments.element))
    for model in select_models(arguments.model):
        if reason := why_not_runnable(model, folder):
            say(f"{model.model_id}: skipped. {reason}")
            if "all" not in arguments.model:
                return 1
            continue
        for row in relax_vacancies(model, folder, arguments.device, settings):
            n_failed += row.status != "ok"
            end = f"failed: {row.reason}" if row.energy is None else f"{row.energy:.3f} eV in {row.n_steps} steps"
            say(f"{model.model_id}: {row.element} {row.structure}, {row.n_sites} sites, {row.quantity}: {end}")
    say(f"{n_failed} failed with a reason")
    return 0


def merged(paths: Iterable[Path]) -> dict[str, tuple[RelaxedVacancy, RunRecord]]:
    """Rows of some files with their origin, by the name of their own file; of two the later one counts.

    Raises:
        OSError: A file is damaged.
        ArrowInvalid: A file is not parquet; a ValueError.
    """
    return {row.file_name: (row, read_run_record(path)) for path in paths for row in read_vacancies(path)}


def _metals(model: Model, elements: Collection[str]) -> list[PublishedVacancy]:
    """Published vacancies that count, of the elements asked for that the model knows."""
    published = counted_vacancies()
    if unknown := sorted(set(elements) - {one.element for one in published}):
        raise SettingsError(f"No published vacancy of {', '.join(unknown)} counts; see published_vacancies.csv.")
    return [
        one
        for one in published
        if (not elements or one.element in elements) and not model.unknown_elements({one.element})
    ]


def _formations(loaded: Loaded, published: PublishedVacancy, n_sites: int, target: Path) -> Iterator[RelaxedVacancy]:
    """The formation energy, unless its file is there."""
    empty = RelaxedVacancy(loaded.model.model_id, published.element, published.structure, n_sites, FORMATION, "failed")
    if not (target / empty.file_name).is_file():
        try:
            yield _formation(loaded, published, empty)
        except (_FailedError, SettingsError) as failure:
            yield dataclasses.replace(empty, reason=str(failure))


def _formation(loaded: Loaded, published: PublishedVacancy, empty: RelaxedVacancy) -> RelaxedVacancy:
    """Relax crystal and vacancy of one metal."""
    start = lattice_of_volume(published.element, published.structure, published.volume)
    crystal = _relaxed(loaded, unit_cell(start), CRYSTAL, "the perfect crystal")
    assert crystal.cell is not None and crystal.positions is not None and crystal.energy is not None
    lattice = fitted_lattice(published.element, published.structure, crystal.cell, crystal.positions)
    per_atom = crystal.energy / len(crystal.positions)
    given = vacancy(lattice, empty.n_sites)
    found = _relaxed(loaded, given, DEFECT, "the vacancy")
    assert found.trajectory is not None
    if found.trajectory.max_forces[0] < NO_FORCE:
        raise _FailedError("no atom feels the vacancy: neighbours are beyond the reach of the model")
    numbers = _numbers(found, given, per_atom * len(given), _neighbour_distance(lattice))
    seconds = (crystal.wall_seconds or 0.0) + (found.wall_seconds or 0.0)
    return dataclasses.replace(
        empty, status="ok", crystal_energy_per_atom=per_atom, a=lattice.a, c=lattice.c, wall_seconds=seconds, **numbers
    )


def _migrations(loaded: Loaded, published: PublishedVacancy, n_sites: int, target: Path) -> Iterator[RelaxedVacancy]:
    """Migration energies that have no file yet, of metals whose formation energy is there."""
    if published.migration is None and published.migration_2 is None:
        return
    for name in JUMPS[published.structure]:
        empty = RelaxedVacancy(loaded.model.model_id, published.element, published.structure, n_sites, name, "failed")
        formation = target / dataclasses.replace(empty, quantity=FORMATION).file_name
        if (target / empty.file_name).is_file():
            continue
        [start] = read_vacancies(formation)
        try:
            yield _migration(loaded, start, empty)
        except (_FailedError, SettingsError) as failure:
            yield dataclasses.replace(empty, reason=str(failure))


def _migration(loaded: Loaded, start: RelaxedVacancy, empty: RelaxedVacancy) -> RelaxedVacancy:
    """Relax the middle of one jump."""
    if start.a is None or start.total_energy is None:
        raise _FailedError(f"no formation energy: {start.reason}")
    lattice = Lattice(start.element, start.structure, start.a, start.c)
    made = jump(lattice, empty.n_sites, empty.quantity)
    found = _relaxed(loaded, made.atoms, DEFECT, "the jump")
    if _left_middle(found, made):
        raise _FailedError("the jumping atom left the middle, so the state is no saddle point of this model")
    numbers = _numbers(found, made.atoms, start.total_energy, _neighbour_distance(lattice))
    return dataclasses.replace(
        empty,
        status="ok",
        crystal_energy_per_atom=start.crystal_energy_per_atom,
        a=start.a,
        c=start.c,
        wall_seconds=found.wall_seconds,
        **numbers,
    )


def _left_middle(found: Relaxation, made: Jump) -> bool:
    """Whether the jumping atom has moved along its jump."""
    assert found.positions is not None
    moved = (found.positions - made.atoms.positions)[made.mover]
    return abs(float(moved @ made.direction)) > LEFT_MIDDLE * made.length


def _relaxed(loaded: Loaded, atoms: Atoms, options: RelaxationOptions, what: str) -> Relaxation:
    """Relax a cell; what fails or does not converge ends the procedure with a reason."""
    given = Configuration(
        what.removeprefix("the ").replace(" ", "-"), "vacancy", atoms.numbers.astype(np.int64), atoms.positions.copy(),
        atoms.cell.array.copy(), (True, True, True),
    )  # fmt: skip
    [found] = loaded.evaluate([given], task=RELAX, options=dataclasses.asdict(options), timeout=SECONDS).relaxations
    if found.status != "ok":
        raise _FailedError(f"{what}: {found.reason}")
    if not found.is_converged:
        raise _FailedError(f"{what} did not converge in {options.steps} steps")
    return found


def _numbers(found: Relaxation, given: Atoms, zero: float, neighbours: float) -> dict[str, Any]:
    """What a row keeps of a relaxation, with energies above `zero`, eV.

    Raises:
        _FailedError: An atom went so far that the crystal has become another.
    """
    assert found.energy is not None and found.positions is not None and found.trajectory is not None
    moved = float(np.linalg.norm(found.positions - given.positions, axis=1).max())
    if moved > LEFT_SITE * neighbours:
        raise _FailedError(f"an atom moved by {moved:.2f} Å, so the cell with the vacancy has become another crystal")
    return {
        "energy": found.energy - zero,
        "unrelaxed_energy": float(found.trajectory.energies[0]) - zero,
        "total_energy": found.energy,
        "largest_displacement": moved,
        "max_force": float(found.trajectory.max_forces[-1]),
        "n_steps": found.n_steps,
    }


def _neighbour_distance(lattice: Lattice) -> float:
    """Distance of nearest neighbours, Å."""
    if lattice.c is None:
        return float(lattice.a / np.sqrt(2))
    return float(min(lattice.a, np.hypot(lattice.a / np.sqrt(3), lattice.c / 2)))
