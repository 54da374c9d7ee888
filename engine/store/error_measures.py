"""Measures of statements about errors: their size, ratio and order, from metrics and errors of configurations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.numerics.metrics import MEV, MIN_CLUSTERS, rmse_bounds
from engine.numerics.ranks import SURE, resampled_means
from engine.numerics.uncertainty import spearman
from engine.quantities import significant
from engine.registry.claims import Measure
from engine.store.findings import LISTED, UNITS, Finding, Number, Store, judged, spoken, view, written_out

FloatArray = NDArray[np.float64]

_ENERGY = {
    "raw": "e.energy_error_per_atom",
    "per_element": "e.energy_error_per_atom_aligned",
    "crystal": "e.energy_error_per_atom_crystal",
}

_SUMS = """
select e.model_id, {part} as part, coalesce(c.cluster_name, '') as cluster_name,
    sum({square}) as total, sum({size}) as size, count(*) as n
from errors e left join configurations c using (dataset_id, config_id)
where {within} and {square} is not null and list_contains($models, e.model_id)
group by all order by all
"""

_SHARED = """e.config_id in (
    select e.config_id from errors e where {within} and {square} is not null and list_contains($models, e.model_id)
    group by e.config_id having count(*) = len($models)
)"""

_RMSES = """
select model_id, part, sqrt(sum(total) / sum(size)) as rmse, sum(n) as n from ({sums}) group by all
order by rmse, model_id, part
"""


@dataclass(frozen=True)
class Sums:
    """Sums of squared errors of models over the configurations that they share.

    Attributes:
        models: Ids.
        totals: Shape (n_clusters, n_models), squared meV/atom or meV/Å.
        sizes: Number of errors in each, shape (n_clusters,).
        n: Configurations.
        sql: Statement that gives the RMSEs.
    """

    models: tuple[str, ...]
    totals: FloatArray
    sizes: FloatArray
    n: int
    sql: str

    @property
    def rmses(self) -> FloatArray:
        """Of each model, shape (n_models,)."""
        return np.asarray(np.sqrt(self.totals.sum(axis=0) / self.sizes.sum()))

    def resampled(self) -> FloatArray:
        """RMSEs in resamples, shape (n_resamples, n_models); none with fewer than `MIN_CLUSTERS` clusters."""
        if len(self.sizes) < MIN_CLUSTERS:
            return np.empty((0, len(self.models)))
        return np.asarray(np.sqrt(resampled_means(self.totals, self.sizes)))


def metric(store: Store, measure: Measure) -> Finding | str:
    """Error or slope of models on a dataset or a group of it; of each pure metal where elements are named."""
    if measure.elements:
        return _of_elements(store, measure)
    name = {"energy": "energy_rmse_mev_per_atom", "force": "force_rmse_mev_per_ang", "slope": "force_slope"}
    column = name[measure.quantity]
    bounds = "null, null" if measure.quantity == "slope" else f"{column}_lo, {column}_hi"
    count = "n_energy" if measure.quantity == "energy" else "n_force"
    sql = f"""select model_id, {column}, {bounds}, {count} from dataset_metrics
        where dataset_id = $dataset and group_name = $group and alignment = $alignment
        and list_contains($models, model_id) and isfinite({column}) order by {column}, model_id"""
    named = {"dataset": measure.dataset, "group": measure.group, "alignment": measure.alignment}
    found = _found(store, measure, sql, named)
    numbers = [
        Number(store.labels[model], value, _finite(low), _finite(high), n) for model, value, low, high, n in found
    ]
    return _numbers_found(
        store, measure, numbers, [row[0] for row in found], written_out(sql, named | _models(measure))
    )


def noise_ratio(store: Store, measure: Measure) -> Finding | str:
    """Error of models in units of the noise of the labels."""
    column = "energy_noise_per_atom" if measure.quantity == "energy" else "force_noise"
    rows = store.rows(f"select {column} from datasets where dataset_id = $dataset", {"dataset": measure.dataset})
    found = metric(store, measure)
    if isinstance(found, str) or not rows or rows[0][0] is None:
        return found if isinstance(found, str) else f"Nobody measured the noise of the labels of {measure.dataset}."
    noise = rows[0][0] * MEV
    one = found.number
    low, high = (None if bound is None else bound / noise for bound in (one.low, one.high))
    unit = UNITS[measure.quantity]
    words = f"{one.words()} {unit}, {significant(one.value / noise)} times the noise of {significant(noise)} {unit}"
    number = Number(one.name, one.value / noise, low, high, one.n)
    return Finding(number, "times", found.n_what, words, found.sql, found.page, found.address, found.models)


def bias(store: Store, measure: Measure) -> Finding | str:
    """Mean energy error of models, above a reference energy where one is named."""
    sql = f"""select e.model_id, avg({MEV} * {_ENERGY[measure.alignment]}), null, null, count(*)
        from errors e where {_within(measure)} and list_contains($models, e.model_id)
        and e.reference_energy_per_atom > $above and {_ENERGY[measure.alignment]} is not null
        group by e.model_id order by e.model_id"""
    above = float("-inf") if measure.reference_above is None else measure.reference_above
    named = _scope(measure) | {"above": above}
    found = _found(store, measure, sql, named)
    numbers = [Number(store.labels[model], value, n=n) for model, value, _, _, n in found]
    return _numbers_found(
        store, measure, numbers, [row[0] for row in found], written_out(sql, named | _models(measure))
    )


def subset_ratio(store: Store, measure: Measure) -> Finding | str:
    """Error of each model on one part of a dataset over that on another part: two groups, or two lists of metals."""
    if measure.elements:
        part = "case when list_contains($first, c.elements[1]) then 1 else 2 end"
        within = f"{_within(measure)} and len(c.elements) = 1 and list_contains($first || $second, c.elements[1])"
        named = _scope(measure) | {"first": list(measure.elements), "second": list(measure.against_elements)}
    else:
        part = "case when e.group_name = $first then 1 else 2 end"
        within = "e.dataset_id = $dataset and e.group_name in ($first, $second)"
        named = {"dataset": measure.dataset, "first": measure.group, "second": measure.against_group}
    square, size = _square(measure)
    sql = _RMSES.format(sums=_SUMS.format(part=part, within=within, square=square, size=size))
    found = _found(store, measure, sql, named)
    by_model: dict[str, dict[int, tuple[float, int]]] = {}
    for model, which, value, n in found:
        by_model.setdefault(model, {})[which] = (value, int(n))
    both = {model: parts for model, parts in by_model.items() if len(parts) == 2}
    numbers = [Number(store.labels[m], p[1][0] / p[2][0], n=p[1][1] + p[2][1]) for m, p in both.items()]
    return _numbers_found(store, measure, numbers, list(both), written_out(sql, named | _models(measure)), "times")


def ratio(store: Store, measure: Measure) -> Finding | str:
    """Error of some models over that of others, on the configurations that all of them share."""
    sums = _shared(store, measure, measure.named)
    if isinstance(sums, str):
        return sums
    above = [sums.models.index(m) for m in measure.models if m in sums.models]
    below = [sums.models.index(m) for m in measure.against if m in sums.models]
    if not above or not below:
        return _lacks(store, measure, measure.models if not above else measure.against)

    def of(rmses: FloatArray) -> FloatArray:
        return _taken(rmses[..., above], measure.take) / _taken(rmses[..., below], measure.against_take)

    value, resampled = float(of(sums.rmses)), of(sums.resampled())
    low, high = np.quantile(resampled, (0.025, 0.975)).tolist() if len(resampled) else (None, None)
    number = Number("", value, low, high, sums.n)
    top, bottom = (float(_taken(sums.rmses[k], take)) for k, take in
                   ((above, measure.take), (below, measure.against_take)))  # fmt: skip
    words = f"{number.words()}: {significant(top)} over {significant(bottom)} {UNITS[measure.quantity]}"
    chosen = tuple(sums.models[k] for k in (*above, *below))
    return Finding(number, "ratio", "shared configurations", words, sums.sql, *view(measure, "overview"), chosen)


def order(store: Store, measure: Measure) -> Finding | str:
    """Share of the pairs of models whose order is as stated; its bounds count those that cannot be told apart."""
    tiers, sums = _tiers(store, measure)
    if isinstance(sums, str):
        return sums
    place = {model: k for k, model in enumerate(sums.models)}
    rmses, resampled = sums.rmses, sums.resampled()
    if measure.take == "any":  # the best of the first tier, whichever it is
        tiers[0] = [min(tiers[0], key=lambda model: rmses[place[model]])]
        tiers = [tiers[0], [model for tier in tiers[1:] for model in tier]]
    pairs = [(a, b) for k, tier in enumerate(tiers) for a in tier for later in tiers[k + 1 :] for b in later]
    better, worse = ([place[pair[k]] for pair in pairs] for k in (0, 1))
    holds = rmses[better] < rmses[worse]
    # How often a pair is as stated in resamples; a half, so that nothing is sure, where there are none.
    often = (resampled[:, better] < resampled[:, worse]).mean(axis=0) if len(resampled) else np.full(len(pairs), 0.5)
    low, high = (holds & (often >= SURE)).mean(), (holds | (often > 1 - SURE)).mean()
    number = Number("", float(holds.mean()), float(low), float(high), sums.n)
    words = f"{int(holds.sum())} of {len(pairs)} pairs as stated"
    words += _broken(store, pairs, holds, often, dict(zip(sums.models, rmses.tolist(), strict=True)))
    models = [model for tier in tiers for model in tier]
    missing = tuple(model for tier in measure.order for model in tier if model not in sums.models)
    page, address = view(measure, "overview")
    return Finding(
        number, "share of pairs", "shared configurations", words, sums.sql, page, address, tuple(models), missing
    )


def rank_correlation(store: Store, measure: Measure) -> Finding | str:
    """Spearman's correlation of a stated order of models with that of their errors."""
    tiers, sums = _tiers(store, measure)
    if isinstance(sums, str):
        return sums
    if len(sums.models) < 3:
        return f"{measure.dataset} has numbers of {len(sums.models)} of these models; an order needs three."
    stated = {model: float(k) for k, tier in enumerate(tiers) for model in tier}
    value = spearman(np.array([stated[model] for model in sums.models]), sums.rmses)
    number = Number("", value, n=len(sums.models))
    words = f"Spearman {significant(value)} over {len(sums.models)} models"
    return Finding(number, "Spearman", "models", words, sums.sql, *view(measure, "overview"), sums.models)


