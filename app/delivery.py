"""How pages come over a slow line: compressed files, small fonts and charts, and a name before scripts run.

Streamlit leaves the compression of its own files to a proxy, and sends 11 MB for a page with a chart. Files are packed
here at their first request, quickly, and again as small as possible when nobody asks for any; the results are kept in
the data folder.
"""

import asyncio
import gzip
import hashlib
import html
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import brotli
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import small_charts, small_fonts
from engine.files import replacing

PACKED = re.compile(r"/static/.*\.(js|css|svg|json)$")
FONT = re.compile(r"/static/media/[^/]*\.woff2$")
QUIET_SECONDS = 20.0  # without a request for a file, before files are packed once more
LARGEST = 32_000_000  # bytes of a file that is held in memory

# In the order of preference. Browsers take Brotli over https and from this machine alone.
ENCODINGS: Mapping[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "br": (lambda data: brotli.compress(data, quality=5), lambda data: brotli.compress(data, quality=11)),
    "gzip": (lambda data: gzip.compress(data, 6, mtime=0), lambda data: gzip.compress(data, 9, mtime=0)),
}


class Packer:
    """Compressed files, by their content.

    Args:
        folder: Where those are kept that are as small as possible; made when there is one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[tuple[str, str], bytes] = {}
        self._waiting: dict[tuple[str, str], Callable[[], bytes]] = {}
        self._asked = time.monotonic()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def pack(self, data: bytes, encoding: str) -> bytes:
        """The data in an encoding, at once; the smallest form where it is there already."""
        self._asked = time.monotonic()
        key = (hashlib.sha256(data).hexdigest(), encoding)
        if key not in self._kept:
            with suppress(OSError):
                self._kept[key] = self._path(key).read_bytes()
        if key not in self._kept:
            self._kept[key] = ENCODINGS[encoding][0](data)
            self._later(key, partial(ENCODINGS[encoding][1], data))
        return self._kept[key]

    def font(self, name: str, data: bytes) -> bytes:
        """A font with the characters and icons that pages can show; the font itself until it is there."""
        self._asked = time.monotonic()
        key = (hashlib.sha256(data + small_fonts.rules().encode()).hexdigest(), "woff2")
        if key not in self._kept:
            with suppress(OSError):
                self._kept[key] = self._path(key).read_bytes()
        if key not in self._kept:
            self._later(key, partial(small_fonts.reduced, name, data))
        return self._kept.get(key, data)

    def _path(self, key: tuple[str, str]) -> Path:
        return self._folder / f"{key[0]}.{key[1]}"

    def _keep(self, key: tuple[str, str], packed: bytes) -> None:
        self._kept[key] = packed
        with suppress(OSError):  # a data folder that cannot be written: memory has it
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._path(key)) as temporary:
                temporary.write_bytes(packed)

    def _later(self, key: tuple[str, str], make: Callable[[], bytes]) -> None:
        with self._lock:
            self._waiting[key] = make
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._pack_when_quiet, name="packer", daemon=True)
                self._thread.start()

    def _pack_when_quiet(self) -> None:
        """Pack what waits as small as possible, while nobody asks and with what the processor has left."""
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        while self._waiting:
            while (rest := self._asked + QUIET_SECONDS - time.monotonic()) > 0:
                time.sleep(rest)
            key, make = self._waiting.popitem()
            self._keep(key, make())


class Delivery:
    """Sends files compressed, fonts reduced, and the page of every address with its name.

    Args:
        app: What answers.
        folder: For compressed files.
        titles: Of pages by their address.
        with_charts: Addresses of pages with charts, whose library the browser gets early.
    """

    def __init__(self, app: ASGIApp, folder: Path, titles: Mapping[str, str], with_charts: frozenset[str]) -> None:
        self._app = app
        self._packer = Packer(folder)
        self._titles = titles
        self._with_charts = with_charts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back in its smallest form."""
        path = scope.get("path", "")
        sent = dict(scope.get("headers", ()))
        is_file = bool(PACKED.search(path) or FONT.search(path))
        is_page = path.strip("/") in self._titles
        if scope["type"] != "http" or scope["method"] != "GET" or b"range" in sent or not (is_file or is_page):
            await self._app(scope, receive, send)
            return
        start, body = await self._answer(scope, receive)
        headers = {name.lower(): value for name, value in start["headers"]}
        if start["status"] == 200 and len(body) < LARGEST:
            accepted = sent.get(b"accept-encoding", b"").decode("latin-1")
            body = await asyncio.to_thread(self._smallest, path, body, headers, accepted)
            # By content: a new version of the app has other icons under the same address.
            headers[b"etag"] = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
            headers.pop(b"last-modified", None)
            headers[b"content-length"] = str(len(body)).encode()
            if headers[b"etag"] in sent.get(b"if-none-match", b""):
                start, body = {**start, "status": 304}, b""
                headers.pop(b"content-length")
        await send({**start, "headers": list(headers.items())})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """The whole answer to a request as it is without compression and without a memory of the browser's."""
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))

        hidden = {b"accept-encoding", b"if-none-match", b"if-modified-since"}
        plain = [(name, value) for name, value in scope["headers"] if name not in hidden]
        await self._app({**scope, "headers": plain}, receive, collect)
        return start, bytes(body)

    def _smallest(self, path: str, content: bytes, headers: dict[bytes, bytes], accepted: str) -> bytes:
        """The body to send; its headers are changed in place."""
        if FONT.search(path):
            headers[b"cache-control"] = b"no-cache"
            return self._packer.font(path.rpartition("/")[2], content)
        if headers.get(b"content-type", b"").startswith(b"text/html"):
            address = path.strip("/")
            content = shell(content.decode(), self._titles[address], address in self._with_charts).encode()
        if small_charts.SCRIPT.search(path):
            headers[b"cache-control"] = b"no-cache"  # what is left out may change under the same name
            content = small_charts.reduced(content)
        names = {part.partition(";")[0].strip() for part in accepted.split(",")}
        headers[b"vary"] = b"Accept-Encoding"
        if encoding := next((name for name in ENCODINGS if name in names), None):
            content = self._packer.pack(content, encoding)
            headers[b"content-encoding"] = encoding.encode()
        return content


