"""Atomic writing: a file is written beside its place, forced to disk, and renamed into it.

Every writer has a temporary name of its own, so two writers of one file do not meet. The name says which process
writes, so what a killed one left can be removed. This module is imported inside every worker environment, so it needs
the standard library only.
"""

import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = re.compile(r"\.(?P<host>[\w-]+)-(?P<pid>\d+)-[0-9a-f]{8}\.tmp$")
_SCRATCH = re.compile(r"defect-atlas\.(?P<host>[\w-]+)-(?P<pid>\d+)-[^.]+$")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `path` when the block ends well, and is removed otherwise.

    Raises:
        OSError: The disk is full, or the folder takes no files; whatever was at `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small text file, whole or not at all.

    Raises:
        OSError: It cannot be written; whatever was there is untouched.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def scratch_folder() -> Path:
    """A new folder for temporary files of this process, after removing those that dead processes left.

    Raises:
        OSError: There is no room for it.
    """
    parent = Path(tempfile.gettempdir())
    for path in parent.glob("defect-atlas.*"):
        if _is_abandoned(_SCRATCH.search(path.name)):
            shutil.rmtree(path, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"defect-atlas.{_host()}-{os.getpid()}-", dir=parent))


def remove_abandoned(folder: Path) -> list[Path]:
    """Remove temporary files that dead processes of this machine left in a folder.

    Returns:
        What was removed.
    """
    removed = []
    for path in folder.glob("*.tmp"):
        if _is_abandoned(_TEMPORARY.search(path.name)):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _is_abandoned(name: re.Match[str] | None) -> bool:
    """Whether a name is that of a process of this machine that is no more."""
    return name is not None and name["host"] == _host() and not _is_running(int(name["pid"]))


def _host() -> str:
    return re.sub(r"[^\w-]", "_", socket.gethostname())


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
