"""TOML tables to frozen dataclasses: a key that is missing, unknown or of the wrong type is an error."""

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import RegistryError, unknown_id

T = TypeVar("T")

ALL = "all"
SHA256 = re.compile(r"[0-9a-f]{64}")


def read_tables(path: Path) -> dict[str, Any]:
    """Read the tables of a registry file, in file order.

    Args:
        path: A TOML file.

    Raises:
        RegistryError: The file is absent or is not valid TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RegistryError(f"{path.name} cannot be read: {error}.") from error


def read_folder(path: Path) -> list[tuple[Path, str, Any]]:
    """Read the tables of all registry files in a folder, by file name, or of one file.

    Args:
        path: A folder with TOML files, or a TOML file.

    Returns:
        File, id and table of every entry.

    Raises:
        RegistryError: A file cannot be read, or an id stands in two files.
    """
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    found = [(file, key, table) for file in files for key, table in read_tables(file).items()]
    owners: dict[str, Path] = {}
    for file, key, _ in found:
        if key in owners:
            raise RegistryError(f"'{key}' is an entry of {owners[key].name} and of {file.name}.")
        owners[key] = file
    return found


def build(kind: type[T], table: object, where: str, **known: object) -> T:
    """Make a dataclass from a TOML table, lists of tables becoming tuples of dataclasses.

    Args:
        kind: The dataclass; its annotations say what each key must hold.
        table: The parsed TOML table.
        where: Names the entry in messages, such as `chgnet.toml, 'chgnet-0.3.0'`.
        known: Fields that do not come from the table, such as the id.

    Raises:
        RegistryError: A key is missing or unknown, or its value has the wrong type.
    """
    if not isinstance(table, dict):
        raise RegistryError(f"{where}: expected a table, got {table!r}.")
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name not in known}  # type: ignore[arg-type]
    if unknown := sorted(set(table) - set(fields)):
        raise RegistryError(f"{where}: unknown key {unknown[0]!r}; keys are {', '.join(fields)}.")
    required = (f.name for f in fields.values() if _is_required(f))
    if missing := [name for name in required if name not in table]:
        raise RegistryError(f"{where}: key {missing[0]!r} is missing.")
    hints = typing.get_type_hints(kind)
    values = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in table.items()}
    return kind(**known, **values)


class Registry(dict[str, T]):
    """Entries by id, in file order; a look-up of an id that is not there names the closest one.

    Args:
        entries: By id.
        kind: What an entry is called in messages: `Model` or `Dataset`.
        place: File or folder that holds the entries, for messages.
    """

    def __init__(self, entries: Mapping[str, T], kind: str, place: str) -> None:
        super().__init__(entries)
        self._kind, self._place = kind, place

    def __missing__(self, key: str) -> T:
        raise unknown_id(self._kind, key, self, self._place)

    def extended(self, more: Mapping[str, T]) -> "Registry[T]":
        """The same registry with more entries behind its own."""
        return Registry({**self, **more}, self._kind, self._place)

    def select(self, ids: Iterable[str]) -> list[T]:
        """Look entries up, each once, in the order asked; `all` stands for every entry.

        Args:
            ids: Ids as given on the command line.

        Raises:
            RegistryError: An id is not in the registry.
        """
        keys = [key for given in ids for key in (self if given == ALL else (given,))]
        return [self[key] for key in dict.fromkeys(keys)]


def with_users(known: Registry[T], users: Mapping[str, T], clash: str) -> Registry[T]:
    """The registry of this project and a user's together; a user's entry may not hide one of this project.

    Args:
        known: Entries of this project.
        users: Entries of a user.
        clash: Message for an id that both have, where `{id}` stands for it.

    Raises:
        RegistryError: An id is in both.
    """
    if both := sorted(known.keys() & users.keys()):
        raise RegistryError(clash.replace("{id}", both[0]))
    return known.extended(users)


def check_unique(values: Iterable[tuple[str, object]], what: str, registry: str) -> None:
    """Refuse two entries that claim the same value; None never clashes.

    Args:
        values: Pairs of entry id and value.
        what: Name of the value, for messages.
        registry: File that holds the entries, for messages.

    Raises:
        RegistryError: A value occurs twice.
    """
    owners: dict[object, str] = {}
    for entry_id, value in values:
        if value is None:
            continue
        if value in owners:
            raise RegistryError(f"{registry}: {what} {value} is claimed by '{owners[value]}' and '{entry_id}'.")
        owners[value] = entry_id


def check_choice(value: str, choices: Collection[str], where: str) -> None:
    """Refuse a value that is not one of the choices.

    Raises:
        RegistryError: The value is none of the choices.
    """
    if value not in choices:
        raise RegistryError(f"{where}: {value!r} is not one of {', '.join(map(repr, choices))}.")


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    """Whether a dataclass field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: object, where: str) -> object:
    """Check a TOML value against an annotation and give it that annotation's Python form."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):  # X | None; TOML has no null, so the value is an X
        return _convert(next(arg for arg in args if arg is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise RegistryError(f"{where}: expected a list, got {value!r}.")
        return tuple(_convert(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if dataclasses.is_dataclass(hint):
        if isinstance(value, typing.cast(type[Any], hint)):  # already looked up in another registry
            return value
        return build(typing.cast(type[Any], hint), value, where)
    expected = origin or hint
    if expected is float and type(value) is int:  # `5` is as good as `5.0`
        return float(value)
    if not isinstance(value, expected) or (expected is not bool and isinstance(value, bool)):
        raise RegistryError(f"{where}: expected {expected.__name__}, got {value!r}.")
    return value
