"""Two models by element, their difference, and the winners, as the page shows them."""

import pandas as pd
import pytest

from app.figures import base, element_maps
from tests.app.opening import open_app, table_with, text_of

PAGE = "views/elements.py"


@pytest.mark.parametrize(("view", "n_charts"), [("two models", 2), ("difference", 1), ("winners", 1)])
def test_each_view_has_its_maps_and_cites_the_figure(crystal_store, view, n_charts):
    at = open_app(PAGE)
    at.segmented_control(key="view").set_value(view).run()
    assert not at.exception, at.exception
    assert "Rebuilds Figure 2" in text_of(at)
    assert len(at.get("plotly_chart")) == n_charts


def test_the_worst_and_the_best_are_compared_at_first(crystal_store):
    at = open_app(PAGE)
    at.segmented_control(key="quantity").set_value("force").run()
    at.segmented_control(key="view").set_value("difference").run()
    found = table_with(at, "difference").set_index("element").loc["W"]
    assert found[["first", "second", "difference"]].tolist() == pytest.approx([400.0, 100.0, 300.0], rel=1e-5)


def test_the_switch_of_grain_boundaries_is_grey_where_there_are_none(crystal_store):
    at = open_app(PAGE)
    at.segmented_control(key="view").set_value("winners").run()
    assert at.toggle(key="boundaries").disabled


def test_a_difference_has_its_sign_and_blue_where_the_first_is_better():
    table = pd.DataFrame({"element": ["W", "Mo"], "n_configs": [3, 3], "first": [1.0, 9.0], "second": [5.0, 5.0]})
    table["difference"] = table["first"] - table["second"]
    tiles = element_maps.difference_map(table, "force", base.LIGHT, "T", "S").data[0]
    by_text = {text: fill for text, fill in zip(tiles.text, tiles.marker.color, strict=True) if "<b>" in text}
    assert by_text == {"W<br><b>−4.0</b>": "rgb(33, 102, 172)", "Mo<br><b>+4.0</b>": "rgb(224, 130, 20)"}


def test_winners_have_letters_as_well_as_colours():
    wins = pd.DataFrame({"model_id": ["a", "b"], "label": ["A1", "B1"], "n_elements": [2, 1]})
    assert element_maps.letters(wins) == {"a": "A", "b": "B"}