def _broken(
    store: Store, pairs: Sequence[tuple[str, str]], holds: NDArray[np.bool_], often: FloatArray, rmses: dict[str, float]
) -> str:
    """Names the pairs that are the other way round, beyond doubt first."""
    wrong = sorted(np.flatnonzero(~holds).tolist(), key=lambda k: (often[k] > 1 - SURE, often[k]))
    if not wrong:
        return ""
    listed = []
    for k in wrong[:LISTED]:
        a, b = pairs[k]
        doubt = " (not told apart)" if often[k] > 1 - SURE else ""
        listed.append(
            f"{store.labels[a]} {significant(rmses[a])} above {store.labels[b]} {significant(rmses[b])}{doubt}"
        )
    more = f" and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
    return f"; the other way round: {', '.join(listed)}{more}"


def _of_elements(store: Store, measure: Measure) -> Finding | str:
    """Error of each model on the cells of each pure metal."""
    square, size = _square(measure)
    within = f"{_within(measure)} and len(c.elements) = 1 and list_contains($elements, c.elements[1])"
    sums = _SUMS.format(part="c.elements[1]", within=within, square=square, size=size)
    named = _scope(measure) | {"elements": list(measure.elements)}
    cells: dict[tuple[str, str], list[tuple[float, float, int]]] = {}
    for model, element, _, total, errors, n in _found(store, measure, sums, named):
        cells.setdefault((model, element), []).append((total, errors, n))
    numbers = []
    for (model, element), rows in cells.items():
        totals, sizes, counts = map(np.array, zip(*rows, strict=True))
        low, high = map(_finite, rmse_bounds(totals, sizes))
        name = element if len(measure.models) == 1 else f"{store.labels[model]} on {element}"
        numbers.append(Number(name, float(np.sqrt(totals.sum() / sizes.sum())), low, high, int(counts.sum())))
    sql = written_out(_RMSES.format(sums=sums), named | _models(measure))
    return _numbers_found(store, measure, numbers, sorted({model for model, _ in cells}), sql)


