"""The HTTP API: answers against the engine's, refusals, limits, and random requests made from its own description."""

import io
import time

import numpy as np
import pandas as pd
import pytest
import schemathesis
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from ase.optimize import FIRE
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from app.api import MAX_BODY, make_api
from app.live import predictor
from engine.data_folder import DataFolder
from engine.queries import error_metrics
from engine.queries.scope import Scope
from precompute.workers import worker_envs

BUILT = DataFolder.default().root / "worker_envs"
"""Those of this machine; other tests have data folders of their own."""

CLUSTER = {"structure": "1\n\nCu 0 0 0\n", "models": ["emt"], "name": "a.xyz"}


@pytest.fixture
def store(store_folder, tmp_path, monkeypatch):
    """The small store beside the worker environments of this machine."""
    (tmp_path / "results.duckdb").symlink_to((store_folder / "results.duckdb").resolve())
    (tmp_path / "worker_envs").symlink_to(BUILT.resolve())
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def client(store):
    predictor.clear()
    with TestClient(make_api(), raise_server_exceptions=False) as made:
        yield made
    predictor.clear()


@pytest.fixture
def emt():
    if not worker_envs.is_built("emt", BUILT.parent):
        pytest.skip("worker environment 'emt' is not built; run: python -m precompute envs emt")


def copper() -> str:
    text = io.StringIO()
    write(text, bulk("Cu", cubic=True) * (2, 1, 1), format="extxyz")
    return text.getvalue()


def test_metrics_are_those_of_the_pages(client):
    answer = client.get("/metrics", params={"dataset": "al-cu", "align": "raw"})

    expected = error_metrics.dataset_metrics("raw", Scope.of("al-cu")).set_index("model_id")["force_rmse_mev_per_ang"]
    found = {row["model_id"]: row["force_rmse_mev_per_ang"] for row in answer.json()}
    assert answer.status_code == 200
    assert found == pytest.approx(expected.to_dict())


def test_a_table_of_the_store_comes_as_parquet(client):
    answer = client.get("/tables/models.parquet")

    assert set(pd.read_parquet(io.BytesIO(answer.content))["model_id"]) >= {"emt", "morse"}
    assert "models.parquet" in answer.headers["content-disposition"]


def test_the_store_comes_as_it_is(client, store):
    assert client.get("/store.duckdb").content == (store / "results.duckdb").read_bytes()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/metrics?dataset=nope", None, 404, "There is no dataset nope"),
        ("GET", "/tables/nope.parquet", None, 404, "There is no table nope"),
        ("GET", "/jobs/nope", None, 404, "Predict again"),
        ("POST", "/predict", {"structure": "not a structure", "models": ["emt"]}, 422, "no format that is read here"),
        ("POST", "/predict", {"structure": "3\n\nW 0 0 0\n", "models": ["emt"], "name": "a.xyz"}, 422, "ends after"),
        ("POST", "/predict", {"structure": "1\n\nCu 0 0 0\n", "models": ["nope"]}, 404, "nope"),
        ("POST", "/predict", {"structure": "1\n\nCu 0 0 0\n", "models": []}, 422, "models"),
        ("POST", "/predict", CLUSTER | {"task": "equation_of_state"}, 422, "all three directions"),
        ("POST", "/predict", CLUSTER | {"task": "relax", "relaxation": {"steps": 501}}, 422, "steps"),
        ("POST", "/predict", CLUSTER | {"task": "relax", "relaxation": {"cell": "free"}}, 422, "free cell"),
        ("POST", "/predict", CLUSTER | {"crystal": "not a structure"}, 422, "no format that is read here"),
    ],
)
def test_refusals_name_what_is_wrong(client, method, path, body, status, said):
    answer = client.request(method, path, json=body)

    assert answer.status_code == status
    assert said in answer.text


def test_a_body_that_is_too_large_is_not_read(client):
    answer = client.post("/predict", content=b"x" * (MAX_BODY + 1), headers={"content-type": "application/json"})

    assert answer.status_code == 413


def test_a_prediction_is_that_of_the_potential(client, emt):
    answer = client.post("/predict", json={"structure": copper(), "models": ["emt"], "name": "cu.xyz"})
    assert answer.status_code == 202
    job = finished(client, answer.json()["id"])

    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.calc = EMT()
    (task,) = job["tasks"]
    assert task["state"] == "done", task
    assert task["energy"] == pytest.approx(atoms.get_potential_energy())
    assert np.allclose(task["forces"], atoms.get_forces(), atol=1e-8)
    assert task["origin"]["device"] == "cpu"


def test_a_relaxation_beside_its_crystal_gives_the_energy_of_a_vacancy(client, emt):
    perfect = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms = perfect.copy()
    del atoms[3]
    text = io.StringIO()
    write(text, atoms, format="extxyz")
    body = {"structure": text.getvalue(), "models": ["emt"], "name": "v.xyz", "task": "relax", "crystal": copper()}
    job = finished(client, client.post("/predict", json=body | {"relaxation": {"fmax": 0.02}}).json()["id"])

    atoms.calc = EMT()
    FIRE(atoms, logfile=None).run(fmax=0.02, steps=200)
    perfect.calc = EMT()
    (task,) = job["tasks"]
    assert (job["task"], task["relaxation"]["is_converged"]) == ("relax", True)
    assert task["energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    expected = atoms.get_potential_energy() - 31 / 32 * perfect.get_potential_energy()
    assert task["defect_energy"] == pytest.approx(expected, abs=1e-4)
    assert len(task["relaxation"]["frame_positions"]) == len(task["relaxation"]["frame_energies"])


def test_an_equation_of_state_comes_with_its_fit(client, emt):
    body = {"structure": copper(), "models": ["emt"], "name": "cu.xyz", "task": "equation_of_state"}
    job = finished(client, client.post("/predict", json=body | {"scan": {"n_volumes": 7}}).json()["id"])

    curve = job["tasks"][0]["equation_of_state"]
    assert len(curve["volumes"]) == 7
    assert 120 < curve["bulk_modulus_gpa"] < 145  # EMT in ASE: 134 GPa; experiment: 137
    assert job["tasks"][0]["defect_energy"] is None


def test_the_limit_of_the_page_holds_here_too(client, emt, monkeypatch):
    monkeypatch.setattr("precompute.live.shares.MAX_JOBS_PER_SESSION", 0)

    answer = client.post("/predict", json={"structure": copper(), "models": ["emt"], "name": "cu.xyz"})

    assert answer.status_code == 429
    assert "still open" in answer.json()["detail"]


def test_a_job_can_be_cancelled(client, emt):
    job = client.post("/predict", json={"structure": copper(), "models": ["emt"], "name": "cu.xyz"}).json()["id"]

    assert client.delete(f"/jobs/{job}").status_code == 200  # a worker may have taken it a moment before
    assert finished(client, job)["tasks"][0]["state"] in ("cancelled", "done")


def finished(client, job: str) -> dict:
    deadline = time.monotonic() + 120
    while (found := client.get(f"/jobs/{job}").json())["is_open"]:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


described = schemathesis.openapi.from_asgi("/openapi.json", make_api())


@pytest.mark.usefixtures("store")
@described.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_random_requests_get_the_answers_that_are_described(case):
    case.call_and_validate(checks=[not_a_server_error, status_code_conformance, response_schema_conformance])
