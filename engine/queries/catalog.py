"""Queries of what the store holds: models, datasets, runs, coverage, failures, costs."""

from dataclasses import dataclass

import pandas as pd

from engine.errors import StoreError
from engine.queries.scope import EVERYTHING, Scope
from engine.store import connection
from engine.store.connection import cached, store_path


@dataclass(frozen=True)
class StoreInfo:
    """Which build of the data is shown."""

    data_version: str
    built_at: str
    git_commit: str


OUTSIDE = "p.status <> 'ok' and coalesce(len(m.elements) > 0 and not list_has_all(m.elements, c.elements), false)"
"""SQL: prediction `p` of model `m` for configuration `c` failed since the model was not made for its elements."""


@cached
def store_info() -> StoreInfo:
    """Version, time and commit of the build."""
    row = connection.row("select data_version, strftime(built_at, '%Y-%m-%d %H:%M'), git_commit from store_info")
    if row is None:
        raise StoreError(f"{store_path()} holds no store_info row. Run: make demo")
    return StoreInfo(*(value or "unknown" for value in row))


@cached
def models() -> pd.DataFrame:
    """All registered models with the numbers of datasets: `n_tried` run on, `n_datasets` with a result."""
    return connection.frame(
        """
        select m.*, coalesce(d.n_datasets, 0) as n_datasets, coalesce(d.n_tried, 0) as n_tried
        from models m
        left join (
            select model_id, count(distinct dataset_id) as n_tried,
                count(distinct dataset_id) filter (n_configs > 0) as n_datasets
            from dataset_metrics where group_name = 'all' group by model_id
        ) d using (model_id)
        order by lower(family), lower(label)
        """
    )


@cached
def datasets() -> pd.DataFrame:
    """All registered datasets with `n_models`, the number of models that were run on them."""
    return connection.frame(
        """
        select d.*, coalesce(m.n_models, 0) as n_models
        from datasets d
        left join (
            select dataset_id, count(distinct model_id) as n_models from dataset_metrics
            where group_name = 'all' group by dataset_id
        ) m using (dataset_id)
        order by n_models desc, coalesce(paper_row, 1000), dataset_id
        """
    )


@cached
def summaries() -> dict[str, str]:
    """Datasets that are here without their atoms, each with how these come."""
    found = connection.frame("select dataset_id, reason from datasets where is_summary")
    return dict(zip(found["dataset_id"], found["reason"], strict=True))


@cached
def groups(dataset_id: str) -> pd.DataFrame:
    """Groups of structures of a dataset: group_name, in_dataset, n_configs; the largest first."""
    return connection.frame(
        """
        select group_name, bool_or(in_dataset) as in_dataset, count(*) as n_configs
        from configurations where dataset_id = $dataset group by group_name
        order by in_dataset desc, n_configs desc, group_name
        """,
        {"dataset": dataset_id},
    )


@cached
def totals(scope: Scope = EVERYTHING) -> dict[str, int]:
    """Sizes of what is in a scope.

    Predictions of groups outside the datasets count where nothing narrows the scope.

    Returns:
        n_configs, n_atoms, n_ok (predictions that are there), n_failed, and n_outside: those of n_failed with elements
        that the model was not made for.
    """
    # To join all predictions with what they are of takes seconds at the paper's size; those that failed are few.
    joined, within = "join configurations c using (dataset_id, config_id)", scope.predicate("c")
    of_all = f"{joined} where {within} and" if scope != EVERYTHING else "where"
    of_failed = within if scope != EVERYTHING else "true"
    row = connection.row(
        f"""
        with failed as (select model_id, dataset_id, config_id, status from predictions where status <> 'ok')
        select (select count(*) from configurations c where {within}) as n_configs,
            (select coalesce(sum(c.n_atoms), 0) from configurations c where {within}) as n_atoms,
            (select count(*) from predictions p {of_all} p.status = 'ok') as n_ok,
            (select count(*) from failed p {joined} where {of_failed}) as n_failed,
            (select count(*) from failed p {joined} join models m using (model_id)
             where {of_failed} and {OUTSIDE}) as n_outside
        """,
        scope.bindings(),
    )
    assert row is not None  # an aggregate without grouping always gives one row
    return dict(zip(("n_configs", "n_atoms", "n_ok", "n_failed", "n_outside"), map(int, row), strict=True))


