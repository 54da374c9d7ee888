import numpy as np
import pytest

from engine.errors import MetricError
from engine.numerics.alignment import (
    against_crystals,
    fit_offsets,
    is_one_composition,
    leave_one_out_errors,
    why_no_alignment,
)
from engine.numerics.metrics import force_metrics, mae, rmse, rmse_bounds
from engine.numerics.uncertainty import (
    energy_deviation,
    force_deviation,
    is_zero_by_symmetry,
    spearman,
    spearman_within,
)


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


def test_bounds_hold_the_rmse():
    errors = np.random.default_rng(1).normal(size=400)
    low, high = rmse_bounds(errors**2, np.ones(400))
    assert low < rmse(errors) < high
    # The standard error of the RMSE of n normal errors is sigma / sqrt(2 n) = 0.035: bounds about 0.14 apart.
    assert high - low == pytest.approx(4 * 0.035, rel=0.2)


def test_bounds_by_hand():
    # Six clusters of one error each, squares 1, 1, 1, 3, 3, 3: ratio 2, residuals -1 and 1, sum of squares 6, standard
    # error sqrt(6/5 * 6) / 6 = 0.447214. All weigh alike, so 5 degrees of freedom: t = 2.570582. Half the relative
    # error times t is 0.287400 on the logarithm of sqrt(2): 1.06096 and 1.88509.
    assert rmse_bounds([1, 1, 1, 3, 3, 3], np.ones(6)) == pytest.approx((1.06096, 1.88509), abs=1e-4)


def test_one_cluster_that_rules_widens_the_bounds():
    equal = rmse_bounds([4.0, 6.0] * 10, np.ones(20))
    ruled = rmse_bounds([0.0] * 19 + [100.0], np.ones(20))
    assert ruled[1] / ruled[0] > 20 > 2 > equal[1] / equal[0]
    assert np.isfinite(ruled).all()


