"""What a simulation costs with each model: wall time and memory on a machine where models were timed."""

import numpy as np
import pandas as pd

from engine.numerics.scaling import nearest_size, scaled_memory, scaled_time, time_exponent
from engine.queries import catalog
from engine.store.connection import cached


def machine_name(device: str, hardware: str | None, n_threads: int) -> str:
    """A machine in words, such as `CPU, 1 thread, Xeon`."""
    return f"{device.upper()}, {n_threads} thread{'s' * (n_threads != 1)}, {hardware or 'unknown hardware'}"


@cached
def machines() -> tuple[str, ...]:
    """Machines that models were timed on, those with most models first."""
    costs = _named()
    return tuple(costs.groupby("machine")["model_id"].nunique().sort_values(ascending=False, kind="stable").index)


@cached
def estimates(machine: str, n_atoms: int, n_steps: int, *, with_random_weights: bool = False) -> pd.DataFrame:
    """Wall time and memory of every model that was timed on a machine.

    Args:
        machine: One of `machines`.
        n_atoms: Atoms in the cell.
        n_steps: Evaluations of energy and forces: steps of molecular dynamics or of a relaxation.
        with_random_weights: Also models that were timed as networks of their size, as `catalog.costs` has them.

    Returns:
        model_id, sizes (atoms of the measured cells, as text), nearest (the one that the time is scaled from, in
        proportion to the atoms), us_per_atom_step there, ms_per_step, wall_seconds of all steps, peak_memory_mb (on a
        line through the measured sizes; missing where they do not tell), and the occasion of the nearest size's timing.
    """
    costs = _named(with_random_weights=with_random_weights)
    rows = []
    for model_id, part in costs[costs["machine"] == machine].groupby("model_id"):
        part = part.sort_values("n_atoms").drop_duplicates("n_atoms")
        sizes = part["n_atoms"].to_numpy(dtype=np.int64)
        times = part["ms_per_step"].to_numpy(dtype=float)
        k, step = nearest_size(sizes, n_atoms), scaled_time(sizes, times, n_atoms)
        memory = scaled_memory(sizes, part["peak_memory_mb"].to_numpy(dtype=float), n_atoms)
        rows.append((model_id, ", ".join(map(str, sizes)), int(sizes[k]), 1e3 * times[k] / sizes[k], step,
                     1e-3 * step * n_steps, memory, part["occasion"].iloc[k]))  # fmt: skip
    return pd.DataFrame(rows, columns=["model_id", "sizes", "nearest", "us_per_atom_step", "ms_per_step",
                                       "wall_seconds", "peak_memory_mb", "occasion"])  # fmt: skip


@cached
def growth(machine: str) -> pd.DataFrame:
    """How the time of a step grows with the atoms, of models that were timed on several cells.

    Args:
        machine: One of `machines`.

    Returns:
        model_id, label, n_atoms, ms_per_step, occasion, has_random_weights, exponent (of the atoms in the time, by all
        sizes) and scaled_ms: what `estimates` would say of the largest cell had it not been timed; missing for others.
    """
    costs = _named(with_random_weights=True)
    costs = costs[costs["machine"] == machine].sort_values(["model_id", "n_atoms"])
    parts = []
    for _, part in costs.groupby("model_id"):
        part = part.drop_duplicates("n_atoms")
        if len(part) < 2:
            continue
        sizes, times = part["n_atoms"].to_numpy(dtype=np.int64), part["ms_per_step"].to_numpy(dtype=float)
        scaled = np.full(len(part), np.nan)
        scaled[-1] = scaled_time(sizes[:-1], times[:-1], int(sizes[-1]))
        parts.append(part.assign(exponent=time_exponent(sizes, times), scaled_ms=scaled))
    names = ["model_id", "label", "n_atoms", "ms_per_step", "occasion", "has_random_weights", "exponent", "scaled_ms"]
    return pd.concat(parts)[names].reset_index(drop=True) if parts else pd.DataFrame(columns=names)


def _named(*, with_random_weights: bool = False) -> pd.DataFrame:
    """Timings of one configuration at a time, with the name of their machine."""
    costs = catalog.costs(with_random_weights=with_random_weights)
    costs = costs[~costs["is_queue"] & (costs["ms_per_step"] > 0)]
    names = [machine_name(row.device, row.hardware, row.n_threads) for row in costs.itertuples()]
    return costs.assign(machine=pd.Series(names, index=costs.index, dtype=object))
