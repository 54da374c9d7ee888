"""Which model to take for elements, a kind of structure and conditions on the model, and why not the others."""

import functools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from ase.data import atomic_numbers
from numpy.typing import NDArray

from engine.numerics.comparison import UNRANKED, choose_models
from engine.numerics.conformal import unit_of
from engine.numerics.metrics import MIN_CLUSTERS
from engine.numerics.ranks import RankIntervals, rank_intervals
from engine.queries import catalog
from engine.queries.evidence import SAME_ELEMENTS, TIERS, Cell, Evidence, evidence, pool, pools, tier_label
from engine.registry.licences import LICENCES, fits
from engine.store import connection
from engine.store.connection import cached

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MANY_MORE = 1.5  # times as many models must share one dataset to be compared there in place of all datasets
ENOUGH_MODELS = 3  # so many must have an interval in a tier, or models are compared on the next one
BEST = 3  # models that are recommended

# Why a model is not recommended, the first reason that applies; `comparison.UNRANKED` has those that evidence gives.
CAUSES = ("elements", "licence", "forces", "none", "level", "seen", "share", "failed", "far", "behind")

_MODEL_COLUMNS = [
    "model_id", "label", "cause", "reason", "rank", "rank_hi", "wide_rank", "wide_rank_hi", "rmse",
    *(f"{quantity}_{name}" for quantity in ("force", "energy")
      for name in ("tier", "median", "high", "unit", "n_configs", "n_clusters", "datasets")),
]  # fmt: skip


@dataclass(frozen=True)
class Advice:
    """Models for what was asked; results are cached, so no caller may change them.

    Attributes:
        models: One row per registered model, the best first, then those without a rank: model_id, label, `cause` of
            not being recommended (of `CAUSES`; empty for the best) with its reason, rank and rank_hi (95 % interval),
            wide_rank and wide_rank_hi (the same in `wide_tier`), rmse on the shared configurations (eV/Å or eV/atom),
            and for `force` and `energy` the nearest tier that gives the model an interval, its median and upper end
            `high` (eV/Å, eV/atom), unit, n_configs, n_clusters and datasets; missing where none does.
        tiers: One row per tier: tier, label, n_configs, n_clusters, n_models (with an interval), datasets, n_atoms_lo
            and n_atoms_hi of what is evidence in it.
        tier: That models are compared on; None without evidence.
        n_shared: Configurations that the ranked models share.
        n_clusters: Independent clusters among them.
        dataset_ids: Their datasets.
        wide_tier: The first tier behind with enough clusters to tell models apart; None where `tier` has them itself,
            or no tier has.
        n_wide_clusters: Clusters there.
    """

    models: pd.DataFrame
    tiers: pd.DataFrame
    tier: int | None
    n_shared: int
    n_clusters: int
    dataset_ids: tuple[str, ...]
    wide_tier: int | None = None
    n_wide_clusters: int = 0


@dataclass(frozen=True)
class _Comparison:
    """Models on the configurations of a tier that they share: ids, RMSE (best first), ranks, and which those are."""

    model_ids: list[str]
    rmse: FloatArray
    ranks: RankIntervals
    n_shared: int
    dataset_ids: tuple[str, ...]


