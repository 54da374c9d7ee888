"""Readers: what they read from small files, and what they refuse."""

import gzip
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase import Atoms

from engine.errors import DatasetError
from engine.readers.extxyz import read_extxyz
from engine.readers.formats import READERS, read
from engine.readers.single_sources import read_metals, read_snap_json, read_w_g, read_zr_h_cfg

FRAMES = """\
2
Lattice="3 0 0 0 3 0 0 0 4" Properties=species:S:1:pos:R:3:REF_forces:R:3 config_id=w-1 group=bulk \
REF_energy=-25.5 REF_stress="1 6 5 6 2 4 5 4 3" pbc="T T T" licence="MIT (repo)"
W 0 0 0 0.1 0 0
W 1.5 1.5 1.5 -0.1 0 0
1
Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 config_id=007 group=slab REF_energy=-1 pbc="T T F"
Mo 1 2 3
2
REF_energy=-3.0
H 0 0 0
O 0 0 1
"""


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    path = tmp_path / "frames.xyz"
    path.write_text(FRAMES)
    return path


def test_extxyz_gives_labels_cell_and_groups(frames: Path) -> None:
    bulk, slab, molecule = read_extxyz(frames)

    assert (bulk.config_id, bulk.group_name, bulk.energy) == ("w-1", "bulk", -25.5)
    assert bulk.forces is not None and bulk.stress is not None
    np.testing.assert_array_equal(bulk.numbers, [74, 74])
    np.testing.assert_array_equal(bulk.forces, [[0.1, 0, 0], [-0.1, 0, 0]])
    np.testing.assert_array_equal(bulk.stress, [1, 2, 3, 4, 5, 6])  # xx, yy, zz, yz, xz, xy
    np.testing.assert_array_equal(bulk.cell, np.diag([3, 3, 4]))
    assert (slab.config_id, slab.pbc, slab.forces) == ("007", (True, True, False), None)
    assert (molecule.config_id, molecule.group_name) == ("frames_0002", "all")
    assert (molecule.energy, molecule.pbc) == (-3.0, (False, False, False))


def test_extxyz_keeps_lattice_vectors_in_rows(tmp_path: Path) -> None:
    path = tmp_path / "skew.xyz"
    path.write_text('1\nLattice="1 2 0 0 3 0 0 0 4"\nW 0 0 0\n')

    assert read_extxyz(path)[0].cell.tolist() == [[1, 2, 0], [0, 3, 0], [0, 0, 4]]


def test_gzipped_extxyz_reads_the_same(frames: Path, tmp_path: Path) -> None:
    packed = tmp_path / "frames.extxyz.gz"
    packed.write_bytes(gzip.compress(frames.read_bytes()))

    assert [c.geometry_hash for c in read_extxyz(packed)] == [c.geometry_hash for c in read_extxyz(frames)]


