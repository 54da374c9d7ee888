"""The pool with real EMT workers: warm ones, dead ones, memory, unknown tasks, orphans."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from engine.data_folder import ROOT, DataFolder
from engine.errors import WorkerError
from engine.records import Configuration
from engine.registry.models import get_model
from precompute.workers import worker_envs
from precompute.workers.pool import CAP_GB, FLOOR_GB, Pool, default_memory_gb
from precompute.workers.process import Worker, WorkerDiedError

EMT = get_model("emt")


def copper(name: str = "cu") -> Configuration:
    atoms = bulk("Cu", cubic=True)
    return Configuration(name, "g", atoms.numbers, atoms.positions, np.array(atoms.cell), (True, True, True))


def test_a_worker_stays_warm_for_the_next_caller_and_ends_with_the_pool(folder):
    with Pool(folder, device="cpu") as pool:
        pids = []
        for _ in range(2):
            with pool.borrow(EMT) as loaded:
                (prediction,) = loaded.evaluate([copper()]).predictions
                pids.append(loaded.worker.pid)
        worker = pool.loaded()["emt"]
    assert prediction.status == "ok"
    assert pids[0] == pids[1]
    assert not worker.is_alive


def test_two_callers_of_one_model_have_a_worker_each(folder):
    with Pool(folder, device="cpu", max_warm=2) as pool, pool.borrow(EMT) as a, pool.borrow(EMT) as b:
        a.start()
        b.start()
        assert a.worker.pid != b.worker.pid


def test_an_unknown_task_is_refused_by_name_and_the_worker_goes_on(folder):
    with Pool(folder, device="cpu") as pool, pool.borrow(EMT) as loaded:
        with pytest.raises(WorkerError, match="task 'anneal' is unknown; this worker knows: single-point"):
            loaded.evaluate([copper()], task="anneal")
        assert loaded.evaluate([copper()]).predictions[0].status == "ok"


def test_what_the_system_kills_twice_is_a_row_that_another_run_tries_again(folder, monkeypatch):
    request = Worker.request

    def die_at_the_bad_one(self, *arguments, skip=None, **options):
        if "bad" not in (skip or {}):
            self.kill()
            self.current_batch = ("bad",)
            raise self._died()
        return request(self, *arguments, skip=skip, **options)

    monkeypatch.setattr(Worker, "request", die_at_the_bad_one)
    with Pool(folder, device="cpu") as pool, pool.borrow(EMT) as loaded:
        done = loaded.evaluate([copper(), copper("bad")])
    assert [p.status for p in done.predictions] == ["ok", "failed"]
    assert done.predictions[1].reason == "killed twice, as when memory runs out"
    assert (done.n_failed, done.n_transient) == (1, 1)


LOSES_ITS_DEVICE = """
import pathlib
from ase.calculators.emt import EMT
lost, calculate = [], EMT.calculate
def lose(self, atoms=None, *rest):
    bad = len(atoms) == 1 and not pathlib.Path({once!r}).exists()
    if lost or bad:
        pathlib.Path({mark!r}).touch()
        lost.append(True)
        raise RuntimeError("CUDA error: unknown error")
    calculate(self, atoms, *rest)
