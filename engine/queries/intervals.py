"""Calibrated intervals: what error to expect of a model on a structure, and how far such intervals hold."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.errors import MetricError
from engine.numerics import conformal
from engine.numerics.conformal import FLOORS, Calibration
from engine.store import connection
from engine.store.connection import cached

ALL = "all"
NOMINAL = 0.9
TOLERANCE = 0.02  # of coverage, about the nominal one

# Where the evidence for an interval is from, nearest first.
SAME_KIND = "same elements and kind"
SAME_ELEMENTS = "same elements, all kinds"
ELSEWHERE = "other elements"
NO_EVIDENCE = "no evidence"

_KEYS = ["dataset_id", "model_id", "ensemble_id", "quantity", "kind"]


@dataclass(frozen=True)
class Expected:
    """What error to expect.

    Attributes:
        low: Lower end of the size of the error, eV/Å or eV/atom; NaN without evidence.
        high: Upper end.
        nominal: Coverage that was asked for.
        coverage: Coverage measured where it was left out: of clusters or configurations, or of whole datasets where the
            evidence is from other elements; NaN without evidence.
        evidence: `SAME_KIND`, `SAME_ELEMENTS`, `ELSEWHERE` or `NO_EVIDENCE`.
        unit: What the interval is for: another `cluster`, or another `configuration` of trajectories that are known.
        n_configs: Configurations behind it.
        n_units: Clusters or configurations that weigh the same.
        dataset_ids: Datasets behind it.
    """

    low: float
    high: float
    nominal: float
    coverage: float
    evidence: str
    unit: str
    n_configs: int
    n_units: int
    dataset_ids: tuple[str, ...]

    @property
    def is_known(self) -> bool:
        """Whether there is any evidence."""
        return self.evidence != NO_EVIDENCE


@cached
def calibrations() -> pd.DataFrame:
    """All calibrations, with the elements of their datasets and held-out coverage at the nominal level.

    Returns:
        Columns of `calibrations` with elements, coverage (of left-out units) and coverage_configs (of configurations).
    """
    table = connection.frame(
        f"select k.*, d.elements from calibrations k join datasets d using (dataset_id) order by {', '.join(_KEYS)}"
    )
    for name in ("held_out", "held_out_configs"):
        table[name.replace("held_out", "coverage")] = [
            _at(levels, values) for levels, values in zip(table["levels"], table[name], strict=True)
        ]
    return table


def _at(levels: Sequence[float], values: Sequence[float], coverage: float = NOMINAL) -> float:
    """Value at the nominal level that is nearest."""
    return float(values[int(np.argmin(np.abs(np.asarray(levels) - coverage)))])


@cached
def held_out(dataset_id: str, quantity: str, ensemble_id: str) -> pd.DataFrame:
    """Coverage of 90 % intervals of each model on parts of a dataset that were left out, all kinds and each kind.

    Args:
        dataset_id: The dataset.
        quantity: `force` or `energy`.
        ensemble_id: Whose deviation the intervals use; empty for none.

    Returns:
        model_id, kind, unit, n_units, n_clusters, n_configs, coverage, held_out_lo, held_out_hi, coverage_configs,
        median_low and median_high (eV/Å or eV/atom).
    """
    table = calibrations()
    chosen = (table["dataset_id"] == dataset_id) & (table["quantity"] == quantity)
    return table.loc[
        chosen & (table["ensemble_id"] == ensemble_id),
        ["model_id", "kind", "unit", "n_units", "n_clusters", "n_configs", "coverage", "held_out_lo", "held_out_hi",
         "coverage_configs", "median_low", "median_high"],
    ].reset_index(drop=True)  # fmt: skip


@cached
def by_kind(dataset_id: str, quantity: str, ensemble_id: str) -> pd.DataFrame:
    """Coverage of each model's 90 % intervals by kind on left-out configurations, all of them weighing the same.

    Returns:
        model_id, n_kinds, n_configs and coverage over the kinds that have a calibration of their own.
    """
    table = held_out(dataset_id, quantity, ensemble_id)
    table = table[table["kind"] != ALL]
    table = table.assign(inside=table["coverage_configs"] * table["n_configs"])
    sums = table.groupby("model_id").agg(
        n_kinds=("kind", "size"), n_configs=("n_configs", "sum"), inside=("inside", "sum")
    )
    return sums.assign(coverage=sums["inside"] / sums["n_configs"]).drop(columns="inside").reset_index()


@cached
def transfer(quantity: str, ensemble_id: str) -> pd.DataFrame:
    """Coverage of 90 % intervals that were calibrated on one dataset, on every dataset, by model.

    Args:
        quantity: `force` or `energy`.
        ensemble_id: Whose deviation the intervals use; empty for none.

    Returns:
        model_id, from_dataset, to_dataset, coverage. Where both are one dataset, it is the held-out coverage.
    """
    table = calibrations()
    chosen = (table["quantity"] == quantity) & (table["ensemble_id"] == ensemble_id) & (table["kind"] == ALL)
    rows = []
    for model_id, own in table[chosen].groupby("model_id"):
        known = {row.dataset_id: (_calibration(row), row.coverage) for row in own.itertuples()}
        for start, (calibration, inside) in known.items():
            low, high = calibration.scores(NOMINAL)
            for end, (there, _) in known.items():
                coverage = inside if start == end else there.share_between(low, high)
                rows.append((model_id, start, end, coverage))
    return pd.DataFrame(rows, columns=["model_id", "from_dataset", "to_dataset", "coverage"])


def expected_error(
    model_id: str,
    elements: Collection[str],
    kind: str | None,
    deviation: float | None,
    *,
    ensemble_id: str = "",
    quantity: str = "force",
    coverage: float = NOMINAL,
) -> Expected:
    """The error to expect of a model on a structure, as an interval with the coverage that it had where it was tested.

    The nearest evidence counts: datasets with all of the elements and this kind of structure; the same elements in all
    kinds; other elements, where two datasets or more say how far that holds. Calibrations of several datasets are
    pooled, their units weighing the same; those by cluster come before those by configuration.

    Args:
        model_id: The model whose error it is.
        elements: Of the structure.
        kind: Of the structure, as the store names kinds; None where it is not known.
        deviation: Standard deviation of the ensemble for the atom (eV/Å) or the energy (eV/atom); None for an interval
            without one.
        ensemble_id: Whose deviation it is; the members must be those of the registry.
        quantity: `force`, of an atom, or `energy`, per atom and aligned per element.
        coverage: Between 0 and 1.

    Raises:
        MetricError: A deviation comes without its ensemble, or the other way round, or is negative.
    """
    if (deviation is None) != (ensemble_id == "") or (deviation is not None and not deviation >= 0):
        raise MetricError(f"{deviation=} and {ensemble_id=} must come together, and a deviation is not negative")
    table = calibrations()
    table = table[
        (table["model_id"] == model_id) & (table["ensemble_id"] == ensemble_id) & (table["quantity"] == quantity)
    ]
    has_elements = np.array([set(elements) <= set(there) for there in table["elements"]], dtype=bool)
    steps = {
        SAME_KIND: has_elements & (table["kind"] == kind).to_numpy(),
        SAME_ELEMENTS: has_elements & (table["kind"] == ALL).to_numpy(),
        ELSEWHERE: (table["kind"] == ALL).to_numpy(),
    }
    for evidence, chosen in steps.items():
        rows = table[chosen]
        if (rows["unit"] == "cluster").any():  # these promise more than calibrations of single trajectories
            rows = rows[rows["unit"] == "cluster"]
        if len(rows) > (evidence == ELSEWHERE):  # other elements: with one dataset nothing says how far it holds
            return _expected(rows, evidence, deviation, FLOORS[quantity], coverage)
    nan = float("nan")
    return Expected(nan, nan, coverage, nan, NO_EVIDENCE, "", 0, 0, ())


def _expected(rows: pd.DataFrame, evidence: str, deviation: float | None, floor: float, coverage: float) -> Expected:
    """Interval of the pooled calibrations of some rows."""
    parts = [_calibration(row) for row in rows.itertuples()]
    whole = conformal.pooled(parts)
    low, high = whole.interval(0.0 if deviation is None else deviation, 1.0 if deviation is None else floor, coverage)
    if evidence == ELSEWHERE:
        measured = _left_out_datasets(parts, coverage)
    else:
        known = [_at(levels, values, coverage) for levels, values in zip(rows["levels"], rows["held_out"], strict=True)]
        measured = float(np.average(known, weights=rows["n_units"]))
    return Expected(
        low, high, coverage, measured, evidence, str(rows["unit"].iloc[0]),
        int(rows["n_configs"].sum()), whole.n_units, tuple(rows["dataset_id"]),
    )  # fmt: skip


def _left_out_datasets(parts: Sequence[Calibration], coverage: float) -> float:
    """Mean coverage on each dataset of the interval that all others give; NaN where there is one alone."""
    if len(parts) < 2:
        return float("nan")
    shares = []
    for k, there in enumerate(parts):
        low, high = conformal.pooled([*parts[:k], *parts[k + 1 :]]).scores(coverage)
        shares.append(there.share_between(low, high))
    return float(np.mean(shares))


def _calibration(row: object) -> Calibration:
    """Calibration of a row of `calibrations`."""
    quantiles = np.asarray(getattr(row, "quantiles"), dtype=float)  # noqa: B009
    return Calibration(quantiles, int(getattr(row, "n_units")), int(getattr(row, "n_samples")))  # noqa: B009
