import shutil

import pandas as pd
import pytest

from app import selection, wording
from app.main import PAGES
from app.sections.advice_cards import duration
from engine.queries import comparability, configurations, error_metrics
from engine.queries.scope import Scope
from engine.store.builder import StoreBuilder, publish
from tests.app.opening import APP, open_app, table_with, text_of

SENTENCE = "make demo"


def test_pages_lists_every_view():
    assert {entry.file for entry in PAGES} == {f"views/{path.name}" for path in (APP / "views").glob("*.py")}


def test_addresses_are_unique_and_one_page_is_the_start():
    addresses = [entry.url_path for entry in PAGES]
    assert len(set(addresses)) == len(PAGES)
    assert addresses.count("") == 1
    assert addresses[0] == "advisor"  # first in the navigation


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_every_page_renders_on_a_real_store(store, entry):
    at = open_app(entry.file)
    assert not at.exception, at.exception
    (title,) = at.title
    assert "data version test" in text_of(at)
    # The title begins with the page's name in the navigation; what the page is about may follow.
    assert title.value.partition(":")[0] == entry.title or not entry.is_listed


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_every_page_renders_for_forces_of_a_model_that_failed(store, entry):
    at = open_app()
    at.selectbox(key="model").set_value("emt")
    at.selectbox(key="dataset").set_value("fe")
    at.segmented_control(key="quantity").set_value("force")
    at.run().switch_page(entry.file).run()
    assert not at.exception, at.exception


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_a_missing_store_gives_one_sentence_with_the_next_command(tmp_path, monkeypatch, entry):
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    at = open_app(entry.file)
    assert not at.exception
    assert SENTENCE in text_of(at)


def test_a_store_without_predictions_gives_one_sentence_with_the_next_command(tmp_path, monkeypatch):
    StoreBuilder(tmp_path / "results-empty.duckdb").finish()
    publish(tmp_path / "results-empty.duckdb", tmp_path / "results.duckdb")
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    at = open_app()
    assert not at.exception
    assert SENTENCE in text_of(at)


def test_the_overview_marks_imported_numbers_and_lists_models_not_run(store):
    at = open_app()
    ranking = table_with(at, "ranks").set_index("label")
    assert ranking.loc["Morse †", "origin"] == "imported"
    assert ranking.loc["EMT", "origin"] == "computed"
    not_run = table_with(at, "paper_row")
    assert "emt" not in set(not_run["label"])
    assert not_run["reason"].str.len().gt(0).all()


def test_raw_energies_are_a_switch_away_where_none_can_be_compared(store):
    at = open_app()
    assert at.segmented_control(key="align").value == "per_element"
    aligned = table_with(at, "ranks").set_index("label").loc["EMT", "energy_rmse_mev_per_atom"]
    at.segmented_control(key="align").set_value("raw").run()
    raw = table_with(at, "ranks").set_index("label").loc["EMT", "energy_rmse_mev_per_atom"]
    assert aligned < raw


def test_the_switch_of_alignment_follows_a_dataset_that_begins_otherwise(store, tmp_path, monkeypatch):
    shutil.copytree(store, tmp_path / "data", symlinks=True)  # a build of its own, for pages remember what they judged
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path / "data"))
    judged = comparability.compatibility()
    judged.loc[judged["dataset_id"] == "fe", "state"] = "yes"
    monkeypatch.setattr(comparability, "compatibility", lambda: judged)
    at = open_app()
    assert at.segmented_control(key="align").value == "per_element"
    at.selectbox(key="dataset").set_value("fe").run()
    assert at.segmented_control(key="align").value == "raw"
    at.segmented_control(key="align").set_value("per_element").run()
    assert at.segmented_control(key="align").value == "per_element"
    at.selectbox(key="dataset").set_value("al-cu").run()
    assert at.segmented_control(key="align").value == "per_element"


