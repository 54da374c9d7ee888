"""Learning curves: crossings by hand, splits, aligned errors, and what the queries make of a small study."""

from pathlib import Path

import numpy as np
import pytest

from engine.errors import MetricError
from engine.learning_curves import CLUSTERS, NEAR_EQUILIBRIUM, ClusterError, Fit, read_learning, write_learning
from engine.numerics.alignment import leave_one_out_errors
from engine.numerics.learning import aligned_square, crossing, folds, quantiles
from engine.queries import learning
from engine.records import RunRecord
from engine.store.builder import StoreBuilder, publish

SIZES = [10.0, 100.0, 1000.0]


@pytest.mark.parametrize(
    ("errors", "target", "expected"),
    [
        ([100.0, 10.0, 1.0], 10.0, 100.0),
        ([100.0, 10.0, 1.0], np.sqrt(10.0), 10**2.5),  # half-way between two sizes, in logarithms
        ([100.0, 10.0, 1.0], 200.0, 10.0),  # below from the smallest on: at most that
        ([100.0, 10.0, 1.0], 0.5, np.inf),
        ([5.0, 20.0, 5.0], 10.0, 10**2.5),  # it rises again: only the last crossing counts
        ([5.0, 5.0, 20.0], 10.0, np.inf),  # above at the end
        ([20.0, 10.0, 10.0], 10.0, 100.0),
    ],
)
def test_a_crossing_is_where_the_curve_stays_below(errors, target, expected):
    assert crossing(SIZES, errors, target) == pytest.approx(expected)


def test_many_curves_are_crossed_at_once_and_bad_ones_refused():
    found = crossing(SIZES, [[100.0, 10.0, 1.0], [9.0, 9.0, 9.0]], [10.0, 3.0])
    np.testing.assert_allclose(found, [100.0, np.inf])
    with pytest.raises(MetricError, match="no curve"):
        crossing([10.0, 10.0], [1.0, 2.0], 1.0)
    assert quantiles([1.0] * 90 + [np.inf] * 10) == (1.0, np.inf)


def test_parts_share_no_cluster_and_are_of_like_size():
    clusters = np.repeat(np.arange(12), [20, 20, 5, 5, 5, 5, 5, 5, 5, 5, 10, 10])
    part = folds(clusters, 5, seed=1)
    assert all(len(set(part[clusters == k])) == 1 for k in range(12))
    assert np.bincount(part).tolist() == [20] * 5
    assert (folds(clusters, 5, seed=2) != part).any()


def test_an_aligned_error_from_sums_is_that_of_the_store():
    """Every configuration less the mean of all others, as `errors` of the store has it for one element."""
    errors = np.array([0.02, -0.01, 0.04, 0.03, 0.0])
    expected = leave_one_out_errors(errors, np.ones((5, 1)))
    found = aligned_square(errors.sum(), (errors**2).sum(), 5)
    assert found == pytest.approx((expected**2).mean())


def error(share: float, config_id: str, force: float, *, seed: int = 0, training: str = CLUSTERS) -> ClusterError:
    """Two configurations of one atom each, off by `force` in every component and by a hundredth of it in energy."""
    energy = force / 100
    return ClusterError("w", "toy", "dft", training, seed, share, config_id, config_id[0], 2, 2, 2 * energy,
                        2 * energy**2, 6 * force**2)  # fmt: skip


def fitted(share: float, n_configs: int, *, training: str = CLUSTERS) -> Fit:
    """A potential that was trained on cells of two atoms."""
    return Fit("w", "toy", "dft", training, 0, share, "0", n_configs, 3, 2 * n_configs, 4.0 * n_configs,
               8.0 * n_configs, 10.0, 1e-6)  # fmt: skip


ROWS = [error(share, f"{group}0", force) for share, force in ((0.1, 0.4), (1.0, 0.1)) for group in "abcdefgh"]
ROWS += [error(1.0, "a0", 0.8, training=NEAR_EQUILIBRIUM)]
FITS = [fitted(0.1, 10), fitted(1.0, 100), fitted(1.0, 20, training=NEAR_EQUILIBRIUM)]


