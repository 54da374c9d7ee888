"""Pretrained models give the numbers of their own package, through our adapter, worker and batches."""

import json
from pathlib import Path

import numpy as np
import pytest

from engine.data_folder import DataFolder
from engine.records import Configuration, read_predictions, write_configurations
from engine.registry.models import get_model
from precompute.workers.process import Worker
from precompute.workers.worker_envs import why_not_runnable, worker_command
from tests.golden.record import structures

pytestmark = pytest.mark.family

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = sorted(path.stem for path in GOLDEN.glob("*.json"))
# Single precision: sums run in another order in a batch.
EV_PER_ATOM = 5e-6
# M3GNet of matgl 2.0.4 and 4 build their three-body bonds a little differently.
EV_PER_ATOM_M3GNET = 2e-4
EV_PER_ANG = 3e-4
EV_PER_ANG3 = 3e-5


def test_there_are_golden_values_of_at_least_twelve_models():
    assert len(MODELS) >= 12


@pytest.mark.parametrize("model_id", MODELS)
def test_numbers_are_those_of_the_package_itself(model_id, tmp_path):
    folder = DataFolder.default()
    model = get_model(model_id)
    if reason := why_not_runnable(model, folder):
        pytest.skip(reason)
    golden = json.loads((GOLDEN / f"{model_id}.json").read_text())
    made = structures()
    write_configurations(
        tmp_path / "in.parquet",
        [
            Configuration(name, "g", a.numbers, a.positions, np.array(a.cell), (True, True, True))
            for name, a in made.items()
        ],
    )
    worker = Worker(worker_command(model, folder, "cpu", max_edges=10**6), tmp_path / "log")
    try:
        worker.start()
        worker.request(tmp_path / "in.parquet", tmp_path / "out.parquet")
    finally:
        worker.kill()
    found = {p.config_id: p for p in read_predictions(tmp_path / "out.parquet")}
    for name, wanted in golden.items():
        assert found[name].status == "ok", found[name].reason
        tolerance = EV_PER_ATOM_M3GNET if model_id.startswith("m3gnet") else EV_PER_ATOM
        assert found[name].energy == pytest.approx(wanted["energy"], abs=tolerance * len(made[name]))
        np.testing.assert_allclose(found[name].forces, wanted["forces"], atol=EV_PER_ANG)
        np.testing.assert_allclose(found[name].stress, wanted["stress"], atol=EV_PER_ANG3)
