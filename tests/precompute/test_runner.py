"""Real EMT workers: resume, kill -9, crashing configurations, progress, the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from engine.data_folder import ROOT, DataFolder
from engine.errors import WorkerEnvError, WorkerError
from engine.records import (
    Configuration,
    Prediction,
    read_predictions,
    read_run_record,
    write_configurations,
    write_predictions,
)
from engine.registry.models import get_model
from engine.shards import done_keys, merged
from precompute.acquire.weights import Checkpoint
from precompute.jobs import runner
from precompute.workers import worker_envs
from precompute.workers.devices import Place, places
from precompute.workers.process import Worker, WorkerDiedError
from precompute.workers.worker_envs import worker_command

DATASET = "cu-snap"  # a registry id; the configurations in it are this test's


def copper(name: str, n: int = 2, seed: int = 0) -> Configuration:
    atoms = bulk("Cu", cubic=True).repeat(n)
    atoms.rattle(0.05, seed=seed)
    return Configuration(name, "rattled", atoms.numbers, atoms.positions, np.array(atoms.cell), (True, True, True))


def tungsten(name: str) -> Configuration:
    atoms = bulk("W")
    return Configuration(name, "rattled", atoms.numbers, atoms.positions, np.array(atoms.cell), (True, True, True))


def run(folder: DataFolder, configurations: list[Configuration], jobs: int | None = None, **options) -> runner.Outcome:
    task, _ = runner.plan(get_model("emt"), {DATASET: configurations}, folder)
    return runner.run([task], folder, places=places("cpu", jobs=jobs), **options)


def results(folder: DataFolder) -> dict:
    target = folder.predictions(DATASET, "emt", Checkpoint(get_model("emt"), folder).fingerprint)
    return {p.config_id: p for path in sorted(target.glob("*.parquet")) for p in read_predictions(path)}


def test_numbers_are_those_of_the_potential_and_carry_their_origin(folder):
    configuration = copper("cu-0")
    outcome = run(folder, [configuration])
    prediction = results(folder)["cu-0"]
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.positions = configuration.positions
    atoms.calc = EMT()
    assert (outcome.n_done, outcome.n_failed) == (1, 0)
    assert prediction.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(prediction.forces, atoms.get_forces(), atol=1e-9)
    record = read_run_record(next(folder.root.glob("predictions/*/*/*/*.parquet")))
    assert record.origin == "computed"
    assert "ase 3.29.0" in record.packages
    assert record.device == "cpu"


def test_a_configuration_that_a_model_cannot_do_is_a_row_with_a_reason(folder):
    outcome = run(folder, [copper("cu-0"), tungsten("w-0")])
    assert (outcome.n_done, outcome.n_failed) == (2, 1)
    assert results(folder)["cu-0"].status == "ok"
    assert "No EMT-potential for W" in results(folder)["w-0"].reason


def test_a_second_run_computes_only_what_is_new(folder):
    run(folder, [copper("cu-0")])
    before = {p: p.stat().st_mtime_ns for p in folder.root.glob("predictions/**/*.parquet")}
    outcome = run(folder, [copper("cu-0"), copper("cu-1", seed=1)])
    assert outcome.n_done == 1
    assert set(results(folder)) == {"cu-0", "cu-1"}
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())


def test_a_changed_geometry_is_computed_again(folder):
    run(folder, [copper("cu-0")])
    assert run(folder, [copper("cu-0", seed=5)]).n_done == 1


def test_results_survive_kill_9_and_the_rest_is_computed_later(folder, monkeypatch):
    configurations = [copper(f"cu-{i}", n=4, seed=i) for i in range(24)]
    write_configurations(folder.configurations(DATASET), configurations)
    command = [sys.executable, "-m", "precompute", "run", "--dataset", DATASET, "--model", "emt", "--jobs", "1"]
    environment = os.environ | {"DEFECT_ATLAS_DATA": str(folder.root), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(folder.root.glob("predictions/**/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)  # runner and worker alike
    process.wait()

    kept = results(folder)
    assert len(kept) > 0
    assert all(p.status == "ok" for p in kept.values())
    outcome = run(folder, configurations)
    assert outcome.n_done == len(configurations) - len(kept)
    assert len(results(folder)) == len(configurations)
    assert not list(folder.root.glob("predictions/**/*.tmp"))


def test_a_dead_worker_is_replaced(folder, monkeypatch):
    killed = []
    request = Worker.request

    def kill_once(self, *arguments, **options):
        if not killed:
            killed.append(self.pid)
            os.kill(self.pid, signal.SIGKILL)
        return request(self, *arguments, **options)

    monkeypatch.setattr(Worker, "request", kill_once)
    outcome = run(folder, [copper("cu-0")])
    assert killed
    assert (outcome.n_done, outcome.n_failed) == (1, 0)


def test_a_configuration_that_kills_its_worker_twice_becomes_a_failed_row(folder, monkeypatch):
    request = Worker.request

    def die_at_the_bad_one(self, source, target, *, skip=None, max_edges=None, **options):
        if "bad" not in (skip or {}):
            self.kill()
            raise WorkerDiedError("worker died (signal SIGSEGV)", ["bad"] if max_edges == 1 else ["cu-0", "bad"])
        return request(self, source, target, skip=skip, max_edges=max_edges, **options)

    monkeypatch.setattr(Worker, "request", die_at_the_bad_one)
    outcome = run(folder, [copper("cu-0"), copper("bad", seed=1)])
    assert (outcome.n_done, outcome.n_failed) == (2, 1)
    assert results(folder)["bad"].reason == "ended its worker process twice"
    assert results(folder)["cu-0"].status == "ok"


def test_a_hung_configuration_is_ended(folder):
    worker = Worker(worker_command(get_model("emt"), folder, "cpu"), folder.logs / "emt.log")
    worker.start()
    os.kill(worker.pid, signal.SIGSTOP)
    write_configurations(folder.root / "in.parquet", [copper("cu-0")])
    with pytest.raises(WorkerDiedError, match="took longer than"):
        worker.request(folder.root / "in.parquet", folder.root / "out.parquet", timeout=0.3)
    assert not worker.is_alive


def test_a_broken_request_is_answered_and_the_worker_goes_on(folder):
    worker = Worker(worker_command(get_model("emt"), folder, "cpu"), folder.logs / "emt.log")
    worker.start()
    with pytest.raises(WorkerError, match="refused"):
        worker.request(folder.root / "absent.parquet", folder.root / "out.parquet")
    write_configurations(folder.root / "in.parquet", [copper("cu-0")])
    assert worker.request(folder.root / "in.parquet", folder.root / "out.parquet")["n"] == 1
    worker.kill()


def test_a_missing_environment_names_the_command_that_builds_it(tmp_path):
    with pytest.raises(WorkerEnvError, match="Run: python -m precompute envs emt"):
        worker_command(get_model("emt"), DataFolder(tmp_path), "cpu")


def test_status_counts_what_is_done_and_why_the_rest_failed(folder, capsys, monkeypatch):
    from precompute import __main__ as command_line

    configurations = [copper("cu-0"), tungsten("w-0"), copper("cu-1", seed=1)]
    write_configurations(folder.configurations(DATASET), configurations)
    run(folder, configurations[:2])
    arguments = ["status", "--json", "--dataset", DATASET, "--model", "emt", "--data", str(folder.root)]
    monkeypatch.setattr(sys, "argv", ["precompute", *arguments])
    assert command_line.main() == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["n_configs"], row["n_done"], row["n_failed"]) == (3, 2, 1)
    assert "No EMT-potential" in next(iter(row["reasons"]))


def test_models_says_what_runs_here_and_why_not(folder, capsys, monkeypatch):
    from precompute import __main__ as command_line

    asked = ["--model", "emt", "--model", "mace-mp-0-large", "--data", str(folder.root)]
    monkeypatch.setattr(sys, "argv", ["precompute", "models", "--json", *asked])
    assert command_line.main() == 0
    emt, mace = json.loads(capsys.readouterr().out)
    assert (emt["model_id"], emt["runs_here"], emt["reason"]) == ("emt", True, "")
    assert (mace["paper_row"], mace["runs_here"]) == (2, False)
    assert "Run: python -m precompute" in mace["reason"]


def test_slots_share_models_and_finish_all(folder):
    configurations = [copper(f"cu-{i}", n=3, seed=i) for i in range(70)]
    outcome = run(folder, configurations, jobs=2)
    assert outcome.n_done == 70
    assert len(done_keys(Path(folder.root).glob("predictions/*/emt/*/*.parquet"))) == 70


def test_a_worker_reaches_no_other_machine(folder):
    """The worker's own Python, asked to connect after `deny_network`."""
    program = (
        "import socket, precompute.workers.worker as w; w.deny_network()\n"
        "connect = lambda: socket.create_connection(('192.0.2.1', 80), 1)\n"
        "for ask in (connect, lambda: socket.getaddrinfo('example.org', 80)):\n"
        "    try: ask()\n"
        "    except PermissionError as error: print(error)\n"
    )
    python = str(worker_envs.python_path("emt", DataFolder.default().root))
    done = subprocess.run([python, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.count("a worker has no network") == 2


def test_offline_workers_have_no_network_at_all(folder):
    try:
        command = worker_command(get_model("emt"), folder, "cpu", offline=True)
    except WorkerEnvError as error:
        pytest.skip(str(error))
    argv = [*command.argv[: command.argv.index("--") + 1], "cat", "/proc/net/dev"]
    devices = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert [line.split(":")[0].strip() for line in devices.splitlines()[2:]] == ["lo"]
    worker = Worker(command, folder.logs / "emt.log")
    write_configurations(folder.root / "in.parquet", [copper("cu-0")])
    assert worker.start()["device"] == "cpu"
    assert worker.request(folder.root / "in.parquet", folder.root / "out.parquet")["n_failed"] == 0
    worker.kill()


def test_secrets_do_not_reach_workers(folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    command = worker_command(get_model("emt"), folder, "cpu")
    assert "hf_secret" not in repr(command)


def test_the_run_record_says_how_numbers_came_about(folder):
    run(folder, [copper("cu-0")])
    record = read_run_record(next(folder.predictions(DATASET, "emt").rglob("*.parquet")))
    assert (record.dtype, record.d3, record.device, record.n_threads) == ("float64", False, "cpu", 1)
    assert all((record.packages, record.hardware, record.python, record.options, record.max_edges, record.wall_seconds))


def test_a_reader_that_has_seen_enough_ends_a_command_quietly():
    argv = [sys.executable, "-m", "precompute", "models", "--json"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == 0


def _run_command(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> int:
    from precompute import __main__ as command_line

    arguments = ["run", "--dataset", DATASET, "--model", "emt", "--device", "cpu", "--data", str(folder.root)]
    monkeypatch.setattr(sys, "argv", ["precompute", *arguments])
    return command_line.main()


def test_run_exits_0_when_all_is_done(folder, monkeypatch):
    write_configurations(folder.configurations(DATASET), [copper("cu-0"), tungsten("w-0")])
    assert _run_command(folder, monkeypatch) == 0


def test_run_does_not_exit_0_when_nothing_can_be_written(folder, monkeypatch, capsys):
    write_configurations(folder.configurations(DATASET), [copper("cu-0")])
    (folder.root / "predictions").write_text("a file where a folder should be")
    assert _run_command(folder, monkeypatch) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_run_does_not_exit_0_when_scratch_files_cannot_be_written(folder, monkeypatch, capsys):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    write_configurations(folder.configurations(DATASET), [copper("cu-0")])
    monkeypatch.setattr("precompute.workers.process.write_configurations", full)
    assert _run_command(folder, monkeypatch) == 1
    assert "1 of 1 configurations are not done" in capsys.readouterr().err


def test_a_lack_of_memory_is_said_and_tried_again(folder, monkeypatch, capsys):
    cell = copper("cu-0")
    write_configurations(folder.configurations(DATASET), [cell])
    target = folder.predictions(DATASET, "emt", Checkpoint(get_model("emt"), folder).fingerprint)
    row = Prediction("cu-0", cell.geometry_hash, "failed", "MemoryError: 32 atoms do not fit into memory")
    write_predictions(target / "0.parquet", [row])
    assert _run_command(folder, monkeypatch) == 0
    ((prediction, _),) = merged(sorted(target.glob("*.parquet"))).values()
    assert prediction.status == "ok"
    assert "1 to do, 0 done before" in capsys.readouterr().err


LACKS_MEMORY = """
import pathlib
from engine.families import emt
load, folder, share = emt.load, pathlib.Path({folder!r}), float(sys.argv[sys.argv.index("--gpu-share") + 1])
def lacking(*arguments, **options):
    with (folder / "loads").open("a") as file:
        print(share, file=file)
    if {condition}:
        raise RuntimeError("CUDA error: out of memory")
    return load(*arguments, **options)
emt.load = lacking
"""


def _run_lacking(folder: DataFolder, alter_workers, condition: str, n: int) -> tuple[runner.Outcome, list[str]]:
    """A run at two places that share a device, and the shares of the workers that tried to load the model."""
    alter_workers(LACKS_MEMORY.format(folder=str(folder.root), condition=condition))
    configurations = [copper(f"cu-{i}", n=3, seed=i) for i in range(n)]
    task, _ = runner.plan(get_model("emt"), {DATASET: configurations}, folder)
    outcome = runner.run([task], folder, places=(Place("cpu", gpu_share=0.5),) * 2)
    return outcome, (folder.root / "loads").read_text().split()


def test_a_model_without_room_beside_others_is_loaded_alone_at_the_end(folder, alter_workers, capsys):
    outcome, loads = _run_lacking(folder, alter_workers, "share < 1", n=3)
    assert outcome.is_complete
    assert loads == ["0.45", "1.0"]
    assert "emt: again, alone" in capsys.readouterr().err


def test_a_model_without_room_for_itself_is_an_error_after_two_tries(folder, alter_workers):
    outcome, loads = _run_lacking(folder, alter_workers, "True", n=3)
    assert (outcome.n_done, loads) == (0, ["0.45", "1.0"])
    assert "could not be loaded: RuntimeError: CUDA error: out of memory" in outcome.errors["emt"]


def test_a_worker_without_room_leaves_its_shard_to_the_one_that_is_there(folder, alter_workers):
    is_second = "len((folder / 'loads').read_text().split()) > 1"
    outcome, loads = _run_lacking(folder, alter_workers, is_second, n=70)
    assert (outcome.n_done, outcome.errors) == (70, {})
    assert loads == ["0.45", "0.45"]
