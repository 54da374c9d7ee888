"""Write a small random checkpoint as fairchem-core 1's trainers do, with the keys of the published configurations.

    python tests/tiny/tiny_fairchem1.py OUT_DIR [eqv2 | dens | esen]

eqv2 and dens predict forces directly; esen, which differentiates its energy, is the one whose forces can be
compared with a gradient.
"""

import copy
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.families.fairchem1 import MODULES, _stand_ins

EQV2: dict[str, Any] = {
    "use_pbc": True, "use_pbc_single": True, "otf_graph": True, "enforce_max_neighbors_strictly": False,
    "max_neighbors": 20, "max_radius": 6.0, "max_num_elements": 96, "avg_num_nodes": 31.17, "avg_degree": 61.95,
    "num_layers": 2, "sphere_channels": 8, "attn_hidden_channels": 8, "num_heads": 2, "attn_alpha_channels": 4,
    "attn_value_channels": 4, "ffn_hidden_channels": 8, "norm_type": "layer_norm_sh", "lmax_list": [2],
    "mmax_list": [2], "grid_resolution": 14, "num_sphere_samples": 128, "edge_channels": 8,
    "use_atom_edge_embedding": True, "share_atom_edge_embedding": False, "use_m_share_rad": False,
    "distance_function": "gaussian", "num_distance_basis": 512, "attn_activation": "silu",
    "use_s2_act_attn": False, "use_attn_renorm": True, "ffn_activation": "silu", "use_gate_act": False,
    "use_grid_mlp": True, "use_sep_s2_act": True, "alpha_drop": 0.1, "drop_path_rate": 0.1, "proj_drop": 0.0,
    "weight_init": "uniform",
}  # fmt: skip
STRESS_HEAD = {"output_name": "stress", "use_source_target_embedding": True, "decompose": True}
DENS = "fairchem.core.models.equiformer_v2.equiformer_v2_dens."
MODELS: dict[str, dict[str, Any]] = {
    "eqv2": {
        "backbone": {"model": "equiformer_v2_backbone", **EQV2},
        "heads": {
            "energy": {"module": "equiformer_v2_energy_head"},
            "forces": {"module": "equiformer_v2_force_head"},
            "stress": {"module": "rank2_symmetric_head", **STRESS_HEAD},
        },
    },
    "dens": {
        "backbone": {
            "model": DENS + "EqV2DeNSBackbone", **EQV2, "use_force_encoding": True,
            "use_noise_schedule_sigma_encoding": False,
        },
        "heads": {
            "energy": {"module": DENS + "DeNSScalarHead", "use_denoising": True},
            "forces": {"module": DENS + "DeNSVectorHead"},
            "stress": {"module": DENS + "DeNSRank2Head", **STRESS_HEAD, "use_denoising": False},
        },
    },
    "esen": {
        "backbone": {
            "model": "esen_backbone", "max_num_elements": 100, "sphere_channels": 8, "lmax": 2, "mmax": 2,
            "otf_graph": True, "max_neighbors": 300, "use_pbc": True, "use_pbc_single": True, "cutoff": 5.0,
            "edge_channels": 8, "distance_function": "gaussian", "num_distance_basis": 16,
            "direct_forces": False, "regress_forces": True, "regress_stress": True, "num_layers": 2,
            "hidden_channels": 8, "norm_type": "rms_norm_sh", "act_type": "gate", "mlp_type": "spectral",
            "use_envelope": True,
        },
        "heads": {"mptrj": {"module": "esen_mlp_efs_head"}},
    },
}  # fmt: skip
TRAINERS = {"eqv2": "equiformerv2_forces", "dens": "equiformerv2_dens", "esen": "mlip_trainer"}
DENOISING = {
    "use_denoising_pos": True, "denoising_pos_coefficient": 10,
    "denoising_pos_params": {
        "prob": 0.5, "fixed_noise_std": True, "std": 0.1, "num_steps": 50, "std_low": "None", "std_high": "None",
    },
}  # fmt: skip


def network(model: dict[str, Any]) -> torch.nn.Module:
    """The network with random weights, its energy made to depend on the structure."""
    with _stand_ins():
        from fairchem.core.common.registry import registry

        for name in MODULES:
            importlib.import_module(f"fairchem.core.models.{name}")

    torch.manual_seed(0)
    arguments = {key: value for key, value in copy.deepcopy(model).items() if key != "name"}
    made: torch.nn.Module = registry.get_model_class("hydra")(**arguments)
    with torch.no_grad():
        for name, parameter in made.output_heads.named_parameters():
            if name.endswith(("_block.so3_linear_2.weight", "energy_block.4.weight", "_block.proj.weight")):
                parameter *= 20  # an untrained energy hardly depends on the structure
    return made


def _config(kind: str, model: dict[str, Any]) -> dict[str, Any]:
    """The configuration that trainers keep beside the weights."""
    stress: dict[str, Any] = {"level": "system", "property": "stress"}
    if kind != "esen":
        stress["decomposition"] = {"stress_isotropic": {"irrep_dim": 0}, "stress_anisotropic": {"irrep_dim": 2}}
    return {
        "trainer": TRAINERS[kind],
        "model": model,
        "outputs": {
            "energy": {"level": "system", "property": "energy"},
            "forces": {
                "level": "atom", "property": "forces", "train_on_free_atoms": True, "eval_on_free_atoms": True,
            },
            "stress": stress,
        },
        "loss_functions": [{"energy": {"fn": "per_atom_mae", "coefficient": 5}}],
        "evaluation_metrics": {},
        "dataset": {"src": "train", "format": "ase_db"},
        "task": {},
        "optim": {"batch_size": 4, "num_workers": 0, "lr_initial": 2e-4, "max_epochs": 1}
        | (DENOISING if kind == "dens" else {}),
        "amp": True,
    }  # fmt: skip


def _normalizers(kind: str) -> dict[str, dict[str, torch.Tensor]]:
    """Mean and scale of every output."""
    scale = {"mean": torch.tensor(0.0), "rmsd": torch.tensor(2.0)}
    if kind == "esen":  # forces and energy have to be scaled together, or they would be no gradient of it
        return {"energy": scale, "forces": scale, "stress": scale}
    return {
        "forces": scale,
        "stress_isotropic": {"mean": torch.tensor(0.01), "rmsd": torch.tensor(0.05)},
        "stress_anisotropic": {"mean": torch.tensor(0.0), "rmsd": torch.tensor(0.02)},
    }


def checkpoint(kind: str, model: dict[str, Any], network: torch.nn.Module) -> dict[str, Any]:
    """What a trainer writes.

    Args:
        kind: Key of MODELS.
        model: Configuration of the network.
        network: Made from it.
    """
    references = -torch.arange(119, dtype=torch.float32).remainder(7) / 4
    return {
        "state_dict": network.state_dict(),
        "config": _config(kind, model),
        "normalizers": _normalizers(kind),
        "elementrefs": {"energy": {"element_references": references}},
        "amp": None,
        "epoch": 1.0,
        "step": 1,
        # Trainers pickle what they have: not only tensors.
        "best_val_metric": np.float64(0.1),
    }


def main(folder: Path, kind: str) -> None:
    """Write the checkpoint and print its name and options as one line of JSON."""
    model = {"name": "hydra", "pass_through_head_outputs": True, "otf_graph": True, **MODELS[kind]}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint(kind, model, network(model)), folder / f"{kind}.pt")
    print(json.dumps({"checkpoint": f"{kind}.pt", "options": {}, "conservative": kind == "esen"}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "eqv2")
