"""Files of predictions: which of their numbers are predictions, and to which configuration each belongs.

A file of predictions mostly holds the reference too: MACE's evaluation keeps `REF_energy` beside `MACE_energy`, ASE
writes its calculator's `energy` beside it. Numbers with the name or the values of a reference are never predictions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DatasetError, PredictionError
from engine.readers.databases import read_parquet
from engine.readers.extxyz import labels_of, read_extxyz
from engine.readers.ingestion import without_fortran, without_slashes
from engine.readers.label_keys import NONE, REFERENCE_ORIGINS, LabelKey, classify, refuse_gradients
from engine.records import Configuration, FloatArray
from precompute.acquire.geometry import atom_order

SAME_ENERGY, SAME_FORCE = 1e-4, 1e-4
"""A median difference below this, in eV and eV/Å, is one of rounding: no model comes as close to DFT."""


@dataclass(frozen=True)
class PredictionRow:
    """Predictions of one configuration.

    Attributes:
        config_id: As in the dataset.
        energy: Total energy, eV; not checked yet. None in every row of a file that has no energies.
        forces: Shape (n_atoms, 3), eV/Å, in the order of the dataset; not checked yet.
        is_placed: Whether the file had the positions, so that the order of its atoms is known.
    """

    config_id: str
    energy: float | None
    forces: Any = None
    is_placed: bool = False


@dataclass(frozen=True)
class _Source:
    """A file as read: geometries, where it has them, and all that may be energies and forces."""

    ids: list[str]
    geometries: list[Configuration] | None
    energies: dict[str, list[float | None]]
    forces: dict[str, list[Any]]
    has_ids: bool
    hashes: list[str] | None = None  # of geometries, where the file has no more of them
    has_only_forces: bool = False  # a column of energies is there and says that there are none


def read_predictions_file(
    path: Path, configurations: Sequence[Configuration], energy_key: str = "", forces_key: str = ""
) -> list[PredictionRow]:
    """Read predictions on the configurations of a dataset.

    Args:
        path: Parquet or extended XYZ.
        configurations: Of the dataset.
        energy_key: Name of the predicted energies; empty to find it, `none` for none.
        forces_key: Name of the predicted forces; empty to find it, `none` for none.

    Returns:
        One row for each configuration of the file, forces in the order of the dataset's atoms.

    Raises:
        PredictionError: The file does not say which of its numbers are predictions, or an entry belongs to no
            configuration of the dataset.
    """
    if not path.is_file():
        raise PredictionError(f"{path} does not exist.")
    source = _read_parquet(path) if path.suffix == ".parquet" else _read_extxyz(path)
    matched = _match(path.name, source, configurations)
    known = [(i, c) for i, (c, _) in enumerate(matched) if c is not None]
    energy = energy_key or _choose_energy(path.name, source, known)
    forces = forces_key or _choose_forces(path.name, source, known, energy)
    try:
        refuse_gradients(path.name, list(source.forces), has_forces=bool(forces))
    except DatasetError as error:
        raise PredictionError(f"{error} Nothing was imported.") from error
    for name, values, option in ((energy, source.energies, "--energy-key"), (forces, source.forces, "--forces-key")):
        if name not in ("", NONE) and name not in values:
            raise PredictionError(f"{path.name}: {option} {name!r} is not in it; there are {_listed(list(values))}.")
    if energy == NONE and forces in ("", NONE):
        raise PredictionError(f"{path.name}: predictions are energies, forces or both; it would be none. Name one.")
    rows = []
    for i, (configuration, order) in enumerate(matched):
        if configuration and source.hashes and source.hashes[i] not in ("", configuration.geometry_hash):
            raise PredictionError(
                f"{path.name}, row {i} ('{configuration.config_id}'): its positions are not those of the dataset, by "
                "their geometry_hash; nothing was imported. Predict the configurations as they are now."
            )
        force = None if forces in ("", NONE) else source.forces[forces][i]
        if force is not None and order is not None:
            force = np.asarray(force, dtype=float).reshape(-1, 3)
            if len(force) != len(order):
                raise PredictionError(f"{path.name}, row {i}: {forces!r} is not made of numbers; nothing was imported.")
            force = force[order]
        config_id = configuration.config_id if configuration else source.ids[i]
        value = None if energy == NONE else source.energies[energy][i]
        rows.append(PredictionRow(config_id, value, force, order is not None))
    return rows


def _read_extxyz(path: Path) -> _Source:
    """All labels of extended XYZ."""
    try:
        _refuse_tables(path)
        geometries = read_extxyz(path, energy_key=NONE, forces_key=NONE, stress_key=NONE)
        frames = labels_of(path)
    except DatasetError as error:
        raise PredictionError(f"{error} Nothing was imported.") from error
    energies: dict[str, list[float | None]] = {}
    forces: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for frame in frames for name in frame.info):
        values = [_number(frame.info.get(name)) for frame in frames]
        if any(value is not None for value in values):
            energies[name] = values
    for name in dict.fromkeys(name for frame in frames for name in frame.columns):
        forces[name] = [frame.vectors(name) if name in frame.columns else None for frame in frames]
    has_ids = any("config_id" in frame.info for frame in frames)
    return _Source([c.config_id for c in geometries], geometries, energies, forces, has_ids)


def _refuse_tables(path: Path) -> None:
    """Refuse what is neither parquet nor extended XYZ, by its first bytes, with the way to parquet."""
    with path.open("rb") as handle:
        head = handle.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    first = head.split(b"\n")[0]
    kinds = {
        "JSON": head[:1] in (b"{", b"["),
        "a numpy archive": head.startswith((b"PK\x03\x04", b"\x93NUMPY")),
        "a table of text (CSV)": not first.strip().isdigit() and any(mark in first for mark in (b",", b";", b"\t")),
    }
    if kind := next((name for name, is_it in kinds.items() if is_it), ""):
        raise DatasetError(
            f"{path.name} is {kind}, which is not read here. Write parquet with the columns config_id, energy (eV, "
            "total) and forces (eV/Å): pandas.DataFrame(...).to_parquet('predictions.parquet')."
        )


def _read_parquet(path: Path) -> _Source:
    """All columns of a table with one row per configuration."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise PredictionError(f"{path.name} is not a parquet file: {error}") from error
    names = table.column_names
    if "config_id" not in names or not any(_is(name, "energy") for name in names):
        raise PredictionError(f"{path.name} has no columns config_id and energy; it has {', '.join(names)}.")
    columns: dict[str, list[Any]] = {name: table.column(name).to_pylist() for name in names}
    geometries = None
    if {"numbers", "positions", "cell", "pbc"} <= set(names):
        try:
            geometries = read_parquet(path)
        except DatasetError as error:
            raise PredictionError(f"{error} Nothing was imported.") from error
    numeric = [name for name in names if pa.types.is_floating(table.schema.field(name).type)]
    numeric = [name for name in numeric if table.column(name).null_count < table.num_rows]
    return _Source(
        ids=[without_slashes(str(name)) for name in columns["config_id"]],
        geometries=geometries,
        energies={name: columns[name] for name in numeric},
        forces={name: columns[name] for name in names if pa.types.is_list(table.schema.field(name).type)},
        has_ids=True,
        hashes=[value or "" for value in columns["geometry_hash"]] if "geometry_hash" in names else None,
        has_only_forces=not any(_is(name, "energy") for name in numeric),
    )


