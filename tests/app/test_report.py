"""Figures to print, the basket, and the report's files."""

import csv
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image
from pypdf import PdfReader

from app import export, furniture
from app.figures import base, structure_drawings
from app.main import PAGES
from app.report import basket, bundle, citations, columns, document, layout, renderer
from engine.queries import catalog
from engine.queries.configurations import configuration
from tests.app.opening import open_app, open_whole, text_of

ROOT = Path(__file__).resolve().parents[2]
NEEDS_CHROMIUM = pytest.mark.skipif(
    renderer.browser() is None, reason="no Chromium on this machine; Debian: apt-get install chromium"
)
POINT = 96 / 72  # px
MM = 96 / 25.4  # px


def _figure(ink: base.Ink = base.LIGHT) -> go.Figure:
    """A figure with what is hard in print: a small and a large text, points of WebGL, signs beyond ASCII."""
    figure = base.base_figure(ink, "A title", "Model: emt", 420)
    figure.add_trace(go.Scattergl(x=[1, 2], y=[1, 2], name="one † ‡ ρ", mode="markers"))
    figure.add_trace(go.Heatmap(z=[[1, 2], [3, 4]], colorbar={"title": {"text": "|ΔF| (meV/Å)"}}))
    figure.add_annotation(text="large and <span style='font-size:8px'>small</span>", x=1, y=1, font={"size": 30})
    figure.update_layout(
        showlegend=True, xaxis_title_text="A title of an axis that is longer than 85 mm can hold, " * 2
    )
    return figure


def _item(title: str = "A title", structure: str = "") -> basket.Item:
    return basket.Item(
        title, f"{title}. n = 2.", "parity", "model=emt", ("emt",), ("al-cu",), "v1", basket.figure_text(_figure()),
        "# A title\na,b\n1,2\n", layout.widths_of(_figure()), structure,
    )  # fmt: skip


def _sizes(node: object, key: str = "") -> list[float]:
    """Sizes of text in a figure, px: of fonts, and in styles of texts."""
    if isinstance(node, dict):
        own = [node["size"]] if "font" in key and isinstance(node.get("size"), int | float) else []
        return own + [size for name, value in node.items() for size in _sizes(value, name)]
    if isinstance(node, list):
        return [size for value in node for size in _sizes(value, key)]
    return [float(size) for size in re.findall(r"font-size:([\d.]+)px", node)] if isinstance(node, str) else []


@pytest.mark.parametrize("width", layout.WIDTHS)
def test_text_in_print_has_seven_to_nine_points_and_the_title_goes_to_the_caption(width):
    found = layout.for_print(_figure(), width)
    sizes = [size / POINT for size in _sizes(found)]
    assert len(sizes) > 5
    assert min(sizes) == pytest.approx(7.0, abs=0.01)
    assert max(sizes) == pytest.approx(9.0, abs=0.01)
    assert found["layout"]["width"] / MM == pytest.approx(width, abs=0.05)
    assert [note.get("name") for note in found["layout"]["annotations"]] == [None]
    assert not found["layout"]["title"].get("text")
    assert found["data"][0]["type"] == "scatter"
    assert "<br>" in found["layout"]["xaxis"]["title"]["text"]


def test_a_figure_that_is_too_wide_for_a_column_is_printed_over_two():
    figure = _figure()
    base.set_least_width(figure, 900)
    assert layout.widths_of(figure) == (180,)
    assert layout.widths_of(_figure()) == (85, 180)


def test_a_figure_from_the_basket_is_printed_like_the_one_of_its_page():
    assert layout.for_print(_item().drawn(), 85) == layout.for_print(_figure(), 85)


