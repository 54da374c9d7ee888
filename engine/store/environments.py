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
from engine.records import Configuration, list_column, list_values


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
    soap = np.stack([one for one in list_values(table["soap"]) if one is not None])
    labels = pd.factorize(table["cluster"].to_numpy())[0]
    distances = nearest_distances(soap, soap, apart=(labels, labels))
    found = pa.table({"place": table["place"], "novelty": pa.array(distances, mask=~np.isfinite(distances))})
    connection.register("found", found)
    connection.execute("update environments set novelty = f.novelty from found f where environments.rowid = f.place")
    connection.unregister("found")


def insert_class_metrics(
    connection: duckdb.DuckDBPyConnection, dataset_id: str, model_ids: Sequence[str] | None = None
) -> None:
    """Fill `class_sizes`, `class_sums`, `class_metrics` of a dataset whose predictions and classes are there already.

    Args:
        connection: To the store.
        dataset_id: The dataset.
        model_ids: Those that have no such rows yet; all that have predictions where none are named.
    """
    cells = _Cells.read(connection, dataset_id)
    if cells is None:
        return
    known = {"dataset": dataset_id}
    if not connection.execute("select 1 from class_sizes where dataset_id = $dataset limit 1", known).fetchall():
        _append(connection, "class_sizes", cells.sizes(dataset_id))
    if model_ids is None:
        sql = "select distinct model_id from predictions where dataset_id = $dataset order by model_id"
        model_ids = [name for (name,) in connection.execute(sql, known).fetchall()]
    for model_id in model_ids:
        sums = cells.errors(connection, dataset_id, model_id)
        if sums.empty:
            continue
        _append(connection, "class_sums", _sum_table(dataset_id, model_id, sums))
        whole = sums[sums["in_dataset"]].assign(group_name="all")
        metrics = [
            {"dataset_id": dataset_id, "model_id": model_id, "group_name": group, "class_name": CLASSES[place]}
            | _class_errors(part)
            for (group, place), part in pd.concat([sums, whole]).groupby(["group_name", "class_id"])
        ]
        _append(connection, "class_metrics", pa.Table.from_pylist(metrics))


def _append(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    connection.register("class_rows", rows)
    connection.execute(f"insert into {table} by name select * from class_rows")
    connection.unregister("class_rows")


@dataclass(frozen=True)
class _Cells:
    """Configurations of a dataset that have labels and classes, with all of their atoms one after the other.

    Attributes:
        table: config_id, group_name, in_dataset and cluster_name of each.
        starts: Place of the first atom of each, and one more, shape (n_configs + 1,).
        classes: Class of each atom.
        labels: Reference force on each atom, shape (n_atoms, 3), eV/Å.
    """

    table: pd.DataFrame
    starts: NDArray[np.int64]
    classes: NDArray[np.uint8]
    labels: NDArray[np.float64]

    @classmethod
    def read(cls, connection: duckdb.DuckDBPyConnection, dataset_id: str) -> "_Cells | None":
        """Those of a dataset; None where there are none."""
        found = connection.sql(
            """select c.config_id, c.group_name, c.in_dataset, c.cluster_name, c.forces, k.classes
            from configurations c join environment_classes k using (dataset_id, config_id)
            where c.dataset_id = $dataset and c.forces is not null order by c.rowid""",
            params={"dataset": dataset_id},
        ).to_arrow_table()
        if not found.num_rows:
            return None
        classes = [one for one in list_values(found["classes"]) if one is not None]
        labels = [one for one in list_values(found["forces"]) if one is not None]
        starts = np.concatenate([[0], np.cumsum([len(one) for one in classes])])
        table = found.select(["config_id", "group_name", "in_dataset", "cluster_name"]).to_pandas()
        return cls(table, starts, np.concatenate(classes), np.concatenate(labels).reshape(-1, 3))

    def _sums(self, atoms: NDArray[np.bool_], **values: NDArray[np.float64]) -> pd.DataFrame:
        """Sums of values over the atoms of each class in each configuration, of those atoms that are chosen."""
        owners = np.repeat(np.arange(len(self.table)), np.diff(self.starts))[atoms]
        keys, places = np.unique(owners * len(CLASSES) + self.classes[atoms], return_inverse=True)
        columns = {"row": keys // len(CLASSES), "class_id": keys % len(CLASSES), "n_atoms": np.bincount(places)}
        return pd.DataFrame(columns | {name: np.bincount(places, one) for name, one in values.items()})

    def sizes(self, dataset_id: str) -> pa.Table:
        """Rows of `class_sizes`."""
        squares = (self.labels**2).sum(axis=1)
        sums = self._sums(np.ones(len(self.labels), dtype=bool), reference_squares=squares)
        return pa.table(
            {
                "dataset_id": [dataset_id] * len(self.table),
                "config_id": self.table["config_id"].tolist(),
                "classes": _lists(sums, "class_id", pa.uint8()),
                "n_atoms": _lists(sums, "n_atoms", pa.int32()),
                "reference_squares": _lists(sums, "reference_squares", pa.float32()),
            }
        )

    def errors(self, connection: duckdb.DuckDBPyConnection, dataset_id: str, model_id: str) -> pd.DataFrame:
        """One row per configuration and class of a model: sums over the atoms; empty where it has no forces."""
        found = connection.sql(
            """select config_id, forces from predictions
            where dataset_id = $dataset and model_id = $model and forces is not null""",
            params={"dataset": dataset_id, "model": model_id},
        ).to_arrow_table()
        predicted = dict(zip(found["config_id"].to_pylist(), list_values(found["forces"]), strict=True))
        parts = [predicted.get(name) for name in self.table["config_id"]]
        known = [part for part in parts if part is not None]
        if not known:
            return pd.DataFrame()
        atoms = np.repeat([part is not None for part in parts], np.diff(self.starts))
        labels = self.labels[atoms]
        errors = np.concatenate(known).reshape(-1, 3) - labels
        sums = self._sums(
            atoms,
            squared_error=(errors**2).sum(axis=1),
            squared_reference=(labels**2).sum(axis=1),
            mixed=(labels * errors).sum(axis=1),
        )
        return pd.concat([self.table.iloc[sums["row"]].reset_index(drop=True), sums], axis=1)


def _lists(sums: pd.DataFrame, column: str, kind: pa.DataType) -> pa.Array:
    """A column as one list per configuration; rows of one configuration are neighbours."""
    starts = np.flatnonzero(np.diff(sums["row"].to_numpy(), prepend=-1))
    return list_column(np.split(sums[column].to_numpy(), starts[1:]), kind)


def _sum_table(dataset_id: str, model_id: str, sums: pd.DataFrame) -> pa.Table:
    """Rows of `class_sums`."""
    names = sums["config_id"][np.flatnonzero(np.diff(sums["row"].to_numpy(), prepend=-1))].tolist()
    return pa.table(
        {
            "dataset_id": [dataset_id] * len(names),
            "model_id": [model_id] * len(names),
            "config_id": names,
            "squares": _lists(sums, "squared_error", pa.float32()),
            "products": _lists(sums, "mixed", pa.float32()),
        }
    )


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
