"""Extended XYZ with labels, as datasets are published in it."""

import dataclasses
import functools
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from engine.errors import DatasetError
from engine.readers.comments import parse_comment
from engine.readers.ingestion import (
    MAX_ID_LENGTH,
    build_configuration,
    checked,
    default_id,
    first_value,
    read_text,
    to_voigt,
    without_fortran,
)
from engine.readers.label_keys import Keys, Labels, choose_keys, classify, unread_keys
from engine.records import Configuration, FloatArray

GROUP_KEYS = ("group", "config_type")

_PROPERTIES = "species:S:1:pos:R:3"

_TRUTH = {"T": True, "TRUE": True, "1": True, "F": False, "FALSE": False, "0": False}

NO_KEYS = Keys()

FAR_APART = 6.0
"""A lone atom whose images are this far has no stress that a code would compute, Å."""


def read_extxyz(
    path: Path, *, energy_key: str = "", forces_key: str = "", stress_key: str = "", virial_key: str = ""
) -> list[Configuration]:
    """Read extended XYZ, plain or gzipped.

    Labels are `REF_energy`, `REF_stress` and the column `REF_forces`, or `energy`, `stress` and `forces` (or `force`);
    where both are there and are not the same, or where others are there, the keys must be given
    (`engine.readers.label_keys`). A stress is 9 numbers (rows of a symmetric tensor) or 6 (Voigt). Where there is a
    `virial` and no stress, the stress is minus the virial over the volume. The keys `config_id` and `group` (or
    `config_type`) name a configuration; without them it is called after the file and its index, in the group `all`.
    Species are symbols in the column `species` or atomic numbers in `Z`. Keys may be written in small letters.

    Args:
        path: The file.
        energy_key: Key of the total energy; `none` for no energy.
        forces_key: Column of the forces; empty for the one that belongs to the energy by its name.
        stress_key: Key of the stress; empty for the one that belongs to the energy by its name.
        virial_key: Key of the virial, in the same way.

    Raises:
        DatasetError: The file cannot be read, does not say which labels are meant, or a configuration in it is
            impossible.

    Source:
        Format: https://github.com/libAtoms/extxyz
    """
    frames = _frames(path)
    given = Keys(energy_key, forces_key, stress_key, virial_key)
    keys = choose_keys(path.name, [_labels(frame) for frame in frames], given)
    return checked(path, [_parse_frame(frame, keys) for frame in frames])


def survey(path: Path, given: Keys = NO_KEYS) -> tuple[Keys, list[str]]:
    """The keys that `read_extxyz` reads, and the names of labels that it leaves.

    Args:
        path: The file.
        given: Keys that the user named.

    Raises:
        DatasetError: As `read_extxyz`.
    """
    labels = [_labels(frame) for frame in _frames(path)]
    keys = choose_keys(path.name, labels, given)
    return keys, unread_keys(labels, keys)


def labels_of(path: Path) -> list[Labels]:
    """What each frame holds under names of labels, whatever is meant by them.

    Raises:
        DatasetError: The file cannot be read.
    """
    return [_labels(frame) for frame in _frames(path)]


def volume(cell: FloatArray) -> float:
    """Volume of a cell, Å³."""
    return abs(float(np.linalg.det(cell)))


@dataclasses.dataclass(frozen=True)
class _Frame:
    """One frame as text.

    Attributes:
        where: Names it in messages.
        default_id: Its id where it gives none.
        info: Keys of its comment line, and the same in small letters.
        rows: Its atom lines.
    """

    where: str
    default_id: str
    info: dict[str, str]
    rows: Sequence[str]

    @property
    def properties(self) -> str:
        """What its columns are."""
        return first_value(self.info, ("Properties", "properties")) or _PROPERTIES


