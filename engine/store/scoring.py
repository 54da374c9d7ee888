"""Errors, metrics and spread of one model's predictions on one dataset, as rows of the store."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from ase.data import chemical_symbols
from numpy.typing import NDArray

from engine.numerics.alignment import fit_offsets
from engine.numerics.metrics import MEV, energy_metrics, force_metrics, rmse
from engine.numerics.uncertainty import energy_deviation, force_deviation
from engine.records import Configuration, Prediction
from engine.registry.datasets import Dataset
from engine.registry.ensembles import Ensemble

# Neighbours in one MD run resemble each other; drawing them one by one would make bounds too narrow.
MD_GROUPS = ("aimd", "liquid")

MD_BLOCK = 10

# Columns of `errors` from which the force metrics of any set of configurations follow.
FORCE_SUMS = ("force_rmse", "force_mae", "reference_dot_predicted", "reference_dot_reference")

FloatArray = NDArray[np.float64]


class Frame:
    """What all models on a dataset share: references, compositions, groups."""

    def __init__(self, dataset: Dataset, configurations: Sequence[Configuration]) -> None:
        self.dataset_id = dataset.dataset_id
        self.configurations = configurations
        self.index = {c.config_id: i for i, c in enumerate(configurations)}
        self.n_atoms = np.array([c.n_atoms for c in configurations])
        self.group = np.array([c.group_name for c in configurations])
        self.inside = ~np.isin(self.group, dataset.groups_outside)
        self.energy = np.array([np.nan if c.energy is None else c.energy for c in configurations]) / self.n_atoms
        numbers = np.unique(np.concatenate([c.numbers for c in configurations]))
        self.elements = [chemical_symbols[z] for z in numbers]
        self.fractions = np.array([[np.mean(c.numbers == z) for z in numbers] for c in configurations])
        self.symbols = [np.array(chemical_symbols)[c.numbers] for c in configurations]
        self.clusters = cluster_names(self.group)


def cluster_names(groups: Iterable[str]) -> list[str]:
    """Label per configuration: blocks of neighbours within MD groups, singles elsewhere."""
    counts: Counter[str] = Counter()
    labels = []
    for i, group in enumerate(groups):
        if group.startswith(MD_GROUPS):
            labels.append(f"{group} {counts[group] // MD_BLOCK}")
            counts[group] += 1
        else:
            labels.append(str(i))
    return labels


class Score:
    """Errors of one model on one dataset."""

    def __init__(self, frame: Frame, model_id: str, predictions: Sequence[Prediction]) -> None:
        self.frame, self.model_id = frame, model_id
        n = len(frame.configurations)
        self.energy = np.full(n, np.nan)  # predicted, eV/atom
        self.failed = np.zeros(n, dtype=bool)
        self.forces: list[FloatArray | None] = [None] * n
        self.force_sums = {name: np.full(n, np.nan) for name in FORCE_SUMS}
        self.force_errors: list[FloatArray | None] = [None] * n
        for prediction in predictions:
            i = frame.index[prediction.config_id]
            if prediction.status != "ok":
                self.failed[i] = True
                continue
            if prediction.energy is not None:
                self.energy[i] = prediction.energy / frame.n_atoms[i]
            reference = frame.configurations[i].forces
            self.forces[i] = prediction.forces
            if prediction.forces is not None and reference is not None:
                self.force_errors[i] = errors = prediction.forces - reference
                sums = (
                    np.sqrt(np.mean(errors**2)),
                    np.mean(np.abs(errors)),
                    np.vdot(reference, prediction.forces),
                    np.vdot(reference, reference),
                )
                for name, value in zip(FORCE_SUMS, sums, strict=True):
                    self.force_sums[name][i] = value
        self.raw = self.energy - frame.energy
        self.offsets = self._fit()
        self.aligned = self.raw - frame.fractions @ self.offsets

    def _fit(self) -> FloatArray:
        usable = np.isfinite(self.raw) & self.frame.inside
        if not usable.any():
            return np.zeros(len(self.frame.elements))
        return fit_offsets(self.raw[usable], self.frame.fractions[usable])

    def tables(self) -> dict[str, Sequence[Mapping[str, Any]] | pa.Table]:
        """Rows for the tables that hold errors."""
        return {
            "errors": self._error_rows(),
            "force_errors": self._force_table(),
            "dataset_metrics": list(self._metric_rows()),
            "element_metrics": list(self._element_rows()),
            "element_offsets": [
                self._keys() | {"element": element, "offset_energy": float(offset)}
                for element, offset in zip(self.frame.elements, self.offsets, strict=True)
            ],
        }

    def _keys(self) -> dict[str, Any]:
        return {"dataset_id": self.frame.dataset_id, "model_id": self.model_id}

    def _error_rows(self) -> list[dict[str, Any]]:
        rows = []
        for i, configuration in enumerate(self.frame.configurations):
            errors = self.force_errors[i]
            if not np.isfinite(self.raw[i]) and errors is None:
                continue
            norms = None if errors is None else np.linalg.norm(errors, axis=1)
            rows.append(
                self._keys()
                | {
                    "config_id": configuration.config_id,
                    "group_name": configuration.group_name,
                    "in_dataset": bool(self.frame.inside[i]),
                    "n_atoms": configuration.n_atoms,
                    "reference_energy_per_atom": _number(self.frame.energy[i]),
                    "energy_error_per_atom": _number(self.raw[i]),
                    "energy_error_per_atom_aligned": _number(self.aligned[i]),
                    "force_max_error": None if norms is None else float(norms.max()),
                }
                | {name: _number(values[i]) for name, values in self.force_sums.items()}
            )
        return rows

    def _force_table(self) -> pa.Table:
        """One row per atom, built column by column: there can be millions."""
        chosen = [i for i, errors in enumerate(self.force_errors) if errors is not None]
        if not chosen:
            return pa.table({})
        frame = self.frame
        sizes = frame.n_atoms[chosen]
        reference = np.concatenate([_not_none(frame.configurations[i].forces) for i in chosen]).astype("f4")
        errors = np.concatenate([_not_none(self.force_errors[i]) for i in chosen]).astype("f4")
        total = int(sizes.sum())
        columns: dict[str, Any] = {
            "dataset_id": pa.array([frame.dataset_id]).take(pa.array(np.zeros(total, dtype="i4"))),
            "model_id": pa.array([self.model_id]).take(pa.array(np.zeros(total, dtype="i4"))),
            "config_id": pa.array([frame.configurations[i].config_id for i in chosen]).take(
                pa.array(np.repeat(np.arange(len(chosen)), sizes))
            ),
            "atom_index": np.concatenate([np.arange(n, dtype="i4") for n in sizes]),
            "element": pa.array(np.concatenate([frame.symbols[i] for i in chosen]).astype(str)),
            "in_dataset": np.repeat(frame.inside[chosen], sizes),
        }
        for axis, name in enumerate("xyz"):
            columns[f"reference_{name}"] = reference[:, axis]
            columns[f"error_{name}"] = errors[:, axis]
        return pa.table(columns)

    def _metric_rows(self) -> Iterable[dict[str, Any]]:
        frame = self.frame
        groups = {"all": frame.inside} | {str(g): frame.group == g for g in np.unique(frame.group)}
        for name, members in groups.items():
            forces = self._force_metrics(members)
            for alignment, errors in (("raw", self.raw), ("per_element", self.aligned)):
                usable = members & np.isfinite(errors)
                if not usable.any() and not forces and not (self.failed & members).any():
                    continue
                yield (
                    self._keys()
                    | {
                        "group_name": name,
                        "alignment": alignment,
                        "n_configs": int((members & self._has_result()).sum()),
                        "n_failed": int((self.failed & members).sum()),
                    }
                    | self._energy_metrics(errors, usable)
                    | forces
                )

    def _has_result(self) -> NDArray[np.bool_]:
        """Configurations with a finite energy or forces from the model."""
        return np.array(
            [np.isfinite(e) or f is not None for e, f in zip(self.energy, self.forces, strict=True)],
            dtype=bool,
        )

    def _energy_metrics(self, errors: FloatArray, usable: NDArray[np.bool_]) -> dict[str, float]:
        return energy_metrics(errors[usable], self._clusters_of(usable)) if usable.any() else {}

    def _force_metrics(self, members: NDArray[np.bool_]) -> dict[str, float]:
        chosen = members & np.isfinite(self.force_sums["force_rmse"])
        if not chosen.any():
            return {}
        sums = [self.force_sums[name][chosen] for name in FORCE_SUMS]
        return force_metrics(self.frame.n_atoms[chosen], self._clusters_of(chosen), *sums)

    def _clusters_of(self, chosen: NDArray[np.bool_]) -> list[str]:
        return [self.frame.clusters[i] for i in np.flatnonzero(chosen)]

    def _element_rows(self) -> Iterable[dict[str, Any]]:
        frame = self.frame
        for k, element in enumerate(frame.elements):
            holds = frame.inside & (frame.fractions[:, k] > 0) & self._has_result()
            if not holds.any():
                continue
            atoms = [
                _not_none(self.force_errors[i])[frame.symbols[i] == element]
                for i in np.flatnonzero(holds).tolist()
                if self.force_errors[i] is not None
            ]
            with_energy = holds & np.isfinite(self.raw)
            yield self._keys() | {
                "element": element,
                "n_configs": int(holds.sum()),
                "energy_rmse_mev_per_atom": rmse(self.raw[with_energy]) * MEV if with_energy.any() else None,
                "energy_rmse_mev_per_atom_aligned": (
                    rmse(self.aligned[with_energy]) * MEV if with_energy.any() else None
                ),
                "force_rmse_mev_per_ang": rmse(np.concatenate(atoms)) * MEV if atoms else None,
            }


def uncertainty_rows(frame: Frame, ensemble: Ensemble, members: Sequence[Score]) -> list[dict[str, Any]]:
    """Deviation and error of every configuration of the dataset that all members can do."""
    rows = []
    for i in np.flatnonzero(frame.inside).tolist():
        energies = np.array([member.energy[i] for member in members])
        forces = [member.forces[i] for member in members]
        if not np.isfinite(energies).all() or any(f is None for f in forces):
            continue
        if ensemble.alignment == "per_element":
            energies = energies - np.array([frame.fractions[i] @ member.offsets for member in members])
        reference = frame.energy[i] if np.isfinite(frame.energy[i]) else None
        deviation, error = energy_deviation(energies, reference)
        spread, force_error = force_deviation(np.array([_not_none(f) for f in forces]), frame.configurations[i].forces)
        rows.append(
            {
                "ensemble_id": ensemble.ensemble_id,
                "dataset_id": frame.dataset_id,
                "config_id": frame.configurations[i].config_id,
                "energy_deviation": deviation,
                "energy_error": error,
                "force_deviation": spread.tolist(),
                "force_error": None if force_error is None else force_error.tolist(),
            }
        )
    return rows


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _not_none(values: FloatArray | None) -> FloatArray:
    assert values is not None
    return values
