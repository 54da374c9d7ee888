"""What a worker does with configurations, in this process; its life as a process is in test_runner.py."""

import dataclasses
import importlib.machinery
import itertools
import sys
import threading
import types

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.neighborlist import neighbor_list

from engine.records import Configuration
from engine.relaxations import RelaxationOptions
from precompute.workers import relaxation
from precompute.workers.evaluation import EDGES_PER_ATOM, DeviceLostError, Evaluator, count_edges, periodic_atoms
from precompute.workers.worker import device_answers, device_memory, limit_gpu, peak_memory_bytes, precision

REACH = 6.0


def configuration(atoms: Atoms) -> Configuration:
    return Configuration("c", "g", atoms.numbers, atoms.positions, np.array(atoms.cell), tuple(map(bool, atoms.pbc)))


def predict(calculator, given, reach):
    return Evaluator(calculator, reach).predict([given])[0]


class Fixed(Calculator):
    """A calculator that returns what a test wants."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, **results):
        super().__init__()
        self.fixed = results

    def calculate(self, atoms=None, properties=None, system_changes=None):
        self.results = dict(self.fixed)


@pytest.mark.parametrize("pbc", [(True, True, False), (False, True, False), (False, False, False)], ids=str)
def test_open_directions_get_vacuum_beyond_twice_the_reach(pbc):
    atoms = fcc111("Cu", (2, 2, 3))
    atoms.pbc = pbc
    atoms.cell[2] = [0, 0, 20]
    padded, was_padded = periodic_atoms(configuration(atoms), REACH)
    assert was_padded
    assert padded.pbc.all()
    for axis in range(3):
        if not pbc[axis]:
            normal = padded.cell[axis] / np.linalg.norm(padded.cell[axis])
            assert np.linalg.norm(padded.cell[axis]) - np.ptp(padded.positions @ normal) > 2 * REACH
        else:
            np.testing.assert_array_equal(padded.cell[axis], atoms.cell[axis])


def test_padding_gives_the_energy_of_the_open_system():
    slab = fcc111("Cu", (2, 2, 3), vacuum=None)
    slab.cell[2] = [0, 0, 1]
    slab.pbc = (True, True, False)
    reference = slab.copy()
    reference.calc = EMT()  # EMT is right for mixed boundary conditions
    prediction = predict(EMT(), configuration(slab), REACH)
    assert prediction.energy == pytest.approx(reference.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(prediction.forces, reference.get_forces(), atol=1e-9)
    assert prediction.stress is None  # the volume of a padded cell means nothing


def test_a_periodic_cell_is_left_alone():
    atoms = bulk("Cu", cubic=True)
    padded, was_padded = periodic_atoms(configuration(atoms), REACH)
    assert not was_padded
    np.testing.assert_array_equal(padded.cell, atoms.cell)


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (2, 1, 0)], ids=str)
def test_a_left_handed_cell_keeps_energy_forces_and_the_sign_of_its_stress(order):
    right = bulk("Cu", cubic=True)
    right.set_cell(right.cell.array * [1.03, 1.02, 1.01], scale_atoms=True)
    right.rattle(0.05, seed=0)
    left = right.copy()
    left.set_cell(right.cell.array[list(order)])

    first, second = predict(EMT(), configuration(right), REACH), predict(EMT(), configuration(left), REACH)

    assert np.linalg.det(left.cell) < 0 < np.linalg.det(periodic_atoms(configuration(left), REACH)[0].cell)
    assert second.energy == pytest.approx(first.energy, abs=1e-9)
    np.testing.assert_allclose(second.forces, first.forces, atol=1e-9)
    np.testing.assert_allclose(second.stress, first.stress, atol=1e-12)
    assert (second.stress[:3] > 0).all()


def test_a_left_handed_slab_keeps_its_periodic_vectors():
    slab = fcc111("Cu", (2, 2, 3), vacuum=None)
    slab.set_cell([slab.cell[1], slab.cell[0], [0, 0, 1]])
    slab.pbc = (True, True, False)
    padded, _ = periodic_atoms(configuration(slab), REACH)
    assert np.linalg.det(padded.cell) > 0
    np.testing.assert_array_equal(padded.cell[:2], slab.cell[:2])


def test_stress_has_the_sign_of_tension():
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell * 1.03, scale_atoms=True)
    prediction = predict(EMT(), configuration(atoms), REACH)
    assert (prediction.stress[:3] > 0).all()


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ({"energy": np.nan, "forces": np.zeros((4, 3))}, "energy is nan"),
        ({"energy": 0.0, "forces": np.full((4, 3), np.inf)}, "not finite"),
        ({"energy": 0.0, "forces": np.zeros((3, 3))}, "shape"),
        ({"energy": 0.0, "forces": np.zeros((4, 3)), "stress": np.full(6, np.nan)}, "stress"),
    ],
    ids=["energy", "forces", "shape", "stress"],
)
def test_what_is_no_number_is_a_failure_with_a_reason(results, reason):
    prediction = predict(Fixed(**results), configuration(bulk("Cu", cubic=True)), REACH)
    assert prediction.status == "failed"
    assert reason in prediction.reason
    assert prediction.energy is None
    assert prediction.forces is None


@pytest.mark.parametrize(
    "cell", [np.zeros((3, 3)), np.array([[3.0, 0, 0], [6, 0, 0], [0, 0, 3]])], ids=["none", "flat"]
)
def test_an_impossible_periodic_cell_is_a_failure(cell):
    atoms = Configuration("c", "g", np.array([29]), np.zeros((1, 3)), cell, (True, True, True))
    assert predict(EMT(), atoms, REACH).status == "failed"


def test_an_element_that_a_potential_lacks_is_a_failure():
    prediction = predict(EMT(), configuration(bulk("W")), REACH)
    assert (prediction.status, prediction.energy) == ("failed", None)
    assert "W" in prediction.reason


def test_the_input_is_not_changed():
    given = configuration(fcc111("Cu", (1, 1, 3), vacuum=5.0))
    before = given.geometry_hash
    predict(EMT(), given, REACH)
    assert Configuration(
        "c", "g", given.numbers, given.positions, given.cell, given.pbc
    ).geometry_hash == before  # fmt: skip


def test_a_package_that_moves_atoms_is_found_out():
    class Mover(Fixed):
        def calculate(self, atoms=None, properties=None, system_changes=None):
            atoms.positions += 0.1
            super().calculate()

    atoms = bulk("Cu", cubic=True)
    prediction = predict(Mover(energy=0.0, forces=np.zeros((4, 3))), configuration(atoms), REACH)
    assert (prediction.status, prediction.reason) == ("failed", "RuntimeError: the package changed its input")


@pytest.mark.parametrize("repeat", [1, 2, (3, 1, 1)], ids=str)
def test_edges_are_those_of_a_neighbour_list(repeat):
    atoms = bulk("Mg").repeat(repeat)
    atoms.rattle(0.1, seed=1)
    atoms.positions += 7.3  # outside the cell
    assert count_edges(atoms, REACH) == len(neighbor_list("i", atoms, REACH))


class Batched:
    """EMT for many systems, with room for a number of atoms; keeps the sizes of its calls."""

    def __init__(self, room: int = 10**9, poison: int = 0, full: Exception | None = None):
        self.room, self.poison, self.full, self.calls = room, poison, full or MemoryError(), []

    def __call__(self, calculator, systems):
        self.calls.append(len(systems))
        if sum(map(len, systems)) > self.room:
            raise self.full
        if any(self.poison in atoms.numbers for atoms in systems):
            raise ValueError("no such element")
        return [one(atoms) for atoms in systems]


def one(atoms):
    atoms.calc = EMT()
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
    atoms.calc = None
    return results


def coppers(n: int) -> list[Configuration]:
    found = []
    for seed in range(n):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=seed)
        found.append(dataclasses.replace(configuration(atoms), config_id=f"cu-{seed}"))
    return found


def energies(predictions):
    return [p.energy for p in predictions]


def test_batches_hold_as_many_edges_as_allowed_and_keep_the_order():
    size = count_edges(bulk("Cu", cubic=True), REACH) + EDGES_PER_ATOM * 4
    batch, announced = Batched(), []
    evaluator = Evaluator(EMT(), REACH, batch, max_edges=4 * size + 100)
    found = evaluator.predict(coppers(10), announced.append)
    assert batch.calls == [4, 4, 2]
    assert [len(ids) for ids in announced] == [4, 4, 2]
    assert [p.config_id for p in found] == [f"cu-{i}" for i in range(10)]
    np.testing.assert_allclose(energies(found), energies(Evaluator(EMT(), REACH).predict(coppers(10))), atol=1e-12)


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost():
    batch = Batched(room=12)  # three cells of four atoms
    evaluator = Evaluator(EMT(), REACH, batch, max_edges=10**6)
    found = evaluator.predict(coppers(16))
    assert batch.calls[:4] == [16, 8, 4, 2]
    assert [p.status for p in found] == ["ok"] * 16
    np.testing.assert_allclose(energies(found), energies(Evaluator(EMT(), REACH).predict(coppers(16))), atol=1e-12)
    assert evaluator.max_edges < 10**6 / 4


class Memory:
    """Memory of a device on which each atom takes a number of bytes."""

    def __init__(self, batch: Batched, free: float, per_cell: float):
        self.batch, self.room, self.per_cell, self.before = batch, free, per_cell, 0

    def start(self):
        self.before = len(self.batch.calls)

    def taken(self):
        return self.per_cell * max(self.batch.calls[self.before :], default=0)

    def free(self):
        return self.room


def test_batches_grow_until_they_fill_the_memory_of_the_device():
    size = count_edges(bulk("Cu", cubic=True), REACH) + EDGES_PER_ATOM * 4
    batch = Batched()
    memory = Memory(batch, free=1e9, per_cell=0.7e9 / 20.5)
    evaluator = Evaluator(EMT(), REACH, batch, 2 * size, memory, clock=itertools.count().__next__)
    found = evaluator.predict(coppers(80))
    assert batch.calls == [2, 4, 8, 16, 20, 20, 10]
    assert evaluator.bytes_per_edge == pytest.approx(0.7e9 / 20.5 / size)
    np.testing.assert_allclose(energies(found), energies(Evaluator(EMT(), REACH).predict(coppers(80))), atol=1e-12)


def test_batches_never_grow_again_to_a_size_that_did_not_fit():
    size = count_edges(bulk("Cu", cubic=True), REACH) + EDGES_PER_ATOM * 4
    batch = Batched(room=4 * 10)  # ten cells, though the memory that is free promises more
    memory = Memory(batch, free=1e9, per_cell=1.0)
    evaluator = Evaluator(EMT(), REACH, batch, 4 * size, memory, itertools.count().__next__)
    evaluator.predict(coppers(60))
    assert batch.calls[:4] == [4, 8, 16, 8]
    assert max(batch.calls[3:]) == 8


def test_batches_stop_growing_where_larger_ones_are_no_faster():
    size = count_edges(bulk("Cu", cubic=True), REACH) + EDGES_PER_ATOM * 4
    batch = Batched()

    def clock():  # a batch takes 1 s, and beyond eight cells as long for each cell
        return sum(max(1.0, n / 8) for n in batch.calls)

    evaluator = Evaluator(EMT(), REACH, batch, 2 * size, Memory(batch, free=1e9, per_cell=1.0), clock)
    evaluator.predict(coppers(100))
    assert batch.calls[:5] == [2, 4, 8, 16, 16]
    assert set(batch.calls[5:-1]) == {8}


def test_one_slow_batch_does_not_stop_the_growth():
    size = count_edges(bulk("Cu", cubic=True), REACH) + EDGES_PER_ATOM * 4
    batch = Batched()

    def clock():  # the first batch of four compiles something
        return sum(9.0 if i == 1 else 1.0 for i in range(len(batch.calls)))

    evaluator = Evaluator(EMT(), REACH, batch, 2 * size, Memory(batch, free=1e9, per_cell=1.0), clock)
    evaluator.predict(coppers(40))
    assert batch.calls[:5] == [2, 4, 4, 8, 16]


def test_a_system_beyond_the_limit_lets_the_next_batch_hold_two():
    size = count_edges(bulk("Cu", cubic=True), REACH) + EDGES_PER_ATOM * 4
    batch = Batched()
    memory = Memory(batch, free=1e9, per_cell=1.0)
    Evaluator(EMT(), REACH, batch, size // 10, memory, itertools.count().__next__).predict(coppers(7))
    assert batch.calls == [2, 4]  # and before them one alone


def test_a_smaller_limit_holds_for_one_request_only():
    batch = Batched()
    evaluator = Evaluator(EMT(), REACH, batch, max_edges=10**6)
    evaluator.predict(coppers(3), max_edges=1)
    assert batch.calls == []
    evaluator.predict(coppers(3))
    assert batch.calls == [3]


def test_one_bad_system_in_a_batch_fails_alone():
    poisoned = [*coppers(3), dataclasses.replace(configuration(bulk("W")), config_id="w")]
    found = Evaluator(EMT(), REACH, Batched(poison=74), max_edges=10**6).predict(poisoned)
    assert [p.status for p in found] == ["ok", "ok", "ok", "failed"]
    assert "W" in found[3].reason


class Overlapping:
    """EMT for many systems by graphs made before; no batch ends until the graphs of the next one are there."""

    def __init__(self, n_batches: int = 0, bad: int = 0):
        self.n_batches, self.bad, self.n_built, self.n_computed = n_batches, bad, 0, 0
        self.news = threading.Condition()

    def graphs(self, calculator, systems):
        if any(self.bad in atoms.numbers for atoms in systems):
            raise ValueError("no graph")
        with self.news:
            self.n_built += 1
            self.news.notify()
        return [atoms.copy() for atoms in systems]

    def batch(self, calculator, systems, graphs=None):
        self.n_computed += 1
        wanted = min(self.n_computed + 1, self.n_batches)
        with self.news:
            assert self.news.wait_for(lambda: self.n_built >= wanted, timeout=20)
        return [one(atoms) for atoms in (systems if graphs is None else graphs)]


def test_graphs_of_the_next_batch_are_built_while_this_one_computes():
    size = count_edges(bulk("Cu", cubic=True), REACH) + EDGES_PER_ATOM * 4
    family = Overlapping(n_batches=3)
    found = Evaluator(EMT(), REACH, family.batch, 4 * size, graphs=family.graphs).predict(coppers(12))
    assert family.n_built == family.n_computed == 3
    np.testing.assert_allclose(energies(found), energies(Evaluator(EMT(), REACH).predict(coppers(12))), atol=1e-12)


def test_a_batch_whose_graphs_cannot_be_built_is_computed_without_them():
    platinum = [*coppers(3), dataclasses.replace(configuration(bulk("Pt")), config_id="pt")]
    family = Overlapping(bad=78)
    found = Evaluator(EMT(), REACH, family.batch, 10**6, graphs=family.graphs).predict(platinum)
    assert (family.n_built, family.n_computed) == (0, 1)
    np.testing.assert_allclose(energies(found), energies(Evaluator(EMT(), REACH).predict(platinum)), atol=1e-12)


NO_HANDLES = [
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`"),
]


@pytest.mark.parametrize("error", NO_HANDLES, ids=["cublas", "cusolver"])
def test_a_gpu_without_room_for_a_library_lacks_memory(error):
    batch = Batched(room=12, full=error)
    found = Evaluator(EMT(), REACH, batch, max_edges=10**6).predict(coppers(16))
    assert batch.calls[:4] == [16, 8, 4, 2]
    assert [p.status for p in found] == ["ok"] * 16


@pytest.mark.parametrize(
    "error",
    [
        *NO_HANDLES,
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate ..."),
        OSError(12, "Cannot allocate memory"),
        ImportError("libsqlite3.so.0: failed to map segment from shared object"),
    ],
    ids=["cublas", "cusolver", "torch", "system", "late import"],
)
def test_a_system_too_large_for_memory_says_so(error):
    class Small(Fixed):
        def calculate(self, atoms=None, properties=None, system_changes=None):
            raise error

    assert predict(Small(), configuration(bulk("Cu")), REACH).reason == "MemoryError: 1 atoms do not fit into memory"


@pytest.mark.parametrize(("dtype", "name"), [(np.float32, "float32"), (np.float64, "float64")])
def test_precision_is_read_off_the_forces(dtype, name):
    forces = (np.arange(12, dtype=dtype).reshape(4, 3) / 7).astype(dtype)
    prediction = predict(Fixed(energy=0.1, forces=forces), configuration(bulk("Cu", cubic=True)), REACH)
    assert precision([prediction]) == name
    assert precision([]) == ""


@pytest.mark.parametrize("batch", [None, Batched(poison=29)], ids=["alone", "batch"])
def test_no_row_is_made_of_what_a_lost_device_says(batch):
    class Lost(Fixed):
        def calculate(self, atoms=None, properties=None, system_changes=None):
            raise RuntimeError("CUDA error: unknown error")

    evaluator = Evaluator(Lost(), REACH, batch, max_edges=10**6, answers=lambda: False)
    with pytest.raises(DeviceLostError, match="answers no more after"):
        evaluator.predict(coppers(2))
    with pytest.raises(DeviceLostError):
        relaxation.relax(evaluator, coppers(1)[0], RelaxationOptions())


class Gpu(types.ModuleType):
    """PyTorch with a GPU of 80 GB; all that a worker asks of it."""

    def __init__(self, free=79e9, reserved=0.0, allocated=0.0):
        super().__init__("torch")
        self.__spec__ = importlib.machinery.ModuleSpec("torch", None)
        self.fractions, self.asked, self.error, self.peak = [], 0, None, allocated
        self.cuda = types.SimpleNamespace(
            is_initialized=lambda: True,
            mem_get_info=lambda: (free, 80e9),
            memory_reserved=lambda: reserved,
            memory_allocated=lambda: allocated,
            max_memory_allocated=lambda: self.peak,
            reset_peak_memory_stats=lambda: setattr(self, "peak", allocated),
            set_per_process_memory_fraction=self.fractions.append,
        )

    def zeros(self, *shape, device):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return np.zeros(shape)


@pytest.mark.parametrize(
    ("free", "share", "left"),
    [(70e9, 1.0, 71e9), (70e9, 0.09, 5.2e9), (0.5e9, 0.09, 1.5e9), (70e9, 0.02, 0.0)],
    ids=["whole", "share", "others took more", "share is used up"],
)
def test_a_batch_may_take_no_more_than_the_share_of_its_worker(monkeypatch, free, share, left):
    monkeypatch.setitem(sys.modules, "torch", Gpu(free, reserved=3e9, allocated=2e9))
    assert device_memory("cuda", share).free() == pytest.approx(left)
    assert device_memory("cpu", share) is None


def test_memory_of_a_cost_is_that_of_the_gpu_over_all_batches(monkeypatch):
    torch = Gpu(allocated=2e9)
    monkeypatch.setitem(sys.modules, "torch", torch)
    memory = device_memory("cuda")
    for peak in (9e9, 5e9):
        memory.start()
        torch.peak = peak
        assert memory.taken() == pytest.approx(peak - 2e9)
    assert peak_memory_bytes("cuda", memory) == pytest.approx(9e9)
    assert 1e7 < peak_memory_bytes("cpu") < 1e11


def test_pytorch_is_held_to_the_share(monkeypatch):
    torch = Gpu()
    monkeypatch.setitem(sys.modules, "torch", torch)
    for device, share in (("cuda", 1.0), ("cpu", 0.5), ("cuda", 0.09)):
        limit_gpu(device, share)
    assert torch.fractions == [0.09]


def test_a_device_is_lost_where_a_tiny_tensor_fails_for_another_reason_than_memory(monkeypatch):
    torch = Gpu()
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert device_answers()
    torch.error = RuntimeError("CUDA error: out of memory")
    assert device_answers()
    torch.error = RuntimeError("CUDA error: unknown error")
    assert not device_answers()
    assert torch.asked == 3
    torch.cuda.is_initialized = lambda: False  # as on a CPU
    assert device_answers()
    assert torch.asked == 3
