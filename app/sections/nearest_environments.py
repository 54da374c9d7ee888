"""The benchmark's atoms whose surroundings are most like those of one atom, with their measured errors."""

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from ase.data import chemical_symbols
from numpy.typing import NDArray

from app import links, wording
from engine.numerics.local_environments import scaled, soap_vectors
from engine.queries.nearest_environments import nearest
from engine.records import Configuration


def show(configuration: Configuration, atom: int, model_ids: Sequence[str], labels: Mapping[str, str]) -> None:
    """Table of the nearest sampled environments that a model has errors on.

    Args:
        configuration: The structure.
        atom: Index of the atom.
        model_ids: Models that are done; the first whose errors the store has is shown.
        labels: Of models by id.
    """
    symbol = chemical_symbols[int(configuration.numbers[atom])]
    st.subheader(f"Benchmark environments nearest to atom {atom} ({symbol})", anchor=False)
    vector = vectors_of(configuration.geometry_hash, configuration)[atom]
    for model_id in model_ids:
        found = nearest(vector, symbol, model_id, beside=configuration.config_id)
        if len(found):
            break
    else:
        st.caption("The store has no sampled environments with errors of these models.")
        return
    label = labels[model_id]
    errors = 1000 * found["force_error"].to_numpy(dtype=float)
    table = found.assign(
        dataset=[wording.dataset_label(name) for name in found["dataset_id"]],
        error=errors,
    )[["dataset", "config_id", "atom_index", "element", "formula", "class_name", "distance", "error"]]
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        table,
        hide_index=True,
        key="nearest",
        height="content",
        column_config={
            "dataset": text("Dataset"),
            "config_id": text("Configuration"),
            "atom_index": number("Atom"),
            "element": text("Element"),
            "formula": text("Cell"),
            "class_name": text("Class"),
            "distance": number("Distance", format="%.3f", help="Between SOAP vectors of length 1; 0 is the same."),
            "error": number(f"Measured |ΔF| of {label} (meV/Å)", format="%.1f"),
        },
    )
    st.caption(
        f"Measured force errors of {label} on the {len(table)} nearest sampled atoms: {errors.min():.1f} to "
        f"{errors.max():.1f} meV/Å. "
        "Lengths are scaled to the crystals of the elements and all atoms "
        "count as one species, so a near environment may be of another metal. Pick another atom in the picture."
    )
    links.structure_link(str(found["dataset_id"].iloc[0]), str(found["config_id"].iloc[0]), model_id)


@st.cache_data(max_entries=32, show_spinner="Describing local environments")
def vectors_of(geometry_hash: str, _configuration: Configuration) -> NDArray[np.float32]:
    """SOAP vectors of all atoms; kept by the geometry."""
    c = _configuration
    return soap_vectors(scaled(c.numbers, c.positions, c.cell, c.pbc), range(c.n_atoms))
