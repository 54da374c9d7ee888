"""Reactions that follow from names of configurations (Open Defects) and from rows of the table (pairs of solutes).

`engine.registry.reaction_groups` has the rules that go by groups of a dataset.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from engine.registry.reactions import Composition, Part, Reaction, summed

OWN_DATASET = "open-defects"

_NAME = re.compile(r"(?P<cell>[a-z]+-(?:fcc|bcc|hcp))-(?P<group>[a-z]+)-(?P<number>\d\d)")


@dataclass(frozen=True)
class _Rule:
    """Defect energy that a named cell of one metal gives with the perfect crystal.

    Attributes:
        kind: Key of `KINDS`.
        crystals: Numbers of the perfect crystals that it may be compared with, the one in its own cell first.
        place: Which defect of that kind.
        n_faces: Faces or boundaries in the cell.
    """

    kind: str
    crystals: tuple[int, ...]
    place: str
    n_faces: int = 1


# Group and number of the cell; the cells are those of engine/cells.
_RULES = {
    ("vacancy", 1): _Rule("vacancy", (3,), "unrelaxed, 8 sites"),
    ("vacancy", 3): _Rule("vacancy", (7,), "unrelaxed, 16 sites"),
    ("interstitial", 1): _Rule("interstitial", (7,), "16 sites"),
    ("surface", 1): _Rule("surface", (1,), "closest packed, unrelaxed", n_faces=2),
    ("fault", 1): _Rule("fault", (5,), "point 1 of the gamma line"),
    ("fault", 2): _Rule("fault", (5,), "point 2 of the gamma line"),
    ("boundary", 1): _Rule("boundary", (6,), "symmetric tilt", n_faces=2),
    ("eos", 1): _Rule("crystal", (1,), "94 % of the volume"),
    ("eos", 2): _Rule("crystal", (1,), "106 % of the volume"),
    ("rattled", 1): _Rule("crystal", (2, 1), "rattled by 1 %"),
    ("rattled", 2): _Rule("crystal", (2, 1), "rattled by 2 %"),
    ("displaced", 1): _Rule("crystal", (4, 1), "an atom moved by 1 %"),
    ("displaced", 2): _Rule("crystal", (4, 1), "an atom moved by 2 %"),
}


def named_reactions(cells: Mapping[str, Composition]) -> list[Reaction]:
    """All reactions of Open Defects that its cells allow.

    Args:
        cells: Atoms of each element, by id of the configuration.

    Returns:
        Reactions whose parts are all there, in the order of the cells.
    """
    found = []
    for config_id, atoms in cells.items():
        match = _NAME.fullmatch(config_id)
        if match is not None:
            cell, group, number = match["cell"], match["group"], int(match["number"])
            found += list(_of_crystal(cells, config_id, cell, group, number))
            if group == "bulk" and len(atoms) > 1:
                found += [*_formation(cells, config_id), *_ordering(cells, config_id, cell, number)]
            elif group == "divacancy":
                found += list(_divacancy(cells, config_id, cell, number))
            elif group == "solute":
                found += list(_solute(cells, config_id, cell, number))
            elif group == "hydrogen":
                found += list(_hydrogen(cells, config_id, cell, number))
    return found


def pair_reactions(rows: Iterable[Reaction]) -> list[Reaction]:
    """Interaction of two solutes at one defect, from their segregation together and alone.

    Segregation of both less that of each: the crystals that the solutes came from cancel.

    Args:
        rows: Reactions of the kind `solute-boundary`.

    Returns:
        One per row with two solutes, whose single ones are there at the same sites of the same defect.
    """
    rows = list(rows)
    alone = {(one.environment, one.place, one.added): one for one in rows if "+" not in one.added}
    found = []
    for both in rows:
        names = both.added.split(" + ")
        singles = [alone.get((both.environment, both.place, name)) for name in names]
        if len(names) != 2 or None in singles:
            continue
        less = [Part(*p.key, -p.coefficient) for one in singles if one is not None for p in one.parts]
        parts = summed([*both.parts, *less])
        place = f"{both.environment}, {both.place}"
        found.append(
            Reaction(
                f"{both.reaction_id}-pair", "solute-solute", both.system, both.environment, place, both.added, parts
            )
        )
    return found


def _own(kind: str, system: str, place: str, added: str, parts: Iterable[tuple[str, Fraction | int]]) -> Reaction:
    """A reaction within Open Defects; the cell with the defect names it."""
    made = summed(Part(OWN_DATASET, name, Fraction(coefficient)) for name, coefficient in parts)
    first = made[0].config_id
    return Reaction(f"{OWN_DATASET}/{first}/{kind}", kind, system, kind, place, added, made)


def _crystal(cells: Mapping[str, Composition], cell: str, numbers: Iterable[int]) -> str | None:
    """Id of the first perfect crystal that is there."""
    return next((name for n in numbers if (name := f"{cell}-bulk-{n:02d}") in cells), None)


def _of_crystal(
    cells: Mapping[str, Composition], config_id: str, cell: str, group: str, number: int
) -> Iterator[Reaction]:
    """A cell above as many atoms of the perfect crystal."""
    rule = _RULES.get((group, number))
    crystal = _crystal(cells, cell, rule.crystals) if rule else None
    if rule is None or crystal is None:
        return
    host, perfect = cells[config_id], cells[crystal]
    share = Fraction(sum(host.values()), sum(perfect.values()))
    if any(perfect[element] * share != count for element, count in host.items()):
        return  # an alloy's cell of another composition
    one = _own(rule.kind, "-".join(sorted(host)), rule.place, "", [(config_id, 1), (crystal, -share)])
    yield Reaction(
        one.reaction_id, one.kind, one.system, one.environment, one.place, "", one.parts, n_faces=rule.n_faces
    )


def _divacancy(cells: Mapping[str, Composition], config_id: str, cell: str, number: int) -> Iterator[Reaction]:
    """Two vacancies side by side against two apart."""
    crystal, vacancy = f"{cell}-bulk-07", f"{cell}-vacancy-03"
    if {crystal, vacancy} <= cells.keys():
        place = {1: "first neighbours", 2: "second neighbours"}[number]
        (host,) = cells[config_id]
        yield _own("divacancy", host, place, "", [(config_id, 1), (vacancy, -2), (crystal, 1)])


def _solute(cells: Mapping[str, Composition], config_id: str, cell: str, number: int) -> Iterator[Reaction]:
    """A solute beside a vacancy (even numbers) against both apart."""
    parts = (f"{cell}-vacancy-01", f"{cell}-solute-{number - 1:02d}", f"{cell}-bulk-03")
    if number % 2 or not cells.keys() >= set(parts):
        return
    vacancy, alone, crystal = parts
    host = max(cells[config_id], key=lambda element: cells[config_id][element])
    (solute,) = cells[config_id].keys() - {host}
    made = [(config_id, 1), (vacancy, -1), (alone, -1), (crystal, 1)]
    yield _own("solute-vacancy", f"{host}-{solute}", "nearest neighbour", solute, made)


def _hydrogen(cells: Mapping[str, Composition], config_id: str, cell: str, number: int) -> Iterator[Reaction]:
    """The tetrahedral site of fcc (03) against the octahedral one (01)."""
    octahedral = f"{cell}-hydrogen-01"
    if number == 3 and octahedral in cells:
        host = max(cells[config_id], key=lambda element: cells[config_id][element])
        place = "tetrahedral against octahedral"
        yield _own("hydrogen-site", f"{host}-H", place, "H", [(config_id, 1), (octahedral, -1)])


def _formation(cells: Mapping[str, Composition], config_id: str) -> Iterator[Reaction]:
    """An alloy against the crystals of its metals."""
    smallest: dict[str, str] = {}
    for name, atoms in cells.items():
        match = _NAME.fullmatch(name)
        if match is not None and match["group"] == "bulk" and len(atoms) == 1:
            (element,) = atoms
            if element not in smallest or atoms[element] < cells[smallest[element]][element]:
                smallest[element] = name
    atoms = cells[config_id]
    if not smallest.keys() >= atoms.keys():
        return
    crystals = [(smallest[e], -Fraction(n, cells[smallest[e]][e])) for e, n in sorted(atoms.items())]
    yield _own("formation", "-".join(sorted(atoms)), _order(config_id), "", [(config_id, 1), *crystals])


def _ordering(cells: Mapping[str, Composition], config_id: str, cell: str, number: int) -> Iterator[Reaction]:
    """The random cell of an alloy (02) against the ordered one (01)."""
    ordered = f"{cell}-bulk-01"
    atoms = cells[config_id]
    if number == 1 or ordered not in cells:
        return
    share = Fraction(sum(atoms.values()), sum(cells[ordered].values()))
    if all(cells[ordered].get(element, 0) * share == count for element, count in atoms.items()):
        parts = [(config_id, Fraction(1)), (ordered, -share)]
        yield _own("ordering", "-".join(sorted(atoms)), "random against ordered", "", parts)


def _order(config_id: str) -> str:
    return "ordered" if config_id.endswith("-01") else "random"
