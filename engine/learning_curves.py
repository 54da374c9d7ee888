"""Learning curves of potentials that were trained here, and the files that keep them.

A study trains a potential on parts of a dataset and tests it on what was held out. One row of `ERRORS` has the errors
of one potential on one cluster of configurations (`engine.numerics.clusters`), as sums, so that any groups and any
resample of clusters can be made of them. One row of `FITS` has one trained potential. Units are eV and Å.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.records import RunRecord, read_table, write_table

CLUSTERS = "clusters"
RANDOM = "random"
OTHER_GROUPS = "other-groups"
NEAR_EQUILIBRIUM = "near-equilibrium"
TRAININGS = {
    CLUSTERS: "other trajectories and cells",
    RANDOM: "random configurations, near-copies too",
    OTHER_GROUPS: "all other groups of structures",
    NEAR_EQUILIBRIUM: "crystals near equilibrium alone",
}
"""What a potential was trained on, while it was tested on the rest."""

DFT_LABELS = "dft"
"""Labels of the dataset itself; otherwise the id of the model that gave them."""


@dataclass(frozen=True)
class ClusterError:
    """Errors on one cluster of configurations that was held out.

    Attributes:
        dataset_id: The dataset.
        potential: Name of the form of the potential.
        labels: `dft`, or the model that gave the labels to learn; errors are against DFT always.
        training: One of `TRAININGS`.
        seed: Of the split and of the order in which configurations are taken in.
        share: Of the configurations that could be trained on.
        config_id: First configuration of the cluster.
        group_name: Its group of structures.
        n_configs: Configurations of the cluster.
        n_atoms: Atoms of all of them.
        energy_sum: Sum of energy errors, eV/atom.
        energy_square: Sum of their squares.
        force_square: Sum of squared errors of force components, (eV/Å)².
    """

    dataset_id: str
    potential: str
    labels: str
    training: str
    seed: int
    share: float
    config_id: str
    group_name: str
    n_configs: int
    n_atoms: int
    energy_sum: float
    energy_square: float
    force_square: float


@dataclass(frozen=True)
class Fit:
    """One trained potential of a study.

    Attributes:
        dataset_id: The dataset.
        potential: Name of the form of the potential.
        labels: As in `ClusterError`.
        training: One of `TRAININGS`.
        seed: As in `ClusterError`.
        share: As in `ClusterError`.
        held_out: What it was tested on: a part of the split by number, or a group.
        n_configs: Configurations that it was trained on.
        n_clusters: Clusters that these are of.
        n_atoms: Atoms of all of them.
        atoms_squared: Sum of the squares of their numbers of atoms.
        atoms_cubed: Sum of the cubes.
        weight: Of energies, Å, as cross-validation chose it.
        ridge: Likewise.
    """

    dataset_id: str
    potential: str
    labels: str
    training: str
    seed: int
    share: float
    held_out: str
    n_configs: int
    n_clusters: int
    n_atoms: int
    atoms_squared: float
    atoms_cubed: float
    weight: float
    ridge: float


def _schema(row: type, singles: Iterable[str] = ()) -> pa.Schema:
    """Arrow schema of a row; `singles` are kept in single precision, 1e-7 of their value."""
    kinds: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    return pa.schema(
        [
            pa.field(field.name, pa.float32() if field.name in singles else kinds[field.type], nullable=False)
            for field in fields(row)
        ]
    )


ERRORS = _schema(ClusterError, ("energy_sum", "energy_square", "force_square"))
FITS = _schema(Fit)


def write_learning(folder: Path, errors: Iterable[ClusterError], fits: Iterable[Fit], run_record: RunRecord) -> None:
    """Write a study into `errors.parquet` and `fits.parquet` of a folder; its origin becomes their metadata."""
    for name, rows, schema in (("errors", errors, ERRORS), ("fits", fits, FITS)):
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)
        write_table(folder / f"{name}.parquet", table.replace_schema_metadata(run_record.to_metadata()))


def read_learning(folder: Path) -> tuple[list[ClusterError], list[Fit]]:
    """Read what `write_learning` wrote.

    Raises:
        OSError: A file is not there, or a page of it is damaged.
        ArrowInvalid: A file is not parquet; a ValueError.
    """
    errors = read_table(folder / "errors.parquet", ERRORS).to_pylist()
    fits = read_table(folder / "fits.parquet", FITS).to_pylist()
    return [ClusterError(**row) for row in errors], [Fit(**row) for row in fits]
