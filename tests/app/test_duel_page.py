"""The page Duel on small stores."""

import pytest

from tests.app.opening import open_app, open_link, table_with, text_of


def test_models_that_were_not_timed_together_have_no_cheaper_one(sampled_store):
    at = open_link("views/duel.py", {"model": ["full"], "quantity": ["Force"], "against": ["fragile"]})
    assert "**Cost:** no timing." in text_of(at)


def test_the_page_says_who_wins(sampled_store):
    at = open_link("views/duel.py", {"model": ["full"], "quantity": ["Force"], "against": ["sample"]})
    assert not at.exception, at.exception
    assert at.title[0].value == "Duel: Full against Sample"
    table = table_with(at, "win_rate")
    assert table["n_configs"].tolist() == [100, 100]  # one dataset, one kind
    assert table["difference"].tolist() == pytest.approx([-100.0, -100.0])
    values = {metric.label: metric.value for metric in at.metric}
    assert values["Full has the smaller error"] == "100%"


def test_the_opponent_of_the_address_counts_and_a_wrong_one_is_named(sampled_store):
    at = open_app("views/duel.py", against="nobody")
    assert "nobody" in text_of(at)
    assert not at.exception


def test_the_cheaper_one_is_named_where_both_were_timed_together(sampled_store):
    at = open_link("views/duel.py", {"model": ["sample"], "quantity": ["Force"], "against": ["full"]})
    assert "**Full is the cheaper one:** 0.0100 against 0.0400 ms per atom and step (CPU, 1 thread" in text_of(at)
    assert "It wins beyond doubt on" not in text_of(at)  # all of them are one cell, so there are no bounds
    assert "It wins more often than not, within the bounds of chance, on Bulk, By hand." in text_of(at)


def test_a_dataset_without_atoms_says_so_and_shows_the_rest(summary_store):
    at = open_app("views/duel.py")
    assert not at.exception, at.exception
    assert "No structures and forces of Al-Cu here" in text_of(at)
    assert len(table_with(at, "win_rate"))
