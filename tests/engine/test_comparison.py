"""Rules by which models are let into a ranking."""

import numpy as np
import pytest

from engine.numerics.comparison import choose_models


def test_nested_samples_are_compared_on_the_smallest():
    places = {"a": np.arange(4513), "b": np.arange(200), "c": np.arange(300)}
    assert choose_models(places, {}) == (["a", "c", "b"], 200)


@pytest.mark.parametrize(
    ("n_last", "is_in"),
    [(46, True), (43, True), (42, False)],
    ids=["one missing", "a tenth missing", "more than a tenth missing"],
)
def test_a_small_dataset_needs_nine_tenths_of_it(n_last, is_in):
    places = {"a": np.arange(47), "b": np.arange(n_last)}  # nine tenths of 47 are 42.3
    assert choose_models(places, {}) == ((["a", "b"], n_last) if is_in else (["a"], 47))


def test_a_model_with_other_configurations_leaves_the_rest_as_they_are():
    places = {"a": np.arange(1000), "b": np.arange(1000), "c": np.arange(950, 1200)}
    assert choose_models(places, {}) == (["a", "b"], 1000)


def test_a_model_that_failed_on_more_than_a_tenth_is_left_out():
    places = {"a": np.arange(100), "b": np.arange(90), "c": np.arange(89)}
    assert choose_models(places, {"b": 10, "c": 11}) == (["a", "b"], 90)


def test_where_all_have_few_they_are_compared_on_few():
    assert choose_models({"a": np.arange(20), "b": np.arange(20)}, {}) == (["a", "b"], 20)


def test_without_results_there_is_nothing_to_compare():
    assert choose_models({}, {}) == ([], 0)
    assert choose_models({"a": np.arange(0)}, {"a": 5}) == ([], 0)
