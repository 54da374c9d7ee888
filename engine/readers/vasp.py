"""VASP's vasprun.xml, through ASE, plain or gzipped.

Each converged ionic step is a configuration. Its energy is the one extrapolated to zero smearing, as ASE reads it.
"""

import io
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from engine.errors import DatasetError
from engine.readers.ingestion import build_configuration, checked, default_id, read_bytes
from engine.readers.outcar import Steps, left_out, not_converged
from engine.records import Configuration

_MARKUP = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


def read_vasprun(path: Path) -> list[Configuration]:
    """Read every converged ionic step of a complete vasprun.xml.

    Args:
        path: The file; its name and the step name a configuration.

    Raises:
        DatasetError: The file is cut, is no vasprun.xml, a step cannot be read, or none is converged DFT.
    """
    return vasprun_steps(path).configurations


def vasprun_steps(path: Path) -> Steps:
    """Read a vasprun.xml, with remarks on what is left out or odd.

    Raises:
        DatasetError: As `read_vasprun`.
    """
    from ase.io.vasp import read_vasp_xml  # scipy's integrals come with it, which no page opens with

    data = read_bytes(path)
    if _MARKUP.search(data):
        raise DatasetError(f"{path.name} declares entities, which VASP never does; it is not read.")
    try:
        # ASE reads what it can of a cut file; here all or nothing counts.
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        n_steps = max(data.count(b"</calculation>"), 0)
        raise DatasetError(f"{path.name}, configuration {n_steps}: it is no complete XML ({error}).") from error
    electronic = [len(step.findall("scstep")) for step in root.iter("calculation")]
    if not electronic:
        raise DatasetError(f"{path.name} holds no ionic step; it is no vasprun.xml.")
    reasons = _reasons(root, electronic)
    remarks = left_out(path, reasons) + _mend_elements(path, root)
    kept = [i for i, reason in enumerate(reasons) if not reason]
    if remarks:
        _remove_steps(root, reasons)
        data = ElementTree.tostring(root)
    found = _steps(path, kept, lambda: read_vasp_xml(io.BytesIO(data), index=slice(None)))
    if len(found) != len(kept):
        raise DatasetError(f"{path.name}: {len(found)} of {len(kept)} ionic steps can be read.")
    return Steps(checked(path, found), remarks)


def _remove_steps(root: ElementTree.Element, reasons: list[str]) -> None:
    """Take out steps that are no labels; ASE cannot read one without electronic steps."""
    parents = {child: parent for parent in root.iter() for child in parent}
    for step, reason in zip(list(root.iter("calculation")), reasons, strict=True):
        if reason:
            parents[step].remove(step)


def _reasons(root: ElementTree.Element, electronic: list[int]) -> list[str]:
    """Why each step is no label, from its number of electronic steps; empty where it is one."""
    settings = {item.get("name"): (item.text or "").strip() for item in root.iter("i")}
    n_max = int(settings["NELM"]) if settings.get("NELM", "").isdecimal() else 0
    is_learning = settings.get("ML_LMLFF", "F").strip(".").upper().startswith("T")
    ml = "they are predictions of VASP's machine-learned force field, not DFT"
    return [ml if is_learning and not n else not_converged(n_max) if n_max and n >= n_max else "" for n in electronic]


def _mend_elements(path: Path, root: ElementTree.Element) -> list[str]:
    """Write out elements that VASP cut short, such as `r ` for Zr, from the names of the potentials."""
    types = [
        [(cell.text or "").strip() for cell in row] for row in root.iterfind("atominfo/array[@name='atomtypes']/set/rc")
    ]
    changed = {}
    for row in root.iterfind("atominfo/array[@name='atoms']/set/rc"):
        cells = list(row)
        name, kind = ((cell.text or "").strip() for cell in (cells + cells)[:2])
        if name in atomic_numbers or not kind.isdecimal() or not 1 <= int(kind) <= len(types):
            continue
        potential = types[int(kind) - 1][-1].split()
        found = next((match[0] for word in potential[1:2] if (match := re.match("[A-Z][a-z]?", word))), "")
        if found not in atomic_numbers or not found.lower().endswith(name.lower()[:2]):
            continue
        cells[0].text = found
        changed[name] = f"its element {name!r} is {found} by the potential {' '.join(potential)}"
    return list(changed.values())


def _steps(path: Path, kept: list[int], parse: Callable[[], Iterator[Atoms]]) -> list[Configuration]:
    """Configurations from ASE's parser, which fails with any exception on bad input and documents none."""
    configurations: list[Configuration] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for index, atoms in zip(kept, parse(), strict=True):
                configurations.append(_configuration(path, index, atoms))
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
