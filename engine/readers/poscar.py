"""POSCAR and CONTCAR, read as VASP reads them, except that nothing is guessed.

VASP reads the first words of a line and ignores the rest, so comments after values and remarks after the coordinates
are allowed. A line that VASP would silently read in another way than a person means is refused: another number
of symbols than of counts, more coordinates than counts, a label that contradicts the species, a second structure.

Source: https://www.vasp.at/wiki/index.php/POSCAR
"""

import re
from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols

from engine.errors import DatasetError
from engine.readers.readings import Check, Reading, refuse_many
from engine.readers.symbols import VACANCIES, isotope_remark, potential_symbol, symbol_number
from engine.records import FloatArray

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d{1,3})?")
_COMMENT = re.compile(r"[!#].*", re.DOTALL)
_FLAG = re.compile(r"\.?[TtFf](?:rue|alse|RUE|ALSE)?\.?")
_FRAME = re.compile(r"(?mi)^\s*(?:direct|cartesian)\s+configuration\s*=")
_MAX_WORDS = 12  # of a line of coordinates: 3 numbers, 3 flags, a label and remarks
_MAX_WORD = 40
_MAX_NUMBER = 1e9
_LEAST, _MOST = -1.0, 1.5
"""Fractional coordinates beyond these are mostly Cartesian ones under the wrong word."""


def read_poscar(name: str, text: str) -> Reading:
    """Read one structure.

    Args:
        name: Of the file, for messages.
        text: Its contents.

    Raises:
        DatasetError: It is no POSCAR of one structure, or says two things at once; names the line.
    """
    lines = text.split("\n")
    if n_frames := len(_FRAME.findall(text)):
        raise DatasetError(
            f"{name} is an XDATCAR, a trajectory of {n_frames} structure{'s' if n_frames > 1 else ''}; give one "
            "of them as a POSCAR. The last one: ase convert -n -1 XDATCAR POSCAR"
        )
    if len(lines) < 8:
        raise DatasetError(f"{name} ends after {len(lines)} lines; a POSCAR has at least 8.")
    rows = [_numbers(name, lines, k, 3, "a lattice vector") for k in (2, 3, 4)]
    cell = np.array(rows)
    scale = _scale(name, lines, cell)
    cell = cell * scale
    symbols = _species(name, lines)
    counts = _counts(name, lines, len(symbols))
    refuse_many(name, sum(counts))
    is_selective, is_direct, first = _modes(name, lines)
    names = [symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(count)]
    given = np.array([_numbers(name, lines, first + k, 3, f"the position of atom {k}") for k in range(len(names))])
    given = given.reshape(-1, 3)
    _compare_labels(name, lines, first, names, is_selective)
    checks = _read_as(symbols, counts, is_selective)
    checks += _check_rest(name, lines, first + len(names))
    if is_direct and len(given) and (given.min() < _LEAST or given.max() > _MOST):
        text = f"Direct coordinates from {given.min():.3g} to {given.max():.3g}: are they Cartesian ones, in Å?"
        checks.append(Check("Coordinates", False, text))
    positions = given @ cell if is_direct else given * scale
    numbers = [symbol_number(symbol) for symbol in names]
    return Reading(numbers, positions, cell, (True, True, True), checks)


def _line(name: str, lines: Sequence[str], index: int, what: str) -> str:
    """One line without its comment."""
    if index >= len(lines):
        raise DatasetError(f"{name} ends before line {index + 1}, which should hold {what}.")
    return _COMMENT.sub("", lines[index][:5000]).strip()


def _numbers(name: str, lines: Sequence[str], index: int, n: int, what: str) -> list[float]:
    """The first numbers of a line, also where a fixed format glued them together."""
    words = _line(name, lines, index, what).split(maxsplit=_MAX_WORDS)
    found = [_number(word) for word in words[:n]]
    if len(found) == n and all(value is not None for value in found):
        return [value for value in found if value is not None]
    parts = _unglued(words)
    if len(parts) == n:
        return parts
    shown = lines[index].strip()[:60]
    advice = " Write points for decimals and spaces between numbers." if "," in shown else ""
    raise DatasetError(f"{name}: line {index + 1} should hold {what}, {n} numbers, and is {shown!r}.{advice}")


