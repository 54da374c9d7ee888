"""Pages on a dataset that is here as a summary: they show its errors, and say how its atoms come."""

import pytest
from streamlit.testing.v1 import AppTest

from engine.queries import catalog
from tests.app.opening import open_app, open_whole, text_of


@pytest.mark.parametrize("page", ["structure", "datasets"])
def test_pages_of_atoms_say_how_they_come(summary_store, page):
    at = open_whole(f"views/{page}.py")
    assert not at.exception
    assert "No structures and forces of Al-Cu here" in text_of(at)
    assert "Fetch its atoms." in text_of(at)


def test_parity_has_energies_and_says_how_forces_come(summary_store):
    at = open_app("views/parity.py")
    assert at.get("plotly_chart")
    at.segmented_control(key="quantity").set_value("force").run()
    assert not at.exception
    assert not at.get("plotly_chart")
    assert "Fetch its atoms." in text_of(at)


@pytest.mark.parametrize("page", ["overview", "elements", "uncertainty", "model"])
def test_pages_of_errors_open_as_ever(summary_store, page):
    at = open_whole(f"views/{page}.py" if page != "overview" else "")
    assert not at.exception
    assert at.get("plotly_chart")


def test_a_dataset_with_atoms_of_the_same_elements_is_a_click_away(store, monkeypatch):
    datasets = catalog.datasets()
    alloyed = datasets.assign(
        elements=[["Cu", "Fe"] if row.dataset_id == "fe" else list(row.elements) for row in datasets.itertuples()]
    )
    monkeypatch.setattr(catalog, "datasets", lambda: alloyed)
    monkeypatch.setattr(catalog, "summaries", lambda: {"al-cu": "Fetch its atoms."})

    def page():
        from app import furniture

        furniture.no_atoms("al-cu")

    at = AppTest.from_function(page).run()
    at.button(key="instead-fe").click().run()
    assert at.session_state["dataset"] == "fe"
