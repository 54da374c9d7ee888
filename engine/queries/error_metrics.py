"""Errors of models over configurations: by dataset, on what models share, by element and by group.

Energies and forces come back in the store's units (eV, Å) unless a column's name says otherwise.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.numerics import comparison
from engine.numerics.alignment import why_no_alignment
from engine.queries import catalog, training
from engine.queries.scope import ALL, EVERYTHING, Scope
from engine.registry.leakage import COUNTED
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
    "n_energy",
    "n_force",
    "n_clusters",
)

NEVER = ("level", "seen", "numbers")  # causes that no other choice of models or configurations can take away


@cached
def dataset_metrics(
    alignment: str, scope: Scope = EVERYTHING, *, quantity: str = "energy", with_seen: bool = False
) -> pd.DataFrame:
    """Errors of every model on every dataset, with the origin of the numbers.

    Args:
        alignment: `raw`, `per_element`, whose offsets are fitted to the model's results on the whole dataset, or
            `crystal`, which only datasets with perfect crystals have.
        scope: Which configurations. Metrics of whole datasets and of groups are read from the store, others are made
            of the errors of the configurations.
        quantity: What models are ranked by, `energy` or `force`: labels of another zero bar from raw energies only.
        with_seen: Whether a model may be ranked on configurations that it was trained on.

    Returns:
        One row per (dataset, model): the columns of `dataset_metrics`, the model's and the dataset's label, family,
        training_sets, energy_noise_per_atom and force_noise of the dataset (missing where not measured), `origin`
        (`computed`, `imported` or both), `source` and `note` of imported numbers, `n_own` (the same as n_configs
        here), `n_expected` (configurations of the scope), `n_outside` (of n_failed, those with elements that the model
        was not made for), `is_seen` and `seen_reason` as `training.seen` gives them,
        `is_ranked` (it was run on each of them, failed on few, was not trained on them, and its labels mean the same)
        and `cause` of not being ranked, a key of `comparison.UNRANKED`.
    """
    return _judged(_own_metrics(alignment, scope), alignment, quantity, with_seen)


def dataset_counts(
    alignment: str, scope: Scope = EVERYTHING, *, quantity: str = "energy", with_seen: bool = False
) -> pd.DataFrame:
    """As `dataset_metrics`, but where a scope is narrowed without the errors themselves, which take longer by far."""
    if scope.is_summarised or scope.shared_with:
        return dataset_metrics(alignment, scope, quantity=quantity, with_seen=with_seen)
    return _judged(_own_metrics(alignment, scope, counts_alone=True), alignment, quantity, with_seen)


def _judged(table: pd.DataFrame, alignment: str, quantity: str, with_seen: bool) -> pd.DataFrame:
    """The rows of `_own_metrics` with `is_ranked` and `cause`."""
    pairs = pd.MultiIndex.from_frame(table[["model_id", "dataset_id"]])
    is_unfit = pairs.isin(_unfit(alignment, quantity))
    has_none = (table["n_configs"] > 0) & (table[f"n_{quantity}"] == 0)  # of this quantity, such as forces alone
    is_seen = table["is_seen"].to_numpy() & (not with_seen)
    causes = [is_unfit, is_seen, has_none.to_numpy(), ~table["is_ranked"].to_numpy()]
    cause = np.select(causes, [*NEVER, "share"], "")
    return table.assign(is_ranked=cause == "", cause=cause)


@cached
def _unfit(alignment: str, quantity: str) -> list[tuple[str, str]]:
    """Pairs of model and dataset whose labels differ too much for a rank, as the store has them."""
    found = connection.frame(
        """
        select distinct model_id, dataset_id from ranks
        where alignment = $alignment and quantity = $quantity and cause = 'level' order by dataset_id, model_id
        """,
        {"alignment": alignment, "quantity": quantity},
    )
    return list(found.itertuples(index=False, name=None))


@cached
def _own_metrics(alignment: str, scope: Scope, *, counts_alone: bool = False) -> pd.DataFrame:
    """What `dataset_metrics` returns where a model may be ranked on what it was trained on, whatever its labels."""
    if scope.is_summarised and scope.dataset_ids:
        summaries = _own_metrics(alignment, scope.on())
        return summaries[summaries["dataset_id"].isin(scope.dataset_ids)].reset_index(drop=True)
    metrics = _summaries(alignment, scope.group) if scope.is_summarised else _computed(alignment, scope, counts_alone)
    table = metrics.merge(_pairs_described(scope), on=["dataset_id", "model_id"])
    table = table.merge(_outside(scope), on=["dataset_id", "model_id"], how="left")
    table["n_outside"] = table["n_outside"].fillna(0).astype(int)
    n_tried = table["n_configs"] + table["n_failed"]
    is_ranked = (n_tried >= table["n_expected"]) & (table["n_failed"] <= comparison.MAX_FAILED_SHARE * n_tried)
    return training.with_seen_columns(table.assign(n_own=table["n_configs"], is_ranked=is_ranked), scope)


def _summaries(alignment: str, group: str) -> pd.DataFrame:
    """Metrics of all pairs of model and dataset as the store holds them."""
    return connection.frame(
        """
        select * from dataset_metrics where alignment = $alignment and group_name = $group
        order by dataset_id, model_id
        """,
        {"alignment": alignment, "group": group},
    )


def _computed(alignment: str, scope: Scope, counts_alone: bool) -> pd.DataFrame:
    """The same columns, made of single configurations; with counts alone without errors."""
    failed = connection.frame(
        f"""
        select p.dataset_id, p.model_id, count(*) as n_failed
        from predictions p join configurations c using (dataset_id, config_id)
        where p.status <> 'ok' and {scope.predicate("c")}
        group by p.dataset_id, p.model_id order by p.dataset_id, p.model_id
        """,
        scope.bindings(),
    )
    keys = ["dataset_id", "model_id"]
    found = _counted(scope, alignment) if counts_alone else metrics_in(scope, alignment).drop(columns="energy_note")
    found = found[found["n_energy"] > 0] if alignment == "crystal" else found  # as the store has it
    table = found.merge(failed, on=keys, how="left" if alignment == "crystal" else "outer")
    table = table.sort_values(keys, ignore_index=True)
    names = ("n_configs", "n_failed", "n_energy", "n_force", *([] if counts_alone else ["n_clusters"]))
    counts = {name: table[name].fillna(0).astype(int) for name in names}
    table = table.assign(group_name=scope.group, alignment=alignment, **counts)
    if counts_alone:
        return table
    table = table.merge(_summaries(alignment, ALL)[[*keys, "energy_note"]], on=keys, how="left")
    return table[[*keys, "group_name", "alignment", "n_configs", "n_failed", *METRIC_COLUMNS, "energy_note"]]


def _counted(scope: Scope, alignment: str) -> pd.DataFrame:
    """Keys, n_configs, n_energy and n_force of every pair of model and dataset, as `metrics_in` counts them."""
    return connection.frame(
        f"""
        select e.dataset_id, e.model_id, count(*) as n_configs,
            count(*) filter (isfinite(e.{comparison.ENERGY_ERROR[alignment]})) as n_energy,
            count(*) filter (isfinite(e.force_rmse)) as n_force
        from errors e join configurations c using (dataset_id, config_id)
        where {scope.predicate("e")} group by e.dataset_id, e.model_id order by e.dataset_id, e.model_id
        """,
        scope.bindings(),
    )


def _outside(scope: Scope) -> pd.DataFrame:
    """How many configurations of each dataset have elements that a model was not made for, so that it failed."""
    return connection.frame(
        f"""
        select p.dataset_id, p.model_id, count(*) as n_outside
        from predictions p join configurations c using (dataset_id, config_id) join models m using (model_id)
        where {catalog.OUTSIDE} and {scope.predicate("c")}
        group by p.dataset_id, p.model_id order by p.dataset_id, p.model_id
        """,
        scope.bindings(),
    )


def _pairs_described(scope: Scope) -> pd.DataFrame:
    """What is known of each pair of model and dataset beside its errors; only datasets with configurations."""
    return connection.frame(
        f"""
        select m.model_id, d.dataset_id, m.label, m.family, m.training_sets, m.n_parameters, m.paper_row,
            d.label as dataset_label, d.energy_noise_per_atom, d.force_noise, r.origin, r.source, r.note, c.n_expected
        from models m
        cross join datasets d
        join (
            select c.dataset_id, count(*) as n_expected from configurations c
            where {scope.predicate("c")} group by c.dataset_id
        ) c using (dataset_id)
        left join (
            select dataset_id, model_id, string_agg(distinct origin, ' + ' order by origin) as origin,
                string_agg(distinct source, '; ' order by source) filter (origin = 'imported') as source,
                string_agg(distinct note, '; ' order by note) filter (origin = 'imported') as note
            from runs group by dataset_id, model_id
        ) r using (dataset_id, model_id)
        order by d.dataset_id, m.model_id
        """,
        scope.bindings(),
    )


def metrics_in(scope: Scope, alignment: str) -> pd.DataFrame:
    """Metrics of every model over the configurations of a scope, dataset by dataset, made of their errors.

    Args:
        scope: Which configurations. Where it is what some models share, only those models have rows.
        alignment: `raw`, `per_element` or `crystal`. Offsets are fitted to what models share, where the scope says so,
            and otherwise to the model's results on the whole dataset, as those of groups are.

    Returns:
        dataset_id, model_id, n_configs, the metrics with 95 % bounds, and `energy_note`: why aligned errors about
        offsets that were fitted here are missing.
    """
    errors = errors_in(scope)
    elements: list[str] = []
    if alignment == "per_element" and scope.shared_with:
        shares = element_shares(scope)
        elements = shares.columns.tolist()
        errors = errors.merge(shares, on=["dataset_id", "config_id"])
    elif alignment == "per_element":
        errors = errors.assign(energy_error_per_atom=errors["energy_error_per_atom_aligned"])
    how = "per_element" if elements else "crystal" if alignment == "crystal" else "raw"
    columns = {str(name): errors[name].to_numpy() for name in errors.columns.drop(["dataset_id", "model_id"])}
    columns["cluster"] = pd.factorize(errors["cluster_name"], sort=True)[0]  # names are of one dataset, as pairs are
    rows = []
    for (dataset_id, model_id), places in sorted(errors.groupby(["dataset_id", "model_id"]).indices.items()):
        part = {name: values[places] for name, values in columns.items()}
        present = [name for name in elements if part[name].any()]
        found = comparison.metrics_of(part, how, present)
        note = ""
        if present and (has_energy := np.isfinite(part["energy_error_per_atom"])).any():
            note = why_no_alignment(np.stack([part[name][has_energy] for name in present], axis=1))
        keys = {"dataset_id": dataset_id, "model_id": model_id, "energy_note": note}
        rows.append(keys | {"n_energy": 0, "n_force": 0} | found)
    return pd.DataFrame(rows, columns=["dataset_id", "model_id", "n_configs", *METRIC_COLUMNS, "energy_note"])


def errors_in(scope: Scope) -> pd.DataFrame:
    """Errors of single configurations that metrics are made of."""
    models = "and list_contains($scope_models, e.model_id)" if scope.shared_with else ""
    return connection.frame(
        f"""
        select e.dataset_id, e.model_id, e.config_id, c.cluster_name, e.n_atoms, e.energy_error_per_atom,
            e.energy_error_per_atom_aligned, e.energy_error_per_atom_crystal, e.force_rmse, e.force_mae,
            e.reference_dot_predicted, e.reference_dot_reference
        from errors e join configurations c using (dataset_id, config_id)
        where {scope.predicate("e")} {models}
        order by e.dataset_id, e.model_id, e.config_id
        """,
        scope.bindings(),
    )


def element_shares(scope: Scope) -> pd.DataFrame:
    """Share of each element in the atoms of every configuration, one column an element."""
    atoms = connection.frame(
        f"""
        select dataset_id, config_id, number::varchar as element, count(*) / any_value(n_atoms) as share
        from (
            select c.dataset_id, c.config_id, c.n_atoms, unnest(c.numbers) as number
            from configurations c where {scope.predicate("c")}
        )
        group by dataset_id, config_id, number order by dataset_id, config_id, number
        """,
        scope.bindings(),
    )
    return atoms.pivot(index=["dataset_id", "config_id"], columns="element", values="share").fillna(0.0)


@cached
def shared_metrics(
    alignment: str,
    scope: Scope = EVERYTHING,
    model_ids: tuple[str, ...] | None = None,
    *,
    quantity: str = "energy",
    with_seen: bool = False,
) -> pd.DataFrame:
    """Errors of models on the configurations that they share, dataset by dataset, so that they can be ranked.

    Args:
        alignment: `raw`, `per_element`, whose offsets are fitted to the shared configurations, or `crystal`.
        scope: Which configurations.
        model_ids: The models to compare; None for all of them.
        quantity: What models are ranked by, as for `dataset_metrics`.
        with_seen: Whether a model may be ranked on configurations that it was trained on.

    Returns:
        As `dataset_metrics`. Where `is_ranked`, `n_configs` and the metrics are those of the shared configurations
        and `n_own` counts all that the model has a result for. A model that shares too few with the others, failed
        on too many, was trained on them or learnt labels that mean something else is not ranked and keeps its own
        numbers; what is shared does not depend on it.
    """
    ids = scope.dataset_ids or tuple(dataset_metrics(alignment)["dataset_id"].unique())
    parts = [_shared_on(alignment, scope.on(name), model_ids, quantity, with_seen) for name in ids]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else dataset_metrics(alignment, scope).head(0)


@cached
def _shared_on(
    alignment: str, scope: Scope, model_ids: tuple[str, ...] | None, quantity: str, with_seen: bool
) -> pd.DataFrame:
    """The part of `shared_metrics` that belongs to one dataset."""
    own = dataset_metrics(alignment, scope, quantity=quantity, with_seen=with_seen)
    if model_ids is not None:
        own = own[own["model_id"].isin(model_ids)]
    may_rank = ~own["cause"].isin(NEVER)
    has_all = own["n_configs"] == own["n_expected"]
    if (has_all | (own["n_configs"] == 0) | ~may_rank).all():
        return _with_causes(own, has_all & may_rank)
    known = _places(scope, own.loc[may_rank, "model_id"].tolist())
    chosen, n_configs = comparison.choose_models(known, dict(zip(own["model_id"], own["n_failed"], strict=True)))
    own = _with_causes(own, own["model_id"].isin(chosen))
    if all(len(known[model_id]) == n_configs for model_id in chosen):
        return own
    ranked = own[own["is_ranked"]].drop(columns=["n_configs", *METRIC_COLUMNS, "energy_note"])
    metrics = metrics_in(scope.shared_by(chosen), alignment).drop(columns="dataset_id")
    return pd.concat([ranked.merge(metrics, on="model_id"), own[~own["is_ranked"]]])[own.columns]


def _with_causes(own: pd.DataFrame, is_ranked: pd.Series) -> pd.DataFrame:
    """The table with the models that are ranked, and with the cause of the others."""
    cause = own["cause"].where(own["cause"].isin(NEVER), "share").where(~is_ranked, "")
    return own.assign(is_ranked=is_ranked, cause=cause)


def _places(scope: Scope, model_ids: list[str]) -> dict[str, NDArray[np.int64]]:
    """By model, the configurations of a scope that it has a result for, as numbers."""
    places = connection.frame(
        f"""
        with places as (
            select c.dataset_id, c.config_id, row_number() over (order by c.dataset_id, c.config_id) as place
            from configurations c where {scope.predicate("c")}
        )
        select e.model_id, list(p.place) as places
        from errors e join places p using (dataset_id, config_id)
        where {scope.predicate("e")} and list_contains($models, e.model_id)
        group by e.model_id order by e.model_id
        """,
        scope.bindings() | {"models": model_ids},
    )
    return dict(zip(places["model_id"], places["places"], strict=True))


@cached
def element_metrics(model_id: str, scope: Scope = EVERYTHING) -> pd.DataFrame:
    """Errors of one model by element, over the configurations of a scope that contain it.

    Returns:
        element, n_configs, energy_rmse_mev_per_atom, energy_rmse_mev_per_atom_aligned,
        energy_rmse_mev_per_atom_crystal, force_rmse_mev_per_ang, n_failed, n_outside (those of them with elements
        that the model was not made for), n_expected (all of the datasets that it was run on), and the configurations
        that the three energy errors rest on: n_raw, n_aligned and n_crystal. An element whose configurations all failed
        has n_configs 0 and no errors.
    """
    return connection.frame(
        f"""
        with failed as (
            select element, count(*) as n_failed, count(*) filter (is_outside) as n_outside
            from (
                select unnest(c.elements) as element, {catalog.OUTSIDE} as is_outside
                from predictions p join configurations c using (dataset_id, config_id) join models m using (model_id)
                where p.model_id = $model and p.status <> 'ok' and {scope.predicate("c")}
            )
            group by element
        ), wanted as (
            select element, count(*) as n_expected
            from (
                select unnest(c.elements) as element from configurations c
                where {scope.predicate("c")}
                    and c.dataset_id in (select dataset_id from dataset_metrics where model_id = $model)
            )
            group by element
        ), energies as (
            select element, count(*) as n_configs,
                1000 * sqrt(avg(energy_error_per_atom ** 2)) as energy_rmse_mev_per_atom,
                1000 * sqrt(avg(energy_error_per_atom_aligned ** 2)) as energy_rmse_mev_per_atom_aligned,
                1000 * sqrt(avg(energy_error_per_atom_crystal ** 2)) as energy_rmse_mev_per_atom_crystal,
                count(energy_error_per_atom) as n_raw, count(energy_error_per_atom_aligned) as n_aligned,
                count(energy_error_per_atom_crystal) as n_crystal
            from (
                select unnest(c.elements) as element, e.energy_error_per_atom, e.energy_error_per_atom_aligned,
                    e.energy_error_per_atom_crystal
                from errors e join configurations c using (dataset_id, config_id)
                where e.model_id = $model and {scope.predicate("e")}
            )
            group by element
        ), forces as (
            select element, 1000 * sqrt(sum(squares) / sum(n_atoms) / 3) as force_rmse_mev_per_ang
            from (
                select unnest(c.elements) element, unnest(c.element_counts) n_atoms, unnest(e.element_squares) squares
                from errors e join configurations c using (dataset_id, config_id)
                where e.model_id = $model and e.element_squares is not null and {scope.predicate("e")}
            )
            group by element)
        select element, coalesce(n_configs, 0) as n_configs, energy_rmse_mev_per_atom,
            energy_rmse_mev_per_atom_aligned, energy_rmse_mev_per_atom_crystal, force_rmse_mev_per_ang,
            coalesce(n_failed, 0) as n_failed, coalesce(n_outside, 0) as n_outside,
            coalesce(n_expected, 0) as n_expected, coalesce(n_raw, 0) as n_raw, coalesce(n_aligned, 0) as n_aligned,
            coalesce(n_crystal, 0) as n_crystal
        from energies full join forces using (element) full join failed using (element)
        left join wanted using (element)
        order by element
        """,
        {"model": model_id} | scope.bindings(),
    )


@cached
def macro_metrics(alignment: str, dataset_id: str) -> pd.DataFrame:
    """Means over metals and kinds of structures of every model on one dataset, over all that it has a result for.

    Returns:
        model_id, macro_energy_rmse_mev_per_atom and macro_force_rmse_mev_per_ang with 95 % bounds, n_energy_cells and
        n_force_cells.
    """
    return connection.frame(
        """
        select model_id, macro_energy_rmse_mev_per_atom, macro_energy_rmse_mev_per_atom_lo,
            macro_energy_rmse_mev_per_atom_hi, macro_force_rmse_mev_per_ang, macro_force_rmse_mev_per_ang_lo,
            macro_force_rmse_mev_per_ang_hi, n_energy_cells, n_force_cells
        from macro_metrics where alignment = $alignment and dataset_id = $dataset order by model_id
        """,
        {"alignment": alignment, "dataset": dataset_id},
    )


@cached
def group_metrics(model_id: str, scope: Scope = EVERYTHING) -> pd.DataFrame:
    """Errors of one model by group of structures, the largest force RMSE first; energies are aligned.

    Groups outside the datasets are there where nothing narrows the scope.

    Returns:
        dataset_id, dataset_label, group_name, in_dataset, n_configs, n_failed, n_expected (configurations of the
        group), energy_rmse_mev_per_atom, force_rmse_mev_per_ang, force_slope, `is_seen` and `seen_reason` (the model
        was trained on configurations of the group).
    """
    table = _stored_groups(model_id) if scope.is_whole else _groups_in(model_id, scope)
    known = catalog.leakage()
    known = known[known["model_id"] == model_id].drop(columns="model_id").rename(columns={"reason": "seen_reason"})
    table = table.merge(known, on=["dataset_id", "group_name"], how="left")
    is_seen = table.pop("certainty").isin(COUNTED)
    return table.assign(is_seen=is_seen, seen_reason=table["seen_reason"].fillna(""))


def _groups_in(model_id: str, scope: Scope) -> pd.DataFrame:
    """The same as `_stored_groups`, over the configurations of a scope."""
    return connection.frame(
        f"""
        select c.dataset_id, d.label as dataset_label, c.group_name, bool_or(c.in_dataset) as in_dataset,
            count(e.config_id) as n_configs, count(p.config_id) filter (p.status <> 'ok') as n_failed,
            count(*) as n_expected,
            1000 * sqrt(avg(e.energy_error_per_atom_aligned ** 2)) as energy_rmse_mev_per_atom,
            1000 * sqrt(sum(e.n_atoms * e.force_rmse ** 2)
                / sum(e.n_atoms) filter (e.force_rmse is not null)) as force_rmse_mev_per_ang,
            sum(e.reference_dot_predicted) / nullif(sum(e.reference_dot_reference), 0) as force_slope
        from configurations c join datasets d using (dataset_id)
        left join (select * from errors where model_id = $model) e using (dataset_id, config_id)
        left join (select * from predictions where model_id = $model) p using (dataset_id, config_id)
        where {scope.predicate("c")}
        group by c.dataset_id, d.label, c.group_name having count(e.config_id) + count(p.config_id) > 0
        order by force_rmse_mev_per_ang desc nulls last, c.dataset_id, c.group_name
        """,
        {"model": model_id} | scope.bindings(),
    )


def _stored_groups(model_id: str) -> pd.DataFrame:
    """Metrics of groups as the store has them."""
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
