"""Ranks of models on one dataset as intervals: from the store, or made of single errors for a choice of models."""

from typing import Any

import numpy as np
import pandas as pd

from engine.numerics.alignment import leave_one_out_errors
from engine.numerics.comparison import ENERGY_ERROR, UNRANKED
from engine.numerics.ranks import rank_intervals
from engine.queries import error_metrics
from engine.queries.scope import Scope
from engine.store import connection
from engine.store.connection import cached

COLUMNS = ["model_id", "rank", "rank_lo", "rank_hi", "n_configs", "n_clusters", "cause", "reason"]


@cached
def ranks(
    alignment: str,
    scope: Scope,
    quantity: str,
    model_ids: tuple[str, ...] | None = None,
    *,
    with_seen: bool = False,
) -> pd.DataFrame:
    """Rank of every model with its 95 % interval, over the configurations that the ranked ones share.

    Args:
        alignment: `raw`, `per_element` or `crystal`.
        scope: Which configurations of one dataset. Ranks of the dataset or of a group among all models are read from
            the store, others are made of the errors of the configurations in the same way.
        quantity: `energy` or `force`.
        model_ids: The models to compare; None for all of them.
        with_seen: Whether a model may be ranked on configurations that it was trained on.

    Returns:
        One row per model: model_id, rank and its bounds rank_lo and rank_hi, n_configs and n_clusters that it rests
        on, and for a model without a rank `cause` (a key of `comparison.UNRANKED`, else empty) and `reason`.

    Raises:
        ScopeError: The scope has not exactly one dataset.
    """
    if scope.is_summarised and model_ids is None and not with_seen:
        return _stored(alignment, scope, quantity)
    table = error_metrics.shared_metrics(alignment, scope, model_ids, quantity=quantity, with_seen=with_seen)
    table = table[table["n_configs"] > 0]
    found = _ranked(alignment, scope, quantity, table[table["is_ranked"]])
    rows = []
    for row in table.sort_values("model_id").itertuples():
        cause = row.cause or ("" if row.model_id in found else "numbers")
        unranked = {"cause": cause, "reason": UNRANKED.get(cause, "")}
        rows.append({"model_id": row.model_id} | unranked | found.get(row.model_id, {}))
    return _typed(pd.DataFrame(rows, columns=COLUMNS))


def _stored(alignment: str, scope: Scope, quantity: str) -> pd.DataFrame:
    found = connection.frame(
        """
        select model_id, rank, rank_lo, rank_hi, n_configs, n_clusters, coalesce(cause, '') as cause,
            coalesce(reason, '') as reason
        from ranks
        where dataset_id = $dataset and group_name = $group and alignment = $alignment and quantity = $quantity
        order by model_id
        """,
        {"dataset": scope.dataset_id, "group": scope.group, "alignment": alignment, "quantity": quantity},
    )
    return _typed(found)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers that may be missing as integers."""
    return table.astype(dict.fromkeys(COLUMNS[1:6], "Int64"))


def _ranked(alignment: str, scope: Scope, quantity: str, ranked: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Ranks of models that may be compared, by model; those without such errors are left out.

    Args:
        alignment: As for `ranks`.
        scope: As for `ranks`.
        quantity: As for `ranks`.
        ranked: Their rows of `error_metrics.shared_metrics`.
    """
    if ranked.empty:
        return {}
    shared = scope.shared_by(ranked["model_id"])
    errors = error_metrics.errors_in(shared)
    if quantity == "energy" and alignment == "per_element" and (ranked["n_own"] != ranked["n_configs"]).any():
        errors = aligned_again(errors, error_metrics.element_shares(shared))
    wide = errors.assign(square=_squares(errors, alignment, quantity))
    wide = wide.pivot(index="config_id", columns="model_id", values="square")
    wide = wide.dropna(axis="columns", how="all").dropna(axis="index")
    if wide.empty:
        return {}
    about = errors.drop_duplicates("config_id").set_index("config_id").loc[wide.index]
    counts = 3.0 * about["n_atoms"].to_numpy(dtype=float) if quantity == "force" else np.ones(len(about))
    found = rank_intervals(wide.to_numpy(dtype=float).T, counts, about["cluster_name"].to_numpy(dtype=str))
    rest = {"n_configs": len(wide), "n_clusters": found.n_clusters}
    numbers = zip(wide.columns, found.rank.tolist(), found.high.tolist(), strict=True)
    return {m: {"rank": low, "rank_lo": low, "rank_hi": high} | rest for m, low, high in numbers}


def _squares(errors: pd.DataFrame, alignment: str, quantity: str) -> pd.Series:
    """Sum of squared errors of each row of `error_metrics.errors_in`."""
    if quantity == "force":
        return 3.0 * errors["n_atoms"] * errors["force_rmse"].astype(float) ** 2
    return errors[ENERGY_ERROR[alignment]].astype(float) ** 2


def aligned_again(errors: pd.DataFrame, shares: pd.DataFrame) -> pd.DataFrame:
    """The errors about offsets that are fitted to them, where models have others on their own configurations.

    Args:
        errors: Rows of `error_metrics.errors_in`, of one dataset.
        shares: Of the same configurations, as `error_metrics.element_shares` gives them.
    """
    elements = shares.columns.tolist()
    joined = errors.merge(shares, on=["dataset_id", "config_id"])
    aligned = pd.Series(np.nan, index=joined.index)
    with_energy = joined[np.isfinite(joined["energy_error_per_atom"])]
    for _, part in with_energy.groupby("model_id"):
        found = leave_one_out_errors(part["energy_error_per_atom"].to_numpy(dtype=float), part[elements].to_numpy())
        aligned[part.index] = found
    return joined.drop(columns=elements).assign(energy_error_per_atom_aligned=aligned)
