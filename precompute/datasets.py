"""From a registry entry to configurations on disk."""

from pathlib import Path

from engine.datasets import DataFile, Dataset
from engine.errors import DatasetError, FetchError
from engine.readers import read
from engine.records import Configuration, read_configurations, write_configurations
from engine.shards import sample
from precompute.data_folder import EMBEDDED, DataFolder
from precompute.fetching import fetch_file, sha256_of


def fetch_dataset(dataset: Dataset, folder: DataFolder, mirror: Path | None) -> str:
    """Bring in the files of a dataset, read them and write its configurations.

    Args:
        dataset: Registry entry.
        folder: The data folder.
        mirror: Directory with copies of the files, or None to use their addresses.

    Returns:
        One line that says what was done.

    Raises:
        FetchError: A file cannot be had, or there are no data for this dataset.
        DatasetError: A file cannot be read; what was there before stays.
    """
    if not dataset.is_available:
        raise FetchError(f"{dataset.dataset_id}: {dataset.not_available}")
    target = folder.configurations(dataset.dataset_id)
    files, is_mirror = _wanted(dataset, mirror)
    paths = [(file, *_local(dataset, file, folder, mirror, is_mirror)) for file in files]
    digest = "\n".join(sha256_of(path) for _, path, _ in paths)
    record = target.with_suffix(".sources")
    if target.is_file() and record.is_file() and record.read_text() == digest:
        return f"{dataset.dataset_id}: up to date"
    configurations: list[Configuration] = []
    for file, path, reader in paths:
        configurations += read(path, reader, file.group)
    expected = dataset.n_configs if is_mirror else dataset.n_configs_source
    _check(dataset, configurations, expected)
    write_configurations(target, configurations)
    record.write_text(digest)
    return f"{dataset.dataset_id}: {len(configurations)} configurations"


def configurations_of(dataset: Dataset, folder: DataFolder, limit: int | None = None) -> list[Configuration]:
    """Configurations of a fetched dataset, in source order; those that count as the dataset come first.

    Args:
        dataset: From the registry.
        folder: The data folder.
        limit: Draw a reproducible sample of this many from those that count as the dataset.

    Raises:
        FetchError: The dataset was not fetched yet.
    """
    path = folder.configurations(dataset.dataset_id)
    if not path.is_file():
        raise FetchError(
            f"Dataset '{dataset.dataset_id}' is not here. "
            f"Run: python -m precompute fetch --dataset {dataset.dataset_id}"
        )
    configurations = read_configurations(path)
    configurations.sort(key=lambda c: c.group_name in dataset.groups_outside)
    if limit is None:
        return configurations
    return sample([c for c in configurations if c.group_name not in dataset.groups_outside], limit)


def _wanted(dataset: Dataset, mirror: Path | None) -> tuple[tuple[DataFile, ...], bool]:
    """Files to bring in, and whether they are the converted ones of a mirror, which must have them all."""
    if mirror and dataset.mirror_files and all((mirror / f.mirror).is_file() for f in dataset.mirror_files):
        return dataset.mirror_files, True
    originals = tuple(file for file in dataset.files if file.embedded) or dataset.original_files
    if not originals:
        raise FetchError(
            f"{dataset.dataset_id} can only be read from a mirror so far; give its directory with --mirror."
        )
    return originals, False


def _local(
    dataset: Dataset, file: DataFile, folder: DataFolder, mirror: Path | None, is_mirror: bool
) -> tuple[Path, str]:
    """A file on this machine, checked, and the name of its reader."""
    if file.embedded:
        return EMBEDDED / file.embedded, "extxyz"
    downloads = folder.downloads / dataset.dataset_id
    if is_mirror and mirror:
        target = downloads / file.mirror_name
        fetch_file(target, sha256=file.mirror_sha256, mirrored=mirror / file.mirror)
        return target, "extxyz"
    target = downloads / file.name
    fetch_file(target, sha256=file.sha256, url=file.url, mirrored=mirror / file.name if mirror else None)
    return target, file.reader


def _check(dataset: Dataset, configurations: list[Configuration], expected: int | None) -> None:
    """Refuse what contradicts the registry before anything is written."""
    seen: set[str] = set()
    for configuration in configurations:
        if configuration.config_id in seen:
            raise DatasetError(f"{dataset.dataset_id}: configuration id '{configuration.config_id}' occurs twice.")
        seen.add(configuration.config_id)
    if expected is not None and not dataset.is_embedded and len(configurations) != expected:
        raise DatasetError(
            f"{dataset.dataset_id}: {len(configurations)} configurations were read, "
            f"the registry says {expected}; nothing was written."
        )
