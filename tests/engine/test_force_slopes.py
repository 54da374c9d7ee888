"""Slopes of two models that differ in the labels that they learnt last, on a store made by hand."""

import dataclasses

import numpy as np
import pytest

from engine.queries import force_slopes
from engine.queries.scope import Scope
from engine.records import Configuration, Prediction
from engine.registry.datasets import SeenBy, get_dataset
from engine.registry.models import get_model
from engine.store.builder import StoreBuilder, publish
from engine.store.rows import Results

SLOPES = {"nequix-omat-1": 0.9, "nequix-oam-1": 1.0}


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Writes eight cells of two W atoms, pushed apart by 1 eV/Å, and one without forces; models scale the forces."""

    def write(**changes: object) -> None:
        push = np.array([[1.0, 0, 0], [-1.0, 0, 0]])
        positions = [np.array([[0, 0, 0], [2.0 + k / 10, 0, 0]]) for k in range(9)]
        cells = [
            Configuration(
                f"w-{k}", "aimd", np.array([74, 74]), p, (8 + k) * np.eye(3), (True,) * 3, -20.0, push * (k < 8)
            )
            for k, p in enumerate(positions)
        ]
        dataset = dataclasses.replace(get_dataset("w-g"), **changes)
        builder = StoreBuilder(tmp_path / "results-1.duckdb", version="test")
        builder.add_models(map(get_model, SLOPES))
        builder.add_dataset(dataset, cells)
        made = {
            m: [Prediction(c.config_id, c.geometry_hash, "ok", energy=-20.0, forces=s * push) for c in cells]
            for m, s in SLOPES.items()
        }
        builder.add_results(dataset, cells, [Results(m, [(p, "run") for p in found]) for m, found in made.items()])
        builder.finish()
        publish(builder.path, tmp_path / "results.duckdb")
        monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))

    return write


def test_pairs_are_of_one_architecture_and_differ_in_the_last_labels(build):
    build()
    assert force_slopes.model_pairs() == [("nequix-omat-1", "nequix-oam-1")]


def test_the_ratio_is_that_of_the_slopes_where_there_are_forces(build):
    build()
    (row,) = force_slopes.potentials_and_forces().to_dict("records")
    assert (row["omat24_model"], row["other_model"], row["n_configs"]) == ("Nequix OMat-1", "Nequix OAM-1", 8)
    assert (row["slope_omat24"], row["slope_other"], row["ratio"]) == pytest.approx((0.9, 1.0, 0.9))
    assert (row["ratio_lo"], row["ratio_hi"]) == pytest.approx((0.9, 0.9))


def test_slopes_are_listed_by_the_labels_that_a_model_learnt(build):
    build()
    found = force_slopes.slopes(Scope.of("w-g"))
    assert found[["energy_reference", "slope"]].values.tolist() == [
        ["omat24", pytest.approx(0.9)],
        ["mp", pytest.approx(1.0)],
    ]


def test_what_a_model_was_trained_on_says_nothing(build):
    build(seen_by=(SeenBy("salex", "certain", "Drawn from it."),))
    assert force_slopes.potentials_and_forces().empty
    assert force_slopes.slopes(Scope.of("w-g"))["model_id"].tolist() == ["nequix-omat-1"]
