"""The app in a real Chromium: clicks, boxes, 3D viewer, live prediction, downloads, no call to the outside.

Every test runs on one server with the small store of `conftest.py`, whose numbers are computed, and with the
worker environments of this machine. Each page visited must show no exception and ask nobody else for a thing.
"""

import os
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from app import small_charts
from engine.data_folder import DataFolder
from precompute.workers import worker_envs
from tests.whole.serving import EVERY, PATIENCE, serve, settle, visit

pytestmark = pytest.mark.browser

VIEWER = ".av-gl[data-ready]"


@pytest.fixture(scope="module")
def server(store_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running app."""
    data = tmp_path_factory.mktemp("served")
    (data / "results.duckdb").symlink_to((store_folder / "results.duckdb").resolve())
    (data / "worker_envs").symlink_to((DataFolder.default().root / "worker_envs").resolve())
    with serve(data) as address:
        yield address


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    """A window; afterwards: no exception shown, and no request to anywhere but this server."""
    context = browser.new_context(
        viewport={"width": 1400, "height": 1000}, base_url=server, accept_downloads=True, color_scheme="light"
    )
    outside: list[str] = []
    context.on("request", lambda request: outside.append(request.url) if _is_outside(request.url) else None)
    made = context.new_page()
    made.set_default_timeout(PATIENCE)
    yield made
    exceptions = made.locator("[data-testid=stException]").all_inner_texts()
    context.close()
    assert exceptions == []
    assert outside == []


def _is_outside(url: str) -> bool:
    return not url.startswith(("data:", "blob:")) and not re.match(r"(http|ws)://127\.0\.0\.1:", url)


def pixels(target: Locator) -> np.ndarray:
    """Screenshot as an array of shape (height, width, 3)."""
    return np.asarray(Image.open(BytesIO(target.screenshot())).convert("RGB"))


def visible_atom(page: Page) -> tuple[int, float, float]:
    """Index of the atom nearest to the eye, and where its centre is in the window."""
    return tuple(
        page.locator(VIEWER).evaluate(
            """gl => {
                const {viewer, screenOf} = gl.atomview;
                const group = viewer.modelGroup.matrixWorld;
                const atoms = viewer.selectedAtoms({});
                const row = [2, 6, 10].map((k) => group.elements[k]);
                const depth = ({x, y, z}) => row[0] * x + row[1] * y + row[2] * z;
                const front = atoms.reduce((best, atom) => (depth(atom) > depth(best) ? atom : best));
                const at = screenOf(front.serial);
                return [front.serial, at.x, at.y];
            }"""
        )
    )


def test_overview_shows_the_matrix(page):
    visit(page, "/", ".js-plotly-plot")

    expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Al-Cu").first).to_be_visible(timeout=PATIENCE)


def test_element_click_changes_address_and_table(page):
    visit(page, "/elements?model=emt&el=Al", ".js-plotly-plot")
    tile = page.locator(".js-plotly-plot").first
    page.wait_for_selector("[data-testid=stDataFrame]", state="attached")

    _click_tile(page, tile, "Cu")

    page.wait_for_function("() => new URLSearchParams(location.search).get('el') === 'Cu'")
    settle(page)
    expect(page.get_by_text(re.compile(r"Open cu-\S+ in Structure"))).to_be_visible(timeout=PATIENCE)


def _click_tile(page: Page, chart: Locator, symbol: str) -> None:
    """Click on the tile of an element, found through the chart's own data."""
    at = chart.evaluate(
        """(chart, symbol) => {
            for (const trace of chart.calcdata) for (const point of trace) {
                const data = trace[0].trace.customdata?.[point.i];
                if (data && [].concat(data)[0] === symbol) {
                    const {xaxis, yaxis} = chart._fullLayout;
                    const box = chart.getBoundingClientRect();
                    const [x, y] = [xaxis.d2p(point.x), yaxis.d2p(point.y)];
                    return [box.x + xaxis._offset + x, box.y + yaxis._offset + y + 4];
                }
            }
        }""",
        symbol,
    )
    page.mouse.click(*at)


def test_a_model_is_opened_by_keyboard_and_left_with_back(page):
    page.set_viewport_size({"width": 900, "height": 1000})
    visit(page, "/models", "[data-testid=stDataFrame]")

    page.get_by_role("combobox", name=re.compile("Open one of")).focus()
    page.keyboard.type("Morse")
    page.keyboard.press("Enter")

    page.wait_for_function("() => new URLSearchParams(location.search).get('id') === 'morse'")
    expect(page.get_by_role("heading", name="Morse", exact=True)).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("24 of 24").first).to_be_visible(timeout=PATIENCE)
    settle(page)
    menu = page.get_by_role("button", name="Export").bounding_box()
    assert menu["x"] + menu["width"] <= 900 and menu["height"] < 60  # neither outside the window nor wrapped

    page.go_back()
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible(timeout=PATIENCE)


