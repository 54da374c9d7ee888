"""Measures of statements about cost: ratios, orders, exponents and Pareto fronts of time per atom and step."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import stdtrit

from engine.numerics.pareto import pareto_front
from engine.numerics.uncertainty import spearman
from engine.quantities import significant
from engine.registry.claims import Measure
from engine.store.findings import Finding, Number, Store, judged, spoken, view
from engine.store.rows import DFT
from engine.store.statements import written_out

PAPER_ATOMS = 125  # of the cell that the paper timed

# The cheapest batch of each model on the machine that most models were timed on; among cells of many sizes that of the
# paper. The time of a network of a model's size with random weights counts where the model itself was not timed there.
_COSTS = """
with machines as (
    select hardware, n_threads, n_atoms, count(distinct model_id) as n from costs
    where device = $device and us_per_atom_step > 0
    group by hardware, n_threads, n_atoms
    order by n desc, abs(n_atoms - 125), hardware, n_threads, n_atoms limit 1
), timed as (
    select model_id, us_per_atom_step / 1000 as ms, origin is not distinct from 'random weights' as is_random
    from costs join machines using (hardware, n_threads, n_atoms)
    where device = $device and us_per_atom_step > 0
)
select model_id, coalesce(min(ms) filter (not is_random), min(ms)) as ms, bool_and(is_random) as is_random
from timed group by model_id order by ms, model_id
"""

# Times on one thread by number of atoms, of models that were timed on cells of at least three sizes.
_SIZES = """
select model_id, hardware, list(n_atoms order by n_atoms) as sizes, list(ms_per_step order by n_atoms) as ms from costs
where device = $device and n_threads = 1 and not is_queue and ms_per_step > 0
    and list_contains($models, model_id) and origin is distinct from 'random weights'
group by model_id, hardware having count(distinct n_atoms) >= 3 order by model_id, hardware
"""

# Our own DFT on the largest cells, and the models on the machine that most were timed on.
_AGAINST_DFT = """
with models as ({costs}), dft as (
    select n_atoms, median(us_per_atom_step) / 1000 as ms, count(*) as n from costs
    where model_id = $dft and device = 'cpu' group by n_atoms order by n_atoms desc limit 1
)
select m.model_id, d.ms / m.ms as ratio, d.n_atoms, d.ms, m.ms from models m, dft d
where list_contains($models, m.model_id) order by ratio, m.model_id
"""


def cost_ratio(store: Store, measure: Measure) -> Finding | str:
    """Median cost of some models over that of others; bounds are the smallest and the largest ratio.

    Of two devices only models count that were timed on both, and each is compared with itself.
    """
    above = _costs(store, measure.device, measure.models)
    below = _costs(store, measure.against_device or measure.device, measure.against)
    if measure.against_device:
        return _device_ratio(store, measure, {m: above[m] / below[m] for m in above if m in below})
    if not above or not below:
        return _untimed(store, measure.device, measure.models if not above else measure.against)
    tops, bottoms = list(above.values()), list(below.values())
    value = float(np.median(tops) / np.median(bottoms))
    number = Number("", value, min(tops) / max(bottoms), max(tops) / min(bottoms), len(above) + len(below))
    words = f"{significant(value)} times, single pairs {significant(number.low)} to {significant(number.high)}"
    return _finding(store, measure, number, "times", words, (*above, *below))


def _device_ratio(store: Store, measure: Measure, ratios: dict[str, float]) -> Finding | str:
    """The largest ratio of the costs of one model on two devices, from the smallest on."""
    if not ratios:
        return f"The store has no model with a cost on {measure.device} and on {measure.against_device}."
    number = Number("", max(ratios.values()), min(ratios.values()), max(ratios.values()), len(ratios))
    words = f"{significant(number.low)} to {significant(number.high)} times, each model against itself"
    return _finding(store, measure, number, "times", words, tuple(ratios))


def cost_order(store: Store, measure: Measure) -> Finding | str:
    """Share of the pairs of tiers whose medians of cost are in the stated order, the fastest first."""
    tiers = [_costs(store, measure.device, tier) for tier in measure.order]
    medians = [float(np.median(list(tier.values()))) for tier in tiers if tier]
    if len(medians) < 2:
        return _untimed(store, measure.device, [m for tier in measure.order for m in tier])
    pairs = [(a, b) for k, a in enumerate(medians) for b in medians[k + 1 :]]
    n_held = sum(a < b for a, b in pairs)
    words = f"{n_held} of {len(pairs)} pairs of families as stated"
    models = [model for tier in tiers for model in tier]
    return _finding(store, measure, Number("", n_held / len(pairs), n=len(models)), "share of pairs", words, models)


def cost_trend(store: Store, measure: Measure) -> Finding | str:
    """Spearman's correlation of cost and error over all models that have both."""
    costs, errors = _both(store, measure)
    if len(costs) < 3:
        return (
            f"{len(costs)} models have both a cost on {measure.device} and errors on {measure.dataset}; it takes three."
        )
    value = spearman(np.array(list(costs.values())), np.array([errors[model] for model in costs]))
    words = f"Spearman {significant(value)} of cost and error over {len(costs)} models"
    return _finding(store, measure, Number("", value, n=len(costs)), "Spearman", words, tuple(costs))


