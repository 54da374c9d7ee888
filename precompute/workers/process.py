"""The parent's side of a worker: start it, hand it files, notice when it dies."""

import json
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.errors import WorkerError
from precompute.workers.worker_envs import WorkerCommand

START_SECONDS = 300.0  # imports and the first load of a large checkpoint on a busy machine


class WorkerDiedError(WorkerError):
    """A worker ended in the middle of a request; `config_ids` is the batch it was at, empty before the first."""

    def __init__(self, message: str, config_ids: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.config_ids = tuple(config_ids)


class Worker:
    """One worker process that holds one loaded model.

    Args:
        command: From `precompute.workers.launch.worker_command`.
        log: File that takes whatever the packages print; its last lines go into error messages.

    Raises:
        WorkerError: On any use after the model could not be loaded.
    """

    def __init__(self, command: WorkerCommand, log: Path) -> None:
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self.record: dict[str, str] = {}
        self.current_batch: tuple[str, ...] = ()
        self.n_started = 0

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id, None before `start`."""
        return None if self._process is None else self._process.pid

    def start(self, *, timeout: float = START_SECONDS) -> dict[str, str]:
        """Start the process and wait until the model is loaded.

        Returns:
            The worker's run record: device, hardware, packages, checksum.

        Raises:
            WorkerError: The model cannot be loaded, or not in time.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._command.env,
                cwd=self._command.cwd,
            )
        reply = self._reply(timeout)
        if reply.get("event") != "ready":
            self.kill()
            raise WorkerError(f"The model could not be loaded: {reply.get('message', reply)} (log: {self._log}).")
        self.record = reply["record"]
        return self.record

    def request(
        self,
        source: Path,
        target: Path,
        *,
        skip: dict[str, str] | None = None,
        max_edges: int | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Have the configurations of one file predicted into another.

        Args:
            source: Configurations, as `engine.records.write_configurations` writes them.
            target: Predictions; appears complete or not at all.
            skip: config_id -> reason of configurations that are to become failed rows unseen.
            max_edges: Most edges in a batch of this request; 1 for one configuration at a time.
            timeout: Longest time for any one batch, s.

        Returns:
            The worker's `done` message.

        Raises:
            WorkerDiedError: The process ended, or one batch took too long.
            WorkerError: The worker refused the request.
        """
        assert self._process is not None and self._process.stdin is not None, "start() first"
        self.current_batch = ()
        message: dict[str, Any] = {"input": str(source.resolve()), "output": str(target.resolve()), "skip": skip or {}}
        message |= {} if max_edges is None else {"max_edges": max_edges}
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        while True:
            reply = self._reply(timeout)
            if reply["event"] == "start":
                self.current_batch = tuple(reply["config_ids"])
                self.n_started += 1
            elif reply["event"] == "done":
                return reply
            else:
                raise WorkerError(f"The worker refused {source.name}: {reply.get('message', reply)}")

    def kill(self) -> None:
        """End the process at once; safe to call at any time."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    def _reply(self, timeout: float | None) -> dict[str, Any]:
        """Next message of the worker."""
        assert self._process is not None and self._process.stdout is not None
        deadline = None if timeout is None else time.monotonic() + timeout
        descriptor = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while not self._lines:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if not selector.select(left):
                    self.kill()
                    raise WorkerDiedError(f"took longer than {timeout:.0f} s", self.current_batch)
                chunk = os.read(descriptor, 65536)
                if not chunk:
                    raise self._died()
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                self._lines.extend(lines)
        message: dict[str, Any] = json.loads(self._lines.popleft())
        return message

    def _died(self) -> WorkerDiedError:
        """Error that says how the process ended."""
        assert self._process is not None
        code = self._process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            how += ", as when memory runs out"
        return WorkerDiedError(f"worker died ({how}); log: {self._log}", self.current_batch)
