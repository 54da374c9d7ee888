"""Measures of statements about facts: registries in the store, two places of a text, ensembles, defect energies."""

import re

from engine.errors import RegistryError
from engine.numerics.metrics import MEV
from engine.registry.claims import Measure
from engine.registry.reactions import KINDS
from engine.store.findings import Finding, Number, Store, judged, spoken, view
from engine.store.statements import written_out

TABLES = {"models": "model", "datasets": "about", "training_sets": "about", "levels_of_theory": "about"}
"""Tables that hold facts, with the page that shows them."""

_AGGREGATE = {
    "count": "count({})",
    "distinct": "count(distinct {})",
    "sum": "sum({})",
    "min": "min({})",
    "max": "max({})",
}


def fact(store: Store, measure: Measure) -> Finding | str:
    """A count, sum, least or largest value of a column of a registry."""
    if measure.table not in TABLES:
        raise RegistryError(f"Table {measure.table!r} holds no facts; those are {', '.join(TABLES)}.")
    if bad := [name for name in (measure.column, *measure.where) if not re.fullmatch(r"[a-z_]+", name)]:
        raise RegistryError(f"{bad[0]!r} is no name of a column.")
    conditions, named = ["true"], {}
    for name, value in measure.where.items():
        if value == "*":
            conditions.append(f"{name} is not null")
            continue
        named[name] = value
        conditions.append(f"list_contains(${name}, {name})" if isinstance(value, list) else f"{name} = ${name}")
    column = f"{measure.column} order by {measure.column}" if measure.aggregate == "distinct" else measure.column
    aggregate = _AGGREGATE[measure.aggregate].format(column)
    sql = f"select {aggregate}, count({measure.column}) from {measure.table} where {' and '.join(conditions)}"
    [(value, n)] = store.rows(sql, named)
    if value is None or not n:
        return f"No row of {measure.table} states {measure.column}."
    words = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    page = TABLES[measure.table]
    return Finding(Number("", float(value), n=n), "", "entries", words, written_out(sql, named), page)


def stated(_store: Store, measure: Measure) -> Finding | str:
    """Whether a statement and another place, or the source that it cites, say the same: 1, or 0."""
    is_same = measure.says == measure.elsewhere
    words = f"{measure.place} says {'the same' if is_same else measure.elsewhere}"
    return Finding(Number("", float(is_same), n=1), "", "places", words, "")


def correlation(store: Store, measure: Measure) -> Finding | str:
    """Spearman's rank correlation of an ensemble's deviation with its error."""
    sql = """select spearman, n_samples from ensemble_metrics
        where ensemble_id = $ensemble and dataset_id = $dataset and quantity = $quantity"""
    named = {"ensemble": measure.ensemble, "dataset": measure.dataset, "quantity": measure.quantity}
    rows = store.rows(sql, named)
    if not rows or rows[0][0] is None:
        return _no_ensemble(measure)
    value, n = rows[0]
    number = Number("", value, n=n)
    page, address = view(measure, "uncertainty")
    words = f"Spearman {value:.2f}, ensemble {measure.ensemble}"
    what = "atoms" if measure.quantity == "force" else "configurations"
    models = _members(store, measure.ensemble)
    return Finding(number, "Spearman", what, words, written_out(sql, named), page, address, models)


def exceedance(store: Store, measure: Measure) -> Finding | str:
    """Share of atoms or configurations whose error is larger than the ensemble's deviation."""
    name = measure.quantity
    pairs = f"{name}_deviation as deviation, {name}_error as error"
    if name == "force":
        pairs = (
            "unnest(force_deviation) as deviation, unnest(force_error) as error, unnest(is_zero_by_symmetry) as is_zero"
        )
    sql = f"""select avg((error > deviation)::integer), count(*) from (select {pairs} from uncertainties
        where ensemble_id = $ensemble and dataset_id = $dataset and {name}_error is not null)
        {"where not is_zero" if name == "force" else ""}"""
    named = {"ensemble": measure.ensemble, "dataset": measure.dataset}
    [(value, n)] = store.rows(sql, named)
    if not n:
        return _no_ensemble(measure)
    what = "atoms" if name == "force" else "configurations"
    words = f"the error is larger than the deviation for {100 * value:.0f} % of {n:,} {what}"
    page, address = view(measure, "uncertainty")
    models = _members(store, measure.ensemble)
    return Finding(Number("", value, n=n), "share", what, words, written_out(sql, named), page, address, models)


def reaction(store: Store, measure: Measure) -> Finding | str:
    """RMSE of models over defect energies of one kind whose labels are not known to be unconverged."""
    sql = """select model_id, sqrt(avg(error ** 2)), count(*) from reaction_errors
        where list_contains($models, model_id) and kind = $kind and dataset_id = $dataset
            and unit = 'eV' and is_converged is distinct from false
        group by model_id order by model_id"""
    named = {"models": list(measure.models), "kind": measure.reaction, "dataset": measure.dataset}
    rows = store.rows(sql, named)
    what = KINDS[measure.reaction].label
    if not rows:
        return f"The store has no converged energies of {what} of {store.names(measure.models)}."
    numbers = [Number(store.labels[model], value * MEV, n=n) for model, value, n in rows]
    words = spoken(measure, numbers, "meV")
    models = tuple(model for model, _, _ in rows)
    address = {"kind": [measure.reaction], "of": [measure.dataset]}
    number = judged(measure, numbers)
    return Finding(number, "meV", "defect energies", words, written_out(sql, named), "defect_energies", address, models)


def _members(store: Store, ensemble_id: str) -> tuple[str, ...]:
    rows = store.rows("select model_ids from ensembles where ensemble_id = $ensemble", {"ensemble": ensemble_id})
    return tuple(rows[0][0]) if rows else ()


def _no_ensemble(measure: Measure) -> str:
    return f"The store has no {measure.quantity} deviations of the ensemble {measure.ensemble} on {measure.dataset}."
