"""Cost of models: time per evaluation of energy, forces and stress on a bulk supercell.

As in the paper's Fig. 7 the cell has 125 atoms of bcc W (5 x 5 x 5 primitive cells), displaced a little anew for
every step, so that nothing can be reused from the step before. The worker itself takes the time, one thread, after
two steps that are not counted (compilation, caches). Cells of other sizes show how the time grows with the atoms, many
systems at once what a queue of them takes, and a short run of molecular dynamics whether the model keeps energy.
"""

import itertools
import json
import re
import statistics
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet

from engine.data_folder import DataFolder
from engine.errors import WorkerError
from engine.files import write_text
from engine.records import Configuration, FloatArray
from engine.registry.models import Model
from engine.store.rows import RANDOM_WEIGHTS, Cost
from precompute.workers.pool import Loaded, Pool

N_WARM_UP = 2
N_STEPS, N_STEPS_LARGE = 10, 3
LARGE, SLOW_SECONDS = 500, 5.0  # atoms, and time of a step, from which on fewer steps are counted
N_CELLS = 5
ALL_CELLS = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)  # 1 to 4,096 atoms
N_QUEUED = 64
QUEUE = "-queue"  # end of the names of their files
RATTLE = 0.05  # Å
YARDSTICK_NUMBERS = 1_000_000
YARDSTICK_TRIES = 5

# Molecular dynamics from ideal positions, so that half of the temperature remains.
DRIFT_CELLS, DRIFT_STEPS, DRIFT_FS, DRIFT_KELVIN = 3, 300, 3.0, 1200.0


@dataclass(frozen=True)
class Setting:
    """What is timed, beside the model.

    Attributes:
        device: auto, cpu or cuda.
        occasion: From `new_occasion`; the same for all models measured by one command.
        n_threads: Threads of the numerical libraries.
        is_queue: Many systems at once, in batches that the worker chooses, instead of one after the other.
        with_drift: Also the drift of the energy in molecular dynamics.
    """

    device: str
    occasion: str
    n_threads: int = 1
    is_queue: bool = False
    with_drift: bool = False


def bench(
    model: Model, folder: DataFolder, setting: Setting, cells: Sequence[int] = (N_CELLS,), seconds: float = np.inf
) -> Iterator[Cost]:
    """Measure one model on this machine, one cell after the other, and keep the results in the data folder.

    Args:
        model: From the registry.
        folder: The data folder.
        setting: What is timed.
        cells: Primitive cells along each edge of the supercells, from small to large.
        seconds: A larger cell is left out where a step of the one before took longer.

    Yields:
        Medians over the counted steps. A cell after the first that does not fit into memory ends them.

    Raises:
        WorkerError: The model cannot be loaded, or fails on the first cell.
    """
    for cost in measure(model, folder, setting, cells):
        keep(cost, folder)
        yield cost
        if cost.ms_per_step > 1e3 * seconds:
            return


def measure(model: Model, folder: DataFolder, setting: Setting, cells: Sequence[int] = (N_CELLS,)) -> Iterator[Cost]:
    """As `bench`, which see, but nothing is kept."""
    with Pool(folder, device=setting.device, n_threads=setting.n_threads) as pool, pool.borrow(model) as loaded:
        started = time.perf_counter()
        loaded.start()
        load_seconds = time.perf_counter() - started
        drift = _drift(loaded) if setting.with_drift else None
        for k, n_cells in enumerate(cells):
            cost = _measured(loaded, setting, n_cells, load_seconds, drift)
            if isinstance(cost, Cost):
                yield cost
            elif k == 0:
                raise WorkerError(f"'{model.model_id}' cannot do the bench cell: {cost}")
            else:
                return


