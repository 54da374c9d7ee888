"""Datasets that a user adds: a file is examined and registered in the data folder, or nothing is changed.

The configurations go to the folder of all datasets, the entry to `datasets.toml` of the data folder, which
`engine.registry.datasets` reads beside the registry of this project. The file itself is not kept.
"""

import argparse
import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from engine.data_folder import DataFolder
from engine.errors import DatasetError, RegistryError, SettingsError
from engine.readers.elemental_checks import examine_against_elements
from engine.readers.entries import examine_entries
from engine.readers.extxyz import labels_of, read_extxyz, survey
from engine.readers.foreign import foreign_folder, foreign_format
from engine.readers.formats import READERS
from engine.readers.ingestion import GZIP_MAGIC, read_bytes
from engine.readers.label_keys import Keys
from engine.readers.outcar import outcar_steps
from engine.readers.plausibility import Finding, examine
from engine.readers.single_sources import read_mtp_cfg
from engine.readers.vasp import vasprun_steps
from engine.records import Configuration, write_configurations
from engine.registry.datasets import DATASETS_PATH, ENERGY_REFERENCES, check_id, load_datasets
from engine.registry.levels_of_theory import SPINS
from precompute.acquire.fetching import sha256_of
from precompute.acquire.user_registry import check_texts, clean, entries, locked, write_entries

FORMATS = (
    "extxyz", "outcar", "vasprun", "ase-db", "ase-lmdb", "parquet", "snap-json", "snap-json-lammps-stress", "mtp-cfg",
)  # fmt: skip
"""Readers that a user may choose."""

TITLE = "Datasets that were added with: python -m precompute add-dataset FILE --id ID"

_NOT_STATED = "not stated"
_PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_LMDB_MAGIC = b"\xde\xc0\xef\xbe"
_TO_EXTXYZ = (
    "Write extended XYZ: ase.Atoms with a SinglePointCalculator(atoms, energy=..., forces=...) each, then "
    "ase.io.write('new.extxyz', list_of_atoms)."
)
_SIGNS = {"ok": "ok", "warning": "warning", "refused": "REFUSED"}


@dataclasses.dataclass(frozen=True)
class Description:
    """Facts that a user states of a dataset; the others are shown as not stated."""

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


NOTHING_SAID, USUAL_KEYS = Description(), Keys()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `add-dataset`."""
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="extended XYZ, VASP output, ASE database, parquet, JSON"
    )
    parser.add_argument("--id", metavar="ID", help="kebab-case name of the dataset, such as my-gb")
    parser.add_argument("--format", choices=FORMATS, help="default: from the name and the first bytes of the file")
    for options, what in (
        (("--reference-key", "--energy-key"), "key of the total energy, eV"),
        (("--forces-key",), "column of the forces, eV/Å; or none"),
        (("--stress-key",), "key of the stress, eV/Å³; or none"),
        (("--virial-key",), "key of minus stress times volume, eV; or none"),
    ):
        parser.add_argument(*options, metavar="KEY", default="", help=f"extended XYZ: {what}")
    parser.add_argument("--species", metavar="EL", nargs="+", default=[], help="MTP: element of each type, from 0 on")
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
    keys = Keys(arguments.reference_key, arguments.forces_key, arguments.stress_key, arguments.virial_key)
    print(
        add(
            Path(arguments.file),
            arguments.id,
            folder,
            description=Description(**described),
            keys=keys,
            reader=arguments.format,
            species=arguments.species,
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
    species: Sequence[str] = (),
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
        species: Element of each atom type of an MTP file.
        replace: Whether a dataset of that id that was added before may be changed.
        show: Takes the table of what was found, line by line.

    Returns:
        One line that says what was done.

    Raises:
        RegistryError: The id is not kebab-case, or is taken.
        DatasetError: The file cannot be read or is refused; nothing was changed.
    """
    check_id(dataset_id, f"--id {dataset_id!r}")
    check_texts(dataclasses.asdict(description) | dataclasses.asdict(keys))
    if dataset_id in load_datasets(DATASETS_PATH):
        raise RegistryError(f"'{dataset_id}' is a dataset of engine/registry/datasets; choose another --id.")
    if path.is_dir():
        raise DatasetError(f"{path.name} is not a file but {foreign_folder(path)}")
    if not path.is_file():
        raise DatasetError(f"{path.name} is not a file.")
    reader = reader or find_format(path)
    if any(dataclasses.astuple(keys)) and reader != "extxyz":
        raise SettingsError(f"{path.name} is read as {reader}; keys of labels concern extended XYZ only.")
    configurations, remarks = _read(path, reader, keys, species)
    findings = [*remarks, *examine(configurations)]
    if not any(finding.verdict == "refused" for finding in findings):
        findings += [*examine_against_elements(configurations), *examine_entries(configurations)]
    show(f"{path.name}, read as {reader}")
    for finding in findings:
        show(f"  {finding.name:24} {_SIGNS[finding.verdict]:8} {finding.text}")
    if refused := [finding for finding in findings if finding.verdict == "refused"]:
        raise DatasetError(f"{path.name} was not added: {refused[0].name.lower()}: {refused[0].text}.")
    entry = _entry(path, dataset_id, description, keys, reader, configurations, remarks)
    return _store(dataset_id, entry, configurations, folder, replace=replace)


