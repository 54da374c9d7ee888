"""Interaction energies of solutes and defects."""

from typing import Any

import numpy as np
import pandas as pd

from engine.numerics import comparison
from engine.numerics.interactions import (
    InteractionError,
    agreement,
    composition,
    interaction_energy,
    interaction_errors,
)
from engine.queries import error_metrics, training
from engine.queries.scope import Scope
from engine.registry.interactions import (
    Composition,
    Interaction,
    Key,
    interactions_of,
    needed_configurations,
)
from engine.store import connection
from engine.store.connection import cached

ALL_INTERACTIONS = "all"

_INTERACTION_COLUMNS = [
    "model_id",
    "label",
    "interaction_id",
    "system",
    "environment",
    "place",
    "added",
    "dataset_id",
    "config_id",
    "reference_interaction",
    "predicted_interaction",
    "interaction_error",
    "part_error_rss",
    "part_error_sum",
    "cancellation",
    "part_errors",
]

_AGREEMENT_COLUMNS = [
    "model_id",
    "label",
    "origin",
    "is_seen",
    "seen_reason",
    "n_interactions",
    "n_own",
    "n_failed",
    "n_expected",
    "is_ranked",
    "cause",
    "interaction_rmse",
    "interaction_mae",
    "interaction_bias",
    "sign_agreement",
    "sign_baseline",
    "interaction_spearman",
    "cancellation",
]


@cached
def interactions(set_id: str) -> pd.DataFrame:
    """All interaction energies of a set, in the order of the matching table.

    Args:
        set_id: Key of `engine.registry.interactions.SETS`.

    Returns:
        interaction_id, system, environment, place, added, n_parts, dataset_id and config_id of the cell with defect
        and solute, and reference_interaction (eV; NaN where the store lacks a part or its energy).
    """
    chosen = interactions_of(set_id)
    _, reference = _parts_of(set_id)
    rows = []
    for one in chosen:
        is_known = reference.keys() >= set(one.keys)
        value = interaction_energy(one, reference) if is_known else float("nan")
        rows.append(_described(one) | {"n_parts": len(one.parts), "reference_interaction": value})
    return pd.DataFrame(rows)


def interaction_energies(
    set_id: str,
    model_ids: tuple[str, ...] | None = None,
    *,
    system: str = ALL_INTERACTIONS,
    environment: str = ALL_INTERACTIONS,
) -> pd.DataFrame:
    """Interaction energies of models, of the interactions for which a model has a result for every part.

    Args:
        set_id: Key of `engine.registry.interactions.SETS`.
        model_ids: Models; None for all of them.
        system: One host and solute; `all` for all of them.
        environment: One kind of defect; `all` for all of them.

    Returns:
        One row per model and interaction: model_id, label, the columns of `interactions` without n_parts,
        predicted_interaction, interaction_error, part_error_rss, part_error_sum (all eV), cancellation, and
        part_errors, a list of (config_id, coefficient, eV); see `engine.numerics.interactions.InteractionError`.
    """
    energies = _interaction_energies(set_id)
    if model_ids is not None:
        energies = energies[energies["model_id"].isin(model_ids)]
    return _of_kind(energies, system, environment)


