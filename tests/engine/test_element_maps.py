"""Errors of several models by element, on stores made by hand."""

import pandas as pd
import pytest

from engine.queries import element_maps
from engine.queries.scope import Scope

FORMATION = Scope.of("formation")


def test_errors_by_element_and_model_by_hand(crystal_store):
    found = element_maps.element_errors("crystal", FORMATION, ("near", "far")).set_index("model_id")
    assert found["element"].tolist() == ["W", "W"]
    assert found["energy"].to_dict() == pytest.approx({"near": 10.0, "far": 300.0})
    assert found["n_configs"].tolist() == [9, 9]
    # The crystal is off by the same force as the vacancies.
    assert found["force"].to_dict() == pytest.approx({"near": 100.0, "far": 400.0}, rel=1e-5)


def test_only_configurations_that_all_have_count(sampled_store):
    found = element_maps.element_errors("raw", Scope.of("hand"), ("full", "sample"))
    assert found.groupby("model_id")["n_configs"].sum().to_dict() == {"full": 100, "sample": 100}
    assert found.loc[found["model_id"] == "full", "force"].tolist() == pytest.approx([100.0, 100.0], rel=1e-5)


def test_grain_boundaries_are_known_by_the_words_of_their_groups(crystal_store, monkeypatch):
    assert element_maps.boundary_groups(("formation",)).empty
    assert element_maps.element_errors("raw", FORMATION, ("near",), boundaries=True).empty
    monkeypatch.setattr(element_maps, "_BOUNDARIES", element_maps._BOUNDARIES.replace("gb|", "gb|vacancy|"))
    found = element_maps.boundary_groups.__wrapped__(("formation",))
    assert found[["group_name", "n_configs"]].values.tolist() == [["vacancy", 8]]
    errors = element_maps.element_errors.__wrapped__("raw", FORMATION, ("far",), boundaries=True)
    assert errors[["n_configs", "energy"]].values.tolist() == [[8, pytest.approx(400.0)]]


def test_ranked_models_come_in_the_order_of_their_errors(crystal_store):
    assert element_maps.ranked_models("crystal", "formation", "energy")[-1] == "far"
    assert element_maps.ranked_models("raw", "formation", "force") == ("near", "nearly", "far")


ERRORS = pd.DataFrame({
    "element": ["W", "W", "Mo", "Mo", "Ta"],
    "model_id": ["a", "b", "a", "b", "a"],
    "n_configs": [9, 9, 4, 4, 1],
    "energy": [3.0, 2.0, 5.0, 8.0, None],
    "force": [1.0, 1.0, 1.0, 1.0, 7.0],
})  # fmt: skip


def test_the_winner_of_each_element_and_the_next(store):
    table = element_maps.winners(ERRORS, "energy").set_index("element")
    assert table["model_id"].to_dict() == {"W": "b", "Mo": "a"}
    assert table.loc["W", ["error", "second_id", "second"]].tolist() == [2.0, "a", 3.0]
    assert element_maps.wins(table.reset_index())["n_elements"].tolist() == [1, 1]


def test_one_model_minus_another(store):
    table = element_maps.differences(ERRORS, "a", "b", "energy").set_index("element")
    assert table["difference"].dropna().to_dict() == {"W": 1.0, "Mo": -3.0}
