"""How a specialised potential learns a dataset, where it passes universal models, and what its DFT labels cost."""

from typing import Any

import numpy as np
import pandas as pd

from engine.learning_curves import CLUSTERS, DFT_LABELS
from engine.numerics.learning import aligned_square, crossing, quantiles
from engine.numerics.metrics import draws, rmse_bounds
from engine.queries import specialised
from engine.queries.scope import Scope
from engine.queries.training import with_seen_columns
from engine.store import connection
from engine.store.connection import cached

MEV = 1000.0
REFERENCE_ATOMS = 14
"""Own cells of W of at least so many atoms give the time of one DFT calculation."""

SQUARE = 2
"""Power of the atoms that the time of one DFT calculation is taken to grow with."""

_ALIGNED = "per_element"
_CURVE = ["labels", "training", "share", "n_train", "n_clusters", "rmse", "rmse_lo", "rmse_hi", "lowest", "highest"]


@cached
def studied() -> tuple[str, ...]:
    """Datasets with learning curves."""
    found = connection.frame("select distinct dataset_id from learning_errors order by dataset_id")
    return tuple(found["dataset_id"].tolist())


@cached
def curves(dataset_id: str, quantity: str, alignment: str) -> pd.DataFrame:
    """Errors against DFT of the potential by the share of the data that it was trained on.

    Args:
        dataset_id: One of `studied`.
        quantity: `energy` or `force`.
        alignment: `raw` or `per_element`, for energies.

    Returns:
        labels, training, share, n_train (mean number of configurations that it was trained on), n_clusters (of the
        test), rmse with 95 % bounds over clusters rmse_lo and rmse_hi, and lowest and highest of the seeds; meV/atom or
        meV/Å.
    """
    rows = []
    sizes = _sizes(dataset_id).set_index(["labels", "training", "share"])["n_train"]
    for key, part in _errors(dataset_id).groupby(["labels", "training", "share"], sort=True):
        squares, counts = _squares(part, quantity, alignment)
        mean = squares.mean(axis=0)
        low, high = rmse_bounds(mean, counts)
        seeds = np.sqrt(squares.sum(axis=1) / counts.sum())
        value = float(np.sqrt(mean.sum() / counts.sum()))
        numbers = [value, low, high, float(seeds.min()), float(seeds.max())]
        rows.append((*key, float(sizes[key]), len(counts), *(MEV * number for number in numbers)))
    return pd.DataFrame(rows, columns=_CURVE)


@cached
def rivals(dataset_id: str, quantity: str, alignment: str) -> pd.DataFrame:
    """Errors of universal models on the same configurations, and where the learning curve passes them.

    The curve is that of DFT labels with whole clusters left out. Bounds are quantiles over 1,000 resamples of the test
    clusters, the same ones for the curve, the mean of all seeds, and the model.

    Args:
        dataset_id: One of `studied`.
        quantity: `energy` or `force`.
        alignment: `raw` or `per_element`, for energies.

    Returns:
        model_id, label, is_specialised, is_seen, rmse with bounds rmse_lo and rmse_hi (meV/atom or meV/Å), and n_train,
        n_train_lo and n_train_hi: configurations from which on the curve stays below the model; infinite where it does
        not with all of them, and `smallest` where it lies below from the smallest training set on. hours, hours_lo and
        hours_hi: core hours of these labels by the square of the atoms (see `label_costs`). By rmse.
    """
    part = _errors(dataset_id)
    part = part[(part["labels"] == DFT_LABELS) & (part["training"] == CLUSTERS)]
    clusters = np.sort(part["config_id"].unique())
    sizes = _sizes(dataset_id)
    sizes = sizes[(sizes["labels"] == DFT_LABELS) & (sizes["training"] == CLUSTERS)].sort_values("share")
    n_train = sizes["n_train"].to_numpy(dtype=float)
    drawn = np.vstack([np.ones(len(clusters)), draws(len(clusters))])  # the first is the data themselves
    steps = [_drawn(one, quantity, alignment, drawn) for _, one in part.groupby("share", sort=True)]
    curve = np.sqrt(np.stack(steps, axis=-1))
    rows = []
    for (model_id, label, special), own in _model_errors(dataset_id, clusters).groupby(
        ["model_id", "label", "is_specialised"]
    ):
        if len(own) < len(clusters):
            continue
        error = np.sqrt(_drawn(own.assign(seed=0), quantity, alignment, drawn))
        if not error[0] > 0:
            continue
        found = crossing(n_train, curve, error)
        low, high = quantiles(found[1:])
        squares, counts = _squares(own.assign(seed=0), quantity, alignment)
        bounds = rmse_bounds(squares[0], counts)
        rows.append(
            {"model_id": model_id, "label": label, "is_specialised": special, "rmse": MEV * error[0],
             "rmse_lo": MEV * bounds[0], "rmse_hi": MEV * bounds[1], "n_train": found[0], "n_train_lo": low,
             "n_train_hi": high, "smallest": n_train[0]}
        )  # fmt: skip
    names = ["model_id", "label", "is_specialised", "rmse", "rmse_lo", "rmse_hi", "n_train", "n_train_lo", "n_train_hi",
             "smallest"]  # fmt: skip
    table = pd.DataFrame(rows, columns=names).assign(dataset_id=dataset_id)
    costs = label_costs(dataset_id).set_index("power")["hours_per_configuration"]
    for end in ("", "_lo", "_hi"):
        table[f"hours{end}"] = table[f"n_train{end}"] * costs.get(SQUARE, float("nan"))
    return with_seen_columns(table, Scope.of(dataset_id)).sort_values("rmse", ignore_index=True)


