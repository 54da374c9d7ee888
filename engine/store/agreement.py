"""How well ensembles' deviations agree with errors, and intervals calibrated with them, as rows of the store."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.numerics import agreement, conformal
from engine.numerics.clusters import IntArray
from engine.numerics.conformal import FLOORS, Sample
from engine.numerics.metrics import MIN_CLUSTERS, draws
from engine.numerics.uncertainty import MESH_FORCE, ZERO_FORCE
from engine.store.scoring import FloatArray, Frame, Score

ALL = "all"

ENOUGH = 20  # samples, for an agreement

MEASURES = ("maximum", "standard", "weighted")

# Limits that errors are to be told above or below of, in eV/Å and eV/atom.
FORCE_THRESHOLDS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5)
ENERGY_THRESHOLDS = (0.002, 0.005, 0.01, 0.02, 0.05)

LEVELS = (0.5, 0.8, 0.9, 0.95)
NINETY = LEVELS.index(0.9)

# Columns of `uncertainties` with the measures and the error of each quantity. Those of forces hold a list per row.
_COLUMNS = {
    "energy": ("energy_deviation", "energy_standard_deviation", "energy_weighted", "energy_error"),
    "energy_aligned": ("aligned_deviation", "aligned_standard_deviation", "aligned_weighted", "aligned_error"),
    "force": ("force_deviation", "force_standard_deviation", "force_weighted", "force_error"),
}

_NAMES = (*MEASURES, "error")
_NONE: IntArray = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Samples:
    """Deviations and errors of one quantity, of atoms or configurations.

    Attributes:
        quantity: As in the table `agreements`.
        values: Each measure and the `error`, shape (n,).
        owners: Place in the frame of the configuration of each, shape (n,).
        atoms: Place of the atom in its configuration, shape (n,); empty where the samples are configurations.
    """

    quantity: str
    values: Mapping[str, FloatArray]
    owners: IntArray
    atoms: IntArray

    def of_calibrations(self) -> "Samples":
        """The same samples with the standard deviation alone."""
        return Samples(self.quantity, {"standard": self.values["standard"]}, self.owners, self.atoms)


def samples_of(frame: Frame, rows: Sequence[Mapping[str, Any]]) -> list[Samples]:
    """Samples of an ensemble by quantity, from its rows of `uncertainties`, without forces that symmetry makes zero."""
    place = {c.config_id: i for i, c in enumerate(frame.configurations)}
    found = []
    for quantity, columns in _COLUMNS.items():
        known = [row for row in rows if row.get(columns[-1]) is not None]
        if not known:
            continue
        owners = np.array([place[row["config_id"]] for row in known])
        if quantity != "force":
            values = {name: np.array([row[c] for row in known]) for name, c in zip(_NAMES, columns, strict=True)}
            found.append(Samples(quantity, values, owners, _NONE))
            continue
        moving = [~np.array(row["is_zero_by_symmetry"], dtype=bool) for row in known]
        parts = {
            name: [np.array(row[column], dtype=float)[atoms] for row, atoms in zip(known, moving, strict=True)]
            for name, column in zip(_NAMES, columns, strict=True)
        }
        sizes = np.array([atoms.sum() for atoms in moving])
        values = {name: np.concatenate(part) for name, part in parts.items()}
        atoms = np.concatenate([np.flatnonzero(one) for one in moving])
        found.append(Samples("force", values, np.repeat(owners, sizes), atoms))
        with_atoms = np.flatnonzero(sizes)
        worst = {name: np.array([part[k].max() for k in with_atoms]) for name, part in parts.items()}
        worst["weighted"] = np.array([known[k]["worst_weighted"] for k in with_atoms])
        found.append(Samples("force_worst", worst, owners[with_atoms], _NONE))
    return found


def agreement_rows(
    frame: Frame, ensemble_id: str, samples: Iterable[Samples]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Table and row of `agreements`, `detections` and `agreement_curves` of an ensemble on a dataset."""
    for one in samples:
        thresholds = FORCE_THRESHOLDS if one.quantity.startswith("force") else ENERGY_THRESHOLDS
        for kind, members in _kinds(frame, one.owners):
            if members.sum() < ENOUGH:
                continue
            error, clusters = one.values["error"][members], frame.clusters[one.owners[members]]
            for measure in MEASURES:
                deviation = one.values[measure][members]
                keys = {
                    "ensemble_id": ensemble_id, "dataset_id": frame.dataset_id, "quantity": one.quantity,
                    "measure": measure,
                }  # fmt: skip
                found = agreement.agreement(deviation, error, clusters, thresholds)
                yield "agreements", keys | {"kind": kind} | _agreement_columns(found)
                for detection in found.detections:
                    yield "detections", keys | {"kind": kind} | _detection_columns(detection)
                if kind == ALL:
                    yield "agreement_curves", keys | _curves(deviation, error)


