"""Numbers that the Structure and Predict pages show of one configuration."""

from dataclasses import replace

import numpy as np
import pytest

from app.structures.live_results import LiveResults, rms
from app.structures.shown import Sight
from engine.records import Configuration, Prediction
from precompute.live import predictor as live


@pytest.fixture
def configuration():
    """Two copper atoms with a reference of -7 eV and forces of 1 eV/Å."""
    return Configuration(
        "cu2", "dimer", np.array([29, 29]), np.array([[0.0, 0, 0], [0, 0, 2.4]]), np.eye(3) * 10, (True,) * 3,
        energy=-7.0, forces=np.array([[0.0, 0, 1], [0, 0, -1]]),
    )  # fmt: skip


def prediction(configuration: Configuration, energy: float, along_z: float) -> Prediction:
    forces = np.array([[0.0, 0, along_z], [0, 0, -1.0]])
    return Prediction("cu2", configuration.geometry_hash, "ok", energy=energy, forces=forces, wall_seconds=0.1)


def results(configuration: Configuration) -> LiveResults:
    """One model says 1 eV/Å for the first atom, the other 3; a third one failed."""
    done = [
        live.TaskState(name, live.DONE, "", prediction(configuration, energy, force), {"device": "cpu"}, 1.0, False)
        for name, energy, force in (("soft", -6.8, 1.0), ("stiff", -7.2, 3.0))
    ]  # fmt: skip
    failed = live.TaskState("broken", live.FAILED, "no", None, {}, 1.0, False)
    return LiveResults(configuration, [*done, failed])


def models() -> dict[str, live.LiveModel]:
    return {
        name: live.LiveModel(name, name.title(), "emt", ("MPtrj",), "mp", "") for name in ("soft", "stiff", "broken")
    }


def test_sight_puts_the_worst_atom_first(configuration):
    sight = Sight("d", "m", configuration, prediction(configuration, -6.9, 1.5), np.array([0.1, 0.2]), "e")

    table = sight.atom_table()

    assert table["atom"].tolist() == [0, 1]
    assert table["force_error"].tolist() == [500.0, 0.0]
    assert table["force_deviation"].tolist() == [100.0, 200.0]
    assert sight.energy_error == pytest.approx(0.05)  # 0.1 eV over two atoms


def test_sight_without_a_prediction_shows_the_reference(configuration):
    sight = Sight("d", "m", configuration, None, None, "")

    assert sight.force_errors is None
    assert sight.atom_colors("error") is None
    assert sight.atom_colors("force").values.tolist() == [1.0, 1.0]
    assert "force_error" not in sight.atom_table()


def test_disagreement_is_the_largest_distance_from_the_mean(configuration):
    made = results(configuration)

    # Forces 1 and 3 eV/Å have the mean 2: both are 1 eV/Å away, and the reference, 1, is too.
    assert made.deviation.tolist() == [1.0, 0.0]
    assert made.error.tolist() == [1.0, 0.0]
    assert made.atom_table()["force_deviation"].tolist() == [1000.0, 0.0]


def test_table_of_models_leaves_out_the_failed_one(configuration):
    table = results(configuration).model_table(models()).set_index("model")

    assert table.index.tolist() == ["Soft", "Stiff"]
    assert table.loc["Soft", "energy_error"] == pytest.approx(100.0)  # 0.2 eV over two atoms, in meV/atom
    assert table.loc["Soft", "force_rmse"] == 0.0
    # One of six components is off by 2 eV/Å: 2000 meV/Å / sqrt(6).
    assert table.loc["Stiff", "force_rmse"] == pytest.approx(2000 / 6**0.5)


def test_one_model_has_no_disagreement(configuration):
    single = LiveResults(configuration, results(configuration).tasks[:1])

    assert single.deviation is None
    assert single.atom_colors("deviation") is None


def test_structure_without_reference_has_no_error(configuration):
    bare = replace(configuration, energy=None, forces=None)

    made = results(bare)

    assert made.error is None
    assert "energy_error" not in made.model_table(models())


def test_rms_is_over_components_in_milli_units():
    assert rms(np.array([[0.003, 0.0, 0.0]])) == pytest.approx(3 / 3**0.5)
