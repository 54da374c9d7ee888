"""Measured costs: what a file says, and that a full disk leaves none."""

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from engine.data_folder import ROOT
from engine.queries import catalog
from engine.queries.timings import estimates, machine_name
from engine.records import Configuration, write_configurations
from engine.registry.models import get_model
from engine.store.rows import RANDOM_WEIGHTS, Cost
from precompute.jobs import bench
from precompute.jobs.build import _costs, build

# A limit on the size of files is how a process of its own meets a disk that takes no more: OSError in the middle.
LIMITED = """
import resource, sys
sys.argv[1:] = {arguments!r}
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
{body}
"""
COMMAND = "from precompute.__main__ import main; sys.exit(main())"
KEEP = """
from pathlib import Path
from engine.data_folder import DataFolder
from engine.store.rows import Cost
from precompute.jobs import bench
cost = Cost("emt", "cpu", "a machine", 1, 125, 1, 1.0, 8.0, 100.0, "computed", "2026-01-02 03:04:05")
bench.keep(cost, DataFolder(Path(sys.argv[1])))
"""


def limited(body: str, *arguments: str, limit: int) -> subprocess.CompletedProcess:
    program = LIMITED.format(arguments=list(arguments), limit=limit, body=body)
    return subprocess.run([sys.executable, "-B", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_new_cost_names_its_occasion_and_its_yardstick(folder):
    occasion = bench.new_occasion()
    list(bench.bench(get_model("emt"), folder, bench.Setting("cpu", occasion)))
    (path,) = folder.costs.iterdir()
    kept = json.loads(path.read_text())
    assert re.fullmatch(r"emt-cpu-[a-z0-9-]+-cores-1\.json", path.name)
    assert (kept["occasion"], kept["n_atoms"]) == (occasion, 125)
    assert 0 < kept["yardstick_ms"] < 10_000
    assert kept["us_per_atom_step"] == pytest.approx(kept["ms_per_step"] * 1e3 / 125)


def test_a_cell_of_another_size_has_a_file_of_its_own(folder):
    emt, one = get_model("emt"), bench.Setting("cpu", "one")
    list(bench.bench(emt, folder, one, [2]))
    (path,) = folder.costs.iterdir()
    assert path.name.endswith("-cores-1-8.json")
    assert (bench.is_measured(emt, folder, one, 2), bench.is_measured(emt, folder, one)) == (True, False)
    list(bench.bench(emt, folder, one))
    assert bench.is_measured(emt, folder, one)
    assert {json.loads(path.read_text())["n_atoms"] for path in folder.costs.iterdir()} == {8, 125}


def test_quartiles_hold_the_median_and_loading_takes_time(folder):
    (cost,) = bench.measure(get_model("emt"), folder, bench.Setting("cpu", "one"), [2])
    assert cost.ms_low <= cost.ms_per_step <= cost.ms_high
    assert cost.load_seconds > 0.05
    assert cost.drift_mev_per_atom_ps is None


def test_sizes_end_after_a_step_that_took_too_long(folder):
    emt, one = get_model("emt"), bench.Setting("cpu", "one")
    assert [cost.n_atoms for cost in bench.bench(emt, folder, one, [2, 3, 4], seconds=0.0)] == [8]
    assert [cost.n_atoms for cost in bench.bench(emt, folder, one, [2, 3, 4], seconds=20.0)] == [8, 27, 64]


def test_a_queue_is_a_cost_of_its_own(folder):
    emt, queue = get_model("emt"), bench.Setting("cpu", "one", is_queue=True)
    (cost,) = bench.bench(emt, folder, queue, [2])
    assert 1 < cost.batch <= bench.N_QUEUED
    (path,) = folder.costs.iterdir()
    assert path.name.endswith("-cores-1-8-queue.json")
    assert bench.is_measured(emt, folder, queue, 2)
    assert not bench.is_measured(emt, folder, bench.Setting("cpu", "one"), 2)


def test_times_of_one_by_one_and_of_a_queue_both_reach_the_pages(folder, monkeypatch):
    emt, alone = get_model("emt"), bench.Setting("cpu", "one")
    (single,) = bench.bench(emt, folder, alone, [2])
    (queued,) = bench.measure(emt, folder, replace(alone, is_queue=True), [2])
    bench.keep(replace(queued, batch=1), folder)  # of a worker whose batches hold a single such system
    cell = Configuration("cu-0", "g", np.array([29]), np.zeros((1, 3)), 3.0 * np.eye(3), (True,) * 3, 0.0)
    write_configurations(folder.configurations("cu-snap"), [cell])
    build(folder)
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(folder.root))
    costs = catalog.costs().query("model_id == 'emt' and n_atoms == 8").set_index("is_queue")
    assert costs["ms_per_step"].to_dict() == {False: single.ms_per_step, True: queued.ms_per_step}
    assert costs.loc[False, "ms_low"] == single.ms_low
    (machine,) = {machine_name(*key) for key in costs[["device", "hardware", "n_threads"]].to_numpy()}
    assert estimates(machine, 8, 1).set_index("model_id").loc["emt", "ms_per_step"] == single.ms_per_step


def test_a_file_from_before_the_key_is_of_a_queue_by_its_name(folder):
    cost = Cost("emt", "cpu", "a machine", 1, 8, 1, 1.0, 8.0, 100.0, "computed", "2026-01-02 03:04:05", is_queue=True)
    bench.keep(cost, folder)
    (path,) = folder.costs.iterdir()
    path.write_text(
        json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "is_queue"})
    )
    assert list(bench.read_costs(folder.costs, [])) == [cost]


