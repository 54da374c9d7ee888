"""Errors of potentials that were fitted to few elements beside those of universal ones, group by group."""

import pandas as pd

from engine.queries.scope import Scope
from engine.queries.training import with_seen_columns
from engine.store import connection
from engine.store.connection import cached

FEW = 20  # elements that a model was trained on; the widest alloy potentials here have 16, universal ones 88 or more


@cached
def models_with_forces(scope: Scope) -> pd.DataFrame:
    """Models with forces on a scope of one dataset, by kind and by the number of their configurations.

    Returns:
        model_id, dataset_id, label, n_elements, training_sets, `is_specialised` (at most `FEW` elements), n_configs,
        is_seen and seen_reason.
    """
    table = connection.frame(
        f"""
        select e.model_id, e.dataset_id, any_value(m.label) as label, any_value(len(m.elements)) as n_elements,
            any_value(array_to_string(m.training_sets, ', ')) as training_sets,
            any_value(len(m.elements)) between 1 and $few as is_specialised, count(*) as n_configs
        from errors e join models m using (model_id)
        where e.force_rmse is not null and {scope.predicate("e")}
        group by e.model_id, e.dataset_id order by n_configs desc, e.model_id
        """,
        {"few": FEW} | scope.bindings(),
    )
    return with_seen_columns(table, scope)


@cached
def group_errors(scope: Scope, model_ids: tuple[str, ...]) -> pd.DataFrame:
    """Errors of some models by group, over the configurations for which all of them have forces.

    Args:
        scope: Of one dataset.
        model_ids: The models.

    Returns:
        model_id, group_name, n_configs, n_energy, energy_rmse_mev_per_atom (aligned per element on all configurations
        of the model) and force_rmse_mev_per_ang.
    """
    return connection.frame(
        f"""
        with chosen as (
            select * from errors e
            where list_contains($models, e.model_id) and e.force_rmse is not null and {scope.predicate("e")}
        ), shared as (
            select config_id from chosen group by config_id having count(*) = len($models)
        )
        select model_id, group_name, count(*) as n_configs, count(energy_error_per_atom_aligned) as n_energy,
            1000 * sqrt(avg(energy_error_per_atom_aligned ** 2)) as energy_rmse_mev_per_atom,
            1000 * sqrt(sum(n_atoms * force_rmse ** 2) / sum(n_atoms)) as force_rmse_mev_per_ang
        from chosen where config_id in (select config_id from shared)
        group by model_id, group_name order by group_name, model_id
        """,
        {"models": list(model_ids)} | scope.bindings(),
    )


@cached
def best_universal(scope: Scope, model_id: str, n: int) -> list[str]:
    """Universal models with the smallest force RMSE over the configurations of a specialised one.

    Args:
        scope: Of one dataset.
        model_id: The specialised model.
        n: How many.
    """
    known = models_with_forces(scope)
    known = known[~known["is_specialised"] & ~known["is_seen"]]
    table = connection.frame(
        f"""
        select e.model_id, count(*) as n_shared, sqrt(sum(e.n_atoms * e.force_rmse ** 2) / sum(e.n_atoms)) as force_rmse
        from errors e join errors own on own.dataset_id = e.dataset_id and own.config_id = e.config_id
        where own.model_id = $model and own.force_rmse is not null and e.force_rmse is not null
            and {scope.predicate("e")}
        group by e.model_id order by n_shared desc, force_rmse, e.model_id
        """,
        {"model": model_id} | scope.bindings(),
    )
    table = table[table["model_id"].isin(known["model_id"])]
    best: list[str] = table.loc[table["n_shared"].eq(table["n_shared"].max()), "model_id"].head(n).tolist()
    return best
