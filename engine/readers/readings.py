"""Results of a reader of structures: the atoms, and remarks on how the file was understood."""

from dataclasses import dataclass, field

from engine.errors import DatasetError
from engine.records import Configuration, FloatArray

MAX_ATOMS = 1000


@dataclass(frozen=True)
class Check:
    """One thing looked at before a prediction.

    Args:
        name: What was looked at.
        is_fine: False where a person should look before trusting a prediction.
        text: What was found.
    """

    name: str
    is_fine: bool
    text: str


@dataclass
class Reading:
    """One structure as a reader understood it.

    Args:
        numbers: Atomic numbers.
        positions: Shape (n_atoms, 3), Å.
        cell: One lattice vector per row, shape (3, 3), Å; zeros where there is none.
        pbc: Periodic along each lattice vector.
        checks: What was understood, for a person to compare with the file.
        labels: Configuration with energy (eV), forces (eV/Å) and stress (eV/Å³) where the file has them.
    """

    numbers: list[int]
    positions: FloatArray
    cell: FloatArray
    pbc: tuple[bool, bool, bool]
    checks: list[Check] = field(default_factory=list)
    labels: Configuration | None = None


@dataclass(frozen=True)
class Upload:
    """A file that was read and looked at.

    Args:
        configuration: What a potential sees, and labels where the file has them.
        format: Key of `engine.readers.uploads.FORMATS`.
        checks: What was understood of the file, then `engine.readers.checks.check_structure`.
    """

    configuration: Configuration
    format: str
    checks: tuple[Check, ...]


def refuse_many(name: str, n_atoms: int) -> None:
    """Refuse more atoms than are predicted here.

    Raises:
        DatasetError: There are more than `MAX_ATOMS`.
    """
    if n_atoms > MAX_ATOMS:
        raise DatasetError(f"{name} has {n_atoms} atoms; at most {MAX_ATOMS} are predicted here.")
