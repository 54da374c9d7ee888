"""How many files a reader opens on two walks: from a model id to its prediction, and from a file to a point of parity.

    python benchmarks/walk.py                       # EMT, needs its worker environment
    python benchmarks/walk.py --model chgnet-0.3.0
    python benchmarks/walk.py --point               # the second walk as well

A file of ours counts once, when the first of its functions is entered; what runs at import does not. The parent is
traced in this process, the worker in its own with the same arguments that the pool gives it. The first walk begins
with a registry that is read already, as in a server; what reading it enters is printed apart.
"""

import argparse
import contextlib
import dataclasses
import functools
import importlib
import inspect
import io
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
OURS = ("engine", "precompute", "app")
INSIDE = "--inside-worker"

sys.path.insert(0, str(ROOT))


@contextmanager
def entered(note: Callable[[str], object]) -> Iterator[None]:
    """Say the path of each file of ours whose functions are entered in any thread, each once."""
    seen: set[str] = set()

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event != "call" or code.co_filename in seen or not code.co_flags & inspect.CO_OPTIMIZED:
            return  # bodies of modules and classes are not optimized
        seen.add(code.co_filename)
        with contextlib.suppress(ValueError):
            name = Path(code.co_filename).resolve().relative_to(ROOT)
            if name.parts[0] in OURS:
                note(str(name))

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def traced(function: Callable[[], object]) -> list[str]:
    """Files that a call enters, in order."""
    files: list[str] = []
    with entered(files.append):
        function()
    return files


def in_worker(target: Path, arguments: Sequence[str]) -> int:
    """Be a worker that writes the files it enters as it goes on, since it is killed in the end."""
    sys.argv = ["worker", *arguments]
    worker = importlib.import_module("precompute.workers.worker")
    with target.open("a") as handle, entered(lambda name: print(name, file=handle, flush=True)):
        return int(worker.main())


def model_walk(model_id: str, folder: Any) -> tuple[list[str], list[str]]:
    """Files of the parent and of the worker, from an id to a prediction."""
    from ase.build import bulk

    from engine.records import Configuration
    from engine.registry.models import get_model
    from precompute.workers import pool, worker_envs

    atoms = bulk("Cu", cubic=True)
    cell = Configuration("cu", "g", atoms.numbers, atoms.positions, atoms.cell.array, (True, True, True))
    get_model(model_id)  # so that the registry is read

    def predict(command: Any = worker_envs.worker_command) -> None:
        with (
            mock.patch.object(pool, "worker_command", command),
            pool.Pool(folder, device="cpu") as workers,
            workers.borrow(get_model(model_id)) as loaded,
        ):
            (prediction,) = loaded.evaluate([cell]).predictions
        assert prediction.status == "ok", prediction.reason

    with tempfile.TemporaryDirectory() as scratch:
        inside = Path(scratch) / "entered.txt"

        def watched(*arguments: Any, **options: Any) -> Any:
            command = worker_envs.worker_command(*arguments, **options)
            python, _, _, *rest = command.argv
            return dataclasses.replace(command, argv=(python, __file__, INSIDE, str(inside), *rest))

        predict(watched)
        worker = inside.read_text().splitlines()
    return traced(predict), worker


def registry_walk(model_id: str) -> list[str]:
    """Files that a look-up enters where no registry is read yet."""
    from engine.registry import models

    for remembered in (models._joined, models._read_registry):
        remembered.cache_clear()
    return traced(functools.partial(models.get_model, model_id))


def point_walk(folder: Any) -> list[str]:
    """Files from a file of configurations to a drawn point: add-dataset, run, build, query, figure; parent's side."""
    from ase.build import bulk
    from ase.calculators.emt import EMT
    from ase.io import write

    from app.figures import base, error_plots
    from engine.data_folder import DataFolder, using
    from engine.queries import error_pairs
    from engine.queries.scope import Scope
    from precompute.__main__ import main

    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "worker_envs").symlink_to((folder.root / "worker_envs").resolve())
        cells = [bulk("Cu", cubic=True) for _ in range(4)]
        for seed, atoms in enumerate(cells):
            atoms.rattle(0.05, seed=seed)
            atoms.calc = EMT()
            atoms.get_forces()
        source = Path(scratch) / "cells.extxyz"
        write(source, cells)

        def command(*words: str) -> None:
            with mock.patch.object(sys, "argv", ["precompute", *words, "--data", scratch]):
                if main():
                    raise SystemExit(f"{words[0]} failed")

        def walk() -> None:
            command("add-dataset", str(source), "--id", "walk-cells")
            command("run", "--dataset", "walk-cells", "--model", "emt", "--device", "cpu")
            command("build")
            axes = error_pairs.Axes("energy", "raw", "parity", False)
            with using(DataFolder(Path(scratch))):
                found = error_pairs.residuals("emt", Scope(("walk-cells",)), axes)
            assert found is not None
            error_plots.residual(found, axes.quantity, base.LIGHT, "EMT", "walk", view=axes.view)

        return traced(walk)


def show(title: str, files: Sequence[str]) -> None:
    """Print a walk."""
    print(f"{title}: {len(files)} files")
    for name in files:
        print(f"  {name}")


def main() -> int:
    """Print the walks."""
    if sys.argv[1:2] == [INSIDE]:
        return in_worker(Path(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="emt")
    parser.add_argument("--point", action="store_true", help="walk from a file of configurations to a point as well")
    arguments = parser.parse_args()
    from engine.data_folder import DataFolder

    folder = DataFolder.default()
    parent, worker = model_walk(arguments.model, folder)
    show(f"From the id '{arguments.model}' to a prediction", list(dict.fromkeys(parent + worker)))
    show("Of these in the worker", worker)
    show("Reading the registry before", registry_walk(arguments.model))
    if arguments.point:
        with contextlib.redirect_stderr(io.StringIO()):
            point = point_walk(folder)
        show(
            "From a file of configurations to a point of the parity chart, and the worker",
            list(dict.fromkeys(point + worker)),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
