"""Configurations with elements that a model was not made for: told apart from those on which it failed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from app.figures import base
from app.figures.tile_maps import cell_state
from engine.queries import catalog, error_metrics
from engine.records import Configuration, Prediction
from engine.store.builder import StoreBuilder, publish
from engine.store.rows import Results
from tests.conftest import _dataset, _model, _run


def _cell(name: str, number: int) -> Configuration:
    return Configuration(
        name, "bulk", np.array([number]), np.zeros((1, 3)), 3.0 * np.eye(3), (True,) * 3,
        energy=0.0, forces=np.ones((1, 3)),
    )  # fmt: skip


@pytest.fixture
def tungsten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with a model of W that has a result for one cell of W, failed on another, and met two cells of Mo."""
    cells = [_cell("w-1", 74), _cell("w-2", 74), _cell("mo-1", 42), _cell("mo-2", 42)]
    builder = StoreBuilder(tmp_path / "results-w.duckdb")
    builder.add_models([dataclasses.replace(_model("few", "Few"), elements=("W",))])
    dataset, run = _dataset("hand", "By hand", ("Mo", "W")), _run("few", "hand", "computed")
    builder.add_dataset(dataset, cells)
    builder.add_runs([run])
    rows = [Prediction("w-1", cells[0].geometry_hash, "ok", energy=0.1, forces=cells[0].forces, wall_seconds=0.01)]
    rows += [Prediction(cell.config_id, cell.geometry_hash, "failed", reason="no") for cell in cells[1:]]
    builder.add_results(dataset, cells, [Results("few", [(row, run.run_id) for row in rows])], [])
    builder.finish()
    publish(tmp_path / "results-w.duckdb", tmp_path / "results.duckdb")
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))


def test_foreign_elements_are_counted_apart_from_failures(tungsten):
    row = error_metrics.dataset_metrics("raw").iloc[0]

    assert (row["n_configs"], row["n_failed"], row["n_outside"], row["n_expected"]) == (1, 3, 2, 4)
    assert base.lacking(row) == "1 failed, 2 out of scope"
    totals = catalog.totals()
    assert (totals["n_ok"], totals["n_failed"], totals["n_outside"]) == (1, 3, 2)
    assert catalog.coverage().iloc[0]["n_outside"] == 2


def test_each_element_says_how_much_of_the_set_it_rests_on(tungsten):
    table = error_metrics.element_metrics("few").set_index("element")

    assert table.loc["W", ["n_configs", "n_failed", "n_outside", "n_expected"]].tolist() == [1, 1, 0, 2]
    assert table.loc["Mo", ["n_configs", "n_failed", "n_outside", "n_expected"]].tolist() == [0, 2, 2, 2]


def test_reasons_of_failures_say_which_are_foreign_elements(tungsten):
    found = catalog.failure_counts("few").set_index("is_outside")["n_failed"]

    assert found.to_dict() == {True: 2, False: 1}


def test_a_cell_without_results_has_failed_only_where_the_model_knows_the_elements():
    assert cell_state(0, 3, False, 3) == "outside"
    assert cell_state(0, 3, False, 2) == "failed"
    assert cell_state(0, 0, False, 0) == "missing"
    assert cell_state(9, 3, True, 3) == "ok"
    assert cell_state(9, 3, True, 2) == "partial"
