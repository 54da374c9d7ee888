"""A model of a user's own: known by the predictions that were imported for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.data_folder import DataFolder
from engine.errors import RegistryError, SettingsError
from engine.queries import catalog
from engine.records import read_run_record
from engine.registry.datasets import get_dataset
from engine.registry.models import EXTERNAL, get_model, load_models, user_registry
from precompute.acquire.imports import import_file
from precompute.acquire.user_datasets import add
from precompute.acquire.user_models import ModelDescription, external_model, register, variant
from precompute.acquire.weights import Checkpoint
from precompute.jobs.build import build
from precompute.workers import worker_envs
from precompute.workers.worker_envs import why_not_runnable

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parents[1] / "fixtures" / "cases"
SAID = ModelDescription(label="My fit, v1.2", training_sets=("mptrj", "salex"), functional="PBE", source="me")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path / "data"))
    add(CASES / "ref-cu.xyz", "cu", DataFolder(tmp_path / "data"))
    return DataFolder(tmp_path / "data")


@pytest.fixture
def with_workers(folder: DataFolder) -> None:
    """Its data folder shares the built worker environments."""
    built = ROOT / "data" / "worker_envs"
    if not all(worker_envs.is_built(family, built.parent) for family in ("emt", "chgnet")):
        pytest.skip("worker environments are not built; run: python -m precompute envs emt chgnet")
    folder.root.mkdir(exist_ok=True)
    (folder.root / "worker_envs").symlink_to(built.resolve())


def take(folder: DataFolder, model_id: str = "my-fit-1.2", description: ModelDescription = SAID) -> None:
    model = external_model(model_id, description, folder)
    import_file(get_dataset("cu"), model, CASES / "ase-eval.xyz", folder)
    register(model, description, folder)


def test_an_imported_model_is_in_the_registry_and_the_store(folder: DataFolder) -> None:
    take(folder)
    model = get_model("my-fit-1.2")

    assert (model.label, model.family, model.training_sets) == ("My fit, v1.2", EXTERNAL, ("mptrj", "salex"))
    assert not model.is_runnable and "imported" in why_not_runnable(model, folder)
    build(folder)
    row = catalog.models().set_index("model_id").loc["my-fit-1.2"]
    assert (row["label"], row["family"]) == ("My fit, v1.2", EXTERNAL)


def test_nothing_said_is_enough_and_a_second_import_keeps_the_entry(folder: DataFolder) -> None:
    take(folder, "plain", ModelDescription())
    before = user_registry().read_text()
    take(folder, "plain", ModelDescription())

    assert user_registry().read_text() == before
    assert (get_model("plain").label, get_model("plain").level.functional) == ("plain", "none")


@pytest.mark.parametrize("model_id", ["mace-omat-0", "chgnet-0.3.0"])
def test_an_id_of_this_project_is_taken(folder: DataFolder, model_id: str) -> None:
    with pytest.raises(RegistryError, match="is a model of this project"):
        external_model(model_id, SAID, folder)


@pytest.mark.parametrize("model_id", ["", "../x", "A", "a b", "a_b", "a" * 81])
def test_an_id_that_is_no_id_is_refused(folder: DataFolder, model_id: str) -> None:
    with pytest.raises(RegistryError):
        external_model(model_id, SAID, folder)
    assert not user_registry().exists()


def test_another_model_under_a_known_id_is_refused(folder: DataFolder) -> None:
    take(folder)

    with pytest.raises(RegistryError, match="differs in training_sets, functional"):
        external_model(
            "my-fit-1.2", ModelDescription(label="My fit, v1.2", source="me", training_sets=("omat24",)), folder
        )


def test_a_text_that_cannot_be_shown_is_refused(folder: DataFolder) -> None:
    with pytest.raises(SettingsError, match="--label holds a control character"):
        external_model("mine", ModelDescription(label="a\x1b[1m"), folder)


def test_a_training_set_that_nobody_knows_is_refused(folder: DataFolder) -> None:
    with pytest.raises(RegistryError, match=r"'mptraj' is not in .*closest: 'mptrj'"):
        external_model("mine", ModelDescription(training_sets=("mptraj",)), folder)


def test_a_refused_file_registers_no_model(folder: DataFolder) -> None:
    model = external_model("mine", SAID, folder)
    with pytest.raises(Exception, match="no predictions"):
        import_file(get_dataset("cu"), model, CASES / "ref-cu.xyz", folder)

    assert "mine" not in load_models()


def test_an_entry_that_this_project_takes_over_is_named(folder: DataFolder) -> None:
    take(folder, "mine")
    user_registry().write_text(user_registry().read_text().replace("[mine]", '["mace-omat-0"]'))

    with pytest.raises(RegistryError, match="'mace-omat-0', which is now a model of this project"):
        load_models()


def precompute(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "precompute", *words]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)


def test_the_command_line_imports_a_model_of_ones_own(folder: DataFolder) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return precompute(*arguments, "--data", str(folder.root))

    file = str(CASES / "mace-eval.xyz")
    unknown = run("import", file, "--dataset", "cu", "--model", "mine")
    taken = run("import", file, "--dataset", "cu", "--model", "mine", "--external", "--label", "Mine")
    listed = run("models", "--model", "mine", "--json")

    assert unknown.returncode == 1 and "add --external" in unknown.stderr
    assert taken.returncode == 0 and "8 predictions imported" in taken.stderr
    (row,) = json.loads(listed.stdout)
    assert (row["family"], row["runs_here"]) == (EXTERNAL, False)


def test_a_model_in_lower_precision_is_a_model_of_its_own(folder: DataFolder, with_workers: None) -> None:
    words = ("run", "--dataset", "cu", "--limit", "2", "--model", "chgnet-0.3.0", "--device", "cpu", "--deterministic")
    for more in ((), ("--matmul-precision", "tf32")):
        done = precompute(*words, *more)
        assert done.returncode == 0, done.stderr

    plain, lowered = get_model("chgnet-0.3.0"), get_model("chgnet-0.3.0-tf32")
    assert (lowered.label, lowered.variant_of) == ("CHGNet 0.3.0 (TF32)", plain.model_id)
    assert (lowered.training_sets, lowered.level, lowered.paper_row) == (plain.training_sets, plain.level, None)
    (first,), (second,) = (Checkpoint(model, folder).predictions("cu") for model in (plain, lowered))
    assert Checkpoint(plain, folder).fingerprint != Checkpoint(lowered, folder).fingerprint
    assert "matmul_precision" not in json.loads(read_run_record(first).options)
    said = json.loads(read_run_record(second).options)
    assert (said["matmul_precision"], said["deterministic"]) == ("tf32", True)
    build(folder)
    assert {plain.model_id, lowered.model_id} <= set(catalog.models()["model_id"])


def test_a_family_without_framework_has_no_variant(folder: DataFolder, with_workers: None) -> None:
    done = precompute("run", "--dataset", "cu", "--model", "emt", "--device", "cpu", "--matmul-precision", "tf32")
    assert done.returncode == 1
    assert "computes with none of PyTorch" in done.stderr + done.stdout


def test_a_variant_of_a_users_own_model_is_refused(folder: DataFolder) -> None:
    take(folder)
    with pytest.raises(RegistryError, match="is your own"):
        variant(get_model("my-fit-1.2"), "tf32", folder)
    assert "my-fit-1.2-tf32" not in load_models()
