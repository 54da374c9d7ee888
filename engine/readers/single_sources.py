"""Readers of formats that a single source publishes."""

import dataclasses
import io
import json
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from engine.errors import DatasetError
from engine.readers.extxyz import read_extxyz, volume
from engine.readers.ingestion import (
    build_configuration,
    checked,
    default_id,
    read_bytes,
    read_text,
)
from engine.records import Configuration

VASP_SHEARS = (4, 5, 3)

LAMMPS_SHEARS = (5, 4, 3)

NON_METALS = frozenset(
    atomic_numbers[symbol]
    for symbol in [
        "H",
        "He",
        "B",
        "C",
        "N",
        "O",
        "F",
        "Ne",
        "Si",
        "P",
        "S",
        "Cl",
        "Ar",
        "Ge",
        "As",
        "Se",
        "Br",
        "Kr",
        "Sb",
        "Te",
        "I",
        "Xe",
        "At",
        "Rn",
    ]
)

_KBAR = 1 / 1602.1766208  # eV/Å³

_SNAP_GROUPS = {"relax": "ss_relaxed", "unrelax": "ss_unrelaxed"}

_W_G_FIRST_DIMER = 1026

_W_G_FIRST_SHORT_RANGE = 1039


def read_metals(path: Path) -> list[Configuration]:
    """Read extended XYZ and keep configurations made of metals only; ids keep the index in the file.

    Args:
        path: The file.

    Raises:
        DatasetError: As `read_extxyz`, or no configuration is left.
    """
    return checked(path, [c for c in read_extxyz(path) if not set(c.numbers.tolist()) & NON_METALS])


def read_snap_json(path: Path, shear_order: tuple[int, int, int] | None = VASP_SHEARS) -> list[Configuration]:
    """Read JSON of the Materials Virtual Lab (SNAP and mlearn): a list of pymatgen structures with labels.

    The group is `ss_relaxed` or `ss_unrelaxed` for solid solutions, the entry's own in mlearn, else `all`.

    Args:
        path: The file; its name and the index in it name a configuration.
        shear_order: Positions of yz, xz and xy among the six stress components of an `outputs` entry. The
            source does not say which of its files are in which order: compare with the applied strain. None
            where nobody could: such stresses are left out.

    Raises:
        DatasetError: The file cannot be read or a configuration in it is impossible.

    Source:
        https://github.com/materialsvirtuallab/snap, https://github.com/materialsvirtuallab/mlearn
    """
    try:
        entries = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path.name} is not JSON: {error}.") from error
    if not isinstance(entries, list):
        raise DatasetError(f"{path.name} holds a {type(entries).__name__}, expected a list of structures.")
    return checked(path, [_snap_entry(entry, path, i, shear_order) for i, entry in enumerate(entries)])


def read_zr_h_cfg(path: Path) -> list[Configuration]:
    """Read an MTP `.cfg` file of Zr (type 0) and H (type 1).

    Groups come from composition and size: pure Zr, up to a fifth of H, more H in up to 12 atoms, and larger.

    Args:
        path: The file; its name and the index in it name a configuration.

    Raises:
        DatasetError: The file cannot be read or a configuration in it is impossible.
    """
    found = read_mtp_cfg(path, species=("Zr", "H"))
    return [dataclasses.replace(c, group_name=_zr_h_group(c)) for c in found]


def read_mtp_cfg(path: Path, species: tuple[str, ...]) -> list[Configuration]:
    """Read an MTP `.cfg` file.

    Args:
        path: The file; its name and the index in it name a configuration.
        species: Chemical symbol of each atom type, from 0 on; the file does not say.

    Raises:
        DatasetError: The file cannot be read or a configuration in it is impossible.

    Source:
        Format: https://mlip.skoltech.ru; `PlusStress` is minus stress times volume, eV.
    """
    blocks = read_text(path).split("BEGIN_CFG")[1:]
    if not species:
        raise DatasetError(f"{path.name} is an MTP file, which names no elements; give them: --species Cu Au")
    return checked(path, [_cfg_block(block, path, i, species) for i, block in enumerate(blocks)])


