"""What those who run a server need: health, counts for monitoring, headers of every answer, and a warm start."""

import functools
import gc
import importlib
import pkgutil
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import env_util, net_util, runtime

from app import login
from app.live import predictor
from engine.errors import EngineError
from engine.queries import catalog

# Streamlit's own scripts need inline code and eval (charts), so no policy on scripts; the rest can be bounded. Pictures
# come from this server alone, so that no text of a dataset can make a browser tell others what a visitor looks at.
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"permissions-policy": b"camera=(), microphone=(), geolocation=()",
    b"content-security-policy": (
        b"frame-ancestors 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
        b"media-src 'self' data: blob:; img-src 'self' data: blob:; connect-src 'self' data: blob: ws: wss:"
    ),
}

FILES_PER_SESSION = 4
UPLOADED_BYTES = 200_000_000


def health(request: Request) -> Response:
    """`/healthz`: 200 where pages have a store to show, else 503 with the reason in one sentence."""
    try:
        info = catalog.store_info()
    except EngineError as error:
        return JSONResponse({"status": "no store", "reason": str(error)}, status_code=503)
    return JSONResponse({"status": "ok", "data_version": info.data_version})


def metrics(request: Request) -> Response:
    """`/metrics` for Prometheus: memory, and the queue, the jobs and the warm models of live prediction."""
    counts = predictor().counts()
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = {
        "peak_memory_bytes": ("gauge", "Most memory that the server's process has used", peak),
        "live_waiting": ("gauge", "Predictions that wait for a worker", counts["waiting"]),
        "live_computing": ("gauge", "Predictions at work", counts["computing"]),
        "live_done_total": ("counter", "Predictions that ended since the start", counts["ended"]),
        "live_warm_models": ("gauge", "Models that are loaded", counts["warm"]),
    }
    lines = [
        f"# HELP defect_atlas_{name} {text}\n# TYPE defect_atlas_{name} {kind}\ndefect_atlas_{name} {value}"
        for name, (kind, text, value) in rows.items()
    ]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


ROUTES = [Route("/healthz", health), Route("/metrics", metrics)]


class SecurityHeaders:
    """Adds `HEADERS` to every answer that does not have them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back with the headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                added = [(name, value) for name, value in HEADERS.items() if name not in there]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class UploadLimits:
    """Bounds what uploads take in memory, whether or not a page ever asks for them.

    A session keeps its last files, since a page shows two at most; where all sessions together hold too much, a new
    file is refused.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make room for an upload, or refuse it."""
        _, is_upload, rest = str(scope.get("path", "")).partition("/_stcore/upload_file/")
        if is_upload and scope.get("method") == "PUT" and runtime.exists():
            manager: Any = runtime.get_instance().uploaded_file_mgr
            held: dict[str, dict[str, Any]] = manager.file_storage
            session = rest.partition("/")[0]
            for file in list(held.get(session, ()))[: 1 - FILES_PER_SESSION or None]:
                manager.remove_file(session, file)
            if sum(len(file.data) for files in list(held.values()) for file in list(files.values())) > UPLOADED_BYTES:
                refusal = PlainTextResponse("This server holds too many files now; try again later.", 503)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


# Streamlit asks a public server for this one's address whenever a foreign page asks for something, and waits; once is
# enough, also where there is no answer.
net_util.get_external_ip = functools.cache(net_util.get_external_ip)
# To warn those who draw outside a server, Streamlit reads where every module came from, while the first visitor waits.
env_util.is_repl = lambda: False

MIDDLEWARE = [Middleware(SecurityHeaders), Middleware(UploadLimits), Middleware(login.ClosedInterface)]


@asynccontextmanager
async def warm_start(app: Any) -> AsyncIterator[dict[str, Any]]:
    """Load what pages import before the first visitor, and let the garbage collector forget it.

    To collect garbage is to walk all objects there are, and those that stay for good are most of them.
    """
    for package in ("app.figures", "app.sections", "app.structures", "engine.queries", "engine.numerics"):
        _import_all(importlib.import_module(package))
    gc.freeze()
    gc.enable()
    yield {}


def _import_all(package: ModuleType) -> None:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)
