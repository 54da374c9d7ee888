"""The ways of a model id and of a configuration are short: they may become shorter, not longer."""

import pytest

from benchmarks import walk
from engine.data_folder import DataFolder
from precompute.workers import worker_envs


@pytest.fixture(scope="module")
def folder():
    """The data folder with the environment that both walks need."""
    folder = DataFolder.default()
    if not worker_envs.is_built("emt", folder.root):
        pytest.skip("worker environment 'emt' is not built; run: python -m precompute envs emt")
    return folder


@pytest.fixture(scope="module")
def model_walk(folder):
    """The walk of a model id, in parent and worker."""
    return walk.model_walk("emt", folder)


def test_from_a_model_id_to_its_prediction_a_reader_opens_eight_files(model_walk):
    parent, worker = model_walk
    assert {"engine/registry/models.py", "precompute/workers/process.py"} <= parent.on_the_way.keys()
    assert {"precompute/workers/evaluation.py", "engine/families/emt.py"} <= worker.on_the_way.keys()
    assert len(parent.joined(worker).on_the_way) <= 8
    assert len(parent.joined(worker).entered) <= 12  # with records, files, data folder and what confines a worker


def test_from_a_file_of_configurations_to_a_point_a_reader_opens_twenty_two_files(folder, model_walk):
    point = walk.point_walk(folder).joined(model_walk[1])
    assert {"engine/readers/extxyz.py", "app/figures/error_plots.py"} <= point.on_the_way.keys()
    assert len(point.on_the_way) <= 22  # results and scores are files of their own, so that a build can take them over


def test_a_file_counts_when_a_function_of_it_is_entered():
    assert list(walk.traced(lambda: worker_envs.environment_path("emt", walk.ROOT)).entered) == [
        "precompute/workers/worker_envs.py"
    ]
    assert not walk.traced(lambda: None).entered