def test_units_are_in_the_names_of_columns():
    table = pd.DataFrame({"force_rmse_mev_per_ang": [1.0], "reference": [2.0], "error": [3.0], "n_configs": [4]})
    found = columns.named(table, "parity", "Force residual: EMT on Al-Cu")
    assert list(found) == ["force_rmse_mev_per_ang", "reference_ev_per_ang", "error_ev_per_ang", "n_configs"]
    found = columns.named(table, "parity", "Energy residual, raw: EMT on Al-Cu")
    assert list(found)[1:3] == ["reference_ev_per_atom", "error_ev_per_atom"]
    live = pd.DataFrame({"energy": [1.0], "energy_per_atom": [0.1], "force_rmse": [63.0], "moved": [0.1]})
    expected = ["energy_ev", "energy_ev_per_atom", "force_rmse_mev_per_ang", "moved_ang"]
    assert list(columns.named(live, "predict", "Live single point of a.vasp")) == expected
    energies = pd.DataFrame({"kind": ["vacancy"], "reference": [1.0], "error": [0.1], "unit": ["eV"]})
    assert list(columns.named(energies, "defect-energies", "Vacancies")) == ["kind", "reference_ev", "error_ev"]


PURE = re.compile(
    r"n|n_.*|batch|.*_?rank(_lo|_hi)?|count|from|to|atom|atom_index|paper_row|.*slope|win_rate.*|spearman.*|sign_.*|cancellation"
    r"|coverage|held_out.*|by_kind|by_config|share|x|y|.*noise_share|rows?|columns?|yardstick_ms|position|auroc.*|rank_change"
)
"""Columns without a unit, those whose unit another column names, and places on a map."""


def test_a_title_is_no_markup_and_a_text_no_formula_in_files_for_others():
    origin = export.Provenance("p", "<script>alert(1)</script>", ("emt",), ("w-g",), "1 row", "v")
    page = export.to_html(lambda ink: go.Figure(go.Scatter(x=[1], y=[1], text="</script><b>")), origin).decode()
    assert "<title>&lt;script&gt;alert(1)&lt;/script&gt;</title>" in page
    assert "</script><b>" not in page
    table = pd.DataFrame({"group": ["=HYPERLINK(1)", "@x", "+1", "-2", "\tx", "plain"], "energy": [-1.0] * 6})
    rows = list(csv.reader(io.StringIO(export.to_csv(table, origin).decode())))
    assert [row[0] for row in rows[-6:]] == ["'=HYPERLINK(1)", "'@x", "'+1", "'-2", "'\tx", "plain"]
    assert {row[1] for row in rows[-6:]} == {"-1.0"}


def test_every_number_behind_a_figure_has_its_unit_in_its_name(store, monkeypatch):
    seen = []
    drawn = furniture.figure
    monkeypatch.setattr(furniture, "figure", lambda *a, **k: (seen.append((a[1], a[2])), drawn(*a, **k))[1])
    for entry in PAGES:
        open_whole(entry.file)
    assert len(seen) > 20
    lacking = set()
    for table, origin in seen:
        found = columns.named(table, origin.page, origin.title)
        has_unit_column = {"unit", "what", "kind_of_value"} & set(found.columns)
        for name in found.select_dtypes("number"):
            is_named = any(name.endswith(slug) or f"_{slug}_" in name for slug in columns._SLUGS.values())
            if not is_named and not PURE.fullmatch(name) and not has_unit_column:
                lacking.add((origin.page, name))
    assert lacking == set()


def test_a_caption_has_n_definition_alignment_and_version(store):
    origin = export.Provenance(
        "parity", "Energy RMSE, aligned per element: EMT", ("emt",), ("al-cu",), "24 configurations", "v1", "Somebody."
    )
    text = export.caption(origin, pd.DataFrame({"energy_rmse_mev_per_atom": [1.0]}))
    assert "n = 24 configurations." in text
    assert "Models: EMT." in text
    assert "Reference data: Al-Cu." in text
    assert "Energy RMSE: Root mean square over configurations" in text
    assert "offset per element on all other configurations" in text
    assert "Source of the reference data: Somebody." in text
    assert "data version v1" in text


def test_references_come_from_the_registry(store):
    text = citations.bibtex(["chgnet-0.3.0", "mace-mp-0-large"], ["w-g", "hea25"])
    assert "@misc{model:chgnet-0.3.0,\n  title = {{CHGNet 0.3.0}}" in text
    assert "doi = {10.1038/s42256-023-00716-3}" in text
    assert "eprint = {2401.00096}" in text
    assert "doi = {10.1038/s41524-025-01599-1}" in text
    assert "year = {2025}" in text
    assert "eprint = {2212.13254}" in text
    assert text.count("@misc{") == 4
    for row in catalog.datasets().itertuples():  # every entry is balanced, whatever its citation says
        entry = citations.bibtex([], [row.dataset_id]).replace("\\{", "").replace("\\}", "")
        assert entry.count("{") == entry.count("}") > 2


