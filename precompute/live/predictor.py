"""Live prediction: warm worker processes behind a queue, for callers that must not wait.

A caller hands in a structure and some models, gets the id of a job back at once and asks for its state when
it likes. A few threads take the tasks; each drives one worker process, which keeps its model loaded for the
next caller until it has been idle for a while or memory is wanted for another. No potential is imported in this
process.

    predictor = LivePredictor.default()
    job = predictor.submit("visitor-1", read_structure("POSCAR", data), ["chgnet-0.3.0", "sevennet-0"])
    predictor.tasks(job)      # -> one TaskState per model
"""

import atexit
import os
import threading
import time
import traceback
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ase.data import chemical_symbols

from engine.data_folder import DataFolder
from engine.errors import EngineError, SettingsError, WorkerError
from engine.numerics import uncertainty
from engine.records import Configuration, FloatArray, Prediction
from engine.registry.models import Model, get_model, load_models
from precompute.acquire.weights import Checkpoint
from precompute.workers.pool import Pool, default_memory_gb
from precompute.workers.worker_envs import why_not_runnable

QUEUED, LOADING, RUNNING = "queued", "loading the model", "computing"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
OPEN_STATES = (QUEUED, LOADING, RUNNING)

LIMIT_SECONDS = 60.0
FIRST_LIMIT_SECONDS = 240.0  # compiled models build their kernels in the first computation after loading
MAX_JOBS_PER_SESSION = 2
MAX_MODELS_PER_JOB = 8
MAX_QUEUE = 40
_MAX_RESULTS = 256
_MAX_JOBS = 200


