"""Pieces that the Structure and Predict pages share: tables of atoms, the selected atom, a chart per atom."""

import re
from typing import Any, Literal

import pandas as pd
import streamlit as st


def atom_columns() -> dict[str, Any]:
    """Heads and digits of the columns that tables of atoms have."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "atom": number("Atom", help="Index, counted from 0, as in the file.", width="small"),
        "element": text("Element", width="small"),
        **{axis: number(f"{axis} (Å)", format="%.3f") for axis in "xyz"},
        "reference_force": number("|F| reference (eV/Å)", format="%.3f"),
        "predicted_force": number("|F| predicted (eV/Å)", format="%.3f"),
        "mean_force": number("|F|, mean of the models (eV/Å)", format="%.3f"),
        "force_error": number("|ΔF| (meV/Å)", format="%.1f"),
        "force_deviation": number("dev(F) (meV/Å)", format="%.1f"),
    }


def plain(text: str) -> str:
    """Text from a file as Markdown that shows it as it is: no links, pictures or formulas."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>$~:])", r"\\\1", text)


def table_height(table: pd.DataFrame) -> int | Literal["content"]:
    """Height of a table: that of its rows, or of nine rows in pixels where it has more."""
    return 353 if len(table) > 9 else "content"


def selected_atom(n_atoms: int) -> int | None:
    """The atom named in the address; None where there is none or the structure has no such atom."""
    text = st.query_params.get("atom", "")
    return int(text) if text.isdecimal() and len(text) < 10 and int(text) < n_atoms else None


def say_no_atom(n_atoms: int) -> None:
    """Warn where the address names an atom that the structure does not have."""
    text = st.query_params.get("atom", "")
    if text and selected_atom(n_atoms) is None:
        st.caption(f":material/warning: atom={plain(text)}: expected 0 to {n_atoms - 1}. No atom is selected.")


def select_atom(atom: int | None) -> None:
    """Name the atom in the address."""
    if atom is None:
        st.query_params.pop("atom", None)
    else:
        st.query_params["atom"] = str(atom)