def test_a_link_changes_what_the_sidebar_had_chosen(page):
    """Streamlit lets a widget's own value win over the address of a link."""
    visit(page, "/models?id=morse&model=emt", ".js-plotly-plot")

    page.get_by_role("link", name="Parity on Fe").click()

    expect(page.get_by_role("heading", name="Parity: Morse on Fe")).to_be_visible(timeout=PATIENCE)


def test_box_on_parity_lists_configurations(page):
    visit(page, "/parity?model=morse&quantity=Force", ".js-plotly-plot .nsewdrag")
    area = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()

    page.mouse.move(area["x"] + 0.2 * area["width"], area["y"] + 0.2 * area["height"])
    page.mouse.down()
    page.mouse.move(area["x"] + 0.9 * area["width"], area["y"] + 0.9 * area["height"], steps=8)
    page.mouse.up()

    page.wait_for_selector("text=Worst configurations in the box")
    settle(page)
    expect(page.get_by_text(re.compile(r"\d+ configurations.*: x "))).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text(re.compile(r"Open \S+ in Structure"))).to_be_visible(timeout=PATIENCE)


def test_viewer_draws_the_atoms_in_colours_of_the_error(page):
    visit(page, "/structure?model=morse&quantity=Force", VIEWER)

    picture = pixels(page.locator(VIEWER))
    background = picture[5, picture.shape[1] // 2]
    drawn = np.abs(picture.astype(int) - background).sum(axis=2) > 30
    assert drawn.mean() > 0.05
    assert len(np.unique(picture[drawn], axis=0)) > 200
    assert page.locator(".av-tick").count() >= 3
    assert page.locator(".av-label").inner_text() == "|ΔF| (meV/Å)"


def test_viewer_is_recoloured_with_the_camera_kept(page):
    visit(page, "/structure?model=morse&quantity=Force", VIEWER)
    gl = page.locator(VIEWER)
    gl.focus()
    page.keyboard.press("ArrowLeft")
    before, picture = gl.evaluate("gl => gl.atomview.viewer.getView()"), pixels(gl)

    page.get_by_role("radio", name="Element").or_(page.get_by_role("button", name="Element")).first.click()
    page.wait_for_selector(".av-gl[data-color=element]")
    settle(page)

    assert gl.evaluate("gl => gl.atomview.viewer.getView()") == pytest.approx(before)
    assert np.abs(pixels(gl).astype(int) - picture).mean() > 1


def test_two_viewers_of_a_duel_turn_together_on_one_scale(page):
    visit(page, "/duel?model=emt&quantity=Force", VIEWER)
    expect(page.locator(VIEWER)).to_have_count(2, timeout=PATIENCE)
    settle(page)
    first, second = (page.locator(VIEWER).nth(k) for k in (0, 1))
    look = "gl => gl.atomview.viewer.getView()"
    before = first.evaluate(look)
    for turned, other in ((first, second), (second, first)):
        turned.focus()
        page.keyboard.press("ArrowLeft")
        assert other.evaluate(look) == pytest.approx(turned.evaluate(look))
    assert first.evaluate(look) != pytest.approx(before)
    places = "scale => Object.fromEntries([...scale.children].map(tick => [tick.textContent, tick.style.bottom]))"
    scales = [page.locator(".av-scale").nth(k).evaluate(places) for k in (0, 1)]
    shared = scales[0].keys() & scales[1].keys()  # the last tick of one may be marked as open
    assert len(shared) > 1
    assert all(scales[0][tick] == scales[1][tick] for tick in shared)


def test_picked_atom_comes_back_to_the_page(page):
    visit(page, "/structure?model=morse&quantity=Force", VIEWER)
    index, x, y = visible_atom(page)

    page.mouse.click(x, y)

    page.wait_for_function("i => new URLSearchParams(location.search).get('atom') === String(i)", arg=index)
    settle(page)
    assert page.locator(VIEWER).get_attribute("data-selected") == str(index)
    assert page.locator(".av-tag").inner_text().endswith(f" {index}")
    assert page.locator(".av-status").inner_text().startswith(f"atom {index} · ")


def test_atom_of_the_address_is_marked_in_picture_and_chart(page):
    visit(page, "/structure?model=morse&quantity=Force&cfg=al-03&atom=4", VIEWER)

    expect(page.locator(".av-ring")).to_be_visible(timeout=PATIENCE)
    assert page.locator(".av-tag").inner_text() == "Al 4"
    assert page.locator(".js-plotly-plot .textpoint").text_content() == "Al 4"


def test_a_lost_graphics_context_can_be_drawn_again(page):
    visit(page, "/structure?model=morse&quantity=Force", VIEWER)
    gl = page.locator(".av-gl")
    before = pixels(gl)

    gl.evaluate("gl => gl.atomview.viewer.getRenderer().getContext().getExtension('WEBGL_lose_context').loseContext()")
    page.get_by_role("button", name="Draw again").click()
    page.wait_for_selector(VIEWER)
    page.wait_for_timeout(500)

    assert np.abs(pixels(gl).astype(int) - before).mean() < 2


def test_visits_of_pages_with_a_viewer_leave_no_error_of_graphics(page):
    """A viewer that is left behind keeps rendering, until the browser has no graphics contexts left.

    Six visits show whether one is; twenty, where all is looked at, whether contexts run out.
    """
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if "gl" in message.text.lower() else None)
    visit(page, "/structure?model=morse&quantity=Force", VIEWER)

    canvases: dict[str, list[int]] = {"Datasets": [], "Structure": []}
    for name in ("Datasets", "Structure") * (10 if os.environ.get(EVERY) else 3):
        page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=re.compile(f"^{name}"))).to_be_visible(timeout=PATIENCE)
        settle(page)
        if name == "Datasets" and not page.locator(VIEWER).count():  # a drawer stays as it was left
            page.get_by_text("Groups of structures, and one of each in 3D").click()
        page.wait_for_selector(VIEWER)
        settle(page)
        canvases[name].append(page.locator("canvas").count())

    assert [text for text in said if "error" in text.lower() or "context" in text.lower()] == []
    assert all(max(counts[1:]) <= counts[1] for counts in canvases.values()), canvases  # none is left behind


