"""What a program in the place of a worker can reach: its own files, and nothing else."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine.data_folder import ROOT, DataFolder
from engine.registry.models import get_model
from precompute.workers import confinement, worker_envs
from precompute.workers.confinement import RUNS_CODE, TRUST
from precompute.workers.process import Worker
from precompute.workers.worker_envs import why_not_runnable, worker_command

needs_landlock = pytest.mark.skipif(not confinement.is_possible(), reason="this kernel has no Landlock")

# What a checkpoint may try once it runs code; a name for each, and whether it came about.
PROGRAM = """
import ctypes, json, os, pathlib, signal, socket, subprocess, sys
sys.path[:] = [p for p in sys.path if p]
secret, own, place, port, parent = sys.argv[1:]
def tried(name, action):
    try:
        action()
        found[name] = True
    except Exception as error:
        found[name] = False
def write(path):
    pathlib.Path(path).write_text("x")
def connect():
    socket.create_connection(("127.0.0.1", int(port)), 2).close()
found = {}
tried("read its checkpoint", lambda: open(own).read())
tried("write into its temporary folder", lambda: write(os.environ["TMPDIR"] + "/x"))
tried("import of its environment", lambda: __import__("numpy"))
tried("start a program", lambda: subprocess.run(["/bin/true"], check=True))
tried("read a file of the user", lambda: open(secret).read())
link = os.environ["TMPDIR"] + "/link"
tried("read it through a link", lambda: (os.symlink(secret, link), open(link).read()))
tried("read it by another program", lambda: subprocess.run(["/bin/cat", secret], check=True, capture_output=True))
tried("list a folder of the user", lambda: os.listdir(place))
tried("write beside it", lambda: write(place + "/y"))
tried("overwrite its checkpoint", lambda: write(own))
tried("overwrite our code", lambda: write("engine/__init__.py"))
tried("remove a file of the user", lambda: os.remove(secret))
tried("read the secrets of its parent", lambda: open(f"/proc/{parent}/environ").read())
tried("signal its parent", lambda: os.kill(int(parent), signal.SIGWINCH))
tried("connect", connect)
print(json.dumps(found))
"""
ALLOWED = {"read its checkpoint", "write into its temporary folder", "import of its environment", "start a program"}


@needs_landlock
def test_a_confined_program_has_its_own_files_and_nothing_else(tmp_path):
    for name in ("user", "scratch", "weights", "code"):
        (tmp_path / name).mkdir()
    (tmp_path / "user" / "key").write_text("secret")
    (tmp_path / "weights" / "w.pt").write_text("numbers")
    (tmp_path / "code" / "hostile.py").write_text(PROGRAM)
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = [tmp_path / "user" / "key", tmp_path / "weights" / "w.pt", tmp_path / "user",
                     server.getsockname()[1], os.getpid()]  # fmt: skip
        rules = ["--read", tmp_path / "weights" / "w.pt", "--read", tmp_path / "code"]
        command = [sys.executable, "-m", "precompute.workers.confinement", *rules, "hostile", *arguments]
        environment = os.environ | {"TMPDIR": str(tmp_path / "scratch"), "PYTHONPATH": f"{ROOT}:{tmp_path / 'code'}"}
        asked = subprocess.run(
            list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    assert asked.returncode == 0, asked.stderr
    found = json.loads(asked.stdout)
    assert {name for name, came_about in found.items() if came_about} == ALLOWED
    assert (tmp_path / "user" / "key").read_text() == "secret"


@pytest.fixture
def emt():
    """The command of a worker of EMT."""
    folder = DataFolder.default()
    if not worker_envs.is_built("emt", folder.root):
        pytest.skip("worker environment 'emt' is not built; run: python -m precompute envs emt")
    return worker_command(get_model("emt"), folder, "cpu")


@needs_landlock
def test_every_worker_is_confined_and_where_possible_has_no_network(emt, tmp_path):
    worker = Worker(emt, tmp_path / "log")
    worker.start()
    try:
        status = Path(f"/proc/{worker.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        if confinement.without_network():
            assert os.readlink(f"/proc/{worker.pid}/ns/net") != os.readlink("/proc/self/ns/net")
        scratch = worker._scratch
        assert scratch.is_dir()
    finally:
        worker.kill()
    assert not scratch.exists()


def test_a_user_who_trusts_gets_a_worker_that_may_do_what_the_user_may(emt, monkeypatch):
    assert confinement.__name__ in emt.confined()
    monkeypatch.setenv(TRUST, "1")
    trusted = worker_command(get_model("emt"), DataFolder.default(), "cpu")
    assert trusted.confined() == trusted.argv
    assert confinement.__name__ not in trusted.argv


def test_weights_that_can_run_code_and_that_nobody_pinned_need_confinement_or_trust(monkeypatch):
    model = get_model("eqv2-31m-omat")
    assert model.family in RUNS_CODE
    assert not all(file.sha256 for file in model.files)
    monkeypatch.setattr(worker_envs, "is_built", lambda family, data: True)
    monkeypatch.setattr(worker_envs, "python_path", lambda family, data: Path(sys.executable))
    monkeypatch.setattr(worker_envs.Checkpoint, "why_not", "")
    assert bool(why_not_runnable(model, DataFolder.default())) != confinement.is_possible()
    monkeypatch.setattr(confinement, "is_possible", lambda: False)
    said = why_not_runnable(model, DataFolder.default())
    assert said.startswith("Its weights are a pickle, so they can run code; nobody has pinned their checksum")
    assert why_not_runnable(get_model("chgnet-0.3.0"), DataFolder.default()) == ""
    monkeypatch.setenv(TRUST, "1")
    assert why_not_runnable(model, DataFolder.default()) == ""
