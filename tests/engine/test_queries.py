import shutil
import threading

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from engine.errors import StoreError
from engine.quantities import METRICS, QUANTITIES, significant
from engine.queries import catalog, configurations, error_metrics, error_pairs, reference_data, spread, training
from engine.queries.error_pairs import Axes
from engine.queries.scope import Scope
from engine.store import connection
from engine.store.builder import publish

ALL = error_pairs.Box(-1e9, 1e9, -1e9, 1e9)
AL_CU = Scope.of("al-cu")
BOTH = Scope(shared_with=("full", "sample"))
ENERGY, FORCE = Axes("energy"), Axes("force")


def test_a_missing_store_names_the_next_command(tmp_path, monkeypatch):
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    with pytest.raises(StoreError, match="make demo"):
        catalog.store_info()


def test_a_file_that_is_no_store_is_refused(tmp_path, monkeypatch):
    (tmp_path / "results.duckdb").write_text("not a database, and long enough not to be taken for an empty one")
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    with pytest.raises(StoreError, match="not a results store"):
        catalog.store_info()


def test_a_new_build_is_seen_without_a_restart(store_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    seen = []
    for name in ("1", "2"):
        shutil.copy(store_folder / "results-test.duckdb", tmp_path / f"results-{name}.duckdb")
        with duckdb.connect(str(tmp_path / f"results-{name}.duckdb")) as con:
            con.execute("update store_info set data_version = ?", [name])
        publish(tmp_path / f"results-{name}.duckdb", tmp_path / "results.duckdb")
        seen.append(catalog.store_info().data_version)
    assert seen == ["1", "2"]


def test_changing_a_result_does_not_change_the_next_one(store):
    models = catalog.models()
    models["label"] = "changed"
    assert "changed" not in set(catalog.models()["label"])


def test_threads_can_query_at_once(store):
    found: list[int] = []

    def read(k: int) -> None:
        found.append(len(configurations.worst_configurations("emt", AL_CU, "force", "raw", limit=k)))

    threads = [threading.Thread(target=read, args=(k,)) for k in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 9))


def test_metrics_carry_origin_and_source(store):
    metrics = error_metrics.dataset_metrics("raw").set_index(["dataset_id", "model_id"])
    assert metrics.loc[("al-cu", "emt"), "origin"] == "computed"
    assert metrics.loc[("al-cu", "morse"), ["origin", "source"]].tolist() == ["imported", "a colleague"]


def test_metrics_carry_the_noise_of_their_reference(store):
    metrics = error_metrics.shared_metrics("raw").set_index(["dataset_id", "model_id"])
    names = ["energy_noise_per_atom", "force_noise"]
    assert metrics.loc[("al-cu", "emt"), names].tolist() == [0.004, 0.02]
    assert metrics.loc[("fe", "morse"), names].isna().all()  # nobody measured it


def test_offsets_are_counted_by_the_elements_of_the_shared_configurations(store, sampled_folder, monkeypatch):
    assert len(reference_data.elements(Scope.of("al-cu", shared_with=("emt", "morse")))) == 2
    assert len(reference_data.elements(Scope.of("fe", shared_with=("emt", "morse")))) == 0  # EMT failed on all of them
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(sampled_folder))
    assert len(reference_data.elements(Scope.of("hand", shared_with=("full", "sample")))) == 2


def test_a_ranking_runs_over_the_configurations_that_its_models_share(sampled_store):
    own = error_metrics.dataset_metrics("raw").set_index("model_id")
    shared = error_metrics.shared_metrics("raw").set_index("model_id")
    # All 120: sqrt((100 * 0.1² + 20 * 0.5²) / 120) = 0.223607; the 100 of the sample: 0.1
    assert own.loc["full", "energy_rmse_mev_per_atom"] == pytest.approx(223.607, abs=1e-3)
    assert shared.loc["full", "energy_rmse_mev_per_atom"] == pytest.approx(100.0)
    assert shared.loc["full", "force_rmse_mev_per_ang"] == pytest.approx(100.0)
    assert shared.loc["sample", "force_mae_mev_per_ang"] == pytest.approx(200.0)
    # Reference components are 1, predictions 1.1: the slope is 1.1 on the shared ones, 1 + (10 + 10) / 120 on all.
    assert shared.loc["full", "force_slope"] == pytest.approx(1.1)
    assert own.loc["full", "force_slope"] == pytest.approx(1 + 20 / 120)
    assert shared.loc[["full", "sample"], "n_configs"].tolist() == [100, 100]
    assert shared.loc[["full", "sample"], "n_own"].tolist() == [120, 100]


