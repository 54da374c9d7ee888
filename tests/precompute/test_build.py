"""What the build takes over from the files of predictions."""

from pathlib import Path

import pytest

from engine.records import Prediction, write_predictions
from engine.registry.datasets import get_dataset
from engine.registry.models import get_model
from engine.store.rows import Run
from precompute.jobs.build import _runs


def _run(folder: Path, *records: dict[str, str]) -> list[Run]:
    paths = [folder / f"{k}.parquet" for k in range(len(records))]
    for path, record in zip(paths, records, strict=True):
        write_predictions(path, [Prediction("a", "0", "failed", "no edge")], record)
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