def _number(word: str) -> float | None:
    if len(word) > _MAX_WORD or not _NUMBER.fullmatch(word):
        return None
    value = float(word.replace("d", "e").replace("D", "e"))
    return value if abs(value) < _MAX_NUMBER else None


def _unglued(words: Sequence[str]) -> list[float]:
    """Numbers of a fixed format whose columns touch: all have as many decimals as the last one of their word.

    Words that are no numbers end the list.
    """
    found: list[float] = []
    for word in words:
        value = _number(word)
        if value is not None:
            found.append(value)
            continue
        decimals = len(word) - word.rfind(".") - 1
        if len(word) > 3 * _MAX_WORD or word.count(".") < 2 or not 1 <= decimals <= 20:
            break
        pieces = re.findall(rf"[-+]?\d{{0,20}}\.\d{{{decimals}}}", word)
        if "".join(pieces) != word or any(_number(piece) is None for piece in pieces):
            break
        found += [float(piece) for piece in pieces]
    return found


def _scale(name: str, lines: Sequence[str], cell: FloatArray) -> FloatArray:
    """Factors of the three Cartesian directions; from the volume where the file gives that, as a negative number."""
    words = _line(name, lines, 1, "the scaling factor").split(maxsplit=_MAX_WORDS)
    values = [_number(word) for word in words[:3]]
    given = [value for value in values if value is not None]
    if values[:1] in ([], [None]) or 0.0 in given:
        raise DatasetError(f"{name}: line 2 should hold a scaling factor and is {lines[1].strip()[:60]!r}.")
    if len(given) == 3:
        if min(given) < 0:
            raise DatasetError(f"{name}: line 2 holds three scaling factors, of which one is negative.")
        return np.array(given)
    factor = given[0]
    if factor > 0:
        return np.full(3, factor)
    volume = abs(float(np.linalg.det(cell)))
    if volume == 0.0:
        raise DatasetError(f"{name}: its lattice vectors span no volume.")
    return np.full(3, (-factor / volume) ** (1 / 3))


def _species(name: str, lines: Sequence[str]) -> list[str]:
    """Symbols of line 6."""
    words = _line(name, lines, 5, "the elements").split()
    if not words or all(_number(word) is not None for word in words):
        title = " ".join(lines[0].split()[:8])[:40]
        raise DatasetError(
            f"{name} names no elements in line 6, as files of VASP 4. Insert a line before it with one symbol for each "
            f"of its {max(len(words), 1)} numbers of atoms, such as 'Ni Al'; they are in the POTCAR, in its order, and "
            f"often in the title ({title!r})."
        )
    symbols = [potential_symbol(word) for word in words]
    for word, symbol in zip(words, symbols, strict=True):
        if word.lower() in VACANCIES:
            raise DatasetError(
                f"{name}: {word!r} in line 6 stands for a vacancy; delete it, its count and its positions."
            )
        if not symbol or not symbol_number(symbol):
            raise DatasetError(f"{name}: {word[:40]!r} in line 6 is no element; it should hold symbols, as in 'Ni Al'.")
    return [symbol.capitalize() for symbol in symbols]


def _counts(name: str, lines: Sequence[str], n_symbols: int) -> list[int]:
    """Counts of line 7."""
    words = _line(name, lines, 6, "the numbers of atoms").split()
    leading = [word for k, word in enumerate(words) if all(w.isascii() and w.isdecimal() for w in words[: k + 1])]
    if not leading or any(len(word) > 9 for word in leading):
        raise DatasetError(
            f"{name}: line 7 should hold one number of atoms per element and is {lines[6].strip()[:60]!r}."
        )
    if len(leading) != n_symbols:
        raise DatasetError(
            f"{name}: line 6 names {n_symbols} element{'s' if n_symbols > 1 else ''}, but line 7 holds {len(leading)} "
            f"number{'s' if len(leading) > 1 else ''} of atoms; give one for each."
        )
    return [int(word) for word in leading]


