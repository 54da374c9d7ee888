"""What one family alone must keep; what all must keep is in test_conformance.py."""

import json
import os
import subprocess

import numpy as np
import pytest

from engine.data_folder import ROOT, DataFolder
from precompute.workers import worker_envs

pytestmark = pytest.mark.family

NEQUIX_BOTH_WAYS = """
import json, os, sys
os.environ["JAX_PLATFORMS"] = "cpu"
import jax
import numpy as np
from ase.build import bulk
from nequix.calculator import NequixCalculator
from nequix.model import Nequix, save_model
from engine.families.nequix import load

# A random model in the package's own file format.
elements = [42, 74]
config = dict(
    cutoff=5.0, hidden_irreps="8x0e + 4x1o + 4x2e", lmax=2, n_layers=2, radial_basis_size=4, radial_mlp_size=8,
    radial_mlp_layers=1, radial_polynomial_p=6.0, mlp_init_scale=4.0, index_weights=False, layer_norm=True,
    shift=0.0, scale=1.0, avg_n_neighbors=30.0,
)
energies = [-10.8, -12.9]
model = Nequix(jax.random.key(0), n_species=2, atom_energies=energies, kernel=False, **config)
about = {"atomic_numbers": elements, "atom_energies": dict(zip(map(str, elements), energies))}
save_model(sys.argv[1], model, config | about)

atoms = bulk("W", cubic=True).repeat((2, 2, 3))
atoms.numbers[::3] = 42
atoms.rattle(0.1, seed=1)

def results(calculator):
    calculator.calculate(atoms, ["energy", "forces", "stress"])
    return {k: np.asarray(calculator.results[k]).tolist() for k in ("energy", "forces", "stress")}

theirs = results(NequixCalculator(model_path=sys.argv[1], backend="jax", use_kernel=False))
jax.clear_caches()
print(json.dumps([theirs, results(load(sys.argv[1], "cpu"))]))
"""


def test_nequix_in_chunks_gives_the_numbers_of_its_package(tmp_path):
    data = DataFolder.default().root
    if not worker_envs.is_built("nequix", data):
        pytest.skip("worker environment 'nequix' is not built; run: python -m precompute envs nequix")
    done = subprocess.run(
        [worker_envs.python_path("nequix", data), "-c", NEQUIX_BOTH_WAYS, tmp_path / "random.nqx"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    theirs, ours = json.loads(done.stdout.splitlines()[-1])
    assert ours["energy"] == pytest.approx(theirs["energy"], abs=1e-4)
    np.testing.assert_allclose(ours["forces"], theirs["forces"], atol=1e-5)
    np.testing.assert_allclose(ours["stress"], theirs["stress"], atol=1e-6)
    assert np.abs(theirs["forces"]).max() > 1e-3


DEEPMD_FROZEN = """
import json, sys
import numpy as np
import torch
from ase.build import bulk
from engine.families.deepmd import batch, load
from tests.tiny import tiny_deepmd

tiny_deepmd.main()  # writes tiny.pt into the folder of sys.argv[1]
from deepmd.pt.entrypoints.main import freeze
from deepmd.pt.model.model import EnergyModel

folder = sys.argv[1]
freeze(f"{folder}/tiny.pt", f"{folder}/today.pth", head="metals")
torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()  # forget the class as compiled
of_today, EnergyModel.forward = EnergyModel.forward, tiny_deepmd.forward_before_charge_and_spin
freeze(f"{folder}/tiny.pt", f"{folder}/earlier.pth", head="metals")
EnergyModel.forward = of_today

cells = []
for seed, size in enumerate([(2, 2, 2), (2, 2, 2), (1, 1, 1), (2, 2, 1)]):
    cells.append(bulk("W", a=3.17, cubic=True).repeat(size))
    cells[-1].numbers[::3] = 42
    cells[-1].rattle(0.1, seed=seed)

answers = {}
for name, options in {"tiny.pt": {"head": "metals"}, "today.pth": {}, "earlier.pth": {}}.items():
    calculator = load(f"{folder}/{name}", "cpu", **options)
    for atoms in cells:
        calculator.calculate(atoms)
        answers.setdefault(f"{name}, alone", []).append(dict(calculator.results))
    answers[f"{name}, batch"] = batch(calculator, cells)
refused = ""
try:
    load(f"{folder}/today.pth", "cpu", head="metals")
except ValueError as error:
    refused = str(error)
plain = lambda r: {k: np.asarray(r[k]).tolist() for k in ("energy", "forces", "stress")}
print(json.dumps({"refused": refused, "answers": {k: [plain(r) for r in rows] for k, rows in answers.items()}}))
"""


def test_a_frozen_dpa3_gives_the_numbers_of_its_checkpoint(tmp_path):
    data = DataFolder.default().root
    if not worker_envs.is_built("deepmd", data):
        pytest.skip("worker environment 'deepmd' is not built; run: python -m precompute envs deepmd")
    done = subprocess.run(
        [worker_envs.python_path("deepmd", data), "-c", DEEPMD_FROZEN, tmp_path],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert "head 'metals'" in said["refused"]
    answers = said["answers"]
    wanted = answers.pop("tiny.pt, alone")
    assert len(answers) == 5
    for way, found in answers.items():
        for mine, theirs in zip(found, wanted, strict=True):
            assert mine["energy"] == pytest.approx(theirs["energy"], abs=1e-9), way
            np.testing.assert_allclose(mine["forces"], theirs["forces"], atol=1e-9, err_msg=way)
            np.testing.assert_allclose(mine["stress"], theirs["stress"], atol=1e-11, err_msg=way)
    assert np.abs(wanted[0]["forces"]).max() > 0.1
