"""Whose turn it is: visitors share the workers of a server, whoever asks for how much.

The next task is that of the visitor who has had least, and of equals the smaller one. What somebody has had is
forgotten by half every two minutes, and waiting counts for a task, so that a large one has its turn too.
"""

import time
from collections.abc import Callable, Iterable

from precompute.live.tasks import Job, Task

MAX_JOBS_PER_SESSION = 2
MAX_JOBS_PER_ADDRESS = 8
MAX_QUEUE = 40
HALF_LIFE = 120.0  # s
_WAITING = 0.5  # of the time that a task waits is taken off what it costs


class Shares:
    """Computing time of each visitor, by session or address; its owner holds a lock."""

    def __init__(self) -> None:
        self._had: dict[str, tuple[float, float]] = {}

    def note(self, visitor: str, seconds: float) -> None:
        """Somebody has had a worker for that long, s."""
        now = time.monotonic()
        self._had = {name: kept for name, kept in self._had.items() if now - kept[1] < 10 * HALF_LIFE}
        self._had[visitor] = (self.of(visitor) + seconds, now)

    def of(self, visitor: str) -> float:
        """What somebody has had lately, s."""
        seconds, since = self._had.get(visitor, (0.0, 0.0))
        return float(seconds * 0.5 ** ((time.monotonic() - since) / HALF_LIFE)) if seconds else 0.0

    def arrange(self, queue: list[Task], cost: Callable[[Task], float]) -> None:
        """Put waiting tasks in their order.

        Args:
            queue: Tasks, in the order of their coming.
            cost: Time that a task takes, s; what nobody knows yet may be guessed.
        """
        now = time.monotonic()
        queue.sort(key=lambda task: self.of(task.visitor) + cost(task) - _WAITING * (now - task.queued))


def guessed(task: Task) -> float:
    """Time that a task takes with a model that nobody has asked yet, s: what CHGNet needs on one core."""
    return 0.01 * task.configuration.n_atoms * task.calculation.n_evaluations


def too_many(jobs: Iterable[Job], n_waiting: int, session: str, address: str) -> str:
    """Why a visitor must wait before another job; empty where not.

    Args:
        jobs: All that are kept.
        n_waiting: Tasks that wait for a worker.
        session: Of the visitor.
        address: From where the visitor asks; empty where that is not known.
    """
    still = [job for job in jobs if job.is_open]
    n_own = sum(job.session == session for job in still)
    if n_own >= MAX_JOBS_PER_SESSION:
        return f"{n_own} of your predictions are still open; wait for one or cancel it."
    if address and sum(job.address == address for job in still) >= MAX_JOBS_PER_ADDRESS:
        return f"{MAX_JOBS_PER_ADDRESS} predictions from your address are still open; wait for one."
    return f"{n_waiting} predictions are waiting already; try again in a minute." if n_waiting >= MAX_QUEUE else ""
