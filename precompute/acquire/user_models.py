"""Models of a user that no family here can load; they are known through the predictions that are imported.

Their entries are in `models.toml` of the data folder, which `engine.registry.models` reads beside the registry of this
project, as `datasets.toml` there is for datasets.
"""

import argparse
import dataclasses
from collections.abc import Sequence

from engine.data_folder import DataFolder
from engine.errors import RegistryError
from engine.registry.datasets import MAX_ID_LENGTH
from engine.registry.levels_of_theory import ENERGY_REFERENCES
from engine.registry.models import (
    EXTERNAL,
    FULL_PRECISION,
    MATMUL_PRECISIONS,
    MODELS_PATH,
    Model,
    load_models,
    user_model,
    user_registry,
)
from engine.registry.tables import check_choice
from precompute.acquire.user_registry import check_texts, entries, locked, write_entries

FUNCTIONALS = ("PBE", "PBEsol", "r2SCAN", "none")

TITLE = "Models whose predictions were imported with: python -m precompute import FILE --external --model ID"


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """Facts that a user states of a model."""

    label: str = ""
    training_sets: Sequence[str] = ()
    functional: str = "none"
    energy_reference: str = "none"
    conservative: bool = True
    license: str = "not stated"
    source: str = "not stated"


NOTHING_SAID = ModelDescription()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `import` that describe a model of the user's own."""
    parser.add_argument("--external", action="store_true", help="FILE is of a model of your own; --model is its new id")
    parser.add_argument("--label", metavar="TEXT", default="", help="with --external: name to show")
    parser.add_argument("--training-set", metavar="ID", action="append", default=[], help="likewise: id; repeatable")
    parser.add_argument("--functional", choices=FUNCTIONALS, default="none", help="likewise: of its training labels")
    parser.add_argument("--energy-reference", choices=ENERGY_REFERENCES, default="none", help="likewise: their zero")
    parser.add_argument("--direct-forces", action="store_true", help="likewise: forces are no gradient of its energy")
    parser.add_argument("--license", metavar="TEXT", default="not stated", help="likewise")


def external_model(model_id: str, description: ModelDescription, folder: DataFolder) -> Model:
    """A model for predictions of a user's own; nothing is written.

    Raises:
        RegistryError: The id is not kebab-case, is one of this project, or belongs to a model with another description.
        SettingsError: A text cannot be shown.
    """
    if model_id in load_models(MODELS_PATH):
        raise RegistryError(
            f"'{model_id}' is a model of this project; leave --external out, or choose another --model."
        )
    if len(model_id) > MAX_ID_LENGTH:
        raise RegistryError(f"--model has {len(model_id)} characters, at most {MAX_ID_LENGTH} are kept.")
    check_texts({**dataclasses.asdict(description), **{"training-set": " ".join(description.training_sets)}})
    check_choice(description.functional, FUNCTIONALS, "--functional")
    check_choice(description.energy_reference, ENERGY_REFERENCES, "--energy-reference")
    entry = _entry(model_id, description)
    known = entries(user_registry(folder)).get(model_id)
    if known is not None:
        is_said = dataclasses.replace(description, label="") != NOTHING_SAID or description.label not in (
            "",
            known["label"],
        )
        if is_said and known != entry:
            names = ", ".join(name for name in entry if entry[name] != known.get(name))
            raise RegistryError(f"'{model_id}' was imported before and differs in {names}; choose another --model.")
        entry = known
    return user_model(model_id, entry)


def register(model: Model, description: ModelDescription, folder: DataFolder) -> None:
    """Write the entry of a model whose predictions were imported; one that is there stays."""
    with locked(folder):
        path = user_registry(folder)
        tables = entries(path)
        if model.model_id not in tables:
            write_entries(path, TITLE, tables | {model.model_id: _entry(model.model_id, description)})


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the option that makes a `variant` of every chosen model."""
    parser.add_argument(
        "--matmul-precision",
        choices=MATMUL_PRECISIONS,
        default=FULL_PRECISION,
        help="round factors of products of matrices in single precision; the result is a model of its own, <id>-tf32",
    )


def variant(model: Model, precision: str, folder: DataFolder) -> Model:
    """The same model with products of matrices in lower precision, as a model of its own, `<id>-tf32`.

    Its predictions have an own place and never mix with those in single precision. An entry that is there stays.

    Args:
        model: A model of this project.
        precision: From MATMUL_PRECISIONS; that of single precision returns the model itself.
        folder: Data folder, whose registry takes the entry.

    Raises:
        RegistryError: The model is a user's own, or its id with the ending belongs to another.
    """
    if precision == FULL_PRECISION:
        return model
    if model.model_id not in load_models(MODELS_PATH):
        raise RegistryError(f"'{model.model_id}' is your own; --matmul-precision knows the models of this project.")
    model_id, entry = f"{model.model_id}-{precision}", {"variant_of": model.model_id, "matmul_precision": precision}
    with locked(folder):
        path = user_registry(folder)
        tables = entries(path)
        if tables.get(model_id, entry) != entry:
            raise RegistryError(f"'{model_id}' is a model whose predictions were imported.")
        if model_id not in tables:
            write_entries(path, TITLE, tables | {model_id: entry})
    return user_model(model_id, entry)


def _entry(model_id: str, description: ModelDescription) -> dict[str, object]:
    return {
        **dataclasses.asdict(description),
        "label": description.label or model_id,
        "training_sets": list(description.training_sets),
        "family": EXTERNAL,
        "files": [],
        "not_runnable": "It is known by imported predictions only.",
        "note": "Added by a user; what is said of it was not checked.",
    }
