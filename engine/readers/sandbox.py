"""Reading uploads where they can do no harm: in a process of bounded memory and time, a few at a time.

A reader that is given a hostile file may ask for all memory or hold the interpreter lock for minutes, which stops every
visitor of a server. The system ends a separate process instead. The process is started anew and not forked, since forks
of a process with threads can hang.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import DatasetError
from engine.files import scratch_folder
from engine.readers.readings import Check, Upload
from engine.readers.uploads import MAX_BYTES, plain_name
from engine.records import Configuration

PATIENCE = 60.0
"""Wall time that one file may take, s; its CPU time is limited in the process itself."""

MAX_AT_A_TIME = 2
COMMAND = ["-m", "engine.readers.upload_worker"]
"""What Python runs; it limits its own memory and CPU time."""

_ROOT = Path(__file__).resolve().parents[2]
_slots = threading.BoundedSemaphore(MAX_AT_A_TIME)


class OverloadError(DatasetError):
    """The machine was too busy to read a file; the same file may be read later."""


def read_in_sandbox(name: str, data: bytes) -> Upload:
    """Call `engine.readers.uploads.read_upload` in a process of its own.

    Args:
        name: File name; its ending decides the format, it is never opened.
        data: Contents.

    Raises:
        DatasetError: The file is refused, or takes more memory or time than any structure needs.
        OverloadError: The process did not come to an end in time.
    """
    name = plain_name(name)
    if len(data) > MAX_BYTES:
        raise DatasetError(f"{name} has {len(data) / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.0f} MB are read.")
    found = _ask(name, data)
    if "refused" in found:
        raise DatasetError(found["refused"])
    return _upload(found)


def _ask(name: str, data: bytes) -> dict[str, Any]:
    command = [sys.executable, *COMMAND]
    given = json.dumps(name).encode() + b"\n" + data
    with _slots:
        scratch = scratch_folder()  # the file's only other place; it goes even where the process is ended in the middle
        environment = _environment() | {"TMPDIR": str(scratch)}
        try:
            done = subprocess.run(
                command, input=given, capture_output=True, timeout=PATIENCE, cwd=_ROOT, env=environment, check=False
            )
        except subprocess.TimeoutExpired:
            raise OverloadError(
                f"{name} was not read within {PATIENCE:.0f} s; try again when less is going on."
            ) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    if done.returncode < 0:
        raise DatasetError(f"{name} takes more time or memory to read than any structure needs; it is refused.")
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().split("\n")[-1]
        raise DatasetError(f"{name} cannot be read: the reading process failed ({last[:160]}).")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _environment() -> dict[str, str]:
    """Nothing but what Python needs; one thread, since each takes address space."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if key in os.environ}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}


def _upload(found: dict[str, Any]) -> Upload:
    arrays = {key: None if found[key] is None else np.array(found[key], dtype=float) for key in ("forces", "stress")}
    configuration = Configuration(
        config_id=found["config_id"],
        group_name=found["group_name"],
        numbers=np.array(found["numbers"], dtype=np.int64),
        positions=np.array(found["positions"], dtype=float),
        cell=np.array(found["cell"], dtype=float),
        pbc=(found["pbc"][0], found["pbc"][1], found["pbc"][2]),
        energy=found["energy"],
        forces=arrays["forces"],
        stress=arrays["stress"],
    )
    return Upload(configuration, found["format"], tuple(Check(**check) for check in found["checks"]))