def test_licences_name_models_data_and_font(store):
    text = citations.licences(["emt"], ["al-cu"])
    assert "EMT: LGPL-2.1 (https://ase-lib.org)" in text
    assert "Al-Cu: MIT" in text
    assert "Bitstream Vera" in text


def test_the_archive_without_pictures_is_the_same_each_time(store):
    entries = [bundle.Entry(_item(), 85), bundle.Entry(_item("A cell", "2\n\nAl 0 0 0\n"), 85)]
    first, second = (bundle.archive(entries, "Report", with_images=False) for _ in range(2))
    assert first == second
    names = zipfile.ZipFile(io.BytesIO(first)).namelist()
    assert "report/figures/01-a-title.csv" in names
    assert "report/structures/02-a-cell.extxyz" in names
    assert {"report/captions.md", "report/references.bib", "report/LICENCES.txt", "report/report.html"} <= set(names)


def test_the_html_needs_no_network(store):
    page = document.page([_item()], "Report <b>")
    assert "Report &lt;b&gt;" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"http", page)
    assert page.count("<figure>") == 1


_ARCHIVE = """
import pickle, sys
from app.report import bundle
entries = pickle.load(open(sys.argv[1], "rb"))
open(sys.argv[2], "wb").write(bundle.archive(entries, "Report", with_images=True))
"""


@NEEDS_CHROMIUM
def test_two_processes_draw_the_same_bytes_and_the_pictures_are_to_print(store, tmp_path):
    import pickle

    c = configuration("al-cu", "al-03")
    cell = structure_drawings.projection(
        c.numbers, c.positions, c.cell, base.LIGHT, "A cell", "source", values=c.positions[:, 0], label="x (Å)", top=4.0
    )
    drawn = basket.Item(
        "A cell", "A cell.", "structure", "", (), ("al-cu",), "v1", basket.figure_text(cell), "a\n1\n", (85,), "x"
    )
    entries = [bundle.Entry(_item(), 85), bundle.Entry(_item(), 180), bundle.Entry(drawn, 85)]
    (tmp_path / "entries").write_bytes(pickle.dumps(entries))
    files = []
    for number in range(2):
        command = [sys.executable, "-c", _ARCHIVE, str(tmp_path / "entries"), str(tmp_path / f"{number}.zip")]
        subprocess.run(command, cwd=ROOT, check=True, timeout=300)
        archive = zipfile.ZipFile(tmp_path / f"{number}.zip")
        files.append({name: archive.read(name) for name in archive.namelist()})
    assert files[0].keys() == files[1].keys()
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []
    for place, width in ((1, 85), (2, 180)):
        name = f"report/figures/{place:02d}-a-title"
        _check_svg(files[0][f"{name}.svg"].decode(), width)
        _check_pdf(files[0][f"{name}.pdf"], width)
        _check_png(files[0][f"{name}.png"], width)
    assert "data:font/ttf" in files[0]["report/structures/03-a-cell.svg"].decode()


def _check_svg(svg: str, width: int) -> None:
    """Size in mm, text of 7 to 9 points in one font that is inside."""
    found = re.search(r'<svg [^>]*?width="([\d.]+)mm"', svg, re.DOTALL)
    assert float(found[1]) == pytest.approx(width, abs=0.05)
    sizes = [float(size) / POINT for size in re.findall(r"font-size:\s*([\d.]+)px", svg)]
    assert min(sizes) >= 6.99
    assert max(sizes) <= 9.01
    used = {name.replace("&quot;", "").strip("'\" ") for name in re.findall(r"font-family:\s*([^;{}]+);", svg)}
    assert used == {layout.FONT}
    assert "url(data:font/ttf;base64," in svg
    assert "<image" in svg  # the heat map
    assert len(re.findall(r'class="point"', svg)) == 2  # and vectors of what was WebGL


