"""Queries of what can be compared: energy references of models and datasets, and what alignment changes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from engine.queries import catalog, error_metrics
from engine.queries.ranks import ranks
from engine.queries.scope import Scope
from engine.registry import compatibility as rules
from engine.registry.levels_of_theory import LevelOfTheory
from engine.store import connection
from engine.store.connection import cached


@cached
def compatibility() -> pd.DataFrame:
    """Whether raw energies of every model may be compared with those of every dataset.

    Returns:
        model_id, dataset_id, `state` (`yes`, `care` or `no`) and `state_reason`; see `engine.registry.compatibility`.
    """
    levels = {row["level_id"]: _level(row) for row in catalog.levels_of_theory().to_dict("records")}
    models = {row.model_id: row.level_of_theory for row in catalog.models().itertuples()}
    datasets = {
        row.dataset_id: rules.Labels(
            levels[row.level_of_theory],
            frozenset(row.elements),
            bool(row.comparable),
            row.comparable_note or "",
            bool(row.reference_checked),
        )
        for row in catalog.datasets().itertuples()
    }
    rows = []
    for dataset_id, dataset in datasets.items():
        judged = {level: rules.judge(levels[level], dataset) for level in set(models.values())}
        rows += [(name, dataset_id, judged[level].state, judged[level].reason) for name, level in models.items()]
    return pd.DataFrame(rows, columns=["model_id", "dataset_id", "state", "state_reason"])


def _level(row: Mapping[str, Any]) -> LevelOfTheory:
    """A level of theory from its row in the store."""
    values: dict[str, Any] = {key: None if pd.isna(value) else value for key, value in row.items()}
    return LevelOfTheory(**values)


@cached
def alignment_change(scope: Scope, *, with_seen: bool = False) -> pd.DataFrame:
    """Energy RMSE of models and their ranks by raw and by aligned energies, on the configurations that they share.

    Args:
        scope: Which configurations of one dataset.
        with_seen: Whether a model may be ranked on configurations that it was trained on.

    Returns:
        model_id, label, origin, is_seen, n_configs, energy_rmse_mev_per_atom, energy_rmse_mev_per_atom_aligned,
        rank_raw, rank_raw_hi, rank_aligned, rank_aligned_hi (95 % intervals; missing where labels of another zero bar
        a rank by raw energies), rank_change (1: the model gains places beyond doubt, -1: it loses some, 0), state and
        state_reason of `compatibility`; the best aligned first. Models without a rank by aligned energies are left out.

    Raises:
        ScopeError: The scope has not exactly one dataset.
    """
    name = "energy_rmse_mev_per_atom"
    table = error_metrics.shared_metrics("per_element", scope, with_seen=with_seen)
    table = table.loc[table["is_ranked"] & table[name].notna()].rename(columns={name: f"{name}_aligned"})
    table = table[["model_id", "label", "origin", "is_seen", "n_configs", f"{name}_aligned"]]
    ids = table["model_id"].tolist()
    raw = error_metrics.metrics_in(scope.shared_by(ids), "raw") if ids else table.assign(**{name: np.nan})
    table = table.merge(raw[["model_id", name]].dropna(), on="model_id")
    for suffix, alignment in (("raw", "raw"), ("aligned", "per_element")):
        found = ranks(alignment, scope, "energy", with_seen=with_seen)[["model_id", "rank", "rank_hi"]]
        found = found.rename(columns={"rank": f"rank_{suffix}", "rank_hi": f"rank_{suffix}_hi"})
        table = table.merge(found, on="model_id", how="left")
    gains = (table["rank_raw"] > table["rank_aligned_hi"]).fillna(False).astype(int)
    loses = (table["rank_raw_hi"] < table["rank_aligned"]).fillna(False).astype(int)
    judged = compatibility()
    judged = judged.loc[judged["dataset_id"] == scope.dataset_id, ["model_id", "state", "state_reason"]]
    table = table.assign(rank_change=gains - loses).merge(judged, on="model_id", how="left")
    return table.sort_values(["rank_aligned", f"{name}_aligned", "model_id"], ignore_index=True)


@cached
def element_offsets(dataset_id: str) -> pd.DataFrame:
    """Offset of each element (eV/atom) by model, fitted to all configurations that the model has a result for.

    Returns:
        One row per model: model_id, label, n_configs, and a column for each element; missing where the model has no
        result for a configuration with it.
    """
    table = connection.frame(
        """
        select o.model_id, m.label, x.n_configs, o.element, o.offset_energy
        from element_offsets o
        join models m using (model_id)
        join dataset_metrics x on x.model_id = o.model_id and x.dataset_id = o.dataset_id
            and x.group_name = 'all' and x.alignment = 'per_element'
        join element_metrics e on e.model_id = o.model_id and e.dataset_id = o.dataset_id and e.element = o.element
        where e.n_configs > 0 and o.dataset_id = $dataset
        order by o.model_id, o.element
        """,
        {"dataset": dataset_id},
    )
    wide = table.pivot(index=["model_id", "label", "n_configs"], columns="element", values="offset_energy")
    return wide.rename_axis(columns=None).reset_index()
