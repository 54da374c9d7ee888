"""Local environments of a dataset: classes of all atoms and SOAP vectors of a sample, kept in the data folder.

Environments depend on the atoms alone. A file that fits the present dataset is therefore done, and a build takes
seconds.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine.data_folder import DataFolder
from engine.numerics.local_environments import CLASS_SETTING, SOAP_SETTING, classify, scaled, soap_vectors
from engine.records import Configuration, read_table, write_table
from engine.store.environments import Environments

PER_GROUP = 200  # atoms of each group with a SOAP vector: 0.6 kB each in the store

SETTING = f"{SOAP_SETTING!r} {CLASS_SETTING} {PER_GROUP}"


def describe(dataset_id: str, configurations: Sequence[Configuration], folder: DataFolder) -> dict[str, Environments]:
    """Environments by config_id, computed where no file holds them.

    Args:
        dataset_id: The dataset.
        configurations: All of its configurations.
        folder: Where the file is.
    """
    path = folder.environments(dataset_id)
    if (found := _read(path, configurations)) is None:
        chosen = sample_atoms(configurations)
        found = {c.config_id: _environments(c, chosen.get(c.config_id, [])) for c in configurations}
        _write(path, configurations, found)
    return found


def sample_atoms(configurations: Sequence[Configuration], per_group: int = PER_GROUP) -> dict[str, list[int]]:
    """Draw atoms of each group, each atom with the same chance and the same ones every time.

    Returns:
        Places of the drawn atoms by config_id; configurations without one are left out.
    """
    groups: dict[str, list[tuple[str, int]]] = {}
    for c in configurations:
        groups.setdefault(c.group_name, []).extend((c.config_id, place) for place in range(c.n_atoms))
    drawn: dict[str, list[int]] = {}
    for name, atoms in groups.items():
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        for k in sorted(generator.permutation(len(atoms))[:per_group].tolist()):
            drawn.setdefault(atoms[k][0], []).append(atoms[k][1])
    return drawn


def _environments(configuration: Configuration, sampled: Sequence[int]) -> Environments:
    atoms = scaled(configuration.numbers, configuration.positions, configuration.cell, configuration.pbc)
    return Environments(
        classify(atoms),
        np.array(sampled, dtype=np.int32),
        soap_vectors(atoms, sampled) if sampled else np.empty((0, 0), dtype=np.float32),
    )


def _read(path: Path, configurations: Sequence[Configuration]) -> dict[str, Environments] | None:
    """What the file holds; None where there is none, or one of other atoms or of another setting."""
    try:
        table = read_table(path)
    except (OSError, ValueError):  # ArrowInvalid is a ValueError; a file that cannot be read is made again
        return None
    here = [(c.config_id, c.geometry_hash) for c in configurations]
    keys = zip(table["config_id"].to_pylist(), table["geometry_hash"].to_pylist(), strict=True)
    if (table.schema.metadata or {}).get(b"setting") != SETTING.encode() or list(keys) != here:
        return None
    found = {}
    for config_id, classes, sampled, soap in zip(
        *(table[name] for name in ("config_id", "classes", "sampled", "soap")), strict=True
    ):
        places = np.asarray(sampled.values, dtype=np.int32)
        vectors = np.asarray(soap.values, dtype=np.float32).reshape(len(places), -1 if len(places) else 0)
        found[config_id.as_py()] = Environments(np.asarray(classes.values, dtype=np.uint8), places, vectors)
    return found


def _write(path: Path, configurations: Sequence[Configuration], found: dict[str, Environments]) -> None:
    rows = [found[c.config_id] for c in configurations]
    table = pa.table(
        {
            "config_id": [c.config_id for c in configurations],
            "geometry_hash": [c.geometry_hash for c in configurations],
            "classes": pa.array([row.classes.tolist() for row in rows], pa.list_(pa.uint8())),
            "sampled": pa.array([row.sampled.tolist() for row in rows], pa.list_(pa.int32())),
            "soap": pa.array([row.soap.ravel().tolist() for row in rows], pa.list_(pa.float32())),
        }
    )
    write_table(path, table.replace_schema_metadata({"setting": SETTING}))
