"""What is known of models for the elements and kind of a visitor's structure, and which of them to begin with."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from engine.queries.scope import ALL, Scope
from engine.queries.training import not_trained_on
from engine.registry.leakage import COUNTED
from engine.registry.models import load_models
from engine.registry.training_sets import all_inside
from engine.store import connection
from engine.store.connection import cached

MOST_DEFAULTS = 3
WORST_RATIO = 3.0
"""Force RMSE of a model over that of the best, beyond which a page does not begin with it."""

USUAL_FUNCTIONAL = "PBE"

_ONE_SOURCE = {"mpf-2021.2.8": "mptrj"}  # both are extracts of the relaxations of the Materials Project

_COLUMNS = ["model_id", "n_configs", "rmse", "n_shared", "rmse_shared", "is_compared", "dataset_ids"]


@cached
def known_errors(elements: tuple[str, ...], kind: str, model_ids: tuple[str, ...]) -> pd.DataFrame:
    """Force errors of some models on benchmark structures of a kind, made of some elements alone.

    Models are compared on the configurations that all of them have. One that would leave too few keeps its own number
    alone, which is of other structures. Configurations that a model was trained on do not count for it.

    Args:
        elements: Of the structure.
        kind: Id of a kind, or `all`.
        model_ids: The models.

    Returns:
        One row per model with a result, compared ones first, the best first: model_id, n_configs and rmse of its own
        (meV/Å), n_shared and rmse_shared on the common configurations (NaN where it is not compared), is_compared,
        dataset_ids.
    """
    scope = Scope(kinds=() if kind == ALL else (kind,))
    found = connection.frame(
        f"""
        select e.model_id, e.dataset_id, e.config_id, e.n_atoms, e.force_rmse
        from errors e join configurations c using (dataset_id, config_id)
        where {scope.predicate("e")} and e.force_rmse is not null and list_contains($models, e.model_id)
            and list_has_all($elements, c.elements)
            and {not_trained_on("e", "e.model_id")}
        order by e.model_id, e.dataset_id, e.config_id
        """,
        scope.bindings() | {"models": list(model_ids), "counted": list(COUNTED), "elements": list(elements)},
    )
    if found.empty:
        return pd.DataFrame(columns=_COLUMNS)
    found["key"] = found["dataset_id"] + "/" + found["config_id"]
    parts = {str(model_id): part.set_index("key") for model_id, part in found.groupby("model_id")}
    compared, shared = _comparable({model_id: set(part.index) for model_id, part in parts.items()})
    rows = []
    for model_id, part in parts.items():
        is_compared = model_id in compared
        common = part.loc[sorted(shared)] if is_compared else part.iloc[:0]
        rows.append(
            {
                "model_id": model_id, "n_configs": len(part), "rmse": _rmse(part), "n_shared": len(common),
                "rmse_shared": _rmse(common) if is_compared else np.nan, "is_compared": is_compared,
                "dataset_ids": tuple(sorted(set(part["dataset_id"]))),
            }
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=_COLUMNS)
    order = table["rmse_shared"].fillna(table["rmse"])
    return table.assign(order=order).sort_values(
        ["is_compared", "order", "model_id"], ascending=[False, True, True], ignore_index=True
    ).drop(columns="order")  # fmt: skip


def _comparable(configurations: dict[str, set[str]]) -> tuple[list[str], set[str]]:
    """Models that are compared, and the configurations that they have in common: many models, and many of these.

    From all models, the one with the fewest configurations goes in turn. Of the sets on this way, that counts whose
    number of models that have another to be compared with times the logarithm of configurations is largest.
    """
    models = sorted(configurations)
    best: tuple[float, list[str], set[str]] = (-2.0, [], set())
    while models:
        common = set.intersection(*(configurations[name] for name in models))
        worth = (len(models) - 1) * float(np.log1p(len(common))) if common else -1.0
        best = max(best, (worth, list(models), common), key=lambda one: one[0])
        models.remove(min(models, key=lambda name: (len(configurations[name]), name)))
    return best[1], best[2]


def _rmse(part: pd.DataFrame) -> float:
    """Root mean square force component over all atoms, meV/Å."""
    return 1000 * float(np.sqrt(np.average(part["force_rmse"].to_numpy(dtype=float) ** 2, weights=part["n_atoms"])))


def default_models(known: pd.DataFrame, candidates: Sequence[str]) -> list[str]:
    """Models to begin with: the best, then the best of other training data, and two at least where there are two.

    Models of `USUAL_FUNCTIONAL` come before all others, which join only where there are fewer than two of them: labels
    of the benchmark and most calculations that visitors compare with are of that functional. A model with a force RMSE
    above `WORST_RATIO` times that of the best does not join for its training data alone.

    Args:
        known: Rows of `known_errors`.
        candidates: Ids of models that can run here and know all elements.
    """
    compared = known[known["is_compared"].astype(bool) & known["model_id"].isin(candidates)]
    order = [str(name) for name in known["model_id"] if name in set(candidates)]
    order += [name for name in candidates if name not in set(order)]
    usual = [name for name in order if load_models()[name].level.functional == USUAL_FUNCTIONAL]
    order = [*usual, *(name for name in order if name not in set(usual))]
    compared = compared[compared["model_id"].isin(usual or order)]
    limit = WORST_RATIO * float(compared["rmse_shared"].min()) if len(compared) else np.inf
    good = set(compared.loc[compared["rmse_shared"] <= limit, "model_id"]) if len(compared) else set(usual or order)
    chosen = order[:1]
    for name in order[1:]:
        if name in good and len(chosen) < MOST_DEFAULTS and not shared_training([name, *chosen], of_all=False):
            chosen.append(name)
    for name in order:
        if len(chosen) < 2 and name not in chosen:
            chosen.append(name)
    return chosen


def shared_training(model_ids: Collection[str], *, of_all: bool = True) -> list[str]:
    """Training sets that models have in common, by id, those inside others included.

    Args:
        model_ids: At least two, else nothing is shared.
        of_all: Whether all models must have a set, or the first and any other.
    """
    sets = [_sources(model_id) for model_id in model_ids]
    if len(sets) < 2:
        return []
    first, rest = sets[0], sets[1:]
    common = first.intersection(*rest) if of_all else first & frozenset().union(*rest)
    return sorted(common)


def _sources(model_id: str) -> frozenset[str]:
    """Training sets of a model, one name for those from one source."""
    return frozenset(_ONE_SOURCE.get(key, key) for key in all_inside(load_models()[model_id].training_sets))
