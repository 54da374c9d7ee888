"""Spread of ensembles beside their error."""

import numpy as np
import pandas as pd

from engine.queries.configurations import BOX_LIMIT
from engine.queries.error_metrics import FloatArray
from engine.queries.error_pairs import Density, axis_edges, binned
from engine.queries.scope import Scope
from engine.store import connection
from engine.store.connection import cached

_VALUES = {
    "energy": "u.energy_deviation as deviation, u.energy_error as error, null as atom_index, false as is_zero",
    "force": """unnest(u.force_deviation) as deviation, unnest(u.force_error) as error,
        generate_subscripts(u.force_deviation, 1) - 1 as atom_index, unnest(u.is_zero_by_symmetry) as is_zero""",
}


def _samples(quantity: str, scope: Scope) -> str:
    """Statement that gives deviation and error of every configuration or atom, with the configuration's columns.

    Atoms whose force is zero by symmetry are left out: every model is right there, and agrees.
    """
    return f"""select * from (
        select u.dataset_id, u.config_id, c.group_name, c.formula, c.n_atoms, {_VALUES[quantity]}
        from uncertainties u join configurations c using (dataset_id, config_id)
        where u.ensemble_id = $ensemble and {scope.predicate("c")}) where is_zero is not true"""


@cached
def energy_deviations(ensemble_id: str, scope: Scope) -> pd.DataFrame:
    """Deviation and error (eV/atom) by configuration, with dataset_id, group_name, formula and n_atoms."""
    return connection.frame(
        f"""
        select dataset_id, config_id, group_name, formula, n_atoms, deviation, error
        from ({_samples("energy", scope)})
        order by error desc, dataset_id, config_id
        """,
        {"ensemble": ensemble_id} | scope.bindings(),
    )


@cached
def force_deviation_density(ensemble_id: str, scope: Scope) -> Density | None:
    """Density of log10 error against log10 deviation (eV/Å) over atoms; zeros by symmetry are left out."""
    named = {"ensemble": ensemble_id} | scope.bindings()
    pairs = f"""select log10(deviation) as x, log10(error) as y, hash(config_id, atom_index) as sample_key
        from ({_samples("force", scope)})
        where deviation > 0 and error > 0"""
    edges = axis_edges(pairs, named, 0.0005, square=False, n_bins=120)
    return None if edges is None else binned(pairs, named, *edges)


@cached
def spearman(ensemble_id: str, scope: Scope, quantity: str) -> tuple[float, int]:
    """Rank correlation of deviation with error, ties sharing their mean rank, and the number of samples."""
    row = connection.row(
        f"""
        select corr(rank_deviation, rank_error), count(*)
        from (
            select rank() over (order by deviation) + (count(*) over (partition by deviation) - 1) / 2.0
                    as rank_deviation,
                rank() over (order by error) + (count(*) over (partition by error) - 1) / 2.0 as rank_error
            from ({_samples(quantity, scope)}) where deviation is not null and error is not null
        )
        """,
        {"ensemble": ensemble_id} | scope.bindings(),
    )
    if row is None or row[0] is None:
        return float("nan"), int(row[1]) if row else 0
    return float(row[0]), int(row[1])


@cached
def spearman_within(ensemble_id: str, scope: Scope) -> tuple[float, int]:
    """Mean rank correlation of force deviation and error of the atoms of one configuration, and how many there are.

    It says whether a colour by deviation shows where in a structure a model is wrong. NaN and 0 where the scope is not
    one whole dataset, or has no configuration with enough atoms.
    """
    if len(scope.dataset_ids) != 1 or scope != Scope.of(scope.dataset_id):
        return float("nan"), 0
    row = connection.row(
        """
        select spearman_within, n_within from ensemble_metrics
        where ensemble_id = $ensemble and dataset_id = $dataset and quantity = 'force'
        """,
        {"ensemble": ensemble_id, "dataset": scope.dataset_id},
    )
    return (float("nan"), 0) if row is None or row[0] is None else (float(row[0]), int(row[1]))


@cached
def most_uncertain(ensemble_id: str, scope: Scope, limit: int = BOX_LIMIT) -> pd.DataFrame:
    """Configurations by falling largest force deviation (eV/Å), with energies in eV/atom."""
    return connection.frame(
        f"""
        select c.dataset_id, c.config_id, c.group_name, c.formula, c.n_atoms,
            list_max(u.force_deviation) as force_deviation,
            list_max(u.force_error) as force_error, u.energy_deviation, u.energy_error
        from uncertainties u join configurations c using (dataset_id, config_id)
        where u.ensemble_id = $ensemble and {scope.predicate("c")}
        order by force_deviation desc, c.dataset_id, c.config_id limit $limit
        """,
        {"ensemble": ensemble_id, "limit": limit} | scope.bindings(),
    )


def uncertainty(ensemble_id: str, dataset_id: str, config_id: str) -> tuple[float, FloatArray, FloatArray] | None:
    """Energy deviation (eV/atom), force deviation and force error per atom (eV/Å, shape (n_atoms,)).

    The errors are NaN where the dataset has no reference forces.
    """
    row = connection.row(
        """
        select energy_deviation, force_deviation, force_error from uncertainties
        where ensemble_id = $ensemble and dataset_id = $dataset and config_id = $config
        """,
        {"ensemble": ensemble_id, "dataset": dataset_id, "config": config_id},
    )
    if row is None:
        return None
    deviation = np.asarray(row[1], dtype=float)
    error = np.full(len(deviation), np.nan) if row[2] is None else np.asarray(row[2], dtype=float)
    return float(row[0]), deviation, error
