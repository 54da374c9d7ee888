"""Write a small multi-task DPA3 checkpoint with random weights, as DeePMD-kit's training writes it.

Run as `<environment of deepmd>/bin/python tests/tiny/tiny_deepmd.py OUT_DIR`; the last line printed is JSON.
"""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
from engine.families.deepmd import _import_without_compiled_operators

HEADS = {"metals": 1, "molecules": 2}  # name, seed


def model_options(seed: int) -> dict[str, object]:
    """Architecture of one head, as in an input file; double precision."""
    repflow = {
        "n_dim": 8, "e_dim": 6, "a_dim": 4, "nlayers": 2, "axis_neuron": 2,
        "e_rcut": 6.0, "e_rcut_smth": 5.0, "e_sel": 120, "a_rcut": 4.0, "a_rcut_smth": 3.5, "a_sel": 40,
        "update_angle": True, "smooth_edge_update": True,
    }  # fmt: skip
    return {
        "type_map": ["H", "Mo", "Nb", "Ta", "W"],
        "descriptor": {"type": "dpa3", "precision": "float64", "seed": seed, "repflow": repflow},
        "fitting_net": {"neuron": [8, 8], "resnet_dt": True, "precision": "float64", "seed": seed},
    }


def forward_before_charge_and_spin(
    self: Any, coord: Tensor, atype: Tensor, box: Tensor | None = None, fparam: Tensor | None = None,
    aparam: Tensor | None = None, do_atomic_virial: bool = False,
) -> dict[str, Tensor]:  # fmt: skip
    """An energy model's method with the arguments that it had before deepmd-kit 3.2: frozen, it refuses others."""
    found = self.forward_common(coord, atype, box, fparam=fparam, aparam=aparam, do_atomic_virial=do_atomic_virial)
    return {
        "energy": found["energy_redu"],
        "atom_energy": found["energy"],
        "force": found["energy_derv_r"].squeeze(-2),
        "virial": found["energy_derv_c_redu"].squeeze(-2),
    }


def main() -> None:
    """Write `tiny.pt` into the folder given on the command line."""
    _import_without_compiled_operators("cpu")
    from deepmd.pt.model.model import get_model
    from deepmd.pt.train.wrapper import ModelWrapper

    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    options = {head: model_options(seed) for head, seed in HEADS.items()}
    models = {head: get_model(copy.deepcopy(o)) for head, o in options.items()}
    wrapper = ModelWrapper(models)
    with torch.no_grad():  # as initialised, forces are some meV/Å
        for name, matrix in wrapper.named_parameters():
            if name.endswith("matrix"):
                matrix.mul_(60.0 if name.endswith("networks.0.layers.2.matrix") else 3.0)
    weights = wrapper.state_dict()
    weights["_extra_state"] = {"model_params": {"model_dict": options}, "train_infos": {"lr": 1e-3, "step": 0}}
    torch.save({"model": weights}, folder / "tiny.pt")
    print(json.dumps({"checkpoint": "tiny.pt", "options": {"head": "metals"}}))


if __name__ == "__main__":
    main()
