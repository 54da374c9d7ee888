"""Check of the choices that an address asks for, by name or by id; a wrong value is named and not replaced."""

from collections.abc import Callable, Iterable, Mapping

import streamlit as st

from engine.errors import ScopeError
from engine.queries.scope import unknown_values

SWITCH = ("true", "false")


def heed(key: str, options: Iterable[str], shown: Callable[[str], str] = str) -> None:
    """Check what the address asks of a choice, before its widget takes the address over.

    Streamlit knows an option of an address by the name that the choice shows, and quietly takes the first option in
    place of any other value. This takes ids as well, and refuses what is neither. Choices that were drawn before are
    left alone.

    Args:
        key: Of the widget, and of the parameter.
        options: The values that the choice can have.
        shown: Name of an option as the widget shows it.

    Raises:
        ScopeError: The address asks for something that is no option; the message names it.
    """
    asked = _asked(key, options, shown)
    if asked:
        st.session_state[key] = asked[0]


def heed_many(key: str, options: Iterable[str], shown: Callable[[str], str] = str) -> None:
    """Check what the address asks of a choice of several, as `heed` does of a choice of one.

    Args:
        key: Of the widget, and of the parameter.
        options: The values that the choice can have.
        shown: Name of an option as the widget shows it.

    Raises:
        ScopeError: The address asks for something that is no option; the message names it.
    """
    asked = _asked(key, options, shown)
    if asked:
        st.session_state[key] = asked


def _asked(key: str, options: Iterable[str], shown: Callable[[str], str]) -> list[str]:
    """Options that the address asks for, where one is named by its id; otherwise Streamlit reads the address."""
    if key in st.session_state:
        return []
    names = {shown(option): option for option in options}
    if sentences := unknown(key, names):
        raise ScopeError(" ".join(sentences))
    asked = st.query_params.get_all(key)
    return [names.get(value, value) for value in asked] if set(asked) - set(names) else []


def unknown(key: str, names: Mapping[str, str]) -> list[str]:
    """A sentence on the values that the address asks of a choice and that are neither names nor ids of options.

    Args:
        key: Of the parameter.
        names: Id of each option by its name.
    """
    ids = set(names.values())
    return unknown_values({key: [value for value in st.query_params.get_all(key) if value not in ids]}, {key: names})


def heed_switch(*keys: str) -> None:
    """Check what the address asks of switches.

    Raises:
        ScopeError: A value is neither true nor false; the message names it.
    """
    asked = {key: [value.lower() for value in st.query_params.get_all(key)] for key in keys}
    if sentences := unknown_values(asked, dict.fromkeys(keys, SWITCH)):
        raise ScopeError(" ".join(sentences))
