"""Evidence for a structure without a reference: errors on configurations near it, and the interval that they give.

Nearness has four tiers, by elements and kind of structure alone. An interval is that of the error of one configuration,
the RMSE of its forces or its aligned energy per atom, and split-conformal (engine/numerics/conformal.py).
"""

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.numerics.conformal import Sample, unit_of
from engine.registry.leakage import COUNTED
from engine.store import connection
from engine.store.connection import cached

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NOMINAL = 0.9
"""Share of configurations that is to lie below the upper end."""

LEAST_FORCE = 1e-3  # eV/Å; where reference forces are smaller, symmetry makes them zero, and a model has no error

SAME_KIND, SAME_ELEMENTS, PART, OTHER = TIERS = (0, 1, 2, 3)
"""Nearest first; `tier_label` says what each is."""

POOLS = {
    SAME_KIND: (SAME_KIND,),
    SAME_ELEMENTS: (SAME_KIND, SAME_ELEMENTS),
    PART: (SAME_KIND, PART),
    OTHER: (SAME_KIND, PART, OTHER),
}
"""By tier, whose configurations are evidence: those of nearer tiers too, where they fit its name."""

_FAVOURITE = (frozenset({"W"}), "grain-boundary")

_CELL = "dataset_id, symbols, kind"
_CAUSES = ("", "level", "seen")  # by their number in the statement of `evidence`

_COLUMNS = {"force": ("force_rmse", "raw"), "energy": ("energy_error_per_atom_aligned", "per_element")}


def tier_label(tier: int, kind: str | None) -> str:
    """What a tier is.

    Args:
        tier: One of `TIERS`.
        kind: Kind of structures that was asked for; None for any.

    Example:
        >>> tier_label(PART, "vacancy"), tier_label(PART, None)
        ('part of the elements, same kind', 'part of the elements, any kind')
    """
    which = {SAME_KIND: "same elements", SAME_ELEMENTS: "same elements", PART: "part of the elements"}
    is_same = tier != SAME_ELEMENTS and kind is not None
    return f"{which.get(tier, 'other elements')}, {'same' if is_same else 'any'} kind"


def tier_of(asked: Collection[str], kind: str | None, elements: Collection[str], its_kind: str) -> int | None:
    """How near configurations are to what was asked for; None where they are no evidence.

    Args:
        asked: Elements that were asked for.
        kind: Kind that was asked for; None for any.
        elements: Of the configurations.
        its_kind: Of the configurations.

    Example:
        >>> tier_of({"W"}, "surface", {"W"}, "surface"), tier_of({"W"}, "surface", {"W"}, "vacancy")
        (0, 1)
        >>> tier_of({"W", "Ta"}, "surface", {"W"}, "surface"), tier_of({"W"}, "surface", {"W", "Ta"}, "surface")
        (2, 3)
        >>> tier_of({"W"}, "surface", {"Ta"}, "vacancy") is None
        True
    """
    is_kind = kind is None or kind == its_kind
    if set(elements) == set(asked):
        return SAME_KIND if is_kind else SAME_ELEMENTS
    if not is_kind:
        return None
    return PART if set(elements) < set(asked) else OTHER


@dataclass(frozen=True)
class Cell:
    """Configurations of one dataset that have the same elements and are of one kind."""

    dataset_id: str
    elements: frozenset[str]
    kind: str


