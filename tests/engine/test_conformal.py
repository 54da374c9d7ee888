"""Calibrated intervals: by hand, against crepes, and on samples whose coverage is known."""

import numpy as np
import pytest
from crepes import ConformalRegressor

from engine.errors import MetricError
from engine.numerics import conformal
from engine.numerics.conformal import Sample


def single(values: np.ndarray) -> Sample:
    """A sample in which each score is a unit of its own."""
    labels = np.arange(len(values))
    return Sample(values, labels, labels)


def test_each_cluster_weighs_the_same_whatever_its_size():
    # Two clusters: one score of 1, and ten of 10. Half of the weight lies at 1, so the middle half is from 1 to 10.
    values = np.array([1.0] + [10.0] * 10)
    clusters = np.array([0] + [1] * 10)
    assert Sample(values, clusters, clusters).ends(0.5) == (1.0, 10.0)
    assert single(values).ends(0.5) == (10.0, 10.0)


def test_a_new_single_sample_counts_as_one_more():
    # Of 19 scores the upper end of 90 % is the ceil(0.95 * 20) = 19th, the lower one the first; 18 are too few.
    assert single(np.arange(1.0, 20.0)).ends(0.9) == (1.0, 19.0)
    assert single(np.arange(1.0, 19.0)).ends(0.9) == (0.0, np.inf)


@pytest.mark.parametrize("n", [25, 40, 173])
@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_single_samples_give_the_normalised_mondrian_intervals_of_crepes(n, coverage):
    rng = np.random.default_rng(n)
    residuals, sigmas, bins = rng.normal(size=3 * n), rng.gamma(2.0, size=3 * n), np.repeat([0, 1, 2], n)
    fitted = ConformalRegressor().fit(residuals=residuals, sigmas=sigmas + 0.1, bins=bins)
    # The upper end of our central interval holds (1 + coverage)/2; crepes gives the two-sided |residual|.
    theirs = fitted.predict_int(np.zeros(3), sigmas=np.ones(3), bins=np.arange(3), confidence=0.5 * (1 + coverage))
    for k in range(3):
        own = conformal.scores(residuals[bins == k], sigmas[bins == k], 0.1)
        assert single(own).ends(coverage)[1] == pytest.approx(theirs[k, 1], rel=1e-12)


def test_held_out_coverage_is_nominal_where_clusters_are_alike():
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(200), 30)
    scale = rng.gamma(4.0, 0.25, 200)[clusters]  # a cluster errs as a whole
    inside = Sample(np.abs(rng.normal(size=6000)) * scale, clusters, clusters).held_out([0.5, 0.9])
    assert inside.mean(axis=1) == pytest.approx([0.5, 0.9], abs=0.01)


def test_atoms_taken_as_independent_would_miss_on_new_clusters():
    # A few large clusters err little and many small ones much. A pool of atoms is ruled by the large ones.
    rng = np.random.default_rng(2)
    clusters = np.concatenate([np.repeat(np.arange(5), 1000), np.repeat(np.arange(5, 55), 10)])
    values = np.abs(rng.normal(size=len(clusters))) * np.where(clusters < 5, 1.0, 10.0)
    by_atom = Sample(values, np.arange(len(values)), clusters).held_out([0.9])[0]
    by_cluster = Sample(values, clusters, clusters).held_out([0.9])[0]
    assert conformal.mean_by(by_cluster, clusters).mean() == pytest.approx(0.9, abs=0.02)
    assert conformal.mean_by(by_atom, clusters).mean() < 0.8


def test_no_part_has_a_say_in_its_own_interval():
    # The outlier alone is outside its interval; were it in the pool of 30, it would be the largest score inside.
    values = np.append(np.linspace(1, 2, 30), 100.0)
    labels = np.arange(31)
    assert not Sample(values, labels, labels).held_out([0.9])[0, -1]


def test_the_kept_distribution_gives_the_ends_of_the_sample():
    rng = np.random.default_rng(3)
    clusters = rng.integers(0, 40, 5000)
    sample = Sample(rng.gamma(2.0, size=5000), clusters, clusters)
    for coverage in (0.5, 0.8, 0.9, 0.95):
        assert sample.calibration().scores(coverage) == pytest.approx(sample.ends(coverage))


def test_a_pool_weighs_units_and_not_datasets():
    few, many = single(np.linspace(10, 11, 20)).calibration(), single(np.linspace(1, 2, 180)).calibration()
    both = conformal.pooled([few, many])
    assert both.n_units == 200
    assert both.share_between(1.0, 2.0) == pytest.approx(0.9, abs=0.01)
    # The many have 0.9 of the weight, all of it below the few: the middle half is from 0.25/0.9 to 0.75/0.9 of them.
    assert many.share_between(*both.scores(0.5)) == pytest.approx(0.5 / 0.9, abs=0.02)


def test_an_interval_has_the_size_of_the_deviation():
    low, high = single(np.linspace(0.0, 1.0, 2001)).calibration().interval(0.095, 0.005, 0.9)
    assert (low, high) == pytest.approx((0.005, 0.095), rel=0.02)


def test_blocks_are_consecutive_and_of_one_cluster():
    clusters = np.array([0] * 25 + [1] * 4)
    found = conformal.blocks(clusters)
    assert len(np.unique(found[:25])) == conformal.N_BLOCKS
    assert (np.diff(found[:25]) >= 0).all()
    assert not set(found[:25]) & set(found[25:])


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(MetricError, match="not finite"):
        single(np.array([1.0, np.nan]))
    with pytest.raises(MetricError, match="no calibration"):
        conformal.pooled([])
