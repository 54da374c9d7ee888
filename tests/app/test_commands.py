"""Commands below each page: they run on the store, and print the numbers that the page shows."""

import base64
import json
import re
import shlex
import sys

import numpy as np
import pytest

from app import commands
from app.main import PAGES
from engine.data_folder import DataFolder
from engine.registry.datasets import get_dataset
from precompute.__main__ import main
from precompute.acquire.datasets import fetch_dataset
from precompute.jobs.build import build
from tests.app.opening import open_app, open_whole

CHARTS = (  # pages with figures of the paper, its statements and defect energies
    "Overview", "Ranking", "Elements", "Parity", "Cost", "Uncertainty", "Defect energies", "Specialised",
    "Environments", "Datasets", "Claims",
)  # fmt: skip
MADE_HERE = {  # lengths of printed vectors, sizes of printed drawings, counts of printed rows, printed times per atom
    "Data & methods": {"n_failed"},
    "Structure": {"atom", "reference_force", "predicted_force", "force_error"},
    "Defect energies": {"Atoms"},
    "Solutes": {"Atoms"},
    "Duel": {"atom", "force_error_first", "force_error_second"},
    "Cost": {"us_per_atom_step_lo", "us_per_atom_step_hi"},
}
# The page SQL shows the statement that made its numbers, so it prints no command beside it.
# SQL shows what the visitor asks, and Solutes leads on to another page.
ASKING = [entry for entry in PAGES if entry.title not in ("SQL", "Solutes")]
FACTORS = (1.0, 1e3, 1e-3, 1e2)  # eV to meV, µs to ms, shares to per cent


def printed(command: str, capsys, monkeypatch) -> str:
    """What a command of a page writes to standard output."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "precompute"]
    monkeypatch.setattr(sys, "argv", words[2:])
    capsys.readouterr()
    assert main() == 0
    return capsys.readouterr().out


def numbers(text: str) -> np.ndarray:
    return np.array(sorted({abs(float(one)) for one in re.findall(r"\d+\.?\d*(?:e[-+]?\d+)?", text)}))


def shown(at) -> dict[str, set[float]]:
    """Numbers of the tables of a page by column."""
    found: dict[str, set[float]] = {}
    for element in at.dataframe:
        for name, values in element.value.select_dtypes("number").items():
            found.setdefault(str(name), set()).update(values.dropna().astype(float).abs())
    return found


def charted(at) -> np.ndarray:
    """Positive numbers along the axes of the charts of a page."""
    found: list[float] = []
    for chart in at.get("plotly_chart"):
        for trace in json.loads(chart.proto.spec)["data"]:
            for values in (trace.get("x"), trace.get("y")):
                if isinstance(values, dict):  # Plotly's packed arrays
                    values = np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"]).tolist()
                found += [value for value in values or () if isinstance(value, int | float) and 0 < value < np.inf]
    return np.array(found)


def _rounding(value: float) -> float:
    """How far a number may be from the one that it was rounded from: a digit where it is short."""
    digits = len(f"{value!r}".partition(".")[2])
    return max(1e-6 * value, 0.501 * 10.0**-digits if digits < 5 and value != int(value) else 0.0)


def missing(wanted: set[float], known: np.ndarray) -> set[float]:
    """Numbers that are no known one in another unit, rounded as they are."""
    values = np.array(sorted(value for value in wanted if value))
    tolerances = np.array([_rounding(value) for value in values.tolist()])
    is_known = np.zeros(len(values), dtype=bool)
    for factor in FACTORS:
        place = np.searchsorted(known, values / factor)
        for neighbour in (place - 1, place):
            near = known[np.clip(neighbour, 0, len(known) - 1)]
            is_known |= np.abs(near * factor - values) <= tolerances
    return set(values[~is_known].tolist())


def _with_commands(at):
    """A page with the list of its commands open."""
    at.session_state[commands.KEY] = True
    return at.run()


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The data folder of a fresh clone: the embedded dataset with its predictions, and the summaries."""
    folder = DataFolder(tmp_path_factory.mktemp("clone"))
    fetch_dataset(get_dataset("open-defects"), folder, None)
    build(folder)
    return folder


@pytest.mark.parametrize("entry", ASKING, ids=lambda entry: entry.title)
def test_the_commands_of_a_page_print_the_numbers_of_its_tables(clone, entry, capsys, monkeypatch):
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(clone.root))
    at = _with_commands(open_whole(entry.file))
    found = [code.value for one in at.expander if one.label == commands.LABEL for code in one.code]
    assert found or entry.title not in CHARTS
    text = "\n".join(printed(command, capsys, monkeypatch) for command in found)
    wanted = {name: values for name, values in shown(at).items() if name not in MADE_HERE.get(entry.title, ())}
    absent = {name: list(missing(values, numbers(text)))[:3] for name, values in wanted.items()}
    assert not {name: values for name, values in absent.items() if values}, absent


@pytest.mark.parametrize(
    "entry",
    [e for e in PAGES if e.title in ("Ranking", "Cost", "Specialised", "Elements", "Environments")],
    ids=lambda e: e.title,
)
def test_the_commands_of_a_page_print_the_numbers_of_its_charts(clone, entry, capsys, monkeypatch):
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(clone.root))
    at = _with_commands(open_app(entry.file))
    found = [code.value for one in at.expander if one.label == commands.LABEL for code in one.code]
    known = numbers("\n".join(printed(command, capsys, monkeypatch) for command in found))
    values = charted(at)
    assert len(values) > 3
    # The ends of guide lines and of axes are no results.
    assert len(missing(set(values.tolist()), known)) <= 0.1 * len(values)
