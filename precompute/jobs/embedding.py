"""Put results into the repository for fresh clones: predictions on the embedded dataset, summaries of others, costs."""

import dataclasses
import shutil
from pathlib import Path

from engine.data_folder import EMBEDDED, DataFolder, embedded_predictions, embedded_summary, embedded_vacancies
from engine.errors import PredictionError, StoreError
from engine.files import write_text
from engine.records import read_run_record, write_predictions
from engine.registry.datasets import Dataset
from engine.registry.leakage import counted_pairs
from engine.registry.models import Model, load_models
from engine.relaxed_vacancies import write_vacancies
from engine.shards import merged
from engine.store.scoring import Frame
from engine.store.summary import OPEN_LICENSES, added, read_summary, summary_of, write_summary
from precompute.acquire.datasets import configurations_of
from precompute.acquire.weights import Checkpoint
from precompute.jobs.build import comparable_pairs
from precompute.jobs.vacancies import merged as merged_vacancies


def embed(dataset: Dataset, model: Model, folder: DataFolder) -> Path | None:
    """Write a model's complete predictions on an embedded dataset into one file of the repository.

    Returns:
        The file, or None where the model was not run here.

    Raises:
        PredictionError: The dataset is not embedded, or some configurations have no prediction yet.
    """
    if not dataset.is_embedded:
        raise PredictionError(f"'{dataset.dataset_id}' does not come with the repository; only such sets are embedded.")
    paths = Checkpoint(model, folder).predictions(dataset.dataset_id)
    if not paths:
        return None
    rows = merged(paths)
    configurations = configurations_of(dataset, folder)
    left = [c.config_id for c in configurations if (c.config_id, c.geometry_hash) not in rows]
    if left:
        raise PredictionError(
            f"{model.model_id} lacks {len(left)} configurations of '{dataset.dataset_id}', first '{left[0]}'. "
            f"Run: python -m precompute run --dataset {dataset.dataset_id} --model {model.model_id}"
        )
    seconds = sum(read_run_record(path).wall_seconds or 0.0 for path in paths)
    record = dataclasses.replace(read_run_record(paths[0]), wall_seconds=seconds)
    target = embedded_predictions(dataset.dataset_id, model.model_id)
    ordered = [rows[c.config_id, c.geometry_hash][0] for c in configurations]
    write_predictions(target, ordered, record)
    return target


def embed_summary(
    dataset: Dataset, folder: DataFolder, *, with_vectors: bool = True, is_added: bool = False
) -> list[Path]:
    """Write what the store knows of a dataset, apart from its atoms, into the repository (`engine.store.summary`).

    Args:
        dataset: The dataset.
        folder: Where the store is.
        with_vectors: Also the SOAP vectors of local environments.
        is_added: The summary that is in the repository stays, with the models of the store added to it.

    Returns:
        The files.

    Raises:
        StoreError: The dataset's licence does not let results be passed on, or the store has none.
    """
    _refuse_closed(dataset)
    target = embedded_summary(dataset.dataset_id)
    tables = summary_of(folder.store, dataset.dataset_id, with_vectors=with_vectors)
    if is_added and target.is_dir():
        configurations, models = configurations_of(dataset, folder), list(load_models().values())
        groups = {c.group_name for c in configurations}
        tables = added(
            tables,
            read_summary(target),
            Frame(dataset, configurations),
            comparable_pairs(models, [dataset]),
            counted_pairs(models, dataset, groups),
            [model.model_id for model in models],
        )
    return write_summary(target, tables)


def embed_vacancies(model: Model, folder: DataFolder) -> Path | None:
    """Write the vacancies that a model relaxed here into one file of the repository.

    Returns:
        The file, or None where the model relaxed none here.
    """
    rows = merged_vacancies(Checkpoint(model, folder).vacancies)
    if not rows:
        return None
    found = [rows[name] for name in sorted(rows)]
    seconds = sum(row.wall_seconds or 0.0 for row, _ in found)
    target = embedded_vacancies(model.model_id)
    write_vacancies(target, [row for row, _ in found], dataclasses.replace(found[0][1], wall_seconds=seconds))
    return target


def embed_learning(dataset: Dataset, folder: DataFolder) -> list[Path]:
    """Copy the learning curves of a dataset into the repository.

    Returns:
        The files.

    Raises:
        StoreError: The dataset's licence does not let results be passed on.
    """
    _refuse_closed(dataset)
    copied = []
    for path in sorted((folder.learning / dataset.dataset_id).glob("*/*.parquet")):
        target = EMBEDDED / "learning" / path.relative_to(folder.learning)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        copied.append(target)
    return copied


def _refuse_closed(dataset: Dataset) -> None:
    if dataset.license not in OPEN_LICENSES:
        raise StoreError(
            f"'{dataset.dataset_id}' has the licence '{dataset.license}'; summaries are embedded of sets under "
            f"{', '.join(OPEN_LICENSES)} alone."
        )


def embed_costs(model: Model, folder: DataFolder) -> list[Path]:
    """Copy a model's measured costs into the repository."""
    copied = []
    for path in sorted(folder.costs.glob(f"{model.model_id}-*.json")):
        target = EMBEDDED / "costs" / path.name
        write_text(target, path.read_text(encoding="utf-8"))
        copied.append(target)
    return copied
