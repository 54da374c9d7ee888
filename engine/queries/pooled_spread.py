"""Spread of an ensemble beside its error, pooled over datasets, by the maximum and by the standard deviation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.numerics.uncertainty import spearman
from engine.queries.scope import EVERYTHING, Scope
from engine.store import connection
from engine.store.connection import cached

MEASURES = ("deviation", "standard_deviation")
POOLED = "pooled"

ENOUGH = 3  # pairs, for a rank correlation
SHOWN = 6000  # samples of a chart, drawn by the hash of configuration and atom

_VALUES = {
    "energy": """u.energy_deviation as deviation, u.energy_standard_deviation as standard_deviation,
        u.energy_error as error, -1 as atom_index, false as is_zero""",
    "force": """unnest(u.force_deviation) as deviation, unnest(u.force_standard_deviation) as standard_deviation,
        unnest(u.force_error) as error, generate_subscripts(u.force_deviation, 1) - 1 as atom_index,
        unnest(u.is_zero_by_symmetry) as is_zero""",
}


@cached
def apart_by_default(ensemble_id: str) -> list[str]:
    """Datasets of an ensemble that the paper keeps apart: W-s and Mg, and sets that stand in for nothing else."""
    table = connection.frame(
        """
        select distinct d.dataset_id, coalesce(d.paper_row, 0) as paper_row, d.stands_in_for
        from uncertainties u join datasets d using (dataset_id)
        where u.ensemble_id = $ensemble order by d.dataset_id
        """,
        {"ensemble": ensemble_id},
    )
    return [row.dataset_id for row in table.itertuples() if _is_apart(row.paper_row, row.stands_in_for)]


def _is_apart(paper_row: int, stands_in_for: str | None) -> bool:
    """Whether a dataset is W-s or Mg of Table 2 (rows 6 and 7), or no row of it and stands in for these alone."""
    rows = {part.strip() for part in (stands_in_for or "").split(",") if part.strip()}
    return int(paper_row) in (6, 7) or (not paper_row and bool(rows) and rows <= {"6", "7"})


@cached
def samples(ensemble_id: str, quantity: str, within: Scope = EVERYTHING) -> pd.DataFrame:
    """Every configuration or atom of an ensemble on all datasets, without forces that symmetry makes zero.

    Args:
        ensemble_id: The ensemble.
        quantity: `energy` or `force`.
        within: Conditions that configurations must fit; those of groups outside the datasets count without any.

    Returns:
        dataset_id, config_id, atom_index (-1 for energies), deviation, standard_deviation and error, eV/atom or eV/Å.
    """
    chosen = f"select c.dataset_id, c.config_id from configurations c where {within.predicate('c')}"
    condition = "true" if within == EVERYTHING else f"(u.dataset_id, u.config_id) in ({chosen})"
    return connection.frame(
        f"""
        select dataset_id, config_id, atom_index, deviation, standard_deviation, error
        from (
            select u.dataset_id, u.config_id, {_VALUES[quantity]}
            from uncertainties u where u.ensemble_id = $ensemble and {condition}
        )
        where is_zero is not true and error is not null
        order by hash(dataset_id, config_id, atom_index), dataset_id, config_id, atom_index
        """,
        {"ensemble": ensemble_id} | within.bindings(),
    )


def part_names(table: pd.DataFrame, apart: Sequence[str]) -> pd.Series:
    """Name of the part that each sample is in: a dataset that is kept apart, or `POOLED`."""
    return table["dataset_id"].where(table["dataset_id"].isin(apart), POOLED)


@cached
def agreement(ensemble_id: str, quantity: str, apart: tuple[str, ...], within: Scope = EVERYTHING) -> pd.DataFrame:
    """How well each measure of spread ranks errors, and how often the error is larger, part by part.

    Args:
        ensemble_id: The ensemble.
        quantity: `energy` or `force`.
        apart: Datasets that are not pooled.
        within: Conditions that configurations must fit.

    Returns:
        part (`everything`, `POOLED` or a dataset), n_datasets, n_samples, and by measure `spearman_*` and `beyond_*`,
        the share of samples whose error is larger than the spread.
    """
    table = samples(ensemble_id, quantity, within)
    names = part_names(table, apart)
    parts = {"everything": table} if names.nunique() > 1 else {}
    parts |= {str(name): table[names == name] for name in sorted(names.unique(), key=lambda name: name != POOLED)}
    return pd.DataFrame([_row(name, part) for name, part in parts.items()])


def _row(name: str, part: pd.DataFrame) -> dict[str, object]:
    row: dict[str, object] = {"part": name, "n_datasets": part["dataset_id"].nunique(), "n_samples": len(part)}
    error = part["error"].to_numpy(dtype=float)
    for measure in MEASURES:
        values = part[measure].to_numpy(dtype=float)
        known = np.isfinite(values)  # a summary of an older store lacks the standard deviation
        row[f"spearman_{measure}"] = spearman(values[known], error[known]) if known.sum() >= ENOUGH else np.nan
        row[f"beyond_{measure}"] = float(np.mean(error[known] > values[known])) if known.any() else np.nan
    return row
