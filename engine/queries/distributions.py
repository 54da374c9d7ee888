"""Distributions of the reference data of many datasets on one axis, dataset by dataset."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.queries.scope import Scope
from engine.store import connection
from engine.store.connection import cached

N_BINS = 80

FAR = 100.0  # eV/atom; a median beyond it counts all electrons of the core, and would squeeze every other dataset

TAIL = 0.0005  # share of the atoms with the largest forces that lie beyond the axis


@dataclass(frozen=True)
class DatasetHistograms:
    """Counts of samples of several datasets in the same bins; results are cached, so no caller may change them.

    Attributes:
        edges: Shape (n_bins + 1,), eV/atom or eV/Å.
        dataset_ids: Datasets with samples, in their order.
        counts: Shape (n_datasets, n_bins).
        totals: Samples of each dataset, those beyond the edges included, shape (n_datasets,).
        largest: Largest value of each dataset, shape (n_datasets,).
        n_positive: Samples above zero of each dataset, shape (n_datasets,).
    """

    edges: NDArray[np.float64]
    dataset_ids: tuple[str, ...]
    counts: NDArray[np.int64]
    totals: NDArray[np.int64]
    largest: NDArray[np.float64]
    n_positive: NDArray[np.int64]

    @property
    def n_outside(self) -> int:
        """Samples beyond the edges."""
        return int(self.totals.sum() - self.counts.sum())


@cached
def far_datasets() -> tuple[str, ...]:
    """Datasets whose energies count so many electrons that they lie far from those of all others."""
    found = connection.frame(
        """
        select dataset_id from configurations where in_dataset and energy is not null
        group by dataset_id having abs(median(energy / n_atoms)) > $far order by dataset_id
        """,
        {"far": FAR},
    )
    return tuple(found["dataset_id"])


@cached
def dataset_histograms(kind: str, scope: Scope) -> DatasetHistograms | None:
    """Distributions of energies over their whole range, or of forces up to their `TAIL`.

    Args:
        kind: `energy` (of a configuration, absolute, eV/atom) or `force` (length of that on an atom, eV/Å).
        scope: Which configurations.

    Returns:
        `N_BINS` bins of equal width; None where there are no samples.
    """
    values = {name: found for name, found in _samples(kind, scope).items() if len(found)}
    if not values:
        return None
    pooled = np.concatenate(list(values.values()))
    low, high = (0.0, float(np.quantile(pooled, 1 - TAIL))) if kind == "force" else (pooled.min(), pooled.max())
    edges = np.linspace(low, high if high > low else low + 1e-3, N_BINS + 1)
    return DatasetHistograms(
        edges,
        tuple(values),
        np.array([np.histogram(found, edges)[0] for found in values.values()]),
        np.array([len(found) for found in values.values()]),
        np.array([found.max() for found in values.values()]),
        np.array([(found > 0).sum() for found in values.values()]),
    )


def _samples(kind: str, scope: Scope) -> dict[str, NDArray[np.float64]]:
    """Finite values by dataset; lengths of forces are made here, since a list of a million atoms is slow in SQL."""
    column = "c.energy / c.n_atoms" if kind == "energy" else "c.forces"
    table = connection.frame(
        f"""
        select c.dataset_id, {column} as value from configurations c
        where {scope.predicate("c")} and {column} is not null order by c.dataset_id
        """,
        scope.bindings(),
    )
    values = {}
    for name, part in table.groupby("dataset_id")["value"]:
        if kind == "energy":
            found = part.to_numpy(dtype=float)
        else:
            found = np.linalg.norm(np.concatenate(part.tolist()).reshape(-1, 3), axis=1)
        values[str(name)] = found[np.isfinite(found)]
    return values
