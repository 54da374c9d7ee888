"""Kinds of trouble with structure files, two or more examples of each beside the cases."""

import numpy as np
import pytest

from engine.errors import DatasetError
from engine.readers.checks import check_structure
from engine.readers.uploads import read_upload

SITES = "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
LABELS = SITES.replace("_atom_site_type_symbol\n", "")
CUBIC = (90, 90, 90)


def cif(lengths: tuple[float, ...], angles: tuple[float, ...], head: str, rows: str, sites: str = SITES) -> str:
    """A CIF of a cell, some lines and the rows of its sites."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = "".join(f"_cell_{name} {value}\n" for name, value in zip(names, (*lengths, *angles), strict=True))
    return f"data_made\n{cell}{head}\n{sites}{rows}\n"


def read(name: str, text: str):
    return read_upload(name, text.encode())


def formula(upload) -> str:
    return next(check.text for check in upload.checks if check.name == "Atoms").split(": ")[1]


def refusal(name: str, text: str) -> str:
    with pytest.raises(DatasetError) as caught:
        read(name, text)
    return str(caught.value)


def warned(upload) -> str:
    return "; ".join(check.text for check in upload.checks if not check.is_fine)


# CIF: what its symmetry is


@pytest.mark.parametrize(
    ("lengths", "angles", "head", "rows", "expected"),
    [
        # P 1 in four ways, each periodic
        ((4.05,) * 3, CUBIC, "_space_group_name_H-M_alt 'P 1'", "Al1 Al 0 0 0\nAl2 Al 0.5 0.5 0", "Al2"),
        ((2.9,) * 3, CUBIC, "_symmetry_Int_Tables_number 1", "Al1 Al 0 0 0", "Al1"),
        ((2.9,) * 3, CUBIC, "loop_\n_space_group_symop_operation_xyz\n'x, y, z'", "Al1 Al 0 0 0", "Al1"),
        ((2.9,) * 3, CUBIC, "_space_group_name_Hall 'P 1'", "Al1 Al 0 0 0", "Al1"),
        # Hall symbols alone
        ((2.95, 2.95, 4.68), (90, 90, 120), "_space_group_name_Hall '-P 6c 2c'", "Ti1 Ti 0.333 0.667 0.25", "Ti2"),
        ((5.43,) * 3, CUBIC, "_symmetry_space_group_name_Hall '-F 4vw 2vw 3'", "Si1 Si 0.125 0.125 0.125", "Si8"),
        # origins, in the words of databases
        ((5.43,) * 3, CUBIC, "_space_group_name_H-M_alt 'F d -3 m S'", "Si1 Si 0 0 0", "Si8"),
        ((5.43,) * 3, CUBIC, "_space_group_name_H-M_alt 'F d -3 m Z'", "Si1 Si 0.125 0.125 0.125", "Si8"),
        ((5.43,) * 3, CUBIC, "_space_group_name_H-M_alt 'Fd-3m'\n_chemical_formula_sum Si\n_cell_formula_units_Z 8",
         "Si1 Si 0 0 0", "Si8"),
        ((3.1, 3.1, 5.0), CUBIC, "_symmetry_space_group_name_H-M 'P 4/n m m :2'\n_chemical_formula_sum Fe2",
         "Fe1 Fe 0.75 0.25 0", "Fe2"),
        # both axes of a rhombohedral lattice, marked or told by the cell
        ((4.3, 4.3, 11.2), (90, 90, 120), "_symmetry_space_group_name_H-M 'R -3 m H'", "Sb1 Sb 0 0 0.233", "Sb6"),
        ((4.3, 4.3, 11.2), (90, 90, 120), "_symmetry_space_group_name_H-M 'R-3m'", "Sb1 Sb 0 0 0.233", "Sb6"),
        ((4.5,) * 3, (57.1,) * 3, "_symmetry_space_group_name_H-M 'R -3 m'", "Sb1 Sb 0.233 0.233 0.233", "Sb2"),
        ((4.5,) * 3, (57.1,) * 3, "_symmetry_Int_Tables_number 166", "Sb1 Sb 0.233 0.233 0.233", "Sb2"),
        # full Hermann-Mauguin names
        ((3.3,) * 3, CUBIC, "_symmetry_space_group_name_H-M 'I 4/m -3 2/m'", "Nb1 Nb 0 0 0", "Nb2"),
        ((3.52,) * 3, CUBIC, "_space_group_name_H-M_full 'F4/m-32/m'", "Ni1 Ni 0 0 0", "Ni4"),
        ((2.7, 2.7, 4.3), (90, 90, 120), "_space_group_name_H-M_alt 'P 6_3/m 2/m 2/c'", "Co1 Co 0.33333 0.66667 0.25",
         "Co2"),
        ((4.3, 4.3, 11.2), (90, 90, 120), "_symmetry_space_group_name_H-M 'R -3 2/m :H'", "Sb1 Sb 0 0 0.233", "Sb6"),
        # unlooped tags in either dictionary
        ((3.3,) * 3, CUBIC, "_space_group_symop_operation_xyz 'x,y,z'", "Nb1 Nb 0 0 0\nNb2 Nb 0.5 0.5 0.5", "Nb2"),
        ((3.3,) * 3, CUBIC, "_space_group.IT_number 229", "Nb1 Nb 0 0 0", "Nb2"),
        # the file's formula chooses between a list of one operation and a name
        ((3.52,) * 3, CUBIC, "_space_group_name_H-M_alt 'F m -3 m'\n_symmetry_equiv_pos_as_xyz 'x,y,z'\n"
         "_chemical_formula_sum Ni4", "Ni1 Ni 0 0 0", "Ni4"),
        ((3.52,) * 3, CUBIC, "_symmetry_equiv_pos_as_xyz 'x,y,z'\n_space_group_IT_number 225",
         "Ni1 Ni 0 0 0\nNi2 Ni .5 .5 0\nNi3 Ni .5 0 .5\nNi4 Ni 0 .5 .5", "Ni4"),
        # rows that are images of each other count once
        ((2.9,) * 3, CUBIC, "_space_group_IT_number 229\n_chemical_formula_sum Fe2", "Fe1 Fe 0 0 0\nFe2 Fe .5 .5 .5",
         "Fe2"),
    ],
)  # fmt: skip
def test_symmetry_is_understood(lengths, angles, head, rows, expected):
    upload = read("made.cif", cif(lengths, angles, head, rows))

    assert formula(upload) == expected
    assert upload.configuration.pbc == (True, True, True)
    assert not warned(upload)


@pytest.mark.parametrize(
    ("lengths", "angles", "head", "rows", "said"),
    [
        ((5.43,) * 3, CUBIC, "_space_group_IT_number 227", "Si1 Si 0 0 0", "2 ways (Si8 by F d -3 m:1"),
        ((7.0,) * 3, CUBIC, "_symmetry_space_group_name_H-M Fd-3m", "Mg1 Mg 0 0 0\nCu1 Cu .625 .625 .625",
         "in 2 ways"),
        ((7.0,) * 3, CUBIC, "_symmetry_space_group_name_H-M 'F d -3 m :1'\n_chemical_formula_sum 'Mg8 Cu16'",
         "Mg1 Mg 0.125 0.125 0.125\nCu1 Cu 0.5 0.5 0.5", "make Mg16Cu8"),
        ((3.52,) * 3, CUBIC, "_space_group_name_H-M_alt 'F m -3 m'\n_symmetry_equiv_pos_as_xyz 'x,y,z'", "Ni1 Ni 0 0 0",
         "in 2 ways (Ni1 by P 1"),
        ((3.0,) * 3, CUBIC, "_space_group_name_H-M_alt 'P 63/m m c'", "Ti1 Ti 0.3 0.6 0.2", "not have the symmetry"),
        ((4.5,) * 3, (57.1,) * 3, "_space_group_name_H-M_alt 'R -3 m :H'", "Sb1 Sb .2 .2 .2", "not have the symmetry"),
        ((4.0,) * 3, CUBIC, "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-y,x,z", "W1 W 0 0.1 0", "are no group"),
        ((4.0,) * 3, CUBIC, "_symmetry_equiv_pos_as_xyz 'x,y,2*z'", "W1 W 0 0.1 0", "changes the volume"),
        ((4.0,) * 3, CUBIC, "_space_group_name_H-M_alt 'Q 4'", "W1 W 0 0 0", "is not known"),
        ((4.0,) * 3, CUBIC, "_space_group_name_Hall 'P 9z'", "W1 W 0 0 0", "cannot be read"),
        ((4.0,) * 3, CUBIC, "_space_group_IT_number 231", "W1 W 0 0 0", "expected 1 to 230"),
        ((6.2, 7.0, 9.0), CUBIC, "_space_group_name_H-M_alt 'I 2/q'\n_space_group_IT_number 15", "W1 W 0 0 0",
         "is not known; list"),
        # two words of the file that mean different groups or origins
        ((4.0,) * 3, CUBIC, "_space_group_name_H-M_alt 'P m -3 m'\n_space_group_IT_number 222", "W1 W 0.1 0.1 0.1",
         "in 3 ways"),
        ((7.0,) * 3, CUBIC, "_space_group_name_Hall 'F 4d 2 3 -1d'\n_space_group_name_H-M_alt 'F d -3 m :2'",
         "Mg1 Mg 0.125 0.125 0.125\nCu1 Cu 0.5 0.5 0.5", "in 2 ways"),
        ((3.3,) * 3, CUBIC, "_space_group_name_Hall '-I 4 2 3'\n_space_group_name_H-M_alt 'P 1'", "Ta1 Ta 0 0 0",
         "in 2 ways"),
        # the file's own formula, Z and volume
        ((3.3,) * 3, CUBIC, "_chemical_formula_sum 'Nb2'", "Nb1 Nb 0 0 0", "make Nb1"),
        ((3.3,) * 3, CUBIC, "_chemical_formula_sum 'Nb Ti'", "Nb1 Nb 0 0 0\nNb2 Nb 0.5 0.5 0.5", "make Nb2"),
        ((3.3,) * 3, CUBIC, "_chemical_formula_sum Nb\n_cell_formula_units_Z 4",
         "Nb1 Nb 0 0 0\nNb2 Nb .5 0 0", "Z = 4"),
        ((3.3,) * 3, CUBIC, "_cell_volume 71.9", "Nb1 Nb 0 0 0", "its _cell_volume is 71.90"),
        # words too few or too many
        ((3.3,) * 3, CUBIC, "", "Nb1 Nb 0 0 0\nNb2 Nb 0.5 0.5", "number of values"),
        ((3.3,) * 3, CUBIC, "", "Nb1 Nb 0 0 0 extra\nNb2 Nb .5 .5 .5", "number of values"),
        ((3.3,) * 3, CUBIC, "_cell_length_a 4", "Nb1 Nb 0 0 0", "duplicate tag"),
        ((3.3,) * 3, ("?", 90, 90), "", "Nb1 Nb 0 0 0", "_cell_angle_alpha is ''"),
        ((3.3,) * 3, CUBIC, "", "Nb1 Nb 0 0 ?", "z of site Nb1"),
    ],
)  # fmt: skip
def test_symmetry_or_contents_that_do_not_fit_are_refused(lengths, angles, head, rows, said):
    assert said in refusal("made.cif", cif(lengths, angles, head, rows))


# CIF: which element a site is


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("CU1 CU 0 0 0", "Cu1"),
        ("HF1 HF 0 0 0", "Hf1"),
        ("NB1 nb 0 0 0", "Nb1"),
        ("Fe1 Fe3+ 0 0 0", "Fe1"),
        ("Zr1 Zr0+ 0 0 0\nO1 O2- .5 .5 .5", "O1Zr1"),
        ("Ti1 Ti 0 0 0\nD1 D 0.5 0.5 0.5", "H1Ti1"),
    ],
)
def test_type_symbols_are_read(rows, expected):
    assert formula(read("made.cif", cif((3.6,) * 3, CUBIC, "_space_group_IT_number 1", rows))) == expected


@pytest.mark.parametrize(
    ("head", "rows", "expected"),
    [
        ("", "Co1 0 0 0\nCr1 0.5 0.5 0.5", "Cr1Co1"),
        ("_chemical_formula_sum 'Os Pt'", "OS1 0 0 0\nPT1 0.5 0.5 0.5", "Os1Pt1"),
        ("_chemical_formula_sum 'Nb O'", "NB1 0 0 0\nOW1 0.5 0.5 0.5", "O1Nb1"),
    ],
)
def test_labels_say_the_element_where_they_or_the_formula_are_sure(head, rows, expected):
    assert formula(read("made.cif", cif((3.6,) * 3, CUBIC, head, rows, LABELS))) == expected


@pytest.mark.parametrize(
    ("sites", "rows", "said"),
    [
        (LABELS, "CU1 0 0 0", "'CU1' does not say its element"),
        (LABELS, "PO1 0 0 0", "'PO1' does not say its element"),
        (LABELS, "OW1 0 0 0", "'OW1' does not say its element"),
        (LABELS, "Vac1 0 0 0", "a vacancy (Vac)"),
        (SITES, "Vac1 X 0 0 0", "a vacancy (X)"),
        (SITES, "Co1 C 0 0 0", "a letter may be lost"),
        (SITES, "M1 Mo/Nb 0 0 0", "mixed site"),
        (SITES, "M1 '0.5Ta+0.5W' 0 0 0", "mixed site"),
        (SITES, "Ti,V1 Ti 0 0 0", "mixed site"),
        (SITES, "Ti1 Ti 0 0 0\nV1 V 0 0 0", "mixed site: Ti and V"),
        (SITES, "M1 M 0 0 0", "is no element"),
        (SITES + "_atom_site_occupancy\n", "Ti1 Ti 0 0 0 0.6\nV1 V 0 0 0 0.4", "partly occupied"),
        (SITES + "_atom_site_occupancy\n", "Ti1 Ti 0 0 0 0.95(1)", "partly occupied"),
        (SITES + "_atom_site_occupancy\n", "Ti1 Ti 0 0 0 2", "the occupancy 2"),
        (SITES + "_atom_site_calc_flag\n", "Ti1 Ti 0 0 0 dum", "is a dummy"),
        (SITES + "_atom_site_disorder_group\n", "Ti1 Ti 0 0 0 1\nTi2 Ti .3 .5 .5 2", "disorder"),
    ],
)
def test_sites_that_are_no_full_atom_of_one_element_are_refused(sites, rows, said):
    assert said in refusal("made.cif", cif((3.6,) * 3, CUBIC, "_space_group_IT_number 1", rows, sites))


def test_multiplicities_that_differ_are_shown():
    sites = SITES + "_atom_site_symmetry_multiplicity\n"
    upload = read("made.cif", cif((3.3,) * 3, CUBIC, "_space_group_IT_number 221", "Nb1 Nb 0 0 0 2", sites))

    assert "Nb1 has 1 images, the file says 2" in warned(upload)


# POSCAR


def poscar(**changes: str) -> str:
    """B2 MoTi with some of its lines changed: by number, or `after` the positions."""
    lines = ["MoTi", "1.0", "3.1 0 0", "0 3.1 0", "0 0 3.1", "Mo Ti", "1 1", "Direct", "0 0 0", "0.5 0.5 0.5"]
    for key, line in changes.items():
        if key != "after":
            lines[int(key.removeprefix("line")) - 1] = line
    return "\n".join(lines) + "\n" + changes.get("after", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"line2": "1.0 ! scale", "line6": "Mo Ti # species", "line7": "1 1 ! atoms"},
        {"line2": f"-{3.1**3:.6f}"},
        {"line2": "3.1 3.1 3.1", "line3": "1 0 0", "line4": "0 1 0", "line5": "0 0 1"},
        {"line3": "3.10000000-0.00000000-0.00000000", "line4": "0.0000000003.1000000000.000000000"},
        {"line6": "Mo_pv Ti_sv/0d83b", "line8": "Selective dynamics\nDirect"},
        {"line8": "Selective\ndirect", "line9": "0 0 0 T T F", "line10": ".5 .5 .5 F F F"},
        {"line9": "0 0 0 Mo1", "line10": "0.5 0.5 0.5 Ti"},
        {"line8": "Cartesian", "line10": "1.55D0 1.55 1.55E+00"},
        {"after": "\n  0.0 0.0 0.0\n  0.1 0.0 0.0\n"},
        {"after": "\nspace group Pm-3m\n"},
        {"after": "Lattice velocities and vectors\n 1\n" + " 0.0 0.0 0.0\n" * 6},
    ],
)
def test_poscar_is_read_as_vasp_reads_it(changes):
    upload = read("POSCAR", poscar(**changes))

    assert upload.configuration.numbers.tolist() == [42, 22]
    np.testing.assert_allclose(upload.configuration.cell, 3.1 * np.eye(3), atol=1e-6)
    np.testing.assert_allclose(upload.configuration.positions[1], [1.55] * 3, atol=1e-6)
    assert not warned(upload)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"line6": "Mo"}, "line 6 names 1 element, but line 7 holds 2 numbers"),
        ({"line6": "Mo Ti V"}, "line 6 names 3 elements"),
        ({"line7": "1"}, "line 7 holds 1 number"),
        ({"line7": "1 x"}, "line 7 holds 1 number"),
        ({"line7": "one one"}, "line 7 should hold"),
        ({"line6": "Mo Va"}, "stands for a vacancy"),
        ({"line6": "Mo Qx"}, "'Qx' in line 6 is no element"),
        ({"line6": "1 1"}, "names no elements in line 6"),
        ({"line3": "3.1 0"}, "line 3 should hold a lattice vector"),
        ({"line3": "3,1 0 0"}, "line 3 should hold a lattice vector"),
        ({"line2": "0"}, "line 2 should hold a scaling factor"),
        ({"line8": "0 0 0"}, "line 8 should say Direct or Cartesian"),
        ({"line10": "0.5 0.5"}, "line 10 should hold the position of atom 1"),
        ({"line7": "1 2"}, "line 11 should hold the position of atom 2"),
        ({"after": "0.2 0.2 0.2\n"}, "line 11 holds another position"),
        ({"line9": "0 0 0 Ti", "line10": "0.5 0.5 0.5 Mo"}, "line 9 labels an atom as Ti"),
        ({"after": poscar()}, "a second structure from line 11"),
        ({"after": "\n" + poscar()}, "a second structure from line 12"),
        ({"after": "Direct configuration= 2\n0 0 0\n.5 .5 .5\n"}, "is an XDATCAR"),
    ],
)
def test_poscar_that_says_two_things_is_refused_with_its_line(changes, said):
    assert said in refusal("POSCAR", poscar(**changes))


def test_deuterium_is_hydrogen_and_is_said():
    upload = read("POSCAR", poscar(line6="Ti D"))

    assert formula(upload) == "H1Ti1"
    assert any("D (deuterium) is read as H" in check.text for check in upload.checks)


def test_a_left_handed_cell_is_said():
    upload = read("POSCAR", poscar(line3="0 3.1 0", line4="3.1 0 0"))

    assert any("left-handed" in check.text for check in upload.checks)


# XYZ


@pytest.mark.parametrize(
    "comment",
    [
        'Lattice = "3.1 0 0 0 3.1 0 0 0 3.1"',
        "Lattice='3.1 0 0 0 3.1 0 0 0 3.1' pbc='T T T'",
        'lattice ="3.1 0 0 0 3.1 0 0 0 3.1" pbc = [T, T, T]',
        'Properties = species:S:1:pos:R:3 author="Weiß" Lattice="3.1 0 0 0 3.1 0 0 0 3.1"pbc=T',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_a_lattice_is_found(comment, encoding):
    upload = read_upload("x.xyz", f"2\n{comment}\nMo 0 0 0\nTi 1.55 1.55 1.55\n".encode(encoding))

    np.testing.assert_allclose(upload.configuration.cell, 3.1 * np.eye(3))
    assert upload.configuration.pbc == (True, True, True)


@pytest.mark.parametrize("comment", ['cell="3.1 3.1 3.1"', "Lattice: 3.1 0 0 0 3.1 0 0 0 3.1", "box 3.1 3.1 3.1"])
def test_a_cell_that_is_not_understood_makes_no_cluster(comment):
    assert 'Lattice="ax ay az' in refusal("x.xyz", f"2\n{comment}\nMo 0 0 0\nTi 1.55 1.55 1.55\n")


@pytest.mark.parametrize("comment", ["", "energy of the unit cell", 'Lattice="9 0 0 0 9 0 0 0 9" pbc="F F F"'])
def test_a_cluster_is_warned_of(comment):
    assert "not periodic" in warned(read("x.xyz", f"2\n{comment}\nMo 0 0 0\nTi 1.55 1.55 1.55\n"))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("movie.xyz", "1\n\nW 0 0 0\n" * 3, ["3 structures", "ase convert -n -1 movie.xyz"]),
        ("movie.extxyz", "1\n\nW 0 0 0\n\n1\n\nW 0 0 1\n", ["2 structures"]),
        ("XDATCAR1", "a\n1\n3 0 0\n0 3 0\n0 0 3\nW\n1\nDirect configuration= 1\n0 0 0\n", ["XDATCAR", "1 structure"]),
        ("two.cif", cif((3.0,) * 3, CUBIC, "", "W1 W 0 0 0") + cif((3.0,) * 3, CUBIC, "", "W1 W 0 0 0")
         .replace("data_made", "data_two"), ["2 structures"]),
        ("dump", "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\n", ["a LAMMPS dump", "lammps-dump-text"]),
        ("in.data", "made\n\n2 atoms\n1 atom types\n0 3 xlo xhi\n", ["a LAMMPS data file", "lammps-data"]),
        ("x.xsf", "CRYSTAL\nPRIMVEC\n3 0 0\n", ["XCrySDen", "ase convert"]),
        ("x.pdb", "CRYST1    3.000    3.000    3.000\nATOM      1\n", ["a PDB file"]),
        ("vasprun.xml", '<?xml version="1.0"?>\n<modeling>\n', ["a vasprun.xml", "ase convert -n -1"]),
        ("OUTCAR", " vasp.6.4.2 20Jul23\n POTCAR:    PAW_PBE W\n", ["an OUTCAR"]),
        ("pw.in", "&control\n/\n&system\n/\n", ["Quantum ESPRESSO"]),
        ("geometry.in", "lattice_vector 3 0 0\n", ["FHI-aims"]),
        ("list.json", '[{"structure": {"@module": "pymatgen.core.structure", "lattice": {}}}]', ["JSON of pymatgen"]),
        ("x.txt", "some words\n", ["no format that is read here"]),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)  # fmt: skip
def test_trajectories_and_other_formats_are_named_with_a_way_out(name, data, said):
    message = refusal(name, data)

    assert [words for words in said if words not in message] == []


# What is looked at


def test_one_lone_atom_beside_a_solid_is_warned_of():
    rows = "Cu 0 0 0\nCu 1.8 1.8 0\nCu 1.8 0 1.8\nCu 0 1.8 1.8\nCu 1 1 14\n"
    upload = read("x.xyz", f'5\nLattice="3.6 0 0 0 3.6 0 0 0 26"\n{rows}')

    assert "no neighbour within 6 Å" not in warned(upload)  # its own images are 3.6 Å away
    upload = read("x.xyz", f'5\nLattice="12 0 0 0 12 0 0 0 26"\n{rows}')
    assert "no neighbour within 6 Å of atom 4 (Cu)" in warned(upload)


@pytest.mark.parametrize(("height", "is_fine"), [(9.0, False), (16.0, True)])
def test_vacuum_is_shown_and_thin_vacuum_is_warned_of(height, is_fine):
    upload = read("x.xyz", f'2\nLattice="2.5 0 0 0 2.5 0 0 0 {height}"\nCu 0 0 0\nCu 1.25 1.25 1.8\n')

    (check,) = (check for check in upload.checks if check.name == "Vacuum")
    assert check.is_fine is is_fine
    assert f"{height - 1.8:.1f} Å between layers of atoms along c" in check.text


def test_atoms_far_apart_are_warned_of_as_an_error_of_units():
    upload = read("x.xyz", '1\nLattice="5.98 0 0 0 5.98 0 0 0 5.98"\nW 0 0 0\n')  # bcc in bohr

    assert "shortest W–W 5.98 Å" in warned(upload)


def test_checks_are_the_same_for_a_structure_that_was_read_before():
    upload = read("POSCAR", poscar())

    assert tuple(check_structure(upload.configuration)) == upload.checks[-3:]


# Files as VASP 4, Fortran and scripts write them


@pytest.mark.parametrize(("line6", "title", "counts"), [("2", "W", "1 numbers"), ("1 1", "NiAl B2", "2 numbers")])
def test_a_poscar_without_symbols_says_how_to_add_them(line6, title, counts):
    text = f"{title}\n1.0\n3 0 0\n0 3 0\n0 0 3\n{line6}\nDirect\n0 0 0\n0.5 0.5 0.5\n"
    said = refusal("POSCAR", text)
    assert "Insert a line before it" in said
    assert counts in said
    assert title in said


@pytest.mark.parametrize(("place", "is_odd"), [("1.6 1.6 1.6", True), ("0 0 -1.5", True), ("1.0 0.5 -0.5", False)])
def test_direct_coordinates_far_outside_the_cell_are_a_question(place, is_odd):
    text = f"t\n1.0\n3.2 0 0\n0 3.2 0\n0 0 3.2\nW\n2\nDirect\n0 0 0\n{place}\n"
    assert ("are they Cartesian" in warned(read("POSCAR", text))) is is_odd


@pytest.mark.parametrize(
    "lattice",
    ['"3.2D0 0 0 0 3.2d+00 0 0 0 0.32D1"', '"3.2, 0, 0, 0, 3.2, 0, 0, 0, 3.2"', "{3.2 0 0 0 3.2 0 0 0 3.2}"],
)
def test_a_lattice_with_fortran_exponents_commas_or_braces_is_read(lattice):
    found = read("w.xyz", f"2\nLattice={lattice}\nW 0 0 0\nW 1.6D0 1.6 0.16d+1\n").configuration
    np.testing.assert_allclose(found.cell, 3.2 * np.eye(3))
    np.testing.assert_allclose(found.positions[1], [1.6, 1.6, 1.6])


@pytest.mark.parametrize(
    ("info", "rows", "said"),
    [
        ('Lattice="3.2 3.2 3.2 90 90 90"', "W 0 0 0", "is not nine numbers. Write"),
        ("Lattice=[[3,0,0],[1,3,0],[0,0,3]]", "W 0 0 0", "is not nine numbers. Write"),
        ('pbc="T T T"', "W 0 0 0", 'or pbc="F F F" for a molecule'),
        ('Lattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3:Z:I:1', "W 0 0 0 73", "atom 0 is W"),
        ('Lattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3:Z:I:1', "Ni 0 0 0 27", "Z=27. Mend"),
        ('Lattice="3 0 0 0 3 0 0 0 3"', "NI 0 0 0", "atom 0). Write symbols as in 'Ni'"),
        ('Lattice="3 0 0 0 3 0 0 0 3"', "w1 0 0 0", "Write symbols as in 'W'"),
        ('Lattice="3 0 0 0 3 0 0 0 3"', "74 0 0 0", "Z:I:1 in Properties"),
        ('Lattice="3 0 0 0 3 0 0 0 3"', "X 0 0 0", "Delete atoms that stand for vacancies"),
        ('Lattice="3 0 0 0 3 0 0 0 3"', "D 0 0 0", "Write H"),
        ('Lattice="3 0 0 0 3 0 0 0 3"', "W 0 0 ***", "('***'). Mend it"),
        ('Lattice="3 0 0 0 3 0 0 0 3"', "W 0 0 nan", "Delete the configuration"),
    ],
)
def test_extended_xyz_that_cannot_be_meant_is_refused_with_the_next_step(info, rows, said):
    assert said in refusal("w.xyz", f"1\n{info}\n{rows}\n")


@pytest.mark.parametrize("lattice", ["0 0 0 0 0 0 0 0 0", "0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0"])
def test_a_lattice_of_zeros_is_none(lattice):
    upload = read("n2.xyz", f'2\nLattice="{lattice}" pbc="F F F"\nN 0 0 0\nN 0 0 1.1\n')
    assert "not periodic" in warned(upload)


@pytest.mark.parametrize(
    ("head", "rows"),
    [
        ("_chemical_formula_sum Fe\n_cell_formula_units_Z 2", "Fe1 Fe 0 0 0"),
        ("_chemical_formula_sum 'Ni Al'\n_cell_formula_units_Z 4", "Ni1 Ni 0 0 0\nAl1 Al 0.5 0.5 0.5"),
    ],
)
def test_one_formula_unit_where_the_file_says_several_is_refused(head, rows):
    assert "Mend the sites, the symmetry or the formula" in refusal("a.cif", cif((2.87,) * 3, CUBIC, head, rows))


def test_contents_of_the_cell_as_formula_beside_z_are_understood():
    head = "_chemical_formula_sum 'Ni4 Al4'\n_cell_formula_units_Z 4"
    rows = "\n".join(
        f"{s}{k} {s} {x} 0 {z}" for k, x in enumerate((0, 0.25, 0.5, 0.75)) for s, z in (("Ni", 0), ("Al", 0.5))
    )
    assert formula(read("a.cif", cif((11.5, 2.87, 2.87), CUBIC, head, rows))) == "Al4Ni4"


@pytest.mark.parametrize("head", ["_space_group_magn.name_BNS 'I m -3 m'", "_space_group_magn.number_BNS 229.143"])
def test_magnetic_files_are_refused(head):
    assert "list all atoms in P 1" in refusal("a.cif", cif((2.87,) * 3, CUBIC, head, "Fe1 Fe 0 0 0"))


@pytest.mark.parametrize("tag", ["_cell_length_a 3", "_cell_angle_beta 90"])
def test_a_tag_given_twice_is_refused_with_its_line(tag):
    assert "line 8: duplicate tag" in refusal("a.cif", cif((2.87,) * 3, CUBIC, tag, "Fe1 Fe 0 0 0"))


# Files of another kind under a name that is read, and labels that are not clear


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("w.cif", "<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        ("w.xyz", "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "Git LFS"),
        ("w.cif", "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "Git LFS"),
        ("w.castep", " |      CCC   AA    SSS  TTTTT  EEEEE  PPPP        |\n", "an output of CASTEP"),
        ("w.gen", "2 S\nW\n1 1 0 0 0\n2 1 1.6 1.6 1.6\n0 0 0\n3.2 0 0\n0 3.2 0\n0 0 3.2\n", "DFTB+"),
        ("POSCAR", "W\n1\n3 0 0\n0 3 0\n0 0 3\nW\n1\nDirect\n0,0 0,0 0,0\n", "points for decimals"),
    ],
)
def test_a_file_of_another_kind_is_named(name, text, said):
    assert said in refusal(name, text)


CELL = 'Lattice="3.2 0 0 0 3.2 0 0 0 3.2" Properties=species:S:1:pos:R:3'


@pytest.mark.parametrize(
    "labels", ["energy=-25 dft_energy=-26", "mace_energy=-25.1 pbe_energy=-25", "energy_hartree=-1"]
)
def test_a_structure_with_unclear_labels_is_read_without_them(labels):
    upload = read("w.xyz", f"2\n{CELL} {labels}\nW 0 0 0\nW 1.6 1.6 1.6\n")
    assert upload.configuration.energy is None
    assert "compared with none" in warned(upload)
