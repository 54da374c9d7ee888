"""Per-element energy offsets: what is left of a model's energy error when references are made equal.

Two DFT set-ups can differ by hundreds of meV/atom for one element (Ni: -5.780 against -5.483 eV/atom in two
generations of the Materials Project's potentials). Such a constant says nothing about defects; it cancels in every
energy difference at fixed composition.
"""

import numpy as np
from numpy.typing import NDArray

from engine.errors import MetricError

FloatArray = NDArray[np.float64]


def fit_offsets(errors_per_atom: FloatArray, fractions: FloatArray) -> FloatArray:
    """Least-squares offset of each element.

    Minimises the energy RMSE, so every configuration counts alike whatever its size. Where compositions do not
    determine the offsets (an alloy of one composition), the solution of smallest norm is taken: the error that
    remains is the same for all solutions.

    Args:
        errors_per_atom: (E_pred - E_ref)/N, shape (n_configs,), eV/atom.
        fractions: Share of each element in each configuration, shape (n_configs, n_elements), rows summing to 1.

    Returns:
        Offsets, shape (n_elements,), eV/atom.

    Raises:
        MetricError: Shapes do not fit, there is no configuration, or a value is not finite.

    Example:
        >>> fit_offsets(np.array([0.2, 0.4]), np.array([[1.0, 0.0], [0.0, 1.0]])).round(6).tolist()
        [0.2, 0.4]
    """
    if fractions.ndim != 2 or len(fractions) != len(errors_per_atom) or len(fractions) == 0:
        raise MetricError(f"{errors_per_atom.shape=} does not fit {fractions.shape=}")
    if not (np.isfinite(errors_per_atom).all() and np.isfinite(fractions).all()):
        raise MetricError("a value is not finite; failed predictions must be left out before")
    offsets, *_ = np.linalg.lstsq(fractions, errors_per_atom, rcond=None)
    return np.asarray(offsets)
