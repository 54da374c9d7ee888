"""Energies and forces of all datasets at once."""

import numpy as np

from app.figures import base, stacked_histograms
from engine.queries.distributions import DatasetHistograms
from tests.app.opening import open_app, text_of


def test_the_part_cites_the_figure_and_has_both_distributions(store):
    at = open_app("views/datasets.py")
    at.segmented_control(key="part").set_value("all data").run()
    assert not at.exception, at.exception
    assert "Rebuilds Figure 1 (h, i)" in text_of(at)
    assert len(at.get("plotly_chart")) == 2


def test_a_dashed_box_holds_the_positive_energies():
    edges = np.array([-2.0, 0.0, 2.0])
    found = DatasetHistograms(edges, ("a",), np.array([[3, 1]]), np.array([4]), np.array([1.5]), np.array([1]))
    figure = stacked_histograms.by_dataset(found, ["A"], "configurations", "E", base.LIGHT, "T", "S")
    box = figure.layout.shapes[0]
    assert (box.x0, box.x1, box.line.dash) == (0, 2.0, "dash")
    assert any("above zero: 1 of 4" in note.text for note in figure.layout.annotations)


def test_without_positive_energies_there_is_no_box():
    found = DatasetHistograms(
        np.array([-2.0, -1.0]), ("a",), np.array([[3]]), np.array([3]), np.array([-1.0]), np.array([0])
    )
    figure = stacked_histograms.by_dataset(found, ["A"], "configurations", "E", base.LIGHT, "T", "S")
    assert not figure.layout.shapes
