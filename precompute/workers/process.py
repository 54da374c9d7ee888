"""The parent's side of a worker: start it, hand it files, notice when it dies."""

import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import WorkerError
from engine.files import replacing, scratch_folder
from engine.records import (
    KILLED,
    TOOK_LONGER,
    Configuration,
    Prediction,
    is_transient,
    read_predictions,
    write_configurations,
)
from engine.relaxations import Relaxation, read_relaxations
from precompute.workers.worker_envs import WorkerCommand

START_SECONDS = 300.0  # imports and the first load of a large checkpoint on a busy machine
SINGLE_POINT = "single-point"
RELAX = "relax"
ENDED_TWICE = "ended its worker process twice"

Progress = Callable[[Mapping[str, Any]], None]
"""Told of the messages `start` and `step` of a worker."""


class WorkerDiedError(WorkerError):
    """A worker ended in the middle of a request.

    Attributes:
        config_ids: The batch that it was at, empty before the first.
        verdict: Reason for a failed row, should it happen again.
    """

    def __init__(self, message: str, config_ids: Sequence[str] = (), verdict: str = ENDED_TWICE) -> None:
        super().__init__(message)
        self.config_ids = tuple(config_ids)
        self.verdict = verdict


class LackOfMemoryError(WorkerError):
    """The model could not be loaded because memory was full, so that it may fit another time."""


@dataclass(frozen=True)
class Evaluated:
    """Results of one request.

    Attributes:
        predictions: In the order asked; empty where they went into a file that stays, or for another task.
        n_failed: How many failed with a reason.
        n_transient: How many of these failed for lack of memory or time.
        peak_memory_mb: Of the process so far, MB; of the GPU where the model is on one.
        relaxations: In the order asked, where that was the task.
    """

    predictions: tuple[Prediction, ...]
    n_failed: int
    n_transient: int
    peak_memory_mb: float
    relaxations: tuple[Relaxation, ...] = ()