@cached
def interaction_agreement(
    set_id: str,
    *,
    system: str = ALL_INTERACTIONS,
    environment: str = ALL_INTERACTIONS,
    is_shared: bool = True,
    with_seen: bool = False,
) -> pd.DataFrame:
    """How well models agree with the reference on the interactions of a set, or on those of one kind.

    Args:
        set_id: Key of `engine.registry.interactions.SETS`.
        system: One host and solute; `all` for all of them.
        environment: One kind of defect; `all` for all of them.
        is_shared: Compare models on the interactions that all ranked ones have, by the rule of
            `engine.numerics.comparison.choose_models`; otherwise on all that each has.
        with_seen: Whether a model may be ranked that was trained on a dataset of the set.

    Returns:
        One row per model that was run on some part, ranked ones first and then by error: model_id, label, origin,
        is_seen, seen_reason, n_interactions (that the numbers rest on), n_own, n_failed, n_expected, is_ranked, `cause`
        of not being ranked (a key of `comparison.UNRANKED`),
        interaction_rmse, interaction_mae, interaction_bias (eV), sign_agreement, interaction_spearman, and
        cancellation (median).
    """
    known = _of_kind(interactions(set_id), system, environment)
    energies = interaction_energies(set_id, system=system, environment=environment)
    places = {name: number for number, name in enumerate(known["interaction_id"])}
    own = {
        str(model_id): np.array([places[name] for name in part["interaction_id"]], dtype=np.int64)
        for model_id, part in energies.groupby("model_id")
    }
    tried = _marked_seen(_interactions_tried(set_id, known["interaction_id"].tolist()), set(known["dataset_id"]))
    level = _of_other_levels(set(known["dataset_id"]))
    seen = set() if with_seen else set(tried.loc[tried["is_seen"], "model_id"])
    own = {name: place for name, place in own.items() if name not in level | seen}
    chosen, _ = comparison.choose_models(own, dict(zip(tried["model_id"], tried["n_failed"], strict=True)))
    shared = set.intersection(*(set(own[model_id].tolist()) for model_id in chosen)) if chosen else set()
    rows = []
    for row in tried.to_dict("records"):
        part = energies[energies["model_id"] == row["model_id"]]
        is_ranked = row["model_id"] in chosen
        n_own = len(part)
        if is_ranked and is_shared:
            part = part[part["interaction_id"].map(places).isin(shared)]
        counts = {"n_interactions": len(part), "n_own": n_own, "n_expected": len(known), "is_ranked": is_ranked}
        causes = {"level": row["model_id"] in level, "seen": row["model_id"] in seen, "share": not is_ranked}
        cause = next((name for name, is_so in causes.items() if is_so), "")
        rows.append(row | counts | {"cause": cause} | _agreement_of(part))
    table = pd.DataFrame(rows, columns=_AGREEMENT_COLUMNS)
    return table.sort_values(
        ["is_ranked", "interaction_rmse", "model_id"], ascending=[False, True, True], ignore_index=True
    )


def _of_other_levels(dataset_ids: set[str]) -> set[str]:
    """Models whose labels have another functional or dispersion than those of one of the datasets."""
    metrics = error_metrics.dataset_metrics("per_element", Scope.of(*sorted(dataset_ids)))
    return set(metrics.loc[metrics["cause"] == "level", "model_id"])


def _marked_seen(tried: pd.DataFrame, dataset_ids: set[str]) -> pd.DataFrame:
    """The rows with `is_seen` and `seen_reason`: the model was trained on one of the datasets."""
    known = training.seen(Scope.of(*sorted(dataset_ids)))
    known = known[known["is_seen"]]
    reasons: dict[str, str] = {}
    for row in known.drop_duplicates(["model_id", "seen_reason"]).itertuples():
        reasons[row.model_id] = f"{reasons.get(row.model_id, '')} {row.seen_reason}".strip()
    return tried.assign(
        is_seen=tried["model_id"].isin(reasons), seen_reason=[reasons.get(name, "") for name in tried["model_id"]]
    )


@cached
def interaction_breakdown(
    set_id: str,
    model_ids: tuple[str, ...],
    *,
    system: str = ALL_INTERACTIONS,
    environment: str = ALL_INTERACTIONS,
) -> pd.DataFrame:
    """The same numbers by system and kind of defect, of some models on all interactions that each has.

    Args:
        set_id: Key of `engine.registry.interactions.SETS`.
        model_ids: Models.
        system: One host and solute; `all` for all of them.
        environment: One kind of defect; `all` for all of them.

    Returns:
        One row per system, environment and model: label, system, environment, n_interactions, and the numbers of
        `interaction_agreement`.
    """
    energies = interaction_energies(set_id, model_ids, system=system, environment=environment)
    names = ["system", "environment", "label"]
    rows = [
        dict(zip(names, values, strict=True)) | {"n_interactions": len(part)} | _agreement_of(part)
        for values, part in energies.groupby(names)
    ]
    return pd.DataFrame(rows)


@cached
def _interaction_energies(set_id: str) -> pd.DataFrame:
    """Interaction energies of all models; the offsets in the parts' errors are fitted to the whole set."""
    chosen = interactions_of(set_id)
    compositions, reference = _parts_of(set_id)
    predictions = _part_predictions(set_id)
    predictions = predictions[predictions["status"] == "ok"].dropna(subset=["energy"])
    rows = []
    for (model_id, label), part in predictions.groupby(["model_id", "label"]):
        keys = zip(part["dataset_id"], part["config_id"], strict=True)
        predicted = dict(zip(keys, part["energy"].tolist(), strict=True))
        for found in interaction_errors(chosen, compositions, reference, predicted):
            rows.append({"model_id": model_id, "label": label} | _described(found.interaction) | _measured(found))
    return pd.DataFrame(rows, columns=_INTERACTION_COLUMNS)


