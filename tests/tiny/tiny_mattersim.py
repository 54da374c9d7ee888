"""Write a small MatterSim checkpoint with random weights, by the package's own writer.

Run as `<environment of mattersim>/bin/python tests/tiny/tiny_mattersim.py OUT_DIR`; the last line printed is JSON.
"""

import json
import sys
from pathlib import Path

import torch
from mattersim.forcefield.potential import M3Gnet, Potential

MAX_Z = 94


def main() -> None:
    """Write `tiny.pth` into the folder given on the command line."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    model = M3Gnet(
        num_blocks=2, units=16, max_l=4, max_n=4, cutoff=5.0, threebody_cutoff=4.0, max_z=MAX_Z, device="cpu"
    )
    with torch.no_grad():  # as initialised, forces are some meV/Å and elements hardly differ
        for name, weights in model.named_parameters():
            weights.mul_(10.0 if name.startswith("atom_embedding") else 2.0 if weights.ndim == 2 else 1.0)
    model.normalizer.shift.copy_(-0.1 * torch.arange(MAX_Z + 1))  # eV
    Potential(model, device="cpu", description="random weights").save(str(folder / "tiny.pth"))
    print(json.dumps({"checkpoint": "tiny.pth", "options": {}}))


if __name__ == "__main__":
    main()
