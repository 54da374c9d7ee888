"""Local environments: sampled atoms with their SOAP vectors, maps of them, and force errors by class."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from engine.numerics.environment_map import fit_components, shares_outside
from engine.numerics.local_environments import CLASSES
from engine.queries.scope import ALL, Scope
from engine.queries.training import with_seen_columns
from engine.store import connection
from engine.store.connection import cached


@dataclass(frozen=True)
class EnvironmentMap:
    """Sampled atoms on two principal components.

    Attributes:
        atoms: dataset_id, config_id, atom_index, group_name, element, formula, class_name, `is_fitted` (of the union
            that the components were fitted on), x and y, and by the model and ensemble `force_error` and
            `deviation` (eV/Å), NaN where there is none.
        explained: Shares of the variance of the union along x and y.
    """

    atoms: pd.DataFrame
    explained: tuple[float, float]


@cached
def described_datasets() -> pd.DataFrame:
    """Datasets with sampled environments: dataset_id, n_sampled, setting and atoms_per_group."""
    return connection.frame(
        """
        select s.dataset_id, n_sampled, setting, atoms_per_group
        from environment_settings s
        join (select dataset_id, count(*) as n_sampled from environments where in_dataset group by dataset_id)
            using (dataset_id)
        order by dataset_id
        """
    )


@cached
def sampled(scope: Scope) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Sampled atoms of a scope and their SOAP vectors, shape (n_atoms, n_features)."""
    table = connection.arrow(
        f"""
        select e.dataset_id, e.config_id, e.atom_index, e.group_name, e.element, c.formula, e.class_name, e.soap
        from environments e join configurations c using (dataset_id, config_id)
        where {scope.predicate("e")} order by e.dataset_id, e.config_id, e.atom_index
        """,
        scope.bindings(),
    )
    return table.drop_columns(["soap"]).to_pandas(), _vectors(table["soap"])


