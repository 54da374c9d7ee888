"""Reactions that follow from the groups of a dataset: reaction_groups.toml, and which configurations they take.

A published group mixes cells at rest with snapshots of trajectories. Only cells at rest make a defect energy. Of the
steps of one relaxation in one cell, the lowest one counts.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from engine.errors import RegistryError
from engine.registry.reactions import AREA, KINDS, Composition, Part, Reaction
from engine.registry.tables import build, read_tables

TABLE = Path(__file__).with_name("reaction_groups.toml")

AT_REST = 0.05  # eV/Å, root mean square length of the reference force on an atom
SAME_VOLUME = 0.03  # share by which the volume of a site may differ from that of the crystal
STATE = "state"  # the kind that takes configurations that are not at rest

VACUUM = 6.0  # Å without an atom, which make a slab


@dataclass(frozen=True)
class GroupRule:
    """Kind of defect energy that the configurations of one group of one dataset give.

    Attributes:
        dataset_id: The dataset.
        group: The group.
        kind: Key of `KINDS`.
        n_faces: Faces or boundaries in one cell.
        crystals: Groups of the perfect crystals, where the dataset's own entry does not name them.
    """

    dataset_id: str
    group: str
    kind: str
    n_faces: int = 1
    crystals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """Facts about a configuration that the rules use.

    Attributes:
        dataset_id: Dataset.
        config_id: Configuration.
        group: Its group.
        atoms: Atoms of each element.
        energy: Reference total energy, eV.
        force: Root mean square length of the reference force on an atom, eV/Å.
        lengths: Of the cell vectors, Å.
        volume: Of the cell, Å³.
        gap: Widest layer without an atom across the longest cell vector, Å.
    """

    dataset_id: str
    config_id: str
    group: str
    atoms: Composition
    energy: float
    force: float
    lengths: tuple[float, float, float]
    volume: float
    gap: float

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return sum(self.atoms.values())

    @property
    def axis(self) -> int:
        """The longest cell vector, the last one of equal ones."""
        return max(range(3), key=lambda k: (round(self.lengths[k], 3), k))

    def share(self, element: str) -> Fraction:
        """Share of the atoms that are of an element."""
        return Fraction(self.atoms.get(element, 0), self.n_atoms)


@functools.cache
def load_group_rules(path: Path = TABLE) -> tuple[GroupRule, ...]:
    """Read and check the table of groups.

    Args:
        path: A TOML file.

    Raises:
        RegistryError: The file cannot be read, or an entry is wrong.
    """
    rules = []
    for key, table in read_tables(path).items():
        dataset_id, _, group = key.partition("/")
        rule = build(GroupRule, table, f"{path.name}, '{key}'", dataset_id=dataset_id, group=group)
        if not group or rule.kind not in KINDS:
            raise RegistryError(f"{path.name}, '{key}': expected dataset/group and one of {', '.join(KINDS)}.")
        rules.append(rule)
    return tuple(rules)


def concerned_groups(dataset_id: str, crystal_groups: Iterable[str]) -> list[str]:
    """Groups of a dataset that its rules ask for, crystals among them; none without a rule."""
    rules = [rule for rule in load_group_rules() if rule.dataset_id == dataset_id]
    asked = {group for rule in rules for group in (rule.group, *(rule.crystals or crystal_groups))}
    return sorted(asked)


def group_reactions(cells: Sequence[Cell], crystal_groups: Iterable[str]) -> list[Reaction]:
    """All reactions of one dataset that the table of groups allows.

    Args:
        cells: The configurations of the dataset that have an energy.
        crystal_groups: Groups among which its perfect crystals are.

    Returns:
        One per configuration at rest that is what its kind asks for.
    """
    rules = {rule.group: rule for rule in load_group_rules() if cells and rule.dataset_id == cells[0].dataset_id}
    if not rules:
        return []
    known, found = set(crystal_groups), []
    for group, rule in rules.items():
        crystals = _crystals(cells, set(rule.crystals) or known)
        here = [cell for cell in cells if cell.group == group and (cell.force <= AT_REST or rule.kind == STATE)]
        make = MAKERS.get(rule.kind, _defects)
        found += list(make(rule, here, crystals))
    return found


def _crystals(cells: Sequence[Cell], groups: set[str]) -> dict[str, Cell]:
    """The crystal of each element: the lowest in energy of the configurations of that element alone."""
    found: dict[str, Cell] = {}
    for cell in cells:
        if cell.group in groups and len(cell.atoms) == 1:
            (element,) = cell.atoms
            if element not in found or cell.energy / cell.n_atoms < found[element].energy / found[element].n_atoms:
                found[element] = cell
    return found


def _defects(rule: GroupRule, cells: Sequence[Cell], crystals: Mapping[str, Cell]) -> Iterator[Reaction]:
    """Cells of one element with a point defect or faces, the lowest of each cell's shape."""
    lowest: dict[tuple[object, ...], Cell] = {}
    for cell in cells:
        if len(cell.atoms) == 1 and (element := next(iter(cell.atoms))) in crystals and _fits(rule, cell, crystals):
            shape = (element, cell.n_atoms, *(round(length, 1) for length in cell.lengths))
            if shape not in lowest or cell.energy < lowest[shape].energy:
                lowest[shape] = cell
    for cell in lowest.values():
        yield _reaction(rule, cell, [crystals[element] for element in cell.atoms])


