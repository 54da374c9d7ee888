"""Damaged structure files by the thousand: python -m benchmarks.fuzz_uploads --inputs 20000 --output FILE.

Each input is a fixture with bytes cut, doubled, replaced, swapped or put in, or two fixtures joined, under its own name
or another. Seven of ten are made from files in a format of uploads. It goes to the readers of uploads, or with
`--readers` to those of datasets, in a child process that has the limits of the app's own reading process. A child takes
many inputs; it says before each which one it is at, so that one that ends the process is known. What a reader opens for
writing, removes, starts or connects to is watched by an audit hook: anything outside the job's own folder is a fault,
and so is whatever is not one sentence of refusal.

The mutations follow from `--seed` and the number of the input alone, so that each can be made again.
"""

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import DatasetError
from engine.readers.formats import READERS
from engine.readers.upload_worker import MAX_MEMORY, MAX_SECONDS
from engine.readers.uploads import SUFFIXES, read_upload
from precompute.acquire.user_datasets import find_format

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = (ROOT / "tests" / "fixtures" / "cases", ROOT / "tests" / "fixtures" / "readers")
MAX_SIZE = 200_000
BATCH = 200
NAMES = ("upload", "POSCAR", "x.cif", "x.xyz", "x.vasp", "CONTCAR", "../../etc/passwd", "a/b.cif", "\u202egpj.xyz", "x")
PIECES = (
    b"9" * 5000, b"-", b"nan", b"inf", b"1e999", b"1e-320", b"{", b"}", b'"', b"'", b"\n", b"\n" * 300, b"loop_\n",
    b"?", b"\xff", b"\0", b"0", b"=", b" ", b" " * 3000, b"..", b"/", b"data_y\n", b"_cell_length_a 0\n", b"x,y,z",
    b"T", b"Va", b"-1", b"1e9", b"1e-9", b"99999999", b"2147483648", b"\xc2\xbd",
    b"_symmetry_Int_Tables_number 227\n", b"Selective\n", b"[", b"]" * 900, b"[" * 900, b":2", b"\r", b"\x0c", b"1/0",
    b"Lattice=", b"Properties=species:S:1:pos:R:3", b"pos:R:300000", b"<!ENTITY a SYSTEM 'file:///etc/passwd'>",
    b"&a;", b"!!python/object/apply:os.system ['id']", b"cos\nsystem\n(S'id'\ntR.", b"\x80\x04", b"PK\x03\x04",
    b"\x1f\x8b\x08", b"\xff\xfe", b"../../", b"$(id)", b";",
)  # fmt: skip


@dataclass
class Input:
    """One damaged file and what came of it.

    Attributes:
        number: Decides, with the seed, the file.
        fixture: What it was made from.
        name: Under which it was handed in.
        outcome: `read`, `refused`, or how it went wrong.
        seconds: CPU time, s.
        told: The refusal, or what was wrong.
    """

    number: int
    fixture: str
    name: str
    outcome: str = ""
    seconds: float = 0.0
    told: str = ""


def fixtures(folders: Sequence[Path]) -> dict[str, bytes]:
    """Contents of all files of some folders that are small enough, by name."""
    found = {}
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".md") and path.stat().st_size <= MAX_SIZE:
            found[path.name] = path.read_bytes()
    return found


def make(seed: int, number: int, files: dict[str, bytes], *, is_renamed: bool = True) -> tuple[Input, bytes]:
    """The input of that number."""
    draw = random.Random(f"{seed} {number}")
    structures = [name for name in sorted(files) if _is_structure(name)]
    fixture = draw.choice(structures if is_renamed and draw.random() < 0.7 else sorted(files))
    name = draw.choice([fixture, fixture, fixture, *draw.sample(NAMES, 2)]) if is_renamed else fixture
    data = files[fixture]
    if draw.random() < 0.05:
        data += files[draw.choice(sorted(files))]
    for _ in range(draw.choice([1, 1, 2, 3, 5, 20])):
        data = _damaged(draw, data)
    return Input(number, fixture, name), data[: 4 * MAX_SIZE]


def _is_structure(name: str) -> bool:
    """Whether a file is in a format of uploads by its name."""
    return name.endswith(SUFFIXES) or name.startswith(("POSCAR", "XDATCAR"))


def _damaged(draw: random.Random, data: bytes) -> bytes:
    start = draw.randrange(len(data) + 1)
    end = min(len(data), start + draw.choice([0, 1, 1, 2, 8, 40, 400]))
    other = draw.randrange(len(data) + 1)
    kinds = (
        lambda: b"",
        lambda: data[start:end] * draw.choice([2, 2, 50]),
        lambda: draw.choice(PIECES),
        lambda: bytes([draw.randrange(256)]),
        lambda: bytes(byte ^ (1 << draw.randrange(8)) for byte in data[start:end]),
        lambda: data[other : other + end - start],
        lambda: str(draw.choice([0, -1, 1e308, 10**18, 0.1, draw.randrange(1000)])).encode(),
    )
    return data[:start] + draw.choice(kinds)() + data[end:]


def in_children(seed: int, numbers: Sequence[int], files: dict[str, bytes], kind: str) -> Iterator[Input]:
    """What comes of some inputs, in processes that the system limits."""
    left = list(numbers)
    while left:
        done = list(_child(seed, left[:BATCH], files, kind))
        yield from done
        left = left[len(done) :]


