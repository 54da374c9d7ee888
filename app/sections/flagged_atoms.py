"""Atoms that are likely to have a large force error: one flag of novelty and spread, with what it is worth."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import streamlit as st
from ase.data import chemical_symbols

from app import wording
from app.sections.nearest_environments import vectors_of
from app.structures import parts
from app.structures.live_results import LiveResults
from engine.numerics.novelty import Flag
from engine.numerics.uncertainty import standard_deviations
from engine.queries import novelty


def show(results: LiveResults, model_id: str, labels: Mapping[str, str]) -> None:
    """Which atoms are flagged, and the flag's precision and recall; nothing for one model, which has no spread.

    Args:
        results: Of the structure.
        model_id: The model whose errors the flag is for.
        labels: Of models by id.
    """
    members = tuple(sorted(results.forces))
    if len(members) < 2:
        return
    st.subheader("Atoms to doubt", anchor=False)
    found = novelty.relation(model_id, members)
    c, label = results.configuration, labels[model_id]
    distances = novelty.novelty(vectors_of(c.geometry_hash, c), beside=c.config_id)
    if found.flag is None or not np.isfinite(distances).all():
        st.caption(f"Too few sampled atoms have errors of all these models to measure a flag for {label}.")
        return
    forces = np.stack([results.forces[name] for name in members])
    deviations = standard_deviations(np.zeros(len(members)), forces)[1]
    flagged = np.flatnonzero(found.flag.on(distances, deviations))
    st.markdown(sentence(found.flag, len(flagged), c.n_atoms, label, len(members), found.dataset_ids))
    st.caption(worth(found.flag))
    if len(flagged):
        table = pd.DataFrame(
            {
                "atom": flagged,
                "element": [chemical_symbols[int(c.numbers[k])] for k in flagged],
                "distance": distances[flagged],
                "deviation": 1000 * deviations[flagged],
            }
        ).sort_values("deviation", ascending=False, ignore_index=True)
        number = st.column_config.NumberColumn
        st.dataframe(
            table,
            hide_index=True,
            key="flagged",
            height=parts.table_height(table),
            column_config={
                "atom": number("Atom"),
                "element": "Element",
                "distance": number("Distance to the nearest sampled environment", format="%.3f"),
                "deviation": number("Standard deviation of the models (meV/Å)", format="%.1f"),
            },
        )
    with st.expander("Measured errors by novelty"):
        bins_table(found.bins, label)


def sentence(flag: Flag, n_flagged: int, n_atoms: int, label: str, n_models: int, dataset_ids: tuple[str, ...]) -> str:
    """How many atoms are flagged, and what the flag is worth."""
    of = wording.listed([wording.dataset_label(name) for name in dataset_ids])
    found, there, rate = (f"{100 * share:.0f} %" for share in (flag.precision, flag.recall, flag.base_rate))
    return (
        f"**{n_flagged} of {n_atoms} atoms** are flagged: an error of {label} above {1000 * flag.limit:.0f} meV/Å is "
        f"likely by the spread of these {n_models} models and the distance to the nearest sampled environment of the "
        f"benchmark. On clusters that were left out, {found} of flagged atoms had such an error (precision), and "
        f"{there} of the atoms with such an error were flagged (recall); {rate} of all atoms had one "
        f"(n = {flag.n_atoms:,} atoms, {flag.n_clusters} clusters of {of})."
    )


def worth(flag: Flag) -> str:
    """What distance and spread tell alone."""
    words = (
        f"AUROC of such errors on clusters left out: {flag.auroc:.2f} for both together; the distance alone has "
        f"{flag.auroc_distance:.2f} and the spread alone {flag.auroc_deviation:.2f} (0.5 is chance)."
    )
    if flag.auroc < flag.auroc_deviation + 0.01:
        words += " So the distance adds nothing to the spread here."
    return words


def bins_table(bins: pd.DataFrame, label: str) -> None:
    """Errors by tenths of the distance.

    Args:
        bins: Of `engine.queries.novelty.Relation`.
        label: Of the model.
    """
    number = st.column_config.NumberColumn
    st.dataframe(
        bins.assign(rms_error=1000 * bins["rms_error"]),
        hide_index=True,
        key="novelty-bins",
        height="content",
        column_config={
            "n_atoms": number("Atoms"),
            "distance": number("Median distance to another cluster", format="%.4f"),
            "rms_error": number(f"Root mean square |ΔF| of {label} (meV/Å)", format="%.0f"),
        },
    )
    st.caption("Sampled atoms in tenths by their distance to the nearest sampled atom of another cluster.")
