"""The best model of each dataset, or of each kind of structures in it, with those that cannot be told apart from it."""

from typing import Any

import pandas as pd

from engine.numerics.comparison import alignment_of
from engine.queries import error_metrics, reference_data
from engine.queries.ranks import ranks
from engine.queries.scope import ALL, EVERYTHING, Scope
from engine.store.connection import cached

DATASETS, KINDS = "datasets", "kinds"

_COLUMNS = [
    "dataset_id", "group_name", "head", "model_id", "label", "origin", "is_seen", "rmse", "rmse_lo", "rmse_hi",
    "n_configs", "n_expected", "n_models", "tied",
]  # fmt: skip

_RMSE = {"energy": "energy_rmse_mev_per_atom", "force": "force_rmse_mev_per_ang"}


@cached
def best_models(alignment: str, scope: Scope, quantity: str, *, with_seen: bool = False) -> pd.DataFrame:
    """The model with the lowest RMSE on the configurations that the ranked models share, dataset by dataset.

    Args:
        alignment: `raw`, `per_element` or `crystal`.
        scope: Which configurations; of one group, or of no group in particular.
        quantity: `energy` or `force`.
        with_seen: Whether a model may be ranked on configurations that it was trained on.

    Returns:
        One row per dataset with ranked models, the lowest error first: dataset_id, group_name, `head` (label of the
        dataset), model_id, label, origin and is_seen of the best model, rmse with 95 % bounds rmse_lo and rmse_hi
        (meV/atom or meV/Å), n_configs, n_expected, n_models (ranked), and `tied`: labels of the models that cannot be
        told apart from it, the better ones first.
    """
    column = _RMSE[quantity]
    alignment = alignment_of(quantity, alignment)
    found = error_metrics.shared_metrics(alignment, scope, quantity=quantity, with_seen=with_seen)
    found = found[found["is_ranked"]].dropna(subset=[column]).sort_values([column, "model_id"])
    rows = [
        _best(part, column, ranks(alignment, scope.on(str(dataset_id)), quantity, with_seen=with_seen))
        for dataset_id, part in found.groupby("dataset_id", sort=True)
    ]
    return pd.DataFrame(rows, columns=_COLUMNS).sort_values("rmse", ignore_index=True)


def _best(part: pd.DataFrame, column: str, places: pd.DataFrame) -> dict[str, Any]:
    """The first of the ranked models of one dataset, which are in order."""
    best = part.iloc[0]
    first = places.set_index("model_id")["rank"].reindex(part["model_id"])
    is_tied = (first == first.iloc[0]).fillna(False).to_numpy(dtype=bool)
    return {
        "dataset_id": best["dataset_id"], "group_name": best["group_name"], "head": best["dataset_label"],
        "model_id": best["model_id"], "label": best["label"], "origin": best["origin"], "is_seen": best["is_seen"],
        "rmse": best[column], "rmse_lo": best[f"{column}_lo"], "rmse_hi": best[f"{column}_hi"],
        "n_configs": int(best["n_configs"]), "n_expected": int(best["n_expected"]), "n_models": len(part),
        "tied": part.loc[is_tied, "label"].tolist()[1:],
    }  # fmt: skip


@cached
def best_by_kind(
    alignment: str, dataset_id: str, quantity: str, *, with_seen: bool = False, within: Scope = EVERYTHING
) -> pd.DataFrame:
    """As `best_models`, for each group of structures that counts as one dataset; `head` is the group.

    Args:
        alignment: As for `best_models`.
        dataset_id: The dataset.
        quantity: As for `best_models`.
        with_seen: As for `best_models`.
        within: Conditions that configurations must fit.
    """
    groups = reference_data.groups(dataset_id, within.narrowed(group=ALL))
    names = groups.loc[groups["in_dataset"], "group_name"]
    scope = within.on(dataset_id)
    parts = [
        best_models(alignment, scope.narrowed(group=name), quantity, with_seen=with_seen).assign(head=name)
        for name in names
    ]
    parts = [part for part in parts if len(part)]
    found = pd.concat(parts) if parts else pd.DataFrame(columns=_COLUMNS)
    return found.sort_values("rmse", ignore_index=True)
