"""Addresses of pages that other pages lead to."""

from collections.abc import Sequence

import streamlit as st

from app.wording import model_labels
from engine.queries.scope import Scope

DATASETS_ADDRESS = "datasets"

STRUCTURE_PAGE = "views/structure.py"

MODEL_PAGE = "views/model.py"

PARITY_PAGE = "views/parity.py"

ADVISOR_PAGE = "views/advisor.py"

PREDICT_PAGE = "views/predict.py"


def advisor_link(label: str, elements: Sequence[str] = (), kind: str = "") -> None:
    """Link to the page that recommends a model.

    Args:
        label: What it says.
        elements: That the page is asked for; none for those that it begins with.
        kind: Id of a kind of structures; empty for the one that it begins with, or any where elements are named.
    """
    asked = {"alloy": list(elements), "defect": [kind or "any"]} if elements else {}
    st.page_link(ADVISOR_PAGE, label=label, icon=":material/recommend:", query_params=asked, width="content")


def model_link(model_id: str) -> None:
    """Link to the page of a model."""
    st.page_link(
        MODEL_PAGE,
        label=f"About {model_labels()[model_id]}",
        icon=":material/badge:",
        query_params={"id": model_id},
    )


def parity_link(label: str, model_id: str, scope: Scope) -> None:
    """Link to the chart of a model's errors over the configurations of a scope."""
    st.page_link(
        PARITY_PAGE,
        label=label,
        icon=":material/scatter_plot:",
        query_params={"model": [model_id], **scope.to_address()},
        width="content",
    )


def structure_link(
    dataset_id: str, config_id: str, model_id: str | None = None, *, atom: int | None = None, label: str = ""
) -> None:
    """Link to the atoms of one configuration.

    Args:
        dataset_id: Its dataset.
        config_id: The configuration.
        model_id: Model to show on it; the sidebar's by default.
        atom: Atom to mark on it.
        label: Text of the link; names the configuration by default.
    """
    model = {} if model_id is None else {"model": model_id}
    marked = {} if atom is None else {"atom": str(atom)}
    st.page_link(
        STRUCTURE_PAGE,
        label=label
        or (f"Open {config_id} in Structure" if atom is None else f"Open atom {atom} of {config_id} in Structure"),
        icon=":material/deployed_code:",
        query_params={"dataset": dataset_id, "cfg": config_id} | model | marked,
    )