def test_clusters_widen_the_bounds():
    errors = np.repeat(np.random.default_rng(2).normal(size=20), 20)  # 20 runs of 20 equal neighbours
    narrow = rmse_bounds(errors**2, np.ones(400))
    wide = rmse_bounds(errors**2, np.ones(400), [i // 20 for i in range(400)])
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


@pytest.mark.parametrize("n", [1, 5])
def test_few_clusters_have_no_bounds(n):
    assert np.isnan(rmse_bounds(np.arange(1.0, n + 1), np.ones(n))).all()


def test_clusters_without_difference_leave_no_doubt():
    assert rmse_bounds([4.0] * 6, [1.0] * 6) == (2.0, 2.0)
    assert rmse_bounds([0.0] * 6, [1.0] * 6) == (0.0, 0.0)


def test_offsets_of_an_alloy_by_hand():
    # Errors of A, B and AB that are exactly 0.2 per A and -0.1 per B.
    fractions = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    np.testing.assert_allclose(fit_offsets(np.array([0.2, -0.1, 0.05]), fractions), [0.2, -0.1], atol=1e-12)


def test_offsets_of_one_composition_leave_no_mean_error():
    fractions = np.full((3, 2), 0.5)
    errors = np.array([0.1, 0.2, 0.3])
    rest = errors - fractions @ fit_offsets(errors, fractions)
    np.testing.assert_allclose(rest, [-0.1, 0.0, 0.1], atol=1e-12)


def test_leave_one_out_errors_are_those_of_explicit_refits():
    rng = np.random.default_rng(3)
    fractions = rng.dirichlet(np.ones(3), size=12)
    errors = rng.normal(size=12)
    found = leave_one_out_errors(errors, fractions)
    for i in range(12):
        others = np.arange(12) != i
        offsets = fit_offsets(errors[others], fractions[others])
        assert found[i] == pytest.approx(errors[i] - fractions[i] @ offsets, abs=1e-12)


def test_a_configuration_that_alone_fixes_an_offset_has_no_error():
    fractions = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = leave_one_out_errors(np.array([0.1, 0.2, 0.3, 9.0]), fractions)
    np.testing.assert_allclose(found, [-0.15, 0.0, 0.15, np.nan], atol=1e-12)  # 0.1 - 0.25
    assert why_no_alignment(fractions) == "Without 1 that alone fix the offset of an element."


def test_an_exact_fit_shows_nothing():
    # Two offsets and three configurations: one independent number.
    fractions = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert np.isnan(leave_one_out_errors(np.array([0.1, 0.2, 0.4]), fractions)).all()
    assert "2 offsets fitted to 3 configurations" in why_no_alignment(fractions)


def test_an_alloy_of_one_composition_has_one_offset():
    errors = leave_one_out_errors(np.array([0.1, 0.2, 0.3]), np.full((3, 2), 0.5))
    np.testing.assert_allclose(errors, [-0.15, 0.0, 0.15], atol=1e-12)
    assert is_one_composition(np.full((3, 2), 0.5))
    assert not is_one_composition(np.ones((3, 1)))  # a pure metal is what its offset is for
    assert not is_one_composition(np.array([[0.5, 0.5], [0.25, 0.75]]))


def test_errors_against_crystals_by_hand():
    # Crystals of A err by 0.1 (twice, as copies) and of B by -0.2; AB by 0.3: 0.3 - (0.1 - 0.2)/2 = 0.35. A strained A
    # errs by 0.15: 0.05. What is no crystal group's never serves: the lower A in the last row.
    fractions = np.array([[1, 0], [1, 0], [0, 1], [0.5, 0.5], [1, 0], [1, 0]], dtype=float)
    energies = np.array([-4.0, -4.0, -7.0, -5.0, -3.9, -4.5])
    errors = np.array([0.1, 0.1, -0.2, 0.3, 0.15, 0.0])
    found = against_crystals(errors, energies, fractions, np.array([True, True, True, True, True, False]))
    np.testing.assert_allclose(found, [np.nan, np.nan, np.nan, 0.35, 0.05, -0.1], atol=1e-12)


def test_an_alloy_without_crystals_of_its_elements_is_compared_with_its_own():
    fractions = np.array([[0.5, 0.5], [0.5, 0.5], [0.25, 0.75]])
    found = against_crystals(np.array([0.1, 0.4, 0.2]), np.array([-5.0, -4.0, -5.0]), fractions, np.full(3, True))
    # The third is the lowest of its own composition, thus its own crystal.
    np.testing.assert_allclose(found, [np.nan, 0.3, np.nan], atol=1e-12)


def test_without_a_crystal_there_is_no_error_against_it():
    fractions = np.array([[1.0, 0.0], [0.8, 0.2]])  # hydrogen has none
    found = against_crystals(np.zeros(2), np.array([-4.0, -3.0]), fractions, np.array([True, False]))
    assert np.isnan(found).all()


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


def test_an_atom_that_dft_pushes_is_not_zero_by_symmetry():
    forces = np.zeros((2, 3, 3))
    forces[1, 1, 0] = 1e-3  # one member finds a force
    reference = np.array([[0, 0, 0.01], [0, 0, 0], [0, 0, 0.5]])  # noise of the mesh, nothing, a force that all miss
    assert is_zero_by_symmetry(forces, reference).tolist() == [True, False, False]


def test_rank_correlation_within_configurations_is_that_of_its_parts():
    # Within each the order is reversed (-1); pooled, the hard configuration lies above the easy one in both.
    easy, hard = np.arange(5.0), np.arange(5.0) + 100
    assert spearman_within([(easy, easy[::-1]), (hard, hard[::-1])]) == (pytest.approx(-1.0), 2)
    assert spearman(np.concatenate([easy, hard]), np.concatenate([easy[::-1], hard[::-1]])) > 0.5
    assert np.isnan(spearman_within([(easy[:4], easy[:4])])[0])  # four atoms are too few


def test_an_ensemble_of_one_is_refused():
    with pytest.raises(MetricError):
        energy_deviation(np.array([1.0]))
