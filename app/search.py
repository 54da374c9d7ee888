"""The sidebar's search: words in, links to kinds, elements, datasets, models and pages out."""

from collections.abc import Iterable

import streamlit as st

from app.links import MODEL_PAGE, advisor_link
from engine.queries import search

DEFECTS_PAGE = "views/defects.py"
_MOST_PAGES = 3

WORDS = {
    "advisor": "best model recommend choose advice expected error which",
    "": "matrix rmse accuracy compare",
    "defects": "kinds grain boundary vacancy best",
    "ranking": "best rank union leaderboard",
    "elements": "periodic table",
    "parity": "scatter residual energy force",
    "duel": "two models side by side head to head win rate cheaper difference",
    "cost": "time speed pareto fast memory",
    "uncertainty": "ensemble deviation spread",
    "defect-energies": "formation energy vacancy surface solute reaction",
    "specialised": "fitted eam snap mtp",
    "learning": "training train own fit specialised distillation labels dft hours curve",
    "environments": "soap map local",
    "datasets": "data reference dft alignment compatibility",
    "models": "model training checkpoint licence coverage",
    "structure": "atoms 3d viewer",
    "predict": "upload live own structure run",
    "report": "basket zip figures svg pdf png bibtex citation caption export",
    "sql": "query database select table download",
    "claims": "paper reproduce statements verdict",
    "about": "methods definitions provenance failures downloads",
}
"""By address of a page: what a visitor may look for that is on it."""


def draw(pages: Iterable[tuple[str, str, str]]) -> None:
    """The box, and below it links to what fits.

    Args:
        pages: File, title and address of each page.
    """
    with st.sidebar:
        query = st.text_input(
            "Search", key="search", placeholder="tungsten grain, vacancy, MACE, cost", icon=":material/search:",
            help="Names of models, datasets, elements and kinds of structures, symbols of elements, and pages.",
        ).strip()  # fmt: skip
        if not query:
            return
        n = _meanings(query) + _datasets(query) + _models(query) + _pages(query, pages)
        if not n:
            st.caption(f"Nothing is called “{query}”. Try an element, a kind of defect, a model or a dataset.")


def _meanings(query: str) -> int:
    """Links to the page of kinds, narrowed to the elements and kinds that the words name."""
    found = search.meaning(query)
    if not (found.elements or found.kinds):
        return 0
    largest = search.datasets(query)
    on = {"dataset": [largest["dataset_id"].iloc[0]]} if len(largest) else {}
    asked = {"kinds": list(found.kinds), "elements": list(found.elements)}
    st.page_link(
        DEFECTS_PAGE, label=search.describe(found), icon=":material/category:",
        query_params=on | {name: values for name, values in asked.items() if values},
    )  # fmt: skip
    if found.elements:
        kind = found.kinds[0] if found.kinds else ""
        advisor_link(f"Best model: {search.describe(found)}", found.elements, kind)
        st.page_link(
            "views/elements.py", label=f"Errors on {found.elements[0]}", icon=":material/apps:",
            query_params={"el": found.elements[0]},
        )  # fmt: skip
    return 1


def _datasets(query: str) -> int:
    found = search.datasets(query)
    for row in found.itertuples():
        st.page_link(
            "views/datasets.py", label=f"{row.label} ({row.n_configs:,})", icon=":material/database:",
            query_params={"dataset": row.dataset_id},
        )  # fmt: skip
    return len(found)


def _models(query: str) -> int:
    found = search.models(query)
    for row in found.itertuples():
        st.page_link(MODEL_PAGE, label=row.label, icon=":material/badge:", query_params={"id": row.model_id})
    return len(found)


def _pages(query: str, pages: Iterable[tuple[str, str, str]]) -> int:
    """Pages whose title or words have all words of the query."""
    texts = {(file, title): f"{title} {WORDS.get(name, '')}".lower() for file, title, name in pages}
    found = [page for page, text in texts.items() if all(word in text for word in query.lower().split())]
    for file, title in found[:_MOST_PAGES]:
        st.page_link(file, label=f"Page {title}", icon=":material/description:")
    return len(found)
