"""One configuration as the Structure page shows it: reference, prediction and deviation side by side."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from app.structures import files
from app.structures.atomview import DEVIATION_COLORS, FORCE_COLORS, AtomColors
from engine.records import Configuration, Prediction

LEAST_FORCE = 0.01  # eV/Å; below it every force gets the lightest colours


@dataclass(frozen=True)
class Sight:
    """Everything that the page shows of one configuration.

    Attributes:
        dataset_id: The dataset.
        model_id: The model whose predictions are shown.
        configuration: Atoms and reference labels.
        prediction: The model's numbers; None where it was not run or failed.
        deviation: Ensemble deviation of the force per atom, shape (n_atoms,), eV/Å; None where there is none.
        ensemble: Label of the ensemble.
    """

    dataset_id: str
    model_id: str
    configuration: Configuration
    prediction: Prediction | None
    deviation: NDArray[np.float64] | None
    ensemble: str

    @property
    def force_errors(self) -> NDArray[np.float64] | None:
        """Predicted minus reference force, shape (n_atoms, 3), eV/Å."""
        if self.prediction is None or self.prediction.forces is None or self.configuration.forces is None:
            return None
        return np.asarray(self.prediction.forces - self.configuration.forces)

    @property
    def formula(self) -> str:
        """Empirical counts of elements, metals first."""
        return str(Atoms(self.configuration.numbers).get_chemical_formula("metal"))

    @property
    def energy_error(self) -> float | None:
        """Predicted minus reference energy, eV/atom."""
        c, p = self.configuration, self.prediction
        return None if c.energy is None or p is None or p.energy is None else (p.energy - c.energy) / c.n_atoms

    def atom_colors(self, color: str) -> AtomColors | None:
        """Values behind a choice of colour: `error`, `uncertainty` or `force`; None paints by element."""
        if color == "error" and self.force_errors is not None:
            return AtomColors(1000 * np.linalg.norm(self.force_errors, axis=1), "|ΔF|", "meV/Å")
        if color == "uncertainty" and self.deviation is not None:
            return AtomColors(1000 * self.deviation, "dev(F)", "meV/Å", DEVIATION_COLORS)
        if color == "force" and self.configuration.forces is not None:
            forces = np.linalg.norm(self.configuration.forces, axis=1)
            return AtomColors(forces, "|F| of DFT", "eV/Å", FORCE_COLORS, floor=LEAST_FORCE)
        return None

    def atom_table(self) -> pd.DataFrame:
        """One row per atom, the largest error first.

        Returns:
            atom, element, x, y, z (Å), and where they are known reference_force and predicted_force (eV/Å),
            force_error and force_deviation (meV/Å).
        """
        c, p = self.configuration, self.prediction
        table = position_table(c.numbers, c.positions)
        if c.forces is not None:
            table["reference_force"] = np.linalg.norm(c.forces, axis=1)
        if p is not None and p.forces is not None:
            table["predicted_force"] = np.linalg.norm(p.forces, axis=1)
        if self.force_errors is not None:
            table["force_error"] = 1000 * np.linalg.norm(self.force_errors, axis=1)
        if self.deviation is not None:
            table["force_deviation"] = 1000 * self.deviation
        return largest_first(table, ("force_error", "force_deviation", "reference_force"))

    def to_extxyz(self, data_version: str) -> str:
        """The configuration with reference, prediction and deviation as extended XYZ."""
        c, p = self.configuration, self.prediction
        return files.to_extxyz(
            c.numbers, c.positions, c.cell, c.pbc,
            arrays={
                "REF_forces": c.forces,
                "predicted_forces": None if p is None else p.forces,
                "force_deviation": self.deviation,
            },
            info={
                "config_id": c.config_id, "dataset": self.dataset_id, "group": c.group_name,
                "REF_energy": c.energy, "model": self.model_id,
                "predicted_energy": None if p is None else p.energy,
                "ensemble": self.ensemble or None, "data_version": data_version,
            },
        )  # fmt: skip


def position_table(numbers: NDArray[np.int64], positions: NDArray[np.float64]) -> pd.DataFrame:
    """Index, element and coordinates (Å) of atoms."""
    return pd.DataFrame(
        {
            "atom": np.arange(len(numbers)),
            "element": [chemical_symbols[number] for number in numbers.tolist()],
            **{axis: positions[:, k] for k, axis in enumerate("xyz")},
        }
    )


def largest_first(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """The table sorted by its first column of these, largest first; unchanged where it has none of them."""
    by = next((name for name in columns if name in table), None)
    return table if by is None else table.sort_values(by, ascending=False, kind="stable", ignore_index=True)