@cached
def by_group(dataset_id: str, quantity: str, alignment: str) -> pd.DataFrame:
    """Errors by group of structures of the potential trained on all that each training may hold.

    Args:
        dataset_id: One of `studied`.
        quantity: `energy` or `force`.
        alignment: `raw` or `per_element`, for energies: one offset of each potential for all groups.

    Returns:
        group_name, labels, training, n_configs, n_clusters and rmse (meV/atom or meV/Å).
    """
    table = _errors(dataset_id)
    rows = []
    for key, part in table[table["share"] == table["share"].max()].groupby(["labels", "training"], sort=True):
        squares, counts = _squares(part, quantity, alignment)
        about = part.drop_duplicates("config_id").sort_values("config_id")
        for group in sorted(about["group_name"].unique()):
            own = (about["group_name"] == group).to_numpy()
            value = MEV * float(np.sqrt(squares.mean(axis=0)[own].sum() / counts[own].sum()))
            rows.append((group, *key, int(about.loc[own, "n_configs"].sum()), int(own.sum()), value))
    return pd.DataFrame(rows, columns=["group_name", "labels", "training", "n_configs", "n_clusters", "rmse"])


@cached
def label_costs(dataset_id: str) -> pd.DataFrame:
    """Core hours of the DFT labels of the largest training set, by how the time is taken to grow with the atoms.

    The time of one calculation is the median of our own of W cells of `REFERENCE_ATOMS` atoms or more, at their mean
    number of atoms, scaled by the atoms to a power.

    Returns:
        power (1, 2 and 3), n_train (configurations), hours, hours_per_configuration, n_atoms (of the timed cells),
        seconds (of the timed cells) and n_cells.
    """
    timed = connection.frame(
        "select n_atoms, ms_per_step / 1000 as seconds from costs where model_id = 'dft-gpaw' and n_atoms >= $least",
        {"least": REFERENCE_ATOMS},
    )
    sizes = _sizes(dataset_id)
    sizes = sizes[(sizes["labels"] == DFT_LABELS) & (sizes["training"] == CLUSTERS)]
    if timed.empty or sizes.empty:
        return pd.DataFrame(columns=["power", "n_train", "hours", "hours_per_configuration", "n_atoms", "seconds"])
    largest = sizes.sort_values("share").iloc[-1]
    n_atoms, seconds = float(timed["n_atoms"].mean()), float(timed["seconds"].median())
    sums = {1: largest["n_atoms"], 2: largest["atoms_squared"], 3: largest["atoms_cubed"]}
    hours = [seconds * float(total) / n_atoms**power / 3600 for power, total in sums.items()]
    return pd.DataFrame(
        {"power": list(sums), "n_train": largest["n_train"], "hours": hours,
         "hours_per_configuration": [one / largest["n_train"] for one in hours], "n_atoms": n_atoms,
         "seconds": seconds, "n_cells": len(timed)}
    )  # fmt: skip


