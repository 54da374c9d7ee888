"""Write a small PET model with random weights, for all elements: `tiny_pet.py OUT_DIR`."""

import json
import sys
from pathlib import Path

import torch
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info


def write(path: Path) -> None:
    """Write a checkpoint in double precision: cutoff 6 Å, and its own shorter one for each atom, as the real ones."""
    torch.manual_seed(0)
    hypers = get_default_hypers("pet")["model"] | {
        "cutoff": 6.0,
        "cutoff_width": 1.5,  # smooth enough for a difference over 0.02 Å
        "num_neighbors_adaptive": 16,
        "cutoff_width_adaptive": 2.0,
        "d_pet": 8,
        "d_head": 8,
        "d_node": 16,
        "d_feedforward": 16,
        "num_heads": 2,
        "num_attention_layers": 1,
        "num_gnn_layers": 2,
    }
    targets = {"energy": get_energy_target_info("energy", {"unit": "eV"})}
    model = PET(hypers, DatasetInfo("angstrom", list(range(1, 95)), targets)).to(torch.float64)
    torch.save(model.get_checkpoint(), path)


if __name__ == "__main__":
    write(Path(sys.argv[1]) / "tiny-pet.ckpt")
    print(json.dumps({"checkpoint": "tiny-pet.ckpt", "options": {}, "rotation_invariant": False}))
