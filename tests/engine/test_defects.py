"""Generated defects and alloys: neighbours, parents, mirrors, relaxation, compositions."""

from collections import Counter

import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from scipy.optimize import check_grad

from engine.cells import alloys, defects, lattices, pair_relaxation, stacked
from engine.cells.alloys import Alloy
from engine.cells.lattices import Lattice
from engine.errors import SettingsError

ALUMINIUM, TUNGSTEN = Lattice("Al", "fcc", 4.044), Lattice("W", "bcc", 3.182)
MAGNESIUM = Lattice("Mg", "hcp", 3.195, 5.189)
LATTICES = (ALUMINIUM, TUNGSTEN, MAGNESIUM)
ALLOYS = (
    Alloy("MoNb", "bcc", 3.24, ("Mo", "Nb")),
    Alloy("NbMoTaW", "bcc", 3.25, ("Nb", "Mo", "Ta", "W")),
    Alloy("CrCoNi", "fcc", 3.55, ("Cr", "Co", "Ni")),
)
every_lattice = pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: lattice.symbol)
every_alloy = pytest.mark.parametrize("alloy", ALLOYS, ids=lambda alloy: alloy.name)


def made(lattice):
    """Everything that is made of a lattice, by id."""
    extra = defects.more_structures(lattice, ("Li",), lattice.structure != "hcp")
    return {one.config_id: one for one in (*lattices.structures(lattice), *extra)}


def neighbours(atoms, reach):
    """Number of neighbours of each atom within a distance, Å."""
    return np.bincount(neighbor_list("i", atoms, reach), minlength=len(atoms))


def nearest(atoms):
    """Shortest distance, Å."""
    return neighbor_list("d", atoms, 5.0).min()


@every_lattice
def test_ids_are_unique_and_parents_are_there(lattice):
    count = len(lattices.structures(lattice)) + len(
        defects.more_structures(lattice, ("Li",), lattice.structure != "hcp")
    )
    everything = made(lattice)

    assert len(everything) == count
    assert {one.parent_id for one in everything.values()} <= set(everything)
    assert {one.group for one in everything.values()} <= set(defects.ALL_GROUPS)


@every_lattice
def test_perfect_crystals_have_the_volume_and_the_shells_of_the_lattice(lattice):
    primitive = lattices.primitive_cell(lattice)
    volume = primitive.get_volume() / len(primitive)
    # 1.2 nearest-neighbour distances hold the first shell of fcc and hcp and two of bcc: 12, 12, 8 + 6.
    shell = {"fcc": 12, "hcp": 12, "bcc": 14}[lattice.structure]
    for one in made(lattice).values():
        if one.group == "bulk":
            assert one.atoms.get_volume() / len(one.atoms) == pytest.approx(volume, rel=1e-6)
            assert set(neighbours(one.atoms, 1.2 * nearest(primitive))) == {shell}


@every_lattice
def test_defects_share_the_cell_or_the_base_of_their_parent(lattice):
    everything = made(lattice)
    for one in everything.values():
        parent = everything[one.parent_id].atoms
        if one.group in ("fault", "boundary"):
            assert np.allclose(one.atoms.cell[:2], parent.cell[:2], atol=1e-6)
            assert len(one.atoms) == len(parent)
        elif one.group in ("displaced", "hydrogen", "solute", "interstitial"):
            assert np.allclose(one.atoms.cell, parent.cell, atol=1e-6)


def test_the_intrinsic_fault_of_fcc_makes_two_layers_hexagonal():
    _, half, whole = stacked.fault_structures(ALUMINIUM)

    # The fault keeps all first neighbours; hexagonal sites have 2 neighbours at sqrt(8/3) nn, cubic ones none.
    nn = ALUMINIUM.a / np.sqrt(2)
    assert set(neighbours(whole.atoms, 1.1 * nn)) == {12}
    at_hexagonal = neighbours(whole.atoms, 1.64 * nn) - neighbours(whole.atoms, 1.62 * nn)
    assert Counter(at_hexagonal) == {0: 2, 1: 4} or Counter(at_hexagonal) == {0: 4, 2: 2}
    assert nearest(half.atoms) < nearest(whole.atoms)


