"""Datasets that a user adds: one file in, examined, registered in the data folder; or nothing is changed.

The configurations go to where those of all datasets lie, the entry to `datasets.toml` of the data folder, which
`engine.registry.datasets` reads beside the registry of this project. The file itself is not kept.
"""

import argparse
import dataclasses
import fcntl
import json
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from engine.data_folder import DataFolder
from engine.errors import DatasetError, RegistryError, SettingsError
from engine.readers.extxyz import read_extxyz
from engine.readers.formats import READERS
from engine.readers.ingestion import GZIP_MAGIC, read_bytes
from engine.readers.plausibility import examine
from engine.records import Configuration, write_configurations
from engine.registry.datasets import DATASETS_PATH, ENERGY_REFERENCES, SPINS, check_id, load_datasets
from engine.registry.tables import read_tables
from precompute.acquire.fetching import sha256_of

FORMATS = ("extxyz", "outcar", "vasprun", "ase-db", "ase-lmdb", "parquet", "snap-json", "snap-json-lammps-stress")
"""Readers that a user may choose."""

MAX_TEXT_LENGTH = 1000

_NOT_STATED = "not stated"
_PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_LMDB_MAGIC = b"\xde\xc0\xef\xbe"
_SIGNS = {"ok": "ok", "warning": "warning", "refused": "REFUSED"}


@dataclasses.dataclass(frozen=True)
class Description:
    """What a user says of a dataset; what is not said is shown as not stated."""

    label: str = ""
    functional: str = _NOT_STATED
    code: str = _NOT_STATED
    potentials: str = _NOT_STATED
    energy_reference: str = "own"
    spin: str = _NOT_STATED
    hubbard_u: bool | None = None
    license: str = _NOT_STATED
    citation: str = _NOT_STATED
    source: str = _NOT_STATED


@dataclasses.dataclass(frozen=True)
class Keys:
    """How the labels of an extended XYZ file are called; empty for the usual names."""

    energy: str = ""
    forces: str = ""
    stress: str = ""


