"""Readers of databases: ASE's own, ASE's in LMDB as OMat24 comes, parquet, and pyiron's HDF5.

LMDB and HDF5 need the packages `lmdb` and `h5py`, which are not installed by default.
"""

import importlib
import io
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DatasetError
from engine.readers.ingestion import (
    MAX_BYTES,
    build_configuration,
    checked,
    default_id,
    first_value,
    inflate,
    read_bytes,
)
from engine.readers.label_keys import refuse_other_energies
from engine.records import Configuration, FloatArray

SQLITE_MAGIC = b"SQLite format 3\x00"
PARQUET_MAGIC = b"PAR1"

LONG_COLUMNS = ("config_id", "element", "x", "y", "z")
"""Columns that a long table needs: one row per atom."""

CELL_COLUMNS = tuple(f"cell_{vector}{axis}" for vector in "abc" for axis in "xyz")
PBC_COLUMNS = ("pbc_a", "pbc_b", "pbc_c")
FORCE_COLUMNS = ("fx", "fy", "fz")
STRESS_COLUMNS = tuple(f"stress_{pair}" for pair in ("xx", "yy", "zz", "yz", "xz", "xy"))

_MAX_ROW_BYTES = 256 << 20
_LMDB_BOOKKEEPING = frozenset({b"nextid", b"deleted_ids", b"metadata"})


def read_ase_db(path: Path) -> list[Configuration]:
    """Read a database of ASE, as SQLite or JSON.

    The key-value pairs `config_id` and `group` (or `config_type`) name a configuration; without them it is called
    after the file and its place in it, in the group `all`.

    Args:
        path: The file; it is only read.

    Raises:
        DatasetError: The file is no such database or a row in it is impossible.
    """
    import ase.db  # scipy's integrals come with it, which no page opens with

    data = read_bytes(path)
    is_sqlite = data.startswith(SQLITE_MAGIC)
    with tempfile.TemporaryDirectory() as folder:
        # A copy, since ASE adds its tables to whatever database it opens.
        copy = Path(folder) / ("copy.db" if is_sqlite else "copy.json")
        copy.write_bytes(data)
        if is_sqlite:
            _check_sqlite(path, copy)
        kind = "db" if is_sqlite else "json"
        rows: list[Any] = []
        try:
            rows.extend(ase.db.connect(copy, type=kind, use_lock_file=False).select())
        except Exception as error:  # ASE and SQLite document none
            raise DatasetError(
                f"{path.name}, configuration {len(rows)}: not a row of an ASE database ({_short(error)})."
            ) from error
    return checked(path, [_ase_row(path, i, _row_values(row)) for i, row in enumerate(rows)])


def read_ase_lmdb(path: Path) -> list[Configuration]:
    """Read an ASE database in LMDB (`.aselmdb`), the form in which OMat24 is published.

    The values are ASE's JSON packed with zlib, under decimal ids; `nextid`, `deleted_ids` and `metadata` are no rows.

    Args:
        path: The file.

    Raises:
        DatasetError: `lmdb` is missing, the file is cut or no such database, or a row in it is impossible.

    Source:
        https://pypi.org/project/ase-db-backends (aselmdb.py)
    """
    lmdb = _package("lmdb", path)
    try:
        environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_readers=1)
    except Exception as error:
        raise DatasetError(f"{path.name} is not an LMDB file ({_short(error)}).") from error
    with environment:
        # LMDB maps the file: reading a page beyond its end would kill the process.
        needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if path.stat().st_size < needed:
            raise DatasetError(f"{path.name} is cut: {path.stat().st_size} of {needed} bytes are there.")
        try:
            with environment.begin() as transaction:
                items = [(key, value) for key, value in transaction.cursor() if key not in _LMDB_BOOKKEEPING]
        except lmdb.Error as error:
            raise DatasetError(f"{path.name} is a damaged LMDB file ({_short(error)}).") from error
    if strangers := [key for key, _ in items if not key.isdigit()]:
        raise DatasetError(f"{path.name}: key {strangers[0][:40]!r} is no id of an ASE database.")
    items.sort(key=lambda item: int(item[0]))
    return checked(path, [_ase_row(path, i, _lmdb_row(path, i, value)) for i, (_, value) in enumerate(items)])


