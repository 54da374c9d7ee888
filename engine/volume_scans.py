"""Volume scans: one crystal at several volumes, from which an equation of state is fitted."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.errors import MetricError
from engine.numerics.equation_of_state import EquationOfState, fit
from engine.records import Configuration, FloatArray

FEWEST, MOST = 5, 15
"""Volumes of a scan: an equation of state has four parameters, and a fit needs a residual."""

LEAST_RANGE, LARGEST_RANGE = 0.01, 0.15


@dataclass(frozen=True)
class VolumeScan:
    """Which volumes.

    Attributes:
        n_volumes: Number of volumes, evenly spread.
        strain: Largest relative change of the volume, to either side.

    Raises:
        ValueError: A value is out of range.
    """

    n_volumes: int = 9
    strain: float = 0.06

    def __post_init__(self) -> None:
        if not FEWEST <= self.n_volumes <= MOST:
            raise ValueError(f"n_volumes is {self.n_volumes}, expected {FEWEST} to {MOST}")
        if not (math.isfinite(self.strain) and LEAST_RANGE <= self.strain <= LARGEST_RANGE):
            raise ValueError(f"strain is {self.strain}, expected {LEAST_RANGE} to {LARGEST_RANGE} of the volume")

    def of(self, configuration: Configuration) -> list[Configuration]:
        """The structure at each volume, the smallest first; fractional coordinates and angles stay as they are.

        Raises:
            ValueError: It is not periodic in all three directions, so it has no volume.
        """
        if not all(configuration.pbc) or not volume(configuration):
            raise ValueError("An equation of state needs a cell that is periodic in all three directions.")
        return [
            dataclasses.replace(
                configuration,
                config_id=f"{configuration.config_id}-{number}",
                positions=configuration.positions * length,
                cell=configuration.cell * length,
                energy=None,
                forces=None,
                stress=None,
                geometry_hash="",
            )
            for number, length in enumerate(np.cbrt(1 + np.linspace(-self.strain, self.strain, self.n_volumes)))
        ]


def volume(configuration: Configuration) -> float:
    """Volume of the cell, Å³."""
    return float(abs(np.linalg.det(configuration.cell)))


@dataclass(frozen=True)
class Scanned:
    """Energies of one model at several volumes, and the curve through them.

    Attributes:
        volumes: Of the cell, shape (n_volumes,), Å³, rising.
        energies: Total energies, shape (n_volumes,), eV.
        n_atoms: In the cell.
        curve: The fitted equation of state; None where none is given.
        reason: Why there is none; empty otherwise.
    """

    volumes: FloatArray
    energies: FloatArray
    n_atoms: int
    curve: EquationOfState | None
    reason: str


def scanned(configurations: Sequence[Configuration], energies: Sequence[float]) -> Scanned:
    """Fit the energies of a scan; a fit that would mean nothing is refused with a reason."""
    volumes, values = np.array([volume(one) for one in configurations]), np.array(energies)
    n_atoms = configurations[0].n_atoms
    try:
        return Scanned(volumes, values, n_atoms, fit(volumes, values), "")
    except MetricError as error:
        return Scanned(volumes, values, n_atoms, None, f"No equation of state: {error}.")
