"""The store's own tables: names, columns and sizes."""

import pandas as pd

from engine.store import connection
from engine.store.connection import cached


@cached
def columns() -> pd.DataFrame:
    """One row per column: table_name, n_rows (of the table), column_name, data_type; tables by name."""
    return connection.frame(
        """
        select c.table_name, t.estimated_size as n_rows, c.column_name, c.data_type
        from duckdb_columns() c join duckdb_tables() t using (database_name, schema_name, table_name)
        where not c.internal order by c.table_name, c.column_index
        """
    )


def names() -> list[str]:
    """Names of all tables."""
    return [str(name) for name in columns()["table_name"].unique()]
