"""Spread of ensembles beside their error, as rows of the store."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from engine.numerics.uncertainty import (
    energy_deviation,
    force_deviation,
    is_zero_by_symmetry,
    spearman,
    spearman_within,
    standard_deviations,
)
from engine.registry.ensembles import Ensemble
from engine.store.scoring import FloatArray, Frame, Score, not_none

ENOUGH = 3  # pairs, for a rank correlation


def uncertainty_rows(frame: Frame, ensemble: Ensemble, members: Sequence[Score]) -> list[dict[str, Any]]:
    """Deviation and error of every configuration of the dataset that all members can do."""
    rows = []
    for i in np.flatnonzero(frame.inside).tolist():
        energies = np.array([member.energy[i] for member in members])
        forces = [member.forces[i] for member in members]
        if not np.isfinite(energies).all() or any(f is None for f in forces):
            continue
        if ensemble.alignment == "per_element":
            energies = _aligned(frame, members, i)
        reference = frame.energy[i] if np.isfinite(frame.energy[i]) else None
        deviation, error = energy_deviation(energies, reference)
        stacked, labels = np.array([not_none(f) for f in forces]), frame.configurations[i].forces
        spread, force_error = force_deviation(stacked, labels)
        energy_std, force_std = standard_deviations(energies, stacked)
        rows.append(
            {
                "ensemble_id": ensemble.ensemble_id,
                "dataset_id": frame.dataset_id,
                "config_id": frame.configurations[i].config_id,
                "energy_deviation": deviation,
                "energy_error": error,
                "force_deviation": spread.tolist(),
                "force_error": None if force_error is None else force_error.tolist(),
                "is_zero_by_symmetry": is_zero_by_symmetry(stacked, labels).tolist(),
                "energy_standard_deviation": energy_std,
                "force_standard_deviation": force_std.tolist(),
            }
        )
    return rows


def correlation_rows(rows: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """How well deviations rank errors, from the rows of one ensemble on one dataset: over all, and within each.

    Atoms whose force is zero by symmetry are left out.
    """
    energies = [(row["energy_deviation"], row["energy_error"]) for row in rows if row["energy_error"] is not None]
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
    return np.array(row["force_deviation"])[is_moving], np.array(row["force_error"])[is_moving]


def _spearman(deviations: FloatArray, errors: FloatArray) -> float | None:
    value = spearman(deviations, errors) if len(errors) >= ENOUGH else float("nan")
    return value if np.isfinite(value) else None


def _aligned(frame: Frame, members: Sequence[Score], i: int) -> FloatArray:
    """Energies of the members about their offsets, eV/atom: those without this configuration, where they are known."""
    inside = np.array([member.energy[i] - frame.fractions[i] @ member.offsets for member in members])
    outside = frame.energy[i] + np.array([member.aligned[i] for member in members])
    return outside if np.isfinite(outside).all() else inside
