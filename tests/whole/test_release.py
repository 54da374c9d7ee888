"""One version everywhere, a citation that tools can read, log lines that machines can, and stores of older versions."""

import io
import json
import logging
import os
import re
import subprocess
import tarfile

import duckdb
import numpy as np
import pytest
import yaml
from ase.build import bulk
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app import logs
from engine.data_folder import ROOT, DataFolder
from engine.errors import StoreError
from engine.logs import SETTING, JsonLines
from engine.queries import catalog
from engine.records import Configuration, write_configurations
from engine.store.connection import SCHEMA_VERSION
from engine.version import VERSION
from precompute.__main__ import make_parser
from precompute.jobs import build as building
from precompute.progress import say


def test_the_citation_names_the_version_and_has_what_its_format_requires():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    # Required by the Citation File Format 1.2.0; `make docs` checks the file against its schema.
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == VERSION
    assert all({"name"} <= one.keys() or {"family-names"} <= one.keys() for one in citation["authors"])
    assert citation["license"] == (ROOT / "LICENSE").read_text().split()[0]


def test_the_changelog_begins_with_this_version():
    heading = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading
    assert heading[1] == ("Unreleased" if ".dev" in VERSION else VERSION)


def test_the_command_line_says_its_version(capsys):
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--version"])
    assert capsys.readouterr().out == f"Defect Atlas {VERSION}\n"


@pytest.fixture
def structured(monkeypatch):
    monkeypatch.setenv(SETTING, "json")
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    logs.REQUESTS.addHandler(handler)
    logs.REQUESTS.setLevel(logging.INFO)
    yield written
    logs.REQUESTS.removeHandler(handler)


def test_a_request_is_one_line_without_what_a_visitor_sent(structured):
    app = Starlette(
        routes=[Route("/here", lambda request: PlainTextResponse("yes"))], middleware=[Middleware(logs.RequestLog)]
    )
    with TestClient(app) as client:
        client.get("/here?secret=1")
        client.get("/nowhere")
    first, second = map(json.loads, structured.getvalue().splitlines())
    assert (first["method"], first["path"], first["status"]) == ("GET", "/here", 200)
    assert second["status"] == 404
    assert "secret" not in structured.getvalue()
    assert first["ms"] >= 0


def test_without_the_setting_requests_are_not_logged(structured, monkeypatch):
    monkeypatch.delenv(SETTING)
    app = Starlette(routes=[], middleware=[Middleware(logs.RequestLog)])
    with TestClient(app) as client:
        client.get("/nowhere")
    assert structured.getvalue() == ""


def test_progress_and_tracebacks_are_lines_of_json(structured, capsys):
    say('a "line" of progress')
    found = json.loads(capsys.readouterr().err)
    assert (found["event"], found["level"]) == ('a "line" of progress', "info")
    try:
        raise ValueError("no")
    except ValueError:
        logs.REQUESTS.exception("failed")
    (line,) = structured.getvalue().splitlines()
    assert "ValueError: no" in json.loads(line)["traceback"]


def test_a_store_of_an_older_schema_is_refused_and_replaced_by_a_build(tmp_path, monkeypatch):
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    monkeypatch.setattr(building, "embedded_summary", lambda dataset_id: tmp_path / "none" / dataset_id)
    old = tmp_path / "results-old.duckdb"
    with duckdb.connect(str(old)) as connection:
        connection.execute("create table store_info as select 1 as schema_version, 'old' as data_version")
    (tmp_path / "results.duckdb").symlink_to(old.name)
    with pytest.raises(StoreError, match=rf"expected {SCHEMA_VERSION}\. Run: python -m precompute build"):
        catalog.store_info()

    atoms = bulk("Cu", cubic=True)
    cell = Configuration("cu-0", "g", atoms.numbers, atoms.positions, np.array(atoms.cell), (True,) * 3, 0.0)
    write_configurations(DataFolder(tmp_path).configurations("cu-snap"), [cell])
    built = building.build(DataFolder(tmp_path))

    assert catalog.store_info().data_version == built.path.stem.removeprefix("results-")


def test_a_backup_has_what_cost_time_and_nothing_that_can_be_made_again(tmp_path):
    data = tmp_path / "data"
    kept = ("predictions/w-g/emt/1/a.parquet", "imported/w-g/b.parquet", "datasets/my.parquet", "datasets.toml",
            "costs/c.json")  # fmt: skip
    left = ("worker_envs/emt/bin/python", "results-1.duckdb", "results.duckdb", "weights/m/w.pt", "downloads/z.zip",
            "logs/l")  # fmt: skip
    for name in (*kept, *left):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name)
    page = (ROOT / "docs/howto/operate.md").read_text()
    (command,) = re.findall(r"^tar .*$", page, re.MULTILINE)
    environment = {**os.environ, "DEFECT_ATLAS_DATA": str(data)}
    subprocess.run(["bash", "-euc", command], cwd=tmp_path, env=environment, check=True)
    with tarfile.open(tmp_path / "backup.tar.gz") as archive:
        names = {one.name.removeprefix("./") for one in archive.getmembers() if one.isfile()}
    assert names == set(kept)
