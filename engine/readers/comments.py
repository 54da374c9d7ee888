"""The comment line of extended XYZ: keys and values, with the liberties that programs take."""

import re

# Every repetition is possessive and a key begins at a border, so that no place is looked at twice: the time grows with
# the length of the line whatever is in it.
_KEY_VALUE = re.compile(
    r"""(?<![^\s="])([^\s="]++)
    \s*+=\s*+
    (
        "(?:[^"\\]++|\\.)*+"
      | '[^']*+'
      | \{[^{}]*+\}
      | \[(?:[^\[\]]*+\[[^\[\]]*+\])*+[^\[\]]*+\]
      | (?:(?<==)|(?![^\s="]++=))\S++
    )""",
    re.VERBOSE | re.DOTALL,
)


def parse_comment(line: str) -> dict[str, str]:
    r"""Keys and values of a comment line, the values as text without their quotes.

    Blanks may stand around the equals sign, and single quotes for double ones.

    Args:
        line: The line.

    Example:
        >>> parse_comment('Lattice = "3 0 0 0 3 0 0 0 3" energy=-1.5 stray pbc=[T, T, F]')
        {'Lattice': '3 0 0 0 3 0 0 0 3', 'energy': '-1.5', 'pbc': '[T, T, F]'}
    """
    return {key: _unquoted(value) for key, value in _KEY_VALUE.findall(line)}


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1]
    return value.strip('"')
