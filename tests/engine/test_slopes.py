import numpy as np
import pytest

from engine.errors import MetricError
from engine.numerics.slopes import Sums, contrast, ratio_of_sums


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


def test_a_contrast_removes_what_all_datasets_share():
    # The median of two is halfway between their logarithms: 0.8 over sqrt(0.9 * 1.6) = 1.2. That of three is 0.9.
    def of(ratio: float) -> Sums:
        norms = np.arange(1.0, 11.0)
        return Sums(ratio * norms, norms, np.arange(10))

    assert contrast(of(0.8), [of(0.9), of(1.6)]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert contrast(of(0.8), [of(0.9), of(1.6), of(0.5)]) == pytest.approx((8 / 9, 8 / 9, 8 / 9))


def test_bounds_of_a_contrast_add_up_in_quadrature():
    # Two datasets with the same scatter: sqrt(2) times the width of one, to a few per cent of the resampling.
    random = np.random.default_rng(0)
    one, other = (Sums(1 + 0.1 * random.normal(size=200), np.ones(200), np.arange(200)) for _ in range(2))
    _, low, high = contrast(one, [other])
    widths = [np.diff(ratio_of_sums(*sums)[1:])[0] / ratio_of_sums(*sums)[0] for sums in (one, other)]
    assert high - low == pytest.approx(np.hypot(*widths), rel=0.1)


def test_a_contrast_has_no_bounds_where_one_dataset_has_few_clusters():
    many, few = (Sums(np.ones(n), np.ones(n), np.arange(n)) for n in (10, 3))
    assert contrast(many, [few])[0] == pytest.approx(1.0)
    assert np.isnan(contrast(many, [few])[1:]).all()
    with pytest.raises(MetricError, match="needs other datasets"):
        contrast(many, [])
