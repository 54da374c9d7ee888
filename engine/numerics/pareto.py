"""The Pareto front of cost against error."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import MetricError


def pareto_front(costs: ArrayLike, errors: ArrayLike) -> NDArray[np.int64]:
    """Indices of the models that no other beats on both axes, by rising cost.

    A model is on the front when every cheaper or equally cheap one has a larger error. Of models equal on
    both axes the first is kept. Pairs with a value that is not finite are left out: what was not measured
    beats nothing.

    Args:
        costs: Cost of each model, shape (n_models,); lower is better.
        errors: Error of each model, shape (n_models,); lower is better.

    Returns:
        Indices into the inputs, shape (n_front,).

    Raises:
        MetricError: The shapes differ or are not one-dimensional.

    Example:
        >>> pareto_front([1.0, 2.0, 3.0, 4.0], [9.0, 5.0, 7.0, 1.0]).tolist()
        [0, 1, 3]
    """
    cost, error = np.asarray(costs, dtype=float), np.asarray(errors, dtype=float)
    if cost.ndim != 1 or cost.shape != error.shape:
        raise MetricError(f"costs have shape {cost.shape} and errors {error.shape}, expected two equal (n,).")
    finite = np.flatnonzero(np.isfinite(cost) & np.isfinite(error))
    order = finite[np.lexsort((error[finite], cost[finite]))]
    best = np.minimum.accumulate(np.concatenate(([np.inf], error[order])))[:-1]
    return order[error[order] < best].astype(np.int64)
