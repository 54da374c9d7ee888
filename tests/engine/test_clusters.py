"""What counts as one draw: metals, or cells and trajectories."""

import time

import numpy as np
import pytest

from engine.errors import MetricError
from engine.numerics.clusters import MANY_METALS, cluster_labels, host_of


def labels(*configurations: tuple[list[int], np.ndarray, np.ndarray]) -> list[int]:
    numbers, positions, cells = zip(*configurations, strict=True)
    return cluster_labels([np.array(one) for one in numbers], positions, cells).tolist()


def crystal(edge: float, numbers: list[int], seed: int = 0, size: float = 0.0):
    """Atoms in a row of cubes, displaced at random."""
    n = len(numbers)
    sites = np.stack([np.arange(n) * edge, np.zeros(n), np.zeros(n)], axis=1)
    return numbers, sites + size * np.random.default_rng(seed).normal(size=(n, 3)), np.diag([n * edge, edge, edge])


@pytest.mark.parametrize(
    ("numbers", "host"),
    [
        ([13] * 8, (13,)),
        ([13] * 4 + [1], (13,)),
        ([28, 13], (13, 28)),
        ([41, 41, 42, 42, 73, 73, 74], (41, 42, 73, 74)),
    ],
    ids=["pure", "hydrogen in a metal", "compound", "random alloy with a vacancy"],
)
def test_solutes_and_hydrogen_are_no_part_of_the_host(numbers, host):
    assert host_of(np.array(numbers)) == host


def test_frames_of_one_cell_are_one_cluster_in_any_order():
    run, other = [crystal(3.0, [74] * 4, k, 0.1) for k in range(3)], crystal(3.0, [74] * 5)
    assert labels(run[0], other, run[1], run[2]) == [0, 1, 0, 0]


def test_an_equation_of_state_is_one_cluster_over_its_whole_range():
    edges = np.arange(2.8, 3.4, 0.02)  # steps of 0.7 % in length, 20 % altogether
    assert len(set(labels(*[crystal(edge, [74]) for edge in edges]))) == 1
    assert len(set(labels(crystal(2.8, [74]), crystal(3.4, [74])))) == 2


def test_random_alloys_of_one_cell_are_apart_but_frames_of_each_are_not():
    one, two = [42, 42, 74, 74] * 2, [42, 74] * 4
    found = labels(*[crystal(3.0, numbers, k, 0.1) for numbers in (one, two) for k in range(3)])
    assert found == [0, 0, 0, 1, 1, 1]


def test_an_atom_that_crosses_the_boundary_has_not_moved_far():
    numbers, positions, cell = crystal(3.0, [42, 74] * 3)
    assert labels((numbers, positions, cell), (numbers, positions + np.array([17.9, 0, -0.1]), cell)) == [0, 0]


def test_many_metals_are_clusters_of_their_own_with_all_their_cells():
    cells = [crystal(3.0, [z] * n) for z in range(21, 21 + MANY_METALS) for n in (1, 2)]
    assert labels(*cells) == [k // 2 for k in range(2 * MANY_METALS)]
    assert len(set(labels(*cells[:-2]))) == 2 * (MANY_METALS - 1)  # one metal less: by cell


def test_molecules_without_a_cell_are_clusters_by_composition():
    none, pair = np.zeros((3, 3)), np.eye(3)[:2]
    assert labels(([74, 74], pair, none), ([74, 74], 2 * pair, none), ([42, 74], pair, none)) == [0, 0, 1]


def test_a_thousand_cells_of_ninety_atoms_take_seconds():
    cells = [crystal(3.0, [42, 74] * 45, k, 0.1) for k in range(1000)]
    start = time.perf_counter()
    assert len(set(labels(*cells))) == 1
    assert time.perf_counter() - start < 10


def test_inputs_of_different_length_are_refused():
    with pytest.raises(MetricError, match="differ"):
        cluster_labels([np.array([74])], [], [])
