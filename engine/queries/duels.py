"""Duels: two models on the configurations that both predicted, and which of them costs less time."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from engine.numerics.comparison import ENERGY_ERROR
from engine.numerics.duels import Duel, duel
from engine.numerics.metrics import MEV
from engine.queries import catalog, error_metrics
from engine.queries.ranks import aligned_again
from engine.queries.scope import Scope
from engine.registry.kinds import label
from engine.store import connection
from engine.store.connection import cached

LEAST = 0.01
"""Errors that differ by no more than this, in meV/atom or meV/Å, count as equal: forces that symmetry makes zero differ
by rounding alone, and no DFT label is as exact."""

_FIELDS = tuple(field.name for field in dataclasses.fields(Duel))


@cached
def pairs(first: str, second: str, scope: Scope, quantity: str, alignment: str) -> pd.DataFrame:
    """Errors of two models on the configurations of which both have one.

    Args:
        first: The model.
        second: The other model.
        scope: Which configurations.
        quantity: `energy` or `force`.
        alignment: `raw`, `per_element` or `crystal`; forces know no alignment. Offsets per element are those of each
            model on the whole dataset, or, on a dataset where the two have results for different configurations of
            the scope, fitted to those that they share.

    Returns:
        dataset_id, config_id, group_name, kind, formula, n_atoms, cluster_name, and `first` and `second`: of an energy
        the size of the error in meV/atom, of forces its root mean square over components in meV/Å; `margin`, by how
        much the second one is larger.
    """
    shared = scope.shared_by([first, second])
    errors = error_metrics.errors_in(shared)
    errors = errors[errors["model_id"].isin([first, second])]
    if quantity == "energy" and alignment == "per_element":
        errors = _aligned_alike(errors, scope, (first, second))
    sizes = errors["force_rmse"] if quantity == "force" else errors[ENERGY_ERROR[alignment]].abs()
    wide = errors.assign(size=MEV * sizes.astype(float))
    wide = wide.pivot(index=["dataset_id", "config_id"], columns="model_id", values="size")
    wide = wide.reindex(columns=[first, second]).rename(columns={first: "first", second: "second"})
    wide = wide[np.isfinite(wide.to_numpy(dtype=float)).all(axis=1)]
    about = connection.frame(
        f"""
        select c.dataset_id, c.config_id, c.group_name, c.kind, c.formula, c.n_atoms, c.cluster_name
        from configurations c where {shared.predicate("c")} order by c.dataset_id, c.config_id
        """,
        shared.bindings(),
    )
    wide = wide.assign(margin=wide["second"] - wide["first"])
    return about.merge(wide.reset_index(), on=["dataset_id", "config_id"])


def _aligned_alike(errors: pd.DataFrame, scope: Scope, model_ids: tuple[str, str]) -> pd.DataFrame:
    """The errors with offsets that rest on the same configurations for both models."""
    own = connection.frame(
        f"""
        select e.dataset_id, e.model_id, count(*) as n from errors e
        where list_contains($models, e.model_id) and {scope.predicate("e")}
        group by e.dataset_id, e.model_id order by e.dataset_id, e.model_id
        """,
        {"models": list(model_ids)} | scope.bindings(),
    )
    parts = []
    for dataset_id, part in errors.groupby("dataset_id", sort=False):
        n_shared = len(part) // 2
        if (own.loc[own["dataset_id"] == dataset_id, "n"] != n_shared).any():
            shares = error_metrics.element_shares(scope.on(str(dataset_id)).shared_by(model_ids))
            part = aligned_again(part, shares)
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else errors


@cached
def overall(first: str, second: str, scope: Scope, quantity: str, alignment: str) -> Duel | None:
    """The duel over all configurations of a scope; None where the two share none.

    Args:
        first: The model.
        second: The other model.
        scope: Which configurations, of one dataset.
        quantity: `energy` (meV/atom) or `force` (meV/Å).
        alignment: As for `pairs`.
    """
    table = pairs(first, second, scope, quantity, alignment)
    return None if table.empty else _duel(table, quantity)


@cached
def by_kind(first: str, second: str, scope: Scope, quantity: str, alignment: str) -> pd.DataFrame:
    """The duel on each kind of structures of a scope, most configurations first.

    Args:
        first: The model.
        second: The other model.
        scope: Which configurations, of one dataset.
        quantity: `energy` (meV/atom) or `force` (meV/Å).
        alignment: As for `pairs`.

    Returns:
        kind, kind_label and the attributes of `Duel`.
    """
    found = _rows(pairs(first, second, scope, quantity, alignment), "kind", quantity)
    found.insert(1, "kind_label", [label(kind) for kind in found["kind"]])
    return found


@cached
def by_dataset(first: str, second: str, scope: Scope, quantity: str, alignment: str) -> pd.DataFrame:
    """The duel on every dataset of which the two models share configurations, most configurations first.

    Args:
        first: The model.
        second: The other model.
        scope: Conditions that configurations must fit; its datasets do not matter.
        quantity: `energy` (meV/atom) or `force` (meV/Å).
        alignment: As for `pairs`.

    Returns:
        dataset_id, dataset_label and the attributes of `Duel`.
    """
    found = _rows(pairs(first, second, scope.on(), quantity, alignment), "dataset_id", quantity)
    labels = catalog.datasets().set_index("dataset_id")["label"].to_dict()
    found.insert(1, "dataset_label", [labels.get(name) or name for name in found["dataset_id"]])
    return found


def _rows(table: pd.DataFrame, column: str, quantity: str) -> pd.DataFrame:
    rows = [
        {column: name} | dataclasses.asdict(_duel(part, quantity)) for name, part in table.groupby(column, sort=True)
    ]
    found = pd.DataFrame(rows, columns=[column, *_FIELDS])
    return found.sort_values(["n_configs", column], ascending=[False, True], ignore_index=True)


def _duel(table: pd.DataFrame, quantity: str) -> Duel:
    sizes = table[["first", "second"]].to_numpy(dtype=float)
    counts = 3.0 * table["n_atoms"].to_numpy(dtype=float) if quantity == "force" else np.ones(len(table))
    clusters = (table["dataset_id"] + "/" + table["cluster_name"].astype(str)).to_numpy(dtype=str)
    return duel(sizes[:, 0], sizes[:, 1], counts, clusters, least=LEAST)


@cached
def opponents(model_id: str, scope: Scope, quantity: str) -> pd.DataFrame:
    """Models that share configurations with a model, the one with most of them and the smallest error first.

    Args:
        model_id: The model; it is not among them.
        scope: Which configurations, of one dataset.
        quantity: What they are ordered by, `energy` or `force`.

    Returns:
        model_id, n_shared and error (mean over the shared configurations, in eV/atom or eV/Å).
    """
    column = (
        "force_rmse" if quantity == "force" else "coalesce(e.energy_error_per_atom_aligned, e.energy_error_per_atom)"
    )
    return connection.frame(
        f"""
        select e.model_id, count(*) as n_shared, avg(abs({column})) as error
        from errors e semi join (
            select * from errors own where own.model_id = $model and {scope.predicate("own")}
        ) own using (dataset_id, config_id)
        where e.model_id <> $model and isfinite({column})
        group by e.model_id order by n_shared desc, error, e.model_id
        """,
        {"model": model_id} | scope.bindings(),
    )


@cached
def costs_together(first: str, second: str) -> pd.DataFrame:
    """Costs of two models that were measured on one occasion, on one machine, on the same cell.

    Returns:
        device, hardware, n_threads, n_atoms, occasion, us_first and us_second (µs per atom and step), most atoms
        first; empty where the two were never timed together.
    """
    keys = ["device", "hardware", "n_threads", "n_atoms", "is_queue", "occasion"]
    costs = catalog.costs()
    costs = costs[costs["occasion"].fillna("").ne("")]
    both = {name: costs.loc[costs["model_id"] == name, [*keys, "us_per_atom_step"]] for name in (first, second)}
    found = both[first].merge(both[second], on=keys, suffixes=("_first", "_second"))
    renamed = {f"us_per_atom_step_{name}": f"us_{name}" for name in ("first", "second")}
    found = found.rename(columns=renamed).drop_duplicates(keys)
    order = ["n_atoms", "device", "hardware"]
    return found.sort_values(order, ascending=[False, True, True], ignore_index=True).drop(columns="is_queue")


@cached
def default_opponent(model_id: str, scope: Scope, quantity: str) -> str | None:
    """Whom a duel begins with: of the models that cost less than half, the one with the smallest error.

    Where none was timed together with the model and is so cheap, it is the one with the smallest error. Only models
    count that share as many configurations as any does. None where no model shares one.

    Args:
        model_id: The model.
        scope: Which configurations, of one dataset.
        quantity: `energy` or `force`.
    """
    found = opponents(model_id, scope, quantity)
    found = found[found["n_shared"] == found["n_shared"].max()]
    if found.empty:
        return None
    cheap = [name for name in found["model_id"] if 2 * _cost_ratio(name, model_id) < 1]
    return str(cheap[0] if cheap else found["model_id"].iloc[0])


def _cost_ratio(first: str, second: str) -> float:
    """How many times the second model's time the first one takes; infinite where they were not timed together."""
    costs: Mapping[str, pd.Series] = costs_together(first, second)
    return float(costs["us_first"].iloc[0] / costs["us_second"].iloc[0]) if len(costs["us_first"]) else float("inf")
