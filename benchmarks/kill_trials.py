"""kill -9 at random moments of every command: python -m benchmarks.kill_trials --rounds 20 --output FILE.

A round fills a fresh data folder by all commands that write. Each command is killed at a random moment and started
again at once, several times over, and then left to end. Whatever it wrote is compared with an undisturbed round, row
for row, and so is the store that is built last. Times of computations differ and are left out.

The moments follow from `--seed` and from the times of the undisturbed round. A command that ends before its moment is
no trial. Models are ASE's EMT, so that a round takes a minute; shards have
8 configurations, so that there are many boundaries to be killed at.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

import engine.shards
import precompute.jobs.build
from benchmarks.compare_stores import compare
from benchmarks.forking import Command
from engine.cells.drawings import drawings
from engine.data_folder import EMBEDDED, DataFolder
from engine.numerics.local_environments import classify, scaled, soap_vectors
from engine.records import read_predictions
from precompute.workers import worker_envs

PATIENCE = 600.0
ORPHAN_SECONDS = 5.0
"""How long a worker may outlive its command, s; it looks for its parent once a second."""

TIMES = frozenset({
    "run_id", "wall_seconds", "started_at", "measured_at", "ms_per_step", "us_per_atom_step", "peak_memory_mb",
    "yardstick_ms", "occasion", "stored_sha256",
})  # fmt: skip
"""Columns that no two runs have in common."""

SETS = frozenset({"runs"})
"""Tables with one row per worker process, of which a killed run has more."""


_PACKAGES = """
import importlib.metadata, ase, pyarrow.parquet
for one in sorted(importlib.metadata.distributions(), key=lambda one: one.metadata["Name"]):
    print(one.metadata["Name"], one.version, all(one.locate_file(file).exists() for file in one.files or ()))
