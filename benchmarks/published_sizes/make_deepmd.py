"""Write a DPA3 of its published size with random weights: `make_deepmd.py NAME TARGET`."""

import copy
import sys
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from sizes import asked, report, trainable

sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.families.deepmd import _import_without_compiled_operators

REPFLOW = {
    "axis_neuron": 4, "e_rcut": 6.0, "e_rcut_smth": 5.3, "e_sel": 120, "a_rcut": 4.0, "a_rcut_smth": 3.5, "a_sel": 30,
    "update_angle": True, "a_compress_rate": 1, "a_compress_e_rate": 2, "a_compress_use_split": True,
    "smooth_edge_update": True, "update_style": "res_residual", "update_residual": 0.1,
    "update_residual_init": "const",
}  # fmt: skip


def model_options(architecture: dict[str, Any]) -> dict[str, Any]:
    """An input file's model, with the elements and the fitting net of the published ones, in single precision."""
    repflow = REPFLOW | architecture
    return {
        "type_map": chemical_symbols[1:],
        "descriptor": {
            "type": "dpa3", "precision": "float32", "seed": 1, "use_loc_mapping": False, "repflow": repflow,
        },
        "fitting_net": {"neuron": [240, 240, 240], "resnet_dt": True, "precision": "float32", "seed": 1},
    }  # fmt: skip


def main() -> None:
    """Write a training checkpoint."""
    name, architecture, folder = asked()
    _import_without_compiled_operators("cpu")
    from deepmd.pt.model.model import get_model
    from deepmd.pt.train.wrapper import ModelWrapper

    options = model_options(architecture)
    network = ModelWrapper(get_model(copy.deepcopy(options)))
    weights = network.state_dict()
    weights["_extra_state"] = {"model_params": options, "train_infos": {"lr": 1e-3, "step": 0}}
    torch.save({"model": weights}, folder / f"{name}.pt")
    report(name, f"{name}.pt", trainable(network))


if __name__ == "__main__":
    main()