def _numbers_found(
    store: Store, measure: Measure, numbers: Sequence[Number], models: Sequence[str], sql: str, unit: str = ""
) -> Finding | str:
    """A finding from numbers of models, or the reason why there are none."""
    if not numbers:
        return _lacks(store, measure, measure.models)
    unit = unit or UNITS[measure.quantity or "energy"]
    words = spoken(measure, numbers, unit)
    missing = tuple(model for model in measure.models if model not in models)
    page, address = view(measure, "overview", models)
    one = judged(measure, numbers)
    return Finding(one, unit, "configurations", words, sql, page, address, tuple(models), missing)


def _tiers(store: Store, measure: Measure) -> tuple[list[list[str]], Sums | str]:
    """Tiers of the models that have numbers, and their sums."""
    sums = _shared(store, measure, measure.named)
    if isinstance(sums, str):
        return [], sums
    tiers = [[model for model in tier if model in sums.models] for tier in measure.order]
    filled = [tier for tier in tiers if tier]
    if len(filled) < 2:
        absent = [model for tier in measure.order for model in tier if model not in sums.models]
        return filled, _lacks(store, measure, absent)
    return filled, sums


def _shared(store: Store, measure: Measure, asked: Sequence[str]) -> Sums | str:
    """Sums of the models that have numbers, over the configurations that they share."""
    square, size = _square(measure)
    within = _within(measure)
    here = store.rows(
        f"select distinct e.model_id from errors e where {within} and {square} is not null order by e.model_id",
        _scope(measure),
    )
    models = [model for (model,) in here if model in asked]
    if not models:
        return _lacks(store, measure, asked)
    condition = f"{within} and {_SHARED.format(within=within, square=square)}"
    sql = _SUMS.format(part="''", within=condition, square=square, size=size)
    named = _scope(measure) | {"models": models}
    rows = store.rows(sql, named)
    if not rows:
        return f"{store.names(models)} share no configuration of {measure.dataset}."
    clusters = sorted({row[2] for row in rows})
    totals, sizes, n = np.zeros((len(clusters), len(models))), np.zeros(len(clusters)), 0
    for model, _, cluster, total, errors, count in rows:
        k = clusters.index(cluster)
        totals[k, models.index(model)], sizes[k] = total, errors
        n += count if model == models[0] else 0
    return Sums(tuple(models), totals, sizes, n, written_out(_RMSES.format(sums=sql), named))


