"""The page Uncertainty: agreement, calibrated intervals, and ensembles of chosen models."""

import pandas as pd
import pytest

from app.sections import intervals
from engine.queries import pooled_spread
from tests.app.opening import open_app, open_whole, table_with, text_of

PAGE = "views/uncertainty.py"


def forces(store, **asked):
    """The page on forces."""
    at = open_app()
    at.segmented_control(key="quantity").set_value("force").run()
    at.query_params.update(asked)
    at.switch_page(PAGE).run()
    assert not at.exception, at.exception
    return at


def test_the_page_says_whether_a_deviation_ranks_errors_and_has_their_size(store):
    at = forces(store, agreement="true")
    labels = [metric.label for metric in at.metric]
    assert "AUROC of errors above 100 meV/Å" in labels
    assert "It is no bound of the error" in text_of(at)
    assert "n_clusters" in table_with(at, "rho_text").columns


def test_an_ensemble_of_chosen_models_stands_in_the_address(store):
    at = forces(store, ensemble="chosen", members=["emt", "morse"], agreement="true")
    assert at.multiselect(key="members").value == ["emt", "morse"]
    assert any("Samples" in metric.label for metric in at.metric)
    at.multiselect(key="members").set_value(["emt"]).run()
    assert "An ensemble has at least two models" in text_of(at)


def test_the_limit_of_a_large_error_is_chosen_on_the_page(store):
    at = forces(store, agreement="true")
    at.selectbox(key="above-force").set_value("50").run()
    assert "AUROC of errors above 50 meV/Å" in [metric.label for metric in at.metric]


def test_intervals_say_what_they_were_tested_on(store):
    text = text_of(forces(store, intervals="true"))
    assert "(split-conformal)" in text
    assert "90 % intervals hold" in text


def words(**columns):
    table = pd.DataFrame({"label": ["A", "B"], "coverage": [0.9, 0.9], "by_kind": [0.9, 0.9], "by_config": [0.9, 0.9]})
    return intervals.words(table.assign(**columns), "w")


def test_a_coverage_that_fails_is_told_in_words_and_numbers():
    assert "fail" not in words()
    assert "**They fail** for B (80 %)." in words(coverage=[0.91, 0.80])
    assert "hold 85.0 to 93.0 %" in words(by_kind=[0.85, 0.93])
    assert "Counted by configuration" in words(by_config=[0.7, 0.9])
    assert "nothing is promised of new ones" in words(coverage=[float("nan")] * 2)


@pytest.mark.parametrize(("coverage", "told"), [(0.5, "**They fail** in 1"), (0.9, "within 2 points in 1 of 1")])
def test_a_coverage_elsewhere_that_fails_is_told(monkeypatch, coverage, told):
    monkeypatch.setattr(intervals.wording, "dataset_label", lambda name: name.upper())
    away = pd.DataFrame({"from_dataset": ["a"], "to_dataset": ["b"], "coverage": [coverage]})
    text = intervals.transfer_words("M", away, away, 1)
    assert told in text
    assert ("from A to B" in text) == (coverage < 0.88)


def test_a_set_that_is_kept_apart_and_has_no_samples_is_no_fault(store, monkeypatch):
    monkeypatch.setattr(pooled_spread, "apart_by_default", lambda ensemble_id: ["absent"])
    at = open_app("views/uncertainty.py", pooled="true")
    assert not at.exception, at.exception
    assert at.multiselect(key="apart-emt-morse").value == []


def test_parts_are_made_when_they_are_opened_or_a_link_asks_for_one_of_their_choices(store):
    closed = open_app(PAGE)
    assert len(closed.get("plotly_chart")) == 1
    assert "spread" not in closed.session_state
    whole = open_whole(PAGE)
    assert len(whole.get("plotly_chart")) > 2
    linked = open_app(PAGE, spread="Standard deviation")
    assert linked.segmented_control(key="spread").value == "standard_deviation"
