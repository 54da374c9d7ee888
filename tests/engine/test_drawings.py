"""Cells that are drawn and have no energies: what is where, and what kind of core a dislocation has."""

import numpy as np
import pytest

from engine.cells.drawings import BOUNDARIES, TUNGSTEN, drawings, screw_dipole
from engine.numerics.local_environments import CLASSES, classify, scaled

NEIGHBOURS = TUNGSTEN.a * np.sqrt(3) / 2


def classes(atoms) -> np.ndarray:
    return classify(scaled(atoms.numbers, atoms.positions, atoms.cell.array, (True, True, True)))


def test_there_are_the_twelve_of_the_caption_and_no_two_atoms_are_too_close():
    made = drawings()
    assert len(made) == 12 == 1 + 2 + len(BOUNDARIES) + 1 + 1
    for one in made:
        distances = one.atoms.get_all_distances(mic=True) + 9.0 * np.eye(len(one.atoms))
        assert 0.8 * NEIGHBOURS < distances.min() <= distances.min(axis=1).max() < 1.1 * NEIGHBOURS, one.name
        found = classes(one.atoms)
        assert {CLASSES.index("bulk-like"), CLASSES.index("defect core")} <= set(found.tolist()), one.name


def test_a_vacancy_disturbs_its_two_shells_of_neighbours():
    vacancy = drawings()[0]
    assert len(vacancy.atoms) == 53
    assert (classes(vacancy.atoms) == CLASSES.index("defect core")).sum() == 8 + 6


@pytest.mark.parametrize("direction", [(1, 1, 0), (1, 1, 1)])
def test_the_closest_pair_of_a_dumbbell_lies_along_its_direction(direction):
    [one] = [d for d in drawings() if d.name == "dumbbell-" + "".join(map(str, direction))]
    distances = one.atoms.get_all_distances(mic=True) + 9.0 * np.eye(55)
    i, j = np.unravel_index(np.argmin(distances), distances.shape)
    vector = one.atoms.get_distance(i, j, mic=True, vector=True)
    cosine = abs(vector @ direction) / np.linalg.norm(vector) / np.linalg.norm(direction)
    assert cosine == pytest.approx(1.0, abs=1e-3)


def test_screw_dislocations_have_easy_cores_a_burgers_vector_each_and_fit_their_periodic_images():
    """Around each core the three columns stand a third of b apart (easy); in a hard core they stand alike."""
    burgers = NEIGHBOURS
    atoms = screw_dipole(TUNGSTEN)
    core = np.flatnonzero(classes(atoms) == CLASSES.index("defect core"))
    assert len(core) == 6  # three columns each, of one atom each per Burgers vector
    middle = atoms.cell.array.sum(axis=0)[:2] / 2
    for side in (-1, 1):
        here = [k for k in core if side * ((atoms.positions[k, :2] - middle) @ [1, 1]) > 0]
        assert len(here) == 3
        heights = np.sort(atoms.positions[here, 2] % burgers)
        gaps = np.diff(np.append(heights, heights[0] + burgers))
        np.testing.assert_allclose(gaps, burgers / 3, atol=0.02)
    distances = atoms.get_all_distances(mic=True) + 9.0 * np.eye(len(atoms))
    assert distances.min() > 0.95 * NEIGHBOURS  # across the edges of the cell too


def test_drawings_are_the_same_in_every_process():
    first = screw_dipole(TUNGSTEN)
    np.testing.assert_array_equal(first.positions, screw_dipole(TUNGSTEN).positions)
