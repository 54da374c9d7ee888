"""The ensembles whose spread Defect Atlas compares with their error: ensembles.toml."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.registry.models import get_model
from engine.registry.tables import build, check_choice, read_tables

ENSEMBLES_PATH = Path(__file__).with_name("ensembles.toml")


@dataclass(frozen=True)
class Ensemble:
    """Models that are taken together.

    Attributes:
        ensemble_id: Kebab-case key of the registry.
        label: Name to show.
        models: Ids of the members.
        alignment: `raw`, or `per_element` where members have different energy references.
        source: Who proposed it, or why it is here.
    """

    ensemble_id: str
    label: str
    models: tuple[str, ...]
    alignment: str
    source: str


@functools.cache
def load_ensembles(path: Path = ENSEMBLES_PATH) -> Mapping[str, Ensemble]:
    """Read and check the ensemble registry.

    Raises:
        RegistryError: An entry is wrong or names an unknown model.
    """
    ensembles = {}
    for ensemble_id, table in read_tables(path).items():
        where = f"{path.name}, '{ensemble_id}'"
        ensemble = build(Ensemble, table, where, ensemble_id=ensemble_id)
        check_choice(ensemble.alignment, ("raw", "per_element"), f"{where}: alignment")
        for model_id in ensemble.models:
            get_model(model_id)
        ensembles[ensemble_id] = ensemble
    return ensembles
