"""Uploads on the Predict page: what was understood is shown, refusals are one sentence, nothing is read twice."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.structures.parts import plain
from engine.readers import sandbox

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "tests" / "fixtures" / "cases"


@pytest.fixture
def page(store) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60).run()
    return at.switch_page("views/predict.py").run()


def given(page: AppTest, name: str, data: bytes | None = None) -> AppTest:
    """The page after a file was chosen."""
    content = (CASES / name).read_bytes() if data is None else data
    return page.file_uploader(key="upload").set_value((name, content, "text/plain")).run()


def text(page: AppTest) -> str:
    return " ".join(element.value for element in [*page.markdown, *page.error]).replace("\\", "")


def test_the_page_shows_what_was_understood_of_a_cif(page):
    shown = text(given(page, "w-vacancy-p1.cif"))

    assert "CIF in P 1, from the 1 operation listed: W15 in the cell" in shown
    assert "periodic, 6.34 × 6.34 × 6.34 Å" in shown


def test_the_page_warns_of_a_cluster(page):
    at = given(page, "cp2k-pos-1.xyz")

    (lines,) = (element.value for element in at.markdown if "not periodic" in element.value)
    assert ":orange[:material/warning:] **Cell** not periodic" in lines


def test_a_refusal_is_one_sentence_and_no_error_page(page):
    at = given(page, "XDATCAR")

    assert "3 structures" in text(at)
    assert not at.exception


@pytest.mark.parametrize(
    ("name", "data"),
    [("..", b"2\n\nW 0 0 0\nW 0 0 2.5\n"), ("w.xyz", b"9" * 4300), ("a.cif", b"data_a\n_cell_angle_alpha 0\n")],
)
def test_odd_names_and_numbers_give_no_error_page(page, name, data):
    assert not given(page, name, data).exception


@pytest.mark.parametrize("name", ["ta-hall.cif", "alloy-mixed-label.cif"])
def test_a_file_is_read_once_however_often_the_page_runs(page, name, monkeypatch):
    asked = []
    ask = sandbox._ask
    monkeypatch.setattr(sandbox, "_ask", lambda name, data: asked.append(name) or ask(name, data))
    at = given(page, name, (CASES / name).read_bytes() + b"\n# read once\n")

    at.run()
    at.run()

    assert asked == [name]


def test_an_atom_of_4300_digits_in_the_address_gives_no_error_page(store):
    at = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60).run()
    at.query_params["atom"] = "9" * 4300

    assert not at.switch_page("views/predict.py").run().exception


def test_text_of_a_file_is_shown_as_it_is():
    assert plain("![x](http://a.b)") == r"\!\[x\]\(http\://a.b\)"
