"""The form of a potential that is trained here, its files, and what configurations contribute to its fit."""

import hashlib
import subprocess
import tempfile
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.data_folder import DataFolder
from engine.errors import WorkerError
from engine.files import write_text
from engine.numerics.linear_fit import FloatArray, Sums, sums_of
from engine.records import Configuration, write_configurations
from engine.registry.models import FAMILIES
from precompute.progress import say
from precompute.workers.worker_envs import python_command

FAMILY = "snap"
RADIUS = 0.5  # half a cutoff in units of rcutfac, which then is the cutoff
SAY_EVERY = 100  # configurations


@dataclass(frozen=True)
class Snap:
    """A quadratic SNAP of one element: an energy that is quadratic in bispectrum components of each atom.

    It was chosen by measurement (`precompute/jobs/learning_study.py`).

    Attributes:
        cutoff: Å.
        two_j: Twice the largest angular momentum.
    """

    cutoff: float = 5.0
    two_j: int = 6

    @property
    def name(self) -> str:
        """To show."""
        return f"qSNAP 2J = {self.two_j}, {self.cutoff:g} Å"

    @property
    def n_coefficients(self) -> int:
        """Without the constant."""
        n = sum(
            1
            for j1 in range(self.two_j + 1)
            for j2 in range(j1 + 1)
            for j in range(j1 - j2, min(self.two_j, j1 + j2) + 1, 2)
            if j >= j1
        )
        return n + n * (n + 1) // 2

    def write(self, folder: Path, element: str, coefficients: FloatArray, note: str) -> list[Path]:
        """Write the two files of a potential.

        Args:
            folder: Where they go.
            element: Symbol.
            coefficients: Shape (n_coefficients + 1,), the constant last, as fits give them.
            note: First line of the file of coefficients.
        """
        values = "".join(f"{value:.17g}\n" for value in (coefficients[-1], *coefficients[:-1]))
        head = f"# {note}\n1 {self.n_coefficients + 1}\n{element} {RADIUS} 1.0\n"
        parameters = {
            "rcutfac": self.cutoff, "twojmax": self.two_j, "rfac0": 0.99363, "rmin0": 0, "bzeroflag": 1,
            "quadraticflag": 1,
        }  # fmt: skip
        paths = [folder / f"{element}.snapcoeff", folder / f"{element}.snapparam"]
        write_text(paths[0], head + values)
        write_text(paths[1], "".join(f"{key} {value}\n" for key, value in parameters.items()))
        return paths


@dataclass(frozen=True)
class Labels:
    """What a potential is to learn.

    Attributes:
        energies: Per atom, shape (n_configs,), eV/atom.
        forces: Components of all atoms, shape (3 n_atoms of all,), eV/Å.
    """

    energies: FloatArray
    forces: FloatArray


class Design:
    """Rows of the fit of some configurations: what their energies and forces are linear in.

    Args:
        n_atoms: Of each configuration.
        energies: Factors of total energies, shape (n_configs, k).
        forces: Factors of forces, shape (3 n_atoms of all, k), in the order of the configurations.
    """

    def __init__(self, n_atoms: NDArray[np.int64], energies: FloatArray, forces: NDArray[np.float32]) -> None:
        self.n_atoms = n_atoms
        self._energies = energies / n_atoms[:, None]
        self._forces = forces
        self._starts = np.concatenate([[0], np.cumsum(3 * n_atoms)])

    def force_index(self, chosen: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of forces of some configurations, in their order."""
        return np.concatenate([np.arange(self._starts[i], self._starts[i + 1]) for i in chosen])

    def sums(self, cells: Sequence[Hashable], labels: Mapping[str, Labels]) -> dict[tuple[Hashable, str], Sums]:
        """Sums of the fit over the configurations of each cell, for each kind of labels.

        Args:
            cells: Name of the cell of each configuration; None for those that are left out.
            labels: By name.
        """
        found: dict[tuple[Hashable, str], Sums] = {}
        for cell in dict.fromkeys(cells):
            if cell is None:
                continue
            chosen = np.array([i for i, own in enumerate(cells) if own == cell])
            index = self.force_index(chosen)
            rows, gram = self._forces[index].astype(float), None
            for name, one in labels.items():
                gram = sums_of(self._energies[chosen], rows, one.energies[chosen], one.forces[index], gram=gram)
                found[cell, name] = gram
        return found

    def errors(
        self, chosen: NDArray[np.int64], coefficients: FloatArray, labels: Labels
    ) -> tuple[FloatArray, FloatArray]:
        """Energy errors and sums of squared force errors of potentials on some configurations.

        Args:
            chosen: Places of the configurations, shape (n,).
            coefficients: One potential a column, shape (k + 1, m), the constant last.
            labels: The truth.

        Returns:
            eV/atom and (eV/Å)², both of shape (n, m).
        """
        index = self.force_index(chosen)
        energies = self._energies[chosen] @ coefficients[:-1] + coefficients[-1] - labels.energies[chosen, None]
        components = self._forces[index] @ coefficients[:-1].astype(np.float32) - labels.forces[index, None]
        starts = np.concatenate([[0], np.cumsum(3 * self.n_atoms[chosen])])[:-1]
        return energies, np.add.reduceat(components**2, starts, axis=0)


def design_of(snap: Snap, element: str, configurations: Sequence[Configuration], folder: DataFolder) -> Design:
    """Rows of the fit of some configurations, computed once and kept in the data folder.

    Raises:
        WorkerEnvError: The family's environment is not built.
        WorkerError: The rows could not be computed.
    """
    target = folder.designs(_digest(snap, element, configurations))
    if not (target / "energies.npy").is_file():  # written last
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="defect-atlas-") as scratch:
            write_configurations(Path(scratch) / "configurations.parquet", configurations)
            snap.write(Path(scratch), element, np.zeros(snap.n_coefficients + 1), "nothing is fitted yet")
            _compute(Path(scratch), target, len(configurations), folder)
    n_atoms = np.array([c.n_atoms for c in configurations], dtype=np.int64)
    return Design(n_atoms, np.load(target / "energies.npy"), np.load(target / "forces.npy", mmap_mode="r"))


def _compute(scratch: Path, target: Path, n_configs: int, folder: DataFolder) -> None:
    """Compute rows in the family's environment."""
    arguments = (FAMILY, str(scratch), str(scratch / "configurations.parquet"), str(target))
    command = python_command(FAMILY, folder.root, "precompute.workers.designing", arguments, device="cpu", n_threads=1)
    with subprocess.Popen(
        command.argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=command.env, cwd=command.cwd, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if int(line) % SAY_EVERY == 0:
                say(f"{int(line):,} of {n_configs:,} configurations")
        message = process.stderr.read()
    if process.returncode:
        raise WorkerError(f"What the potential is linear in could not be computed: {message.strip()[-500:]}")


def _digest(snap: Snap, element: str, configurations: Sequence[Configuration]) -> str:
    """Name of everything that the rows depend on."""
    digest = hashlib.sha256(repr((asdict(snap), element)).encode())
    for path in (FAMILIES / f"{FAMILY}.py", FAMILIES / f"{FAMILY}.lock"):
        digest.update(path.read_bytes())
    for configuration in configurations:
        digest.update(configuration.geometry_hash.encode())
    return digest.hexdigest()[:16]
