"""Write a MACE of its published size with random weights: `make_mace.py NAME TARGET`."""

from typing import Any

import mace  # noqa: F401  # before e3nn, which cannot read its own constants otherwise
import numpy as np
import torch
from e3nn import o3
from mace import modules
from sizes import asked, report, trainable

ELEMENTS = list(range(1, 84)) + list(range(89, 95))
"""The 89 elements of MPtrj."""


def build(architecture: dict[str, Any]) -> torch.nn.Module:
    """The network of the foundation models, in single precision as they are published.

    Args:
        architecture: hidden_irreps; first_block and block, the package's names; pair_repulsion and distance_transform
            where the model has them.
    """
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    return modules.ScaleShiftMACE(
        r_max=6.0,
        num_bessel=10,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=modules.interaction_classes[architecture["block"]],
        interaction_cls_first=modules.interaction_classes[architecture["first_block"]],
        num_interactions=2,
        num_elements=len(ELEMENTS),
        hidden_irreps=o3.Irreps(architecture["hidden_irreps"]),
        MLP_irreps=o3.Irreps("16x0e"),
        radial_MLP=[64, 64, 64],
        atomic_energies=np.zeros(len(ELEMENTS)),
        avg_num_neighbors=60.0,
        atomic_numbers=ELEMENTS,
        correlation=3,
        gate=torch.nn.functional.silu,
        radial_type="bessel",
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
        pair_repulsion=architecture.get("pair_repulsion", False),
        distance_transform=architecture.get("distance_transform", "None"),
    )


def main() -> None:
    """Write the whole module, as the package does."""
    name, architecture, folder = asked()
    network = build(architecture)
    torch.save(network, folder / f"{name}.model")
    report(name, f"{name}.model", trainable(network))


if __name__ == "__main__":
    main()