def cost_exponent(store: Store, measure: Measure) -> Finding | str:
    """Exponent of the number of atoms in the time of a step, by a straight line through the logarithms of both.

    Its 95 % bounds come from the scatter about that line (Student's t).
    """
    from scipy.stats import linregress  # takes half a second, which the first page need not wait for

    named = {"device": measure.device, "models": list(measure.models)}
    numbers = []
    for model, _, sizes, ms in store.rows(_SIZES, named):
        line = linregress(np.log(sizes), np.log(ms))
        half = float(stdtrit(len(sizes) - 2, 0.975) * line.stderr)
        slope = float(line.slope)
        numbers.append(Number(store.labels[model], slope, slope - half, slope + half, len(sizes)))
    if not numbers:
        return f"Nobody timed {store.names(measure.models)} on cells of three sizes."
    words = f"exponent of {spoken(measure, numbers, '')}"
    models = tuple(model for model in measure.models if store.labels.get(model) in {number.name for number in numbers})
    sql = written_out(_SIZES, named)
    return Finding(judged(measure, numbers), "", "cell sizes", words, sql, "cost", {}, models)


def dft_ratio(store: Store, measure: Measure) -> Finding | str:
    """Time of our own DFT per atom over that of models, on its largest cell.

    The upper bound of a ratio is what the cube, of which DFT's cost is known to grow, makes of it on the paper's cell.
    """
    named = {"device": measure.device, "dft": DFT, "models": list(measure.models)}
    sql = _AGAINST_DFT.format(costs=_COSTS)
    rows = store.rows(sql, named)
    if not rows:
        return f"The store has no times of DFT beside those of {store.names(measure.models)}."
    growth = max(1.0, PAPER_ATOMS / rows[0][2]) ** 2  # per atom, the cube is a square
    numbers = [Number(store.labels[model], ratio, ratio, ratio * growth, 1) for model, ratio, *_ in rows]
    words = (
        f"{spoken(measure, numbers, 'times')}; DFT takes {significant(rows[0][3] / 1000)} s per atom of "
        f"{rows[0][2]}, and the upper bound is that of {PAPER_ATOMS} atoms by the cube"
    )
    models = tuple(row[0] for row in rows)
    words = _with_random(store, measure, words, models)
    number = replace(judged(measure, numbers), n=len(numbers))
    return Finding(number, "times", "models", words, written_out(sql, named), "cost", {}, models)


def front(store: Store, measure: Measure) -> Finding | str:
    """Share of the models that are, or are not, on the Pareto front of cost and error, as stated.

    At least half of them must have both, and those that have not are named.
    """
    costs, errors = _both(store, measure)
    asked = [model for model in measure.models if model in costs]
    absent = [model for model in measure.models if model not in costs]
    if len(asked) < len(absent) or not asked or len(costs) < 3:
        names = store.names(absent or measure.models)
        return f"The store has no cost on {measure.device}, or no error beside it, of {names} that could be compared."
    timed = list(costs)
    best = {timed[k] for k in pareto_front(list(costs.values()), [errors[model] for model in timed])}
    right = [model for model in asked if (model in best) == measure.is_on]
    words = f"on the front of {len(timed)} models: {store.names([m for m in timed if m in best])}"
    number = Number("", len(right) / len(asked), n=len(timed))
    return replace(_finding(store, measure, number, "share of the models", words, timed), missing=tuple(absent))


def _both(store: Store, measure: Measure) -> tuple[dict[str, float], dict[str, float]]:
    """Cost and error of the models that have both and were not trained on the dataset, the cheapest first."""
    column = "energy_rmse_mev_per_atom" if measure.quantity == "energy" else "force_rmse_mev_per_ang"
    sql = f"""select model_id, {column} from dataset_metrics m where dataset_id = $dataset and group_name = $group
        and alignment = $alignment and isfinite({column}) and n_failed = 0 and not exists (select 1 from leakage k
        where k.model_id = m.model_id and k.dataset_id = $dataset and k.group_name = 'all'
        and k.certainty in ('certain', 'likely')) order by model_id"""
    named = {"dataset": measure.dataset, "group": measure.group, "alignment": measure.alignment}
    errors = dict(store.rows(sql, named))
    return _costs(store, measure.device, tuple(errors)), errors


def _costs(store: Store, device: str, models: Sequence[str]) -> dict[str, float]:
    """Cost of some models in ms per atom and step, the cheapest first."""
    return {model: ms for model, ms, _ in store.rows(_COSTS, {"device": device}) if model in models}


def _with_random(store: Store, measure: Measure, words: str, models: Sequence[str]) -> str:
    """The words, with how many of the models were timed with random weights."""
    devices = {measure.device, measure.against_device or measure.device}
    rows = [row for device in sorted(devices) for row in store.rows(_COSTS, {"device": device})]
    n_random = len({model for model, _, is_random in rows if is_random and model in models})
    if not n_random:
        return words
    return f"{words}; {n_random} of {len(models)} models timed as networks of their size with random weights"


def _finding(store: Store, measure: Measure, number: Number, unit: str, words: str, models: Sequence[str]) -> Finding:
    words = _with_random(store, measure, words, models)
    page, address = view(measure, "cost") if measure.dataset else ("cost", {})
    sql = written_out(_COSTS, {"device": measure.device})
    return Finding(number, unit, "models", words, sql, page, address, tuple(models))


def _untimed(store: Store, device: str, models: Sequence[str]) -> str:
    return f"The store has no cost on {device} of {store.names(models)} that could be compared."