"""
"""Lists the packages of the environment that runs it."""


@dataclass(frozen=True)
class Step:
    """A command of a round.

    Attributes:
        name: Of the command, and of what it is given.
        arguments: As after `python -m precompute`; `{data}` and `{input}` stand for folders.
        n_kills: How often it is killed before it may end.
    """

    name: str
    arguments: tuple[str, ...]
    n_kills: int = 1


STEPS = (
    Step("fetch", ("fetch", "--dataset", "open-defects", "--data", "{data}/fetched"), 4),
    Step("add-dataset", ("add-dataset", "{input}/first.extxyz", "--id", "kill-set"), 4),
    Step("add-dataset --replace", ("add-dataset", "{input}/second.extxyz", "--id", "kill-set", "--replace"), 4),
    Step("import", ("import", "{input}/predicted.extxyz", "--dataset", "kill-set", "--model", "mine", "--external"), 4),
    Step("run", ("run", "--dataset", "kill-set", "--model", "emt", "--jobs", "1"), 6),
    Step("run --jobs 2", ("run", "--dataset", "kill-two", "--model", "emt", "--jobs", "2"), 4),
    Step("bench", ("bench", "--model", "emt", "--cells", "2"), 3),
    Step("vacancies", ("vacancies", "--model", "emt", "--element", "Cu"), 3),
    Step("relax", ("relax", "{input}/POSCAR", "--model", "emt", "--output", "{data}/relaxed.extxyz"), 3),
    Step("predict", ("predict", "{input}/POSCAR", "--model", "emt"), 3),
    Step("describe", ("describe",), 4),
    Step("build", ("build",), 8),
    Step("envs", ("envs", "emt", "--data", "{data}/built"), 3),
    Step("reference --collect", ("reference", "--collect", "--output", "{data}/shipped"), 3),
)


@dataclass
class Trial:
    """One kill.

    Attributes:
        seed: Of the whole series.
        round: Number of the round.
        command: What was killed.
        at: Moment after its start, s.
        length: Time of the undisturbed command, s.
        rerun: Exit status of the same command afterwards.
        is_equal: Whether what it wrote, and the store of its round, are those of the undisturbed round.
        difference: What differs, empty where nothing does.
        n_orphans: Workers that outlived the last command of the round by more than `ORPHAN_SECONDS`.
        left: Files that stayed behind for good.
    """

    seed: int
    round: int
    command: str
    at: float
    length: float
    rerun: int = -1
    is_equal: bool = False
    difference: str = ""
    n_orphans: int = 0
    left: str = ""


def make_inputs(folder: Path) -> None:
    """Write the files that commands are given: two datasets with labels by EMT, predictions, and a structure."""
    write(folder / "first.extxyz", list(_labelled(48, 0)))
    write(folder / "second.extxyz", list(_labelled(48, 100)))
    write(folder / "two.extxyz", list(_labelled(48, 200)))
    rows = []
    for number, atoms in enumerate(read(folder / "second.extxyz", ":")):
        row = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        row.info |= {"config_id": f"second_{number:04d}", "predicted_energy": atoms.get_potential_energy() + 0.01}
        row.arrays["predicted_forces"] = atoms.get_forces() * 0.9
        rows.append(row)
    write(folder / "predicted.extxyz", rows)
    cell = bulk("Cu", cubic=True).repeat(2)
    cell.rattle(0.1, seed=1)
    write(folder / "POSCAR", cell, format="vasp")


def _labelled(n: int, seed: int) -> Iterator[Atoms]:
    for k in range(n):
        atoms = bulk(["Al", "Cu", "Ni", "Ag"][k % 4], cubic=True).repeat((2, 1, 1))
        atoms.rattle(0.05, seed=seed + k)
        if k % 5 == 0:
            del atoms[0]
        calculator = EMT(asap_cutoff=True)
        atoms.calc = calculator
        found = SinglePointCalculator(atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
        atoms.calc = found
        atoms.info["group_name"] = "vacancy" if k % 5 == 0 else "rattled"
        yield atoms


def prepare(names: Collection[str] = ("describe", "build")) -> None:
    """Make what commands share, once: forks have it.

    Args:
        names: Of the steps.
    """
    engine.shards.MAX_CONFIGS = 8
    if not {"describe", "build"} & set(names):
        return
    drawings()
    cell = bulk("Cu", cubic=True)
    copper = scaled(cell.numbers, cell.positions, cell.cell.array, (True, True, True))
    classify(copper), soap_vectors(copper, [0])  # which import what `describe` needs
    # The summaries that come with the repository are never written, and take most of a build's time.
    precompute.jobs.build.embedded_summary = lambda dataset_id: Path("/nonexistent")


class Series:
    """Rounds with the same inputs, compared with the first, which nobody disturbs."""

    def __init__(self, folder: Path, worker_envs: Path, seed: int, steps: Sequence[Step] = STEPS) -> None:
        self._folder, self._worker_envs, self._seed, self._steps = folder, worker_envs, seed, steps
        self._draw = random.Random(seed)
        self.inputs = folder / "input"
        self.inputs.mkdir()
        make_inputs(self.inputs)
        self.reference = self._fresh("reference")
        self.lengths: dict[str, float] = {}
        for step in steps:
            started = time.monotonic()
            code = self._ended(self._start(step, self.reference))
            if code:
                raise SystemExit(f"{step.name} failed undisturbed: {self._log(self.reference).read_text()[-2000:]}")
            self.lengths[step.name] = time.monotonic() - started

    def round(self, number: int) -> Iterator[Trial]:
        """Kill every command, and compare what is there in the end."""
        data = self._fresh(f"round-{number}")
        trials = [trial for step in self._steps for trial in self._kill(step, data, number)]
        found = "; ".join(self._differences(data))
        n_orphans = _orphans(data)
        left = " ".join(_left_behind(data))
        for trial in trials:
            trial.difference = "; ".join(filter(None, [trial.difference, found]))
            trial.is_equal = trial.rerun == 0 and not trial.difference
            trial.left, trial.n_orphans = left, n_orphans
            yield trial
        if not any(trial.difference for trial in trials):
            shutil.rmtree(data)

    def _kill(self, step: Step, data: Path, number: int) -> Iterator[Trial]:
        """Kill one command again and again, then let it end; a command that ends before its moment is not killed."""
        killed: list[Trial] = []
        length = self.lengths[step.name]
        for _ in range(2 * step.n_kills):
            moment = self._draw.random() * length
            running = self._start(step, data)
            if running.wait(moment):
                length = min(length, time.monotonic() - running.started)  # what is done is done more quickly
                continue
            running.kill()
            killed.append(Trial(self._seed, number, step.name, round(moment, 3), round(self.lengths[step.name], 3)))
            if len(killed) == step.n_kills:
                break
        code = self._ended(self._start(step, data))
        for trial in killed:
            trial.rerun = code
            if code:
                trial.difference = self._log(data).read_text().strip()[-300:]
        yield from killed

    def _differences(self, data: Path) -> Iterator[str]:
        """Whatever is not as in the undisturbed round."""
        if any(step.name == "build" for step in self._steps):
            for one in compare(_store(self.reference), _store(data), without=TIMES, as_sets=SETS):
                if not one.is_equal:
                    yield str(one)
        before, after = (_files(folder) for folder in (self.reference, data))
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                yield f"{name} differs"

    def _fresh(self, name: str) -> Path:
        data = self._folder / name
        data.mkdir()
        (data / "worker_envs").symlink_to(self._worker_envs.resolve())
        (data / "tmp").mkdir()
        (data / "shipped").mkdir()
        for name in ("open-defects.extxyz", "convergence.csv", "all-electron.csv"):
            shutil.copyfile(EMBEDDED / name, data / "shipped" / name)
        two = Step("", ("add-dataset", "{input}/two.extxyz", "--id", "kill-two"))
        if {step.name for step in self._steps} & {"run --jobs 2", "describe", "build"} and self._ended(
            self._start(two, data)
        ):
            raise SystemExit(self._log(data).read_text())
        return data

    def _start(self, step: Step, data: Path) -> Command:
        words = [word.format(data=data, input=self.inputs) for word in step.arguments]
        return Command(words, data, self._log(data), environment={"TMPDIR": str(data / "tmp")})

    def _log(self, data: Path) -> Path:
        return data.with_name(f"{data.name}.log")

    def _ended(self, running: Command) -> int:
        if not running.wait(PATIENCE):
            running.kill()
        assert running.code is not None
        return running.code


def _store(data: Path) -> Path:
    return DataFolder(data).store.resolve()


def _files(data: Path) -> dict[str, str]:
    """Contents of what commands wrote beside the store, without times: predictions as rows, other tables as text."""
    found: dict[str, str] = {}
    for folder in sorted((data / "predictions").glob("*/*/*")):
        rows = [row for path in sorted(folder.glob("*.parquet")) for row in read_predictions(path)]
        kept = sorted((r.config_id, r.geometry_hash, r.status, r.energy, np.ravel(r.forces).tolist()) for r in rows)
        found[str(folder.relative_to(data))] = str(kept)
    for path in sorted([*data.glob("*/*.parquet"), *data.glob("fetched/datasets/*.parquet")]):
        found[str(path.relative_to(data))] = str(pq.read_table(path).to_pylist())
    for path in sorted(data.glob("shipped/*.*")):
        found[str(path.relative_to(data))] = path.read_text()
    if (built := data / "built").is_dir():
        found["environment"] = _environment(built)
    for name in ("datasets.toml", "models.toml", "relaxed.extxyz"):
        if (path := data / name).is_file():
            found[name] = "\n".join(line for line in path.read_text().splitlines() if "stored_sha256" not in line)
    return found


def _environment(data: Path) -> str:
    """What a worker environment holds: its packages, each with whether its files are all there, and that it runs."""
    python = worker_envs.python_path("emt", data)
    asked = subprocess.run([python, "-c", _PACKAGES], capture_output=True, text=True, check=False)
    return f"{worker_envs.is_built('emt', data)} {asked.stdout}{asked.stderr}"


def _left_behind(data: Path) -> list[str]:
    """Files that no later command will use or remove."""
    names = [*data.rglob("*.tmp"), *data.rglob("*.building*"), *data.rglob("*.new"), *(data / "tmp").iterdir()]
    return sorted({str(path.relative_to(data)) for path in names if "worker_envs" not in path.parts})


def _orphans(data: Path) -> int:
    """Workers of a killed command that are still there after a while."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while alive := _workers(data):
        if time.monotonic() > deadline:
            return len(alive)
        time.sleep(0.1)
    return 0


