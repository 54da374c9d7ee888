"""Runs through Parsl with real workers: bundles, retries, walltime, and the GPU of each worker."""

import dataclasses
import json
import os
import subprocess
import sys
from concurrent.futures import Future

import numpy as np
import pytest
from ase.build import bulk

from engine.data_folder import ROOT
from engine.errors import SettingsError
from engine.records import Configuration, write_configurations
from engine.registry.models import get_model
from engine.shards import done_keys
from engine.store.rows import Cost
from precompute.jobs.executors import SLOW, Bundle, _wait, run_with_parsl, seconds_per_atom

DATASET = "cu-snap"  # a registry id; the configurations in it are this test's


@pytest.fixture
def campaign(folder):
    """A data folder with forty cells of copper."""
    cells = []
    for seed in range(40):
        atoms = bulk("Cu", cubic=True).repeat(2)
        atoms.rattle(0.05, seed=seed)
        name, pbc = f"cu-{seed}", (True, True, True)
        cells.append(Configuration(name, "rattled", atoms.numbers, atoms.positions, np.array(atoms.cell), pbc))
    folder.configurations(DATASET).parent.mkdir()
    write_configurations(folder.configurations(DATASET), cells)
    return folder


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "precompute", "run", *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def rows(folder) -> set:
    return done_keys(folder.root.glob("predictions/*/emt/*/*.parquet"))


def test_bundles_on_a_high_throughput_executor_make_the_same_rows_and_resume(campaign):
    (campaign.costs).mkdir()
    us = 60e6 / 320  # per atom, so that 10 cells of 32 atoms take a minute
    timed = Cost("emt", "cpu", "test machine", 1, 32, 1, us * 32e-3, us, None, "computed", "2026-01-01 00:00:00")
    (campaign.costs / "emt-cpu-1.json").write_text(json.dumps(dataclasses.asdict(timed)))
    arguments = ["--data", str(campaign.root), "--dataset", DATASET, "--model", "emt", "--executor", "parsl"]
    done = command(*arguments, "--bundle-minutes", "1")
    assert done.returncode == 0, done.stderr
    assert "4 bundles of 1 models" in done.stderr
    assert "4/4 bundles (last: emt)" in done.stderr
    assert len(rows(campaign)) == 40
    again = command(*arguments)
    assert again.returncode == 0
    assert "nothing is left to do" in again.stderr


def test_parts_share_the_work_without_a_row_twice(campaign):
    arguments = ["--data", str(campaign.root), "--dataset", DATASET, "--model", "emt", "--jobs", "1"]
    assert command(*arguments, "--part", "2/3").returncode == 0
    assert len(rows(campaign)) == 13
    assert command(*arguments, "--part", "2/3").stderr.startswith("emt: 0 to do, 13 done before")
    assert command(*arguments).returncode == 0
    assert len(rows(campaign)) == 40


def test_a_run_takes_nothing_new_after_its_minutes_and_says_what_is_left(campaign):
    arguments = ["--data", str(campaign.root), "--dataset", DATASET, "--model", "emt", "--jobs", "1"]
    done = command(*arguments, "--minutes", "1e-9")
    assert done.returncode == 1
    assert "40 of 40 configurations are not done" in done.stderr
    assert command(*arguments, "--minutes", "5").returncode == 0


def test_a_bundle_that_is_not_complete_is_tried_again_and_then_named(capsys):
    tries = []

    def submit(bundle):
        tries.append(bundle.model_id)
        future = Future()
        code = 0 if bundle.model_id == "lucky" and tries.count("lucky") == 2 else 1
        future.set_result(subprocess.CompletedProcess([], code, "", "3 of 9 configurations are not done"))
        return future

    assert _wait([Bundle("lucky", ()), Bundle("never", ())], submit, 2) == 1
    assert (tries.count("lucky"), tries.count("never")) == (2, 3)
    said = capsys.readouterr().err
    assert "never: exit status 1: 3 of 9 configurations are not done" in said
    assert "2/2 bundles, 1 not complete" in said


def test_a_model_is_as_slow_as_it_was_measured_and_as_a_large_one_where_it_was_not(folder):
    assert 1e-6 < seconds_per_atom(get_model("emt"), folder, "cpu") < SLOW
    assert seconds_per_atom(get_model("emt"), folder, "cuda") == SLOW


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b", "-1/2"])
def test_a_part_that_is_none_is_refused(campaign, part):
    done = command("--data", str(campaign.root), "--dataset", DATASET, "--model", "emt", f"--part={part}")
    assert done.returncode == 1
    assert f"error: --part '{part}' is not I/N" in done.stderr


def test_a_part_of_bundles_is_refused(campaign):
    asked = ["--data", str(campaign.root), "--dataset", DATASET, "--model", "emt", "--part", "1/2"]
    done = command(*asked, "--executor", "parsl")
    assert done.returncode == 1
    assert "--part does not go with --executor parsl" in done.stderr


def test_a_configuration_that_is_none_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="is not MODULE:ATTRIBUTE"):
        run_with_parsl([Bundle("emt", ())], "no.such:config", tmp_path)
