"""Write a small MACE with random weights as a .model file: python tests/tiny/tiny_mace.py OUT_DIR.

It has two heads, of which the second is asked for, all elements of the foundation models and double precision.
"""

import json
import sys
from pathlib import Path

import mace  # noqa: F401  # before e3nn, which cannot read its own constants otherwise
import numpy as np
import torch
from e3nn import o3
from mace import modules

HEADS = ["first", "second"]


def build() -> torch.nn.Module:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    numbers = list(range(1, 95))
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    random = np.random.default_rng(0)
    return modules.ScaleShiftMACE(
        r_max=5.0,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=len(numbers),
        hidden_irreps=o3.Irreps("4x0e + 4x1o"),
        MLP_irreps=o3.Irreps("4x0e"),
        radial_MLP=[8, 8],
        atomic_energies=random.uniform(-10, -1, (len(HEADS), len(numbers))),
        avg_num_neighbors=3.0,
        atomic_numbers=numbers,
        correlation=2,
        gate=torch.nn.functional.silu,
        radial_type="bessel",
        atomic_inter_scale=[1.0, 200.0],  # the second makes forces of some tenths of eV/Å
        atomic_inter_shift=[0.0, 0.1],
        heads=HEADS,
    )


def main() -> None:
    name = "tiny.model"
    torch.save(build(), Path(sys.argv[1]) / name)
    print(json.dumps({"checkpoint": name, "options": {"head": HEADS[1]}}))


if __name__ == "__main__":
    main()
