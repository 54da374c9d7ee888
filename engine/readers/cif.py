"""CIF: one crystal structure, expanded by its symmetry and compared with what the file says of its contents.

The file's own formula, number of formula units, multiplicities and volume of the cell decide where its symmetry can be
understood in two ways; where they contradict the atoms that were read, the file is refused. gemmi parses the syntax.

Source of the tags: https://www.iucr.org/resources/cif/dictionaries/cif_core
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from ase.data import chemical_symbols

from engine.errors import DatasetError
from engine.readers.cif_sites import MAX_NUMBER, Site, read_sites
from engine.readers.cif_symmetry import Symmetry, first_text, possible_symmetries
from engine.readers.other_formats import other_format
from engine.readers.readings import MAX_ATOMS, Check, Reading, refuse_many
from engine.readers.symbols import symbol_number
from engine.records import FloatArray

SAME_PLACE = 0.1
"""Images of a site closer than this are one atom whose coordinates were rounded, Å."""

MAX_VOLUME_MISFIT = 0.02
_LENGTHS = ("_cell_length_a", "_cell_length_b", "_cell_length_c")
_ANGLES = ("_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma")


_MAGNETIC_TAGS = (
    "_space_group_symop_magn_operation.xyz",
    "_space_group_symop.magn_operation_xyz",
    "_space_group_magn.name_BNS",
    "_space_group_magn.number_BNS",
    "_space_group_magn.transform_BNS_Pp_abc",
)


@dataclass(frozen=True)
class _Contents:
    """What a file says that its cell holds.

    Args:
        text: Its formula as written; empty where there is none.
        counts: Atomic number to count in the formula; None where there is none that can be read.
        z: Formula units in the cell; None where it is not said.
    """

    text: str
    counts: Mapping[int, float] | None
    z: float | None

    def agrees(self, found: Mapping[int, int]) -> bool:
        """Whether atoms of the cell are the formula, once or Z times.

        Args:
            found: Atomic number to number of atoms in the cell.
        """
        if self.counts is None:
            return True
        if set(found) != set(self.counts):
            return False
        ratios = [found[number] / count for number, count in self.counts.items()]
        units = ratios[0]
        if max(ratios) - min(ratios) > 0.01 * units:
            return False
        if self.z is None:
            return units > 0.5 and abs(units - round(units)) < 0.02 * units
        # pymatgen writes the contents of the cell as formula, and Z of the reduced formula beside it.
        is_whole_cell = all(abs(n / self.z - round(n / self.z)) < 0.01 for n in self.counts.values())
        return abs(units - self.z) < 0.01 * self.z or (is_whole_cell and abs(units - 1) < 0.01)

    def __str__(self) -> str:
        return self.text + (f" with Z = {self.z:g}" if self.z is not None else "")


@dataclass(frozen=True)
class _Expansion:
    """The atoms of a cell under one symmetry."""

    symmetry: Symmetry
    numbers: list[int]
    fractional: FloatArray
    misfits: list[str]
    n_merged: int

    @property
    def counts(self) -> Counter[int]:
        """Atomic number to number of atoms."""
        return Counter(self.numbers)

    def is_same(self, other: "_Expansion", cell: FloatArray) -> bool:
        """Whether two expansions hold the same atoms at the same places."""
        if self.counts != other.counts:
            return False
        apart = _distances(self.fractional, other.fractional, cell)
        apart[np.array(self.numbers)[:, None] != np.array(other.numbers)[None]] = np.inf
        return bool((apart.min(axis=1) < SAME_PLACE).all())


def read_cif(name: str, text: str) -> Reading:
    """Read one structure.

    Args:
        name: Of the file, for messages.
        text: Its contents.

    Raises:
        DatasetError: It does not follow the syntax, holds no or several structures, is not ordered, or contradicts
            itself.
    """
    block = _block(name, text)
    cell = _cell(name, block)
    sites, checks = read_sites(name, block)
    contents = _contents(block)
    meanings = possible_symmetries(name, block)
    expansions = [_expand(name, one, sites, cell) for one in meanings if one.fits(cell)]
    if not expansions:
        raise DatasetError(
            f"{name}: its cell does not have the symmetry {meanings[0].label}, taken from {meanings[0].source}. "
            "Mend the lengths, angles or axes."
        )
    chosen = _choose(name, expansions, contents, cell)
    checks = [*_read_as(chosen, contents), *_compare_volume(name, block, cell), *checks]
    return Reading(chosen.numbers, chosen.fractional @ cell, cell, (True, True, True), checks)


def _block(name: str, text: str) -> gemmi.cif.Block:
    """The one block that holds a structure."""
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        found = re.match(r"\S*?:?(\d+)(?::\d+\(\d+\)| in data_\S*): (.*)", str(error))
        detail = f"line {found[1]}: {found[2]}" if found else " ".join(str(error).split())
        broken = f"{name} does not follow the syntax of CIF ({detail[:160]}). Mend it there."
        raise DatasetError(other_format(name, text.encode()) or broken) from None
    blocks = [block for block in document if list(block.find_values("_atom_site_fract_x"))]
    if len(blocks) == 1:
        return blocks[0]
    if blocks:
        raise DatasetError(f"{name} holds {len(blocks)} structures; give a file with one.")
    for block in document:
        if list(block.find_values("_atom_site.Cartn_x")) or list(block.find_values("_atom_site_Cartn_x")):
            raise DatasetError(f"{name} gives Cartesian coordinates; a crystal needs _atom_site_fract_x, _y and _z.")
    raise DatasetError(f"{name} holds no structure: no _atom_site_fract_x is in it.")


def _cell(name: str, block: gemmi.cif.Block) -> FloatArray:
    """Lattice vectors, the first along x and the second in the xy plane."""
    if list(block.find_values("_cell_modulation_dimension")):
        raise DatasetError(f"{name} describes a modulated structure; give a commensurate one.")
    if any(first_text(block, (tag,)) for tag in _MAGNETIC_TAGS):
        raise DatasetError(f"{name} is a magnetic CIF, whose symmetry is not read here; list all atoms in P 1.")
    values = {}
    for tag in (*_LENGTHS, *_ANGLES):
        text = first_text(block, (tag,))
        values[tag] = float(gemmi.cif.as_number(text)) if text else math.nan
        if not abs(values[tag]) < MAX_NUMBER:  # nan included
            raise DatasetError(f"{name}: {tag} is {text[:20]!r}; expected a number.")
    a, b, c = (values[tag] for tag in _LENGTHS)
    alpha, beta, gamma = (math.radians(values[tag]) for tag in _ANGLES)
    if min(a, b, c) <= 0 or not all(0 < values[tag] < 180 for tag in _ANGLES):
        raise DatasetError(f"{name}: its cell needs lengths above 0 and angles between 0 and 180 degrees.")
    x = math.cos(beta)
    y = (math.cos(alpha) - math.cos(beta) * math.cos(gamma)) / math.sin(gamma)
    if x * x + y * y >= 1 - 1e-9:
        raise DatasetError(f"{name}: no cell has its three angles; they span no volume.")
    cell = [[1, 0, 0], [math.cos(gamma), math.sin(gamma), 0], [x, y, math.sqrt(1 - x * x - y * y)]]
    matrix = np.array(cell) * np.array([[a], [b], [c]])
    matrix[np.abs(matrix) < 1e-14 * max(a, b, c)] = 0.0
    return np.asarray(matrix, dtype=float)


def _contents(block: gemmi.cif.Block) -> _Contents:
    text = first_text(block, ("_chemical_formula_sum", "_chemical_formula.sum"))
    counts = _parse_formula(text)
    z = gemmi.cif.as_number(first_text(block, ("_cell_formula_units_Z", "_cell.formula_units_Z")) or "?")
    return _Contents(text[:60] if counts else "", counts, float(z) if math.isfinite(z) and z > 0 else None)


def _parse_formula(text: str) -> dict[int, float] | None:
    """Atomic number to count; None where it is no formula."""
    pairs = re.findall(r"([A-Za-z]{1,2})(\d{0,6}(?:\.\d{1,6})?)", text)
    if not pairs or "".join(symbol + count for symbol, count in pairs) != re.sub(r"\s", "", text):
        return None
    counts: Counter[int] = Counter()
    for symbol, count in pairs:
        number = symbol_number(symbol)
        if not number:
            return None
        counts[number] += float(count or 1)  # type: ignore[assignment]
    return {number: float(count) for number, count in counts.items() if count > 0} or None


def _expand(name: str, symmetry: Symmetry, sites: Sequence[Site], cell: FloatArray) -> _Expansion:
    """All atoms of the cell: the images of each site, those at one place merged."""
    numbers: list[int] = []
    places = np.zeros((0, 3))
    misfits: list[str] = []
    n_merged = 0
    for site in sites:
        images = _orbit(symmetry, site.fractional, cell)
        if site.multiplicity is not None and site.multiplicity != len(images):
            misfits.append(f"{site.label} has {len(images)} images, the file says {site.multiplicity}")
        fresh = _fresh(name, site, images, numbers, places, cell)
        n_merged += len(images) - len(fresh)
        numbers += [site.number] * len(fresh)
        places = np.concatenate([places, fresh])
        if len(numbers) > MAX_ATOMS:
            refuse_many(name, len(numbers))
    return _Expansion(symmetry, numbers, places, misfits, n_merged)


def _orbit(symmetry: Symmetry, place: FloatArray, cell: FloatArray) -> FloatArray:
    """Images of one place; those that rounding set apart are moved to their mean."""
    images = symmetry.rotations @ place + symmetry.shifts
    images -= np.floor(images)
    left = np.ones(len(images), dtype=bool)
    found = []
    for k in range(len(images)):
        if not left[k]:
            continue
        offsets = images - images[k]
        offsets -= np.round(offsets)
        group = left & (np.linalg.norm(offsets @ cell, axis=1) < SAME_PLACE)
        mean = images[k] + offsets[group].mean(axis=0)
        found.append(mean - np.floor(mean))
        left &= ~group
    return np.array(found)


def _fresh(
    name: str, site: Site, images: FloatArray, numbers: Sequence[int], places: FloatArray, cell: FloatArray
) -> FloatArray:
    """Images that are at no place taken before.

    Raises:
        DatasetError: Another element is there: a mixed site.
    """
    if not len(places):
        return images
    apart = _distances(images, places, cell)
    taken = apart.min(axis=1) < SAME_PLACE
    for k in np.flatnonzero(taken):
        there = numbers[int(np.argmin(apart[k]))]
        if there != site.number:
            pair = f"{chemical_symbols[there]} and {chemical_symbols[site.number]}"
            raise DatasetError(
                f"{name} has a mixed site: {pair} are at the place of {site.label}; give an ordered structure."
            )
    return np.asarray(images[~taken])


def _distances(first: FloatArray, second: FloatArray, cell: FloatArray) -> FloatArray:
    """Distances between fractional places to the nearest image, right where they are short; shape (n, m), Å."""
    offsets = first[:, None] - second[None]
    offsets -= np.round(offsets)
    return np.asarray(np.linalg.norm(offsets @ cell, axis=2))


def _choose(name: str, expansions: Sequence[_Expansion], contents: _Contents, cell: FloatArray) -> _Expansion:
    """The one expansion that agrees with what the file says of its contents.

    Raises:
        DatasetError: None agrees, or several do.
    """
    fitting = [one for one in expansions if contents.agrees(one.counts)]
    if not fitting:
        found = _formula(expansions[0].counts)
        raise DatasetError(
            f"{name} gives {contents} as its contents, but its sites under {expansions[0].symmetry.label} (from "
            f"{expansions[0].symmetry.source}) make {found}. Mend the sites, the symmetry or the formula."
        )
    if any(not one.misfits for one in fitting):
        fitting = [one for one in fitting if not one.misfits]
    distinct = [one for k, one in enumerate(fitting) if not any(one.is_same(other, cell) for other in fitting[:k])]
    if len(distinct) == 1:
        return distinct[0]
    said = "; ".join(
        f"{_formula(one.counts)} by {one.symmetry.label}, from {one.symmetry.source}" for one in distinct[:3]
    )
    raise DatasetError(
        f"{name} can be understood in {len(distinct)} ways ({said}). Say which: list all symmetry operations, or name "
        "the origin or the axes, as in 'F d -3 m :2' or 'R -3 m :H', or give _chemical_formula_sum and "
        "_cell_formula_units_Z."
    )


def _formula(counts: Mapping[int, int]) -> str:
    return "".join(f"{chemical_symbols[number]}{counts[number]}" for number in sorted(counts))


def _read_as(chosen: _Expansion, contents: _Contents) -> list[Check]:
    """Remarks on how the file was understood, beside what it says of itself."""
    symmetry, found = chosen.symmetry, _formula(chosen.counts)
    if symmetry.is_stated:
        checks = [Check("Read as", True, f"CIF in {symmetry.label}, from {symmetry.source}: {found} in the cell")]
    else:
        text = f"CIF without symmetry, taken as P 1 with all atoms listed: {found} in the cell"
        checks = [Check("Read as", contents.counts is not None, text)]
    if contents.counts is not None:
        checks.append(Check("Contents", True, f"{found}, as the file's formula {contents} says"))
    elif symmetry.n_operations > 1:
        checks.append(Check("Contents", True, f"{found}; the file gives no formula to compare with"))
    if chosen.misfits:
        checks.append(Check("Contents", False, "; ".join(chosen.misfits[:3])))
    if chosen.n_merged:
        text = f"{chosen.n_merged} images of sites are at places of other sites of the same element, and count once"
        checks.append(Check("Contents", contents.counts is not None, text))
    return checks


def _compare_volume(name: str, block: gemmi.cif.Block, cell: FloatArray) -> list[Check]:
    text = first_text(block, ("_cell_volume", "_cell.volume"))
    given = float(gemmi.cif.as_number(text)) if text else math.nan
    volume = abs(float(np.linalg.det(cell)))
    if not math.isfinite(given) or given <= 0:
        return []
    if abs(given - volume) > MAX_VOLUME_MISFIT * volume:
        raise DatasetError(
            f"{name}: its lengths and angles make a cell of {volume:.2f} Å³, but its _cell_volume is {given:.2f}. "
            "Mend one of them."
        )
    return [Check("Volume", True, f"{volume:.2f} Å³, as the file says")]
