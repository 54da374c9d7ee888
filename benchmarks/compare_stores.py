"""Whether two builds of the results store say the same: python -m benchmarks.compare_stores BEFORE AFTER.

Every table is compared row for row, on all columns where both builds have the same ones and else on those that they
share. Rows that only one build has are counted, and one of them is shown. `store_info` says when a store was built and
is left out. The exit status is 1 where a table of unchanged columns differs.
"""

import argparse
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

LEFT_OUT = ("store_info",)


@dataclass(frozen=True)
class Comparison:
    """What two builds say of one table.

    Attributes:
        table: Its name.
        n_rows: Rows in both builds, before and after.
        only_before: Rows that only the build before has, counted on the shared columns.
        only_after: Rows that only the build after has.
        new: Columns that only the build after has.
        gone: Columns that only the build before has.
        example: A row that only one build has, empty where there is none.
    """

    table: str
    n_rows: tuple[int, int]
    only_before: int
    only_after: int
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    example: str = ""

    @property
    def is_equal(self) -> bool:
        """Whether the rows are the same on the shared columns."""
        return not self.only_before and not self.only_after

    @property
    def has_same_columns(self) -> bool:
        """Whether both builds have the same columns."""
        return not self.new and not self.gone

    def __str__(self) -> str:
        """One line for a person to read."""
        columns = "".join(f", {sign}{name}" for sign, names in (("+", self.new), ("-", self.gone)) for name in names)
        rows = f"{self.n_rows[0]} and {self.n_rows[1]} rows"
        if self.is_equal:
            return f"{self.table}: equal, {rows}{columns}"
        return (
            f"{self.table}: {self.only_before} rows only before, {self.only_after} only after, {rows}{columns}"
            f"\n    such as {self.example}"
        )


def compare(
    before: Path, after: Path, *, without: Collection[str] = (), as_sets: Collection[str] = ()
) -> Iterator[Comparison]:
    """Compare every table that both builds have, then name the others as empty comparisons.

    Args:
        before: A store.
        after: Another one.
        without: Columns that are not compared, such as times of computations.
        as_sets: Tables whose rows count once however often they are there.
    """
    with duckdb.connect() as con:
        for name, path in (("before", before), ("after", after)):
            con.execute(f"attach '{path}' as {name} (read_only)")
        columns = {name: _columns(con, name) for name in ("before", "after")}
        for table in sorted(columns["before"].keys() | columns["after"].keys()):
            old, new = columns["before"].get(table, []), columns["after"].get(table, [])
            if table not in LEFT_OUT:
                names = ([name for name in columns if name not in without] for columns in (old, new))
                yield _compare_table(con, table, *names, is_set=table in as_sets)


def _columns(con: duckdb.DuckDBPyConnection, name: str) -> dict[str, list[str]]:
    """Columns of every table of an attached build."""
    rows = con.execute(
        "select table_name, list(column_name order by column_index) from duckdb_columns() "
        "where database_name = ? group by table_name",
        [name],
    ).fetchall()
    return dict(rows)


def _compare_table(
    con: duckdb.DuckDBPyConnection, table: str, old: list[str], new: list[str], *, is_set: bool
) -> Comparison:
    """Compare one table on the columns that both builds have."""
    repeats = "" if is_set else "all"
    shared = ", ".join(f'"{name}"' for name in old if name in new)
    added, gone = tuple(n for n in new if n not in old), tuple(n for n in old if n not in new)
    counts = tuple(
        con.execute(f"select count(*) from {name}.{table}").fetchall()[0][0] if columns else 0
        for name, columns in (("before", old), ("after", new))
    )
    if not shared:
        return Comparison(table, (counts[0], counts[1]), counts[0], counts[1], added, gone, "a table of one build only")
    sides = [
        con.execute(
            f"select {shared} from {one}.{table} except {repeats} select {shared} from {other}.{table}"
        ).fetchall()
        for one, other in (("before", "after"), ("after", "before"))
    ]  # fmt: skip
    example = next((str(row)[:400] for rows in sides for row in rows), "")
    return Comparison(table, (counts[0], counts[1]), len(sides[0]), len(sides[1]), added, gone, example)


def main() -> int:
    """Print one line per table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    arguments = parser.parse_args()
    found = list(compare(arguments.before.resolve(), arguments.after.resolve()))
    for comparison in found:
        print(comparison)
    return int(any(not c.is_equal and c.has_same_columns for c in found))


if __name__ == "__main__":
    sys.exit(main())