def _of_kind(table: pd.DataFrame, system: str, environment: str) -> pd.DataFrame:
    """Rows of one system and one kind of defect, or of all."""
    for column, value in (("system", system), ("environment", environment)):
        if value != ALL_INTERACTIONS:
            table = table[table[column] == value]
    return table


def _described(one: Interaction) -> dict[str, Any]:
    """Columns that name an interaction and the cell with defect and solute."""
    first = one.parts[0]
    return {
        "interaction_id": one.interaction_id,
        "system": one.system,
        "environment": one.environment,
        "place": one.place,
        "added": one.added,
        "dataset_id": first.dataset_id,
        "config_id": first.config_id,
    }


def _measured(found: InteractionError) -> dict[str, Any]:
    """Columns of one model's value of an interaction."""
    parts = zip(found.interaction.parts, found.part_errors, strict=True)
    return {
        "reference_interaction": found.reference,
        "predicted_interaction": found.predicted,
        "interaction_error": found.error,
        "part_error_rss": found.root_sum_square,
        "part_error_sum": found.sum_absolute,
        "cancellation": found.cancellation,
        "part_errors": [(part.config_id, part.coefficient, error) for part, error in parts],
    }


def _agreement_of(part: pd.DataFrame) -> dict[str, float]:
    """Columns of `interaction_agreement` that are made of energies; none without any."""
    if part.empty:
        return {}
    found = agreement(part["reference_interaction"].to_numpy(), part["predicted_interaction"].to_numpy())
    return {
        "interaction_rmse": found["rmse"],
        "interaction_mae": found["mae"],
        "interaction_bias": found["mean_error"],
        "sign_agreement": found["sign_agreement"],
        "sign_baseline": found["sign_baseline"],
        "interaction_spearman": found["spearman"],
        "cancellation": float(part["cancellation"].median()),
    }


def _bound_parts(set_id: str) -> dict[str, list[str]]:
    """The configurations that a set is made of, as two parallel lists to bind."""
    needed = needed_configurations(interactions_of(set_id))
    pairs = sorted((dataset_id, config_id) for dataset_id, ids in needed.items() for config_id in ids)
    return {"datasets": [dataset_id for dataset_id, _ in pairs], "configs": [config_id for _, config_id in pairs]}


_PARTS = "(select unnest($datasets) as dataset_id, unnest($configs) as config_id)"


def _parts_of(set_id: str) -> tuple[dict[Key, Composition], dict[Key, float]]:
    """Compositions and reference energies of the parts of a set that the store holds."""
    table = connection.frame(
        f"""
        select dataset_id, config_id, c.numbers, c.energy
        from configurations c join {_PARTS} using (dataset_id, config_id)
        where c.energy is not null
        order by dataset_id, config_id
        """,
        _bound_parts(set_id),
    )
    keys = list(zip(table["dataset_id"], table["config_id"], strict=True))
    atoms = {key: composition(np.asarray(z)) for key, z in zip(keys, table["numbers"], strict=True)}
    return atoms, dict(zip(keys, table["energy"].tolist(), strict=True))


@cached
def _part_predictions(set_id: str) -> pd.DataFrame:
    """Predictions of all models for the parts of a set, failed ones too: energies only."""
    return connection.frame(
        f"""
        select p.model_id, m.label, dataset_id, config_id, p.status, p.energy, r.origin
        from predictions p
        join {_PARTS} using (dataset_id, config_id)
        join models m using (model_id)
        left join runs r using (run_id)
        order by p.model_id, dataset_id, config_id
        """,
        _bound_parts(set_id),
    )


def _interactions_tried(set_id: str, interaction_ids: list[str]) -> pd.DataFrame:
    """model_id, label, origin and n_failed (interactions of which a part failed) of models run on some part."""
    predictions = _part_predictions(set_id)
    chosen = [one for one in interactions_of(set_id) if one.interaction_id in set(interaction_ids)]
    wanted = {key for one in chosen for key in one.keys}
    rows = []
    for (model_id, label), part in predictions.groupby(["model_id", "label"]):
        keys = list(zip(part["dataset_id"], part["config_id"], strict=True))
        if not wanted.intersection(keys):
            continue
        failed = {key for key, status in zip(keys, part["status"], strict=True) if status != "ok"}
        n_failed = sum(not failed.isdisjoint(one.keys) for one in chosen)
        origin = " + ".join(sorted(set(part["origin"].dropna())))
        rows.append({"model_id": model_id, "label": label, "origin": origin, "n_failed": n_failed})
    return pd.DataFrame(rows, columns=["model_id", "label", "origin", "n_failed"])
