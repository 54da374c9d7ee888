"""The only writer of the results store: records in, one complete DuckDB file out.

A build goes into a file of its own; `publish` then moves the link `results.duckdb` to it in one step, so a reader
sees the old build or the new one, never half of one.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from ase.data import chemical_symbols
from ase.formula import Formula
from numpy.typing import NDArray

from engine.alignment import fit_offsets
from engine.datasets import Dataset
from engine.ensembles import Ensemble
from engine.errors import StoreError
from engine.metrics import MEV, energy_metrics, force_metrics, rmse
from engine.models import Model
from engine.records import Configuration, Prediction, flat
from engine.results import SCHEMA_VERSION
from engine.uncertainty import energy_deviation, force_deviation

SCHEMA = Path(__file__).with_name("schema.sql")

# Neighbours in one MD run resemble each other; drawing them one by one would make bounds too narrow.
MD_GROUPS = ("aimd", "liquid")
MD_BLOCK = 10

# Columns of `errors` from which the force metrics of any set of configurations follow.
FORCE_SUMS = ("force_rmse", "force_mae", "reference_dot_predicted", "reference_dot_reference")

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Results:
    """Predictions of one model on one dataset, with the run that each came from."""

    model_id: str
    predictions: Sequence[tuple[Prediction, str]]  # (prediction, run_id)


@dataclass(frozen=True)
class Run:
    """Origin of predictions: one worker process, or one imported file.

    Attributes:
        run_id: Short name that stays the same in every build.
        model_id: The model.
        dataset_id: The dataset.
        origin: `computed` or `imported`.
        device: cpu or cuda.
        hardware: Processor or GPU.
        packages: Names and versions.
        checkpoint_sha256: Digest of the weights.
        started_at: Time in UTC.
        source: Who computed them.
        wall_seconds: Time of all its shards together, s.
        n_threads: Threads of the numerical libraries.
        dtype: Precision of the forces, such as `float32`; empty where the origin does not say.
        d3: `yes` or `no`: the training labels include the D3 correction; empty where the origin does not say.
        options: Keywords of the family's `load`, as JSON: head, modal, task.
        note: What is inferred about imported numbers.
    """

    run_id: str
    model_id: str
    dataset_id: str
    origin: str
    device: str
    hardware: str
    packages: str
    checkpoint_sha256: str
    started_at: str | None
    source: str
    wall_seconds: float | None
    n_threads: int | None
    dtype: str = ""
    d3: str = ""
    options: str = ""
    note: str = ""


@dataclass(frozen=True)
class Cost:
    """Measured time of one model for one evaluation of energy, forces and stress."""

    model_id: str
    device: str
    hardware: str
    n_threads: int
    n_atoms: int
    batch: int
    ms_per_step: float
    us_per_atom_step: float
    peak_memory_mb: float
    origin: str
    measured_at: str


class StoreBuilder:
    """Fills one new DuckDB file.

    Args:
        path: File to create.
        git_commit: Of the code that builds, for display.
        version: Name of the build that the app shows.

    Raises:
        StoreError: The file exists.
    """

    def __init__(self, path: Path, git_commit: str = "", *, version: str = "") -> None:
        if path.exists():
            raise StoreError(f"{path} exists; a build never changes a finished store.")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._ensembles: set[str] = set()
        self.connection = duckdb.connect(str(path))
        self.connection.execute(SCHEMA.read_text(encoding="utf-8"))
        now = datetime.now(UTC).replace(tzinfo=None)
        self._insert(
            "store_info",
            [{"schema_version": SCHEMA_VERSION, "data_version": version or path.stem.removeprefix("results-"),
              "built_at": now, "git_commit": git_commit}],
        )  # fmt: skip

    def add_models(self, models: Iterable[Model]) -> None:
        """Write the model registry."""
        self._insert(
            "models",
            [
                _columns(model, "model_id", "family", "label", "n_training_structures", "n_parameters", "license",
                         "paper_row", "source", "conservative", "functional", "energy_reference", "d3", "gate",
                         "note")
                | {"training_sets": list(model.training_sets), "runnable": model.is_runnable,
                   "reason": model.not_runnable, "checkpoint": ", ".join(file.name for file in model.files)}
                for model in models
            ],
        )  # fmt: skip

    def add_dataset(self, dataset: Dataset, configurations: Sequence[Configuration], reason: str = "") -> None:
        """Write a dataset and its configurations; none where it is not here, with the reason."""
        inside = [c for c in configurations if c.group_name not in dataset.groups_outside]
        self._insert(
            "datasets",
            [
                _columns(dataset, "dataset_id", "label", "functional", "code", "license", "paper_row", "source",
                         "citation", "energy_reference", "description", "n_configs_paper", "comparable",
                         "comparable_note", "leakage", "potentials", "spin", "hubbard_u", "force_noise", "noise_note")
                | {"elements": list(dataset.elements), "n_configs": len(inside),
                   "energy_noise_per_atom": dataset.energy_noise,
                   "n_atoms": sum(c.n_atoms for c in inside), "available": bool(configurations), "reason": reason,
                   "stands_in_for": ", ".join(map(str, dataset.stands_in_for))}
            ],
        )  # fmt: skip
        clusters = _clusters([c.group_name for c in configurations])
        rows = [_configuration_row(dataset, c, name) for c, name in zip(configurations, clusters, strict=True)]
        self._insert("configurations", rows)

    def add_runs(self, runs: Iterable[Run]) -> None:
        """Write where predictions come from."""
        self._insert("runs", [asdict(run) for run in runs])

    def add_costs(self, costs: Iterable[Cost]) -> None:
        """Write measured costs."""
        self._insert("costs", [asdict(cost) for cost in costs])

    def add_claims(self, claims: Iterable[Mapping[str, Any]]) -> None:
        """Write statements of the paper beside what is measured here."""
        self._insert("claims", list(claims))

    def add_results(
        self, dataset: Dataset, configurations: Sequence[Configuration], results: Sequence[Results],
        ensembles: Iterable[Ensemble] = (),
    ) -> None:  # fmt: skip
        """Write predictions of some models on one dataset, with errors, metrics and ensemble spread."""
        known = {c.config_id: i for i, c in enumerate(configurations)}
        frame = _Frame(dataset, configurations)
        scored = {}
        for result in sorted(results, key=lambda r: r.model_id):
            chosen = [(p, run_id) for p, run_id in result.predictions if p.config_id in known]
            chosen.sort(key=lambda pair: known[pair[0].config_id])
            self._insert("predictions", [_prediction_row(dataset, result, p, run_id) for p, run_id in chosen])
            scored[result.model_id] = score = _Score(frame, result.model_id, [p for p, _ in chosen])
            for table, rows in score.tables().items():
                self._insert(table, rows)
        for ensemble in ensembles:
            self._add_ensemble(frame, ensemble, scored)

    def finish(self) -> None:
        """Close the file; nothing can be added after."""
        self.connection.execute("checkpoint")
        self.connection.close()

    def _add_ensemble(self, frame: "_Frame", ensemble: Ensemble, scored: Mapping[str, "_Score"]) -> None:
        members = [scored[model_id] for model_id in ensemble.models if model_id in scored]
        if len(members) < len(ensemble.models):
            return
        if ensemble.ensemble_id not in self._ensembles:
            self._ensembles.add(ensemble.ensemble_id)
            row = _columns(ensemble, "ensemble_id", "label", "source") | {"model_ids": list(ensemble.models)}
            self._insert("ensembles", [row])
        self._insert("uncertainties", _uncertainty_rows(frame, ensemble, members))

    def _insert(self, table: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Append rows; columns go by name, so their order does not matter."""
        incoming = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows)) if rows else None
        if incoming is None or incoming.num_rows == 0:
            return
        self.connection.register("incoming", incoming)
        self.connection.execute(f"insert into {table} by name select * from incoming")
        self.connection.unregister("incoming")


