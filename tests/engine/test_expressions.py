"""Queries as text: what is written can be read, and nothing else runs."""

import numpy as np
import pandas as pd
import pytest

from engine.errors import StoreError
from engine.queries import expressions, ranks
from engine.queries.error_pairs import Axes
from engine.queries.scope import Scope
from engine.store import connection
from engine.store.connection import Asked, cached
from engine.store.statements import written_out

SCOPE = Scope.of("w-g", "it's", group="gb", n_atoms=(None, 9.5), shared_with=("emt",))


@pytest.mark.parametrize("value", [SCOPE, Axes("force", full_range=True), (SCOPE, ("one",)), None, True, -1.5, ()])
def test_every_argument_is_read_as_it_was_written(monkeypatch, value):
    echo = lambda *args, **kwargs: (args, kwargs)  # noqa: E731
    echo.__wrapped__ = echo
    monkeypatch.setattr(ranks, "ranks", echo)
    text = expressions.text_of(Asked(_named("ranks", "engine.queries.ranks"), (value,), {"with_seen": value}))
    assert expressions.answer(text) == ((value,), {"with_seen": value})


def _named(name, module):
    def function() -> None: ...

    function.__name__, function.__module__ = name, module
    return function


@pytest.mark.parametrize(
    "text",
    [
        "ranks.ranks", "__import__('os').system('true')", "os.system('true')", "ranks._stored('raw')",
        "ranks.rank_intervals()", "ranks.ranks(open('x'))", "ranks.ranks(", "",
    ],
)  # fmt: skip
def test_nothing_but_a_query_with_plain_arguments_runs(text):
    with pytest.raises(StoreError, match="is no query"):
        expressions.answer(text)


def test_what_is_remembered_is_noted_each_time_and_without_what_it_asks_itself(store):
    @cached
    def outer():
        return connection.frame("select 1 as one")

    with connection.recording() as asked:
        outer()
        outer()
        connection.row("select $x", {"x": 2})
    assert [one.what for one in asked] == [outer.__wrapped__, outer.__wrapped__, "select $x"]
    connection.frame("select 3 as three")
    assert len(asked) == 3


def test_an_answer_becomes_tables_with_the_names_of_its_parts():
    found = dict(expressions.as_tables([pd.DataFrame({"a": [1]}), np.eye(2), SCOPE]))
    assert list(found)[:2] == ["[0]", "[1]"]
    assert found["[1]"].to_numpy().tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert found["[2].dataset_ids"]["value"].tolist() == ["w-g", "it's"]
    assert dict(expressions.as_tables({"x": 0.5}))[""]["value"].tolist() == [0.5]
    assert not list(expressions.as_tables(None))


def test_sql_is_written_out_with_strings_lists_and_nothing():
    assert written_out("select $a, $b  -- why\nwhere $c", {"a": "it's", "b": [1, "x"], "c": None}) == (
        "select 'it''s', [1, 'x'] where null"
    )
