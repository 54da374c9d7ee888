"""Write an EquiformerV2 or eSEN of its published size with random weights: `make_fairchem1.py NAME TARGET`.

The keys are those of the published training configurations. What is equal in all of them stands in the script that
writes small checkpoints for tests.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from sizes import asked, report, trainable

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "tests" / "tiny")]

import tiny_fairchem1  # noqa: E402

WIDTHS = {
    "eqv2": {
        "max_radius": 12.0, "sphere_channels": 128, "attn_hidden_channels": 64, "num_heads": 8,
        "attn_alpha_channels": 64, "attn_value_channels": 16, "ffn_hidden_channels": 128, "grid_resolution": 18,
        "edge_channels": 128,
    },
    "esen": {"sphere_channels": 128, "hidden_channels": 128, "edge_channels": 128, "cutoff": 6.0},
}  # fmt: skip


def model(architecture: dict[str, Any]) -> dict[str, Any]:
    """Configuration of the network."""
    kind = architecture["kind"]
    small = tiny_fairchem1.MODELS[kind]
    widths = WIDTHS["esen" if kind == "esen" else "eqv2"]
    own = {key: value for key, value in architecture.items() if key != "kind"}
    backbone = {**small["backbone"], **widths, **own}
    return {**small, "name": "hydra", "pass_through_head_outputs": True, "otf_graph": True, "backbone": backbone}


def main() -> None:
    """Write the checkpoint as the package's trainers do."""
    name, architecture, folder = asked()
    kind, options = architecture["kind"], model(architecture)
    network = tiny_fairchem1.network(options)
    torch.save(tiny_fairchem1.checkpoint(kind, options, network), folder / f"{name}.pt")
    report(name, f"{name}.pt", trainable(network))


if __name__ == "__main__":
    main()
