"""Published vacancy energies of metals (published_vacancies.csv), for comparison with ours and those of models."""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("published_vacancies.csv")

SOURCE = "Angsten et al., New J. Phys. 16, 015018 (2014), doi:10.1088/1367-2630/16/1/015018"


@dataclass(frozen=True)
class PublishedVacancy:
    """One row.

    Attributes:
        element: Symbol.
        structure: fcc or hcp; often not the ground state.
        is_magnetic: The calculation was spin-polarised.
        formation: Relaxed formation energy, eV.
        migration: Migration energy, eV; of hcp the first of two jumps.
        migration_2: The second jump of hcp, eV.
    """

    element: str
    structure: str
    is_magnetic: bool
    formation: float | None
    migration: float | None
    migration_2: float | None


@functools.cache
def load_published_vacancies() -> tuple[PublishedVacancy, ...]:
    """All rows, in the order of the table."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return tuple(
        PublishedVacancy(
            row["element"],
            row["structure"],
            row["magnetic"] == "1",
            *(float(row[name]) if row[name] else None for name in ("formation_ev", "migration_ev", "migration_2_ev")),
        )
        for row in csv.DictReader(line for line in lines if not line.startswith("#"))
    )
