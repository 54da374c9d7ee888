"""Spread of ensembles beside their error, as rows of the store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from engine.numerics.uncertainty import (
    cross_fitted_weights,
    energy_deviation,
    force_deviation,
    inverse_weights,
    is_zero_by_symmetry,
    spearman,
    spearman_within,
    standard_deviations,
    weighted_deviations,
)
from engine.records import list_values
from engine.registry.ensembles import Ensemble
from engine.store.scoring import FloatArray, Frame, Score, not_none

ENOUGH = 3  # pairs, for a rank correlation


@dataclass(frozen=True)
class Members:
    """The members of an ensemble that have results on a dataset, with their weights in U.

    Attributes:
        scores: Of the members.
        weights: For each configuration of the frame, shape (n_configs, n_members).
        source: Where the weights come from.
    """

    scores: Sequence[Score]
    weights: FloatArray
    source: str

    @property
    def model_ids(self) -> list[str]:
        """Ids of the members, in the order of `scores`."""
        return [score.model_id for score in self.scores]


def members_of(frame: Frame, ensemble: Ensemble, scored: Mapping[str, Score]) -> Members | None:
    """Members of an ensemble that were run on a dataset; None where they are too few.

    Where the ensemble may lack some, one that was run on less than half of what another was run on is left out, since
    only configurations that all members can do count.
    """
    found = [scored[model_id] for model_id in ensemble.models if model_id in scored]
    sizes = [int(score.has("force").sum()) for score in found]
    if ensemble.at_least:
        found = [score for score, size in zip(found, sizes, strict=True) if 2 * size >= max(sizes)]
    if len(found) < ensemble.n_needed:
        return None
    if ensemble.force_rmse:
        known = dict(zip(ensemble.models, ensemble.force_rmse, strict=True))
        weights = inverse_weights(np.array([known[score.model_id] for score in found]))
        return Members(found, np.tile(weights, (len(frame.configurations), 1)), ensemble.force_rmse_source)
    squares = np.array([3 * frame.n_atoms * score.force_sums["force_rmse"] ** 2 for score in found]).T
    usable = np.isfinite(squares).all(axis=1) & frame.inside
    weights = np.full(squares.shape, 1.0 / len(found))
    if usable.any():
        weights[usable] = cross_fitted_weights(squares[usable], 3.0 * frame.n_atoms[usable], frame.clusters[usable])
    return Members(found, weights, "Inverse to the force RMSE on the other half of the clusters.")


def uncertainty_rows(frame: Frame, ensemble: Ensemble, members: Members) -> list[dict[str, Any]]:
    """Deviation and error of every configuration of the dataset that all members can do."""
    rows = []
    all_forces = [member.forces for member in members.scores]
    for i in np.flatnonzero(frame.inside).tolist():
        forces = [of_member[i] for of_member in all_forces]
        if any(f is None for f in forces):
            continue
        rows.append(
            {
                "ensemble_id": ensemble.ensemble_id,
                "dataset_id": frame.dataset_id,
                "config_id": frame.configurations[i].config_id,
            }
            | _energy_columns(frame, ensemble, members, i)
            | _force_columns(frame, np.array([not_none(f) for f in forces], dtype=float), members.weights[i], i)
        )
    return rows


def stored_rows(connection: duckdb.DuckDBPyConnection, ensemble_id: str, dataset_id: str) -> list[dict[str, Any]]:
    """The rows of `uncertainty_rows` as a store has them."""
    table = connection.sql(
        "select * from uncertainties where ensemble_id = $ensemble and dataset_id = $dataset",
        params={"ensemble": ensemble_id, "dataset": dataset_id},
    ).to_arrow_table()
    columns = [
        list_values(table[field.name]) if pa.types.is_list(field.type) else table[field.name].to_pylist()
        for field in table.schema
    ]
    return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def _energy_columns(frame: Frame, ensemble: Ensemble, members: Members, i: int) -> dict[str, Any]:
    """Spread and error of the energy of a configuration, eV/atom; without columns where a member has none."""
    raw = np.array([member.energy[i] for member in members.scores])
    if not np.isfinite(raw).all():
        return {}
    reference = frame.energy[i] if np.isfinite(frame.energy[i]) else None
    aligned = _aligned(frame, members.scores, i)
    found: dict[str, Any] = {}
    for name, energies in (("energy", aligned if ensemble.alignment == "per_element" else raw), ("aligned", aligned)):
        deviation, error = energy_deviation(energies, reference)
        squares = (energies - energies.mean()) ** 2
        found |= {
            f"{name}_deviation": deviation,
            f"{name}_standard_deviation": float(np.sqrt(squares.mean())),
            f"{name}_weighted": float(np.sqrt(members.weights[i] @ squares)),
            f"{name}_error": error,
        }
    return found


def _force_columns(frame: Frame, forces: FloatArray, weights: FloatArray, i: int) -> dict[str, Any]:
    """Spread and error of the forces on the atoms of a configuration, eV/Å; forces are (n_models, n_atoms, 3).

    What the store has in single precision is rounded here, so that all that follows is the same in every build.
    """
    labels = frame.configurations[i].forces
    deviation, error = force_deviation(forces, labels)
    weighted, worst = weighted_deviations(forces, weights)
    return {
        "force_deviation": deviation.astype(np.float32),
        "force_error": None if error is None else error.astype(np.float32),
        "is_zero_by_symmetry": is_zero_by_symmetry(forces, labels),
        "force_standard_deviation": standard_deviations(np.zeros(len(forces)), forces)[1].astype(np.float32),
        "force_weighted": weighted.astype(np.float32),
        "worst_weighted": worst,
    }


def correlation_rows(rows: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """How well deviations rank errors, from the rows of one ensemble on one dataset: over all, and within each.

    Atoms whose force is zero by symmetry are left out.
    """
    energies = [(row["energy_deviation"], row["energy_error"]) for row in rows if row.get("energy_error") is not None]
    parts = [_moving_atoms(row) for row in rows if row["force_error"] is not None]
    if not rows:
        return
    keys = {name: rows[0][name] for name in ("ensemble_id", "dataset_id")}
    pairs = np.array(energies, dtype=float).reshape(-1, 2)
    yield keys | {"quantity": "energy", "n_samples": len(pairs), "n_zero": 0, "spearman": _spearman(*pairs.T)}
    n_zero = sum(sum(row["is_zero_by_symmetry"]) for row in rows if row["force_error"] is not None)
    deviations = np.concatenate([part[0] for part in parts]) if parts else np.empty(0)
    errors = np.concatenate([part[1] for part in parts]) if parts else np.empty(0)
    within, n_within = spearman_within(parts)
    yield keys | {
        "quantity": "force", "n_samples": len(errors), "n_zero": n_zero, "spearman": _spearman(deviations, errors),
        "spearman_within": within if n_within else None, "n_within": n_within,
    }  # fmt: skip


def _moving_atoms(row: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
    """Deviations and errors of the atoms of a configuration that symmetry leaves a force."""
    is_moving = ~np.array(row["is_zero_by_symmetry"], dtype=bool)
    deviation, error = (np.array(row[name], dtype=float) for name in ("force_deviation", "force_error"))
    return deviation[is_moving], error[is_moving]


def _spearman(deviations: FloatArray, errors: FloatArray) -> float | None:
    value = spearman(deviations, errors) if len(errors) >= ENOUGH else float("nan")
    return value if np.isfinite(value) else None


def _aligned(frame: Frame, members: Sequence[Score], i: int) -> FloatArray:
    """Energies of the members about their offsets, eV/atom: those without this configuration, where they are known."""
    inside = np.array([member.energy[i] - frame.fractions[i] @ member.offsets for member in members])
    outside = frame.energy[i] + np.array([member.aligned[i] for member in members])
    return outside if np.isfinite(outside).all() else inside
