"""Sampled atoms of the benchmark whose surroundings are most like those of a visitor's atom, with measured errors."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.queries.environments import sampled
from engine.queries.scope import Scope
from engine.store import connection
from engine.store.connection import cached

ENOUGH = 20
"""Sampled atoms of an element from which on only these are looked at."""


@cached
def with_errors(model_id: str) -> pd.DataFrame:
    """Sampled atoms that a model has a force error on: place in `sampled(Scope())`, element and force_error (eV/Å)."""
    atoms, _ = sampled(Scope())
    errors = connection.frame(
        """
        select e.dataset_id, e.config_id, e.atom_index,
            sqrt(f.error_x ** 2 + f.error_y ** 2 + f.error_z ** 2)::double as force_error
        from environments e join sampled_errors f using (dataset_id, config_id, atom_index)
        where f.model_id = $model and e.in_dataset order by all
        """,
        {"model": model_id},
    )
    keys = ["dataset_id", "config_id", "atom_index"]
    found = atoms[[*keys, "element"]].assign(place=np.arange(len(atoms))).merge(errors, on=keys)
    return found[["place", "element", "force_error"]]


def nearest(vector: NDArray[np.floating], element: str, model_id: str, n: int = 5, *, beside: str = "") -> pd.DataFrame:
    """Sampled atoms whose SOAP vectors are nearest, one of each configuration, of the same element where possible.

    Args:
        vector: Of one atom, in the setting of the store, shape (n_features,), of length 1.
        element: Symbol of the atom; SOAP here sees all atoms as one species.
        model_id: Whose errors are shown; atoms without one are left out.
        n: How many.
        beside: Id of a configuration whose own atoms do not count, since it is the structure that is asked about.

    Returns:
        dataset_id, config_id, atom_index, element, formula, group_name, class_name, distance (0 to 1.42, without unit)
        and force_error (eV/Å), the nearest first; empty where the store has no such atoms.
    """
    atoms, vectors = sampled(Scope())
    known = with_errors(model_id)
    if beside:
        known = known[atoms["config_id"].to_numpy()[known["place"].to_numpy(dtype=int)] != beside]
    same = known[known["element"] == element]
    known = same if len(same) >= ENOUGH else known
    if known.empty or vectors.shape[1:] != vector.shape:
        return atoms.iloc[:0].assign(distance=[], force_error=[])
    places = known["place"].to_numpy(dtype=int)
    distances = np.linalg.norm(vectors[places].astype(float) - np.asarray(vector, dtype=float), axis=1)
    order = np.argsort(distances, kind="stable")
    # Symmetry repeats environments within a configuration, and five times one of them says no more than once.
    configurations = atoms[["dataset_id", "config_id"]].iloc[places[order]].reset_index(drop=True)
    order = order[np.flatnonzero(~configurations.duplicated().to_numpy())][:n]
    found = atoms.iloc[places[order]].reset_index(drop=True)
    return found.assign(distance=distances[order], force_error=known["force_error"].to_numpy()[order])
