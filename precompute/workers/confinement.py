"""Start a module with no more of the machine than it needs: python -m precompute.workers.confinement ... MODULE ...

Checkpoints are other people's files, and some formats run code when they are loaded. So a worker gives up, before it
reads one, whatever it has no use for. By Linux' Landlock it reads its own environment, the system's libraries, our code
and its checkpoint; it writes into its temporary folder (TMPDIR), the folders named by `--write` and shared memory; it
opens no TCP connection, listens on no port and signals no process that it has not started. Files of the user, other
models' weights, predictions and the environment of other processes are out of its reach. The kernel holds all later
threads and children to it.

Where the kernel has no Landlock (before Linux 5.13, or switched off) nothing is taken away; `is_possible` tells.
`precompute.workers.worker_envs` adds a network namespace. This module runs in every worker environment, so it needs
the standard library only.
"""

import argparse
import ctypes
import functools
import os
import runpy
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import engine

# Of <linux/landlock.h>; the numbers of system calls are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_NO_NEW_PRIVILEGES = 38  # of prctl
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL = (1 << bit for bit in (0, 1, 2, 3, 14, 15))
_TCP = 0b11  # to bind and to connect
_SCOPED = 0b11  # abstract sockets and signals
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL

TRUST = "DEFECT_ATLAS_TRUST"

RUNS_CODE = {
    "fairchem1": "a pickle", "fairchem2": "a pickle", "mace": "pickled modules", "nequip": "a package with its code",
    "grace": "a graph of TensorFlow, which can read and write files", "matgl": "names of classes that are imported",
}  # fmt: skip
"""Families whose checkpoints can do more than hold numbers, and why; the packages offer no other way to load them."""

SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf",
    "/etc/ld.so.conf.d", "/etc/localtime", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts",
    "/etc/OpenCL", "/opt/cuda", "/sys",
    "/proc/cpuinfo", "/proc/devices", "/proc/driver", "/proc/filesystems", "/proc/loadavg",
    "/proc/meminfo", "/proc/modules", "/proc/stat", "/proc/sys", "/proc/uptime", "/proc/version", "/proc/vmstat",
)  # fmt: skip
"""What every program of the machine may read."""

USED = ("/dev", "/proc/self")
"""Where files that are there may be written to: devices, and its own entry, where CUDA names its threads (without this
it does not start). Entries of other processes hold their variables, and so secrets.
"""

SHARED_MEMORY = "/dev/shm"
"""Where locks between threads are files, which MatterSim's log makes when it is imported."""


@functools.cache
def version() -> int:
    """Version of Landlock in the kernel; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    found = ctypes.CDLL(None, use_errno=True).syscall(
        _CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION)
    )
    return max(0, int(found))


def is_possible() -> bool:
    """Whether this machine can confine a process."""
    return version() > 0


@functools.cache
def without_network() -> tuple[str, ...]:
    """Prefix of a command that starts it in a network namespace of its own; empty where the system has none for us."""
    prefix = ("unshare", "--user", "--map-root-user", "--net", "--")
    if shutil.which("unshare") is None:
        return ()
    return () if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode else prefix


def is_trusted() -> bool:
    """Whether the user lets workers do whatever the user may do (--trust)."""
    return bool(os.environ.get(TRUST))


def confine(read: Iterable[str | Path], write: Iterable[str | Path]) -> None:
    """Give up, for the rest of this process and its children, everything but some files.

    Args:
        read: Files and folders to read and execute, with what is in them; absent ones are left out.
        write: Folders where everything is allowed.

    Raises:
        OSError: The kernel refuses.
    """
    rights = _rights()
    ruleset = _called(
        _CREATE_RULESET, attributes := _attributes(rights), ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)
    )
    try:
        for path in read:
            _allow(ruleset, path, _READ)
        for path in USED:
            _allow(ruleset, path, rights & (_READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE | _IOCTL))
        for path in write:
            _allow(ruleset, path, rights)
        if ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        _called(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)


def _rights() -> int:
    """Every right to files that this kernel knows."""
    known = 13 + sum(version() >= since for since in (2, 3, 5))
    return (1 << known) - 1


def _attributes(rights: int) -> bytes:
    """What the rules are about, as long as this kernel expects it."""
    words = [rights, *([_TCP] if version() >= 4 else []), *([_SCOPED] if version() >= 6 else [])]
    return struct.pack(f"{len(words)}Q", *words)


def _allow(ruleset: int, path: str | Path, rights: int) -> None:
    """Add a rule for a file or a folder; for one that is absent there is nothing to add."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        allowed = rights if Path(path).is_dir() else rights & _OF_FILES
        _called(
            _ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), struct.pack("=Qi", allowed, opened),
            ctypes.c_uint(0),
        )  # fmt: skip
    finally:
        os.close(opened)


def _called(number: int, *arguments: object) -> int:
    found = int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments))
    if found < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return found


def own_folders() -> list[str]:
    """This Python, its packages, and our code."""
    code = Path(engine.__path__[0])
    return [sys.prefix, sys.base_prefix, str(code), str(code.parent / "precompute")]


def main() -> None:
    """Confine this process and become the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", action="append", default=[])
    parser.add_argument("--write", action="append", default=[])
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if is_possible():
        confine([*SYSTEM, *own_folders(), *given.read], [*given.write, os.environ["TMPDIR"], SHARED_MEMORY])
    sys.argv = [given.module, *given.arguments]
    runpy.run_module(given.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
