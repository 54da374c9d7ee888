"""Factors of a potential's coefficients for many configurations, by the Python of the family's own environment.

    python -m precompute.workers.designing FAMILY CHECKPOINT CONFIGURATIONS.parquet OUTPUT_DIRECTORY

It writes `energies.npy`, shape (n_configs, n_coefficients), double precision, and `forces.npy`, shape
(3 n_atoms of all, n_coefficients), single precision, in the order of the input; what they mean is said by the family's
`design`. It prints the number of finished configurations, one a line.

This module imports `engine.records`, its neighbour `evaluation` and the family's file, and nothing else of ours.
"""

import importlib
import sys
from pathlib import Path

import numpy as np

from engine.records import read_configurations
from precompute.workers.evaluation import periodic_atoms


def main(family_name: str, checkpoint: str, source: str, target: str) -> None:
    """Write the factors of all configurations of a file."""
    family = importlib.import_module(f"engine.families.{family_name}")
    configurations = read_configurations(Path(source))
    n_rows = 3 * sum(c.n_atoms for c in configurations)
    energies, forces, start = [], None, 0
    systems = (periodic_atoms(c, family.REACH)[0] for c in configurations)
    for n_done, (energy, force) in enumerate(family.design(checkpoint, systems), 1):
        if forces is None:  # how many coefficients there are is known from the first alone
            shape = (n_rows, len(energy))
            forces = np.lib.format.open_memmap(Path(target) / "forces.npy", mode="w+", dtype=np.float32, shape=shape)
        forces[start : start + len(force)] = force
        start += len(force)
        energies.append(energy)
        print(n_done, flush=True)
    assert forces is not None
    forces.flush()
    np.save(Path(target) / "energies.npy", np.array(energies))


if __name__ == "__main__":
    main(*sys.argv[1:])
