"""The sidebar's conditions on configurations: kinds, elements, and windows of size, energy and force.

They are kept in the address by hand: Streamlit's own binding would add a choice to the one of a link, so that a link to
one kind of structures would show two.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from ase.data import atomic_numbers, chemical_symbols

from app.wording import dataset_label, place
from engine.errors import ScopeError
from engine.queries import catalog, reference_data
from engine.queries.scope import Scope, unknown_values
from engine.registry.kinds import load_kinds
from engine.store.connection import cached

CHOICES = ("kinds", "elements")
WINDOWS = {
    "atoms": ("Atoms in a configuration", "n_atoms", "8:64"),
    "energy": ("Energy above the lowest (eV/atom)", "energy_above", ":0.5"),
    "forces": ("RMS force on an atom (eV/Å)", "force_rms", "0.1:2"),
}
"""By parameter of the address: label, column of the store, and an example."""

_KNOWN = "conditions_known"  # in the session: values by parameter that this module left or found in the address

_IN_FORCE = "conditions_in_force"  # in the session: the conditions of the last run, which no widget owns


def key(name: str) -> str:
    """Key of the widget of a parameter; pages have widgets of their own with such names."""
    return f"only-{name}"


def parameters() -> dict[str, list[str]]:
    """The conditions in force, as parameters of an address that `Scope.from_address` reads."""
    state = st.session_state
    chosen = {name: list(state.get(key(name), [])) for name in CHOICES}
    typed = {name: [state[key(name)].strip()] for name in WINDOWS if state.get(key(name), "").strip()}
    return {name: values for name, values in (chosen | typed).items() if values}


def take_address(*, is_other_page: bool) -> list[str]:
    """Take conditions of the address into the widgets, where the address says something new; before they are drawn.

    Args:
        is_other_page: Whether another page was shown before. A link without conditions then leaves them as they are.

    Returns:
        A sentence for each parameter with unknown values, which are not taken.
    """
    _restore()
    before = st.session_state.get(_KNOWN, {})
    found = {name: st.query_params.get_all(name) for name in (*CHOICES, *WINDOWS)}
    asked = {name: v for name, v in found.items() if v != before.get(name, []) and (v or not is_other_page)}
    known = {"kinds": list(load_kinds()), "elements": chemical_symbols[1:]}
    for name, values in asked.items():
        if name in WINDOWS:
            st.session_state[key(name)] = values[-1] if values else ""
        else:
            st.session_state[key(name)] = [value for value in dict.fromkeys(values) if value in known[name]]
    st.session_state[_KNOWN] = {name: values for name, values in found.items() if values}
    return unknown_values(asked, {name: values for name, values in known.items() if name in asked})


def _restore() -> None:
    """Give widgets back what they had, where Streamlit forgot it: it does on the way of `st.switch_page`."""
    kept = st.session_state.get(_IN_FORCE, {})
    for name in (*CHOICES, *WINDOWS):
        if key(name) not in st.session_state:
            values = list(kept.get(name, []))
            st.session_state[key(name)] = (values[0] if values else "") if name in WINDOWS else values


def _write_address() -> None:
    """Leave the conditions in force in the address."""
    now = parameters()
    st.session_state[_IN_FORCE] = now
    for name in {*CHOICES, *WINDOWS} - now.keys():
        st.query_params.pop(name, None)
    if any(st.query_params.get_all(name) != values for name, values in now.items()):
        st.query_params.update(now)  # in one message: of several in a row the browser may show the first
    st.session_state[_KNOWN] = now


def remove_all() -> None:
    """Take every condition away; called before the next run."""
    for name in CHOICES:
        st.session_state[key(name)] = []
    for name in WINDOWS:
        st.session_state[key(name)] = ""
    for name in ("group", "with"):
        st.query_params.pop(name, None)


def draw(dataset_id: str, *, has_unknown: bool) -> None:
    """The widgets in an expander; the address keeps wrong values until something is chosen.

    Args:
        dataset_id: The sidebar's dataset.
        has_unknown: Whether the address asks for conditions that there are not.
    """
    with st.expander("Which configurations", icon=":material/filter_alt:"):
        st.multiselect(
            "Kinds of structures", list(load_kinds()), key=key("kinds"), placeholder="all kinds",
            help="  \n".join(f"**{kind.kind_id}** {kind.meaning}" for kind in load_kinds().values()),
        )  # fmt: skip
        st.multiselect(
            "With one of these elements", _elements(tuple(st.session_state.get(key("elements"), []))),
            key=key("elements"), placeholder="all elements",
        )  # fmt: skip
        for name, (label, column, example) in WINDOWS.items():
            is_known = _has_values(dataset_id, column)
            st.text_input(
                label, key=key(name), placeholder=f"lowest:highest, such as {example}", disabled=not is_known,
                help="Two numbers with a colon between them, both included. One of them may be missing.",
            )  # fmt: skip
            if not is_known:
                st.caption(f"{dataset_label(dataset_id)} has no such reference values here, so this cannot narrow it.")
        if parameters():
            st.button("Remove all conditions", on_click=remove_all, width="stretch")
    if not has_unknown:
        _write_address()


def say_left(scope: Scope) -> None:
    """How many configurations of the sidebar's dataset are left; nothing where there is no condition.

    Raises:
        ScopeError: None is left; the message names datasets that have some.
    """
    if not scope.restrictions():
        return
    n, n_all = (reference_data.n_configurations(one) for one in (scope, Scope.of(scope.dataset_id)))
    if not n_all:  # the dataset is not here, which its page says
        return
    if n:
        st.caption(f":material/filter_alt: **{n:,} of {n_all:,}** configurations: {', '.join(scope.restrictions())}")
        return
    others = reference_data.counts_by_dataset(scope.on().narrowed(shared_with=()))
    where = ", ".join(f"{dataset_label(name)} ({count:,})" for name, count in list(others.items())[:4])
    raise ScopeError(
        f"No configuration fits: {place(scope)}. "
        + (f"Datasets that have some: {where}. Choose one at the left, or change" if where else "Change")
        + " or remove a condition in the address or under “Which configurations”."
    )


@cached
def _elements(asked: tuple[str, ...]) -> list[str]:
    """Elements of the datasets that are here, and those asked for, by atomic number."""
    datasets = catalog.datasets()
    here = {symbol for symbols in datasets.loc[datasets["n_configs"] > 0, "elements"] for symbol in symbols}
    return sorted(here | set(asked), key=atomic_numbers.__getitem__)


def _has_values(dataset_id: str, column: str) -> bool:
    """Whether a window of a column can narrow a dataset; one that is not here has nothing to narrow."""
    scope = Scope.of(dataset_id)
    return reference_data.n_known(scope, column) > 0 or not reference_data.n_configurations(scope)


def from_state(dataset_id: str, others: Mapping[str, Sequence[str]], known: Mapping[str, Any]) -> Scope:
    """The dataset under the conditions in force.

    Args:
        dataset_id: The dataset.
        others: Parameters of the address that no widget here has: group and models that share configurations.
        known: Their values, as `Scope.from_address` takes them.

    Raises:
        ScopeError: A value is unknown or is no window.
    """
    return Scope.from_address({**others, **parameters(), "dataset": [dataset_id]}, known)