@cached
def potential(dataset_id: str) -> dict[str, Any]:
    """What was trained: potential, n_seeds, n_fits, and the labels that were learnt beside those of DFT."""
    found = connection.frame(
        """
        select any_value(potential) as potential, count(distinct seed) as n_seeds, count(*) as n_fits,
            list(distinct labels order by labels) as labels
        from learning_fits where dataset_id = $dataset
        """,
        {"dataset": dataset_id},
    ).iloc[0]
    others = [name for name in found["labels"] if name != DFT_LABELS]
    return {"potential": found["potential"], "n_seeds": int(found["n_seeds"]), "n_fits": int(found["n_fits"]),
            "teachers": others}  # fmt: skip


def _errors(dataset_id: str) -> pd.DataFrame:
    """Errors of each potential on each cluster."""
    return connection.frame(
        """
        select labels, training, seed, share, config_id, group_name, n_configs, n_atoms, energy_sum, energy_square,
            force_square
        from learning_errors where dataset_id = $dataset order by labels, training, seed, share, config_id
        """,
        {"dataset": dataset_id},
    )


def _sizes(dataset_id: str) -> pd.DataFrame:
    """Mean size of the training sets of each share: n_train, n_atoms, atoms_squared and atoms_cubed."""
    return connection.frame(
        """
        select labels, training, share, avg(n_configs) as n_train, avg(n_atoms) as n_atoms,
            avg(atoms_squared) as atoms_squared, avg(atoms_cubed) as atoms_cubed
        from learning_fits where dataset_id = $dataset group by labels, training, share
        order by labels, training, share
        """,
        {"dataset": dataset_id},
    )


def _model_errors(dataset_id: str, clusters: np.ndarray[Any, Any]) -> pd.DataFrame:
    """Errors of every model on the clusters that begin with these configurations, as sums, where it has them all."""
    return connection.frame(
        f"""
        with named as (
            select c.config_id, first.config_id as cluster_id
            from configurations first
            join configurations c using (dataset_id, cluster_name)
            where first.dataset_id = $dataset and list_contains($clusters, first.config_id) and c.in_dataset
        ), complete as (
            select model_id from errors join named using (config_id)
            where dataset_id = $dataset and force_rmse is not null and energy_error_per_atom is not null
            group by model_id having count(*) = (select count(*) from named)
        )
        select e.model_id, m.label, len(m.elements) between 1 and {specialised.FEW} as is_specialised,
            n.cluster_id as config_id, count(*) as n_configs, sum(e.n_atoms) as n_atoms,
            sum(e.energy_error_per_atom) as energy_sum, sum(e.energy_error_per_atom ** 2) as energy_square,
            sum(3 * e.n_atoms * e.force_rmse ** 2) as force_square
        from errors e join named n using (config_id) join models m using (model_id)
        where e.dataset_id = $dataset and e.model_id in (select model_id from complete)
        group by all order by e.model_id, config_id
        """,
        {"dataset": dataset_id, "clusters": clusters.tolist()},
    )


def _wide(part: pd.DataFrame, column: str) -> np.ndarray[Any, Any]:
    """A column by seed and cluster, shape (n_seeds, n_clusters)."""
    return np.asarray(part.pivot(index="seed", columns="config_id", values=column), dtype=float)


def _squares(part: pd.DataFrame, quantity: str, alignment: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Sums of squared errors by seed and cluster, and the number of errors in each cluster; eV/atom or eV/Å.

    Aligned energies are about the mean error of all other configurations of the seed.
    """
    if quantity == "force":
        return _wide(part, "force_square"), 3.0 * _wide(part, "n_atoms")[0]
    sums, squares, counts = (_wide(part, name) for name in ("energy_sum", "energy_square", "n_configs"))
    if alignment == _ALIGNED:
        n = counts.sum(axis=1, keepdims=True)
        mean = sums.sum(axis=1, keepdims=True) / n
        squares = np.maximum(squares - 2 * mean * sums + counts * mean**2, 0.0) * (n / (n - 1)) ** 2
    return squares, counts[0]


def _drawn(part: pd.DataFrame, quantity: str, alignment: str, drawn: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mean squared error in each resample of clusters, the mean over seeds, shape (n_resamples,)."""
    if quantity == "force" or alignment != _ALIGNED:
        squares, counts = _squares(part, quantity, "raw")
        return np.asarray(drawn @ squares.mean(axis=0) / (drawn @ counts))
    sums, squares, counts = (drawn @ _wide(part, name).T for name in ("energy_sum", "energy_square", "n_configs"))
    return np.asarray(aligned_square(sums, squares, counts).mean(axis=1))