def _agreement_columns(found: agreement.Agreement) -> dict[str, Any]:
    return {
        "n_samples": found.n_samples,
        "n_clusters": found.n_clusters,
        "spearman": _known(found.spearman),
        "spearman_lo": _known(found.spearman_bounds[0]),
        "spearman_hi": _known(found.spearman_bounds[1]),
        "coverage": found.coverage,
        "coverage_lo": _known(found.coverage_bounds[0]),
        "coverage_hi": _known(found.coverage_bounds[1]),
        "sharpness": found.sharpness,
        "rms_error": found.rms_error,
    }


def _detection_columns(found: agreement.Detection) -> dict[str, Any]:
    return {
        "threshold": found.threshold,
        "share_above": found.share_above,
        "auroc": _known(found.auroc),
        "auroc_lo": _known(found.bounds[0]),
        "auroc_hi": _known(found.bounds[1]),
    }


def _curves(deviation: FloatArray, error: FloatArray) -> dict[str, list[float]]:
    bins, errors = agreement.reliability(deviation, error)
    found, best = agreement.rejection(deviation, error)
    names = ("bin_deviations", "bin_errors", "kept", "rejection", "best_rejection")
    return dict(zip(names, (v.tolist() for v in (bins, errors, agreement.KEPT, found, best)), strict=True))


