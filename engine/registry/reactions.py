"""Reactions: balanced sums of total energies whose value is a defect energy, and their kinds.

A reaction is a sum over configurations ("parts") of coefficient times total energy. The atoms of every element balance
in it exactly, so coefficients are fractions: the vacancy in a cell of eight sites is E(7 atoms) - 7/8 E(8 atoms). Two
DFT set-ups, or a model and its reference, may differ by a constant energy per atom of an element. The constant cancels,
so models may be compared whatever their zero of energy is, without alignment. Errors of the parts need not cancel; the
project measures how far they do.

Energies are those of the same geometries for reference and model; a model does not relax them.

This module reads the rows of `reactions.csv`. `engine.registry.reaction_rules` and `engine.registry.reaction_groups`
generate the reactions that names and groups of configurations allow.

Source:
    Hu et al., Nat. Commun. 10, 4484 (2019), doi:10.1038/s41467-019-12452-7 (interaction energies); Fig. 6 of
    Shuang et al., arXiv:2502.03578 (2025).
"""

import csv
import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from engine.errors import RegistryError

Key = tuple[str, str]  # dataset_id, config_id

Composition = Mapping[str, int]  # element to number of atoms

TABLE = Path(__file__).with_name("reactions.csv")

DEFECT, AREA, ATOM = "defect", "area", "atom"

UNITS = {DEFECT: "eV", AREA: "mJ/m²", ATOM: "meV/atom"}

_PART = re.compile(r"([+-]\d+(?:/\d+)?)\*([^/\s]+)/(\S+)")


@dataclass(frozen=True)
class Kind:
    """One kind of defect energy.

    Attributes:
        kind_id: Key of `KINDS`.
        label: What a metallurgist calls it.
        per: What the energy is divided by: `defect` (nothing), `area` (of all faces in the cell) or `atom`.
        definition: The sum of energies, in words and symbols.
    """

    kind_id: str
    label: str
    per: str
    definition: str

    @property
    def unit(self) -> str:
        """Unit in which values of the kind are kept and shown."""
        return UNITS[self.per]


_ATTRACTS = "negative where they attract each other"

KINDS = {
    kind.kind_id: kind
    for kind in (
        Kind("vacancy", "Vacancy formation", DEFECT, "E(N atoms) − N E(crystal)/atom, per vacancy"),
        Kind("interstitial", "Interstitial formation", DEFECT, "E(N atoms) − N E(crystal)/atom, per interstitial"),
        Kind("divacancy", "Divacancy binding", DEFECT, f"E(pair) + E(crystal) − 2 E(vacancy); {_ATTRACTS}"),
        Kind(
            "solute-vacancy",
            "Solute-vacancy binding",
            DEFECT,
            f"E(pair) + E(crystal) − E(vacancy) − E(solute); {_ATTRACTS}",
        ),
        Kind(
            "solute-boundary",
            "Segregation to boundaries",
            DEFECT,
            "E(boundary or surface + solutes) − E(boundary or surface) − Σ [E(crystal + solute) − E(crystal)]; solutes "
            "may be vacancies; negative where the defect attracts them",
        ),
        Kind(
            "solute-solute",
            "Solute-solute interaction",
            DEFECT,
            f"E(both) + E(host) − E(one) − E(other), in the crystal or at a defect; {_ATTRACTS}",
        ),
        Kind("hydrogen-site", "Hydrogen site preference", DEFECT, "E(H in the tetrahedral site) − E(octahedral site)"),
        Kind("surface", "Surface energy", AREA, "[E(slab) − N E(crystal)/atom] / area of both faces"),
        Kind("fault", "Stacking-fault energy", AREA, "[E(faulted stack) − N E(crystal)/atom] / area"),
        Kind("boundary", "Grain-boundary energy", AREA, "[E(cell) − N E(crystal)/atom] / area of both boundaries"),
        Kind("formation", "Formation energy of alloys", ATOM, "[E(alloy) − Σ N(element) E(crystal)/atom] / N"),
        Kind("ordering", "Ordering energy", ATOM, "[E − E(lowest known order of the same composition)] / N"),
        Kind("state", "Energy above the calmest state", ATOM, "[E − E(lowest of the same composition in the set)] / N"),
        Kind("crystal", "Energy above the perfect crystal", ATOM, "[E − N E(crystal)/atom] / N"),
    )
}

