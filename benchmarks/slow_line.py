"""Bytes and times of every page on a slow line: python -m benchmarks.slow_line [--server URL] [PAGE ...].

Chromium opens each page with an empty cache at 1.5 Mbit/s and 40 ms, as the protocol of its developer tools emulates
them. The server is warm: each page was opened before, at full speed, and `--wait` seconds have passed. Per page are
printed what came over the line as files (kB, as transferred) and as messages (kB, before compression), when anything
was painted first, when the page's title stood, and when the page was whole: after that no file came and nothing in
the page changed for `--quiet` seconds.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from app.main import PAGES
from engine.data_folder import DataFolder
from tests.whole.serving import ARGUMENTS, CHROMIUM, serve

PATIENCE = 240_000  # ms

# When a file came last, and when anything in the page changed last.
WATCH = """
window.lastChange = 0;
new MutationObserver(() => { window.lastChange = performance.now(); })
    .observe(document, {childList: true, subtree: true, attributes: true, characterData: true});
window.titleAt = null;
const timer = setInterval(() => {
    if (document.querySelector("[data-testid=stMain] h1")) { window.titleAt = performance.now(); clearInterval(timer); }
}, 20);
"""
TIMES = """() => {
    const files = performance.getEntriesByType("resource").map((entry) => entry.responseEnd);
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    return {now: performance.now(), last: Math.max(window.lastChange, ...files), title: window.titleAt,
            paint: paint ? paint.startTime : null};
}"""


def measure(browser: Browser, address: str, mbit: float, latency: float, quiet: float) -> dict[str, float]:
    """Open an address with an empty cache on a slow line.

    Args:
        browser: A running Chromium.
        address: Of the page.
        mbit: Mbit/s in both directions; 0 for no bound.
        latency: Added to every request, ms.
        quiet: Seconds without a change after which the page counts as whole.

    Returns:
        files and messages (kB), paint, title and whole (s).
    """
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(WATCH)
    line = context.new_cdp_session(page)
    line.send("Network.enable")
    got = {"files": 0, "messages": 0}
    open_requests: set[str] = set()

    def count(name: str, size: int) -> None:
        got[name] += size

    def end(event: dict[str, Any]) -> None:
        open_requests.discard(event["requestId"])
        count("files", int(event.get("encodedDataLength", 0)))

    line.on("Network.requestWillBeSent", lambda event: open_requests.add(event["requestId"]))

    line.on("Network.loadingFinished", end)
    line.on("Network.loadingFailed", end)
    line.on(
        "Network.webSocketFrameReceived",
        lambda event: count("messages", 3 * len(event["response"]["payloadData"]) // 4),
    )
    if mbit:
        rate = 1e6 * mbit / 8
        line.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": latency, "downloadThroughput": rate, "uploadThroughput": rate},
        )
    page.goto(address, wait_until="commit")
    page.wait_for_function("() => window.titleAt")
    times = _when_quiet(page, open_requests, quiet)
    context.close()
    return {
        "files": got["files"] / 1e3,
        "messages": got["messages"] / 1e3,
        "paint": times["paint"] / 1e3,
        "title": times["title"] / 1e3,
        "whole": times["last"] / 1e3,
    }


def _when_quiet(page: Any, open_requests: set[str], quiet: float) -> dict[str, float]:
    """Times of a page that no longer changes and asks for nothing, ms."""
    ends = time.monotonic() + PATIENCE / 1e3
    while True:
        page.wait_for_timeout(500)
        times: dict[str, float] = page.evaluate(TIMES)
        is_quiet = not open_requests and times["now"] - times["last"] > 1e3 * quiet
        if is_quiet or time.monotonic() > ends:
            return times


@contextmanager
def _server(address: str) -> Iterator[str]:
    if address:
        yield address.rstrip("/")
    else:
        with serve(Path(os.environ.get("DEFECT_ATLAS_DATA") or DataFolder.default().root)) as started:
            yield started


def main() -> None:
    """Print one line per page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", help="addresses below the root; all pages without any")
    parser.add_argument("--server", default="", help="address of a running app; without it one is started")
    parser.add_argument("--mbit", type=float, default=1.5)
    parser.add_argument("--latency", type=float, default=40.0, help="ms")
    parser.add_argument("--quiet", type=float, default=4.0, help="seconds without a change")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds between warming and measuring")
    asked = parser.parse_args()
    pages = asked.pages or [entry.url_path for entry in PAGES if entry.is_listed]
    with sync_playwright() as playwright, _server(asked.server) as server:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name in pages:
            measure(browser, f"{server}/{name}", 0.0, 0.0, 2.0)
        time.sleep(asked.wait)
        print(f"{'page':18} {'files kB':>9} {'messages kB':>12} {'paint s':>8} {'title s':>8} {'whole s':>8}")
        rows = []
        for name in pages:
            row = measure(browser, f"{server}/{name}", asked.mbit, asked.latency, asked.quiet)
            rows.append(row)
            print(
                f"{name or 'overview':18} {row['files']:9.0f} {row['messages']:12.0f} {row['paint']:8.1f} "
                f"{row['title']:8.1f} {row['whole']:8.1f}",
                flush=True,
            )
        for key in ("files", "paint", "title", "whole"):
            print(f"median {key}: {statistics.median(row[key] for row in rows):.1f}")
        browser.close()


if __name__ == "__main__":
    main()
