"""Every statement leads to a page, and what it leads to has content."""

import json

import pytest

from app.main import PAGES
from app.sections.claim_views import NO_FIGURE, PAGE_OF_FIGURE, view_of
from engine.data_folder import DataFolder
from engine.queries.claims import claims
from engine.registry.claims import OWN, PAPER, load_claims
from tests.app.opening import open_link, text_of

NOT_HERE = "The address asks for something that is not here"


def views() -> dict[str, tuple[str, dict[str, list[str]], list[str]]]:
    """Different views of all statements of the present store, with the statements that lead there."""
    found: dict[str, tuple[str, dict[str, list[str]], list[str]]] = {}
    for name in (PAPER, OWN):
        for _, claim in claims(name).iterrows():
            view = view_of(claim)
            key = view.page + json.dumps(view.parameters, sort_keys=True)
            found.setdefault(key, (view.page, view.parameters, []))[2].append(str(claim["claim_id"]))
    return found


def test_every_figure_of_a_statement_has_a_page():
    figures = {claim.figure for claim in load_claims().values() if claim.figure}
    assert figures == set(PAGE_OF_FIGURE)
    assert {f"views/{page}.py" for page in (*PAGE_OF_FIGURE.values(), NO_FIGURE)} <= {entry.file for entry in PAGES}


def test_a_statement_with_numbers_leads_to_them_and_any_other_to_its_figure():
    measured = {"page": "ranking", "address": '{"union": ["w-g"], "zero": ["raw"]}', "figure": "Figure 5"}
    assert view_of(measured).parameters == {"union": ["w-g"], "zero": ["Raw"]}
    view = view_of({"page": None, "address": None, "figure": "Figure 7"})
    assert (view.page, view.label) == ("views/cost.py", "See what is here of figure 7")
    assert view_of({"page": "", "address": "", "figure": ""}).page == "views/about.py"


def test_forces_of_a_summary_are_shown_where_they_need_no_atoms(summary_store):
    address = {"dataset": ["al-cu"], "quantity": ["force"], "model": ["emt"]}
    claim = {"page": "parity", "address": json.dumps(address), "figure": ""}
    assert view_of(claim).page == "views/overview.py"
    assert view_of(claim | {"address": json.dumps(address | {"quantity": ["energy"]})}).page == "views/parity.py"


@pytest.fixture
def demo(monkeypatch):
    """The store of the data folder, such as `make demo` builds it."""
    if not DataFolder.default().store.is_file():
        pytest.skip("no built store; run: make demo")


def test_every_link_of_the_built_store_opens_a_page_with_content(demo):
    empty = []
    for page, parameters, claim_ids in views().values():
        at = open_link(page, parameters)
        has_content = bool(at.get("plotly_chart") or at.dataframe)
        dataset = parameters.get("dataset", [at.selectbox(key="dataset").value])
        if at.selectbox(key="dataset").value != dataset[0]:
            empty.append((page, parameters, claim_ids))
        if at.exception or NOT_HERE in text_of(at) or not has_content:
            empty.append((page, parameters, claim_ids))
    assert empty == []
