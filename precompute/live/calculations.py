"""What a visitor may have computed of a structure, within which limits, and what comes of it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.errors import DatasetError, SettingsError
from engine.numerics import uncertainty
from engine.records import Configuration, FloatArray
from engine.relaxations import RelaxationOptions
from engine.volume_scans import VolumeScan

SINGLE_POINT, RELAX, EQUATION_OF_STATE = "single_point", "relax", "equation_of_state"
TASKS = (SINGLE_POINT, RELAX, EQUATION_OF_STATE)

MOST_STEPS = 500
LEAST_FORCE, LARGEST_FORCE = 0.001, 1.0
"""Range of the largest force of a relaxed structure that may be asked for, eV/Å."""

CALCULATION_SECONDS = 120.0
"""Longest relaxation or scan with one model, loading it excluded, s. A relaxation then ends where it is."""

MOST_FRAME_ATOMS = 20_000
"""Atoms times frames that a trajectory keeps; a longer one is thinned evenly."""


@dataclass(frozen=True)
class Calculation:
    """One kind of computation with its options.

    Attributes:
        task: SINGLE_POINT, RELAX or EQUATION_OF_STATE.
        relaxation: Options where the task is RELAX.
        scan: Volumes where the task is EQUATION_OF_STATE.
    """

    task: str = SINGLE_POINT
    relaxation: RelaxationOptions = dataclasses.field(default_factory=RelaxationOptions)
    scan: VolumeScan = dataclasses.field(default_factory=VolumeScan)

    def checked(self, configuration: Configuration) -> "Calculation":
        """The calculation with the limits of a server, options of other tasks left out.

        Args:
            configuration: The structure that it is for.

        Raises:
            SettingsError: An option is beyond its limit.
            DatasetError: The structure has not the cell that the task needs.
        """
        if self.task == SINGLE_POINT:
            return Calculation()
        if self.task == EQUATION_OF_STATE:
            try:
                self.scan.of(configuration)
            except ValueError as error:
                raise DatasetError(str(error)) from error
            return Calculation(EQUATION_OF_STATE, scan=self.scan)
        if self.task != RELAX:
            raise SettingsError(f"task is '{self.task}', expected {', '.join(TASKS)}.")
        options = self.relaxation
        if not 1 <= options.steps <= MOST_STEPS:
            raise SettingsError(f"steps is {options.steps}, expected 1 to {MOST_STEPS}.")
        if not LEAST_FORCE <= options.fmax <= LARGEST_FORCE:
            raise SettingsError(f"fmax is {options.fmax:g} eV/Å, expected {LEAST_FORCE:g} to {LARGEST_FORCE:g}.")
        if options.cell == "free" and not all(configuration.pbc):
            raise DatasetError("A free cell needs a structure that is periodic in all three directions.")
        return Calculation(RELAX, dataclasses.replace(options, seconds=CALCULATION_SECONDS))

    @property
    def n_evaluations(self) -> int:
        """Single points that it takes at most."""
        return {SINGLE_POINT: 1, RELAX: self.relaxation.steps + 1, EQUATION_OF_STATE: self.scan.n_volumes}[self.task]


def force_deviation(forces: Sequence[FloatArray]) -> FloatArray:
    """Largest distance of any model's force from the mean force, per atom: max_k |F_k - <F>|.

    Args:
        forces: One array of shape (n_atoms, 3) per model, at least two, eV/Å.

    Returns:
        Shape (n_atoms,), eV/Å.

    Example:
        >>> force_deviation([np.array([[0.0, 0, 0]]), np.array([[0.0, 0, 2]])])
        array([1.])
    """
    return uncertainty.force_deviation(np.stack(forces))[0]
