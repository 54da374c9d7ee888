"""How new the environments of a visitor's atoms are, and what a flag of that and the models' spread is worth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.numerics.novelty import Flag, fit_flag, nearest_distances
from engine.queries import member_errors
from engine.queries.environments import sampled
from engine.queries.scope import Scope
from engine.queries.training import not_trained_on
from engine.registry.leakage import COUNTED
from engine.store import connection
from engine.store.connection import cached

FloatArray = NDArray[np.float64]

LIMIT = 0.1
"""Force error that the flag is for, eV/Å."""


@dataclass(frozen=True)
class Relation:
    """Novelty and deviation beside measured errors.

    Attributes:
        flag: The rule with its measured precision and recall; None where too little is known.
        bins: By tenths of the distance: n_atoms, distance (median), rms_error (eV/Å).
        dataset_ids: Datasets of the atoms.
    """

    flag: Flag | None
    bins: pd.DataFrame
    dataset_ids: tuple[str, ...]


@cached
def relation(model_id: str, member_ids: tuple[str, ...], limit: float = LIMIT) -> Relation:
    """Relation of novelty and spread to a model's measured errors, over sampled atoms of the whole store.

    The distance of an atom is that to the nearest sampled atom of another cluster of any dataset, so that its own
    trajectory is not what it is near to; the build computed it. Atoms that the model was trained on do not count.

    Args:
        model_id: The model whose errors count.
        member_ids: Two models or more; the deviation is the standard deviation of their forces.
        limit: Of the errors, eV/Å.
    """
    members = tuple(sorted({model_id, *member_ids}))
    table = _atoms(model_id, members)
    empty = pd.DataFrame(columns=["n_atoms", "distance", "rms_error"])
    if table.empty:
        return Relation(None, empty, ())
    _, deviations, errors = member_errors.spread(table, members, model_id, member_ids)
    clusters = pd.factorize(table["dataset_id"] + "/" + table["cluster_name"])[0]
    distances = table["novelty"].to_numpy(dtype=float)
    known = np.isfinite(distances)
    distances, deviations, errors = (one[known] for one in (distances, deviations, errors))
    datasets = tuple(sorted(set(table["dataset_id"])))
    return Relation(fit_flag(distances, deviations, errors, clusters[known], limit), _bins(distances, errors), datasets)


def _bins(distances: FloatArray, errors: FloatArray) -> pd.DataFrame:
    """Errors by tenths of the distance."""
    if not len(distances):
        return pd.DataFrame(columns=["n_atoms", "distance", "rms_error"])
    order = np.argsort(distances, kind="stable")
    rows = [
        {"n_atoms": len(part), "distance": np.median(distances[part]), "rms_error": np.sqrt(np.mean(errors[part] ** 2))}
        for part in np.array_split(order, 10)
        if len(part)
    ]
    return pd.DataFrame(rows)


def novelty(vectors: NDArray[np.floating], *, beside: str = "") -> FloatArray:
    """Distance of atoms to the nearest sampled environment of the benchmark, shape (n_atoms,).

    Args:
        vectors: SOAP vectors in the setting of the store, shape (n_atoms, n_features).
        beside: Id of a configuration whose own atoms do not count.
    """
    atoms, others = sampled(Scope())
    if others.shape[1:] != vectors.shape[1:]:
        return np.full(len(vectors), np.nan)
    return nearest_distances(vectors, others[(atoms["config_id"] != beside).to_numpy()])


def _atoms(model_id: str, members: tuple[str, ...]) -> pd.DataFrame:
    """Sampled atoms with errors of all members: dataset_id, cluster_name, novelty, x0, y0 ..."""
    columns, named = member_errors.columns(members)
    return connection.frame(
        f"""
        select e.dataset_id, e.config_id, e.atom_index, any_value(c.cluster_name) as cluster_name,
            any_value(e.novelty) as novelty, {columns}
        from environments e join sampled_errors f using (dataset_id, config_id, atom_index)
        join configurations c using (dataset_id, config_id)
        where e.in_dataset and list_contains($members, f.model_id)
            and {not_trained_on("e", "$model")}
        group by e.dataset_id, e.config_id, e.atom_index having count(distinct f.model_id) = $n
        order by e.dataset_id, e.config_id, e.atom_index
        """,
        named | {"model": model_id, "counted": list(COUNTED)},
    )
