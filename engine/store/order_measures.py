"""Measures of statements that compare models: ratios of errors, orders, on configurations that models share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engine.numerics.metrics import MIN_CLUSTERS
from engine.numerics.ranks import SURE, resampled_means
from engine.numerics.uncertainty import spearman
from engine.quantities import significant
from engine.registry.claims import Measure
from engine.store.error_measures import FloatArray, lacks, scope, square_and_size, within
from engine.store.findings import LISTED, UNITS, Finding, Number, Store, ranking, view
from engine.store.statements import written_out

WIDE = 0.5  # of the configurations of the model with most: a smaller sample does not narrow what all others share

_ERRORS = """
select e.model_id, e.config_id, coalesce(c.cluster_name, '') as cluster_name, {square} as total, {size} as size
from errors e left join configurations c using (dataset_id, config_id)
where {within} and {square} is not null and list_contains($models, e.model_id)
"""

_PAIRS = """
with e as ({errors}) select a.model_id, b.model_id as other, sqrt(sum(a.total) / sum(a.size)) as rmse,
    sqrt(sum(b.total) / sum(b.size)) as other_rmse, count(*) as n
from e a join e b using (config_id) where a.model_id <> b.model_id group by all order by all
"""


@dataclass(frozen=True)
class Errors:
    """Squared errors of models, configuration by configuration.

    Attributes:
        models: Ids.
        totals: Sums of squared errors, shape (n_models, n_configs), squared meV/atom or meV/Å; NaN where there is none.
        sizes: Number of errors in each, shape (n_configs,).
        clusters: Labels, shape (n_configs,).
    """

    models: tuple[str, ...]
    totals: FloatArray
    sizes: FloatArray
    clusters: NDArray[np.str_]

    def shared(self, models: Sequence[str]) -> Self:
        """Only these models, on the configurations that all of them have."""
        rows = [self.models.index(model) for model in models]
        both = np.isfinite(self.totals[rows]).all(axis=0)
        return type(self)(tuple(models), self.totals[rows][:, both], self.sizes[both], self.clusters[both])

    def wide(self) -> Self:
        """Only models with at least a share `WIDE` of the configurations of the one that has most, on shared ones."""
        counts = np.isfinite(self.totals).sum(axis=1)
        return self.shared([m for m, n in zip(self.models, counts, strict=True) if n >= WIDE * counts.max()])

    @property
    def n(self) -> int:
        """Number of configurations."""
        return len(self.sizes)

    @property
    def rmses(self) -> FloatArray:
        """Of each model over all configurations that it has, shape (n_models,)."""
        sizes = np.where(np.isfinite(self.totals), self.sizes, 0.0).sum(axis=1)
        return np.asarray(np.sqrt(np.nansum(self.totals, axis=1) / sizes))

    def resampled(self) -> FloatArray:
        """RMSEs in resamples, shape (n_resamples, n_models); none with fewer than `MIN_CLUSTERS` clusters."""
        index = np.unique(self.clusters, return_inverse=True)[1]
        n_clusters = int(index.max()) + 1
        if n_clusters < MIN_CLUSTERS:
            return np.empty((0, len(self.models)))
        totals = np.zeros((n_clusters, len(self.models)))
        np.add.at(totals, index, self.totals.T)
        return np.asarray(np.sqrt(resampled_means(totals, np.bincount(index, weights=self.sizes).astype(float))))


@dataclass(frozen=True)
class Pair:
    """Two models of which the first is said to be better.

    Attributes:
        better: Id.
        worse: Id.
        rmses: Of both, on the configurations that they share.
        often: Share of resamples that are as stated; a half where nothing can be resampled.
        n: Configurations that they share.
    """

    better: str
    worse: str
    rmses: tuple[float, float]
    often: float
    n: int

    @property
    def holds(self) -> bool:
        """Whether the two are as stated."""
        return self.rmses[0] < self.rmses[1]

    def words(self, store: Store) -> str:
        """Both models with their errors."""
        doubt = " (not told apart)" if self.often > 1 - SURE else ""
        first, second = (significant(value) for value in self.rmses)
        return f"{store.labels[self.better]} {first} above {store.labels[self.worse]} {second}{doubt}"


def ratio(store: Store, measure: Measure) -> Finding | str:
    """Error of some models over that of others, on the configurations that all of them share."""
    found = _errors(store, measure)
    if isinstance(found, str):
        return found
    errors = found.wide()
    above = [errors.models.index(m) for m in measure.models if m in errors.models]
    below = [errors.models.index(m) for m in measure.against if m in errors.models]
    if not above or not below or not errors.n:
        return lacks(store, measure, measure.models if not above else measure.against)

    def of(rmses: FloatArray) -> FloatArray:
        return _taken(rmses[..., above], measure.take) / _taken(rmses[..., below], measure.against_take)

    value, resampled = float(of(errors.rmses)), of(errors.resampled())
    low, high = np.quantile(resampled, (0.025, 0.975)).tolist() if len(resampled) else (None, None)
    number = Number("", value, low, high, errors.n)
    top = significant(float(_taken(errors.rmses[above], measure.take)))
    bottom = significant(float(_taken(errors.rmses[below], measure.against_take)))
    words = f"{number.words()}: {top} over {bottom} {UNITS[measure.quantity]}"
    chosen = tuple(errors.models[k] for k in (*above, *below))
    sql, missing = _sql(measure, errors.models), _missing(measure, errors.models)
    return Finding(
        number, "ratio", "shared configurations", words, sql, *view(measure, "overview"), chosen, missing
    )  # fmt: skip


def order(store: Store, measure: Measure) -> Finding | str:
    """Share of the pairs of models whose order is as stated; its bounds count those that cannot be told apart.

    Each pair is compared on the configurations that these two share.
    """
    found = _tiers(store, measure)
    if isinstance(found, str):
        return found
    tiers, errors = found
    if measure.take == "any":  # the best of the first tier, whichever it is
        rmses = dict(zip(errors.models, errors.rmses.tolist(), strict=True))
        tiers = [[min(tiers[0], key=rmses.__getitem__)], [model for tier in tiers[1:] for model in tier]]
    stated = [(a, b) for k, tier in enumerate(tiers) for a in tier for later in tiers[k + 1 :] for b in later]
    pairs = [pair for pair in (_pair(errors, *both) for both in stated) if pair]
    if not pairs:
        return lacks(store, measure, measure.named)
    holds, often = np.array([pair.holds for pair in pairs]), np.array([pair.often for pair in pairs])
    low, high = (holds & (often >= SURE)).mean(), (holds | (often > 1 - SURE)).mean()
    number = Number("", float(holds.mean()), float(low), float(high), min(pair.n for pair in pairs))
    words = f"{int(holds.sum())} of {len(pairs)} pairs as stated{_broken(store, pairs)}"
    models = tuple(dict.fromkeys(model for pair in pairs for model in (pair.better, pair.worse)))
    sql, missing = _sql(measure, models), _missing(measure, errors.models)
    return Finding(
        number, "share of pairs", "shared configurations", words, sql, *ranking(measure), models, missing
    )  # fmt: skip


def rank_correlation(store: Store, measure: Measure) -> Finding | str:
    """Spearman's correlation of a stated order of models with that of their errors."""
    found = _tiers(store, measure)
    if isinstance(found, str):
        return found
    tiers, errors = found[0], found[1].wide()
    if len(errors.models) < 3:
        return f"{measure.dataset} has numbers of {len(errors.models)} of these models; an order needs three."
    stated = {model: float(k) for k, tier in enumerate(tiers) for model in tier}
    value = spearman(np.array([stated[model] for model in errors.models]), errors.rmses)
    number = Number("", value, n=len(errors.models))
    words = f"Spearman {significant(value)} over {len(errors.models)} models on {errors.n:,} shared configurations"
    sql, missing = _sql(measure, errors.models), _missing(measure, errors.models)
    return Finding(number, "Spearman", "models", words, sql, *ranking(measure), errors.models, missing)


