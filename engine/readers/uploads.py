"""Structures that people hand in: POSCAR, CIF or extended XYZ in memory to one checked configuration.

A file from outside is trusted in nothing. Its format follows from its name, or from its first lines where the
name says nothing, and is given to the reader; sizes are limited before a reader sees the text; every problem
becomes one `DatasetError` that a page or the command line can show as it is.
"""

import re
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePath
from typing import TypeVar

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111
from ase.data import chemical_symbols, covalent_radii
from ase.io import read
from ase.io.cif import CIFBlock, parse_cif
from ase.neighborlist import neighbor_list

from engine.errors import DatasetError
from engine.readers.extxyz import read_extxyz
from engine.records import Configuration as Configuration  # for the pages that call this module
from engine.records import FloatArray, IntArray

T = TypeVar("T")

MAX_BYTES = 5_000_000
MAX_ATOMS = 1000
FORMATS = {"poscar": "POSCAR", "cif": "CIF", "extxyz": "extended XYZ"}
SUFFIXES = (".poscar", ".vasp", ".contcar", ".cif", ".xyz", ".extxyz")

# Closer than any nuclei in a metal, even under shock: an error of units or a doubled atom.
MIN_DISTANCE = 0.4
# Cells outside these bounds make neighbour lists explode or are in the wrong unit.
MIN_HEIGHT, MAX_HEIGHT = 1.0, 1000.0
MIN_VOLUME_PER_ATOM = 1.0
SEARCH_RADIUS = 4.0
MAX_IMAGES = 10_000

_WHAT_FITS = "Give a POSCAR, a CIF or an extended XYZ file"


@dataclass(frozen=True)
class Check:
    """One thing looked at before a prediction.

    Args:
        name: What was looked at.
        is_fine: False where a person should look before trusting a prediction.
        text: What was found.
    """

    name: str
    is_fine: bool
    text: str


def read_structure(name: str, data: bytes) -> Configuration:
    """Read one structure from the bytes of a file.

    Extended XYZ may carry reference labels (see `engine.readers.extxyz.read_extxyz`); the other formats have none.

    Args:
        name: File name; its ending decides the format, it is never opened.
        data: Contents, at most `MAX_BYTES`.

    Returns:
        A configuration named after the file, with positions in Å.

    Raises:
        DatasetError: Too large, no known format, more than one structure, or impossible data.

    Example:
        >>> rows = ["2", 'Lattice="3.2 0 0 0 3.2 0 0 0 3.2"', "W 0 0 0", "W 1.6 1.6 1.6"]
        >>> read_structure("w.xyz", chr(10).join(rows).encode()).pbc
        (True, True, True)
    """
    name = PurePath(name.replace("\\", "/")).name or "upload"
    text = _decode(name, data)
    kind = file_format(name, text)
    configuration = _READERS[kind](name, text)
    _refuse_impossible(name, configuration)
    return configuration


def file_format(name: str, text: str) -> str:
    """Key of `FORMATS` that a file is in.

    Args:
        name: File name.
        text: Contents, looked at only where the name says nothing.

    Raises:
        DatasetError: Neither name nor contents are of a known format.
    """
    lower = name.lower()
    if lower.endswith((".cif",)):
        return "cif"
    if lower.endswith((".xyz", ".extxyz")):
        return "extxyz"
    if lower.endswith((".poscar", ".vasp", ".contcar")) or lower.startswith(("poscar", "contcar")):
        return "poscar"
    lines = text.splitlines()
    if re.match(r"\s*(#.*\n\s*)*data_", text):
        return "cif"
    if lines and lines[0].strip().isdecimal():
        return "extxyz"
    if len(lines) > 6 and _is_numbers(lines[1], 1) and all(_is_numbers(line, 3) for line in lines[2:5]):
        return "poscar"
    raise DatasetError(f"{name} is in no format that is read here. {_WHAT_FITS}.")


def check_structure(configuration: Configuration) -> list[Check]:
    """Look at what decides whether a prediction means anything: size, cell, distances.

    Args:
        configuration: As read.
    """
    return [_check_size(configuration), _check_cell(configuration), _check_distances(configuration)]


def examples() -> dict[str, Configuration]:
    """Small defect cells to try without a file: name to configuration."""
    tungsten = bulk("W", "bcc", a=3.185, cubic=True) * (3, 3, 3)
    del tungsten[0]
    tungsten.rattle(0.03, seed=1)
    copper = fcc111("Cu", (3, 3, 5), a=3.63, vacuum=7.0, periodic=True)
    del copper[-1]
    alloy = bulk("Mo", "bcc", a=3.2, cubic=True) * (3, 3, 3)
    alloy.symbols = np.random.default_rng(1).permutation(np.resize(["Mo", "Nb", "Ta", "W"], len(alloy)))
    alloy.rattle(0.05, seed=2)
    made = {
        "W, vacancy in 3 × 3 × 3 bcc": ("w-vacancy", tungsten),
        "Cu, (111) surface with a surface vacancy": ("cu-111-vacancy", copper),
        "MoNbTaW, random solid solution": ("monbtaw-random", alloy),
    }
    return {title: _from_atoms(name, atoms) for title, (name, atoms) in made.items()}


