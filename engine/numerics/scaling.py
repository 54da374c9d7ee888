"""Time and memory of a model on cells that were not measured, from those that were."""

import numpy as np
from numpy.typing import NDArray

from engine.errors import MetricError

FloatArray = NDArray[np.float64]


def nearest_size(sizes: NDArray[np.integer], n_atoms: int) -> int:
    """Index of the measured cell whose size is nearest, by ratio; the larger of two that are as near.

    Args:
        sizes: Atoms of the measured cells, shape (n,).
        n_atoms: Atoms of the cell that is asked about.

    Raises:
        MetricError: Nothing was measured, or a size is not positive.

    Example:
        >>> nearest_size(np.array([64, 125, 343]), 100), nearest_size(np.array([64, 125, 343]), 10_000)
        (1, 2)
    """
    if not len(sizes) or n_atoms < 1 or (sizes < 1).any():
        raise MetricError(f"{sizes=} and {n_atoms=} are no measured sizes and a size")
    distance = np.abs(np.log(sizes / n_atoms))
    nearest = np.flatnonzero(distance <= distance.min() * (1 + 1e-12))
    return int(nearest[np.argmax(sizes[nearest])])


def scaled_time(sizes: NDArray[np.integer], milliseconds: FloatArray, n_atoms: int) -> float:
    """Time of one step, ms: that of the nearest measured size, in proportion to the atoms.

    Models with a cutoff take a time in proportion to the atoms once overheads are small; below the smallest measured
    size the true time is longer, since overheads do not shrink.

    Args:
        sizes: Atoms of the measured cells, shape (n,).
        milliseconds: Of one step, shape (n,).
        n_atoms: Atoms of the cell that is asked about.

    Raises:
        MetricError: Nothing was measured.

    Example:
        >>> scaled_time(np.array([100, 200]), np.array([50.0, 120.0]), 1000)
        600.0
    """
    k = nearest_size(sizes, n_atoms)
    return float(milliseconds[k] / sizes[k] * n_atoms)


def time_exponent(sizes: NDArray[np.integer], milliseconds: FloatArray) -> float:
    """Exponent of the number of atoms in the time of a step, by a straight line through the logarithms.

    Args:
        sizes: Atoms of the measured cells, shape (n,), of at least two sizes.
        milliseconds: Of one step, shape (n,).

    Raises:
        MetricError: All sizes are equal.

    Example:
        >>> round(time_exponent(np.array([10, 100]), np.array([2.0, 40.0])), 2)
        1.3
    """
    if len(np.unique(sizes)) < 2:
        raise MetricError(f"{sizes=}: an exponent takes two sizes")
    return float(np.polyfit(np.log(sizes), np.log(milliseconds), 1)[0])


def scaled_memory(sizes: NDArray[np.integer], megabytes: FloatArray, n_atoms: int) -> float:
    """Peak memory, MB, on the least-squares line through the measured sizes.

    Args:
        sizes: Atoms of the measured cells, shape (n,).
        megabytes: Peak memory of each, shape (n,); NaN where it was not measured.
        n_atoms: Atoms of the cell that is asked about.

    Returns:
        NaN where it was measured on one size alone that is another, since nothing says how it grows. No smaller than
        what any smaller cell took.

    Example:
        >>> scaled_memory(np.array([100, 200]), np.array([300.0, 500.0]), 1000)
        2100.0
        >>> scaled_memory(np.array([100]), np.array([300.0]), 1000)
        nan
    """
    is_known = np.isfinite(megabytes)
    sizes, megabytes = sizes[is_known], megabytes[is_known]
    if len(np.unique(sizes)) < 2:
        return float(megabytes[sizes == n_atoms].max()) if (sizes == n_atoms).any() else float("nan")
    slope, start = np.polyfit(sizes.astype(float), megabytes, 1)
    least = megabytes[sizes <= n_atoms].max(initial=0.0)
    return float(max(round(slope * n_atoms + start, 6), least))
