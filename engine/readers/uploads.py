"""Structures that people hand in: POSCAR, CIF or extended XYZ in memory to one checked configuration.

Nothing in a file from outside is trusted. Its format follows from its name, or from its first lines where the
name says nothing; sizes are limited before a reader sees the text; every problem becomes one `DatasetError` that a page
or the command line shows as it is. `engine.readers.sandbox` does all of it in a process of bounded time and memory.
"""

import re
import tempfile
from pathlib import Path, PurePath

import numpy as np

from engine.errors import DatasetError, LabelError
from engine.readers.checks import check_structure, refuse_impossible
from engine.readers.cif import read_cif
from engine.readers.comments import parse_comment
from engine.readers.extxyz import read_extxyz
from engine.readers.label_keys import NONE
from engine.readers.other_formats import other_format
from engine.readers.poscar import read_poscar
from engine.readers.readings import Check, Reading, Upload, refuse_many
from engine.records import Configuration

MAX_BYTES = 5_000_000
MAX_COMMENT = 1_000_000
FORMATS = {"poscar": "POSCAR", "cif": "CIF", "extxyz": "extended XYZ"}
SUFFIXES = (".poscar", ".vasp", ".contcar", ".cif", ".xyz", ".extxyz")

_WHAT_FITS = "Give a POSCAR, a CIF or an extended XYZ file"
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?")
_CELL_WORDS = re.compile(r"(?i)\b(?:lattice|cell|unit_?cell|box|tvec\w*)\b\W*[=:]?\W*-?\d")


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
    return read_upload(name, data).configuration


def read_upload(name: str, data: bytes) -> Upload:
    """Read one structure, say what was understood, and look at what matters for a prediction.

    Args:
        name: File name; its ending decides the format, it is never opened.
        data: Contents, at most `MAX_BYTES`.

    Raises:
        DatasetError: As `read_structure`.
    """
    try:
        with np.errstate(all="ignore"):  # absurd numbers are refused by their size
            return _read(plain_name(name), data)
    except DatasetError as error:
        # A message may quote the file; no word of it may fill the screen.
        raise DatasetError(re.sub(r"(\S{100})\S{20,}", r"\1…", str(error))) from error


def _read(name: str, data: bytes) -> Upload:
    text, checks = _decode(name, data)
    kind = file_format(name, text)
    reading = _READERS[kind](name, text)
    refuse_many(name, len(reading.numbers))
    configuration = _configuration(name, reading)
    refuse_impossible(name, configuration)
    return Upload(configuration, kind, (*checks, *reading.checks, *check_structure(configuration)))


def plain_name(name: str) -> str:
    """A file name without folders and without what cannot be printed; `upload` where nothing is left."""
    last = PurePath(name.replace("\\", "/")).name
    printable = "".join(character for character in last if character.isprintable())[:80].strip()
    return printable if printable.strip(".") else "upload"


def file_format(name: str, text: str) -> str:
    """Key of `FORMATS` that a file is in.

    Args:
        name: File name.
        text: Contents, looked at only where the name says nothing.

    Raises:
        DatasetError: Neither name nor contents are of a known format.
    """
    lower = name.lower()
    if lower.endswith(".cif"):
        return "cif"
    if lower.endswith((".xyz", ".extxyz")):
        return "extxyz"
    if lower.endswith((".poscar", ".vasp", ".contcar")) or lower.startswith(("poscar", "contcar", "xdatcar")):
        return "poscar"
    lines = text[:20_000].split("\n")
    if re.match(r"(?:\s*#[^\n]*\n)*\s*data_", text):
        return "cif"
    if lines[0].strip().isdecimal():
        return "extxyz"
    if known := other_format(name, text.encode()):
        raise DatasetError(known)
    if len(lines) > 6 and _n_numbers(lines[1]) and all(_n_numbers(line) >= 3 for line in lines[2:5]):
        return "poscar"
    raise DatasetError(f"{name} is in no format that is read here. {_WHAT_FITS}.")


def _decode(name: str, data: bytes) -> tuple[str, list[Check]]:
    """Text of a file with plain line ends, and a remark where its encoding had to be found."""
    if len(data) > MAX_BYTES:
        raise DatasetError(f"{name} has {len(data) / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.0f} MB are read.")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        encoding = "latin-1"
        text = data.decode(encoding)
    if re.search(r"[\x00-\x08\x0e-\x1f\x7f]", text):
        known = other_format(name, data)
        raise DatasetError(known or f"{name} is not a text file. {_WHAT_FITS}, not compressed.")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise DatasetError(f"{name} is empty. {_WHAT_FITS}.")
    remark = f"text in {encoding.upper()}, since it is not UTF-8"
    return text, [] if encoding == "utf-8-sig" else [Check("Read as", True, remark)]


