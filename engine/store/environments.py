"""Local environments as rows of the store: classes of all atoms, SOAP vectors of a sample, force errors by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from ase.data import chemical_symbols
from numpy.typing import NDArray

from engine.numerics.local_environments import CLASSES
from engine.numerics.metrics import MEV, rmse_bounds
from engine.numerics.novelty import nearest_distances
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


def add_novelty(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill `novelty` of all sampled atoms, so that no page has to look for neighbours among them.

    Args:
        connection: To a store with all its datasets.
    """
    table = connection.sql(
        """
        select e.rowid as place, e.soap, e.dataset_id || '/' || c.cluster_name as cluster
        from environments e join configurations c using (dataset_id, config_id)
        where e.in_dataset order by e.dataset_id, e.config_id, e.atom_index
        """
    ).to_arrow_table()
    if not table.num_rows:
        return
    soap, labels = np.array(table["soap"].to_pylist(), dtype=np.float32), pd.factorize(table["cluster"].to_numpy())[0]
    distances = nearest_distances(soap, soap, apart=(labels, labels))
    found = pa.table({"place": table["place"], "novelty": pa.array(distances, mask=~np.isfinite(distances))})
    connection.register("found", found)
    connection.execute("update environments set novelty = f.novelty from found f where environments.rowid = f.place")
    connection.unregister("found")


def insert_class_metrics(connection: duckdb.DuckDBPyConnection, dataset_id: str) -> None:
    """Fill `class_metrics` of a dataset from its force errors and classes, which are there already."""
    sums = connection.execute(
        """
        select f.model_id, c.group_name, f.in_dataset, f.config_id, any_value(c.cluster_name) as cluster_name,
            list_extract($names, k.classes[f.atom_index + 1] + 1) as class_name, count(*) as n_atoms,
            sum(f.error_x ** 2 + f.error_y ** 2 + f.error_z ** 2) as squared_error,
            sum(f.reference_x ** 2 + f.reference_y ** 2 + f.reference_z ** 2) as squared_reference,
            sum(f.reference_x * f.error_x + f.reference_y * f.error_y + f.reference_z * f.error_z) as mixed
        from force_errors f
        join environment_classes k using (dataset_id, config_id)
        join configurations c using (dataset_id, config_id)
        where f.dataset_id = $dataset
        group by f.model_id, c.group_name, f.in_dataset, f.config_id, class_name order by all
        """,
        {"dataset": dataset_id, "names": list(CLASSES)},
    ).df()
    whole = sums[sums["in_dataset"]].assign(group_name="all")
    rows = [
        {"dataset_id": dataset_id, "model_id": model_id, "group_name": group, "class_name": name} | _class_errors(part)
        for (model_id, group, name), part in pd.concat([sums, whole]).groupby(["model_id", "group_name", "class_name"])
    ]
    if rows:
        connection.register("class_rows", pa.Table.from_pylist(rows))
        connection.execute("insert into class_metrics by name select * from class_rows")
        connection.unregister("class_rows")


def _class_errors(part: pd.DataFrame) -> dict[str, Any]:
    """Errors over the atoms of one class, from sums over those of each configuration; squares are in eV²/Å²."""
    n_components = 3.0 * part["n_atoms"].to_numpy(dtype=float)
    squares, reference = part["squared_error"].to_numpy(dtype=float), float(part["squared_reference"].sum())
    clusters = part["cluster_name"].to_numpy(dtype=str)
    low, high = (MEV * bound for bound in rmse_bounds(squares, n_components, clusters))
    return {
        "n_configs": part["config_id"].nunique(),
        "n_atoms": int(part["n_atoms"].sum()),
        "force_rmse_mev_per_ang": MEV * float(np.sqrt(squares.sum() / n_components.sum())),
        "force_slope": 1 + float(part["mixed"].sum()) / reference if reference > 0 else None,
        "force_rmse_mev_per_ang_lo": low if np.isfinite(low) else None,
        "force_rmse_mev_per_ang_hi": high if np.isfinite(high) else None,
        "n_clusters": len(np.unique(clusters)),
    }
