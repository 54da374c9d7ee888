import fcntl
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.data_folder import ROOT, DataFolder
from engine.errors import WorkerEnvError
from engine.registry.models import FAMILIES, families, get_model, load_models
from precompute.workers import worker_envs
from precompute.workers.worker_envs import why_not_runnable


@pytest.mark.parametrize("family", families())
def test_a_lock_holds_the_pins_of_its_header(family):
    pins = worker_envs.header(family)["dependencies"]
    lock = (FAMILIES / f"{family}.lock").read_text()
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z0-9,]+\])?==[0-9][^,;]*", pin), f"{pin} is not an exact pin"
        package, _, version = pin.partition("==")
        if package not in worker_envs.ACCELERATED:  # installed last, as the build that fits the machine
            name = package.partition("[")[0].lower()
            assert re.search(rf"^{re.escape(name)}(\[.*\])?=={re.escape(version)} ", lock, re.MULTILINE | re.IGNORECASE)


@pytest.mark.parametrize("family", families())
def test_locks_name_no_index(family):
    for path in FAMILIES.glob(f"{family}.*lock"):
        assert "://" not in path.read_text()


@pytest.mark.parametrize("family", [family for family in families() if worker_envs.uses_gpu(family)])
def test_a_cuda_lock_adds_the_pins_of_its_header_and_nothing_that_the_lock_has(family):
    added = dict(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==(\S+) ", (FAMILIES / f"{family}.cuda.lock").read_text(), re.M))
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+) ", (FAMILIES / f"{family}.lock").read_text(), re.M))
    pins = worker_envs.header(family)["tool"]["defect-atlas"]["accelerator"]["cuda"]
    assert any(name.startswith("nvidia-") for name in added)
    assert not added.keys() & locked.keys()
    for pin in pins:
        package, _, version = pin.partition("==")
        name = package.partition("[")[0]
        assert (added | locked)[name] == version


def test_an_environment_for_another_device_is_built_anew(tmp_path):
    folder = worker_envs.environment_path("mace", tmp_path)
    folder.mkdir(parents=True)
    (folder / ".complete").write_text(worker_envs._stamp("mace", "cuda"))
    assert worker_envs.built_for("mace", tmp_path) == "cuda"
    (folder / ".complete").write_text(worker_envs._stamp("mace", "cpu"))
    assert worker_envs.built_for("mace", tmp_path) == "cpu"
    assert worker_envs.is_built("mace", tmp_path)


def test_every_family_has_a_lock_with_hashes():
    for path in FAMILIES.glob("*.py"):
        if path.stem == "__init__":
            continue
        lines = path.with_suffix(".lock").read_text().splitlines()
        pinned = [line for line in lines if "==" in line and not line.startswith(" ")]
        assert pinned
        assert all(line.endswith("\\") for line in pinned), f"{path.stem}: a package without hashes"


def test_every_runnable_model_has_a_family_with_a_lock():
    for model in load_models().values():
        if model.is_runnable:
            assert (FAMILIES / f"{model.family}.lock").is_file(), model.model_id


def test_a_family_without_a_file_is_refused_with_the_ones_there_are():
    with pytest.raises(WorkerEnvError, match=r"'alignn' has no file .* chgnet, "):
        worker_envs.header("alignn")


def test_a_worker_gets_no_secrets_and_one_thread(monkeypatch):
    data = DataFolder.default().root
    if not worker_envs.is_built("emt", data):
        pytest.skip("worker environment 'emt' is not built; run: python -m precompute envs emt")
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MP_API_KEY", "WANDB_API_KEY", "KAGGLE_KEY", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "secret")
    command = worker_envs.python_command("emt", data, "precompute.workers.worker", (), device="cpu")
    assert "secret" not in command.env.values()
    assert command.env["OMP_NUM_THREADS"] == "1"
    assert command.env["CUDA_VISIBLE_DEVICES"] == ""


def test_an_environment_of_another_lock_is_not_built(tmp_path):
    folder = worker_envs.environment_path("emt", tmp_path)
    folder.mkdir(parents=True)
    (folder / ".complete").write_text("of another lock")
    assert not worker_envs.is_built("emt", tmp_path)


def test_an_environment_whose_python_is_gone_is_not_shown_as_runnable(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_envs, "is_built", lambda family, data: True)
    python = worker_envs.python_path("emt", tmp_path)
    python.parent.mkdir(parents=True)
    python.symlink_to("/nowhere/python3.11")
    assert "leads to a Python that is not on this machine" in why_not_runnable(get_model("emt"), DataFolder(tmp_path))
    python.unlink()
    python.symlink_to(sys.executable)
    assert why_not_runnable(get_model("emt"), DataFolder(tmp_path)) == ""


def test_nobody_builds_beside_a_uv_whose_command_was_killed(tmp_path):
    slow, began = tmp_path / "uv", tmp_path / "began"
    slow.write_text(f"#!/bin/sh\ntouch {began}\nsleep 3\n")
    slow.chmod(0o755)
    program = (
        "from pathlib import Path; from precompute.workers import worker_envs\n"
        f"worker_envs.uv_program = lambda: {str(slow)!r}\n"
        f"worker_envs.build('emt', Path({str(tmp_path)!r}), device='cpu')"
    )
    lock = tmp_path / "worker_envs" / ".lock"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) as running:
        while not began.exists():
            assert running.poll() is None
            time.sleep(0.05)
        running.kill()
    assert _is_locked(lock)
    for _ in range(200):
        if not _is_locked(lock):
            return
        time.sleep(0.05)
    pytest.fail("the lock outlived uv")


def _is_locked(path: Path) -> bool:
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
