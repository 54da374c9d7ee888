"""Statements of the paper and our own, measured again on what is in the store, as rows of the table `claims`.

A statement is *reproduced* where the value is in the range that supports it. It is *within bounds* where the value is
outside but its 95 % bounds reach into the range: the numbers here neither refute the statement nor show it. Otherwise
the statement *differs*. A statement of several parts has the verdict of its worst part. A statement without numbers
cannot be tested; the reason is given.

Source:
    Shuang et al., Universal machine learning interatomic potentials poised to supplant DFT in modeling general
    defects in metals and random alloys (2025).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from engine.registry.claims import (
    DIFFERS,
    INCONSISTENCY,
    INCONSISTENT,
    OWN,
    OWN_PATH,
    PAPER,
    REPRODUCED,
    UNTESTED,
    VERDICTS,
    WITHIN,
    Claim,
    Measure,
    load_claims,
    load_inconsistencies,
)
from engine.registry.leakage import COUNTED
from engine.store import cost_measures, error_measures, fact_measures, order_measures
from engine.store.findings import Finding, Store

_ROUNDING = 1e-9

DO: Mapping[str, Callable[[Store, Measure], Finding | str]] = {
    "metric": error_measures.metric,
    "ratio": order_measures.ratio,
    "order": order_measures.order,
    "rank-correlation": order_measures.rank_correlation,
    "subset-ratio": error_measures.subset_ratio,
    "atoms-ratio": error_measures.atoms_ratio,
    "noise-ratio": error_measures.noise_ratio,
    "bias": error_measures.bias,
    "reaction": fact_measures.reaction,
    "correlation": fact_measures.correlation,
    "exceedance": fact_measures.exceedance,
    "fact": fact_measures.fact,
    "stated": fact_measures.stated,
    "cost-ratio": cost_measures.cost_ratio,
    "cost-order": cost_measures.cost_order,
    "cost-trend": cost_measures.cost_trend,
    "cost-exponent": cost_measures.cost_exponent,
    "dft-ratio": cost_measures.dft_ratio,
    "front": cost_measures.front,
}


@dataclass(frozen=True)
class Outcome:
    """One measured part of a statement."""

    measure: Measure
    finding: Finding
    verdict: str


def measure_claims(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Measure every statement on what is in the store.

    Args:
        con: To a store whose other tables are complete.

    Returns:
        Rows of the table `claims`: the paper's statements, ours, and the paper's contradictions.
    """
    store = Store(con)
    rows = [row(store, claim, PAPER) for claim in load_claims().values()]
    rows += [row(store, claim, OWN) for claim in load_claims(OWN_PATH).values()]
    rows += _inconsistency_rows()
    return [one | {"position": k} for k, one in enumerate(rows)]


def row(store: Store, claim: Claim, list_name: str) -> dict[str, Any]:
    """One statement with its verdict, as a row of the table `claims`."""
    facts = {
        "claim_id": claim.claim_id, "list_name": list_name, "section": claim.section, "figure": claim.figure,
        "text": claim.wording, "kind": claim.kind, "paper_text": claim.value, "why": claim.why,
        "data_needed": claim.data,
    }  # fmt: skip
    outcomes, reasons = outcomes_of(store, claim)
    if not outcomes:
        return facts | {"verdict": UNTESTED, "reason": claim.untestable or " ".join(dict.fromkeys(reasons))}
    worst = min(outcomes, key=lambda outcome: VERDICTS.index(outcome.verdict))
    not_all = f"Not tested in all parts. {' '.join(dict.fromkeys(reasons))}" if reasons else ""
    missing = dict.fromkeys(model for outcome in outcomes for model in outcome.finding.missing)
    absent = f"Without numbers here: {store.names(missing)}." if missing else ""
    seen = [_trained_on(store, outcome) for outcome in outcomes]
    return facts | _measured(worst) | {
        "found": _joined(f"{o.measure.part}: {o.finding.words}".removeprefix(": ") for o in outcomes),
        "stand_in": _joined(outcome.measure.stand_in for outcome in outcomes),
        "reason": " ".join(dict.fromkeys(filter(None, [not_all, absent, *seen]))),
        "commands": [o.finding.sql for o in outcomes if o.finding.sql],
    }  # fmt: skip


