"""Configurations to predictions with one loaded model: cells made periodic, systems evaluated in batches.

How many systems go into one call follows from their edges (pairs of atoms within the model's reach) and atoms, since
memory and time follow from them. On a GPU the first batches are small and tell how much memory an edge takes; later
ones double until they fill what is free, or until larger ones are no faster. A batch that does not fit into memory is
cut in halves, and so is every later one; one that fails in any other way is done again one system at a time, so that
only the culprit becomes a failed row. After every error the device is asked whether it still answers: where it does
not, nothing that this process computes later means anything, and `DeviceLostError` ends it.

This module imports `engine.records` and no other module of ours, since it runs in the environments of the families.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from scipy.spatial import cKDTree

from engine.records import NO_ROOM_FOR_A_HANDLE, Configuration, FloatArray, Prediction

Batch = Callable[..., list[dict[str, Any]]]
"""What a family's `batch` is: results of each system, in order, by calculator, systems and their graphs, if any."""

_System = tuple[int, Atoms, bool]
"""Place among the configurations, atoms in a periodic cell, whether that has vacuum."""

Graphs = Callable[[Calculator, Sequence[Atoms]], Any]
"""What a family's `batch_graphs` is."""

ONE_AT_A_TIME = 1  # edges
FILLED = 0.7  # of the free memory of a device, by one batch: allocators cut memory into pieces
TELLING = 0.5  # of the limit that a batch must have, so that it tells what an edge takes
LARGER = 1.5  # edges of a batch over those of the fastest, for which the two are compared
WORTHWHILE = 1.05  # edges per second of a batch over those of a smaller one, for which batches go on growing
MAX_DISAPPOINTMENTS = 2  # batches that were not worthwhile; one alone may have compiled something
EDGES_PER_ATOM = 10  # what an atom itself is counted as: a cloud of lone atoms has no edge but still takes memory
_OUT_OF_MEMORY = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "bad_alloc",
    "resource_exhausted",
    "failed to map segment",  # a shared library that is imported late finds no room below the cap
    *(word.lower() for word in NO_ROOM_FOR_A_HANDLE),
)  # fmt: skip


class DeviceLostError(BaseException):
    """The device answers this process no more; no `except Exception` on the way out may make a row of that."""


@dataclass(frozen=True)
class _Built:
    """Systems of a batch and what the family's `batch_graphs` made of them."""

    systems: list[Atoms]
    graphs: Any


class DeviceMemory(Protocol):
    """Memory of the device that a model computes on, bytes."""

    def start(self) -> None:
        """A batch begins."""

    def taken(self) -> float:
        """What the batch took at most, beyond what was in use before."""

    def free(self) -> float:
        """What a batch may take."""


def periodic_atoms(configuration: Configuration, reach: float) -> tuple[Atoms, bool]:
    """Atoms in a full three-dimensional periodic cell.

    Some packages silently return wrong energies for partly periodic cells, so every direction without periodicity
    gets a lattice vector at right angles to the others, long enough that no atom reaches its images. A left-handed
    cell becomes a right-handed one of the same crystal: several packages divide by the triple product of the vectors
    where they mean the volume, and so turn the sign of the stress.

    Args:
        configuration: As stored.
        reach: Longest distance at which two atoms of the model share an edge, Å.

    Returns:
        The atoms, and whether vacuum was added (the cell's volume, hence the stress, then means nothing).

    Raises:
        ValueError: A direction is marked periodic but has no lattice vector.
    """
    cell = configuration.cell.copy()
    positions = configuration.positions
    open_axes = [axis for axis in range(3) if not configuration.pbc[axis]]
    for axis in range(3):
        if axis not in open_axes and np.linalg.norm(cell[axis]) < 1e-6:
            raise ValueError(f"periodic along lattice vector {axis + 1}, which has no length")
    kept = [cell[axis] for axis in range(3) if axis not in open_axes]
    for axis in open_axes:
        direction = _perpendicular(kept)
        extent = np.ptp(positions @ direction) if len(positions) else 0.0
        cell[axis] = direction * (extent + 2 * reach + 1.0)
        kept.append(cell[axis])
    if abs(np.linalg.det(cell)) < 1e-6:
        raise ValueError("lattice vectors span no volume")
    if np.linalg.det(cell) < 0:
        cell = _right_handed(cell, open_axes)
    return Atoms(numbers=configuration.numbers, positions=positions, cell=cell, pbc=True), bool(open_axes)


