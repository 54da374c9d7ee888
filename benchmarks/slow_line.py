"""Bytes and times of every page on a slow line: python -m benchmarks.slow_line [--server URL] [PAGE ...].

Chromium opens each page with an empty cache through a relay that lets bytes pass at 1.5 Mbit/s, with 40 ms for the way
there and back. (Developer tools can emulate a line too, but count messages as they are before compression.) The server
is warm: each page was opened before, at full speed, and `--wait` seconds have passed. Per page are printed what came
over the line (kB), what of it as files, when anything was painted first, when the page's title stood, and when the page
was whole: after that no file came and nothing in the page changed for `--quiet` seconds.
"""

import argparse
import asyncio
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from app.main import PAGES
from engine.data_folder import DataFolder
from tests.whole.serving import ARGUMENTS, CHROMIUM, serve

PATIENCE = 240_000  # ms
PIECE = 4096  # bytes that pass at a time, so that connections take turns

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


class Line:
    """A relay to a server with the bandwidth and the delay of a line, which all connections share.

    Args:
        port: Of the server, on this machine.
        mbit: Mbit/s, in each direction.
        latency: For the way there and back, ms.
    """

    def __init__(self, port: int, mbit: float, latency: float) -> None:
        self._port, self._rate, self._delay = port, 1e6 * mbit / 8, latency / 2e3
        self.came = 0  # bytes from the server
        self._free_at = {True: 0.0, False: 0.0}  # when the next piece may pass, by whether it comes from the server
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="line", daemon=True).start()
        started = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._join, "127.0.0.1", 0), self._loop)
        self.address = f"http://127.0.0.1:{started.result().sockets[0].getsockname()[1]}"

    async def _join(self, here: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        answers, asks = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pass(here, asks, is_down=False), self._pass(answers, there, is_down=True))

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_down: bool) -> None:
        """Everything from one end to the other, in order and in time."""
        with suppress(ConnectionError):
            while piece := await source.read(PIECE):
                free_at = max(self._free_at[is_down], self._loop.time()) + len(piece) / self._rate
                self._free_at[is_down] = free_at
                self.came += len(piece) * is_down
                await asyncio.sleep(free_at - self._loop.time())
                self._loop.call_later(self._delay, target.write, piece)
        self._loop.call_later(self._delay, target.close)


def measure(browser: Browser, address: str, quiet: float) -> dict[str, float]:
    """Open an address with an empty cache.

    Args:
        browser: A running Chromium.
        address: Of the page.
        quiet: Seconds without a change after which the page counts as whole.

    Returns:
        files (kB), paint, title and whole (s).
    """
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(WATCH)
    line = context.new_cdp_session(page)
    line.send("Network.enable")
    sizes: list[int] = []
    open_requests: set[str] = set()

    def end(event: dict[str, Any]) -> None:
        open_requests.discard(event["requestId"])
        sizes.append(int(event.get("encodedDataLength", 0)))

    line.on("Network.requestWillBeSent", lambda event: open_requests.add(event["requestId"]))

    line.on("Network.loadingFinished", end)
    line.on("Network.loadingFailed", end)
    page.goto(address, wait_until="commit")
    page.wait_for_function("() => window.titleAt")
    times = _when_quiet(page, open_requests, quiet)
    context.close()
    return {
        "files": sum(sizes) / 1e3,
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
            measure(browser, f"{server}/{name}", 2.0)
        time.sleep(asked.wait)
        print(f"{'page':18} {'all kB':>8} {'files kB':>9} {'paint s':>8} {'title s':>8} {'whole s':>8}")
        slow = Line(int(server.rpartition(":")[2]), asked.mbit, asked.latency)
        rows = []
        for name in pages:
            before = slow.came
            row = measure(browser, f"{slow.address}/{name}", asked.quiet)
            rows.append(row | {"all": (slow.came - before) / 1e3})
            print(
                f"{name or 'overview':18} {rows[-1]['all']:8.0f} {row['files']:9.0f} {row['paint']:8.1f} "
                f"{row['title']:8.1f} {row['whole']:8.1f}",
                flush=True,
            )
        for key in ("all", "paint", "title", "whole"):
            print(f"median {key}: {statistics.median(row[key] for row in rows):.1f}")
        browser.close()


if __name__ == "__main__":
    main()
