"""Which symmetry a CIF means: its operations, else its Hall symbol, its Hermann-Mauguin name or its number.

A file may name its group in four ways, and name it so that two origins or two sets of axes are possible. Every meaning
that the file allows becomes a `Symmetry`; what it says of its contents decides between them (`engine.readers.cif`).

gemmi knows the groups; see https://gemmi.readthedocs.io/en/latest/symmetry.html
"""

import dataclasses
import functools
import re
from collections.abc import Sequence

import gemmi
import numpy as np

from engine.errors import DatasetError
from engine.records import FloatArray

OPERATION_TAGS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop.operation_xyz",
    "_symmetry_equiv.pos_as_xyz",
)
HALL_TAGS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall", "_space_group.name_Hall")
NAME_TAGS = (
    "_space_group_name_H-M_alt",
    "_symmetry_space_group_name_H-M",
    "_space_group.name_H-M_alt",
    "_space_group_name_H-M_ref",
    "_space_group.name_H-M_ref",
    "_space_group_name_H-M_full",
    "_space_group.name_H-M_full",
    "_symmetry.space_group_name_H-M",
)
NUMBER_TAGS = (
    "_space_group_IT_number",
    "_symmetry_Int_Tables_number",
    "_space_group.IT_number",
    "_symmetry.Int_Tables_number",
)
MAX_OPERATIONS = 192
_AXES = re.compile(r"-[1-6]|[2346][1-5]?(?:/[a-emn])?|[1a-emn]")
"""Symmetry along one direction in a Hermann-Mauguin name."""

_HALL, _NAME = "the Hall symbol", "the name"
_MISFIT = 0.02
"""Largest relative change of the metric of a cell under one of its operations; cells are given to a digit or two."""


@dataclasses.dataclass(frozen=True)
class Symmetry:
    """One meaning of what a file says about symmetry.

    Args:
        source: Where it comes from, for a person.
        label: Name of the group, as far as known.
        rotations: Shape (n_operations, 3, 3), on fractional coordinates.
        shifts: Shape (n_operations, 3), fractional.
        number: Of the group, 1 to 230; 0 where its setting is in no table.
        is_stated: False where the file says nothing and P 1 is assumed.
    """

    source: str
    label: str
    rotations: FloatArray
    shifts: FloatArray
    number: int = 0
    is_stated: bool = True

    @property
    def n_operations(self) -> int:
        """Order of the group, centring included."""
        return len(self.rotations)

    @property
    def operations(self) -> frozenset[tuple[int, ...]]:
        """All operations in twenty-fourths, whatever their order."""
        table = np.concatenate([self.rotations.reshape(-1, 9), self.shifts % 1.0], axis=1)
        return frozenset(map(tuple, np.round(table * gemmi.Op.DEN).astype(int).tolist()))

    def may_be(self, other: "Symmetry") -> bool:
        """Whether another can be the same group, in whatever setting."""
        same_number = 0 in (self.number, other.number) or self.number == other.number
        return same_number and self.n_operations == other.n_operations

    def fits(self, cell: FloatArray) -> bool:
        """Whether every operation leaves the lengths and angles of a cell as they are.

        Args:
            cell: One lattice vector per row, shape (3, 3), Å.
        """
        metric = cell @ cell.T
        moved = np.einsum("nji,jk,nkl->nil", self.rotations, metric, self.rotations)
        return bool(np.abs(moved - metric).max() <= _MISFIT * np.diag(metric).max())


def possible_symmetries(name: str, block: gemmi.cif.Block) -> list[Symmetry]:
    """Every meaning that a file allows, the most explicit first; several where it is ambiguous or contradicts itself.

    Args:
        name: Of the file, for messages.
        block: Of the structure.

    Raises:
        DatasetError: Operations or names that cannot be understood.
    """
    listed = _listed(name, block)
    hall = _by_hall(name, first_text(block, HALL_TAGS), is_needed=not listed)
    given_name, number = first_text(block, NAME_TAGS), first_text(block, NUMBER_TAGS)
    named = _by_name(given_name) if given_name else _by_number(number)
    # Its number alone would mean the standard setting, and an unknown name is likely to be of another one.
    if given_name and not (listed or hall or named):
        raise DatasetError(
            f"{name} names the space group {given_name[:40]!r}, which is not known; list its symmetry operations."
        )
    for found in ([listed] if listed else [], [hall] if hall else [], named):
        if found:
            return [*found, *_others(found, [hall, *named, *_any_setting(number)])]
    if number:
        raise DatasetError(f"{name} gives {number[:20]!r} as number of its space group; expected 1 to 230.")
    identity = _symmetry("no symmetry in the file", "P 1", gemmi.GroupOps([gemmi.Op("x,y,z")]))
    return [dataclasses.replace(identity, is_stated=False)]


