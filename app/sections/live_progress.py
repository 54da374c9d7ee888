"""How far the models of a job are: a line each, with place in the queue and the time that is left."""

from collections.abc import Mapping, Sequence

from engine.queries import catalog
from precompute.live.calculations import RELAX, SINGLE_POINT
from precompute.live.tasks import CANCELLED, DONE, FAILED, LOADING, QUEUED, RUNNING, TaskState

_ICONS = {
    QUEUED: ":material/schedule:",
    LOADING: ":material/downloading:",
    RUNNING: ":material/play_circle:",
    DONE: ":material/check_circle:",
    FAILED: ":material/error:",
    CANCELLED: ":material/cancel:",
}


def lines(
    tasks: Sequence[TaskState],
    crystals: Sequence[TaskState],
    labels: Mapping[str, str],
    kind: str,
    n_atoms: int = 0,
) -> list[str]:
    """Markdown lines.

    Args:
        tasks: Of the structure.
        crystals: Of the perfect crystal; none without one.
        labels: Of models by id.
        kind: The task of the job, such as RELAX.
        n_atoms: Of the structure, for models that this server has not run yet.
    """
    found = []
    timed = _timed() if any(task.is_open and task.estimate is None for task in tasks) else {}
    for number, task in enumerate(tasks):
        each = timed.get(task.model_id)
        guess = None if each is None else each * n_atoms * task.n_most
        found.append(line(labels[task.model_id], task, kind, guess))
        if crystals:
            found.append(line(f"{labels[task.model_id]}, perfect crystal", crystals[number], kind))
    return found


def line(label: str, task: TaskState, kind: str, guess: float | None = None) -> str:
    """The state of one model.

    Args:
        label: Of the model.
        task: Its state.
        kind: The task of the job.
        guess: Time of its computation as it was timed for the page Cost, s; None where it was not.

    Example:
        >>> line("EMT", TaskState("emt", QUEUED, "", None, {}, 0.0, False, 2, estimate=12.0), SINGLE_POINT)
        ':material/schedule: **EMT** queued, place 2, about 12 s left'
    """
    words = f"{_ICONS[task.state]} **{label}** {task.state}"
    if task.is_cached:
        words += ", known already"
    if task.place:
        words += f", place {task.place}"
    if kind != SINGLE_POINT and (task.n_done or task.state == RUNNING):
        words += f", step {task.n_done}" if kind == RELAX else f", {task.n_done} of {task.n_most} volumes"
        words += f" of at most {task.n_most - 1}" if kind == RELAX and task.is_open else ""
    if task.max_force is not None:
        words += f", largest force {task.max_force:.3f} eV/Å"
    if task.seconds and not task.is_cached:
        words += f", {task.seconds:.0f} s"
    if task.is_open:
        words += _left(task, kind, guess)
    return f"{words}: {task.message}" if task.message else words


def _left(task: TaskState, kind: str, guess: float | None) -> str:
    at_most = "at most" if kind == RELAX else "about"
    if task.estimate is None and guess is not None:
        return f", {at_most} {max(1.0, guess):.0f} s once it is loaded, as it was timed for the page Cost"
    if task.estimate is None:
        return ", no estimate before its first result on this server"
    return f", {at_most} {max(1.0, task.estimate):.0f} s left"


def _timed() -> dict[str, float]:
    """Median time per atom and evaluation of each model that was timed on one thread of a processor, s."""
    table = catalog.costs()
    table = table[(table["device"] == "cpu") & (table["n_threads"] == 1) & ~table["is_queue"]]
    median = table.groupby("model_id")["us_per_atom_step"].median()
    return {str(name): 1e-6 * float(value) for name, value in median.items()}