@every_lattice
def test_boundaries_are_mirrors_and_no_atoms_overlap(lattice):
    parent, ideal, *rattled = stacked.boundary_structures(lattice)

    mirrored = ideal.atoms.copy()
    mirrored.positions[:, 2] *= -1
    _, distances = nearest_images(mirrored, ideal.atoms)
    assert distances.max() < 1e-5
    assert len(ideal.atoms) == {"fcc": 12, "bcc": 12, "hcp": 14}[lattice.structure]
    assert nearest(ideal.atoms) > 0.9 * nearest(parent.atoms)
    assert all(nearest(one.atoms) > 0.85 * nearest(parent.atoms) for one in rattled)
    # The relaxation opens the boundary, by little.
    assert 1.0 < ideal.atoms.get_volume() / parent.atoms.get_volume() < 1.06


@every_lattice
def test_a_boundary_is_no_perfect_crystal(lattice):
    parent, ideal, *_ = stacked.boundary_structures(lattice)
    reach = 1.2 * nearest(parent.atoms)

    # The mirrors cost neighbours, the layers between them keep theirs.
    perfect = neighbours(parent.atoms, reach)[0]
    lost = perfect - neighbours(ideal.atoms, reach)
    assert 0 < np.count_nonzero(lost) < len(lost)


def test_a_long_axis_has_no_boundary():
    assert stacked.boundary_structures(Lattice("Zn", "hcp", 2.662, 5.005)) == []


def nearest_images(one, other):
    """Which atom of the other is nearest to each atom, and how far, Å."""
    between = other.positions[None] - one.positions[:, None]
    scaled = between @ np.linalg.inv(other.cell)
    distances = np.linalg.norm((scaled - np.rint(scaled)) @ np.array(other.cell), axis=-1)
    return distances.argmin(axis=1), distances.min(axis=1)


@every_lattice
def test_the_relaxation_brings_a_displaced_atom_back(lattice):
    perfect = defects.sixteen_site_cell(lattice)
    start = perfect.copy()
    start.positions[3] += 0.02

    back = pair_relaxation.relaxed(start, lattice)

    moved = back.positions - perfect.positions
    assert np.ptp(moved, axis=0).max() < 1e-6  # a common shift is none


@pytest.mark.parametrize("lattice", LATTICES[:2], ids=lambda lattice: lattice.symbol)
def test_the_relaxing_potential_is_at_rest_in_cubic_crystals(lattice):
    perfect = defects.sixteen_site_cell(lattice)
    coordinates = np.append(perfect.positions.ravel(), perfect.cell[2, 2])

    gradient = pair_relaxation._Potential(perfect, lattice, True).energy_and_gradient(coordinates)[1]

    assert np.abs(gradient).max() < 1e-9


def test_the_relaxing_potential_has_the_gradient_of_its_energy():
    atoms = lattices.rattle(defects.sixteen_site_cell(TUNGSTEN), 0.05, seed=1)
    potential = pair_relaxation._Potential(atoms, TUNGSTEN, True)
    start = np.append(atoms.positions.ravel(), 1.01 * atoms.cell[2, 2])

    error = check_grad(
        lambda x: potential.energy_and_gradient(x)[0], lambda x: potential.energy_and_gradient(x)[1], start
    )

    assert error < 1e-5


@every_lattice
def test_relaxed_interstitials_are_stationary_and_apart(lattice):
    perfect, vacancy, crowded, rattled = defects.interstitial_structures(lattice)
    start = defects._with_interstitial(perfect.atoms, lattice)
    coordinates = np.append(crowded.atoms.positions.ravel(), crowded.atoms.cell[2, 2])

    gradient = pair_relaxation._Potential(start, lattice, False).energy_and_gradient(coordinates)[1]

    assert [len(one.atoms) for one in (perfect, vacancy, crowded, rattled)] == [16, 15, 17, 17]
    assert nearest(crowded.atoms) > 0.75 * nearest(perfect.atoms)
    assert np.abs(gradient).max() < 1e-5  # what rounding to 1e-7 Å leaves


