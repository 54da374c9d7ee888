"""Intervals of an error by the spread of any models that a visitor chose, calibrated on atoms with references."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.numerics import conformal
from engine.numerics.conformal import FLOORS, Sample
from engine.numerics.uncertainty import is_zero_by_symmetry
from engine.queries import member_errors
from engine.queries.intervals import NOMINAL, SAME_ELEMENTS, SAME_KIND
from engine.queries.training import not_trained_on
from engine.registry.leakage import COUNTED
from engine.store import connection
from engine.store.connection import cached

FloatArray = NDArray[np.float64]
_FLOOR = FLOORS["force"]


@dataclass(frozen=True)
class SpreadInterval:
    """Size of a model's force error over the standard deviation of some models, plus `floor`.

    Attributes:
        low: Lower end of that ratio for the nominal coverage.
        high: Upper end.
        floor: Added to a deviation, eV/Å.
        nominal: Coverage that was asked for.
        coverage: Measured where it was left out, clusters or blocks of configurations at a time.
        evidence: `SAME_KIND` or `SAME_ELEMENTS`.
        unit: `cluster` or `configuration`.
        n_units: Of them.
        n_configs: Configurations behind it.
        n_atoms: Atoms behind it.
        dataset_ids: Datasets behind it.
    """

    low: float
    high: float
    floor: float
    nominal: float
    coverage: float
    evidence: str
    unit: str
    n_units: int
    n_configs: int
    n_atoms: int
    dataset_ids: tuple[str, ...]

    def of(self, deviations: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest expected size of the error on atoms of these deviations, shape (n_atoms,), eV/Å."""
        return self.low * (deviations + self.floor), self.high * (deviations + self.floor)


@cached
def spread_interval(
    model_id: str, member_ids: tuple[str, ...], elements: tuple[str, ...], kind: str, coverage: float = NOMINAL
) -> SpreadInterval | None:
    """How large a model's force error is, in units of the spread of some models around their mean.

    The evidence are datasets that have all of the elements, and that the store has the forces of all members on: those
    of the kind where they are enough for a calibration, else those of all kinds. What the model was trained on does not
    count, nor do forces that symmetry makes zero.

    Args:
        model_id: The model whose error it is.
        member_ids: Two or more models; the deviation is the standard deviation of their forces.
        elements: Of the structure.
        kind: Id of a kind, or `all`.
        coverage: Between 0 and 1.

    Returns:
        None where there is no such evidence.
    """
    members = tuple(sorted({model_id, *member_ids}))
    atoms = _atoms(model_id, members, elements)
    if atoms.empty or len(member_ids) < 2:
        return None
    forces, deviations, errors = member_errors.spread(atoms, members, model_id, member_ids)
    labels = atoms[["reference_x", "reference_y", "reference_z"]].to_numpy()
    counts = ~is_zero_by_symmetry(forces + labels, labels)
    for evidence, rows in ((SAME_KIND, atoms["kind"].eq(kind).to_numpy()), (SAME_ELEMENTS, np.ones(len(atoms), bool))):
        chosen = counts & rows
        found = _calibrated(atoms[chosen], errors[chosen], deviations[chosen], evidence, coverage)
        if found is not None:
            return found
    return None


def _calibrated(
    atoms: pd.DataFrame, errors: FloatArray, deviations: FloatArray, evidence: str, coverage: float
) -> SpreadInterval | None:
    """Interval of some atoms; None where clusters and configurations are too few."""
    if atoms.empty:
        return None
    configs = pd.factorize(atoms["dataset_id"] + "/" + atoms["config_id"])[0]
    clusters = pd.factorize(atoms["dataset_id"] + "/" + atoms["cluster_name"])[0]
    n_configs = int(configs.max()) + 1
    unit = conformal.unit_of(int(clusters.max()) + 1, n_configs)
    if unit is None:
        return None
    first = np.unique(configs, return_index=True)[1]
    parts = clusters if unit == "cluster" else conformal.blocks(clusters[first])[configs]
    sample = Sample(conformal.scores(errors, deviations, _FLOOR), clusters if unit == "cluster" else configs, parts)
    low, high = sample.calibration().scores(coverage)
    measured = float(conformal.mean_by(sample.held_out([coverage])[0], sample.units).mean())
    return SpreadInterval(
        low, high, _FLOOR, coverage, measured, evidence, unit, sample.n_units, n_configs, len(atoms),
        tuple(sorted(set(atoms["dataset_id"]))),
    )  # fmt: skip


def _atoms(model_id: str, members: tuple[str, ...], elements: tuple[str, ...]) -> pd.DataFrame:
    """Atoms with errors of all members: dataset_id, config_id, cluster_name, kind, references, x0, y0, z0, x1 ..."""
    columns, named = member_errors.columns(members)
    return connection.frame(
        f"""
        with chosen as (
            select d.dataset_id from datasets d where list_has_all(d.elements, $elements)
        )
        select f.dataset_id, f.config_id, f.atom_index, any_value(c.cluster_name) as cluster_name,
            any_value(c.kind) as kind, any_value(f.reference_x)::double as reference_x,
            any_value(f.reference_y)::double as reference_y, any_value(f.reference_z)::double as reference_z, {columns}
        from force_errors f join configurations c using (dataset_id, config_id)
        where f.dataset_id in (select dataset_id from chosen) and f.in_dataset
            and list_contains($members, f.model_id)
            and {not_trained_on("f", "$model")}
        group by f.dataset_id, f.config_id, f.atom_index having count(distinct f.model_id) = $n
        order by f.dataset_id, f.config_id, f.atom_index
        """,
        named | {"elements": list(elements), "model": model_id, "counted": list(COUNTED)},
    )
