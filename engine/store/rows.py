"""Results, runs and costs that the builder takes in, and the rows that records become."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from ase.data import chemical_symbols
from ase.formula import Formula

from engine.records import Configuration, Prediction, flat, list_column
from engine.registry.datasets import Dataset
from engine.registry.kinds import kind_of
from engine.registry.leakage import Leakage
from engine.registry.models import Model


@dataclass(frozen=True)
class Results:
    """Predictions of one model on one dataset, with the run that each came from.

    Attributes:
        model_id: The model.
        predictions: Pairs of a prediction and its run; empty where `load` reads them.
        fingerprint: Of all that they were made of; empty where nobody knows, so that nothing is taken over.
        load: Reads predictions and runs, one model at a time, and says whether every file could be read.
    """

    model_id: str
    predictions: Sequence[tuple[Prediction, str]] = ()
    fingerprint: str = ""
    load: Callable[[], tuple[Sequence[tuple[Prediction, str]], Sequence["Run"], bool]] | None = None

    def read(self) -> tuple[Sequence[tuple[Prediction, str]], Sequence["Run"], bool]:
        """Predictions, runs that are still to be written, and whether every file could be read."""
        return (self.predictions, (), True) if self.load is None else self.load()


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


DFT = "dft-gpaw"
"""Stands for a model in costs of our own DFT calculations."""

RANDOM_WEIGHTS = "random weights"
"""Origin of a cost that was measured on a network of the model's size whose weights are random."""


@dataclass(frozen=True)
class Cost:
    """Measured time of one model, or of our own DFT, for one evaluation of energy, forces and stress.

    Attributes:
        origin: `computed`, or RANDOM_WEIGHTS.
        occasion: Name of the round of measurements; the date of `measured_at` where the file names none.
        yardstick_ms: Time of a fixed computation in the same round, ms; None where it was not taken.
        batch: Systems in one call; `ms_per_step` is the time of one of them.
        ms_per_step: Median over the steps; `ms_low` and `ms_high` are its quartiles, ms.
        peak_memory_mb: Most memory of the process, on a GPU that of the GPU, MB; NaN where it was not measured.
        load_seconds: From the start of the worker to a loaded model, s.
        drift_mev_per_atom_ps: Of the energy in molecular dynamics; None where it was not asked for.
        is_queue: Many systems were waiting, so that `batch` is what the worker chose; else one came after the other.
    """

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
    occasion: str = ""
    yardstick_ms: float | None = None
    ms_low: float | None = None
    ms_high: float | None = None
    load_seconds: float | None = None
    drift_mev_per_atom_ps: float | None = None
    is_queue: bool = False

    def __post_init__(self) -> None:
        if not self.occasion:
            object.__setattr__(self, "occasion", self.measured_at[:10])


def run_id(model_id: str, dataset_id: str, *parts: str) -> str:
    """Short name of a run that stays the same in every build."""
    return hashlib.sha256("\n".join((model_id, dataset_id, *parts)).encode()).hexdigest()[:12]


def configuration_row(dataset: Dataset, c: Configuration, cluster_name: str, lowest: float | None) -> dict[str, Any]:
    """A configuration as a row of `configurations`.

    Args:
        dataset: Its dataset.
        c: The configuration.
        cluster_name: Of the configurations that the bootstrap draws with it.
        lowest: Lowest energy of the dataset, eV/atom; None where none of its configurations has one.
    """
    symbols = [chemical_symbols[z] for z in c.numbers]
    elements, counts = np.unique(symbols, return_counts=True)
    return {
        "dataset_id": dataset.dataset_id,
        "config_id": c.config_id,
        "group_name": c.group_name,
        "in_dataset": c.group_name not in dataset.groups_outside,
        "formula": Formula.from_list(symbols).format("metal"),
        "elements": elements.tolist(),
        "n_atoms": c.n_atoms,
        "numbers": c.numbers.astype(np.int16),
        "positions": c.positions.ravel(),
        "cell": c.cell.ravel(),
        "pbc": list(c.pbc),
        "energy": c.energy,
        "forces": None if c.forces is None else c.forces.ravel(),
        "stress": flat(c.stress),
        "cluster_name": cluster_name,
        "kind": kind_of(dataset.kinds, c.group_name, c.config_id),
        "energy_above": None if c.energy is None or lowest is None else c.energy / c.n_atoms - lowest,
        "force_rms": None if c.forces is None else float(np.sqrt((c.forces**2).sum() / c.n_atoms)),
        "element_counts": counts.tolist(),
    }


def summarised_configurations(dataset: Dataset, summary: Mapping[str, pa.Table]) -> pa.Table:
    """Rows of `configurations` of a summary, with what follows from it: kind, energy above the lowest, RMS force.

    Args:
        dataset: Its dataset.
        summary: Tables by name; `errors` has sums of the squared reference forces, the same for every model.
    """
    rows = summary["configurations"]
    table = rows.select(["config_id", "group_name", "in_dataset", "n_atoms", "energy"]).to_pandas()
    energy = table["energy"] / table["n_atoms"]
    errors = summary["errors"].select(["config_id", "reference_dot_reference"]).to_pandas()
    squares = errors.groupby("config_id")["reference_dot_reference"].first().reindex(table["config_id"]).to_numpy()
    names = zip(table["group_name"], table["config_id"], strict=True)
    derived = {
        "kind": [kind_of(dataset.kinds, group, config_id) for group, config_id in names],
        "energy_above": energy - energy[table["in_dataset"]].min(),
        "force_rms": np.sqrt(squares / table["n_atoms"]),
    }
    for name, values in derived.items():
        rows = rows.append_column(name, pa.array(values, from_pandas=True))
    return rows


def prediction_table(dataset_id: str, model_id: str, chosen: Sequence[tuple[Prediction, str]]) -> pa.Table:
    """Predictions of a model with their runs as rows of `predictions`."""
    rows = [p for p, _ in chosen]
    return pa.table(
        {
            "dataset_id": [dataset_id] * len(rows),
            "model_id": [model_id] * len(rows),
            "config_id": [p.config_id for p in rows],
            "status": [p.status for p in rows],
            "reason": pa.array([p.reason for p in rows], pa.string()),
            "energy": pa.array([p.energy for p in rows], pa.float64()),
            "forces": list_column([p.forces for p in rows], pa.float32()),
            "stress": list_column([p.stress for p in rows], pa.float32()),
            "wall_seconds": pa.array([p.wall_seconds for p in rows], pa.float64()),
            "run_id": [run for _, run in chosen],
        }
    )


def leakage_row(dataset: Dataset, model: Model, group: str, found: Leakage) -> dict[str, Any]:
    """What a model saw of a dataset, or of one of its groups, as a row of `leakage`."""
    return {
        "model_id": model.model_id,
        "dataset_id": dataset.dataset_id,
        "group_name": group,
        "certainty": found.certainty,
        "reason": found.reason,
    }


def columns(record: Any, *names: str) -> dict[str, Any]:
    """Some fields of a dataclass."""
    known = {field.name for field in fields(record)}
    return {name: getattr(record, name) for name in names if name in known}
