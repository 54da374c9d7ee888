"""Errors and metrics of one model's predictions on one dataset, as rows of the store."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import duckdb
import numpy as np
import pyarrow as pa
from ase.data import chemical_symbols
from numpy.typing import NDArray

from engine.numerics.alignment import (
    against_crystals,
    fit_offsets,
    is_one_composition,
    leave_one_out_errors,
    why_no_alignment,
)
from engine.numerics.clusters import cluster_labels, host_of
from engine.numerics.metrics import MEV, energy_metrics, force_metrics, rmse
from engine.records import Configuration, Prediction, list_column, list_values
from engine.registry.datasets import Dataset
from engine.registry.kinds import kind_of

# Columns of `errors` from which the force metrics of any set of configurations follow.
FORCE_SUMS = ("force_rmse", "force_mae", "reference_dot_predicted", "reference_dot_reference")

# Numbers of each configuration that a score keeps, as they stand in `errors`; those of atoms are read when needed.
KEPT = {
    "raw": "energy_error_per_atom",
    "aligned": "energy_error_per_atom_aligned",
    "crystal": "energy_error_per_atom_crystal",
    "force_max": "force_max_error",
}

NO_FORCE = 1e-3  # eV/Å; a configuration whose reference forces are all smaller has none to be predicted

FloatArray = NDArray[np.float64]

_SYMBOLS = np.array(chemical_symbols)


class AtomsByElement(NamedTuple):
    """Which atoms of a configuration are of which element.

    Attributes:
        symbols: Its elements in alphabetical order.
        places: Place of each atom's element there, shape (n_atoms,).
        counts: Atoms of each element.
    """

    symbols: list[str]
    places: NDArray[np.int8]
    counts: list[int]

    @classmethod
    def of(cls, numbers: NDArray[np.integer]) -> Self:
        """Sort the atoms of a configuration, from their atomic numbers."""
        symbols, places, counts = np.unique(_SYMBOLS[numbers], return_inverse=True, return_counts=True)
        return cls(symbols.tolist(), places.astype(np.int8), counts.tolist())


class Frame:
    """What all models on a dataset share: references, compositions, groups, clusters.

    `index` leads from an id and the geometry that it stands for to the place of a configuration, so that a prediction
    of atoms that have moved since finds none.
    """

    def __init__(self, dataset: Dataset, configurations: Sequence[Configuration]) -> None:
        self.dataset, self.dataset_id = dataset, dataset.dataset_id
        self.configurations = configurations
        self.index = {(c.config_id, c.geometry_hash): i for i, c in enumerate(configurations)}
        self.n_atoms = np.array([c.n_atoms for c in configurations])
        self.group = np.array([c.group_name for c in configurations])
        self.kind = np.array([kind_of(dataset.kinds, c.group_name, c.config_id) for c in configurations])
        self.inside = ~np.isin(self.group, dataset.groups_outside)
        self.energy = np.array([np.nan if c.energy is None else c.energy for c in configurations]) / self.n_atoms
        numbers = np.unique(np.concatenate([c.numbers for c in configurations]))
        self.elements = [chemical_symbols[z] for z in numbers]
        self.fractions = np.array([[np.mean(c.numbers == z) for z in numbers] for c in configurations])
        self.by_element = [AtomsByElement.of(c.numbers) for c in configurations]
        self.is_one_composition = is_one_composition(self.fractions[self.inside])
        self.is_crystal = self.inside & np.isin(self.group, dataset.crystal_groups)
        self.clusters = cluster_labels(
            [c.numbers for c in configurations],
            [c.positions for c in configurations],
            [c.cell for c in configurations],
        )
        self.hosts = np.array(["-".join(chemical_symbols[z] for z in host_of(c.numbers)) for c in configurations])

    def groups(self) -> dict[str, NDArray[np.bool_]]:
        """Members of each group; `all` for the whole dataset."""
        return {"all": self.inside} | {str(g): self.group == g for g in np.unique(self.group)}

    @property
    def has_crystal(self) -> bool:
        """Whether energies relative to a perfect crystal are defined for some configuration."""
        errors = np.zeros(len(self.energy))
        return bool(np.isfinite(against_crystals(errors, self.energy, self.fractions, self.is_crystal)).any())

    @functools.cached_property
    def has_forces(self) -> NDArray[np.bool_]:
        """Configurations with a reference force of at least `NO_FORCE`."""
        forces = (c.forces for c in self.configurations)
        return np.array([f is not None and np.linalg.norm(f, axis=1).max() >= NO_FORCE for f in forces], dtype=bool)


class Score:
    """Errors of one model on one dataset.

    Sums over each configuration are kept, forces on atoms only until `release`: from then on they are read from the
    store, where they are in single precision.
    """

    def __init__(self, frame: Frame, model_id: str, predictions: Sequence[Prediction]) -> None:
        self._start(frame, model_id)
        self.n_predictions = len(predictions)
        forces: list[FloatArray | None] = [None] * len(frame.configurations)
        for prediction in predictions:
            i = frame.index[prediction.config_id, prediction.geometry_hash]
            if prediction.status != "ok":
                self.failed[i] = True
                continue
            if prediction.energy is not None:
                self.energy[i] = prediction.energy / frame.n_atoms[i]
            reference = frame.configurations[i].forces
            forces[i] = prediction.forces
            self.has_force[i] = prediction.forces is not None
            if prediction.forces is not None and reference is not None:
                self._take_sums(i, reference, prediction.forces)
        self._forces: list[FloatArray | None] | None = forces
        self.raw = self.energy - frame.energy
        self.offsets, self.aligned, self.alignment_reason = self._align()
        self.crystal = against_crystals(self.raw, frame.energy, frame.fractions, frame.is_crystal)

    def _start(self, frame: Frame, model_id: str) -> None:
        self.frame, self.model_id = frame, model_id
        self._store: duckdb.DuckDBPyConnection | None = None
        n = len(frame.configurations)
        self.energy = np.full(n, np.nan)  # predicted, eV/atom
        self.failed = np.zeros(n, dtype=bool)
        self.has_force = np.zeros(n, dtype=bool)
        self.force_sums = {name: np.full(n, np.nan) for name in FORCE_SUMS}
        self.force_max = np.full(n, np.nan)
        self.element_squares: list[FloatArray | None] = [None] * n
        self.alignment_reason = ""

    @classmethod
    def stored(cls, frame: Frame, model_id: str, connection: duckdb.DuckDBPyConnection) -> "Score":
        """The score of a model whose rows a store has already; the same numbers as when they were made."""
        score = cls.__new__(cls)
        score._start(frame, model_id)
        score._forces, score._store = None, connection
        score.raw, score.aligned, score.crystal = (np.full(len(frame.configurations), np.nan) for _ in range(3))
        named = ", ".join([*(f"e.{column}" for column in KEPT.values()), *(f"e.{name}" for name in FORCE_SUMS)])
        rows = connection.execute(
            f"""select p.config_id, p.status <> 'ok', p.energy, p.forces is not null, {named} from predictions p
            left join errors e using (dataset_id, model_id, config_id)
            where p.dataset_id = $dataset and p.model_id = $model""",
            score._keys_of_query(),
        ).fetchall()
        score.n_predictions = len(rows)
        place = {c.config_id: i for i, c in enumerate(frame.configurations)}
        for config_id, failed, energy, has_force, *numbers in rows:
            i = place[config_id]
            score.failed[i], score.has_force[i] = failed, has_force
            score.energy[i] = np.nan if energy is None else energy / frame.n_atoms[i]
            known = [np.nan if number is None else number for number in numbers]
            for name, number in zip(KEPT, known, strict=False):
                getattr(score, name)[i] = number
            for name, number in zip(FORCE_SUMS, known[len(KEPT) :], strict=True):
                score.force_sums[name][i] = number
        offsets = connection.execute(
            "select element, offset_energy from element_offsets where dataset_id = $dataset and model_id = $model",
            score._keys_of_query(),
        ).fetchall()
        known_offsets = dict(offsets)
        score.offsets = np.array([known_offsets.get(element, 0.0) for element in frame.elements])
        return score

    def release(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let go of the forces, which the store has now."""
        self._forces, self._store = None, connection

    @property
    def forces(self) -> list[FloatArray | None]:
        """Predicted forces of each configuration, shape (n_atoms, 3), eV/Å; None where there are none."""
        if self._forces is not None:
            return self._forces
        assert self._store is not None  # a score has one of the two
        table = self._store.sql(
            """select config_id, forces from predictions
            where dataset_id = $dataset and model_id = $model and forces is not null""",
            params=self._keys_of_query(),
        ).to_arrow_table()
        read = dict(zip(table["config_id"].to_pylist(), list_values(table["forces"]), strict=True))
        found = (read.get(c.config_id) for c in self.frame.configurations)
        return [None if one is None else one.reshape(-1, 3) for one in found]

    @property
    def force_errors(self) -> list[FloatArray | None]:
        """Predicted minus reference forces of each configuration; None where one of the two is missing."""
        return [
            None if forces is None or c.forces is None else forces - c.forces
            for c, forces in zip(self.frame.configurations, self.forces, strict=True)
        ]

    def _keys_of_query(self) -> dict[str, str]:
        return {"dataset": self.frame.dataset_id, "model": self.model_id}

    def _take_sums(self, i: int, reference: FloatArray, predicted: FloatArray) -> None:
        """Sums over the atoms of a configuration."""
        errors = predicted - reference
        sums = (
            np.sqrt(np.mean(errors**2)),
            np.mean(np.abs(errors)),
            np.vdot(reference, predicted),
            np.vdot(reference, reference),
        )
        for name, value in zip(FORCE_SUMS, sums, strict=True):
            self.force_sums[name][i] = value
        squares = (errors**2).sum(axis=1)
        self.force_max[i] = np.sqrt(squares.max())
        atoms = self.frame.by_element[i]
        self.element_squares[i] = np.bincount(atoms.places, squares, len(atoms.symbols)).astype(float)

    def _align(self) -> tuple[FloatArray, FloatArray, str]:
        """Offsets, errors about those of all other configurations (both eV/atom), and why some of these are missing.

        What does not count as the dataset has no part in the fit, so its errors are those about the offsets.
        """
        fractions = self.frame.fractions
        usable = np.isfinite(self.raw) & self.frame.inside
        if not usable.any():
            return np.zeros(len(self.frame.elements)), np.full(len(self.raw), np.nan), ""
        offsets = fit_offsets(self.raw[usable], fractions[usable])
        aligned = self.raw - fractions @ offsets
        aligned[usable] = leave_one_out_errors(self.raw[usable], fractions[usable])
        return offsets, aligned, why_no_alignment(fractions[usable])

    @property
    def energy_errors(self) -> dict[str, FloatArray]:
        """Energy error of each configuration by alignment, eV/atom; NaN where there is none."""
        return {"raw": self.raw, "per_element": self.aligned, "crystal": self.crystal}

    def tables(self) -> dict[str, Sequence[Mapping[str, Any]] | pa.Table]:
        """Rows for the tables that hold errors."""
        return {
            "errors": self._error_table(),
            "dataset_metrics": list(self._metric_rows()),
            "element_metrics": list(self._element_rows()),
            "element_offsets": [
                self._keys() | {"element": element, "offset_energy": float(offset)}
                for element, offset in zip(self.frame.elements, self.offsets, strict=True)
                if np.isfinite(self.raw).any()  # without energies there is no offset, not one of zero
            ],
        }

    def _keys(self) -> dict[str, Any]:
        return {"dataset_id": self.frame.dataset_id, "model_id": self.model_id}

    def _error_table(self) -> pa.Table:
        """One row per configuration with a finite energy or force error."""
        frame = self.frame
        has_forces = np.isfinite(self.force_sums["force_rmse"])
        chosen = np.flatnonzero(np.isfinite(self.raw) | has_forces)
        if not len(chosen):
            return pa.table({})
        numbers = {"reference_energy_per_atom": frame.energy} | self.force_sums
        numbers |= {column: getattr(self, name) for name, column in KEPT.items()}
        return pa.table({
            "dataset_id": [frame.dataset_id] * len(chosen),
            "model_id": [self.model_id] * len(chosen),
            "config_id": [frame.configurations[i].config_id for i in chosen.tolist()],
            "group_name": pa.array(frame.group[chosen].astype(str)),
            "in_dataset": frame.inside[chosen],
            "n_atoms": frame.n_atoms[chosen].astype("i4"),
            "element_squares": list_column([self.element_squares[i] for i in chosen], pa.float32()),
        } | {name: _finite(values[chosen]) for name, values in numbers.items()})  # fmt: skip

    def _metric_rows(self) -> Iterable[dict[str, Any]]:
        has_result = self.has_result()
        for name, members in self.frame.groups().items():
            forces = self._force_metrics(members)
            for alignment, errors in self.energy_errors.items():
                usable = members & np.isfinite(errors)
                is_known = bool(usable.any())
                if not is_known and (alignment == "crystal" or not (forces or (self.failed & members).any())):
                    continue
                yield (
                    self._keys()
                    | {
                        "group_name": name,
                        "alignment": alignment,
                        "n_configs": int((members & has_result).sum()),
                        "n_failed": int((self.failed & members).sum()),
                        "n_energy": 0,
                        "n_force": 0,
                        "n_clusters": len(np.unique(self.frame.clusters[members & has_result])),
                        "energy_note": self.alignment_reason if alignment == "per_element" else "",
                    }
                    | self._energy_metrics(errors, usable)
                    | forces
                )

    def has_result(self) -> NDArray[np.bool_]:
        """Configurations with a finite energy or forces from the model."""
        return self.has("energy") | self.has("force")

    def has(self, quantity: str) -> NDArray[np.bool_]:
        """Configurations with a finite `energy`, or with a `force` on their atoms, from the model."""
        return np.isfinite(self.energy) if quantity == "energy" else self.has_force

    def _energy_metrics(self, errors: FloatArray, usable: NDArray[np.bool_]) -> dict[str, float]:
        return energy_metrics(errors[usable], self.frame.clusters[usable]) if usable.any() else {}

    def _force_metrics(self, members: NDArray[np.bool_]) -> dict[str, float]:
        chosen = members & np.isfinite(self.force_sums["force_rmse"])
        if not chosen.any():
            return {}
        sums = [self.force_sums[name][chosen] for name in FORCE_SUMS]
        return force_metrics(self.frame.n_atoms[chosen], self.frame.clusters[chosen], *sums)

    def _element_rows(self) -> Iterable[dict[str, Any]]:
        frame = self.frame
        for k, element in enumerate(frame.elements):
            holds = frame.inside & (frame.fractions[:, k] > 0) & self.has_result()
            if not holds.any():
                continue
            atoms = [i for i in np.flatnonzero(holds).tolist() if self.element_squares[i] is not None]
            places = [frame.by_element[i].symbols.index(element) for i in atoms]
            squares = [float(not_none(self.element_squares[i])[place]) for i, place in zip(atoms, places, strict=True)]
            n_components = 3 * sum(frame.by_element[i].counts[place] for i, place in zip(atoms, places, strict=True))
            with_energy, with_aligned = holds & np.isfinite(self.raw), holds & np.isfinite(self.aligned)
            yield self._keys() | {
                "element": element,
                "n_configs": int(holds.sum()),
                "energy_rmse_mev_per_atom": rmse(self.raw[with_energy]) * MEV if with_energy.any() else None,
                "energy_rmse_mev_per_atom_aligned": (
                    rmse(self.aligned[with_aligned]) * MEV if with_aligned.any() else None
                ),
                "force_rmse_mev_per_ang": np.sqrt(sum(squares) / n_components) * MEV if atoms else None,
            }


def _finite(values: FloatArray) -> pa.Array:
    """A column; what is not finite is null."""
    return pa.array(values, mask=~np.isfinite(values))


def not_none(values: FloatArray | None) -> FloatArray:
    """The same forces; raise an AssertionError where there are none."""
    assert values is not None
    return values
