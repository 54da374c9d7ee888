"""Sections that rebuild figures of the paper: overlay of energies, pooled uncertainty, drawings."""

import json
import shutil

import duckdb
import numpy as np
import pytest

from app.figures import defect_drawings
from engine.cells.drawings import drawings as drawn_cells
from engine.queries import drawings
from engine.queries.drawings import Drawn
from engine.store.builder import StoreBuilder
from tests.app.opening import open_app, table_with, text_of


def test_parity_lays_all_chosen_models_over_each_other(store):
    at = open_app()
    at.multiselect(key="compare").set_value(["morse"]).run()
    at.selectbox(key="model").set_value("emt").run().switch_page("views/parity.py").run()
    assert not at.exception, at.exception
    spec = next(json.loads(c.proto.spec) for c in at.get("plotly_chart") if "Predicted energy" in c.proto.spec)
    assert [trace["name"] for trace in spec["data"] if trace.get("name")] == ["EMT", "Morse"]
    assert "figure 4 of the paper" in text_of(at)
    assert table_with(at, "rmse_positive")["label"].tolist() == ["EMT", "Morse"]


def test_forces_are_not_laid_over_each_other(store):
    at = open_app()
    at.segmented_control(key="quantity").set_value("force").run().switch_page("views/parity.py").run()
    assert "figure 4 of the paper" not in text_of(at)


@pytest.mark.parametrize("measure", ["deviation", "standard_deviation"])
def test_uncertainty_is_pooled_by_either_measure(store, measure):
    at = open_app("views/uncertainty.py", pooled="true")
    at.segmented_control(key="spread").set_value(measure).run()
    assert not at.exception, at.exception
    table = table_with(at, "beyond_deviation")
    assert (table["beyond_deviation"] <= table["beyond_standard_deviation"]).all()


def test_defect_energies_draw_one_cell_of_each_group(store):
    at = open_app("views/defect_energies.py", cells="true")
    assert not at.exception, at.exception
    assert at.selectbox(key="drawn-al-cu").options == ["rattled: al-01", "vacancy: al-00"]


def test_the_largest_cell_of_a_group_is_drawn(store):
    rattled, vacancy = drawings.one_of_each_group("al-cu")
    assert len(rattled.symbols) == len(rattled.classes) == 32
    assert len(vacancy.symbols) == 31


def test_a_view_goes_up_the_longest_vector_and_looks_along_the_shortest():
    axes = defect_drawings.view(np.diag([4.0, 9.0, 2.0]))
    assert np.abs(axes) == pytest.approx(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]]))


def test_images_fill_the_window_and_are_told_from_the_atom():
    drawn = Drawn("bulk", "w", "W", ["W"], np.zeros((1, 3)), np.diag([3.0, 4.0, 2.0]), ["bulk-like"])
    points, owners, is_home = defect_drawings.images(drawn)
    # The middle of the cell is at (1.5, 2): across -4.5 to 4.5 by 3 are four columns, up -6 to 6 by 4 four rows.
    assert len(points) == 16
    assert set(owners.tolist()) == {0}
    assert is_home.sum() == 1


def test_the_papers_defects_are_drawn_first_and_said_to_be_drawings(store_folder, tmp_path, monkeypatch):
    """They come from cells made by rule; a store without them draws the dataset's groups alone."""
    shutil.copyfile((store_folder / "results.duckdb").resolve(), tmp_path / "results.duckdb")
    made = drawn_cells()
    builder = StoreBuilder.__new__(StoreBuilder)
    with duckdb.connect(str(tmp_path / "results.duckdb")) as builder.connection:
        builder.add_drawings((one, np.zeros(len(one.atoms), dtype=np.uint8)) for one in made)
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    at = open_app("views/defect_energies.py", cells="true")
    assert not at.exception, at.exception
    assert "these cells are drawings. No DFT was run on them" in text_of(at)
    assert table_with(at, "Rule")["Defect"].tolist() == [one.label for one in made]
