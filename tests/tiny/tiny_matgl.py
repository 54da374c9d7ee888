"""A small random TensorNet of all elements in matgl's own format, in float32: `python tiny_matgl.py OUT_DIR`."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from matgl.apps.pes import Potential
from matgl.config import DEFAULT_ELEMENTS
from matgl.models import TensorNet

ENERGY_OF_ATOM = -10.0  # eV


def main() -> None:
    """Write tiny_matgl/ (model.json, model.pt, state.pt) and say how to load it."""
    torch.manual_seed(0)
    model = TensorNet(
        element_types=DEFAULT_ELEMENTS,
        units=16,
        nblocks=2,
        num_rbf=8,
        rbf_type="SphericalBessel",
        max_n=4,
        use_smooth=True,
        cutoff=5.0,
        is_intensive=False,
    )
    references = np.full(len(DEFAULT_ELEMENTS), ENERGY_OF_ATOM)
    potential = Potential(model=model, data_mean=0.0, data_std=100.0, element_refs=references)
    potential.save(Path(sys.argv[1]) / "tiny_matgl")
    print(json.dumps({"checkpoint": "tiny_matgl", "options": {}}))


if __name__ == "__main__":
    main()
