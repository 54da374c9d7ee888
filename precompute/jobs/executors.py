"""Executors of a run: threads of this process, or Parsl tasks on a cluster.

A slot is one call that takes models and shards until none is left. On this machine the slots share one queue. With
Parsl each model becomes a task of its own on whatever blocks the user's configuration starts: every task calls
`python -m precompute run` for its model on the shared data folder, where a file that exists is done.
"""

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.data_folder import ROOT
from engine.errors import SettingsError


def run_with_parsl(commands: Sequence[Sequence[str]], config: str | None) -> list[int]:
    """Run command lines as Parsl tasks and wait for them.

    Args:
        commands: One command line per task.
        config: `module:attribute` of a `parsl.Config`, importable here; two local threads where it is None.

    Returns:
        Exit status of each command.

    Raises:
        SettingsError: Parsl is not installed, or the configuration cannot be imported.
    """
    if importlib.util.find_spec("parsl") is None:
        raise SettingsError("--executor parsl needs Parsl. Run: pip install parsl")
    import parsl

    with parsl.load(_config(config)):
        app = parsl.python_app(_call)
        futures = [app(list(command), str(ROOT)) for command in commands]
        return [int(future.result()) for future in futures]


def command_line(model_id: str, dataset_ids: Sequence[str], data: Path, device: str, limit: int | None) -> list[str]:
    """Command that runs one model in a process of its own."""
    command = [sys.executable, "-m", "precompute", "run", "--model", model_id, "--data", str(data.resolve())]
    for dataset_id in dataset_ids:
        command += ["--dataset", dataset_id]
    command += ["--device", device]
    return command + (["--limit", str(limit)] if limit is not None else [])


def _call(command: list[str], folder: str) -> int:
    """Body of a task; it may run on another machine, so it imports what it needs."""
    return subprocess.run(command, cwd=folder, check=False).returncode


def _config(name: str | None) -> object:
    from parsl.config import Config
    from parsl.executors import ThreadPoolExecutor

    if name is None:
        return Config(executors=[ThreadPoolExecutor(max_threads=2)])
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"--parsl-config '{name}' is not MODULE:ATTRIBUTE of a parsl.Config: {error}") from error