def outcomes_of(store: Store, claim: Claim) -> tuple[list[Outcome], list[str]]:
    """What was measured of each part of a statement, and why the other parts were not."""
    outcomes, reasons = [], []
    for alternatives in claim.parts():
        failed = []
        for measure in alternatives:
            finding = DO[measure.kind](store, measure)
            if isinstance(finding, Finding):
                outcomes.append(Outcome(measure, finding, verdict(measure, finding)))
                break
            failed.append(finding)
        else:
            reasons += failed
    return outcomes, reasons


def verdict(measure: Measure, finding: Finding) -> str:
    """Whether a finding bears a statement out, could by its bounds, or does not."""
    if measure.kind == "stated":
        return REPRODUCED if finding.number.value else DIFFERS
    low, high = measure.allowed
    one = finding.number
    if low - _ROUNDING <= one.value <= high + _ROUNDING:
        return REPRODUCED
    has_bounds = one.low is not None and one.high is not None
    reaches = has_bounds and one.high >= low - _ROUNDING and one.low <= high + _ROUNDING  # type: ignore[operator]
    return WITHIN if reaches else DIFFERS


def _measured(outcome: Outcome) -> dict[str, Any]:
    """Columns of the part of a statement by which it is judged."""
    measure, finding = outcome.measure, outcome.finding
    one = finding.number
    return {
        "verdict": outcome.verdict, "paper_value": _target(measure), "allowed": _allowed(measure, finding.unit),
        "measured_value": one.value, "measured_lo": one.low, "measured_hi": one.high, "unit": finding.unit,
        "n": one.n, "n_what": finding.n_what, "dataset_id": measure.dataset, "model_ids": list(finding.models),
        "page": finding.page, "address": json.dumps(dict(finding.address)),
    }  # fmt: skip


def _target(measure: Measure) -> float | None:
    """The number that a measured value is compared with."""
    known = (measure.equals, measure.at_most, measure.at_least)
    return next((value for value in known if value is not None), None)


def _allowed(measure: Measure, unit: str) -> str:
    """Values that support the statement, in words."""
    if measure.kind == "stated":
        return measure.says
    if unit.startswith("share of") and measure.at_least == 1:
        return f"every one of the {unit.split()[-1]}"
    after = f" {unit}" if unit else ""
    if measure.equals is not None:
        tolerance = f" ± {_plain(measure.tolerance)}" if measure.tolerance else ""
        return f"{_plain(measure.equals)}{tolerance}{after}"
    if measure.at_least is not None and measure.at_most is not None:
        return f"{_plain(measure.at_least)} to {_plain(measure.at_most)}{after}"
    word, value = ("at most", measure.at_most) if measure.at_most is not None else ("at least", measure.at_least)
    return f"{word} {_plain(value or 0.0)}{after}"


def _plain(value: float) -> str:
    """A number as the registry states it."""
    return f"{value:,.10g}"


def _joined(words: Iterable[str]) -> str:
    """Different sentences, one after the other."""
    return "; ".join(dict.fromkeys(filter(None, words)))


def _trained_on(store: Store, outcome: Outcome) -> str:
    """Names the models that were trained on the dataset; empty where none was."""
    group = outcome.measure.group
    rows = store.rows(
        "select distinct model_id from leakage where list_contains($models, model_id) and dataset_id = $dataset "
        "and group_name = $group and list_contains($counted, certainty) order by model_id",
        {"models": list(outcome.finding.models), "dataset": outcome.measure.dataset, "group": group,
         "counted": list(COUNTED)},
    )  # fmt: skip
    return f"Trained on these data: {store.names([model for (model,) in rows])}." if rows else ""


def _inconsistency_rows() -> Iterator[dict[str, Any]]:
    """Where the paper contradicts itself, as rows of the table `claims`."""
    for entry in load_inconsistencies().values():
        yield {
            "claim_id": entry.inconsistency_id, "list_name": INCONSISTENCY, "section": entry.section,
            "text": entry.wording, "kind": INCONSISTENCY, "verdict": INCONSISTENT,
            "found": f"Touches {', '.join(entry.claims)}." if entry.claims else "",
        }  # fmt: skip
