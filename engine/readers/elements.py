"""Elements as solids: the energies and stresses that a set can have, where it has nothing else to compare with.

Energies of cohesion and bulk moduli of the elements as tabulated in Kittel, *Introduction to Solid State Physics*, 8th
edition, chapter 3, tables 1 and 3; volumes from the lattices of ASE. They serve to tell a unit, so a digit is enough.

Compared with other tables (`tests/engine/test_elements.py`): the energies of 26 transition metals are within 2.5 % of
the measured ones in scine_chemoton 4.1.0 (BSD-3-Clause), and all are within 4 % of the heats of formation of gaseous
atoms in mendeleev 1.3.0 (MIT), except P, Cl, As, Se, Br, Te and Hg (4 to 10 %). Bulk moduli are within 15 % of those in
pymatgen (MIT), except Be, Mg, Sc, Cr, Rb, Mo, Ru, Rh, Cs, Sm, Pt, Au and Tl (to 50 %) and Mn and Yb (a factor of 2).
Volumes are within 7 % of its molar volumes; ASE's cells of Se and Te hold three atoms and are left out. Tin is white
tin, from pymatgen, as its volume is; Kittel has grey tin.
"""

import functools
import math
from collections import Counter
from typing import Any

import numpy as np
from ase.data import atomic_numbers, reference_states

from engine.records import Configuration

GPA = 1 / 160.21766
"""One GPa in eV/Å³."""

_COHESION = (
    "Li 1.63 Be 3.32 B 5.81 C 7.37 N 4.92 O 2.60 F 0.84 Na 1.11 Mg 1.51 Al 3.39 Si 4.63 P 3.43 S 2.85 Cl 1.40 K 0.93 "
    "Ca 1.84 Sc 3.90 Ti 4.85 V 5.31 Cr 4.10 Mn 2.92 Fe 4.28 Co 4.39 Ni 4.44 Cu 3.49 Zn 1.35 Ga 2.81 Ge 3.85 As 2.96 "
    "Se 2.46 Br 1.22 Rb 0.85 Sr 1.72 Y 4.37 Zr 6.25 Nb 7.57 Mo 6.82 Tc 6.85 Ru 6.74 Rh 5.75 Pd 3.89 Ag 2.95 Cd 1.16 "
    "In 2.52 Sn 3.14 Sb 2.75 Te 2.19 I 1.11 Cs 0.80 Ba 1.90 La 4.47 Ce 4.32 Pr 3.70 Nd 3.40 Sm 2.14 Eu 1.86 Gd 4.14 "
    "Tb 4.05 Dy 3.04 Ho 3.14 Er 3.29 Tm 2.42 Yb 1.60 Lu 4.43 Hf 6.44 Ta 8.10 W 8.90 Re 8.03 Os 8.17 Ir 6.94 Pt 5.84 "
    "Au 3.81 Hg 0.67 Tl 1.88 Pb 2.03 Bi 2.18 Th 6.20 U 5.55 Pu 3.60"
)
_BULK_MODULI = (
    "Li 11.6 Be 100 Na 6.8 Mg 35.4 Al 72.2 Si 98.8 K 3.2 Ca 15.2 Sc 43.5 Ti 105 V 162 Cr 190 Mn 59.6 Fe 168 Co 191 "
    "Ni 186 Cu 137 Zn 59.8 Ga 56.9 Ge 77.2 Rb 3.1 Sr 11.6 Y 36.6 Zr 83.3 Nb 170 Mo 272 Tc 297 Ru 321 Rh 270 Pd 181 "
    "Ag 101 Cd 46.7 In 41.1 Sn 58 Sb 38.3 Cs 2.0 Ba 10.3 La 24.3 Ce 23.9 Nd 32.7 Sm 29.4 Gd 38.3 Tb 39.9 Dy 38.4 "
    "Ho 39.7 Er 41.1 Tm 39.7 Yb 13.3 Lu 41.1 Hf 109 Ta 200 W 323 Re 372 Os 418 Ir 355 Pt 278 Au 173 Tl 35.9 Pb 43.0 "
    "Bi 31.5 Th 54.3 U 98.7"
)
_OTHER_VOLUMES = {"Mn": 12.2, "Ga": 19.6, "In": 26.2, "Sn": 27.0, "Sb": 30.2, "Sm": 33.2, "U": 20.8, "Bi": 35.4}