def test_a_model_that_was_not_run_on_a_new_dataset_gives_way_and_that_is_said(store, monkeypatch):
    everything = error_metrics.dataset_metrics("raw")
    on_iron = (everything["dataset_id"] == "fe") & (everything["model_id"] == "morse")
    monkeypatch.setattr(error_metrics, "dataset_metrics", lambda alignment: everything[~on_iron])
    monkeypatch.setattr(selection, "_best_model", lambda dataset_id: "emt")
    at = open_app()
    at.selectbox(key="model").set_value("morse").run()
    at.selectbox(key="dataset").set_value("fe").run()
    assert at.selectbox(key="model").value == "emt"
    assert "Morse was not run there: now the best model that was." in text_of(at)
    at.selectbox(key="dataset").set_value("al-cu").run()
    assert at.selectbox(key="model").value == "emt"
    assert "was not run there" not in text_of(at)


def test_noise_of_the_labels_is_said_where_it_was_measured(store):
    sentence = "The DFT labels of Al-Cu are good to about 4.0 meV/atom and 20 meV/Å"
    at = open_app()
    for page in ("overview", "elements", "cost", "datasets"):
        at.switch_page(f"views/{page}.py").run()
        assert sentence in text_of(at), page
    at.selectbox(key="dataset").set_value("fe").run()
    assert "The DFT labels" not in text_of(at)


@pytest.mark.parametrize("page", ["cost", "parity", "elements"])
def test_raw_energies_that_cannot_be_compared_say_why(store, page):
    at = open_app(f"views/{page}.py")
    assert "cannot be compared" not in text_of(at)
    at.segmented_control(key="align").set_value("raw").run()
    if page == "elements":
        at.toggle(key="pooled").set_value(False).run()
    assert not at.exception, at.exception
    assert "use Aligned" in text_of(at)
    assert "on Al-Cu: The model was not fitted to one DFT functional." in text_of(at)


def test_missing_aligned_errors_of_few_configurations_say_why(store):
    warning = "1 offset fitted to 2 configurations leave no error to be seen."
    at = open_app()
    assert warning not in text_of(at)
    at.selectbox(key="dataset").set_value("fe").run()
    assert warning in text_of(at)
    at.segmented_control(key="align").set_value("raw").run()
    assert warning not in text_of(at)


def test_an_element_of_the_address_is_opened(store):
    at = open_app("views/elements.py", el="Al")
    assert "Configurations with Al" in text_of(at)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"group": "gb"}, "group=gb: there is none of that name"),
        ({"atoms": "many"}, "atoms=many: expected lowest:highest"),
        ({"atoms": "1:2"}, "No configuration fits: Al-Cu, 1 to 2 atoms"),
        ({"model": "nobody"}, "model=nobody: there is none of that name"),
    ],
)
def test_what_an_address_asks_in_vain_is_named_and_not_replaced(store, parameters, sentence):
    at = open_app("views/parity.py", **parameters)
    assert not at.exception, at.exception
    assert sentence in text_of(at)
    assert not at.dataframe


@pytest.mark.parametrize("page", ["overview", "elements", "parity", "cost", "uncertainty", "structure", "datasets"])
def test_a_condition_of_the_address_narrows_the_page(store, page):
    at = open_app(f"views/{page}.py", atoms="32:", dataset="al-cu")
    assert not at.exception, at.exception


def test_numbers_of_a_condition_are_those_of_its_configurations(store):
    at = open_app("views/parity.py", atoms="32:")
    assert "of 16, 0 failed" in text_of(at)  # 8 of the 24 cells have a vacancy


def test_an_unknown_element_of_the_address_is_named(store):
    at = open_app("views/elements.py", el="Xx")
    assert not at.exception, at.exception
    assert "el=Xx: there is none of that name" in text_of(at)


def test_an_element_that_only_failed_says_so(store):
    at = open_app()
    at.selectbox(key="model").set_value("emt").run()
    at.query_params["el"] = "Fe"
    at.switch_page("views/elements.py").run()
    assert any("Failed: 2 configurations with Fe" in expander.label for expander in at.expander)


def test_a_dataset_without_ensemble_names_those_that_have_one(store):
    at = open_app()
    at.selectbox(key="dataset").set_value("fe").run()
    at.switch_page("views/uncertainty.py").run()
    assert "Al-Cu" in text_of(at)


def test_an_ensemble_shows_its_rank_correlation_with_n(store):
    at = open_app("views/uncertainty.py")
    within = "Spearman ρ, within one configuration"
    assert [metric.label for metric in at.metric[:4]] == ["Spearman ρ, energy", "Spearman ρ, force", within, "Members"]
    assert "n = 24 configurations" in text_of(at)


