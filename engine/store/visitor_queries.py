"""SQL of visitors on the results store, where it can do no harm: in a process of bounded memory and time."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from engine.errors import QueryError
from engine.store import connection
from engine.store.query_process import REFUSED

MAX_ROWS = 10_000

MAX_SECONDS = 20.0

MAX_STATEMENT = 20_000
"""Characters of one statement."""

_ROOT = Path(__file__).resolve().parents[2]
_slot = threading.BoundedSemaphore(1)


@dataclass(frozen=True)
class Answer:
    """Rows of a statement.

    Attributes:
        table: At most `MAX_ROWS` of them.
        is_cut: Whether there are more.
        seconds: Wall time, s.
    """

    table: pd.DataFrame
    is_cut: bool
    seconds: float


def ask(statement: str, *, seconds: float = MAX_SECONDS, max_rows: int = MAX_ROWS) -> Answer:
    """Answer one SELECT.

    Args:
        statement: One statement in DuckDB's SQL.
        seconds: Wall time that it may take, s.
        max_rows: Rows that are returned at most.

    Raises:
        QueryError: The statement is no SELECT, is wrong, or takes too long; the message is the database's.
        StoreError: There is no store.
    """
    if not statement.strip():
        raise QueryError("Write a statement, such as: select * from models")
    if len(statement) > MAX_STATEMENT:
        raise QueryError(f"The statement has {len(statement):,} characters; at most {MAX_STATEMENT:,} are read.")
    asked = json.dumps({"path": str(connection.store_path()), "max_rows": max_rows})
    command = [sys.executable, "-m", "engine.store.query_process"]
    if not _slot.acquire(timeout=seconds):
        raise QueryError("Another statement is being answered. Try again in a minute.")
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            input=f"{asked}\n{statement}".encode(),
            capture_output=True,
            timeout=seconds,
            cwd=_ROOT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise QueryError(f"The statement took longer than {seconds:g} s and was stopped. Ask for less.") from None
    finally:
        _slot.release()
    if done.returncode == REFUSED:
        raise QueryError(done.stderr.decode(errors="replace").strip()[:2000])
    if done.returncode:
        raise QueryError("The statement needs more memory than is given to one. Ask for less.")
    table = pa.ipc.open_stream(done.stdout).read_all()
    found = table.slice(0, max_rows).to_pandas()
    return Answer(found, table.num_rows > max_rows, time.monotonic() - started)
