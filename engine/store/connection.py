"""Read-only access to the results store: which build is current, one cursor per query, a cache per build.

The store is opened through its resolved path, because a second connection to the same path would go on
serving the old file after a new build has taken its place. Results are remembered by build and arguments, so
that a new build needs no restart. Data frames are handed out as shallow copies: with pandas' copy-on-write no
caller can change the remembered one.
"""

import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.data_folder import ROOT, DataFolder
from engine.errors import StoreError

P = ParamSpec("P")
R = TypeVar("R")

# Of every reader: DuckDB refuses two connections of one process to a file with different ones.
SETTINGS: dict[str, str | bool | int | float | list[str]] = {"threads": 2, "memory_limit": "4GB"}

SCHEMA_VERSION = 11  # of schema.sql: what the store writes and the app reads
TIMEOUT_SECONDS = 20.0
PARQUET_ROWS = 50_000  # in memory at a time while a table is written
DatabaseError = duckdb.Error  # for callers that know no database

_NEXT_STEP = "Run: make demo"
_MAX_OPEN = 2  # a build stays open beside its successor, so that queries that still run on it can end
_COPIED = 1_000_000  # cells of a frame below which it is copied whole: 240,000 take 0.4 ms
_GATE = threading.Semaphore(2)
_OPEN_LOCK = threading.Lock()
_OPEN: dict[str, duckdb.DuckDBPyConnection] = {}


@dataclass(frozen=True)
class Asked:
    """A question to the store that gave numbers of a page.

    Attributes:
        what: A remembered function, or a statement.
        positional: Positional arguments of the function.
        named: Its named arguments, or the bindings of the statement.
    """

    what: Callable[..., Any] | str
    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)


_ASKED: ContextVar[list[Asked] | None] = ContextVar("asked", default=None)


@contextmanager
def recording() -> Iterator[list[Asked]]:
    """Collect what is asked of the store in this block, whether or not the answer is remembered.

    What one question asks in turn is not collected.
    """
    asked: list[Asked] = []
    token = _ASKED.set(asked)
    try:
        yield asked
    finally:
        _ASKED.reset(token)


@contextmanager
def _answering(question: Asked) -> Iterator[None]:
    """Note a question; what is asked in the block belongs to its answer."""
    asked = _ASKED.get()
    if asked is None:
        yield
        return
    asked.append(question)
    token = _ASKED.set(None)
    try:
        yield
    finally:
        _ASKED.reset(token)


def store_path() -> Path:
    """The file that `results.duckdb` leads to now.

    Raises:
        StoreError: There is none.
    """
    pointer = DataFolder.default().store
    if not pointer.exists():
        shown = pointer.relative_to(ROOT) if pointer.is_relative_to(ROOT) else pointer
        raise StoreError(f"There is no results store at {shown}. {_NEXT_STEP}")
    return pointer.resolve()


def version() -> str:
    """Identity of the current build; part of every cache key."""
    pointer = DataFolder.default().store
    try:
        found = os.stat(pointer)
    except OSError:
        found = store_path().stat()  # refuses with the next step
    return _identity(str(pointer), found.st_ino, found.st_mtime_ns)


@functools.lru_cache(maxsize=_MAX_OPEN)
def _identity(_pointer: str, _inode: int, written: int) -> str:
    """The version of the file that a pointer leads to; resolving its path takes longer than all look-ups of a page."""
    return f"{store_path()}@{written}"


def _connect(key: str) -> duckdb.DuckDBPyConnection:
    """Connection to the store of that version, opened once."""
    with _OPEN_LOCK:
        if key not in _OPEN:
            path = key.rpartition("@")[0]
            try:
                con = duckdb.connect(path, read_only=True, config=SETTINGS)
                found = con.execute("select schema_version from store_info").fetchall()
            except duckdb.Error as error:
                raise StoreError(f"{path} is not a results store ({error}). {_NEXT_STEP}") from error
            if found != [(SCHEMA_VERSION,)]:
                raise StoreError(
                    f"{path} has schema version {found}, expected {SCHEMA_VERSION}. Run: python -m precompute build"
                )
            while len(_OPEN) >= _MAX_OPEN:
                _OPEN.pop(next(iter(_OPEN))).close()
            _OPEN[key] = con
        return _OPEN[key]


@contextmanager
def _cursor() -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor for one query: two threads on one connection are refused. Interrupted after a time-out."""
    cursor = _connect(version()).cursor()
    timer = threading.Timer(TIMEOUT_SECONDS, cursor.interrupt)
    try:
        with _GATE:
            timer.start()
            yield cursor
    except duckdb.InterruptException as error:
        raise StoreError(f"A query took longer than {TIMEOUT_SECONDS:.0f} s and was stopped.") from error
    finally:
        timer.cancel()
        cursor.close()


def frame(sql: str, parameters: dict[str, Any] | None = None) -> pd.DataFrame:
    """All rows of a statement with named parameters."""
    with _answering(Asked(sql, named=parameters or {})), _cursor() as cursor:
        return cursor.execute(sql, parameters or {}).df()


def arrow(sql: str, parameters: dict[str, Any] | None = None) -> pa.Table:
    """As `frame`, but as Arrow, which takes lists of numbers as they lie in the store."""
    with _answering(Asked(sql, named=parameters or {})), _cursor() as cursor:
        return cursor.sql(sql, params=parameters or {}).to_arrow_table()


def row(sql: str, parameters: dict[str, Any] | None = None) -> tuple[Any, ...] | None:
    """The first row of a statement with named parameters."""
    with _answering(Asked(sql, named=parameters or {})), _cursor() as cursor:
        return cursor.execute(sql, parameters or {}).fetchone()


def arrays(sql: str, parameters: dict[str, Any] | None = None) -> list[NDArray[Any]]:
    """The columns of a statement that gives lists of numbers, each as one array, one row after the other.

    Millions of numbers come this way in a fraction of the time that rows of atoms take.
    """
    with _answering(Asked(sql, named=parameters or {})), _cursor() as cursor:
        table = cursor.sql(sql, params=parameters or {}).to_arrow_table()
    return [np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks] or [[]]) for column in table.columns]


def write_parquet(table: str, path: Path) -> None:
    """Write one table of the store to a file, batch by batch.

    Args:
        table: Its name, one of those that DuckDB lists.
        path: The file to write.
    """
    with _cursor() as cursor:
        batches = cursor.sql(f'select * from "{table}"').to_arrow_reader(PARQUET_ROWS)
        with pq.ParquetWriter(path, batches.schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)


def cached(function: Callable[P, R]) -> Callable[P, R]:
    """Remember a function's results per build of the store; arguments must be hashable."""

    @functools.lru_cache(maxsize=128)
    def remembered(_version: str, *args: Any, **kwargs: Any) -> R:
        return function(*args, **kwargs)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with _answering(Asked(function, args, kwargs)):
            result = remembered(version(), *args, **cast(Any, kwargs))
        return _own(result) if isinstance(result, pd.DataFrame) else result

    return call


def _own(kept: pd.DataFrame) -> pd.DataFrame:
    """A frame for one who may change it.

    A shallow copy and all that is taken from it leave a reference in the frame that is kept: 125,000 after 72 pages.
    """
    return kept.copy(deep=kept.size < _COPIED)
