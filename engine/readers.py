"""Readers of configuration files: one local file in, checked configurations out.

Every reader returns all configurations of its file, or raises one `DatasetError` that names the file and
the configuration; nothing is half-read. Units on return are ASE's: eV (total per configuration), Å, eV/Å,
eV/Å³, with stress in Voigt order xx, yy, zz, yz, xz, xy, positive in tension.
"""

import dataclasses
import functools
import gzip
import io
import json
import pickle
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import ArrayLike

from engine.errors import DatasetError
from engine.records import Configuration, FloatArray, IntArray

ENERGY_KEYS = ("REF_energy", "energy")
FORCES_KEYS = ("REF_forces", "forces")
STRESS_KEYS = ("REF_stress", "stress")

VASP_SHEARS = (4, 5, 3)
"""Where yz, xz and xy stand in the order xx, yy, zz, xy, yz, zx."""

LAMMPS_SHEARS = (5, 4, 3)
"""Where yz, xz and xy stand in the order xx, yy, zz, xy, xz, yz."""

MAX_STRESS_ASYMMETRY = 1e-3
"""Largest difference between the two halves of a stress tensor, eV/Å³."""

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
"""Atomic numbers of non-metals and metalloids."""

_GZIP_MAGIC = b"\x1f\x8b"
_KEY_VALUE = re.compile(r"""([^\s="]+)=("(?:\\.|[^"\\])*"|\{[^}]*\}|\[[^\]]*\]|\S+)""")
_KBAR = 1 / 1602.1766208  # eV/Å³
_SNAP_GROUPS = {"relax": "ss_relaxed", "unrelax": "ss_unrelaxed"}
_TRUTH = {"T": True, "TRUE": True, "1": True, "F": False, "FALSE": False, "0": False}
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_W_G_FIRST_DIMER, _W_G_FIRST_SHORT_RANGE = 1026, 1039


def read_extxyz(path: Path) -> list[Configuration]:
    """Read extended XYZ, plain or gzipped.

    Labels are `REF_energy`, `REF_stress` and the column `REF_forces`, or else `energy`, `stress` and
    `forces`; a stress is 9 numbers (rows of a symmetric tensor) or 6 (Voigt). The keys `config_id` and
    `group` name a configuration; without them it is called after the file and its index, in the group `all`.

    Args:
        path: The file.

    Raises:
        DatasetError: The file cannot be read or a configuration in it is impossible.

    Source:
        Format: https://github.com/libAtoms/extxyz
    """
    lines = _read_text(path).splitlines()
    configurations: list[Configuration] = []
    start = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        index = len(configurations)
        where = f"{path.name}, configuration {index}"
        end = start + 2 + _parse_count(lines[start], where)
        if end > len(lines):
            n_found = max(len(lines) - start - 2, 0)
            raise DatasetError(f"{where}: the file ends after {n_found} of {lines[start].strip()} atoms.")
        frame = lines[start + 1], lines[start + 2 : end]
        configurations.append(_parse_frame(*frame, where, _default_id(path, index)))
        start = end
    return _checked(path, configurations)


def read_metals(path: Path) -> list[Configuration]:
    """Read extended XYZ and keep configurations made of metals only; ids keep the index in the file.

    Args:
        path: The file.

    Raises:
        DatasetError: As `read_extxyz`, or no configuration is left.
    """
    return _checked(path, [c for c in read_extxyz(path) if not set(c.numbers.tolist()) & NON_METALS])


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
        entries = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path.name} is not JSON: {error}.") from error
    if not isinstance(entries, list):
        raise DatasetError(f"{path.name} holds a {type(entries).__name__}, expected a list of structures.")
    return _checked(path, [_snap_entry(entry, path, i, shear_order) for i, entry in enumerate(entries)])


