"""The quick part of the trials of docs/faults.md: kills of two commands, and damaged uploads.

python -m benchmarks.kill_trials --rounds 4
python -m benchmarks.fault_trials
python -m benchmarks.fuzz_uploads --inputs 20000
"""

import json
import subprocess
import sys

import pytest

from benchmarks import fuzz_uploads
from benchmarks.kill_trials import STEPS, Step, Trial, _files, summary
from engine.data_folder import ROOT
from engine.errors import DatasetError
from engine.records import Prediction, write_predictions


def test_what_was_killed_at_random_is_after_a_rerun_what_nobody_disturbed(tmp_path):
    output = tmp_path / "trials.json"
    command = [sys.executable, "-m", "benchmarks.kill_trials", "--seed", "7", "--step", "fetch",
               "--output", str(output), "--worker-envs", str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = json.loads(output.read_text())["trials"]
    assert len(trials) > 1
    assert all(trial["rerun"] == 0 and not trial["difference"] for trial in trials)


def test_a_lost_row_and_a_changed_number_would_be_seen(tmp_path):
    seen = []
    for folder, energy, n in (("a", 1.0, 2), ("b", 1.0, 1), ("c", 1.5, 2)):
        rows = [Prediction(str(k), "hash", "ok", energy=energy, wall_seconds=float(n)) for k in range(n)]
        write_predictions(tmp_path / folder / "predictions" / "d" / "m" / "f" / "1.parquet", rows)
        seen.append(_files(tmp_path / folder))
    assert seen[0] != seen[1]
    assert seen[0] != seen[2]


def test_every_command_that_writes_is_killed():
    commands = {step.arguments[0] for step in STEPS}
    assert commands >= {"fetch", "add-dataset", "import", "run", "bench", "vacancies", "relax", "describe", "build"}
    assert isinstance(STEPS[0], Step)


def test_a_summary_counts_what_was_equal():
    trials = [Trial(1, 0, "run", 0.5, 2.0, is_equal=True), Trial(1, 0, "run", 1.5, 2.0, n_orphans=1)]
    (row,) = summary(trials)
    assert (row["kills"], row["equal"], row["orphans"], row["first"], row["last"]) == (2, 1, 1, 0.25, 0.75)


FILES = fuzz_uploads.fixtures(fuzz_uploads.FIXTURES)


@pytest.mark.parametrize("kind", ["uploads", "readers"])
def test_damaged_files_end_in_one_sentence_each(kind):
    found = list(fuzz_uploads.in_children(3, range(300), FILES, kind))
    assert [one.number for one in found] == list(range(300))
    assert [one for one in found if one.outcome in fuzz_uploads.BAD] == []
    assert {one.outcome for one in found} == {"read", "refused"}


def test_the_same_number_makes_the_same_file():
    first, second = (fuzz_uploads.make(3, 17, FILES) for _ in range(2))
    assert first == second
    assert fuzz_uploads.make(4, 17, FILES) != first


def _crash(name, data):
    raise SystemExit(3)


def _wander(name, data):
    open("/tmp/outside-of-the-job", "w").close()


def _start(name, data):
    subprocess.run(["true"], check=False)


def _ramble(name, data):
    raise DatasetError("one\ntwo")


@pytest.mark.parametrize(
    ("reader", "outcome"),
    [(_crash, "ended its process"), (_wander, "left its folder"), (_start, "left its folder"),
     (lambda name, data: 1 / 0, "raised"), (_ramble, "said more than a sentence")],
    ids=["a crash", "a file elsewhere", "a program", "an exception", "a long message"],
)  # fmt: skip
def test_a_reader_that_does_harm_is_found_out(monkeypatch, reader, outcome):
    monkeypatch.setattr(fuzz_uploads, "read_upload", reader)
    (found,) = fuzz_uploads.in_children(3, [0], FILES, "uploads")
    assert found.outcome == outcome
