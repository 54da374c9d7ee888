"""Conformance: one set of physical checks on every family whose environment is built, in that environment.

CHGNet and SevenNet are checked with their pretrained weights, which their packages carry; Nequix and matgl where
their weights were fetched.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from engine.models import get_model
from engine.records import Configuration, Prediction, read_predictions, write_configurations
from precompute import environments
from precompute.data_folder import ROOT, DataFolder
from precompute.models import why_not_runnable, worker_command
from precompute.workers import Worker

MODELS = {  # model -> (metal, energy per atom of the perfect crystal in eV where the source states one)
    "emt": ("Cu", None),
    "chgnet-0.3.0": ("W", None),
    "sevennet-0": ("W", None),
    "nequix-mp-1": ("W", None),
    "m3gnet-mp-2021.2.8": ("W", None),
}
STEP = 0.01  # Å, of the central difference: long enough for single precision
pytestmark = pytest.mark.family


def crystal(symbol: str) -> Atoms:
    atoms = bulk(symbol, cubic=True).repeat(2)
    atoms.positions[0] += [0.15, 0.05, 0.0]
    return atoms


def structures(symbol: str) -> dict[str, Atoms]:
    """Variants of one displaced crystal that say what a potential must keep."""
    atoms = crystal(symbol)
    up, down = atoms.copy(), atoms.copy()
    up.positions[0, 0] += STEP
    down.positions[0, 0] -= STEP
    rotated = atoms.copy()
    rotated.rotate(40, (1, 2, 3), rotate_cell=True)
    moved = atoms.copy()
    moved.positions += [0.3, -0.2, 0.7]
    permuted = atoms[np.roll(np.arange(len(atoms)), 3)]
    stretched = {}
    for sign in (1, -1):
        changed = atoms.copy()
        changed.set_cell(atoms.cell * (1 + sign * 2e-3), scale_atoms=True)
        stretched[f"strain{sign:+d}"] = changed
    return {
        "plain": atoms, "again": atoms.copy(), "up": up, "down": down, "rotated": rotated, "moved": moved,
        "permuted": permuted, "doubled": atoms.repeat((2, 1, 1)), **stretched,
        "atom": Atoms(symbol), "cluster": Atoms(symbol + "2", [(0, 0, 0), (0, 0, 2.5)]),
    }  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def answers(request, tmp_path_factory) -> tuple[str, dict[str, Atoms], dict[str, Prediction]]:
    """Predictions of one model on all structures, by one worker."""
    model, folder = get_model(request.param), DataFolder.default()
    if reason := why_not_runnable(model, folder):
        pytest.skip(reason)
    symbol = MODELS[request.param][0]
    made = structures(symbol)
    scratch: Path = tmp_path_factory.mktemp("family")
    write_configurations(
        scratch / "in.parquet",
        [
            Configuration(name, "g", a.numbers, a.positions, np.array(a.cell), tuple(map(bool, a.pbc)))
            for name, a in made.items()
        ],
    )
    worker = Worker(worker_command(model, folder, "cpu"), scratch / "log")
    try:
        worker.start()
        worker.request(scratch / "in.parquet", scratch / "out.parquet")
    finally:
        worker.kill()
    return request.param, made, {p.config_id: p for p in read_predictions(scratch / "out.parquet")}


def test_energy_forces_and_stress_are_finite_numbers(answers):
    _, made, found = answers
    plain = found["plain"]
    assert plain.status == "ok"
    assert np.isfinite(plain.energy)
    assert plain.forces.shape == (len(made["plain"]), 3)
    assert plain.stress.shape == (6,)
    assert np.abs(plain.forces.sum(axis=0)).max() < 2e-3


def test_forces_are_minus_the_gradient_of_the_energy(answers):
    model_id, _, found = answers
    assert get_model(model_id).conservative
    numerical = -(found["up"].energy - found["down"].energy) / (2 * STEP)
    assert found["plain"].forces[0, 0] == pytest.approx(numerical, rel=0.01, abs=5e-3)


def test_energy_is_extensive(answers):
    _, _, found = answers
    assert found["doubled"].energy == pytest.approx(2 * found["plain"].energy, abs=2e-3)


@pytest.mark.parametrize("name", ["rotated", "moved", "permuted"])
def test_energy_is_invariant(answers, name):
    assert answers[2][name].energy == pytest.approx(answers[2]["plain"].energy, abs=1e-3)


def test_forces_turn_with_the_crystal(answers):
    _, made, found = answers
    turned = made["plain"].copy()
    turned.arrays["f"] = found["plain"].forces
    turned.positions = found["plain"].forces
    turned.rotate(40, (1, 2, 3))
    np.testing.assert_allclose(found["rotated"].forces, turned.positions, atol=2e-3)


def test_the_same_input_gives_the_same_numbers(answers):
    plain, again = answers[2]["plain"], answers[2]["again"]
    assert plain.energy == pytest.approx(again.energy, abs=1e-5)
    np.testing.assert_allclose(plain.forces, again.forces, atol=1e-5)


def test_stress_is_the_strain_derivative_of_the_energy(answers):
    _, made, found = answers
    # dE/deps of an isotropic strain is the volume times the trace of the stress.
    numerical = (found["strain+1"].energy - found["strain-1"].energy) / (2 * 2e-3)
    trace = found["plain"].stress[:3].sum() * made["plain"].get_volume()
    assert trace == pytest.approx(numerical, rel=0.02, abs=0.05)


@pytest.mark.parametrize("name", ["atom", "cluster"])
def test_without_a_cell_there_is_a_number_or_a_reason(answers, name):
    prediction = answers[2][name]
    assert np.isfinite(prediction.energy) if prediction.status == "ok" else prediction.reason


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
