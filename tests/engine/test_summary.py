"""A summary of a dataset has all that pages rank and map, and none of its atoms."""

import dataclasses

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from engine.errors import StoreError
from engine.queries import configurations
from engine.registry.datasets import load_datasets
from engine.store import connection, summary
from engine.store.connection import SETTINGS
from engine.store.ranking import Comparable
from engine.store.scoring import Frame


def rows(folder, table):
    """Rows of a table on the dataset, sorted."""
    with duckdb.connect(str((folder / "results.duckdb").resolve()), read_only=True, config=SETTINGS) as connection:
        return connection.execute(f"select * from {table} where dataset_id = 'al-cu' order by all").fetchall()


def written(store, folder, **options):
    """Files of a summary of the dataset."""
    return summary.write_summary(folder, summary.summary_of(store / "results.duckdb", "al-cu", **options))


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
    (path, *_) = written(store, tmp_path / "al-cu")
    pq.write_table(pq.read_table(path).replace_schema_metadata({"schema_version": "1"}), path)
    with pytest.raises(StoreError, match="embed --summary --dataset al-cu"):
        summary.read_summary(tmp_path / "al-cu")


def test_a_dataset_without_errors_has_no_summary(store):
    with pytest.raises(StoreError, match="no errors on 'w-g'"):
        summary.summary_of(store / "results.duckdb", "w-g")


def test_a_summary_can_leave_out_the_vectors_of_environments(store, tmp_path):
    whole = written(store, tmp_path / "whole")
    light = written(store, tmp_path / "light", with_vectors=False)
    left_out = {path.stem for path in whole} - {path.stem for path in light}
    assert left_out == {"environments", "environment_settings"}


def test_files_whose_rows_are_the_same_are_not_written_again(store, tmp_path):
    tables = summary.summary_of(store / "results.duckdb", "al-cu")
    before = {path: path.stat().st_ino for path in summary.write_summary(tmp_path, tables)}
    changed = tables | {"runs": tables["runs"].slice(1)}
    after = {path: path.stat().st_ino for path in summary.write_summary(tmp_path, changed)}
    assert {path.stem for path in before if before[path] != after[path]} == {"runs"}


def test_a_file_that_no_build_can_take_is_written_again(store, tmp_path):
    tables = summary.summary_of(store / "results.duckdb", "al-cu")
    for path in summary.write_summary(tmp_path, tables):
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"schema_version": b"1"}), path)
    summary.write_summary(tmp_path, tables)
    assert summary.read_summary(tmp_path).keys() == tables.keys()


MADE_UP = ["few", "fragile", "full", "sample", "trained"]


def part_of(tables, model_ids):
    """The summary that these models alone would have, but for ranks."""
    return {
        name: table.filter(pc.field("model_id").isin(model_ids)) if "model_id" in table.column_names else table
        for name, table in tables.items()
    }


def frame_of(dataset_id, **of_the_dataset):
    """What the models on a dataset of the store share."""
    names = connection.frame(
        "select config_id from configurations where dataset_id = $d order by all", {"d": dataset_id}
    )
    cells = [configurations.configuration(dataset_id, name) for name in names["config_id"]]
    return Frame(dataclasses.replace(load_datasets()["open-defects"], dataset_id=dataset_id, **of_the_dataset), cells)


@pytest.mark.parametrize("new", [["sample"], ["full", "few"], ["trained"]])
def test_a_model_added_to_a_summary_is_ranked_as_if_it_had_been_there(sampled_store, new):
    frame = frame_of("hand")
    whole = summary.summary_of(sampled_store / "results.duckdb", frame.dataset_id)
    earlier, later = part_of(whole, [m for m in MADE_UP if m not in new]), part_of(whole, new)
    seen = {("trained", "all"), ("trained", "bulk")}
    together = summary.added(later, earlier, frame, Comparable(), seen, MADE_UP)
    assert together.keys() == whole.keys()
    for name, table in whole.items():
        expected = table.filter(pc.field("ensemble_id") == "") if name == "calibrations" else table
        found = together[name].filter(pc.field("ensemble_id") == "") if name == "calibrations" else together[name]
        assert sorted(map(str, found.to_pylist())) == sorted(map(str, expected.to_pylist())), name


def test_vectors_of_environments_stay_where_the_new_summary_has_none(store):
    whole = summary.summary_of(store / "results.duckdb", "al-cu")
    light = part_of(summary.summary_of(store / "results.duckdb", "al-cu", with_vectors=False), ["emt"])
    frame = frame_of("al-cu", groups_outside=("dimer",))
    together = summary.added(light, whole, frame, Comparable(), (), ["emt", "morse"])
    assert together["environments"].equals(whole["environments"])
    assert together["errors"].num_rows == whole["errors"].num_rows


def test_rows_of_a_model_that_the_registry_no_longer_has_are_not_kept(sampled_store):
    frame = frame_of("hand")
    whole = summary.summary_of(sampled_store / "results.duckdb", frame.dataset_id)
    found = summary.added(part_of(whole, ["full"]), whole, frame, Comparable(), (), ["full", "sample"])
    assert set(found["errors"]["model_id"].to_pylist()) == {"full", "sample"}
    assert set(found["ranks"]["model_id"].to_pylist()) == {"full", "sample"}


def test_a_summary_of_other_configurations_takes_no_model(sampled_store):
    frame = frame_of("hand")
    whole = summary.summary_of(sampled_store / "results.duckdb", frame.dataset_id)
    fewer = whole | {"configurations": whole["configurations"].slice(1)}
    with pytest.raises(StoreError, match="other configurations; embed it without --add"):
        summary.added(whole, fewer, frame, Comparable(), (), MADE_UP)