def test_systems_at_once_are_those_that_share_a_time():
    assert bench._systems_at_once([0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.3]) == 3


def test_a_conservative_model_keeps_its_energy(folder):
    (cost,) = bench.measure(get_model("emt"), folder, bench.Setting("cpu", "one", with_drift=True), [2])
    assert abs(cost.drift_mev_per_atom_ps) < 0.5


def test_drift_is_the_slope_of_the_energy():
    steps = np.arange(100)
    rising = -4.0 + 2e-6 * steps + 1e-6 * np.sin(2 * np.pi * steps / 10)  # 2e-6 eV per fs are 2 meV per ps
    assert bench.drift_of(rising, 1.0) == pytest.approx(2.0, abs=0.5)


def test_two_occasions_of_one_second_are_two():
    assert bench.new_occasion() != bench.new_occasion()


def test_a_full_disk_during_bench_is_one_sentence_and_no_cost(folder):
    done = limited(COMMAND, "bench", "--model", "emt", "--device", "cpu", "--data", str(folder.root), limit=1000)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr
    assert not folder.costs.exists()


def test_a_disk_that_fills_up_at_the_last_file_leaves_the_old_cost(folder):
    folder.costs.mkdir()
    old = folder.costs / "emt-cpu-a-machine-1.json"
    old.write_text("old")
    done = limited(KEEP, str(folder.root), limit=100)
    assert "OSError" in done.stderr
    assert [(p.name, p.read_text()) for p in folder.costs.iterdir()] == [(old.name, "old")]


def test_another_machine_does_not_take_the_place_of_a_cost(folder):
    here = Cost("emt", "cuda", "NVIDIA H100", 1, 125, 1, 1.0, 8.0, 100.0, "computed", "2026-01-02 03:04:05")
    for cost in (here, replace(here, hardware="NVIDIA H200"), replace(here, ms_per_step=2.0)):
        bench.keep(cost, folder)
    kept = {cost.hardware: cost.ms_per_step for cost in bench.read_costs(folder.costs, [])}
    assert kept == {"NVIDIA H100": 2.0, "NVIDIA H200": 1.0}


def test_the_later_of_two_costs_of_one_machine_counts(folder):
    folder.costs.mkdir()
    cost = Cost("emt", "cpu", "a machine", 1, 125, 1, 1.0, 8.0, 100.0, "computed", "2026-01-02 03:04:05")
    (folder.costs / "emt-cpu-1.json").write_text(json.dumps(asdict(cost)))  # as files were named before
    bench.keep(replace(cost, ms_per_step=2.0, measured_at="2026-02-02 03:04:05"), folder)
    assert [one.ms_per_step for one in _costs(folder, []) if one.hardware == "a machine"] == [2.0]


def test_a_cost_with_random_weights_stands_beside_the_models_own(folder):
    own = Cost("emt", "cpu", "a machine", 1, 125, 1, 1.0, 8.0, 100.0, "computed", "2026-01-02 03:04:05")
    for cost in (own, replace(own, origin=RANDOM_WEIGHTS)):
        bench.keep(cost, folder)
    names = ["emt-cpu-a-machine-1.json", "emt-random-weights-cpu-a-machine-1.json"]
    assert sorted(path.name for path in folder.costs.iterdir()) == names
    (folder.costs / names[0]).unlink()
    assert not bench.is_measured(get_model("emt"), folder, bench.Setting("cpu", "one"))