SOLUTE_KINDS = ("solute-boundary", "solute-vacancy", "solute-solute")


@dataclass(frozen=True)
class Part:
    """One configuration of a reaction, with the number by which its total energy is multiplied."""

    dataset_id: str
    config_id: str
    coefficient: Fraction

    @property
    def key(self) -> Key:
        """Dataset and configuration."""
        return self.dataset_id, self.config_id


@dataclass(frozen=True)
class Reaction:
    """One defect energy.

    Attributes:
        reaction_id: Unique; the source's own code, or dataset and configuration, where one has it.
        kind: Key of `KINDS`.
        system: Host, and what is added, for example `Mo-W`.
        environment: Kind of defect, for example `grain boundary`.
        place: Which defect of that kind.
        added: What is added to the defect, with the number of the site where there are several; may be empty.
        parts: At least two; the first is the cell that holds the defect.
        n_faces: Faces or boundaries in the cell of the first part, for an energy per area.
        axis: The cell vector that crosses them.
    """

    reaction_id: str
    kind: str
    system: str
    environment: str
    place: str
    added: str
    parts: tuple[Part, ...]
    n_faces: int = 1
    axis: int = 2

    @property
    def keys(self) -> tuple[Key, ...]:
        """Dataset and configuration of each part."""
        return tuple(part.key for part in self.parts)

    @property
    def dataset_id(self) -> str:
        """Dataset of the cell with the defect."""
        return self.parts[0].dataset_id

    @property
    def per(self) -> str:
        """What the energy is divided by."""
        return KINDS[self.kind].per


def summed(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Merge parts so that each configuration appears once, in first-seen order, without parts that cancel.

    Example:
        >>> [str(p.coefficient) for p in summed([Part("d", "a", Fraction(1)), Part("d", "a", Fraction(-3, 2))])]
        ['-1/2']
    """
    totals: Counter[Key] = Counter()
    for part in parts:
        totals[part.key] += part.coefficient  # type: ignore[assignment]
    return tuple(Part(*key, Fraction(total)) for key, total in totals.items() if total)


@functools.cache
def load_reactions(path: Path = TABLE) -> tuple[Reaction, ...]:
    """Read and check a table of reactions, in file order.

    Args:
        path: A CSV file with the columns of `Reaction`; lines that begin with # are comments.

    Raises:
        RegistryError: The file cannot be read, or a row is wrong; the message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(f"{path.name} cannot be read: {error}.") from error
    found: dict[str, Reaction] = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        reaction = _reaction(row, path.name)
        if reaction.reaction_id in found:
            raise RegistryError(f"{path.name}: '{reaction.reaction_id}' occurs twice.")
        found[reaction.reaction_id] = reaction
    return tuple(found.values())


def needed_configurations(reactions: Iterable[Reaction]) -> dict[str, set[str]]:
    """Ids of all configurations that are parts of some reactions, by dataset."""
    needed: dict[str, set[str]] = {}
    for dataset_id, config_id in (key for reaction in reactions for key in reaction.keys):
        needed.setdefault(dataset_id, set()).add(config_id)
    return needed


def _reaction(row: Mapping[str, str], registry: str) -> Reaction:
    """One row of the table, checked."""
    where = f"{registry}, '{row.get('reaction_id')}'"
    names = ("reaction_id", "kind", "system", "environment", "place", "added")
    if missing := [name for name in (*names, "parts") if not row.get(name)]:
        raise RegistryError(f"{where}: column '{missing[0]}' is empty or missing.")
    if row["kind"] not in KINDS:
        raise RegistryError(f"{where}: kind '{row['kind']}' is not one of {', '.join(KINDS)}.")
    parts = []
    for text in row["parts"].split():
        match = _PART.fullmatch(text)
        if match is None or Fraction(match[1]) == 0:
            raise RegistryError(f"{where}: '{text}' is not of the form +1*dataset_id/config_id or -7/8*….")
        parts.append(Part(match[2], match[3], Fraction(match[1])))
    if len({part.key for part in parts}) < max(len(parts), 2):
        raise RegistryError(f"{where}: expected at least two parts, each configuration once.")
    return Reaction(
        row["reaction_id"],
        row["kind"],
        row["system"],
        row["environment"],
        row["place"],
        row["added"],
        tuple(parts),
    )
