"""Jobs of visitors: one structure, some models, and how far each of them is."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.records import Configuration, Prediction
from engine.registry.models import Model
from engine.relaxations import Relaxation
from engine.volume_scans import Scanned
from precompute.live.calculations import Calculation

QUEUED, LOADING, RUNNING = "queued", "loading the model", "computing"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
OPEN_STATES = (QUEUED, LOADING, RUNNING)


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
        prediction: Energy and forces, None before they are there; of a relaxation, those of its last step.
        record: Origin of the result: device, hardware, package versions, checksum.
        seconds: Time since the task began or, once it ended, time that it took, s.
        is_cached: The result was there already.
        place: Place in the queue, 1 for the next one; 0 when it does not wait.
        n_done: Steps or volumes that are done.
        n_most: How many there will be at most.
        max_force: Largest force at the last step of a relaxation, eV/Å; None before.
        estimate: Time that is left until its result, waiting included, s, at most for a relaxation; None where this
            server has not yet seen the model.
        scan: Energies over volume, where that was the task.
    """

    model_id: str
    state: str
    message: str
    prediction: Prediction | None
    record: dict[str, str]
    seconds: float
    is_cached: bool
    place: int = 0
    n_done: int = 0
    n_most: int = 1
    max_force: float | None = None
    estimate: float | None = None
    scan: Scanned | None = None

    @property
    def is_open(self) -> bool:
        """Whether the task has not ended yet."""
        return self.state in OPEN_STATES

    @property
    def relaxation(self) -> Relaxation | None:
        """The relaxation, where that was the task and it did not fail."""
        found = self.prediction
        return found if isinstance(found, Relaxation) and found.trajectory is not None else None


@dataclass(eq=False)
class Task:
    """One model's part of a job; written under the predictor's lock."""

    model: Model
    configuration: Configuration
    calculation: Calculation
    key: tuple[object, ...] = ()
    state: str = QUEUED
    message: str = ""
    prediction: Prediction | None = None
    scan: Scanned | None = None
    record: dict[str, str] = field(default_factory=dict)
    started: float | None = None
    seconds: float = 0.0
    is_cached: bool = False
    is_cancelled: bool = False
    n_done: int = 0
    max_force: float | None = None
    visitor: str = ""
    queued: float = field(default_factory=time.monotonic)

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet."""
        return self.state in OPEN_STATES

    @property
    def n_bytes(self) -> int:
        """About the memory that its result takes: that of the positions of all frames."""
        way = self.prediction.trajectory if isinstance(self.prediction, Relaxation) else None
        return self.configuration.positions.nbytes * (1 if way is None else 1 + len(way.steps))

    def note(self, message: Mapping[str, object]) -> None:
        """Heed a worker's word of a step."""
        if message.get("event") == "step":
            self.n_done, self.max_force = int(str(message["step"])), float(str(message["max_force"]))

    def close(self, state: str, message: str = "") -> None:
        """End it in a state."""
        self.state, self.message = state, message
        self.seconds = 0.0 if self.started is None else time.monotonic() - self.started

    def snapshot(self, place: int = 0, estimate: float | None = None) -> TaskState:
        """Its state now."""
        running = self.is_open and self.started is not None
        seconds = time.monotonic() - self.started if running and self.started else self.seconds
        return TaskState(
            self.model.model_id, self.state, self.message, self.prediction, self.record, seconds, self.is_cached, place,
            self.n_done, self.calculation.n_evaluations, self.max_force, estimate, self.scan,
        )  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What one visitor asked for.

    Attributes:
        session: The visitor.
        configuration: The structure.
        calculation: What is computed.
        tasks: One per model.
        crystal: The perfect crystal that it is compared with; None where none was given.
        crystal_tasks: The same calculation of the crystal, one per model; empty without one.
        address: From where the visitor asked; empty where that is not known.
    """

    session: str
    configuration: Configuration
    calculation: Calculation
    tasks: tuple[Task, ...]
    crystal: Configuration | None = None
    crystal_tasks: tuple[Task, ...] = ()
    address: str = ""

    @property
    def all_tasks(self) -> tuple[Task, ...]:
        """Tasks of both structures, model by model."""
        if not self.crystal_tasks:
            return self.tasks
        return tuple(task for pair in zip(self.tasks, self.crystal_tasks, strict=True) for task in pair)

    @property
    def is_open(self) -> bool:
        """Whether any task has not ended."""
        return any(task.is_open for task in self.all_tasks)
