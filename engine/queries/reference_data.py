"""Queries of the reference data: elements, groups, distributions and representatives of datasets.

Energies and forces come back in the store's units (eV, Å) unless a column's name says otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from ase.data import chemical_symbols
from numpy.typing import NDArray

from engine.errors import ScopeError
from engine.queries.scope import EVERYTHING, WINDOWS, Scope
from engine.registry.datasets import load_datasets
from engine.registry.kinds import label, load_kinds
from engine.store import connection
from engine.store.connection import cached

FloatArray = NDArray[np.float64]

N_BINS = 60

TAIL = 0.001  # share of the samples left out of a histogram at each end, so that one outlier does not squeeze it


@dataclass(frozen=True)
class Histogram:
    """Counts of samples in bins of equal width.

    Attributes:
        edges: Shape (n_bins + 1,).
        counts: Shape (n_bins,).
        n_total: Number of samples.
        n_outside: Samples beyond the edges.
    """

    edges: FloatArray
    counts: NDArray[np.int64]
    n_total: int
    n_outside: int


@cached
def n_configurations(scope: Scope) -> int:
    """Number of configurations."""
    row = connection.row(f"select count(*) from configurations c where {scope.predicate('c')}", scope.bindings())
    assert row is not None  # an aggregate without grouping always gives one row
    return int(row[0])


@cached
def n_known(scope: Scope, column: str) -> int:
    """Number of configurations with a value of a column that a scope may have a window of.

    Raises:
        ScopeError: A scope has no window of that column.
    """
    if column not in WINDOWS:
        raise ScopeError(f"There is no window of '{column}', only of {', '.join(WINDOWS)}.")
    sql = f"select count(c.{column}) from configurations c where {scope.predicate('c')}"
    row = connection.row(sql, scope.bindings())
    assert row is not None  # an aggregate without grouping always gives one row
    return int(row[0])


@cached
def counts_by_dataset(scope: Scope) -> dict[str, int]:
    """Number of configurations of each dataset that has any, most first."""
    found = connection.frame(
        f"""
        select c.dataset_id, count(*) as n from configurations c where {scope.predicate("c")}
        group by c.dataset_id order by n desc, c.dataset_id
        """,
        scope.bindings(),
    )
    return dict(zip(found["dataset_id"], found["n"].astype(int).tolist(), strict=True))


@cached
def counts_by_kind(scope: Scope) -> pd.DataFrame:
    """Configurations of each kind and dataset, in the order of the vocabulary: kind, dataset_id, n_configs."""
    found = connection.frame(
        f"""
        select c.kind, c.dataset_id, count(*) as n_configs from configurations c where {scope.predicate("c")}
        group by c.kind, c.dataset_id order by n_configs desc, c.dataset_id
        """,
        scope.bindings(),
    )
    order = {kind: place for place, kind in enumerate(load_kinds())}
    return found.sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable", ignore_index=True)


@cached
def forces_by_kind(scope: Scope) -> dict[str, float]:
    """Root mean square length of the reference force on an atom of each kind, eV/Å; without kinds that have none."""
    found = connection.frame(
        f"""
        select c.kind, sqrt(sum(c.n_atoms * c.force_rms ** 2) / sum(c.n_atoms)) as force_rms
        from configurations c where c.force_rms is not null and {scope.predicate("c")}
        group by c.kind order by c.kind
        """,
        scope.bindings(),
    )
    return dict(zip(found["kind"], found["force_rms"].astype(float).tolist(), strict=True))


@cached
def kinds_of_groups(dataset_id: str) -> dict[str, str]:
    """Labels of the kinds that the configurations of each group have, the most frequent first."""
    found = connection.frame(
        """
        select group_name, kind from configurations where dataset_id = $dataset
        group by group_name, kind order by group_name, count(*) desc, kind
        """,
        {"dataset": dataset_id},
    )
    names = found.assign(kind=found["kind"].map(label)).groupby("group_name")["kind"].agg(", ".join)
    return {str(group): str(kinds) for group, kinds in names.items()}


def kind_notes(dataset_ids: Sequence[str]) -> list[tuple[str, str, str]]:
    """What the registry says of groups that mix kinds: dataset, label of the kind, and a sentence."""
    known = load_datasets()
    return [
        (dataset_id, label(rule.kind).lower(), rule.note)
        for dataset_id in dataset_ids
        for rule in (known[dataset_id].kinds if dataset_id in known else ())
        if rule.note
    ]


@cached
def elements(scope: Scope) -> list[str]:
    """Elements of the configurations, each of which has an offset of its own where energies are aligned."""
    found = connection.frame(
        f"""
        select distinct unnest(c.elements) as element from configurations c where {scope.predicate("c")}
        order by element
        """,
        scope.bindings(),
    )
    return list(found["element"])


@cached
def element_counts(scope: Scope = EVERYTHING) -> pd.DataFrame:
    """What configurations are made of.

    Returns:
        By element: element, n_configs (that contain it), n_atoms (of the element), n_datasets; most configurations
        first.
    """
    table = connection.frame(
        f"""
        select number, count(*) as n_configs, sum(n)::bigint as n_atoms, count(distinct dataset_id) as n_datasets
        from (
            select dataset_id, config_id, number, count(*) as n
            from (
                select c.dataset_id, c.config_id, unnest(c.numbers) as number
                from configurations c where {scope.predicate("c")}
            )
            group by dataset_id, config_id, number
        )
        group by number order by n_configs desc, number
        """,
        scope.bindings(),
    )
    table.insert(0, "element", [chemical_symbols[number] for number in table.pop("number")])
    return table


def _within(dataset_id: str, within: Scope) -> tuple[str, dict[str, Any]]:
    """Condition on configurations `c` of a dataset, and its bindings; groups outside it count if nothing narrows it."""
    if within.is_whole:
        return "c.dataset_id = $dataset", {"dataset": dataset_id}
    scope = within.on(dataset_id)
    return scope.predicate("c"), scope.bindings()


@cached
def groups(dataset_id: str, within: Scope = EVERYTHING) -> pd.DataFrame:
    """Groups of structures of a dataset, the largest first, those outside it last.

    Args:
        dataset_id: The dataset.
        within: Conditions that its configurations must fit.

    Returns:
        group_name, in_dataset, n_configs, n_atoms (of all of them), n_atoms_min, n_atoms_max (of a configuration),
        composition (shares of atoms), energy_min, energy_max (eV/atom), and force_rms (eV/Å; root mean square of the
        length of the force on an atom).
    """
    condition, named = _within(dataset_id, within)
    table = connection.frame(
        f"""
        select c.group_name, bool_or(c.in_dataset) as in_dataset, count(*) as n_configs,
            sum(c.n_atoms)::bigint as n_atoms, min(c.n_atoms) as n_atoms_min, max(c.n_atoms) as n_atoms_max,
            min(c.energy / c.n_atoms) as energy_min, max(c.energy / c.n_atoms) as energy_max,
            sqrt(sum(c.n_atoms * c.force_rms ** 2)
                / sum(c.n_atoms) filter (c.force_rms is not null)) as force_rms
        from configurations c where {condition}
        group by c.group_name order by in_dataset desc, n_configs desc, c.group_name
        """,
        named,
    )
    table.insert(4, "composition", table["group_name"].map(_compositions(condition, named)))
    return table


def _compositions(condition: str, named: dict[str, Any]) -> dict[str, str]:
    """By group, the share of each element among the atoms, such as `W 87 %, Be 13 %`."""
    table = connection.frame(
        f"""
        select group_name, number, count(*) as n
        from (select c.group_name, unnest(c.numbers) as number from configurations c where {condition})
        group by group_name, number order by group_name, n desc, number
        """,
        named,
    )
    shares = 100 * table["n"] / table.groupby("group_name")["n"].transform("sum")
    texts = [
        f"{chemical_symbols[number]} {share:.0f} %" if share >= 1 else f"{chemical_symbols[number]} < 1 %"
        for number, share in zip(table["number"], shares, strict=True)
    ]
    joined = table.assign(text=texts).groupby("group_name")["text"].agg(", ".join)
    return {str(name): str(text) for name, text in joined.items()}


_SAMPLES = {
    "energy": "c.energy / c.n_atoms",
    "energy_above": "c.energy / c.n_atoms - low.energy",
    "force_component": "unnest(c.forces)",
    "force_length": """unnest(list_transform(range(c.n_atoms), lambda i: sqrt(
        c.forces[3 * i + 1] ** 2 + c.forces[3 * i + 2] ** 2 + c.forces[3 * i + 3] ** 2)))""",
    "n_atoms": "c.n_atoms::double",
}

_LOWEST = """join (
    select dataset_id, min(energy / n_atoms) as energy from configurations where in_dataset group by dataset_id
) low using (dataset_id)"""


def _samples(kind: str, scope: Scope) -> str:
    """Statement that gives the samples of one property as `value`."""
    lowest = _LOWEST if kind == "energy_above" else ""
    known = "and c.forces is not null" if kind.startswith("force") else ""
    return f"select {_SAMPLES[kind]} as value from configurations c {lowest} where {scope.predicate('c')} {known}"


@cached
def histogram(kind: str, scope: Scope) -> Histogram | None:
    """Distribution of one property of the reference data.

    Args:
        kind: `energy`, `energy_above` (the lowest of its dataset; both eV/atom), `force_component`, `force_length`
            (eV/Å), or `n_atoms` (of a configuration).
        scope: Which configurations.

    Returns:
        At most `N_BINS` bins, of whole width for numbers of atoms. None where there are no samples.
    """
    named = scope.bindings()
    finite = f"({_samples(kind, scope)}) where isfinite(value)"
    row = connection.row(
        f"""
        select count(*), quantile_disc(value, $tail), quantile_disc(value, 1 - $tail) from {finite}
        """,
        named | {"tail": TAIL},
    )
    if row is None or not row[0]:
        return None
    n_total, low, high = int(row[0]), float(row[1]), float(row[2])
    edges = _whole_edges(low, high) if kind == "n_atoms" else _edges(low, high)
    width = float(edges[1] - edges[0])
    bins = connection.frame(
        f"""
        select least({len(edges) - 2}, floor((value - $low) / $width)::integer) as bin, count(*) as n
        from {finite} and value >= $low and value <= $high group by bin order by bin
        """,
        named | {"low": float(edges[0]), "high": float(edges[-1]), "width": width},
    )
    counts = np.zeros(len(edges) - 1, dtype=np.int64)
    counts[bins["bin"].to_numpy()] = bins["n"].to_numpy()
    return Histogram(edges, counts, n_total, n_total - int(counts.sum()))


def _edges(low: float, high: float) -> FloatArray:
    """Bins from low to high, of finite width where the two are equal."""
    margin = 0.0 if high > low else 1e-3
    return np.linspace(low - margin, high + margin, N_BINS + 1)


def _whole_edges(low: float, high: float) -> FloatArray:
    """Bins whose centres are the middle of equally many whole numbers."""
    width = int(np.ceil((high - low + 1) / N_BINS))
    n_bins = int(np.ceil((high - low + 1) / width))
    return low - 0.5 + width * np.arange(n_bins + 1, dtype=float)


@cached
def representatives(dataset_id: str, within: Scope = EVERYTHING) -> pd.DataFrame:
    """One configuration for each group: of those with the median number of atoms, the one with the median force.

    Args:
        dataset_id: The dataset.
        within: Conditions that its configurations must fit.

    Returns:
        group_name, config_id, formula, n_atoms, force_rms (eV/Å; of the lengths of the forces, missing without forces).
    """
    condition, named = _within(dataset_id, within)
    return connection.frame(
        f"""
        with sized as (
            select c.group_name, c.in_dataset, c.config_id, c.formula, c.n_atoms, c.force_rms,
                quantile_disc(c.n_atoms, 0.5) over (partition by c.group_name) as middle
            from configurations c where {condition}
        ), placed as (
            select *, count(*) over (partition by group_name) as n,
                row_number() over (partition by group_name order by force_rms nulls last, config_id) as place
            from sized where n_atoms = middle
        )
        select group_name, config_id, formula, n_atoms, force_rms
        from placed where place = (n + 1) // 2
        order by in_dataset desc, group_name
        """,
        named,
    )
