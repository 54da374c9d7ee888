"""Summaries: the rows of a store on a dataset apart from its atoms, small enough to come with the repository.

With a summary, a fresh clone ranks, maps and compares models on a dataset before its files are fetched, where the
licence allows it. A summary has errors of each configuration, metrics, ranks and the spread of ensembles. It has no
positions, forces and errors of single components. It fits the version of the schema that it was made for, and those
that differ from it only by columns that a build can fill; a build leaves out any other, which must be made again.
"""

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import StoreError
from engine.records import write_table
from engine.registry.ensembles import load_ensembles
from engine.store.connection import SCHEMA_VERSION, SETTINGS

# Licences that let results on a dataset be passed on with its name; atoms and labels stay with their source anyway.
OPEN_LICENSES = ("MIT", "BSD-3-Clause", "CC-BY-4.0")

_VERSION = b"schema_version"

# Versions of summaries that a build can take. Those of 7 lack columns that follow from others, or stay empty, and the
# tables of agreement and intervals. Those of 8 lack sums over the atoms of one element or class, those
# of 9 and 10 nothing.
_READABLE = ("7", "8", "9", "10", str(SCHEMA_VERSION))

_HERE = "dataset_id = $dataset"
_ENSEMBLES = "ensemble_id in (select ensemble_id from ensemble_metrics where dataset_id = $dataset)"
_EMBEDDED = [one.ensemble_id for one in load_ensembles().values() if one.is_embedded]

# Tables in single precision, 1e-6 of their value.
_SINGLE = ("errors", "agreements", "detections", "agreement_curves", "calibrations")

_VECTORS = ("environments", "environment_settings")

# What is kept of each table: columns, and condition. One ensemble alone is kept atom by atom: each is 2 MB of W-g.
_TABLES = {
    "datasets": ("dataset_id, n_configs, n_atoms, n_clusters, has_crystal, is_one_composition", _HERE),
    "configurations": ("* exclude (positions, cell, pbc, forces, stress, kind, energy_above, force_rms)", _HERE),
    "predictions": ("* exclude (energy, forces, stress)", _HERE),
    "runs": ("*", _HERE),
    "errors": ("*", _HERE),
    "dataset_metrics": ("*", _HERE),
    "ranks": ("*", _HERE),
    "macro_metrics": ("*", _HERE),
    "element_offsets": ("*", _HERE),
    "element_metrics": ("*", _HERE),
    "ensembles": ("*", _ENSEMBLES),
    "uncertainties": (
        """* exclude (force_weighted) replace (force_deviation::float[] as force_deviation,
        force_error::float[] as force_error, force_standard_deviation::float[] as force_standard_deviation)""",
        f"{_HERE} and list_contains([{', '.join(map(repr, _EMBEDDED))}], ensemble_id)",
    ),
    "ensemble_members": ("*", _HERE),
    "agreements": ("*", _HERE),
    "detections": ("*", _HERE),
    "agreement_curves": ("*", _HERE),
    "calibrations": ("*", _HERE),
    "ensemble_metrics": ("*", _HERE),
    "environment_classes": ("*", _HERE),
    "environments": ("* exclude (novelty)", _HERE),
    "environment_settings": ("*", _HERE),
    "class_metrics": ("*", _HERE),
}


def write_summary(store: Path, dataset_id: str, folder: Path, *, with_vectors: bool = True) -> list[Path]:
    """Write the summary of a dataset from a finished store, one file per table that has rows.

    Args:
        store: The DuckDB file.
        dataset_id: The dataset.
        folder: Where the files go, `<table>.parquet`; files of tables without rows are removed.
        with_vectors: Also the SOAP vectors of local environments, which take more than all else.

    Returns:
        The files.

    Raises:
        StoreError: The store has no errors of that dataset.
    """
    written = []
    with duckdb.connect(str(store.resolve()), read_only=True, config=SETTINGS) as connection:
        for table, (columns, condition) in _TABLES.items():
            found = connection.sql(
                f"select {columns} from {table} where {condition} order by all", params={"dataset": dataset_id}
            ).to_arrow_table()
            if table in _SINGLE:
                found = _in_single_precision(found)
            path = folder / f"{table}.parquet"
            if found.num_rows == 0 or (table in _VECTORS and not with_vectors):
                path.unlink(missing_ok=True)
                continue
            write_table(path, found.replace_schema_metadata({_VERSION: str(SCHEMA_VERSION)}))
            written.append(path)
    if folder / "errors.parquet" not in written:
        raise StoreError(f"{store} has no errors on '{dataset_id}'; fetch it, run models and build first.")
    return written


def _in_single_precision(table: pa.Table) -> pa.Table:
    """The table with its float columns as float32."""
    single = {pa.float64(): pa.float32(), pa.list_(pa.float64()): pa.list_(pa.float32())}
    return table.cast(pa.schema([pa.field(f.name, single.get(f.type, f.type)) for f in table.schema]))


def read_summary(folder: Path) -> Mapping[str, pa.Table]:
    """The tables of a summary, as `write_summary` left them.

    Raises:
        StoreError: It was made for another version of the schema, or a file is damaged.
    """
    tables = {}
    for path in sorted(folder.glob("*.parquet")):
        try:
            table = pq.read_table(path, page_checksum_verification=True)
        except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
            raise StoreError(f"{path} cannot be read ({error}); check it out again.") from error
        version = (table.schema.metadata or {}).get(_VERSION, b"none").decode()
        if version not in _READABLE:
            raise StoreError(
                f"The summary in {folder.name} is of schema version {version}, not {SCHEMA_VERSION}; "
                f"run: python -m precompute embed --summary --dataset {folder.name}"
            )
        tables[path.stem] = table
    return tables