def _right_handed(cell: FloatArray, open_axes: list[int]) -> FloatArray:
    """The same lattice with a positive triple product: a vacuum vector turned round, or two vectors exchanged."""
    if not open_axes:
        return cell[[1, 0, 2]]
    turned = cell.copy()
    turned[open_axes[-1]] *= -1
    return turned


def _perpendicular(vectors: list[FloatArray]) -> FloatArray:
    """Unit vector at right angles to up to two vectors."""
    if len(vectors) == 2:
        normal = np.cross(vectors[0], vectors[1])
        if np.linalg.norm(normal) < 1e-8:
            raise ValueError("two lattice vectors are parallel")
        return np.asarray(normal / np.linalg.norm(normal))
    # The axis that the given vectors share least with, made orthogonal to them.
    basis, _ = np.linalg.qr(np.array([*vectors, *np.eye(3)]).T)
    return np.asarray(basis[:, len(vectors)])


def count_edges(atoms: Atoms, reach: float) -> int:
    """Ordered pairs of atoms within reach of each other, periodic images included.

    Args:
        atoms: In a full three-dimensional periodic cell.
        reach: Longest distance of a pair, Å.
    """
    cell = np.array(atoms.cell)
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)  # between opposite faces
    inside = atoms.get_scaled_positions(wrap=True)
    ranges = [np.arange(-n, n + 1) for n in np.ceil(reach / heights).astype(int)]
    shifts = np.array(np.meshgrid(*ranges)).reshape(3, -1).T
    images = (inside[None] + shifts[:, None]).reshape(-1, 3)
    near = ((images > -reach / heights) & (images < 1 + reach / heights)).all(axis=1)
    centres = cKDTree(inside @ cell)
    return int(centres.count_neighbors(cKDTree(images[near] @ cell), reach)) - len(atoms)


