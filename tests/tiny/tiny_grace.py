"""Write a small GRACE model with random weights, for all elements: `tiny_grace.py OUT_DIR [LAYERS]`."""

import json
import sys
from pathlib import Path

from tensorpotential import TensorPotential  # before TensorFlow, whose Keras it chooses

import tensorflow as tf  # isort: skip
from ase.data import chemical_symbols
from tensorpotential.potentials import get_preset

N_ELEMENTS = 94


def write(folder: Path, n_layers: int) -> None:
    """Write a SavedModel in double precision, cutoff 5 Å."""
    tf.random.set_seed(0)
    preset = get_preset(f"GRACE_{n_layers}LAYER_latest")
    instructions = preset(
        element_map={symbol: index for index, symbol in enumerate(sorted(chemical_symbols[1 : N_ELEMENTS + 1]))},
        rcut=5.0,
        avg_n_neigh=30.0,
        constant_out_shift=-10.0,
        constant_out_scale=50.0,
        cutoff_function_order=5,
        lmax=1,
        n_rad_base=4,
        n_rad_max=4,
        prod_func_n_max=4,
        embedding_size=4,
        n_mlp_dens=2,
        max_order=2,
        indicator_lmax=1,
    ).get_instructions()
    TensorPotential(instructions, param_dtype=tf.float64).save_model(exact_path=str(folder))


if __name__ == "__main__":
    layers = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    name = f"tiny-grace-{layers}l"
    write(Path(sys.argv[1]) / name, layers)
    print(json.dumps({"checkpoint": name, "options": {}}))
