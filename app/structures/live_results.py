"""Finished live predictions of one structure: mean, disagreement, error, and their tables."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from ase.data import chemical_symbols
from numpy.typing import NDArray

from app.structures import files
from app.structures.atomview import DEVIATION_COLORS, FORCE_COLORS, AtomColors
from app.structures.shown import LEAST_FORCE, largest_first, position_table
from engine.records import Configuration
from precompute.live.calculations import force_deviation
from precompute.live.predictor import LivePredictor
from precompute.live.tasks import LiveModel, TaskState


class LiveResults:
    """Finished predictions of one structure, in the order asked."""

    def __init__(self, configuration: Configuration, tasks: list[TaskState]) -> None:
        self.configuration = configuration
        self.tasks = tasks
        self.done = [task for task in tasks if task.prediction is not None and task.prediction.status == "ok"]
        self.forces = {
            task.model_id: task.prediction.forces
            for task in self.done
            if task.prediction is not None and task.prediction.forces is not None
        }

    @classmethod
    def of(cls, predictor: LivePredictor, job: str) -> "LiveResults | None":
        """Results of a job, None before any model is done."""
        configuration, tasks = predictor.configuration(job), predictor.tasks(job)
        if configuration is None:
            return None
        made = cls(configuration, tasks)
        return made if made.done else None

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the structure, by the alphabet."""
        return elements_of(self.configuration)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean force of the models, shape (n_atoms, 3), eV/Å."""
        return np.asarray(np.mean(list(self.forces.values()), axis=0))

    @property
    def deviation(self) -> NDArray[np.float64] | None:
        """Largest distance of a model from the mean per atom, eV/Å; None for one model."""
        return force_deviation(list(self.forces.values())) if len(self.forces) > 1 else None

    @property
    def error(self) -> NDArray[np.float64] | None:
        """Distance of the mean force from the reference per atom, eV/Å; None without a reference."""
        reference = self.configuration.forces
        return None if reference is None else np.linalg.norm(self.mean - reference, axis=1)

    def atom_colors(self, color: str) -> AtomColors | None:
        """Values behind a choice of colour: `deviation`, `error` or `force`; None paints by element."""
        if color == "deviation" and self.deviation is not None:
            return AtomColors(1000 * self.deviation, "dev(F)", "meV/Å", DEVIATION_COLORS)
        if color == "error" and self.error is not None:
            return AtomColors(1000 * self.error, "|ΔF| of the mean", "meV/Å")
        if color == "force":
            forces = np.linalg.norm(self.mean, axis=1)
            return AtomColors(forces, "|F|, mean of the models", "eV/Å", FORCE_COLORS, floor=LEAST_FORCE)
        return None

    def atom_table(self) -> pd.DataFrame:
        """One row per atom, the largest disagreement first.

        Returns:
            atom, element, x, y, z (Å), mean_force (eV/Å), and where they are known force_deviation and
            force_error of the mean (meV/Å).
        """
        table = position_table(self.configuration.numbers, self.configuration.positions)
        table["mean_force"] = np.linalg.norm(self.mean, axis=1)
        if self.deviation is not None:
            table["force_deviation"] = 1000 * self.deviation
        if self.error is not None:
            table["force_error"] = 1000 * self.error
        return largest_first(table, ("force_deviation", "force_error", "mean_force"))

    def model_table(self, models: Mapping[str, LiveModel]) -> pd.DataFrame:
        """One row per finished model.

        Args:
            models: Registered models by id.

        Returns:
            model, energy (eV), energy_per_atom (eV/atom), largest_force (eV/Å), from_mean (root mean square
            component, meV/Å), where a reference is known energy_error (meV/atom) and force_rmse (meV/Å), and
            energy_reference, training, seconds, device.
        """
        return pd.DataFrame([self._model_row(task, models[task.model_id]) for task in self.done])

    def _model_row(self, task: TaskState, model: LiveModel) -> dict[str, object]:
        prediction, c = task.prediction, self.configuration
        assert prediction is not None
        assert prediction.energy is not None
        assert prediction.forces is not None
        row: dict[str, object] = {
            "model": model.label,
            "energy": prediction.energy,
            "energy_per_atom": prediction.energy / c.n_atoms,
            "largest_force": float(np.linalg.norm(prediction.forces, axis=1).max()),
            "from_mean": rms(prediction.forces - self.mean),
        }
        if c.energy is not None:
            row["energy_error"] = 1000 * (prediction.energy - c.energy) / c.n_atoms
        if c.forces is not None:
            row["force_rmse"] = rms(prediction.forces - c.forces)
        return row | {
            "energy_reference": model.energy_reference,
            "training": " + ".join(model.training_sets),
            "seconds": prediction.wall_seconds,
            "device": task.record.get("device", ""),
        }

    def to_extxyz(self) -> str:
        """The structure with the forces of every model as extended XYZ."""
        c = self.configuration
        energies = {f"energy_{t.model_id}": t.prediction.energy for t in self.done if t.prediction is not None}
        forces = {f"forces_{model_id}": values for model_id, values in self.forces.items()}
        return files.to_extxyz(
            c.numbers, c.positions, c.cell, c.pbc,
            arrays={"REF_forces": c.forces, **forces, "force_deviation": self.deviation},
            info={"config_id": c.config_id, "REF_energy": c.energy, **energies},
        )  # fmt: skip


def elements_of(configuration: Configuration) -> tuple[str, ...]:
    """Symbols of a structure, by the alphabet."""
    return tuple(sorted({chemical_symbols[number] for number in configuration.numbers.tolist()}))


def rms(forces: NDArray[np.float64]) -> float:
    """Root mean square component of force differences in eV/Å, as meV/Å."""
    return 1000 * float(np.sqrt(np.mean(forces**2)))
