"""Summaries: the rows of a store on a dataset apart from its atoms, small enough to come with the repository.

With a summary, a fresh clone ranks, maps and compares models on a dataset before its files are fetched, where the
licence allows it. A summary has errors of each configuration, metrics, ranks and the spread of ensembles. It has no
positions, forces and errors of single components. It fits the version of the schema that it was made for, and those
that differ from it only by columns that a build can fill; a build leaves out any other, which must be made again.

Predictions of many models on many sets are rarely all on one machine. So a model can be added to a summary: the rows
of the others stay, and all are ranked again by the errors that it has of each configuration.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import StoreError
from engine.records import has_rows, write_table
from engine.registry.ensembles import load_ensembles
from engine.store.connection import SCHEMA_VERSION, SETTINGS
from engine.store.ranking import Comparable, Pairs, rank_rows
from engine.store.scoring import Frame, Score

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


def summary_of(store: Path, dataset_id: str, *, with_vectors: bool = True) -> dict[str, pa.Table]:
    """The summary of a dataset from a finished store: tables that have rows, by name.

    Args:
        store: The DuckDB file.
        dataset_id: The dataset.
        with_vectors: Also the SOAP vectors of local environments, which take more than all else.

    Raises:
        StoreError: The store has no errors of that dataset.
    """
    tables = {}
    with duckdb.connect(str(store.resolve()), read_only=True, config=SETTINGS) as connection:
        for table, (columns, condition) in _TABLES.items():
            found = connection.sql(
                f"select {columns} from {table} where {condition} order by all", params={"dataset": dataset_id}
            ).to_arrow_table()
            if found.num_rows and (with_vectors or table not in _VECTORS):
                tables[table] = _in_single_precision(found) if table in _SINGLE else found
    if "errors" not in tables:
        raise StoreError(f"{store} has no errors on '{dataset_id}'; fetch it, run models and build first.")
    return tables


def write_summary(folder: Path, tables: Mapping[str, pa.Table]) -> list[Path]:
    """Write a summary, one file `<table>.parquet` per table; those of tables that it lacks are removed.

    A file that a build can take and that has the same rows already stays as it is.

    Returns:
        The files.
    """
    for name in _TABLES.keys() - tables.keys():
        (folder / f"{name}.parquet").unlink(missing_ok=True)
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        if not (has_rows(path, table) and _version(pq.read_schema(path)) in _READABLE):
            write_table(path, table.replace_schema_metadata({_VERSION: str(SCHEMA_VERSION)}))
    return [folder / f"{name}.parquet" for name in tables]


def added(
    new: Mapping[str, pa.Table],
    earlier: Mapping[str, pa.Table],
    frame: Frame,
    comparable: Comparable,
    seen: Pairs,
    models: Collection[str],
) -> dict[str, pa.Table]:
    """An earlier summary of a dataset with the models of a new one.

    What a model has by itself comes from the new one where it is there, and all are ranked again. Ensembles stay as
    they were, since their spread needs the forces of all members; those that the earlier summary lacks are added.

    Args:
        new: The new summary.
        earlier: The earlier one, without what should not be kept.
        frame: Of the dataset.
        comparable: Which models may be ranked by what their labels are.
        seen: Pairs (model_id, group) of which the model was trained on the configurations; `all` for the dataset.
        models: Of the registry; rows of others in the earlier summary are dropped.

    Raises:
        StoreError: The two are of different configurations.
    """
    keys = ["config_id", "n_atoms", "energy"]
    if not new["configurations"].select(keys).equals(earlier["configurations"].select(keys)):
        raise StoreError(
            f"The summary of '{frame.dataset_id}' that is here is of other configurations; embed it without --add."
        )
    replaced = set(new["errors"]["model_id"].to_pylist())
    parameters = {
        "kept": [one for one in models if one not in replaced],
        "there": earlier["ensembles"]["ensemble_id"].to_pylist() if "ensembles" in earlier else [],
    }
    tables: dict[str, pa.Table] = dict(earlier) | dict(new)  # what belongs to the dataset stays as it is here
    with duckdb.connect() as connection:
        for name in tables:
            sides = {side: of[name] for side, of in (("earlier", earlier), ("new", new)) if name in of}
            if not any({"model_id", "ensemble_id"} & set(table.column_names) for table in sides.values()):
                continue
            parts = []
            for side, table in sides.items():
                connection.register(side, table)
                parts.append(f"select * from {side} where {_part(side, table.column_names)}")
            used = {key: value for key, value in parameters.items() if f"${key}" in " ".join(parts)}
            joined = connection.sql(" union all by name ".join(parts) + " order by all", params=used)
            tables[name] = joined.to_arrow_table()
    return tables | {"ranks": _ranked(tables, frame, comparable, seen)}


def _part(side: str, columns: Collection[str]) -> str:
    """Which rows of a table an earlier and a new summary give to their sum, as a condition."""
    if side == "earlier":
        return "list_contains($kept, model_id)" if "model_id" in columns else "true"
    return "not list_contains($there, ensemble_id)" if "ensemble_id" in columns else "true"


def _ranked(tables: Mapping[str, pa.Table], frame: Frame, comparable: Comparable, seen: Pairs) -> pa.Table:
    """Rows of `ranks` of all models of a summary."""
    with duckdb.connect() as connection:
        for name in ("errors", "element_offsets"):
            connection.register(name, tables[name])
        connection.register("kept", tables["predictions"])
        connection.execute(
            """
            create table predictions as
            select k.*, (e.reference_energy_per_atom + e.energy_error_per_atom) * e.n_atoms as energy,
                e.force_rmse as forces
            from kept k left join errors e using (dataset_id, model_id, config_id)
            """
        )
        model_ids = sorted(set(tables["errors"]["model_id"].to_pylist()))
        scored = {model_id: Score.stored(frame, model_id, connection) for model_id in model_ids}
    return pa.Table.from_pylist(list(rank_rows(frame, scored, comparable, seen)), schema=tables["ranks"].schema)


def _in_single_precision(table: pa.Table) -> pa.Table:
    """The table with its float columns as float32."""
    single = {pa.float64(): pa.float32(), pa.list_(pa.float64()): pa.list_(pa.float32())}
    return table.cast(pa.schema([pa.field(f.name, single.get(f.type, f.type)) for f in table.schema]))


def _version(schema: pa.Schema) -> str:
    """Version of the store's schema that a file was made for."""
    return str((schema.metadata or {}).get(_VERSION, b"none").decode())


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
        version = _version(table.schema)
        if version not in _READABLE:
            raise StoreError(
                f"The summary in {folder.name} is of schema version {version}, not {SCHEMA_VERSION}; "
                f"run: python -m precompute embed --summary --dataset {folder.name}"
            )
        tables[path.stem] = table
    return tables