def _match(
    name: str, source: _Source, configurations: Sequence[Configuration]
) -> list[tuple[Configuration | None, Any]]:
    """The configuration of the dataset for each entry, and the order of its atoms; None where there is none."""
    known = {c.config_id: c for c in configurations}
    if source.geometries is None:
        return [(known.get(config_id), None) for config_id in source.ids]
    if not source.has_ids and not any(config_id in known for config_id in source.ids):
        return _match_by_geometry(name, source.geometries, configurations)
    found: list[tuple[Configuration | None, Any]] = []
    for i, (config_id, geometry) in enumerate(zip(source.ids, source.geometries, strict=True)):
        configuration = known.get(config_id)
        where = f"{name}, row {i} ('{config_id}')"
        found.append((configuration, atom_order(configuration, geometry, where) if configuration else None))
    return found


def _match_by_geometry(
    name: str, geometries: Sequence[Configuration], configurations: Sequence[Configuration]
) -> list[tuple[Configuration | None, Any]]:
    """Entries without ids: each must be the structure of one configuration that no other entry has taken."""
    groups: dict[tuple[bytes, int], list[Configuration]] = {}
    for c in configurations:
        groups.setdefault(_kind(c), []).append(c)
    found: list[tuple[Configuration | None, Any]] = []
    for i, geometry in enumerate(geometries):
        where = f"{name}, row {i}"
        candidates = groups.get(_kind(geometry), [])
        for k, candidate in enumerate(candidates):
            try:
                order = atom_order(candidate, geometry, where)
            except PredictionError:
                continue
            found.append((candidates.pop(k), order))
            break
        else:
            raise PredictionError(
                f"{where}: it has no config_id, and the dataset has no such structure; nothing was imported."
            )
    return found


