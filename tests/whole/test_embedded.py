"""What comes with the repository fits together: predictions belong to the shipped atoms and to today's adapters."""

import json

import numpy as np
import pytest
from ase.data import chemical_symbols

from engine.data_folder import EMBEDDED, DataFolder
from engine.learning_curves import CLUSTERS, read_learning
from engine.readers.extxyz import read_extxyz
from engine.records import read_predictions, read_run_record
from engine.registry.datasets import get_dataset
from engine.registry.models import get_model
from engine.registry.published_vacancies import counted_vacancies
from engine.relaxed_vacancies import FORMATION, read_vacancies
from engine.store.rows import Cost
from engine.store.summary import OPEN_LICENSES
from precompute.acquire.weights import Checkpoint

FILES = sorted((EMBEDDED / "predictions" / "open-defects").glob("*.parquet"))
PRETRAINED = {
    "chgnet-0.3.0", "chgnet-0.2.0", "chgnet-r2scan", "sevennet-0", "sevennet-l3i5", "sevennet-mf-0",
    "m3gnet-mp-2021.2.8", "m3gnet-matpes-pbe-2025.1", "tensornet-matpes-pbe-2025.1",
}  # fmt: skip


@pytest.fixture(scope="module")
def configurations():
    return {c.config_id: c for c in read_extxyz(EMBEDDED / "open-defects.extxyz")}


def test_every_pretrained_model_is_there():
    assert {path.stem for path in FILES} >= PRETRAINED


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_predictions_belong_to_the_shipped_atoms_and_todays_adapter(path, configurations):
    predictions = read_predictions(path)
    assert {(p.config_id, p.geometry_hash) for p in predictions} == {
        (c.config_id, c.geometry_hash) for c in configurations.values()
    }
    record = read_run_record(path)
    assert record.origin == "computed"
    assert record.fingerprint == Checkpoint(get_model(path.stem), DataFolder.default()).fingerprint
    assert record.packages
    assert record.hardware


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_prediction_is_finite_or_has_a_reason(path, configurations):
    for prediction in read_predictions(path):
        if prediction.status == "ok":
            assert np.isfinite(prediction.energy)
            assert prediction.forces.shape == (configurations[prediction.config_id].n_atoms, 3)
        else:
            assert prediction.reason


def test_shipped_costs_are_measurements_of_registered_models():
    paths = sorted((EMBEDDED / "costs").glob("*.json"))
    assert paths
    for path in paths:
        cost = Cost(**json.loads(path.read_text()))
        assert get_model(cost.model_id)
        assert cost.us_per_atom_step == pytest.approx(cost.ms_per_step * 1e3 / cost.n_atoms)


def test_the_dataset_is_the_registered_one(configurations):
    symbols = {chemical_symbols[number] for c in configurations.values() for number in c.numbers}
    assert symbols == set(get_dataset("open-defects").elements)
    assert len({name.split("-")[0] for name in configurations}) >= 20


VACANCIES = sorted((EMBEDDED / "vacancies").glob("*.parquet"))


@pytest.mark.parametrize("path", VACANCIES, ids=lambda path: path.stem)
def test_relaxed_vacancies_are_of_todays_adapter_and_of_published_metals(path):
    rows, record = read_vacancies(path), read_run_record(path)
    assert record.model_id == path.stem
    assert record.fingerprint == Checkpoint(get_model(path.stem), DataFolder.default()).fingerprint
    assert record.packages
    published = {(one.element, one.structure) for one in counted_vacancies()}
    assert {(row.element, row.structure) for row in rows} <= published
    assert len({row.file_name for row in rows}) == len(rows)
    for row in rows:
        assert (row.status == "ok") == (row.energy is not None and np.isfinite(row.energy)) == (not row.reason)
    assert any(row.quantity == FORMATION and row.status == "ok" for row in rows)


def test_vacancies_of_universal_and_classical_models_are_there():
    assert {path.stem for path in VACANCIES} >= {
        "chgnet-0.3.0", "eam-zhou-2004", "nep-unep-v1", "nequix-mp-1", "nequix-omat-1", "sevennet-0",
        "tensornet-matpes-pbe-2025.1",
    }  # fmt: skip


LEARNING = sorted((EMBEDDED / "learning").glob("*/*"))


@pytest.mark.parametrize("folder", [path for path in LEARNING if path.is_dir()], ids=lambda path: path.name)
def test_shipped_learning_curves_test_every_configuration_of_their_dataset(folder):
    errors, fits = read_learning(folder)
    assert {row.dataset_id for row in [*errors, *fits]} == {folder.parent.name}
    assert {row.labels for row in [*errors, *fits]} == {folder.name}
    dataset = get_dataset(folder.parent.name)
    assert dataset.license in OPEN_LICENSES
    ends = [row for row in errors if row.training == CLUSTERS and row.share == 1.0]
    for seed in range(5):
        assert sum(row.n_configs for row in ends if row.seed == seed) == dataset.n_configs_paper
    assert all(np.isfinite([row.energy_square, row.force_square]).all() for row in errors)
    assert {fit.share for fit in fits if fit.training == CLUSTERS} >= {0.01, 1.0}


def test_learning_curves_of_dft_are_there():
    assert EMBEDDED / "learning" / "w-g" / "dft" in LEARNING
