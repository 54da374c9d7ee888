"""Commands below each page: they run on the store, and print the numbers that the page shows."""

import re
import shlex
import sys

import numpy as np
import pytest

from app import commands
from app.main import PAGES
from precompute.__main__ import main
from tests.app.opening import open_app

CHARTS = (  # pages with figures of the paper, its statements and defect energies
    "Overview", "Ranking", "Elements", "Parity", "Cost", "Uncertainty", "Defect energies", "Specialised",
    "Environments", "Datasets", "Claims",
)  # fmt: skip
MADE_HERE = {"Structure": {"atom", "reference_force", "predicted_force", "force_error"}}  # lengths of printed vectors
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


def missing(wanted: set[float], known: np.ndarray) -> set[float]:
    """Numbers that are no known one in another unit."""
    return {
        value
        for value in wanted
        if value and not any(np.isclose(known, value / factor, rtol=1e-6, atol=0).any() for factor in FACTORS)
    }


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_the_commands_of_a_page_print_the_numbers_of_its_tables(store, entry, capsys, monkeypatch):
    at = open_app(entry.file)
    found = [code.value for one in at.expander if one.label == commands.LABEL for code in one.code]
    assert found or entry.title not in CHARTS
    text = "\n".join(printed(command, capsys, monkeypatch) for command in found)
    wanted = {name: values for name, values in shown(at).items() if name not in MADE_HERE.get(entry.title, ())}
    absent = {name: list(missing(values, numbers(text)))[:3] for name, values in wanted.items()}
    assert not {name: values for name, values in absent.items() if values}, absent