@cached
def runs() -> pd.DataFrame:
    """Where each (model, dataset) pair's predictions came from, one row a run, with its n_configs and n_failed."""
    return connection.frame(
        """
        select r.model_id, r.dataset_id, m.label, d.label as dataset_label, r.origin, r.source, r.note,
            coalesce(p.n_configs, 0) as n_configs, coalesce(p.n_failed, 0) as n_failed, r.device, r.hardware,
            r.n_threads, r.dtype, r.d3, r.options, r.packages, r.started_at, r.wall_seconds, r.checkpoint_sha256,
            r.run_id
        from runs r
        left join models m using (model_id)
        left join datasets d using (dataset_id)
        left join (
            select run_id, count(*) filter (status = 'ok') as n_configs,
                count(*) filter (status <> 'ok') as n_failed
            from predictions group by run_id
        ) p using (run_id)
        order by r.dataset_id, r.model_id, r.started_at, r.run_id
        """
    )


@cached
def coverage() -> pd.DataFrame:
    """How much of every dataset every model was run on, and why it was not.

    Returns:
        One row per pair of model and dataset: model_id, label, family, dataset_id, dataset_label, n_configs (with a
        result), n_failed, n_outside (those of them with elements that the model was not made for), n_expected (of the
        dataset), origin, source, and `why`: empty where the model was run,
        else why it was not, with the next step.
    """
    return connection.frame(
        f"""
        select m.model_id, m.label, m.family, d.dataset_id, d.label as dataset_label,
            coalesce(x.n_configs, 0) as n_configs, coalesce(x.n_failed, 0) as n_failed,
            coalesce(o.n_outside, 0) as n_outside,
            d.n_configs as n_expected, r.origin, r.source,
            case when x.model_id is not null then ''
                when not d.available then d.reason
                when not m.runnable then m.reason
                else 'Not run yet. Run: python -m precompute run --model ' || m.model_id || ' --dataset '
                    || d.dataset_id end as why
        from models m
        cross join datasets d
        left join (
            select model_id, dataset_id, n_configs, n_failed from dataset_metrics
            where group_name = 'all' and alignment = 'raw'
        ) x using (model_id, dataset_id)
        left join (
            select p.model_id, p.dataset_id, count(*) as n_outside
            from predictions p join configurations c using (dataset_id, config_id) join models m using (model_id)
            where {OUTSIDE} and c.in_dataset group by p.model_id, p.dataset_id
        ) o using (model_id, dataset_id)
        left join (
            select model_id, dataset_id, string_agg(distinct origin, ' + ' order by origin) as origin,
                string_agg(distinct source, '; ' order by source) as source
            from runs group by model_id, dataset_id
        ) r using (model_id, dataset_id)
        order by m.model_id, d.dataset_id
        """
    )


@cached
def leakage() -> pd.DataFrame:
    """Pairs where a model was trained on configurations of a dataset, or is suspected to.

    Returns:
        model_id, dataset_id, group_name (`all` for the dataset), certainty (`certain`, `likely` or `not known`) and
        reason.
    """
    return connection.frame(
        """
        select model_id, dataset_id, group_name, certainty, reason from leakage
        order by dataset_id, group_name, model_id
        """
    )


@cached
def levels_of_theory() -> pd.DataFrame:
    """How labels of models, training sets and datasets were computed; the columns of `levels_of_theory`."""
    return connection.frame(
        """
        select level_id, functional, energy_reference, code, potentials, generation, spin, hubbard_u, cutoff_ev,
            k_spacing, k_density, scf_criterion, d3, source, note
        from levels_of_theory order by level_id
        """
    )


