"""Addresses of pages that other pages lead to."""

import streamlit as st

from app.wording import model_labels

DATASETS_ADDRESS = "datasets"

STRUCTURE_PAGE = "views/structure.py"

MODEL_PAGE = "views/model.py"

PARITY_PAGE = "views/parity.py"


def model_link(model_id: str) -> None:
    """Link to the page of a model."""
    st.page_link(
        MODEL_PAGE,
        label=f"About {model_labels()[model_id]}",
        icon=":material/badge:",
        query_params={"id": model_id},
    )
