"""How many files a reader opens on two walks: from a model id to its prediction, and from a file to a point of parity.

    python benchmarks/walk.py                       # EMT, needs its worker environment
    python benchmarks/walk.py --model chgnet-0.3.0
    python benchmarks/walk.py --point               # the second walk as well

Two counts of the same run. **Entered**: files of ours with a function that ran at all; what runs at import does not
count. **On the way**: of these, the files that hand the id or the configuration on, which are those on the stack at a
station of the walk (`OF_AN_ID`, `OF_A_VALUE`); a reader who follows it opens them. What only measures, checks or says
where a file lies is entered without being on the way, and so are the nouns that are handed over (`HANDED_OVER`).

The parent is traced in this process, the worker in its own with the same arguments that the pool gives it. The first
walk begins with a registry that is read already, as in a server; what reading it enters is printed apart.
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
Stations = tuple[tuple[str, str], ...]

# Beginnings of a file and of a function: where an id is looked up, and where a value is made, written, read, computed
# from, scored, stored, asked for or drawn.
OF_AN_ID = (("engine/registry/models.py", "get_model"), ("precompute/acquire/weights.py", "Checkpoint."))
OF_A_VALUE = (
    ("engine/records.py", "Configuration.__post_init__"),
    ("engine/records.py", "write_"),
    ("engine/records.py", "read_"),
    ("precompute/workers/evaluation.py", ""),
    ("engine/families/", ""),
    ("engine/store/builder.py", "StoreBuilder.add_results"),
    ("engine/store/scoring.py", "Score.__init__"),
    ("engine/queries/scope.py", "Scope."),
    ("engine/store/connection.py", ""),
    ("app/figures/error_plots.py", "_draw_"),
)
OTHER_VALUES = ("precompute/jobs/vacancies.py", "precompute/jobs/describe.py", "engine/learning_curves.py")
"""Files that hand over values of another kind through the same functions: no stations of the value followed here."""

HANDED_OVER = ("engine/records.py", "engine/files.py", "engine/data_folder.py")

sys.path.insert(0, str(ROOT))


@dataclasses.dataclass
class Walk:
    """Files of one run, in the order in which they are met.

    Attributes:
        entered: A function of the file ran.
        on_the_way: The file was on the stack at a station.
    """

    entered: dict[str, None] = dataclasses.field(default_factory=dict)
    on_the_way: dict[str, None] = dataclasses.field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        """Note a file as `entered` or `on_the_way`."""
        getattr(self, kind)[name] = None

    def joined(self, other: "Walk") -> "Walk":
        """This walk and then another."""
        return Walk({**self.entered, **other.entered}, {**self.on_the_way, **other.on_the_way})


@contextmanager
def followed(note: Callable[[str, str], object], stations: Stations) -> Iterator[None]:
    """Note each file of ours as `entered` or `on_the_way`, in any thread, each pair once."""
    seen: set[tuple[str, str]] = set()

    def once(kind: str, file: str) -> None:
        if (kind, file) not in seen:
            seen.add((kind, file))
            name = _of_ours(file)
            if name and not (kind == "on_the_way" and name in HANDED_OVER):
                note(kind, name)

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        if event != "call" or not _is_function(frame):
            return
        once("entered", frame.f_code.co_filename)
        if _is_station(frame, stations):
            files = list(_functions_below(frame))
            if not any(_of_ours(file) in OTHER_VALUES for file in files):
                for file in files:
                    once("on_the_way", file)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def _functions_below(frame: FrameType) -> Iterator[str]:
    """Files of the functions on the stack, from a frame down."""
    stack: FrameType | None = frame
    while stack is not None:
        if _is_function(stack):
            yield stack.f_code.co_filename
        stack = stack.f_back


def _is_function(frame: FrameType) -> bool:
    """Whether the frame is of a function, not of the body of a module or class."""
    return bool(frame.f_code.co_flags & inspect.CO_OPTIMIZED)


@functools.cache
def _of_ours(file: str) -> str:
    """Path below the repository of a file of ours, else empty."""
    with contextlib.suppress(ValueError):
        name = Path(file).resolve().relative_to(ROOT)
        if name.parts[0] in OURS:
            return str(name)
    return ""


def _is_station(frame: FrameType, stations: Stations) -> bool:
    name = _of_ours(frame.f_code.co_filename)
    return bool(name) and any(
        name.startswith(file) and frame.f_code.co_qualname.startswith(function) for file, function in stations
    )


def traced(function: Callable[[], object], stations: Stations = (*OF_AN_ID, *OF_A_VALUE)) -> Walk:
    """The walk of a call."""
    walk = Walk()
    with followed(walk.add, stations):
        function()
    return walk


def in_worker(target: Path, arguments: Sequence[str]) -> int:
    """Be a worker that writes what it meets as it goes on, since it is killed in the end."""
    sys.argv = ["worker", *arguments]
    worker = importlib.import_module("precompute.workers.worker")
    with target.open("a") as handle, followed(lambda *found: print(*found, file=handle, flush=True), OF_A_VALUE):
        return int(worker.main())


def model_walk(model_id: str, folder: Any) -> tuple[Walk, Walk]:
    """From an id to a prediction: in the parent and in the worker."""
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
            return dataclasses.replace(command, argv=(python, __file__, INSIDE, str(inside), *rest), read=None)

        predict(watched)
        worker = Walk()
        for line in inside.read_text().splitlines():
            worker.add(*line.split())
    return traced(predict), worker


def registry_walk(model_id: str) -> Walk:
    """What a look-up enters where no registry is read yet."""
    from engine.registry import models

    for remembered in (models._joined, models._read_registry):
        remembered.cache_clear()
    return traced(functools.partial(models.get_model, model_id))


def point_walk(folder: Any) -> Walk:
    """From a file of configurations to a drawn point: add-dataset, run, build, query, figure; parent's side."""
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

        return traced(walk, OF_A_VALUE)


def show(title: str, walk: Walk) -> None:
    """Print a walk; a dash marks what is entered beside the way."""
    print(f"{title}: {len(walk.on_the_way)} files on the way, {len(walk.entered)} entered")
    for name in {**walk.on_the_way, **walk.entered}:
        print(f"  {' ' if name in walk.on_the_way else '-'} {name}")


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
    show(f"From the id '{arguments.model}' to a prediction", parent.joined(worker))
    show("Reading the registry before", registry_walk(arguments.model))
    if arguments.point:
        with contextlib.redirect_stderr(io.StringIO()):
            point = point_walk(folder)
        show("From a file of configurations to a point of the parity chart", point.joined(worker))
    return 0


if __name__ == "__main__":
    sys.exit(main())
