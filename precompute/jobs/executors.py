"""A run on a cluster: bundles of one model's configurations as Parsl tasks, which share the data folder.

A bundle is sized in minutes by the measured speed of its model. Its task calls `python -m precompute run --part I/N` on
whatever worker the user's configuration starts, where a file that exists is done: a task that is lost, killed at
the end of its walltime or tried again repeats nothing. Parsl gives each worker its GPU through CUDA_VISIBLE_DEVICES
(`available_accelerators`), which a run obeys.
"""

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.data_folder import EMBEDDED, ROOT, DataFolder
from engine.errors import SettingsError
from engine.registry.models import Model
from precompute.jobs.bench import read_costs
from precompute.progress import say
from precompute.workers.devices import gpus

SLOW = 0.01  # s per atom of a model that was never timed: that of the larger universal models on one core

RETRIES = 1  # of the configuration that is used where the user has none


@dataclass(frozen=True)
class Bundle:
    """A part of one model's work.

    Attributes:
        model_id: The model.
        arguments: Of the `python -m precompute run` that does it.
    """

    model_id: str
    arguments: tuple[str, ...]


def seconds_per_atom(model: Model, folder: DataFolder, device: str) -> float:
    """Time of energy and forces per atom by `precompute bench`, s; SLOW where the model was not timed.

    Args:
        model: From the registry.
        folder: With costs measured here; else those of the repository count.
        device: auto, cpu or cuda; on auto the fastest timing counts.
    """
    for costs in (folder.costs, EMBEDDED / "costs"):
        own = [cost for cost in read_costs(costs, []) if cost.model_id == model.model_id]
        if times := [cost.us_per_atom_step / 1e6 for cost in own if device in ("auto", cost.device)]:
            return min(times)
    return SLOW


def run_with_parsl(bundles: Sequence[Bundle], config: str | None, logs: Path) -> int:
    """Run bundles as Parsl tasks, say how many are done, and wait for all.

    Args:
        bundles: In order of submission.
        config: `module:attribute` of a `parsl.Config`, importable here; None for workers on this machine alone.
        logs: Folder for what Parsl writes on this machine.

    Returns:
        0 where all are complete, else 1; the same command goes on with what is left.

    Raises:
        SettingsError: Parsl is not installed, or the configuration cannot be imported.
    """
    if importlib.util.find_spec("parsl") is None:
        raise SettingsError("--executor parsl needs Parsl. Run: pip install parsl")
    if not bundles:
        say("nothing is left to do")
        return 0
    import parsl
    from parsl.app.python import PythonApp

    loaded = _config(config, logs)
    say(f"{len(bundles)} bundles of {len({bundle.model_id for bundle in bundles})} models")
    # Parsl starts programs of its own by their names, which lie beside this Python.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with parsl.load(loaded) as kernel:
        # A function of the standard library, since what runs on a worker need not find this project on its path.
        app = PythonApp(subprocess.run, data_flow_kernel=kernel)

        def submit(bundle: Bundle) -> Future[Any]:
            command = [sys.executable, "-m", "precompute", "run", *bundle.arguments]
            future: Future[Any] = app(command, cwd=str(ROOT), capture_output=True, text=True, check=False)
            return future

        return _wait(bundles, submit, loaded.retries)


def _wait(bundles: Sequence[Bundle], submit: Callable[[Bundle], Future[Any]], retries: int) -> int:
    """Count bundles as they end and submit again what is not complete; name those that never are."""
    open_ones = {submit(bundle): (bundle, retries) for bundle in bundles}
    n_done = n_failed = 0
    while open_ones:
        for future in wait(open_ones, return_when=FIRST_COMPLETED).done:
            bundle, left = open_ones.pop(future)
            problem = _problem(future)
            if problem and left and not future.exception():
                open_ones[submit(bundle)] = (bundle, left - 1)
                continue
            n_done += 1
            if problem:
                n_failed += 1
                say(f"{bundle.model_id}: {problem}")
            failed = f", {n_failed} not complete" if n_failed else ""
            say(f"{n_done}/{len(bundles)} bundles{failed} (last: {bundle.model_id})")
    return 1 if n_failed else 0


def _problem(future: Future[Any]) -> str:
    """Why a bundle is not complete, with the end of what its run printed; empty where it is."""
    if error := future.exception():  # Parsl has tried again by itself: a worker or a block was lost
        return f"{type(error).__name__}: {error}"
    done = future.result()
    return f"exit status {done.returncode}: {' '.join(done.stderr.split())[-500:]}" if done.returncode else ""


def _config(name: str | None, logs: Path) -> Any:
    """The user's configuration; without one, a worker for each place of this machine."""
    if name is None:
        return _this_machine(logs)
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"--parsl-config '{name}' is not MODULE:ATTRIBUTE of a parsl.Config: {error}") from error


def _this_machine(logs: Path) -> Any:
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    cards = [card.uuid for card in gpus()]
    executor = HighThroughputExecutor(
        label="here",
        address="127.0.0.1",
        max_workers_per_node=len(cards) or len(os.sched_getaffinity(0)),
        available_accelerators=cards,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    return Config(executors=[executor], retries=RETRIES, run_dir=str(logs.resolve() / "parsl"), strategy="none")
