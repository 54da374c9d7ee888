"""Structure and trajectory files that are not read here: what they are, told by their beginning, and what to do.

A refusal that only says "unknown format" leaves a person alone with a file whose format is well known.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_LAST = "Take one frame: ase convert -n -1 {name} frame.extxyz"
_CONVERT = "Convert it: ase convert {name} new.extxyz"
_TYPED = (
    "Convert one frame, with the elements of its types: ase.io.read('{name}', format='{format}', ...).write('a.extxyz')"
)
_PYMATGEN = (
    "Write one structure as CIF or POSCAR: pymatgen.core.Structure.from_dict(entry['structure']).to('one.cif'), "
    "where entry is one entry of the file"
)
_HEAD = 65536


@dataclass(frozen=True)
class OtherFormat:
    """A format that is not read here.

    Args:
        title: What a user calls it.
        is_it: Whether the beginning of a file is in it.
        advice: What to do, one sentence without a full stop; `{name}` is the file.
    """

    title: str
    is_it: Callable[[bytes], bool]
    advice: str


def _starts(*heads: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(heads)


def _has(pattern: str) -> Callable[[bytes], bool]:
    compiled = re.compile(pattern.encode(), re.MULTILINE)
    return lambda head: compiled.search(head) is not None


_ONE_XYZ = "Write one structure of it as extended XYZ"
_ATOMS_AND_CELL = "Write its atoms and its cell as extended XYZ"
_ROW = "Take one row: ase convert {name}@id=1 one.extxyz"
_DPDATA = "dpdata.LabeledSystem({path}, fmt='deepmd/npy').to('ase/structure')[0].write('one.extxyz')"


def _is_pymatgen(head: bytes) -> bool:
    return head.startswith((b"{", b"[")) and (b'"@module"' in head or b'"lattice"' in head)


_OTHERS = (
    OtherFormat("an ASE trajectory (.traj)", _starts(b"- of Ulm"), _LAST),
    OtherFormat(
        "compressed", _starts(b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"), "Unpack it"
    ),
    OtherFormat("an HDF5 file", _starts(b"\x89HDF"), _ONE_XYZ),
    OtherFormat(
        "a numpy array",
        _starts(b"\x93NUMPY"),
        f"If it is part of a DeepMD folder, write one frame with dpdata: {_DPDATA.replace('{path}', 'FOLDER')}",
    ),
    OtherFormat("a netCDF file", _starts(b"CDF\x01", b"CDF\x02", b"CDF\x05"), _LAST),
    OtherFormat("an ASE database (SQLite)", _starts(b"SQLite format 3"), _ROW),
    OtherFormat(
        "a pointer of Git LFS",
        _starts(b"version https://git-lfs"),
        "Fetch the file that it stands for: git lfs pull, or download it once more",
    ),
    OtherFormat(
        "a web page (HTML)", _starts(b"<!DOCTYPE html", b"<!doctype html", b"<html"), "Download the file itself"
    ),
    OtherFormat("a PDF or a picture", _starts(b"%PDF", b"\x89PNG", b"\xff\xd8\xff"), "Give the file of the atoms"),
    OtherFormat(
        "an MTP file (.cfg of MLIP)",
        _has(r"^\s*BEGIN_CFG"),
        "Its types are numbers without elements; write one configuration as extended XYZ with its symbols",
    ),
    OtherFormat("an AtomEye file (.cfg)", _has(r"^\s*Number of particles"), _CONVERT),
    OtherFormat("a LAMMPS dump", _starts(b"ITEM:"), _TYPED.replace("{format}", "lammps-dump-text")),
    OtherFormat("a LAMMPS data file", _has(r"^\s*\d{1,12}\s+atoms\s*$"), _TYPED.replace("{format}", "lammps-data")),
    OtherFormat("a vasprun.xml", _has(r"<modeling>"), _LAST),
    OtherFormat("an OUTCAR", _has(r"^\s*(?:vasp\.\d|POTCAR:)"), _LAST),
    OtherFormat("a POTCAR", _has(r"^\s*PAW_"), "Give the POSCAR beside it"),
    OtherFormat("an XCrySDen file", _has(r"^\s*(?:CRYSTAL|ANIMSTEPS|PRIMVEC|PRIMCOORD)\b"), _LAST),
    OtherFormat("a PDB file", _has(r"^(?:CRYST1|ATOM  |HETATM)"), _LAST),
    OtherFormat("an input of Quantum ESPRESSO", _has(r"^\s*&(?i:control|system)"), _CONVERT),
    OtherFormat("an output of Quantum ESPRESSO", _has(r"Program PWSCF"), _LAST),
    OtherFormat("an input of FHI-aims", _has(r"^\s*(?:lattice_vector|atom_frac|atom)\s"), _CONVERT),
    OtherFormat("a CASTEP cell", _has(r"^\s*%(?i:block)\s"), _CONVERT),
    OtherFormat("an output of CASTEP", _has(r"\bCASTEP\b|CCC   AA    SSS  TTTTT"), _LAST),
    OtherFormat("a file of DFTB+ (.gen)", _has(r"\A\s*\d+\s+[CSFH]\s*$"), _CONVERT),
    OtherFormat("a SHELX file (.res)", _has(r"^(?:TITL|CELL)\s"), _CONVERT),
    OtherFormat("a CP2K input", _has(r"^\s*&(?:GLOBAL|FORCE_EVAL|CELL)\b"), _ATOMS_AND_CELL),
    OtherFormat("an output of CP2K", _has(r"^\s*CP2K\|"), _ATOMS_AND_CELL),
    OtherFormat("JSON of pymatgen, as MPtrj and MatPES are published", _is_pymatgen, _PYMATGEN),
    OtherFormat("an ASE database (JSON)", lambda head: head[:1] == b"{" and b'"ids"' in head, _ROW),
    OtherFormat("JSON", _starts(b"{", b"["), _ONE_XYZ),
)


def other_format(name: str, data: bytes) -> str:
    """What a file is that is not read here and what to do with it, in two sentences; empty where it is not known.

    Args:
        name: Of the file.
        data: Its contents, of which the beginning is looked at.
    """
    head = data[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n")
    found = next((one for one in _OTHERS if one.is_it(head)), None)
    return f"{name} is {found.title}, which is not read here. {found.advice.replace('{name}', name)}." if found else ""


def other_folder(path: Path) -> str:
    """The same for a folder.

    Args:
        path: The folder.
    """
    if any((path / name).is_file() for name in ("type.raw", "type_map.raw")) or any(path.glob("set.*")):
        return (
            f"{path.name} is a DeepMD folder (type.raw, set.000), which is not read here. Write one frame with dpdata: "
            + _DPDATA.replace("{path}", f"'{path.name}'")
            + "."
        )
    for known in ("POSCAR", "CONTCAR"):
        if (path / known).is_file():
            return f"{path.name} is a folder; give {path.name}/{known}."
    return f"{path.name} is a folder; give a POSCAR, a CIF or an extended XYZ file in it."
