"""Statements of the paper, measured again on what is in the store.

A claim is measured only where its numbers are there; the verdict compares it with the paper's own number, and says
when the data are not the paper's.

Source:
    Shuang et al., Universal machine learning interatomic potentials poised to supplant DFT in modeling general
    defects in metals and random alloys (2025).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from engine.numerics.uncertainty import spearman

# Over the configurations that both have: a ratio of errors over different ones would compare configurations.
_FORCE_RATIO = """
select sqrt(sum(a.n_atoms * a.force_rmse ** 2) / sum(b.n_atoms * b.force_rmse ** 2))
from errors a join errors b using (dataset_id, config_id)
where a.model_id = ? and b.model_id = ? and dataset_id = ? and a.in_dataset
"""
_FORCE_PAIRS = """
select deviation, error from (
    select unnest(force_deviation) as deviation, unnest(force_error) as error,
        unnest(is_zero_by_symmetry) as is_zero
    from uncertainties where ensemble_id = ? and dataset_id = ?
) where not is_zero
"""


@dataclass(frozen=True)
class Claim:
    """One statement with the paper's number and ours."""

    claim_id: str
    text: str
    paper_value: float | None
    measured_value: float
    unit: str
    verdict: str
    dataset_id: str


def measure_claims(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Measure every claim whose numbers are in the store, as rows of the table `claims`."""
    return [asdict(claim) for claim in _claims(con)]


def _claims(con: duckdb.DuckDBPyConnection) -> Iterator[Claim]:
    ratio = _ratio(con, "nequix-omat-1", "nequix-mp-1", "w-g")
    if ratio is not None:
        yield Claim(
            "omat24-halves-force-error",
            "At equal architecture (Nequix), training on OMat24 instead of MPtrj divides the force RMSE by about two.",
            0.5,
            ratio,
            "ratio",
            _verdict(ratio, 0.5, 0.1)
            + "; the paper compares other architectures on all of its datasets"
            + _trained_on(con, ["nequix-omat-1", "nequix-mp-1"], "w-g"),
            "w-g",
        )
    rank = _force_spearman(con, "eqv2-omat", "w-g")
    if rank is not None:
        yield Claim(
            "force-deviation-ranks-error",
            "The maximum force deviation of six eqV2 models ranks their force error (Spearman, atoms).",
            0.70,
            rank,
            "Spearman's rank correlation",
            _verdict(rank, 0.70, 0.1)
            + "; the paper pools all of its datasets, this is W-g alone"
            + _trained_on(con, _members(con, "eqv2-omat"), "w-g"),
            "w-g",
        )


def _ratio(con: duckdb.DuckDBPyConnection, model: str, baseline: str, dataset: str) -> float | None:
    row = con.execute(_FORCE_RATIO, [model, baseline, dataset]).fetchone()
    return None if row is None or row[0] is None else float(row[0])


def _force_spearman(con: duckdb.DuckDBPyConnection, ensemble: str, dataset: str) -> float | None:
    pairs = con.execute(_FORCE_PAIRS, [ensemble, dataset]).fetchnumpy()
    if len(pairs["deviation"]) < 3:
        return None
    return spearman(pairs["deviation"], pairs["error"])


def _members(con: duckdb.DuckDBPyConnection, ensemble: str) -> list[str]:
    row = con.execute("select model_ids from ensembles where ensemble_id = ?", [ensemble]).fetchone()
    return list(row[0]) if row else []


def _trained_on(con: duckdb.DuckDBPyConnection, models: list[str], dataset: str) -> str:
    """Names the models that were trained on the dataset, at the end of a verdict; empty where none was."""
    rows = con.execute(
        "select model_id from leakage where list_contains(?, model_id) and dataset_id = ? and group_name = 'all' "
        "and certainty in ('certain', 'likely') order by model_id",
        [models, dataset],
    ).fetchall()
    return f"; trained on this: {', '.join(model for (model,) in rows)}" if rows else ""


def _verdict(measured: float, paper: float, tolerance: float) -> str:
    return "agrees" if abs(measured - paper) <= tolerance else "differs"
