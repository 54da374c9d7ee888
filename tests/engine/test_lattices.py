"""Generated structures: names, sizes, distances, seeds."""

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from engine.cells import lattices
from engine.cells.lattices import Lattice
from engine.errors import SettingsError

LATTICES = (
    Lattice("Al", "fcc", 4.044),
    Lattice("W", "bcc", 3.182),
    Lattice("Mg", "hcp", 3.195, 5.189),
)
every_lattice = pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: lattice.symbol)


def nearest_distance(atoms):
    """Shortest distance between two atoms or images, Å."""
    return neighbor_list("d", atoms, 4.0).min()


def perfect_distance(lattice):
    """Nearest-neighbour distance of the perfect crystal, Å, by hand."""
    factor = {"fcc": np.sqrt(1 / 2), "bcc": np.sqrt(3 / 4), "hcp": 1.0}[lattice.structure]
    if lattice.structure == "hcp":  # c/a below the ideal one: the neighbour out of plane is closer
        return np.sqrt(lattice.a**2 / 3 + lattice.c**2 / 4)
    return factor * lattice.a


@every_lattice
def test_ids_are_unique_and_parents_are_there(lattice):
    made = lattices.structures(lattice)

    ids = [structure.config_id for structure in made]

    assert len(ids) == len(set(ids))
    assert {structure.parent_id for structure in made} <= set(ids)


@every_lattice
def test_every_group_is_made_and_named_in_the_id(lattice):
    made = lattices.structures(lattice)

    assert {structure.group for structure in made} == set(lattices.GROUPS)
    assert all(structure.group in structure.config_id for structure in made)


@every_lattice
def test_cells_are_small_and_periodic(lattice):
    for structure in lattices.structures(lattice):
        assert 1 <= len(structure.atoms) <= 9
        assert structure.atoms.pbc.all()
        assert structure.atoms.get_volume() > 0


@every_lattice
def test_perfect_crystals_have_the_textbook_neighbour_distance(lattice):
    for structure in lattices.bulk_structures(lattice):
        assert nearest_distance(structure.atoms) == pytest.approx(perfect_distance(lattice))


@every_lattice
def test_no_structure_has_overlapping_atoms(lattice):
    for structure in lattices.structures(lattice):
        assert nearest_distance(structure.atoms) > 0.85 * perfect_distance(lattice)


@every_lattice
def test_a_vacancy_is_its_parent_without_one_atom(lattice):
    parent = lattices.bulk_structures(lattice)[-1]

    for vacancy in lattices.vacancy_structures(lattice):
        assert vacancy.parent_id == parent.config_id
        assert len(vacancy.atoms) == len(parent.atoms) - 1
        assert np.array_equal(vacancy.atoms.cell, parent.atoms.cell)


@every_lattice
def test_equation_of_state_has_the_stated_volumes(lattice):
    volume = lattices.primitive_cell(lattice).get_volume()

    strained = lattices.eos_structures(lattice)

    factors = [structure.atoms.get_volume() / volume for structure in strained]
    assert factors == pytest.approx(lattices.EOS_VOLUME_FACTORS)


@every_lattice
def test_slabs_are_separated_by_vacuum(lattice):
    for structure in lattices.surface_structures(lattice):
        height = structure.atoms.cell[2, 2]
        thickness = np.ptp(structure.atoms.positions[:, 2])
        assert structure.has_vacuum
        assert height - thickness > lattices.SLAB_VACUUM - 0.2  # the rattled one bulges


@every_lattice
def test_the_same_lattice_gives_the_same_coordinates(lattice):
    first, second = lattices.structures(lattice), lattices.structures(lattice)

    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.atoms.positions, other.atoms.positions)


def test_rattled_displacements_have_the_stated_size():
    lattice = Lattice("Al", "fcc", 4.0)
    crystal = lattices.primitive_cell(lattice) * (10, 10, 10)

    moved = lattices.rattle(crystal, 0.02 * lattice.a / np.sqrt(3), seed=1)

    distances = np.linalg.norm(moved.positions - crystal.positions, axis=1)
    # Root mean square over 1000 atoms: 2 % of 4 Å, to within its own statistical error.
    assert np.sqrt(np.mean(distances**2)) == pytest.approx(0.08, rel=0.05)


def test_seeds_differ_between_configurations_and_never_change():
    # CRC-32 of the ASCII text "123456789" is the check value of its definition.
    assert lattices.seed_of("123456789") == 0xCBF43926
    assert lattices.seed_of("al-fcc-rattled-01") != lattices.seed_of("al-fcc-rattled-02")


@pytest.mark.parametrize(("structure", "c"), [("diamond", None), ("hcp", None), ("fcc", 5.0)], ids=str)
def test_an_impossible_lattice_is_refused(structure, c):
    with pytest.raises(SettingsError, match="Xx"):
        Lattice("Xx", structure, 4.0, c)
