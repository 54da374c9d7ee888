"""Log lines of the server as JSON, one for every request too: `DEFECT_ATLAS_LOGS=json`."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.logs import JsonLines, is_structured

REQUESTS = logging.getLogger("defect_atlas.requests")


def configure() -> None:
    """Make every logger of the process write JSON lines to standard error, where that is asked for.

    Streamlit gives each of its loggers a handler of its own, so all that exist are gone through.
    """
    if not is_structured():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], force=True)
    REQUESTS.setLevel(logging.INFO)
    for name in list(logging.root.manager.loggerDict):
        for own in logging.getLogger(name).handlers:
            own.setFormatter(JsonLines())


class RequestLog:
    """Writes method, path, status and milliseconds of each answer; no address, no query, no body of a visitor."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log its answer."""
        if scope["type"] != "http" or not is_structured():
            await self._app(scope, receive, send)
            return
        status, start = 500, time.perf_counter()  # where nothing is answered, the server says 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            fields = {
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "ms": round(1e3 * (time.perf_counter() - start), 1),
            }
            REQUESTS.info("request", extra={"fields": fields})
