"""The ensembles whose spread Defect Atlas compares with their error: ensembles.toml."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RegistryError
from engine.registry.models import get_model
from engine.registry.tables import build, check_choice, read_tables

ENSEMBLES_PATH = Path(__file__).with_name("ensembles.toml")

RELATIONS = ("one family", "one training set", "several families")


@dataclass(frozen=True)
class Ensemble:
    """Models that are taken together.

    Attributes:
        ensemble_id: Kebab-case key of the registry.
        label: Name to show.
        models: Ids of the members.
        alignment: `raw`, or `per_element` where members have different energy references.
        source: Who proposed it, or why it is here.
        at_least: Members that must have results on a dataset; 0 for all of them.
        relation: How its members differ: `one family`, `one training set`, or `several families`.
        force_rmse: Force RMSE of each member on data that are no benchmark here, eV/Å, in the order of `models`; its
            inverse weighs the member in U. Empty where weights come from the other half of the clusters.
        force_rmse_source: Where these numbers are from.
        is_embedded: Whether summaries carry its numbers atom by atom, for charts of a fresh clone.
    """

    ensemble_id: str
    label: str
    models: tuple[str, ...]
    alignment: str
    source: str
    at_least: int = 0
    relation: str = "several families"
    force_rmse: tuple[float, ...] = ()
    force_rmse_source: str = ""
    is_embedded: bool = False

    @property
    def n_needed(self) -> int:
        """Members that must have results on a dataset."""
        return self.at_least or len(self.models)


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
        check_choice(ensemble.relation, RELATIONS, f"{where}: relation")
        if ensemble.force_rmse and len(ensemble.force_rmse) != len(ensemble.models):
            raise RegistryError(f"{where}: force_rmse has {len(ensemble.force_rmse)} values for other members.")
        if bool(ensemble.force_rmse) != bool(ensemble.force_rmse_source):
            raise RegistryError(f"{where}: force_rmse and force_rmse_source come together.")
        for model_id in ensemble.models:
            get_model(model_id)
        ensembles[ensemble_id] = ensemble
    return ensembles
