"""Configuration, Prediction and RunRecord: what travels between files, workers and the store.

Units are ASE's: eV, Å, eV/Å, eV/Å³. Stress is in ASE's Voigt order (xx, yy, zz, yz, xz, xy), positive in
tension. Energies are totals per configuration. This module is imported inside every worker environment, so it
needs numpy and pyarrow only.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.files import replacing

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

KILLED = "killed twice, as when memory runs out"
TOOK_LONGER = "took longer than"
TRANSIENT_REASONS = ("MemoryError:", KILLED, TOOK_LONGER)
"""How the reasons of failures begin that another run, with more memory or time, may not have."""
NO_ROOM_FOR_A_HANDLE = ("_STATUS_ALLOC_FAILED", "`cublasCreate(", "`cusolverDnCreate(", "`cusparseCreate(")
"""What CUDA's libraries say where the GPU has no memory left for them, in PyTorch's words."""
LOST_CONTEXT = "CUDA error: unknown error"
"""In rows of workers that went on after their CUDA context was lost; none does so any more."""

_FLOAT = pa.float64()
_FLOATS = pa.list_(_FLOAT)

CONFIGURATION_SCHEMA = pa.schema(
    [
        pa.field("config_id", pa.string(), nullable=False),
        pa.field("group_name", pa.string(), nullable=False),
        pa.field("numbers", pa.list_(pa.int16()), nullable=False),
        pa.field("positions", _FLOATS, nullable=False),  # n_atoms x 3, row by row
        pa.field("cell", _FLOATS, nullable=False),  # 3 x 3, one lattice vector a row
        pa.field("pbc", pa.list_(pa.bool_()), nullable=False),
        pa.field("energy", pa.float64()),
        pa.field("forces", _FLOATS),  # n_atoms x 3, row by row
        pa.field("stress", _FLOATS),  # 6, Voigt
        pa.field("geometry_hash", pa.string(), nullable=False),
    ]
)

PREDICTION_SCHEMA = pa.schema(
    [
        pa.field("config_id", pa.string(), nullable=False),
        pa.field("geometry_hash", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # "ok" or "failed"
        pa.field("reason", pa.string()),
        pa.field("energy", pa.float64()),
        pa.field("forces", _FLOATS),
        pa.field("stress", _FLOATS),
        pa.field("wall_seconds", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Configuration:
    """Atoms in a cell with their DFT reference labels.

    Args:
        config_id: Unique within the dataset.
        group_name: Kind of structure, such as `vacancy` or `gb`.
        numbers: Atomic numbers, shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.
        cell: One lattice vector per row, shape (3, 3), Å; zeros where there is none.
        pbc: Periodic along each lattice vector.
        energy: Reference total energy, eV; None where the source gives none.
        forces: Reference forces, shape (n_atoms, 3), eV/Å.
        stress: Reference stress, shape (6,), eV/Å³, Voigt, positive in tension.
    """

    config_id: str
    group_name: str
    numbers: IntArray
    positions: FloatArray
    cell: FloatArray
    pbc: tuple[bool, bool, bool]
    energy: float | None = None
    forces: FloatArray | None = None
    stress: FloatArray | None = None
    geometry_hash: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.geometry_hash:
            object.__setattr__(self, "geometry_hash", self._hash_geometry())

    def _hash_geometry(self) -> str:
        """Digest of everything that a potential sees; labels and names do not count."""
        digest = hashlib.sha256()
        for values, dtype in (
            (self.numbers, "<i2"),
            (self.positions, "<f8"),
            (self.cell, "<f8"),
            (self.pbc, "?"),
        ):
            digest.update(np.ascontiguousarray(values, dtype=dtype).tobytes())
        return digest.hexdigest()[:16]

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.numbers)


@dataclass(frozen=True)
class Prediction:
    """Numbers of one model for one configuration; a failed one carries a reason and no numbers.

    Attributes:
        config_id: Id of the configuration.
        geometry_hash: Hash of its geometry.
        status: `ok` or `failed`.
        reason: Reason of a failure.
        energy: Total energy, eV.
        forces: Shape (n_atoms, 3), eV/Å.
        stress: Shape (6,), eV/Å³, Voigt; None where the cell has no volume or the model no stress.
        wall_seconds: Time of the computation, s.
    """

    config_id: str
    geometry_hash: str
    status: str
    reason: str | None = None
    energy: float | None = None
    forces: FloatArray | None = None
    stress: FloatArray | None = None
    wall_seconds: float | None = None


def is_transient(reason: str | None) -> bool:
    """Whether a failure tells of the machine of that day and not of the model."""
    reason = reason or ""
    return reason.startswith(TRANSIENT_REASONS) or any(word in reason for word in (*NO_ROOM_FOR_A_HANDLE, LOST_CONTEXT))


@dataclass(frozen=True)
class RunRecord:
    """Where the numbers of one prediction file come from; what is not known is None or empty.

    Attributes:
        origin: `computed` by a worker, or `imported` from somebody else.
        model_id: The model.
        fingerprint: Of everything but the configuration that decided the numbers.
        device: cpu or cuda.
        hardware: Processor or GPU.
        packages: Names and versions, comma-separated.
        python: Version of Python.
        checkpoint_sha256: Digest of the weights.
        options: Keywords of the family's `load`, as JSON.
        d3: Whether the training labels include the D3 correction.
        dtype: Precision of the forces, such as `float32`.
        n_threads: Threads of the numerical libraries.
        pid: Process of the worker; tells two apart that started in the same second.
        max_edges: Edges that one call may hold.
        wall_seconds: Time of all configurations together, s.
        started_at: Time in UTC at which the worker was ready.
        source: Who computed imported numbers.
        note: What is inferred about imported numbers.
        file_sha256: Checksum of the imported file.
        imported_at: Time in UTC of the import.
    """

    origin: str = ""
    model_id: str = ""
    fingerprint: str = ""
    device: str = ""
    hardware: str = ""
    packages: str = ""
    python: str = ""
    checkpoint_sha256: str = ""
    options: str = ""
    d3: bool | None = None
    dtype: str = ""
    n_threads: int | None = None
    pid: int | None = None
    max_edges: int | None = None
    wall_seconds: float | None = None
    started_at: str = ""
    source: str = ""
    note: str = ""
    file_sha256: str = ""
    imported_at: str = ""

    def to_metadata(self) -> dict[str, str]:
        """Strings as they stand in a file; what is None is left out."""
        values = {name.name: getattr(self, name.name) for name in fields(self)}
        written = {key: str(value) for key, value in values.items() if value is not None}
        if self.d3 is not None:
            written["d3"] = "yes" if self.d3 else "no"
        if self.wall_seconds is not None:
            written["wall_seconds"] = f"{self.wall_seconds:.3f}"
        return written

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "RunRecord":
        """Read what `to_metadata` wrote, in any release; unknown keys are ignored."""
        known = {name.name: metadata[name.name] for name in fields(cls) if metadata.get(name.name)}
        if known.get("origin") == "imported" and "note" not in metadata:  # older files kept their note as options
            known["note"] = known.pop("options", "")
        typed: dict[str, object] = dict(known)
        typed |= {key: int(known[key]) for key in ("n_threads", "pid", "max_edges") if key in known}
        typed |= {"wall_seconds": float(known["wall_seconds"])} if "wall_seconds" in known else {}
        typed |= {"d3": known["d3"] == "yes"} if "d3" in known else {}
        return cls(**typed)  # type: ignore[arg-type]


def flat(values: NDArray[np.floating] | None) -> list[float] | None:
    """Numbers of any shape as one list, row by row; None stays None."""
    return None if values is None else np.asarray(values, dtype=float).ravel().tolist()


def list_column(values: Sequence[NDArray[Any] | None], kind: pa.DataType = _FLOAT) -> pa.Array:
    """Arrays as one column of lists, row by row; None stays None. Millions of numbers never become Python objects.

    Args:
        values: Numbers of each row, of any shape.
        kind: Type of a number in the column.
    """
    sizes = np.array([0 if one is None else np.size(one) for one in values], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    flat_values = [np.ravel(one) for one in values if one is not None]
    numbers = np.concatenate(flat_values) if flat_values else np.empty(0)
    is_missing = pa.array([one is None for one in values], pa.bool_())
    items = pa.array(numbers).cast(kind)
    return pa.ListArray.from_arrays(pa.array(offsets), items, mask=is_missing)


def list_values(column: pa.ChunkedArray) -> list[NDArray[Any] | None]:
    """The arrays of a column of lists, one per row, each a copy of its own; None where a row has none."""
    found: list[NDArray[Any] | None] = []
    for chunk in column.chunks:
        numbers, offsets = chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()
        known = chunk.is_valid().to_numpy(zero_copy_only=False)
        for k, is_known in enumerate(known.tolist()):
            found.append(numbers[offsets[k] : offsets[k + 1]].copy() if is_known else None)
    return found


def _rows(table: pa.Table, *lists: str) -> Iterator[dict[str, Any]]:
    """Rows of a table, with the named columns of lists as arrays."""
    columns = {name: table.column(name) for name in table.column_names}
    values = [list_values(column) if name in lists else column.to_pylist() for name, column in columns.items()]
    for row in zip(*values, strict=True):
        yield dict(zip(columns, row, strict=True))


def _shaped(values: NDArray[Any] | None, *shape: int) -> FloatArray | None:
    return None if values is None else np.asarray(values, dtype=float).reshape(shape)


def write_configurations(path: Path, configurations: Iterable[Configuration]) -> None:
    """Write configurations to one parquet file, atomically."""
    rows = list(configurations)
    columns = {
        "config_id": [c.config_id for c in rows],
        "group_name": [c.group_name for c in rows],
        "numbers": list_column([c.numbers for c in rows], pa.int16()),
        "positions": list_column([c.positions for c in rows]),
        "cell": list_column([c.cell for c in rows]),
        "pbc": [list(c.pbc) for c in rows],
        "energy": [c.energy for c in rows],
        "forces": list_column([c.forces for c in rows]),
        "stress": list_column([c.stress for c in rows]),
        "geometry_hash": [c.geometry_hash for c in rows],
    }
    write_table(path, pa.table(columns, schema=CONFIGURATION_SCHEMA))


def read_configurations(path: Path) -> list[Configuration]:
    """Read the configurations that `write_configurations` wrote, in file order."""
    return [
        Configuration(
            config_id=row["config_id"],
            group_name=row["group_name"],
            numbers=np.asarray(row["numbers"], dtype=np.int64),
            positions=np.asarray(row["positions"], dtype=float).reshape(-1, 3),
            cell=np.asarray(row["cell"], dtype=float).reshape(3, 3),
            pbc=(row["pbc"][0], row["pbc"][1], row["pbc"][2]),
            energy=row["energy"],
            forces=_shaped(row["forces"], -1, 3),
            stress=_shaped(row["stress"], 6),
            geometry_hash=row["geometry_hash"],
        )
        for row in _rows(read_table(path, CONFIGURATION_SCHEMA), "numbers", "positions", "cell", "forces", "stress")
    ]


def write_predictions(path: Path, predictions: Iterable[Prediction], run_record: RunRecord | None = None) -> None:
    """Write predictions to one parquet file, atomically.

    Args:
        path: Where; a file that exists is complete, since it is renamed into place.
        predictions: Rows, in the order wanted.
        run_record: Origin of the numbers, kept as file metadata.
    """
    rows = list(predictions)
    columns = {
        "config_id": [p.config_id for p in rows],
        "geometry_hash": [p.geometry_hash for p in rows],
        "status": [p.status for p in rows],
        "reason": [p.reason for p in rows],
        "energy": [p.energy for p in rows],
        "forces": list_column([p.forces for p in rows]),
        "stress": list_column([p.stress for p in rows]),
        "wall_seconds": [p.wall_seconds for p in rows],
    }
    table = pa.table(columns, schema=PREDICTION_SCHEMA)
    write_table(path, table.replace_schema_metadata((run_record or RunRecord()).to_metadata()))


def read_predictions(path: Path) -> list[Prediction]:
    """Read the predictions that `write_predictions` wrote, in file order."""
    return [
        Prediction(
            config_id=row["config_id"],
            geometry_hash=row["geometry_hash"],
            status=row["status"],
            reason=row["reason"],
            energy=row["energy"],
            forces=_shaped(row["forces"], -1, 3),
            stress=_shaped(row["stress"], 6),
            wall_seconds=row["wall_seconds"],
        )
        for row in _rows(read_table(path, PREDICTION_SCHEMA), "forces", "stress")
    ]


def check_predictions(path: Path) -> None:
    """Make sure that a file of predictions can be read to its end.

    Raises:
        OSError: A page is damaged.
        ArrowInvalid: The file is not parquet; a ValueError.
    """
    read_table(path, PREDICTION_SCHEMA)


def read_run_record(path: Path) -> RunRecord:
    """Origin of a prediction file: the metadata that `write_predictions` stored."""
    metadata = pq.read_schema(path).metadata or {}
    return RunRecord.from_metadata({key.decode(): value.decode() for key, value in metadata.items()})


def read_table(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    """A table whose pages and rows are checked against their checksums, where the file has any.

    Pages have checksums of parquet. Its footer, which says where pages are and what they mean, has none, so the rows
    themselves have another.

    Raises:
        OSError: A page is damaged, or the rows are not those that were written.
        ArrowInvalid: The file is not parquet.
    """
    table = pq.read_table(path, page_checksum_verification=True)
    written = (table.schema.metadata or {}).get(_ROWS)
    if written is not None and written.decode() != _rows_digest(table):
        raise OSError(f"{path.name} is damaged: its rows are not those that were written")
    if schema is None:
        return table
    if not set(schema.names) <= set(table.column_names):  # of an earlier release; what it lacks is null
        return pq.read_table(path, schema=schema, page_checksum_verification=True)
    return table.select(schema.names).cast(schema.with_metadata(table.schema.metadata))


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table with checksums of its pages and rows, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    marked = table.replace_schema_metadata({**(table.schema.metadata or {}), _ROWS: _rows_digest(table)})
    with replacing(path) as temporary:
        pq.write_table(marked, temporary, compression="zstd", write_page_checksum=True)


def has_rows(path: Path, table: pa.Table) -> bool:
    """Whether `write_table` wrote the rows of a table into a file, by their checksum."""
    written = (pq.read_schema(path).metadata or {}).get(_ROWS) if path.is_file() else None
    return written is not None and written.decode() == _rows_digest(table)


_ROWS = b"rows_sha256"


def _rows_digest(table: pa.Table) -> str:
    """Checksum of names and values of a table, however they lie in memory."""
    digest = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns, strict=True):
        digest.update(name.encode())
        _digest_array(digest, column.combine_chunks())
    return digest.hexdigest()


def _digest_array(digest: Any, values: pa.Array) -> None:
    """Take in which values are null, how long lists and texts are, and the values."""
    digest.update(np.packbits(values.is_null().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_list(values.type):
        digest.update(values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).tobytes())
        _digest_array(digest, values.flatten())
    elif pa.types.is_string(values.type):
        words = [word.encode() for word in values.fill_null("").to_pylist()]
        digest.update(np.array([len(word) for word in words], dtype=np.int64).tobytes() + b"".join(words))
    else:
        digest.update(values.drop_null().to_numpy(zero_copy_only=False).tobytes())