def test_bounds_are_those_of_the_shared_configurations(sampled_store):
    row = error_metrics.shared_metrics("raw").set_index("model_id").loc["full"]
    bounds = row[["energy_rmse_mev_per_atom_lo", "energy_rmse_mev_per_atom_hi"]]
    assert bounds.isna().all()  # a hundred copies of two crystals are two clusters


def test_offsets_are_fitted_to_the_shared_configurations(sampled_store):
    aligned = error_metrics.shared_metrics("per_element").set_index("model_id")["energy_rmse_mev_per_atom"]
    own = error_metrics.dataset_metrics("per_element").set_index("model_id")["energy_rmse_mev_per_atom"]
    assert aligned["full"] == pytest.approx(0.0, abs=1e-9)  # a constant error is an offset
    assert own["full"] > 100


def test_models_that_share_too_few_or_fail_too_often_are_not_ranked(sampled_store):
    shared = error_metrics.shared_metrics("raw").set_index("model_id")
    ranked = {"full": True, "sample": True, "few": False, "fragile": False, "trained": False}
    assert shared["is_ranked"].to_dict() == ranked
    assert shared.loc["few", "n_configs"] == 10
    assert shared.loc["fragile", ["n_configs", "n_failed"]].tolist() == [90, 30]


def test_a_model_trained_on_the_data_is_not_ranked_and_does_not_change_what_is_shared(sampled_store):
    for read in (error_metrics.shared_metrics, error_metrics.dataset_metrics):
        assert not read("raw").set_index("model_id").loc["trained", "is_ranked"]
    shared = error_metrics.shared_metrics("raw").set_index("model_id")
    assert shared.loc["full", "n_configs"] == 100  # `trained` has 95 of them
    assert shared.loc["trained", ["is_seen", "n_configs"]].tolist() == [True, 95]
    assert "Fitted to it." in shared.loc["trained", "seen_reason"]
    assert not shared.loc["full", "is_seen"]


def test_a_model_trained_on_the_data_can_be_ranked_all_the_same(sampled_store):
    shared = error_metrics.shared_metrics("raw", with_seen=True).set_index("model_id")
    assert shared.loc[["full", "sample", "trained"], "is_ranked"].all()
    assert shared.loc[["full", "sample", "trained"], "n_configs"].tolist() == [95, 95, 95]
    assert shared.loc["trained", "force_rmse_mev_per_ang"] == pytest.approx(50.0)


def test_groups_and_configurations_say_which_models_were_trained_on_them(sampled_store):
    scope = Scope.of("hand", group="bulk")
    assert error_metrics.dataset_metrics("raw", scope).set_index("model_id")["is_seen"].to_dict()["trained"]
    assert error_metrics.group_metrics("trained")["is_seen"].tolist() == [True]
    assert error_metrics.group_metrics("full")["is_seen"].tolist() == [False]
    config_id = configurations.worst_configurations("trained", scope, "force", "raw")["config_id"].iloc[0]
    models = configurations.models_on_configuration("hand", config_id)
    assert models.loc[models["is_seen"], "model_id"].tolist() == ["trained"]


def test_a_suspicion_is_noted_and_does_not_count(sampled_store, monkeypatch):
    known = catalog.leakage().assign(certainty="not known")
    monkeypatch.setattr(catalog, "leakage", lambda: known)
    found = training.seen.__wrapped__(Scope.of("hand"))
    assert found[["model_id", "is_seen"]].values.tolist() == [["trained", False]]
    assert "Fitted to it." in found["seen_reason"].iloc[0]


