"""Defect energies: kinds, reference values, predictions of models, errors and ranks by kind, means by metal."""

import pandas as pd

from engine.numerics.reaction_ranks import ranked
from engine.queries import training
from engine.queries.scope import EVERYTHING, Scope
from engine.registry.published_vacancies import load_published_vacancies
from engine.registry.reaction_rules import OWN_DATASET
from engine.registry.reactions import KINDS
from engine.store import connection
from engine.store.connection import cached

SHOWN, ALL_LABELS = "shown", "all"  # which labels count in rankings

_METRICS = [
    "n_reactions",
    "n_own",
    "n_failed",
    "n_expected",
    "n_clusters",
    "rmse",
    "rmse_lo",
    "rmse_hi",
    "mae",
    "mean_error",
    "sign_agreement",
    "sign_baseline",
    "spearman",
    "cancellation",
    "rank",
    "rank_lo",
    "rank_hi",
]


@cached
def reaction_kinds(scope: Scope = EVERYTHING) -> pd.DataFrame:
    """Kinds of defect energies by dataset, in the order of the registry.

    Args:
        scope: Which cells with a defect.

    Returns:
        kind, dataset_id, unit, n_reactions, n_reference (that have a reference value), n_shown (of them, labels that
        are not known to be unconverged), n_metals and n_models (with any error).
    """
    table = connection.frame(
        f"""
        select kind, dataset_id, any_value(unit) as unit, count(*) as n_reactions, count(reference) as n_reference,
            count_if(reference is not null and is_converged is distinct from false)::bigint as n_shown,
            len(list_distinct(flatten(list(metals)))) as n_metals,
            (select count(distinct e.model_id) from reaction_errors e
                where e.kind = r.kind and e.dataset_id = r.dataset_id) as n_models
        from reactions r where {scope.predicate("r")}
        group by kind, dataset_id order by dataset_id
        """,
        scope.bindings(),
    )
    order = {kind: place for place, kind in enumerate(KINDS)}
    return table.sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable", ignore_index=True)


@cached
def reactions(scope: Scope, kind: str) -> pd.DataFrame:
    """Defect energies of one kind with their reference values.

    Args:
        scope: Which cells with a defect.
        kind: Key of `engine.registry.reactions.KINDS`.

    Returns:
        The columns of the table `reactions` but in_dataset, by dataset and configuration.
    """
    return connection.frame(
        f"""
        select r.* exclude (in_dataset) from reactions r
        where {scope.predicate("r")} and r.kind = $kind order by r.dataset_id, r.reaction_id
        """,
        scope.bindings() | {"kind": kind},
    )


def reaction_errors(scope: Scope, model_ids: tuple[str, ...], kind: str | None = None) -> pd.DataFrame:
    """Predictions and errors of models for defect energies.

    Args:
        scope: Which cells with a defect.
        model_ids: Models.
        kind: One kind; None for all of them.

    Returns:
        One row per model and reaction of which the model has all parts: model_id, label, reaction_id, kind, system,
        environment, place, added, dataset_id, config_id, unit, reference, prediction, error (in the unit),
        is_converged, convergence_note, error_mev, error_rss_mev, error_sum_mev, cancellation, and part_errors, meV.
    """
    return _errors(scope, model_ids, kind)


@cached
def _errors(scope: Scope, model_ids: tuple[str, ...], kind: str | None) -> pd.DataFrame:
    is_kind = "true" if kind is None else "e.kind = $kind"
    return connection.frame(
        f"""
        select e.model_id, m.label, e.reaction_id, e.kind, r.system, r.environment, r.place, r.added, e.dataset_id,
            e.config_id, e.unit, e.reference, e.prediction, e.error, e.is_converged, r.convergence_note, e.error_mev,
            e.error_rss_mev, e.error_sum_mev, abs(e.error_mev) / nullif(e.error_rss_mev, 0) as cancellation,
            e.part_errors
        from reaction_errors e join reactions r using (reaction_id) join models m on m.model_id = e.model_id
        where {scope.predicate("e")} and list_contains($models, e.model_id) and {is_kind}
        order by list_position($models, e.model_id), e.kind, e.dataset_id, e.reaction_id
        """,
        scope.bindings() | {"models": list(model_ids)} | ({} if kind is None else {"kind": kind}),
    )