def _fits(rule: GroupRule, cell: Cell, crystals: Mapping[str, Cell]) -> bool:
    """Whether a cell is what its kind asks for: one defect at the crystal's volume, a slab, or no vacuum."""
    if rule.kind == "surface":
        return cell.gap >= VACUUM
    if KINDS[rule.kind].per == AREA:
        return cell.gap < VACUUM
    crystal = crystals[next(iter(cell.atoms))]
    site = crystal.volume / crystal.n_atoms
    if rule.kind == "interstitial":  # its cell may have grown, so the number of sites is no matter of rounding
        return abs(cell.volume / (cell.n_atoms - 1) / site - 1.0) <= SAME_VOLUME
    n_sites = round(cell.volume / site)
    return n_sites == cell.n_atoms + 1 and abs(cell.volume / n_sites / site - 1.0) <= SAME_VOLUME


def _formation(rule: GroupRule, cells: Sequence[Cell], crystals: Mapping[str, Cell]) -> Iterator[Reaction]:
    """Alloys whose elements all have a crystal."""
    for cell in cells:
        if len(cell.atoms) > 1 and cell.atoms.keys() <= crystals.keys():
            yield _reaction(rule, cell, [crystals[element] for element in sorted(cell.atoms)])


def _above_lowest(rule: GroupRule, cells: Sequence[Cell], _: Mapping[str, Cell]) -> Iterator[Reaction]:
    """Configurations against the lowest one of their composition; of orders, only those of alloys count."""
    lowest: dict[tuple[tuple[str, Fraction], ...], Cell] = {}
    key = {c.config_id: tuple((e, c.share(e)) for e in sorted(c.atoms)) for c in cells}
    for cell in sorted(cells, key=lambda c: c.energy / c.n_atoms):
        lowest.setdefault(key[cell.config_id], cell)
    for cell in cells:
        best = lowest[key[cell.config_id]]
        if cell is not best and (len(cell.atoms) > 1 or rule.kind == STATE):
            yield _reaction(rule, cell, [best])


MAKERS = {"formation": _formation, "ordering": _above_lowest, STATE: _above_lowest}


def _reaction(rule: GroupRule, cell: Cell, zeros: Iterable[Cell]) -> Reaction:
    """A cell less what holds the same atoms: crystals of its elements, or one cell of its composition."""
    zeros = list(zeros)
    parts = [Part(cell.dataset_id, cell.config_id, Fraction(1))]
    for zero in zeros:
        n = cell.n_atoms if len(zeros) == 1 else cell.atoms[next(iter(zero.atoms))]
        parts.append(Part(zero.dataset_id, zero.config_id, -Fraction(n, zero.n_atoms)))
    return Reaction(
        f"{cell.dataset_id}/{cell.config_id}/{rule.kind}",
        rule.kind,
        "-".join(sorted(cell.atoms)),
        rule.kind,
        cell.config_id,
        "",
        tuple(parts),
        n_faces=rule.n_faces,
        axis=cell.axis,
    )
