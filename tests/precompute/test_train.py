"""Training end to end on copper cells with labels of EMT: rows, potential, registry, leakage and learning curves."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from engine.data_folder import DataFolder
from engine.errors import RegistryError, SettingsError
from engine.learning_curves import CLUSTERS, NEAR_EQUILIBRIUM, OTHER_GROUPS, RANDOM, read_learning
from engine.records import Configuration, Prediction, write_configurations
from engine.registry.datasets import get_dataset
from engine.registry.leakage import leakage
from engine.registry.models import get_model
from precompute.__main__ import main
from precompute.acquire.user_models import ModelDescription, external_model, register
from precompute.acquire.weights import Checkpoint, fetch_weights
from precompute.jobs import train
from precompute.jobs.learning_study import Data
from precompute.jobs.potentials import Snap
from precompute.workers import worker_envs
from precompute.workers.pool import Pool

SMALL = Snap(cutoff=4.0, two_j=2)
CELLS = {"bulk": 12, "vacancy": 7, "surface": 8, "gb": 6, "interstitial": 9}  # atoms, so that each is a cluster


def copper(group: str, seed: int) -> Configuration:
    """A rattled cell of copper of some number of atoms, with energy and forces of EMT."""
    atoms = bulk("Cu", "fcc", a=3.62, cubic=True).repeat((1, 1, 3))[: CELLS[group]]
    atoms = Atoms("Cu" * len(atoms), atoms.positions, cell=[3.62, 3.62, 3.62 * 3.2], pbc=True)
    atoms.rattle(0.08, seed=seed)
    atoms.calc = EMT()
    return Configuration(
        f"{group}-{seed}", group, atoms.numbers.astype(np.int64), atoms.positions, atoms.cell.array, (True,) * 3,
        float(atoms.get_potential_energy()), atoms.get_forces(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    """A data folder with a dataset `my-cu` of fifty cells, and the built worker environments."""
    built = DataFolder.default().root
    if not worker_envs.is_built("snap", built):
        pytest.skip("worker environment 'snap' is not built; run: python -m precompute envs snap")
    made = DataFolder(tmp_path_factory.mktemp("data"))
    (made.root / "worker_envs").symlink_to((built / "worker_envs").resolve())
    write_configurations(made.configurations("my-cu"), [copper(g, seed) for g in CELLS for seed in range(10)])
    (made.root / "datasets.toml").write_text(
        '[my-cu]\nlabel = "My copper"\ndescription = "EMT"\nelements = ["Cu"]\nfunctional = "PBE"\ncode = "none"\n'
        'potentials = "none"\nenergy_reference = "own"\ncomparable = false\ncomparable_note = "EMT"\nlicense = "mine"\n'
        'citation = "me"\nsource = "me"\nfiles = [{ name = "cu.xyz", reader = "extxyz", added = true }]\n'
    )
    return made


@pytest.fixture(autouse=True)
def in_use(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(folder.root))


@pytest.fixture
def data(folder: DataFolder) -> Data:
    dataset = get_dataset("my-cu")
    return train._data(dataset, train._trainable(dataset, folder), SMALL, "dft", folder)


def test_a_saved_potential_predicts_what_its_fit_says_and_is_never_ranked_on_its_data(folder, data):
    dataset = get_dataset("my-cu")
    train._save("my-snap", dataset, data, SMALL, "dft", folder)
    model = get_model("my-snap")
    assert (model.family, model.elements, model.n_parameters) == ("snap", ("Cu",), SMALL.n_coefficients + 1)
    assert Checkpoint(model, folder).why_not == ""
    assert "made on this machine" in fetch_weights(model, folder, None)[0]

    configurations = train._trainable(dataset, folder)
    with Pool(folder, device="cpu") as pool, pool.borrow(model) as loaded:
        found = loaded.evaluate(configurations).predictions
    coefficients, _ = train.trained_on_all(data, "dft")
    energies, forces = data.design.errors(np.arange(len(configurations)), coefficients[:, None], data.labels["dft"])
    for c, prediction, energy, force in zip(configurations, found, energies[:, 0], forces[:, 0], strict=True):
        assert prediction.energy / c.n_atoms - c.energy / c.n_atoms == pytest.approx(energy, abs=1e-6)
        assert ((prediction.forces - c.forces) ** 2).sum() == pytest.approx(force, rel=1e-3, abs=1e-6)
    spread = np.std([c.energy / c.n_atoms for c in configurations])
    assert np.sqrt((energies**2).mean()) < 0.2 * spread  # it has learnt

    assert leakage(model, dataset).certainty == "certain"
    assert leakage(model, get_dataset("open-defects")) is None


def test_a_study_tests_every_cluster_by_potentials_that_did_not_see_it(folder, data):
    target = train.study(data, range(2), folder, shares=(0.3, 1.0))
    errors, fits = read_learning(target)
    names = set(data.config_ids[::10])
    for training, seeds in ((CLUSTERS, 2), (RANDOM, 1), (OTHER_GROUPS, 1)):
        own = [row for row in errors if row.training == training and row.share == 1.0]
        assert len(own) == 5 * seeds and {row.config_id for row in own} == names
        assert {row.n_configs for row in own} == {10}
    whole = [fit for fit in fits if fit.training == CLUSTERS and fit.share == 1.0]
    assert {(fit.n_configs, fit.n_clusters) for fit in whole} == {(40, 4)}  # of five cells, one is left out
    some = [fit.n_configs for fit in fits if fit.training == CLUSTERS and fit.share == 0.3]
    assert sum(some[:5]) == 4 * 15  # each of fifteen configurations is in four of five training sets
    near = [row for row in errors if row.training == NEAR_EQUILIBRIUM]
    assert {row.group_name for row in near} == set(CELLS) - {"bulk"}
    by_training = {
        name: sum(row.force_square for row in errors if (row.training, row.share, row.seed) == (name, 1.0, 0))
        for name in (CLUSTERS, RANDOM)
    }
    assert 0 < by_training[RANDOM] < by_training[CLUSTERS]  # near-copies of the test help


def test_labels_of_another_model_are_learnt_and_tested_against_the_truth(folder, data):
    """A teacher that is off by 0.1 eV/atom everywhere: so is its pupil, and its forces are as good."""
    truth = data.labels["dft"]
    shifted = dataclasses.replace(truth, energies=truth.energies + 0.1)
    taught = dataclasses.replace(data, labels={"dft": truth, "teacher": shifted}, learnt=("dft", "teacher"))
    (own, _), (pupil, fits) = train.curve(taught, 0, shares=(1.0,))
    assert {fit.labels for fit in fits} == {"teacher"}
    for mine, other in zip(own, pupil, strict=True):
        assert other.energy_sum == pytest.approx(mine.energy_sum + 0.1 * mine.n_configs, abs=1e-3)
        assert other.force_square == pytest.approx(mine.force_square, rel=1e-2)


def test_what_cannot_be_trained_is_refused(folder: DataFolder, data, tmp_path: Path):
    with pytest.raises(RegistryError, match="of this project"):
        train._save("chgnet-0.3.0", get_dataset("my-cu"), data, SMALL, "dft", folder)
    said = ModelDescription(label="Imported")
    register(external_model("imported-one", said, folder), said, folder)
    with pytest.raises(RegistryError, match="imported"):
        train._save("imported-one", get_dataset("my-cu"), data, SMALL, "dft", folder)
    configurations = train._trainable(get_dataset("my-cu"), folder)
    with pytest.raises(SettingsError, match="no prediction for 'bulk-0'"):
        train._relabelled(configurations, {}, "emt")
    found = {(c.config_id, c.geometry_hash): Prediction(c.config_id, c.geometry_hash, "ok", energy=1.0, forces=c.forces)
             for c in configurations}  # fmt: skip
    taught = train._labels(train._relabelled(configurations, found, "emt"))
    assert taught.energies[0] == 1.0 / configurations[0].n_atoms
    assert taught.forces.shape == data.labels["dft"].forces.shape


def test_the_command_trains_and_refuses_what_it_cannot(folder: DataFolder, monkeypatch, capsys):
    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["precompute", "train", *words])
        return main()

    small = ("--dataset", "my-cu", "--cutoff", "4", "--two-j", "2")
    assert run(*small, "--save-as", "by-command") == 0
    assert get_model("by-command").fitted_to == ("my-cu",)
    assert run(*small) == 1
    assert run("--dataset", "my-cu", "--two-j", "3", "--study") == 1
    assert "--two-j is 2, 4, 6 or 8" in capsys.readouterr().err