def _pair(errors: Errors, better: str, worse: str) -> Pair | None:
    """Two models compared; None where they share nothing."""
    both = errors.shared((better, worse))
    if not both.n:
        return None
    resampled = both.resampled()
    often = float((resampled[:, 0] < resampled[:, 1]).mean()) if len(resampled) else 0.5
    first, second = both.rmses.tolist()
    return Pair(better, worse, (first, second), often, both.n)


def _broken(store: Store, pairs: Sequence[Pair]) -> str:
    """Names the pairs that are the other way round, beyond doubt first."""
    wrong = sorted((pair for pair in pairs if not pair.holds), key=lambda pair: (pair.often > 1 - SURE, pair.often))
    if not wrong:
        return ""
    more = f" and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
    return f"; the other way round: {', '.join(pair.words(store) for pair in wrong[:LISTED])}{more}"


def _tiers(store: Store, measure: Measure) -> tuple[list[list[str]], Errors] | str:
    """Tiers of the models that have numbers, and their errors; at least two tiers."""
    errors = _errors(store, measure)
    if isinstance(errors, str):
        return errors
    tiers = [[model for model in tier if model in errors.models] for tier in measure.order]
    filled = [tier for tier in tiers if tier]
    return (filled, errors) if len(filled) > 1 else lacks(store, measure, _missing(measure, errors.models))


def _errors(store: Store, measure: Measure) -> Errors | str:
    """Errors of the models of a measure that have numbers."""
    sql = _statement(measure)
    rows = store.rows(f"{sql} order by e.config_id, e.model_id", scope(measure) | {"models": list(measure.named)})
    if not rows:
        return lacks(store, measure, measure.named)
    models = sorted({row[0] for row in rows})
    row_of = {model: k for k, model in enumerate(models)}
    column_of = {config: k for k, config in enumerate(dict.fromkeys(row[1] for row in rows))}
    totals = np.full((len(models), len(column_of)), np.nan)
    sizes, clusters = np.zeros(len(column_of)), [""] * len(column_of)
    for model, config, cluster, total, size in rows:
        k = column_of[config]
        totals[row_of[model], k], sizes[k], clusters[k] = total, size, cluster
    return Errors(tuple(models), totals, sizes, np.array(clusters))


def _statement(measure: Measure) -> str:
    square, size = square_and_size(measure)
    return _ERRORS.format(square=square, size=size, within=within(measure))


def _sql(measure: Measure, models: Sequence[str]) -> str:
    """Statement that compares each pair of models on the configurations that the two share."""
    return written_out(_PAIRS.format(errors=_statement(measure)), scope(measure) | {"models": list(models)})


def _missing(measure: Measure, models: Sequence[str]) -> tuple[str, ...]:
    return tuple(model for model in measure.named if model not in models)


def _taken(values: FloatArray, take: str) -> FloatArray:
    """The lowest, highest or mean of the last axis."""
    if take == "mean":
        return np.asarray(values.mean(axis=-1))
    return np.asarray(values.min(axis=-1) if take in ("any", "lowest") else values.max(axis=-1))
