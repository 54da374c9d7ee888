"""A small random SevenNet of all elements in its own format, in float32: `python tiny_sevennet.py OUT_DIR`."""

import json
import sys
from pathlib import Path

import sevenn
import torch
from sevenn import _const
from sevenn import _keys as keys
from sevenn.model_build import build_E3_equivariant_model
from sevenn.util import chemical_species_preprocess


def main() -> None:
    """Write tiny_sevennet.pth, laid out as SevenNet's trainer does, and say how to load it."""
    torch.manual_seed(0)
    config = {
        **_const.DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG,
        **_const.DEFAULT_DATA_CONFIG,
        **_const.DEFAULT_TRAINING_CONFIG,
        **chemical_species_preprocess([], universal=True),
        keys.CUTOFF: 5.0,
        keys.NODE_FEATURE_MULTIPLICITY: 4,
        keys.LMAX: 2,
        keys.NUM_CONVOLUTION: 2,
        keys.CONVOLUTION_WEIGHT_NN_HIDDEN_NEURONS: [8],
        keys.CONV_DENOMINATOR: 5.0,
        keys.SHIFT: -10.0,  # eV, energy of an atom
        keys.SCALE: 100.0,  # so that forces do not vanish
        "version": sevenn.__version__,
    }
    model = build_E3_equivariant_model(config)
    checkpoint = {
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": {},
        "scheduler_state_dict": {},
        "config": config,
        "epoch": 0,
        "time": "",
        "hash": "",
    }
    torch.save(checkpoint, Path(sys.argv[1]) / "tiny_sevennet.pth")
    print(json.dumps({"checkpoint": "tiny_sevennet.pth", "options": {}}))


if __name__ == "__main__":
    main()
