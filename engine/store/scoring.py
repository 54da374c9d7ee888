"""Errors and metrics of one model's predictions on one dataset, as rows of the store."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
from engine.records import Configuration, Prediction
from engine.registry.datasets import Dataset
from engine.registry.kinds import kind_of

# Columns of `errors` from which the force metrics of any set of configurations follow.
FORCE_SUMS = ("force_rmse", "force_mae", "reference_dot_predicted", "reference_dot_reference")

NO_FORCE = 1e-3  # eV/Å; a configuration whose reference forces are all smaller has none to be predicted

FloatArray = NDArray[np.float64]


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
        self.symbols = [np.array(chemical_symbols)[c.numbers] for c in configurations]
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
            i = frame.index[prediction.config_id, prediction.geometry_hash]
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
        self.offsets, self.aligned, self.alignment_reason = self._align()
        self.crystal = against_crystals(self.raw, frame.energy, frame.fractions, frame.is_crystal)

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
            "errors": self._error_rows(),
            "force_errors": self._force_table(),
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
                    "energy_error_per_atom_crystal": _number(self.crystal[i]),
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
        reference = np.concatenate([not_none(frame.configurations[i].forces) for i in chosen]).astype("f4")
        errors = np.concatenate([not_none(self.force_errors[i]) for i in chosen]).astype("f4")
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
        if quantity == "energy":
            return np.asarray(np.isfinite(self.energy), dtype=bool)
        return np.array([forces is not None for forces in self.forces], dtype=bool)

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
            atoms = [
                not_none(self.force_errors[i])[frame.symbols[i] == element]
                for i in np.flatnonzero(holds).tolist()
                if self.force_errors[i] is not None
            ]
            with_energy, with_aligned = holds & np.isfinite(self.raw), holds & np.isfinite(self.aligned)
            yield self._keys() | {
                "element": element,
                "n_configs": int(holds.sum()),
                "energy_rmse_mev_per_atom": rmse(self.raw[with_energy]) * MEV if with_energy.any() else None,
                "energy_rmse_mev_per_atom_aligned": (
                    rmse(self.aligned[with_aligned]) * MEV if with_aligned.any() else None
                ),
                "force_rmse_mev_per_ang": rmse(np.concatenate(atoms)) * MEV if atoms else None,
            }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def not_none(values: FloatArray | None) -> FloatArray:
    """The same forces; raise an AssertionError where there are none."""
    assert values is not None
    return values