def first_text(block: gemmi.cif.Block, tags: Sequence[str]) -> str:
    """The first value of some tags that says something; empty where none does."""
    for tag in tags:
        for value in block.find_values(tag):
            text = str(gemmi.cif.as_string(value)).strip()
            if not gemmi.cif.is_null(value) and text not in ("", "?", "."):
                return text
    return ""


def _symmetry(source: str, label: str, operations: gemmi.GroupOps) -> Symmetry:
    pairs = [(op.rot, op.tran) for op in operations]
    known = gemmi.find_spacegroup_by_ops(operations)
    return Symmetry(
        source,
        label,
        np.array([rotation for rotation, _ in pairs], dtype=float) / gemmi.Op.DEN,
        np.array([shift for _, shift in pairs], dtype=float) / gemmi.Op.DEN,
        known.number if known else 0,
    )


def _listed(name: str, block: gemmi.cif.Block) -> Symmetry | None:
    """The operations that a file lists, looped or not; None where it lists none."""
    for tag in OPERATION_TAGS:
        words = [str(gemmi.cif.as_string(value)).strip() for value in block.find_values(tag)]
        words = [word for word in words if word not in ("", "?", ".")]
        if not words:
            continue
        if len(words) > MAX_OPERATIONS:
            raise DatasetError(
                f"{name} lists {len(words)} symmetry operations; no group has more than {MAX_OPERATIONS}."
            )
        wrapped = [_operation(name, word).wrap() for word in words]
        operations = list({operation.triplet(): operation for operation in wrapped}.values())
        group = _closed(name, operations)
        known = gemmi.find_spacegroup_by_ops(group)
        label = known.xhm() if known else f"a group of {len(operations)} operations"
        return _symmetry(f"the {len(operations)} operation{'s' if len(operations) > 1 else ''} listed", label, group)
    return None


def _operation(name: str, word: str) -> gemmi.Op:
    try:
        operation = gemmi.Op(word[:100].lower())
    except (RuntimeError, ValueError):
        raise DatasetError(
            f"{name} lists the symmetry operation {word[:60]!r}, which is not like 'x, y+1/2, -z'."
        ) from None
    if abs(operation.det_rot()) != gemmi.Op.DEN**3:
        raise DatasetError(f"{name} lists the symmetry operation {word[:60]!r}, which changes the volume of the cell.")
    return operation


def _closed(name: str, operations: Sequence[gemmi.Op]) -> gemmi.GroupOps:
    """The operations as a group.

    Raises:
        DatasetError: Two of them make a third that is not listed.
    """
    try:
        group = gemmi.GroupOps(operations)
        group.add_missing_elements()
        n_closed = len(group)
    except (RuntimeError, ValueError):
        n_closed = 0
    if n_closed != len(operations):
        raise DatasetError(
            f"{name} lists {len(operations)} symmetry operations that are no group: some are missing or wrong. "
            "List all of them, centring included."
        )
    return group


def _by_hall(name: str, hall: str, *, is_needed: bool) -> Symmetry | None:
    if not hall:
        return None
    try:
        group = gemmi.symops_from_hall(hall[:60])
    except (RuntimeError, ValueError):
        if is_needed:
            raise DatasetError(f"{name} gives the Hall symbol {hall[:40]!r}, which cannot be read.") from None
        return None
    known = gemmi.find_spacegroup_by_ops(group)
    return _symmetry(f"{_HALL} {hall}", known.xhm() if known else hall, group)


