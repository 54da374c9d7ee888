"""Effect of the pseudopotentials of training labels on forces: slopes of models that differ in these labels alone.

OMat24 has other pseudopotentials than the Materials Project for some metals. Some models were trained on OMat24, and
then further on labels of the Materials Project. Where the pseudopotentials change the forces of a metal, the two slopes
differ.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from engine.numerics.metrics import MIN_CLUSTERS
from engine.numerics.slopes import Sums, contrast, ratio_of_sums
from engine.queries import catalog, specialised, training
from engine.queries.scope import EVERYTHING, Scope
from engine.store import connection
from engine.store.connection import cached

REFERENCES = OMAT24, MATERIALS_PROJECT, MATPES = "omat24", "mp", "matpes"

LEAST_FORCE = 0.01
"""Root mean square reference force component, eV/Å, below which a configuration says nothing of a slope."""

COLUMNS = [
    "dataset_id", "dataset_label", "elements", "omat24_model", "other_model", "n_configs", "n_clusters", "slope_omat24",
    "slope_omat24_lo", "slope_omat24_hi", "slope_other", "slope_other_lo", "slope_other_hi", "ratio", "ratio_lo",
    "ratio_hi", "contrast", "contrast_lo", "contrast_hi",
]  # fmt: skip


def model_pairs() -> list[tuple[str, str]]:
    """Models of one architecture and size: trained on OMat24 alone, and on OMat24 and then the Materials Project."""
    models = catalog.models().dropna(subset="n_parameters")
    first = models[models["energy_reference"] == OMAT24]
    first = first[[list(sets) == [OMAT24] for sets in first["trained_on"]]]
    other = models[models["energy_reference"] == MATERIALS_PROJECT]
    other = other[[OMAT24 in sets for sets in other["trained_on"]]]
    keys = ["family", "n_parameters", "conservative"]
    pairs = first.merge(other, on=keys, suffixes=("_first", "_other"))
    return sorted(zip(pairs["model_id_first"], pairs["model_id_other"], strict=True))


@cached
def potentials_and_forces(scope: Scope = EVERYTHING) -> pd.DataFrame:
    """Slopes of forces of both models of each pair on each dataset, over the configurations that both have.

    Args:
        scope: Which configurations.

    Returns:
        The columns `COLUMNS`: names of the models, slopes of predicted over reference force components and the ratio
        of the first over the second, each with 95 % bounds (missing for few clusters); the ratio furthest from 1 first.
        The contrast is the ratio over the median of those on datasets that share no element with this one. Datasets
        that one of the two was trained on are left out.
    """
    labels = catalog.models().set_index("model_id")["label"]
    rows = []
    for pair in model_pairs():
        parts = dict(list(_sums(pair, scope).groupby("dataset_id")))
        for dataset_id, part in parts.items():
            first = part.iloc[0]
            about = {"dataset_id": dataset_id, "dataset_label": first["dataset_label"], "elements": first["elements"]}
            names = {"omat24_model": labels[pair[0]], "other_model": labels[pair[1]]}
            rows.append(about | names | _slopes(part) | _contrast(part, parts.values()))
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values("ratio", key=lambda ratio: -(ratio - 1.0).abs(), ignore_index=True)


@cached
def slopes(scope: Scope) -> pd.DataFrame:
    """Slope of forces of every model that learnt labels of the Materials Project, OMat24 or MatPES on one dataset.

    Args:
        scope: Which configurations of one dataset.

    Returns:
        model_id, label, energy_reference (of the labels that it learnt), n_configs, n_clusters, slope, slope_lo and
        slope_hi, by labels and slope; each over the configurations that the model has a result for. Models that were
        trained on the dataset are left out.

    Raises:
        ScopeError: The scope has not exactly one dataset.
    """
    found = connection.frame(
        f"""
        select e.model_id, m.label, m.energy_reference, c.cluster_name, e.reference_dot_predicted as dot,
            e.reference_dot_reference as norm
        from errors e join models m using (model_id) join configurations c using (dataset_id, config_id)
        where e.dataset_id = $dataset and {scope.predicate("e")} and list_contains($references, m.energy_reference)
            and e.reference_dot_predicted is not null and e.reference_dot_reference > 3 * e.n_atoms * $least ** 2
        order by e.model_id, e.config_id
        """,
        {"dataset": scope.dataset_id, "references": list(REFERENCES), "least": LEAST_FORCE} | scope.bindings(),
    )
    rows = []
    for (model_id, label, reference), part in found.groupby(["model_id", "label", "energy_reference"]):
        dots, norms, clusters = (part[name].to_numpy() for name in ("dot", "norm", "cluster_name"))
        numbers = (len(part), part["cluster_name"].nunique())
        rows.append((model_id, label, reference, *numbers, *ratio_of_sums(dots, norms, clusters.astype(str))))
    names = ["model_id", "label", "energy_reference", "n_configs", "n_clusters", "slope", "slope_lo", "slope_hi"]
    table = pd.DataFrame(rows, columns=names).assign(dataset_id=scope.dataset_id)
    table = training.with_seen_columns(table, scope)
    order = table["energy_reference"].map(REFERENCES.index)
    table = table.assign(order=order).sort_values(["order", "slope"], ignore_index=True)
    return table.loc[~table["is_seen"], names].reset_index(drop=True)


LABELS = ["OMat24", "OMat24, then the Materials Project", "the Materials Project", "MatPES"]
"""What models learnt forces from; the second learnt labels of the Materials Project last."""


@cached
def slopes_by_labels(scope: Scope = EVERYTHING) -> pd.DataFrame:
    """Range of the slopes of forces over universal models that learnt the same labels, on each dataset of one element.

    Args:
        scope: Which configurations.

    Returns:
        dataset_id, dataset_label, elements, learnt (one of `LABELS`), n_models, n_families, lowest and highest slope,
        and n_configs, the fewest that one of the models has; by element, dataset and labels. Models that were trained
        on the dataset are left out.
    """
    found = connection.frame(
        f"""
        select e.dataset_id, d.label as dataset_label, d.elements[1] as elements, e.model_id, m.family,
            m.energy_reference, list_contains(m.trained_on, $omat24) as has_omat24, count(*) as n_configs,
            sum(e.reference_dot_predicted) / sum(e.reference_dot_reference) as slope
        from errors e join models m using (model_id) join datasets d using (dataset_id)
        where len(d.elements) = 1 and len(m.elements) > $few and {scope.predicate("e")}
            and list_contains($references, m.energy_reference)
            and e.reference_dot_predicted is not null and e.reference_dot_reference > 3 * e.n_atoms * $least ** 2
        group by all order by all
        """,
        {"omat24": OMAT24, "few": specialised.FEW, "references": list(REFERENCES), "least": LEAST_FORCE}
        | scope.bindings(),
    )
    found = training.with_seen_columns(found, scope)
    found = found[~found["is_seen"]]
    is_mp, has_omat24 = found["energy_reference"] == MATERIALS_PROJECT, found["has_omat24"]
    learnt = np.select([~is_mp & has_omat24, is_mp & has_omat24, is_mp], LABELS[:3], LABELS[3])
    keys = ["elements", "dataset_id", "dataset_label"]
    table = found.assign(learnt=pd.Categorical(learnt, LABELS)).groupby([*keys, "learnt"], observed=True)
    return table.agg(
        n_models=("model_id", "nunique"), n_families=("family", "nunique"), lowest=("slope", "min"),
        highest=("slope", "max"), n_configs=("n_configs", "min"),
    ).reset_index()  # fmt: skip


def _sums(pair: tuple[str, str], scope: Scope) -> pd.DataFrame:
    """Sums over the force components of each configuration that both have, without what either was fitted to."""
    found = connection.frame(
        f"""
        select a.dataset_id, d.label as dataset_label, array_to_string(d.elements, ' ') as elements, c.cluster_name,
            a.reference_dot_predicted as first_dot, b.reference_dot_predicted as other_dot,
            a.reference_dot_reference as norm
        from errors a join errors b using (dataset_id, config_id)
        join configurations c using (dataset_id, config_id) join datasets d using (dataset_id)
        where a.model_id = $first and b.model_id = $other and {scope.predicate("a")}
            and b.reference_dot_predicted is not null and a.reference_dot_reference > 3 * a.n_atoms * $least ** 2
        order by a.dataset_id, config_id
        """,
        {"first": pair[0], "other": pair[1], "least": LEAST_FORCE} | scope.bindings(),
    )
    known = training.seen(scope)
    known = known[known["is_seen"] & known["model_id"].isin(pair)]
    return found[~found["dataset_id"].isin(known["dataset_id"])]


def _slopes(part: pd.DataFrame) -> dict[str, Any]:
    """Both slopes and their ratio over the configurations of one dataset."""
    clusters = part["cluster_name"].to_numpy(dtype=str)
    columns = {name: part[name].to_numpy(dtype=float) for name in ("first_dot", "other_dot", "norm")}
    found: dict[str, Any] = {"n_configs": len(part), "n_clusters": int(part["cluster_name"].nunique())}
    wanted = {
        "slope_omat24": ("first_dot", "norm"),
        "slope_other": ("other_dot", "norm"),
        "ratio": ("first_dot", "other_dot"),
    }
    for name, (above, below) in wanted.items():
        value, low, high = ratio_of_sums(columns[above], columns[below], clusters)
        found |= {name: value, f"{name}_lo": low, f"{name}_hi": high}
    return found


def _contrast(part: pd.DataFrame, parts: Collection[pd.DataFrame]) -> dict[str, float]:
    """The ratio of slopes on one dataset over the median of those on datasets without any of its elements."""
    elements = set(part["elements"].iloc[0].split())
    others = [other for other in parts if not elements & set(other["elements"].iloc[0].split())]
    others = [other for other in others if other["cluster_name"].nunique() >= MIN_CLUSTERS]
    found = contrast(_ratio(part), [_ratio(other) for other in others]) if others else (float("nan"),) * 3
    return dict(zip(("contrast", "contrast_lo", "contrast_hi"), found, strict=True))


def _ratio(part: pd.DataFrame) -> Sums:
    """What the ratio of slopes is made of: the sums of the squared reference cancel."""
    columns = (part[name].to_numpy(dtype=float) for name in ("first_dot", "other_dot"))
    return Sums(*columns, part["cluster_name"].to_numpy(dtype=str))