def _kind(c: Configuration) -> tuple[bytes, int]:
    return np.sort(c.numbers).tobytes(), sum(c.pbc)


def _choose_energy(name: str, source: _Source, known: Sequence[tuple[int, Configuration]]) -> str:
    """The energies that are neither a reference by name nor the dataset's own labels; `none` of forces alone."""
    if source.has_only_forces:
        return NONE
    keys = [key for key in map(classify, source.energies) if key is not None and key.quantity == "energy"]
    if not keys:
        raise PredictionError(
            f"{name} holds no energies by name; it has {_listed(list(source.energies)[:20])}. "
            "Say which are the predictions: --energy-key NAME, or none."
        )
    others = [
        key
        for key in keys
        if key.origin not in REFERENCE_ORIGINS and not is_label(source.energies[key.name], known, "energy")
    ]
    if not others:
        raise PredictionError(
            f"{name} holds the reference and no predictions: {_listed([key.name for key in keys])}. If one of them is "
            "a model's, say so: --energy-key NAME --forces-key NAME. Nothing was imported."
        )
    distinct = [key for i, key in enumerate(others) if not any(_same(source, key, other) for other in others[:i])]
    if len(distinct) > 1:
        raise PredictionError(
            f"{name} holds more than one set of predictions: {_listed([key.name for key in distinct])}. "
            f"Say which: --energy-key {distinct[0].name}. Nothing was imported."
        )
    return distinct[0].name


def _choose_forces(name: str, source: _Source, known: Sequence[tuple[int, Configuration]], energy: str) -> str:
    """The forces that go with the energies; empty where there are none."""
    keys = [key for key in map(classify, source.forces) if key is not None and key.quantity == "forces"]
    others = [
        key
        for key in keys
        if key.origin not in REFERENCE_ORIGINS and not is_label(source.forces[key.name], known, "forces")
    ]
    chosen = classify(energy)
    same = [key for key in keys if chosen is not None and key.origin == chosen.origin]
    if same and (same[0] in others or not others):
        return same[0].name
    if len(others) > 1:
        raise PredictionError(
            f"{name}: it does not say which forces belong to {energy!r}: {_listed([key.name for key in others])}. "
            "Say which: --forces-key NAME, or --forces-key none. Nothing was imported."
        )
    return others[0].name if others else ""


def is_label(values: Sequence[Any], known: Sequence[tuple[int, Configuration]], quantity: str) -> bool:
    """Whether values are the labels of the dataset, to rounding.

    Args:
        values: One for each entry of a file: an energy in eV, or forces in eV/Å in any order of the atoms.
        known: Entry and configuration.
        quantity: `energy` or `forces`.
    """
    apart: list[float] = []
    for i, configuration in known:
        reference, value = getattr(configuration, quantity), values[i]
        if reference is None or value is None:
            continue
        first, second = np.ravel(reference), np.ravel(np.asarray(list(value) if np.ndim(value) else value, dtype=float))
        if quantity == "forces":  # whatever the order of the atoms
            first, second = np.sort(first[np.abs(first) > 1e-3]), np.sort(second[np.abs(second) > 1e-3])
        if first.shape != second.shape:
            apart.append(float("inf"))
        elif len(first):
            apart.append(float(np.median(np.abs(first - second))))
    return bool(apart) and float(np.median(apart)) < (SAME_ENERGY if quantity == "energy" else SAME_FORCE)


def _same(source: _Source, first: LabelKey, other: LabelKey) -> bool:
    """Whether two keys say the same, as a free energy does where there is no smearing."""
    pairs = zip(source.energies[first.name], source.energies[other.name], strict=True)
    return all(a is None or (b is not None and abs(a - b) < SAME_ENERGY) for a, b in pairs)


def _is(name: str, quantity: str) -> bool:
    key = classify(name)
    return key is not None and key.quantity == quantity


def _number(text: str | None) -> float | None:
    try:
        return float(without_fortran(text)) if text else None  # type: ignore[arg-type]
    except ValueError:
        return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def as_vectors(values: Any) -> FloatArray:
    """Forces as an array of shape (n_atoms, 3), from rows or from one list."""
    return np.array(list(values), dtype=float).reshape(-1, 3)
