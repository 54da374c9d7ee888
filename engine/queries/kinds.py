"""Errors and ranks of models by kind of structures, on one dataset or pooled over several."""

from typing import Any

import numpy as np
import pandas as pd

from engine.numerics.comparison import ENERGY_ERROR, alignment_of
from engine.queries import reference_data
from engine.queries.scope import Scope
from engine.queries.unions import UnionRanking, union_ranking
from engine.registry.kinds import label
from engine.store import connection
from engine.store.connection import cached

_RMSE = {"energy": "energy_rmse_mev_per_atom", "force": "force_rmse_mev_per_ang"}


@cached
def kind_errors(alignment: str, scope: Scope, quantity: str, *, with_seen: bool = False) -> pd.DataFrame:
    """Errors of every model on every kind of structures, pooled over the datasets of a scope.

    A model is ranked on a kind where `unions.union_ranking` ranks it over the datasets that have the kind. Its numbers
    are then those of the configurations that the ranked models share. Any other model keeps its own numbers.

    Args:
        alignment: `raw`, `per_element` or `crystal`; forces know no alignment.
        scope: Which configurations, of at least one dataset.
        quantity: `energy` or `force`.
        with_seen: Whether a model may be ranked on configurations that it was trained on.

    Returns:
        One row per kind and model with a result, kinds in the order of the vocabulary, the best model first: kind,
        kind_label, datasets (ids that have such configurations), model_id, label, origin, is_seen, seen_reason, n_own,
        n_failed, n_outside (of n_failed, those with elements that the model was not made for), n_configs (that the
        numbers rest on), n_expected, n_energy, n_force, n_clusters, is_ranked, cause and reason of not being ranked,
        rmse with 95 % bounds rmse_lo and rmse_hi (meV/atom or meV/Å), rank and rank_hi (95 % interval).
    """
    alignment = alignment_of(quantity, alignment)
    counts = reference_data.counts_by_kind(scope)
    counts = counts[counts["dataset_id"].isin(_with_errors())]
    own = _own_errors(alignment, scope)
    parts = []
    for kind, part in counts.groupby("kind", sort=False):
        ids = tuple(sorted(part["dataset_id"]))
        within = scope.narrowed(kinds=(str(kind),))
        found = union_ranking(alignment, ids, quantity, with_seen=with_seen, within=within)
        about = {"kind": kind, "kind_label": label(str(kind)), "datasets": [ids] * len(found.models)}
        parts.append(_rows(found, own[own["kind"] == kind], quantity).assign(**about))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["kind", "model_id", "rmse"])


def _rows(found: UnionRanking, own: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """One row per model: shared numbers of the ranked ones, own numbers of the others."""
    models = found.models.drop(columns=["n_failed", "n_own"]).merge(own, on="model_id")
    is_ranked = models["cause"].eq("").to_numpy()
    rmse = models[_RMSE[quantity]].where(~is_ranked, models["pooled_rmse"])
    n_own = models["n_own"].to_numpy(dtype=int)
    n_configs = np.where(is_ranked, models["n_configs"].fillna(0).to_numpy(dtype=int), n_own)
    table = models[
        ["model_id", "label", "origin", "is_seen", "seen_reason", "cause", "reason", "n_failed", "n_outside"]
    ].assign(
        n_own=n_own,
        n_configs=n_configs,
        n_expected=int(found.datasets["n_expected"].sum()),
        n_clusters=int(found.datasets["n_clusters"].sum()) if is_ranked.any() else 0,
        n_energy=np.where(is_ranked, n_configs, models["n_energy"]),
        n_force=np.where(is_ranked, n_configs, models["n_force"]),
        is_ranked=is_ranked,
        rmse=rmse,
        rmse_lo=models["pooled_rmse_lo"],
        rmse_hi=models["pooled_rmse_hi"],
        rank=models["pooled_rank"],
        rank_hi=models["pooled_rank_hi"],
    )
    return table.sort_values(["is_ranked", "rmse", "label"], ascending=[False, True, True], ignore_index=True)


def _with_errors() -> list[str]:
    """Datasets that any model has errors on."""
    found = connection.frame("select distinct dataset_id from dataset_metrics where group_name = 'all' order by all")
    return list(found["dataset_id"])


@cached
def _own_errors(alignment: str, scope: Scope) -> pd.DataFrame:
    """Errors of each model over all configurations of each kind that it has a result for.

    Returns:
        kind, model_id, n_own, n_failed, n_outside, n_energy, n_force and the RMSEs of both quantities.
    """
    return connection.frame(
        f"""
        with found as (
            select c.kind, e.model_id, count(*) as n_own, count(e.{ENERGY_ERROR[alignment]}) as n_energy,
                count(e.force_rmse) as n_force,
                1000 * sqrt(avg(e.{ENERGY_ERROR[alignment]} ** 2)) as {_RMSE["energy"]},
                1000 * sqrt(sum(e.n_atoms * e.force_rmse ** 2)
                    / sum(e.n_atoms) filter (e.force_rmse is not null)) as {_RMSE["force"]}
            from errors e join configurations c using (dataset_id, config_id)
            where {scope.predicate("e")} group by c.kind, e.model_id
        ), failed as (
            select c.kind, p.model_id, count(*) as n_failed,
                count(*) filter (len(m.elements) > 0 and not list_has_all(m.elements, c.elements)) as n_outside
            from predictions p join configurations c using (dataset_id, config_id) join models m using (model_id)
            where p.status <> 'ok' and {scope.predicate("c")} group by c.kind, p.model_id
        )
        select kind, model_id, coalesce(n_own, 0) as n_own, coalesce(n_failed, 0) as n_failed,
            coalesce(n_outside, 0) as n_outside,
            coalesce(n_energy, 0) as n_energy, coalesce(n_force, 0) as n_force,
            {", ".join(_RMSE.values())}
        from found full join failed using (kind, model_id) order by kind, model_id
        """,
        scope.bindings(),
    )


def leaders(errors: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The best ranked model of each kind, and the labels of those that cannot be told apart from it.

    Args:
        errors: As `kind_errors` gives them.

    Returns:
        By kind the best model's row, with `tied` (labels, the better ones first) and `n_ranked`; kinds without ranked
        models are left out.
    """
    found = {}
    for kind, part in errors[errors["is_ranked"].eq(True) & errors["rmse"].notna()].groupby("kind", sort=False):
        best = part.iloc[0]
        is_tied = part["rank"].eq(best["rank"]).fillna(False).to_numpy(dtype=bool)
        tied = part.loc[is_tied, "label"].tolist()[1:]
        found[str(kind)] = dict(best) | {"tied": tied, "n_ranked": len(part)}
    return found
