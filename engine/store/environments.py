"""Local environments as rows of the store: classes of all atoms, SOAP vectors of a sample, force errors by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from ase.data import chemical_symbols
from numpy.typing import NDArray

from engine.numerics.local_environments import CLASSES
from engine.records import Configuration


@dataclass(frozen=True)
class Environments:
    """Local environments of one configuration.

    Attributes:
        classes: Class of each atom as a place in `CLASSES`, shape (n_atoms,).
        sampled: Places of the atoms with a SOAP vector.
        soap: Their vectors, shape (n_sampled, n_features).
    """

    classes: NDArray[np.uint8]
    sampled: NDArray[np.int32]
    soap: NDArray[np.float32]


def class_table(dataset_id: str, found: Mapping[str, Environments]) -> pa.Table:
    """Rows of `environment_classes`."""
    return pa.table(
        {
            "dataset_id": [dataset_id] * len(found),
            "config_id": list(found),
            "classes": pa.array([one.classes.tolist() for one in found.values()], pa.list_(pa.uint8())),
        }
    )


def sample_table(
    dataset_id: str, configurations: Sequence[Configuration], found: Mapping[str, Environments], outside: Sequence[str]
) -> pa.Table:
    """Rows of `environments`, one per sampled atom.

    Args:
        dataset_id: The dataset.
        configurations: All of its configurations.
        found: Their environments by config_id.
        outside: Groups that do not count as the dataset.
    """
    atoms = [(c, place, k) for c in configurations for k, place in enumerate(found[c.config_id].sampled.tolist())]
    return pa.table(
        {
            "dataset_id": [dataset_id] * len(atoms),
            "config_id": [c.config_id for c, _, _ in atoms],
            "atom_index": pa.array([place for _, place, _ in atoms], pa.int32()),
            "group_name": [c.group_name for c, _, _ in atoms],
            "in_dataset": pa.array([c.group_name not in outside for c, _, _ in atoms], pa.bool_()),
            "element": [chemical_symbols[c.numbers[place]] for c, place, _ in atoms],
            "class_name": [CLASSES[found[c.config_id].classes[place]] for c, place, _ in atoms],
            "soap": pa.array([found[c.config_id].soap[k].tolist() for c, _, k in atoms], pa.list_(pa.float32())),
        }
    )


def insert_class_metrics(connection: duckdb.DuckDBPyConnection, dataset_id: str) -> None:
    """Fill `class_metrics` of a dataset from its force errors and classes, which are there already."""
    connection.execute(
        """
        insert into class_metrics by name
        with atoms as (
            select f.dataset_id, f.model_id, f.config_id, c.group_name, f.in_dataset,
                list_extract($names, k.classes[f.atom_index + 1] + 1) as class_name,
                f.error_x ** 2 + f.error_y ** 2 + f.error_z ** 2 as squared_error,
                f.reference_x ** 2 + f.reference_y ** 2 + f.reference_z ** 2 as squared_reference,
                f.reference_x * f.error_x + f.reference_y * f.error_y + f.reference_z * f.error_z as mixed
            from force_errors f
            join environment_classes k using (dataset_id, config_id)
            join configurations c using (dataset_id, config_id)
            where f.dataset_id = $dataset
        ), grouped as (
            select * from atoms union all by name select * replace ('all' as group_name) from atoms where in_dataset
        )
        select dataset_id, model_id, group_name, class_name, count(distinct config_id) as n_configs,
            count(*) as n_atoms, 1000 * sqrt(sum(squared_error) / count(*) / 3) as force_rmse_mev_per_ang,
            1 + sum(mixed) / nullif(sum(squared_reference), 0) as force_slope
        from grouped group by all order by all
        """,
        {"dataset": dataset_id, "names": list(CLASSES)},
    )
