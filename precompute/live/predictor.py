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
import dataclasses
import os
import secrets
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from ase.data import chemical_symbols

from engine.data_folder import DataFolder
from engine.errors import EngineError, SettingsError, WorkerError
from engine.records import Configuration, Prediction
from engine.registry.models import Model, get_model, load_models
from engine.relaxations import Relaxation
from engine.volume_scans import Scanned, scanned
from precompute.acquire.weights import Checkpoint
from precompute.live.calculations import (
    CALCULATION_SECONDS,
    EQUATION_OF_STATE,
    MOST_FRAME_ATOMS,
    RELAX,
    Calculation,
)
from precompute.live.estimates import Estimates
from precompute.live.shares import Shares, guessed, too_many
from precompute.live.tasks import CANCELLED, DONE, FAILED, LOADING, QUEUED, RUNNING, Job, LiveModel, Task, TaskState
from precompute.workers import process
from precompute.workers.pool import Loaded, Pool, default_memory_gb
from precompute.workers.worker_envs import why_not_runnable

LIMIT_SECONDS = 60.0
FIRST_LIMIT_SECONDS = 240.0  # compiled models build their kernels in the first computation after loading
MAX_MODELS_PER_JOB = 8
_MAX_RESULTS = 256
_MAX_JOBS = 200
_MAX_JOB_BYTES = 400_000_000


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
        self._queue: list[Task] = []
        self._busy: dict[str, Task] = {}
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._results: OrderedDict[tuple[object, ...], Task] = OrderedDict()
        self._estimates = Estimates()
        self._shares = Shares()
        self._threads: list[threading.Thread] = []
        self._is_closed = False
        self._n_ended = 0

    @classmethod
    def default(cls) -> "LivePredictor":
        """Predictor on the default data folder."""
        return cls(DataFolder.default())

    # What callers use

    def models(self) -> list[LiveModel]:
        """All models of the registry, those that can run here first."""
        found = [self._live_model(model) for model in load_models().values()]
        return sorted(found, key=lambda m: (bool(m.why_not), m.family, m.label))

    def submit(
        self,
        session: str,
        configuration: Configuration,
        model_ids: Sequence[str],
        calculation: Calculation | None = None,
        crystal: Configuration | None = None,
        *,
        address: str = "",
    ) -> str:
        """Queue one structure for some models.

        Args:
            session: Id of the visitor; the limit on open jobs is per session, and nobody else can cancel the job.
            configuration: The structure to predict.
            model_ids: Models, each once.
            calculation: What is computed; a single point where None.
            crystal: A perfect crystal that gets the same, for the energy of a defect.
            address: From where the visitor asks; whoever asks from many sessions has the turns of one visitor.

        Returns:
            Id of the job, which cannot be guessed: whoever has it sees the results.

        Raises:
            SettingsError: Too many models, an option beyond its limit, or too many open jobs of this session or of all.
            DatasetError: The structure has not the cell that the calculation needs.
            RegistryError: A model is unknown.
        """
        if not 1 <= len(set(model_ids)) <= MAX_MODELS_PER_JOB:
            raise SettingsError(f"Choose 1 to {MAX_MODELS_PER_JOB} models; {len(set(model_ids))} are chosen.")
        models = [get_model(model_id) for model_id in dict.fromkeys(model_ids)]
        asked = calculation or Calculation()
        checked = asked.checked(configuration)
        tasks = tuple(self._task(model, configuration, checked) for model in models)
        beside: tuple[Task, ...] = ()
        if crystal is not None:
            same = asked.checked(crystal)
            beside = tuple(self._task(model, crystal, same) for model in models)
        made = Job(session, configuration, checked, tasks, crystal, beside, address)
        with self._changed:
            self._check_limits(session, address)
            job = secrets.token_hex(16)
            self._jobs[job] = made
            self._forget_old_jobs()
            for task in made.all_tasks:
                task.visitor = address or session
            self._queue += [task for task in made.all_tasks if task.state == QUEUED]
            self._arrange()
            self._start_threads()
            self._changed.notify_all()
        return job

    def job(self, job: str) -> Job | None:
        """What was asked; None for a job that is forgotten."""
        with self._changed:
            return self._jobs.get(job)

    def configuration(self, job: str) -> Configuration | None:
        """The structure of a job; None for a job that is forgotten."""
        found = self.job(job)
        return found.configuration if found else None

    def tasks(self, job: str) -> list[TaskState]:
        """Progress of a job, one entry per model in the order asked; empty for a job that is forgotten."""
        with self._changed:
            found = self._jobs.get(job)
            return self._snapshots(found.tasks) if found else []

    def crystal_tasks(self, job: str) -> list[TaskState]:
        """Progress of the perfect crystal of a job, one entry per model; empty where none was given."""
        with self._changed:
            found = self._jobs.get(job)
            return self._snapshots(found.crystal_tasks) if found else []

    def cancel(self, job: str, session: str) -> bool:
        """End a job's open tasks; a model that was computing is unloaded.

        Args:
            job: Its id.
            session: Of the visitor who asks.

        Returns:
            Whether the visitor may: a job is cancelled by whoever asked for it, and not by all who know its address.
        """
        with self._changed:
            found = self._jobs.get(job)
            if found is not None and found.session != session:
                return False
            for task in found.all_tasks if found else ():
                if not task.is_open:
                    continue
                task.is_cancelled = True
                if task in self._queue:
                    self._queue.remove(task)
                    task.close(CANCELLED)
                elif self._busy.get(task.model.model_id) is task:
                    self._pool.stop(task.model.model_id)
        return True

    def warm_models(self) -> list[str]:
        """Ids of the models that are loaded now."""
        return list(self._pool.loaded())

    def counts(self) -> dict[str, int]:
        """Numbers of tasks that are `waiting`, `computing` and `ended` since the start, and of `warm` models."""
        with self._changed:
            found = {"waiting": len(self._queue), "computing": len(self._busy), "ended": self._n_ended}
        return found | {"warm": len(self.warm_models())}

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

    def _task(self, model: Model, configuration: Configuration, calculation: Calculation) -> Task:
        """A task, closed at once where the result is known or cannot be had; takes the lock itself."""
        missing = uncovered_elements(model.model_id, configuration)
        if missing:
            message = f"{model.label} does not know {', '.join(missing)}."
            return Task(model, configuration, calculation, state=FAILED, message=message)
        if reason := why_not_runnable(model, self._folder):
            return Task(model, configuration, calculation, state=FAILED, message=reason)
        fingerprint = Checkpoint(model, self._folder).fingerprint
        key = (configuration.geometry_hash, model.model_id, fingerprint, calculation)
        task = Task(model, configuration, calculation, key)
        with self._changed:
            if known := self._results.get(key):
                self._results.move_to_end(key)
                task.prediction, task.scan, task.record = known.prediction, known.scan, known.record
                task.n_done, task.max_force = known.n_done, known.max_force
                task.state, task.is_cached = DONE, True
        return task

    def _snapshots(self, tasks: Sequence[Task]) -> list[TaskState]:
        """States of some tasks, those that wait with their place and the time until they are done."""
        places = {id(task): place for place, task in enumerate(self._queue, 1)}
        warm = set(self._pool.loaded()) if any(task.is_open for task in tasks) else set()
        found = []
        for task in tasks:
            place, estimate = places.get(id(task), 0), None
            if place:
                ahead = [*self._busy.values(), *self._queue[: place - 1]]
                estimate = self._estimates.until(task, ahead, warm, self._n_slots)
            elif task.is_open:
                since = 0.0 if task.started is None else time.monotonic() - task.started
                estimate = self._estimates.left(task, warm, since)
            found.append(task.snapshot(place, estimate))
        return found

    def _arrange(self) -> None:
        """Put the queue in order, so that everyone has a turn."""
        warm = set(self._pool.loaded())
        costs = {id(task): self._estimates.left(task, warm) for task in self._queue}
        self._shares.arrange(self._queue, lambda task: guessed(task) if (c := costs[id(task)]) is None else c)

    def _check_limits(self, session: str, address: str) -> None:
        if self._is_closed:
            raise SettingsError("This server is stopping; try again in a minute.")
        if why_not := too_many(self._jobs.values(), len(self._queue), session, address):
            raise SettingsError(why_not)

    def _forget_old_jobs(self) -> None:
        """Keep as many of the last jobs as there is room for; trajectories take the most of it."""
        room = _MAX_JOB_BYTES - sum(task.n_bytes for job in self._jobs.values() for task in job.all_tasks)
        while len(self._jobs) > _MAX_JOBS or (room < 0 and len(self._jobs) > 1):
            _, job = self._jobs.popitem(last=False)
            room += sum(task.n_bytes for task in job.all_tasks)

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
                    self._shares.note(task.visitor, task.seconds)
                    self._busy.pop(task.model.model_id, None)
                    self._changed.notify_all()

    def _next(self) -> Task | None:
        """Wait for a task whose model is not at work; None when the predictor closes."""
        with self._changed:
            while not self._is_closed:
                self._pool.unload_idle(self._idle_seconds)
                self._arrange()
                for task in self._queue:
                    if task.model.model_id not in self._busy:
                        self._queue.remove(task)
                        self._busy[task.model.model_id] = task
                        task.started = time.monotonic()
                        return task
                self._changed.wait(timeout=max(0.1, min(self._idle_seconds / 4, 30.0)))
            return None

    def _run(self, task: Task) -> None:
        """Compute a task; an error becomes its message."""
        try:
            with self._pool.borrow(task.model) as loaded:
                begun = time.monotonic()
                if not loaded.worker.is_alive:
                    self._set(task, LOADING)
                    loaded.start()
                    self._estimates.loaded(task.model.model_id, time.monotonic() - begun)
                self._set(task, RUNNING)
                begun = time.monotonic()
                prediction, scan = self._computed(task, loaded)
                record, seconds = loaded.worker.record, time.monotonic() - begun
        except (EngineError, OSError) as error:
            self._finish(task, CANCELLED if task.is_cancelled else FAILED, self._explain(error))
            return
        is_ok = scan is not None or (prediction is not None and prediction.status == "ok")
        with self._changed:
            task.prediction, task.scan, task.record = prediction, scan, record
            if is_ok:
                self._estimates.computed(task, self._n_evaluated(task), seconds)
                if task.calculation.task != RELAX:  # trajectories are large, and belong to their job
                    self._results[task.key] = task
                while len(self._results) > _MAX_RESULTS:
                    self._results.popitem(last=False)
        self._finish(task, DONE if is_ok else FAILED, (prediction and prediction.reason) or "")

    def _computed(self, task: Task, loaded: Loaded) -> tuple[Prediction | None, Scanned | None]:
        """The result of a task by a loaded model."""
        limit = self._limits[loaded.worker.n_started > 0]
        if task.calculation.task == EQUATION_OF_STATE:
            return None, self._scanned(task, loaded)
        if task.calculation.task == RELAX:
            return self._relaxed(task, loaded, limit), None
        (found,) = loaded.evaluate([task.configuration], timeout=limit, retry=False).predictions
        return found, None

    def _relaxed(self, task: Task, loaded: Loaded, limit: float) -> Relaxation:
        """A relaxation, with no more frames than a page can play."""
        options = dataclasses.asdict(task.calculation.relaxation)
        (found,) = loaded.evaluate(
            [task.configuration],
            task=process.RELAX,
            options=options,
            timeout=CALCULATION_SECONDS + limit,  # it ends by itself after its step at hand
            retry=False,
            on_progress=lambda message: self._note(task, message),
        ).relaxations
        if found.trajectory is None:
            return found
        n_frames = max(2, MOST_FRAME_ATOMS // max(1, task.configuration.n_atoms))
        return dataclasses.replace(found, trajectory=found.trajectory.thinned(n_frames))

    def _scanned(self, task: Task, loaded: Loaded) -> Scanned:
        """Energies at each volume, one at a time so that the page can count them."""
        begun, energies = time.monotonic(), []
        configurations = task.calculation.scan.of(task.configuration)
        for number, one in enumerate(configurations):
            self._set(task, RUNNING)
            if time.monotonic() - begun > CALCULATION_SECONDS:
                raise WorkerError(
                    f"{number} of {len(configurations)} volumes took {CALCULATION_SECONDS:.0f} s, which is the limit; "
                    "choose fewer volumes, a smaller cell or a faster model."
                )
            limit = self._limits[loaded.worker.n_started > 0]
            (found,) = loaded.evaluate([one], timeout=limit, retry=False).predictions
            if found.energy is None:
                raise WorkerError(found.reason or "The model gives no energy.")
            energies.append(found.energy)
            task.n_done = number + 1
        return scanned(configurations, energies)

    def _n_evaluated(self, task: Task) -> int:
        """Evaluations that a finished task took."""
        return task.n_done + 1 if task.calculation.task == RELAX else task.calculation.n_evaluations

    def _note(self, task: Task, message: Mapping[str, object]) -> None:
        with self._changed:
            task.note(message)

    def _set(self, task: Task, state: str) -> None:
        with self._changed:
            if task.is_cancelled:
                raise WorkerError("cancelled")
            task.state = state

    def _finish(self, task: Task, state: str, message: str) -> None:
        with self._changed:
            task.close(state, "" if state in (DONE, CANCELLED) else message)
            self._n_ended += 1

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
