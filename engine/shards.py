"""What is done, what is missing, and how the missing is cut into shards.

A prediction file that exists is complete, so the folder is the job table: a model's predictions on a dataset lie
in `<data>/predictions/<dataset>/<model>/<fingerprint>/*.parquet`, and whatever configuration is in none of those
files is missing. A row counts for a configuration only while its geometry is unchanged. A failure that tells of the
machine and not of the model (memory, time) stays in its file with its reason, but the configuration counts as missing.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from engine.records import Configuration, Prediction, is_transient, read_predictions

# A shard is what a kill can cost: seconds to a minute of the slowest model.
MAX_CONFIGS = 32
MAX_ATOMS = 2000


@dataclass(frozen=True)
class Shard:
    """Configurations that go to a worker as one request and come back as one file."""

    configurations: tuple[Configuration, ...]

    @property
    def name(self) -> str:
        """File name that depends on the members alone."""
        members = "\n".join(f"{c.config_id} {c.geometry_hash}" for c in self.configurations)
        return hashlib.sha256(members.encode()).hexdigest()[:16] + ".parquet"

    @property
    def n_atoms(self) -> int:
        """Atoms of all configurations together."""
        return sum(c.n_atoms for c in self.configurations)


def done_keys(paths: Iterable[Path]) -> dict[tuple[str, str], str]:
    """Read (config_id, geometry_hash) -> status of prediction files, without transient failures."""
    keys: dict[tuple[str, str], str] = {}
    for path in paths:
        columns = ["config_id", "geometry_hash", "status", "reason"]
        table = pq.read_table(path, columns=columns, page_checksum_verification=True)
        for config_id, geometry_hash, status, reason in zip(*(c.to_pylist() for c in table.columns), strict=True):
            if not is_transient(reason):
                keys[config_id, geometry_hash] = status
    return keys


def merged(paths: Iterable[Path]) -> dict[tuple[str, str], tuple[Prediction, Path]]:
    """One prediction per configuration, with the file that it is from.

    Of two for one configuration the later file counts, and a transient failure only where there is nothing else.
    """
    rows: dict[tuple[str, str], tuple[Prediction, Path]] = {}
    for path in paths:
        for prediction in read_predictions(path):
            key = (prediction.config_id, prediction.geometry_hash)
            if key not in rows or not is_transient(prediction.reason):
                rows[key] = (prediction, path)
    return rows


def missing(configurations: Sequence[Configuration], done: Iterable[tuple[str, str]]) -> list[Configuration]:
    """Configurations that no file holds, or only as a transient failure."""
    done = set(done)
    return [c for c in configurations if (c.config_id, c.geometry_hash) not in done]


def sample(configurations: Sequence[Configuration], n: int) -> list[Configuration]:
    """Draw n configurations reproducibly, spread over the groups.

    The order is fixed by the ids alone: within a group by the hash of the id, and of all groups the k-th of m
    members at k/m, so that every group is there first and its share afterwards. A smaller sample is the beginning
    of a larger one, so models that were given different numbers share the smaller.
    """
    groups: dict[str, list[tuple[str, Configuration]]] = {}
    for configuration in configurations:
        digest = hashlib.sha256(configuration.config_id.encode()).hexdigest()
        groups.setdefault(configuration.group_name, []).append((digest, configuration))
    ranked = [
        (rank / len(members), digest, configuration)
        for members in groups.values()
        for rank, (digest, configuration) in enumerate(sorted(members, key=lambda member: member[0]))
    ]
    return [configuration for _, _, configuration in sorted(ranked, key=lambda row: row[:2])[:n]]


def cut(configurations: Iterable[Configuration]) -> list[Shard]:
    """Cut configurations into shards of like size, largest first.

    Largest first, so that a lack of memory shows at once and the last shard is a short one; like sizes together,
    because compiled models pay once for each padded size.
    """
    shards: list[Shard] = []
    members: list[Configuration] = []
    n_atoms = 0
    for configuration in sorted(configurations, key=lambda c: (-c.n_atoms, c.config_id)):
        if members and (len(members) == MAX_CONFIGS or n_atoms + configuration.n_atoms > MAX_ATOMS):
            shards.append(Shard(tuple(members)))
            members, n_atoms = [], 0
        members.append(configuration)
        n_atoms += configuration.n_atoms
    if members:
        shards.append(Shard(tuple(members)))
    return shards
