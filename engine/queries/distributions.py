"""Distributions of the reference data of many datasets on one axis, dataset by dataset."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.queries.scope import Scope
from engine.store import connection
from engine.store.connection import cached

N_BINS = 80

FAR = 100.0  # eV/atom; a median beyond it counts all electrons of the core, and would squeeze every other dataset

TAIL = 0.0005  # share of the atoms with the largest forces that lie beyond the axis

_SAMPLES = {
    "energy": "c.energy / c.n_atoms",
    "force": """unnest(list_transform(range(c.n_atoms), lambda i: sqrt(
        c.forces[3 * i + 1] ** 2 + c.forces[3 * i + 2] ** 2 + c.forces[3 * i + 3] ** 2)))""",
}


@dataclass(frozen=True)
class DatasetHistograms:
    """Counts of samples of several datasets in the same bins; not to be changed, since it is remembered.

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
    samples = (
        f"select c.dataset_id, {_SAMPLES[kind]} as value from configurations c "
        f"where {scope.predicate('c')} and c.{'energy' if kind == 'energy' else 'forces'} is not null"
    )
    about = connection.frame(
        f"""
        select dataset_id, count(*) as n, min(value) as low, max(value) as high,
            count(*) filter (value > 0) as n_positive
        from ({samples}) where isfinite(value) group by dataset_id order by dataset_id
        """,
        scope.bindings(),
    )
    if about.empty:
        return None
    low, high = (0.0, _end(samples, scope)) if kind == "force" else (about["low"].min(), about["high"].max())
    edges = np.linspace(low, high if high > low else low + 1e-3, N_BINS + 1)
    return DatasetHistograms(
        edges, tuple(about["dataset_id"]), _counts(samples, scope, about["dataset_id"], edges),
        about["n"].to_numpy(dtype=int), about["high"].to_numpy(dtype=float), about["n_positive"].to_numpy(dtype=int),
    )  # fmt: skip


def _end(samples: str, scope: Scope) -> float:
    """Value that only a small share of the samples exceeds."""
    row = connection.row(
        f"select quantile_disc(value, 1 - $tail) from ({samples}) where isfinite(value)",
        scope.bindings() | {"tail": TAIL},
    )
    assert row is not None  # an aggregate without grouping always gives one row
    return float(row[0])


def _counts(samples: str, scope: Scope, names: pd.Series, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Samples in each bin, shape (n_datasets, n_bins); the last bin has its upper edge."""
    named = {"low": float(edges[0]), "high": float(edges[-1]), "width": float(edges[1] - edges[0])}
    found = connection.frame(
        f"""
        select dataset_id, least({N_BINS - 1}, floor((value - $low) / $width)::integer) as bin, count(*) as n
        from ({samples}) where isfinite(value) and value >= $low and value <= $high
        group by dataset_id, bin order by dataset_id, bin
        """,
        scope.bindings() | named,
    )
    counts = np.zeros((len(names), N_BINS), dtype=np.int64)
    rows = found["dataset_id"].map({name: k for k, name in enumerate(names)})
    counts[rows.to_numpy(dtype=int), found["bin"].to_numpy()] = found["n"].to_numpy()
    return counts
