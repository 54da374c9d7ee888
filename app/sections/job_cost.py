"""Cost of a whole job on a machine that models were timed on, and how their time grows with the atoms."""

import numpy as np
import pandas as pd
import streamlit as st

from app import furniture, tables, wording
from app.figures import growth_plots
from app.sections.advice_cards import duration
from engine.quantities import significant
from engine.queries import timings

MOST_ATOMS, MOST_STEPS = 10_000_000, 1_000_000_000
ATOMS, STEPS = 10_000, 1_000_000  # of 1 fs: a nanosecond


def show(machine: str) -> None:
    """What a job of so many atoms and steps takes with each model, and the measurements behind it.

    Args:
        machine: One of `timings.machines`.
    """
    grown = timings.growth(machine)
    st.subheader("What a whole job takes", anchor=False)
    with furniture.controls():
        n_atoms = st.number_input(
            "Atoms of the job", 1, MOST_ATOMS, ATOMS, 1000, key="job_atoms", bind="query-params", width=170
        )
        n_steps = st.number_input(
            "Steps", 1, MOST_STEPS, STEPS, 1000, key="job_steps", bind="query-params", width=170,
            help="Evaluations of energy and forces: of molecular dynamics (a nanosecond has a million steps of 1 fs), "
            "of a relaxation, or single configurations of that size.",
        )  # fmt: skip
    found = timings.estimates(machine, int(n_atoms), int(n_steps), with_random_weights=True)
    found = found.sort_values("wall_seconds").reset_index(drop=True)
    labels = wording.model_labels()
    table = pd.DataFrame(
        {
            "label": found["model_id"].map(lambda name: labels.get(name, name)),
            "time": found["wall_seconds"].map(duration),
            "ms_per_atom": found["us_per_atom_step"] / 1e3,
            "memory": found["peak_memory_mb"] / 1e3,
            "sizes": found["sizes"],
            "occasion": found["occasion"],
        }
    )
    heads = {
        "time": "Time", "ms_per_atom": st.column_config.NumberColumn("ms per atom and step", format="%.3g"),
        "memory": st.column_config.NumberColumn("Memory, GB", format="%.2g"), "sizes": "Timed on cells of, atoms",
    }  # fmt: skip
    tables.table_view(table, "job-cost", heads)
    furniture.captions(
        f"On {machine}, one job on its own. The time is that of the nearest size that was timed, in proportion to the "
        "atoms; memory lies on a line through the sizes, and is unknown from one size alone.",
        _occasions(found["occasion"]),
        _checked(grown),
    )
    if not grown.empty:
        _growth(grown, machine)


def _occasions(taken: pd.Series) -> str:
    """That times are of several occasions; empty where they are of one."""
    n = taken.nunique()
    return f"The times are of {n} occasions; a machine is faster on one than on another." if n > 1 else ""


def _checked(grown: pd.DataFrame) -> str:
    """How far such estimates were off where they could be checked; empty where none could."""
    known = grown.dropna(subset=["scaled_ms"])
    if known.empty:
        return ""
    ratios = known["scaled_ms"] / known["ms_per_step"]
    return (
        f"Checked: the largest cell of {len(known)} models, as scaled from their next smaller one, comes out at "
        f"{significant(ratios.min(), 2)} to {significant(ratios.max(), 2)} times what was measured (median "
        f"{significant(float(np.median(ratios)), 2)})."
    )


def _growth(grown: pd.DataFrame, machine: str) -> None:
    """The measured times against the atoms."""
    title = f"Time of a step against the atoms on {machine}"
    models = grown["model_id"].unique()
    origin = furniture.provenance_beside("cost", title, models, "timings by this project", f"{len(models)} models")
    furniture.figure(
        lambda ink: growth_plots.growth(grown, ink, title, origin.source_line()),
        grown,
        origin,
        f"{title}: {len(models)} models on {grown['n_atoms'].min():,} to {grown['n_atoms'].max():,} atoms.",
        key="growth",
    )
    st.caption(
        "In brackets: the exponent of the atoms in the time; 1 is in proportion. Open: timed with random weights."
    )
