"""Commands of `python -m precompute` in processes of their own, started in milliseconds.

A command spends most of its first seconds with imports. Here they are done once, in this process; each command is a
fork of it, with a process group of its own, which can be killed like any other process. Tests and trials that start
hundreds of commands use it.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import precompute.__main__

_POLL_SECONDS = 0.005


class Command:
    """One running command.

    Args:
        arguments: As after `python -m precompute`.
        data: The data folder.
        log: File that takes what it prints.
        before: Called in the new process before anything else, such as to limit it.
        environment: Variables beside those of this process.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        data: Path,
        log: Path,
        *,
        before: Callable[[], object] = lambda: None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.started = time.monotonic()
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(arguments, data, log, before, environment or {})

    def wait(self, seconds: float) -> bool:
        """Wait until it ends, but not longer than that.

        Returns:
            Whether it has ended; `code` is then its exit status, negative for a signal.
        """
        deadline = time.monotonic() + seconds
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= deadline:
                return False
            else:
                time.sleep(_POLL_SECONDS)
        return True

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the command alone, as `kill -9 PID` does; its workers must notice by themselves."""
        if self.code is None:
            os.kill(self.pid, number)
            if number == signal.SIGKILL:
                self.wait(30.0)


def _become(
    arguments: Sequence[str], data: Path, log: Path, before: Callable[[], object], environment: dict[str, str]
) -> None:
    """Be the command, in a fork; never returns."""
    code = 99
    try:
        os.setsid()
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (handle, 1), (handle, 2)):
            os.dup2(source, target)
        os.environ |= {"DEFECT_ATLAS_DATA": str(data)} | environment
        sys.argv = ["precompute", *arguments]
        before()
        code = precompute.__main__.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 2
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
