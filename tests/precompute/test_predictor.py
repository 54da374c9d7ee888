"""Live prediction with real EMT workers: results, cache, limits, cancelling, unloading."""

import time
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT

from engine.data_folder import DataFolder
from engine.errors import RegistryError, SettingsError
from engine.readers.example_structures import examples
from engine.readers.uploads import read_structure
from engine.records import Configuration
from engine.registry.models import get_model
from precompute.jobs.prediction import predict_file
from precompute.live import predictor as live
from precompute.live.calculations import force_deviation
from precompute.live.predictor import LivePredictor, uncovered_elements
from precompute.workers import worker_envs
from precompute.workers.evaluation import periodic_atoms

WAIT_SECONDS = 90.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> DataFolder:
    """A data folder of its own that shares the built worker environments."""
    built = DataFolder.default().root
    if not worker_envs.is_built("emt", built):
        pytest.skip("worker environment 'emt' is not built; run: python -m precompute envs emt")
    root: Path = tmp_path_factory.mktemp("data")
    (root / "worker_envs").symlink_to((built / "worker_envs").resolve())
    return DataFolder(root)


@pytest.fixture
def predictor(folder):
    made = LivePredictor(folder, device="cpu", n_slots=1)
    yield made
    made.close()


def copper(shift: float = 0.0) -> Configuration:
    (configuration,) = (c for c in examples().values() if c.config_id == "cu-111-vacancy")
    moved = configuration.positions.copy()
    moved[0, 0] += shift
    return Configuration("cu", "test", configuration.numbers, moved, configuration.cell, configuration.pbc)


def finished(predictor: LivePredictor, job: str) -> list[live.TaskState]:
    deadline = time.monotonic() + WAIT_SECONDS
    while any(task.is_open for task in predictor.tasks(job)):
        assert time.monotonic() < deadline, predictor.tasks(job)
        time.sleep(0.05)
    return predictor.tasks(job)


def test_prediction_equals_the_potential_itself(predictor):
    configuration = copper()
    atoms, _ = periodic_atoms(configuration, 6.0)
    atoms.calc = EMT()

    (task,) = finished(predictor, predictor.submit("me", configuration, ["emt"]))

    assert task.state == live.DONE
    assert task.record["device"] == "cpu"
    assert task.prediction.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(task.prediction.forces, atoms.get_forces(), atol=1e-9)


def test_atoms_without_a_cell_are_predicted_in_vacuum(predictor):
    configuration = read_structure("cu2.xyz", b"2\n\nCu 0 0 0\nCu 0 0 2.4\n")

    (task,) = finished(predictor, predictor.submit("me", configuration, ["emt"]))

    assert task.state == live.DONE
    assert np.isfinite(task.prediction.energy)


def test_the_same_structure_is_computed_once(predictor):
    finished(predictor, predictor.submit("me", copper(), ["emt"]))

    (again,) = predictor.tasks(predictor.submit("you", copper(), ["emt"]))

    assert again.state == live.DONE
    assert again.is_cached


def test_a_loaded_model_serves_the_next_structure(predictor):
    finished(predictor, predictor.submit("me", copper(), ["emt"]))
    pid = predictor._pool.loaded()["emt"].pid

    finished(predictor, predictor.submit("me", copper(0.1), ["emt"]))

    assert predictor.warm_models() == ["emt"]
    assert predictor._pool.loaded()["emt"].pid == pid


def test_unknown_element_fails_without_starting_a_worker(predictor):
    tungsten = examples()["W, vacancy in 3 × 3 × 3 bcc"]

    (task,) = predictor.tasks(predictor.submit("me", tungsten, ["emt"]))

    assert (task.state, task.message) == (live.FAILED, "EMT (ASE) does not know W.")
    assert predictor.warm_models() == []


def test_model_that_cannot_run_here_says_why(predictor):
    (task,) = predictor.tasks(predictor.submit("me", copper(), ["eqv2-31m-omat"]))

    assert task.state == live.FAILED
    assert task.message


def test_a_session_may_have_two_open_jobs(predictor):
    first = predictor.submit("me", copper(0.2), ["emt"])
    second = predictor.submit("me", copper(0.3), ["emt"])

    with pytest.raises(SettingsError, match="still open"):
        predictor.submit("me", copper(0.4), ["emt"])
    other = predictor.submit("you", copper(0.4), ["emt"])

    assert all(finished(predictor, job)[0].state == live.DONE for job in (first, second, other))


