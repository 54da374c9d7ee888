"""Measure what a model costs: time per evaluation of energy, forces and stress on a bulk supercell.

As in the paper's Fig. 7 the cell has 125 atoms of bcc W (5 x 5 x 5 primitive cells), displaced a little anew for
every step, so that nothing can be reused from the step before. The worker itself takes the time, one thread, after
two steps that are not counted (compilation, caches).
"""

import json
import statistics
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

from engine.data_folder import DataFolder
from engine.errors import WorkerError
from engine.records import Configuration, read_predictions, write_configurations
from engine.registry.models import Model
from engine.store.rows import Cost
from precompute.workers.launch import worker_command
from precompute.workers.process import Worker

N_WARM_UP = 2
N_STEPS = 10
N_CELLS = 5
RATTLE = 0.05  # Å


def bench(model: Model, folder: DataFolder, *, device: str, n_threads: int = 1) -> Cost:
    """Measure one model on this machine and keep the result in the data folder.

    Returns:
        Median over the counted steps.

    Raises:
        WorkerError: The model cannot be loaded, or fails on the cell.
    """
    command = worker_command(model, folder, device, n_threads)
    worker = Worker(command, folder.logs / f"{model.model_id}.log")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        source, target = Path(scratch) / "steps.parquet", Path(scratch) / "predictions.parquet"
        configurations = _steps(model)
        write_configurations(source, configurations)
        try:
            record = worker.start()
            done = worker.request(source, target)
        finally:
            worker.kill()
        predictions = read_predictions(target)
    if failed := [p.reason for p in predictions if p.status != "ok"]:
        raise WorkerError(f"'{model.model_id}' cannot do the bench cell: {failed[0]}")
    seconds = statistics.median(p.wall_seconds or 0.0 for p in predictions[N_WARM_UP:])
    n_atoms = configurations[0].n_atoms
    cost = Cost(
        model_id=model.model_id,
        device=record["device"],
        hardware=record["hardware"],
        n_threads=n_threads,
        n_atoms=n_atoms,
        batch=1,
        ms_per_step=seconds * 1e3,
        us_per_atom_step=seconds * 1e6 / n_atoms,
        peak_memory_mb=done["peak_memory_mb"],
        origin="computed",
        measured_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
    )
    _keep(cost, folder)
    return cost


def is_measured(model: Model, folder: DataFolder) -> bool:
    """Whether this data folder holds a cost of the model already."""
    return any(folder.costs.glob(f"{model.model_id}-*.json"))


def _steps(model: Model) -> list[Configuration]:
    """The cell once per step; EMT knows no W, so its cell is Cu."""
    cell = bulk("Cu", "fcc", a=3.61) if model.family == "emt" else bulk("W", "bcc", a=3.165)
    atoms: Atoms = cell.repeat(N_CELLS)
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


def _keep(cost: Cost, folder: DataFolder) -> None:
    folder.costs.mkdir(parents=True, exist_ok=True)
    path = folder.costs / f"{cost.model_id}-{cost.device}-{cost.n_threads}.json"
    path.write_text(json.dumps(asdict(cost), indent=1) + "\n")
