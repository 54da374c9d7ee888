"""How long predictions will take, from those that this server has made before."""

from collections.abc import Collection, Iterable

from precompute.live.tasks import Task

_WEIGHT = 0.5  # of the last measurement in the running mean


class Estimates:
    """Running means of loading times and of the time per atom and evaluation, by model."""

    def __init__(self) -> None:
        self._per_atom: dict[str, float] = {}
        self._loading: dict[str, float] = {}

    def loaded(self, model_id: str, seconds: float) -> None:
        """Note the time that a model took to load, s."""
        self._loading[model_id] = self._mean(self._loading.get(model_id), seconds)

    def computed(self, task: Task, n_evaluations: int, seconds: float) -> None:
        """Note the time of some evaluations of a task's structure, s."""
        if n_evaluations > 0 and task.configuration.n_atoms:
            model_id, each = task.model.model_id, seconds / n_evaluations / task.configuration.n_atoms
            self._per_atom[model_id] = self._mean(self._per_atom.get(model_id), each)

    def left(self, task: Task, warm: Collection[str], seconds: float = 0.0) -> float | None:
        """Time that a task still needs once it is its turn, s; None where its model was not seen before.

        Args:
            task: The task; a relaxation may converge sooner.
            warm: Ids of loaded models.
            seconds: Time since it began.
        """
        model_id = task.model.model_id
        if model_id not in self._per_atom:
            return None
        whole = self._per_atom[model_id] * task.configuration.n_atoms * task.calculation.n_evaluations
        done = self._per_atom[model_id] * task.configuration.n_atoms * task.n_done
        loading = 0.0 if model_id in warm else self._loading.get(model_id, 0.0)
        return max(0.0, loading + whole - max(seconds if not task.n_done else 0.0, done))

    def until(self, task: Task, ahead: Iterable[Task], warm: Collection[str], n_slots: int) -> float | None:
        """Time until a waiting task is done, s; None where a model ahead of it was not seen before.

        Args:
            task: The task.
            ahead: Tasks that come before it or are at work.
            warm: Ids of loaded models.
            n_slots: Tasks that are at work at a time.
        """
        times = [self.left(one, warm) for one in ahead]
        own = self.left(task, warm)
        known = [one for one in times if one is not None]
        return None if own is None or len(known) < len(times) else own + sum(known) / n_slots

    def _mean(self, before: float | None, now: float) -> float:
        return now if before is None else (1 - _WEIGHT) * before + _WEIGHT * now
