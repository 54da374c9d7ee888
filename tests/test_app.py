from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.main import PAGES
from engine.store import StoreBuilder, publish

APP = Path(__file__).resolve().parents[1] / "app"
SENTENCE = "make demo"


def _open(page: str = "", **parameters: str) -> AppTest:
    """The app on one page; a page can only be opened after the entry script has run once."""
    at = AppTest.from_file(str(APP / "main.py"), default_timeout=60).run()
    if page:
        at.query_params.update(parameters)
        at.switch_page(page).run()
    return at


def _text(at: AppTest) -> str:
    return " ".join(element.value for element in [*at.title, *at.markdown, *at.caption, *at.subheader])


def test_pages_lists_every_view():
    assert {entry.file for entry in PAGES} == {f"views/{path.name}" for path in (APP / "views").glob("*.py")}


def test_addresses_are_unique_and_one_page_is_the_start():
    addresses = [entry.url_path for entry in PAGES]
    assert len(set(addresses)) == len(PAGES)
    assert addresses[0] == ""


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_every_page_renders_on_a_real_store(store, entry):
    at = _open(entry.file)
    assert not at.exception, at.exception
    assert len(at.title) == 1
    assert "data version `test`" in _text(at)


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_every_page_renders_for_forces_of_a_model_that_failed(store, entry):
    at = _open()
    at.selectbox(key="model").set_value("emt")
    at.selectbox(key="dataset").set_value("fe")
    at.segmented_control(key="quantity").set_value("force")
    at.run().switch_page(entry.file).run()
    assert not at.exception, at.exception


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_a_missing_store_gives_one_sentence_with_the_next_command(tmp_path, monkeypatch, entry):
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    at = _open(entry.file)
    assert not at.exception
    assert SENTENCE in _text(at)


def test_a_store_without_predictions_gives_one_sentence_with_the_next_command(tmp_path, monkeypatch):
    StoreBuilder(tmp_path / "results-empty.duckdb").finish()
    publish(tmp_path / "results-empty.duckdb", tmp_path / "results.duckdb")
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    at = _open()
    assert not at.exception
    assert SENTENCE in _text(at)


def test_the_overview_marks_imported_numbers_and_lists_models_not_run(store):
    at = _open()
    ranking = at.dataframe[1].value.set_index("label")
    assert ranking.loc["Morse †", "origin"] == "imported"
    assert ranking.loc["EMT", "origin"] == "computed"
    not_run = at.dataframe[2].value
    assert "emt" not in set(not_run["label"])
    assert not_run["reason"].str.len().gt(0).all()


def test_aligned_energies_are_a_switch_away(store):
    at = _open()
    raw = at.dataframe[1].value.set_index("label").loc["EMT", "energy_rmse_mev_per_atom"]
    at.segmented_control(key="align").set_value("per_element").run()
    aligned = at.dataframe[1].value.set_index("label").loc["EMT", "energy_rmse_mev_per_atom"]
    assert aligned < raw


def test_an_element_of_the_address_is_opened(store):
    at = _open("views/elements.py", el="Al")
    assert "Configurations with Al" in _text(at)


def test_an_element_that_only_failed_says_so(store):
    at = _open()
    at.selectbox(key="model").set_value("emt").run()
    at.query_params["el"] = "Fe"
    at.switch_page("views/elements.py").run()
    assert any("Failed: 2 configurations with Fe" in expander.label for expander in at.expander)


def test_a_dataset_without_ensemble_names_those_that_have_one(store):
    at = _open()
    at.selectbox(key="dataset").set_value("fe").run()
    at.switch_page("views/uncertainty.py").run()
    assert "Al-Cu" in _text(at)


def test_an_ensemble_shows_its_rank_correlation_with_n(store):
    at = _open("views/uncertainty.py")
    assert [metric.label for metric in at.metric] == ["Spearman ρ, energy", "Spearman ρ, force", "Members"]
    assert "n = 24 configurations" in _text(at)


def test_hardware_and_threads_are_stated_with_the_cost(store):
    at = _open("views/cost.py")
    assert "CPU, 1 thread, 32 atoms, test machine" in _text(at)


def test_failures_are_listed_with_reasons(store):
    at = _open("views/about.py")
    assert any("n_failed" in frame.value.columns for frame in at.dataframe)


def test_data_that_are_not_here_are_no_zero(store):
    table = next(f.value for f in _open("views/about.py").dataframe if "stands_in_for" in f.value.columns)
    assert table.set_index("dataset_id").loc[["w-g"], "n_configs"].isna().all()


def test_the_store_is_never_written_by_the_app(store):
    before = (store / "results-test.duckdb").stat().st_mtime_ns
    _open("views/parity.py")
    assert (store / "results-test.duckdb").stat().st_mtime_ns == before
