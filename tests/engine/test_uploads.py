"""Reading what visitors hand in: each format once, and each way to be refused."""

import gzip
from io import BytesIO, StringIO

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write

from engine.errors import DatasetError
from engine.readers.checks import check_structure
from engine.readers.example_structures import examples
from engine.readers.readings import MAX_ATOMS
from engine.readers.uploads import MAX_BYTES, file_format, read_structure

POSCAR = """W
1.0
3.165 0 0
0 3.165 0
0 0 3.165
W
2
Direct
0 0 0
0.5 0.5 0.5
"""
# Rock salt in Fm-3m: two sites that symmetry makes into eight atoms.
CIF = """data_salt
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_Int_Tables_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""
EXTXYZ = """2
Lattice="3.165 0 0 0 3.165 0 0 0 3.165" Properties=species:S:1:pos:R:3:forces:R:3 energy=-25.9 pbc="T T T"
W 0 0 0 0.1 0 0
W 1.5825 1.5825 1.5825 -0.1 0 0
"""


def refusal(name: str, data: bytes | str) -> str:
    with pytest.raises(DatasetError) as caught:
        read_structure(name, data if isinstance(data, bytes) else data.encode())
    return str(caught.value)


@pytest.mark.parametrize("name", ["POSCAR", "CONTCAR_relaxed", "w.vasp", "W.POSCAR", "upload"])
def test_poscar_is_known_by_name_or_first_lines(name):
    configuration = read_structure(name, POSCAR.encode())

    assert configuration.numbers.tolist() == [74, 74]
    assert configuration.pbc == (True, True, True)
    np.testing.assert_allclose(configuration.positions[1], [1.5825] * 3)


def test_cif_is_expanded_by_its_symmetry():
    configuration = read_structure("salt.cif", CIF.encode())

    assert sorted(configuration.numbers.tolist()) == [11] * 4 + [17] * 4


def test_large_cif_without_symmetry_is_read():
    atoms = bulk("W", cubic=True) * (8, 8, 7)
    text = BytesIO()
    write(text, atoms, format="cif")

    assert read_structure("big.cif", text.getvalue()).n_atoms == 896


def test_extended_xyz_keeps_its_labels():
    configuration = read_structure("w.xyz", EXTXYZ.encode())

    assert configuration.energy == -25.9
    np.testing.assert_allclose(configuration.forces, [[0.1, 0, 0], [-0.1, 0, 0]])


def test_plain_xyz_is_not_periodic():
    configuration = read_structure("water.xyz", b"3\n\nO 0 0 0\nH 0.96 0 0\nH 0 0.96 0\n")

    assert configuration.pbc == (False, False, False)


def test_configuration_is_named_after_the_file_without_its_folders():
    assert read_structure("../../etc/W vacancy.vasp", POSCAR.encode()).config_id == "W-vacancy.vasp"
    assert read_structure("C:\\work\\w.vasp", POSCAR.encode()).config_id == "w.vasp"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("w.txt", "hello", "in no format that is read here"),
        ("POSCAR", "", "is empty"),
        ("w.xyz", gzip.compress(EXTXYZ.encode()), "is compressed"),
        ("w.xyz", b"\x00\x01\x02", "not a text file"),
        ("w.xyz", EXTXYZ + EXTXYZ, "holds 2 structures"),
        ("w.xyz", "2\n\nW 0 0 0\n", "ends after 1 of 2 atoms"),
        ("w.xyz", "1\n\nQq 0 0 0\n", "not a chemical element"),
        ("w.xyz", "1\n\nW nan 0 0\n", "not finite"),
        ("w.xyz", "2\n\nW 0 0 0\nW 0 0 0.1\n", "0.100 Å apart"),
        ("w.xyz", f"{MAX_ATOMS + 1}\n\n", "at most 1000"),
        ("POSCAR", "W\n1.0\n", "at least 8"),
        ("POSCAR", POSCAR.replace("W\n2\n", "2\n").replace("W\n1.0", "x\n1.0"), "names no elements"),
        ("POSCAR", POSCAR.replace("\n2\n", "\n2000000\n"), "at most 1000"),
        ("POSCAR", POSCAR.replace("3.165", "0.003165"), "0.00316 Å long"),
        ("POSCAR", POSCAR.replace("3.165", "x"), "line 3 should hold a lattice vector"),
        ("w.cif", "data_empty\n_cell_length_a 3\n", "no structure"),
        ("w.cif", CIF + CIF.replace("data_salt", "data_more"), "2 structures"),
        ("w.cif", CIF.replace("_z\n", "_z\n_atom_site_occupancy\n").replace(" 0\n", " 0 0.5\n")
         .replace("0.5 0.5 0.5\n", "0.5 0.5 0.5 1\n"), "partly occupied"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) and "\n" not in value else "",
)  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(name, data, said):
    message = refusal(name, data)

    assert said in message
    assert name in message
    assert "\n" not in message


def test_too_large_a_file_is_refused_unread():
    assert "at most 5 MB" in refusal("w.xyz", b"1" * (MAX_BYTES + 1))


def test_cif_with_too_many_images_is_refused_quickly():
    sites = "".join(f"W{i} W {i / 60} 0.1 0.2\n" for i in range(60))

    assert "at most 1000" in refusal("w.cif", CIF.split("Na1")[0] + sites)


def test_a_poscar_without_symbols_does_not_make_the_reader_look_for_other_files(tmp_path, monkeypatch):
    # ASE would take the symbols from a POTCAR or OUTCAR in the working directory.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "POTCAR").write_text("  PAW_PBE Au 04Oct2007\n VRHFIN =Au:\n")

    assert "names no elements" in refusal("POSCAR", POSCAR.replace("W\n2\n", "2\n"))


def test_checks_pass_for_every_example():
    for configuration in examples().values():
        assert all(check.is_fine for check in check_structure(configuration)), configuration.config_id


def test_check_warns_of_atoms_that_nearly_overlap():
    configuration = read_structure("w2.xyz", b"2\n\nW 0 0 0\nW 0 0 1.2\n")

    (distances,) = (c for c in check_structure(configuration) if c.name == "Distances")
    assert not distances.is_fine
    assert "1.20 Å" in distances.text


def test_format_of_a_molecule_written_by_ase_is_recognised():
    text = StringIO()
    molecule("H2O").write(text, format="extxyz")

    assert file_format("structure", text.getvalue()) == "extxyz"
