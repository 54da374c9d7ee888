"""The old address of the interaction energies of solutes, which are kinds of the page Defect energies now."""

import streamlit as st

from engine.queries import reactions
from engine.registry.reactions import KINDS, SOLUTE_KINDS


def show() -> None:
    """Lead on to the first kind of solute energies that any model has here, with the choices of the address."""
    known = reactions.reaction_kinds()
    here = set(known.loc[known["n_models"] > 0, "kind"])
    kind = next((name for name in SOLUTE_KINDS if name in here), None)
    kept = {name: st.query_params.get_all(name) for name in ("model", "compare") if name in st.query_params}
    st.switch_page("views/defect_energies.py", query_params=kept | ({"kind": [KINDS[kind].label]} if kind else {}))


show()