def test_without_samples_in_play_all_configurations_count(sampled_store):
    shared = error_metrics.shared_metrics("raw", model_ids=("full",)).set_index("model_id")
    assert shared.loc["full", ["n_configs", "is_ranked"]].tolist() == [120, True]


def test_equal_coverage_leaves_the_stored_numbers(store):
    own = error_metrics.dataset_metrics("raw").set_index(["dataset_id", "model_id"])
    shared = error_metrics.shared_metrics("raw").set_index(["dataset_id", "model_id"])
    assert shared.loc[("al-cu", "emt"), "force_rmse_mev_per_ang"] == own.loc[("al-cu", "emt"), "force_rmse_mev_per_ang"]
    assert not shared.loc[("fe", "emt"), "is_ranked"]


def test_elements_can_be_compared_on_shared_configurations(sampled_store):
    alone = error_metrics.element_metrics("full").set_index("element")["n_configs"]
    both = error_metrics.element_metrics("full", BOTH).set_index("element")
    assert alone.sum() == 120
    assert both["n_configs"].sum() == reference_data.n_configurations(BOTH) == 100
    assert both["force_rmse_mev_per_ang"].tolist() == pytest.approx([100.0, 100.0], rel=1e-5)


def test_coverage_counts_and_says_why_a_cell_is_empty(sampled_store):
    table = catalog.coverage().set_index(["model_id", "dataset_id"])
    sample = table.loc[("sample", "hand")]
    assert sample[["n_configs", "n_expected", "origin", "why"]].tolist() == [100, 120, "computed", ""]
    assert table.loc[("absent", "hand"), "why"] == "No weights: ask their owner."
    assert table.loc[("full", "none"), "why"] == "not fetched"


def test_a_pair_that_could_be_run_names_the_command(store):
    table = catalog.coverage().set_index(["model_id", "dataset_id"])
    assert "run --model chgnet-0.3.0 --dataset fe" in table.loc[("chgnet-0.3.0", "fe"), "why"]


def test_groups_come_with_the_largest_force_error_first(store):
    groups = error_metrics.group_metrics("emt")
    assert groups["force_rmse_mev_per_ang"].dropna().is_monotonic_decreasing
    inside = groups.set_index(["dataset_id", "group_name"])[["n_configs", "n_expected", "in_dataset"]]
    assert inside.loc[("al-cu", "vacancy")].tolist() == [8, 8, True]
    assert inside.loc[("al-cu", "dimer")].tolist() == [1, 1, False]


def test_failures_are_counted_by_reason(sampled_store):
    counts = catalog.failure_counts("fragile")
    assert counts[["reason", "n_failed", "config_id"]].to_numpy().tolist() == [["no edge", 30, "c-000"]]


def test_a_run_says_how_it_was_computed_and_how_much(sampled_store):
    run = catalog.runs().set_index("model_id").loc["fragile"]
    assert run[["dtype", "d3", "n_configs", "n_failed"]].tolist() == ["float64", "no", 90, 30]


def test_failed_is_neither_missing_nor_zero(store):
    row = error_metrics.dataset_metrics("raw").set_index(["dataset_id", "model_id"]).loc[("fe", "emt")]
    assert (row["n_configs"], row["n_failed"]) == (0, 2)
    assert np.isnan(row["force_rmse_mev_per_ang"])
    assert "Fe" in catalog.failures(Scope.of("fe"), "emt")["reason"].iloc[0]


def test_models_without_numbers_are_listed(store):
    models = catalog.models().set_index("model_id")["n_datasets"]
    assert models["morse"] == 2
    assert models["eqv2-31m-mp"] == 0