def _store(
    dataset_id: str,
    entry: dict[str, Any],
    configurations: Sequence[Configuration],
    folder: DataFolder,
    *,
    replace: bool,
) -> str:
    """Write configurations and their entry, unless both are there as they are."""
    with locked(folder):
        tables = entries(_registry(folder))
        target = folder.configurations(dataset_id)
        before, stored = _taken_apart(tables.get(dataset_id))
        if before == entry and target.is_file() and sha256_of(target) == stored:
            return f"{dataset_id}: up to date"
        if dataset_id in tables and before != entry and not replace:
            difference = _difference(before, entry)
            raise RegistryError(f"'{dataset_id}' was added before and {difference}; give --replace to change it.")
        # In this order a kill in between leaves an entry whose checksum is not that of the configurations.
        write_configurations(target, configurations)
        entry["files"][0]["stored_sha256"] = sha256_of(target)
        write_entries(_registry(folder), TITLE, tables | {dataset_id: entry})
    load_datasets()
    return f"{dataset_id}: {len(configurations)} configurations added"


def remove(dataset_id: str, folder: DataFolder) -> str:
    """Remove the entry and the configurations of a dataset that was added; predictions stay.

    Raises:
        RegistryError: No dataset of that id was added.
    """
    if not _registry(folder).is_file():
        raise RegistryError(f"No dataset '{dataset_id}' was added to {folder.root}.")
    with locked(folder):
        tables = entries(_registry(folder))
        if dataset_id not in tables:
            raise RegistryError(f"No dataset '{dataset_id}' was added to {folder.root}.")
        del tables[dataset_id]
        write_entries(_registry(folder), TITLE, tables)
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
        what = f"numpy arrays. {_TO_EXTXYZ}" if path.suffix == ".npz" else "a zip archive; unpack it and give one file."
        raise DatasetError(f"{path.name} is {what}")
    if head.startswith(b"SQLite format 3\x00"):
        return "ase-db"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head[16:20] == _LMDB_MAGIC:
        return "ase-lmdb"
    return _text_format(path, head)


def _text_format(path: Path, head: bytes) -> str:
    """Name of the reader for a text file; its contents count more than its name."""
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff").lstrip()
    if text.startswith("<?xml"):
        return "vasprun"
    if text.startswith("vasp."):
        return "outcar"
    if text.split("\n", 1)[0].strip().isdecimal():
        return "extxyz"
    if re.match(r"\s*BEGIN_CFG", text):
        return "mtp-cfg"
    if known := foreign_format(head):
        raise DatasetError(f"{path.name} is {known}")
    if "outcar" in path.name.lower():
        return "outcar"
    if text.startswith("["):
        return _list_format(path, text)
    if text.startswith("{"):
        if "\n{" in text.rstrip("\n"):
            raise DatasetError(f"{path.name} is JSON of one object a line, which is not read here. {_TO_EXTXYZ}")
        return "ase-db"
    if _is_table(text):
        raise DatasetError(f"{path.name} is a table of text (CSV), which is not read here. {_TO_EXTXYZ}")
    raise DatasetError(
        f"{path.name} is in no format that is read here; give extended XYZ, OUTCAR, vasprun.xml, an ASE database "
        "or parquet."
    )