def _workers(data: Path) -> list[int]:
    """Processes that run a worker with this temporary folder and have lost their parent."""
    found = []
    for status in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TMPDIR={data / 'tmp'}".encode() in status.read_bytes().split(b"\0"):
                found.append(int(status.parent.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="kill-trials-") as made:
        yield Path(made)


def summary(trials: Sequence[Trial]) -> list[Mapping[str, object]]:
    """One row per command: kills, those after which all was equal, orphans, and the share of its time at each kill."""
    rows: list[Mapping[str, object]] = []
    for name, n in Counter(trial.command for trial in trials).items():
        mine = [trial for trial in trials if trial.command == name]
        shares = sorted(trial.at / trial.length for trial in mine)
        rows.append(
            {"command": name, "kills": n, "equal": sum(trial.is_equal for trial in mine),
             "orphans": max(trial.n_orphans for trial in mine), "first": round(shares[0], 2),
             "last": round(shares[-1], 2), "left": len({trial.left for trial in mine if trial.left})}
        )  # fmt: skip
    return rows


def main() -> int:
    """Print one line per round, and write all trials as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worker-envs", type=Path, default=DataFolder.default().root / "worker_envs")
    parser.add_argument("--step", action="append", choices=[one.name for one in STEPS], help="repeatable; else all")
    parser.add_argument("--folder", type=Path, help="a new folder, kept; else a temporary one")
    parser.add_argument("--output", type=Path, help="JSON of all trials")
    arguments = parser.parse_args()
    steps = [one for one in STEPS if not arguments.step or one.name in arguments.step]
    prepare([step.name for step in steps])
    trials: list[Trial] = []
    with _folder(arguments.folder) as folder:
        series = Series(folder, arguments.worker_envs, arguments.seed, steps)
        print({name: round(seconds, 2) for name, seconds in series.lengths.items()}, flush=True)
        for number in range(arguments.rounds):
            done = list(series.round(number))
            trials += done
            bad = [trial for trial in done if not trial.is_equal]
            print(f"round {number}: {len(done)} kills, {len(bad)} with a difference, {len(trials)} in all", flush=True)
            for trial in bad[:1]:
                print(f"  {trial.command} at {trial.at} s: {trial.difference[:1500]}", flush=True)
            if arguments.output:
                rows = [asdict(trial) for trial in trials]
                arguments.output.write_text(json.dumps({"summary": summary(trials), "trials": rows}, indent=1) + "\n")
    return int(any(not trial.is_equal for trial in trials))


if __name__ == "__main__":
    sys.exit(main())
