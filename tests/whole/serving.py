"""A running app and a browser for the tests that need both."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EVERY = "DEFECT_ATLAS_EVERY_WAY"  # set to look at each page in all widths and themes, which takes many minutes
PATIENCE = 60_000  # ms; software rendering on a busy machine


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(data: Path, *options: str, port: int = 0) -> Iterator[str]:
    """Run the app on a data folder with more options of Streamlit, and give its address."""
    port = port or free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app/server.py",
             "--server.port", str(port), "--server.address", "127.0.0.1", *options],
            cwd=ROOT, env=os.environ | {"DEFECT_ATLAS_DATA": str(data)}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait_until_healthy(f"http://127.0.0.1:{port}/_stcore/health", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_until_healthy(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"the server did not start (exit code {process.poll()})")


def visit(page: Page, address: str, wanted: str) -> None:
    """Open a page and wait for what is wanted, or for the exception that hides it."""
    page.goto(address)
    page.wait_for_selector(f"{wanted}, [data-testid=stException]")
    settle(page)


def settle(page: Page) -> None:
    """Wait until no script runs."""
    page.wait_for_timeout(250)
    page.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidget]')")
    page.wait_for_timeout(400)
