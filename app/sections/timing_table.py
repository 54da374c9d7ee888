"""What was measured beside the time of a step: quartiles, load time, memory and drift, in tables of timings."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from ase import units

from app import wording
from engine.quantities import significant
from engine.queries import catalog

_KELVIN = 1e-3 / (3 * units.kB)
"""Warming of a classical crystal, of heat capacity 3 k per atom, by 1 meV per atom, K."""

_KEYS = ["device", "hardware", "n_threads"]

HEADS = {
    "ms_low": st.column_config.NumberColumn("Lower quartile (ms)", format="%.3g"),
    "ms_high": st.column_config.NumberColumn(
        "Upper quartile (ms)", format="%.3g", help="Of the counted steps of one occasion; days differ by more."
    ),
    "us_per_atom_step_lo": st.column_config.NumberColumn("Lower quartile (ms)", format="%.3g"),
    "us_per_atom_step_hi": st.column_config.NumberColumn(
        "Upper quartile (ms)", format="%.3g", help="Of the counted steps of one occasion; days differ by more."
    ),
    "batch": st.column_config.NumberColumn("At once", help="Systems in one call, as the worker chose."),
    "way": st.column_config.TextColumn("Timed", help="Each system on its own, or many that were waiting."),
    "device": st.column_config.TextColumn("Device"),
    "hardware": st.column_config.TextColumn("Hardware", width="medium"),
    "measured_at": st.column_config.DatetimeColumn("Measured", format="YYYY-MM-DD"),
}


def completed(timings: pd.DataFrame) -> pd.DataFrame:
    """Timings with more columns.

    Args:
        timings: Rows of `catalog.costs`.

    Returns:
        The rows, with quartiles only where several times were taken, and with us_per_atom_step_lo and
        us_per_atom_step_hi (the quartiles per atom, missing where none were kept), way (in words) and n_largest, the
        atoms of the model's largest cell on that machine.
    """
    every = catalog.costs(with_random_weights=True)
    largest = every.groupby(["model_id", *_KEYS, "is_queue"])["n_atoms"].max().rename("n_largest").reset_index()
    found = timings.merge(largest, on=["model_id", *_KEYS, "is_queue"], how="left")
    # Systems of one batch share its time, so a queue that was a single batch has nothing to take quartiles of.
    is_one_batch = found["is_queue"] & (found["ms_low"] == found["ms_high"])
    low, high = (found[name].mask(is_one_batch) for name in ("ms_low", "ms_high"))
    return found.assign(
        ms_low=low,
        ms_high=high,
        us_per_atom_step_lo=1e3 * low / found["n_atoms"],
        us_per_atom_step_hi=1e3 * high / found["n_atoms"],
        way=found["is_queue"].map({True: "many waiting", False: "one by one"}),
    )


def known(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Those of some columns that have a number in any row; columns of dashes say nothing."""
    return [name for name in columns if name in table and table[name].notna().any()]


def drift_note(table: pd.DataFrame) -> str:
    """What the drift says of models whose forces are no gradient, and which models these are.

    Args:
        table: model_id, label and drift_mev_per_atom_ps.

    Returns:
        Sentences; empty where no drift was measured and all forces are gradients.
    """
    models = catalog.models()
    direct = models.loc[~models["conservative"] & models["model_id"].isin(table["model_id"]), "label"]
    found = table.dropna(subset=["drift_mev_per_atom_ps"])
    if found.empty and direct.empty:
        return ""
    measured = "not measured for any of these models"
    if len(found):
        most = found.loc[found["drift_mev_per_atom_ps"].abs().idxmax()]
        measured = f"at most {significant(most['drift_mev_per_atom_ps'])} meV/atom per ps here ({most['label']})"
    words = (
        f"Drift of the energy in molecular dynamics: {measured}. Forces that are the gradient of the energy keep the "
        "total energy, but for the finite time step. Forces that a network predicts directly need not: at "
        f"1 meV/atom per ps a crystal warms or cools by {_KELVIN:.1f} K in every picosecond"
    )
    return f"{words}. Predicted directly: {wording.listed(direct)}." if len(direct) else f"{words}."


def lacking_note(table: pd.DataFrame) -> str:
    """For how many timings quartiles, load time or drift are not known; empty where all have them.

    Args:
        table: Rows of `catalog.costs`.
    """
    names = {"ms_low": "quartiles", "load_seconds": "load time", "drift_mev_per_atom_ps": "drift"}
    lacking = [f"{words} of {table[name].isna().sum()}" for name, words in names.items() if table[name].isna().any()]
    return f"Not measured with these {len(table)} timings: {', '.join(lacking)}." if lacking else ""