def _frames(path: Path) -> list[_Frame]:
    """Frames of a file, in order."""
    # Not splitlines, which would also break a line at form feeds and Unicode separators.
    lines = read_text(path).rstrip("\n").split("\n")
    frames: list[_Frame] = []
    start = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        index = len(frames)
        where = f"{path.name}, configuration {index}"
        end = start + 2 + _parse_count(lines[start], where)
        if end > len(lines):
            n_found = max(len(lines) - start - 2, 0)
            raise DatasetError(f"{where}: the file ends after {n_found} of {lines[start].strip()} atoms.")
        frames.append(_Frame(where, default_id(path, index), parse_comment(lines[start + 1]), lines[start + 2 : end]))
        start = end
    return frames


def _parse_count(line: str, where: str) -> int:
    """Number of atoms, from the line that opens a frame."""
    n_atoms = int(line) if line.strip().isdecimal() and len(line) < 20 else 0
    if n_atoms < 1:
        raise DatasetError(f"{where}: expected a number of atoms, got {line.strip()[:40]!r}.")
    return n_atoms


def _labels(frame: _Frame) -> Labels:
    """What a frame holds that may be labels."""
    spans = _parse_properties(frame.properties, frame.where)
    columns = [name for name, (first, last) in spans.items() if name != "pos" and _is_vector(name, last - first)]
    return Labels(frame.info, columns, functools.partial(_vectors, frame))


def _is_vector(name: str, size: int) -> bool:
    """Whether a column can be one of forces; those of the usual names must be, or the file is refused later."""
    key = classify(name)
    return size == 3 or (key is not None and key.is_usual)


def _vectors(frame: _Frame, name: str) -> FloatArray:
    """A column of vectors, shape (n_atoms, 3); empty where its words are no numbers."""
    columns = _parse_columns(frame.properties, frame.rows, frame.where)
    try:
        return np.array(without_fortran(columns[name]), dtype=float)
    except ValueError:
        return np.zeros((0, 3))


def _parse_frame(frame: _Frame, keys: Keys) -> Configuration:
    """One frame of extended XYZ."""
    info = {key.lower(): value for key, value in frame.info.items()} | frame.info
    config_id = info.get("config_id", frame.default_id)
    where = f"{frame.where} ({config_id[:MAX_ID_LENGTH]!r})"
    columns = _parse_columns(frame.properties, frame.rows, where)
    kind = next((name for name in ("species", "Z") if name in columns), "")
    if not kind or "pos" not in columns:
        raise DatasetError(f"{where}: columns 'species' and 'pos' are needed, got {', '.join(columns)}.")
    if len(columns[kind][0]) != 1:
        raise DatasetError(f"{where}: {kind} has {len(columns[kind][0])} columns, expected 1.")
    _refuse_two_elements(columns, where)
    lattice = first_value(info, ("Lattice", "lattice"))
    stress = info.get(keys.stress)
    configuration = build_configuration(
        where,
        config_id=config_id,
        group_name=first_value(info, GROUP_KEYS) or "all",
        symbols=[_species(word) if kind == "Z" else word for (word,) in columns[kind]],
        positions=columns["pos"],
        cell=None if lattice is None else _lattice(lattice, where),
        pbc=_parse_pbc(info.get("pbc", "F F F" if lattice is None else "T T T"), where),
        energy=info.get(keys.energy),
        forces=columns.get(keys.forces),
        stress=None if stress is None else _words(stress),
    )
    return _with_stress(configuration, info.get(keys.virial), where)


