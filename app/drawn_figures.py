"""Figures that were drawn before: drawing takes 40 % of a page's time, and most visitors ask for the same ones."""

import dataclasses
import functools
import hashlib
import marshal
import pickle
import types
from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app.export import MakeFigure
from app.figures import base
from app.report import layout
from engine.store import connection

_MOST = 64  # figures in memory, for all visitors


@dataclasses.dataclass(frozen=True)
class DrawnFigure:
    """A figure as a page shows it; shared by visitors, so nobody changes it.

    Attributes:
        figure: Without its title.
        title: Its title.
        least_width: Below which it scrolls, px; 0 for none.
        widths: At which it can be printed, mm.
    """

    figure: go.Figure
    title: str
    least_width: int
    widths: tuple[int, ...]


def drawn(make: MakeFigure, ink: base.Ink) -> DrawnFigure:
    """The figure, drawn now or kept from before.

    It is one of before where the function's code, all values that it holds and the store are the same.

    Args:
        make: Draws the figure; it depends on nothing but what it holds and the store.
        ink: Colours.
    """
    try:
        known = hashlib.sha256(b"".join(_content((make, ink, connection.version())))).hexdigest()
    except (pickle.PicklingError, TypeError, AttributeError, ValueError):  # it holds what has no content to compare
        return _draw(make, ink)
    return _kept(known, make, ink)


@st.cache_resource(max_entries=_MOST, show_spinner=False)
def _kept(known: str, _make: MakeFigure, _ink: base.Ink) -> DrawnFigure:
    return _draw(_make, _ink)


def _draw(make: MakeFigure, ink: base.Ink) -> DrawnFigure:
    figure = make(ink)
    title, least, widths = figure.layout.title.text or "", base.least_width(figure), layout.widths_of(figure)
    return DrawnFigure(base.without_title(figure), title, least, widths)


def _content(value: Any) -> Iterator[bytes]:
    """What tells values apart; of a function its code and what it holds, of anything else its pickle."""
    if isinstance(value, functools.partial):
        yield from _content((value.func, value.args, *value.keywords.items()))
    elif isinstance(value, types.FunctionType):
        yield marshal.dumps(value.__code__)
        held = [cell.cell_contents for cell in value.__closure__ or ()]
        yield from _content((value.__module__, value.__defaults__, value.__kwdefaults__, *held))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):  # those of a page's own have no pickle
        held = [getattr(value, one.name) for one in dataclasses.fields(value)]
        yield from _content((type(value).__qualname__, *held))
    elif isinstance(value, tuple):
        yield b"("
        for one in value:
            yield from _content(one)
        yield b")"
    else:
        yield pickle.dumps(value, protocol=5)