MALFORMED = {
    "no count": ("two\n", "configuration 0: expected a number of atoms, got 'two'"),
    "count of zero": ("0\n\n", "configuration 0: expected a number of atoms, got '0'"),
    "negative count": ("-1\n\n", "configuration 0: expected a number of atoms, got '-1'"),
    "huge count": ("999999999999\n\nW 0 0 0\n", "the file ends after 1 of 999999999999 atoms"),
    "truncated": (FRAMES + "3\n\nW 0 0 0\n", "configuration 3: the file ends after 1 of 3 atoms"),
    "count alone": ("2", "the file ends after 0 of 2 atoms"),
    "empty": ("", "bad.xyz holds no configuration"),
    "too few columns": ("1\nconfig_id=a\nW 0 0\n", r"\('a'\): atom 0 has 3 columns, Properties announces 4"),
    "too many columns": ("1\nconfig_id=a\nW 0 0 0 0\n", r"\('a'\): atom 0 has 5 columns"),
    "no positions": ("1\nProperties=species:S:1\nW\n", "columns 'species' and 'pos' are needed"),
    "broken Properties": ("1\nProperties=species:S:pos\nW\n", "not a list of name:type:count"),
    "two-column positions": ("1\nProperties=species:S:1:pos:R:2\nW 0 0\n", r"positions has shape \(1, 2\)"),
    "two species columns": ("1\nProperties=species:S:2:pos:R:3\nW W 0 0 0\n", "species has 2 columns"),
    "wrong forces": ("1\nProperties=species:S:1:pos:R:3:forces:R:1\nW 0 0 0 1\n", "forces has shape"),
    "NaN position": ("1\nconfig_id=a\nW 0 0 nan\n", r"\('a'\): positions holds a value that is not finite"),
    "infinite energy": ("1\nenergy=inf\nW 0 0 0\n", "energy holds a value that is not finite"),
    "energy in words": ("1\nenergy=low\nW 0 0 0\n", "energy is not made of numbers"),
    "unknown element": ("1\n\nXy 0 0 0\n", "'Xy' is not a chemical element"),
    "dummy element": ("1\n\nX 0 0 0\n", "'X' is not a chemical element"),
    "short cell": ('1\nLattice="1 2 3"\nW 0 0 0\n', r"cell has shape \(3,\), expected \(9,\)"),
    "unclosed quote": ('1\nLattice="1 2 3\nW 0 0 0\n', r"cell has shape \(1,\)"),
    "flat cell": ('1\nLattice="1 0 0 1 0 0 0 0 1"\nW 0 0 0\n', "periodic along 3 vectors, but its cell"),
    "zero cell": ('1\nLattice="0 0 0 0 0 0 0 0 0"\nW 0 0 0\n', "periodic along 3 vectors, but its cell"),
    "periodic without cell": ('1\npbc="T T T"\nW 0 0 0\n', "periodic along 3 vectors, but its cell"),
    "bad pbc": ('1\npbc="T maybe F"\nW 0 0 0\n', "pbc='T maybe F' is not three truth values"),
    "short stress": ('1\nstress="1 2 3"\nW 0 0 0\n', "stress has shape"),
    "skew stress": ('1\nstress="0 9 0 0 0 0 0 0 0"\nW 0 0 0\n', "stress is not symmetric"),
    "duplicated id": ("1\nconfig_id=a\nW 0 0 0\n" * 2, "configuration 1: id 'a' is that of configuration 0"),
}


@pytest.mark.parametrize(("text", "message"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_extxyz_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.xyz"
    path.write_text(text)

    with pytest.raises(DatasetError, match=message) as caught:
        read_extxyz(path)
    assert "bad.xyz" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"1\n\nW 0 0 \xff\n", "not UTF-8"), (gzip.compress(FRAMES.encode())[:-9], "cannot be read")],
    ids=["encoding", "cut gzip"],
)
def test_unreadable_bytes_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad.xyz"
    path.write_bytes(data)

    with pytest.raises(DatasetError, match=message):
        read_extxyz(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.xyz cannot be read"):
        read_extxyz(tmp_path / "gone.xyz")


def test_metals_keep_their_index_in_the_file(frames: Path) -> None:
    assert [c.config_id for c in read_metals(frames)] == ["w-1", "007"]


def snap_entry(**changes: object) -> dict[str, object]:
    site = {"species": [{"element": "Ni", "occu": 1}], "abc": [0, 0, 0], "xyz": [0.0, 0.0, 0.0]}
    structure = {"lattice": {"matrix": [[3, 0, 0], [0, 3, 0], [0, 0, 3]]}, "sites": [site]}
    outputs = {"energy": -5.5, "forces": [[0.1, 0.0, 0.0]], "stress": [10, 20, 30, 40, 50, 60]}
    return {"structure": structure, "outputs": outputs, "tags": ["relax"]} | changes


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("reader", "shears"),
    [("snap-json", [50, 60, 40]), ("snap-json-lammps-stress", [60, 50, 40])],  # yz, xz, xy
)
def test_snap_stress_turns_from_pressure_in_kbar(tmp_path: Path, reader: str, shears: list[int]) -> None:
    (ni,) = READERS[reader](write_json(tmp_path / "Ni_SS.json", [snap_entry()]))

    assert (ni.config_id, ni.group_name, ni.energy) == ("Ni_SS_0000", "ss_relaxed", -5.5)
    assert ni.stress is not None
    # 1 eV/Å^3 is 1602.1766 kbar.
    np.testing.assert_allclose(ni.stress * -1602.1766, [10, 20, 30, *shears], rtol=1e-6)


