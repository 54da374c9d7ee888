"""Local environments of a dataset are described once, and force errors follow by class."""

import duckdb
import numpy as np
import pytest
from ase.build import bulk

from engine.data_folder import DataFolder
from engine.numerics.metrics import rmse_bounds
from engine.records import Configuration
from engine.store.builder import SCHEMA
from engine.store.environments import insert_class_metrics
from precompute.jobs import describe as job


def _crystal(name: str, group: str, n: int) -> Configuration:
    atoms = bulk("W", cubic=True).repeat((n, 1, 1))
    return Configuration(name, group, atoms.numbers, atoms.positions, atoms.cell.array, (True, True, True))


def test_a_described_dataset_is_read_and_not_computed_again(tmp_path, monkeypatch):
    here, folder = [_crystal("a", "bulk", 1), _crystal("b", "bulk", 2)], DataFolder(tmp_path)
    first = job.describe("w", here, folder)
    monkeypatch.setattr(job, "classify", None)  # a second computation would fail
    again = job.describe("w", here, folder)
    assert [len(again[name].classes) for name in ("a", "b")] == [2, 4]
    assert again["b"].soap == pytest.approx(first["b"].soap)
    assert again["b"].sampled.tolist() == [0, 1, 2, 3]


def test_moved_atoms_are_described_anew(tmp_path):
    folder = DataFolder(tmp_path)
    job.describe("w", [_crystal("a", "bulk", 1)], folder)
    assert len(job.describe("w", [_crystal("a", "bulk", 3)], folder)["a"].classes) == 6


def test_a_file_that_cannot_be_read_is_made_again(tmp_path):
    folder = DataFolder(tmp_path)
    path = folder.environments("w")
    path.parent.mkdir()
    path.write_bytes(b"no parquet")
    assert len(job.describe("w", [_crystal("a", "bulk", 1)], folder)["a"].classes) == 2


def test_a_sample_has_no_more_atoms_of_a_group_than_asked_and_is_the_same_every_time():
    here = [_crystal("a", "bulk", 5), _crystal("b", "bulk", 5), _crystal("c", "rattled", 1)]
    drawn = job.sample_atoms(here, per_group=6)
    assert len(drawn["a"]) + len(drawn.get("b", [])) == 6
    assert drawn["c"] == [0, 1]
    assert drawn == job.sample_atoms(here, per_group=6)


def insert_forces(con, name, cluster, labels, predicted, classes):
    """A configuration of tungsten with labels, classes of its atoms, and one model's forces."""
    con.execute(
        "insert into configurations (dataset_id, config_id, group_name, cluster_name, in_dataset, numbers, forces)"
        " values ('w', $name, 'gb', $cluster, true, $numbers, $labels)",
        {"name": name, "cluster": cluster, "numbers": [74] * len(labels), "labels": np.ravel(labels).tolist()},
    )
    con.execute(
        "insert into predictions (dataset_id, model_id, config_id, status, forces) values ('w', 'm', $name, 'ok', $f)",
        {"name": name, "f": np.ravel(predicted).tolist()},
    )
    con.execute("insert into environment_classes values ('w', $name, $classes)", {"name": name, "classes": classes})


def test_errors_by_class_are_of_its_atoms_alone():
    con = duckdb.connect()
    con.execute(SCHEMA.read_text(encoding="utf-8"))
    # Two surface atoms: squares of errors 0.09 + 0.27 over six components; reference 1 and 2 along x.
    rows = [(1.0, 0.0, 0.0), (1.0, -0.3, 0.0), (2.0, -0.3, float(np.sqrt(0.18)))]
    labels = [[reference, 0.0, 0.0] for reference, _, _ in rows]
    predicted = [[reference + along, across, 0.0] for reference, along, across in rows]
    insert_forces(con, "a", "", labels, predicted, [0, 2, 2])
    insert_class_metrics(con, "w")
    found = con.execute(
        "select * exclude (dataset_id, model_id) from class_metrics where group_name = 'all'"
    ).fetchall()
    by_class = {row[1]: row[2:] for row in found}
    assert by_class["bulk-like"] == (1, 1, 0.0, 1.0, None, None, 1)  # no bounds from one cluster
    n_configs, n_atoms, rmse, slope, *_ = by_class["surface"]
    assert (n_configs, n_atoms) == (1, 2)
    assert rmse == pytest.approx(1000 * np.sqrt(0.36 / 6), rel=1e-5)
    assert slope == pytest.approx(1 - (0.3 + 0.6) / 5, rel=1e-5)  # predicted 0.7 and 1.7: (0.7 + 3.4) / 5


def test_bounds_by_class_are_those_of_the_clusters_of_its_atoms():
    """Eight configurations in seven clusters, each with a bulk-like atom that is right and one at a surface."""
    con = duckdb.connect()
    con.execute(SCHEMA.read_text(encoding="utf-8"))
    errors = [0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.4, 0.5]
    clusters = ["a", "b", "c", "d", "e", "f", "g", "g"]
    for k, (error, cluster) in enumerate(zip(errors, clusters, strict=True)):
        labels = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
        insert_forces(con, str(k), cluster, labels, [labels[0], [1.0 + error, 0.0, 0.0]], [0, 2])
    insert_class_metrics(con, "w")
    columns = "force_rmse_mev_per_ang, force_rmse_mev_per_ang_lo, force_rmse_mev_per_ang_hi, n_clusters"
    found = con.execute(
        f"select {columns} from class_metrics where class_name = 'surface' order by group_name"
    ).fetchall()
    low, high = rmse_bounds(np.square(errors), np.full(8, 3.0), clusters)
    rmse = np.sqrt(np.square(errors).sum() / 24)
    assert found == [pytest.approx((1000 * rmse, 1000 * low, 1000 * high, 7), rel=1e-6)] * 2  # of all, and of the group
    assert low < rmse < high