@cached
def training_sets() -> pd.DataFrame:
    """Training sets with what they hold; the columns of `training_sets`."""
    return connection.frame(
        """
        select training_set_id, label, elements, contains, level_of_theory, n_structures, source, note
        from training_sets order by lower(label)
        """
    )


@cached
def failures(scope: Scope | None = None, model_id: str | None = None) -> pd.DataFrame:
    """Failed predictions, at most 2,000.

    Args:
        scope: Which configurations; None for all of the store, those outside the datasets among them.
        model_id: The model; None for all of them.

    Returns:
        dataset_id, model_id, config_id, group_name, formula, n_atoms, reason.
    """
    within = "" if scope is None else f"and {scope.predicate('c')}"
    named = {} if scope is None else scope.bindings()
    return connection.frame(
        f"""
        select p.dataset_id, p.model_id, p.config_id, c.group_name, c.formula, c.n_atoms, p.reason
        from predictions p left join configurations c using (dataset_id, config_id)
        where p.status <> 'ok' and ($model is null or p.model_id = $model) {within}
        order by p.dataset_id, p.model_id, p.config_id
        limit 2000
        """,
        {"model": model_id} | named,
    )


@cached
def failure_counts(model_id: str, scope: Scope | None = None) -> pd.DataFrame:
    """Failures of one model by reason.

    Args:
        model_id: The model.
        scope: Which configurations; None for all of the store, those outside the datasets among them.

    Returns:
        dataset_id, dataset_label, reason, is_outside (the model was not made for the elements), n_failed, config_id
        (one of them).
    """
    within = "true" if scope is None else scope.predicate("c")
    return connection.frame(
        f"""
        select p.dataset_id, d.label as dataset_label, p.reason, {OUTSIDE} as is_outside, count(*) as n_failed,
            min(p.config_id) as config_id
        from predictions p join datasets d using (dataset_id) join configurations c using (dataset_id, config_id)
            join models m using (model_id)
        where p.model_id = $model and p.status <> 'ok' and {within}
        group by p.dataset_id, d.label, p.reason, is_outside
        order by n_failed desc, p.dataset_id, p.reason
        """,
        {"model": model_id} | ({} if scope is None else scope.bindings()),
    )


@cached
def costs(*, with_random_weights: bool = False) -> pd.DataFrame:
    """The columns of `costs` with label and family; the newest where settings are equal.

    Args:
        with_random_weights: Also those of networks of the published size with random weights, of models that nobody
            timed with their own on that setting; `has_random_weights` says which they are.
    """
    return connection.frame(
        """
        select k.model_id, m.label, m.family, k.device, k.hardware, k.n_threads, k.n_atoms, k.batch,
            k.is_queue, k.ms_per_step, k.ms_low, k.ms_high, k.us_per_atom_step, k.peak_memory_mb, k.load_seconds,
            k.drift_mev_per_atom_ps, k.origin, k.measured_at, k.occasion, k.yardstick_ms,
            k.origin is not distinct from 'random weights' as has_random_weights
        from costs k join models m using (model_id)
        where k.us_per_atom_step > 0 and ($with_random_weights or k.origin is distinct from 'random weights')
        qualify row_number() over (
            partition by k.model_id, k.device, k.hardware, k.n_threads, k.n_atoms, k.is_queue
            order by k.origin is not distinct from 'random weights', k.measured_at desc
        ) = 1
        order by k.device, k.us_per_atom_step
        """,
        {"with_random_weights": with_random_weights},
    )


@cached
def ensembles() -> pd.DataFrame:
    """Ensembles with numbers: ensemble_id, label, model_ids, source, dataset_ids."""
    return connection.frame(
        """
        select e.ensemble_id, e.label, e.model_ids, e.source, u.dataset_ids
        from ensembles e
        join (
            select ensemble_id, list(distinct dataset_id order by dataset_id) as dataset_ids
            from uncertainties group by ensemble_id
        ) u using (ensemble_id)
        order by e.ensemble_id
        """
    )