def test_forces_of_too_few_atoms_for_quantile_lines_are_drawn(store):
    at = open_app()
    at.segmented_control(key="quantity").set_value("force").run()
    at.switch_page("views/uncertainty.py").run()
    assert not at.exception
    assert at.get("plotly_chart")
    assert "No samples" not in text_of(at)


def test_hardware_and_threads_are_stated_with_the_cost(store):
    at = open_app("views/cost.py")
    assert "CPU, 1 thread, 32 atoms, test machine" in text_of(at)


def test_failures_are_listed_with_reasons(store):
    at = open_app("views/about.py", chapter="Failures")
    assert any("n_failed" in frame.value.columns for frame in at.dataframe)


@pytest.mark.parametrize("chapter", ["Definitions", "Datasets", "Provenance", "Failures", "Paper", "Downloads"])
def test_each_chapter_of_data_and_methods_opens_by_its_address(store, chapter):
    at = open_app("views/about.py", chapter=chapter)
    assert not at.exception, at.exception
    opened = [tab.label for tab in at.tabs if tab.children]
    assert opened == [chapter]


def test_data_that_are_not_here_are_no_zero(store):
    table = table_with(open_app("views/about.py", chapter="Datasets"), "stands_in_for")
    assert table.set_index("dataset_id").loc[["w-g"], "n_configs"].isna().all()


def test_a_ranking_says_on_which_configurations_it_was_made(sampled_store):
    at = open_app()
    at.segmented_control(key="quantity").set_value("force").run()
    assert "100 of 120 configurations" in text_of(at)
    assert "Few (10 of 120)" in text_of(at)
    assert "Fragile (90 of 120, 30 failed)" in text_of(at)
    ranking = table_with(at, "ranks").set_index("label")
    ranks = {"Full": "1–2", "Sample": "1–2", "Few": "–", "Fragile": "–", "Trained §": "–"}  # two clusters part nothing
    assert ranking["ranks"].to_dict() == ranks
    assert "too few" in ranking.loc["Few", "why_no_rank"]
    assert ranking.loc["Full", "n_of"] == "100 of 120"
    at.segmented_control(key="quantity").set_value("energy").run()
    at.segmented_control(key="align").set_value("raw").run()  # the zeros of these models are not the dataset's
    assert table_with(at, "ranks")["ranks"].eq("–").all()


def test_every_model_on_all_of_its_own_configurations_is_a_switch_away(sampled_store):
    at = open_app()
    at.segmented_control(key="on").set_value("own").run()
    ranking = table_with(at, "ranks").set_index("label")
    assert ranking.loc["Full", "n_of"] == "120 of 120"
    assert ranking.loc[ranking["ranks"] != "–", "ranks"].to_dict() == {"Full": "1"}


def test_models_to_compare_are_compared_on_what_they_share(sampled_store):
    at = open_app()
    at.selectbox(key="model").set_value("full")
    at.multiselect(key="compare").set_value(["sample"])
    at.segmented_control(key="quantity").set_value("force")
    at.run().switch_page("views/parity.py").run()
    assert not at.exception, at.exception
    side_by_side = table_with(at, "n_of").set_index("label")
    assert side_by_side["force_rmse_mev_per_ang"].to_dict() == pytest.approx({"Full": 100.0, "Sample": 200.0})
    at.switch_page("views/elements.py").run()
    assert "100 configurations" in text_of(at)


def test_a_whole_job_takes_steps_times_atoms_times_the_cost(store):
    at = open_app("views/cost.py", job_atoms="32", job_steps="1000")
    (table,) = [
        frame.value for frame in at.dataframe if "Time" in map(str, frame.value.columns) or "time" in frame.value
    ]
    cheapest = table.iloc[0]
    seconds = 1e-3 * cheapest["ms_per_atom"] * 32 * 1000
    assert cheapest["time"] == duration(seconds)


def test_the_front_of_cost_and_error_leaves_out_what_is_not_ranked(sampled_store):
    at = open_app("views/cost.py")
    assert "Not ranked, since they share too few or failed on too many: Few (10 of 120)" in text_of(at)


def test_an_ensemble_says_of_how_many_configurations(store):
    assert "n = 24 configurations" in text_of(open_app("views/uncertainty.py"))


