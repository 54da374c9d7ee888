"""Conditions at the left: every page heeds them or says that it does not, and the address carries them."""

import pytest

from app import conditions, search
from app.main import PAGES
from engine.errors import ScopeError
from engine.queries.scope import Scope
from tests.app.opening import open_app, open_tables, start_at, text_of

UNHEEDED = (
    "views/advisor.py",  # it has conditions of its own
    "views/predict.py",
    "views/learning.py",  # its clusters are tested whole
    "views/claims.py",
    "views/about.py",
    "views/sql.py",
)  # nothing of the others is about configurations

WORDS = "**8 of 24** configurations: vacancy"

KINDS = conditions.key("kinds")


def numbers_of(at):
    """All numbers in the tables of a page and in its headline."""
    tables = [frame.value.select_dtypes("number").round(9).to_csv() for frame in open_tables(at).dataframe]
    return tables + [metric.value for metric in at.metric]


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_every_page_heeds_a_narrowed_scope_or_says_that_it_does_not(store, entry):
    at = open_app(entry.file, kinds="vacancy", id="emt")
    assert not at.exception, at.exception
    assert WORDS in text_of(at)
    assert at.query_params["kinds"] in ("vacancy", ["vacancy"])
    if entry.file in UNHEEDED:
        assert "heed the conditions at the left: vacancy." in text_of(at)
    else:
        whole = open_app(entry.file, id="emt")
        assert WORDS not in text_of(whole)
        assert numbers_of(at) != numbers_of(whole) or not numbers_of(whole)


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_every_page_renders_a_narrowed_summary(summary_store, entry):
    at = open_app(entry.file, kinds="vacancy", forces="0.001:", energy=":2", atoms="31:", elements="Cu")
    assert not at.exception, at.exception


def test_an_address_fills_the_widgets_and_the_widgets_fill_the_address(store):
    at = start_at(kinds="vacancy", elements="Cu", atoms="8:64")
    assert at.multiselect(key=KINDS).value == ["vacancy"]
    assert at.multiselect(key=conditions.key("elements")).value == ["Cu"]
    assert at.text_input(key=conditions.key("atoms")).value == "8:64"
    assert "**4 of 24** configurations: vacancy, with Cu, 8 to 64 atoms" in text_of(at)
    at.multiselect(key=KINDS).set_value(["displaced"])
    at.text_input(key=conditions.key("atoms")).set_value("").run()
    assert at.query_params["kinds"] in ("displaced", ["displaced"])
    assert "atoms" not in at.query_params
    assert "**8 of 24** configurations: displaced, with Cu" in text_of(at)


def test_a_page_without_conditions_keeps_those_of_the_page_before_and_a_link_replaces_them(store):
    at = start_at(kinds="vacancy")
    at.query_params.clear()
    at.switch_page("views/parity.py").run()
    assert at.multiselect(key=KINDS).value == ["vacancy"]
    assert at.query_params["kinds"] in ("vacancy", ["vacancy"])
    at.query_params["kinds"] = ["displaced"]
    at.switch_page("views/overview.py").run()
    assert at.multiselect(key=KINDS).value == ["displaced"]


def test_what_streamlit_forgets_on_the_way_to_another_page_is_given_back(monkeypatch):
    # As st.switch_page leaves the state: of widgets that nobody touched there is none, `kinds` was set by a click.
    state = {"conditions_in_force": {"kinds": ["surface"], "elements": ["Cu"], "atoms": ["31:"]}}
    monkeypatch.setattr(conditions.st, "session_state", state | {conditions.key("kinds"): ["vacancy"]})
    conditions._restore()
    assert conditions.parameters() == {"kinds": ["vacancy"], "elements": ["Cu"], "atoms": ["31:"]}


def test_all_conditions_can_be_removed_at_once(store):
    at = start_at(kinds="vacancy", forces="0.1:")
    next(button for button in at.button if button.label == "Remove all conditions").click().run()
    assert "of 24** configurations" not in text_of(at)
    assert not {"kinds", "forces"} & set(at.query_params)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"kinds": "vacancies"}, "kinds=vacancies: there is none of that name"),
        ({"elements": "Xx"}, "elements=Xx"),
        ({"atoms": "many"}, "expected lowest:highest"),
        ({"kinds": "liquid"}, "No configuration fits"),
        ({"elements": "Fe"}, "Datasets that have some: Fe (2)"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence_and_can_be_mended(store, asked, named):
    at = start_at(**asked)
    assert not at.exception, at.exception
    assert named in text_of(at)
    at.multiselect(key=KINDS).set_value(["vacancy"])
    at.multiselect(key=conditions.key("elements")).set_value([])
    at.text_input(key=conditions.key("atoms")).set_value("").run()
    assert WORDS in text_of(at)


def test_a_window_that_a_dataset_has_no_values_for_is_no_choice(store, monkeypatch):
    monkeypatch.setattr(conditions, "_has_values", lambda _dataset_id, column: column != "force_rms")
    at = start_at()
    assert at.text_input(key=conditions.key("forces")).disabled
    assert "has no such reference values here" in text_of(at)


def test_a_scope_without_configurations_names_datasets_that_have_some(store):
    with pytest.raises(ScopeError, match="Al-Cu"):
        conditions.say_left(Scope.of("fe", kinds=("vacancy",)))


def test_the_page_of_kinds_names_the_best_model_of_each_and_pools_datasets(crystal_store):
    at = open_app("views/defects.py", dataset="formation")
    text = text_of(at)
    assert "**Vacancy** energies (aligned per element): Near" in text
    assert "forces: Near, 100 meV/Å (95 %: 100 – 100; not told apart from 1 of 2 others)" in text
    assert "over 8 configurations of Formation" in text
    assert "**Bulk**" in text
    pooled = open_app("views/defects.py", over="pooled")
    pooled.multiselect(key="pool").set_value(["formation", "plain"]).run()
    assert not pooled.exception, pooled.exception
    assert "over 3 configurations of Formation, Plain" in text_of(pooled)


def test_the_search_knows_words_of_every_page():
    assert set(search.WORDS) == {entry.url_path for entry in PAGES if entry.is_listed}


def test_the_search_links_to_what_the_words_mean(store):
    at = start_at()
    at.text_input(key="search").set_value("copper vacancy").run()
    assert not at.exception, at.exception
    labels = [link.proto.label for link in at.get("page_link")]
    assert "Vacancy with Cu" in labels
    assert "Al-Cu (4)" in labels
    at.text_input(key="search").set_value("qwertz").run()
    assert "Nothing is called" in text_of(at)