def read_w_g(path: Path) -> list[Configuration]:
    """Read the W-g set as its authors publish it: a pickled pandas table of ASE atoms, energies and forces.

    Only the classes that such a table needs are unpickled. The source names no groups: indices 1026-1038 are
    dimers and 1039-1128 short-range configurations, as its notebook says; the others are inferred from cell
    and number of atoms.

    Args:
        path: `W_DFT.pckl.gzip`.

    Raises:
        DatasetError: The file cannot be read, or it holds anything else.

    Source:
        https://github.com/Kai-Liu-MSE/UQ-uMLIP
    """
    table = _read_pickled_table(path, ("ase_atoms", "energy", "forces"))
    columns = (table[name] for name in ("ase_atoms", "energy", "forces"))
    configurations = []
    for i, (atoms, energy, forces) in enumerate(zip(*columns, strict=True)):
        configuration = build_configuration(
            f"{path.name}, configuration {i}",
            config_id=f"W_g_{i:04d}",
            group_name="",
            symbols=atoms.get_chemical_symbols(),
            positions=atoms.positions,
            cell=np.ravel(atoms.cell),
            pbc=(bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
            energy=energy,
            forces=forces,
            stress=None,
        )
        configurations.append(dataclasses.replace(configuration, group_name=_w_g_group(i, configuration)))
    return checked(path, configurations)


def _snap_entry(entry: Any, path: Path, index: int, shear_order: tuple[int, int, int] | None) -> Configuration:
    """One structure of a SNAP JSON file, of either of the two layouts that the source uses."""
    where = f"{path.name}, configuration {index}"
    if isinstance(entry, dict) and "structure" in entry and {"energy", "forces", "stress"} <= set(entry):
        raise DatasetError(
            f"{where}: energy, forces and stress stand beside the structure, as in JSON of MatPES, not read here. "
            "Write extended XYZ with energy, forces and minus stress over 1602.18 (it is in kbar with VASP's sign)."
        )
    try:
        sites = entry["structure"]["sites"]
        if "outputs" in entry:
            labels = entry["outputs"]
            energy = labels["energy"]
            raw = labels["virial_stress" if "tag" in entry else "stress"]
            kbar = [raw[k] for k in (0, 1, 2, *shear_order)] if shear_order else None
        else:
            labels = entry["data"]
            energy, kbar = labels["energy_per_atom"] * len(sites), labels["virial_stress"]
        return build_configuration(
            where,
            config_id=default_id(path, index),
            group_name=_snap_group(entry),
            symbols=[site["species"][0]["element"] for site in sites],
            positions=[site["xyz"] for site in sites],
            cell=np.ravel(entry["structure"]["lattice"]["matrix"]),
            pbc=(True, True, True),
            energy=energy,
            forces=labels["forces"],
            stress=None if kbar is None else [-value * _KBAR for value in kbar],  # VASP counts pressure
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DatasetError(f"{where}: {type(error).__name__} at {error}: not a SNAP entry.") from error


def _cfg_block(block: str, path: Path, index: int, species: tuple[str, ...]) -> Configuration:
    """One block of an MTP file, from after BEGIN_CFG to END_CFG."""
    where = f"{path.name}, configuration {index}"
    lines = [line.split() for line in block.splitlines()]
    try:
        if ["END_CFG"] not in lines:
            raise ValueError("END_CFG is missing")
        starts = {line[0]: i + 1 for i, line in enumerate(lines) if line}
        n_atoms = int(lines[starts["Size"]][0])
        header = lines[starts["AtomData:"] - 1][1:]
        rows = lines[starts["AtomData:"] : starts["AtomData:"] + n_atoms]
        columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
        configuration = build_configuration(
            where,
            config_id=default_id(path, index),
            group_name="all",
            symbols=[dict(enumerate(species))[int(kind)] for kind in columns["type"]],
            positions=np.array([columns[f"cartes_{axis}"] for axis in "xyz"]).T,
            cell=np.ravel(lines[starts["Supercell"] : starts["Supercell"] + 3]),
            pbc=(True, True, True),
            energy=lines[starts["Energy"]][0],
            forces=np.array([columns[f"f{axis}"] for axis in "xyz"]).T,
            stress=lines[starts["PlusStress:"]] if "PlusStress:" in starts else None,
        )
    except (KeyError, IndexError, ValueError) as error:
        raise DatasetError(f"{where}: {type(error).__name__} at {error}: not an MTP block.") from error
    if configuration.stress is None:
        return configuration
    return dataclasses.replace(configuration, stress=-configuration.stress / volume(configuration.cell))


def _zr_h_group(configuration: Configuration) -> str:
    """Group of a Zr-H configuration, from composition and size."""
    n_atoms, n_hydrogen = configuration.n_atoms, int(np.count_nonzero(configuration.numbers == 1))
    if n_hydrogen == 0:
        return "pure_Zr_smallcell"
    if 5 * n_hydrogen <= n_atoms:
        return "dilute_H_smallcell"
    return "hydride_smallcell" if n_atoms <= 12 else "hydride"


def _snap_group(entry: Mapping[str, Any]) -> str:
    """Group of a SNAP or mlearn entry; mlearn entries have a `tag`, and a `group` that is no formula."""
    if "tag" in entry:
        return str(entry["group"]).lower().replace("-", "_")
    return _SNAP_GROUPS.get("".join(entry.get("tags") or []), "all")


def _w_g_group(index: int, configuration: Configuration) -> str:
    """Group of a W-g configuration, inferred from index, number of atoms and third cell vector."""
    if index >= _W_G_FIRST_SHORT_RANGE:
        return "short_range"
    if index >= _W_G_FIRST_DIMER:
        return "dimer"
    n_atoms, depth = configuration.n_atoms, float(np.linalg.norm(configuration.cell[2]))
    by_size = {2: "elastic_eos", 53: "vacancy", 54: "aimd_bulk", 80: "gb", 96: "gb", 108: "gb"}
    if n_atoms in by_size:
        return by_size[n_atoms]
    if n_atoms < 53:
        return "surface"
    if depth < 4:
        return "dislocation_screw"
    return "dislocation_edge_or_gb" if depth < 9 else "defect_genome"


class _TableUnpickler(pickle.Unpickler):
    """Unpickles pandas tables of ASE atoms; a pickle that asks for any other class is refused."""

    ALLOWED = frozenset(
        {
            ("ase.atoms", "Atoms"),
            ("ase.cell", "Cell"),
            ("builtins", "slice"),
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.numeric", "_frombuffer"),
            ("pandas", "DataFrame"),
            ("pandas", "Index"),
            ("pandas", "RangeIndex"),
            ("pandas._libs.internals", "_unpickle_block"),
            ("pandas.core.frame", "DataFrame"),
            ("pandas.core.indexes.base", "Index"),
            ("pandas.core.indexes.base", "_new_Index"),
            ("pandas.core.indexes.range", "RangeIndex"),
            ("pandas.core.internals.managers", "BlockManager"),
        }
    )

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Look a class up, if it is allowed."""
        module_name = module_name.replace("numpy.core.", "numpy._core.")  # renamed in numpy 2
        if (module_name, global_name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"class {module_name}.{global_name} is not allowed")
        return super().find_class(module_name, global_name)


def _read_pickled_table(path: Path, columns: Iterable[str]) -> Mapping[str, Any]:
    """Unpickle a table and check that it has the columns."""
    try:
        table = _TableUnpickler(io.BytesIO(read_bytes(path))).load()
        missing = set(columns) - set(table.columns)
    except Exception as error:  # a damaged pickle can raise anything
        raise DatasetError(f"{path.name} is not a pickled table: {error}.") from error
    if missing:
        raise DatasetError(f"{path.name} lacks the columns {', '.join(sorted(missing))}.")
    return table  # type: ignore[no-any-return]
