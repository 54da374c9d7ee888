"""`python -m precompute run`: what is to be predicted, on this machine or in bundles on a cluster."""

import argparse
from collections.abc import Iterator, Mapping, Sequence

from engine.data_folder import DataFolder
from engine.errors import SettingsError
from engine.records import Configuration
from engine.registry.datasets import Dataset
from engine.registry.models import Model, select_models
from engine.registry.reactions import needed_configurations
from engine.shards import sample
from engine.store.reactions import dataset_reactions, listed_reactions
from precompute.acquire.datasets import configurations_of, datasets_here
from precompute.jobs import runner
from precompute.jobs.executors import Bundle, run_with_parsl, seconds_per_atom
from precompute.progress import duration, say
from precompute.workers.devices import places
from precompute.workers.worker_envs import why_not_runnable

BUNDLE_MINUTES = 20.0


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
    for model in select_models(arguments.model):
        if reason := why_not_runnable(model, folder):
            say(f"{model.model_id}: skipped. {reason}")
            if "all" not in arguments.model:
                return 1
            continue
        task, n_done = runner.plan(model, datasets, folder)
        n_todo = sum(len(shard.configurations) for shard, _ in task.shards)
        say(f"{model.model_id}: {n_todo} to do, {n_done} done before")
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
    sub.add_argument("--per-device", type=int, default=1, metavar="N", help="workers that share a GPU (default 1)")
    sub.add_argument("--cpu-jobs", type=int, metavar="N", help="workers on cores beside GPUs that take any model")
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
    _part(arguments)


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


def _run_here(tasks: Sequence[runner.Task], folder: DataFolder, arguments: argparse.Namespace) -> int:
    """Work through tasks on this machine and say what came of them."""
    outcome = runner.run(
        tasks,
        folder,
        places=places(
            arguments.device, jobs=arguments.jobs, per_device=arguments.per_device, cpu_jobs=arguments.cpu_jobs
        ),
        offline=arguments.offline,
        memory_gb=arguments.memory_gb,
        seconds=None if arguments.minutes is None else 60 * arguments.minutes,
    )
    say(f"{outcome.n_done} configurations in {duration(outcome.seconds)}, {outcome.n_failed} failed with a reason")
    if outcome.n_transient:
        say(f"{outcome.n_transient} lacked memory or time; the same command tries them again")
    if left := outcome.n_planned - outcome.n_done:
        say(f"{left} of {outcome.n_planned} configurations are not done")
    return 0 if outcome.is_complete else 1


def _bundles(
    task: runner.Task, dataset_ids: Sequence[str], folder: DataFolder, arguments: argparse.Namespace
) -> Iterator[Bundle]:
    """Parts of one model's work that take about the minutes asked for; each is a `run` of its own."""
    if not task.shards:
        return
    seconds = task.n_atoms * seconds_per_atom(task.model, folder, arguments.device)
    n_configurations = sum(len(shard.configurations) for shard, _ in task.shards)
    n_parts = max(1, min(round(seconds / 60 / arguments.bundle_minutes), n_configurations))
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
    return (*command, *(["--offline"] if arguments.offline else []))
