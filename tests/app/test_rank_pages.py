"""Ranks as intervals and energies against the perfect crystal, as pages show them."""

import shutil

import duckdb
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from engine.queries import catalog
from tests.app.opening import open_app, table_with, text_of


def _of(at: AppTest, dataset_id: str, **choices: str) -> AppTest:
    at.selectbox(key="dataset").set_value(dataset_id).run()
    for key, value in choices.items():
        at.segmented_control(key=key).set_value(value).run()
    assert not at.exception, at.exception
    return at


def test_energies_against_the_crystal_rank_models_by_intervals(crystal_store):
    ranking = table_with(_of(open_app(), "formation", align="crystal"), "ranks").set_index("label")
    assert ranking["ranks"].to_dict() == {"Near": "1–2", "Nearly": "1–2", "Far": "3"}
    assert ranking.loc["Far", "energy_rmse_mev_per_atom"] == pytest.approx(300.0)
    assert ranking.loc["Far", "macro_energy_rmse_mev_per_atom"] == pytest.approx(300.0)


def test_a_dataset_without_crystals_says_so_and_falls_back_to_aligned(crystal_store):
    at = _of(open_app(), "formation", align="crystal")
    assert "no crystal" in at.get("plotly_chart")[0].proto.spec
    _of(at, "plain")
    assert at.segmented_control(key="align").value == "per_element"
    assert "crystal" not in [option.lower() for option in at.segmented_control(key="align").options]
    assert "no crystal" not in at.get("plotly_chart")[0].proto.spec


def test_forces_are_shown_of_all_datasets_whatever_the_energies(crystal_store):
    at = _of(open_app(), "formation", align="crystal", quantity="force")
    assert "no crystal" not in at.get("plotly_chart")[0].proto.spec
    matrix = table_with(at, "n_own")
    assert set(matrix["dataset_label"]) == {"Formation", "Plain"}


def test_ranks_of_timed_models_are_intervals(crystal_store):
    at = _of(open_app(), "formation", quantity="force").switch_page("views/cost.py").run()
    assert table_with(at, "ranks").set_index("label")["ranks"].to_dict() == {"Near": "1–2", "Nearly": "1–2", "Far": "3"}


def test_elements_show_a_dash_and_the_reason_where_there_is_no_error(crystal_store):
    at = _of(open_app(), "plain", align="per_element").switch_page("views/elements.py").run()
    at.toggle(key="pooled").set_value(False).run()
    assert not at.exception, at.exception
    spec = at.get("plotly_chart")[0].proto.spec
    assert "the other configurations do not fix the offset" in spec.replace("<br>", " ")
    assert table_with(at, "n_energy").set_index("element")["energy_rmse_mev_per_atom_aligned"].isna().all()


def test_elements_know_energies_against_the_crystal(crystal_store):
    at = _of(_of(open_app(), "formation").switch_page("views/elements.py").run(), "formation", align="crystal")
    table = table_with(at, "n_energy").set_index("element")
    assert table.loc["W", "n_energy"] == 8
    assert pd.notna(table.loc["W", "energy_rmse_mev_per_atom_crystal"])


@pytest.mark.parametrize("page", ["parity", "cost"])
def test_charts_of_energies_take_the_crystal(crystal_store, page):
    at = _of(_of(open_app(), "formation").switch_page(f"views/{page}.py").run(), "formation", align="crystal")
    assert "relative to the perfect crystal" in text_of(at)


def test_a_time_with_random_weights_is_marked_on_the_page_of_costs_and_used_nowhere_else(
    sampled_store, tmp_path, monkeypatch
):
    copy = tmp_path / "results.duckdb"
    shutil.copy(sampled_store / "results.duckdb", copy)
    with duckdb.connect(str(copy)) as connection:
        connection.execute("delete from costs where model_id = 'few'")
        names = "model_id, device, hardware, n_threads, n_atoms, batch, ms_per_step, us_per_atom_step, peak_memory_mb, "
        names += "origin, measured_at, occasion, yardstick_ms"
        for model_id in ("few", "full"):
            row = f"('{model_id}', 'cpu', 'test machine', 1, 32, 1, 1, 31, 100, 'random weights', '2026-01-02', 'a', 1)"
            connection.execute(f"insert into costs ({names}) values {row}")
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    marked = catalog.costs(with_random_weights=True).set_index("model_id")["has_random_weights"]
    assert marked.to_dict() == {"full": False, "sample": False, "trained": False, "few": True}
    assert "few" not in set(catalog.costs()["model_id"])
    text = text_of(open_app("views/cost.py"))
    assert "Open with a dot" in text


def test_quartiles_load_time_and_drift_are_shown_where_they_were_measured(sampled_store, tmp_path, monkeypatch):
    copy = tmp_path / "results.duckdb"
    shutil.copy(sampled_store / "results.duckdb", copy)
    with duckdb.connect(str(copy)) as connection:
        connection.execute("update models set conservative = false where model_id = 'sample'")
        connection.execute(
            "update costs set ms_low = 1.0, ms_high = 1.6, load_seconds = 3.0, drift_mev_per_atom_ps = -2.0 "
            "where model_id = 'sample'"
        )
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    at = open_app("views/cost.py", quantity="force")
    row = table_with(at, "load_seconds").set_index("label").loc["Sample"]
    assert row["us_per_atom_step_lo"] == pytest.approx(1.0 / 32)  # 32 atoms, shown in ms
    assert (row["load_seconds"], row["drift_mev_per_atom_ps"], row["n_largest"]) == (3.0, -2.0, 32)
    assert "-2.00 meV/atom per ps here (Sample)" in text_of(at)
    assert "Predicted directly: Sample." in text_of(at)
    costs = table_with(open_app("views/model.py", id="sample"), "load_seconds")
    assert costs[["ms_low", "ms_high", "drift_mev_per_atom_ps"]].to_numpy().tolist() == [[1.0, 1.6, -2.0]]
