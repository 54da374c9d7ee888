"""Relaxations: one model moves the atoms of one configuration, and perhaps its cell, along the forces.

Units are those of `engine.records`. This module is imported inside every worker environment, so it needs numpy and
pyarrow only.
"""

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine.records import (
    PREDICTION_SCHEMA,
    Configuration,
    FloatArray,
    IntArray,
    Prediction,
    RunRecord,
    flat,
    read_table,
    write_table,
)

CELLS = ("fixed", "free")
OPTIMIZERS = ("fire", "bfgs")
MAX_STEPS = 5000
MAX_FRAMES = 100
"""Frames that a trajectory keeps; a longer relaxation is thinned evenly, and keeps its first and last step."""

_FLOATS = pa.list_(pa.float64())

RELAXATION_SCHEMA = pa.schema(
    [
        *PREDICTION_SCHEMA,
        pa.field("positions", _FLOATS),  # n_atoms x 3, row by row
        pa.field("cell", _FLOATS),  # 3 x 3, one lattice vector a row
        pa.field("n_steps", pa.int32(), nullable=False),
        pa.field("is_converged", pa.bool_(), nullable=False),
        pa.field("frame_steps", pa.list_(pa.int32())),  # n_frames
        pa.field("frame_energies", _FLOATS),  # n_frames
        pa.field("frame_max_forces", _FLOATS),  # n_frames
        pa.field("frame_positions", _FLOATS),  # n_frames x n_atoms x 3
        pa.field("frame_cells", _FLOATS),  # n_frames x 3 x 3
    ]
)


@dataclass(frozen=True)
class RelaxationOptions:
    """Options of a relaxation.

    Attributes:
        fmax: Converged when no atom has a larger force, eV/Å; with a free cell the virial per atom has to be below it
            too, in eV.
        steps: Largest number of steps.
        cell: `fixed`, or `free` to let lengths and angles follow the stress to zero pressure.
        optimizer: `fire` (any size), or `bfgs` (fewer steps, but its time grows with the cube of the atoms).
        seconds: Time after which it ends with the step at hand, s; 0 for as long as it takes.

    Raises:
        ValueError: A value is impossible.
    """

    fmax: float = 0.01
    steps: int = 200
    cell: str = "fixed"
    optimizer: str = "fire"
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.fmax < math.inf:
            raise ValueError(f"fmax is {self.fmax}, expected a force above 0 eV/Å")
        if not 0 <= self.steps <= MAX_STEPS:
            raise ValueError(f"steps is {self.steps}, expected 0 to {MAX_STEPS}")
        if self.cell not in CELLS:
            raise ValueError(f"cell is '{self.cell}', expected {' or '.join(CELLS)}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer is '{self.optimizer}', expected {' or '.join(OPTIMIZERS)}")
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"seconds is {self.seconds}, expected a time, or 0 for no limit")


@dataclass(frozen=True)
class Trajectory:
    """The path of a relaxation, frame by frame.

    Attributes:
        steps: Number of each frame's step, shape (n_frames,); 0 is the start.
        energies: Total energy of each frame, shape (n_frames,), eV.
        max_forces: Largest norm of the force on any atom, shape (n_frames,), eV/Å.
        positions: Shape (n_frames, n_atoms, 3), Å.
        cells: One lattice vector per row, shape (n_frames, 3, 3), Å.
    """

    steps: IntArray
    energies: FloatArray
    max_forces: FloatArray
    positions: FloatArray
    cells: FloatArray

    def thinned(self, n_frames: int = MAX_FRAMES) -> "Trajectory":
        """The same path with at most `n_frames` frames, spread evenly, the first and the last among them."""
        if len(self.steps) <= n_frames:
            return self
        kept = np.linspace(0, len(self.steps) - 1, n_frames).round().astype(int)
        return Trajectory(*(getattr(self, field.name)[kept] for field in dataclasses.fields(self)))


@dataclass(frozen=True)
class Relaxation(Prediction):
    """A configuration as one model relaxed it; a failed one carries a reason and no numbers.

    Ids and hash are those of the given configuration; energy, forces and stress are those of the last step, and
    `wall_seconds` is the time of all steps. The status is `ok` whether or not the relaxation converged.

    Attributes:
        positions: Of the last step, shape (n_atoms, 3), Å.
        cell: One lattice vector per row, of the last step, shape (3, 3), Å.
        n_steps: Number of steps that were made.
        is_converged: Whether the forces, and for a free cell the virial, are below the limit.
        trajectory: The path to the last step.
    """

    positions: FloatArray | None = None
    cell: FloatArray | None = None
    n_steps: int = 0
    is_converged: bool = False
    trajectory: Trajectory | None = None

    def relaxed(self, given: Configuration) -> Configuration:
        """The given configuration with its relaxed positions and cell, without its reference labels.

        Raises:
            ValueError: The relaxation failed, or is of another configuration.
        """
        if self.positions is None or self.cell is None or self.geometry_hash != given.geometry_hash:
            raise ValueError(f"no relaxed positions of '{given.config_id}': {self.reason or 'another configuration'}")
        return dataclasses.replace(
            given,
            positions=self.positions,
            cell=self.cell,
            energy=None,
            forces=None,
            stress=None,
            geometry_hash="",
        )


def write_relaxations(
    path: Path, relaxations: Iterable[Relaxation], options: RelaxationOptions, run_record: RunRecord | None = None
) -> None:
    """Write relaxations to one parquet file, atomically; options and origin become its metadata."""
    table = pa.Table.from_pylist([_row(relaxation) for relaxation in relaxations], schema=RELAXATION_SCHEMA)
    metadata = (run_record or RunRecord()).to_metadata() | {"relaxation": json.dumps(asdict(options))}
    write_table(path, table.replace_schema_metadata(metadata))


def read_relaxations(path: Path) -> list[Relaxation]:
    """Read the relaxations that `write_relaxations` wrote, in file order."""
    return [_relaxation(row) for row in read_table(path, RELAXATION_SCHEMA).to_pylist()]


def _row(relaxation: Relaxation) -> dict[str, object]:
    row = {field.name: getattr(relaxation, field.name) for field in dataclasses.fields(relaxation)}
    way = row.pop("trajectory")
    row |= {name: flat(row[name]) for name in ("forces", "stress", "positions", "cell")}
    if way is not None:
        row |= {"frame_steps": way.steps.tolist(), "frame_energies": flat(way.energies)}
        row |= {"frame_max_forces": flat(way.max_forces), "frame_positions": flat(way.positions)}
        row |= {"frame_cells": flat(way.cells)}
    return row


def _relaxation(row: dict[str, object]) -> Relaxation:
    shapes = {"forces": (-1, 3), "stress": (6,), "positions": (-1, 3), "cell": (3, 3)}
    values = {key: value for key, value in row.items() if not key.startswith("frame_")}
    values |= {key: np.reshape(row[key], shape) for key, shape in shapes.items() if row[key] is not None}  # type: ignore[call-overload]
    way = None
    if row["frame_steps"] is not None:
        steps = np.asarray(row["frame_steps"], dtype=np.int64)
        n_frames = len(steps)
        way = Trajectory(
            steps,
            np.asarray(row["frame_energies"], dtype=float),
            np.asarray(row["frame_max_forces"], dtype=float),
            np.asarray(row["frame_positions"], dtype=float).reshape(n_frames, -1, 3),
            np.asarray(row["frame_cells"], dtype=float).reshape(n_frames, 3, 3),
        )
    return Relaxation(**values, trajectory=way)  # type: ignore[arg-type]
