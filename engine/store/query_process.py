"""The process that answers one statement of a visitor: `python -m engine.store.query_process`.

`engine.store.visitor_queries` starts it and ends it when it takes too long. It opens the store for reading, without any
access to other files or to the network, and limits its own memory. The first line of standard input is JSON (`path`,
`max_rows`), the rest is the statement. Standard output is an Arrow stream; a refusal goes to standard error.
"""

import json
import resource
import sys

import duckdb
import pyarrow as pa

MAX_MEMORY = 6 << 30
"""Address space of the process, bytes; DuckDB reserves more than it uses."""

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "threads": 1,
    "memory_limit": "1GB",
}

REFUSED = 3
"""Exit status for a statement that cannot be answered; the reason is on standard error."""


def answer(path: str, statement: str, max_rows: int) -> pa.Table:
    """The first rows of one SELECT on a store.

    Args:
        path: The store.
        statement: One statement that reads.
        max_rows: Rows at most; one more is returned where there are more.

    Raises:
        ValueError: There is not exactly one statement, or it does not read.
        duckdb.Error: It cannot be executed.
    """
    with duckdb.connect(path, read_only=True, config=CONFIG) as connection:
        connection.execute("set lock_configuration = true")
        statements = connection.extract_statements(statement)
        if len(statements) != 1:
            raise ValueError(f"Expected one statement, got {len(statements)}.")
        if statements[0].type != duckdb.StatementType.SELECT:
            raise ValueError(f"Only SELECT is answered here, this is {statements[0].type.name}.")
        return _first(connection.sql(statement).to_arrow_reader(max_rows + 1), max_rows + 1)


def _first(reader: pa.RecordBatchReader, n: int) -> pa.Table:
    """Not more than the first n rows."""
    batches, found = [], 0
    for batch in reader:
        batches.append(batch)
        found += batch.num_rows
        if found >= n:
            break
    return pa.Table.from_batches(batches, reader.schema).slice(0, n)


def main() -> int:
    """Read standard input, write standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked = json.loads(sys.stdin.buffer.readline())
    try:
        table = answer(asked["path"], sys.stdin.buffer.read().decode(), asked["max_rows"])
        with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as stream:
            stream.write_table(table)
    except (ValueError, duckdb.Error, MemoryError) as error:
        print(f"{error or 'The statement needs more memory than is given to one.'}", file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
