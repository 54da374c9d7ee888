"""Birch-Murnaghan equations of state, fitted to energies at some volumes."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import MetricError

FloatArray = NDArray[np.float64]

GPA = 160.21766
"""GPa in one eV/Å³."""


@dataclass(frozen=True)
class EquationOfState:
    """A fitted curve of energy over volume.

    Attributes:
        volume: At the lowest energy, Å³.
        energy: Lowest energy, eV.
        bulk_modulus: At that volume, eV/Å³.
        derivative: Of the bulk modulus with respect to pressure, dimensionless.
        residual: Root mean square distance of the energies from the curve, eV.
    """

    volume: float
    energy: float
    bulk_modulus: float
    derivative: float
    residual: float

    @property
    def bulk_modulus_gpa(self) -> float:
        """Bulk modulus, GPa."""
        return GPA * self.bulk_modulus

    def energies(self, volumes: FloatArray) -> FloatArray:
        """Energies of the curve at some volumes (Å³), eV, of the same shape."""
        x = (self.volume / volumes) ** (2 / 3) - 1
        return np.asarray(
            self.energy + 9 * self.volume * self.bulk_modulus / 16 * (x**3 * self.derivative + x**2 * (6 - 4 * (x + 1)))
        )


def fit(volumes: FloatArray, energies: FloatArray) -> EquationOfState:
    """Fit a third-order Birch-Murnaghan equation of state by ASE.

    Args:
        volumes: Shape (n,), Å³, at least five that differ.
        energies: Shape (n,), eV.

    Raises:
        MetricError: The lowest energy lies at an end of the volumes or beyond, so that nothing brackets it; the volumes
            are too few; a number is not finite; or the fit does not converge.

    Source:
        F. Birch, Phys. Rev. 71, 809 (1947), doi:10.1103/PhysRev.71.809; the fit is `ase.eos.EquationOfState`.
    """
    if volumes.shape != energies.shape or volumes.ndim != 1 or len(np.unique(volumes)) < 5:
        raise MetricError(f"{volumes.shape=} and {energies.shape=}: expected five or more volumes with one energy each")
    if not (np.isfinite(volumes).all() and np.isfinite(energies).all()):
        raise MetricError("a volume or an energy is not finite")
    rising = np.argsort(volumes)
    volumes, energies = volumes[rising], energies[rising]
    lowest = int(np.argmin(energies))
    if lowest in (0, len(volumes) - 1):
        end, other = ("smallest", "smaller") if lowest == 0 else ("largest", "larger")
        raise MetricError(
            f"the energy is lowest at the {end} volume ({volumes[lowest]:.2f} Å³), so the minimum may lie at a {other} "
            "one; widen the range, or relax the cell first"
        )
    found = _fitted(volumes, energies)
    if not volumes[0] < found.volume < volumes[-1]:
        raise MetricError(
            f"the fitted minimum ({found.volume:.2f} Å³) lies outside the volumes; widen the range, or relax the cell"
        )
    if found.bulk_modulus <= 0:
        raise MetricError("the fitted curve has no minimum")
    return found


def _fitted(volumes: FloatArray, energies: FloatArray) -> EquationOfState:
    """The fit without a judgement of it."""
    from ase.eos import EquationOfState as Fit  # imports scipy.optimize, which pages need not wait for

    fit_of_ase = Fit(volumes, energies, eos="birchmurnaghan")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a minimum outside the volumes is refused above
            fit_of_ase.fit(warn=False)
    except (RuntimeError, TypeError, ValueError) as error:  # of scipy.optimize.curve_fit
        raise MetricError(f"the fit does not converge ({error})") from error
    energy, modulus, derivative, volume = map(float, fit_of_ase.eos_parameters)
    found = EquationOfState(volume, energy, modulus, derivative, 0.0)
    residual = float(np.sqrt(np.mean((found.energies(volumes) - energies) ** 2)))
    return EquationOfState(volume, energy, modulus, derivative, residual)
