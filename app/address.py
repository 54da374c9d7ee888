"""Check of the choices that an address asks for, by name or by id; a wrong value is named and not replaced."""

from collections.abc import Callable, Iterable, Mapping

import streamlit as st

from engine.errors import ScopeError
from engine.queries.scope import unknown_values

SWITCH = ("true", "false")


def heed(key: str, options: Iterable[str], shown: Callable[[str], str] = str) -> None:
    """Check what the address asks of a choice, before its widget takes the address over.

    Streamlit knows an option of an address by the name that the choice shows, and quietly takes the first option in
    place of any other value. This writes the name in place of an id, and refuses what is neither. Choices that were
    drawn before are left alone.

    Args:
        key: Of the widget, and of the parameter.
        options: The values that the choice can have.
        shown: Name of an option as the widget shows it.

    Raises:
        ScopeError: The address asks for something that is no option; the message names it.
    """
    heed_many(key, options, shown)


def heed_many(key: str, options: Iterable[str], shown: Callable[[str], str] = str) -> None:
    """Check what the address asks of a choice of several, as `heed` does of a choice of one.

    Args:
        key: Of the widget, and of the parameter.
        options: The values that the choice can have.
        shown: Name of an option as the widget shows it.

    Raises:
        ScopeError: The address asks for something that is no option; the message names it.
    """
    if key in st.session_state:
        return
    names = {shown(option): option for option in options}
    if sentences := unknown(key, names):
        raise ScopeError(" ".join(sentences))
    asked = st.query_params.get_all(key)
    if set(asked) - set(names):
        # Set as the widget's state instead, the value would vanish from the address.
        st.query_params[key] = [value if value in names else shown(value) for value in asked]
        st.rerun()


def begin_with(key: str, options: Iterable[str], registered: Iterable[str], otherwise: list[str]) -> list[str]:
    """What a choice of several begins with, where its options change with other choices.

    Such a choice cannot be bound to the address, since Streamlit refuses what the address had before the change.

    Args:
        key: Of the parameter.
        options: The values that the choice can have now.
        registered: All values that there are; others are refused.
        otherwise: To begin with where the address asks for none of the options.

    Raises:
        ScopeError: The address asks for something that there is not; the message names it.
    """
    if sentences := unknown(key, {name: name for name in registered}):
        raise ScopeError(" ".join(sentences))
    known = set(options)
    return [value for value in st.query_params.get_all(key) if value in known] or otherwise


def keep(key: str, values: list[str], otherwise: list[str]) -> None:
    """Write a choice of several into the address, or leave it out where it is what the page begins with."""
    if values == otherwise:
        st.query_params.pop(key, None)
    else:
        st.query_params[key] = values


def refuse(sentences: Iterable[str]) -> None:
    """Stop a page whose address asks for something that there is not; go on where there is nothing to say.

    Args:
        sentences: What is wrong.

    Raises:
        ScopeError: There is a sentence.
    """
    if text := " ".join(sentences):
        raise ScopeError(text)


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