@cached
def advice(
    elements: tuple[str, ...],
    kind: str | None,
    quantity: str = "force",
    licence: str = "any",
    *,
    only_conservative: bool = False,
) -> Advice:
    """Compare all models on the nearest evidence that there is for some elements and a kind of structure.

    Models are compared on the nearest tier in which three of them have an interval, or else any has, by RMSE over the
    configurations that they share: of all datasets of the tier, or of one that many more models share. Ranks are those
    of a paired bootstrap over clusters.

    Args:
        elements: Chemical symbols, at least one.
        kind: Id of a kind of structures; None for any.
        quantity: `force` or `energy`, by which models are compared.
        licence: A key of `LICENCES`.
        only_conservative: Whether forces must be minus the gradient of the energy.
    """
    asked = frozenset(elements)
    known = {name: evidence(name) for name in ("force", "energy")}
    models = catalog.models()
    barred = {row.model_id: _barred(row, asked, licence, only_conservative=only_conservative)
              for row in models.itertuples()}  # fmt: skip
    eligible = {model_id for model_id, (cause, _) in barred.items() if not cause}
    found = known[quantity]
    tiers = found.tiers(asked, kind)
    table = _tiers(found, tiers, eligible, kind)
    tier = _compared_on(table)
    near = _compare(found, pool(tiers, tier), eligible, quantity) if tier is not None else None
    wide_tier, wide = _wider(found, tiers, tier, near, quantity)
    rows = []
    all_pools = {name: pools(one.tiers(asked, kind)) for name, one in known.items()}
    for row in models.itertuples():
        cause, reason = barred[row.model_id]
        if not cause and (near is None or row.model_id not in near.model_ids):
            cause, reason = _unranked(found, row.model_id, tiers, tier, kind, near.dataset_ids if near else ())
        rows.append({"model_id": row.model_id, "label": row.label, "cause": cause, "reason": reason,
                     **_place(near, wide, row.model_id), **_intervals(known, all_pools, row.model_id)})  # fmt: skip
    answer = pd.DataFrame(rows, columns=_MODEL_COLUMNS)
    answer = answer.astype({name: "Int64" for name in _MODEL_COLUMNS if name.endswith(("rank", "rank_hi", "_tier"))})
    answer = _with_best(answer)
    if near is None:
        return Advice(answer, table, None, 0, 0, ())
    return Advice(
        answer, table, tier, near.n_shared, near.ranks.n_clusters, near.dataset_ids, wide_tier,
        wide.ranks.n_clusters if wide else 0,
    )  # fmt: skip


def _barred(model: Any, asked: frozenset[str], licence: str, *, only_conservative: bool) -> tuple[str, str]:
    """Why facts of a model's registration rule it out, and the sentence; empty where none does."""
    unknown = asked - set(model.elements)
    if len(model.elements) and unknown:
        named = ", ".join(sorted(unknown, key=atomic_numbers.__getitem__))
        return "elements", f"It was not trained on {named}."
    if not fits(model.license or "", licence):
        return "licence", f"Its licence is {model.license}: {LICENCES[licence].why_not}."
    if only_conservative and not model.conservative:
        return "forces", "Its forces are predicted directly and are no gradient of its energy."
    return "", ""


