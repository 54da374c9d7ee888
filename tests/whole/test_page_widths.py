"""Every page in windows of three widths, light and dark: nothing is cut off, empty or in colours of the other theme.

Each page is loaded once, then the window is resized and the theme changed, as a visitor would. The store is the small
one of `conftest.py`, and in the narrowest window also one that holds summaries without atoms, as on a fresh clone.
`DEFECT_ATLAS_FULL_STORE=DIR` runs the same on the store of that data folder. All of it runs only with
`DEFECT_ATLAS_EVERY_WAY=1`, for it takes many minutes.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, TimeoutError

from app.main import PAGES
from tests.conftest import build_summary_store
from tests.whole.serving import EVERY, PATIENCE, serve, settle

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not os.environ.get(EVERY), reason=f"takes many minutes; set {EVERY}=1 to look at every page"),
]

FULL_STORE = "DEFECT_ATLAS_FULL_STORE"
WIDTHS = (1440, 1024, 420)
THEMES = ("light", "dark")
# The pages, and states of them that look otherwise.
ADDRESSES = (
    *(entry.url_path for entry in PAGES if entry.is_listed),
    "elements?view=Winners",
    "elements?view=Two models",
    "parity?quantity=Force",
    "ranking?part=Best of each",
    "datasets?part=Compatibility",
)
WITHOUT_PICTURE = (
    "claims",
    "specialised",
    "learning",
    "about",
)  # pages of text, or that say why there is nothing in a small store

# What a visitor would see as broken, in words.
FAULTS = """
() => {
  const found = [];
  const main = document.querySelector("[data-testid=stMain]");
  for (const [name, box] of [["page", document.documentElement], ["main part", main]]) {
    const over = box.scrollWidth - box.clientWidth;
    if (over > 0) found.push(`the ${name} is ${over} px wider than the window`);
  }
  const short = (node) => node.textContent.trim().slice(0, 60);
  // Text that its own box cuts off.
  const framed =
    "button, [data-testid=stMetric], [data-testid=stCaptionContainer], [data-testid=stMarkdown], h1, h2, h3";
  for (const box of main.querySelectorAll(framed)) {
    for (const node of [box, ...box.querySelectorAll("*")]) {
      const style = getComputedStyle(node);
      const cuts = ["hidden", "clip"].includes(style.overflowX) && style.position !== "absolute";
      if (cuts && node.clientWidth > 1 && node.scrollWidth > node.clientWidth + 1) found.push(`cut off: ${short(box)}`);
    }
  }
  const page = getComputedStyle(document.querySelector("[data-testid=stApp]")).backgroundColor;
  for (const chart of main.querySelectorAll(".js-plotly-plot")) {
    const box = chart.getBoundingClientRect();
    if (box.width < 100 || box.height < 100) { found.push(`chart of ${box.width} by ${box.height} px`); continue; }
    const paper = getComputedStyle(chart.querySelector(".main-svg")).backgroundColor;
    if (paper !== page) found.push(`chart on ${paper} on a page of ${page}`);
    const marks = ".point, .scatterlayer path, .heatmaplayer image, .bars path, .shapelayer path, canvas";
    if (!chart.querySelector(marks)) found.push("chart without a mark");
    for (const text of chart.querySelectorAll(".main-svg text")) {
      const place = text.getBoundingClientRect();
      if (!place.width || text.closest(".hoverlayer")) continue;
      if (place.left < box.left - 3 || place.right > box.right + 3) found.push(`beyond its chart: ${short(text)}`);
    }
  }
  for (const table of main.querySelectorAll("[data-testid=stDataFrame]")) {
    const box = table.getBoundingClientRect();
    const isSmall = box.height < 40 || box.width < 100;
    if (table.checkVisibility() && isSmall) found.push(`table of ${box.width} by ${box.height} px`);
  }
  return [...new Set(found)];
}
"""


# Whether the charts were drawn again after a change of the theme.
OF_ONE_THEME = """
() => {
  const colour = (node) => getComputedStyle(node).backgroundColor;
  const page = colour(document.querySelector("[data-testid=stApp]"));
  const charts = [...document.querySelectorAll(".js-plotly-plot")];
  return charts.every((chart) => chart.querySelector(".main-svg") && colour(chart.querySelector(".main-svg")) === page);
}
"""


class Window:
    """A window of the browser that loads an address only when it shows another one."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.address: str | None = None

    def show(self, address: str, width: int, theme: Any) -> None:
        """Show an address in a window of a width, light or dark, and wait until all is drawn."""
        page = self.page
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        if address != self.address:
            page.goto(f"/{address}")
            page.wait_for_selector("h1, [data-testid=stException]")
            self.address = address
        with suppress(TimeoutError):  # the charts of the other theme are among the faults
            page.wait_for_function(OF_ONE_THEME, timeout=PATIENCE)
        settle(page)


@pytest.fixture(scope="module")
def small(store_folder: Path, browser: Browser) -> Iterator[Window]:
    """A window on the small store."""
    yield from _window(store_folder, browser)


@pytest.fixture(scope="module")
def summaries(store_folder: Path, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """A window on a store that has a dataset without its atoms."""
    yield from _window(build_summary_store(tmp_path_factory.mktemp("summaries"), store_folder), browser)


@pytest.fixture(scope="module")
def full(browser: Browser) -> Iterator[Window]:
    """A window on the store that the environment variable names."""
    folder = os.environ.get(FULL_STORE)
    if not folder:
        pytest.skip(f"{FULL_STORE} names no data folder; set it to look at the pages on its store")
    yield from _window(Path(folder), browser)


def _window(data: Path, browser: Browser) -> Iterator[Window]:
    with serve(data) as server:
        context = browser.new_context(base_url=server)
        page = context.new_page()
        page.set_default_timeout(5 * PATIENCE)
        yield Window(page)
        context.close()


def _check(window: Window, address: str, width: int, theme: str) -> None:
    window.show(address, width, theme)
    page = window.page
    assert page.locator("[data-testid=stException]").all_inner_texts() == []
    picture = page.locator(".js-plotly-plot:visible, [data-testid=stDataFrame]:visible, .av-gl:visible").first
    if address.partition("?")[0] not in WITHOUT_PICTURE and not page.get_by_text("No structures and forces").count():
        picture.wait_for(state="visible")
    assert page.evaluate(FAULTS) == []


EVERY_WAY = [(address, width, theme) for address in ADDRESSES for theme in THEMES for width in WIDTHS]


@pytest.mark.parametrize(("address", "width", "theme"), EVERY_WAY, ids=lambda value: str(value) or "overview")
def test_a_page_shows_all_of_itself(small, address, width, theme):
    _check(small, address, width, theme)


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda value: value or "overview")
def test_a_page_of_summaries_shows_all_of_itself_in_a_narrow_window(summaries, address):
    _check(summaries, address, 420, "light")


@pytest.mark.parametrize(("address", "width", "theme"), EVERY_WAY, ids=lambda value: str(value) or "overview")
def test_a_page_of_the_full_store_shows_all_of_itself(full, address, width, theme):
    _check(full, address, width, theme)
