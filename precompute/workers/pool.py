"""Pool of worker processes: every computation borrows a loaded model from it.

A caller borrows a loaded model and gives it configurations; a worker that was used stays warm for the next caller
until its place is wanted. Every worker has the same cap on memory. One that dies is replaced, and the configuration
that killed it is searched for: the next worker takes one configuration at a time, and one that ends two of them becomes
a failed row.

    with Pool(folder, device="cpu") as pool, pool.borrow(model) as loaded:
        loaded.evaluate(configurations).predictions
"""

import functools
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.data_folder import DataFolder
from engine.errors import WorkerError
from engine.records import Configuration
from engine.registry.models import Model
from precompute.workers.devices import Place
from precompute.workers.process import SINGLE_POINT, Evaluated, Progress, Worker, WorkerDiedError
from precompute.workers.worker_envs import has_nvidia_driver, worker_command

MAX_DEATHS = 2  # of workers at one configuration
CAP_GB, FLOOR_GB = 8.0, 5.0
"""Most and least address space of a worker: TensorFlow aborts below 4 GB, though it uses 1 GB of memory (GRACE)."""

CAP_SHARE = 0.4


def default_memory_gb(device: str) -> float:
    """Address space for one worker of a machine that serves visitors, GB; 0 (no cap) where a GPU is in use.

    CUDA and JAX reserve far more addresses than memory, so that a cap on addresses would end them at once.
    """
    if device == "cuda" or (device == "auto" and has_nvidia_driver()):
        return 0.0
    total_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return min(CAP_GB, max(FLOOR_GB, CAP_SHARE * total_gb))


@dataclass(eq=False)
class _History:
    """Deaths of workers of one model by configuration, and the batches that it still gets."""

    deaths: Counter[str] = field(default_factory=Counter)
    verdicts: dict[str, str] = field(default_factory=dict)
    max_edges: int | None = None

    @property
    def lethal(self) -> dict[str, str]:
        """Configurations that ended two workers, with the reason that their rows will carry."""
        return {key: self.verdicts[key] for key, n in self.deaths.items() if key and n >= MAX_DEATHS}