def _decode(name: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise DatasetError(f"{name} has {len(data) / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.0f} MB are read.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{name} is not a text file. {_WHAT_FITS}, not compressed.") from None
    if not text.strip():
        raise DatasetError(f"{name} is empty. {_WHAT_FITS}.")
    if "\0" in text:
        raise DatasetError(f"{name} is not a text file. {_WHAT_FITS}, not compressed.")
    return text


def _read_extxyz(name: str, text: str) -> Configuration:
    _refuse_many(name, _leading_count(text))
    with tempfile.TemporaryDirectory() as folder:
        # The reader names the file in its messages, so give it the name that the person knows.
        path = Path(folder) / (re.sub(r"[^\w.+-]", "_", name)[:80])
        path.write_text(text, encoding="utf-8")
        found = read_extxyz(path)
    if len(found) > 1:
        raise DatasetError(f"{name} holds {len(found)} structures; give a file with one of them.")
    (c,) = found
    return _configuration(name, c.numbers, c.positions, c.cell, c.pbc, c)


def _read_poscar(name: str, text: str) -> Configuration:
    lines = text.splitlines()
    if len(lines) < 8:
        raise DatasetError(f"{name} ends after {len(lines)} lines; a POSCAR has at least 8.")
    symbols, counts = lines[5].split(), lines[6].split()
    # Without symbols the reader would look for a POTCAR or OUTCAR beside the program.
    if not symbols or not all(word[0].isalpha() for word in symbols):
        raise DatasetError(f"{name} names no elements in line 6; add them, as VASP 5 writes them.")
    n_atoms = sum(int(word) for word in counts if word.isdecimal())
    _refuse_many(name, n_atoms)
    atoms = _parse(name, lambda: read(StringIO(text), format="vasp"))
    assert isinstance(atoms, Atoms)
    return _from_atoms(name, atoms)


def _read_cif(name: str, text: str) -> Configuration:
    blocks = _parse(name, lambda: [b for b in parse_cif(StringIO(text), reader="ase") if b.has_structure()])
    if len(blocks) != 1:
        count = f"{len(blocks)} structures" if blocks else "no structure"
        raise DatasetError(f"{name} holds {count}; give a file with one.")
    block = blocks[0]
    sites = block.get("_atom_site_label") or block.get("_atom_site_type_symbol") or []
    n_sites = len(sites) if isinstance(sites, list) else 1
    _refuse_many(name, n_sites)
    occupancies = np.atleast_1d(np.asarray(block.get("_atom_site_occupancy") or 1.0, dtype=object))
    if any(_as_float(value) < 0.999 for value in occupancies):
        raise DatasetError(f"{name} has partly occupied sites; give an ordered structure.")
    return _from_atoms(name, _expand(name, block, n_sites))


_READERS = {"extxyz": _read_extxyz, "poscar": _read_poscar, "cif": _read_cif}


def _parse(name: str, parser: Callable[[], T]) -> T:
    """Run one of ASE's parsers, which fail with any exception on bad input and document none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return parser()
    except Exception as error:
        detail = " ".join(str(error).split())[:160] or type(error).__name__
        raise DatasetError(f"{name} cannot be read as a structure ({detail}).") from error


def _expand(name: str, block: CIFBlock, n_sites: int) -> Atoms:
    """All atoms of the cell; bounded, since ASE compares every image with every other in Python."""
    group = _parse(name, lambda: block.get_spacegroup(subtrans_included=True))
    n_operations = len(group.get_symop())
    if n_operations == 1:
        return _parse(name, block.get_unsymmetrized_structure)
    if n_operations * n_sites <= MAX_IMAGES:
        return _parse(name, block.get_atoms)
    raise DatasetError(
        f"{name} has {n_sites} sites under {n_operations} symmetry operations, too many to expand here; "
        "give it in space group P1."
    )


def _from_atoms(name: str, atoms: Atoms) -> Configuration:
    pbc = (bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2]))
    return _configuration(name, atoms.numbers, atoms.positions, atoms.cell.array, pbc)


def _configuration(
    name: str,
    numbers: IntArray,
    positions: FloatArray,
    cell: FloatArray,
    pbc: tuple[bool, bool, bool],
    labels: Configuration | None = None,
) -> Configuration:
    return Configuration(
        config_id=re.sub(r"[^\w.+-]+", "-", name)[:80],
        group_name="upload",
        numbers=np.asarray(numbers, dtype=np.int64),
        positions=np.asarray(positions, dtype=float),
        cell=np.asarray(cell, dtype=float),
        pbc=pbc,
        energy=labels.energy if labels else None,
        forces=labels.forces if labels else None,
        stress=labels.stress if labels else None,
    )


def _refuse_many(name: str, n_atoms: int) -> None:
    if n_atoms > MAX_ATOMS:
        raise DatasetError(f"{name} has {n_atoms} atoms; at most {MAX_ATOMS} are predicted here.")


def _refuse_impossible(name: str, configuration: Configuration) -> None:
    """Raise for what no potential can be asked about."""
    if configuration.n_atoms == 0:
        raise DatasetError(f"{name} holds no atoms.")
    _refuse_many(name, configuration.n_atoms)
    if configuration.numbers.min() < 1:
        raise DatasetError(f"{name} holds an atom that is no chemical element.")
    if not (np.isfinite(configuration.positions).all() and np.isfinite(configuration.cell).all()):
        raise DatasetError(f"{name} holds a coordinate that is not a finite number.")
    _refuse_cell(name, configuration)
    distance, i, j = shortest_distance(configuration)
    if distance < MIN_DISTANCE:
        raise DatasetError(f"{name}: atoms {i} and {j} (counted from 0) are {distance:.3f} Å apart.")


def _refuse_cell(name: str, configuration: Configuration) -> None:
    periodic = [axis for axis in range(3) if configuration.pbc[axis]]
    vectors = configuration.cell[periodic]
    if np.linalg.matrix_rank(vectors, tol=1e-6) < len(periodic):
        raise DatasetError(f"{name}: the lattice vectors of its periodic directions span no volume.")
    for vector in vectors:
        length = float(np.linalg.norm(vector))
        if not MIN_HEIGHT <= length <= MAX_HEIGHT:
            raise DatasetError(
                f"{name}: a lattice vector is {length:.3g} Å long; expected {MIN_HEIGHT:g} to {MAX_HEIGHT:g} Å."
            )
    if len(periodic) == 3:
        volume = abs(float(np.linalg.det(configuration.cell))) / configuration.n_atoms
        if volume < MIN_VOLUME_PER_ATOM:
            raise DatasetError(f"{name}: {volume:.2g} Å³ per atom is less than any metal has; check the unit.")


def shortest_distance(configuration: Configuration) -> tuple[float, int, int]:
    """The two atoms that are closest, periodic images included.

    Args:
        configuration: Any.

    Returns:
        Distance in Å and the two indices; infinity and -1 where no two are within `SEARCH_RADIUS`.
    """
    c = configuration
    atoms = Atoms(c.numbers, positions=c.positions, cell=c.cell, pbc=c.pbc)
    i, j, distances = neighbor_list("ijd", atoms, SEARCH_RADIUS)
    if len(distances) == 0:
        return float("inf"), -1, -1
    closest = int(np.argmin(distances))
    return float(distances[closest]), int(i[closest]), int(j[closest])


def _check_size(configuration: Configuration) -> Check:
    n = configuration.n_atoms
    return Check("Atoms", True, f"{n} atom{'s' if n > 1 else ''} of at most {MAX_ATOMS}")


def _check_cell(configuration: Configuration) -> Check:
    open_axes = ["abc"[axis] for axis in range(3) if not configuration.pbc[axis]]
    if len(open_axes) == 3:
        return Check("Cell", True, "not periodic: vacuum is added around the atoms before prediction")
    if open_axes:
        return Check("Cell", True, f"not periodic along {', '.join(open_axes)}: vacuum is added there")
    lengths = np.linalg.norm(configuration.cell, axis=1)
    volume = abs(float(np.linalg.det(configuration.cell))) / configuration.n_atoms
    size = " × ".join(f"{length:.2f}" for length in lengths)
    return Check("Cell", True, f"periodic, {size} Å, {volume:.1f} Å³ per atom")


def _check_distances(configuration: Configuration) -> Check:
    distance, i, j = shortest_distance(configuration)
    if i < 0:
        return Check("Distances", True, f"no two atoms are closer than {SEARCH_RADIUS:g} Å")
    pair = [int(configuration.numbers[k]) for k in (i, j)]
    usual = float(sum(covalent_radii[z] for z in pair))
    names = "–".join(chemical_symbols[z] for z in pair)
    text = f"shortest {names} {distance:.2f} Å (atoms {i} and {j}; covalent radii add up to {usual:.2f} Å)"
    return Check("Distances", distance > 0.65 * usual, text)


def _leading_count(text: str) -> int:
    first = text.split("\n", 1)[0].strip()
    return int(first) if first.isdecimal() and len(first) < 10 else 0


def _is_numbers(line: str, least: int) -> bool:
    words = line.split()
    return len(words) >= least and all(np.isfinite(_as_float(word)) for word in words[:least])


def _as_float(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")
