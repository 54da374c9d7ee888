"""Which models can be compared, on which configurations, and what their errors are there.

Models may have results for different parts of a dataset: one was run on all of it, one on a sample, one failed on an
element that it does not know. An error over easy configurations is no better model, so a ranking runs over the
configurations that its models share, and a model that would leave too few of them is not ranked.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.numerics.alignment import leave_one_out_errors
from engine.numerics.metrics import energy_metrics, force_metrics

MAX_FAILED_SHARE = 0.1  # of the configurations that a model was run on
ENOUGH = 100  # shared configurations; a smaller sample is not let in for the sake of one more model
NEARLY = 0.9  # of `ENOUGH`, or of a smaller dataset: some failures may be missing

# Why a model has no rank.
UNRANKED = {
    "level": "Its labels have another functional, dispersion or energy zero than those of the dataset.",
    "seen": "It was trained on these configurations.",
    "share": "It has results for too few of the configurations that the others share, or failed on too many.",
    "numbers": "It has no such errors on the configurations that the others share.",
}


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


def metrics_of(errors: pd.DataFrame, alignment: str, elements: Sequence[str] = ()) -> dict[str, float]:
    """Metrics of one model over some configurations.

    Args:
        errors: One row per configuration: energy_error_per_atom (eV/atom), force_rmse, force_mae,
            reference_dot_predicted, reference_dot_reference, n_atoms and cluster_name, as the store holds them; with
            `crystal` also energy_error_per_atom_crystal.
        alignment: `raw`; `per_element`, whose offsets are fitted to these configurations, each error about those of
            the others; or `crystal`.
        elements: Columns with the share of each element in a configuration, for `per_element`.

    Returns:
        n_configs and the metrics that there are, named as the columns of `dataset_metrics`.
    """
    found: dict[str, float] = {"n_configs": len(errors), "n_clusters": errors["cluster_name"].nunique()}
    column = "energy_error_per_atom_crystal" if alignment == "crystal" else "energy_error_per_atom"
    with_energy = errors[np.isfinite(errors[column])]
    if len(with_energy):
        energy = with_energy[column].to_numpy(dtype=float)
        if alignment == "per_element":
            energy = leave_one_out_errors(energy, with_energy[list(elements)].to_numpy(dtype=float))
        is_known = np.isfinite(energy)
        if is_known.any():
            found |= energy_metrics(energy[is_known], with_energy.loc[is_known, "cluster_name"].to_numpy())
    with_forces = errors[np.isfinite(errors["force_rmse"])]
    if len(with_forces):
        names = ["force_rmse", "force_mae", "reference_dot_predicted", "reference_dot_reference"]
        sums = [with_forces[name].to_numpy(dtype=float) for name in names]
        found |= force_metrics(with_forces["n_atoms"].to_numpy(), with_forces["cluster_name"].to_numpy(), *sums)
    return found
