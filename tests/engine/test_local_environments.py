"""Classes of local environments, SOAP vectors, and shares of one set outside another."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111

from engine.errors import MetricError
from engine.numerics.environment_map import fit_components, shares_outside
from engine.numerics.local_environments import (
    CLASSES,
    LENGTH,
    classify,
    nearest_distance,
    one_sidedness,
    scaled,
    soap_vectors,
)


def _scaled(atoms: Atoms) -> Atoms:
    return scaled(atoms.numbers, atoms.positions, atoms.cell.array, tuple(atoms.pbc))


def _classes(atoms: Atoms) -> list[str]:
    return [CLASSES[k] for k in classify(_scaled(atoms))]


@pytest.mark.parametrize("symbol", ["Cu", "W", "Mg"])
def test_atoms_of_a_primitive_crystal_are_bulk_like(symbol):
    assert set(_classes(bulk(symbol))) == {"bulk-like"}


def test_the_fourteen_neighbours_of_a_bcc_vacancy_are_its_core():
    atoms = bulk("W", cubic=True).repeat(4)
    del atoms[0]
    assert _classes(atoms).count("defect core") == 14  # eight nearest and six next-nearest neighbours


def test_outer_layers_of_a_slab_are_surface_and_the_middle_is_bulk_like():
    slab = fcc111("Cu", (2, 2, 6), vacuum=8.0)
    layers = np.array(_classes(slab)).reshape(6, 4)
    assert (layers[[0, -1]] == "surface").all()
    assert (layers[2:4] == "bulk-like").all()


def test_an_atom_alone_is_surface():
    assert _classes(Atoms("Cu", [(0, 0, 0)], cell=[20, 20, 20], pbc=True)) == ["surface"]
    assert _classes(Atoms("Cu", [(0, 0, 0)])) == ["surface"]


def test_random_points_are_liquid_like():
    positions = np.random.default_rng(0).uniform(0, 12, (150, 3))  # at the density of copper
    found = _classes(Atoms("Cu150", positions, cell=[12, 12, 12], pbc=True))
    assert found.count("liquid-like") > 120
    assert "bulk-like" not in found


def test_a_neighbour_on_one_side_alone_has_a_mean_direction_of_one():
    pair = _scaled(Atoms("Cu2", [(0, 0, 0), (0, 0, 2.5)], cell=[20, 20, 20], pbc=True))
    assert one_sidedness(pair) == pytest.approx([1.0, 1.0])


def test_lengths_count_in_nearest_neighbour_distances():
    # a / sqrt(2) with ASE's a = 3.61 Å of copper.
    assert nearest_distance(np.array([29])) == pytest.approx(3.61 / np.sqrt(2))
    atoms = _scaled(bulk("Cu", a=3.61).repeat(2))
    assert atoms.get_distance(0, 1) == pytest.approx(LENGTH)


def test_unlike_metals_have_equal_vectors_in_equal_crystals_and_strain_is_seen():
    al, cu, strained = (soap_vectors(_scaled(bulk(*args)), [0])[0] for args in (
        ("Al", "fcc", 4.05), ("Cu", "fcc", 3.61), ("Cu", "fcc", 3.8),
    ))  # fmt: skip
    assert al == pytest.approx(cu, abs=1e-5)
    assert np.linalg.norm(strained - cu) > 0.01
    assert np.linalg.norm(cu) == pytest.approx(1.0)


def test_components_of_points_on_a_line_lie_along_it():
    components = fit_components(np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [2.0, 2.0, 0.0]]))
    x, y = components.transform(np.array([[3.0, 3.0, 0.0]]))[0]
    assert abs(x) == pytest.approx(2 * np.sqrt(2))  # from the mean at (1, 1, 0)
    assert y == pytest.approx(0.0)
    assert components.explained_variance_ratio_[0] == pytest.approx(1.0)


def test_outside_is_beyond_the_spacing_of_the_other_set():
    others = np.array([[0.0], [1.0], [2.0]])  # each has a fellow at 1
    shares = shares_outside([np.array([[0.5], [2.9], [3.1], [9.0]]), others])  # the nearest at 0.5, 0.9, 1.1 and 7
    assert shares[0, 1] == 0.5
    assert shares[1, 0] == 0.0  # the spacing of the four goes up to 5.9
    assert np.isnan(np.diag(shares)).all()


def test_atoms_that_symmetry_makes_equal_are_no_neighbours():
    others = np.array([[0.0], [0.0], [1.0], [1.0]])
    assert shares_outside([np.array([[0.5], [1.5]]), others])[0, 1] == 0.0


def test_one_environment_has_no_spacing():
    assert np.isnan(shares_outside([np.array([[0.0]]), np.array([[0.0], [1.0]])])).all()
    with pytest.raises(MetricError, match="1 environments"):
        fit_components(np.array([[0.0]]))
