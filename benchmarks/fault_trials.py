"""Full and read-only disks, damaged files, rivals and wrong clocks: python -m benchmarks.fault_trials --output FILE.

Each trial starts from a data folder with a dataset, its predictions and a store, does something to it, and runs a
command. The command must end with an error of one sentence where it cannot do its work, and never with a traceback.
Then the fault is taken away, the command runs again, and the store must be that of an undisturbed folder, row for row
but for the times of computations. Disks are small file systems in memory, so the trials need root; clocks need
`faketime`. What a machine lacks is left out and said.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.compare_stores import compare
from benchmarks.forking import Command
from benchmarks.kill_trials import PATIENCE, SETS, TIMES, make_inputs, prepare
from engine.data_folder import ROOT, DataFolder, using
from engine.queries import catalog
from engine.store.builder import publish

ADD = ("add-dataset", "{input}/first.extxyz", "--id", "kill-set")
REPLACE = (*ADD, "--replace")
RUN = ("run", "--dataset", "kill-set", "--model", "emt", "--jobs", "1")
DESCRIBE, BUILD = ("describe",), ("build",)
DISK = "32m"


@dataclass
class Trial:
    """One injection.

    Attributes:
        injected: What was done.
        command: What ran under it.
        code: Its exit status.
        said: The last line that it printed.
        is_one_sentence: Whether it printed no traceback.
        rerun: Exit status of the commands after the fault was gone.
        is_equal: Whether the store is then that of an undisturbed folder.
        difference: What differs.
    """

    injected: str
    command: str
    code: int
    said: str
    is_one_sentence: bool
    rerun: int = 0
    is_equal: bool = False
    difference: str = ""


class Bench:
    """A finished data folder, copies of it, and commands on them."""

    def __init__(self, folder: Path, worker_envs: Path) -> None:
        self.folder, self._worker_envs = folder, worker_envs.resolve()
        self._n = 0
        self.inputs = folder / "input"
        self.inputs.mkdir()
        make_inputs(self.inputs)
        self.empty = self._new(folder / "empty")
        self.reference = folder / "reference"
        shutil.copytree(self.empty, self.reference, symlinks=True)
        self.stages: dict[tuple[str, ...], Path] = {}
        for command in (ADD, RUN, DESCRIBE, BUILD):
            self.stages[command] = folder / f"before-{command[0]}"
            shutil.copytree(self.reference, self.stages[command], symlinks=True)
            if self.run(command, self.reference)[0]:
                raise SystemExit(f"{command[0]} failed undisturbed")
        self.stages[()] = self.reference

    def _new(self, data: Path) -> Path:
        data.mkdir(parents=True)
        (data / "worker_envs").symlink_to(self._worker_envs)
        return data

    def copy(self, stage: tuple[str, ...], place: Path | None = None) -> Path:
        """A copy of the folder as it was before a command, or in the end."""
        self._n += 1
        place = place or self.folder / f"trial-{self._n}"
        shutil.copytree(self.stages[stage], place, symlinks=True, dirs_exist_ok=True)
        return place

    def start(self, command: Sequence[str], data: Path, log: Path) -> Command:
        """Start a command on a folder."""
        words = [word.format(input=self.inputs) for word in command]
        return Command(words, data, log, environment={"TMPDIR": str(self.folder)})

    def run(self, command: Sequence[str], data: Path) -> tuple[int, str]:
        """Run a command to its end: its exit status and what it printed."""
        self._n += 1
        log = self.folder / f"log-{self._n}"
        running = self.start(command, data, log)
        if not running.wait(PATIENCE):
            running.kill()
        return int(running.code or 0), log.read_text() if log.is_file() else ""

    def difference(self, data: Path) -> str:
        """What differs from the undisturbed store, empty where nothing does."""
        stores = (DataFolder(one).store.resolve() for one in (self.reference, data))
        return "; ".join(str(one) for one in compare(*stores, without=TIMES, as_sets=SETS) if not one.is_equal)

    def trial(
        self, injected: str, command: tuple[str, ...], data: Path, *, mend: Callable[[], object] = lambda: None,
        again: Sequence[tuple[str, ...]] = (),
    ) -> Trial:  # fmt: skip
        """Run a command under a fault, take the fault away, and go on to a store."""
        code, said = self.run(command, data)
        mend()
        codes = [self.run(one, data)[0] for one in again or self._rest(command)]
        return self.result(Trial(injected, command[0], code, _last(said), "Traceback" not in said), codes, data)

    def result(self, trial: Trial, codes: Sequence[int], data: Path) -> Trial:
        """The same trial with what came of it."""
        trial.rerun = max(codes, default=0)
        trial.difference = self.difference(data)
        trial.is_equal = not trial.difference and not trial.rerun
        return trial

    @staticmethod
    def _rest(command: tuple[str, ...]) -> list[tuple[str, ...]]:
        order = [ADD, RUN, DESCRIBE, BUILD]
        return order[order.index(command) :]


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "trial", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def full_disks(bench: Bench) -> Iterator[Trial]:
    """No room for what a command writes, at once or after some of it."""
    for command in (ADD, RUN, DESCRIBE, BUILD):
        for left in (0, 20_000) if command != BUILD else (0, 500_000, 3_000_000):
            with disk(bench.folder / "disk") as place:
                data = bench.copy(command, place)
                filler = _fill(data, left)
                yield bench.trial(f"full disk, {left} bytes left", command, data, mend=filler.unlink)
            place.rmdir()


def _fill(data: Path, left: int) -> Path:
    filler = data / "filler"
    with filler.open("wb", buffering=0) as handle:
        try:
            while True:
                handle.write(b"x" * 65536)
        except OSError:
            size = handle.tell()
    os.truncate(filler, max(0, size - left))
    return filler


def read_only_disks(bench: Bench) -> Iterator[Trial]:
    """Nothing can be written."""
    for command in (ADD, RUN, DESCRIBE, BUILD):
        with disk(bench.folder / "disk") as place:
            data = bench.copy(command, place)
            _remount(place, "ro")
            yield bench.trial("read-only folder", command, data, mend=lambda: _remount(place, "rw"))
        place.rmdir()


def _remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)


def damaged_files(bench: Bench) -> Iterator[Trial]:
    """A flipped bit in the middle, and half of the file gone."""
    kinds: dict[str, tuple[str, tuple[str, ...], list[tuple[str, ...]], bool]] = {
        "a file of predictions": ("predictions/*/*/*/*.parquet", BUILD, [RUN, BUILD], True),
        "the configurations": ("datasets/*.parquet", BUILD, [REPLACE, BUILD], False),
        "the registry of datasets": ("datasets.toml", BUILD, [REPLACE, BUILD], True),
        "the environments": ("environments/*.parquet", BUILD, [BUILD], False),
        "the store": ("results-*.duckdb", ("sql", "select count(*) from environments"), [BUILD], False),
    }
    for what, (pattern, command, again, is_removed) in kinds.items():
        for how, damage in (("a flipped bit", _flip), ("half of it gone", _halve)):
            data = bench.copy(())
            path = sorted(data.glob(pattern))[0]
            damage(path)
            mend = path.unlink if is_removed else lambda: None
            yield bench.trial(f"{what}: {how}", command, data, mend=mend, again=again)
            shutil.rmtree(data)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def rivals(bench: Bench) -> Iterator[Trial]:
    """Two of the same command at once."""
    for command, delay in ((ADD, 0.0), (RUN, 0.0), (RUN, 2.0), (DESCRIBE, 0.0), (BUILD, 0.0), (BUILD, 1.0)):
        data = bench.copy(command)
        log = bench.folder / "rivals.log"
        log.unlink(missing_ok=True)
        first = bench.start(command, data, log)
        time.sleep(delay)
        both = [first, bench.start(command, data, log)]
        codes = [one.code if one.wait(PATIENCE) else -1 for one in both]
        said = log.read_text()
        trial = Trial(
            f"two at once, {delay:g} s apart",
            command[0],
            max(map(abs, codes)),
            _last(said),
            "Traceback" not in said,  # type: ignore[arg-type]
        )
        rest = Bench._rest(command)[1:]
        yield bench.result(trial, [trial.code, *(bench.run(one, data)[0] for one in rest)], data)
        shutil.rmtree(data)


def clocks(bench: Bench) -> Iterator[Trial]:
    """A clock that goes back a month, and one that is two days ahead."""
    if shutil.which("faketime") is None:
        print("left out: clocks, since faketime is not installed")
        return
    for shift in ("-30d", "+2d"):
        for command in (RUN, BUILD):
            data = bench.copy(command)
            argv = ["faketime", "-f", shift, sys.executable, "-m", "precompute", *command, "--data", str(data)]
            program = (
                "import sys, benchmarks.kill_trials as k, precompute.__main__ as m; k.prepare(); sys.exit(m.main())"
            )
            argv[4:6] = ["-c", program]
            done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
            trial = Trial(
                f"clock {shift}", command[0], done.returncode, _last(done.stderr), "Traceback" not in done.stderr
            )
            rest = Bench._rest(command)
            yield bench.result(trial, [trial.code, *(bench.run(one, data)[0] for one in rest)], data)
            shutil.rmtree(data)


def replaced_stores(bench: Bench) -> Iterator[Trial]:
    """Another build takes the store's place under a process that has it open, and the one before is deleted."""
    data = bench.copy(())
    folder, problems = DataFolder(data), []
    with using(folder):
        for number in range(20):
            path = data / f"results-{number:03d}.duckdb"
            shutil.copy(folder.store.resolve(), path)
            publish(path, folder.store)
            try:
                if catalog.store_info() is None or catalog.datasets().empty:
                    problems.append(f"build {number} has no dataset")
            except Exception as error:  # whatever a page would show
                problems.append(f"{type(error).__name__}: {error}")
    trial = Trial(
        "store replaced under open connections, 20 times", "queries", len(problems), _last(str(problems)), not problems
    )
    yield bench.result(trial, [len(problems)], data)


INJECTIONS = (full_disks, read_only_disks, damaged_files, rivals, clocks, replaced_stores)
OF_ROOT = (full_disks, read_only_disks)


def main() -> int:
    """Print one line per trial, and write all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker-envs", type=Path, default=DataFolder.default().root / "worker_envs")
    parser.add_argument("--only", action="append", default=[], choices=[one.__name__ for one in INJECTIONS])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    prepare()
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="fault-trials-") as made:
        bench = Bench(Path(made), arguments.worker_envs)
        for injection in INJECTIONS:
            if arguments.only and injection.__name__ not in arguments.only:
                continue
            if injection in OF_ROOT and os.geteuid():
                print(f"left out: {injection.__name__}, which need root")
                continue
            for trial in injection(bench):
                trials.append(trial)
                print(json.dumps(asdict(trial)), flush=True)
                if arguments.output:
                    arguments.output.write_text(json.dumps([asdict(one) for one in trials], indent=1) + "\n")
    bad = [trial for trial in trials if not trial.is_equal or not trial.is_one_sentence]
    print(f"{len(trials)} trials, {len(bad)} with a difference or a traceback")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