def _measured(loaded: Loaded, setting: Setting, n_cells: int, load_seconds: float, drift: float | None) -> Cost | str:
    """Cost of one cell, or why there is none."""
    configurations = _steps(loaded.model, n_cells, N_QUEUED if setting.is_queue else None)
    n_atoms = configurations[0].n_atoms
    if setting.is_queue:
        loaded.evaluate(configurations, retry=False)  # compiles and lets batches grow
        done = loaded.evaluate(configurations, retry=False)
        counted = done.predictions
    else:
        # One system in each call: the time of a step, not of a batch.
        done = loaded.evaluate(configurations[:N_WARM_UP], max_edges=1, retry=False)
        is_slow = (done.predictions[-1].wall_seconds or 0.0) > SLOW_SECONDS
        left = configurations[N_WARM_UP:][: N_STEPS_LARGE if is_slow else N_STEPS]
        if all(p.status == "ok" for p in done.predictions):
            done = loaded.evaluate(left, max_edges=1, retry=False)
        counted = done.predictions
    if failed := [p.reason or "no reason" for p in done.predictions if p.status != "ok"]:
        return failed[0]
    times = [p.wall_seconds or 0.0 for p in counted]
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    record = loaded.worker.record
    return Cost(
        model_id=loaded.model.model_id,
        device=record["device"],
        hardware=record["hardware"],
        n_threads=setting.n_threads,
        n_atoms=n_atoms,
        batch=_systems_at_once(times) if setting.is_queue else 1,
        ms_per_step=middle * 1e3,
        us_per_atom_step=middle * 1e6 / n_atoms,
        peak_memory_mb=done.peak_memory_mb,
        origin="computed",
        measured_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        occasion=setting.occasion,
        yardstick_ms=yardstick_ms(),
        ms_low=low * 1e3,
        ms_high=high * 1e3,
        load_seconds=load_seconds,
        drift_mev_per_atom_ps=drift,
        is_queue=setting.is_queue,
    )


def _systems_at_once(times: Sequence[float]) -> int:
    """Size of the typical batch: systems of one size and one batch have one and the same share of its time."""
    return int(statistics.median(sorted(len(list(same)) for _, same in itertools.groupby(times))))


def _drift(loaded: Loaded) -> float:
    """Drift of the total energy of a microcanonical run of molecular dynamics, meV per atom and ps.

    The slope of a straight line through potential and kinetic energy, over 0.9 ps of 27 atoms at about 600 K, by steps
    of 3 fs (velocity Verlet). A model whose forces are no gradient of its energy drifts.

    Raises:
        WorkerError: The model fails on a step.
    """
    atoms = _cell(loaded.model, DRIFT_CELLS)
    atoms.calc = _Asked(loaded)
    generator = np.random.default_rng(0)
    thermalize_momenta(atoms, DRIFT_KELVIN, exact_temperature=True, rng=generator)
    Stationary(atoms)
    run = VelocityVerlet(atoms, timestep=DRIFT_FS * units.fs)
    energies = [atoms.get_total_energy() for _ in run.irun(DRIFT_STEPS)]
    return drift_of(np.array(energies) / len(atoms), DRIFT_FS)


def drift_of(energies: FloatArray, step_fs: float) -> float:
    """Slope of a straight line through energies, meV per ps.

    Args:
        energies: One per step, shape (n,), eV.
        step_fs: Time between two, fs.
    """
    times = np.arange(len(energies)) * step_fs / 1e3
    return float(1e3 * np.polyfit(times, energies - energies.mean(), 1)[0])


class _Asked(Calculator):
    """A loaded model as ASE's molecular dynamics asks it."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - the name and the kind are ASE's

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        self._loaded = loaded

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        (found,) = self._loaded.evaluate([_configuration("step", atoms, atoms.positions)], retry=False).predictions
        if found.status != "ok":
            raise WorkerError(f"'{self._loaded.model.model_id}' cannot do molecular dynamics: {found.reason}")
        self.results = {"energy": found.energy, "forces": found.forces}


def new_occasion() -> str:
    """Name of one round of measurements; rounds are compared by their reference computation only (`yardstick_ms`)."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}-{uuid.uuid4().hex[:6]}"


