"""Health, counts, headers and the warm start of the server."""

import inspect
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit import config
from streamlit.runtime.scriptrunner import script_runner

from app import operations
from app.live import predictor
from app.operations import FILES_PER_SESSION, HEADERS, MIDDLEWARE, ROUTES, UploadLimits
from engine.data_folder import ROOT


@pytest.fixture
def client():
    predictor.clear()
    with TestClient(Starlette(routes=ROUTES, middleware=MIDDLEWARE)) as made:
        yield made
    predictor.clear()


def test_a_server_with_a_store_is_healthy_and_names_its_data(store, client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "data_version": "test"})


def test_a_server_without_a_store_is_not_and_says_what_to_do(tmp_path, monkeypatch, client):
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert "Run: make demo" in answer.json()["reason"]


def test_counts_are_in_the_format_of_prometheus(store, client):
    lines = client.get("/metrics").text.splitlines()
    values = dict(line.split() for line in lines if not line.startswith("#"))
    assert {"defect_atlas_live_waiting", "defect_atlas_live_computing", "defect_atlas_live_warm_models"} < values.keys()
    assert float(values["defect_atlas_peak_memory_bytes"]) > 50e6
    assert values["defect_atlas_live_waiting"] == "0"
    for name in values:
        assert any(re.fullmatch(rf"# TYPE {name} (gauge|counter)", line) for line in lines)


def test_every_answer_has_the_headers(client):
    for address in ("/healthz", "/metrics", "/nowhere"):
        answer = client.get(address)
        for name, value in HEADERS.items():
            assert answer.headers[name.decode()] == value.decode(), address


def test_a_warm_start_loads_the_modules_of_pages_and_takes_them_out_of_the_garbage_collection():
    program = (
        "import asyncio, gc, sys\n"
        "from app.operations import warm_start\n"
        "async def main():\n"
        "    async with warm_start(None):\n"
        "        print(*(name in sys.modules for name in ('app.figures.error_plots', 'plotly.graph_objs')))\n"
        "        print(gc.get_freeze_count())\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    figures, plotly, frozen = done.stdout.split()
    assert (figures, plotly) == ("True", "True")
    assert int(frozen) > 100_000


def test_pictures_and_connections_of_other_servers_are_forbidden_to_the_browser():
    policy = HEADERS[b"content-security-policy"].decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for name in ("img-src", "media-src", "connect-src", "form-action", "base-uri", "frame-ancestors"):
        assert "'self'" in rules[name]
        assert "http" not in rules[name]
        assert "*" not in rules[name]


class _Held:
    """Streamlit's store of files."""

    def __init__(self, **sizes: list[int]) -> None:
        self.file_storage = {
            session: {str(k): SimpleNamespace(data=b"x" * size) for k, size in enumerate(found)}
            for session, found in sizes.items()
        }

    def remove_file(self, session_id: str, file_id: str) -> None:
        del self.file_storage[session_id][file_id]


@pytest.fixture
def upload(monkeypatch):
    """Put a file into a server that holds some already."""

    def put(held: _Held, session: str) -> int:
        found = SimpleNamespace(uploaded_file_mgr=held)
        monkeypatch.setattr(operations.runtime, "exists", lambda: True)
        monkeypatch.setattr(operations.runtime, "get_instance", lambda: found)
        taken = Route("/_stcore/upload_file/{session}/{file}", lambda request: PlainTextResponse("ok"), methods=["PUT"])
        with TestClient(Starlette(routes=[taken], middleware=[Middleware(UploadLimits)])) as client:
            return client.put(f"/_stcore/upload_file/{session}/new", content=b"x").status_code

    return put


def test_a_session_keeps_its_last_files(upload):
    held = _Held(me=[1] * 60, you=[1])
    assert upload(held, "me") == 200
    assert list(held.file_storage["me"]) == [str(k) for k in range(60 - FILES_PER_SESSION + 1, 60)]
    assert len(held.file_storage["you"]) == 1


def test_uploads_of_all_sessions_together_are_bounded(upload, monkeypatch):
    monkeypatch.setattr(operations, "UPLOADED_BYTES", 1000)
    assert upload(_Held(a=[400], b=[400]), "new") == 200
    assert upload(_Held(a=[600], b=[600]), "new") == 503


def test_the_address_of_this_server_is_looked_up_once():
    assert hasattr(operations.net_util.get_external_ip, "cache_info")


def test_no_visitor_waits_for_the_garbage_of_another():
    # A hidden setting: a Streamlit without it collects after every run again, and stops all visitors for that time.
    assert config.get_option("runner.postScriptGC") is False
    assert 'get_option("runner.postScriptGC")' in inspect.getsource(script_runner)
