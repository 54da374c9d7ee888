"""A store that lacks something is refused in one sentence, before and after it is published."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from engine.data_folder import ROOT
from engine.errors import StoreError
from engine.store.builder import SCHEMA_VERSION, verify


def store(path: Path, *statements: str) -> Path:
    """A database made by some statements."""
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


INFO = f"create table store_info as select {SCHEMA_VERSION} as schema_version"


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ((), "store_info"),
        ((INFO,), "datasets"),
        ((INFO, "create table datasets (dataset_id varchar)"), "no complete store"),
        (("create table store_info as select 1 as schema_version", "create table datasets as select 1"), "complete"),
    ],
    ids=["empty", "without datasets", "with no dataset", "of an older schema"],
)
def test_verify_refuses_a_store_without_its_tables(tmp_path, statements, said):
    with pytest.raises(StoreError, match=said):
        verify(store(tmp_path / "results-1.building", *statements))


def test_verify_accepts_one_that_holds_a_dataset(tmp_path):
    verify(store(tmp_path / "results-1.building", INFO, "create table datasets as select 'w-g' as dataset_id"))


def test_an_error_of_the_database_is_one_sentence_at_the_command_line(tmp_path):
    store(tmp_path / "results.duckdb", INFO)
    argv = [sys.executable, "-m", "precompute", "table", "--data", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: Catalog Error")
    assert "dataset_metrics" in line
