"""Cost of models: time per evaluation of energy, forces and stress on a bulk supercell.

As in the paper's Fig. 7 the cell has 125 atoms of bcc W (5 x 5 x 5 primitive cells), displaced a little anew for
every step, so that nothing can be reused from the step before. The worker itself takes the time, one thread, after
two steps that are not counted (compilation, caches). Cells of other sizes show how the time grows with the atoms.
"""

import json
import re
import statistics
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

from engine.data_folder import DataFolder
from engine.errors import WorkerError
from engine.files import write_text
from engine.records import Configuration
from engine.registry.models import Model
from engine.store.rows import RANDOM_WEIGHTS, Cost
from precompute.workers.pool import Pool

N_WARM_UP = 2
N_STEPS = 10
N_CELLS = 5
RATTLE = 0.05  # Å
YARDSTICK_NUMBERS = 1_000_000
YARDSTICK_TRIES = 5


def bench(
    model: Model, folder: DataFolder, *, device: str, occasion: str, n_threads: int = 1, n_cells: int = N_CELLS
) -> Cost:
    """Measure one model on this machine and keep the result in the data folder; as `measure`, which see."""
    cost = measure(model, folder, device=device, occasion=occasion, n_threads=n_threads, n_cells=n_cells)
    keep(cost, folder)
    return cost


def measure(
    model: Model, folder: DataFolder, *, device: str, occasion: str, n_threads: int = 1, n_cells: int = N_CELLS
) -> Cost:
    """Measure one model on this machine.

    Args:
        model: From the registry.
        folder: The data folder.
        device: auto, cpu or cuda.
        occasion: From `new_occasion`; the same for all models measured by one command.
        n_threads: Threads of the numerical libraries.
        n_cells: Primitive cells along each edge of the supercell.

    Returns:
        Median over the counted steps.

    Raises:
        WorkerError: The model cannot be loaded, or fails on the cell.
    """
    configurations = _steps(model, n_cells)
    with Pool(folder, device=device, n_threads=n_threads) as pool, pool.borrow(model) as loaded:
        done = loaded.evaluate(configurations, max_edges=1, retry=False)  # time of a step, not of a batch
        record = loaded.worker.record
    predictions = done.predictions
    if failed := [p.reason for p in predictions if p.status != "ok"]:
        raise WorkerError(f"'{model.model_id}' cannot do the bench cell: {failed[0]}")
    seconds = statistics.median(p.wall_seconds or 0.0 for p in predictions[N_WARM_UP:])
    n_atoms = configurations[0].n_atoms
    return Cost(
        model_id=model.model_id,
        device=record["device"],
        hardware=record["hardware"],
        n_threads=n_threads,
        n_atoms=n_atoms,
        batch=1,
        ms_per_step=seconds * 1e3,
        us_per_atom_step=seconds * 1e6 / n_atoms,
        peak_memory_mb=done.peak_memory_mb,
        origin="computed",
        measured_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        occasion=occasion,
        yardstick_ms=yardstick_ms(),
    )


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


def is_measured(model: Model, folder: DataFolder, n_cells: int = N_CELLS) -> bool:
    """Whether this data folder holds a cost of the model on that supercell already."""
    name = re.compile(rf"{re.escape(model.model_id)}-(cpu|cuda)-\d+{_suffix(n_cells**3)}\.json")
    return any(name.fullmatch(path.name) for path in folder.costs.glob("*.json"))


def _suffix(n_atoms: int) -> str:
    """End of a file's name: none for the cell of the paper."""
    return "" if n_atoms == N_CELLS**3 else f"-{n_atoms}"


def _steps(model: Model, n_cells: int) -> list[Configuration]:
    """The cell once per step; EMT knows no W, so its cell is Cu."""
    cell = bulk("Cu", "fcc", a=3.61) if model.family == "emt" else bulk("W", "bcc", a=3.165)
    atoms: Atoms = cell.repeat(n_cells)
    generator = np.random.default_rng(0)
    return [
        Configuration(
            config_id=f"step-{i:02d}",
            group_name="bench",
            numbers=atoms.numbers.astype(np.int64),
            positions=atoms.positions + generator.normal(scale=RATTLE, size=(len(atoms), 3)),
            cell=np.array(atoms.cell),
            pbc=(True, True, True),
        )
        for i in range(N_WARM_UP + N_STEPS)
    ]


def keep(cost: Cost, folder: DataFolder) -> None:
    """Write a cost into the data folder, where the next build takes it from."""
    name = f"{cost.model_id}-random-weights" if cost.origin == RANDOM_WEIGHTS else cost.model_id
    path = folder.costs / f"{name}-{cost.device}-{cost.n_threads}{_suffix(cost.n_atoms)}.json"
    write_text(path, json.dumps(asdict(cost), indent=1) + "\n")


def read_costs(costs: Path, left_out: list[str]) -> Iterator[Cost]:
    """Costs that a folder holds, in the order of their files.

    Args:
        costs: The folder, whether or not it is there.
        left_out: Takes a sentence for every file that is no cost.
    """
    for path in sorted(costs.glob("*.json")):
        try:
            yield Cost(**json.loads(path.read_text()))
        except (OSError, TypeError, ValueError) as error:
            left_out.append(f"{path} is no cost ({error}); delete it and run bench again")
