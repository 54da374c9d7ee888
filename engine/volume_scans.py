"""Volume scans: one crystal at several volumes, from which an equation of state is fitted."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from engine.records import Configuration

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
