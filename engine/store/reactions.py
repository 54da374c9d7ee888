"""Defect energies as rows of the store: all reactions that its configurations allow, errors of models, ranks by kind.

A reaction may have parts in several datasets. The build therefore makes reactions last, from the store's own tables.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from engine.numerics.metrics import MEV
from engine.numerics.reaction_ranks import ranked
from engine.numerics.reactions import check_balance, composition, reaction_energy, reaction_errors, unit_factor
from engine.records import Configuration
from engine.registry.datasets import Dataset
from engine.registry.label_convergence import judge
from engine.registry.leakage import COUNTED
from engine.registry.reaction_groups import Cell, concerned_groups, group_reactions
from engine.registry.reaction_rules import OWN_DATASET, named_reactions, pair_reactions
from engine.registry.reactions import KINDS, Composition, Key, Reaction, load_reactions, needed_configurations
from engine.store.ranking import Comparable

SHOWN, ALL_LABELS = "shown", "all"

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Parts:
    """Contents of the store on the configurations that are parts of reactions.

    Attributes:
        atoms: Atoms of each element.
        energies: Reference total energies, eV.
        cells: Cells, shape (3, 3), Å.
        clusters: Names of the clusters that the bootstrap draws.
        inside: Configurations that count as their dataset.
    """

    atoms: dict[Key, Composition]
    energies: dict[Key, float]
    cells: dict[Key, NDArray[np.float64]]
    clusters: dict[Key, str]
    inside: set[Key]


def reaction_tables(
    con: duckdb.DuckDBPyConnection, reactions: Sequence[Reaction], comparable: Comparable
) -> dict[str, Rows]:
    """Rows of `reactions`, `reaction_errors` and `reaction_metrics`.

    Args:
        con: A store with all configurations and predictions.
        reactions: What there may be; a reaction whose first part the store lacks is left out.
        comparable: Which models may be ranked by what their labels are.

    Raises:
        MetricError: Atoms do not balance in a reaction.
    """
    parts = _parts(con, reactions)
    here = [one for one in reactions if parts.energies.keys() >= set(one.keys)]
    for reaction in here:
        check_balance(reaction, parts.atoms)
    about = [_described(one, parts) for one in reactions if one.keys[0] in parts.cells]
    rows = {row["reaction_id"]: row for row in about}
    errors = list(_error_rows(con, here, parts, rows))
    return {
        "reactions": about,
        "reaction_errors": errors,
        "reaction_metrics": list(_metric_rows(con, here, rows, errors, comparable)),
    }


def dataset_reactions(dataset: Dataset, configurations: Sequence[Configuration]) -> list[Reaction]:
    """Reactions that names and groups of the configurations of a dataset allow.

    Args:
        dataset: The dataset.
        configurations: All of its configurations.

    Returns:
        Reactions within the dataset; those that reach over datasets are in the table of the registry.
    """
    if dataset.dataset_id == OWN_DATASET:
        return named_reactions({c.config_id: composition(c.numbers) for c in configurations})
    groups = set(concerned_groups(dataset.dataset_id, dataset.crystal_groups))
    cells = [_cell(dataset, c) for c in configurations if c.group_name in groups and c.energy is not None]
    return group_reactions([cell for cell in cells if cell.volume > 0], dataset.crystal_groups)


def listed_reactions() -> list[Reaction]:
    """Reactions of the table of the registry, and the pairs of solutes that follow from them."""
    listed = load_reactions()
    return [*listed, *pair_reactions(one for one in listed if one.kind == "solute-boundary")]


def _cell(dataset: Dataset, c: Configuration) -> Cell:
    """Facts about a configuration that the rules by group use."""
    a, b, third = np.linalg.norm(c.cell, axis=1).tolist()
    force = np.inf if c.forces is None else float(np.sqrt((c.forces**2).sum(axis=1).mean()))
    volume = abs(float(np.linalg.det(c.cell)))
    gap = _gap(c.cell, c.positions) if volume > 0 else 0.0
    atoms = composition(c.numbers)
    energy = np.nan if c.energy is None else c.energy
    return Cell(dataset.dataset_id, c.config_id, c.group_name, atoms, energy, force, (a, b, third), volume, gap)


def _gap(vectors: NDArray[np.float64], positions: NDArray[np.float64]) -> float:
    """Widest layer without an atom across the longest vector, Å, through the periodic boundary too."""
    lengths = np.linalg.norm(vectors, axis=1).round(3)
    axis = max(range(3), key=lambda k: (lengths[k], k))
    heights = np.sort(np.linalg.solve(vectors.T, positions.T)[axis] % 1.0)
    others = [k for k in range(3) if k != axis]
    height = abs(np.linalg.det(vectors)) / np.linalg.norm(np.cross(*vectors[others]))
    return float(np.diff(heights, append=heights[0] + 1.0).max() * height)


def _parts(con: duckdb.DuckDBPyConnection, reactions: Iterable[Reaction]) -> Parts:
    """Parts of reactions that the store holds; energies only where it has them."""
    with _keys(con, reactions):
        rows = con.execute(
            """
            select dataset_id, config_id, numbers, energy, cell, cluster_name, in_dataset
            from configurations join reaction_parts using (dataset_id, config_id)
            where cell is not null  -- a summary has no cells, and no energies of models
            order by dataset_id, config_id
            """
        ).fetchall()
    parts = Parts({}, {}, {}, {}, set())
    for dataset_id, config_id, numbers, energy, cell, cluster, is_inside in rows:
        key = (dataset_id, config_id)
        parts.atoms[key] = composition(np.asarray(numbers))
        parts.cells[key] = np.asarray(cell).reshape(3, 3)
        parts.clusters[key] = cluster
        if energy is not None:
            parts.energies[key] = energy
        if is_inside:
            parts.inside.add(key)
    return parts


@contextmanager
def _keys(con: duckdb.DuckDBPyConnection, reactions: Iterable[Reaction]) -> Iterator[None]:
    """The configurations of some reactions as a table `reaction_parts` that statements can join, for a while."""
    needed = needed_configurations(reactions)
    pairs = sorted((dataset_id, name) for dataset_id, names in needed.items() for name in names)
    columns = {"dataset_id": [p for p, _ in pairs], "config_id": [p for _, p in pairs]}
    con.register("reaction_parts", pa.table({k: pa.array(v, pa.string()) for k, v in columns.items()}))
    try:
        yield
    finally:
        con.unregister("reaction_parts")


def _described(one: Reaction, parts: Parts) -> dict[str, Any]:
    """A row of `reactions`."""
    first = one.keys[0]
    n_atoms = sum(parts.atoms[first].values())
    value = reaction_energy(one, parts.energies) if parts.energies.keys() >= set(one.keys) else None
    factor = unit_factor(one, n_atoms, parts.cells[first])
    is_converged, note = (None, "") if value is None else judge(one, value, n_atoms)
    return {
        "reaction_id": one.reaction_id, "kind": one.kind, "dataset_id": one.dataset_id, "config_id": first[1],
        "in_dataset": first in parts.inside, "metals": _metals(one), "system": one.system,
        "environment": one.environment, "place": one.place, "added": one.added, "per": one.per,
        "n_faces": one.n_faces, "unit": KINDS[one.kind].unit, "factor": factor,
        "part_datasets": [part.dataset_id for part in one.parts],
        "part_configs": [part.config_id for part in one.parts],
        "coefficients": [str(part.coefficient) for part in one.parts],
        "reference": None if value is None else value * factor,
        "is_converged": is_converged, "convergence_note": note, "cluster_name": parts.clusters[first],
    }  # fmt: skip


def _metals(one: Reaction) -> list[str]:
    """Hosts of a reaction: all elements of an alloy, else the metal that solutes or hydrogen are added to."""
    return one.system.split("-")[: 1 if one.added else None]


def _error_rows(
    con: duckdb.DuckDBPyConnection, reactions: Sequence[Reaction], parts: Parts, about: Mapping[str, dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Rows of `reaction_errors`; offsets of the parts are fitted to all reactions of one dataset."""
    by_dataset: dict[str, list[Reaction]] = {}
    for one in reactions:
        by_dataset.setdefault(one.dataset_id, []).append(one)
    for model_id, predicted in _predictions(con, reactions).items():
        for chosen in by_dataset.values():
            for found in reaction_errors(chosen, parts.atoms, parts.energies, predicted):
                row = about[found.reaction.reaction_id]
                names = ("reaction_id", "kind", "dataset_id", "config_id", "in_dataset", "unit", "reference")
                yield {name: row[name] for name in names} | {
                    "model_id": model_id,
                    "is_converged": row["is_converged"],
                    "prediction": found.predicted * row["factor"],
                    "error": found.error * row["factor"],
                    "part_errors": [error * MEV for error in found.part_errors],
                    "error_mev": found.error * MEV,
                    "error_rss_mev": found.root_sum_square * MEV,
                    "error_sum_mev": found.sum_absolute * MEV,
                }


