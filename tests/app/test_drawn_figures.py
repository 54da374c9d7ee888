"""Figures that were drawn before: the same is drawn once, and anything else anew."""

from dataclasses import dataclass
from functools import partial

import pandas as pd
import plotly.graph_objects as go
import pytest
import streamlit as st

from app import drawn_figures
from app.drawn_figures import drawn
from app.figures import base


@pytest.fixture
def times(monkeypatch, tmp_path):
    """Titles of what was drawn, in the order in which it was."""
    st.cache_resource.clear()
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    (tmp_path / "results.duckdb").touch()
    made, draw = [], drawn_figures._draw

    def noted(make, ink):
        figure = draw(make, ink)
        made.append(figure.title)
        return figure

    monkeypatch.setattr(drawn_figures, "_draw", noted)
    return made


def bars(ink, table, title="Bars", mark=None):
    figure = go.Figure(go.Bar(x=table["x"], y=table["y"]))
    return figure.update_layout(title_text=title, height=300, margin={"t": 40, "l": 50, "r": 20}, font_color=ink.text)


def table(last=3.0):
    return pd.DataFrame({"x": ["a", "b", "c"], "y": [1.0, 2.0, last]})


def closure(shown, title="Bars"):
    return lambda ink: bars(ink, shown, title)


def test_the_same_figure_is_drawn_once_and_has_its_title_apart(times):
    first = drawn(closure(table()), base.LIGHT)
    assert drawn(closure(table()), base.LIGHT) is first
    assert times == ["Bars"]
    assert (first.title, first.figure.layout.title.text, first.least_width) == ("Bars", "", 0)
    assert first.widths


@pytest.mark.parametrize(
    ("make", "ink"),
    [
        (closure(table(4.0)), base.LIGHT),
        (closure(table(), "Others"), base.LIGHT),
        (closure(table()), base.DARK),
        (partial(bars, table=table()), base.LIGHT),
        (lambda ink: bars(ink, table()), base.LIGHT),
    ],
    ids=["numbers", "title", "colours", "partial", "code"],
)
def test_anything_else_is_drawn_anew(times, make, ink):
    first = drawn(closure(table()), base.LIGHT)
    assert drawn(make, ink) is not first
    assert len(times) == 2


def test_another_store_has_figures_of_its_own(times, tmp_path):
    for name in ("first.duckdb", "second.duckdb"):
        (tmp_path / "results.duckdb").unlink(missing_ok=True)
        (tmp_path / name).touch()
        (tmp_path / "results.duckdb").symlink_to(tmp_path / name)
        drawn(closure(table()), base.LIGHT)
        drawn(closure(table()), base.LIGHT)
    assert len(times) == 2


def test_values_of_a_pages_own_classes_are_compared_by_their_fields(times):
    @dataclass
    class Choice:
        name: str

    for name in ("one", "one", "two"):
        drawn(partial(bars, table=table(), mark=Choice(name)), base.LIGHT)
    assert len(times) == 2


def test_what_has_no_content_to_compare_is_drawn_each_time(times):
    lines = (line for line in "ab")
    for _ in range(2):
        drawn(partial(bars, table=table(), mark=lines), base.LIGHT)
    assert len(times) == 2
