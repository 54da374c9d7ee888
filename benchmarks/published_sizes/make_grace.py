"""Write a GRACE of its published size with random weights: `make_grace.py NAME TARGET`."""

import math

from sizes import asked, report
from tensorpotential import TensorPotential  # before TensorFlow, whose Keras it chooses

import tensorflow as tf  # isort: skip
from ase.data import chemical_symbols
from tensorpotential.potentials import get_preset

N_ELEMENTS = 89


def main() -> None:
    """Write a SavedModel in double precision, as the published ones are."""
    name, architecture, folder = asked()
    preset = get_preset(architecture.pop("preset"))
    tf.random.set_seed(0)
    elements = sorted(chemical_symbols[1 : N_ELEMENTS + 1])
    instructions = preset(
        element_map={symbol: index for index, symbol in enumerate(elements)},
        rcut=6.0,
        avg_n_neigh=30.0,
        constant_out_shift=0.0,
        constant_out_scale=1.0,
        **architecture,
    ).get_instructions()
    potential = TensorPotential(instructions, param_dtype=tf.float64)
    potential.save_model(exact_path=str(folder))
    report(name, ".", sum(math.prod(weights.shape) for weights in potential.model.trainable_variables))


if __name__ == "__main__":
    main()