def _taken(values: FloatArray, take: str) -> FloatArray:
    """The lowest, highest or mean of the last axis."""
    if take == "mean":
        return np.asarray(values.mean(axis=-1))
    return np.asarray(values.min(axis=-1) if take in ("any", "lowest") else values.max(axis=-1))


def _square(measure: Measure) -> tuple[str, str]:
    """SQL of a configuration's sum of squared errors in display units, and of the number of errors in it."""
    if measure.quantity == "energy":
        return f"({MEV} * {_ENERGY[measure.alignment]}) ** 2", "1"
    return f"3 * e.n_atoms * ({MEV} * e.force_rmse) ** 2", "3 * e.n_atoms"


def _within(measure: Measure) -> str:
    """Condition on rows of `errors`; those outside the dataset count only where their group is asked for."""
    return f"e.dataset_id = $dataset and {'e.in_dataset' if measure.group == 'all' else 'e.group_name = $group'}"


def _scope(measure: Measure) -> dict[str, Any]:
    return {"dataset": measure.dataset} | ({} if measure.group == "all" else {"group": measure.group})


def _models(measure: Measure) -> dict[str, Any]:
    return {"models": list(measure.models)}


def _found(store: Store, measure: Measure, sql: str, named: dict[str, Any]) -> list[Any]:
    return store.rows(sql, named | _models(measure))


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _lacks(store: Store, measure: Measure, models: Sequence[str]) -> str:
    """Why a measure has nothing to measure."""
    what = "forces" if measure.quantity in ("force", "slope") else "energies"
    where = measure.dataset + ("" if measure.group == "all" else f", group {measure.group}")
    return f"The store has no {what} of {store.names(models) or 'these models'} for {where}."
