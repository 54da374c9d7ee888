"""What a simulation costs with each model: wall time and memory on a machine where models were timed."""

import numpy as np
import pandas as pd

from engine.numerics.scaling import nearest_size, scaled_memory, scaled_time
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
def estimates(machine: str, n_atoms: int, n_steps: int) -> pd.DataFrame:
    """Wall time and memory of every model that was timed on a machine.

    Args:
        machine: One of `machines`.
        n_atoms: Atoms in the cell.
        n_steps: Evaluations of energy and forces: steps of molecular dynamics or of a relaxation.

    Returns:
        model_id, sizes (atoms of the measured cells, as text), nearest (the one that the time is scaled from, in
        proportion to the atoms), us_per_atom_step there, ms_per_step, wall_seconds of all steps, and peak_memory_mb
        (on a line through the measured sizes; missing where they do not tell).
    """
    costs = _named()
    rows = []
    for model_id, part in costs[costs["machine"] == machine].groupby("model_id"):
        part = part.sort_values("n_atoms").drop_duplicates("n_atoms")
        sizes = part["n_atoms"].to_numpy(dtype=np.int64)
        times = part["ms_per_step"].to_numpy(dtype=float)
        k, step = nearest_size(sizes, n_atoms), scaled_time(sizes, times, n_atoms)
        memory = scaled_memory(sizes, part["peak_memory_mb"].to_numpy(dtype=float), n_atoms)
        rows.append((model_id, ", ".join(map(str, sizes)), int(sizes[k]), 1e3 * times[k] / sizes[k], step,
                     1e-3 * step * n_steps, memory))  # fmt: skip
    return pd.DataFrame(rows, columns=["model_id", "sizes", "nearest", "us_per_atom_step", "ms_per_step",
                                       "wall_seconds", "peak_memory_mb"])  # fmt: skip


def _named() -> pd.DataFrame:
    """Timings of one configuration at a time, with the name of their machine."""
    costs = catalog.costs()
    costs = costs[(costs["batch"] == 1) & (costs["ms_per_step"] > 0)]
    names = [machine_name(row.device, row.hardware, row.n_threads) for row in costs.itertuples()]
    return costs.assign(machine=pd.Series(names, index=costs.index, dtype=object))
