"""Single configurations: their atoms and labels, predictions, and the worst of a model."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.queries.scope import Scope
from engine.records import Configuration, Prediction
from engine.registry.leakage import COUNTED
from engine.store import connection
from engine.store.connection import cached

BOX_LIMIT = 200

_ERROR_COLUMNS = """e.dataset_id, e.config_id, e.group_name, c.formula, e.n_atoms, e.energy_error_per_atom,
    e.energy_error_per_atom_aligned, e.energy_error_per_atom_crystal, e.force_rmse, e.force_max_error"""

_BADNESS = {
    ("energy", "raw"): "abs(e.energy_error_per_atom)",
    ("energy", "per_element"): "abs(e.energy_error_per_atom_aligned)",
    ("energy", "crystal"): "abs(e.energy_error_per_atom_crystal)",
    ("force", "raw"): "e.force_rmse",
    ("force", "per_element"): "e.force_rmse",
    ("force", "crystal"): "e.force_rmse",
}


@cached
def worst_configurations(
    model_id: str, scope: Scope, quantity: str, alignment: str, limit: int = BOX_LIMIT
) -> pd.DataFrame:
    """Configurations by falling error of one model.

    Args:
        model_id: The model.
        scope: Which configurations.
        quantity: `energy` or `force`.
        alignment: `raw`, `per_element` or `crystal`.
        limit: Most rows to return.

    Returns:
        dataset_id, config_id, group_name, formula, n_atoms, and the errors of the store's `errors` table.
    """
    return connection.frame(
        f"""
        select {_ERROR_COLUMNS}
        from errors e join configurations c using (dataset_id, config_id)
        where e.model_id = $model and {scope.predicate("e")}
        order by {_BADNESS[quantity, alignment]} desc nulls last, e.dataset_id, e.config_id
        limit $limit
        """,
        {"model": model_id, "limit": limit} | scope.bindings(),
    )


def kind_of(dataset_id: str, config_id: str) -> str:
    """Kind of structure that a configuration is; empty where the store has no such configuration."""
    row = connection.row(
        "select kind from configurations where dataset_id = $dataset and config_id = $config",
        {"dataset": dataset_id, "config": config_id},
    )
    return "" if row is None else str(row[0])


def configuration(dataset_id: str, config_id: str) -> Configuration | None:
    """Atoms, cell and reference labels; None where the store has no such configuration, or no atoms of it."""
    row = connection.row(
        """
        select config_id, group_name, numbers, positions, cell, pbc, energy, forces, stress
        from configurations where dataset_id = $dataset and config_id = $config and positions is not null
        """,
        {"dataset": dataset_id, "config": config_id},
    )
    if row is None:
        return None
    name, group, numbers, positions, cell, pbc, energy, forces, stress = row
    return Configuration(
        config_id=name,
        group_name=group,
        numbers=np.asarray(numbers, dtype=np.int64),
        positions=np.asarray(positions, dtype=float).reshape(-1, 3),
        cell=np.asarray(cell, dtype=float).reshape(3, 3),
        pbc=(bool(pbc[0]), bool(pbc[1]), bool(pbc[2])),
        energy=energy,
        forces=None if forces is None else np.asarray(forces, dtype=float).reshape(-1, 3),
        stress=None if stress is None else np.asarray(stress, dtype=float),
    )


def prediction(dataset_id: str, model_id: str, config_id: str) -> Prediction | None:
    """What one model says of one configuration; None where it has not been run on it."""
    row = connection.row(
        """
        select status, reason, energy, forces, stress, wall_seconds from predictions
        where dataset_id = $dataset and model_id = $model and config_id = $config
        """,
        {"dataset": dataset_id, "model": model_id, "config": config_id},
    )
    if row is None:
        return None
    status, reason, energy, forces, stress, wall_seconds = row
    return Prediction(
        config_id=config_id,
        geometry_hash="",
        status=status,
        reason=reason,
        energy=energy,
        forces=None if forces is None else np.asarray(forces, dtype=float).reshape(-1, 3),
        stress=None if stress is None else np.asarray(stress, dtype=float),
        wall_seconds=wall_seconds,
    )


@dataclass(frozen=True)
class WorstAtom:
    """An atom with a large force error, in a configuration whose atoms are here.

    Attributes:
        model_id: The model.
        dataset_id: Dataset of the configuration.
        config_id: The configuration.
        kind: Its kind of structure.
        atom_index: The atom.
        force_error: Size of the error, eV/Å.
    """

    model_id: str
    dataset_id: str
    config_id: str
    kind: str
    atom_index: int
    force_error: float


@cached
def worst_atom(model_ids: tuple[str, ...], elements: tuple[str, ...], kind: str) -> WorstAtom | None:
    """The largest force error on structures of some elements alone, where the store has their atoms.

    Structures of the kind come before others, and the first models before the later ones.

    Args:
        model_ids: The models, the best first.
        elements: That the structures consist of.
        kind: Id of a kind that is preferred; empty for any.

    Returns:
        None where no such structure is here with its atoms.
    """
    row = connection.row(
        """
        with found as (
            select e.model_id, e.dataset_id, e.config_id, c.kind
            from errors e join configurations c using (dataset_id, config_id)
            where list_contains($models, e.model_id) and c.positions is not null and e.in_dataset
                and e.force_max_error is not null and list_has_all($elements, c.elements)
            order by c.kind = $kind desc, list_position($models, e.model_id), e.force_max_error desc, e.config_id
            limit 1
        )
        select w.*, f.atom_index, sqrt(f.error_x ** 2 + f.error_y ** 2 + f.error_z ** 2)::double as size
        from found w join force_errors f using (model_id, dataset_id, config_id) order by size desc, f.atom_index
        limit 1
        """,
        {"models": list(model_ids), "elements": list(elements), "kind": kind},
    )
    return None if row is None else WorstAtom(*row)


@cached
def models_on_configuration(dataset_id: str, config_id: str) -> pd.DataFrame:
    """Errors of every model on one configuration, best forces first; failed ones last with their reason.

    Returns:
        model_id, label, family, status, reason, the errors, and `is_seen` and `seen_reason`: the model was trained on
        configurations of its group.
    """
    return connection.frame(
        """
        select m.model_id, m.label, m.family, p.status, p.reason, e.energy_error_per_atom,
            e.energy_error_per_atom_aligned, e.energy_error_per_atom_crystal, e.force_rmse, e.force_max_error,
            coalesce(list_contains($counted, k.certainty), false) as is_seen, coalesce(k.reason, '') as seen_reason
        from predictions p
        join models m using (model_id)
        join configurations c using (dataset_id, config_id)
        left join errors e using (dataset_id, model_id, config_id)
        left join leakage k on k.model_id = p.model_id and k.dataset_id = p.dataset_id
            and k.group_name = c.group_name
        where p.dataset_id = $dataset and p.config_id = $config
        order by e.force_rmse nulls last, m.model_id
        """,
        {"dataset": dataset_id, "config": config_id, "counted": list(COUNTED)},
    )
