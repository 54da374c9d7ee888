"""Readers of VASP's own output, through ASE: OUTCAR and vasprun.xml, plain or gzipped.

Each ionic step is a configuration. Its energy is the one extrapolated to zero smearing, as ASE reads it.
"""

import io
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread
from ase.io.vasp import read_vasp_xml

from engine.errors import DatasetError
from engine.readers.ingestion import build_configuration, checked, default_id, read_bytes, read_text
from engine.records import Configuration

_FORCES_TITLE = "TOTAL-FORCE (eV/Angst)"
_FOOTER = "General timing and accounting informations for this job"
_MARKUP = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


def read_outcar(path: Path) -> list[Configuration]:
    """Read every ionic step of a finished OUTCAR.

    Args:
        path: The file; its name and the step name a configuration.

    Raises:
        DatasetError: The file is none, the run did not finish, or a step cannot be read.
    """
    text = read_text(path)
    n_steps = text.count(_FORCES_TITLE)
    if not n_steps:
        raise DatasetError(f"{path.name} holds no ionic step with forces; it is no complete OUTCAR.")
    if _FOOTER not in text:
        raise DatasetError(
            f"{path.name}, configuration {n_steps - 1}: the run did not finish (no final timing); "
            "give a complete OUTCAR, or its finished steps as extended XYZ."
        )
    configurations = _steps(path, lambda: iread(_Stream(text), index=":", format="vasp-out"))
    if len(configurations) != n_steps:
        raise DatasetError(f"{path.name}: {len(configurations)} of {n_steps} ionic steps can be read.")
    return checked(path, configurations)


def read_vasprun(path: Path) -> list[Configuration]:
    """Read every ionic step of a complete vasprun.xml.

    Args:
        path: The file; its name and the step name a configuration.

    Raises:
        DatasetError: The file is cut, is no vasprun.xml, or a step cannot be read.
    """
    data = read_bytes(path)
    if _MARKUP.search(data):
        raise DatasetError(f"{path.name} declares entities, which VASP never does; it is not read.")
    n_steps = 0
    try:
        # ASE reads what it can of a cut file; here all or nothing counts.
        for _, element in ElementTree.iterparse(io.BytesIO(data), events=["end"]):
            n_steps += element.tag == "calculation"
    except ElementTree.ParseError as error:
        raise DatasetError(f"{path.name}, configuration {max(n_steps, 0)}: it is no complete XML ({error}).") from error
    if not n_steps:
        raise DatasetError(f"{path.name} holds no ionic step; it is no vasprun.xml.")
    configurations = _steps(path, lambda: read_vasp_xml(io.BytesIO(data), index=slice(None)))
    return checked(path, configurations)


class _Stream(io.StringIO):
    """Text that claims to lie in no folder, since ASE would take constraints from a POSCAR beside an OUTCAR."""

    name = "/nowhere/OUTCAR"


def _steps(path: Path, parse: Callable[[], Iterator[Atoms]]) -> list[Configuration]:
    """Configurations from one of ASE's parsers, which fail with any exception on bad input and document none."""
    configurations: list[Configuration] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for atoms in parse():
                configurations.append(_configuration(path, len(configurations), atoms))
    except DatasetError:
        raise
    except Exception as error:
        detail = " ".join(str(error).split())[:160] or type(error).__name__
        raise DatasetError(
            f"{path.name}, configuration {len(configurations)}: it cannot be read ({detail})."
        ) from error
    return configurations


def _configuration(path: Path, index: int, atoms: Atoms) -> Configuration:
    where = f"{path.name}, configuration {index}"
    results = atoms.calc.results if atoms.calc else {}
    if results.get("energy") is None:
        raise DatasetError(f"{where}: it has no energy.")
    return build_configuration(
        where,
        config_id=default_id(path, index),
        group_name="all",
        symbols=atoms.get_chemical_symbols(),
        positions=atoms.positions,
        cell=np.ravel(atoms.cell.array),
        pbc=(bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
        energy=results["energy"],
        forces=results.get("forces"),
        stress=results.get("stress"),
    )