def _predictions(con: duckdb.DuckDBPyConnection, reactions: Iterable[Reaction]) -> dict[str, dict[Key, float]]:
    """Predicted total energies of the parts, eV, by model."""
    with _keys(con, reactions):
        rows = con.execute(
            """
            select model_id, dataset_id, config_id, p.energy from predictions p
            join reaction_parts using (dataset_id, config_id)
            where p.status = 'ok' and p.energy is not null order by model_id
            """
        ).fetchall()
    found: dict[str, dict[Key, float]] = {}
    for model_id, dataset_id, config_id, energy in rows:
        found.setdefault(model_id, {})[dataset_id, config_id] = energy
    return found


def _failed(con: duckdb.DuckDBPyConnection, reactions: Iterable[Reaction]) -> dict[str, set[Key]]:
    """Parts that each model was run on without a result."""
    with _keys(con, reactions):
        rows = con.execute(
            """
            select model_id, dataset_id, config_id from predictions join reaction_parts using (dataset_id, config_id)
            where status <> 'ok'
            """
        ).fetchall()
    found: dict[str, set[Key]] = {}
    for model_id, dataset_id, config_id in rows:
        found.setdefault(model_id, set()).add((dataset_id, config_id))
    return found


def _metric_rows(
    con: duckdb.DuckDBPyConnection,
    reactions: Sequence[Reaction],
    about: Mapping[str, dict[str, Any]],
    errors: Rows,
    comparable: Comparable,
) -> Iterator[dict[str, Any]]:
    """Rows of `reaction_metrics`."""
    if not errors:
        return
    failed, seen = _failed(con, reactions), _seen(con)
    table = pd.DataFrame(errors).assign(cluster_name=lambda t: t["reaction_id"].map(lambda n: about[n]["cluster_name"]))
    for (dataset_id, kind), part in table.groupby(["dataset_id", "kind"]):
        chosen = [one for one in reactions if (one.dataset_id, one.kind) == (dataset_id, kind)]
        for labels in (SHOWN, ALL_LABELS):
            counted = [
                one for one in chosen if labels == ALL_LABELS or about[one.reaction_id]["is_converged"] is not False
            ]
            names = {one.reaction_id for one in counted}
            n_failed = {m: sum(not keys.isdisjoint(one.keys) for one in counted) for m, keys in failed.items()}
            fit = comparable.models(sorted(part["model_id"].unique()), str(dataset_id), is_raw=False)
            unseen = [m for m in fit if (m, dataset_id) not in seen]
            keys = {"dataset_id": dataset_id, "kind": kind, "labels": labels, "unit": KINDS[str(kind)].unit}
            for with_seen, allowed in ((False, unseen), (True, fit)):
                for row in ranked(part[part["reaction_id"].isin(names)], n_failed, fit, allowed):
                    yield keys | {"with_seen": with_seen, "n_expected": len(counted)} | row


def _seen(con: duckdb.DuckDBPyConnection) -> set[tuple[str, str]]:
    """Pairs of model and dataset where the model was trained on configurations of it."""
    rows = con.execute(
        "select distinct model_id, dataset_id from leakage where list_contains(?, certainty)", [list(COUNTED)]
    ).fetchall()
    return {(model_id, dataset_id) for model_id, dataset_id in rows}
