"""Reads of the results store: every SQL statement of the app, but for those of dataset_queries.py.

Energies and forces come back in the store's units (eV, Å) unless a column's name says otherwise.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.numerics import comparison
from engine.records import Configuration as Configuration  # pages name these types
from engine.records import Prediction as Prediction
from engine.store import connection
from engine.store.connection import cached

FloatArray = NDArray[np.float64]

METRIC_COLUMNS = (
    "energy_rmse_mev_per_atom",
    "energy_rmse_mev_per_atom_lo",
    "energy_rmse_mev_per_atom_hi",
    "energy_mae_mev_per_atom",
    "force_rmse_mev_per_ang",
    "force_rmse_mev_per_ang_lo",
    "force_rmse_mev_per_ang_hi",
    "force_mae_mev_per_ang",
    "force_slope",
)


@cached
def dataset_metrics(alignment: str, group: str = "all") -> pd.DataFrame:
    """Errors of every model on every dataset, with the origin of the numbers.

    Args:
        alignment: `raw` or `per_element`.
        group: A group of structures, or `all` for the whole dataset.

    Returns:
        One row per (dataset, model): the columns of `dataset_metrics`, the model's and the dataset's label, family,
        training_sets, energy_noise_per_atom and force_noise of the dataset (missing where not measured), `origin`
        (`computed`, `imported` or both), `source` and `note` of imported numbers, `n_own` (the same as n_configs
        here), `n_expected` (configurations of the group) and `is_ranked` (it was run on each of them and failed on
        few).
    """
    return connection.frame(
        """
        select x.*, m.label, m.family, m.training_sets, m.n_parameters, m.paper_row,
            d.label as dataset_label, d.energy_noise_per_atom, d.force_noise, r.origin, r.source, r.note,
            x.n_configs as n_own, c.n_expected,
            x.n_configs + x.n_failed >= c.n_expected
                and x.n_failed <= $max_failed * (x.n_configs + x.n_failed) as is_ranked
        from dataset_metrics x
        join models m using (model_id)
        join datasets d using (dataset_id)
        join (
            select dataset_id, count(*) as n_expected from configurations
            where ($group = 'all' and in_dataset) or group_name = $group group by dataset_id
        ) c using (dataset_id)
        left join (
            select dataset_id, model_id, string_agg(distinct origin, ' + ' order by origin) as origin,
                string_agg(distinct source, '; ' order by source) filter (origin = 'imported') as source,
                string_agg(distinct note, '; ' order by note) filter (origin = 'imported') as note
            from runs group by dataset_id, model_id
        ) r using (dataset_id, model_id)
        where x.alignment = $alignment and x.group_name = $group
        order by x.dataset_id, x.model_id
        """,
        {"alignment": alignment, "group": group, "max_failed": comparison.MAX_FAILED_SHARE},
    )


# Configurations that each of some models has a result for.
_SHARED = """select dataset_id, config_id from errors where list_contains($models, model_id)
    group by dataset_id, config_id having count(*) = len($models)"""


def shared_metrics(
    alignment: str,
    *,
    dataset_id: str | None = None,
    group: str = "all",
    model_ids: tuple[str, ...] | None = None,
) -> pd.DataFrame:
    """Errors of models on the configurations that they share, dataset by dataset, so that they can be ranked.

    Args:
        alignment: `raw` or `per_element`, whose offsets are fitted to the shared configurations.
        dataset_id: One dataset; None for all of them.
        group: A group of structures, or `all` for the whole dataset.
        model_ids: The models to compare; None for all of them.

    Returns:
        As `dataset_metrics`. Where `is_ranked`, `n_configs` and the metrics are those of the shared configurations
        and `n_own` counts all that the model has a result for. A model that shares too few with the others, or
        failed on too many, is not ranked and keeps its own numbers.
    """
    own = dataset_metrics(alignment, group)
    ids = sorted(own["dataset_id"].unique()) if dataset_id is None else [dataset_id]
    parts = [_shared_on(name, alignment, group, model_ids) for name in ids]
    return pd.concat(parts, ignore_index=True) if parts else own


@cached
def _shared_on(dataset_id: str, alignment: str, group: str, model_ids: tuple[str, ...] | None) -> pd.DataFrame:
    """The part of `shared_metrics` that belongs to one dataset."""
    own = dataset_metrics(alignment, group)
    own = own[own["dataset_id"] == dataset_id]
    if model_ids is not None:
        own = own[own["model_id"].isin(model_ids)]
    has_all = own["n_configs"] == own["n_expected"]
    if (has_all | (own["n_configs"] == 0)).all():
        return own.assign(is_ranked=has_all)
    places = connection.frame(
        """
        with places as (
            select config_id, row_number() over (order by config_id) as place
            from configurations where dataset_id = $dataset and (($group = 'all' and in_dataset) or group_name = $group)
        )
        select e.model_id, list(p.place) as places
        from errors e join places p using (config_id)
        where e.dataset_id = $dataset and list_contains($models, e.model_id)
        group by e.model_id order by e.model_id
        """,
        {"dataset": dataset_id, "group": group, "models": own["model_id"].tolist()},
    )
    failed = dict(zip(own["model_id"], own["n_failed"], strict=True))
    known = dict(zip(places["model_id"], places["places"], strict=True))
    chosen, n_configs = comparison.choose_models(known, failed)
    own = own.assign(is_ranked=own["model_id"].isin(chosen))
    if all(len(known[model_id]) == n_configs for model_id in chosen):
        return own
    ranked = own[own["is_ranked"]].drop(columns=["n_configs", *METRIC_COLUMNS])
    metrics = _metrics_where_shared(dataset_id, chosen, alignment, group)
    return pd.concat([ranked.merge(metrics, on="model_id"), own[~own["is_ranked"]]])[own.columns]


def _metrics_where_shared(dataset_id: str, model_ids: list[str], alignment: str, group: str) -> pd.DataFrame:
    """model_id, n_configs and metrics of models on the configurations that they share."""
    named = {"dataset": dataset_id, "group": group, "models": model_ids}
    shared = f"""select c.* from configurations c join ({_SHARED}) using (dataset_id, config_id)
        where c.dataset_id = $dataset and (($group = 'all' and c.in_dataset) or c.group_name = $group)"""
    errors = connection.frame(
        f"""
        select e.model_id, e.config_id, c.cluster_name, e.n_atoms, e.energy_error_per_atom, e.force_rmse, e.force_mae,
            e.reference_dot_predicted, e.reference_dot_reference
        from errors e join ({shared}) c using (dataset_id, config_id)
        where list_contains($models, e.model_id)
        order by e.model_id, e.config_id
        """,
        named,
    )
    elements: list[str] = []
    if alignment == "per_element":
        atoms = connection.frame(
            f"""
            select config_id, number::varchar as element, count(*) / any_value(n_atoms) as share
            from (select config_id, n_atoms, unnest(numbers) as number from ({shared}))
            group by config_id, number order by config_id, number
            """,
            named,
        )
        shares = atoms.pivot(index="config_id", columns="element", values="share").fillna(0.0)
        elements = shares.columns.tolist()
        errors = errors.merge(shares, on="config_id")
    rows = [
        {"model_id": model_id} | comparison.metrics_of(part, alignment, elements)
        for model_id, part in errors.groupby("model_id")
    ]
    return pd.DataFrame(rows, columns=["model_id", "n_configs", *METRIC_COLUMNS])


@cached
def element_metrics(model_id: str, dataset_id: str | None = None, shared_with: tuple[str, ...] = ()) -> pd.DataFrame:
    """Errors of one model by element.

    Args:
        model_id: The model.
        dataset_id: One dataset; None pools the configurations of all of them.
        shared_with: Only configurations for which these models have a result as well.

    Returns:
        element, n_configs, energy_rmse_mev_per_atom, energy_rmse_mev_per_atom_aligned,
        force_rmse_mev_per_ang, n_failed. An element whose configurations all failed has n_configs 0 and no
        errors.
    """
    parameters: dict[str, Any] = {"model": model_id, "dataset": dataset_id}
    is_shared = ""
    if shared_with:
        parameters["models"] = sorted({model_id, *shared_with})
        is_shared = f"and (dataset_id, config_id) in ({_SHARED})"
    return connection.frame(
        f"""
        with failed as (
            select element, count(*) as n_failed
            from (
                select unnest(c.elements) as element
                from predictions p join configurations c using (dataset_id, config_id)
                where p.model_id = $model and p.status <> 'ok' and c.in_dataset
                    and ($dataset is null or p.dataset_id = $dataset)
            )
            group by element
        ), energies as (
            select element, count(*) as n_configs,
                1000 * sqrt(avg(energy_error_per_atom ** 2)) as energy_rmse_mev_per_atom,
                1000 * sqrt(avg(energy_error_per_atom_aligned ** 2)) as energy_rmse_mev_per_atom_aligned
            from (
                select unnest(c.elements) as element, e.energy_error_per_atom, e.energy_error_per_atom_aligned
                from errors e join configurations c using (dataset_id, config_id)
                where e.model_id = $model and e.in_dataset and ($dataset is null or e.dataset_id = $dataset)
                    {is_shared}
            )
            group by element
        ), forces as (
            select element,
                1000 * sqrt(avg(error_x::double * error_x + error_y::double * error_y + error_z::double * error_z) / 3)
                    as force_rmse_mev_per_ang
            from force_errors
            where model_id = $model and in_dataset and ($dataset is null or dataset_id = $dataset)
                {is_shared}
            group by element
        )
        select element, coalesce(n_configs, 0) as n_configs, energy_rmse_mev_per_atom,
            energy_rmse_mev_per_atom_aligned, force_rmse_mev_per_ang, coalesce(n_failed, 0) as n_failed
        from energies full join forces using (element) full join failed using (element)
        order by element
        """,
        parameters,
    )


@cached
def n_shared(model_ids: tuple[str, ...], dataset_id: str | None = None) -> int:
    """Number of configurations that each of some models has a result for, in one dataset or in all of them."""
    row = connection.row(
        f"""
        select count(*) from ({_SHARED}) join configurations c using (dataset_id, config_id)
        where c.in_dataset and ($dataset is null or dataset_id = $dataset)
        """,
        {"models": list(model_ids), "dataset": dataset_id},
    )
    assert row is not None  # an aggregate without grouping always gives one row
    return int(row[0])


@cached
def n_shared_elements(model_ids: tuple[str, ...], dataset_id: str) -> int:
    """Number of elements in the configurations that `n_shared` counts: each has an offset of its own."""
    row = connection.row(
        f"""
        select count(distinct element) from (
            select unnest(c.elements) as element
            from ({_SHARED}) join configurations c using (dataset_id, config_id)
            where c.in_dataset and dataset_id = $dataset
        )
        """,
        {"models": list(model_ids), "dataset": dataset_id},
    )
    assert row is not None  # an aggregate without grouping always gives one row
    return int(row[0])


@cached
def group_metrics(model_id: str) -> pd.DataFrame:
    """Errors of one model by group of structures, the largest force RMSE first; energies are aligned.

    Returns:
        dataset_id, dataset_label, group_name, in_dataset, n_configs, n_failed, n_expected (configurations of the
        group), energy_rmse_mev_per_atom, force_rmse_mev_per_ang, force_slope.
    """
    return connection.frame(
        """
        select x.dataset_id, d.label as dataset_label, x.group_name, c.in_dataset, x.n_configs, x.n_failed,
            c.n_expected, x.energy_rmse_mev_per_atom, x.force_rmse_mev_per_ang, x.force_slope
        from dataset_metrics x
        join datasets d using (dataset_id)
        join (
            select dataset_id, group_name, bool_or(in_dataset) as in_dataset, count(*) as n_expected
            from configurations group by dataset_id, group_name
        ) c using (dataset_id, group_name)
        where x.model_id = $model and x.alignment = 'per_element'
        order by x.force_rmse_mev_per_ang desc nulls last, x.dataset_id, x.group_name
        """,
        {"model": model_id},
    )
