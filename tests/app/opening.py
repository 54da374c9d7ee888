"""Open the app without a browser, and read what a page says."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from app.main import PAGES

APP = Path(__file__).resolve().parents[2] / "app"


DRAWERS = {
    "views/advisor.py": ("reasons", "near", "held"),
    "views/claims.py": ("ours", "contradictions"),
    "views/defect_energies.py": ("parity", "cancel", "list", "published", "cells"),
    "views/datasets.py": ("structures",),
    "views/learning.py": ("numbers",),
    "views/model.py": ("covered",),
    "views/uncertainty.py": ("agreement", "intervals", "novelty", "uncertain", "pooled"),
}
"""What a page makes when it is opened."""


def open_whole(page: str, **parameters: str) -> AppTest:
    """A page with all its drawers and tables open."""
    return open_tables(open_app(page, **dict.fromkeys(DRAWERS.get(page, ()), "true") | parameters))


def open_tables(at: AppTest) -> AppTest:
    """The page with the tables that are made when they are opened, as `tables.view_data` has them."""
    for key in [name for name in at.session_state._state.filtered_state if name.startswith("view-")]:
        at.session_state[key] = True
    return at.run()


def open_app(page: str = "", **parameters: str) -> AppTest:
    """The app on one page as a browser opens it at the page's address, without a look at the start page before."""
    at = AppTest.from_file(str(APP / "main.py"), default_timeout=60)
    if page:
        at.query_params.update(parameters)
        # `switch_page` knows the pages after a first run alone, which would draw the start page for nothing.
        at._page_hash = calc_hash(next(entry.url_path for entry in PAGES if entry.file == page))
    return at.run()


def start_at(**parameters: str) -> AppTest:
    """The start page as a browser opens it at an address."""
    at = AppTest.from_file(str(APP / "main.py"), default_timeout=60)
    at.query_params.update(parameters)
    return at.run()


def open_link(page: str, parameters: Mapping[str, list[str]]) -> AppTest:
    """A page as a link with an address opens it: the sidebar takes its part of the address first."""
    at = AppTest.from_file(str(APP / "main.py"), default_timeout=60)
    at.query_params.update(parameters)
    at.run()
    at.query_params.update(parameters)
    return at.switch_page(page).run()


def text_of(at: AppTest) -> str:
    """Titles, paragraphs and captions of a page."""
    return " ".join(element.value for element in [*at.title, *at.markdown, *at.caption, *at.subheader])


def table_with(at: AppTest, column: str) -> pd.DataFrame:
    """The first table of the page with that column; tables that are made when they are opened come last."""
    if not any(column in frame.value.columns for frame in at.dataframe):
        open_tables(at)
    return next(frame.value for frame in at.dataframe if column in frame.value.columns)