@cached
def reaction_metrics(scope: Scope, kind: str, labels: str = SHOWN, *, with_seen: bool = False) -> pd.DataFrame:
    """Errors and ranks of all models over the defect energies of one kind of one dataset.

    Args:
        scope: Which cells with a defect, of one dataset. Those of the whole dataset are read from the store, others are
            made of the errors of single defect energies in the same way.
        kind: Key of `engine.registry.reactions.KINDS`.
        labels: `shown` without labels that are not shown to be converged, or `all`.
        with_seen: Whether a model may be ranked that was trained on the dataset.

    Returns:
        One row per model that has such energies, ranked ones first and then by error: model_id, label, origin, is_seen,
        seen_reason, unit, the columns of the table `reaction_metrics`, cause and reason.

    Raises:
        ScopeError: The scope has not exactly one dataset.
    """
    table = _stored_metrics(scope, kind, labels, with_seen)
    if not scope.is_whole:
        table = _metrics_in(scope, kind, labels, table)
    return training.with_seen_columns(
        table.astype(dict.fromkeys(("rank", "rank_lo", "rank_hi"), float)), Scope.of(scope.dataset_id)
    )


def _metrics_in(scope: Scope, kind: str, labels: str, stored: pd.DataFrame) -> pd.DataFrame:
    """Metrics over the cells of a narrowed scope; which models may be ranked is the same as on the whole dataset."""
    keys = scope.bindings() | {"kind": kind}
    counted = "" if labels == ALL_LABELS else "and r.is_converged is distinct from false"
    within = f"r.kind = $kind and {scope.predicate('r')} {counted}"
    errors = connection.frame(
        f"""
        select e.model_id, e.reaction_id, r.cluster_name, e.reference, e.prediction, e.error, e.error_mev,
            e.error_rss_mev
        from reaction_errors e join reactions r using (reaction_id)
        where {within} order by e.model_id, e.reaction_id
        """,
        keys,
    )
    failed = connection.frame(
        f"""
        select p.model_id, count(distinct parts.reaction_id) as n
        from (
            select r.reaction_id, unnest(r.part_datasets) as dataset_id, unnest(r.part_configs) as config_id
            from reactions r where {within}
        ) parts join predictions p using (dataset_id, config_id)
        where p.status <> 'ok' group by p.model_id order by p.model_id
        """,
        keys,
    )
    expected = connection.row(f"select count(*) from reactions r where {within}", keys)
    fit = stored.loc[stored["cause"] != "level", "model_id"].tolist()
    allowed = stored.loc[~stored["cause"].isin(("level", "seen")), "model_id"].tolist()
    rows = ranked(errors, dict(zip(failed["model_id"], failed["n"], strict=True)), fit, allowed) if len(errors) else ()
    made = pd.DataFrame(rows, columns=["model_id", *_METRICS, "cause", "reason"])
    made = made.assign(n_expected=int(expected[0]) if expected else 0)
    about = stored[["model_id", "label", "dataset_id", "unit", "origin"]]
    return about.merge(made, on="model_id").sort_values(["rank", "rmse", "model_id"], ignore_index=True)


def _stored_metrics(scope: Scope, kind: str, labels: str, with_seen: bool) -> pd.DataFrame:
    """Metrics over the whole dataset as the store has them."""
    return connection.frame(
        f"""
        select x.model_id, m.label, x.dataset_id, x.unit, {", ".join(f"x.{name}" for name in _METRICS)},
            coalesce(x.cause, '') as cause, coalesce(x.reason, '') as reason,
            (select string_agg(distinct r.origin, ' + ') from runs r
                where r.model_id = x.model_id and r.dataset_id = x.dataset_id) as origin
        from reaction_metrics x join models m using (model_id)
        where x.dataset_id = $dataset and x.kind = $kind and x.labels = $labels and x.with_seen = $with_seen
        order by x.rank nulls last, x.rmse, x.model_id
        """,
        {"dataset": scope.dataset_id, "kind": kind, "labels": labels, "with_seen": with_seen},
    )