@pytest.fixture
def learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight clusters of two configurations; forces of `good` are off by 0.05, of `bad` by 0.2, of `lacking` unknown."""
    path = tmp_path / "results-l.duckdb"
    builder = StoreBuilder(path)
    builder.add_learning(ROWS, FITS)
    con = builder.connection
    for model_id, force in {"good": 0.05, "bad": 0.2, "lacking": 0.2}.items():
        con.execute(
            "insert into models (model_id, label, elements) values ($m, $m, $e)",
            {"m": model_id, "e": [f"E{k}" for k in range(89)]},
        )
        for group in "abcdefgh":
            for k in range(2 if model_id != "lacking" else 1):
                con.execute(
                    "insert into errors (dataset_id, model_id, config_id, group_name, in_dataset, n_atoms, force_rmse, "
                    "energy_error_per_atom) values ('w', $m, $c, $g, true, 1, $f, $f / 100)",
                    {"m": model_id, "c": f"{group}{k}", "g": group, "f": force},
                )
    for group in "abcdefgh":
        for k in range(2):
            con.execute(
                "insert into configurations (dataset_id, config_id, group_name, in_dataset, n_atoms, cluster_name) "
                "values ('w', $c, $g, true, 1, $g)",
                {"c": f"{group}{k}", "g": group},
            )
    for seconds in (100.0, 300.0):
        con.execute(
            "insert into costs (model_id, n_atoms, ms_per_step) values ('dft-gpaw', 16, $t)", {"t": 1000 * seconds}
        )
    builder.finish()
    publish(path, tmp_path / "results.duckdb")
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))


def test_curves_are_root_mean_squares_over_what_was_held_out(learnt):
    table = learning.curves("w", "force", "raw").set_index(["training", "share"])
    assert table.loc[(CLUSTERS, 0.1), "rmse"] == pytest.approx(400.0)
    assert table.loc[(CLUSTERS, 1.0), ["rmse", "rmse_lo", "rmse_hi", "n_train"]].tolist() == pytest.approx(
        [100.0, 100.0, 100.0, 100.0]
    )
    assert table.loc[(NEAR_EQUILIBRIUM, 1.0), "rmse"] == pytest.approx(800.0)
    raw = learning.curves("w", "energy", "raw").set_index(["training", "share"])
    assert raw.loc[(CLUSTERS, 1.0), "rmse"] == pytest.approx(1.0)
    aligned = learning.curves("w", "energy", "per_element").set_index(["training", "share"])
    assert aligned.loc[(CLUSTERS, 1.0), "rmse"] == pytest.approx(0.0, abs=1e-6)  # all are off by the same


def test_models_are_passed_where_the_curve_crosses_their_error(learnt):
    table = learning.rivals("w", "force", "raw").set_index("model_id")
    assert table["rmse"].to_dict() == pytest.approx({"good": 50.0, "bad": 200.0})  # one lacks configurations
    # From 400 at 10 configurations to 100 at 100 the curve is at 200 half-way, in logarithms.
    assert table.loc["bad", ["n_train", "n_train_lo", "n_train_hi"]].tolist() == pytest.approx([10**1.5] * 3)
    assert table.loc["bad", "hours"] == pytest.approx(10**1.5 * 200 / 64 / 3600)
    assert np.isinf(table.loc["good", "n_train"])
    assert not table["is_specialised"].any()


def test_hours_of_labels_follow_from_the_time_of_own_cells(learnt):
    """200 s for 16 atoms; 100 cells of two atoms: 1/8 of that each, 1/64 or 1/512."""
    table = learning.label_costs("w").set_index("power")
    assert table["hours"].to_dict() == pytest.approx({p: 100 * 200 / 8**p / 3600 for p in (1, 2, 3)})
    assert table.loc[2, "hours_per_configuration"] == pytest.approx(200 / 64 / 3600)


def test_errors_by_group_and_what_was_trained(learnt):
    table = learning.by_group("w", "force", "raw").set_index(["training", "group_name"])
    assert table.loc[(CLUSTERS, "b"), ["n_configs", "rmse"]].tolist() == pytest.approx([2, 100.0])
    assert learning.studied() == ("w",)
    assert learning.potential("w") == {"potential": "toy", "n_seeds": 1, "n_fits": 3, "teachers": []}


def test_a_study_comes_back_from_its_files(tmp_path):
    write_learning(tmp_path, ROWS, FITS, RunRecord(origin="computed"))
    errors, fits = read_learning(tmp_path)
    assert fits == FITS
    assert [row.config_id for row in errors] == [row.config_id for row in ROWS]
    assert errors[0].force_square == pytest.approx(ROWS[0].force_square)


def test_a_store_without_studies_has_none(store):
    assert learning.studied() == ()
    assert learning.curves("w", "force", "raw").empty
    assert learning.label_costs("w").empty
