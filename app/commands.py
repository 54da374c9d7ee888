"""Commands that give the numbers of a page again."""

import inspect
import shlex
from collections.abc import Sequence

import streamlit as st

from engine.queries import expressions
from engine.store.connection import Asked
from engine.store.statements import written_out

LABEL = "The numbers as commands"
KEY = "commands"  # of the list; true in the session's state while it is open
ABOUT_ALL = ("catalog.", "training.", "comparability.")  # names and facts that most pages ask for, so they come last


def of(question: Asked) -> str:
    """The command that asks the store the same; empty where a question is none of the store's."""
    if isinstance(question.what, str):
        return f"python -m precompute sql {shlex.quote(written_out(question.what, question.named))}"
    if not expressions.is_query(question):
        return ""
    return f"python -m precompute table --query {shlex.quote(expressions.text_of(question))}"


def expander(asked: Sequence[Asked]) -> None:
    """A folded list of commands, one for each question that a page asked.

    It is filled when it is opened, since the browser has to get 1.6 MB of scripts to colour a command.

    Args:
        asked: In the order of the page.
    """
    found = {of(question): _title(question) for question in asked}
    found.pop("", None)
    if found:
        _list(found)


@st.fragment
def _list(found: dict[str, str]) -> None:
    """Titles by command; opening the list runs nothing else of the page."""
    drawer = st.expander(LABEL, icon=":material/terminal:", key=KEY, on_change="rerun")
    if not drawer.open:
        return
    with drawer:
        st.caption(
            "Each command prints, from the same store, the numbers that a chart, table or line of this page shows. "
            "Energies are in eV and forces in eV/Å unless the name of a column says otherwise."
        )
        for command in sorted(found, key=_is_about_all):
            st.caption(found[command])
            st.code(command, language="bash", wrap_lines=True)


def _is_about_all(command: str) -> bool:
    """Whether a command prints names and facts that most pages ask for."""
    return any(f" '{name}" in command for name in ABOUT_ALL)


def _title(question: Asked) -> str:
    """What a question is about: the first line of its function's description."""
    if isinstance(question.what, str):
        return "Rows of the store."
    return (inspect.getdoc(question.what) or question.what.__name__).partition("\n")[0]
