"""Queries of training: which models were trained on the configurations of a scope."""

import pandas as pd

from engine.queries import catalog
from engine.queries.scope import ALL, EVERYTHING, Scope
from engine.registry.datasets import CERTAINTIES
from engine.registry.leakage import COUNTED
from engine.store import connection
from engine.store.connection import cached

SEEN_MARK = "§"  # of such a model, in every table and chart


@cached
def seen(scope: Scope = EVERYTHING) -> pd.DataFrame:
    """What is known of models having been trained on the configurations of a scope, dataset by dataset.

    Args:
        scope: Which configurations. Under conditions beside datasets and group, those groups count that have any
            configurations left: which single ones a model was trained on is not known.

    Returns:
        One row per pair of model and dataset that something is known of: model_id, dataset_id, `is_seen` (the model
        counts as trained on them) and `seen_reason`.
    """
    known = catalog.leakage()
    if scope.group == ALL and not scope.narrowed(shared_with=()).is_summarised:
        return _seen_of_groups(known, scope)
    known = known[known["group_name"] == scope.group]
    if scope.dataset_ids:
        known = known[known["dataset_id"].isin(scope.dataset_ids)]
    return _marked(known)


def _seen_of_groups(known: pd.DataFrame, scope: Scope) -> pd.DataFrame:
    """What is known of the groups that a narrowed scope has configurations of; the surest of each pair."""
    groups = connection.frame(
        f"select distinct c.dataset_id, c.group_name from configurations c where {scope.predicate('c')}",
        scope.bindings(),
    )
    known = known.merge(groups, on=["dataset_id", "group_name"])
    known = known.sort_values("certainty", key=lambda names: names.map(CERTAINTIES.index), kind="stable")
    return _marked(known.drop_duplicates(["model_id", "dataset_id"]).sort_values(["dataset_id", "model_id"]))


def _marked(known: pd.DataFrame) -> pd.DataFrame:
    """Rows of `catalog.leakage`, one a pair, in the columns of `seen`."""
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


def not_trained_on(rows: str, model: str) -> str:
    """SQL: a model was not trained on a row's configuration; the statement binds `COUNTED` as $counted.

    Args:
        rows: Name of what the rows are of; its configurations are `c`.
        model: The model's id, as SQL.
    """
    return (
        f"not exists (select 1 from leakage l where l.model_id = {model} and l.dataset_id = {rows}.dataset_id "
        "and l.group_name = c.group_name and list_contains($counted, l.certainty))"
    )
