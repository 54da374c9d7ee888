"""Imports of predictions that were computed elsewhere; every number keeps its origin."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from engine.data_folder import DataFolder
from engine.errors import FetchError, PredictionError
from engine.records import Configuration, Prediction, RunRecord, write_predictions
from engine.registry.datasets import Dataset, PublishedPredictions
from engine.registry.models import Model, get_model
from precompute.acquire.datasets import configurations_of
from precompute.acquire.fetching import fetch_file, sha256_of
from precompute.acquire.prediction_checks import check_predictions
from precompute.acquire.prediction_files import PredictionRow, as_vectors, read_predictions_file


def import_file(
    dataset: Dataset,
    model: Model,
    path: Path,
    folder: DataFolder,
    *,
    source: str = "",
    note: str = "",
    energy_key: str = "",
    forces_key: str = "",
) -> str:
    """Import predictions of one model on one dataset.

    Args:
        dataset: Must be fetched.
        model: Registry entry that the predictions belong to.
        path: Parquet with config_id, energy (eV, total) and forces (n_atoms x 3, eV/Å), or extended XYZ. Either
            energies or forces may be missing from a file as a whole; a column of energies without any is such a file.
            Where it holds geometries, they must be the dataset's; forces are brought into its order of atoms. Entries
            of extended XYZ without config_id are found by their geometry.
        folder: The data folder.
        source: Who computed them; the file's name where it is not said.
        note: What is inferred about them.
        energy_key: Name of the predicted energies; empty to find them. Energies that are called a reference, or have
            the values of the dataset's labels, are never taken. `none` for none.
        forces_key: Name of the predicted forces; empty to find them in the same way, `none` for none.

    Returns:
        One line that says what was done.

    Raises:
        PredictionError: Something does not fit the dataset; nothing is stored.
    """
    configurations = configurations_of(dataset, folder)
    rows = read_predictions_file(path, configurations, energy_key, forces_key)
    predictions = _matched(configurations, rows, path.name)
    is_placed = all(row.is_placed for row in rows)
    check_predictions(path.name, configurations, predictions, is_placed=is_placed)
    record = RunRecord(
        origin="imported",
        model_id=model.model_id,
        source=source or path.name,
        note=note,
        file_sha256=sha256_of(path),
        imported_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_predictions(folder.imported(dataset.dataset_id, model.model_id), predictions, record)
    n_left = len(configurations) - len(predictions)
    left = f", {n_left} configurations have none" if n_left else ""
    what = "predictions of forces alone" if all(p.energy is None for p in predictions) else "predictions"
    return f"{dataset.dataset_id}, {model.model_id}: {len(predictions)} {what} imported{left}"


def import_published(dataset: Dataset, folder: DataFolder, mirror: Path | None) -> Iterable[str]:
    """Import all predictions that the registry knows of for a dataset; one line for each.

    Raises:
        FetchError: A file cannot be had.
        PredictionError: A file does not fit the dataset.
    """
    if not dataset.published_predictions:
        raise PredictionError(f"No published predictions are known for '{dataset.dataset_id}'; give --model and FILE.")
    for published in dataset.published_predictions:
        path = _fetched(dataset, published, folder, mirror)
        yield import_file(
            dataset, get_model(published.model), path, folder, source=published.source, note=published.note
        )


def _fetched(dataset: Dataset, published: PublishedPredictions, folder: DataFolder, mirror: Path | None) -> Path:
    if mirror is None:
        raise FetchError(
            f"Published predictions on '{dataset.dataset_id}' are read from a mirror only so far; give it with "
            f"--mirror, or import your own copy of {published.source} with --model and FILE."
        )
    target = folder.downloads / dataset.dataset_id / Path(published.mirror).name
    fetch_file(target, sha256=published.sha256, mirrored=mirror / published.mirror)
    return target


def _matched(configurations: Sequence[Configuration], rows: Sequence[PredictionRow], name: str) -> list[Prediction]:
    """Predictions in the dataset's order; refuses the file if any row does not fit."""
    known = {c.config_id: c for c in configurations}
    found: dict[str, Prediction] = {}
    needs_energy = any(row.energy is not None for row in rows)
    for i, row in enumerate(rows):
        where = f"{name}, row {i} ('{row.config_id}')"
        configuration = known.get(row.config_id)
        if configuration is None:
            raise PredictionError(f"{where}: the dataset has no such configuration; nothing was imported.")
        if configuration.config_id in found:
            raise PredictionError(f"{where}: occurs twice; nothing was imported.")
        found[configuration.config_id] = _prediction(configuration, row, where, needs_energy=needs_energy)
    if not found:
        raise PredictionError(f"{name} holds no predictions.")
    return [found[c.config_id] for c in configurations if c.config_id in found]


def _prediction(configuration: Configuration, row: PredictionRow, where: str, *, needs_energy: bool) -> Prediction:
    energy = None if row.energy is None else float(row.energy)
    if (needs_energy or energy is not None) and (energy is None or not np.isfinite(energy)):
        raise PredictionError(f"{where}: energy is {row.energy}; nothing was imported.")
    if energy is None and row.forces is None:
        raise PredictionError(f"{where}: it has neither an energy nor forces; nothing was imported.")
    forces = None
    if row.forces is not None:
        forces = as_vectors(row.forces)
        if len(forces) != configuration.n_atoms or not np.isfinite(forces).all():
            raise PredictionError(
                f"{where}: forces of {len(forces)} atoms, or not finite, for {configuration.n_atoms} atoms; "
                "nothing was imported."
            )
    return Prediction(configuration.config_id, configuration.geometry_hash, "ok", energy=energy, forces=forces)
