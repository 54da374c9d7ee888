"""Write a small random checkpoint in fairchem-core 2's inference format.

    python tests/tiny/tiny_fairchem2.py OUT_DIR [uma | esen]

By default a UMA: linear experts that the composition mixes, and two tasks to choose from. With `esen`, the same
backbone without experts and with one task, as the models are built that were trained on one dataset.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.families.fairchem2 import _without_wandb

UMA = "fairchem.core.models.uma."
NORMALIZATION = "fairchem.core.modules.normalization."
SCALE = 20.0  # an untrained energy hardly depends on the structure


def backbone(tasks: list[str]) -> dict[str, Any]:
    """Keys of the published UMA configuration, made small; experts where there are several tasks."""
    common = {
        "max_num_elements": 100, "sphere_channels": 8, "lmax": 2, "mmax": 2, "otf_graph": True,
        "max_neighbors": 300, "use_pbc": True, "use_pbc_single": True, "cutoff": 5.0, "edge_channels": 8,
        "distance_function": "gaussian", "num_distance_basis": 8, "regress_forces": True, "regress_stress": True,
        "direct_forces": False, "num_layers": 2, "hidden_channels": 8, "norm_type": "rms_norm_sh",
        "act_type": "gate", "ff_type": "spectral", "chg_spin_emb_type": "rand_emb", "cs_emb_grad": True,
        "dataset_mapping": {task: task for task in tasks},
    }  # fmt: skip
    if len(tasks) == 1:
        return {"model": UMA + "escn_md.eSCNMDBackbone", **common}
    experts = {
        "num_experts": 4, "moe_dropout": 0.05, "moe_layer_type": "pytorch", "use_composition_embedding": True,
        "use_global_embedding": False,
    }  # fmt: skip
    return {"model": UMA + "escn_moe.eSCNMDMoeBackbone", **experts, **common}


def task(name: str, prop: str) -> dict[str, Any]:
    """One quantity of one training set: how the model's output becomes a number in eV and Å."""
    entry: dict[str, Any] = {
        "_target_": "fairchem.core.units.mlip_unit.mlip_unit.Task",
        "name": f"{name}_{prop}",
        "level": "atom" if prop == "forces" else "system",
        "property": prop,
        "out_spec": {"dim": {"energy": [1], "forces": [3], "stress": [1, 9]}[prop], "dtype": "float32"},
        # One scale for all, or forces and stress would be no derivatives of the energy.
        "normalizer": {"_target_": NORMALIZATION + "normalizer.Normalizer", "mean": 0.0, "rmsd": SCALE},
        "datasets": [name],
    }
    if prop == "energy":
        energies = [-0.25 * (number % 7) for number in range(101)]
        entry["element_references"] = {
            "_target_": NORMALIZATION + "element_references.ElementReferences",
            "element_references": {"_target_": "torch.DoubleTensor", "_args_": [energies]},
        }
    return entry


def write(path: Path, tasks: list[str], backbone_options: dict[str, Any], **config: object) -> torch.nn.Module:
    """Write a checkpoint with random weights.

    Args:
        path: A .pt file in a folder that exists.
        tasks: Names of the training sets.
        backbone_options: As `backbone` makes them.
        **config: More keys of the network.

    Returns:
        The network.
    """
    with _without_wandb():
        import hydra
        from fairchem.core.units.mlip_unit.api.inference import MLIPInferenceCheckpoint

    config = {
        "_target_": "fairchem.core.models.base.HydraModel",
        "backbone": backbone_options,
        "heads": {
            "energyandforcehead": {
                "module": UMA + "escn_moe.DatasetSpecificSingleHeadWrapper",
                "head_cls": UMA + "escn_md.MLP_EFS_Head",
                "head_kwargs": {"wrap_property": False},
                "dataset_names": tasks,
            }
        },
        "pass_through_head_outputs": True,
        **config,
    }
    torch.manual_seed(0)
    network: torch.nn.Module = hydra.utils.instantiate(config)
    checkpoint = MLIPInferenceCheckpoint(
        model_config=config,
        model_state_dict=network.state_dict(),
        ema_state_dict=torch.optim.swa_utils.AveragedModel(network).state_dict(),
        tasks_config=[task(name, prop) for name in tasks for prop in ("energy", "forces", "stress")],
    )
    torch.save(checkpoint, path)
    return network


def main(folder: Path, kind: str) -> None:
    """Write the checkpoint and print its name and options as one line of JSON."""
    tasks = ["omat", "omol"] if kind == "uma" else ["omat"]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / f"{kind}.pt", tasks, backbone(tasks), **({"model_id": "UMA-tiny"} if kind == "uma" else {}))
    print(json.dumps({"checkpoint": f"{kind}.pt", "options": {"task_name": "omat"} if kind == "uma" else {}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "uma")
