"""Pages on a dataset that is here as a summary: they show its errors, and say how its atoms come."""

import pytest

from tests.app.opening import open_app, text_of


@pytest.mark.parametrize("page", ["structure", "datasets"])
def test_pages_of_atoms_say_how_they_come(summary_store, page):
    at = open_app(f"views/{page}.py")
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
    at = open_app(f"views/{page}.py" if page != "overview" else "")
    assert not at.exception
    assert at.get("plotly_chart")