def _modes(name: str, lines: Sequence[str]) -> tuple[bool, bool, int]:
    """Whether there are flags, whether coordinates are fractional, and the index of the first line of coordinates."""
    index = 7
    mode = _line(name, lines, index, "Direct or Cartesian").lower()
    is_selective = mode.startswith("s")
    if is_selective:
        index += 1
        mode = _line(name, lines, index, "Direct or Cartesian").lower()
    if not mode.startswith(("d", "c", "k", "f")):
        shown = lines[index].strip()[:60]
        raise DatasetError(f"{name}: line {index + 1} should say Direct or Cartesian and is {shown!r}.")
    return is_selective, mode.startswith(("d", "f")), index + 1


def _compare_labels(name: str, lines: Sequence[str], first: int, symbols: Sequence[str], is_selective: bool) -> None:
    """Refuse coordinates that are labelled as other elements than the lines above say."""
    labels = [_label(lines[first + k], is_selective) for k in range(len(symbols))]
    if not all(labels):
        return
    for k, (label, symbol) in enumerate(zip(labels, symbols, strict=True)):
        if symbol_number(label) != symbol_number(symbol):
            raise DatasetError(
                f"{name}: line {first + k + 1} labels an atom as {label}, but lines 6 and 7 make it {symbol}. "
                "Mend one of them."
            )


def _label(line: str, is_selective: bool) -> str:
    """The element that a line of coordinates names after its numbers; empty where it names none."""
    words = [word.lstrip("!#") for word in line[:5000].split(maxsplit=_MAX_WORDS)[3:]]
    words = [word for word in words if word]
    while is_selective and words and _FLAG.fullmatch(words[0]):
        words = words[1:]
    found = re.fullmatch(r"([A-Z][a-z]?)[\d_]*\S{0,4}", words[0]) if words else None
    return found[1] if found and found[1] in chemical_symbols else ""


def _check_rest(name: str, lines: Sequence[str], start: int) -> list[Check]:
    """Look at what follows the coordinates: remarks and velocities pass, further atoms and structures do not."""
    rest = [line.strip() for line in lines[start:]]
    if rest and len(_leading_numbers(rest[0])) >= 3:
        raise DatasetError(
            f"{name}: line {start + 1} holds another position, beyond the number of atoms in line 7. Mend the counts."
        )
    # Lattice velocities of a CONTCAR look like a cell: a single number and rows of three, after a line that says so.
    end = next((k for k, line in enumerate(rest) if "velocit" in line.lower()), len(rest) - 3)
    widths = [len(_leading_numbers(line)) for line in rest[: end + 3]]
    for k in range(len(widths) - 3):
        if widths[k : k + 4] == [1, 3, 3, 3]:
            raise DatasetError(f"{name} holds a second structure from line {start + k}; give a file with one.")
    n_left = sum(1 for line in rest if line)
    if not n_left:
        return []
    return [Check("Read as", True, f"{n_left} lines after the positions (remarks or velocities) are not used")]


def _leading_numbers(line: str) -> list[float]:
    found: list[float] = []
    for word in _COMMENT.sub("", line[:5000]).split(maxsplit=_MAX_WORDS):
        value = _number(word)
        if value is None:
            return found
        found.append(value)
    return found


def _read_as(symbols: Sequence[str], counts: Sequence[int], is_selective: bool) -> list[Check]:
    pairs = " ".join(f"{symbol}{count}" for symbol, count in zip(symbols, counts, strict=True))
    checks = [Check("Read as", True, f"POSCAR of {pairs}")]
    if remark := isotope_remark(set(symbols)):
        checks.append(Check("Read as", True, remark))
    return checks
