"""Structures with the class of each atom, to be drawn: one of each group of a dataset, and those made by rule."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from engine.numerics.local_environments import CLASSES
from engine.store import connection
from engine.store.connection import cached


@dataclass(frozen=True)
class Drawn:
    """Atoms of one configuration.

    Attributes:
        group_name: Its group.
        config_id: The configuration.
        formula: Counts of its elements.
        symbols: Elements, one per atom.
        positions: Shape (n_atoms, 3), Å.
        cell: One lattice vector a row, Å.
        classes: Class of local environment, one per atom.
        head: Name to show above it, of a structure that belongs to no dataset.
        rule: How such a structure was made.
    """

    group_name: str
    config_id: str
    formula: str
    symbols: list[str]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    classes: list[str]
    head: str = ""
    rule: str = ""


@cached
def one_of_each_group(dataset_id: str) -> list[Drawn]:
    """The configuration with most atoms of each group that counts, the first by name of several."""
    table = connection.frame(
        """
        select c.group_name, c.config_id, c.formula, c.numbers, c.positions, c.cell, k.classes
        from configurations c join environment_classes k using (dataset_id, config_id)
        where c.dataset_id = $dataset and c.in_dataset and c.positions is not null
        qualify row_number() over (partition by c.group_name order by c.n_atoms desc, c.config_id) = 1
        order by c.group_name
        """,
        {"dataset": dataset_id},
    )
    return [Drawn(row.group_name, row.config_id, row.formula, *_atoms(row)) for row in table.itertuples()]


@cached
def drawn_by_rule() -> list[Drawn]:
    """The defects of the paper's drawings, made by rule and without energies."""
    table = connection.frame(
        "select name, label, rule, numbers, positions, cell, classes from drawn_defects order by position"
    )
    return [Drawn("", row.name, "", *_atoms(row), head=row.label, rule=row.rule) for row in table.itertuples()]


def _atoms(row: Any) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Symbols, positions, cell and classes of a row."""
    return (
        [chemical_symbols[number] for number in row.numbers],
        np.asarray(row.positions, dtype=float).reshape(-1, 3),
        np.asarray(row.cell, dtype=float).reshape(3, 3),
        [CLASSES[k] for k in row.classes],
    )
