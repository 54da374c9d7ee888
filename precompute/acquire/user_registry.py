"""Registries in the data folder: TOML tables that a user's commands write, one change at a time."""

import fcntl
import json
import os
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.data_folder import DataFolder
from engine.errors import SettingsError
from engine.files import write_text
from engine.registry.tables import read_tables

MAX_TEXT_LENGTH = 1000


def entries(path: Path) -> dict[str, Any]:
    """Entries of a registry as they are written; none where there is no file.

    Raises:
        RegistryError: The file is not valid TOML.
    """
    return read_tables(path) if path.is_file() else {}


def write_entries(path: Path, title: str, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a registry in one step.

    Args:
        path: The file.
        title: A line that says what the file is.
        tables: Entry id -> values.
    """
    lines = [f"# {title}"]
    for entry_id, entry in tables.items():
        name = f'"{entry_id}"' if "." in entry_id else entry_id
        lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in entry.items())]
    write_text(path, "\n".join(lines) + "\n")


def check_texts(texts: Mapping[str, object]) -> None:
    """Refuse what cannot be shown.

    Args:
        texts: Name of an option -> what the user said.

    Raises:
        SettingsError: A text is too long or holds a control character.
    """
    for name, text in texts.items():
        if not isinstance(text, str):
            continue
        if len(text) > MAX_TEXT_LENGTH:
            raise SettingsError(f"--{name} has {len(text)} characters, at most {MAX_TEXT_LENGTH} are kept.")
        if clean(text) != text:
            raise SettingsError(f"--{name} holds a control character.")


def clean(text: str) -> str:
    """A text without control characters."""
    return "".join(character for character in text if not unicodedata.category(character).startswith("C"))


@contextmanager
def locked(folder: DataFolder) -> Iterator[None]:
    """One change of a registry at a time; the lock is on the folder, so that it leaves no file."""
    folder.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder.root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _toml(value: Any) -> str:
    """A value as TOML; a JSON string without control characters is one of TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