@every_lattice
def test_divacancies_are_first_and_second_neighbours(lattice):
    out_of_plane = np.hypot(lattice.a / np.sqrt(3), (lattice.c or 0) / 2)
    shells = {
        "fcc": [lattice.a / np.sqrt(2), lattice.a],
        "bcc": [lattice.a * np.sqrt(3) / 2, lattice.a],
        "hcp": sorted([lattice.a, out_of_plane]),
    }[lattice.structure]
    perfect = defects.sixteen_site_cell(lattice)

    for one, shell in zip(defects.divacancy_structures(lattice), shells, strict=True):
        kept = {tuple(position) for position in one.atoms.positions.round(6)}
        missing = [k for k, position in enumerate(perfect.positions.round(6)) if tuple(position) not in kept]
        assert len(missing) == 2
        assert perfect.get_distance(*missing, mic=True) == pytest.approx(shell, abs=1e-3)


def test_hydrogen_sits_where_its_name_says():
    fcc = made(ALUMINIUM)["al-fcc-hydrogen-01"].atoms
    bcc = made(TUNGSTEN)["w-bcc-hydrogen-01"].atoms

    # Octahedral in fcc: 6 neighbours at a/2; tetrahedral in bcc: 4 at sqrt(5)/4 a.
    assert neighbours(fcc, 0.51 * ALUMINIUM.a)[-1] == 6
    assert neighbours(bcc, np.sqrt(5) / 4 * TUNGSTEN.a + 0.01)[-1] == 4


@every_lattice
def test_a_solute_is_a_neighbour_of_the_vacancy(lattice):
    everything = made(lattice)
    prefix = f"{lattice.symbol.lower()}-{lattice.structure}"
    alone, beside = (everything[f"{prefix}-solute-{number:02d}"].atoms for number in (1, 2))
    vacancy = everything[f"{prefix}-vacancy-01"].atoms

    assert Counter(alone.symbols) == {lattice.symbol: 7, "Li": 1}
    assert Counter(beside.symbols) == {lattice.symbol: 6, "Li": 1}
    assert np.allclose(beside.positions, vacancy.positions, atol=1e-6)
    assert alone.get_distance(0, 1, mic=True) == pytest.approx(nearest(alone), rel=1e-6)


def test_the_same_lattice_gives_the_same_coordinates():
    first = made(TUNGSTEN)
    defects.more_structures.cache_clear()
    second = made(TUNGSTEN)

    for name, one in first.items():
        assert np.array_equal(one.atoms.positions, second[name].atoms.positions)


@every_alloy
def test_alloys_are_equimolar_and_every_parent_is_there(alloy):
    all_of_it = alloys.alloy_structures(alloy)
    names = {one.config_id for one in all_of_it}

    assert len(names) == len(all_of_it) == 8
    for one in all_of_it:
        assert one.parent_id in names
        if one.group != "vacancy":
            assert len(set(Counter(one.atoms.symbols).values())) == 1
            assert set(one.atoms.symbols) == set(alloy.species)


@every_alloy
def test_alloy_sites_are_those_of_the_lattice(alloy):
    volume = alloy.a**3 / {"bcc": 2, "fcc": 4}[alloy.structure]
    for one in alloys.alloy_structures(alloy):
        if one.group == "bulk":
            assert one.atoms.get_volume() / len(one.atoms) == pytest.approx(volume, rel=1e-6)


def test_an_alloy_without_an_ordered_cell_is_refused():
    with pytest.raises(SettingsError, match="XY"):
        Alloy("XY", "fcc", 4.0, ("Cu", "Ni", "Al", "Au"))
