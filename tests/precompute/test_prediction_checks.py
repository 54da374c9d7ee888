"""The command `predict` says what the Predict page says of a structure, before it gives a number."""

import json
import sys
from pathlib import Path

import pytest

from engine.data_folder import DataFolder
from engine.readers.uploads import read_upload
from engine.registry.models import get_model
from precompute.__main__ import main
from precompute.jobs.prediction import read_file
from precompute.workers.worker_envs import why_not_runnable

CASES = Path(__file__).parents[1] / "fixtures" / "cases"


def predicted(capsys, monkeypatch, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `predict` with EMT."""
    monkeypatch.setattr(sys, "argv", ["precompute", "predict", *arguments, "--model", "emt"])
    code = main()
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def _emt():
    if reason := why_not_runnable(get_model("emt"), DataFolder.default()):
        pytest.skip(reason)


@pytest.mark.usefixtures("_emt")
@pytest.mark.parametrize("name", ["cp2k-pos-1.xyz", "close.xyz"])
def test_predict_prints_every_check_and_marks_what_is_not_fine(name, capsys, monkeypatch):
    code, _, err = predicted(capsys, monkeypatch, str(CASES / name))

    assert code == 0
    for check in read_upload(name, (CASES / name).read_bytes()).checks:
        assert f"{'' if check.is_fine else 'warning: '}{check.name}: {check.text}\n" in err
    assert "warning: " in err


@pytest.mark.usefixtures("_emt")
def test_predict_json_carries_the_warnings(capsys, monkeypatch):
    _, out, _ = predicted(capsys, monkeypatch, str(CASES / "cp2k-pos-1.xyz"), "--json")

    (row,) = json.loads(out)
    assert any(text.startswith("Cell: not periodic") for text in row["warnings"])


@pytest.mark.parametrize(
    ("name", "said"), [("deepmd", "a DeepMD folder"), ("md.traj", "an ASE trajectory"), ("none.cif", "does not exist")]
)
def test_predict_refuses_in_one_sentence(name, said, capsys, monkeypatch):
    code, out, err = predicted(capsys, monkeypatch, str(CASES / name))

    assert (code, out) == (1, "")
    assert said in err
    assert "Traceback" not in err


def test_a_file_is_read_in_a_process_of_its_own(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "precompute.jobs.prediction.read_in_sandbox", lambda name, data: asked.append((name, len(data)))
    )

    read_file(CASES / "ta-hall.cif")

    assert asked == [("ta-hall.cif", 352)]
