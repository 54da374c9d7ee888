"""A small random CHGNet of all elements in its own format, in float32: `python tiny_chgnet.py OUT_DIR`."""

import json
import sys
from pathlib import Path

import torch
from chgnet.model.model import CHGNet


def main() -> None:
    """Write tiny_chgnet.pth.tar, laid out as CHGNet's trainer does, and say how to load it."""
    torch.manual_seed(0)
    model = CHGNet(
        atom_fea_dim=12,
        bond_fea_dim=12,
        angle_fea_dim=12,
        atom_conv_hidden_dim=12,
        bond_conv_hidden_dim=12,
        mlp_hidden_dims=(12, 12),
        num_radial=9,
        num_angular=9,
        n_conv=3,
        atom_graph_cutoff=5,
        bond_graph_cutoff=3,
        composition_model="MPtrj",  # energies of atoms, which come with the package
    )
    with torch.no_grad():  # so that forces do not vanish
        model.mlp.layers[-1].weight.mul_(50.0)
    torch.save({"model": model.as_dict()}, Path(sys.argv[1]) / "tiny_chgnet.pth.tar")
    print(json.dumps({"checkpoint": "tiny_chgnet.pth.tar", "options": {}}))


if __name__ == "__main__":
    main()