_THREE_ATOMS = (34, 52)
"""Se and Te, which ASE calls hcp: their hexagonal cells hold three atoms."""

_PRIME = 5.0
"""Derivative of a bulk modulus by pressure, as metals have it."""

_VOLUME_MARGIN = 0.15
"""How far the volume of a phase or of an alloy is off that of its elements."""

_ARM = 2.5
"""A force between neighbours acts over this length, Å."""


def cohesion(configuration: Configuration) -> float | None:
    """Mean energy of cohesion of its elements, eV/atom, positive; None where an element is not tabulated."""
    return _mean(configuration, _table(_COHESION))


def solid(number: int) -> tuple[float, float, float] | None:
    """Energy of cohesion in eV, bulk modulus in eV/Å³ and volume in Å³ of an atom; None where one is not tabulated."""
    energies, moduli, volumes = _table(_COHESION), _table(_BULK_MODULI), _volumes()
    if number not in energies or number not in moduli or number not in volumes:
        return None
    return energies[number], moduli[number] * GPA, volumes[number]


def largest_stress(configuration: Configuration) -> float | None:
    """Largest plausible size of a stress component, eV/Å³; None where an element is not tabulated.

    The pressure follows from the volume by Murnaghan's equation of state with the elements' moduli, within a margin;
    what displaced atoms add follows from their forces.
    """
    counts: Counter[int] = Counter(configuration.numbers.tolist())
    volumes, moduli = _volumes(), _table(_BULK_MODULI)
    if not all(z in volumes and z in moduli for z in counts):
        return None
    own = sum(n * volumes[z] for z, n in counts.items())
    modulus = own / sum(n * volumes[z] / moduli[z] for z, n in counts.items()) * GPA
    volume = abs(float(np.linalg.det(configuration.cell)))
    pulled = min(volume / own * (1 + _VOLUME_MARGIN), 1.3)
    pressed = max(volume / own * (1 - _VOLUME_MARGIN), 0.3)
    bounds = [modulus / _PRIME * abs(math.pow(ratio, -_PRIME) - 1) for ratio in (pulled, pressed)]
    forces = configuration.forces
    rms = 0.0 if forces is None else math.sqrt(float((forces**2).mean()))
    return max(bounds) + _ARM * rms * configuration.n_atoms / volume


def _mean(configuration: Configuration, values: dict[int, float]) -> float | None:
    numbers: list[int] = configuration.numbers.tolist()
    return sum(values[z] for z in numbers) / len(numbers) if all(z in values for z in numbers) else None


@functools.cache
def _table(text: str) -> dict[int, float]:
    """Atomic number -> value."""
    words = text.split()
    return {atomic_numbers[name]: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}


@functools.cache
def _volumes() -> dict[int, float]:
    """Atomic number -> volume of an atom in the element's lattice, Å³."""
    share = {"fcc": 4, "bcc": 2, "diamond": 8, "sc": 1}
    # Lattices that are none of these, Å³ per atom.
    found = {atomic_numbers[name]: value for name, value in _OTHER_VOLUMES.items()}
    for z, state in enumerate(reference_states):
        lattice: dict[str, Any] = state or {}
        if lattice.get("symmetry") in share:
            found[z] = lattice["a"] ** 3 / share[lattice["symmetry"]]
        elif lattice.get("symmetry") == "hcp" and z not in _THREE_ATOMS:
            found[z] = lattice["a"] ** 3 * lattice["c/a"] * math.sqrt(3) / 4
    return found