@dataclass(frozen=True)
class Interval:
    """What error to expect of one configuration.

    Attributes:
        median: Half of the configurations are expected below it, eV/Å or eV/atom.
        high: A share `NOMINAL` of them is expected between zero and this upper end.
        unit: What weighs the same and is exchangeable: `cluster` or `configuration`.
        n_configs: Configurations behind it.
        n_clusters: Independent clusters among them.
        dataset_ids: Datasets behind it.
    """

    median: float
    high: float
    unit: str
    n_configs: int
    n_clusters: int
    dataset_ids: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Errors of all models on single configurations that are a test of them, by cell.

    Attributes:
        model_ids: Models, by number.
        cells: Cells, by number.
        starts: First row of each pair of model and cell, in the order of both, and the number of rows; shape
            (n_models n_cells + 1,).
        errors: Sizes of errors, shape (n_rows,), eV/Å or eV/atom.
        clusters: Number of the cluster of each row's configuration, shape (n_rows,).
        configurations: Number of it, shape (n_rows,).
        n_atoms: Its atoms, shape (n_rows,).
        barred: By model and cause (`level` or `seen`), cells whose configurations are no test of it.
    """

    model_ids: tuple[str, ...]
    cells: tuple[Cell, ...]
    starts: IntArray
    errors: FloatArray
    clusters: IntArray
    configurations: IntArray
    n_atoms: IntArray
    barred: Mapping[tuple[str, str], frozenset[Cell]]
    _known: dict[tuple[int, tuple[int, ...]], Interval | None] = field(default_factory=dict)

    @functools.cached_property
    def n_rows(self) -> IntArray:
        """Rows of each model in each cell, shape (n_models, n_cells)."""
        return np.diff(self.starts).reshape(len(self.model_ids), len(self.cells))

    @functools.cached_property
    def _filled(self) -> list[frozenset[int]]:
        """Cells in which each model has rows."""
        return [frozenset(np.flatnonzero(counts).tolist()) for counts in self.n_rows]

    def tiers(self, elements: Collection[str], kind: str | None, without: str = "") -> list[int | None]:
        """Tier of each cell for what was asked.

        Args:
            elements: That were asked for.
            kind: That was asked for; None for any.
            without: A dataset that is no evidence.
        """
        return [
            None if cell.dataset_id == without else tier_of(elements, kind, cell.elements, cell.kind)
            for cell in self.cells
        ]

    def rows(self, model: int, cells: Collection[int]) -> IntArray:
        """Rows of a model in some cells."""
        first = model * len(self.cells)
        own = [k for k in cells if k in self._filled[model]]
        parts = [np.arange(self.starts[first + k], self.starts[first + k + 1]) for k in own]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def interval(self, model: int, cells: Collection[int]) -> Interval | None:
        """The interval that some cells give a model; None where they are too few for one."""
        filled = self._filled[model]
        own = tuple(k for k in cells if k in filled)
        if (model, own) not in self._known:
            self._known[model, own] = self._interval(model, own)
        return self._known[model, own]

    def _interval(self, model: int, cells: tuple[int, ...]) -> Interval | None:
        """The same for cells that all have rows."""
        rows = self.rows(model, cells)
        n_clusters = len(np.unique(self.clusters[rows]))
        unit = unit_of(n_clusters, len(rows))
        if unit is None:
            return None
        units = self.clusters[rows] if unit == "cluster" else self.configurations[rows]
        sample = Sample(self.errors[rows], units, units)
        # `ends` leaves out as much below as above, so its upper end at 2 p - 1 has a share p below it.
        median, high = (sample.ends(2 * share - 1)[1] for share in (0.5, NOMINAL))
        datasets = tuple(sorted({self.cells[k].dataset_id for k in cells}))
        return Interval(median, high, unit, len(rows), n_clusters, datasets)

    def nearest(self, model: int, pools: Mapping[int, Collection[int]]) -> tuple[int, Interval] | None:
        """The nearest tier that gives a model an interval, and the interval; None where none does.

        Args:
            model: Its number.
            pools: As the function of that name gives them.
        """
        for tier, cells in pools.items():
            found = self.interval(model, cells)
            if found is not None:
                return tier, found
        return None


def pool(tiers: list[int | None], tier: int) -> list[int]:
    """Numbers of the cells that are evidence in a tier."""
    return [k for k, own in enumerate(tiers) if own in POOLS[tier]]


def pools(tiers: list[int | None]) -> dict[int, list[int]]:
    """By tier, the nearest first, numbers of the cells that are evidence in it."""
    return {tier: pool(tiers, tier) for tier in TIERS}


@cached
def evidence(quantity: str) -> Evidence:
    """All evidence of the store.

    Args:
        quantity: `force`, the RMSE of the forces of a configuration, or `energy`, the error of its energy per atom
            about the model's offset per element.
    """
    column, alignment = _COLUMNS[quantity]
    has_forces = f"where coalesce(force_rms, 1) >= {LEAST_FORCE}" if quantity == "force" else ""
    asked = f"""
        select *, array_to_string(list_sort(elements), ' ') as symbols from configurations {has_forces}
    """
    # Names are sorted once per configuration and not once per error, and come as numbers, which are compared thousands
    # of times.
    table = connection.frame(
        f"""
        with numbered as materialized (
            select dataset_id, config_id, group_name, dense_rank() over (order by {_CELL}) - 1 as cell,
                dense_rank() over (order by dataset_id, config_id) - 1 as configuration,
                dense_rank() over (order by dataset_id, cluster_name) - 1 as cluster
            from ({asked})
        ), model_numbers as materialized (
            select model_id, row_number() over (order by model_id) - 1 as model from models
        )
        select m.model, c.cell, c.configuration, c.cluster, e.n_atoms, abs(e.{column}) as error,
            case when u.model_id is not null then 1 when l.model_id is not null then 2 else 0 end as cause
        from errors e
        join numbered c using (dataset_id, config_id)
        join model_numbers m on m.model_id = e.model_id
        left join (
            select distinct model_id, dataset_id from ranks
            where alignment = $alignment and quantity = $quantity and cause = 'level'
        ) u on u.model_id = e.model_id and u.dataset_id = e.dataset_id
        left join (
            select distinct model_id, dataset_id, group_name from leakage where list_contains($counted, certainty)
        ) l on l.model_id = e.model_id and l.dataset_id = e.dataset_id and l.group_name = c.group_name
        where e.in_dataset and isfinite(e.{column})
        """,
        {"alignment": alignment, "quantity": quantity, "counted": list(COUNTED)},
    )
    names = connection.frame("select model_id from models order by model_id")["model_id"].tolist()
    all_cells = connection.frame(f"select distinct {_CELL} from ({asked}) order by all")
    numbers = {name: table[name].to_numpy(dtype=np.int64) for name in table.columns.drop("error")}
    present, place = np.unique(numbers["cell"], return_inverse=True)
    cells = tuple(_cell(row) for row in all_cells.iloc[present].itertuples(index=False))
    barred: dict[tuple[str, str], set[Cell]] = {}
    is_barred = numbers["cause"] > 0
    for model, cause, cell in np.unique(
        np.stack([numbers["model"], numbers["cause"], place], axis=1)[is_barred], axis=0
    ).tolist():
        barred.setdefault((names[model], _CAUSES[cause]), set()).add(cells[cell])
    kept = np.flatnonzero(~is_barred)
    kept = kept[np.lexsort([numbers["configuration"][kept], place[kept], numbers["model"][kept]])]
    models, model_places = np.unique(numbers["model"][kept], return_inverse=True)
    starts = np.searchsorted(model_places * len(cells) + place[kept], np.arange(len(models) * len(cells) + 1))
    return Evidence(
        tuple(names[model] for model in models), cells, starts, table["error"].to_numpy(dtype=float)[kept],
        numbers["cluster"][kept], numbers["configuration"][kept], numbers["n_atoms"][kept],
        {key: frozenset(found) for key, found in barred.items()},
    )  # fmt: skip


def _cell(row: Sequence[str]) -> Cell:
    """A cell of its dataset, elements and kind, as the statements name them."""
    return Cell(row[0], frozenset(row[1].split()), row[2])


@cached
def left_out(quantity: str) -> pd.DataFrame:
    """Whether intervals hold on datasets that are left out: each is asked for as if there were only the others.

    For every combination of elements and kind in a dataset, each model gets the interval of its nearest tier among the
    other datasets, and its errors there are compared with it.

    Args:
        quantity: `force` or `energy`.

    Returns:
        One row per tier, unit and dataset that was left out: tier, label, unit, dataset_id, n_models, n_configs, and
        means over models of coverage, median and high (of the intervals, eV/Å or eV/atom) and true_high (quantile of
        the errors at `NOMINAL`), each configuration of a model weighing the same.
    """
    table = pd.DataFrame(_checks(evidence(quantity)))
    if table.empty:
        return pd.DataFrame(columns=["tier", "label", "unit", "dataset_id", "n_models", "n_configs", "coverage",
                                     "median", "high", "true_high"])  # fmt: skip
    keys = ["tier", "unit", "dataset_id"]
    sums = table.groupby([*keys, "model_id"], as_index=False).agg(
        n_configs=("n_configs", "sum"), coverage=("n_inside", "sum"), median=("median", "sum"), high=("high", "sum"),
        true_high=("errors", lambda parts: np.quantile(np.concatenate(list(parts)), NOMINAL)),
    )  # fmt: skip
    for name in ("coverage", "median", "high"):
        sums[name] /= sums["n_configs"]
    found = sums.groupby(keys, as_index=False).agg(
        n_models=("model_id", "size"), n_configs=("n_configs", "max"),
        **{name: (name, "mean") for name in ("coverage", "median", "high", "true_high")},
    )  # fmt: skip
    return found.assign(label=[tier_label(tier, "any of them") for tier in found["tier"]])


def _checks(known: Evidence) -> Iterator[dict[str, object]]:
    """Each model on each cell, by the interval that other datasets give it."""
    for number, cell in enumerate(known.cells):
        tiers = known.tiers(cell.elements, cell.kind, without=cell.dataset_id)
        cells = pools(tiers)
        for model, model_id in enumerate(known.model_ids):
            errors = known.errors[known.rows(model, (number,))]
            found = known.nearest(model, cells) if len(errors) else None
            if found is None:
                continue
            tier, interval = found
            yield {
                "tier": tier, "unit": interval.unit, "dataset_id": cell.dataset_id, "model_id": model_id,
                "n_configs": len(errors), "n_inside": float((errors <= interval.high).sum()),
                "median": len(errors) * interval.median, "high": len(errors) * interval.high, "errors": errors,
            }  # fmt: skip


@cached
def coverage_by_tier(quantity: str) -> pd.DataFrame:
    """`left_out` by tier and unit, each dataset weighing the same.

    Returns:
        tier, label, unit, n_datasets, n_configs, coverage (mean over datasets), coverage_lo and coverage_hi (of the
        dataset on which it is lowest and highest), and medians over datasets of median, high and true_high.
    """
    found = left_out(quantity).groupby(["tier", "label", "unit"], as_index=False).agg(
        n_datasets=("dataset_id", "size"), n_configs=("n_configs", "sum"), coverage=("coverage", "mean"),
        coverage_lo=("coverage", "min"), coverage_hi=("coverage", "max"),
        **{name: (name, "median") for name in ("median", "high", "true_high")},
    )  # fmt: skip
    return found.sort_values(["tier", "unit"], ignore_index=True)


@cached
def first_question() -> tuple[tuple[str, ...], str]:
    """Elements and kind that a visitor who asked nothing is shown: grain boundaries of W, or what there is most of."""
    found = evidence("force")
    favourite = [k for k, cell in enumerate(found.cells) if (cell.elements, cell.kind) == _FAVOURITE]
    if favourite and found.n_rows[:, favourite].any():
        return ("W",), "grain-boundary"
    if not found.cells:
        return ("W",), "grain-boundary"
    most = found.cells[int(found.n_rows.sum(axis=0).argmax())]
    return tuple(sorted(most.elements)), most.kind
