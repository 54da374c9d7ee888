"""What the build takes over from the files of predictions."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pytest
from ase.build import bulk

from engine.data_folder import DataFolder
from engine.queries import catalog, error_metrics
from engine.records import Configuration, Prediction, RunRecord, write_configurations, write_predictions
from engine.registry.datasets import get_dataset
from engine.registry.models import get_model, load_models
from engine.store.rows import Cost, Run
from precompute.__main__ import main
from precompute.acquire.weights import Checkpoint
from precompute.jobs.build import _costs, _runs, build, comparable_pairs


def _run(folder: Path, *records: dict[str, str]) -> list[Run]:
    paths = [folder / f"{k}.parquet" for k in range(len(records))]
    for path, record in zip(paths, records, strict=True):
        write_predictions(path, [Prediction("a", "0", "failed", "no edge")], RunRecord.from_metadata(record))
    return list(_runs(get_dataset("w-g"), get_model("emt"), paths))


def test_a_run_keeps_precision_d3_and_options_of_its_files(tmp_path):
    record = {"origin": "computed", "pid": "1", "d3": "no", "options": '{"modal": "PBE"}', "wall_seconds": "2"}
    # A file whose configurations all failed cannot tell its precision.
    [run] = _run(tmp_path, record | {"dtype": "float32"}, record | {"dtype": ""})
    assert (run.dtype, run.d3, run.options, run.note) == ("float32", "no", '{"modal": "PBE"}', "")
    assert run.wall_seconds == pytest.approx(4.0)


def test_files_from_before_these_keys_leave_them_empty(tmp_path):
    [run] = _run(tmp_path, {"origin": "computed", "pid": "1"})
    assert (run.dtype, run.d3, run.options) == ("", "", "")


def test_what_is_inferred_about_imported_numbers_is_a_note_and_no_option(tmp_path):
    [run] = _run(tmp_path, {"origin": "imported", "options": "name inferred", "file_sha256": "1"})
    assert (run.options, run.note) == ("", "name inferred")


@pytest.fixture(autouse=True)
def no_summaries(tmp_path, monkeypatch):
    """Stores of these tests hold what the tests put there, without the summaries that come with the repository."""
    monkeypatch.setattr("precompute.jobs.build.embedded_summary", lambda dataset_id: tmp_path / "none" / dataset_id)


@pytest.fixture
def folder(tmp_path) -> DataFolder:
    """A data folder with one small dataset."""
    atoms = bulk("Cu", cubic=True)
    cell = Configuration("cu-0", "g", atoms.numbers, atoms.positions, np.array(atoms.cell), (True,) * 3, 0.0)
    write_configurations(DataFolder(tmp_path).configurations("cu-snap"), [cell])
    return DataFolder(tmp_path)


def _count(store: Path, table: str) -> int:
    with duckdb.connect(str(store.resolve()), read_only=True) as connection:
        return connection.execute(f"select count(*) from {table}").fetchone()[0]


def test_two_builders_at_once_publish_one_whole_store_each(folder):
    with ThreadPoolExecutor(2) as executor:
        built = [job.result() for job in [executor.submit(build, folder) for _ in range(2)]]
    assert built[0].path != built[1].path
    assert all(_count(one.path, "configurations") == 1 for one in built)
    assert _count(folder.store, "datasets") > 1


def test_what_a_killed_build_left_is_cleaned_by_the_next(folder):
    for name in ("results-1.building", "results-1.building.wal"):
        (folder.root / name).write_text("half")
    build(folder)
    assert not [*folder.root.glob("*.building"), *folder.root.glob("*.wal")]


def test_one_bad_shard_is_named_and_left_out(folder):
    target = folder.predictions("cu-snap", "emt", Checkpoint(get_model("emt"), folder).fingerprint)
    target.mkdir(parents=True)
    (target / "bad.parquet").write_bytes(b"PAR1")
    built = build(folder)
    assert "bad.parquet cannot be read" in built.left_out[0]
    assert _count(folder.store, "configurations") == 1


def test_an_empty_cost_file_is_named_and_skipped(folder):
    folder.costs.mkdir()
    (folder.costs / "emt-cpu-1.json").write_text("")
    left_out: list[str] = []
    list(_costs(folder, left_out))
    assert "emt-cpu-1.json is no cost" in left_out[0]


def test_costs_from_before_occasions_are_of_their_day():
    cost = Cost("emt", "cpu", "a machine", 1, 125, 1, 1.0, 8.0, 100.0, "computed", "2026-01-02 03:04:05")
    assert (cost.occasion, cost.yardstick_ms) == ("2026-01-02", None)


def _cells(moved: float) -> list[Configuration]:
    return [
        Configuration(
            f"cu-{k}", "aimd", np.array([29, 29]), np.array([[0, 0, 0], [1.8, 1.8, 0.1 * k + moved]]), 3.6 * np.eye(3),
            (True,) * 3, -7.0 - moved, np.zeros((2, 3)),
        )
        for k in range(12)
    ]  # fmt: skip


def test_labels_replaced_with_moved_atoms_are_met_by_no_old_prediction(tmp_path, monkeypatch, capsys):
    """Twelve configurations were predicted, then replaced under the same ids, then four of them predicted again."""
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    folder, emt = DataFolder(tmp_path), get_model("emt")
    old, new = _cells(0.0), _cells(0.3)
    write_configurations(folder.configurations("cu-snap"), new)
    target = folder.predictions("cu-snap", "emt", Checkpoint(emt, folder).fingerprint)
    for name, cells in (("1", old), ("2", new[:4]), ("3", new[:4])):  # the same four twice
        rows = [Prediction(c.config_id, c.geometry_hash, "ok", energy=c.energy, forces=c.forces) for c in cells]
        write_predictions(target / f"{name}.parquet", rows, RunRecord(origin="computed", pid=int(name)))
    build(folder)
    metrics = error_metrics.dataset_metrics("raw").set_index("model_id").loc["emt"]
    assert metrics["n_configs"] == 4  # neither 12 nor 24
    assert metrics["energy_rmse_mev_per_atom"] == pytest.approx(0.0, abs=1e-9)  # an old one would be off by 150
    assert len(catalog.runs()) == 1  # of the run of old geometries nothing is left
    monkeypatch.setattr("sys.argv", ["precompute", "status", "--dataset", "cu-snap", "--model", "emt", "--json"])
    assert main() == 0
    assert json.loads(capsys.readouterr().out)[0]["n_done"] == 4


def test_models_of_another_functional_or_with_dispersion_are_not_ranked():
    comparable = comparable_pairs(load_models().values(), [get_dataset("w-g")])
    ids = ["chgnet-0.3.0", "chgnet-r2scan", "orb-d3-v2", "eam-zhou-2004"]
    assert comparable.models(ids, "w-g", is_raw=False) == ["chgnet-0.3.0", "eam-zhou-2004"]
    assert comparable.models(ids, "w-g", is_raw=True) == ["chgnet-0.3.0"]  # EAM's zero is its own
