"""Facts that statements of the paper are compared with, where a package can be asked."""

import subprocess

import pytest

from engine.data_folder import DataFolder
from engine.registry.claims import load_claims
from engine.registry.models import get_model
from precompute.workers.worker_envs import why_not_runnable, worker_command

pytestmark = pytest.mark.family

ISOLATED = """
import warnings
from ase import Atoms
from chgnet.model.dynamics import CHGNetCalculator
warnings.simplefilter("ignore")
atom = Atoms("W", cell=[20, 20, 20], pbc=True)
for settings in ({}, {"on_isolated_atoms": "error"}):
    atom.calc = CHGNetCalculator(use_device="cpu", **settings)
    try:
        print("energy", atom.get_potential_energy())
    except ValueError as error:
        print("refused", error)
"""


def test_chgnet_has_an_energy_for_an_isolated_atom_unless_it_is_told_to_refuse_it():
    folder, model = DataFolder.default(), get_model("chgnet-0.3.0")
    if reason := why_not_runnable(model, folder):
        pytest.skip(reason)
    python = worker_command(model, folder, "cpu").argv[0]
    done = subprocess.run([python, "-c", ISOLATED], capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("energy", "refused"))]
    assert float(lines[0].removeprefix("energy")) == pytest.approx(-5.5532, abs=1e-3)
    assert "isolated atom" in lines[1]
    assert "will likely go wrong" in done.stdout + done.stderr  # its warning
    (measure,) = load_claims()["F10"].measures
    assert measure.elsewhere == "an energy for an isolated atom, with a warning"
