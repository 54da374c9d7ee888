"""Energy of a defect above the perfect crystal that a visitor gave beside it, model by model."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st
from ase import Atoms

from app import furniture, tables
from app.structures.parts import plain
from precompute.live import defects
from precompute.live.tasks import Job, TaskState


def show(job: Job, tasks: Sequence[TaskState], crystals: Sequence[TaskState], labels: Mapping[str, str]) -> None:
    """Table of the energies, with how they are made, or the sentence why there are none.

    Args:
        job: With a perfect crystal.
        tasks: Of its structure.
        crystals: Of its crystal.
        labels: Of models by id.
    """
    assert job.crystal is not None
    st.subheader("Energy of the defect", anchor=False)
    if reason := defects.imbalance(job):
        furniture.empty("No energy of a defect", plain(f"Here {reason}."))
        return
    table = table_of(job, tasks, crystals, labels)
    heads = {
        "model": st.column_config.TextColumn("Model", pinned=True),
        "energy": st.column_config.NumberColumn("Energy of the defect (eV)", format="%.3f"),
        "reason": st.column_config.TextColumn("Why none", width="large"),
    }
    tables.table_view(table, "defect-energies", heads, height="content")
    formula = Atoms(job.crystal.numbers).get_chemical_formula("metal")
    st.caption(
        f"E(structure) − Σ nᵢ μᵢ, where the atoms' energies μᵢ are those of the perfect crystal {formula} by the same "
        "model and the same calculation. The zero of energy of a model falls out. It is the energy of all defects in "
        "the cell together, with the images of a periodic cell."
    )
    ratio = defects.volume_ratio(job)
    if ratio is not None and defects.is_strained(ratio):
        st.caption(
            f":material/warning: The cell has {ratio:.3f} times the volume of the crystal, which is no whole number: "
            "the energy has a part of strain or of free surfaces."
        )


def table_of(
    job: Job, tasks: Sequence[TaskState], crystals: Sequence[TaskState], labels: Mapping[str, str]
) -> pd.DataFrame:
    """One row per model: model, energy (eV) and the reason why there is none."""
    found = [defects.energy(job, *pair) for pair in zip(tasks, crystals, strict=True)]
    return pd.DataFrame(
        {
            "model": [labels[task.model_id] for task in tasks],
            "energy": [one.energy for one in found],
            "reason": [one.reason for one in found],
        }
    )
