"""Published vacancy energies of metals (published_vacancies.csv), for comparison with ours and those of models."""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("published_vacancies.csv")

SOURCE = (
    "T. Angsten, T. Mayeshiba, H. Wu and D. Morgan, New J. Phys. 16, 015018 (2014), doi:10.1088/1367-2630/16/1/015018"
)

STABLE_FROM = 0.1
"""Formation energy from which on a published row counts, eV. A vacancy that costs less, or less than nothing, shows a
crystal that holds together by chance or by dispersion: noble gases, and metals in a lattice that is not theirs."""


@dataclass(frozen=True)
class PublishedVacancy:
    """One row.

    Attributes:
        element: Symbol.
        structure: fcc or hcp; often not the ground state.
        is_magnetic: The calculation was spin-polarised.
        volume: Of the perfect crystal, per atom, Å³.
        formation: Relaxed formation energy, eV.
        migration: Migration energy, eV; of hcp the first of two jumps.
        migration_2: The second jump of hcp, eV.
    """

    element: str
    structure: str
    is_magnetic: bool
    volume: float
    formation: float | None
    migration: float | None
    migration_2: float | None

    def value(self, quantity: str) -> float | None:
        """The published energy of a quantity of `engine.relaxed_vacancies.QUANTITIES`, eV.

        The table does not say which jump of hcp is which. MLIP Arena compares the first with a jump between the two
        atoms of the primitive cell, hence between layers (benchmarks/vacancy_migration/run.py), and in Ti, Zr and Hf
        the first is the larger, as a jump between layers is.
        """
        first = self.migration
        known = {"formation": self.formation, "nearest": first, "between-layers": first, "in-layer": self.migration_2}
        return known[quantity]

    @property
    def is_counted(self) -> bool:
        """Whether the crystal is so stable that an error of its vacancy says something about a model."""
        return self.formation is not None and self.formation > STABLE_FROM


@functools.cache
def load_published_vacancies() -> tuple[PublishedVacancy, ...]:
    """All rows, in the order of the table."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return tuple(
        PublishedVacancy(
            row["element"],
            row["structure"],
            row["magnetic"] == "1",
            float(row["volume_a3"]),
            *(float(row[name]) if row[name] else None for name in ("formation_ev", "migration_ev", "migration_2_ev")),
        )
        for row in csv.DictReader(line for line in lines if not line.startswith("#"))
    )


@functools.cache
def counted_vacancies() -> tuple[PublishedVacancy, ...]:
    """Rows that count, one per metal and structure: of two, the spin-polarised one, as the metal is magnetic."""
    kept = {
        (one.element, one.structure): one for one in sorted(load_published_vacancies(), key=lambda o: o.is_magnetic)
    }
    return tuple(
        one for one in load_published_vacancies() if one.is_counted and kept[one.element, one.structure] is one
    )
