"""Queries of training: which models were trained on the configurations of a scope."""

import pandas as pd

from engine.queries import catalog
from engine.queries.scope import EVERYTHING, Scope
from engine.registry.leakage import COUNTED
from engine.store.connection import cached

SEEN_MARK = "§"  # of such a model, in every table and chart


@cached
def seen(scope: Scope = EVERYTHING) -> pd.DataFrame:
    """What is known of models having been trained on the configurations of a scope, dataset by dataset.

    Args:
        scope: Which configurations. Conditions beside datasets and group do not matter: which single configurations a
            model was trained on is not known.

    Returns:
        One row per pair of model and dataset that something is known of: model_id, dataset_id, `is_seen` (the model
        counts as trained on them) and `seen_reason`.
    """
    known = catalog.leakage()
    known = known[known["group_name"] == scope.group]
    if scope.dataset_ids:
        known = known[known["dataset_id"].isin(scope.dataset_ids)]
    known = known.assign(is_seen=known["certainty"].isin(COUNTED)).rename(columns={"reason": "seen_reason"})
    return known[["model_id", "dataset_id", "is_seen", "seen_reason"]].reset_index(drop=True)


def with_seen_columns(table: pd.DataFrame, scope: Scope = EVERYTHING) -> pd.DataFrame:
    """Say of each pair of model and dataset whether the model was trained on the configurations of a scope.

    Args:
        table: model_id, dataset_id and more.
        scope: Which configurations.

    Returns:
        The rows in their order with `is_seen` and `seen_reason`; the reason is empty where nothing is known, and is
        there without `is_seen` where it is only a suspicion.
    """
    joined = table.merge(seen(scope), on=["model_id", "dataset_id"], how="left")
    joined.index = table.index
    return joined.assign(is_seen=joined["is_seen"].eq(True), seen_reason=joined["seen_reason"].fillna(""))


@cached
def seen_by(dataset_id: str) -> tuple[str, ...]:
    """Ids of the models that count as trained on configurations of a dataset."""
    known = seen(Scope.of(dataset_id))
    return tuple(known.loc[known["is_seen"], "model_id"])
