"""Entry script of the app: pages, the sidebar's shared choices, and the footer.

The shared choices (model, models to compare, dataset, quantity) are widgets of this script and not of a page,
because a widget bound to the URL loses its parameter when the page that owns it is left.

`app/server.py` serves it, beside the HTTP API.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

# `streamlit run` puts only this folder on the import path; `python -m streamlit run` adds the root itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import streamlit as st

from app import commands, furniture, login, search, selection, theme
from engine.errors import ScopeError, StoreError
from engine.store import connection


@dataclass(frozen=True)
class PageEntry:
    """One page: its file, its place in the navigation and its address.

    Attributes:
        file: Path of the view, relative to this script.
        title: What the navigation shows.
        url_path: Address below the root; empty for the start page.
        icon: Material icon, bundled with Streamlit.
        section: Heading in the navigation.
        heeds: Choices of the sidebar that change it.
        is_listed: Whether the navigation shows it; an old address that leads on is not shown.
        has_charts: Whether it opens with charts, so that the browser is told early to get their library.
    """

    file: str
    title: str
    url_path: str
    icon: str
    section: str
    is_listed: bool = True
    has_charts: bool = True
    heeds: tuple[str, ...] = selection.CHOICES


PAGES = (
    PageEntry("views/advisor.py", "Advisor", "advisor", ":material/recommend:", "Compare", heeds=()),
    PageEntry("views/overview.py", "Overview", "", ":material/grid_view:", "Compare"),
    PageEntry("views/defects.py", "Defects", "defects", ":material/category:", "Compare"),
    PageEntry(
        "views/ranking.py", "Ranking", "ranking", ":material/leaderboard:", "Compare", heeds=("quantity", "seen")
    ),
    PageEntry("views/elements.py", "Elements", "elements", ":material/apps:", "Compare"),
    PageEntry("views/parity.py", "Parity", "parity", ":material/scatter_plot:", "Compare"),
    PageEntry(
        "views/duel.py", "Duel", "duel", ":material/compare_arrows:", "Compare", heeds=("model", "dataset", "quantity")
    ),
    PageEntry("views/cost.py", "Cost", "cost", ":material/timer:", "Compare"),
    PageEntry("views/uncertainty.py", "Uncertainty", "uncertainty", ":material/rule:", "Compare"),
    PageEntry(
        "views/defect_energies.py",
        "Defect energies",
        "defect-energies",
        ":material/join_inner:",
        "Compare",
        heeds=("model", "compare", "dataset", "seen"),
    ),
    PageEntry("views/specialised.py", "Specialised", "specialised", ":material/target:", "Compare"),
    PageEntry("views/learning.py", "Learning", "learning", ":material/trending_down:", "Compare", heeds=("quantity",)),
    PageEntry(
        "views/environments.py",
        "Environments",
        "environments",
        ":material/bubble_chart:",
        "Compare",
        heeds=("model", "compare", "dataset", "seen"),
    ),
    PageEntry(
        "views/datasets.py",
        "Datasets",
        "datasets",
        ":material/database:",
        "Look closer",
        heeds=("model", "dataset", "seen"),
    ),
    PageEntry("views/model.py", "Models", "models", ":material/badge:", "Look closer", heeds=("seen",)),
    PageEntry(
        "views/structure.py",
        "Structure",
        "structure",
        ":material/deployed_code:",
        "Look closer",
        heeds=("model", "dataset", "seen"),
    ),
    PageEntry("views/predict.py", "Predict", "predict", ":material/play_circle:", "Look closer", heeds=()),
    PageEntry("views/report.py", "Report", "report", ":material/article:", "Look closer", heeds=()),
    PageEntry("views/claims.py", "Claims", "claims", ":material/fact_check:", "Reference", heeds=()),
    PageEntry("views/sql.py", "SQL", "sql", ":material/terminal:", "Reference", heeds=()),
    PageEntry("views/about.py", "Data & methods", "about", ":material/menu_book:", "Reference", heeds=()),
    PageEntry("views/solutes.py", "Solutes", "solutes", ":material/join_inner:", "Compare", is_listed=False),
)


def main() -> None:
    """Draw the navigation, the sidebar and the chosen page."""
    st.set_page_config(page_title="Defect Atlas", page_icon=furniture.FAVICON, layout="wide")
    # Streamlit hides all but ten of so many pages behind a button.
    page = st.navigation(_navigation(), expanded=True)
    furniture.name_tab(page.title)
    login.ask()
    try:
        connection.version()
        search.draw([(entry.file, entry.title, entry.url_path) for entry in PAGES if entry.is_listed])
        furniture.say_updated()
        selection.sidebar(page.url_path, _heeded(page.url_path))
    except StoreError as error:
        st.title("Defect Atlas", anchor=False)
        furniture.empty("No results to show yet", str(error))
        st.stop()
    except ScopeError as error:
        st.title(page.title, anchor=False)
        furniture.empty("The address asks for something that is not here", str(error))
        st.stop()
    try:
        with connection.recording() as asked:
            page.run()
        commands.expander(asked)
    except ScopeError as error:
        furniture.empty("The address asks for something that is not here", str(error))
    furniture.footer()
    theme.watch()


def _heeded(url_path: str) -> tuple[str, ...]:
    """Choices of the sidebar that change a page."""
    return next(entry.heeds for entry in PAGES if entry.url_path == url_path)


def _navigation() -> dict[str, list[st.Page]]:
    sections: dict[str, list[st.Page]] = {}
    for entry in PAGES:
        page = st.Page(
            entry.file,
            title=entry.title,
            icon=entry.icon,
            url_path=entry.url_path or None,
            default=not entry.url_path,
            visibility="visible" if entry.is_listed else "hidden",
        )
        sections.setdefault(entry.section, []).append(page)
    return sections


if __name__ == "__main__":
    main()
