import numpy as np
import pytest

from engine.errors import MetricError
from engine.numerics.slopes import ratio_of_sums


def test_a_ratio_is_that_of_the_sums():
    ratio, low, high = ratio_of_sums(np.array([1.0, 3.0]), np.array([2.0, 3.0]), np.array([0, 1]))
    assert ratio == pytest.approx(0.8)  # (1 + 3) / (2 + 3)
    assert np.isnan([low, high]).all()  # two clusters


def test_bounds_hold_all_ratios_alike_and_no_others():
    norms = np.arange(1.0, 11.0)
    assert ratio_of_sums(0.9 * norms, norms, np.arange(10)) == pytest.approx((0.9, 0.9, 0.9))


def test_bounds_rest_on_clusters_and_lie_about_the_ratio():
    slopes = np.tile([0.8, 1.0], 10)
    single = ratio_of_sums(slopes, np.ones(20), np.arange(20))
    paired = ratio_of_sums(slopes, np.ones(20), np.repeat(np.arange(10), 2))
    assert single[0] == paired[0] == pytest.approx(0.9)
    assert 0.8 < single[1] < 0.9 < single[2] < 1.0
    assert paired[1:] == pytest.approx((0.9, 0.9))  # each cluster holds one of each kind


def test_sums_of_other_lengths_are_refused():
    with pytest.raises(MetricError, match="must be alike"):
        ratio_of_sums(np.ones(2), np.ones(3), np.arange(2))
    with pytest.raises(MetricError, match="above zero"):
        ratio_of_sums(np.ones(0), np.ones(0), np.arange(0))
