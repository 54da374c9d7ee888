"""Rough estimate of a configuration's forces, energy and virial from the elements alone.

The estimate is a second-moment potential: a repulsion of pairs, and bonds that go as the square root of the
coordination. Its parameters follow from the cohesive energy, the bulk modulus and the volume of each element, and no
label of the examined set enters. It detects a wrong sign, a wrong unit or a turned frame. It is far too rough for any
other purpose.

Source:
    Cleri and Rosato, Phys. Rev. B 48, 22 (1993), doi:10.1103/PhysRevB.48.22.
"""

import functools
from typing import NamedTuple

import numpy as np
from ase import Atoms

from engine.readers.elements import solid
from engine.records import Configuration, FloatArray

CUT_FROM, CUT_TO = 1.25, 1.65
"""Bonds fade out between these multiples of the nearest distance, so that a crystal keeps one or two shells."""

_NEIGHBORS = 12
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_P_OVER_Q = 3.0
"""Ratio of the exponents, about what the fits of Cleri and Rosato have on average."""


class Estimate(NamedTuple):
    """Estimated energy, forces and virial of a configuration.

    Args:
        energy: Counted from free atoms, eV.
        forces: Shape (n_atoms, 3), eV/Å.
        virial: Stress times volume in Voigt order, positive in tension, eV.
    """

    energy: float
    forces: FloatArray
    virial: FloatArray


def estimate(configuration: Configuration) -> Estimate | None:
    """Energy, forces and virial from the elements alone; None where an element is not tabulated.

    Args:
        configuration: Any; atoms that are closer than any bond give large numbers.
    """
    from ase.neighborlist import neighbor_list  # scipy's integrals come with it, which no page opens with

    numbers = configuration.numbers
    kinds, place = np.unique(numbers, return_inverse=True)
    found = [_parameters(int(z)) for z in kinds]
    if any(one is None for one in found):
        return None
    table = np.array([one for one in found if one is not None])
    r0, a, xi, p, q = table[place].T
    atoms = Atoms(numbers, positions=configuration.positions, cell=configuration.cell, pbc=configuration.pbc)
    i, j, vectors = neighbor_list("ijD", atoms, CUT_TO * float(r0.max()))
    lengths = np.linalg.norm(vectors, axis=1)
    apart = (r0[i] + r0[j]) / 2
    x = lengths / apart
    fade, slope = _fade(x)
    mean_p, mean_q = (p[i] + p[j]) / 2, (q[i] + q[j]) / 2
    push = np.sqrt(a[i] * a[j]) * np.exp(-mean_p * (x - 1))
    pull = xi[i] * xi[j] * np.exp(-2 * mean_q * (x - 1))
    squares = np.bincount(i, pull * fade, len(numbers))
    roots = np.sqrt(np.maximum(squares, 1e-12))
    energy = float((push * fade).sum() - roots.sum())
    d_push = push * (slope - mean_p * fade)
    d_pull = pull * (slope - 2 * mean_q * fade)
    # Each pair is there twice, so the derivative of the energy by its length is half of this.
    along = (2 * d_push - d_pull * (0.5 / roots[i] + 0.5 / roots[j])) / apart
    directed = (along / lengths)[:, None] * vectors
    forces = np.zeros((len(numbers), 3))
    np.add.at(forces, i, directed)
    virial = np.array([0.5 * float(directed[:, a] @ vectors[:, b]) for a, b in _VOIGT])
    return Estimate(energy, forces, virial)


def _fade(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Factor that ends bonds smoothly, and its derivative, at lengths in units of the nearest distance."""
    t = np.clip((x - CUT_FROM) / (CUT_TO - CUT_FROM), 0.0, 1.0)
    return 1 - t**2 * (3 - 2 * t), -6 * t * (1 - t) / (CUT_TO - CUT_FROM)


@functools.cache
def _parameters(number: int) -> tuple[float, float, float, float, float] | None:
    """Nearest distance in Å, repulsion and bond in eV, and the two exponents of an element."""
    known = solid(number)
    if known is None:
        return None
    cohesion, modulus, volume = known
    q = float(np.sqrt(9 * modulus * volume / cohesion / _P_OVER_Q))
    p = _P_OVER_Q * q
    bond = cohesion / (1 - q / p)
    nearest = float((np.sqrt(2) * volume) ** (1 / 3))
    return nearest, bond * q / p / _NEIGHBORS, float(bond / np.sqrt(_NEIGHBORS)), p, q