class Evaluator:
    """One loaded model and how much of it goes into one call.

    Args:
        calculator: What the family's `load` made.
        reach: The family's REACH, Å.
        batch: The family's `batch`, or None where its package takes one system at a time.
        max_edges: Edges that one batch may have; a single larger system still goes, alone.
        memory: Of the device, where batches are to grow until they fill it; None for batches of that size.
        clock: Seconds, by which larger batches must prove faster.
        answers: Whether the device still computes for this process; asked after every error.
        graphs: The family's `batch_graphs`, to be called for the next batch while the device computes this one; None
            where it has none, or where device and graphs would share the same cores.

    Attributes:
        max_edges: As it is now.
        bytes_per_edge: What the last telling batch took; 0 before any.
    """

    def __init__(
        self,
        calculator: Calculator,
        reach: float,
        batch: Batch | None = None,
        max_edges: int = 0,
        memory: DeviceMemory | None = None,
        clock: Callable[[], float] = time.perf_counter,
        answers: Callable[[], bool] = lambda: True,
        graphs: Graphs | None = None,
    ) -> None:
        self._calculator = calculator
        self._reach = reach
        self._batch = batch
        self._memory = memory
        self._clock = clock
        self._answers = answers
        self._graphs = graphs
        self._largest: int | None = None  # edges, once a batch has not fitted or was no faster
        self._fastest = (0, 0.0)  # edges of a batch, edges per second
        self._disappointments = 0
        self.max_edges = max_edges or ONE_AT_A_TIME
        self.bytes_per_edge = 0.0

    def predict(
        self,
        configurations: Sequence[Configuration],
        announce: Callable[[list[str]], None] = lambda ids: None,
        max_edges: int | None = None,
    ) -> list[Prediction]:
        """Energy, forces and stress of each configuration, or the reason why there are none.

        Args:
            configurations: Any number, of any sizes.
            announce: Told the ids of the next batch before it is evaluated.
            max_edges: A smaller limit on the edges of a batch, for this call alone.

        Returns:
            Predictions in the order of `configurations`.

        Raises:
            DeviceLostError: The device answers no more.
        """
        done: dict[int, Prediction] = {}
        systems: list[_System] = []
        for index, configuration in enumerate(configurations):
            try:
                systems.append((index, *periodic_atoms(configuration, self._reach)))
            except Exception as error:
                done[index] = _failed(configuration, error)
        started = self._clock()
        for batch, n_edges, graphs in self._prepared(self._batches(systems, max_edges)):
            announce([configurations[index].config_id for index, _, _ in batch])
            if self._memory is not None:
                self._memory.start()
            answers = self._results([atoms for _, atoms, _ in batch], graphs)
            ended = self._clock()
            self._grow(n_edges, ended - started)
            n_atoms = sum(len(atoms) for _, atoms, _ in batch)
            for (index, atoms, padded), answer in zip(batch, answers, strict=True):
                share = (ended - started) * len(atoms) / max(n_atoms, 1)
                done[index] = _prediction(configurations[index], answer, padded, share)
            started = self._clock()
        return [done[index] for index in range(len(configurations))]

    def check_device(self, error: Exception) -> None:
        """See whether the device outlived an error.

        Raises:
            DeviceLostError: It answers no more.
        """
        if not self._answers():
            raise DeviceLostError(f"the device answers no more after {error!r}"[:500]) from error

    def _prepared(
        self, batches: Iterator[tuple[list[_System], int]]
    ) -> Iterator[tuple[list[_System], int, "_Built | None"]]:
        """Batches with their graphs, built in a thread: that of the next one while the caller computes this one."""
        if self._graphs is None or self._batch is None:
            yield from ((members, n_edges, None) for members, n_edges in batches)
            return
        with ThreadPoolExecutor(1, "graphs") as thread:
            following = thread.submit(self._next_built, batches)
            while (prepared := following.result()) is not None:
                following = thread.submit(self._next_built, batches)
                yield prepared

    def _next_built(
        self, batches: Iterator[tuple[list[_System], int]]
    ) -> tuple[list[_System], int, "_Built | None"] | None:
        """The next batch with its graphs; without them where it has one system or they cannot be built."""
        found = next(batches, None)
        if found is None:
            return None
        members, n_edges = found
        built = None
        if len(members) > 1 and self._graphs is not None:
            copies = [atoms.copy() for _, atoms, _ in members]
            with suppress(Exception):  # the batch itself meets it again, and says so
                built = _Built(copies, self._graphs(self._calculator, copies))
        return members, n_edges, built

    def _batches(self, systems: list[_System], cap: int | None) -> Iterator[tuple[list[_System], int]]:
        """Neighbours in order, until the next one would make too many edges, and their edges.

        It reads `max_edges` anew each time.
        """
        members: list[_System] = []
        n_edges = 0
        for system in systems:
            limit = self.max_edges if cap is None else min(self.max_edges, cap)
            size = 1
            if self._batch and limit > ONE_AT_A_TIME:
                size = count_edges(system[1], self._reach) + EDGES_PER_ATOM * len(system[1])
            if members and n_edges + size > limit:
                yield members, n_edges
                members, n_edges = [], 0
            members.append(system)
            n_edges += size
        if members:
            yield members, n_edges

    def _grow(self, n_edges: int, seconds: float) -> None:
        """Let later batches be larger, at most twice, where this one shows that they fit and that it was worth it."""
        if self._memory is None or self._batch is None or n_edges < TELLING * self.max_edges:
            return
        edges, speed = self._fastest
        if n_edges > LARGER * edges and n_edges < WORTHWHILE * speed * seconds:
            self._disappointments += 1
            if self._disappointments == MAX_DISAPPOINTMENTS:
                self.max_edges = self._largest = edges
            return
        if n_edges > speed * seconds:
            self._fastest = n_edges, n_edges / seconds
        self.bytes_per_edge = max(self._memory.taken() / n_edges, 1.0)
        fitting = int(FILLED * self._memory.free() / self.bytes_per_edge)
        self.max_edges = max(ONE_AT_A_TIME, min(2 * max(n_edges, self.max_edges), fitting, self._largest or fitting))

    def _results(self, systems: Sequence[Atoms], built: "_Built | None" = None) -> list[dict[str, Any] | Exception]:
        """Results of each system, or what went wrong with it."""
        if len(systems) == 1 or self._batch is None:
            return [self._alone(atoms) for atoms in systems]
        copies = [atoms.copy() for atoms in systems] if built is None else built.systems
        problem: Exception | None = None
        try:
            results = self._batch(self._calculator, copies, *(() if built is None else (built.graphs,)))
            if len(results) == len(systems) and all(map(_unchanged, systems, copies)):
                return list(results)
        except Exception as error:
            self.check_device(error)
            problem = error
        if problem is None or not is_out_of_memory(problem):
            if problem is not None:
                print(f"a batch of {len(systems)} failed, now one at a time: {problem!r}"[:500], file=sys.stderr)
            return [self._alone(atoms) for atoms in systems]
        problem = None  # its traceback holds the tensors
        _free_memory()
        self.max_edges = self._largest = max(self.max_edges // 2, ONE_AT_A_TIME)
        print(f"out of memory with {len(systems)} systems; from now on {self.max_edges} edges", file=sys.stderr)
        half = len(systems) // 2
        return self._results(systems[:half]) + self._results(systems[half:])

    def _alone(self, atoms: Atoms) -> dict[str, Any] | Exception:
        """One system through the calculator itself."""
        copy = atoms.copy()
        try:
            # Asking for each property in turn would make some calculators compute twice.
            wanted = ["energy", "forces"]
            if "stress" in self._calculator.implemented_properties:
                wanted.append("stress")
            self._calculator.calculate(copy, wanted, all_changes)
            results = dict(self._calculator.results)
        except Exception as error:  # the one broad except: whatever a package raises becomes a row
            self.check_device(error)
            if is_out_of_memory(error):
                _free_memory()
                return MemoryError(f"{len(atoms)} atoms do not fit into memory")
            return error
        return results if _unchanged(atoms, copy) else RuntimeError("the package changed its input")


def _prediction(
    configuration: Configuration, answer: dict[str, Any] | Exception, padded: bool, seconds: float
) -> Prediction:
    """A row of one configuration; what is no number is a failure with a reason."""
    if isinstance(answer, Exception):
        return _failed(configuration, answer)
    try:
        energy = float(np.asarray(answer["energy"]).item())
        forces = np.array(answer["forces"], dtype=float)
        stress = answer.get("stress")
        if stress is not None and np.shape(stress) == (3, 3):
            stress = full_3x3_to_voigt_6_stress(stress)
        stress = None if stress is None else np.array(stress, dtype=float)
    except (KeyError, TypeError, ValueError) as error:
        return _failed(configuration, error)
    if problem := _problem(energy, forces, stress, configuration.n_atoms):
        return Prediction(configuration.config_id, configuration.geometry_hash, "failed", problem)
    return Prediction(
        configuration.config_id,
        configuration.geometry_hash,
        "ok",
        energy=energy,
        forces=forces,
        stress=None if padded else stress,
        wall_seconds=seconds,
    )


def _failed(configuration: Configuration, error: Exception) -> Prediction:
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
    return Prediction(configuration.config_id, configuration.geometry_hash, "failed", reason)


def _unchanged(before: Atoms, after: Atoms) -> bool:
    return (
        np.array_equal(before.positions, after.positions)
        and np.array_equal(before.numbers, after.numbers)
        and np.array_equal(before.cell, after.cell)
        and np.array_equal(before.pbc, after.pbc)
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of any package says that memory ran out."""
    text = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or "outofmemory" in text or any(word in text for word in _OUT_OF_MEMORY)


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _problem(energy: float, forces: FloatArray, stress: FloatArray | None, n_atoms: int) -> str:
    """Why a result is no number to keep; empty where it is fine."""
    if not np.isfinite(energy):
        return f"energy is {energy}"
    if forces.shape != (n_atoms, 3):
        return f"forces have shape {forces.shape}, expected ({n_atoms}, 3)"
    if not np.isfinite(forces).all():
        return "a force is not finite"
    if stress is not None and (stress.shape != (6,) or not np.isfinite(stress).all()):
        return "stress is not six finite numbers"
    return ""