def test_picture_of_the_viewer_is_saved_at_three_times_its_size(page):
    visit(page, "/structure?model=morse&quantity=Force", VIEWER)
    size = page.locator(VIEWER).evaluate("gl => [gl.clientWidth, gl.clientHeight]")

    with page.expect_download() as download:
        page.get_by_role("button", name="Download this view").click()

    with Image.open(download.value.path()) as picture:
        assert list(picture.size) == [3 * length for length in size]


def test_structure_is_saved_as_extended_xyz(page):
    visit(page, "/structure?model=morse&quantity=Force&cfg=al-03", VIEWER)

    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Extended XYZ, with forces").click()

    atoms = read(StringIO(Path(download.value.path()).read_text()), format="extxyz")
    assert atoms.info["config_id"] == "al-03"
    assert atoms.arrays["predicted_forces"].shape == (len(atoms), 3)


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_chart_is_saved_to_print(page, ending):
    visit(page, "/cost?quantity=Force", ".js-plotly-plot .modebar-btn")

    page.get_by_role("button", name="Export").first.click()
    with page.expect_download(timeout=4 * PATIENCE) as download:
        page.get_by_role("button", name=ending.upper(), exact=True).click()

    assert download.value.suggested_filename.endswith(f".{ending}")
    beginning = {"svg": b"<svg", "pdf": b"%PDF", "png": b"\x89PNG"}[ending]
    assert Path(download.value.path()).read_bytes().startswith(beginning)


def test_a_report_is_filled_on_pages_and_saved_as_one_zip(page):
    visit(page, "/cost?quantity=Force", ".js-plotly-plot .modebar-btn")
    page.get_by_role("button", name="Export").first.click()
    page.get_by_role("button", name="Add to report").click()
    expect(page.get_by_text("Added to the report, which has 1 now.")).to_be_visible(timeout=PATIENCE)
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Report").click()
    page.get_by_role("button", name="Build the ZIP").click()
    save = page.get_by_role("button", name=re.compile("Save the ZIP"))
    save.wait_for(timeout=6 * PATIENCE)
    with page.expect_download() as download:
        save.click()
    names = zipfile.ZipFile(download.value.path()).namelist()
    endings = {name.rpartition(".")[2] for name in names if name.startswith("report/figures/01-")}
    assert endings == {"svg", "pdf", "png", "csv", "txt"}


