"""Every page for those who see badly or use no mouse: rules of axe-core, light and dark, and choices by keyboard.

axe-core comes with `npm ci`; without it these tests skip.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from app.main import PAGES
from tests.whole.serving import EVERY, PATIENCE, ROOT, serve, settle

pytestmark = pytest.mark.browser

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
ADDRESSES = (*(entry.url_path for entry in PAGES if entry.is_listed), "models?id=emt", "elements?view=Winners")

_CHOICE = ":is(.stSelectbox, .stMultiSelect, .stButtonGroup, .stCheckbox, .stButton)"
# What Streamlit draws and no setting changes: the rule of axe, where, and why it is left.
THEIRS = {
    "list": {"[data-testid=stSidebarNavItems]": "the navigation's list holds sections instead of items"},
    "listitem": {"[data-testid=stSidebarNavItems]": "items of the navigation stand in sections"},
    "color-contrast": {
        f"{_CHOICE}:has(:disabled, [aria-disabled=true])": "choices out of use; WCAG 1.4.3 exempts them"
    },
    "scrollable-region-focusable": {
        "[class*=st-key-chart-], [data-testid=stCode] *": "browsers let the keyboard reach a part that scrolls",
    },
}

OURS = """
async (theirs) => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  const lines = [];
  for (const { id, impact, nodes } of found.violations) {
    if (!["serious", "critical"].includes(impact)) continue;
    for (const node of nodes) {
      const element = document.querySelector(node.target[0]);
      if (Object.keys(theirs[id] ?? {}).some((selector) => element?.closest(selector))) continue;
      const check = [...node.any, ...node.all, ...node.none][0];
      lines.push(`${id}: ${node.html.slice(0, 120)}: ${check?.message}`);
    }
  }
  return lines;
}
"""


@pytest.fixture(scope="module")
def page(store_folder: Path, browser: Browser) -> Iterator[Page]:
    """A window on the small store."""
    with serve(store_folder) as server:
        context = browser.new_context(base_url=server, viewport={"width": 1200, "height": 900})
        made = context.new_page()
        made.set_default_timeout(PATIENCE)
        yield made
        context.close()


def _visit(page: Page, address: str, theme: Any = "light") -> None:
    page.emulate_media(color_scheme=theme)
    page.goto(f"/{address}")
    page.wait_for_selector("h1, [data-testid=stException]")
    settle(page)


THEMES = ("light", "dark")
# Every page in one theme, the other one with `DEFECT_ATLAS_EVERY_WAY=1`.
WAYS = [
    (address, theme)
    for k, address in enumerate(ADDRESSES)
    for theme in (THEMES if os.environ.get(EVERY) else THEMES[k % 2 :][:1])
]


@pytest.mark.parametrize(("address", "theme"), WAYS, ids=lambda value: value or "overview")
def test_no_page_breaks_a_rule_of_access_that_is_ours_to_keep(page, address, theme):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; run: npm ci")
    _visit(page, address, theme)
    page.evaluate(AXE.read_text())

    assert page.evaluate(OURS, THEIRS) == []


# Numbers the choices of a page that a mouse could use. Buttons of one choice have the same number, since the tabulator
# reaches the group and arrows move in it. Streamlit's button that folds the sidebar shows up for a mouse alone.
CHOICES = """
() => {
  const groups = new Map();
  for (const part of document.querySelectorAll("[data-testid=stMain], [data-testid=stSidebar]")) {
    for (const node of part.querySelectorAll("input, button, a[href], [role=combobox], summary")) {
      if (node.disabled || node.tabIndex < 0 || !node.checkVisibility() || !node.getClientRects().length) continue;
      if (node.getAttribute("aria-controls") === "stSidebar") continue;
      const group = node.closest(".stButtonGroup, [role=radiogroup], [role=toolbar]") ?? node;
      if (!groups.has(group)) groups.set(group, String(groups.size));
      node.dataset.reached = groups.get(group);
    }
  }
  return [...groups.values()];
}
"""


@pytest.mark.parametrize(
    "address",
    ["", "elements", "structure", "predict", "duel", "report", "uncertainty"],
    ids=lambda value: value or "overview",
)
def test_the_tabulator_reaches_every_choice(page, address):
    _visit(page, address)
    wanted = set(page.evaluate(CHOICES))
    assert len(wanted) > 20
    page.evaluate("() => document.activeElement?.blur()")

    for _ in range(3 * len(wanted) + 60):
        page.keyboard.press("Tab")
        wanted.discard(page.evaluate("() => document.activeElement?.dataset?.reached ?? ''"))
        if not wanted:
            break

    left = [
        page.locator(f"[data-reached='{number}']").evaluate("node => node.outerHTML.slice(0, 150)") for number in wanted
    ]
    assert left == []


def _tab_to(page: Page, wanted: Locator) -> None:
    """Press the tabulator until what is wanted, or something in it, has the focus."""
    wanted.wait_for()
    for _ in range(300):
        page.keyboard.press("Tab")
        if wanted.evaluate("node => node === document.activeElement || node.contains(document.activeElement)"):
            return
    pytest.fail(f"the tabulator does not reach {wanted}")


def test_a_calculation_is_chosen_by_keyboard(page):
    _visit(page, "predict")
    _tab_to(page, page.locator(".st-key-task [role=radiogroup]"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.wait_for_url("**task=Relaxation**")
    expect(page.get_by_text("Steps at most")).to_be_visible()


def test_a_figure_goes_into_the_report_and_out_again_by_keyboard(page):
    _visit(page, "report")
    _tab_to(page, page.get_by_test_id("stMain").get_by_role("button", name="Export").first)
    page.keyboard.press("Enter")
    _tab_to(page, page.get_by_role("button", name="Add to report"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("Figure 1.")).to_be_visible()
    page.keyboard.press("Escape")
    settle(page)
    _tab_to(page, page.get_by_role("button", name="Remove", exact=True))
    page.keyboard.press("Space")
    expect(page.get_by_text("A figure to begin with")).to_be_visible()


def test_the_other_model_of_a_duel_is_chosen_by_keyboard(page):
    _visit(page, "duel?model=emt")
    _tab_to(page, page.get_by_role("combobox", name=re.compile("^Against")).first)
    page.keyboard.type("Morse")
    page.keyboard.press("Enter")
    settle(page)
    expect(page.get_by_role("heading", name="Duel: EMT against Morse")).to_be_visible()
    _tab_to(page, page.locator(".st-key-align [role=radiogroup]"))
    before = page.url
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    page.wait_for_url(lambda url: url != before)