def test_a_model_has_a_page_with_its_numbers_failures_and_origin(store):
    at = open_app("views/model.py", id="emt")
    assert [title.value for title in at.title] == ["EMT"]
    assert "**2 configurations** failed, for 1 reason." in text_of(at)
    assert table_with(at, "n_expected").set_index("dataset_label")["n_configs"].to_dict() == {"Al-Cu": 24, "Fe": 0}
    assert table_with(at, "element")["element"].tolist()[-1] == "Fe"  # without a result, so last
    origin = table_with(at, "dtype").iloc[0]
    assert origin[["origin", "source", "dtype", "options"]].tolist() == ["computed", "", "float64", "asap = True"]
    assert table_with(at, "us_per_atom_step").iloc[0, 0] == pytest.approx(0.01)  # 10 µs, shown in ms


def test_a_model_that_cannot_run_says_why_and_shows_no_numbers(sampled_store):
    at = open_app("views/model.py", id="absent")
    assert not at.exception, at.exception
    assert "No weights: ask their owner." in text_of(at)
    assert not at.dataframe


def test_a_model_that_was_never_run_names_the_commands(store):
    at = open_app("views/model.py", id="chgnet-0.3.0")
    assert "python -m precompute run --model chgnet-0.3.0" in text_of(at)


def test_an_unknown_model_of_the_address_gives_the_list(store):
    at = open_app("views/model.py", id="none")
    assert "No model 'none'" in text_of(at)
    assert len(table_with(at, "n_parameters")) > 40


def test_coverage_opens_below_the_list_of_models(store):
    at = open_app("views/model.py", covered="true")
    assert not at.exception, at.exception
    assert table_with(at, "why")["n_configs"].max() == 24


def test_models_can_be_searched_and_filtered(sampled_store):
    at = open_app("views/model.py")
    at.text_input(key="find").set_value("mptrj FU").run()
    assert table_with(at, "n_parameters")["model_id"].tolist() == ["full"]
    at.text_input(key="find").set_value("").run()
    at.segmented_control(key="state").set_value("cannot-run").run()
    assert table_with(at, "n_parameters")["model_id"].tolist() == ["absent"]
    at.multiselect(key="family").set_value([])
    at.toggle(key="paper").set_value(True)
    at.segmented_control(key="state").set_value("numbers").run()
    assert "No model fits" in text_of(at)


def test_a_model_chosen_by_name_is_in_the_address(sampled_store):
    at = open_app("views/model.py")
    at.selectbox(key="open").set_value("sample").run()
    assert at.query_params["id"] in ("sample", ["sample"])
    assert [title.value for title in at.title] == ["Sample"]


@pytest.mark.parametrize("page", ["model", "about", "predict", "claims"])
def test_a_page_that_does_not_heed_the_conditions_says_so(store, page):
    at = open_app(f"views/{page}.py", atoms="32:")
    assert not at.exception, at.exception
    assert "heed the conditions at the left: at least 32 atoms." in text_of(at)
    assert "heed the conditions" not in text_of(open_app(f"views/{page}.py"))


def test_the_quantity_of_an_address_is_named_as_the_sidebar_shows_it(store):
    assert "data version" in text_of(open_app("views/overview.py", quantity="Force"))
    assert "only Energy, Force" in text_of(open_app("views/overview.py", quantity="stress"))


def test_the_store_is_never_written_by_the_app(store):
    before = (store / "results-test.duckdb").stat().st_mtime_ns
    open_app("views/parity.py")
    assert (store / "results-test.duckdb").stat().st_mtime_ns == before


def test_a_dataset_shows_its_groups_card_and_export(store):
    at = open_app("views/datasets.py", structures="true")
    at.selectbox(key="dataset").set_value("al-cu").run()
    assert not at.exception, at.exception
    assert [title.value for title in at.title] == ["Datasets: Al-Cu"]
    groups = table_with(at, "composition").set_index("group_name")
    assert groups["n_configs"].to_dict() == {"rattled": 16, "vacancy": 8, "dimer": 1}
    assert groups["in_dataset"].to_dict() == {"rattled": True, "vacancy": True, "dimer": False}
    assert table_with(at, "n_datasets").set_index("element")["n_configs"].to_dict() == {"Al": 12, "Cu": 12, "Fe": 2}
    assert "Jacobsen et al." in text_of(at)
    assert "its own" in text_of(at)
    assert "spin not stated, +U not stated" in text_of(at)