def test_cancelling_ends_waiting_and_running_tasks(predictor):
    running = predictor.submit("me", copper(0.5), ["emt"])
    waiting = predictor.submit("me", copper(0.6), ["emt"])

    assert not predictor.cancel(waiting, "you")  # who knows the address of a job may look at it only
    assert predictor.cancel(waiting, "me")
    assert predictor.cancel(running, "me")

    assert [finished(predictor, job)[0].state for job in (running, waiting)] == [live.CANCELLED] * 2
    (after,) = finished(predictor, predictor.submit("me", copper(0.5), ["emt"]))
    assert after.state == live.DONE


def test_an_unforeseen_exception_fails_its_task_and_the_thread_serves_the_next(predictor, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(live.Pool, "borrow", lambda self, model: 1 / 0)
        (task,) = finished(predictor, predictor.submit("me", copper(0.8), ["emt"]))
    assert task.state == live.FAILED
    assert "ZeroDivisionError" in task.message

    (after,) = finished(predictor, predictor.submit("me", copper(0.8), ["emt"]))
    assert after.state == live.DONE


def test_a_computation_that_takes_too_long_is_stopped(folder):
    predictor = LivePredictor(folder, device="cpu", limit_seconds=0.0, first_limit_seconds=0.0)
    try:
        (task,) = finished(predictor, predictor.submit("me", copper(0.7), ["emt"]))
    finally:
        predictor.close()

    assert task.state == live.FAILED
    assert "took longer than 0 s" in task.message


def test_an_idle_model_is_unloaded(folder):
    predictor = LivePredictor(folder, device="cpu", idle_seconds=0.2)
    try:
        finished(predictor, predictor.submit("me", copper(), ["emt"]))
        deadline = time.monotonic() + WAIT_SECONDS
        while predictor.warm_models() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert predictor.warm_models() == []
    finally:
        predictor.close()


def test_a_closed_predictor_leaves_no_process(folder):
    predictor = LivePredictor(folder, device="cpu")
    finished(predictor, predictor.submit("me", copper(), ["emt"]))
    worker = predictor._pool.loaded()["emt"]

    predictor.close()

    assert not worker.is_alive
    with pytest.raises(SettingsError, match="stopping"):
        predictor.submit("me", copper(), ["emt"])


def test_models_that_run_here_come_first(predictor):
    models = predictor.models()

    assert "emt" in [model.model_id for model in models if not model.why_not]
    assert [bool(model.why_not) for model in models] == sorted(bool(model.why_not) for model in models)


def test_unknown_model_is_refused(predictor):
    with pytest.raises(RegistryError, match="closest: 'emt'"):
        predictor.submit("me", copper(), ["emtt"])


def test_no_model_is_refused(predictor):
    with pytest.raises(SettingsError, match="1 to 8 models"):
        predictor.submit("me", copper(), [])


def test_forgotten_job_has_no_tasks(predictor):
    assert predictor.tasks("0" * 12) == []
    assert predictor.configuration("0" * 12) is None


def test_universal_models_cover_tungsten_but_not_polonium():
    polonium = read_structure("po.xyz", b"1\n\nPo 0 0 0\n")

    assert uncovered_elements("chgnet-0.3.0", polonium) == ["Po"]
    assert uncovered_elements("chgnet-0.3.0", copper()) == []


def test_force_deviation_is_the_largest_distance_from_the_mean():
    # Forces 0, 0 and 3 along x have the mean 1: the third is 2 away.
    forces = [np.zeros((1, 3)), np.zeros((1, 3)), np.array([[3.0, 0, 0]])]

    assert force_deviation(forces).tolist() == [2.0]


def test_baselines_do_not_know_what_they_were_not_fitted_to():
    tungsten = Configuration("w", "", np.array([74]), np.zeros((1, 3)), 3 * np.eye(3), (True,) * 3)
    unknown = {m: uncovered_elements(m, tungsten) for m in ("eam-zhou-2004", "ace-w", "snap-ni-2018", "mtp-li-2020")}
    assert unknown == {"eam-zhou-2004": [], "ace-w": [], "snap-ni-2018": ["W"], "mtp-li-2020": ["W"]}


def test_the_command_refuses_what_a_model_does_not_know_as_the_page_does(tmp_path):
    path = tmp_path / "po.xyz"
    path.write_text("1\n\nPo 0 0 0\n")
    rows = list(predict_file(path, [get_model("chgnet-0.3.0"), get_model("ace-w")], DataFolder(tmp_path), "cpu"))
    assert [row["reason"] for row in rows] == ["CHGNet 0.3.0 does not know Po.", "ACE W does not know Po."]
