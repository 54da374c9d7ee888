"""Ranks of models on one dataset, and means over its metals and kinds, as rows of the store."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.numerics.alignment import leave_one_out_errors
from engine.numerics.comparison import UNRANKED, choose_models
from engine.numerics.metrics import MEV
from engine.numerics.ranks import macro_rmse, rank_intervals
from engine.store.scoring import FloatArray, Frame, Score

BoolArray = NDArray[np.bool_]
Pairs = Collection[tuple[str, str]]


@dataclass(frozen=True)
class Comparable:
    """Pairs (model_id, dataset_id) that may be ranked; None where all may.

    Attributes:
        physics: Pairs whose forces and aligned energies mean the same: one functional, one treatment of dispersion.
        raw: Pairs of these whose raw energies count from the same zero too.
    """

    physics: Pairs | None = None
    raw: Pairs | None = None

    def models(self, ids: Iterable[str], dataset_id: str, *, is_raw: bool) -> list[str]:
        """Those of some models that may be ranked on a dataset, with raw energies or else."""
        limits = [pairs for pairs in (self.physics, self.raw if is_raw else None) if pairs is not None]
        return [one for one in ids if all((one, dataset_id) in pairs for pairs in limits)]


def rank_rows(
    frame: Frame, scored: Mapping[str, Score], comparable: Comparable, seen: Pairs = ()
) -> Iterable[dict[str, Any]]:
    """Rank of every model by group, alignment and quantity, over the configurations that the ranked ones share.

    A model that cannot be ranked has a row without a rank and with the reason.

    Args:
        frame: What the models share.
        scored: Errors by model.
        comparable: Which models may be ranked by what their labels are.
        seen: Pairs (model_id, group) of which the model was trained on the configurations; `all` for the dataset.
    """
    has_result = {model_id: score.has_result() for model_id, score in scored.items()}
    has = {quantity: {m: score.has(quantity) for m, score in scored.items()} for quantity in ("energy", "force")}
    alignments = ["raw", "per_element", *(["crystal"] if frame.has_crystal else [])]
    for group, members in frame.groups().items():
        for alignment in alignments:
            for quantity in ("energy", "force"):
                is_raw = alignment == "raw" and quantity == "energy"
                fit = comparable.models(sorted(scored), frame.dataset_id, is_raw=is_raw)
                allowed = [m for m in fit if (m, group) not in seen]
                places = {m: np.flatnonzero(members & has[quantity][m]) for m in allowed}
                failed = {m: int((scored[m].failed & members).sum()) for m in allowed}
                chosen, _ = choose_models({m: p for m, p in places.items() if len(p)}, failed)
                ranked = _ranks(frame, {m: scored[m] for m in chosen}, places, alignment, quantity)
                keys = {"dataset_id": frame.dataset_id, "group_name": group, "alignment": alignment}
                for model_id in sorted(m for m in scored if (has_result[m] & members).any()):
                    with_numbers = [m for m in allowed if len(places[m])]
                    row = ranked.get(model_id) or _why_not(model_id, fit, allowed, with_numbers, chosen)
                    yield keys | {"quantity": quantity, "model_id": model_id} | row


def _why_not(
    model_id: str, fit: Sequence[str], allowed: Sequence[str], with_numbers: Sequence[str], chosen: Sequence[str]
) -> dict[str, Any]:
    """Cause and reason of a model without a rank; its labels come before its training, and that before its results."""
    causes = {
        "level": model_id not in fit,
        "seen": model_id not in allowed,
        "numbers": model_id not in with_numbers,
        "share": model_id not in chosen,
    }
    cause = next((name for name, is_so in causes.items() if is_so), "numbers")
    return {"cause": cause, "reason": UNRANKED[cause]}


def _ranks(
    frame: Frame, scored: Mapping[str, Score], places: Mapping[str, NDArray[np.int64]], alignment: str, quantity: str
) -> dict[str, dict[str, Any]]:
    """Ranks of models that may be compared, with what they rest on."""
    if not scored:
        return {}
    shared = np.zeros(len(frame.energy), dtype=bool)
    shared[_common(places[m] for m in scored)] = True
    is_equal = all(len(places[m]) == shared.sum() for m in scored)
    errors = {m: _squares(frame, score, shared, alignment, quantity, is_equal) for m, score in scored.items()}
    errors = {m: values for m, values in errors.items() if np.isfinite(values[shared]).any()}
    if not errors:
        return {}
    squares = np.array(list(errors.values()))
    chosen = shared & np.isfinite(squares).all(axis=0)
    if not chosen.any():
        return {}
    counts = 3.0 * frame.n_atoms[chosen] if quantity == "force" else np.ones(int(chosen.sum()))
    # Clusters in the order of their names, as queries meet them: the same draws, the same ranks.
    found = rank_intervals(squares[:, chosen], counts, frame.clusters[chosen].astype(str))
    numbers = zip(errors, found.rank.tolist(), found.high.tolist(), strict=True)
    rest = {"n_configs": int(chosen.sum()), "n_clusters": found.n_clusters}
    return {m: {"rank": rank, "rank_lo": rank, "rank_hi": high} | rest for m, rank, high in numbers}


def _common(places: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Places that all have."""
    first, *others = places
    for other in others:
        first = np.intersect1d(first, other)
    return first


