"""Energy of a defect above the perfect crystal that a visitor gives beside it."""

from collections import Counter
from fractions import Fraction

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from engine.errors import MetricError


def n_crystals(numbers: NDArray[np.integer], crystal: NDArray[np.integer]) -> Fraction:
    """How many perfect crystals have the atoms of a cell with a defect.

    Args:
        numbers: Atomic numbers of the cell with the defect, shape (n_atoms,).
        crystal: Atomic numbers of the perfect crystal, shape (n_crystal_atoms,).

    Raises:
        MetricError: The elements are not in the same ratio, so that energies of single elements would be needed.

    Example:
        >>> n_crystals(np.array([29] * 31), np.array([29] * 4))
        Fraction(31, 4)
    """
    of_defect, of_crystal = Counter(numbers.tolist()), Counter(crystal.tolist())
    ratios = {z: Fraction(of_defect[z], of_crystal[z]) for z in of_crystal}
    if len(set(ratios.values())) == 1 and of_defect.keys() == of_crystal.keys():
        return next(iter(ratios.values()))
    raise MetricError(
        f"the cell with the defect has {_formula(of_defect)} and the crystal {_formula(of_crystal)}, which is not "
        "the same ratio of elements: the energy would depend on where atoms are taken from or put to (chemical "
        "potentials), which a perfect crystal alone does not tell"
    )


def defect_energy(
    numbers: NDArray[np.integer], energy: float, crystal: NDArray[np.integer], crystal_energy: float
) -> float:
    """E(defect) - sum of n_i mu_i, with the chemical potentials of the perfect crystal, eV.

    As the elements are in the ratio of the crystal, the sum is the crystal's energy times the ratio of atoms.

    Args:
        numbers: Atomic numbers of the cell with the defect, shape (n_atoms,).
        energy: Its total energy, eV.
        crystal: Atomic numbers of the perfect crystal, shape (n_crystal_atoms,).
        crystal_energy: Its total energy by the same model, eV.

    Raises:
        MetricError: The elements are not in the same ratio.

    Example:
        >>> defect_energy(np.array([29] * 31), -107.0, np.array([29] * 32), -112.0)
        1.5
    """
    return energy - float(n_crystals(numbers, crystal)) * crystal_energy


def _formula(counts: Counter[int]) -> str:
    return " ".join(f"{chemical_symbols[z]}{n}" for z, n in sorted(counts.items()))
