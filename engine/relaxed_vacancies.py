"""Vacancy energies that models give after relaxation, and the files that keep them, one row per metal and quantity.

Units are those of `engine.records`: eV and Å.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pyarrow as pa

from engine.records import RunRecord, read_table, write_table

FORMATION = "formation"
QUANTITIES = {
    FORMATION: "Formation energy",
    "nearest": "Migration energy, fcc",
    "between-layers": "Migration energy, hcp, between layers",
    "in-layer": "Migration energy, hcp, within a layer",
}

SCHEMA = pa.schema(
    [
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("element", pa.string(), nullable=False),
        pa.field("structure", pa.string(), nullable=False),
        pa.field("n_sites", pa.int32(), nullable=False),
        pa.field("quantity", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # "ok" or "failed"
        pa.field("reason", pa.string()),
        *(
            pa.field(name, pa.float64())
            for name in ("energy", "unrelaxed_energy", "total_energy", "crystal_energy_per_atom", "a", "c")
        ),
        *(pa.field(name, pa.float64()) for name in ("largest_displacement", "max_force")),
        pa.field("n_steps", pa.int32()),
        pa.field("wall_seconds", pa.float64()),
    ]
)


@dataclass(frozen=True)
class RelaxedVacancy:
    """One energy of one metal with one model; a failed one carries a reason and no energy.

    Attributes:
        model_id: The model.
        element: Symbol.
        structure: fcc or hcp.
        n_sites: Of the supercell.
        quantity: One of `QUANTITIES`.
        status: `ok` or `failed`; what did not converge has failed.
        reason: Of a failure.
        energy: Relaxed formation or migration energy, eV.
        unrelaxed_energy: The same before atoms moved, in the model's own crystal, eV.
        total_energy: Of the relaxed supercell, eV.
        crystal_energy_per_atom: Of the perfect crystal at zero pressure, eV/atom.
        a: Lattice constant of that crystal, Å.
        c: Second one of hcp, Å.
        largest_displacement: Of any atom from its site, Å.
        max_force: Largest force that is left, eV/Å.
        n_steps: Of the relaxation of the supercell.
        wall_seconds: Time of all its relaxations, s.
    """

    model_id: str
    element: str
    structure: str
    n_sites: int
    quantity: str
    status: str
    reason: str | None = None
    energy: float | None = None
    unrelaxed_energy: float | None = None
    total_energy: float | None = None
    crystal_energy_per_atom: float | None = None
    a: float | None = None
    c: float | None = None
    largest_displacement: float | None = None
    max_force: float | None = None
    n_steps: int | None = None
    wall_seconds: float | None = None

    @property
    def file_name(self) -> str:
        """Name of the file that holds this row alone."""
        return f"{self.element}-{self.structure}-{self.n_sites}-{self.quantity}.parquet"


def write_vacancies(path: Path, rows: Iterable[RelaxedVacancy], run_record: RunRecord) -> None:
    """Write rows to one file, atomically; their origin becomes its metadata."""
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA)
    write_table(path, table.replace_schema_metadata(run_record.to_metadata()))


def read_vacancies(path: Path) -> list[RelaxedVacancy]:
    """Read the rows that `write_vacancies` wrote.

    Raises:
        OSError: A page is damaged.
        ArrowInvalid: The file is not parquet; a ValueError.
    """
    names = [field.name for field in fields(RelaxedVacancy)]
    return [RelaxedVacancy(**{name: row[name] for name in names}) for row in read_table(path, SCHEMA).to_pylist()]
