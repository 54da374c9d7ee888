"""Published relaxed vacancy energies beside those of our small unrelaxed cells and of models on them."""

import pandas as pd
import streamlit as st

from app import furniture, tables, wording
from app.figures import reaction_plots
from engine.queries import reactions
from engine.queries.scope import Scope
from engine.registry.published_vacancies import SOURCE
from engine.registry.reaction_rules import OWN_DATASET


def show(model_ids: tuple[str, ...]) -> None:
    """The chart of the metals that both have, and the table of all published ones.

    Args:
        model_ids: Models to draw.
    """
    st.subheader("Beside published, relaxed vacancies", anchor=False)
    table = reactions.vacancies(model_ids)
    both = table[table["reference"].notna()]
    labels = {"reference": "our DFT, unrelaxed"} | {m: wording.model_labels()[m] for m in model_ids}
    if len(both):
        _chart(both, labels, model_ids)
    st.caption(
        f"Published: {SOURCE}; {len(table.drop_duplicates(['element', 'structure']))} metals and structures, of which "
        "many are not the ground state. Our vacancies are unrelaxed and in cells of 8 or 16 sites, where a vacancy "
        "is a "
        "neighbour of its own images. They need not agree with relaxed ones in large cells. Models are evaluated on "
        "our "
        "cells without relaxation; `python -m precompute relax` relaxes a structure with a model."
    )
    with st.expander("Published vacancy energies (eV)"):
        heads = {"published": "Formation, published", "migration": "Migration, published", "place": "Cell of ours"}
        heads |= {"is_magnetic": "Magnetic", "is_converged": "Our label converged"} | labels
        columns = ["element", "structure", "published", "migration", "place", "reference", "is_converged", *model_ids]
        tables.table_view(table[columns].round(3).rename(columns=labels), "vacancies-published", heads)


def _chart(both: pd.DataFrame, labels: dict[str, str], model_ids: tuple[str, ...]) -> None:
    """Published and own energies of each metal, ours from the larger cell."""
    largest = both.sort_values("place").drop_duplicates("element").sort_values("published")
    # 16 sites sort before 8 by their text, so the first row of a metal is the larger cell
    title = "Vacancy formation energy: published (relaxed) beside ours (unrelaxed)"
    origin = furniture.provenance(
        "defect-energies", title, model_ids, Scope.of(OWN_DATASET), f"{len(largest)} metals in the same structure"
    )
    furniture.figure(
        lambda ink: reaction_plots.vacancies(largest, labels, ink, title, origin.source_line()),
        largest,
        origin,
        f"{title}, metal by metal.",
        key="vacancies",
    )
