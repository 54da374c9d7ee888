"""Figures as SVG, PDF and PNG that can be printed, the same bytes each time.

Chromium draws, in a process that lives for one request. One such process runs at a time for all visitors, it has a time
limit, and it draws with the fonts that come with matplotlib alone, so that its pictures do not depend on the machine's.
"""

import contextlib
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from app.report import fonts
from app.report.layout import DPI

FORMATS = ("svg", "pdf", "png")
INSTALL = (
    "SVG, PDF and PNG need Chromium on the machine that runs this app: `apt-get install chromium` on Debian. "
    "HTML and CSV work without it."
)
START_SECONDS, JOB_SECONDS = 60, 20  # limits: the browser's start, and each figure in one format on a busy machine
QUEUE_SECONDS = 90  # how long a request waits for the one before it
END_SECONDS, END_TRIES = 2.0, 40  # until the last process of a killed browser is gone

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_DATE = re.compile(rb"\(D:\d{14}\+00'00'\)")
_NO_DATE = b"(D:20000101000000+00'00')"  # of the length that the PDF's table of places counts on
_ONE_AT_A_TIME = threading.Lock()


class RenderingError(Exception):
    """A figure could not be drawn; the message is a sentence for the visitor."""


@dataclass(frozen=True)
class Job:
    """One picture to draw.

    Attributes:
        figure: Plotly's JSON, as `layout.for_print` gives it.
        image_format: `svg`, `pdf` or `png`.
    """

    figure: dict[str, Any]
    image_format: str


_HAS_KALEIDO = importlib.util.find_spec("kaleido") is not None  # asked once: it takes some ms


def browser() -> str | None:
    """Path of the Chromium that draws; None where there is none, or no kaleido."""
    if not _HAS_KALEIDO:
        return None
    return os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, _BROWSERS)), None)


def render(jobs: Sequence[Job], on_drawn: Callable[[int], None] = lambda n: None) -> list[bytes]:
    """Draw figures; the same figure gives the same bytes with the same Chromium, kaleido and Plotly.

    Args:
        jobs: At least one.
        on_drawn: Called with the number of pictures that are done.

    Returns:
        The files, in the order of the jobs.

    Raises:
        RenderingError: There is no Chromium, another request takes too long, or this one does.
    """
    chromium = browser()
    if chromium is None:
        raise RenderingError(INSTALL)
    if not _ONE_AT_A_TIME.acquire(timeout=QUEUE_SECONDS):
        raise RenderingError("Other visitors' figures are being drawn. Try again in a minute.")
    try:
        # What a killed browser still writes must not become the visitor's error.
        with tempfile.TemporaryDirectory(prefix="defect-atlas-figures-", ignore_cleanup_errors=True) as folder:
            return _drawn(jobs, Path(folder), chromium, on_drawn)
    finally:
        _ONE_AT_A_TIME.release()


def _drawn(jobs: Sequence[Job], folder: Path, chromium: str, on_drawn: Callable[[int], None]) -> list[bytes]:
    plan = [
        {"figure": job.figure, "format": job.image_format, "scale": DPI / 96 if job.image_format == "png" else 1}
        for job in jobs
    ]
    (folder / "jobs.json").write_text(json.dumps(plan), encoding="utf-8")
    (folder / "fonts.conf").write_text(_font_settings(folder), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "app.report.drawing", str(folder / "jobs.json"), str(folder), chromium],
        cwd=Path(__file__).resolve().parents[2], env=_environment(folder), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=(folder / "log").open("wb"), text=True, start_new_session=True,
    )  # fmt: skip
    limit = START_SECONDS + JOB_SECONDS * len(jobs)
    timer = threading.Timer(limit, _end, [process])
    timer.start()
    try:
        assert process.stdout is not None
        for n_drawn, _ in enumerate(process.stdout, start=1):
            on_drawn(n_drawn)
        code = process.wait()
    finally:
        is_late = not timer.is_alive()
        timer.cancel()
        _end(process)
    if is_late:
        raise RenderingError(f"The drawing took longer than {limit} s and was ended. Try again, or take fewer figures.")
    if code:
        last = (folder / "log").read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise RenderingError(f"Chromium could not draw the figure: {last[:300] or f'it ended with code {code}'}")
    return [_settled((folder / str(number)).read_bytes(), job.image_format) for number, job in enumerate(jobs)]


def _end(process: subprocess.Popen[str]) -> None:
    """End the drawing process with its browser, which are a session of their own, and wait a little for all of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for _ in range(END_TRIES):
            os.killpg(process.pid, 0)
            time.sleep(END_SECONDS / END_TRIES)
    process.wait()


def _environment(folder: Path) -> dict[str, str]:
    """Settings that find only the chosen fonts, and keep the browser's files in the folder."""
    return os.environ | {
        "FONTCONFIG_FILE": str(folder / "fonts.conf"), "HOME": str(folder), "TMPDIR": str(folder), "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }  # fmt: skip


def _font_settings(folder: Path) -> str:
    """Settings of fontconfig: DejaVu as matplotlib brings it, and nothing else."""
    return (
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f"<dir>{fonts.folder()}</dir><cachedir>{folder / 'font-cache'}</cachedir></fontconfig>"
    )


def _settled(content: bytes, image_format: str) -> bytes:
    """The file without what differs from time to time, with its fonts or its resolution."""
    if image_format == "pdf":
        return _DATE.sub(_NO_DATE, content)
    if image_format == "svg":
        return fonts.embedded(content.decode()).encode()
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    made = io.BytesIO()
    picture.save(made, "PNG", dpi=(DPI, DPI), optimize=True)
    return made.getvalue()
