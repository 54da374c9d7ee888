"""A newcomer's way to a model, in a browser: from the start page to the advice, its address, and back."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.whole.serving import PATIENCE, serve, settle, visit

pytestmark = pytest.mark.browser


def test_a_newcomer_finds_the_best_model_for_grain_boundaries_of_tungsten(evidence_folder: Path, browser: Browser):
    with serve(evidence_folder) as server:
        page = browser.new_context(base_url=server, viewport={"width": 1200, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE)
        visit(page, "/", "h1")
        first = page.get_by_test_id("stSidebarNavLink").first
        expect(first).to_contain_text("Advisor", timeout=PATIENCE)
        page.locator(".st-key-search input").fill("tungsten grain boundary")
        page.locator(".st-key-search input").press("Enter")
        page.get_by_role("link", name="Best model: Grain boundary with W").click()
        expect(page.get_by_role("heading", name="Advisor")).to_be_visible(timeout=PATIENCE)
        answer = page.get_by_text("ahead of all others beyond doubt")
        expect(answer).to_contain_text("For grain boundary of W: First", timeout=PATIENCE)
        expect(page.get_by_role("heading", name="1. First")).to_be_visible(timeout=PATIENCE)
        expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=PATIENCE)
        assert page.get_by_test_id("stException").count() == 0


def test_choices_go_into_the_address_and_the_address_brings_them_back(evidence_folder: Path, browser: Browser):
    with serve(evidence_folder) as server:
        page = browser.new_context(base_url=server, viewport={"width": 1200, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE)
        visit(page, "/advisor?alloy=Mo&alloy=W&defect=any&size=64", "h1")
        expect(page.get_by_text("For structures of Mo-W: First")).to_be_visible(timeout=PATIENCE)
        page.get_by_test_id("stButtonGroup").get_by_text("Conservative").click()
        page.wait_for_url("**gradient=conservative**")
        settle(page)
        kept = page.url
        assert "alloy=Mo&alloy=W" in kept
        assert "size=64" in kept
        page.get_by_role("link", name="Cost").click()
        expect(page.get_by_role("heading", name="Cost")).to_be_visible(timeout=PATIENCE)
        page.goto(kept)
        expect(page.get_by_text("For structures of Mo-W: First")).to_be_visible(timeout=PATIENCE)
        expect(page.locator(".st-key-advisor-size input")).to_have_value("64", timeout=PATIENCE)
        assert page.url == kept
