"""Which models can be compared, on which configurations, and what their errors are there.

Models may have results for different parts of a dataset: one was run on all of it, one on a sample, one failed on an
element that it does not know. An error over easy configurations is no better model, so a ranking runs over the
configurations that its models share, and a model that would leave too few of them is not ranked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.numerics.alignment import leave_one_out_errors
from engine.numerics.metrics import energy_metrics, force_metrics

MAX_FAILED_SHARE = 0.1  # of the configurations that a model was run on
ENOUGH = 100  # shared configurations; a smaller sample is not let in for the sake of one more model
NEARLY = 0.9  # of `ENOUGH`, or of a smaller dataset: some failures may be missing

ENERGY_ERROR = {  # by alignment, the column of the energy errors of single configurations
    "raw": "energy_error_per_atom",
    "per_element": "energy_error_per_atom_aligned",
    "crystal": "energy_error_per_atom_crystal",
}

# Why a model has no rank.
UNRANKED = {
    "level": "Its labels have another functional, dispersion or energy zero than those of the dataset.",
    "seen": "It was trained on these configurations.",
    "share": "It has results for too few of the configurations that the others share, or failed on too many.",
    "numbers": "It has no such errors on the configurations that the others share.",
}


def alignment_of(quantity: str, alignment: str) -> str:
    """The alignment that an error of a quantity depends on: the chosen one for `energy`; forces know none, so `raw`."""
    return alignment if quantity == "energy" else "raw"


def choose_models(places: Mapping[str, NDArray[np.int64]], n_failed: Mapping[str, int]) -> tuple[list[str], int]:
    """Models that can be compared, and how many configurations they share.

    The model with most results comes first; each next one is let in if all still share enough configurations.

    Args:
        places: By model, indices of the configurations with a result, shape (n_results,).
        n_failed: By model, how many configurations it failed on.

    Example:
        >>> full, sample, few = np.arange(1000), np.arange(200), np.arange(9)
        >>> choose_models({"few": few, "sample": sample, "full": full}, {})
        (['full', 'sample'], 200)
    """
    is_sound = {m: n_failed.get(m, 0) <= MAX_FAILED_SHARE * (len(p) + n_failed.get(m, 0)) for m, p in places.items()}
    by_size = sorted((m for m in places if is_sound[m] and len(places[m])), key=lambda m: (-len(places[m]), m))
    chosen: list[str] = []
    shared = np.empty(0, dtype=np.int64)
    for model_id in by_size:
        if not chosen:
            shared = np.unique(places[model_id])
            least = NEARLY * min(ENOUGH, len(shared))
        both = np.intersect1d(shared, places[model_id])
        if len(both) >= least:
            shared = both
            chosen.append(model_id)
    return chosen, len(shared)


def metrics_of(errors: Mapping[str, NDArray[Any]], alignment: str, elements: Sequence[str] = ()) -> dict[str, float]:
    """Metrics of one model over some configurations.

    Args:
        errors: One value per configuration: energy_error_per_atom (eV/atom), force_rmse, force_mae,
            reference_dot_predicted, reference_dot_reference and n_atoms, as the store holds them; `cluster`, a number
            of its own for each cluster; with `crystal` also energy_error_per_atom_crystal.
        alignment: `raw`; `per_element`, whose offsets are fitted to these configurations, each error about those of
            the others; or `crystal`.
        elements: Names under which `errors` has the share of each element in a configuration, for `per_element`.

    Returns:
        n_configs and the metrics that there are, named as the columns of `dataset_metrics`.
    """
    clusters = errors["cluster"]
    found: dict[str, float] = {"n_configs": len(clusters), "n_clusters": len(np.unique(clusters))}
    energy = errors[ENERGY_ERROR["crystal" if alignment == "crystal" else "raw"]].astype(float)
    has_energy = np.isfinite(energy)
    if alignment == "per_element" and has_energy.any():
        shares = np.stack([errors[name][has_energy] for name in elements], axis=1).astype(float)
        energy[has_energy] = leave_one_out_errors(energy[has_energy], shares)
        has_energy = np.isfinite(energy)
    if has_energy.any():
        found |= energy_metrics(energy[has_energy], clusters[has_energy])
    has_forces = np.isfinite(errors["force_rmse"].astype(float))
    if has_forces.any():
        names = ["force_rmse", "force_mae", "reference_dot_predicted", "reference_dot_reference"]
        sums = [errors[name][has_forces].astype(float) for name in names]
        found |= force_metrics(errors["n_atoms"][has_forces], clusters[has_forces], *sums)
    return found
