"""What error to expect: nearest evidence first, none where there is none, and coverage elsewhere as it is measured."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from engine.errors import MetricError
from engine.numerics.conformal import FLOORS, Sample
from engine.queries import intervals
from engine.store.builder import SCHEMA, publish
from engine.store.connection import SCHEMA_VERSION

LEVELS = [0.5, 0.8, 0.9, 0.95]


def insert(
    con: duckdb.DuckDBPyConnection,
    dataset: str,
    kind: str,
    scores: np.ndarray,
    held_out: float = 0.89,
    *,
    unit: str = "cluster",
    model: str = "m",
) -> None:
    """A calibration by the ensemble `e`, each score a unit."""
    labels = np.arange(len(scores))
    quantiles = Sample(scores, labels, labels).calibration().quantiles.tolist()
    con.execute(
        """insert into calibrations values ($d, $m, 'e', 'force', $k, $u, $n, $n, $n, $n, 0.005, $q, $l, $h, $h,
        null, null, 0.1, 0.2)""",
        {
            "d": dataset,
            "m": model,
            "u": unit,
            "k": kind,
            "n": len(scores),
            "q": quantiles,
            "l": LEVELS,
            "h": [0.5, 0.8, held_out, 0.95],
        },
    )


@pytest.fixture
def calibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tungsten with vacancies and in all kinds, and molybdenum whose scores are ten times as large."""
    path = tmp_path / "results-few.duckdb"
    con = duckdb.connect(str(path))
    con.execute(SCHEMA.read_text(encoding="utf-8"))
    con.execute("insert into store_info values ($v, 'few', null, '')", {"v": SCHEMA_VERSION})
    for name, elements in (("w", ["W"]), ("w2", ["W"]), ("mo", ["Mo"]), ("mo2", ["Mo"])):
        con.execute("insert into datasets (dataset_id, elements) values ($d, $e)", {"d": name, "e": elements})
    rising = np.linspace(0.0, 1.0, 401)
    insert(con, "w", "all", rising, 0.91)
    insert(con, "w", "vacancy", 2 * rising)
    insert(con, "w2", "vacancy", 4 * rising, 0.87)
    insert(con, "mo", "all", 10 * rising)
    insert(con, "mo", "gb", rising[:50])
    insert(con, "mo2", "gb", rising, unit="configuration")
    insert(con, "mo", "all", rising, model="lone")
    con.close()
    publish(path, tmp_path / "results.duckdb")
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))


def test_the_same_elements_and_kind_come_first_and_are_pooled(calibrated):
    found = intervals.expected_error("m", ["W"], "vacancy", 0.095, ensemble_id="e")
    # Half of the units are uniform to 2, half to 4: 5 % lie below 2/15, 95 % below 3.6. Deviation plus floor is 0.1.
    assert (found.low, found.high) == pytest.approx((0.2 / 15, 0.36), rel=0.05)
    assert (found.evidence, found.dataset_ids) == (intervals.SAME_KIND, ("w", "w2"))
    assert found.coverage == pytest.approx(0.88)  # 0.89 and 0.87 of as many units
    assert (found.n_units, found.n_configs) == (802, 802)


def test_a_kind_without_evidence_takes_all_kinds_of_the_elements(calibrated):
    found = intervals.expected_error("m", ["W"], "surface", 0.095, ensemble_id="e")
    assert (found.low, found.high) == pytest.approx((0.005, 0.095), rel=0.02)
    assert (found.evidence, found.coverage) == (intervals.SAME_ELEMENTS, 0.91)


def test_other_elements_count_last_with_the_coverage_that_datasets_give_each_other(calibrated):
    found = intervals.expected_error("m", ["Ta"], "vacancy", 0.095, ensemble_id="e")
    assert found.evidence == intervals.ELSEWHERE
    # From 0.05 to 0.95 holds 0.09 of uniform scores to 10; from 0.5 to 9.5 holds half of those to 1.
    assert found.coverage == pytest.approx((0.09 + 0.5) / 2, abs=0.02)


def test_clusters_come_before_configurations_of_single_trajectories(calibrated):
    found = intervals.expected_error("m", ["Mo"], "gb", 0.095, ensemble_id="e")
    assert (found.evidence, found.unit, found.n_units) == (intervals.SAME_KIND, "cluster", 50)


def test_one_dataset_of_other_elements_is_no_evidence(calibrated):
    assert intervals.expected_error("m", ["Mo"], None, 0.1, ensemble_id="e").evidence == intervals.SAME_ELEMENTS
    assert not intervals.expected_error("lone", ["Ta"], None, 0.1, ensemble_id="e").is_known


def test_no_evidence_is_said(calibrated):
    found = intervals.expected_error("other", ["W"], "vacancy", 0.1, ensemble_id="e")
    assert not found.is_known
    assert (found.evidence, found.n_configs) == ("no evidence", 0)
    assert np.isnan(found.high)
    assert not intervals.expected_error("m", ["W"], "vacancy", None).is_known  # no calibration without a deviation


def test_a_deviation_comes_with_its_ensemble(calibrated):
    for deviation, ensemble in ((0.1, ""), (None, "e"), (-0.1, "e"), (float("nan"), "e")):
        with pytest.raises(MetricError, match="deviation"):
            intervals.expected_error("m", ["W"], None, deviation, ensemble_id=ensemble)


def test_coverage_out_of_the_dataset_is_that_of_the_other_scores(calibrated):
    table = intervals.transfer("force", "e").set_index(["from_dataset", "to_dataset"])["coverage"]
    assert table["w", "w"] == pytest.approx(0.91)  # its own is what was left out
    assert table["w", "mo"] == pytest.approx(0.09, abs=0.01)
    assert table["mo", "w"] == pytest.approx(0.5, abs=0.01)


def test_kinds_are_averaged_over_their_configurations(calibrated):
    row = intervals.by_kind("w", "force", "e").iloc[0]
    assert (row["n_kinds"], row["n_configs"], row["coverage"]) == (1, 401, pytest.approx(0.89))


def test_floors_are_about_what_labels_are_good_for():
    assert FLOORS == {"force": 0.005, "energy": 0.0005}
