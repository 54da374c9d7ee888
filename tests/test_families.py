"""What one family alone must keep; what all must keep is in test_conformance.py."""

import json
import subprocess

import numpy as np
import pytest

from precompute import environments
from precompute.data_folder import ROOT, DataFolder

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
    if not environments.is_built("nequix", data):
        pytest.skip("worker environment 'nequix' is not built; run: python -m precompute envs nequix")
    done = subprocess.run(
        [environments.python_path("nequix", data), "-c", NEQUIX_BOTH_WAYS, tmp_path / "random.nqx"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    theirs, ours = json.loads(done.stdout.splitlines()[-1])
    assert ours["energy"] == pytest.approx(theirs["energy"], abs=1e-4)
    np.testing.assert_allclose(ours["forces"], theirs["forces"], atol=1e-5)
    np.testing.assert_allclose(ours["stress"], theirs["stress"], atol=1e-6)
    assert np.abs(theirs["forces"]).max() > 1e-3