@dataclass(frozen=True)
class LiveModel:
    """A model as a visitor may choose it.

    Attributes:
        model_id: Key of the registry.
        label: Name to show.
        family: Model family.
        training_sets: Names of the training sets.
        energy_reference: DFT set-up that fixes its zero of energy.
        why_not: Why it cannot be chosen; empty where it can.
        elements: All elements that it was trained on, by atomic number.
    """

    model_id: str
    label: str
    family: str
    training_sets: tuple[str, ...]
    energy_reference: str
    why_not: str
    elements: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskState:
    """Progress of one model on one structure.

    Attributes:
        model_id: The model.
        state: One of the constants of this module.
        message: Why it failed; empty otherwise.
        prediction: The result, None before it is there.
        record: Origin of the result: device, hardware, package versions, checksum.
        seconds: Time since the task began or, once it ended, time that it took, s.
        is_cached: The result was there already.
        place: Place in the queue, 1 for the next one; 0 when it does not wait.
    """

    model_id: str
    state: str
    message: str
    prediction: Prediction | None
    record: dict[str, str]
    seconds: float
    is_cached: bool
    place: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the task has not ended yet."""
        return self.state in OPEN_STATES


@dataclass(eq=False)
class _Task:
    """One model's part of a job; written under the predictor's lock."""

    model: Model
    configuration: Configuration
    key: tuple[str, str, str]
    state: str = QUEUED
    message: str = ""
    prediction: Prediction | None = None
    record: dict[str, str] = field(default_factory=dict)
    started: float | None = None
    seconds: float = 0.0
    is_cached: bool = False
    is_cancelled: bool = False

    def close(self, state: str, message: str = "") -> None:
        self.state, self.message = state, message
        self.seconds = 0.0 if self.started is None else time.monotonic() - self.started

    def snapshot(self, place: int = 0) -> TaskState:
        running = self.state in OPEN_STATES and self.started is not None
        seconds = time.monotonic() - self.started if running and self.started else self.seconds
        return TaskState(
            self.model.model_id,
            self.state,
            self.message,
            self.prediction,
            self.record,
            seconds,
            self.is_cached,
            place,
        )


class LivePredictor:
    """Queue and warm workers of one server; safe to share between threads.

    Args:
        folder: Data folder with worker environments and weights.
        device: cpu, cuda or auto.
        n_slots: Worker processes that compute at a time; half the cores, 1 to 4, where None.
        max_warm: Models kept loaded.
        memory_gb: Memory of each worker, GB; that of `pool.default_memory_gb` where None, 0 for all there is.
        idle_seconds: A model that nobody asked for this long is unloaded.
        limit_seconds: Longest computation of one structure, s.
        first_limit_seconds: The same for the first one after a model was loaded, s.
    """

    def __init__(
        self,
        folder: DataFolder,
        *,
        device: str = "auto",
        n_slots: int | None = None,
        max_warm: int = 3,
        memory_gb: float | None = None,
        idle_seconds: float = 600.0,
        limit_seconds: float = LIMIT_SECONDS,
        first_limit_seconds: float = FIRST_LIMIT_SECONDS,
    ) -> None:
        self._folder = folder
        self._n_slots = n_slots or max(1, min(4, (os.cpu_count() or 2) // 2))
        self._pool = Pool(
            folder,
            device=device,
            memory_gb=default_memory_gb(device) if memory_gb is None else memory_gb,
            max_warm=max(max_warm, self._n_slots),
            log_prefix="live-",
        )
        self._idle_seconds = idle_seconds
        self._limits = (first_limit_seconds, limit_seconds)
        self._changed = threading.Condition()
        self._queue: list[_Task] = []
        self._busy: dict[str, _Task] = {}
        self._jobs: OrderedDict[str, tuple[str, tuple[_Task, ...]]] = OrderedDict()
        self._results: OrderedDict[tuple[str, str, str], tuple[Prediction, dict[str, str]]] = OrderedDict()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    @classmethod
    def default(cls) -> "LivePredictor":
        """Predictor on the default data folder."""
        return cls(DataFolder.default())

    # What callers use

    def models(self) -> list[LiveModel]:
        """All models of the registry, those that can run here first."""
        found = [self._live_model(model) for model in load_models().values()]
        return sorted(found, key=lambda m: (bool(m.why_not), m.family, m.label))

    def submit(self, session: str, configuration: Configuration, model_ids: Sequence[str]) -> str:
        """Queue one structure for some models.

        Args:
            session: Id of the visitor; the limit on open jobs is per session.
            configuration: The structure to predict.
            model_ids: Models, each once.

        Returns:
            Id of the job.

        Raises:
            SettingsError: Too many models, or too many open jobs of this session or of all.
            RegistryError: A model is unknown.
        """
        if not 1 <= len(set(model_ids)) <= MAX_MODELS_PER_JOB:
            raise SettingsError(f"Choose 1 to {MAX_MODELS_PER_JOB} models; {len(set(model_ids))} are chosen.")
        tasks = tuple(self._task(get_model(model_id), configuration) for model_id in dict.fromkeys(model_ids))
        with self._changed:
            self._check_limits(session)
            job = uuid.uuid4().hex[:12]
            self._jobs[job] = (session, tasks)
            self._forget_old_jobs()
            self._queue += [task for task in tasks if task.state == QUEUED]
            self._start_threads()
            self._changed.notify_all()
        return job

    def configuration(self, job: str) -> Configuration | None:
        """The structure of a job; None for a job that is forgotten."""
        with self._changed:
            _, tasks = self._jobs.get(job, ("", ()))
            return tasks[0].configuration if tasks else None

    def tasks(self, job: str) -> list[TaskState]:
        """Progress of a job, one entry per model in the order asked; empty for a job that is forgotten."""
        with self._changed:
            _, tasks = self._jobs.get(job, ("", ()))
            places = {id(task): place for place, task in enumerate(self._queue, 1)}
            return [task.snapshot(places.get(id(task), 0)) for task in tasks]

    def cancel(self, job: str) -> None:
        """End a job's open tasks; a model that was computing is unloaded."""
        with self._changed:
            _, tasks = self._jobs.get(job, ("", ()))
            for task in tasks:
                if task.state not in OPEN_STATES:
                    continue
                task.is_cancelled = True
                if task in self._queue:
                    self._queue.remove(task)
                    task.close(CANCELLED)
                elif self._busy.get(task.model.model_id) is task:
                    self._pool.stop(task.model.model_id)

    def warm_models(self) -> list[str]:
        """Ids of the models that are loaded now."""
        return list(self._pool.loaded())

    def close(self) -> None:
        """End all workers and threads; open tasks become cancelled."""
        with self._changed:
            self._is_closed = True
            for task in [*self._queue, *self._busy.values()]:
                task.is_cancelled = True
            self._queue.clear()
            self._pool.stop()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=10)
        self._pool.close()

    # Book-keeping, called under the lock unless said otherwise

    def _live_model(self, model: Model) -> LiveModel:
        return LiveModel(
            model.model_id,
            model.label,
            model.family,
            model.training_labels,
            model.level.energy_reference,
            why_not_runnable(model, self._folder),
            model.elements,
        )

    def _task(self, model: Model, configuration: Configuration) -> _Task:
        """A task, closed at once where the result is known or cannot be had; takes the lock itself."""
        missing = uncovered_elements(model.model_id, configuration)
        if missing:
            message = f"{model.label} does not know {', '.join(missing)}."
            return _Task(model, configuration, ("", "", ""), state=FAILED, message=message)
        if reason := why_not_runnable(model, self._folder):
            return _Task(model, configuration, ("", "", ""), state=FAILED, message=reason)
        key = (configuration.geometry_hash, model.model_id, Checkpoint(model, self._folder).fingerprint)
        task = _Task(model, configuration, key)
        with self._changed:
            if key in self._results:
                self._results.move_to_end(key)
                task.prediction, task.record = self._results[key]
                task.state, task.is_cached = DONE, True
        return task

    def _check_limits(self, session: str) -> None:
        if self._is_closed:
            raise SettingsError("This server is stopping; try again in a minute.")
        open_jobs = sum(
            owner == session and any(task.state in OPEN_STATES for task in tasks)
            for owner, tasks in self._jobs.values()
        )
        if open_jobs >= MAX_JOBS_PER_SESSION:
            raise SettingsError(f"{open_jobs} of your predictions are still open; wait for one or cancel it.")
        if len(self._queue) >= MAX_QUEUE:
            raise SettingsError(f"{len(self._queue)} predictions are waiting already; try again in a minute.")

    def _forget_old_jobs(self) -> None:
        while len(self._jobs) > _MAX_JOBS:
            self._jobs.popitem(last=False)

    def _start_threads(self) -> None:
        if self._threads:
            return
        atexit.register(self.close)
        for number in range(self._n_slots):
            thread = threading.Thread(target=self._serve, name=f"live-prediction-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    # The threads

    def _serve(self) -> None:
        while (task := self._next()) is not None:
            try:
                self._run(task)
            except Exception as error:  # one visitor's task must not end the thread that serves all of them
                traceback.print_exc()
                self._finish(task, FAILED, f"The program failed ({type(error).__name__}: {error}).")
            finally:
                with self._changed:
                    self._busy.pop(task.model.model_id, None)
                    self._changed.notify_all()

    def _next(self) -> _Task | None:
        """Wait for a task whose model is not at work; None when the predictor closes."""
        with self._changed:
            while not self._is_closed:
                self._pool.unload_idle(self._idle_seconds)
                for task in self._queue:
                    if task.model.model_id not in self._busy:
                        self._queue.remove(task)
                        self._busy[task.model.model_id] = task
                        task.started = time.monotonic()
                        return task
                self._changed.wait(timeout=max(0.1, min(self._idle_seconds / 4, 30.0)))
            return None

    def _run(self, task: _Task) -> None:
        """Compute a task; an error becomes its message."""
        try:
            with self._pool.borrow(task.model) as loaded:
                if not loaded.worker.is_alive:
                    self._set(task, LOADING)
                    loaded.start()
                self._set(task, RUNNING)
                limit = self._limits[loaded.worker.n_started > 0]
                (prediction,) = loaded.evaluate([task.configuration], timeout=limit, retry=False).predictions
                record = loaded.worker.record
        except (EngineError, OSError) as error:
            self._finish(task, CANCELLED if task.is_cancelled else FAILED, self._explain(error))
            return
        with self._changed:
            task.prediction, task.record = prediction, record
            if prediction.status == "ok":
                self._results[task.key] = (prediction, record)
                while len(self._results) > _MAX_RESULTS:
                    self._results.popitem(last=False)
        self._finish(task, DONE if prediction.status == "ok" else FAILED, prediction.reason or "")

    def _set(self, task: _Task, state: str) -> None:
        with self._changed:
            if task.is_cancelled:
                raise WorkerError("cancelled")
            task.state = state

    def _finish(self, task: _Task, state: str, message: str) -> None:
        with self._changed:
            task.close(state, "" if state in (DONE, CANCELLED) else message)

    def _explain(self, error: Exception) -> str:
        text = str(error).split("; log:")[0].split(" (log:")[0]
        return f"The computation {text}." if text.startswith("took longer") else text


def uncovered_elements(model_id: str, configuration: Configuration) -> list[str]:
    """Symbols in a structure that a model was never trained on.

    Args:
        model_id: Key of the registry.
        configuration: The structure.

    Raises:
        RegistryError: The model is unknown.
    """
    return get_model(model_id).unknown_elements({chemical_symbols[z] for z in configuration.numbers.tolist()})


def force_deviation(forces: Sequence[FloatArray]) -> FloatArray:
    """Largest distance of any model's force from the mean force, per atom: max_k |F_k - <F>|.

    Args:
        forces: One array of shape (n_atoms, 3) per model, at least two, eV/Å.

    Returns:
        Shape (n_atoms,), eV/Å.

    Example:
        >>> force_deviation([np.array([[0.0, 0, 0]]), np.array([[0.0, 0, 2]])])
        array([1.])
    """
    return uncertainty.force_deviation(np.stack(forces))[0]