def read_parquet(path: Path) -> list[Configuration]:
    """Read parquet: this project's configurations (one row each), or a long table (one row per atom).

    A long table has the columns `config_id`, `element` (symbol), `x`, `y`, `z` (Å), and may have `fx`, `fy`, `fz`
    (eV/Å). What concerns a configuration is repeated in each of its rows, which stand together: `energy` (eV),
    `cell_ax` to `cell_cz` (Å), `pbc_a` to `pbc_c`, `stress_xx` to `stress_xy` (eV/Å³), `group`.

    Args:
        path: The file.

    Raises:
        DatasetError: The file is no parquet, lacks columns, or a configuration in it is impossible.
    """
    try:
        opened = pq.ParquetFile(io.BytesIO(read_bytes(path)))
        metadata = opened.metadata
        size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if size > MAX_BYTES:
            raise DatasetError(
                f"{path.name} unpacks to {size / 1e9:.1f} GB; at most {MAX_BYTES / 1e9:.1f} GB are read."
            )
        table = opened.read()
        table.validate(full=True)  # texts may be no UTF-8
        names = set(table.column_names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path.name} is not a parquet file ({_short(error)}).") from error
    if {"config_id", "numbers", "positions", "cell", "pbc"} <= names:
        return checked(path, [_record_row(path, i, row) for i, row in enumerate(table.to_pylist())])
    if missing := [name for name in LONG_COLUMNS if name not in names]:
        raise DatasetError(f"{path.name} lacks the column '{missing[0]}'; a table needs {', '.join(LONG_COLUMNS)}.")
    return checked(path, _long_configurations(path, table))


