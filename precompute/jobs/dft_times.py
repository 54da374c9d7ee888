"""Times of our own DFT calculations, as costs beside those of models."""

import functools
import math

import ase.io

from engine.data_folder import EMBEDDED
from engine.store.rows import DFT, Cost

DATASET_ID = "open-defects"
METAL = "W"  # that of the cell on which models are timed
MESH = 5.31  # of the paper, k-points per 1/Å; small cells on denser ones would hide how time grows


@functools.cache
def dft_costs() -> list[Cost]:
    """Processor time of the cells of pure W in Open Defects: one self-consistent calculation with forces, one core.

    Cells on a denser mesh than the paper has are left out. The processors are those that the cells happened to be
    computed on, which nobody wrote down.
    """
    costs = []
    for atoms in ase.io.iread(EMBEDDED / f"{DATASET_ID}.extxyz", format="extxyz"):
        if set(atoms.symbols) != {METAL} or atoms.info["kpoints_per_inverse_angstrom"] > MESH:
            continue
        seconds, n_atoms = float(atoms.info["cpu_seconds"]), len(atoms)
        costs.append(
            Cost(
                model_id=DFT,
                device="cpu",
                hardware=f"GPAW {atoms.info['gpaw_version']}, one core",
                n_threads=1,
                n_atoms=n_atoms,
                batch=1,
                ms_per_step=1e3 * seconds,
                us_per_atom_step=1e6 * seconds / n_atoms,
                peak_memory_mb=math.nan,
                origin="computed",
                measured_at="",
                occasion=DATASET_ID,
            )
        )
    return costs