NOTHING_SAID, USUAL_KEYS = Description(), Keys()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `add-dataset`."""
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="extended XYZ, VASP output, ASE database, parquet, JSON"
    )
    parser.add_argument("--id", metavar="ID", help="kebab-case name of the dataset, such as my-gb")
    parser.add_argument("--format", choices=FORMATS, help="default: from the name and the first bytes of the file")
    parser.add_argument("--reference-key", metavar="KEY", default="", help="extended XYZ: key of the total energy, eV")
    parser.add_argument("--forces-key", metavar="KEY", default="", help="extended XYZ: column of the forces, eV/Å")
    parser.add_argument("--stress-key", metavar="KEY", default="", help="extended XYZ: key of the stress, eV/Å³")
    parser.add_argument("--label", metavar="TEXT", default="", help="name to show")
    parser.add_argument("--energy-reference", choices=ENERGY_REFERENCES, default="own", help="zero of energy it shares")
    parser.add_argument("--spin", choices=SPINS, default=_NOT_STATED, help="whether spins of magnetic metals are")
    parser.add_argument("--hubbard-u", action=argparse.BooleanOptionalAction, help="whether there is a +U on metals")
    for name in ("functional", "code", "potentials", "license", "citation", "source"):
        parser.add_argument(f"--{name}", metavar="TEXT", default=_NOT_STATED)
    parser.add_argument("--replace", action="store_true", help="let it take the place of what has this id")
    parser.add_argument("--remove", metavar="ID", help="forget a dataset that was added; its predictions stay")


def main(arguments: argparse.Namespace) -> int:
    """Examine a file with DFT labels and add it to the datasets of this data folder."""
    folder = DataFolder(Path(arguments.data)) if arguments.data else DataFolder.default()
    if arguments.remove:
        print(remove(arguments.remove, folder))
        return 0
    if not arguments.file or not arguments.id:
        raise SettingsError("add-dataset needs FILE and --id ID, or --remove ID.")
    described = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(Description)}
    keys = Keys(arguments.reference_key, arguments.forces_key, arguments.stress_key)
    print(
        add(
            Path(arguments.file),
            arguments.id,
            folder,
            description=Description(**described),
            keys=keys,
            reader=arguments.format,
            replace=arguments.replace,
            show=print,
        )
    )
    return 0


def add(
    path: Path,
    dataset_id: str,
    folder: DataFolder,
    *,
    description: Description = NOTHING_SAID,
    keys: Keys = USUAL_KEYS,
    reader: str | None = None,
    replace: bool = False,
    show: Callable[[str], object] = lambda line: None,
) -> str:
    """Read a file, examine it, and register it as a dataset.

    Args:
        path: The file.
        dataset_id: Kebab-case id that no other dataset has.
        folder: The data folder.
        description: What is known of the data.
        keys: Names of the labels in extended XYZ.
        reader: One of `FORMATS`; None to find out.
        replace: Whether a dataset of that id that was added before may be changed.
        show: Takes the table of what was found, line by line.

    Returns:
        One line that says what was done.

    Raises:
        RegistryError: The id is no id, or is taken.
        DatasetError: The file cannot be read or is refused; nothing was changed.
    """
    check_id(dataset_id, f"--id {dataset_id!r}")
    _check_texts(description, keys)
    if dataset_id in load_datasets(DATASETS_PATH):
        raise RegistryError(f"'{dataset_id}' is a dataset of engine/registry/datasets; choose another --id.")
    if not path.is_file():
        raise DatasetError(f"{path.name} is not a file.")
    reader = reader or find_format(path)
    if any(dataclasses.astuple(keys)) and reader != "extxyz":
        raise SettingsError(f"{path.name} is read as {reader}; keys of labels concern extended XYZ only.")
    configurations = _read(path, reader, keys)
    findings = examine(configurations)
    show(f"{path.name}, read as {reader}")
    for finding in findings:
        show(f"  {finding.name:24} {_SIGNS[finding.verdict]:8} {finding.text}")
    if refused := [finding for finding in findings if finding.verdict == "refused"]:
        raise DatasetError(f"{path.name} was not added: {refused[0].name.lower()}: {refused[0].text}.")
    entry = _entry(path, dataset_id, description, keys, reader, configurations)
    with _locked(folder):
        entries = _entries(folder)
        target = folder.configurations(dataset_id)
        if entries.get(dataset_id) == entry and target.is_file():
            return f"{dataset_id}: up to date"
        if dataset_id in entries and not replace:
            difference = _difference(entries[dataset_id], entry)
            raise RegistryError(f"'{dataset_id}' was added before and {difference}; give --replace to change it.")
        write_configurations(target, configurations)
        _write(folder, entries | {dataset_id: entry})
    load_datasets()
    return f"{dataset_id}: {len(configurations)} configurations added"


def remove(dataset_id: str, folder: DataFolder) -> str:
    """Forget a dataset that was added: its entry and its configurations, not what models said of them.

    Raises:
        RegistryError: No dataset of that id was added.
    """
    if not _registry(folder).is_file():
        raise RegistryError(f"No dataset '{dataset_id}' was added to {folder.root}.")
    with _locked(folder):
        entries = _entries(folder)
        if dataset_id not in entries:
            raise RegistryError(f"No dataset '{dataset_id}' was added to {folder.root}.")
        del entries[dataset_id]
        _write(folder, entries)
        if dataset_id not in load_datasets(DATASETS_PATH):
            folder.configurations(dataset_id).unlink(missing_ok=True)
    return f"{dataset_id}: removed"


def find_format(path: Path) -> str:
    """Name of the reader for a file, from its first bytes or, for text, from its name and first line.

    Raises:
        DatasetError: It is in no format that is read here.
    """
    try:
        with path.open("rb") as handle:
            head = handle.read(4096)
    except OSError as error:
        raise DatasetError(f"{path.name} cannot be read: {error}.") from error
    if not head:
        raise DatasetError(f"{path.name} is empty.")
    if head.startswith(GZIP_MAGIC):
        head = read_bytes(path)[:4096]
    if head.startswith(_PICKLES):
        raise DatasetError(f"{path.name} is a pickle, which can run any program; give extended XYZ or parquet.")
    if head.startswith(b"PK\x03\x04"):
        raise DatasetError(f"{path.name} is a zip archive; unpack it and give one file.")
    if head.startswith(b"SQLite format 3\x00"):
        return "ase-db"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head[16:20] == _LMDB_MAGIC:
        return "ase-lmdb"
    return _text_format(path, head)


def _text_format(path: Path, head: bytes) -> str:
    """Name of the reader for a text file."""
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff").lstrip()
    if text.startswith("<?xml"):
        return "vasprun"
    if "outcar" in path.name.lower() or text.startswith("vasp."):
        return "outcar"
    if text.startswith("["):
        return "snap-json"
    if text.startswith("{"):
        return "ase-db"
    if text.split("\n", 1)[0].strip().isdecimal():
        return "extxyz"
    raise DatasetError(
        f"{path.name} is in no format that is read here; give extended XYZ, OUTCAR, vasprun.xml, an ASE database "
        "or parquet."
    )


def _read(path: Path, reader: str, keys: Keys) -> list[Configuration]:
    if reader == "extxyz":
        return read_extxyz(path, energy_key=keys.energy, forces_key=keys.forces, stress_key=keys.stress)
    return READERS[reader](path)


def _entry(
    path: Path,
    dataset_id: str,
    description: Description,
    keys: Keys,
    reader: str,
    configurations: Sequence[Configuration],
) -> dict[str, Any]:
    """Registry entry of a file."""
    numbers = sorted({int(number) for c in configurations for number in c.numbers})
    is_comparable = description.energy_reference == "mp"
    file = {"name": _clean(path.name), "reader": reader, "sha256": sha256_of(path), "added": True}
    said = {f"{name}_key": key for name, key in dataclasses.asdict(keys).items() if key}
    note = f"Read with {', '.join(f'{name} {key!r}' for name, key in said.items())}." if said else ""
    return {
        **{name: value for name, value in dataclasses.asdict(description).items() if value is not None},
        "label": description.label or dataset_id,
        "description": f"Added by a user from {_clean(path.name)}.",
        "elements": sorted(chemical_symbols[number] for number in numbers),
        "comparable": is_comparable,
        "comparable_note": "As the user who added it says; not checked.",
        "reference_checked": False,
        "leakage_note": "Not checked.",
        "n_configs": len(configurations),
        "file_note": note,
        "files": [file],
    }


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """In what two entries differ."""
    if old.get("files") != new.get("files"):
        return "its file has changed"
    names = [name for name in new if old.get(name) != new[name]]
    return f"differs in {', '.join(names)}" if names else "its configurations are gone"


def _entries(folder: DataFolder) -> dict[str, Any]:
    """Entries of the registry in a data folder, as they are written."""
    path = _registry(folder)
    return read_tables(path) if path.is_file() else {}


def _registry(folder: DataFolder) -> Path:
    return folder.root / "datasets.toml"


def _write(folder: DataFolder, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the registry of a data folder, in one step."""
    path = _registry(folder)
    lines = ["# Datasets that were added with: python -m precompute add-dataset FILE --id ID"]
    for dataset_id, entry in entries.items():
        lines += ["", f"[{dataset_id}]", *(f"{key} = {_toml(value)}" for key, value in entry.items())]
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.replace(path)


def _toml(value: Any) -> str:
    """A value as TOML; a JSON string without control characters is one of TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _check_texts(description: Description, keys: Keys) -> None:
    """Refuse what cannot be shown."""
    for name, text in (dataclasses.asdict(description) | dataclasses.asdict(keys)).items():
        if not isinstance(text, str):
            continue
        if len(text) > MAX_TEXT_LENGTH:
            raise SettingsError(f"--{name} has {len(text)} characters, at most {MAX_TEXT_LENGTH} are kept.")
        if _clean(text) != text:
            raise SettingsError(f"--{name} holds a control character.")


def _clean(text: str) -> str:
    return "".join(character for character in text if not unicodedata.category(character).startswith("C"))


@contextmanager
def _locked(folder: DataFolder) -> Iterator[None]:
    """One change of the registry at a time; the lock is on the folder, so that it leaves no file."""
    folder.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder.root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