def _squares(
    frame: Frame, score: Score, shared: BoolArray, alignment: str, quantity: str, is_equal: bool
) -> FloatArray:
    """Sums of squared errors of each configuration; offsets are fitted again where models have different ones."""
    if quantity == "force":
        return np.asarray(3.0 * frame.n_atoms * score.force_sums["force_rmse"] ** 2)
    errors = score.energy_errors[alignment]
    if alignment == "per_element" and not is_equal:
        errors = np.full(len(shared), np.nan)
        usable = shared & np.isfinite(score.raw)
        if usable.any():
            errors[usable] = leave_one_out_errors(score.raw[usable], frame.fractions[usable])
    return np.asarray(errors**2)


def macro_rows(frame: Frame, scored: Mapping[str, Score]) -> Iterable[dict[str, Any]]:
    """Mean over (metal, group) of each model's errors, over all configurations that it has a result for."""
    cells = np.array([f"{host} {group}" for host, group in zip(frame.hosts, frame.group, strict=True)])
    for model_id, score in sorted(scored.items()):
        # A cell in which all forces are zero by symmetry would count as one without an error.
        forces = score.force_sums["force_rmse"]
        chosen = frame.inside & frame.has_forces & np.isfinite(forces)
        counts = 3.0 * frame.n_atoms[chosen]
        force = _macro("force", "mev_per_ang", counts * forces[chosen] ** 2, counts, cells, frame, chosen)
        for alignment, errors in score.energy_errors.items():
            chosen = frame.inside & np.isfinite(errors)
            if not chosen.any() and (alignment == "crystal" or not force["n_force_cells"]):
                continue
            ones = np.ones(int(chosen.sum()))
            energy = _macro("energy", "mev_per_atom", errors[chosen] ** 2, ones, cells, frame, chosen)
            yield {"dataset_id": frame.dataset_id, "model_id": model_id, "alignment": alignment} | energy | force


def _macro(
    quantity: str, unit: str, squares: FloatArray, counts: FloatArray, cells: NDArray[np.str_], frame: Frame,
    chosen: BoolArray,
) -> dict[str, Any]:  # fmt: skip
    mean, low, high, n_cells = macro_rmse(squares, counts, cells[chosen], frame.clusters[chosen])
    name = f"macro_{quantity}_rmse_{unit}"
    values = {name: mean, f"{name}_lo": low, f"{name}_hi": high}
    return {key: float(value * MEV) if np.isfinite(value) else None for key, value in values.items()} | {
        f"n_{quantity}_cells": n_cells
    }
