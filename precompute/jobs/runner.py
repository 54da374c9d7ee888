"""Run models over datasets: one worker per place, each loads a model once and takes shards until none is left."""

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data_folder import DataFolder
from engine.errors import EngineError
from engine.files import remove_abandoned
from engine.records import Configuration
from engine.registry.models import Model
from engine.shards import Shard, cut, done_keys, missing
from precompute.acquire.weights import Checkpoint
from precompute.progress import Progress
from precompute.workers.devices import Place
from precompute.workers.pool import Pool

# A second worker for the same model pays its imports only from about this much work on.
MIN_ATOMS_PER_WORKER = 2000

# One configuration that outlasts this has hung.
CONFIG_SECONDS = 1800.0


@dataclass
class Task:
    """Work of one model: shards still to take, and the folders of their files."""

    model: Model
    shards: list[tuple[Shard, Path]]
    n_workers: int = 0
    error: str = ""

    @property
    def n_atoms(self) -> int:
        """Atoms in the shards that nobody has taken yet."""
        return sum(shard.n_atoms for shard, _ in self.shards)


@dataclass(frozen=True)
class Outcome:
    """Counts of a finished run.

    Attributes:
        n_planned: Configurations that it was asked for.
        n_done: Those that have a row now.
        n_failed: Rows without a result.
        n_transient: Of these, those that lacked memory or time, so that another run tries them again.
        seconds: Time that it took, s.
        errors: Models that could not be run, with the reason.
    """

    n_planned: int
    n_done: int
    n_failed: int
    n_transient: int
    seconds: float
    errors: dict[str, str]

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left that the same command would do."""
        return not self.errors and self.n_done == self.n_planned and not self.n_transient


def plan(model: Model, datasets: Mapping[str, Sequence[Configuration]], folder: DataFolder) -> tuple[Task, int]:
    """Find the configurations of some datasets that a model has no prediction for yet.

    Returns:
        The task, and how many configurations were done before.
    """
    shards: list[tuple[Shard, Path]] = []
    n_done, checkpoint = 0, Checkpoint(model, folder)
    for dataset_id, configurations in datasets.items():
        target = folder.predictions(dataset_id, model.model_id, checkpoint.fingerprint)
        remove_abandoned(target)
        todo = missing(configurations, done_keys(checkpoint.predictions(dataset_id)))
        n_done += len(configurations) - len(todo)
        shards += [(shard, target / shard.name) for shard in cut(todo)]
    return Task(model, shards), n_done


def run(
    tasks: Sequence[Task],
    folder: DataFolder,
    *,
    places: Sequence[Place],
    offline: bool = False,
    memory_gb: float = 0.0,
    seconds: float | None = None,
) -> Outcome:
    """Work through tasks with one worker per place.

    Every place takes a model that suits it and has no worker yet; when there is none left, it helps the model with the
    most work. A worker that dies is replaced, and a configuration that killed two workers becomes a failed row.

    Args:
        tasks: From `plan`; emptied as shards are taken.
        folder: The data folder.
        places: Of the workers, from `devices.places`.
        offline: Start workers where there is no network at all.
        memory_gb: Address space of each worker; 0 for all there is.
        seconds: Time after which no place takes anything new, s; None for until all is done.

    Returns:
        Counts, and the models that could not be loaded with the reason.
    """
    tasks = [task for task in tasks if task.shards]
    n_planned = sum(len(shard.configurations) for task in tasks for shard, _ in task.shards)
    progress = Progress(n_planned, sum(task.n_atoms for task in tasks))
    queue = _Queue(tasks, None if seconds is None else time.monotonic() + seconds)
    for task in tasks:
        if not any(place.suits(task.model.family) for place in places):
            task.error = "no worker of this run takes its family; leave out --device cuda or --jobs"
    with Pool(folder, device="auto", offline=offline, memory_gb=memory_gb, max_warm=len(places)) as pool:
        threads = [threading.Thread(target=_slot, args=(queue, pool, place, progress), daemon=True) for place in places]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    errors = {task.model.model_id: task.error for task in tasks if task.error}
    return Outcome(n_planned, progress.n_done, progress.n_failed, progress.n_transient, progress.seconds, errors)


class _Queue:
    """Which model a place takes next, and which shard."""

    def __init__(self, tasks: list[Task], deadline: float | None = None) -> None:
        self._tasks = tasks
        self._deadline = deadline
        self._lock = threading.Lock()

    def take_model(self, place: Place) -> Task | None:
        """A model without a worker, else one with enough work for another; None when all that suits is taken."""
        with self._lock:
            if self._is_over():
                return None
            suitable = [task for task in self._tasks if place.suits(task.model.family)]
            open_tasks = [task for task in suitable if task.shards and not task.error]
            untouched = [task for task in open_tasks if task.n_workers == 0]
            shared = [task for task in open_tasks if task.n_atoms > MIN_ATOMS_PER_WORKER * task.n_workers]
            task = next(iter(untouched), None) or max(shared, key=lambda t: t.n_atoms, default=None)
            if task is not None:
                task.n_workers += 1
            return task

    def take_shard(self, task: Task) -> tuple[Shard, Path] | None:
        """Next shard of a model, None when there is none left, the model failed or time is over."""
        with self._lock:
            return task.shards.pop(0) if task.shards and not task.error and not self._is_over() else None

    def _is_over(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def leave(self, task: Task, error: str = "") -> None:
        """A worker is done with a model."""
        with self._lock:
            task.n_workers -= 1
            task.error = task.error or error


def _slot(queue: _Queue, pool: Pool, place: Place, progress: Progress) -> None:
    """Take models until there are none; whatever goes wrong with one is its error, and the place goes on."""
    while (task := queue.take_model(place)) is not None:
        error = ""
        try:
            with pool.borrow(task.model, place) as loaded:
                while (taken := queue.take_shard(task)) is not None:
                    shard, target = taken
                    done = loaded.evaluate(shard.configurations, target, timeout=CONFIG_SECONDS)
                    what = f"{task.model.model_id}, {target.parts[-4]}"
                    progress.add(shard, done.n_failed, what, done.n_transient)
        except Exception as problem:
            error = str(problem) if isinstance(problem, EngineError) else f"{type(problem).__name__}: {problem}"
            print(f"{task.model.model_id}: {error}", file=sys.stderr, flush=True)
        queue.leave(task, error)