def _vectors(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of lists of the same length as one array, without a copy of each list."""
    lists = column.combine_chunks()
    if not len(lists):
        return np.empty((0, 0), dtype=np.float32)
    return np.asarray(lists.flatten(), dtype=np.float32).reshape(len(lists), -1)


@cached
def environment_map(fitted: Scope, projected: Scope | None, model_id: str, ensemble_id: str) -> EnvironmentMap:
    """Sampled environments on the principal components of a union of datasets.

    Args:
        fitted: The union that the components are fitted on.
        projected: Others that are laid on the same components; None for none.
        model_id: Model whose force error an atom is given.
        ensemble_id: Ensemble whose deviation it is given; empty for none.
    """
    parts = [(fitted, True)] if projected is None else [(fitted, True), (projected, False)]
    components = fit_components(sampled(fitted)[1])
    tables = []
    for scope, is_fitted in parts:
        table, vectors = sampled(scope)
        if len(table):
            x, y = components.transform(vectors).T
            tables.append(table.assign(x=x, y=y, is_fitted=is_fitted))
    atoms = pd.concat(tables, ignore_index=True)
    known = Scope.of(*dict.fromkeys(atoms["dataset_id"]))
    keys = ["dataset_id", "config_id", "atom_index"]
    atoms = atoms.merge(_force_errors(known, model_id), on=keys, how="left")
    atoms = atoms.merge(_deviations(known, ensemble_id), on=keys, how="left")
    explained = components.explained_variance_ratio_
    return EnvironmentMap(atoms, (float(explained[0]), float(explained[1])))


@cached
def _force_errors(scope: Scope, model_id: str) -> pd.DataFrame:
    """Length of the force error of each sampled atom, eV/Å."""
    return connection.frame(
        f"""
        select e.dataset_id, e.config_id, e.atom_index,
            sqrt(f.error_x ** 2 + f.error_y ** 2 + f.error_z ** 2)::double as force_error
        from environments e join sampled_errors f using (dataset_id, config_id, atom_index)
        where f.model_id = $model and {scope.predicate("e")} order by all
        """,
        {"model": model_id} | scope.bindings(),
    )


@cached
def _deviations(scope: Scope, ensemble_id: str) -> pd.DataFrame:
    """Deviation of an ensemble's forces on each sampled atom, eV/Å."""
    return connection.frame(
        f"""
        select e.dataset_id, e.config_id, e.atom_index, u.force_deviation[e.atom_index + 1] as deviation
        from environments e join uncertainties u using (dataset_id, config_id)
        where u.ensemble_id = $ensemble and {scope.predicate("e")} order by all
        """,
        {"ensemble": ensemble_id} | scope.bindings(),
    )


@cached
def outside_shares(scopes: tuple[Scope, ...]) -> pd.DataFrame:
    """How much of each set lies outside each other one.

    Args:
        scopes: Datasets or groups.

    Returns:
        One row per pair: `one` and `other` (places in `scopes`), `n_one`, `n_other` and `share`, 0 to 1; a set with
        fewer than two sampled atoms has no row.
    """
    vectors = [sampled(scope)[1] for scope in scopes]
    shares = shares_outside(vectors)
    rows = [
        {"one": i, "other": j, "n_one": len(vectors[i]), "n_other": len(vectors[j]), "share": float(shares[i, j])}
        for i, j in np.argwhere(np.isfinite(shares)).tolist()
    ]
    return pd.DataFrame(rows, columns=["one", "other", "n_one", "n_other", "share"])


@cached
def class_counts(scope: Scope) -> pd.DataFrame:
    """How many atoms of a scope are of each class: class_name and n_atoms, over all atoms and not a sample."""
    return connection.frame(
        f"""
        select list_extract($names, class_id + 1) as class_name, count(*) as n_atoms
        from (
            select unnest(k.classes) as class_id
            from environment_classes k join configurations c using (dataset_id, config_id)
            where {scope.predicate("c")}
        )
        group by class_id order by class_id
        """,
        {"names": list(CLASSES)} | scope.bindings(),
    )


@cached
def class_metrics(dataset_id: str, group: str = ALL) -> pd.DataFrame:
    """Force errors of every model by class of local environment.

    Args:
        dataset_id: The dataset.
        group: One of its groups, or all that count.

    Returns:
        model_id, label, class_name, n_configs, n_clusters, n_atoms, force_rmse_mev_per_ang with its 95 % bounds _lo and
        _hi, force_slope, is_seen, seen_reason. Bounds are missing for few clusters, and in older summaries.
    """
    table = connection.frame(
        """
        select k.model_id, m.label, k.dataset_id, k.class_name, k.n_configs, k.n_clusters, k.n_atoms,
            k.force_rmse_mev_per_ang, k.force_rmse_mev_per_ang_lo, k.force_rmse_mev_per_ang_hi, k.force_slope
        from class_metrics k join models m using (model_id)
        where k.dataset_id = $dataset and k.group_name = $group order by m.label, k.class_name
        """,
        {"dataset": dataset_id, "group": group},
    )
    return with_seen_columns(table, Scope.of(dataset_id, group=group))


@cached
def class_metrics_in(scope: Scope) -> pd.DataFrame:
    """As `class_metrics`, over the configurations of a narrowed scope; empty where the store has no forces on atoms.

    Bounds are missing here.
    """
    table = connection.frame(
        f"""
        with parts as (
            select s.model_id, s.dataset_id, s.config_id, c.cluster_name,
                list_extract($names, unnest(k.classes) + 1) as class_name, unnest(k.n_atoms) as n_atoms,
                unnest(s.squares) as squared_error, unnest(k.reference_squares) as squared_reference,
                unnest(s.products) as mixed
            from class_sums s join class_sizes k using (dataset_id, config_id)
            join configurations c using (dataset_id, config_id)
            where {scope.predicate("c")}
        )
        select a.model_id, any_value(m.label) as label, a.dataset_id, a.class_name,
            count(distinct a.config_id) as n_configs, count(distinct a.cluster_name) as n_clusters,
            sum(n_atoms)::bigint as n_atoms,
            1000 * sqrt(sum(squared_error) / sum(n_atoms) / 3) as force_rmse_mev_per_ang,
            null::double as force_rmse_mev_per_ang_lo, null::double as force_rmse_mev_per_ang_hi,
            1 + sum(mixed) / nullif(sum(squared_reference), 0) as force_slope
        from parts a join models m using (model_id)
        group by a.model_id, a.dataset_id, a.class_name order by label, a.class_name
        """,
        {"names": list(CLASSES)} | scope.bindings(),
    )
    return with_seen_columns(table, scope)


@cached
def softening(dataset_id: str, model_id: str) -> pd.DataFrame:
    """Slope of predicted over reference forces and force RMSE of one model, by group of a dataset and class.

    Returns:
        group_name (`all` for the dataset), class_name, n_configs, n_clusters, n_atoms, force_rmse_mev_per_ang with its
        95 % bounds _lo and _hi, force_slope.
    """
    return connection.frame(
        """
        select group_name, class_name, n_configs, n_clusters, n_atoms, force_rmse_mev_per_ang,
            force_rmse_mev_per_ang_lo, force_rmse_mev_per_ang_hi, force_slope
        from class_metrics where dataset_id = $dataset and model_id = $model
        order by group_name <> 'all', group_name, class_name
        """,
        {"dataset": dataset_id, "model": model_id},
    )
