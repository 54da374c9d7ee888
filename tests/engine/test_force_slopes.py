"""Slopes of two models that differ in the labels that they learnt last, on a store made by hand."""

import dataclasses

import numpy as np
import pytest
from ase.data import atomic_numbers

from engine.queries import force_slopes
from engine.queries.scope import Scope
from engine.records import Configuration, Prediction
from engine.registry.datasets import Dataset, SeenBy, get_dataset
from engine.registry.models import get_model
from engine.store.builder import StoreBuilder, publish
from engine.store.rows import Results

SLOPES = {"nequix-omat-1": 0.9, "nequix-oam-1": 1.0}


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Writes eight cells of two atoms, pushed apart by 1 eV/Å, and one without forces; models scale the forces."""

    def write(slopes: dict[str, dict[str, float]] | None = None, **changes: object) -> None:
        builder = StoreBuilder(tmp_path / "results-1.duckdb", version="test")
        builder.add_models(map(get_model, SLOPES))
        for dataset_id, of_models in (slopes or {"w-g": SLOPES}).items():
            add(builder, dataclasses.replace(get_dataset(dataset_id), **changes), of_models)
        builder.finish()
        publish(builder.path, tmp_path / "results.duckdb")
        monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))

    return write


def add(builder: StoreBuilder, dataset: Dataset, slopes: dict[str, float]) -> None:
    push = np.array([[1.0, 0, 0], [-1.0, 0, 0]])
    positions = [np.array([[0, 0, 0], [2.0 + k / 10, 0, 0]]) for k in range(9)]
    numbers = np.full(2, atomic_numbers[dataset.elements[0]])
    cells = [
        Configuration(f"c-{k}", "aimd", numbers, p, (8 + k) * np.eye(3), (True,) * 3, -20.0, push * (k < 8))
        for k, p in enumerate(positions)
    ]
    builder.add_dataset(dataset, cells)
    made = {
        m: [Prediction(c.config_id, c.geometry_hash, "ok", energy=-20.0, forces=s * push) for c in cells]
        for m, s in slopes.items()
    }
    builder.add_results(dataset, cells, [Results(m, [(p, "run") for p in found]) for m, found in made.items()])


def test_pairs_are_of_one_architecture_and_differ_in_the_last_labels(build):
    build()
    assert force_slopes.model_pairs() == [("nequix-omat-1", "nequix-oam-1")]


def test_the_ratio_is_that_of_the_slopes_where_there_are_forces(build):
    build()
    (row,) = force_slopes.potentials_and_forces().to_dict("records")
    assert (row["omat24_model"], row["other_model"], row["n_configs"]) == ("Nequix OMat-1", "Nequix OAM-1", 8)
    assert (row["slope_omat24"], row["slope_other"], row["ratio"]) == pytest.approx((0.9, 1.0, 0.9))
    assert (row["ratio_lo"], row["ratio_hi"]) == pytest.approx((0.9, 0.9))


def test_a_contrast_is_the_ratio_over_that_on_other_metals(build):
    mo, ni, cu = ({"nequix-omat-1": first, "nequix-oam-1": 1.0} for first in (0.9, 1.1, 1.3))
    build({"mo-snap": mo, "ni-snap": ni, "cu-snap": cu})
    table = force_slopes.potentials_and_forces().set_index("dataset_id")
    # Over the median of two, halfway between their logarithms.
    assert table.loc["mo-snap", "contrast"] == pytest.approx(0.9 / np.sqrt(1.1 * 1.3))
    assert table.loc["ni-snap", "contrast"] == pytest.approx(1.1 / np.sqrt(0.9 * 1.3))


def test_a_set_that_shares_an_element_is_no_other_metal(build):
    build({"w-g": SLOPES, "w-bcc-ace": SLOPES})
    assert force_slopes.potentials_and_forces()["contrast"].isna().all()


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


def test_slopes_are_put_together_by_the_labels_learnt(build):
    build({"mo-snap": SLOPES, "ni-snap": {"nequix-omat-1": 0.95}})
    table = force_slopes.slopes_by_labels()
    assert table[["dataset_id", "learnt", "n_models", "lowest", "highest", "n_configs"]].values.tolist() == [
        ["mo-snap", "OMat24", 1, pytest.approx(0.9), pytest.approx(0.9), 8],
        ["mo-snap", "OMat24, then the Materials Project", 1, pytest.approx(1.0), pytest.approx(1.0), 8],
        ["ni-snap", "OMat24", 1, pytest.approx(0.95), pytest.approx(0.95), 8],
    ]
