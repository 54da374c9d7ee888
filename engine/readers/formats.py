"""Readers of configuration files: one local file in, checked configurations out.

Every reader returns all configurations of its file, or raises one `DatasetError` that names the file and
the configuration; nothing is half-read. Units on return are ASE's: eV (total per configuration), Å, eV/Å,
eV/Å³, with stress in Voigt order xx, yy, zz, yz, xz, xy, positive in tension.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

from engine.errors import DatasetError
from engine.readers.databases import read_ase_db, read_ase_lmdb, read_parquet, read_pyiron_h5
from engine.readers.extxyz import read_extxyz
from engine.readers.outcar import read_outcar
from engine.readers.single_sources import (
    LAMMPS_SHEARS,
    read_metals,
    read_mtp_cfg,
    read_snap_json,
    read_w_g,
    read_zr_h_cfg,
)
from engine.readers.vasp import read_vasprun
from engine.records import Configuration

"""Where yz, xz and xy stand in the order xx, yy, zz, xy, yz, zx."""

"""Where yz, xz and xy stand in the order xx, yy, zz, xy, xz, yz."""

"""Atomic numbers of non-metals and metalloids."""

READERS: dict[str, Callable[[Path], list[Configuration]]] = {
    "extxyz": read_extxyz,
    "extxyz-metals": read_metals,
    "snap-json": read_snap_json,
    "snap-json-lammps-stress": functools.partial(read_snap_json, shear_order=LAMMPS_SHEARS),
    "snap-json-no-stress": functools.partial(read_snap_json, shear_order=None),
    "w-g-pickle": read_w_g,
    "zr-h-cfg": read_zr_h_cfg,
    "mtp-cfg-cr-co-ni": functools.partial(read_mtp_cfg, species=("Cr", "Co", "Ni")),
    "mtp-cfg": functools.partial(read_mtp_cfg, species=()),
    "outcar": read_outcar,
    "vasprun": read_vasprun,
    "ase-db": read_ase_db,
    "ase-lmdb": read_ase_lmdb,
    "parquet": read_parquet,
    "pyiron-h5-mg": functools.partial(read_pyiron_h5, symbol="Mg"),
}

"""Name in the registry of datasets -> reader."""


def read(path: Path, reader: str, group: str = "") -> list[Configuration]:
    """Read one file by the name of its reader.

    Args:
        path: The file.
        reader: Key of `READERS`.
        group: Group of all its configurations; empty to keep what the reader says.

    Raises:
        DatasetError: There is no such reader, or the file cannot be read.
    """
    if reader not in READERS:
        raise DatasetError(f"{path.name}: no reader is called {reader!r}; there are {', '.join(READERS)}.")
    configurations = READERS[reader](path)
    if not group:
        return configurations
    return [dataclasses.replace(c, group_name=group) for c in configurations]
