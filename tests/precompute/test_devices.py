"""Places of workers, with a stand-in for NVIDIA's driver program: this machine need not have a GPU."""

import dataclasses

import numpy as np
import pytest
from ase.build import bulk

from engine.errors import SettingsError
from engine.records import Configuration
from engine.registry.models import get_model
from engine.shards import cut
from precompute.jobs.runner import Task, _Queue, plan, run
from precompute.workers.devices import Gpu, Place, alone, gpus, places
from precompute.workers.worker_envs import python_command, uses_gpu, worker_command

UUIDS = ("GPU-1f0a", "GPU-2c77")

CARDS = tuple(Gpu(str(i), uuid, "H100", 85.5, 84.9, "570.1") for i, uuid in enumerate(UUIDS))


@pytest.fixture
def driver(tmp_path):
    """Environment in which nvidia-smi answers with two GPUs."""
    program = tmp_path / "nvidia-smi"
    lines = "\\n".join(
        f"{i}, {uuid}, NVIDIA H100 80GB HBM3, 81559, {81000 - i}, 570.86" for i, uuid in enumerate(UUIDS)
    )
    program.write_text(f'#!/bin/sh\nprintf "{lines}\\n"\n')
    program.chmod(0o755)
    return {"PATH": f"{tmp_path}:/bin"}


def test_gpus_are_those_of_the_driver(driver):
    first, second = gpus(driver)
    assert (first.index, first.uuid, first.name) == ("0", "GPU-1f0a", "NVIDIA H100 80GB HBM3")
    assert first.total_gb == pytest.approx(81559 * 2**20 / 1e9)
    assert first.free_gb > second.free_gb
    assert gpus({"PATH": "/nowhere"}) == ()


@pytest.mark.parametrize(
    ("visible", "found"),
    [("1,0", ["1", "0"]), ("GPU-2c", ["1"]), ("", []), ("-1", []), ("0,7,1", ["0"]), (" 1 ", ["1"])],
)
def test_cuda_visible_devices_is_obeyed_as_cuda_reads_it(driver, visible, found):
    assert [gpu.index for gpu in gpus(driver | {"CUDA_VISIBLE_DEVICES": visible})] == found


def test_a_gpu_has_one_worker_and_the_other_cores_take_models_without_gpu():
    found = places("auto", found=CARDS[:1], n_cores=16)
    assert found[0] == Place("cuda", UUIDS[0], "gpu")
    assert found[1:] == (Place("cpu", takes="other"),) * 15


def test_small_models_share_a_gpu_where_that_is_asked_for():
    found = places("auto", per_device=2, cpu_jobs=0, found=CARDS, n_cores=4)
    assert [place.gpu for place in found] == [*UUIDS, *UUIDS]
    assert {place.gpu_share for place in found} == {0.5}
    assert alone(found) == (Place("cuda", UUIDS[0], "gpu"), Place("cuda", UUIDS[1], "gpu"))


@pytest.mark.parametrize(
    ("options", "devices"),
    [
        ({"device": "cpu"}, ["cpu"] * 4),
        ({"device": "cpu", "jobs": 2}, ["cpu"] * 2),
        ({"device": "cuda"}, ["cuda", "cuda"]),
        ({"device": "auto", "jobs": 1}, ["cuda"]),
        ({"device": "auto", "cpu_jobs": 1}, ["cuda", "cuda", "cpu"]),
        ({"device": "auto"}, ["cuda", "cuda", "cpu", "cpu"]),
    ],
)
def test_numbers_of_places(options, devices):
    assert [place.device for place in places(**options, found=CARDS, n_cores=4)] == devices


def test_one_job_on_a_machine_with_a_gpu_is_of_the_kind_that_the_models_need():
    assert places("auto", jobs=1, found=CARDS, n_cores=4, families={"eam", "emt"}) == (Place("cpu", takes="other"),)
    assert places("auto", jobs=1, found=CARDS, n_cores=4, families={"mace"}) == (Place("cuda", UUIDS[0], "gpu"),)