EMT.calculate, worker.device_answers = lose, lambda: not lost
"""


@pytest.mark.parametrize("again", [True, False], ids=["at each try", "once"])
def test_a_worker_that_lost_its_device_is_replaced_and_writes_nothing(folder, alter_workers, again):
    mark = str(folder.root / "lost")
    alter_workers(LOSES_ITS_DEVICE.format(mark=mark, once="/nowhere" if again else mark))
    atom = bulk("Cu")
    bad = Configuration("bad", "g", atom.numbers, atom.positions, np.array(atom.cell), (True, True, True))
    with Pool(folder, device="cpu") as pool, pool.borrow(EMT) as loaded:
        found = loaded.evaluate([copper("a"), bad, copper("b")]).predictions
    assert [p.status for p in found] == ["ok", "failed" if again else "ok", "ok"]
    assert found[1].reason == ("ended its worker process twice" if again else None)
    assert "the device answers no more after RuntimeError" in (folder.logs / "emt.log").read_text()


def test_without_retry_a_death_is_the_callers_error(folder, monkeypatch):
    with Pool(folder, device="cpu") as pool, pool.borrow(EMT) as loaded:
        loaded.start()
        monkeypatch.setattr(loaded, "start", lambda: os.kill(loaded.worker.pid, signal.SIGKILL))
        with pytest.raises(WorkerDiedError):
            loaded.evaluate([copper()], retry=False)


def test_a_worker_has_no_more_memory_than_its_cap(folder):
    with Pool(folder, device="cpu", memory_gb=2.0) as pool, pool.borrow(EMT) as loaded:
        loaded.start()
        limits = Path(f"/proc/{loaded.worker.pid}/limits").read_text()
    assert "2000000000" in next(line for line in limits.splitlines() if line.startswith("Max address space"))


def test_workers_for_visitors_are_capped_without_a_gpu():
    assert FLOOR_GB <= default_memory_gb("cpu") <= CAP_GB
    assert default_memory_gb("cuda") == 0


def test_a_dangling_python_is_our_error(folder):
    broken = worker_envs.WorkerCommand(("/nowhere/python",), {}, ROOT)
    with pytest.raises(WorkerError, match="cannot be started"):
        Worker(broken, folder.logs / "emt.log").start()


def test_a_worker_ends_with_the_process_that_started_it(folder):
    program = (
        "import os; from pathlib import Path; from engine.data_folder import DataFolder\n"
        "from engine.registry.models import get_model; from precompute.workers.pool import Pool\n"
        f"with Pool(DataFolder(Path({str(folder.root)!r})), device='cpu').borrow(get_model('emt')) as loaded:\n"
        "    loaded.start(); print(loaded.worker.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    argv = [sys.executable, "-c", program]
    pid = int(subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False).stdout)
    deadline = time.monotonic() + 20
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _runs(pid)


def test_a_worker_in_the_middle_of_a_computation_ends_with_its_parent():
    """The worker's watch alone: its input stays open and its main thread never returns."""
    child = "import precompute.workers.worker as w, time; w.end_with_parent(); print(1, flush=True); time.sleep(60)"
    parent = (
        "import os, subprocess, sys\n"
        f"c = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "c.stdout.readline(); print(c.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    pid = int(subprocess.run([sys.executable, "-c", parent], cwd=ROOT, capture_output=True, check=False).stdout)
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.family
def test_a_request_beyond_the_cap_fails_with_its_reason_and_the_worker_goes_on():
    built = DataFolder.default()
    if not worker_envs.is_built("chgnet", built.root):
        pytest.skip("worker environment 'chgnet' is not built; run: python -m precompute envs chgnet")
    dense = bulk("W", "sc", a=1.0).repeat(6)  # 216 atoms that share an edge with some 900 each
    plain = bulk("W")
    cells = [
        Configuration(str(len(atoms)), "g", atoms.numbers, atoms.positions, np.array(atoms.cell), (True, True, True))
        for atoms in (plain, dense)
    ]
    with Pool(built, device="cpu", memory_gb=3.0) as pool, pool.borrow(get_model("chgnet-0.3.0")) as loaded:
        before, beyond, after = [loaded.evaluate([cells[k]], retry=False) for k in (0, 1, 0)]
        peak = Path(f"/proc/{loaded.worker.pid}/status").read_text().partition("VmPeak:")[2].split()[0]
    assert beyond.predictions[0].reason == "MemoryError: 216 atoms do not fit into memory"
    assert beyond.n_transient == 1
    assert before.predictions[0].energy == pytest.approx(after.predictions[0].energy, abs=1e-6)
    assert int(peak) * 1024 <= 3e9
