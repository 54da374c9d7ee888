"""Extended XYZ with labels, as datasets are published in it."""

import dataclasses
import re
from itertools import pairwise
from pathlib import Path

import numpy as np

from engine.errors import DatasetError
from engine.readers.ingestion import (
    MAX_ID_LENGTH,
    build_configuration,
    checked,
    default_id,
    first_value,
    read_text,
    to_voigt,
)
from engine.records import Configuration, FloatArray

ENERGY_KEYS = ("REF_energy", "energy")

FORCES_KEYS = ("REF_forces", "forces", "force")

STRESS_KEYS = ("REF_stress", "stress")

VIRIAL_KEYS = ("REF_virial", "virial")

GROUP_KEYS = ("group", "config_type")

_KEY_VALUE = re.compile(r"""([^\s="]+)=("(?:\\.|[^"\\])*"|\{[^}]*\}|\[[^\]]*\]|\S+)""")

_PROPERTIES = "species:S:1:pos:R:3"

_TRUTH = {"T": True, "TRUE": True, "1": True, "F": False, "FALSE": False, "0": False}


def read_extxyz(path: Path, *, energy_key: str = "", forces_key: str = "", stress_key: str = "") -> list[Configuration]:
    """Read extended XYZ, plain or gzipped.

    Labels are `REF_energy`, `REF_stress` and the column `REF_forces`, or else `energy`, `stress` and
    `forces` (or `force`); a stress is 9 numbers (rows of a symmetric tensor) or 6 (Voigt). Where there is a `virial`
    and no stress, the stress is minus the virial over the volume. The keys `config_id` and `group` (or `config_type`)
    name a configuration; without them it is called after the file and its index, in the group `all`. Species are
    symbols in the column `species` or atomic numbers in `Z`. Keys may be written in small letters.

    Args:
        path: The file.
        energy_key: Key of the total energy, the only one that counts.
        forces_key: Column of the forces, the only one that counts.
        stress_key: Key of the stress, the only one that counts.

    Raises:
        DatasetError: The file cannot be read or a configuration in it is impossible.

    Source:
        Format: https://github.com/libAtoms/extxyz
    """
    keys = _Keys(
        energy=(energy_key,) if energy_key else ENERGY_KEYS,
        forces=(forces_key,) if forces_key else FORCES_KEYS,
        stress=(stress_key,) if stress_key else STRESS_KEYS,
        virial=() if stress_key else VIRIAL_KEYS,
    )
    # Not splitlines, which would also break a line at form feeds and Unicode separators.
    lines = read_text(path).rstrip("\n").split("\n")
    configurations: list[Configuration] = []
    start = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        index = len(configurations)
        where = f"{path.name}, configuration {index}"
        end = start + 2 + _parse_count(lines[start], where)
        if end > len(lines):
            n_found = max(len(lines) - start - 2, 0)
            raise DatasetError(f"{where}: the file ends after {n_found} of {lines[start].strip()} atoms.")
        frame = lines[start + 1], lines[start + 2 : end]
        configurations.append(_parse_frame(*frame, keys, where, default_id(path, index)))
        start = end
    return checked(path, configurations)


def volume(cell: FloatArray) -> float:
    """Volume of a cell, Å³."""
    return abs(float(np.linalg.det(cell)))


def _parse_count(line: str, where: str) -> int:
    """Number of atoms, from the line that opens a frame."""
    n_atoms = int(line) if line.strip().isdecimal() and len(line) < 20 else 0
    if n_atoms < 1:
        raise DatasetError(f"{where}: expected a number of atoms, got {line.strip()[:40]!r}.")
    return n_atoms


@dataclasses.dataclass(frozen=True)
class _Keys:
    """Names under which the labels of a frame are looked for, in order."""

    energy: tuple[str, ...]
    forces: tuple[str, ...]
    stress: tuple[str, ...]
    virial: tuple[str, ...]


def _parse_frame(comment: str, rows: list[str], keys: _Keys, where: str, default_id: str) -> Configuration:
    """One frame of extended XYZ: its comment line and its atom lines."""
    found = {key: value.strip('"') for key, value in _KEY_VALUE.findall(comment)}
    info = {key.lower(): value for key, value in found.items()} | found
    config_id = info.get("config_id", default_id)
    where = f"{where} ({config_id[:MAX_ID_LENGTH]!r})"
    columns = _parse_columns(first_value(info, ("Properties", "properties")) or _PROPERTIES, rows, where)
    kind = next((name for name in ("species", "Z") if name in columns), "")
    if not kind or "pos" not in columns:
        raise DatasetError(f"{where}: columns 'species' and 'pos' are needed, got {', '.join(columns)}.")
    if len(columns[kind][0]) != 1:
        raise DatasetError(f"{where}: {kind} has {len(columns[kind][0])} columns, expected 1.")
    lattice = first_value(info, ("Lattice", "lattice"))
    stress, virial = first_value(info, keys.stress), first_value(info, keys.virial)
    configuration = build_configuration(
        where,
        config_id=config_id,
        group_name=first_value(info, GROUP_KEYS) or "all",
        symbols=[_species(word) if kind == "Z" else word for (word,) in columns[kind]],
        positions=columns["pos"],
        cell=None if lattice is None else lattice.split(),
        pbc=_parse_pbc(info.get("pbc", "F F F" if lattice is None else "T T T"), where),
        energy=first_value(info, keys.energy),
        forces=first_value(columns, keys.forces),
        stress=None if stress is None else stress.split(),
    )
    if stress is not None or virial is None:
        return configuration
    if not all(configuration.pbc):
        raise DatasetError(f"{where}: it has a virial but is not periodic along three vectors.")
    pressure = to_voigt(virial.split(), where)
    return dataclasses.replace(configuration, stress=-pressure / volume(configuration.cell))


def _species(word: str) -> int | str:
    """An atomic number; the word itself where it is none, to be refused as such."""
    return int(word) if word.isdecimal() and len(word) < 4 else word


def _parse_columns(properties: str, rows: list[str], where: str) -> dict[str, list[list[str]]]:
    """Split atom lines into the columns that `Properties` (name:type:count, ...) announces, as text."""
    parts = properties.split(":")
    if len(parts) % 3 or not all(count.isdecimal() for count in parts[2::3]):
        raise DatasetError(f"{where}: Properties={properties[:80]!r} is not a list of name:type:count.")
    ends = np.cumsum([0, *map(int, parts[2::3])]).tolist()
    words = [row.split() for row in rows]
    for i, row in enumerate(words):
        if len(row) != ends[-1]:
            raise DatasetError(f"{where}: atom {i} has {len(row)} columns, Properties announces {ends[-1]}.")
    spans = zip(parts[0::3], pairwise(ends), strict=True)
    return {name: [row[first:last] for row in words] for name, (first, last) in spans}


def _parse_pbc(text: str, where: str) -> tuple[bool, bool, bool]:
    """Three truth values, or one that stands for three."""
    flags = [_TRUTH.get(word.upper()) for word in re.sub(r"[\[\],]", " ", text).split()]
    flags = flags * 3 if len(flags) == 1 else flags
    if len(flags) != 3 or None in flags:
        raise DatasetError(f"{where}: pbc={text!r} is not three truth values.")
    return bool(flags[0]), bool(flags[1]), bool(flags[2])