def test_without_gpus_there_is_a_place_per_core_and_cuda_is_refused():
    assert places("auto", found=(), n_cores=3) == (Place("cpu"),) * 3
    with pytest.raises(SettingsError, match="doctor"):
        places("cuda", found=())
    with pytest.raises(SettingsError, match="count from 1"):
        places("cpu", jobs=0, found=())


def test_families_without_gpu_never_wait_for_one(tmp_path):
    assert uses_gpu("mace") and uses_gpu("grace") and uses_gpu("nequix")
    assert not uses_gpu("eam") and not uses_gpu("emt")
    copper = bulk("Cu")
    configuration = Configuration("cu", "g", copper.numbers, copper.positions, np.array(copper.cell), (True,) * 3)
    shards = [(shard, tmp_path / shard.name) for shard in cut([configuration])]
    tasks = [Task(get_model(name), shards) for name in ("emt", "chgnet-0.3.0")]
    on_gpu, beside = places("auto", found=CARDS[:1], n_cores=2)
    assert _Queue(tasks).take_model(on_gpu).model.model_id == "chgnet-0.3.0"
    assert _Queue([tasks[0]]).take_model(on_gpu) is None
    assert _Queue([tasks[1]]).take_model(beside) is None


def test_a_model_that_no_place_takes_is_an_error_and_not_forgotten(folder):
    copper = bulk("Cu")
    configuration = Configuration("cu", "g", copper.numbers, copper.positions, np.array(copper.cell), (True,) * 3)
    task, _ = plan(get_model("emt"), {"cu-snap": [configuration]}, folder)
    outcome = run([task], folder, places=(Place("cuda", UUIDS[0], "gpu"),))
    assert "no worker of this run takes its family" in outcome.errors["emt"]
    assert not outcome.is_complete


def test_a_worker_sees_the_gpu_of_its_place_and_leaves_memory_to_others(folder):
    command = python_command("emt", folder.root, "module", (), device="cuda", gpu="GPU-2c77")
    assert command.env["CUDA_VISIBLE_DEVICES"] == "GPU-2c77"
    assert command.env["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert python_command("emt", folder.root, "module", (), device="cpu").env["CUDA_VISIBLE_DEVICES"] == ""


def test_the_share_of_a_worker_reaches_its_arguments_and_jax(folder, monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    tenth, whole = (worker_command(get_model("emt"), folder, "cuda", gpu_share=share) for share in (0.1, 1.0))
    assert [c.argv[c.argv.index("--gpu-share") + 1] for c in (tenth, whole)] == ["0.0900", "1.0000"]
    assert tenth.env["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.0900"
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in whole.env
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.05")
    assert worker_command(get_model("emt"), folder, "cuda", gpu_share=0.1).env[
        "XLA_PYTHON_CLIENT_MEM_FRACTION"
    ] == "0.05"  # fmt: skip


def test_a_worker_of_a_gpu_rounds_no_factor_unless_asked(folder):
    plain = worker_command(get_model("emt"), folder, "cuda").env
    assert (plain["NVIDIA_TF32_OVERRIDE"], plain["JAX_DEFAULT_MATMUL_PRECISION"]) == ("0", "float32")
    lowered = dataclasses.replace(get_model("emt"), matmul_precision="tf32")
    asked = worker_command(lowered, folder, "cuda", deterministic=True)
    assert "NVIDIA_TF32_OVERRIDE" not in asked.env
    assert asked.env["JAX_DEFAULT_MATMUL_PRECISION"] == "tensorfloat32"
    assert asked.env["XLA_FLAGS"].endswith("--xla_gpu_deterministic_ops=true")
    assert asked.argv[asked.argv.index("--matmul-precision") + 1 :][:2] == ("tf32", "--deterministic")
