"""Element symbols as files write them: with charges, in capitals, as names of potentials, as hydrogen isotopes."""

import re

from ase.data import atomic_numbers

ISOTOPES = {"D": "deuterium"}  # not T: zeolite files call their tetrahedral sites so
VACANCIES = ("va", "vac", "vacancy", "x", "xx", "du", "dum", "dummy", "q", "void")

_ION = re.compile(r"([A-Za-z]{1,3})(?:\d*[+-]\d*|\d+(?:\.\d+)?[+-]?)?")
_POTENTIAL = re.compile(r"([A-Za-z]{1,3})(?:[_/.:]\S*|\d*)")


def symbol_number(word: str) -> int:
    """Atomic number of a symbol in any case; deuterium is hydrogen; 0 where it is no element.

    Example:
        >>> symbol_number("NI"), symbol_number("D"), symbol_number("Va")
        (28, 1, 0)
    """
    symbol = word.capitalize()
    return 1 if symbol in ISOTOPES else atomic_numbers.get(symbol, 0) if symbol != "X" else 0


def ion_symbol(word: str) -> str:
    """Letters of a CIF's type symbol, without charge and number: `Fe` of `Fe3+`; empty where there is more.

    Example:
        >>> ion_symbol("Fe3+"), ion_symbol("O2-"), ion_symbol("0.6Ni + 0.4Fe")
        ('Fe', 'O', '')
    """
    found = _ION.fullmatch(word)
    return found[1] if found else ""


def potential_symbol(word: str) -> str:
    """Letters of a species of a POSCAR, without the name of the potential: `Fe` of `Fe_pv`.

    Example:
        >>> potential_symbol("Fe_pv/1f0a"), potential_symbol("3.3")
        ('Fe', '')
    """
    found = _POTENTIAL.fullmatch(word)
    return found[1] if found else ""


def isotope_remark(words: set[str]) -> str:
    """What to say of hydrogen isotopes among symbols; empty where there are none."""
    found = sorted(word for word in words if word in ISOTOPES)
    return "; ".join(f"{word} ({ISOTOPES[word]}) is read as H, which it is to a potential" for word in found)