def _with_stress(configuration: Configuration, virial: str | None, where: str) -> Configuration:
    """A configuration with its stress checked: taken from the virial where it has none, dropped where it is empty."""
    stress = configuration.stress
    pressure = None if virial is None else to_voigt(_words(virial), where)
    if pressure is not None and all(configuration.pbc):
        from_virial = -pressure / volume(configuration.cell)
        if stress is not None and np.abs(stress - from_virial).max() > max(0.02 * np.abs(from_virial).max(), 1e-5):
            raise DatasetError(
                f"{where}: its stress (largest component {np.abs(stress).max():.3g}) is not minus its virial over the "
                f"volume ({np.abs(from_virial).max():.3g} eV/Å³). Say which holds: --stress-key or --virial-key NAME."
            )
        stress = from_virial if stress is None else stress
    elif pressure is not None and stress is None and pressure.any():
        raise DatasetError(f"{where}: it has a virial but is not periodic along three vectors.")
    # What has no neighbour and no period has no stress; files that need an entry for it hold zeros.
    if stress is not None and not stress.any() and (not all(configuration.pbc) or _is_lone(configuration)):
        stress = None
    return configuration if stress is configuration.stress else dataclasses.replace(configuration, stress=stress)


def _words(value: str) -> list[str]:
    """Numbers of a tensor, also where brackets and commas stand between them."""
    return re.sub(r"[\[\]{},]", " ", value).split()


def _lattice(value: str, where: str) -> list[str]:
    """The nine words of a cell.

    Raises:
        DatasetError: There are not nine, or they stand in nested brackets, whose order programs take in two ways.
    """
    words = _words(value)
    if len(words) != 9 or re.search(r"[\[{]\s*[\[{]", value):
        raise DatasetError(
            f"{where}: Lattice={value[:60]!r} is not nine numbers. Write one vector after the other: "
            'Lattice="ax ay az bx by bz cx cy cz".'
        )
    return words


def _refuse_two_elements(columns: dict[str, list[list[str]]], where: str) -> None:
    """Refuse atoms of which `species` and `Z` say different elements."""
    for i, ((word,), number) in enumerate(zip(columns.get("species", []), columns.get("Z", []), strict=False)):
        if word in atomic_numbers and number[0].isdecimal() and atomic_numbers[word] != int(number[0][:4]):
            raise DatasetError(f"{where}: atom {i} is {word} by its species and Z={number[0][:4]}. Mend one of them.")


def _is_lone(configuration: Configuration) -> bool:
    """Whether there is one atom, far from its own images."""
    return configuration.n_atoms == 1 and bool(np.linalg.norm(configuration.cell, axis=1).min() > FAR_APART)


def _species(word: str) -> int | str:
    """An atomic number; the word itself where it is none, to be refused as such."""
    return int(word) if word.isdecimal() and len(word) < 4 else word


def _parse_properties(properties: str, where: str) -> dict[str, tuple[int, int]]:
    """First and last place of each column that `Properties` (name:type:count, ...) announces."""
    parts = properties.split(":")
    if len(parts) % 3 or not all(count.isdecimal() and len(count) < 5 for count in parts[2::3]):
        raise DatasetError(f"{where}: Properties={properties[:80]!r} is not a list of name:type:count.")
    ends = np.cumsum([0, *map(int, parts[2::3])]).tolist()
    return dict(zip(parts[0::3], pairwise(ends), strict=True))


def _parse_columns(properties: str, rows: Sequence[str], where: str) -> dict[str, list[list[str]]]:
    """Split atom lines into columns, as text."""
    spans = _parse_properties(properties, where)
    n_columns = max(last for _, last in spans.values())
    words = [row.split() for row in rows]
    for i, row in enumerate(words):
        if len(row) != n_columns:
            raise DatasetError(f"{where}: atom {i} has {len(row)} columns, Properties announces {n_columns}.")
    return {name: [row[first:last] for row in words] for name, (first, last) in spans.items()}


def _parse_pbc(text: str, where: str) -> tuple[bool, bool, bool]:
    """Three truth values, or one that stands for three."""
    flags = [_TRUTH.get(word.upper()) for word in re.sub(r"[\[\],]", " ", text).split()]
    flags = flags * 3 if len(flags) == 1 else flags
    if len(flags) != 3 or None in flags:
        raise DatasetError(f"{where}: pbc={text!r} is not three truth values.")
    return bool(flags[0]), bool(flags[1]), bool(flags[2])
