import re

import pytest

from app.main import PAGES
from engine.registry.claims import UNTESTED, VERDICTS
from engine.store.builder import StoreBuilder
from engine.store.claims import measure_claims
from tests.app.opening import APP, open_app, open_whole, table_with, text_of
from tests.conftest import build_store

PAGE = "views/claims.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store with statements, on the numbers of the small store."""
    folder = tmp_path_factory.mktemp("claims")
    fill = StoreBuilder.finish

    def finish(builder):
        builder.add_claims(measure_claims(builder.connection))
        fill(builder)

    StoreBuilder.finish = finish
    try:
        build_store(folder)
    finally:
        StoreBuilder.finish = fill
    return folder


@pytest.fixture
def claims_store(folder, monkeypatch):
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(folder))


def _verdicts(at):
    """Verdicts of the statements of the paper that the page shows, from its table."""
    return table_with(at, "verdict")["verdict"].tolist()


def test_what_disagrees_comes_first(claims_store):
    at = open_app(PAGE)
    assert not at.exception
    found = _verdicts(at)
    assert len(found) == 116
    assert found == sorted(found, key=VERDICTS.index)
    assert ":red-badge" in next(m.value for m in at.markdown if "-badge" in m.value)


def test_filters_and_search_narrow_the_statements(claims_store):
    at = open_app(PAGE)
    at.selectbox(key="figure").set_value("Table 2").run()
    assert "54,084" in text_of(at)
    assert 1 < len(_verdicts(at)) < 10
    at.selectbox(key="figure").set_value("all")
    at.selectbox(key="verdict").set_value(UNTESTED).run()
    assert set(_verdicts(at)) == {UNTESTED}
    at.text_input(key="find").set_value("nothing like it").run()
    assert "No statement fits" in text_of(at)


def test_contradictions_and_own_findings_are_lists_of_their_own(claims_store):
    text = text_of(open_whole(PAGE))
    assert "These are not in the paper." in text
    assert "rows of Table 2 add up to 44,645" in text


def test_the_page_of_every_finding_exists(claims_store):
    source = "".join(path.read_text() for path in (APP.parent / "engine/store").glob("*_measures.py"))
    pages = set(re.findall(r'view\(measure, "(\w+)"', source))
    pages |= set(re.findall(r'"([\w-]+)", address', source))
    assert {"defect_energies", "elements"} <= pages
    pages |= {"parity", "cost", "about", "model", "ranking"}
    assert {f"views/{name}.py" for name in pages} <= {entry.file for entry in PAGES}


def test_data_and_methods_leads_to_the_statements(store):
    at = open_app("views/about.py", chapter="Paper")
    assert "The page Claims has the paper's statements" in text_of(at)


def test_a_store_without_statements_says_so(store):
    assert "No statement was measured" in text_of(open_app(PAGE))
