"""Rankings of models over unions of datasets: pooled over configurations, and as means over datasets.

All numbers come from sums over configurations, so no query reads atoms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.numerics.alignment import leave_one_out_errors
from engine.numerics.comparison import ENERGY_ERROR, UNRANKED, alignment_of, choose_models
from engine.numerics.metrics import MEV, MIN_CLUSTERS, rmse_bounds
from engine.numerics.ranks import RankIntervals, macro_rmse, mean_rank_intervals, rank_intervals
from engine.queries import catalog, error_metrics, reference_data
from engine.queries.scope import EVERYTHING, Scope
from engine.store import connection
from engine.store.connection import cached

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

POOLED, MEAN = "pooled", "mean"  # the two ways to average over datasets

# Rows of Table 2 of Shuang et al. (2025) that its Figure 5 leaves out, with the paper's reasons.
LEFT_OUT_BY_PAPER = {
    6: "clusters with free surfaces, where all models struggle",
    7: "RANDSPG of Mg, where only MatterSim reaches a moderate accuracy",
    11: "CrCoNi, since it has liquid configurations",
}

RULED = 100.0  # RMSE of a model on a dataset over the median of its configurations
RULED_SHARE = 0.25  # of the models

_MODEL_COLUMNS = [
    "model_id", "label", "family", "training_sets", "is_mptrj_only", "origin", "is_seen", "seen_reason", "n_own",
    "n_failed", "cause", "reason", "n_configs",
    *(f"{how}_{name}" for how in (POOLED, MEAN) for name in ("rmse", "rmse_lo", "rmse_hi", "rank", "rank_hi")),
]  # fmt: skip

_OWN = [
    "dataset_id", "dataset_label", "model_id", "label", "family", "training_sets", "origin", "is_seen", "seen_reason",
    "n_configs", "n_failed", "cause",
]  # fmt: skip


@dataclass(frozen=True)
class UnionRanking:
    """Models over a union of datasets; results are cached, so no caller may change them.

    Attributes:
        models: One row per model with a result on any of the datasets, the best first: model_id, label, family,
            training_sets, `is_mptrj_only`, origin, is_seen, seen_reason, n_own and n_failed over the union, `cause`
            and `reason` of having no rank (empty where it has one), and for ranked models n_configs and, after
            `pooled_` and `mean_`: rmse with bounds rmse_lo and rmse_hi (meV/atom or meV/Å), rank and rank_hi.
        datasets: One row per dataset: dataset_id, label, n_expected, n_configs (shared by the ranked models), `share`
            (of the errors that the pooled RMSE counts), n_clusters, n_models (with a result) and level_of_theory.
    """

    models: pd.DataFrame
    datasets: pd.DataFrame

    @property
    def ranked(self) -> pd.DataFrame:
        """Rows of the models that have a rank."""
        return self.models[self.models["cause"] == ""]

    @property
    def n_configs(self) -> int:
        """Configurations that the ranked models share."""
        return int(self.datasets["n_configs"].sum())


def left_out_by_paper(dataset: Any) -> list[int]:
    """Rows of Table 2 for which the paper's Figure 5 would leave a dataset out; none where it would keep it.

    A dataset that stands in for several rows is left out only if all of them are.

    Args:
        dataset: Row of `catalog.datasets`.
    """
    if pd.notna(dataset.paper_row):
        rows = [int(dataset.paper_row)]
    else:
        rows = [int(row) for row in (dataset.stands_in_for or "").split(",") if row.strip()]
    return rows if rows and set(rows) <= set(LEFT_OUT_BY_PAPER) else []


@cached
def ruled_by_few() -> frozenset[str]:
    """Datasets on which a few configurations make nearly all of the force error of a quarter of the models or more.

    There the RMSE of such a model is over `RULED` times the median of its configurations: it breaks down on some cells,
    such as strongly compressed ones, and a pool with other datasets would tell of these cells alone.
    """
    table = connection.frame(
        """
        with each as (
            select dataset_id, model_id, sqrt(sum(force_rmse ** 2 * n_atoms) / sum(n_atoms))
                / median(force_rmse) filter (where force_rmse > 1e-3) as ratio
            from errors where in_dataset and isfinite(force_rmse) group by all having count(*) >= $least
        )
        select dataset_id from each where isfinite(ratio)
        group by dataset_id having avg((ratio > $ruled)::integer) >= $share
        """,
        {"least": MIN_CLUSTERS, "ruled": RULED, "share": RULED_SHARE},
    )
    return frozenset(table["dataset_id"])


@cached
def default_union() -> tuple[str, ...]:
    """Datasets that a ranking begins with: without those that the paper leaves out, and with models in common.

    The first is the paper's own, or else the one with most models; each next one joins if at least half of the models
    that could be ranked so far have results on it. Datasets whose clusters are too few for bounds do not join, nor do
    those that a few configurations rule (`ruled_by_few`).
    """
    datasets = catalog.datasets()
    datasets = datasets[datasets["n_models"] > 0]
    ruled = ruled_by_few()
    is_kept = np.array(
        [not left_out_by_paper(row) and row.dataset_id not in ruled for row in datasets.itertuples()], dtype=bool
    )
    kept = datasets[is_kept & (datasets["n_clusters"].to_numpy() >= MIN_CLUSTERS)]
    kept = kept.assign(is_stand_in=kept["paper_row"].isna()).sort_values("is_stand_in", kind="stable")
    metrics = error_metrics.dataset_metrics("per_element", quantity="force")
    fit = metrics[~metrics["cause"].isin(error_metrics.NEVER) & (metrics["n_configs"] > 0)]
    models = fit.groupby("dataset_id")["model_id"].agg(set).to_dict()
    union: list[str] = []
    common: set[str] = set()
    for dataset_id in kept["dataset_id"]:
        both = common & models.get(dataset_id, set()) if union else models.get(dataset_id, set())
        if both and 2 * len(both) >= len(common):
            union, common = [*union, dataset_id], both
    return tuple(union or datasets["dataset_id"].head(1))


@cached
def union_ranking(
    alignment: str,
    dataset_ids: tuple[str, ...],
    quantity: str,
    *,
    with_seen: bool = False,
    within: Scope = EVERYTHING,
) -> UnionRanking:
    """Rank models over a union of datasets, on the configurations of each that the ranked models share.

    A ranked model has results on every dataset, shares enough configurations of each with the other models, and was
    trained on none of them. Its labels mean the same as those of all datasets. On one dataset this is the ranking that
    the store holds.

    Args:
        alignment: `raw`, `per_element`, with offsets fitted to each dataset, or `crystal`.
        dataset_ids: At least one dataset.
        quantity: `energy` or `force`.
        with_seen: Whether a model may be ranked on configurations that it was trained on.
        within: Conditions that configurations must fit; its datasets do not matter. Datasets with none left are left
            out.
    """
    scope = within.on(*sorted(set(dataset_ids)))
    if within.on() != EVERYTHING:
        scope = scope.on(*sorted(reference_data.counts_by_dataset(scope)) or scope.dataset_ids)
    dataset_ids = scope.dataset_ids
    # Forces know no alignment, and only some datasets have crystals.
    alignment = alignment_of(quantity, alignment)
    own = error_metrics.dataset_counts(alignment, scope, quantity=quantity, with_seen=with_seen)
    models = _models(own, dataset_ids)
    candidates = models.loc[models["cause"] == "", "model_id"].tolist()
    places = _configurations(scope)
    table = _Table.read(places, candidates, scope, _column(alignment, quantity))
    failed = own.groupby(["dataset_id", "model_id"])["n_failed"].sum().to_dict()
    chosen = table.together(failed)
    models.loc[models["model_id"].isin(set(candidates) - set(chosen)), "cause"] = "share"
    table = table.of(chosen)
    if alignment == "per_element" and chosen:
        table = _aligned_again(table, scope)
    table = table.with_numbers()
    models.loc[models["model_id"].isin(set(chosen) - set(table.model_ids)), "cause"] = "numbers"
    models["reason"] = models["reason"].where(models["reason"] != "", models["cause"].map(UNRANKED).fillna(""))
    n_models = own[own["n_configs"] > 0].groupby("dataset_id")["model_id"].nunique()
    return UnionRanking(_with_ranks(models, table, quantity), _datasets(own, dataset_ids, table, quantity, n_models))


def _column(alignment: str, quantity: str) -> str:
    return "force_rmse" if quantity == "force" else ENERGY_ERROR[alignment]


def _models(own: pd.DataFrame, dataset_ids: Sequence[str]) -> pd.DataFrame:
    """One row per model, with the cause of having no rank that needs no single errors."""
    labels = dict(zip(own["dataset_id"], own["dataset_label"], strict=True))
    # Rows as tuples: groups of a frame take a hundred times as long, and pages ask for each kind of structures.
    parts: dict[str, list[Any]] = {}
    for found in own[_OWN].sort_values("model_id", kind="stable").itertuples(index=False):
        parts.setdefault(found.model_id, []).append(found)
    rows = []
    for model_id, part in parts.items():
        there = {one.dataset_id for one in part if one.n_configs > 0}
        missing = [labels.get(name, name) for name in dataset_ids if name not in there]
        barred = [one for one in part if one.cause in error_metrics.NEVER]
        cause, reason = ("missing", f"It has no results on {', '.join(missing)}.") if missing else ("", "")
        if barred:
            cause = barred[0].cause
            reason = f"{UNRANKED[cause]} ({', '.join(one.dataset_label for one in barred if one.cause == cause)})"
        rows.append({
            "model_id": model_id, "label": part[0].label, "family": part[0].family,
            "training_sets": part[0].training_sets, "is_mptrj_only": list(part[0].training_sets) == ["MPtrj"],
            "origin": " + ".join(sorted({one.origin for one in part if isinstance(one.origin, str)})),
            "is_seen": any(one.is_seen for one in part),
            "seen_reason": " ".join(dict.fromkeys(one.seen_reason for one in part if one.is_seen)),
            "n_own": sum(one.n_configs for one in part), "n_failed": sum(one.n_failed for one in part),
            "cause": cause, "reason": reason,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=_MODEL_COLUMNS[:12])


def _configurations(scope: Scope) -> pd.DataFrame:
    """Configurations of the union in a fixed order: dataset_id, config_id, cluster_name, n_atoms."""
    return connection.frame(
        f"""
        select c.dataset_id, c.config_id, c.cluster_name, c.n_atoms from configurations c
        where {scope.predicate("c")} order by c.dataset_id, c.config_id
        """,
        scope.bindings(),
    )


@dataclass(frozen=True)
class _Table:
    """Errors of models on the configurations of a union.

    Attributes:
        model_ids: Models, the rows.
        configurations: As `_configurations` gives them, the columns.
        errors: Shape (n_models, n_configs), eV/atom or eV/Å; NaN where there is no such error.
        has_result: Whether there is any result, same shape.
    """

    model_ids: list[str]
    configurations: pd.DataFrame
    errors: FloatArray
    has_result: BoolArray

    @classmethod
    def read(cls, configurations: pd.DataFrame, model_ids: list[str], scope: Scope, column: str) -> "_Table":
        """The errors as the store has them."""
        found = connection.frame(
            f"""
            with places as (
                select c.dataset_id, c.config_id, row_number() over (order by c.dataset_id, c.config_id) - 1 as place
                from configurations c where {scope.predicate("c")}
            )
            select e.model_id, list(p.place) as places, list(coalesce(e.{column}::double, 'nan'::double)) as errors
            from errors e join places p using (dataset_id, config_id)
            where {scope.predicate("e")} and list_contains($models, e.model_id)
            group by e.model_id order by e.model_id
            """,
            scope.bindings() | {"models": model_ids},
        )
        shape = (len(found), len(configurations))
        errors, has_result = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
        for row, places, values in zip(range(len(found)), found["places"], found["errors"], strict=True):
            errors[row, places] = np.asarray(values, dtype=float)
            has_result[row, places] = True
        return cls(found["model_id"].tolist(), configurations, errors, has_result)

    def of(self, model_ids: Sequence[str]) -> "_Table":
        """Some of the models, in their order."""
        rows = [k for k, name in enumerate(self.model_ids) if name in set(model_ids)]
        names = [self.model_ids[k] for k in rows]
        return _Table(names, self.configurations, self.errors[rows], self.has_result[rows])

    def within(self, is_in: BoolArray) -> "_Table":
        """Some of the configurations."""
        about = self.configurations[is_in].reset_index(drop=True)
        return _Table(self.model_ids, about, self.errors[:, is_in], self.has_result[:, is_in])

    @property
    def shared(self) -> BoolArray:
        """Configurations that all have a result for."""
        return np.asarray(self.has_result.all(axis=0)) if self.model_ids else np.zeros(len(self.configurations), bool)

    def together(self, n_failed: Mapping[tuple[str, str], int]) -> list[str]:
        """Models that share enough of every dataset."""
        chosen = set(self.model_ids)
        names = self.configurations["dataset_id"].to_numpy()
        for name in np.unique(names):
            places = {
                model_id: np.flatnonzero(has & (names == name))
                for model_id, has in zip(self.model_ids, self.has_result, strict=True)
            }
            chosen &= set(choose_models(places, {m: n_failed.get((name, m), 0) for m in places})[0])
        return sorted(chosen)

    def with_numbers(self) -> "_Table":
        """What is left of the shared configurations where all have an error, without models that have none.

        A dataset on which no model has such an error is left out; a model that lacks them on another is too.
        """
        table = self.within(self.shared)
        names = table.configurations["dataset_id"].to_numpy()
        has = np.array([np.isfinite(table.errors[:, names == n]).any(axis=1) for n in np.unique(names)])
        if not has.size or not has.any():
            return table.of([]).within(np.zeros(len(names), dtype=bool))
        known = np.flatnonzero(has[has.any(axis=1)].all(axis=0))
        table = table.of([table.model_ids[k] for k in known])
        is_known = np.isfinite(table.errors).all(axis=0) & bool(table.model_ids)
        return table.within(np.asarray(is_known))


def _aligned_again(table: _Table, scope: Scope) -> _Table:
    """The errors about offsets that are fitted to what models share, in datasets where models have more than that."""
    names, shared = table.configurations["dataset_id"].to_numpy(), table.shared
    uneven = [name for name in scope.dataset_ids if (table.has_result[:, (names == name) & ~shared]).any()]
    if not uneven:
        return table
    raw = _Table.read(table.configurations, table.model_ids, scope, ENERGY_ERROR["raw"])
    errors = table.errors.copy()
    for name in uneven:
        inside = shared & (names == name)
        about = table.configurations[inside]
        shares = error_metrics.element_shares(scope.on(name).shared_by(table.model_ids))
        fractions = shares.loc[pd.MultiIndex.from_frame(about[["dataset_id", "config_id"]])].to_numpy()
        for row, values in enumerate(raw.errors[:, inside]):
            is_known = np.isfinite(values)
            aligned = np.full(len(values), np.nan)
            if is_known.any():
                aligned[is_known] = leave_one_out_errors(values[is_known], fractions[is_known])
            errors[row, inside] = aligned
    return _Table(table.model_ids, table.configurations, errors, table.has_result)


def _sums(table: _Table, quantity: str) -> tuple[FloatArray, FloatArray]:
    """Sums of squared errors, shape (n_models, n_configs), in (meV/atom)² or (meV/Å)², and their numbers."""
    n_atoms = table.configurations["n_atoms"].to_numpy(dtype=float)
    counts = 3.0 * n_atoms if quantity == "force" else np.ones(len(n_atoms))
    return counts * (MEV * table.errors) ** 2, counts


def _with_ranks(models: pd.DataFrame, table: _Table, quantity: str) -> pd.DataFrame:
    """The rows with errors and ranks of the models in the table; the best first."""
    rows: list[dict[str, Any]] = []
    if table.model_ids:
        squares, counts = _sums(table, quantity)
        cells = table.configurations["dataset_id"].to_numpy(dtype=str)
        # Cluster names are unique within a dataset only; their order is that of the store's ranking.
        clusters = np.char.add(np.char.add(cells, " "), table.configurations["cluster_name"].to_numpy(dtype=str))
        found = {
            POOLED: rank_intervals(squares, counts, clusters),
            MEAN: mean_rank_intervals(squares, counts, cells, clusters),
        }
        for row, model_id in enumerate(table.model_ids):
            numbers = {POOLED: _pooled(squares[row], counts, clusters),
                       MEAN: macro_rmse(squares[row], counts, cells, clusters)[:3]}  # fmt: skip
            rows.append({"model_id": model_id, "n_configs": len(counts)} | _named(numbers, found, row))
    ranked = pd.DataFrame(rows, columns=["model_id", *_MODEL_COLUMNS[12:]])
    joined = models.merge(ranked, on="model_id", how="left").astype(
        {name: "Int64" for name in _MODEL_COLUMNS if name.endswith(("rank", "rank_hi")) or name == "n_configs"}
    )
    return joined.sort_values(["pooled_rmse", "label"], na_position="last", ignore_index=True)


def _pooled(squares: FloatArray, counts: FloatArray, clusters: NDArray[np.str_]) -> tuple[float, float, float]:
    """RMSE over all configurations with its bounds."""
    return float(np.sqrt(squares.sum() / counts.sum())), *rmse_bounds(
        squares, counts, np.unique(clusters, return_inverse=True)[1]
    )


def _named(
    numbers: Mapping[str, tuple[float, ...]], ranks: Mapping[str, RankIntervals], row: int
) -> dict[str, float | int]:
    """Numbers and ranks of one model by name of the column."""
    named: dict[str, float | int] = {}
    for how, (value, low, high) in numbers.items():
        named |= {f"{how}_rmse": value, f"{how}_rmse_lo": low, f"{how}_rmse_hi": high}
        named |= {f"{how}_rank": int(ranks[how].rank[row]), f"{how}_rank_hi": int(ranks[how].high[row])}
    return named


def _datasets(
    own: pd.DataFrame, dataset_ids: Sequence[str], table: _Table, quantity: str, n_models: pd.Series
) -> pd.DataFrame:
    """What each dataset brings to the union."""
    n_expected = own.groupby("dataset_id")["n_expected"].first()
    about = catalog.datasets().set_index("dataset_id").loc[list(dataset_ids)]
    counts = _sums(table, quantity)[1]
    kept = table.configurations.assign(count=counts).groupby("dataset_id")
    total = max(float(counts.sum()), 1.0)
    return pd.DataFrame({
        "dataset_id": list(dataset_ids),
        "label": about["label"].to_numpy(),
        "n_expected": n_expected.reindex(dataset_ids, fill_value=0).to_numpy(dtype=int),
        "n_configs": kept.size().reindex(dataset_ids, fill_value=0).to_numpy(dtype=int),
        "share": (kept["count"].sum().reindex(dataset_ids, fill_value=0.0) / total).to_numpy(),
        "n_clusters": kept["cluster_name"].nunique().reindex(dataset_ids, fill_value=0).to_numpy(dtype=int),
        "n_models": n_models.reindex(dataset_ids, fill_value=0).to_numpy(dtype=int),
        "level_of_theory": about["level_of_theory"].to_numpy(),
    })  # fmt: skip