def read_pyiron_h5(path: Path, symbol: str) -> list[Configuration]:
    """Read a training container of pyiron, of one element. Stresses are left out: their unit is not stated.

    Args:
        path: The HDF5 file.
        symbol: Chemical symbol of every atom.

    Raises:
        DatasetError: `h5py` is missing, the file is no such container, or a configuration in it is impossible.

    Source:
        Layout: https://github.com/pyiron/pyiron_atomistics (TrainingContainer, FlattenedStorage)
    """
    h5py = _package("h5py", path)
    try:
        with h5py.File(path, "r") as opened:
            storage = opened[next(iter(opened))]["structures"]
            chunks, elements = storage["chunk_arrays"], storage["element_arrays"]
            names = ("identifier", "start_index", "length", "cell", "pbc", "energy")
            identifiers, starts, lengths, cells, pbcs, energies = (np.array(chunks[name]) for name in names)
            positions, forces = np.array(elements["positions"]), np.array(elements["forces"])
    except (OSError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise DatasetError(f"{path.name} is not a training container of pyiron ({_short(error)}).") from error
    configurations = []
    for i, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        identifier = identifiers[i]
        atoms = slice(start, start + length)
        configurations.append(
            build_configuration(
                f"{path.name}, configuration {i}",
                config_id=f"{i:05d}_{identifier.decode() if isinstance(identifier, bytes) else identifier}",
                group_name="all",
                symbols=[symbol] * length,
                positions=positions[atoms],
                cell=np.ravel(cells[i]),
                pbc=_three(pbcs[i], f"{path.name}, configuration {i}"),
                energy=energies[i],
                forces=forces[atoms],
                stress=None,
            )
        )
    return checked(path, configurations)


def _check_sqlite(path: Path, copy: Path) -> None:
    """Refuse an SQLite file that ASE did not write."""
    try:
        connection = sqlite3.connect(f"file:{copy}?mode=ro", uri=True)
        try:
            tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise DatasetError(f"{path.name} is a damaged SQLite file ({_short(error)}).") from error
    if "systems" not in tables:
        raise DatasetError(f"{path.name} is an SQLite file, but no database of ASE: it has no table 'systems'.")


def _row_values(row: Any) -> dict[str, Any]:
    """What an ASE row says, by name."""
    names = ("numbers", "positions", "cell", "pbc", "energy", "forces", "stress")
    return {name: row.get(name) for name in names} | {"key_value_pairs": row.key_value_pairs}


def _lmdb_row(path: Path, index: int, packed: bytes) -> dict[str, Any]:
    """One value of an ASE database in LMDB."""
    from ase.io.jsonio import decode  # scipy's integrals come with it, which no page opens with

    where = f"{path.name}, configuration {index}"
    try:
        values = decode(inflate(packed, _MAX_ROW_BYTES).decode("utf-8"))
    except Exception as error:  # damaged values make ASE's decoder fail with anything
        raise DatasetError(f"{where}: not JSON packed with zlib ({_short(error)}).") from error
    if not isinstance(values, dict):
        raise DatasetError(f"{where}: it holds a {type(values).__name__}, expected a row.")
    return values


def _ase_row(path: Path, index: int, values: Mapping[str, Any]) -> Configuration:
    """A row of an ASE database."""
    where = f"{path.name}, configuration {index}"
    pairs = values.get("key_value_pairs") or {}
    if missing := [name for name in ("numbers", "positions", "cell", "pbc") if values.get(name) is None]:
        raise DatasetError(f"{where}: it has no {missing[0]}.")
    stress = values.get("stress")
    refuse_other_energies(where, values.get("energy"), pairs)
    return build_configuration(
        where,
        config_id=str(pairs.get("config_id") or default_id(path, index)),
        group_name=str(first_value(pairs, ("group", "config_type")) or "all"),
        symbols=_whole_numbers(values["numbers"], where),
        positions=_vectors(values["positions"], "positions", where),
        cell=_ravel(values["cell"], "cell", where),
        pbc=_three(values["pbc"], where),
        energy=values.get("energy"),
        forces=None if values.get("forces") is None else _vectors(values["forces"], "forces", where),
        stress=None if stress is None else _ravel(stress, "stress", where),
    )


def _record_row(path: Path, index: int, row: Mapping[str, Any]) -> Configuration:
    """A row of a table of configurations."""
    where = f"{path.name}, configuration {index}"
    if missing := [name for name in ("config_id", "numbers", "positions", "cell", "pbc") if row[name] is None]:
        raise DatasetError(f"{where}: it has no {missing[0]}.")
    refuse_other_energies(where, row.get("energy"), row)
    return build_configuration(
        where,
        config_id=str(row["config_id"]),
        group_name=str(row.get("group_name") or "all"),
        symbols=_whole_numbers(row["numbers"], where),
        positions=_vectors(row["positions"], "positions", where),
        cell=_ravel(row["cell"], "cell", where),
        pbc=_three(row["pbc"], where),
        energy=row.get("energy"),
        forces=None if row.get("forces") is None else _vectors(row["forces"], "forces", where),
        stress=row.get("stress"),
    )


def _long_configurations(path: Path, table: pa.Table) -> list[Configuration]:
    """Configurations of a long table."""
    columns: dict[str, list[Any]] = {name: table.column(name).to_pylist() for name in table.column_names}
    ids = columns["config_id"]
    starts = [i for i in range(len(ids)) if i == 0 or ids[i] != ids[i - 1]]
    ends = [*starts[1:], len(ids)]
    return [
        _long_configuration(path, i, columns, slice(*span)) for i, span in enumerate(zip(starts, ends, strict=True))
    ]


def _long_configuration(path: Path, index: int, columns: Mapping[str, list[Any]], rows: slice) -> Configuration:
    """One configuration of a long table."""
    where = f"{path.name}, configuration {index}"

    def per_atom(names: Sequence[str]) -> list[tuple[Any, ...]]:
        return list(zip(*(columns[name][rows] for name in names), strict=True))

    def per_configuration(name: str) -> Any:
        values = columns[name][rows]
        if any(value != values[0] for value in values):
            raise DatasetError(f"{where}: '{name}' differs between its atoms.")
        return values[0]

    def optional(names: Sequence[str], get: Callable[[], Any]) -> Any:
        present = [name for name in names if name in columns]
        if present and len(present) < len(names):
            absent = next(name for name in names if name not in columns)
            raise DatasetError(f"{path.name} has the column '{present[0]}' but lacks '{absent}'.")
        return get() if present else None

    energy = per_configuration("energy") if "energy" in columns else None
    refuse_other_energies(where, energy, {name: columns[name][rows][0] for name in columns})
    cell = optional(CELL_COLUMNS, lambda: [per_configuration(name) for name in CELL_COLUMNS])
    pbc = optional(PBC_COLUMNS, lambda: [per_configuration(name) for name in PBC_COLUMNS])
    stress = optional(STRESS_COLUMNS, lambda: [per_configuration(name) for name in STRESS_COLUMNS])
    return build_configuration(
        where,
        config_id=str(per_configuration("config_id")),
        group_name=str(per_configuration("group")) if "group" in columns else "all",
        symbols=[str(symbol) for symbol in columns["element"][rows]],
        positions=per_atom(("x", "y", "z")),
        cell=cell,
        pbc=_three([cell is not None] * 3 if pbc is None else pbc, where),
        energy=energy,
        forces=optional(FORCE_COLUMNS, lambda: per_atom(FORCE_COLUMNS)),
        stress=None if stress is None or all(value is None for value in stress) else stress,
    )


def _whole_numbers(values: Iterable[Any], where: str) -> list[int]:
    """Atomic numbers as written in a file."""
    try:
        numbers = np.asarray(values)
        if numbers.ndim == 1 and numbers.dtype.kind in "iu":
            return [int(number) for number in numbers]
    except ValueError:
        pass
    raise DatasetError(f"{where}: numbers is not a list of whole numbers.")


def _vectors(values: Any, what: str, where: str) -> FloatArray:
    """Vectors, given as rows or as one list."""
    array = _ravel(values, what, where)
    if len(array) % 3:
        raise DatasetError(f"{where}: {what} has {len(array)} numbers, expected 3 for each atom.")
    return array.reshape(-1, 3)


def _ravel(values: Any, what: str, where: str) -> FloatArray:
    """Numbers of any shape as one list."""
    try:
        return np.asarray(values, dtype=float).ravel()
    except (ValueError, TypeError, OverflowError) as error:
        raise DatasetError(f"{where}: {what} is not made of numbers: {error}.") from error


def _three(values: Any, where: str) -> tuple[bool, bool, bool]:
    """Three truth values."""
    flags = np.asarray(values).ravel()
    if flags.shape != (3,) or flags.dtype.kind not in "biu":
        raise DatasetError(f"{where}: pbc is not three truth values.")
    return bool(flags[0]), bool(flags[1]), bool(flags[2])


def _package(name: str, path: Path) -> Any:
    """An optional package, or the way to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DatasetError(f"{path.name} needs the package {name} to be read. Run: pip install {name}") from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
