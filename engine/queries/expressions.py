"""Queries as text: what a page asked of the store, written so that a command can ask it again.

>>> text_of(Asked(dict, ("raw", Scope.of("w-g", group="gb")), {"quantity": "force"}))
"builtins.dict('raw', Scope(dataset_ids=('w-g',), group='gb'), quantity='force')"
"""

import ast
import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

import engine.queries
from engine.errors import StoreError
from engine.queries.error_pairs import Axes
from engine.queries.scope import Scope
from engine.store.connection import Asked

_NOUNS: Mapping[str, Callable[..., Any]] = {"Scope": Scope, "Axes": Axes}
_EXAMPLE = "catalog.costs()"


def is_query(question: Asked) -> bool:
    """Whether a question is a function of this package, which has a text; others are helpers of pages."""
    return not isinstance(question.what, str) and question.what.__module__.startswith(f"{engine.queries.__name__}.")


def text_of(question: Asked) -> str:
    """A function of this package with its arguments, as `answer` reads it."""
    assert not isinstance(question.what, str)
    module = question.what.__module__.removeprefix(f"{engine.queries.__name__}.")
    named = [f"{name}={_text(value)}" for name, value in question.named.items()]
    return f"{module}.{question.what.__name__}({', '.join([*map(_text, question.positional), *named])})"


def _text(value: object) -> str:
    """A value; of a noun what differs from its defaults."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        given = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        kept = [f"{f.name}={_text(given[f.name])}" for f in dataclasses.fields(value) if given[f.name] != f.default]
        return f"{type(value).__name__}({', '.join(kept)})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))}{',' * (len(value) == 1)})"
    return repr(value)


def answer(text: str) -> Any:
    """What a query in the form of `text_of` finds.

    Raises:
        StoreError: The text is no such query.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Attribute)):
            raise ValueError("it calls nothing")
        function = _function(ast.unparse(tree.func))
        return function(*map(_value, tree.args), **_named(tree))
    except (SyntaxError, TypeError, ValueError) as error:
        raise StoreError(f"'{text}' is no query ({error}); expected one such as {_EXAMPLE}.") from error


def _function(name: str) -> Callable[..., Any]:
    """The remembered function of this package that goes by that name."""
    module, _, function = name.rpartition(".")
    known = {found.name for found in pkgutil.iter_modules(engine.queries.__path__)}
    if module not in known:
        raise ValueError(f"modules are {', '.join(sorted(known))}")
    found: Any = getattr(importlib.import_module(f"{engine.queries.__name__}.{module}"), function, None)
    if not hasattr(found, "__wrapped__"):
        raise ValueError(f"{module} has no query {function!r}")
    return cast(Callable[..., Any], found)


def _value(node: ast.expr) -> Any:
    """A literal, a noun, or a tuple of these."""
    if isinstance(node, ast.Tuple):
        return tuple(map(_value, node.elts))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NOUNS:
        return _NOUNS[node.func.id](*map(_value, node.args), **_named(node))
    return ast.literal_eval(node)


def _named(node: ast.Call) -> dict[str, Any]:
    return {keyword.arg: _value(keyword.value) for keyword in node.keywords if keyword.arg}


def as_tables(found: Any, name: str = "") -> Iterator[tuple[str, pd.DataFrame]]:
    """What a query found, as tables with their names.

    Args:
        found: A table, an array, a value, or a noun or sequence of them.
        name: Of the whole.
    """
    if isinstance(found, pd.DataFrame):
        yield name, found
    elif isinstance(found, pd.Series):
        yield name, found.reset_index()
    elif isinstance(found, np.ndarray):
        yield name, pd.DataFrame(found.reshape(len(found), -1) if found.ndim else [[found.item()]])
    elif dataclasses.is_dataclass(found) and not isinstance(found, type):
        for one in dataclasses.fields(found):
            yield from as_tables(getattr(found, one.name), ".".join(filter(None, (name, one.name))))
    elif isinstance(found, Mapping):
        yield name, pd.DataFrame({"name": list(map(str, found)), "value": list(found.values())})
    elif isinstance(found, Sequence) and not isinstance(found, str):
        if any(isinstance(one, pd.DataFrame | np.ndarray) or dataclasses.is_dataclass(one) for one in found):
            for place, one in enumerate(found):
                yield from as_tables(one, f"{name}[{place}]")
        else:
            yield name, pd.DataFrame({"value": list(found)})
    elif found is not None:
        yield name, pd.DataFrame({"value": [found]})
