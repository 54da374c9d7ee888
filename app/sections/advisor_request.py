"""What a visitor asks the Advisor: elements, kind, size, machine and conditions, as widgets and as an address.

The address is kept by hand, as that of the sidebar's conditions: Streamlit's own binding would add a choice to the one
of a link.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st
from ase.data import atomic_numbers, chemical_symbols

from app import address, furniture
from engine.queries import timings
from engine.queries.evidence import first_question
from engine.queries.scope import unknown_values
from engine.registry.kinds import label as kind_label
from engine.registry.kinds import load_kinds
from engine.registry.licences import LICENCES

ANY = "any"
OWN_MACHINE = "own"
QUANTITIES = {"force": "Forces", "energy": "Energies"}
FORCES = {"any": "Any", "conservative": "Conservative"}
MOST_ATOMS, MOST_STEPS = 10_000_000, 1_000_000_000

_NUMBERS = {"size": (1, MOST_ATOMS), "steps": (1, MOST_STEPS)}
_KNOWN = "advisor_known"  # in the session: values by parameter that this module left in the address
_IN_FORCE = "advisor_in_force"  # in the session: the last request, which no widget owns


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        elements: Chemical symbols; none where the visitor took all away.
        kind: Id of a kind of structures; None for any.
        n_atoms: Atoms of the simulation.
        n_steps: Steps of it.
        machine: One of `timings.machines`, or `OWN_MACHINE`.
        licence: A key of `LICENCES`.
        quantity: `force` or `energy`, by which models are compared.
        only_conservative: Whether forces must be a gradient.
    """

    elements: tuple[str, ...]
    kind: str | None
    n_atoms: int
    n_steps: int
    machine: str
    licence: str
    quantity: str
    only_conservative: bool


def key(name: str) -> str:
    """Key of the widget of a parameter."""
    return f"advisor-{name}"


def draw() -> Request:
    """The widgets, after they took the address over.

    Raises:
        ScopeError: The address asks for something that there is not; the message names it.
    """
    defaults, options = _defaults(), _options()
    _take_address(defaults, options)
    with furniture.controls():
        st.multiselect(
            "Elements", options["alloy"], key=key("alloy"), placeholder="W, or W and Ta", width=240,
            help="Of the metal or alloy, with solutes.",
        )  # fmt: skip
        st.selectbox(
            "Kind of structure", options["defect"], key=key("defect"), width=200,
            format_func=lambda kind: "Any kind" if kind == ANY else kind_label(kind),
            help="  \n".join(f"**{kind.label}** {kind.meaning}" for kind in load_kinds().values()),
        )  # fmt: skip
        st.number_input("Atoms", 1, MOST_ATOMS, key=key("size"), step=1, width=150)
        st.number_input(
            "Steps or configurations", 1, MOST_STEPS, key=key("steps"), step=1, width=190,
            help="Evaluations of energy and forces: steps of molecular dynamics or of a relaxation, or single cells.",
        )  # fmt: skip
    with furniture.controls():
        st.selectbox(
            "Hardware", options["hardware"], key=key("hardware"), width=300,
            format_func=lambda name: "Another machine" if name == OWN_MACHINE else name,
            help="Machines that models were timed on.",
        )  # fmt: skip
        st.selectbox(
            "Licence of the weights", options["licence"], key=key("licence"), width=210,
            format_func=lambda name: LICENCES[name].label,
        )  # fmt: skip
        for name, title, words in (("gradient", "Forces", FORCES), ("by", "Compare by", QUANTITIES)):
            st.segmented_control(title, list(words), key=key(name), required=True, format_func=words.__getitem__)
    _write_address(defaults)
    value = {name: st.session_state[key(name)] for name in defaults}
    kind = None if value["defect"] == ANY else str(value["defect"])
    return Request(
        tuple(sorted(value["alloy"], key=atomic_numbers.__getitem__)), kind, int(value["size"]), int(value["steps"]),
        str(value["hardware"]), str(value["licence"]), str(value["by"]), value["gradient"] == "conservative",
    )  # fmt: skip


def _options() -> dict[str, list[str]]:
    """Values that each choice can have, by parameter."""
    return {
        "alloy": chemical_symbols[1:],
        "defect": [ANY, *load_kinds()],
        "hardware": [*timings.machines(), OWN_MACHINE],
        "licence": list(LICENCES),
        "gradient": list(FORCES),
        "by": list(QUANTITIES),
    }


def _defaults() -> dict[str, list[str]]:
    """What the page begins with, as the address would have it."""
    elements, kind = first_question()
    return {
        "alloy": list(elements), "defect": [kind], "size": ["1000"], "steps": ["1000"],
        "hardware": [_options()["hardware"][0]], "licence": ["any"], "gradient": ["any"], "by": ["force"],
    }  # fmt: skip


def _take_address(defaults: Mapping[str, list[str]], options: Mapping[str, list[str]]) -> None:
    """Take the address into the widgets where it says something new; before they are drawn."""
    asked = {name: st.query_params.get_all(name) for name in defaults if name in st.query_params}
    is_drawn = key("alloy") in st.session_state
    if is_drawn and asked == st.session_state.get(_KNOWN):
        return
    values: Mapping[str, list[str]] = {**defaults, **asked}
    if not asked and not is_drawn:  # back from another page, by the navigation
        values = st.session_state.get(_IN_FORCE, defaults)
    address.refuse(unknown_values(values, options) + _wrong_numbers(values))
    for name, given in values.items():
        if name == "alloy":
            st.session_state[key(name)] = list(dict.fromkeys(given))
        else:
            st.session_state[key(name)] = int(given[-1]) if name in _NUMBERS else given[-1]


def _wrong_numbers(values: Mapping[str, list[str]]) -> list[str]:
    """A sentence for each number that is none, or is out of range."""
    return [
        f"{name}={given[-1]}: expected a whole number from {low} to {high}. Change or remove it in the address."
        for name, (low, high) in _NUMBERS.items()
        if (given := values[name])
        and not (given[-1].isascii() and given[-1].isdigit() and low <= int(given[-1]) <= high)
    ]


def _write_address(defaults: Mapping[str, list[str]]) -> None:
    """Leave in the address what is not as the page begins."""
    now: dict[str, list[str]] = {}
    for name in defaults:
        value = st.session_state[key(name)]
        now[name] = list(value) if isinstance(value, list) else [str(value)]
    st.session_state[_IN_FORCE] = now
    kept = {name: given for name, given in now.items() if given and given != defaults[name]}
    for name in defaults.keys() - kept.keys():
        st.query_params.pop(name, None)
    if any(st.query_params.get_all(name) != given for name, given in kept.items()):
        st.query_params.update(kept)
    st.session_state[_KNOWN] = kept
