"""Health, counts, headers and the warm start of the server."""

import re
import subprocess
import sys

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.live import predictor
from app.operations import HEADERS, MIDDLEWARE, ROUTES
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
