"""Statements of visitors: what is answered, what is refused, and that nothing else can be reached."""

import pytest

from engine.errors import QueryError
from engine.store.visitor_queries import ask


def test_rows_come_back_with_their_names(store):
    found = ask("select model_id, label from models order by model_id")

    assert list(found.table.columns) == ["model_id", "label"]
    assert found.table["model_id"].tolist() == sorted(found.table["model_id"])
    assert not found.is_cut


def test_more_rows_than_are_shown_are_said(store):
    found = ask("select * from range(25) t(n)", max_rows=10)

    assert found.table["n"].tolist() == list(range(10))
    assert found.is_cut


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("", "Write a statement"),
        ("delete from models", "Only SELECT"),
        ("create table t (n integer)", "Only SELECT"),
        ("copy models to 'models.csv'", "Only SELECT"),
        ("attach 'other.duckdb'", "Only SELECT"),
        ("set memory_limit = '20GB'", "Only SELECT"),
        ("select 1; select 2", "one statement"),
        ("select * from read_csv('/etc/hostname')", "disabled by configuration"),
        ("select * from read_text('/etc/hostname')", "disabled by configuration"),
        ("select * from read_parquet('https://example.org/a.parquet')", "disabled by configuration|httpfs"),
        ("select * from glob('/etc/*')", "disabled by configuration"),
        ("select * from '/etc/passwd'", "disabled by configuration|does not exist"),
        ("select * from sniff_csv('/etc/passwd')", "disabled by configuration"),
        ("install httpfs", "Only SELECT"),
        ("load httpfs", "Only SELECT"),
        ("export database 'out'", "Only SELECT"),
        ("pragma enable_profiling", "Only SELECT"),
        ("create function f() as 1", "Only SELECT"),
        ("call pragma_version()", "Only SELECT"),
        ("with x as (select 1) insert into models select * from models", "Only SELECT"),
        ("select nothing from models", "nothing"),
        ("selec 1", "syntax error"),
    ],
)
def test_everything_but_one_reading_statement_is_refused(store, statement, said):
    with pytest.raises(QueryError, match=said):
        ask(statement)


def test_a_statement_without_end_is_stopped(store):
    with pytest.raises(QueryError, match="longer than 3 s"):
        ask("select count(*) from range(1000000) a, range(1000000) b where a.range * b.range % 7 = 3", seconds=3.0)


def test_a_statement_cannot_take_all_memory(store):
    with pytest.raises(QueryError, match=r"(?i)memory"):
        ask("select list(a.range) from range(400000000) a", seconds=60.0)
