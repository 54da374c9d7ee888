"""The basket of a visitor: figures and structures that were put aside for a report, in an order and with captions."""

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import streamlit as st

MOST_ITEMS = 24
MOST_BYTES = 40_000_000
_KEY = "basket"


@dataclass(frozen=True)
class Item:
    """One figure or structure.

    Attributes:
        title: Of the figure.
        caption: What it shows, with n, definitions, alignment, data and version.
        page: Address of the page below the root.
        address: Query of that page's address, which shows the figure again.
        models: Model ids.
        datasets: Dataset ids.
        data_version: Build of the data.
        figure: Plotly's JSON in light colours, as on a screen.
        csv: The numbers behind it.
        widths: In mm, at which the figure can be printed, the one that suits it first.
        structure: Extended XYZ of a structure; empty for a figure.
    """

    title: str
    caption: str
    page: str
    address: str
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    data_version: str
    figure: str
    csv: str
    widths: tuple[int, ...]
    structure: str = ""

    @property
    def item_id(self) -> str:
        """Name of what is shown: the same figure with the same numbers has the same."""
        text = "\n".join([self.title, self.data_version, self.figure, self.csv, self.structure])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        return len(self.figure) + len(self.csv) + len(self.structure)

    def drawn(self) -> go.Figure:
        """The figure again."""
        return go.Figure(json.loads(self.figure))

    def slug(self) -> str:
        """The title as part of a file name."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")[:50].strip("-") or "figure"


def items() -> list[Item]:
    """What is in the basket, in order."""
    found: list[Item] = st.session_state.setdefault(_KEY, [])
    return found


def add(item: Item) -> str:
    """Put an item at the end, where it is not in yet and there is room; returns what happened, in a sentence."""
    known = items()
    if item.item_id in {one.item_id for one in known}:
        return "This is in the report already."
    if len(known) >= MOST_ITEMS or sum(one.n_bytes for one in known) + item.n_bytes > MOST_BYTES:
        return (
            f"The report is full: it holds {MOST_ITEMS} items and {MOST_BYTES // 10**6} MB at most. Remove some first."
        )
    known.append(item)
    return f"Added to the report, which has {len(known)} now. The page Report makes a ZIP of it."


def remove(place: int) -> None:
    """Take one out."""
    items().pop(place)


def move(place: int, by: int) -> None:
    """Move one up (-1) or down (1)."""
    known, other = items(), place + by
    if 0 <= other < len(known):
        known[place], known[other] = known[other], known[place]


def write_caption(place: int, caption: str) -> None:
    """Give one another caption."""
    known = items()
    known[place] = dataclasses.replace(known[place], caption=caption)


def figure_text(figure: go.Figure) -> str:
    """A figure as the text that an item keeps."""
    found: Any = figure.to_json(engine="json")
    return str(found)
