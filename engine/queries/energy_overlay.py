"""Reference and predicted energies of several models on one dataset, every configuration of each."""

import pandas as pd

from engine.queries.scope import Scope
from engine.store import connection
from engine.store.connection import cached

_ERRORS = {
    "raw": "e.energy_error_per_atom",
    "per_element": "e.energy_error_per_atom_aligned",
    "crystal": "e.energy_error_per_atom_crystal",
}


@cached
def energies(model_ids: tuple[str, ...], scope: Scope, alignment: str) -> pd.DataFrame:
    """Reference and predicted energy of every configuration with an energy error, eV/atom.

    Args:
        model_ids: The models.
        scope: Which configurations.
        alignment: `raw`, `per_element` or `crystal`; the prediction is the reference and the error of that alignment.

    Returns:
        model_id, dataset_id, config_id, group_name, reference and predicted.
    """
    error = _ERRORS[alignment]
    return connection.frame(
        f"""
        select e.model_id, e.dataset_id, e.config_id, e.group_name, e.reference_energy_per_atom as reference,
            e.reference_energy_per_atom + {error} as predicted
        from errors e
        where list_contains($models, e.model_id) and {error} is not null and {scope.predicate("e")}
        order by e.model_id, e.dataset_id, e.config_id
        """,
        {"models": list(model_ids)} | scope.bindings(),
    )


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """RMSE of each model over all, over negative and over positive reference energies.

    Args:
        table: Rows of `energies`.

    Returns:
        model_id, n_negative, n_positive, and `rmse_all`, `rmse_negative` and `rmse_positive` in eV/atom, NaN where
        there is no such configuration.
    """
    rows = []
    for model_id, part in table.groupby("model_id", sort=False):
        squares = (part["predicted"] - part["reference"]) ** 2
        is_positive = part["reference"] > 0
        rows.append(
            {
                "model_id": model_id,
                "n_negative": int((~is_positive).sum()),
                "n_positive": int(is_positive.sum()),
                "rmse_all": squares.mean() ** 0.5,
                "rmse_negative": squares[~is_positive].mean() ** 0.5,
                "rmse_positive": squares[is_positive].mean() ** 0.5,
            }
        )
    return pd.DataFrame(rows)