def test_snap_layout_with_energy_per_atom(tmp_path: Path) -> None:
    data = {"energy_per_atom": -10.5, "forces": [[0, 0, 0]], "virial_stress": [1, 2, 3, 4, 5, 6]}
    entry = {"structure": snap_entry()["structure"], "data": data, "group": "GB"}
    (mo,) = read_snap_json(write_json(tmp_path / "Mo_GB.json", [entry]))

    assert mo.energy == -10.5
    assert mo.stress is not None and mo.stress[3] == pytest.approx(-4 / 1602.1766)  # already in Voigt order


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds a dict, expected a list"),
        ([], "holds no configuration"),
        ([snap_entry(), {"structure": {}}], "configuration 1: KeyError"),
        (
            [snap_entry(outputs={"energy": -1, "forces": [], "stress": [0] * 6})],
            "configuration 0: forces has",
        ),
        (["text"], "configuration 0: TypeError"),
    ],
    ids=["not a list", "empty", "no sites", "no forces", "text"],
)
def test_malformed_snap_json_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_snap_json(write_json(tmp_path / "bad.json", content))


CFG = """\
BEGIN_CFG
 Size
    2
 Supercell
    2 0 0
    0 2 0
    0 0 2
 AtomData:  id type cartes_x cartes_y cartes_z fx fy fz
    1 0 0 0 0 0.5 0 0
    2 1 1 1 1 -0.5 0 0
 Energy
    -12.5
 PlusStress: xx yy zz yz xz xy
    8 0 0 0 0 -16
END_CFG
"""


def test_zr_h_cfg_divides_virial_by_volume(tmp_path: Path) -> None:
    path = tmp_path / "ZrH.cfg"
    path.write_text(CFG)

    (hydride,) = read_zr_h_cfg(path)

    assert (hydride.config_id, hydride.group_name, hydride.energy) == ("ZrH_0000", "hydride_smallcell", -12.5)
    assert hydride.numbers.tolist() == [40, 1]
    assert hydride.stress == pytest.approx(np.array([-1, 0, 0, 0, 0, 2]))  # eV over 8 Å^3


@pytest.mark.parametrize("cut", ["END_CFG", " Energy\n    -12.5\n", "    2 1 1 1 1 -0.5 0 0\n"])
def test_malformed_cfg_is_refused(tmp_path: Path, cut: str) -> None:
    path = tmp_path / "bad.cfg"
    path.write_text(CFG.replace(cut, ""))

    with pytest.raises(DatasetError, match=r"bad\.cfg, configuration 0"):
        read_zr_h_cfg(path)


def write_table(path: Path, columns: list[str]) -> Path:
    values = {"ase_atoms": Atoms("W2", cell=[3, 3, 3], pbc=True), "energy": -25.0, "forces": np.zeros((2, 3))}
    table = pd.DataFrame({name: pd.Series([values[name]], dtype=object) for name in columns})
    table.columns = pd.Index(columns, dtype=object)
    path.write_bytes(gzip.compress(pickle.dumps(table)))
    return path


def test_w_g_table_is_read(tmp_path: Path) -> None:
    (first,) = read_w_g(write_table(tmp_path / "W_DFT.pckl.gzip", ["ase_atoms", "energy", "forces"]))

    assert (first.config_id, first.group_name, first.energy) == ("W_g_0000", "elastic_eos", -25.0)
    assert first.pbc == (True, True, True)


def test_w_g_table_without_forces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="lacks the columns forces"):
        read_w_g(write_table(tmp_path / "W_DFT.pckl.gzip", ["ase_atoms", "energy"]))


class Malicious:
    """Pickles as a call of os.system."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 1",)


def test_pickle_that_asks_for_other_classes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "W_DFT.pckl.gzip"
    path.write_bytes(pickle.dumps(Malicious()))

    with pytest.raises(DatasetError, match="system is not allowed"):
        read_w_g(path)


def test_read_sets_the_group_of_a_file(frames: Path) -> None:
    assert {c.group_name for c in read(frames, "extxyz", group="gb")} == {"gb"}


def test_unknown_reader_is_refused(frames: Path) -> None:
    with pytest.raises(DatasetError, match="no reader is called 'castep'"):
        read(frames, "castep")