class Worker:
    """One worker process that holds one loaded model.

    Args:
        command: From `precompute.workers.worker_envs.worker_command`.
        log: File that takes whatever the packages print; its last lines go into error messages.

    Raises:
        WorkerError: On any use after the model could not be loaded.
    """

    def __init__(self, command: WorkerCommand, log: Path) -> None:
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: Path | None = None
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
            LackOfMemoryError: Memory was full.
            WorkerError: The model cannot be loaded, or not in time.
        """
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            self._scratch = scratch_folder()
            # The one folder that it may write to; packages keep settings and caches at home.
            places = {"TMPDIR": str(self._scratch), "HOME": str(self._scratch)}
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command.confined(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=self._command.env | places,
                    cwd=self._command.cwd,
                )
        except OSError as error:
            raise WorkerError(f"The worker cannot be started ({error}); rebuild its environment.") from error
        reply = self._reply(timeout)
        if reply.get("event") != "ready":
            self.kill()
            kind = LackOfMemoryError if reply.get("lacks_memory") else WorkerError
            raise kind(f"The model could not be loaded: {reply.get('message', reply)} (log: {self._log}).")
        self.record = reply["record"]
        return self.record

    def evaluate(
        self,
        configurations: Sequence[Configuration],
        target: Path | None = None,
        *,
        task: str = SINGLE_POINT,
        options: Mapping[str, object] | None = None,
        skip: Mapping[str, str] | None = None,
        max_edges: int | None = None,
        timeout: float | None = None,
        on_progress: Progress | None = None,
    ) -> Evaluated:
        """Evaluate some configurations with the model, through files that are removed afterwards.

        Args:
            configurations: Any number.
            target: File of predictions to keep; None to return the predictions alone.
            task: What to do with each: SINGLE_POINT or RELAX.
            options: Of the task; those of `engine.relaxations.RelaxationOptions`.
            skip: config_id -> reason of configurations that are to become failed rows unseen.
            max_edges: Most edges in a batch of this request; 1 for one configuration at a time.
            timeout: Longest time for any one batch, s.
            on_progress: Told of each batch that begins and of each step of a relaxation.

        Returns:
            Predictions in the order of `configurations` where there is no `target`, and what the worker measured.

        Raises:
            WorkerDiedError: The process ended, or one batch took too long.
            WorkerError: The worker refused the request.
            OSError: The temporary folder is full.
        """
        assert self._scratch is not None, "start() first"
        with tempfile.TemporaryDirectory(dir=self._scratch) as scratch:
            source = Path(scratch) / "given.parquet"
            output = target or Path(scratch) / "found.parquet"
            write_configurations(source, configurations)
            done = self.request(
                source, output, task=task, options=options, skip=skip, max_edges=max_edges, timeout=timeout,
                on_progress=on_progress,
            )  # fmt: skip
            predictions = tuple(read_predictions(output)) if task == SINGLE_POINT and not target else ()
            relaxations = tuple(read_relaxations(output)) if task == RELAX and not target else ()
        n_transient = sum(map(is_transient, done["reasons"]))
        return Evaluated(predictions, done["n_failed"], n_transient, done["peak_memory_mb"], relaxations)

    def request(
        self,
        source: Path,
        target: Path,
        *,
        task: str = SINGLE_POINT,
        options: Mapping[str, object] | None = None,
        skip: Mapping[str, str] | None = None,
        max_edges: int | None = None,
        timeout: float | None = None,
        on_progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Evaluate the configurations of one file into another.

        The worker gets a copy of the one and writes beside it, since it may not reach any other folder.

        Args:
            source: Configurations, as `engine.records.write_configurations` writes them.
            target: Predictions; appears complete or not at all.
            task: What to do with each configuration.
            options: Of the task.
            skip: config_id -> reason of configurations that are to become failed rows unseen.
            max_edges: Most edges in a batch of this request; 1 for one configuration at a time.
            timeout: Longest time for any one batch, s.
            on_progress: Told of each batch that begins and of each step of a relaxation.

        Returns:
            The worker's `done` message.

        Raises:
            WorkerDiedError: The process ended, or one batch took too long.
            WorkerError: The worker refused the request.
        """
        assert self._scratch is not None, "start() first"
        message: dict[str, Any] = {"task": task, "skip": dict(skip or {}), "options": dict(options or {})}
        message |= {} if max_edges is None else {"max_edges": max_edges}
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            given, found = Path(folder) / source.name, Path(folder) / f"out-{target.name}"
            if source.is_file():  # the worker says so where it is not
                shutil.copyfile(source, given)
            done = self._answer(message | {"input": str(given), "output": str(found)}, timeout, on_progress)
            with replacing(target) as temporary, open(found, "rb", opener=_no_link) as source_file:
                temporary.write_bytes(source_file.read())
        return done

    def _answer(
        self, message: Mapping[str, Any], timeout: float | None, on_progress: Progress | None
    ) -> dict[str, Any]:
        """Hand in a request, and wait for its `done` message."""
        assert self._process is not None and self._process.stdin is not None
        self.current_batch = ()
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        begun = time.monotonic()
        while True:
            reply = self._reply(timeout, begun)
            if reply["event"] in ("start", "step") and on_progress is not None:
                on_progress(reply)
            if reply["event"] == "start":
                self.current_batch = tuple(reply["config_ids"])
                self.n_started += 1
                begun = time.monotonic()
            elif reply["event"] == "step":
                continue
            elif reply["event"] == "done":
                return reply
            else:
                raise WorkerError(f"The worker refused {Path(message['input']).name}: {reply.get('message', reply)}")

    def stop(self) -> None:
        """End the process, but leave its streams to a thread that may be reading from them."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def kill(self) -> None:
        """End the process at once; safe to call at any time."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    def _reply(self, timeout: float | None, begun: float | None = None) -> dict[str, Any]:
        """Next message of the worker, at most `timeout` after `begun`, or after now."""
        assert self._process is not None and self._process.stdout is not None
        deadline = None if timeout is None else (time.monotonic() if begun is None else begun) + timeout
        descriptor = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while not self._lines:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if not selector.select(left):
                    self.kill()
                    problem = f"{TOOK_LONGER} {timeout:.0f} s"
                    raise WorkerDiedError(problem, self.current_batch, f"{problem} twice")
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
        verdict = KILLED if code == -signal.SIGKILL else ENDED_TWICE
        return WorkerDiedError(f"worker died ({how}); log: {self._log}", self.current_batch, verdict)


def _no_link(path: str, flags: int) -> int:
    """Open a file that a worker wrote, but not one of the user's that it only points to."""
    return os.open(path, flags | os.O_NOFOLLOW)
