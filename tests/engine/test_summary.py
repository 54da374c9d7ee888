"""A summary of a dataset has all that pages rank and map, and none of its atoms."""

import duckdb
import pyarrow.parquet as pq
import pytest

from engine.errors import StoreError
from engine.queries import configurations
from engine.store import summary
from engine.store.connection import SETTINGS


def rows(folder, table):
    """Rows of a table on the dataset, sorted."""
    with duckdb.connect(str((folder / "results.duckdb").resolve()), read_only=True, config=SETTINGS) as connection:
        return connection.execute(f"select * from {table} where dataset_id = 'al-cu' order by all").fetchall()


def to_single_precision(row):
    """The row, to be compared with one whose errors went through single precision."""
    return tuple(pytest.approx(v, rel=1e-6, nan_ok=True) if isinstance(v, float) else v for v in row)


@pytest.mark.parametrize("table", ["errors", "dataset_metrics", "ranks", "macro_metrics", "runs", "ensemble_metrics"])
def test_a_store_from_a_summary_ranks_and_maps_like_the_whole_one(store_folder, summary_store, table):
    assert rows(store_folder, table)
    assert rows(summary_store, table) == [to_single_precision(row) for row in rows(store_folder, table)]


def test_a_store_from_a_summary_has_no_atoms(summary_store):
    assert rows(summary_store, "configurations")
    assert not rows(summary_store, "force_errors")
    with duckdb.connect(str(summary_store / "results-summary.duckdb"), read_only=True, config=SETTINGS) as connection:
        (one,) = connection.execute("select min(config_id) from configurations").fetchall()[0]
        found = connection.execute("select n_configs > 0, is_summary, reason from datasets").fetchall()
    assert found == [(True, True, "Fetch its atoms.")]
    assert configurations.configuration("al-cu", one) is None


def test_a_summary_of_another_schema_is_refused(store, tmp_path):
    (path, *_) = summary.write_summary(store / "results.duckdb", "al-cu", tmp_path / "al-cu")
    pq.write_table(pq.read_table(path).replace_schema_metadata({"schema_version": "1"}), path)
    with pytest.raises(StoreError, match="embed --summary --dataset al-cu"):
        summary.read_summary(tmp_path / "al-cu")


def test_a_dataset_without_errors_has_no_summary(store, tmp_path):
    with pytest.raises(StoreError, match="no errors on 'w-g'"):
        summary.write_summary(store / "results.duckdb", "w-g", tmp_path / "w-g")


def test_a_summary_can_leave_out_the_vectors_of_environments(store, tmp_path):
    whole = summary.write_summary(store / "results.duckdb", "al-cu", tmp_path / "whole")
    light = summary.write_summary(store / "results.duckdb", "al-cu", tmp_path / "light", with_vectors=False)
    left_out = {path.stem for path in whole} - {path.stem for path in light}
    assert left_out == {"environments", "environment_settings"}