def read_zr_h_cfg(path: Path) -> list[Configuration]:
    """Read an MTP `.cfg` file of Zr (type 0) and H (type 1).

    Groups come from composition and size: pure Zr, up to a fifth of H, more H in up to 12 atoms, and larger.

    Args:
        path: The file; its name and the index in it name a configuration.

    Raises:
        DatasetError: The file cannot be read or a configuration in it is impossible.

    Source:
        Format: https://mlip.skoltech.ru; `PlusStress` is minus stress times volume, eV.
    """
    blocks = _read_text(path).split("BEGIN_CFG")[1:]
    return _checked(path, [_cfg_block(block, path, i) for i, block in enumerate(blocks)])


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
        configuration = _configuration(
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
    return _checked(path, configurations)


READERS: dict[str, Callable[[Path], list[Configuration]]] = {
    "extxyz": read_extxyz,
    "extxyz-metals": read_metals,
    "snap-json": read_snap_json,
    "snap-json-lammps-stress": functools.partial(read_snap_json, shear_order=LAMMPS_SHEARS),
    "snap-json-no-stress": functools.partial(read_snap_json, shear_order=None),
    "w-g-pickle": read_w_g,
    "zr-h-cfg": read_zr_h_cfg,
}
"""Name in datasets.toml -> reader."""


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


def _snap_entry(entry: Any, path: Path, index: int, shear_order: tuple[int, int, int] | None) -> Configuration:
    """One structure of a SNAP JSON file, of either of the two layouts that the source uses."""
    where = f"{path.name}, configuration {index}"
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
        return _configuration(
            where,
            config_id=_default_id(path, index),
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


def _cfg_block(block: str, path: Path, index: int) -> Configuration:
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
        configuration = _configuration(
            where,
            config_id=_default_id(path, index),
            group_name="",
            symbols=[("Zr", "H")[int(kind)] for kind in columns["type"]],
            positions=np.array([columns[f"cartes_{axis}"] for axis in "xyz"]).T,
            cell=np.ravel(lines[starts["Supercell"] : starts["Supercell"] + 3]),
            pbc=(True, True, True),
            energy=lines[starts["Energy"]][0],
            forces=np.array([columns[f"f{axis}"] for axis in "xyz"]).T,
            stress=lines[starts["PlusStress:"]],
        )
    except (KeyError, IndexError, ValueError) as error:
        raise DatasetError(f"{where}: {type(error).__name__} at {error}: not an MTP block.") from error
    assert configuration.stress is not None
    volume = abs(float(np.linalg.det(configuration.cell)))
    return dataclasses.replace(
        configuration, group_name=_zr_h_group(configuration), stress=-configuration.stress / volume
    )


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
        table = _TableUnpickler(io.BytesIO(_read_bytes(path))).load()
        missing = set(columns) - set(table.columns)
    except Exception as error:  # a damaged pickle can raise anything
        raise DatasetError(f"{path.name} is not a pickled table: {error}.") from error
    if missing:
        raise DatasetError(f"{path.name} lacks the columns {', '.join(sorted(missing))}.")
    return table  # type: ignore[no-any-return]


def _parse_count(line: str, where: str) -> int:
    """Number of atoms, from the line that opens a frame."""
    n_atoms = int(line) if line.strip().isdecimal() else 0
    if n_atoms < 1:
        raise DatasetError(f"{where}: expected a number of atoms, got {line.strip()[:40]!r}.")
    return n_atoms


def _parse_frame(comment: str, rows: list[str], where: str, default_id: str) -> Configuration:
    """One frame of extended XYZ: its comment line and its atom lines."""
    info = {key: value.strip('"') for key, value in _KEY_VALUE.findall(comment)}
    config_id = info.get("config_id", default_id)
    where = f"{where} ('{config_id}')"
    columns = _parse_columns(info.get("Properties", "species:S:1:pos:R:3"), rows, where)
    if not {"species", "pos"} <= set(columns):
        raise DatasetError(f"{where}: columns 'species' and 'pos' are needed, got {', '.join(columns)}.")
    if len(columns["species"][0]) != 1:
        raise DatasetError(f"{where}: species has {len(columns['species'][0])} columns, expected 1.")
    energy = _first(info, ENERGY_KEYS)
    stress = _first(info, STRESS_KEYS)
    return _configuration(
        where,
        config_id=config_id,
        group_name=info.get("group", "all"),
        symbols=[symbol for (symbol,) in columns["species"]],
        positions=columns["pos"],
        cell=info["Lattice"].split() if "Lattice" in info else None,
        pbc=_parse_pbc(info.get("pbc", "T T T" if "Lattice" in info else "F F F"), where),
        energy=energy,
        forces=_first(columns, FORCES_KEYS),
        stress=None if stress is None else stress.split(),
    )


def _parse_columns(properties: str, rows: list[str], where: str) -> dict[str, list[list[str]]]:
    """Split atom lines into the columns that `Properties` (name:type:count, ...) announces, as text."""
    parts = properties.split(":")
    if len(parts) % 3 or not all(count.isdecimal() for count in parts[2::3]):
        raise DatasetError(f"{where}: Properties={properties[:80]!r} is not a list of name:type:count.")
    ends = np.cumsum([0, *map(int, parts[2::3])]).tolist()
    words = [row.split() for row in rows]
    for i, row in enumerate(words):
        if len(row) != ends[-1]:
            raise DatasetError(f"{where}: atom {i} has {len(row)} columns, Properties announces {ends[-1]}.")
    spans = zip(parts[0::3], pairwise(ends), strict=True)
    return {name: [row[first:last] for row in words] for name, (first, last) in spans}


def _parse_pbc(text: str, where: str) -> tuple[bool, bool, bool]:
    """Three truth values, or one that stands for three."""
    flags = [_TRUTH.get(word.upper()) for word in re.sub(r"[\[\],]", " ", text).split()]
    flags = flags * 3 if len(flags) == 1 else flags
    if len(flags) != 3 or None in flags:
        raise DatasetError(f"{where}: pbc={text!r} is not three truth values.")
    return bool(flags[0]), bool(flags[1]), bool(flags[2])


def _configuration(
    where: str,
    *,
    config_id: str,
    group_name: str,
    symbols: Iterable[str],
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: tuple[bool, bool, bool],
    energy: float | str | None,
    forces: ArrayLike | None,
    stress: ArrayLike | None,
) -> Configuration:
    """Build a configuration from raw values; `where` names it in errors."""
    numbers = _atomic_numbers(symbols, where)
    shape = (len(numbers), 3)
    cell_array = np.zeros((3, 3)) if cell is None else _numbers(cell, (9,), "cell", where).reshape(3, 3)
    periodic = cell_array[list(pbc)]
    if np.linalg.matrix_rank(periodic) < len(periodic):
        raise DatasetError(f"{where}: periodic along {len(periodic)} vectors, but its cell spans fewer.")
    return Configuration(
        config_id=config_id,
        group_name=group_name,
        numbers=numbers,
        positions=_numbers(positions, shape, "positions", where),
        cell=cell_array,
        pbc=pbc,
        energy=None if energy is None else float(_numbers(energy, (), "energy", where)),
        forces=None if forces is None else _numbers(forces, shape, "forces", where),
        stress=None if stress is None else _voigt(stress, where),
    )


def _atomic_numbers(symbols: Iterable[str], where: str) -> IntArray:
    """Chemical symbols to atomic numbers."""
    try:
        numbers = np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int64)
    except KeyError as error:
        raise DatasetError(f"{where}: {error.args[0]!r} is not a chemical element.") from error
    if not numbers.all():
        raise DatasetError(f"{where}: 'X' is not a chemical element.")
    return numbers


def _numbers(values: ArrayLike, shape: tuple[int, ...], what: str, where: str) -> FloatArray:
    """Finite numbers of the shape wanted."""
    try:
        array = np.asarray(values, dtype=float)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{where}: {what} is not made of numbers: {error}.") from error
    if array.shape != shape:
        raise DatasetError(f"{where}: {what} has shape {array.shape}, expected {shape}.")
    if not np.isfinite(array).all():
        raise DatasetError(f"{where}: {what} holds a value that is not finite.")
    return array


def _voigt(stress: ArrayLike, where: str) -> FloatArray:
    """A stress of 6 or 9 numbers in Voigt order."""
    if np.size(np.asarray(stress)) == 6:
        return _numbers(stress, (6,), "stress", where)
    tensor = _numbers(stress, (9,), "stress", where).reshape(3, 3)
    asymmetry = float(np.abs(tensor - tensor.T).max())
    if asymmetry > MAX_STRESS_ASYMMETRY:
        raise DatasetError(f"{where}: stress is not symmetric (by {asymmetry:.3g} eV/Å³).")
    symmetric = (tensor + tensor.T) / 2
    return np.array([symmetric[i, j] for i, j in _VOIGT])


def _first(values: Mapping[str, Any], keys: Iterable[str]) -> Any:
    """The value of the first key that is present, or None."""
    return next((values[key] for key in keys if key in values), None)


def _checked(path: Path, configurations: list[Configuration]) -> list[Configuration]:
    """Refuse an empty file and ids that occur twice."""
    if not configurations:
        raise DatasetError(f"{path.name} holds no configuration.")
    first_index: dict[str, int] = {}
    for i, configuration in enumerate(configurations):
        first = first_index.setdefault(configuration.config_id, i)
        if first != i:
            where = f"{path.name}, configuration {i}"
            raise DatasetError(f"{where}: id '{configuration.config_id}' is that of configuration {first}.")
    return configurations


def _read_text(path: Path) -> str:
    """Text of a file, plain or gzipped."""
    data = _read_bytes(path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path.name} is not UTF-8 text: {error}.") from error


def _read_bytes(path: Path) -> bytes:
    """Bytes of a file, decompressed in memory if gzipped."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path.name} cannot be read: {error}.") from error


def _default_id(path: Path, index: int) -> str:
    """Id of a configuration whose file gives none: file name without extensions, and index."""
    return f"{path.name.split('.')[0]}_{index:04d}"
