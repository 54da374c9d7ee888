"""Datasets come in: from a registry entry to configurations on disk."""

from collections.abc import Sequence
from pathlib import Path

from engine.data_folder import EMBEDDED, DataFolder
from engine.errors import DatasetError, FetchError
from engine.files import write_text
from engine.readers.formats import read
from engine.records import Configuration, read_configurations, write_configurations
from engine.registry.datasets import DataFile, Dataset, select_datasets
from engine.shards import sample
from precompute.acquire.archives import unpack_members
from precompute.acquire.fetching import fetch_file, sha256_of


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
    if dataset.is_added:
        if target.is_file():
            _check_stored(dataset, target)
            return f"{dataset.dataset_id}: added by you, up to date"
        raise FetchError(f"{dataset.dataset_id} was added by you, but its configurations are gone; add its file again.")
    files, is_mirror = _wanted(dataset, mirror)
    paths = [
        (path, reader, group)
        for file in files
        for path, reader, group in _local(dataset, file, folder, mirror, is_mirror)
    ]
    digest = "\n".join(sha256_of(path) for path, _, _ in paths)
    record = target.with_suffix(".sources")
    if target.is_file() and record.is_file() and record.read_text() == digest:
        return f"{dataset.dataset_id}: up to date"
    configurations: list[Configuration] = []
    for path, reader, group in paths:
        configurations += read(path, reader, group)
    expected = dataset.n_configs if is_mirror else dataset.n_configs_source
    _check(dataset, configurations, expected)
    write_configurations(target, configurations)
    write_text(record, digest)
    return f"{dataset.dataset_id}: {len(configurations)} configurations"


def configurations_of(dataset: Dataset, folder: DataFolder, limit: int | None = None) -> list[Configuration]:
    """Configurations of a fetched dataset, in source order; those that count as the dataset come first.

    Args:
        dataset: From the registry.
        folder: The data folder.
        limit: Draw a reproducible sample of this many from those that count as the dataset.

    Raises:
        FetchError: The dataset was not fetched yet, or a user's configurations are not those of its entry.
    """
    path = folder.configurations(dataset.dataset_id)
    if not path.is_file():
        raise FetchError(
            f"Dataset '{dataset.dataset_id}' is not here. "
            f"Run: python -m precompute fetch --dataset {dataset.dataset_id}"
        )
    _check_stored(dataset, path)
    configurations = read_configurations(path)
    configurations.sort(key=lambda c: c.group_name in dataset.groups_outside)
    if limit is None:
        return configurations
    return sample([c for c in configurations if c.group_name not in dataset.groups_outside], limit)


def datasets_here(ids: Sequence[str], folder: DataFolder) -> tuple[list[Dataset], int]:
    """Datasets asked for, where `all` stands for those that are fetched; and how many of all are not.

    Raises:
        RegistryError: The registry knows no such dataset.
    """
    datasets = select_datasets(ids)
    if "all" not in ids:
        return datasets, 0
    here = [dataset for dataset in datasets if folder.configurations(dataset.dataset_id).is_file()]
    return here, len(datasets) - len(here)


def _check_stored(dataset: Dataset, path: Path) -> None:
    """Refuse a user's configurations that differ from those of its entry, as after a kill or a cut."""
    stored = next((file.stored_sha256 for file in dataset.files if file.stored_sha256), "")
    if dataset.is_added and stored and sha256_of(path) != stored:
        raise FetchError(
            f"The configurations of '{dataset.dataset_id}' in {path.name} are not those that were added (checksum); "
            f"add its file again: python -m precompute add-dataset FILE --id {dataset.dataset_id} --replace"
        )


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
) -> list[tuple[Path, str, str]]:
    """Files on this machine, checked, each with the name of its reader and its group."""
    if file.embedded:
        return [(EMBEDDED / file.embedded, "extxyz", file.group)]
    downloads = folder.downloads / dataset.dataset_id
    if is_mirror and mirror:
        target = downloads / file.mirror_name
        fetch_file(target, sha256=file.mirror_sha256, mirrored=mirror / file.mirror)
        return [(target, "extxyz", file.group)]
    target = downloads / file.name
    mirrored = mirror / file.name if mirror else None
    if file.page and not target.is_file() and not (mirrored and mirrored.is_file()):
        raise FetchError(
            f"{file.name} has no address of its own: download it from {file.page} and give its folder with --mirror."
        )
    fetch_file(target, sha256=file.sha256, url=file.url or None, mirrored=mirrored)
    if not file.member:
        return [(target, file.reader, file.group)]
    members = unpack_members(target, file.member)
    return [(path, file.reader, file.group or ("" if len(members) == 1 else path.stem)) for path in members]


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