@dataclass(eq=False)
class Loaded:
    """A model that one caller has to itself for a while, at one place."""

    model: Model
    place: Place
    _make: Callable[[], Worker]
    _history: _History
    worker: Worker
    used: float = 0.0

    def start(self) -> None:
        """Load the model, unless it is warm.

        Raises:
            WorkerError: It cannot be loaded.
        """
        if not self.worker.is_alive:
            if self.worker.pid is not None:
                self.worker.kill()
                self.worker = self._make()
            self.worker.start()

    def evaluate(
        self,
        configurations: Sequence[Configuration],
        target: Path | None = None,
        *,
        task: str = SINGLE_POINT,
        options: Mapping[str, object] | None = None,
        max_edges: int | None = None,
        timeout: float | None = None,
        retry: bool = True,
        on_progress: Progress | None = None,
    ) -> Evaluated:
        """`Worker.evaluate` that outlives the death of its worker.

        Args:
            configurations: Any number.
            target: File of predictions to keep; None to return them.
            task: What to do with each: SINGLE_POINT or RELAX.
            options: Of the task.
            max_edges: Most edges in a batch; 1 for one configuration at a time, None for what the worker chooses.
            timeout: Longest time for any one batch, s.
            retry: Whether to replace a dead worker and search for the culprit, or to raise its death to the caller.
            on_progress: Told of each batch that begins and of each step of a relaxation.

        Raises:
            WorkerDiedError: The worker died and `retry` is off.
            WorkerError: The model cannot be loaded, refuses the request, or dies twice before any configuration.
        """
        history = self._history
        max_edges = max_edges or history.max_edges
        while True:
            self.start()
            try:
                return self.worker.evaluate(
                    configurations,
                    target,
                    task=task,
                    options=options,
                    skip=history.lethal,
                    max_edges=max_edges,
                    timeout=timeout,
                    on_progress=on_progress,
                )
            except WorkerDiedError as death:
                if not retry:
                    raise
                max_edges = 1  # the new worker goes one at a time, so that the culprit is known
                self._blame(death)

    def _blame(self, death: WorkerDiedError) -> None:
        """Count a death against the configuration at hand; before any, the process itself is broken."""
        model_id, history = self.model.model_id, self._history
        if len(death.config_ids) > 1:
            history.max_edges = max(1, (history.max_edges or int(self.worker.record["max_edges"])) // 2)
            _say(f"{model_id}: {death}; these one at a time, later ones in half as large batches")
            return
        culprit = next(iter(death.config_ids), "")
        history.deaths[culprit] += 1
        history.verdicts[culprit] = death.verdict
        if not culprit and history.deaths[culprit] >= MAX_DEATHS:
            raise WorkerError(f"worker of '{model_id}' died twice before any configuration: {death}") from death
        _say(f"{model_id}: {death}; at {culprit or 'its start'}")


class Pool:
    """Warm workers of one data folder; safe to share between threads.

    Args:
        folder: Data folder with worker environments and weights.
        device: auto, cpu or cuda, where a caller names no place.
        n_threads: Threads of the numerical libraries in each worker.
        offline: Start workers where there is no network at all.
        deterministic: Let workers give the same bits every time, on a GPU too, or fail.
        memory_gb: Address space of each worker; 0 for all there is, as always on a GPU.
        max_warm: Workers that are kept at most, those at work included.
        log_prefix: Beginning of the names of log files.
    """

    def __init__(
        self,
        folder: DataFolder,
        *,
        device: str,
        n_threads: int = 1,
        offline: bool = False,
        deterministic: bool = False,
        memory_gb: float = 0.0,
        max_warm: int = 1,
        log_prefix: str = "",
    ) -> None:
        self._folder = folder
        self._place = Place(device)
        self._command = functools.partial(
            worker_command, folder=folder, n_threads=n_threads, offline=offline, deterministic=deterministic
        )
        self._memory_gb = memory_gb
        self._max_warm = max_warm
        self._log_prefix = log_prefix
        self._lock = threading.Lock()
        self._busy: list[Loaded] = []
        self._idle: list[Loaded] = []
        self._histories: dict[str, _History] = {}

    @contextmanager
    def borrow(self, model: Model, place: Place | None = None) -> Iterator[Loaded]:
        """A model for one caller alone, warm where one is idle; not loaded yet where it is new.

        Args:
            model: From the registry.
            place: Where its worker runs; None for the pool's own device.

        Raises:
            EngineError: The model cannot run here.
        """
        place = place or self._place
        with self._lock:
            warm = [idle for idle in self._idle if idle.model.model_id == model.model_id and idle.place == place]
            loaded = next((idle for idle in warm if idle.worker.is_alive), None)
            if loaded is not None:
                self._idle.remove(loaded)
        if loaded is None:
            loaded = self._new(model, place)
        with self._lock:
            while self._idle and len(self._busy) + len(self._idle) >= self._max_warm:
                oldest = min(self._idle, key=lambda idle: idle.used)
                self._idle.remove(oldest)
                oldest.worker.kill()
            self._busy.append(loaded)
        try:
            yield loaded
        except BaseException:
            loaded.worker.kill()
            raise
        finally:
            with self._lock:
                self._busy.remove(loaded)
                if loaded.worker.is_alive:
                    loaded.used = time.monotonic()
                    self._idle.append(loaded)

    def loaded(self) -> dict[str, Worker]:
        """Living workers by model, one of each."""
        with self._lock:
            return {one.model.model_id: one.worker for one in (*self._idle, *self._busy) if one.worker.is_alive}

    def unload_idle(self, seconds: float) -> None:
        """End workers that nobody has used for that long."""
        with self._lock:
            for loaded in list(self._idle):
                if time.monotonic() - loaded.used > seconds:
                    self._idle.remove(loaded)
                    loaded.worker.kill()

    def stop(self, model_id: str = "") -> None:
        """End the workers at work on a model, or on any; whoever reads from one sees its stream end."""
        with self._lock:
            for loaded in self._busy:
                if model_id in ("", loaded.model.model_id):
                    loaded.worker.stop()

    def close(self) -> None:
        """End all workers."""
        self.stop()
        self.unload_idle(-1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _new(self, model: Model, place: Place) -> Loaded:
        memory_gb = 0.0 if place.device == "cuda" else self._memory_gb
        command = self._command(
            model, device=place.device, gpu=place.gpu, gpu_share=place.gpu_share, memory_gb=memory_gb
        )
        log = self._folder.logs / f"{self._log_prefix}{model.model_id}.log"
        with self._lock:
            history = self._histories.setdefault(model.model_id, _History())
        return Loaded(model, place, lambda: Worker(command, log), history, Worker(command, log))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