def test_element_metrics_of_one_dataset_equal_the_stored_ones(store):
    ours = error_metrics.element_metrics("morse", AL_CU).set_index("element")
    stored = connection.frame("select * from element_metrics where model_id = 'morse' and dataset_id = 'al-cu'")
    for row in stored.itertuples():
        assert ours.loc[row.element, "force_rmse_mev_per_ang"] == pytest.approx(row.force_rmse_mev_per_ang, rel=1e-5)
        assert ours.loc[row.element, "energy_rmse_mev_per_atom"] == pytest.approx(row.energy_rmse_mev_per_atom)


def test_elements_of_all_datasets_are_pooled_with_failures(store):
    table = error_metrics.element_metrics("emt").set_index("element")
    assert table["n_configs"].to_dict() == {"Al": 12, "Cu": 12, "Fe": 0}
    assert table.loc["Fe", "n_failed"] == 2
    assert np.isnan(table.loc["Fe", "force_rmse_mev_per_ang"])


def test_worst_configurations_come_first_and_stay_inside_the_dataset(store):
    table = configurations.worst_configurations("emt", AL_CU, "force", "raw")
    assert table["force_rmse"].is_monotonic_decreasing
    assert "cu-dimer" not in set(table["config_id"])
    assert configurations.worst_configurations("emt", Scope(group="dimer"), "force", "raw")["config_id"].tolist() == [
        "cu-dimer"
    ]


def test_worst_configurations_of_an_element_contain_it(store):
    assert set(configurations.worst_configurations("emt", Scope(elements=("Al",)), "energy", "raw")["formula"]) == {
        "Al32",
        "Al31",
    }


def test_few_samples_come_as_points(store):
    points = error_pairs.residuals("emt", AL_CU, ENERGY)
    assert isinstance(points, pd.DataFrame)
    assert len(points) == 24
    assert "cu-dimer" not in set(points["config_id"])


def test_a_density_counts_every_component_once(store):
    density = error_pairs.residuals("emt", AL_CU, Axes("force", full_range=True))
    n_atoms = connection.frame("select count(*) from force_errors where model_id = 'emt' and in_dataset").iloc[0, 0]
    assert density.n_total == 3 * n_atoms == np.nansum(density.counts)
    assert density.n_outside == 0


def test_a_clipped_density_says_how_many_lie_outside(store):
    density = error_pairs.residuals("emt", AL_CU, FORCE)
    assert density.n_total - density.n_outside == np.nansum(density.counts)


def test_quantile_lines_are_quantiles_to_within_a_bin(store):
    density = error_pairs.residuals("emt", AL_CU, Axes("force", full_range=True))
    middle = np.argmin(np.abs(density.line_x))
    half = (density.x_edges[-1] - density.x_edges[0]) / error_pairs.QUANTILE_BINS / 2
    samples = connection.frame(
        "select unnest([reference_x, reference_y, reference_z]) as x, unnest([error_x, error_y, error_z]) as y "
        "from force_errors where model_id = 'emt' and in_dataset"
    )
    inside = samples.loc[(samples["x"] - density.line_x[middle]).abs() < half, "y"]
    expected = np.quantile(inside, [0.05, 0.5, 0.95])
    bin_height = density.y_edges[1] - density.y_edges[0]
    assert density.lines[:, middle] == pytest.approx(expected, abs=bin_height)


def test_samples_beyond_the_frame_count_in_the_quantile_lines():
    counts = np.zeros((202, 200))
    counts[0] = counts[101] = 300.0  # half of them below the frame, half in the middle
    x, lines = error_pairs._quantile_lines(counts, np.linspace(0, 1, 201), np.linspace(-1, 1, 201))
    assert len(x) == error_pairs.QUANTILE_BINS
    assert lines[0] == pytest.approx(-1.0)
    assert lines[2] == pytest.approx(0.0, abs=0.01)


def test_a_parity_density_is_square(store):
    density = error_pairs.residuals("emt", AL_CU, Axes("force", view="parity"))
    assert np.array_equal(density.x_edges, density.y_edges)


def test_a_group_outside_the_dataset_can_be_chosen(store):
    points = error_pairs.residuals("emt", Scope.of("al-cu", group="dimer"), ENERGY)
    assert points["config_id"].tolist() == ["cu-dimer"]