def calibration_rows(
    frame: Frame, score: Score, spreads: Mapping[str, Iterable[Samples]], seen_groups: frozenset[str],
    *, is_own_wanted: bool = True,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Calibrated intervals of one model on a dataset, by each ensemble there and without any.

    Args:
        frame: Of the dataset.
        score: Errors of the model.
        spreads: Samples of each ensemble that has some on the dataset and is wanted.
        seen_groups: Groups that the model was trained on; their errors say nothing of new structures.
        is_own_wanted: Whether those without an ensemble are wanted.
    """
    if ALL in seen_groups:
        return
    unseen = ~np.isin(frame.group, list(seen_groups))
    starts = np.cumsum(frame.n_atoms) - frame.n_atoms
    sizes = {"force": _force_sizes(frame, score), "energy": np.abs(score.aligned)}
    for quantity, errors in sizes.items():
        if is_own_wanted:
            owners = _own_samples(frame, score, quantity)
            places = np.flatnonzero(owners >= 0)
            yield from _rows_of(frame, score, "", quantity, errors[places], owners[places], None, unseen)
        for ensemble_id, samples in spreads.items():
            name = "force" if quantity == "force" else "energy_aligned"
            for spread in (one for one in samples if one.quantity == name):
                places = starts[spread.owners] + spread.atoms if quantity == "force" else spread.owners
                deviations = spread.values["standard"]
                yield from _rows_of(
                    frame, score, ensemble_id, quantity, errors[places], spread.owners, deviations, unseen
                )


def _force_sizes(frame: Frame, score: Score) -> FloatArray:
    """Size of the force error on each atom of the dataset, shape (n_all_atoms,), eV/Å; NaN where there is none."""
    return _sizes(frame, score.force_errors)


def _sizes(frame: Frame, forces: Sequence[FloatArray | None]) -> FloatArray:
    """Length of each vector, shape (n_all_atoms,); NaN where a configuration has none."""
    none = np.full((frame.n_atoms.max(), 3), np.nan)
    parts = [none[:n] if one is None else one for n, one in zip(frame.n_atoms, forces, strict=True)]
    return np.asarray(np.linalg.norm(np.concatenate(parts).astype(float, copy=False), axis=1))


def _own_samples(frame: Frame, score: Score, quantity: str) -> IntArray:
    """Configuration of each sample of a model; -1 where it does not count or symmetry makes the force zero."""
    configs = np.arange(len(frame.inside))
    if quantity == "energy":
        return np.where(np.isfinite(score.aligned) & frame.inside, configs, -1)
    labels = _sizes(frame, [c.forces for c in frame.configurations])
    predicted = _sizes(frame, score.forces)
    counts = np.repeat(frame.inside, frame.n_atoms) & np.isfinite(predicted) & np.isfinite(labels)
    is_zero = (predicted < ZERO_FORCE) & (labels < MESH_FORCE)
    return np.where(counts & ~is_zero, np.repeat(configs, frame.n_atoms), -1)


def _rows_of(
    frame: Frame, score: Score, ensemble_id: str, quantity: str, errors: FloatArray, owners: IntArray,
    deviations: FloatArray | None, unseen: NDArray[np.bool_],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Calibrations of one model with one ensemble, of all kinds together and of each."""
    floor = FLOORS[quantity] if deviations is not None else 0.0
    usable = np.isfinite(errors) & unseen[owners]
    values = np.where(usable, conformal.scores(errors, deviations, floor), np.nan)
    scale = np.ones(len(values)) if deviations is None else deviations + floor
    for kind, members in _kinds(frame, owners):
        chosen = members & usable
        own = owners[chosen]
        n_clusters, n_configs = len(np.unique(frame.clusters[own])), len(np.unique(own))
        unit = conformal.unit_of(n_clusters, n_configs)
        if unit is None:
            continue
        clusters = frame.clusters[own]
        parts = clusters if unit == "cluster" else _block_of(frame, own)
        sample = Sample(values[chosen], clusters if unit == "cluster" else own, parts)
        calibration = sample.calibration()
        low, high = calibration.scores(LEVELS[NINETY])
        yield {
            "dataset_id": frame.dataset_id, "model_id": score.model_id, "ensemble_id": ensemble_id,
            "quantity": quantity, "kind": kind, "unit": unit, "n_units": sample.n_units, "n_clusters": n_clusters,
            "n_configs": n_configs, "n_samples": len(own), "floor": floor,
            "quantiles": calibration.quantiles.tolist(), "levels": list(LEVELS),
            "median_low": low * float(np.median(scale[chosen])), "median_high": high * float(np.median(scale[chosen])),
        } | _held_out_columns(sample, own)  # fmt: skip


def _held_out_columns(sample: Sample, owners: IntArray) -> dict[str, Any]:
    """Coverage of left-out units and configurations, with bounds at 90 % over the parts that are left out."""
    inside = sample.held_out(LEVELS)
    by_unit = [conformal.mean_by(one, sample.units) for one in inside]
    low = high = None
    by_part = conformal.mean_by(inside[NINETY], sample.parts)
    if len(by_part) >= MIN_CLUSTERS:
        resampled = draws(len(by_part), agreement.N_RESAMPLES) @ by_part / len(by_part)
        low, high = (float(value) for value in np.quantile(resampled, [0.025, 0.975]))
    return {
        "held_out": [float(one.mean()) for one in by_unit],
        "held_out_configs": [float(conformal.mean_by(one, owners).mean()) for one in inside],
        "held_out_lo": low,
        "held_out_hi": high,
    }


def _kinds(frame: Frame, owners: IntArray) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Members of each kind of structure among some samples, all of them first; a single kind is not named apart."""
    yield ALL, np.ones(len(owners), dtype=bool)
    names = frame.kind[owners]
    kinds = np.unique(names)
    for kind in kinds if len(kinds) > 1 else ():
        yield str(kind), names == kind


def _block_of(frame: Frame, owners: IntArray) -> IntArray:
    """Block of consecutive configurations of one cluster that each sample is in, shape (n,)."""
    configs, index = np.unique(owners, return_inverse=True)
    return conformal.blocks(frame.clusters[configs])[index.ravel()]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