def _tiers(found: Evidence, tiers: list[int | None], eligible: Collection[str], kind: str | None) -> pd.DataFrame:
    """What is evidence in each tier, of the models that may be recommended."""
    numbers = [k for k, model_id in enumerate(found.model_ids) if model_id in eligible]
    rows = []
    for tier in TIERS:
        if kind is None and tier == SAME_ELEMENTS:  # of any kind already
            continue
        cells = pool(tiers, tier)
        parts = [found.rows(k, cells) for k in numbers]
        own = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        n_atoms = found.n_atoms[own]
        datasets = sorted({found.cells[k].dataset_id for k in cells if found.n_rows[numbers, k].any()})
        rows.append({
            "tier": tier, "label": tier_label(tier, kind), "n_configs": len(np.unique(found.configurations[own])),
            "n_clusters": len(np.unique(found.clusters[own])),
            "n_models": sum(found.interval(k, cells) is not None for k in numbers), "datasets": ", ".join(datasets),
            "n_atoms_lo": int(n_atoms.min()) if len(own) else 0, "n_atoms_hi": int(n_atoms.max()) if len(own) else 0,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _compared_on(table: pd.DataFrame) -> int | None:
    """The nearest tier in which enough models have an interval, or else any has."""
    for least in (ENOUGH_MODELS, 1):
        fitting = table.loc[table["n_models"] >= least, "tier"]
        if len(fitting):
            return int(fitting.iloc[0])
    return None


def _compare(found: Evidence, cells: Sequence[int], eligible: Collection[str], quantity: str) -> _Comparison | None:
    """Models on what they share of some cells, or of those of one dataset where many more share it; None on nothing."""
    by_dataset: dict[str, list[int]] = {}
    for k in cells:
        by_dataset.setdefault(found.cells[k].dataset_id, []).append(k)
    parts = [list(cells), *(by_dataset.values() if len(by_dataset) > 1 else ())]
    options = [_shared(found, part, eligible) for part in parts]
    best = largest([(len(one), len(next(iter(one.values()), ())), _is_enough(found, one)) for one in options])
    rows = options[best]
    if not rows:
        return None
    first = next(iter(rows.values()))
    counts: FloatArray = 3.0 * found.n_atoms[first].astype(float) if quantity == "force" else np.ones(len(first))
    squares = np.array([counts * found.errors[own] ** 2 for own in rows.values()])
    rmse = np.sqrt(squares.sum(axis=1) / counts.sum())
    order = np.argsort(rmse, kind="stable")
    ranks = rank_intervals(squares[order], counts, found.clusters[first])
    number = _number(found, next(iter(rows)))
    datasets = {found.cells[k].dataset_id for k in parts[best] if np.isin(found.rows(number, [k]), first).any()}
    names = list(rows)
    return _Comparison([names[k] for k in order], rmse[order], ranks, len(first), tuple(sorted(datasets)))


def largest(options: Sequence[tuple[int, int, bool]]) -> int:
    """Which set of configurations to compare models on.

    The first one, all datasets, unless half as many models again or more share another one. Of those the one with most
    models, and of these with most configurations. One that is too small for an interval counts as if it had no model.

    Args:
        options: Number of models that share it, of configurations that they share, and whether these are enough.

    Example:
        >>> largest([(4, 32, True), (5, 12, True)]), largest([(4, 32, True), (6, 12, True)])
        (0, 1)
        >>> largest([(4, 32, True), (9, 3, False)])
        0
    """
    sizes = [(n_models * is_enough, n_shared) for n_models, n_shared, is_enough in options]
    best = max(range(len(sizes)), key=lambda k: sizes[k])
    return best if sizes[best][0] >= MANY_MORE * max(sizes[0][0], 1) else 0


def _shared(found: Evidence, cells: Sequence[int], eligible: Collection[str]) -> dict[str, IntArray]:
    """By model that can be compared on some cells, its rows there that all of them share, in one order."""
    rows = {m: found.rows(k, cells) for k, m in enumerate(found.model_ids) if m in eligible}
    rows = {m: own[np.argsort(found.configurations[own])] for m, own in rows.items() if len(own)}
    places = {m: found.configurations[own] for m, own in rows.items()}
    chosen, n_shared = choose_models(places, _failed([found.cells[k] for k in cells]))
    if not n_shared:
        return {}
    shared = functools.reduce(np.intersect1d, (places[m] for m in chosen))
    return {m: rows[m][np.isin(places[m], shared)] for m in chosen}


def _is_enough(found: Evidence, rows: Mapping[str, IntArray]) -> bool:
    """Whether shared configurations are enough for an interval."""
    first = next(iter(rows.values()), np.zeros(0, dtype=np.int64))
    return unit_of(len(np.unique(found.clusters[first])), len(first)) is not None


def _number(found: Evidence, model_id: str) -> int:
    return found.model_ids.index(model_id)


def _failed(cells: Collection[Cell]) -> dict[str, int]:
    """Configurations of some cells that each model failed on."""
    failures, counts = _failures(), Counter[str]()
    for cell in cells:
        counts.update(failures.get(cell, {}))
    return dict(counts)


@cached
def _failures() -> dict[Cell, dict[str, int]]:
    """Failed predictions of each model by cell."""
    table = connection.frame(
        """
        select c.dataset_id, array_to_string(list_sort(c.elements), ' ') as elements, c.kind, p.model_id, count(*) as n
        from predictions p join configurations c using (dataset_id, config_id)
        where p.status <> 'ok' and c.in_dataset group by all order by all
        """
    )
    found: dict[Cell, dict[str, int]] = {}
    for dataset_id, elements, kind, model_id, n in table.itertuples(index=False):
        found.setdefault(Cell(dataset_id, frozenset(elements.split()), kind), {})[model_id] = int(n)
    return found


def _wider(
    found: Evidence, tiers: list[int | None], tier: int | None, near: _Comparison | None, quantity: str
) -> tuple[int | None, _Comparison | None]:
    """The same models on the first tier behind that has enough clusters, where the nearest one has too few."""
    if tier is None or near is None or near.ranks.n_clusters >= MIN_CLUSTERS:
        return None, None
    for behind in TIERS[tier + 1 :]:
        wide = _compare(found, pool(tiers, behind), near.model_ids, quantity)
        if wide is not None and wide.ranks.n_clusters >= MIN_CLUSTERS:
            return behind, wide
    return None, None


def _place(near: _Comparison | None, wide: _Comparison | None, model_id: str) -> dict[str, Any]:
    """Ranks and RMSE of a model; missing where it has none."""
    row: dict[str, Any] = {}
    for prefix, one in (("", near), ("wide_", wide)):
        is_in = one is not None and model_id in one.model_ids
        k = one.model_ids.index(model_id) if one is not None and is_in else 0
        row[f"{prefix}rank"] = int(one.ranks.rank[k]) if one is not None and is_in else None
        row[f"{prefix}rank_hi"] = int(one.ranks.high[k]) if one is not None and is_in else None
        if not prefix:
            row["rmse"] = float(one.rmse[k]) if one is not None and is_in else np.nan
    return row


def _intervals(
    known: Mapping[str, Evidence], cells: Mapping[str, Mapping[int, Collection[int]]], model_id: str
) -> dict[str, Any]:
    """The nearest interval of each quantity."""
    row: dict[str, Any] = {}
    for quantity, found in known.items():
        best = None
        if model_id in found.model_ids:
            best = found.nearest(_number(found, model_id), cells[quantity])
        if best is None:
            row |= {f"{quantity}_tier": None, f"{quantity}_median": np.nan, f"{quantity}_high": np.nan,
                    f"{quantity}_unit": "", f"{quantity}_n_configs": 0, f"{quantity}_n_clusters": 0,
                    f"{quantity}_datasets": ""}  # fmt: skip
            continue
        tier, one = best
        row |= {f"{quantity}_tier": tier, f"{quantity}_median": one.median, f"{quantity}_high": one.high,
                f"{quantity}_unit": one.unit, f"{quantity}_n_configs": one.n_configs,
                f"{quantity}_n_clusters": one.n_clusters,
                f"{quantity}_datasets": ", ".join(one.dataset_ids)}  # fmt: skip
    return row


def _unranked(
    found: Evidence,
    model_id: str,
    tiers: list[int | None],
    tier: int | None,
    kind: str | None,
    compared: Collection[str],
) -> tuple[str, str]:
    """Why a model that may be recommended is not compared with the others, and the sentence."""
    if tier is None:
        return "none", "No model has evidence for this."
    numbers = pool(tiers, tier)
    cells = {found.cells[k] for k in numbers}
    has_rows = model_id in found.model_ids and bool(found.n_rows[_number(found, model_id), numbers].any())
    for cause in ("level", "seen"):
        barred = {cell.dataset_id for cell in found.barred.get((model_id, cause), ()) if cell in cells}
        if where := barred & set(compared) if has_rows else barred:
            return cause, f"{UNRANKED[cause]} ({', '.join(sorted(where))})"
    if has_rows:
        return "share", UNRANKED["share"]
    if _failed(cells).get(model_id):
        return "failed", "It failed on these configurations."
    best = found.nearest(_number(found, model_id), pools(tiers)) if model_id in found.model_ids else None
    if best is None:
        return "none", "It was run on nothing near: no evidence."
    return "far", f"Its nearest evidence is of {tier_label(best[0], kind)}, on {', '.join(best[1].dataset_ids)}."


def _with_best(models: pd.DataFrame) -> pd.DataFrame:
    """The rows in order, the best first; ranked models behind these say how far."""
    order = {cause: k for k, cause in enumerate(reversed(CAUSES))}
    models = models.assign(order=models["cause"].map(order).fillna(-1))
    models = models.sort_values(["order", "rmse", "force_high", "label"], na_position="last", ignore_index=True)
    is_ranked = models["rmse"].notna()
    best = models.loc[is_ranked, "rmse"].min()
    first = models.loc[is_ranked, "rank"].min()
    for k in models.index[is_ranked][BEST:]:
        tied = " and cannot be told apart from it" if models.loc[k, "rank"] == first else ""
        ratio = models.loc[k, "rmse"] / best if best > 0 else np.nan
        models.loc[k, ["cause", "reason"]] = ["behind", f"Its error is {ratio:.2f} times that of the best model{tied}."]
    return models.drop(columns="order")
