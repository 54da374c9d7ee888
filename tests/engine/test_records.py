import dataclasses

import numpy as np
import pytest

from engine.records import (
    Configuration,
    Prediction,
    RunRecord,
    read_configurations,
    read_predictions,
    read_run_record,
    write_configurations,
    write_predictions,
)


@pytest.fixture
def dimer() -> Configuration:
    return Configuration(
        "cu-1", "dimer", np.array([29, 29]), np.array([[0.0, 0, 0], [0, 0, 2.5]]), 12 * np.eye(3),
        (True, True, False), energy=-3.5, forces=np.array([[0, 0, 0.1], [0, 0, -0.1]]), stress=np.arange(6.0),
    )  # fmt: skip


def test_configurations_survive_the_file(tmp_path, dimer):
    write_configurations(tmp_path / "c.parquet", [dimer])
    (back,) = read_configurations(tmp_path / "c.parquet")
    assert (back.config_id, back.group_name, back.pbc, back.energy) == ("cu-1", "dimer", (True, True, False), -3.5)
    for name in ("numbers", "positions", "cell", "forces", "stress"):
        np.testing.assert_array_equal(getattr(back, name), getattr(dimer, name))
    assert back.geometry_hash == dimer.geometry_hash


def test_geometry_hash_sees_geometry_and_nothing_else(dimer):
    moved = dataclasses.replace(dimer, positions=dimer.positions + 1e-9, geometry_hash="")
    relabelled = dataclasses.replace(dimer, energy=0.0, config_id="other", geometry_hash="")
    assert moved.geometry_hash != dimer.geometry_hash
    assert relabelled.geometry_hash == dimer.geometry_hash


def test_predictions_and_their_origin_survive_the_file(tmp_path):
    good = Prediction("a", "h", "ok", energy=-1.0, forces=np.ones((2, 3)), stress=None, wall_seconds=0.5)
    bad = Prediction("b", "h", "failed", reason="no edge")
    write_predictions(tmp_path / "p.parquet", [good, bad], RunRecord(device="cpu"))
    first, second = read_predictions(tmp_path / "p.parquet")
    np.testing.assert_array_equal(first.forces, np.ones((2, 3)))
    assert (second.status, second.reason, second.energy, second.forces) == ("failed", "no edge", None, None)
    assert read_run_record(tmp_path / "p.parquet") == RunRecord(device="cpu")


def test_a_file_under_its_name_is_complete(tmp_path, dimer):
    write_configurations(tmp_path / "c.parquet", [dimer])
    assert [p.name for p in tmp_path.iterdir()] == ["c.parquet"]


def test_a_run_record_comes_back_from_a_file_with_its_types(tmp_path):
    record = RunRecord(
        origin="computed", model_id="emt", options='{"asap": true}', d3=False, n_threads=1, pid=7, max_edges=4000,
        wall_seconds=0.25, started_at="2026-01-01T00:00:00+00:00", note="by hand",
    )  # fmt: skip
    write_predictions(tmp_path / "p.parquet", [Prediction("a", "h", "failed", "no edge")], record)
    assert read_run_record(tmp_path / "p.parquet") == record


def test_an_older_import_kept_its_note_as_options():
    old = RunRecord.from_metadata({"origin": "imported", "options": "Size is inferred.", "n_threads": "", "pid": ""})
    assert (old.note, old.options, old.n_threads) == ("Size is inferred.", "", None)
    new = RunRecord(origin="imported", options='{"modal": "PBE"}')
    assert RunRecord.from_metadata(new.to_metadata()) == new
