"""The old address of the interaction energies of solutes, which leads to the page Defect energies."""

import streamlit as st

from engine.queries import reactions
from engine.registry.reactions import KINDS, SOLUTE_KINDS


def show() -> None:
    """Lead on to the first kind of solute energies that any model has here."""
    known = reactions.reaction_kinds()
    here = set(known.loc[known["n_models"] > 0, "kind"])
    kind = next((name for name in SOLUTE_KINDS if name in here), None)
    # The sidebar's choices stay as they are: they are widgets of the entry script.
    st.switch_page("views/defect_energies.py", query_params={"kind": KINDS[kind].label} if kind else {})


show()
