"""Potentials that were trained on this machine, as models of the user: entries of `models.toml` of the data folder.

Their files lie among the weights and have no address; all else that loads and runs models treats them alike.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from engine.data_folder import DataFolder
from engine.errors import RegistryError
from engine.registry.levels_of_theory import LevelOfTheory
from engine.registry.models import MODELS_PATH, Model, load_models, user_model, user_registry
from precompute.acquire.fetching import sha256_of
from precompute.acquire.user_models import TITLE
from precompute.acquire.user_registry import entries, locked, write_entries


def register_trained(
    model_id: str,
    folder: DataFolder,
    *,
    label: str,
    family: str,
    write: Callable[[], Sequence[Path]],
    elements: Sequence[str],
    level: LevelOfTheory,
    fitted_to: Sequence[str],
    n_training_structures: int,
    n_parameters: int,
    note: str,
) -> Model:
    """Write the files of a potential and its entry; one that was trained here before under this id is replaced.

    Args:
        model_id: Kebab-case.
        folder: Data folder.
        label: To show.
        family: That loads it.
        write: Writes the files into the folder of its weights, and says which.
        elements: That it was trained on.
        level: Of the labels that it learnt.
        fitted_to: Datasets whose configurations it was fitted to.
        n_training_structures: How many.
        n_parameters: Coefficients.
        note: How it was trained.

    Raises:
        RegistryError: The id is not kebab-case, is one of this project, or belongs to a model that was imported.
    """
    if model_id in load_models(MODELS_PATH):
        raise RegistryError(f"'{model_id}' is a model of this project; choose another --save-as.")
    with locked(folder):
        path = user_registry(folder)
        tables = entries(path)
        if not tables.get(model_id, {"fitted_to": fitted_to}).get("fitted_to"):
            raise RegistryError(f"'{model_id}' is a model whose predictions were imported; choose another --save-as.")
        entry: dict[str, object] = {
            "label": label,
            "family": family,
            "files": [],
            "training_sets": [],
            "elements": list(elements),
            "fitted_to": list(fitted_to),
            "functional": level.functional,
            "energy_reference": level.energy_reference,
            "conservative": True,
            "n_training_structures": n_training_structures,
            "n_parameters": n_parameters,
            "license": "yours; that of the labels may count",
            "source": "trained here: python -m precompute train",
            "note": note,
        }
        user_model(model_id, entry)  # refuses what is wrong before anything is written
        entry["files"] = [{"name": file.name, "sha256": sha256_of(file), "url": ""} for file in write()]
        write_entries(path, TITLE, tables | {model_id: entry})
    return user_model(model_id, entry)