def test_a_box_over_everything_holds_every_configuration(store):
    table = error_pairs.configurations_in_box("emt", AL_CU, FORCE, ALL)
    assert len(table) == 24
    assert table["largest_error"].abs().is_monotonic_decreasing
    assert table["n_samples"].sum() == 3 * table["n_atoms"].sum()


def test_a_box_bounds_are_values_and_not_text(store):
    """A negative lower bound once became the start of an SQL comment."""
    table = error_pairs.configurations_in_box("emt", AL_CU, FORCE, error_pairs.Box(-6.0, 6.0, -1.0, -0.0001))
    assert (table["largest_error"] < 0).all()


def test_a_box_of_an_energy_chart_matches_its_points(store):
    points = error_pairs.residuals("morse", AL_CU, Axes("energy", "per_element"))
    box = error_pairs.Box(-1e9, 1e9, 0.0, 1e9)
    table = error_pairs.configurations_in_box("morse", AL_CU, Axes("energy", "per_element"), box)
    assert set(table["config_id"]) == set(points.loc[points["error"] >= 0, "config_id"])


def test_spearman_of_energies_equals_scipy(store):
    table = spread.energy_deviations("emt-morse", AL_CU)
    rho, n = spread.spearman("emt-morse", AL_CU, "energy")
    assert n == 24
    assert rho == pytest.approx(spearmanr(table["deviation"], table["error"]).statistic)


def test_spearman_of_forces_shares_ranks_of_ties(store):
    lists = connection.frame("select force_deviation, force_error from uncertainties where dataset_id = 'al-cu'")
    deviation, error = (np.concatenate(lists[name].tolist()) for name in lists)
    rho, n = spread.spearman("emt-morse", AL_CU, "force")
    assert n == len(deviation)
    assert rho == pytest.approx(spearmanr(deviation, error).statistic)


def test_a_configuration_comes_back_with_its_shapes(store):
    configuration = configurations.configuration("al-cu", "al-00")
    assert configuration.forces.shape == configuration.positions.shape == (31, 3)
    assert configurations.configuration("al-cu", "none") is None


def test_a_prediction_minus_its_reference_has_the_stored_rmse(store):
    configuration, prediction = (
        configurations.configuration("al-cu", "cu-05"),
        configurations.prediction("al-cu", "emt", "cu-05"),
    )
    worst = configurations.worst_configurations("emt", AL_CU, "force", "raw").set_index("config_id")
    rmse = np.sqrt(np.mean((prediction.forces - configuration.forces) ** 2))
    assert rmse == pytest.approx(worst.loc["cu-05", "force_rmse"], rel=1e-5)  # forces are kept in single precision


def test_a_failed_prediction_keeps_its_reason(store):
    assert configurations.prediction("fe", "emt", "fe-00").status == "failed"
    assert configurations.models_on_configuration("fe", "fe-00")["status"].tolist() == ["ok", "failed"]


def test_uncertainty_has_one_value_per_atom(store):
    energy, deviation, error = spread.uncertainty("emt-morse", "al-cu", "al-00")
    assert energy > 0
    assert deviation.shape == error.shape == (31,)
    assert spread.uncertainty("emt-morse", "al-cu", "cu-dimer") is None


def test_costs_join_labels(store):
    assert catalog.costs()[["label", "us_per_atom_step"]].to_numpy().tolist() == [
        ["EMT", 10.0],
        ["Morse", 40.0],
    ]


def test_every_metric_column_has_a_quantity():
    names = [name for m in METRICS.values() for name in (m.rmse, f"{m.rmse}_lo", f"{m.rmse}_hi", m.mae)]
    assert set(names) <= set(QUANTITIES)


@pytest.mark.parametrize(
    ("value", "text"),
    [(5.996, "6.00"), (170.58, "171"), (4101.7, "4102"), (0.0123, "0.0123"), (float("nan"), "–")],
)
def test_numbers_have_three_significant_digits(value, text):
    assert significant(value) == text
