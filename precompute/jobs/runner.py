"""`python -m precompute run`: models over datasets, on this machine or in bundles on a cluster.

Here there is one worker per place, each loads a model once and takes shards until none is left.
"""

import argparse
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data_folder import DataFolder
from engine.errors import EngineError, SettingsError
from engine.files import remove_abandoned
from engine.records import Configuration
from engine.registry.datasets import Dataset
from engine.registry.models import Model, select_models
from engine.registry.reactions import needed_configurations
from engine.shards import Shard, cut, done_keys, missing, sample
from engine.store.reactions import dataset_reactions, listed_reactions
from precompute.acquire.datasets import configurations_of, datasets_here
from precompute.acquire.user_models import add_precision_argument, variant
from precompute.acquire.weights import Checkpoint
from precompute.jobs.executors import Bundle, run_with_parsl, seconds_per_atom
from precompute.progress import Progress, duration, say
from precompute.workers import devices
from precompute.workers.devices import Place
from precompute.workers.pool import Pool
from precompute.workers.process import LackOfMemoryError
from precompute.workers.worker_envs import why_not_runnable

BUNDLE_MINUTES = 20.0

# A second worker for the same model pays its imports only from about this much work on.
MIN_ATOMS_PER_WORKER = 2000

# One configuration that outlasts this has hung.
CONFIG_SECONDS = 1800.0


@dataclass
class Task:
    """Work of one model: shards still to take, and the folders of their files.

    Attributes:
        model: From the registry.
        shards: Those that nobody has taken yet, each with its file.
        n_workers: Places that are at it.
        error: Why the model cannot be run; empty where it can.
        waits: Whether a worker could not load it beside others for lack of memory, so that no other place tries now.
    """

    model: Model
    shards: list[tuple[Shard, Path]]
    n_workers: int = 0
    error: str = ""
    waits: bool = False

    @property
    def n_configurations(self) -> int:
        """Configurations in the shards that nobody has taken yet."""
        return sum(len(shard.configurations) for shard, _ in self.shards)

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
    deterministic: bool = False,
    memory_gb: float = 0.0,
    seconds: float | None = None,
) -> Outcome:
    """Work through tasks with one worker per place.

    Every place takes a model that suits it and has no worker yet; when there is none left, it helps the model with the
    most work. A worker that dies is replaced, and a configuration that killed two workers becomes a failed row. A model
    that could not be loaded for lack of memory is tried again when all else is done, alone on its device.

    Args:
        tasks: From `plan`; emptied as shards are taken.
        folder: The data folder.
        places: Of the workers, from `devices.places`.
        offline: Start workers where there is no network at all.
        deterministic: Let workers give the same bits every time, on a GPU too, or fail.
        memory_gb: Address space of each worker; 0 for all there is.
        seconds: Time after which no place takes anything new, s; None for until all is done.

    Returns:
        Counts, and the models that could not be loaded with the reason.
    """
    tasks = [task for task in tasks if task.shards]
    n_planned = sum(task.n_configurations for task in tasks)
    progress = Progress(n_planned, sum(task.n_atoms for task in tasks))
    queue = _Queue(tasks, None if seconds is None else time.monotonic() + seconds)
    for task in tasks:
        if not any(place.suits(task.model.family) for place in places):
            task.error = "no worker of this run takes its family; leave out --device cuda or --jobs"
    with Pool(
        folder,
        device="auto",
        offline=offline,
        deterministic=deterministic,
        memory_gb=memory_gb,
        max_warm=len(places),
    ) as pool:
        _fill(places, queue, pool, progress)
        if waiting := queue.resume():
            say(f"{', '.join(waiting)}: again, alone")
            _fill(devices.alone(places), queue, pool, progress, is_last=True)
    errors = {task.model.model_id: task.error for task in tasks if task.error}
    return Outcome(n_planned, progress.n_done, progress.n_failed, progress.n_transient, progress.seconds, errors)