@functools.lru_cache(maxsize=256)
def _by_name(text: str) -> list[Symmetry]:
    """Settings that a Hermann-Mauguin name can mean; several where it leaves origin or axes open."""
    if not text:
        return []
    plain, choice = _split_choice(text)
    without_marks, _ = _split_choice(text.replace("_", ""))
    candidates = filter(None, (plain, short_name(plain), short_name(without_marks)))
    found = next(filter(None, map(gemmi.find_spacegroup_by_name, candidates)), None)
    if found is None:
        return []
    return _settings(found, choice or _stated_choice(plain), f"{_NAME} {text}")


def _by_number(text: str) -> list[Symmetry]:
    if not re.fullmatch(r"\d{1,3}", text) or not 1 <= int(text) <= 230:
        return []
    found = gemmi.find_spacegroup_by_number(int(text))
    return _settings(found, "", f"the number {text}")


def _any_setting(text: str) -> list[Symmetry]:
    """All settings of a number, to compare orders with."""
    if not re.fullmatch(r"\d{1,3}", text):
        return []
    return [
        _symmetry(f"the number {text}", sg.xhm(), sg.operations())
        for sg in gemmi.spacegroup_table()
        if sg.number == int(text)
    ]


def _split_choice(text: str) -> tuple[str, str]:
    """A name without the mark of its origin or axes, and that mark: 1, 2, H or R.

    Databases write `:2`, `(origin 2)`, or S and Z for the first and second origin.
    """
    words = re.sub(r"[_\"']", " ", text[:80]).strip()
    found = re.search(r"(?:\s*:\s*|\s+\(?(?:origin(?:\s+choice)?\s+)?)(1|2|[HRSZhrsz])\)?$", words)
    if not found or (found[1] in "12" and ":" not in found[0] and "origin" not in found[0]):
        return words, ""
    choice = found[1].upper()
    return words[: found.start()].strip(), {"S": "1", "Z": "2"}.get(choice, choice)


def short_name(full: str) -> str:
    """The short Hermann-Mauguin name of a full one; empty where it is none.

    The short name leaves out the axes that a mirror plane at right angles implies, except the main axis of tetragonal
    and hexagonal groups.

    Args:
        full: Without the mark of its origin or axes.

    Example:
        >>> short_name("F 4/m -3 2/m"), short_name("P 63/m 2/m 2/c"), short_name("C 2/m 2/c 21/m")
        ('F m -3 m', 'P 63/m m c', 'C m c m')

    Source:
        International Tables for Crystallography A (2016), section 1.4.1.4, doi:10.1107/97809553602060000114.
    """
    centring, rest = full[:1].upper(), full[1:].strip()
    words = rest.split() if " " in rest else _AXES.findall(rest)
    if "/" not in rest or "".join(words) != rest.replace(" ", "") or not all(map(_AXES.fullmatch, words)):
        return ""
    is_cubic = words[1:2] in (["-3"], ["3"])
    kept = 0 if is_cubic or words[0][0] not in "46" else 1
    return " ".join([centring, *words[:kept], *(word.rpartition("/")[2] for word in words[kept:])])


def _stated_choice(plain: str) -> str:
    """R or H at the end of a name in one word, as in R-3mH."""
    found = re.fullmatch(r"[Rr]\S*[a-z\d]([HR])", plain)
    return found[1] if found else ""


def _settings(found: gemmi.SpaceGroup, choice: str, source: str) -> list[Symmetry]:
    alike = [sg for sg in gemmi.spacegroup_table() if sg.number == found.number and sg.hm == found.hm]
    chosen = [sg for sg in alike if not choice or sg.ext in (choice, "\0", "")]
    return [_symmetry(source, sg.xhm(), sg.operations()) for sg in chosen or [found]]


def _others(found: Sequence[Symmetry], compared: Sequence[Symmetry | None]) -> list[Symmetry]:
    """Sources that contradict the symmetry that was found, since none of their settings can be the same group."""
    others: list[Symmetry] = []
    given = [one for one in compared if one is not None]
    for source in dict.fromkeys(one.source for one in given):
        alike = [one for one in given if one.source == source]
        if not any(one.may_be(other) for one in found for other in alike) or _names_differ(found[0], alike):
            others += alike[:2]
    return others


def _names_differ(found: Symmetry, alike: Sequence[Symmetry]) -> bool:
    """Whether a Hall symbol and a name, both exact, mean other origins or axes."""
    if not (found.source.startswith(_HALL) and alike[0].source.startswith(_NAME)):
        return False
    return all(found.operations != one.operations for one in alike)