def _is_table(text: str) -> bool:
    """Whether the first lines have equally many commas, semicolons or tabs."""
    lines = [line for line in text.splitlines() if line.strip()][:4]
    return len(lines) > 1 and any(
        lines[0].count(mark) > 0 and len({line.count(mark) for line in lines}) == 1 for mark in ",;\t"
    )


def _list_format(path: Path, text: str) -> str:
    """Name of the reader for a list in JSON: SNAP's, or none."""
    if re.match(r"\[\s*\]", text) or b'"structure"' in read_bytes(path):
        return "snap-json"
    keys = ", ".join(map(repr, dict.fromkeys(re.findall(r'"(\w+)"\s*:', text)))) or "none"
    raise DatasetError(
        f"{path.name} is a list in JSON that no program here is known to write (keys {keys[:120]}). {_TO_EXTXYZ}"
    )


def _read(path: Path, reader: str, keys: Keys, species: Sequence[str]) -> tuple[list[Configuration], list[Finding]]:
    """Configurations of a file, and what its reader has to say of it."""
    if reader == "extxyz":
        names = dataclasses.asdict(keys)
        read, unread = survey(path, keys)
        if not read.energy and not keys.energy:
            known = ", ".join(map(repr, dict.fromkeys(key for frame in labels_of(path) for key in frame.info)))
            raise DatasetError(
                f"{path.name}: none has an energy by its name; keys are {known or 'none'}. "
                "Say which it is: --reference-key NAME."
            )
        said = ", ".join(f"{name} '{key}'" for name, key in dataclasses.asdict(read).items() if key)
        text = f"{said or 'none'}; not read: {', '.join(unread) or 'none'}"
        finding = Finding("Keys", "warning" if unread else "ok", text)
        return read_extxyz(path, **{f"{name}_key": key for name, key in names.items()}), [finding]
    if reader in ("outcar", "vasprun"):
        steps = outcar_steps(path) if reader == "outcar" else vasprun_steps(path)
        return steps.configurations, [Finding("Steps", "warning", remark) for remark in steps.remarks]
    if reader == "mtp-cfg":
        finding = Finding("Types", "ok", f"Atom types are {', '.join(species)}")
        return read_mtp_cfg(path, species=tuple(species)), [finding]
    return READERS[reader](path), []


def _entry(
    path: Path,
    dataset_id: str,
    description: Description,
    keys: Keys,
    reader: str,
    configurations: Sequence[Configuration],
    remarks: Sequence[Finding],
) -> dict[str, Any]:
    """Registry entry of a file."""
    numbers = sorted({int(number) for c in configurations for number in c.numbers})
    is_comparable = description.energy_reference == "mp"
    file = {"name": clean(path.name), "reader": reader, "sha256": sha256_of(path), "added": True}
    said = {f"{name}_key": key for name, key in dataclasses.asdict(keys).items() if key}
    note = f"Read with {', '.join(f'{name} {key!r}' for name, key in said.items())}." if said else ""
    return {
        **{name: value for name, value in dataclasses.asdict(description).items() if value is not None},
        "label": description.label or dataset_id,
        "description": f"Added by a user from {clean(path.name)}.",
        "elements": sorted(chemical_symbols[number] for number in numbers),
        "comparable": is_comparable,
        "comparable_note": "As the user who added it says; not checked.",
        "reference_checked": False,
        "leakage_note": "Not checked.",
        "n_configs": len(configurations),
        "file_note": " ".join(
            filter(None, [note, *(f"{remark.text}." for remark in remarks if remark.name in ("Steps", "Types"))])
        ),
        "files": [file],
    }


def _taken_apart(entry: Mapping[str, Any] | None) -> tuple[dict[str, Any], str]:
    """What an entry says of a file, and the checksum of its configurations."""
    if entry is None:
        return {}, ""
    files = [{name: value for name, value in file.items() if name != "stored_sha256"} for file in entry["files"]]
    return {**entry, "files": files}, entry["files"][0].get("stored_sha256", "")


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Keys in which two entries differ, for a message."""
    if old.get("files") != new.get("files"):
        return "its file has changed"
    return f"differs in {', '.join(name for name in new if old.get(name) != new[name])}"


def _registry(folder: DataFolder) -> Path:
    return folder.root / "datasets.toml"
