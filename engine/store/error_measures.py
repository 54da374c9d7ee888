"""Measures of statements about the size of errors, from metrics and errors of configurations."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.numerics.metrics import MEV, rmse_bounds
from engine.quantities import significant
from engine.registry.claims import Measure
from engine.store.findings import UNITS, Finding, Number, Store, judged, spoken, view
from engine.store.statements import written_out

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

_RMSES = """
select model_id, part, sqrt(sum(total) / sum(size)) as rmse, sum(n) as n from ({sums}) group by all
order by rmse, model_id, part
"""


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
        from errors e where {within(measure)} and list_contains($models, e.model_id)
        and e.reference_energy_per_atom > $above and {_ENERGY[measure.alignment]} is not null
        group by e.model_id order by e.model_id"""
    above = float("-inf") if measure.reference_above is None else measure.reference_above
    named = scope(measure) | {"above": above}
    found = _found(store, measure, sql, named)
    numbers = [Number(store.labels[model], value, n=n) for model, value, _, _, n in found]
    return _numbers_found(
        store, measure, numbers, [row[0] for row in found], written_out(sql, named | _models(measure))
    )


def subset_ratio(store: Store, measure: Measure) -> Finding | str:
    """Error of each model on one part of a dataset over that on another part: two groups, or two lists of metals."""
    if measure.elements:
        part = "case when list_contains($first, c.elements[1]) then 1 else 2 end"
        inside = f"{within(measure)} and len(c.elements) = 1 and list_contains($first || $second, c.elements[1])"
        named = scope(measure) | {"first": list(measure.elements), "second": list(measure.against_elements)}
    else:
        part = "case when e.group_name = $first then 1 else 2 end"
        inside = "e.dataset_id = $dataset and e.group_name in ($first, $second)"
        named = {"dataset": measure.dataset, "first": measure.group, "second": measure.against_group}
    square, size = square_and_size(measure)
    sql = _RMSES.format(sums=_SUMS.format(part=part, within=inside, square=square, size=size))
    found = _found(store, measure, sql, named)
    by_model: dict[str, dict[int, tuple[float, int]]] = {}
    for model, which, value, n in found:
        by_model.setdefault(model, {})[which] = (value, int(n))
    both = {model: parts for model, parts in by_model.items() if len(parts) == 2}
    numbers = [Number(store.labels[m], p[1][0] / p[2][0], n=p[1][1] + p[2][1]) for m, p in both.items()]
    return _numbers_found(store, measure, numbers, list(both), written_out(sql, named | _models(measure)), "times")


def atoms_ratio(store: Store, measure: Measure) -> Finding | str:
    """Force error of a model on the atoms of each of some elements, over that on all other atoms."""
    sql = """with atoms as (
            select e.model_id, unnest(c.elements) as element, unnest(c.element_counts) as n_atoms,
                unnest(e.element_squares) as squares
            from errors e join configurations c using (dataset_id, config_id)
            where e.dataset_id = $dataset and e.in_dataset and $group in ('all', c.group_name)
                and list_contains($models, e.model_id) and e.element_squares is not null
        ), s as (
            select model_id, case when list_contains($elements, element) then element else '' end as element,
                sum(squares) / sum(n_atoms) as square, sum(n_atoms)::bigint as n
            from atoms group by all
        )
        select a.model_id, a.element, sqrt(a.square / b.square) as ratio, a.n
        from s a join s b using (model_id) where a.element <> '' and b.element = '' order by all"""
    named = {"dataset": measure.dataset, "group": measure.group, "elements": list(measure.elements)}
    found = _found(store, measure, sql, named)
    is_one = len(measure.models) == 1
    numbers = [
        Number(element if is_one else f"{store.labels[model]} on {element}", ratio, n=n)
        for model, element, ratio, n in found
    ]
    models = sorted({row[0] for row in found})
    finding = _numbers_found(store, measure, numbers, models, written_out(sql, named | _models(measure)), "times")
    return finding if isinstance(finding, str) else replace(finding, n_what="atoms", page="elements")


def _of_elements(store: Store, measure: Measure) -> Finding | str:
    """Error of each model on the cells of each pure metal."""
    square, size = square_and_size(measure)
    inside = f"{within(measure)} and len(c.elements) = 1 and list_contains($elements, c.elements[1])"
    sums = _SUMS.format(part="c.elements[1]", within=inside, square=square, size=size)
    named = scope(measure) | {"elements": list(measure.elements)}
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
        return lacks(store, measure, measure.models)
    unit = unit or UNITS[measure.quantity or "energy"]
    words = spoken(measure, numbers, unit)
    missing = tuple(model for model in measure.models if model not in models)
    page, address = view(measure, "overview", models)
    if measure.elements and len(models) == 1:
        page, address = "elements", address | {"pooled": ["false"]}
    one = judged(measure, numbers)
    return Finding(one, unit, "configurations", words, sql, page, address, tuple(models), missing)


def square_and_size(measure: Measure) -> tuple[str, str]:
    """SQL of a configuration's sum of squared errors in display units, and of the number of errors in it."""
    if measure.quantity == "energy":
        return f"({MEV} * {_ENERGY[measure.alignment]}) ** 2", "1"
    return f"3 * e.n_atoms * ({MEV} * e.force_rmse) ** 2", "3 * e.n_atoms"


def within(measure: Measure) -> str:
    """Condition on rows of `errors`; those outside the dataset count only where their group is asked for."""
    return f"e.dataset_id = $dataset and {'e.in_dataset' if measure.group == 'all' else 'e.group_name = $group'}"


def scope(measure: Measure) -> dict[str, Any]:
    """Values of the parameters of `within`."""
    return {"dataset": measure.dataset} | ({} if measure.group == "all" else {"group": measure.group})


def _models(measure: Measure) -> dict[str, Any]:
    return {"models": list(measure.models)}


def _found(store: Store, measure: Measure, sql: str, named: dict[str, Any]) -> list[Any]:
    return store.rows(sql, named | _models(measure))


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def lacks(store: Store, measure: Measure, models: Sequence[str]) -> str:
    """Why a measure has nothing to measure."""
    what = "forces" if measure.quantity in ("force", "slope") else "energies"
    where = measure.dataset + ("" if measure.group == "all" else f", group {measure.group}")
    return f"The store has no {what} of {store.names(models) or 'these models'} for {where}."