def _check_pdf(content: bytes, width: int) -> None:
    """One page of the size, all fonts inside, no date of today."""
    pages = PdfReader(io.BytesIO(content)).pages
    assert len(pages) == 1
    assert float(pages[0].mediabox.width) / 72 * 25.4 == pytest.approx(width, abs=0.2)
    fonts = [one.get_object() for one in pages[0]["/Resources"]["/Font"].values()]
    assert fonts
    for font in fonts:
        assert "DejaVuSans" in font["/BaseFont"]
        about = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
        assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(about["/FontDescriptor"].get_object())
    assert content.count(b"(D:20000101000000+00'00')") == 2


def _check_png(content: bytes, width: int) -> None:
    """300 dots an inch at the width, on white."""
    picture = Image.open(io.BytesIO(content))
    assert picture.width == round(width / 25.4 * 300)
    assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert picture.getpixel((1, 1)) == (255, 255, 255)


@NEEDS_CHROMIUM
def test_a_drawing_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(renderer, "START_SECONDS", 0.2)
    monkeypatch.setattr(renderer, "JOB_SECONDS", 0.1)
    with pytest.raises(renderer.RenderingError, match="took longer"):
        renderer.render([renderer.Job(layout.for_print(_figure(), 85), "svg")])
    assert not renderer._ONE_AT_A_TIME.locked()


def test_without_chromium_one_sentence_names_the_command_and_the_rest_works(store, monkeypatch):
    monkeypatch.setattr(renderer, "browser", lambda: None)
    at = open_app("views/parity.py")
    assert not at.exception, at.exception
    assert "apt-get install chromium" in text_of(at)
    with pytest.raises(renderer.RenderingError, match="apt-get install chromium"):
        renderer.render([renderer.Job({}, "svg")])
    at = open_app("views/report.py")
    at.session_state["basket"] = [_item()]
    at.run()
    assert "The ZIP then has data, captions, HTML, BibTeX and licences." in text_of(at)
    next(button for button in at.button if button.label == "Build the ZIP").click().run()
    assert not at.exception, at.exception
    names = zipfile.ZipFile(io.BytesIO(at.session_state["report-zip"][1])).namelist()
    assert not any(name.endswith(".svg") for name in names)
    assert "report/report.html" in names


def test_a_figure_is_added_once_and_can_be_moved_recaptioned_and_removed(store):
    at = open_app("views/parity.py")
    for _ in range(2):
        at.button(key="report-parity").click().run()
    assert not at.exception, at.exception
    (item,) = at.session_state["basket"]
    assert item.page == "parity"
    assert "n = " in item.caption
    assert "# " in item.csv
    assert json.loads(item.figure)["data"]
    at.switch_page("views/structure.py").run()
    at.button(key="report-structure").click().run()
    figure, structure = at.session_state["basket"]
    assert "REF_forces" in structure.structure
    assert structure.widths == (85,)
    at.switch_page("views/report.py").run()
    assert not at.exception, at.exception
    at.button(key=f"down-{figure.item_id}").click().run()
    assert [one.item_id for one in at.session_state["basket"]] == [structure.item_id, figure.item_id]
    at.text_area(key=f"caption-{figure.item_id}").set_value("My own words.").run()
    assert at.session_state["basket"][1].caption == "My own words."
    at.button(key=f"remove-{structure.item_id}").click().run()
    assert [one.caption for one in at.session_state["basket"]] == ["My own words."]


def test_an_empty_report_says_how_to_fill_it_and_shows_a_figure(store):
    at = open_app("views/report.py")
    assert not at.exception, at.exception
    assert "Add to report" in text_of(at)


def test_the_basket_has_a_limit(store, monkeypatch):
    monkeypatch.setattr(basket, "MOST_ITEMS", 1)
    monkeypatch.setattr(basket.st, "session_state", {})
    assert basket.add(_item()).startswith("Added")
    assert basket.add(_item()).startswith("This is in the report already")
    assert basket.add(_item("Another")).startswith("The report is full")
