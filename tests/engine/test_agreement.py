"""Ranks, detection and size of a deviation beside its error, by hand and against scipy and scikit-learn."""

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from engine.numerics import agreement as measures
from engine.numerics.agreement import agreement, auroc, rejection, reliability
from engine.numerics.metrics import draws
from engine.numerics.uncertainty import cross_fitted_weights, inverse_weights, weighted_deviations


def drawn(seed: int, n: int = 3000, n_clusters: int = 25):
    """Deviations, errors and clusters in which the deviation tells something of the error, with ties."""
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, n_clusters, n)
    deviations = np.round(rng.gamma(2.0, size=n) * (1 + clusters % 3), 2)
    return deviations, np.abs(rng.normal(size=n)) * (0.3 + deviations), clusters


@pytest.mark.parametrize("seed", range(3))
def test_ranks_and_detection_are_those_of_scipy_and_scikit_learn(seed):
    deviations, errors, clusters = drawn(seed)
    found = agreement(deviations, errors, clusters, [0.5, 2.0])
    assert found.spearman == pytest.approx(scipy.stats.spearmanr(deviations, errors).statistic, abs=1e-12)
    for one in found.detections:
        assert one.auroc == pytest.approx(roc_auc_score(errors > one.threshold, deviations), abs=1e-12)
        assert one.share_above == pytest.approx((errors > one.threshold).mean())


def test_bounds_are_those_of_a_bootstrap_that_draws_whole_clusters():
    deviations, errors, clusters = drawn(7)
    found = agreement(deviations, errors, clusters, [2.0])
    rho, roc = [], []
    for counts in draws(25, measures.N_RESAMPLES).astype(int):
        chosen = np.concatenate([np.tile(np.flatnonzero(clusters == k), n) for k, n in enumerate(counts)])
        rho.append(scipy.stats.spearmanr(deviations[chosen], errors[chosen]).statistic)
        roc.append(roc_auc_score(errors[chosen] > 2.0, deviations[chosen]))
    assert found.spearman_bounds == pytest.approx(np.quantile(rho, [0.025, 0.975]), abs=0.003)
    assert found.detections[0].bounds == pytest.approx(np.quantile(roc, [0.025, 0.975]), abs=0.003)


def test_bounds_of_few_clusters_are_not_known():
    deviations, errors, _ = drawn(1)
    found = agreement(deviations, errors, np.arange(3000) % 5, [2.0])
    assert np.isnan([*found.spearman_bounds, *found.coverage_bounds, *found.detections[0].bounds]).all()


def test_coverage_and_sharpness_by_hand():
    found = agreement(np.array([3.0, 4.0, 1.0]), np.array([2.0, 5.0, 1.0]), np.arange(3), [9.0])
    assert found.coverage == pytest.approx(2 / 3)
    assert found.sharpness == pytest.approx((26 / 3) ** 0.5)
    assert np.isnan(found.detections[0].auroc)  # no error is above 9


def test_auroc_of_one_class_is_not_known():
    assert np.isnan(auroc(np.arange(3.0), np.zeros(3, dtype=bool)))


def test_a_reliable_deviation_lies_on_the_diagonal():
    rng = np.random.default_rng(4)
    deviations = rng.gamma(2.0, size=60_000)
    x, y = reliability(deviations, np.abs(rng.normal(size=60_000)) * deviations)
    assert y == pytest.approx(x, rel=0.05)


def test_rejection_by_the_error_itself_is_the_best_there_is():
    deviations, errors, _ = drawn(5)
    found, best = rejection(deviations, errors)
    assert (best <= found + 1e-12).all()
    assert (found[0], best[0]) == pytest.approx([np.sqrt(np.mean(errors**2))] * 2)  # nothing rejected
    by_hand, _ = rejection(np.array([1.0, 3.0, 2.0, 4.0]), np.array([1.0, 9.0, 2.0, 0.0]), np.array([0.5]))
    assert by_hand[0] == pytest.approx((5 / 2) ** 0.5)  # the samples of deviation 1 and 2 remain


def test_weights_are_inverse_to_the_error_of_the_other_half():
    clusters = np.repeat(np.arange(4), 5)
    squares = np.ones((20, 2)) * [1.0, 9.0]
    weights = cross_fitted_weights(squares, np.ones(20), clusters)
    assert weights == pytest.approx(np.tile(inverse_weights(np.array([1.0, 3.0])), (20, 1)))
    squares[clusters == 0, 1] *= 100  # a cluster's own errors change the weights of the other half alone
    changed = cross_fitted_weights(squares, np.ones(20), clusters)
    assert changed[clusters == 0] == pytest.approx(weights[clusters == 0])
    assert not np.allclose(changed, weights)


def test_one_cluster_weighs_all_members_the_same():
    assert cross_fitted_weights(np.ones((3, 2)), np.ones(3), np.zeros(3, dtype=int)) == pytest.approx(
        np.full((3, 2), 0.5)
    )


def test_u_takes_the_largest_distance_of_each_member_and_then_the_mean():
    # Distances from the mean: member 1 has (1, 0), member 2 the same; of a third at the mean (0, 0).
    forces = np.zeros((3, 2, 3))
    forces[0, 0, 0], forces[1, 0, 0] = 1.0, -1.0
    atoms, configuration = weighted_deviations(forces, np.array([0.5, 0.25, 0.25]))
    assert atoms == pytest.approx([0.75**0.5, 0.0])
    assert configuration == pytest.approx(0.75**0.5)
    forces[2, 1, 1] = 3.0  # distances (1, 1, 0) of the first atom; (1, 1, 2) of the second, after the mean moves to 1
    atoms, configuration = weighted_deviations(forces, np.array([0.5, 0.25, 0.25]))
    assert atoms == pytest.approx([0.75**0.5, (0.5 + 0.25 + 1.0) ** 0.5])
    assert configuration == pytest.approx((0.5 + 0.25 + 1.0) ** 0.5)
