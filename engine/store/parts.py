"""Parts of a store that the next build takes over: which there are, and when they are still right.

Every part has a fingerprint of all that it was made of: the bytes of its files, the entries of the registry, the
code. A build copies the parts whose fingerprint is the same from the store before and makes only the others, so that a
new model costs its own part, and its place among the others.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import duckdb

from engine.data_folder import ROOT
from engine.store.connection import SCHEMA_VERSION

TABLES: Mapping[str, tuple[str, ...]] = {
    "dataset": ("configurations",),
    "environments": ("environment_classes", "environments", "environment_settings", "class_sizes"),
    "predictions": ("predictions", "runs", "errors", "dataset_metrics", "element_metrics", "element_offsets"),
    "classes": ("class_sums", "class_metrics"),
    "ranks": ("ranks", "macro_metrics"),
    "ensemble": (
        "uncertainties", "ensemble_metrics", "ensemble_members", "agreements", "detections", "agreement_curves",
    ),
    "calibrations": ("calibrations",),
}  # fmt: skip
"""Tables of each kind of part. A dataset as a whole is the kind `whole`, with the tables of all."""

_KEYS: Mapping[str, tuple[str, ...]] = {
    "predictions": ("model_id",),
    "classes": ("model_id",),
    "ensemble": ("ensemble_id",),
    "calibrations": ("model_id", "ensemble_id"),
}
"""Columns beside dataset_id that a part has one value of; its name are these values."""

_CODE = (
    "engine/store", "engine/numerics", "engine/records.py", "engine/shards.py", "engine/registry/kinds.py",
    "engine/registry/kinds.toml", "engine/registry/leakage.py", "precompute/jobs/build.py",
    "precompute/jobs/describe.py",
)  # fmt: skip
"""What decides how a part follows from its inputs."""


def fingerprint(*made_of: object) -> str:
    """Digest of texts, numbers, records and collections of them; the order of a set does not matter.

    Example:
        >>> fingerprint({"b", "a"}, 1) == fingerprint({"a", "b"}, 1)
        True
    """
    return hashlib.sha256(json.dumps(made_of, default=_plain, sort_keys=True).encode()).hexdigest()


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, set | frozenset):
        return sorted(json.dumps(one, default=_plain, sort_keys=True) for one in value)
    return str(value)


@functools.cache
def code() -> str:
    """Digest of the files that decide how a part follows from its inputs."""
    files: list[Path] = []
    for name in _CODE:
        path = ROOT / name
        files += sorted(p for p in path.rglob("*") if p.suffix in (".py", ".sql")) if path.is_dir() else [path]
    return fingerprint([(str(p.relative_to(ROOT)), hashlib.sha256(p.read_bytes()).hexdigest()) for p in files])


class Parts:
    """What a build takes over from the store before, and what it notes for the next one.

    Args:
        connection: Of the builder, whose tables are filled.
        before: A finished store, or None to take over nothing. One of another schema, or that cannot be read, counts as
            none.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, before: Path | None = None) -> None:
        self._connection = connection
        self._known: dict[tuple[str, str, str], str] = {}
        self.taken: list[tuple[str, str, str]] = []
        self.made: list[tuple[str, str, str]] = []
        if before is None:
            return
        try:
            quoted = str(before).replace("'", "''")
            connection.execute(f"attach '{quoted}' as before (read_only)")
            if connection.execute("select schema_version from before.store_info").fetchall() != [(SCHEMA_VERSION,)]:
                return
            rows = connection.execute("select kind, dataset_id, name, fingerprint from before.parts").fetchall()
        except duckdb.Error:
            return
        self._known = {(kind, dataset_id, name): mark for kind, dataset_id, name, mark in rows}

    def take(self, kind: str, dataset_id: str, mark: str, *names: str) -> bool:
        """Copy a part from the store before, if it has one of the same fingerprint.

        Args:
            kind: Of `TABLES`, or `whole`.
            dataset_id: The dataset.
            mark: Fingerprint of the part; empty where nobody knows.
            names: Values of its keys: model_id, ensemble_id.
        """
        key = (kind, dataset_id, " ".join(names))
        if not mark or self._known.get(key) != mark:
            return False
        keys = ("dataset_id", *_KEYS.get(kind, ()))
        condition = " and ".join(f"{column} = ${column}" for column in keys)
        values = dict(zip(keys, (dataset_id, *names), strict=True))
        for table in [*TABLES[kind]] if kind in TABLES else [table for tables in TABLES.values() for table in tables]:
            self._connection.execute(
                f"insert into {table} by name select * from before.{table} where {condition}", values
            )
        if kind == "whole":
            noted = [(*found, one) for found, one in self._known.items() if found[1] == dataset_id]
            self._note(noted)
        else:
            self._note([(*key, mark)])
        self.taken.append(key)
        return True

    def row(self, table: str, dataset_id: str) -> dict[str, Any]:
        """The one row on a dataset of a table of the store before."""
        found = self._connection.sql(
            f"select * from before.{table} where dataset_id = $dataset", params={"dataset": dataset_id}
        ).to_arrow_table()
        (row,) = found.to_pylist()
        return dict(row)

    def note(self, kind: str, dataset_id: str, mark: str, *names: str) -> None:
        """Remember the fingerprint of a part that was made."""
        self.made.append((kind, dataset_id, " ".join(names)))
        if mark:
            self._note([(kind, dataset_id, " ".join(names), mark)])

    def _note(self, rows: Iterable[tuple[str, str, str, str]]) -> None:
        for row in rows:
            self._connection.execute("insert into parts values (?, ?, ?, ?)", row)