def _read_extxyz(name: str, text: str) -> Reading:
    lines = text.rstrip().split("\n")
    if not (lines[0].strip().isascii() and lines[0].strip().isdecimal()):
        known = other_format(name, text.encode())
        raise DatasetError(
            known
            or f"{name} should begin with a number of atoms, as XYZ does, and begins with {lines[0].strip()[:40]!r}."
        )
    count = lines[0].strip().lstrip("0") or "0"
    if len(count) > 9:
        raise DatasetError(f"{name} begins with a number of {len(count)} digits; expected the number of atoms.")
    refuse_many(name, int(count))
    comment = lines[1] if len(lines) > 1 else ""
    if len(comment) > MAX_COMMENT:
        raise DatasetError(
            f"{name}: its line 2 has {len(comment) / 1e6:.1f} million characters; at most 1 million are read."
        )
    _refuse_frames(name, lines)
    with tempfile.TemporaryDirectory() as folder:
        # The reader names the file in its messages, so give it the name that the person knows.
        path = Path(folder) / re.sub(r"[^\w.+-]", "_", name)
        path.write_text(text, encoding="utf-8")
        found, checks = _labelled(path)
    is_known = any(key.lower() == "lattice" for key in parse_comment(comment))
    if not found.cell.any() and not is_known and _CELL_WORDS.search(comment):
        raise DatasetError(
            f"{name}: its comment line speaks of a cell that is not understood. Write it as "
            'Lattice="ax ay az bx by bz cx cy cz".'
        )
    checks = [*_xyz_checks(comment, found), *checks]
    return Reading(found.numbers.tolist(), found.positions, found.cell, found.pbc, checks, found)


def _labelled(path: Path) -> tuple[Configuration, list[Check]]:
    """The structure with its labels; without them, and with a warning, where it is not clear which are meant."""
    try:
        (found,) = read_extxyz(path)
    except LabelError as error:
        (found,) = read_extxyz(path, **dict.fromkeys(("energy_key", "forces_key", "stress_key", "virial_key"), NONE))
        reason, _, _ = str(error).partition(". ")
        return found, [Check("Labels", False, f"{reason}. The prediction is compared with none of them")]
    return found, []


def _refuse_frames(name: str, lines: list[str]) -> None:
    """Refuse a trajectory; its frames are counted, not read."""
    n_frames, start = 0, 0
    while start < len(lines):
        word = lines[start].strip()
        if not (word.isascii() and word.isdecimal() and len(word) < 10):
            break
        n_frames += 1
        start += int(word) + 2
        while start < len(lines) and not lines[start].strip():
            start += 1
    if n_frames > 1:
        raise DatasetError(
            f"{name} holds {n_frames} structures; give a file with one of them. "
            f"The last one: ase convert -n -1 {name} one.extxyz"
        )


def _xyz_checks(comment: str, found: Configuration) -> list[Check]:
    kind = "extended XYZ" if "Properties" in parse_comment(comment) or found.cell.any() else "plain XYZ"
    checks = [Check("Read as", True, f"{kind} of {found.n_atoms} atom{'s' if found.n_atoms > 1 else ''}")]
    if re.match(r"\s*i\s*=\s*\d+,\s*time\s*=", comment) and not found.cell.any():
        text = 'XYZ of CP2K, which leaves the cell out; add it to line 2 as Lattice="ax ay az bx by bz cx cy cz"'
        checks.append(Check("Read as", False, text))
    return checks


_READERS = {"extxyz": _read_extxyz, "poscar": read_poscar, "cif": read_cif}


def _configuration(name: str, reading: Reading) -> Configuration:
    labels = reading.labels
    return Configuration(
        config_id=re.sub(r"[^\w.+-]+", "-", name)[:80],
        group_name="upload",
        numbers=np.asarray(reading.numbers, dtype=np.int64),
        positions=np.asarray(reading.positions, dtype=float),
        cell=np.asarray(reading.cell, dtype=float),
        pbc=reading.pbc,
        energy=labels.energy if labels else None,
        forces=labels.forces if labels else None,
        stress=labels.stress if labels else None,
    )


def _n_numbers(line: str) -> int:
    """How many numbers a line begins with."""
    n = 0
    for word in line.split(maxsplit=8):
        if not _NUMBER.fullmatch(word[:60]):
            break
        n += 1
    return n
