"""Configuration and Prediction: the two records that travel between files, workers and the store.

Units are ASE's: eV, Å, eV/Å, eV/Å³. Stress is in ASE's Voigt order (xx, yy, zz, yz, xz, xy), positive in
tension. Energies are totals per configuration. This module is imported inside every worker environment, so it
needs numpy and pyarrow only.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.files import replacing

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FLOATS = pa.list_(pa.float64())

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
    """What one model says of one configuration; failed ones carry a reason and no numbers."""

    config_id: str
    geometry_hash: str
    status: str
    reason: str | None = None
    energy: float | None = None
    forces: FloatArray | None = None
    stress: FloatArray | None = None
    wall_seconds: float | None = None


def flat(values: NDArray[np.floating] | None) -> list[float] | None:
    """Numbers of any shape as one list, row by row; None stays None."""
    return None if values is None else np.asarray(values, dtype=float).ravel().tolist()


def _shaped(values: Sequence[float] | None, *shape: int) -> FloatArray | None:
    return None if values is None else np.asarray(values, dtype=float).reshape(shape)


def write_configurations(path: Path, configurations: Iterable[Configuration]) -> None:
    """Write configurations to one parquet file, atomically."""
    rows = [
        {
            "config_id": c.config_id,
            "group_name": c.group_name,
            "numbers": c.numbers.tolist(),
            "positions": flat(c.positions),
            "cell": flat(c.cell),
            "pbc": list(c.pbc),
            "energy": c.energy,
            "forces": flat(c.forces),
            "stress": flat(c.stress),
            "geometry_hash": c.geometry_hash,
        }
        for c in configurations
    ]
    _write_table(path, pa.Table.from_pylist(rows, schema=CONFIGURATION_SCHEMA))


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
        for row in _read_table(path, CONFIGURATION_SCHEMA).to_pylist()
    ]


def write_predictions(path: Path, predictions: Iterable[Prediction], run_record: dict[str, str] | None = None) -> None:
    """Write predictions to one parquet file, atomically.

    Args:
        path: Where; a file that exists is complete, since it is renamed into place.
        predictions: Rows, in the order wanted.
        run_record: Origin of the numbers (device, packages, checksums), kept as file metadata.
    """
    rows = [
        {
            "config_id": p.config_id,
            "geometry_hash": p.geometry_hash,
            "status": p.status,
            "reason": p.reason,
            "energy": p.energy,
            "forces": flat(p.forces),
            "stress": flat(p.stress),
            "wall_seconds": p.wall_seconds,
        }
        for p in predictions
    ]
    table = pa.Table.from_pylist(rows, schema=PREDICTION_SCHEMA)
    _write_table(path, table.replace_schema_metadata(run_record or {}))


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
        for row in _read_table(path, PREDICTION_SCHEMA).to_pylist()
    ]


def check_predictions(path: Path) -> None:
    """Make sure that a file of predictions can be read to its end.

    Raises:
        OSError: A page is damaged.
        ArrowInvalid: The file is not parquet; a ValueError.
    """
    _read_table(path, PREDICTION_SCHEMA)


def read_run_record(path: Path) -> dict[str, str]:
    """Origin of a prediction file: the metadata that `write_predictions` stored."""
    metadata = pq.read_schema(path).metadata or {}
    return {key.decode(): value.decode() for key, value in metadata.items() if key != b"ARROW:schema"}


def _read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """A table whose pages are checked against their checksums, where the file has any.

    Raises:
        OSError: A page is damaged.
        ArrowInvalid: The file is not parquet.
    """
    return pq.read_table(path, schema=schema, page_checksum_verification=True)


def _write_table(path: Path, table: pa.Table) -> None:
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
