import numpy as np
import pytest

from engine.errors import MetricError
from engine.numerics.alignment import fit_offsets
from engine.numerics.metrics import bootstrap_rmse, force_metrics, mae, rmse
from engine.numerics.uncertainty import energy_deviation, force_deviation, spearman


def test_rmse_and_mae_by_hand():
    # sqrt((9 + 16) / 2) = 3.5355; (3 + 4) / 2 = 3.5
    assert rmse([3.0, -4.0]) == pytest.approx(3.535534, abs=1e-6)
    assert mae([3.0, -4.0]) == 3.5


@pytest.mark.parametrize("values", [[], [np.nan], [1.0, np.inf]], ids=["none", "nan", "infinite"])
def test_what_is_not_a_number_is_never_averaged(values):
    with pytest.raises(MetricError):
        rmse(values)


def test_force_metrics_pool_all_components_of_configurations_of_different_size():
    # One atom with errors of 0.3 eV/Å, three atoms with 0.1: sqrt((3 * 0.09 + 9 * 0.01) / 12) = 0.17321,
    # (3 * 0.3 + 9 * 0.1) / 12 = 0.15; the slope is the ratio of the sums, (1 + 2) / (1 + 4) = 0.6.
    found = force_metrics([1, 3], ["a", "b"], *np.array([[0.3, 0.1], [0.3, 0.1], [1.0, 2.0], [1.0, 4.0]]))
    assert found["force_rmse_mev_per_ang"] == pytest.approx(173.205, abs=1e-3)
    assert found["force_mae_mev_per_ang"] == pytest.approx(150.0)
    assert found["force_slope"] == pytest.approx(0.6)


def test_without_any_reference_force_there_is_no_slope():
    found = force_metrics([1], ["a"], *np.array([[0.3], [0.3], [0.0], [0.0]]))
    assert np.isnan(found["force_slope"])


def test_bootstrap_bounds_hold_the_rmse_and_repeat():
    errors = np.random.default_rng(1).normal(size=400)
    low, high = bootstrap_rmse(errors**2, np.ones(400))
    assert low < rmse(errors) < high
    # The standard error of the RMSE of n normal errors is sigma / sqrt(2 n) = 0.035: bounds about 0.14 apart.
    assert high - low == pytest.approx(4 * 0.035, rel=0.2)
    assert (low, high) == bootstrap_rmse(errors**2, np.ones(400))


def test_clusters_widen_the_bounds():
    errors = np.repeat(np.random.default_rng(2).normal(size=20), 20)  # 20 runs of 20 equal neighbours
    narrow = bootstrap_rmse(errors**2, np.ones(400))
    wide = bootstrap_rmse(errors**2, np.ones(400), [i // 20 for i in range(400)])
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_one_configuration_has_no_bounds():
    assert np.isnan(bootstrap_rmse([4.0], [1.0])).all()


def test_offsets_of_an_alloy_by_hand():
    # Errors of A, B and AB that are exactly 0.2 per A and -0.1 per B.
    fractions = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    np.testing.assert_allclose(fit_offsets(np.array([0.2, -0.1, 0.05]), fractions), [0.2, -0.1], atol=1e-12)


def test_offsets_of_one_composition_leave_no_mean_error():
    fractions = np.full((3, 2), 0.5)
    errors = np.array([0.1, 0.2, 0.3])
    rest = errors - fractions @ fit_offsets(errors, fractions)
    np.testing.assert_allclose(rest, [-0.1, 0.0, 0.1], atol=1e-12)


def test_deviations_by_hand():
    # Mean of 1, 2, 6 is 3, the farthest is 6.
    assert energy_deviation(np.array([1.0, 2.0, 6.0]), 2.5) == (3.0, 0.5)
    forces = np.array([[[0.0, 0, 0]], [[0.0, 0, 2]]])
    deviation, error = force_deviation(forces, np.array([[3.0, 0, 1]]))
    np.testing.assert_allclose(deviation, [1.0])
    np.testing.assert_allclose(error, [3.0])


def test_spearman_by_hand():
    # Ranks 1 2 3 4 against 2 1 3 4: 1 - 6 (1 + 1) / (4 * 15) = 0.8
    assert spearman(np.array([1.0, 2, 3, 4]), np.array([20.0, 10, 30, 40])) == pytest.approx(0.8)
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))


def test_an_ensemble_of_one_is_refused():
    with pytest.raises(MetricError):
        energy_deviation(np.array([1.0]))
