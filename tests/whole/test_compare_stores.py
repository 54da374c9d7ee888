"""The comparison of two builds of the store, on small stores of which one is changed."""

import shutil
from pathlib import Path

import duckdb
import pytest

from benchmarks.compare_stores import compare


@pytest.fixture
def changed(store_folder: Path, tmp_path: Path) -> Path:
    """A copy of the small store, to be changed."""
    return Path(shutil.copy((store_folder / "results.duckdb").resolve(), tmp_path / "changed.duckdb"))


def _found(store_folder: Path, changed: Path) -> dict[str, tuple[int, int]]:
    return {c.table: (c.only_before, c.only_after) for c in compare(store_folder / "results.duckdb", changed)}


def test_a_copy_is_equal_in_every_table(store_folder, changed):
    found = _found(store_folder, changed)
    assert {"predictions", "dataset_metrics", "errors"} <= found.keys()
    assert set(found.values()) == {(0, 0)}


def test_a_changed_number_and_a_lost_row_are_found(store_folder, changed):
    with duckdb.connect(str(changed)) as con:
        con.execute("update costs set ms_per_step = ms_per_step + 1e-12 where model_id = 'emt'")
        con.execute("delete from models where model_id = 'morse'")
    found = _found(store_folder, changed)
    assert found["costs"] == (1, 1)
    assert found["models"] == (1, 0)


def test_a_new_column_is_named_and_the_shared_ones_compared(store_folder, changed):
    with duckdb.connect(str(changed)) as con:
        con.execute("alter table costs add column weather varchar")
    costs = next(c for c in compare(store_folder / "results.duckdb", changed) if c.table == "costs")
    assert costs.is_equal
    assert costs.new == ("weather",)