def publish(path: Path, link: Path, keep: int = 2) -> None:
    """Move the link to a finished build, and delete all but the newest builds.

    Args:
        path: The finished file, in the folder of the link.
        link: `results.duckdb`.
        keep: How many builds stay, since a reader may still hold the one before.
    """
    temporary = link.with_name(link.name + ".new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(path.name)
    os.replace(temporary, link)
    for old in sorted(link.parent.glob("results-*.duckdb"))[:-keep]:
        if old != path:
            old.unlink()


def run_id(model_id: str, dataset_id: str, *parts: str) -> str:
    """Short name of a run that stays the same in every build."""
    return hashlib.sha256("\n".join((model_id, dataset_id, *parts)).encode()).hexdigest()[:12]


class _Frame:
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
        self.clusters = _clusters(self.group)


def _clusters(groups: Iterable[str]) -> list[str]:
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


class _Score:
    """Errors of one model on one dataset."""

    def __init__(self, frame: _Frame, model_id: str, predictions: Sequence[Prediction]) -> None:
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


def _uncertainty_rows(frame: _Frame, ensemble: Ensemble, members: Sequence[_Score]) -> list[dict[str, Any]]:
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


def _configuration_row(dataset: Dataset, c: Configuration, cluster_name: str) -> dict[str, Any]:
    symbols = [chemical_symbols[z] for z in c.numbers]
    return {
        "dataset_id": dataset.dataset_id,
        "config_id": c.config_id,
        "group_name": c.group_name,
        "in_dataset": c.group_name not in dataset.groups_outside,
        "formula": Formula.from_list(symbols).format("metal"),
        "elements": sorted(set(symbols)),
        "n_atoms": c.n_atoms,
        "numbers": c.numbers.tolist(),
        "positions": c.positions.ravel().tolist(),
        "cell": c.cell.ravel().tolist(),
        "pbc": list(c.pbc),
        "energy": c.energy,
        "forces": flat(c.forces),
        "stress": flat(c.stress),
        "cluster_name": cluster_name,
    }


def _prediction_row(dataset: Dataset, result: Results, p: Prediction, run: str) -> dict[str, Any]:
    return {
        "dataset_id": dataset.dataset_id,
        "model_id": result.model_id,
        "config_id": p.config_id,
        "status": p.status,
        "reason": p.reason,
        "energy": p.energy,
        "forces": flat(p.forces),
        "stress": flat(p.stress),
        "wall_seconds": p.wall_seconds,
        "run_id": run,
    }


def _columns(record: Any, *names: str) -> dict[str, Any]:
    """Some fields of a dataclass."""
    known = {field.name for field in fields(record)}
    return {name: getattr(record, name) for name in names if name in known}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _not_none(values: FloatArray | None) -> FloatArray:
    assert values is not None
    return values
