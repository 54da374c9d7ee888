"""The sites of a CIF: which element is where, without guessing.

The element is the type symbol of a site, else the letters that its label begins with. Labels in capitals can mean two
things (CO1 is cobalt or carbon), so the formula decides or the file is refused.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from ase.data import chemical_symbols

from engine.errors import DatasetError
from engine.readers.cif_symmetry import first_text
from engine.readers.readings import Check, refuse_many
from engine.readers.symbols import VACANCIES, ion_symbol, isotope_remark, symbol_number
from engine.records import FloatArray

MAX_NUMBER = 1e6
FULL = 0.999
"""Occupancies from here on count as 1."""

_TAGS = (
    "_atom_site_fract_x",
    "_atom_site_fract_y",
    "_atom_site_fract_z",
    "?_atom_site_label",
    "?_atom_site_type_symbol",
    "?_atom_site_occupancy",
    "?_atom_site_calc_flag",
    "?_atom_site_disorder_group",
    "?_atom_site_attached_hydrogens",
    "?_atom_site_symmetry_multiplicity",
    "?_atom_site_site_symmetry_multiplicity",
    "?_atom_site_site_symmetry_order",
)
_LABEL, _TYPE, _OCCUPANCY, _FLAG, _DISORDER, _HYDROGENS, _MULTIPLICITY, _MULTIPLICITY_2 = range(3, 11)


@dataclass(frozen=True)
class Site:
    """One row of the list of atoms.

    Args:
        label: As in the file.
        number: Atomic number.
        fractional: Shape (3,).
        multiplicity: Images that the file says it has in the cell; None where it does not say.
    """

    label: str
    number: int
    fractional: FloatArray
    multiplicity: int | None


def read_sites(name: str, block: gemmi.cif.Block) -> tuple[list[Site], list[Check]]:
    """Sites of a block, and what a person should know of how they were understood.

    Args:
        name: Of the file, for messages.
        block: Of the structure.

    Raises:
        DatasetError: A site has no place, no element, several elements, or an occupancy other than 1.
    """
    rows = _rows(name, block)
    formula = _symbols_of(first_text(block, ("_chemical_formula_sum", "_chemical_formula.sum")))
    if len({row[_DISORDER] for row in rows} - {""}) > 1:
        raise DatasetError(f"{name} describes disorder in several groups; give an ordered structure.")
    sites, seen, odd = [], set(), []
    for k, row in enumerate(rows):
        label = row[_LABEL] or row[_TYPE] or f"number {k + 1}"
        _refuse_unsure(name, label, row)
        symbol = _element(name, label, row[_TYPE], row[_LABEL], formula)
        seen.add(symbol)
        meant = _of_label(row[_LABEL], set())
        if len(meant) > 1 and symbol_number(meant) != symbol_number(symbol):
            _refuse_cut_type(name, label, meant, symbol, formula)
            odd.append(f"{label} is of type {row[_TYPE]}")
        place = [_number(name, f"{tag} of site {label}", row[i]) for i, tag in enumerate(("x", "y", "z"))]
        multiplicity = row[_MULTIPLICITY] or row[_MULTIPLICITY_2]
        count = int(multiplicity) if re.fullmatch(r"\d{1,4}", multiplicity) else None
        sites.append(Site(label, symbol_number(symbol), np.array(place), count))
    checks = [Check("Read as", True, remark)] if (remark := isotope_remark(seen)) else []
    if odd:
        checks.append(Check("Elements of sites", False, f"{'; '.join(odd[:3])}: the type counts"))
    return sites, checks


def _rows(name: str, block: gemmi.cif.Block) -> list[list[str]]:
    """Values of every site in the order of the tags, empty where there is none."""
    table = block.find(list(_TAGS))
    if not table or table.width() == 0:
        raise DatasetError(f"{name} lacks _atom_site_fract_y or _atom_site_fract_z beside _atom_site_fract_x.")
    refuse_many(name, len(table))
    rows = []
    for row in table:
        values = [str(gemmi.cif.as_string(row[i])).strip() if row.has(i) else "" for i in range(len(_TAGS))]
        rows.append(["" if value in ("?", ".") else value for value in values])
    return rows


def _refuse_unsure(name: str, label: str, row: Sequence[str]) -> None:
    """Refuse what is no full atom."""
    if row[_FLAG].lower() == "dum":
        raise DatasetError(f"{name}: site {label} is a dummy; delete its row.")
    occupancy = _number(name, f"the occupancy of site {label}", row[_OCCUPANCY]) if row[_OCCUPANCY] else 1.0
    if occupancy < FULL:
        raise DatasetError(f"{name} has partly occupied sites ({label}: {occupancy:g}); give an ordered structure.")
    if occupancy > 2 - FULL:
        raise DatasetError(f"{name}: site {label} has the occupancy {occupancy:g}; expected 1.")
    if re.fullmatch(r"0*[1-9]\d{0,2}", row[_HYDROGENS]):
        raise DatasetError(f"{name}: site {label} has hydrogen atoms without positions; give them as sites.")


def _refuse_cut_type(name: str, label: str, meant: str, symbol: str, formula: set[str]) -> None:
    """Refuse a type symbol that may be the first letter of the element, as C for cobalt, unless the formula has it."""
    if meant.startswith(symbol) and (symbol not in formula or meant in formula):
        raise DatasetError(
            f"{name}: site {label} is labelled as {meant}, but its type symbol is {symbol}; a letter may be lost. "
            "Mend one of them."
        )


def _number(name: str, what: str, text: str) -> float:
    """A number of a CIF, without its standard uncertainty."""
    value = float(gemmi.cif.as_number(text)) if text else math.nan
    if not abs(value) < MAX_NUMBER:  # nan included
        raise DatasetError(f"{name}: {what} is {text[:20] or '?'!r}; expected a number.")
    return value


def _symbols_of(formula: str) -> set[str]:
    """Symbols in a formula as written, such as {Ni, Al}."""
    return {symbol.capitalize() for symbol in re.findall(r"[A-Za-z]+", formula)}


def _element(name: str, label: str, kind: str, given_label: str, formula: set[str]) -> str:
    """Symbol of a site."""
    for word in (kind, given_label):
        if len(set(re.findall(r"[A-Z][a-z]?", word)) & set(chemical_symbols)) > 1 and re.search(
            r"[,/+&|;]\s*[\d.]*\s*[A-Z]", word
        ):
            raise DatasetError(f"{name} has a mixed site ({label}: {word[:40]!r}); give an ordered structure.")
    letters = re.match(r"[A-Za-z]*", kind or given_label)
    if letters and letters[0].lower() in VACANCIES:
        raise DatasetError(f"{name}: site {label} stands for a vacancy ({letters[0]}); delete its row.")
    symbol = _of_type(kind) if kind else _of_label(given_label, formula)
    if symbol:
        return symbol
    if kind:
        raise DatasetError(f"{name}: {kind[:40]!r}, the type symbol of site {label}, is no element.")
    raise DatasetError(
        f"{name}: the label {label[:40]!r} does not say its element for sure; add the column _atom_site_type_symbol."
    )


def _of_type(kind: str) -> str:
    symbol = ion_symbol(kind).capitalize()
    return symbol if symbol_number(symbol) else ""


def _of_label(label: str, formula: set[str]) -> str:
    """The element that a label begins with, where that is sure: spelt as a symbol, or the formula decides."""
    found = re.match(r"([A-Za-z]+)", label)
    if not found:
        return ""
    letters = found[1]
    readings = {letters[:n].capitalize() for n in (1, 2) if len(letters) >= n and symbol_number(letters[:n])}
    is_spelt = letters in readings
    if formula:
        readings &= formula
        return readings.pop() if len(readings) == 1 else ""
    return letters if is_spelt else ""
