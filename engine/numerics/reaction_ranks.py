"""Errors and ranks of models over the defect energies of one kind, on those that the ranked models share."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from engine.numerics.comparison import UNRANKED, choose_models
from engine.numerics.ranks import rank_intervals
from engine.numerics.reactions import agreement


def ranked(
    errors: pd.DataFrame, n_failed: Mapping[str, int], fit: Collection[str], allowed: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Errors and rank of every model over reactions of one kind.

    Args:
        errors: Rows of `reaction_errors`, with cluster_name.
        n_failed: Reactions of which each model failed on a part.
        fit: Models whose labels may be compared with the reference.
        allowed: Those of them that were not trained on it.

    Yields:
        Columns of `reaction_metrics` from model_id on.
    """
    places = {name: k for k, name in enumerate(sorted(errors["reaction_id"].unique()))}
    own = {
        str(model_id): np.sort(part["reaction_id"].map(places).to_numpy(dtype=np.int64))
        for model_id, part in errors.groupby("model_id")
    }
    chosen, _ = choose_models({m: p for m, p in own.items() if m in set(allowed)}, n_failed)
    shared = set.intersection(*(set(own[m].tolist()) for m in chosen)) if chosen else set()
    common = errors[errors["model_id"].isin(chosen) & errors["reaction_id"].map(places).isin(shared)]
    ranks = _ranks(common)
    for model_id, part in errors.groupby("model_id"):
        part = common[common["model_id"] == model_id] if model_id in chosen else part
        values = part["reference"].to_numpy(dtype=float), part["prediction"].to_numpy(dtype=float)
        cause = "" if model_id in chosen else _cause(str(model_id), fit, allowed)
        yield {
            "model_id": model_id,
            "n_reactions": len(part),
            "n_own": len(own[str(model_id)]),
            "n_failed": n_failed.get(str(model_id), 0),
            "n_clusters": part["cluster_name"].nunique(),
            "cancellation": float((part["error_mev"].abs() / part["error_rss_mev"]).median()),
            "cause": cause,
            "reason": UNRANKED[cause] if cause else "",
            **{k: _number(v) for k, v in agreement(*values, part["cluster_name"].to_numpy(dtype=str)).items()},
            **ranks.get(str(model_id), {}),
        }


def _ranks(common: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Interval of the rank of each model, over reactions that all have."""
    if common.empty:
        return {}
    wide = common.assign(square=common["error"] ** 2).pivot(index="reaction_id", columns="model_id", values="square")
    clusters = common.drop_duplicates("reaction_id").set_index("reaction_id").loc[wide.index, "cluster_name"]
    found = rank_intervals(wide.to_numpy(dtype=float).T, np.ones(len(wide)), clusters.to_numpy(dtype=str))
    numbers = zip(wide.columns, found.rank.tolist(), found.high.tolist(), strict=True)
    return {str(m): {"rank": low, "rank_lo": low, "rank_hi": high} for m, low, high in numbers}


def _cause(model_id: str, fit: Collection[str], allowed: Collection[str]) -> str:
    """Why a model has no rank, as a key of `UNRANKED`."""
    return "level" if model_id not in fit else "seen" if model_id not in allowed else "share"


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