def yardstick_ms() -> float:
    """Time of a fixed computation on one core of this machine now, ms: the fastest of some tries.

    It sorts, since a sort uses one thread whatever the libraries, unlike a product of matrices.
    """
    numbers = np.random.default_rng(0).random(YARDSTICK_NUMBERS)

    def seconds() -> float:
        started = time.perf_counter()
        np.sort(numbers)
        return time.perf_counter() - started

    return 1e3 * min(seconds() for _ in range(YARDSTICK_TRIES))


def is_measured(model: Model, folder: DataFolder, setting: Setting, n_cells: int = N_CELLS) -> bool:
    """Whether this data folder holds a cost of the model on that supercell, as the setting has it, already."""
    wanted = (model.model_id, setting.n_threads, n_cells**3, setting.is_queue, "computed")
    return any(
        (cost.model_id, cost.n_threads, cost.n_atoms, cost.is_queue, cost.origin) == wanted
        and not (setting.with_drift and cost.drift_mev_per_atom_ps is None)
        for cost in read_costs(folder.costs, [], f"{model.model_id}-*.json")
    )


def _suffix(n_atoms: int, *, is_queue: bool) -> str:
    """End of a file's name: none for single systems of the paper's size."""
    return ("" if n_atoms == N_CELLS**3 else f"-{n_atoms}") + (QUEUE if is_queue else "")


def _cell(model: Model, n_cells: int) -> Atoms:
    """The supercell; EMT knows no W, so its cell is Cu."""
    cell = bulk("Cu", "fcc", a=3.61) if model.family == "emt" else bulk("W", "bcc", a=3.165)
    atoms: Atoms = cell.repeat(n_cells)
    return atoms


def _steps(model: Model, n_cells: int, n: int | None = None) -> list[Configuration]:
    """The cell once per step, or n times."""
    atoms = _cell(model, n_cells)
    n = n or N_WARM_UP + (N_STEPS if len(atoms) < LARGE else N_STEPS_LARGE)
    generator = np.random.default_rng(0)
    return [
        _configuration(f"step-{i:02d}", atoms, atoms.positions + generator.normal(scale=RATTLE, size=(len(atoms), 3)))
        for i in range(n)
    ]


def _configuration(name: str, atoms: Atoms, positions: FloatArray) -> Configuration:
    return Configuration(
        config_id=name,
        group_name="bench",
        numbers=atoms.numbers.astype(np.int64),
        positions=positions,
        cell=np.array(atoms.cell),
        pbc=(True, True, True),
    )


def keep(cost: Cost, folder: DataFolder) -> None:
    """Write a cost into the data folder, where the next build takes it from; each hardware has files of its own."""
    name = f"{cost.model_id}-random-weights" if cost.origin == RANDOM_WEIGHTS else cost.model_id
    end = _suffix(cost.n_atoms, is_queue=cost.is_queue)
    hardware = re.sub(r"[^a-z0-9]+", "-", cost.hardware.lower()).strip("-")
    path = folder.costs / f"{name}-{cost.device}-{hardware}-{cost.n_threads}{end}.json"
    write_text(path, json.dumps(asdict(cost), indent=1) + "\n")


def read_costs(costs: Path, left_out: list[str], names: str = "*.json") -> Iterator[Cost]:
    """Costs that a folder holds, in the order of their files.

    Args:
        costs: The folder, whether or not it is there.
        left_out: Takes a sentence for every file that is no cost.
        names: Pattern of the files' names.
    """
    for path in sorted(costs.glob(names)):
        try:
            # Files from before `is_queue` say it by their name alone.
            yield Cost(**({"is_queue": path.stem.endswith(QUEUE)} | json.loads(path.read_text())))
        except (OSError, TypeError, ValueError) as error:
            left_out.append(f"{path} is no cost ({error}); delete it and run bench again")
