"""Training sets that models refer to, and datasets where they share configurations with one."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase.data import atomic_numbers, chemical_symbols

from engine.errors import RegistryError, unknown_id
from engine.registry.levels_of_theory import LevelOfTheory, with_level
from engine.registry.tables import build, read_tables

TRAINING_SETS_PATH = Path(__file__).with_name("training_sets.toml")
_FILE = "engine/registry/training_sets.toml"


@dataclass(frozen=True)
class TrainingSet:
    """Labelled configurations that models were fitted to.

    Attributes:
        training_set_id: Kebab-case key of the registry.
        label: Name to show.
        elements: Chemical symbols by atomic number; none where they were not listed, which the note then says.
        source: Paper or page of the set, a URL.
        contains: Other training sets that it holds, wholly or in part.
        level: How its labels were computed; None for a mixture of set-ups.
        n_structures: Structures in it; None where unknown.
        note: Where the elements are from, and what is inferred.
    """

    training_set_id: str
    label: str
    elements: tuple[str, ...]
    source: str
    contains: tuple[str, ...] = ()
    level: LevelOfTheory | None = None
    n_structures: int | None = None
    note: str = ""


@functools.cache
def load_training_sets(path: Path = TRAINING_SETS_PATH) -> Mapping[str, TrainingSet]:
    """Read and check the registry of training sets, in file order.

    Args:
        path: A TOML file with one table per training set.

    Returns:
        Training sets by id; read-only by convention, since the result is cached.

    Raises:
        RegistryError: An entry is wrong; the message names it.
    """
    sets = {}
    for key, table in read_tables(path).items():
        where = f"{path.name}, '{key}'"
        table = with_elements(table, where)
        table = with_level(table, where) if "level_of_theory" in table else table
        sets[key] = build(TrainingSet, table, where, training_set_id=key)
    for training_set in sets.values():
        for inner in training_set.contains:
            if inner not in sets:
                raise unknown_id("Training set", inner, sets, path.name)
    return sets


def check_training_sets(keys: Iterable[str], where: str) -> None:
    """Refuse a name that is no training set.

    Raises:
        RegistryError: It is not in the registry; the message names the closest one.
    """
    for key in keys:
        if key not in load_training_sets():
            raise RegistryError(f"{where}: {unknown_id('Training set', key, load_training_sets(), _FILE)}")


def all_inside(keys: Iterable[str]) -> frozenset[str]:
    """Training sets with those that they contain, at any depth."""
    sets, found, left = load_training_sets(), set[str](), list(keys)
    while left:
        if (key := left.pop()) not in found:
            found.add(key)
            left += sets[key].contains
    return frozenset(found)


def elements_of(keys: Iterable[str]) -> tuple[str, ...]:
    """Elements that any of the training sets holds, by atomic number."""
    symbols = {symbol for key in all_inside(keys) for symbol in load_training_sets()[key].elements}
    return tuple(sorted(symbols, key=atomic_numbers.__getitem__))


def with_elements(table: object, where: str) -> dict[str, Any]:
    """An entry whose `elements` have ranges such as `H-Bi` written out.

    Raises:
        RegistryError: The entry is no table, or an end of a range is no element.
    """
    if not isinstance(table, dict):
        raise RegistryError(f"{where}: expected a table, got {table!r}.")
    written = table.get("elements", [])
    if not isinstance(written, list):
        raise RegistryError(f"{where}: elements: expected a list, got {written!r}.")
    numbers = {number for item in written for number in _range(str(item), where)}
    return table | ({"elements": [chemical_symbols[number] for number in sorted(numbers)]} if written else {})


def _range(text: str, where: str) -> range:
    """Atomic numbers of `W` or of `H-Bi`."""
    first, _, last = text.partition("-")
    for symbol in (first, last or first):
        if symbol not in chemical_symbols[1:]:
            raise RegistryError(f"{where}: {symbol!r} is not a chemical element.")
    numbers = range(atomic_numbers[first], atomic_numbers[last or first] + 1)
    if not numbers:
        raise RegistryError(f"{where}: {text!r} is no range of elements: it ends before it begins.")
    return numbers
