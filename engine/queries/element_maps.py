"""Errors of several models by element, on the configurations that all of them have: for maps side by side."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.numerics.comparison import alignment_of
from engine.queries import catalog, error_metrics
from engine.queries.scope import EVERYTHING, Scope
from engine.store import connection
from engine.store.connection import cached

_COLUMN = {
    "raw": "energy_error_per_atom",
    "per_element": "energy_error_per_atom_aligned",
    "crystal": "energy_error_per_atom_crystal",
}

# Names of groups of structures that hold grain boundaries, whole or in part: gb_vacancy is one with a vacancy.
_BOUNDARIES = "regexp_matches(k.group_name, '(^|_)(gb|boundary)($|_)')"


@cached
def boundary_groups(dataset_ids: tuple[str, ...], within: Scope = EVERYTHING) -> pd.DataFrame:
    """Groups of structures with grain boundaries: dataset_id, group_name, n_configs; of all datasets if none named."""
    scope = within.on(*dataset_ids)
    return connection.frame(
        f"""
        select k.dataset_id, k.group_name, count(*) as n_configs from configurations k
        where {_BOUNDARIES} and {scope.predicate("k")}
        group by k.dataset_id, k.group_name order by k.dataset_id, k.group_name
        """,
        scope.bindings(),
    )


@cached
def element_errors(
    alignment: str, scope: Scope, model_ids: tuple[str, ...], *, boundaries: bool = False
) -> pd.DataFrame:
    """Errors of models by element over the configurations that each of them has a result for.

    Args:
        alignment: `raw`, `per_element` or `crystal`.
        scope: Which configurations.
        model_ids: At least one model.
        boundaries: Whether only grain boundaries count.

    Returns:
        One row per element and model: element, model_id, n_configs, energy (RMSE over configurations with the element,
        meV/atom) and force (RMSE over components on atoms of the element, meV/Å); missing where there are none.
    """
    shared = scope.shared_by(model_ids)
    within = f"and {_BOUNDARIES}" if boundaries else ""
    return connection.frame(
        f"""
        with chosen as (
            select k.dataset_id, k.config_id, k.elements, k.element_counts from configurations k
            where {shared.predicate("k")} {within}
        ), energies as (
            select element, model_id, count(*) as n_configs, 1000 * sqrt(avg(error ** 2)) as energy
            from (
                select unnest(c.elements) as element, e.model_id, e.{_COLUMN[alignment]} as error
                from errors e join chosen c using (dataset_id, config_id)
                where list_contains($scope_models, e.model_id)
            )
            group by element, model_id
        ), forces as (
            select element, model_id, 1000 * sqrt(sum(squares) / sum(n_atoms) / 3) as force
            from (
                select unnest(c.elements) as element, unnest(c.element_counts) as n_atoms, e.model_id,
                    unnest(e.element_squares) as squares
                from errors e join chosen c using (dataset_id, config_id)
                where list_contains($scope_models, e.model_id) and e.element_squares is not null
            )
            group by element, model_id
        )
        select element, model_id, n_configs, energy, force
        from energies left join forces using (element, model_id) order by element, model_id
        """,
        shared.bindings(),
    )


@cached
def ranked_models(
    alignment: str, dataset_id: str, quantity: str, *, with_seen: bool = False, within: Scope = EVERYTHING
) -> tuple[str, ...]:
    """Models that are ranked on a dataset, the best first; on what of it fits the conditions of `within`."""
    column = {"energy": "energy_rmse_mev_per_atom", "force": "force_rmse_mev_per_ang"}[quantity]
    alignment = alignment_of(quantity, alignment)
    scope = within.on(dataset_id)
    found = error_metrics.shared_metrics(alignment, scope, quantity=quantity, with_seen=with_seen)
    found = found[found["is_ranked"]].dropna(subset=[column])
    return tuple(found.sort_values([column, "model_id"])["model_id"])


def winners(errors: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """The model with the smallest error on each element.

    Args:
        errors: As `element_errors` gives them.
        quantity: `energy` or `force`.

    Returns:
        element, model_id, label, n_configs, `error` of the winner, and of the next best model second_id,
        second_label and second (missing where there is none); the elements with most configurations first.
    """
    labels = catalog.models().set_index("model_id")["label"].to_dict()
    rows = []
    for element, part in errors.dropna(subset=[quantity]).groupby("element"):
        part = part.sort_values([quantity, "model_id"])
        first, second = part.iloc[0], part.iloc[1] if len(part) > 1 else None
        rows.append({
            "element": element, "model_id": first["model_id"],
            "label": labels.get(first["model_id"], first["model_id"]), "n_configs": int(first["n_configs"]),
            "error": first[quantity], "second_id": None if second is None else second["model_id"],
            "second_label": None if second is None else labels.get(second["model_id"], second["model_id"]),
            "second": np.nan if second is None else second[quantity],
        })  # fmt: skip
    names = ["element", "model_id", "label", "n_configs", "error", "second_id", "second_label", "second"]
    table = pd.DataFrame(rows, columns=names)
    return table.sort_values(["n_configs", "element"], ascending=[False, True], ignore_index=True)


def wins(table: pd.DataFrame) -> pd.DataFrame:
    """How many elements each model wins, most first: model_id, label, n_elements.

    Args:
        table: As `winners` gives it.
    """
    found = table.groupby(["model_id", "label"], as_index=False).agg(n_elements=("element", "size"))
    return found.sort_values(["n_elements", "label"], ascending=[False, True], ignore_index=True)


def differences(errors: pd.DataFrame, first: str, second: str, quantity: str) -> pd.DataFrame:
    """Error of the first model minus that of the second by element: element, n_configs, first, second, difference.

    Args:
        errors: As `element_errors` gives them.
        first: A model.
        second: Another one.
        quantity: `energy` or `force`.
    """
    wide = errors.pivot(index="element", columns="model_id", values=quantity).reindex(columns=[first, second])
    counts = errors.groupby("element")["n_configs"].first()
    table = pd.DataFrame({"n_configs": counts, "first": wide[first], "second": wide[second]})
    return table.assign(difference=table["first"] - table["second"]).rename_axis("element").reset_index()


def names_of(model_ids: Sequence[str]) -> list[str]:
    """Labels of models."""
    labels = catalog.models().set_index("model_id")["label"].to_dict()
    return [str(labels.get(name, name)) for name in model_ids]
