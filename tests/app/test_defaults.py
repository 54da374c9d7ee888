"""No page colours, ranks or names as best what is not ranked, without saying so in that place."""

import json

import pandas as pd

from app import selection, wording
from app.figures import tile_maps
from app.figures.base import LIGHT, ink_of
from tests.app.opening import open_app, start_at, table_with, text_of


def _tiles(at) -> dict[tuple[str, str], str]:
    """Fill of each cell of the matrix by model and dataset."""
    bars = json.loads(at.get("plotly_chart")[0].proto.spec)["data"][0]
    keys = [tuple(pair) for pair in bars["customdata"]]
    return dict(zip(keys, bars["marker"]["color"], strict=True))


def test_only_ranked_models_have_a_colour_in_the_matrix(sampled_store):
    fills = _tiles(start_at(quantity="force"))
    coloured = {model for (model, _), fill in fills.items() if fill.startswith("rgb(")}
    assert coloured == {"full", "sample"}  # not the ten cells of `few`, nor what was trained on them, nor failures


def test_the_best_model_stands_with_its_rank_and_with_whom_it_is_not_told_apart_from(sampled_store):
    assert "rank 1–2 of 2, not told apart from Sample" in text_of(start_at(quantity="force"))


def test_means_over_metals_are_of_ranked_models_alone(sampled_store):
    table = table_with(start_at(quantity="force"), "ranks").set_index("label")
    means = table["macro_force_rmse_mev_per_ang"]
    assert set(means.dropna().index) == {"Full", "Sample"}


def test_ranks_are_intervals_on_all_of_each_model_too(crystal_store):
    at = start_at(align="crystal", on="own")
    assert table_with(at, "ranks").set_index("label")["ranks"].to_dict() == {"Near": "1–2", "Nearly": "1–2", "Far": "3"}


def test_cells_of_another_level_of_theory_are_grey_and_marked():
    metrics = pd.DataFrame({
        "model_id": ["a", "b"], "label": ["A", "B"], "dataset_id": "d", "dataset_label": "D", "n_configs": 9,
        "n_own": 9, "n_failed": 0, "n_outside": 0, "n_expected": 9, "n_energy": 9, "n_force": 9, "n_clusters": 3,
        "is_ranked": [True, False], "is_seen": False, "seen_reason": "", "comparable": True, "why_not": "",
        "cause": ["", "level"], "note": "", "force_rmse_mev_per_ang": [50.0, 20.0], "energy_note": "",
        "force_rmse_mev_per_ang_lo": 1.0, "force_rmse_mev_per_ang_hi": 99.0, "origin": "computed", "source": None,
    })  # fmt: skip
    cells = tile_maps.matrix_cells(metrics, metrics, pd.DataFrame({"dataset_id": ["d"], "label": ["D"]}))
    bars = tile_maps.matrix(cells, "force", LIGHT, "Title", "source").data[0]
    assert list(bars.text) == ["50.0", "20.0¶"]
    assert bars.marker.color[0].startswith("rgb(")
    assert bars.marker.color[1] == ink_of("light").tile


def test_timed_models_say_rank_n_and_occasion(crystal_store):
    at = open_app("views/cost.py")
    spec = at.get("plotly_chart")[0].proto.spec
    assert "n = " in spec
    assert "timed on" in spec
    assert "occasion" in table_with(at, "ranks").columns


def test_energies_of_a_structure_say_what_they_are_relative_to(crystal_store):
    at = open_app("views/structure.py")
    assert "against the crystal: " in text_of(at)
    assert "count from their own perfect crystals" in text_of(at)
    assert "energy_error_per_atom_crystal" in table_with(at, "force_max_error").columns


def test_charts_of_energies_say_what_they_are_relative_to(crystal_store):
    for at in (open_app("views/parity.py"), open_app("views/model.py", id="near")):
        assert not at.exception, at.exception
        chosen = at.segmented_control(key="align").value
        assert wording.energy_meaning(chosen) in text_of(at)


def test_a_colour_by_deviation_says_how_well_it_ranks_atoms():
    note = wording.within_note("Six models", "W-g", 0.17, 1026)
    assert "Spearman ρ of 0.17 (mean over n = 1,026 configurations" in note
    assert "was not measured" in wording.within_note("Six models", "W-g", float("nan"), 0)


def test_numbers_of_forces_stand_with_their_n(crystal_store):
    at = start_at(quantity="force")
    at.switch_page("views/parity.py").run()
    assert "below 1: too soft, n = 9" in text_of(at) or "above 1: too stiff, n = 9" in text_of(at)


def test_an_address_of_a_dataset_alone_opens_with_the_best_model_that_was_run_there(evidence_store, monkeypatch):
    monkeypatch.setattr(selection, "_default_model", lambda model_ids, dataset_id: "molybdenum")
    at = open_app("views/parity.py", dataset="w-gb")
    assert not at.exception, at.exception
    assert at.selectbox(key="model").value == "first"  # the smallest force error of those that were not trained on it
    assert at.query_params["model"] in ("first", ["first"])
    assert open_app("views/parity.py", dataset="mo-gb").selectbox(key="model").value == "molybdenum"  # it was run there