def test_uploaded_structure_is_predicted_live_by_chgnet(page, tmp_path):
    if not worker_envs.is_built("chgnet", DataFolder.default().root):
        pytest.skip("worker environment 'chgnet' is not built; run: python -m precompute envs chgnet")
    atoms = bulk("W", cubic=True) * (2, 2, 2)
    del atoms[0]
    atoms.rattle(0.05, seed=1)
    atoms.write(tmp_path / "vacancy.vasp", format="vasp")
    visit(page, "/predict", VIEWER)

    page.set_input_files("input[type=file]", tmp_path / "vacancy.vasp")
    page.wait_for_selector("text=15 atoms of at most 1000")
    _choose_only(page, ["CHGNet 0.3.0", "CHGNet 0.2.0"])
    page.get_by_role("button", name="Predict", exact=True).click()

    page.wait_for_selector("text=Largest disagreement", timeout=240_000)
    settle(page)
    assert "job=" in page.url
    expect(page.get_by_text("CHGNet 0.3.0 done")).to_be_visible(timeout=PATIENCE)
    assert page.locator(VIEWER).get_attribute("data-color") == "dev(F)"
    page.reload()
    page.wait_for_selector("text=Largest disagreement")


def _choose_only(page: Page, labels: list[str]) -> None:
    """Empty the models' box, then choose these."""
    box = page.locator(".st-key-live-models")
    while (crosses := box.get_by_role("button", name=re.compile("^Remove "))).count():
        crosses.first.click()
        settle(page)
    box.locator("input").click()
    for label in labels:
        page.get_by_role("option", name=label, exact=True).click()
        settle(page)
    page.keyboard.press("Escape")


def test_bad_upload_is_refused_in_one_sentence(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no structure in here")
    visit(page, "/predict", VIEWER)

    page.set_input_files("input[type=file]", tmp_path / "notes.txt")

    page.wait_for_selector("text=notes.txt is in no format that is read here")


def test_browser_without_webgl_gets_a_sentence_instead_of_a_picture(browser, server):
    page = browser.new_page(base_url=server)
    page.add_init_script(
        "for (const Kind of [HTMLCanvasElement, OffscreenCanvas]) {"
        "  const original = Kind.prototype.getContext;"
        "  Kind.prototype.getContext = function (name, ...rest) {"
        "    return name.includes('webgl') ? null : original.call(this, name, ...rest); }; }"
    )
    page.set_default_timeout(PATIENCE)

    page.goto("/structure?model=morse&quantity=Force")

    page.wait_for_selector("text=This browser cannot draw 3D pictures")
    page.close()


DRAW = """async (kinds) => {
  const drawn = {};
  for (const type of kinds) {
    const place = document.body.appendChild(document.createElement("div"));
    const trace = {type, x: [1, 2], y: [2, 3], z: [[1, 2], [3, 4]], name: type, showlegend: type !== "heatmap"};
    await Plotly.newPlot(place, [trace], {width: 300, height: 200, annotations: [{text: "a", x: 1, y: 2}]});
    await Plotly.relayout(place, {"xaxis.range": [0, 3]});
    drawn[type] = (await Plotly.toImage(place, {format: "png"})).length;
    place.remove();
  }
  return drawn;
}"""


def test_the_small_library_of_charts_draws_every_kind(page):
    visit(page, "/ranking", ".js-plotly-plot")
    drawn = page.evaluate(DRAW, ["scatter", *small_charts.KINDS])
    assert min(drawn.values()) > 1000, drawn


def test_a_dataset_of_a_link_is_shown_and_another_chosen_by_keyboard(page):
    visit(page, "/datasets?dataset=fe&structures=true", VIEWER)
    expect(page.get_by_role("heading", name="Datasets: Fe")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("button", name="Export").first).to_be_visible(timeout=PATIENCE)

    page.get_by_role("combobox", name=re.compile("Dataset")).focus()
    page.keyboard.type("gb-56")
    page.keyboard.press("Enter")

    page.wait_for_function("() => new URLSearchParams(location.search).get('dataset') === 'gb-56'")
    expect(page.get_by_text("GB-56 is not here")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("radio", name="Compatibility").or_(page.get_by_role("button", name="Compatibility")).first.click()
    page.wait_for_function("() => new URLSearchParams(location.search).get('part') === 'Compatibility'")
    expect(page.get_by_role("heading", name="Models on GB-56")).to_be_visible(timeout=PATIENCE)
    # A page that has no numbers of it falls back to a dataset that has.
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", name="Overview", exact=True)).to_be_visible(timeout=PATIENCE)
    settle(page)
    expect(page.get_by_text(re.compile("Ranking on (Al-Cu|Fe)"))).to_be_visible(timeout=PATIENCE)


def test_the_api_answers_on_the_port_of_the_pages(page, server):
    answer = page.request.get(f"{server}/api/v1/metrics?dataset=al-cu")

    assert answer.ok
    assert {row["model_id"] for row in answer.json()} >= {"emt", "morse"}


def test_a_question_in_sql_is_answered_and_its_rows_saved(page):
    visit(page, "/sql?sql=select+model_id+from+models+order+by+model_id", "[data-testid=stDataFrame]")

    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV", exact=True).click()

    assert "emt" in Path(saved.value.path()).read_text()