def _fill(places: Sequence[Place], queue: "_Queue", pool: Pool, progress: Progress, *, is_last: bool = False) -> None:
    """Let every place take models until there are none."""
    threads = [
        threading.Thread(target=_slot, args=(queue, pool, place, progress, is_last), daemon=True) for place in places
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


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
            open_tasks = [task for task in suitable if task.shards and not task.error and not task.waits]
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

    def put_back(self, task: Task, taken: tuple[Shard, Path]) -> None:
        """Memory lacks for a worker of a model: others may go on with it, but nobody new takes it until `resume`."""
        with self._lock:
            task.shards.insert(0, taken)
            task.waits = True

    def resume(self) -> list[str]:
        """Offer the models again that wait and have work left; their ids."""
        with self._lock:
            waiting = [task.model.model_id for task in self._tasks if task.waits and task.shards and not task.error]
            for task in self._tasks:
                task.waits = False
            return [] if self._is_over() else waiting

    def leave(self, task: Task, error: str = "") -> None:
        """A worker is done with a model."""
        with self._lock:
            task.n_workers -= 1
            task.error = task.error or error


def _slot(queue: _Queue, pool: Pool, place: Place, progress: Progress, is_last: bool) -> None:
    """Take models until there are none; whatever goes wrong with one is its error, and the place goes on.

    Only a lack of memory at the load is no error yet, unless this is the last try.
    """
    while (task := queue.take_model(place)) is not None:
        error, taken = "", None
        try:
            with pool.borrow(task.model, place) as loaded:
                while (taken := queue.take_shard(task)) is not None:
                    shard, target = taken
                    done = loaded.evaluate(shard.configurations, target, timeout=CONFIG_SECONDS)
                    what = f"{task.model.model_id}, {target.parts[-4]}"
                    progress.add(shard, done.n_failed, what, done.n_transient)
                loaded.worker.kill()  # no shard is left for it, and its memory is for others
        except LackOfMemoryError as problem:
            if is_last or taken is None:
                error = str(problem)
                say(f"{task.model.model_id}: {error}")
            else:
                queue.put_back(task, taken)
                say(f"{task.model.model_id}: {problem} It is tried again at the end, alone.")
        except Exception as problem:
            error = str(problem) if isinstance(problem, EngineError) else f"{type(problem).__name__}: {problem}"
            say(f"{task.model.model_id}: {error}")
        queue.leave(task, error)


def main(arguments: argparse.Namespace) -> int:
    """Predict what is missing: every chosen model on every chosen dataset."""
    folder = DataFolder.default()
    if arguments.reactions:
        arguments.dataset = arguments.dataset or ["all"]
    _check(arguments)
    chosen, n_absent = datasets_here(arguments.dataset, folder)
    if n_absent:
        say(f"{n_absent} datasets are not fetched and are left out")
    datasets = {dataset.dataset_id: _wanted(dataset, folder, arguments) for dataset in chosen}
    if arguments.group and not any(datasets.values()):
        raise SettingsError(f"None of these datasets has a group named {' or '.join(arguments.group)}.")
    if arguments.reactions and not any(datasets.values()):
        raise SettingsError(
            "These datasets hold no part of a defect energy; engine/registry/reaction_groups.toml names those that do."
        )
    tasks = []
    for chosen_model in select_models(arguments.model):
        model = variant(chosen_model, arguments.matmul_precision, folder)
        if reason := why_not_runnable(model, folder):
            say(f"{model.model_id}: skipped. {reason}")
            if "all" not in arguments.model:
                return 1
            continue
        task, n_done = plan(model, datasets, folder)
        say(f"{model.model_id}: {task.n_configurations} to do, {n_done} done before")
        tasks.append(task)
    if arguments.executor == "parsl":
        bundles = [bundle for task in tasks for bundle in _bundles(task, list(datasets), folder, arguments)]
        return run_with_parsl(bundles, arguments.parsl_config, folder.logs)
    return _run_here(tasks, folder, arguments)


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    sub.add_argument("--limit", type=int, metavar="N", help="a reproducible sample of N configurations of each dataset")
    sub.add_argument("--group", action="append", metavar="NAME", help="repeatable: only these groups of structures")
    sub.add_argument(
        "--reactions",
        action="store_true",
        help="only what defect energies are made of; without --dataset, of all datasets that are here",
    )
    sub.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="most worker processes at once (default: one per GPU and one per core left, for models without GPU)",
    )
    sub.add_argument(
        "--per-device",
        type=int,
        default=1,
        metavar="N",
        help="workers that share a GPU, each with 1/N of its memory; fewer for large models or cells (default 1)",
    )
    sub.add_argument("--cpu-jobs", type=int, metavar="N", help="workers on cores beside GPUs that take any model")
    add_precision_argument(sub)
    sub.add_argument(
        "--deterministic",
        action="store_true",
        help="the same bits every time, on a GPU too; a model with an operation that cannot do that fails",
    )
    sub.add_argument("--offline", action="store_true", help="start workers without any network")
    sub.add_argument("--memory-gb", type=float, default=0.0, metavar="GB", help="memory that each worker may use")
    sub.add_argument("--part", default="1/1", metavar="I/N", help="every N-th configuration, from the I-th on")
    sub.add_argument("--minutes", type=float, metavar="M", help="take nothing new after M minutes")
    sub.add_argument("--executor", choices=("local", "parsl"), default="local")
    sub.add_argument("--parsl-config", metavar="MODULE:ATTRIBUTE", help="a parsl.Config for --executor parsl")
    sub.add_argument(
        "--bundle-minutes",
        type=float,
        default=BUNDLE_MINUTES,
        metavar="M",
        help=f"size of a task of --executor parsl by the measured speed of its model (default {BUNDLE_MINUTES:g})",
    )


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what does not go together.

    Raises:
        SettingsError: In one sentence.
    """
    if not arguments.model or not arguments.dataset:
        raise SettingsError("run needs --dataset ID and --model ID; both may be all.")
    if arguments.limit is not None and arguments.limit < 1:
        raise SettingsError(f"--limit is {arguments.limit}, expected at least 1.")
    if arguments.limit is not None and arguments.reactions:
        raise SettingsError("--reactions needs all parts of a defect energy, so it cannot go with --limit.")
    if arguments.group and arguments.reactions:
        raise SettingsError("--group does not go with --reactions.")
    if arguments.minutes is not None and arguments.minutes <= 0:
        raise SettingsError(f"--minutes is {arguments.minutes:g}, expected more than 0.")
    if arguments.bundle_minutes <= 0:
        raise SettingsError(f"--bundle-minutes is {arguments.bundle_minutes:g}, expected more than 0.")
    if _part(arguments) != (0, 1) and arguments.executor == "parsl":
        raise SettingsError("--part does not go with --executor parsl, which makes parts of its own.")


def _part(arguments: argparse.Namespace) -> tuple[int, int]:
    """Which configurations --part asks for: the first of them, counted from 0, and the step."""
    first, _, step = arguments.part.partition("/")
    if not (first.isdecimal() and step.isdecimal() and 1 <= int(first) <= int(step)):
        raise SettingsError(f"--part '{arguments.part}' is not I/N with I from 1 to N, such as 2/8.")
    return int(first) - 1, int(step)


def _wanted(dataset: Dataset, folder: DataFolder, arguments: argparse.Namespace) -> list[Configuration]:
    """Configurations of a dataset that were asked for."""
    first, step = _part(arguments)
    return _all_wanted(dataset, folder, arguments)[first::step]


def _all_wanted(dataset: Dataset, folder: DataFolder, arguments: argparse.Namespace) -> list[Configuration]:
    """Those of all parts."""
    if arguments.group:
        chosen = [c for c in configurations_of(dataset, folder) if c.group_name in arguments.group]
        return chosen if arguments.limit is None else sample(chosen, arguments.limit)
    configurations = configurations_of(dataset, folder, arguments.limit)
    if not arguments.reactions:
        return configurations
    reactions = [*dataset_reactions(dataset, configurations), *listed_reactions()]
    needed = needed_configurations(reactions).get(dataset.dataset_id, set())
    chosen = [c for c in configurations if c.config_id in needed]
    if chosen:
        n_atoms = sum(c.n_atoms for c in chosen)
        say(f"{dataset.dataset_id}: {len(chosen)} configurations, {n_atoms:,} atoms, are parts of defect energies")
    return chosen


def _run_here(tasks: Sequence[Task], folder: DataFolder, arguments: argparse.Namespace) -> int:
    """Work through tasks on this machine and say what came of them."""
    outcome = run(
        tasks,
        folder,
        places=devices.places(
            arguments.device,
            jobs=arguments.jobs,
            per_device=arguments.per_device,
            cpu_jobs=arguments.cpu_jobs,
            families={task.model.family for task in tasks},
        ),
        offline=arguments.offline,
        deterministic=arguments.deterministic,
        memory_gb=arguments.memory_gb,
        seconds=None if arguments.minutes is None else 60 * arguments.minutes,
    )
    say(f"{outcome.n_done} configurations in {duration(outcome.seconds)}, {outcome.n_failed} failed with a reason")
    if outcome.n_transient:
        fewer = "; fewer workers --per-device have more memory each" if arguments.per_device > 1 else ""
        say(f"{outcome.n_transient} lacked memory or time; the same command tries them again{fewer}")
    if left := outcome.n_planned - outcome.n_done:
        say(f"{left} of {outcome.n_planned} configurations are not done")
    return 0 if outcome.is_complete else 1


def _bundles(
    task: Task, dataset_ids: Sequence[str], folder: DataFolder, arguments: argparse.Namespace
) -> Iterator[Bundle]:
    """Parts of one model's work that take about the minutes asked for; each is a `run` of its own."""
    if not task.shards:
        return
    seconds = task.n_atoms * seconds_per_atom(task.model, folder, arguments.device)
    n_parts = max(1, min(round(seconds / 60 / arguments.bundle_minutes), task.n_configurations))
    for number in range(1, n_parts + 1):
        yield Bundle(task.model.model_id, _command(task.model, dataset_ids, folder, arguments, f"{number}/{n_parts}"))


def _command(
    model: Model, dataset_ids: Sequence[str], folder: DataFolder, arguments: argparse.Namespace, part: str
) -> tuple[str, ...]:
    """Arguments of the `run` that does one bundle."""
    values: Mapping[str, object] = {
        "--data": folder.root.resolve(),
        "--model": model.model_id,
        "--device": arguments.device,
        "--part": part,
        "--jobs": arguments.jobs or 1,
        "--per-device": arguments.per_device,
        "--memory-gb": arguments.memory_gb,
        "--limit": arguments.limit,
        "--minutes": arguments.minutes,
    }
    command = [str(word) for name, value in values.items() if value is not None for word in (name, value)]
    command += [word for dataset_id in dataset_ids for word in ("--dataset", dataset_id)]
    command += [word for group in arguments.group or () for word in ("--group", group)]
    command += ["--reactions"] if arguments.reactions else []
    command += ["--deterministic"] if arguments.deterministic else []
    return (*command, *(["--offline"] if arguments.offline else []))