_CHARTS = """<script>
addEventListener("load", () => {
  const link = document.createElement("link");
  Object.assign(link, {rel: "modulepreload", href: "./static/js/CHUNK", crossOrigin: ""});
  document.head.append(link);
});
</script>"""

_SHELL = """<style>
.shell {font: 14px system-ui, sans-serif; padding: 4rem 2rem; max-width: 60rem; margin: auto; color: #11151a}
.shell h2 {font-size: 1.9rem; font-weight: 600; margin: .5rem 0 1rem}
.shell i {display: block; height: 1rem; margin: .8rem 0; border-radius: .3rem; background: #8884}
@media (prefers-color-scheme: dark) {body {background: #0f1418} .shell {color: #e6eaee}}
</style>
<div class="shell" role="status"><b>Defect Atlas</b><h2>TITLE</h2><p>Loading the page</p>
<i></i><i style="width: 80%"></i><i style="width: 60%"></i></div>"""


def shell(page: str, title: str, has_charts: bool) -> str:
    """Streamlit's page with a name and a skeleton, which its scripts replace when they run.

    Args:
        page: HTML of Streamlit.
        title: Of the page.
        has_charts: Whether the browser gets the library of charts while it waits for the page.
    """
    # The font comes when text needs it; asked for first it delays the scripts.
    page = re.sub(r'<link\s+rel="preload"[^>]*as="font"[^>]*>', "", page)
    page = page.replace("<title>Streamlit</title>", f"<title>{html.escape(title)} · Defect Atlas</title>")
    chunk = small_fonts.chart_library() if has_charts else ""
    if chunk:
        page = page.replace("</head>", f"{_CHARTS.replace('CHUNK', chunk)}</head>")
    return page.replace('<div id="root"></div>', f'<div id="root">{_SHELL.replace("TITLE", html.escape(title))}</div>')
