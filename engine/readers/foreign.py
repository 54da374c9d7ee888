"""Files that are no dataset here: what they are, and how to make one of them.

A refusal that says "unknown format" leaves a person alone with a file whose format is well known. So the formats that
come up around potentials are told by their first bytes, each with the way to extended XYZ.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_ASE = "Convert it: ase convert FILE NEW.extxyz"
_WRITE = (
    "Write extended XYZ with the total energy (eV), the forces (eV/Å) and the stress (eV/Å³, positive in tension) "
    "of each structure"
)
_DPDATA = "Convert it with dpdata: dpdata.LabeledSystem(PATH, fmt=FORMAT), then .to('ase/structure') and ase.io.write"


@dataclass(frozen=True)
class Foreign:
    """A format that is not read here.

    Args:
        name: What a user calls it.
        is_it: Whether the beginning of a file is in it.
        advice: How to make a dataset of it, in one sentence without a full stop.
    """

    name: str
    is_it: Callable[[bytes], bool]
    advice: str


def _starts(*heads: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.lstrip().startswith(heads)


def _has(pattern: str, flags: int = re.MULTILINE) -> Callable[[bytes], bool]:
    compiled = re.compile(pattern.encode(), flags)
    return lambda head: compiled.search(head) is not None


FOREIGN: tuple[Foreign, ...] = (
    Foreign("an ASE trajectory (.traj)", _starts(b"- of Ulm"), _ASE),
    Foreign("an HDF5 file", _starts(b"\x89HDF"), _WRITE),
    Foreign("a numpy array (.npy)", _starts(b"\x93NUMPY"), f"{_WRITE}; for a DeepMD folder see dpdata"),
    Foreign("a netCDF file", _starts(b"CDF\x01", b"CDF\x02", b"CDF\x05"), _WRITE),
    Foreign(
        "a list of VASP's machine-learned force field (ML_AB)",
        _has(r"^\s*1\.0 Version"),
        f"{_WRITE}; its 'Stress (kbar)' is minus 1602.18 times that stress",
    ),
    Foreign("an AtomEye file (.cfg)", _has(r"^\s*Number of particles"), f"It holds no energies. {_WRITE}"),
    Foreign("a LAMMPS dump", _starts(b"ITEM:"), f"A dump holds no total energy. {_WRITE}"),
    Foreign(
        "a LAMMPS data file",
        _has(r"^\s*\d+\s+atoms\b[\s\S]*\bxlo\s+xhi"),
        f"It holds no energies and no forces. {_WRITE}",
    ),
    Foreign("a LAMMPS log", _has(r"^LAMMPS \("), f"It holds no forces. {_WRITE}"),
    Foreign(
        "an input.data file of n2p2 or RuNNer", _has(r"\A\s*begin\s*$"), f"{_WRITE}; mind its unit (bohr, Hartree)"
    ),
    Foreign("an XDATCAR", _has(r"^\s*Direct configuration="), "It holds no energies and no forces; give the OUTCAR"),
    Foreign("a CIF", _has(r"^\s*data_\S*\s*$"), f"It holds no energies and no forces. {_WRITE}"),
    Foreign(
        "an output of Quantum ESPRESSO", _has(r"Program PWSCF"), f"{_ASE} (ase.io.read with format='espresso-out')"
    ),
    Foreign("an output of CASTEP", _has(r"\bCASTEP\b"), f"{_ASE} (ase.io.read with format='castep-castep')"),
    Foreign("an output of FHI-aims", _has(r"Invoking FHI-aims"), f"{_ASE} (ase.io.read with format='aims-output')"),
    Foreign("an output of CP2K", _has(r"\bCP2K\|"), f"{_DPDATA.replace('FORMAT', chr(39) + 'cp2k/output' + chr(39))}"),
    Foreign("an output of ABINIT", _has(r"\.Version .* of ABINIT"), f"{_ASE} (ase.io.read with format='abinit-out')"),
    Foreign("an output of GPAW", _has(r"\bGPAW\b"), f"{_ASE} (ase.io.read with format='gpaw-out')"),
    Foreign(
        "JSON of pymatgen, as MPtrj is published (id -> frame -> structure, energy, force, stress)",
        lambda head: head.lstrip().startswith(b"{") and (b'"pymatgen' in head or b'"lattice"' in head),
        f"{_WRITE}: uncorrected_total_energy, force, and minus stress over 1602.18, which is in kbar with VASP's sign",
    ),
)
"""In the order in which they are tried."""


def foreign_format(head: bytes) -> str:
    """What a file is that is not read here, and how to make a dataset of it; empty where it is not known.

    Args:
        head: Its first bytes, unpacked.
    """
    found = next((known for known in FOREIGN if known.is_it(head)), None)
    return f"{found.name}, which is not read here. {found.advice}." if found else ""


def foreign_folder(path: Path) -> str:
    """The same for a folder."""
    if any((path / name).is_file() for name in ("type.raw", "type_map.raw")) or list(path.glob("set.*")):
        return (
            "a DeepMD folder (type.raw, set.000), which is not read here. Convert it with dpdata: "
            f"dpdata.LabeledSystem('{path.name}', fmt='deepmd/npy').to('ase/structure'), then ase.io.write of "
            "each as extended XYZ; its virial is minus the stress times the volume."
        )
    if (path / "data.mdb").is_file():
        return "a folder of LMDB; give the file data.mdb in it with --format ase-lmdb."
    if (path / "OUTCAR").is_file():
        return f"a folder of VASP; give {path.name}/OUTCAR."
    return "a folder; give one file."
