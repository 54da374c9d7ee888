"""Run models over datasets: one worker per slot, each loads a model once and takes shards until none is left."""

import functools
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.data_folder import DataFolder
from engine.errors import EngineError, WorkerError
from engine.records import Configuration, write_configurations
from engine.registry.models import Model
from engine.shards import Shard, cut, done_keys, missing
from precompute.acquire.weights import model_fingerprint
from precompute.progress import Progress
from precompute.workers.launch import worker_command
from precompute.workers.process import Worker, WorkerDiedError
from precompute.workers.worker_envs import WorkerCommand

Command = Callable[[Model], WorkerCommand]

# A second worker for the same model pays its imports only from about this much work on.
MIN_ATOMS_PER_WORKER = 2000

# One configuration that outlasts this has hung.
CONFIG_SECONDS = 1800.0


@dataclass
class Task:
    """What one model has to do: shards still to take, and where their files go."""

    model: Model
    shards: list[tuple[Shard, Path]]
    n_workers: int = 0
    max_edges: int | None = None
    deaths: Counter[str] = field(default_factory=Counter)
    error: str = ""

    @property
    def n_atoms(self) -> int:
        """Atoms in the shards that nobody has taken yet."""
        return sum(shard.n_atoms for shard, _ in self.shards)


@dataclass(frozen=True)
class Outcome:
    """What a run did: counts of configurations, and models that could not be loaded."""

    n_done: int
    n_failed: int
    seconds: float
    errors: dict[str, str]


def plan(model: Model, datasets: Mapping[str, Sequence[Configuration]], folder: DataFolder) -> tuple[Task, int]:
    """What a model still has to do on some datasets.

    Returns:
        The task, and how many configurations were done before.
    """
    shards: list[tuple[Shard, Path]] = []
    n_done = 0
    for dataset_id, configurations in datasets.items():
        target = folder.predictions(dataset_id, model.model_id, model_fingerprint(model, folder))
        todo = missing(configurations, done_keys(sorted(target.glob("*.parquet"))))
        n_done += len(configurations) - len(todo)
        shards += [(shard, target / shard.name) for shard in cut(todo)]
    return Task(model, shards), n_done


def run(
    tasks: Sequence[Task],
    folder: DataFolder,
    *,
    device: str,
    n_slots: int | None = None,
    offline: bool = False,
    memory_gb: float = 0.0,
) -> Outcome:
    """Work through tasks with one worker per slot.

    Every slot takes a model that has no worker yet; when there is none left, it helps the model with the most
    work. A worker that dies is replaced, and a configuration that killed two workers becomes a failed row.

    Args:
        tasks: From `plan`; emptied as shards are taken.
        folder: The data folder.
        device: auto, cpu or cuda.
        n_slots: Workers at once; one per core by default.
        offline: Start workers where there is no network at all.
        memory_gb: Address space of each worker; 0 for all there is.

    Returns:
        Counts, and the models that could not be loaded with the reason.
    """
    tasks = [task for task in tasks if task.shards]
    progress = Progress(sum(len(s.configurations) for t in tasks for s, _ in t.shards), sum(t.n_atoms for t in tasks))
    queue = _Queue(tasks)
    n_slots = max(1, min(n_slots or os.cpu_count() or 1, sum(len(t.shards) for t in tasks)))
    command = functools.partial(worker_command, folder=folder, device=device, offline=offline, memory_gb=memory_gb)
    threads = [
        threading.Thread(target=_slot, args=(queue, folder, command, progress), daemon=True) for _ in range(n_slots)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = {task.model.model_id: task.error for task in tasks if task.error}
    return Outcome(progress.n_done, progress.n_failed, progress.seconds, errors)


class _Queue:
    """Which model a slot takes next, and which shard."""

    def __init__(self, tasks: list[Task]) -> None:
        self._tasks = tasks
        self._lock = threading.Lock()

    def take_model(self) -> Task | None:
        """A model without a worker, else one with enough work for another; None when all is taken."""
        with self._lock:
            open_tasks = [task for task in self._tasks if task.shards and not task.error]
            untouched = [task for task in open_tasks if task.n_workers == 0]
            shared = [task for task in open_tasks if task.n_atoms > MIN_ATOMS_PER_WORKER * task.n_workers]
            task = next(iter(untouched), None) or max(shared, key=lambda t: t.n_atoms, default=None)
            if task is not None:
                task.n_workers += 1
            return task

    def take_shard(self, task: Task) -> tuple[Shard, Path] | None:
        """Next shard of a model, None when there is none left or the model failed."""
        with self._lock:
            return task.shards.pop(0) if task.shards and not task.error else None

    def leave(self, task: Task, error: str = "") -> None:
        """A slot is done with a model."""
        with self._lock:
            task.n_workers -= 1
            task.error = task.error or error


def _slot(queue: _Queue, folder: DataFolder, command: Command, progress: Progress) -> None:
    """Take models until there are none."""
    while (task := queue.take_model()) is not None:
        error = ""
        try:
            _work(task, queue, folder, command(task.model), progress)
        except EngineError as problem:
            error = str(problem)
            print(f"{task.model.model_id}: {error}", file=sys.stderr, flush=True)
        queue.leave(task, error)


def _work(task: Task, queue: _Queue, folder: DataFolder, command: WorkerCommand, progress: Progress) -> None:
    """One worker's life: load once, take shards, start again where a configuration killed the process."""
    log = folder.logs / f"{task.model.model_id}.log"
    worker: Worker | None = None
    try:
        with tempfile.TemporaryDirectory(prefix="shard-") as scratch:
            while (taken := queue.take_shard(task)) is not None:
                shard, target = taken
                source = Path(scratch) / shard.name
                write_configurations(source, shard.configurations)
                max_edges = task.max_edges
                while True:
                    if worker is None or not worker.is_alive:
                        worker = Worker(command, log)
                        worker.start()
                    try:
                        done = worker.request(
                            source, target, skip=_lethal(task), max_edges=max_edges, timeout=CONFIG_SECONDS
                        )
                        break
                    except WorkerDiedError as death:
                        max_edges = 1  # the new worker goes one at a time, so that the culprit is known
                        _count_death(task, death, shard, worker)
                progress.add(shard, done["n_failed"], f"{task.model.model_id}, {target.parts[-4]}")
    finally:
        if worker is not None:
            worker.kill()


def _count_death(task: Task, death: WorkerDiedError, shard: Shard, worker: Worker) -> None:
    """Blame a death on the configuration at hand; before any, the process itself is broken."""
    if len(death.config_ids) > 1:
        task.max_edges = max(1, (task.max_edges or int(worker.record["max_edges"])) // 2)
        print(
            f"{task.model.model_id}: {death}; this shard one at a time, later ones in half as large batches",
            file=sys.stderr,
            flush=True,
        )
        return
    culprit = next(iter(death.config_ids), "")
    task.deaths[culprit] += 1
    if not culprit and task.deaths[culprit] > 1:
        raise WorkerError(f"worker of '{task.model.model_id}' died twice before any configuration: {death}")
    print(f"{task.model.model_id}: {death}; at {culprit or shard.name}", file=sys.stderr, flush=True)


def _lethal(task: Task) -> dict[str, str]:
    """Configurations that killed two workers, with the reason that their rows will carry."""
    return {key: "ended its worker process twice" for key, n in task.deaths.items() if key and n >= 2}