@cached
def metal_errors(scope: Scope, kind: str, model_id: str) -> pd.DataFrame:
    """Mean error of a model by metal, over the defect energies of one kind; an alloy counts for each of its metals.

    Args:
        scope: Which cells with a defect.
        kind: Key of `engine.registry.reactions.KINDS`.
        model_id: The model.

    Returns:
        element, unit, n_reactions (with a reference value), n_own (of the model), n_shown (of these, labels that are
        not known to be unconverged), reference and error (means over the model's own, in the unit; error is signed).
    """
    return connection.frame(
        f"""
        select element, any_value(unit) as unit, count(*) as n_reactions, count(error) as n_own,
            count_if(error is not null and is_converged is distinct from false)::bigint as n_shown,
            avg(reference) filter (where error is not null) as reference, avg(error) as error
        from (
            select unnest(r.metals) as element, r.unit, r.reference, r.is_converged, e.error
            from reactions r
            left join reaction_errors e on e.reaction_id = r.reaction_id and e.model_id = $model
            where {scope.predicate("r")} and r.kind = $kind and r.reference is not null
        )
        group by element order by element
        """,
        scope.bindings() | {"kind": kind, "model": model_id},
    )


@cached
def breakdown(scope: Scope, kind: str, model_ids: tuple[str, ...]) -> pd.DataFrame:
    """Errors of some models by system and kind of defect, on all that each has.

    Args:
        scope: Which cells with a defect.
        kind: Key of `engine.registry.reactions.KINDS`.
        model_ids: Models.

    Returns:
        label, system, environment, unit, n_reactions, rmse, mean_error, cancellation (median) and sign_agreement.
    """
    return connection.frame(
        f"""
        select m.label, r.system, r.environment, any_value(e.unit) as unit, count(*) as n_reactions,
            sqrt(avg(e.error ** 2)) as rmse, avg(e.error) as mean_error,
            avg((sign(e.reference) = sign(e.prediction))::integer) as sign_agreement,
            median(abs(e.error_mev) / nullif(e.error_rss_mev, 0)) as cancellation
        from reaction_errors e join reactions r using (reaction_id) join models m on m.model_id = e.model_id
        where {scope.predicate("e")} and e.kind = $kind and list_contains($models, e.model_id)
        group by m.label, r.system, r.environment order by r.system, r.environment, m.label
        """,
        scope.bindings() | {"kind": kind, "models": list(model_ids)},
    )


@cached
def vacancies(model_ids: tuple[str, ...]) -> pd.DataFrame:
    """Published vacancy energies beside those of Open Defects in the same structure, and of models on the same cells.

    Args:
        model_ids: Models.

    Returns:
        element, structure, published (formation, relaxed), migration, place, reference and one column a model, eV; one
        row per published vacancy and cell of ours; reference is missing where Open Defects has no such cell.
    """
    published = pd.DataFrame(
        [
            {"element": one.element, "structure": one.structure, "is_magnetic": one.is_magnetic,
             "published": one.formation, "migration": one.migration}
            for one in load_published_vacancies()
        ]
    )  # fmt: skip
    own = connection.frame(
        """
        select r.system as element, split_part(r.config_id, '-', 2) as structure, r.place, r.reference, r.is_converged,
            r.reaction_id
        from reactions r where r.dataset_id = $dataset and r.kind = 'vacancy' and r.reference is not null
        order by r.reaction_id
        """,
        {"dataset": OWN_DATASET},
    )
    errors = reaction_errors(Scope.of(OWN_DATASET), model_ids, "vacancy")
    wide = errors.pivot(index="reaction_id", columns="model_id", values="prediction").reindex(columns=list(model_ids))
    own = own.merge(wide, left_on="reaction_id", right_index=True, how="left")
    # Of a metal with two rows, the spin-polarised one is that of the magnetic metal.
    kept = published.sort_values("is_magnetic").drop_duplicates(["element", "structure"], keep="last")
    return kept.merge(own, on=["element", "structure"], how="left").sort_values(
        ["element", "structure", "place"], ignore_index=True
    )
