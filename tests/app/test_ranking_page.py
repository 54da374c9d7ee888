"""The page of rankings over unions of datasets, and of the best model of each."""

import pytest

from engine.queries import unions
from tests.app.opening import open_app, table_with, text_of

PAGE = "views/ranking.py"


def test_the_page_begins_with_the_default_union_and_cites_the_figure(sampled_store):
    at = open_app(PAGE)
    assert not at.exception, at.exception
    assert at.multiselect(key="union").value == list(unions.default_union()) == ["hand"]
    assert "Rebuilds Figure 5 of Shuang et al. (2025)" in text_of(at)


def test_the_table_has_intervals_and_reasons(sampled_store):
    at = open_app(PAGE)
    table = table_with(at, "pooled_ranks").set_index("label")
    assert table.loc[["Full", "Sample"], "pooled_ranks"].tolist() == ["1–2", "1–2"]  # two clusters are too few
    assert table.loc["Full", "pooled_rmse"] == pytest.approx(100.0)
    assert table.loc["Trained §", "reason"] == "It was trained on these configurations. (By hand)"


def test_a_union_that_no_model_covers_says_so(crystal_store, monkeypatch):
    at = open_app(PAGE)
    at.multiselect(key="union").set_value(["formation", "plain"]).run()
    assert not at.exception, at.exception
    assert table_with(at, "pooled_ranks").shape[0] == 3


def test_models_trained_on_mptrj_alone_are_red_and_hatched(sampled_store):
    at = open_app(PAGE)
    spec = at.get("plotly_chart")[0].proto.spec
    assert "#b42318" in spec
    assert '"shape":["\\u002f","\\u002f"]' in spec


def test_without_a_dataset_the_page_asks_for_one(sampled_store):
    at = open_app(PAGE)
    at.multiselect(key="union").set_value([]).run()
    assert not at.exception, at.exception
    assert "No dataset is chosen" in text_of(at)
    at.button[0].click().run()
    assert at.multiselect(key="union").value == ["hand"]


def test_best_models_are_named_with_the_lines_of_the_paper(crystal_store):
    at = open_app(PAGE)
    at.segmented_control(key="part").set_value("best of each").run()
    assert not at.exception, at.exception
    assert "Rebuilds Figure 3" in text_of(at)
    specs = " ".join(chart.proto.spec for chart in at.get("plotly_chart"))
    lines = ("5", "10 meV\\u002fatom", "70 meV\\u002fÅ")
    assert all(f'"{line}"' in specs for line in lines)
