"""Measured costs: what a file says, and that a full disk leaves none."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from engine.data_folder import ROOT
from engine.registry.models import get_model
from engine.store.rows import RANDOM_WEIGHTS, Cost
from precompute.jobs import bench

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
    bench.bench(get_model("emt"), folder, device="cpu", occasion=occasion)
    (path,) = folder.costs.iterdir()
    kept = json.loads(path.read_text())
    assert (path.name, kept["occasion"], kept["n_atoms"]) == ("emt-cpu-1.json", occasion, 125)
    assert 0 < kept["yardstick_ms"] < 10_000
    assert kept["us_per_atom_step"] == pytest.approx(kept["ms_per_step"] * 1e3 / 125)


def test_a_cell_of_another_size_has_a_file_of_its_own(folder):
    emt = get_model("emt")
    bench.bench(emt, folder, device="cpu", occasion="one", n_cells=2)
    assert [path.name for path in folder.costs.iterdir()] == ["emt-cpu-1-8.json"]
    assert (bench.is_measured(emt, folder, 2), bench.is_measured(emt, folder)) == (True, False)
    bench.bench(emt, folder, device="cpu", occasion="one")
    assert bench.is_measured(emt, folder)
    assert {json.loads(path.read_text())["n_atoms"] for path in folder.costs.iterdir()} == {8, 125}


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
    old = folder.costs / "emt-cpu-1.json"
    old.write_text("old")
    done = limited(KEEP, str(folder.root), limit=100)
    assert "OSError" in done.stderr
    assert [(p.name, p.read_text()) for p in folder.costs.iterdir()] == [(old.name, "old")]


def test_a_cost_with_random_weights_stands_beside_the_models_own(folder):
    own = Cost("emt", "cpu", "a machine", 1, 125, 1, 1.0, 8.0, 100.0, "computed", "2026-01-02 03:04:05")
    for cost in (own, replace(own, origin=RANDOM_WEIGHTS)):
        bench.keep(cost, folder)
    assert sorted(path.name for path in folder.costs.iterdir()) == ["emt-cpu-1.json", "emt-random-weights-cpu-1.json"]
    (folder.costs / "emt-cpu-1.json").unlink()
    assert not bench.is_measured(get_model("emt"), folder)