def test_a_structure_says_which_raw_energies_cannot_be_compared(store):
    at = open_app("views/structure.py")
    assert not at.exception, at.exception
    assert "Raw energies of any model here cannot be compared with the reference" in text_of(at)


def test_a_dataset_that_is_not_here_says_why(store):
    at = open_app("views/datasets.py")
    at.selectbox(key="dataset").set_value("gb-56").run()
    assert "GB-56 is not here" in text_of(at)
    assert "Not public" in text_of(at)
    at.switch_page("views/overview.py").run()
    assert not at.exception, at.exception
    assert at.selectbox(key="dataset").value in ("al-cu", "fe")


@pytest.mark.parametrize("part", ["contents", "alignment", "compatibility"])
@pytest.mark.parametrize("dataset_id", ["fe", "gb-56"])
def test_every_part_of_every_dataset_renders(store, part, dataset_id):
    at = open_app("views/datasets.py")
    at.selectbox(key="dataset").set_value(dataset_id)
    at.segmented_control(key="part").set_value(part).run()
    assert not at.exception, at.exception


def test_what_alignment_changed_is_a_table(sampled_store):
    at = open_app("views/datasets.py")
    at.segmented_control(key="part").set_value("alignment").run()
    ranks = table_with(at, "rank_aligned").set_index("label")
    assert ranks[["rank_raw", "rank_aligned"]].T.to_dict("list") == {"Full": ["1–2"] * 2, "Sample": ["1–2"] * 2}
    offsets = table_with(at, "W").set_index("label")
    assert offsets.loc["Sample", ["Mo", "W"]].tolist() == pytest.approx([200.0, 200.0])  # meV/atom


def test_pairs_that_cannot_be_compared_say_why(store):
    at = open_app("views/datasets.py")
    at.segmented_control(key="part").set_value("compatibility").run()
    reasons = table_with(at, "state_reason").set_index("label")
    assert reasons.loc["EMT", "state"] == "✕ only aligned"
    assert "not fitted to one DFT functional" in reasons.loc["EMT", "state_reason"]


def test_the_ranking_says_why_raw_energies_cannot_be_compared(store):
    at = open_app()
    assert "why_not" not in table_with(at, "ranks").columns
    at.segmented_control(key="align").set_value("raw").run()
    assert table_with(at, "ranks")["why_not"].str.len().gt(0).all()


def test_timings_of_several_occasions_are_said_to_be_so():
    timings = pd.DataFrame({"occasion": ["a", "a", "2026-01-01"], "yardstick_ms": [30.0, 31.0, None]})
    assert "2 occasions (2 on a, 1 on 2026-01-01)" in wording.occasions_note(timings)
    assert "1 of them have no yardstick timed with them" in wording.occasions_note(timings)
    assert wording.occasions_note(timings.iloc[:2]) == ""


def test_structure_begins_with_the_worst_forces_and_says_its_order(store):
    at = open_app("views/structure.py", model="emt", dataset="al-cu")
    worst = {
        quantity: configurations.worst_configurations("emt", Scope.of("al-cu"), quantity, "raw")["config_id"].tolist()
        for quantity in ("force", "energy")
    }
    assert worst["force"][0] != worst["energy"][0]
    listed = next(box for box in at.selectbox if box.label == "Configuration, worst force of 24 first")
    assert (at.query_params["cfg"], listed.value) == (worst["force"][0], worst["force"][0])
    assert listed.options[0].startswith(f"1. {worst['force'][0]}")
    at.segmented_control(key="order").set_value("energy").run()
    listed = next(box for box in at.selectbox if box.label.startswith("Configuration, worst energy"))
    assert listed.options[0].startswith(f"1. {worst['energy'][0]}")
    assert listed.value == worst["force"][0]  # another order is no other structure
    linked = open_app("views/structure.py", dataset="al-cu", cfg=worst["energy"][-1], quantity="Energy")
    assert linked.title[0].value == f"Structure: {worst['energy'][-1]}"
