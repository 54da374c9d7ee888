"""`python -m precompute predict`: some models predict one structure; no store is needed."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from engine.data_folder import DataFolder
from engine.errors import DatasetError, EngineError
from engine.readers.other_formats import other_folder
from engine.readers.readings import Upload
from engine.readers.sandbox import read_in_sandbox
from engine.records import Prediction
from engine.registry.models import Model
from precompute.workers.pool import Pool


def read_file(path: Path) -> Upload:
    """Read one structure from POSCAR, CIF or extended XYZ, and look at it as the Predict page does.

    Raises:
        DatasetError: The file is missing, or is no structure.
    """
    if path.is_dir():
        raise DatasetError(other_folder(path))
    if not path.is_file():
        raise DatasetError(f"{path} does not exist.")
    return read_in_sandbox(path.name, path.read_bytes())


def predict_file(path: Path, models: Sequence[Model], folder: DataFolder, device: str) -> Iterator[dict[str, Any]]:
    """What `predict_upload` yields, of a file."""
    yield from predict_upload(read_file(path), models, folder, device)


def predict_upload(
    upload: Upload, models: Sequence[Model], folder: DataFolder, device: str
) -> Iterator[dict[str, Any]]:
    """One row per model: energy, largest force and stress (eV, eV/Å, eV/Å³), or the reason why not; and remarks."""
    configuration = upload.configuration
    symbols = {chemical_symbols[number] for number in configuration.numbers.tolist()}
    warnings = [f"{check.name}: {check.text}" for check in upload.checks if not check.is_fine]
    for model in models:
        row: dict[str, Any] = {"model_id": model.model_id, "n_atoms": configuration.n_atoms, "warnings": warnings}
        if unknown := model.unknown_elements(symbols):
            yield row | {"status": "failed", "reason": f"{model.label} does not know {', '.join(unknown)}."}
            continue
        try:
            with Pool(folder, device=device) as pool, pool.borrow(model) as loaded:
                (prediction,) = loaded.evaluate([configuration]).predictions
        except EngineError as error:
            yield row | {"status": "failed", "reason": str(error)}
            continue
        yield row | _numbers(prediction)


def prediction_line(row: Mapping[str, Any]) -> str:
    """One model's prediction as a line of text."""
    if row["status"] != "ok":
        return f"{row['model_id']:28} failed: {row['reason']}"
    return (
        f"{row['model_id']:28} {row['energy']:.6f} eV   {row['energy_per_atom']:.6f} eV/atom   "
        f"largest force {row['max_force']:.4f} eV/Å   {row['wall_seconds']:.2f} s"
    )


def _numbers(prediction: Prediction) -> dict[str, Any]:
    """A prediction as plain numbers for JSON; eV, eV/Å, eV/Å³."""
    if prediction.status != "ok" or prediction.energy is None or prediction.forces is None:
        return {"status": "failed", "reason": prediction.reason}
    return {
        "status": "ok",
        "energy": prediction.energy,
        "energy_per_atom": prediction.energy / len(prediction.forces),
        "max_force": float(np.linalg.norm(prediction.forces, axis=1).max()),
        "forces": prediction.forces.tolist(),
        "stress": None if prediction.stress is None else prediction.stress.tolist(),
        "wall_seconds": prediction.wall_seconds,
    }
