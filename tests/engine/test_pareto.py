import numpy as np
import pytest

from engine.errors import MetricError
from engine.numerics.pareto import pareto_front


def test_a_model_beaten_on_both_axes_is_not_on_the_front():
    assert pareto_front([1, 2, 3], [5, 6, 2]).tolist() == [0, 2]


def test_the_front_is_sorted_by_cost_whatever_the_order_of_models():
    assert pareto_front([30, 10, 20], [1, 9, 4]).tolist() == [1, 2, 0]


def test_of_equal_costs_only_the_smaller_error_counts():
    assert pareto_front([1, 1, 2], [4, 3, 3]).tolist() == [1]


def test_of_equal_models_the_first_is_kept():
    assert pareto_front([1, 1], [2, 2]).tolist() == [0]


def test_what_was_not_measured_beats_nothing():
    assert pareto_front([np.nan, 2, 1], [0, 1, np.nan]).tolist() == [1]


def test_no_model_makes_an_empty_front():
    assert pareto_front([], []).tolist() == []


def test_no_point_of_the_front_is_dominated():
    rng = np.random.default_rng(7)
    costs, errors = rng.random(200), rng.random(200)
    for i in pareto_front(costs, errors):
        assert not np.any((costs <= costs[i]) & (errors <= errors[i]) & ((costs < costs[i]) | (errors < errors[i])))


def test_shapes_that_differ_are_refused():
    with pytest.raises(MetricError, match=r"\(2,\).*\(3,\)"):
        pareto_front([1, 2], [1, 2, 3])
