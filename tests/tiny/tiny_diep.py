"""A small random DIEP of all elements in its own format, in float32: `python tiny_diep.py OUT_DIR`."""

import json
import sys
from pathlib import Path

import torch
from diep.apps.pes import Potential
from diep.config import DEFAULT_ELEMENTS
from diep.models import DIEP

ENERGY_OF_ATOM = -10.0  # eV


def main() -> None:
    """Write tiny_diep/ (model.json, model.pt, state.pt) and say how to load it."""
    torch.manual_seed(0)
    model = DIEP(
        element_types=DEFAULT_ELEMENTS,
        dim_node_embedding=8,
        dim_edge_embedding=8,
        units=8,
        nblocks=2,
        is_intensive=False,
        cutoff=5.0,
        threebody_cutoff=3.5,
        use_effective_charge=True,
        use_triplets=True,
        integral_mode="grid",
        triplet_frame="canonical",
    )
    references = torch.full((len(DEFAULT_ELEMENTS),), ENERGY_OF_ATOM)
    # The scale makes forces of some tenths of eV/Å.
    potential = Potential(model=model, data_mean=0.0, data_std=100.0, element_refs=references)
    potential.save(Path(sys.argv[1]) / "tiny_diep")
    print(json.dumps({"checkpoint": "tiny_diep", "options": {}}))


if __name__ == "__main__":
    main()