def _child(seed: int, numbers: Sequence[int], files: dict[str, bytes], kind: str) -> Iterator[Input]:
    """One process: results of its inputs, the last of which may have ended it."""
    source, sink = os.pipe()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        if not (pid := os.fork()):
            os.close(source)
            try:
                _be_child(seed, numbers, files, kind, Path(folder), sink)
            finally:  # whatever a reader does, this process must not go on as its parent
                os._exit(1)
        os.close(sink)
        begun: dict[str, Any] = {}
        with os.fdopen(source, "r", encoding="utf-8") as lines:
            for line in lines:
                begun = json.loads(line)
                if begun["outcome"]:
                    yield Input(**begun)
        _, status = os.waitpid(pid, 0)
        if code := os.waitstatus_to_exitcode(status):
            ended = {-signal.SIGXCPU: f"took {MAX_SECONDS} s of CPU time", -signal.SIGKILL: "was killed"}
            yield Input(**begun | {"outcome": "ended its process", "told": ended.get(code, f"status {code}")})


def _be_child(seed: int, numbers: Sequence[int], files: dict[str, bytes], kind: str, folder: Path, sink: int) -> None:
    """Take inputs one by one; never returns."""
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    null = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1, 2):
        os.dup2(null, target)
    _limit(0)
    faults: list[str] = []
    sys.addaudithook(lambda event, arguments: _watch(event, arguments, folder, faults))
    with os.fdopen(sink, "w", buffering=1, encoding="utf-8") as channel:
        for number in numbers:
            one, data = make(seed, number, files, is_renamed=kind == "uploads")
            print(json.dumps(asdict(one)), file=channel)
            begun = time.process_time()
            _limit(int(begun) + 1)
            one.outcome, one.told = _read(one.name, data, kind, folder)
            one.seconds = time.process_time() - begun
            if faults:
                one.outcome, one.told = "left its folder", "; ".join(faults)
                faults.clear()
            print(json.dumps(asdict(one)), file=channel)
    os._exit(0)


def _limit(used: int) -> None:
    """Bound this process as the app bounds the one that reads an upload, from its CPU time and memory so far."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 2 * MAX_MEMORY  # beyond what the tests before it have imported
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CPU, (used + MAX_SECONDS, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(name: str, data: bytes, kind: str, folder: Path) -> tuple[str, str]:
    """What a reader makes of a file."""
    try:
        if kind == "uploads":
            read_upload(name, data)
        else:
            path = folder / name
            path.write_bytes(data)
            READERS[find_format(path)](path)
    except DatasetError as error:
        said = str(error)
        return ("refused", said) if "\n" not in said else ("said more than a sentence", said)
    except MemoryError:
        return "lacked memory", ""
    except Exception as error:
        return "raised", f"{type(error).__name__}: {error}"[:300]
    return "read", ""


def _watch(event: str, arguments: tuple[Any, ...], folder: Path, faults: list[str]) -> None:
    """Note what a reader does beyond reading and its own folder."""
    if event == "open":
        path, mode, flags = arguments
        is_writing = (
            bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            if mode is None
            else (any(letter in mode for letter in "wax+"))
        )
        if is_writing and not isinstance(path, int) and not _is_inside(path, folder):
            faults.append(f"{event} {path!r}")
    elif event in ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "shutil.rmtree"):
        if not all(_is_inside(one, folder) for one in arguments if isinstance(one, str | bytes | os.PathLike)):
            faults.append(f"{event} {arguments!r}")
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.fork", "socket.connect", "pickle.find_class"):
        faults.append(f"{event} {arguments!r}"[:200])


def _is_inside(path: object, folder: Path) -> bool:
    full = os.path.realpath(os.fsdecode(path))  # type: ignore[arg-type]
    return full == os.devnull or full.startswith(f"{folder.resolve()}{os.sep}") or full == str(folder.resolve())


BAD = ("raised", "lacked memory", "ended its process", "left its folder", "said more than a sentence")


def main() -> int:
    """Print progress, and write counts and every fault as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--readers", action="store_true", help="files of datasets, as add-dataset reads them")
    parser.add_argument("--fixtures", type=Path, action="append", default=[], help="more folders of files; repeatable")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    files = fixtures([*FIXTURES, *arguments.fixtures])
    counts: Counter[str] = Counter()
    by_format: dict[str, Counter[str]] = {}
    bad: list[dict[str, Any]] = []
    longest = Input(0, "", "")
    for one in in_children(
        arguments.seed, range(arguments.inputs), files, "readers" if arguments.readers else "uploads"
    ):
        counts[one.outcome] += 1
        by_format.setdefault(one.fixture, Counter())[one.outcome] += 1
        longest = max(longest, one, key=lambda other: other.seconds)
        if one.outcome in BAD:
            bad.append(asdict(one))
            print(json.dumps(asdict(one)), flush=True)
        if sum(counts.values()) % 2000 == 0:
            print(dict(counts), f"longest {longest.seconds:.2f} s", flush=True)
        found = {"seed": arguments.seed, "inputs": sum(counts.values()), "outcomes": dict(counts),
                 "longest": asdict(longest), "faults": bad, "by_fixture": by_format}  # fmt: skip
    print(dict(counts), f"longest {longest.seconds:.2f} s ({longest.fixture}, number {longest.number})")
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
