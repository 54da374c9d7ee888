"""The way of a model id is short: it may become shorter, not longer."""

import pytest

from benchmarks import walk
from engine.data_folder import DataFolder
from precompute.workers import worker_envs

MOST_FILES = 11  # with the family's, and three that many share: records, files, data folder


def test_from_a_model_id_to_its_prediction_a_reader_opens_few_files():
    folder = DataFolder.default()
    if not worker_envs.is_built("emt", folder.root):
        pytest.skip("worker environment 'emt' is not built; run: python -m precompute envs emt")
    parent, worker = walk.model_walk("emt", folder)
    assert {"engine/registry/models.py", "precompute/workers/process.py"} <= set(parent)
    assert {"precompute/workers/evaluation.py", "engine/families/emt.py"} <= set(worker)
    assert len({*parent, *worker}) <= MOST_FILES


def test_a_file_counts_when_a_function_of_it_is_entered():
    assert walk.traced(lambda: worker_envs.environment_path("emt", walk.ROOT)) == ["precompute/workers/worker_envs.py"]
    assert walk.traced(lambda: None) == []
