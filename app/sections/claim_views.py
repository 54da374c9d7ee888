"""The page that shows what a statement is about: its own numbers where it has any, else those of its figure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app import selection, wording

PAGE_OF_FIGURE = {
    "Figure 1": "datasets",
    "Figure 2": "elements",
    "Figure 3": "ranking",
    "Figure 4": "parity",
    "Figure 5": "ranking",
    "Figure 6": "defect_energies",
    "Figure 7": "cost",
    "Figure 8": "uncertainty",
    "Figure 9": "specialised",
    "Figure 10": "environments",
    "Table 1": "model",
    "Table 2": "about",
}
"""Where each figure and table of the paper is rebuilt; statements without one are about data and methods."""

PLACE_OF_FIGURE = {"Figure 6": {"cells": ["true"]}, "Figure 8": {"pooled": ["true"]}}
"""Address of the part of a page that a figure is rebuilt in."""

DATA = {"chapter": ["Datasets"]}
"""That of the part of `about` with the data."""

NO_FIGURE = "about"


@dataclass(frozen=True)
class ClaimView:
    """Where a link leads.

    Attributes:
        page: File of the page, relative to the app.
        label: Text of the link.
        parameters: Of the address.
    """

    page: str
    label: str
    parameters: dict[str, Any] = field(default_factory=dict)


def view_of(claim: Mapping[str, Any]) -> ClaimView:
    """The view of a statement.

    Args:
        claim: A row of `engine.queries.claims.claims`.
    """
    # A column with some missing texts has NaN in their place, which counts as true.
    page, figure = (value if isinstance(value := claim[name], str) else "" for name in ("page", "figure"))
    if page:
        asked = json.loads(claim["address"])
        if page == "parity" and asked.get("quantity") == ["force"] and wording.summary_note(asked["dataset"][0]):
            page = "overview"  # parity draws force components, which a summary does not have
        if page == "uncertainty":
            asked["agreement"] = ["true"]  # the drawer with the numbers that statements are about
        for key in {"align", "zero"} & set(asked):
            asked[key] = [selection.ALIGNMENT_LABELS[name] for name in asked[key]]
        return ClaimView(f"views/{page}.py", "See the numbers", asked)
    where = PAGE_OF_FIGURE.get(figure, NO_FIGURE)
    label = f"See what is here of {figure.lower()}" if figure else "See data and methods"
    return ClaimView(f"views/{where}.py", label, dict(DATA if where == "about" else PLACE_OF_FIGURE.get(figure, {})))
