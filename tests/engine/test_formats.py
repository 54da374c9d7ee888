"""Every format that is read: the same three cells of Cu in each, and each format damaged."""

import json
import sqlite3
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect

from engine.errors import DatasetError
from engine.readers import ingestion
from engine.readers.extxyz import read_extxyz
from engine.readers.formats import READERS

FIXTURES = Path(__file__).parents[1] / "fixtures" / "readers"
FILES = {
    "outcar": "OUTCAR",
    "vasprun": "vasprun.xml",
    "snap-json": "cu-snap.json",
    "ase-db": "cu.db",
    "ase-db as JSON": "cu-database.json",
    "ase-lmdb": "cu.aselmdb",
    "parquet": "cu-records.parquet",
    "parquet, long": "cu-long.parquet",
    "mtp-cfg-cr-co-ni": "cu-as-ni.cfg",
    "pyiron-h5-mg": "Everything.h5",
}
NEEDS = {"ase-lmdb": "lmdb", "pyiron-h5-mg": "h5py"}
NAMED = {"ase-db", "ase-db as JSON", "ase-lmdb", "parquet", "parquet, long"}


GOOD_ROW = {"numbers": [29], "positions": [[0, 0, 0]], "cell": [3, 0, 0, 0, 3, 0, 0, 0, 3], "pbc": [True] * 3}


def reader_of(kind: str) -> str:
    """Name of the reader; kinds of one reader differ by what follows."""
    return kind.split(",")[0].split(" as ")[0]


@pytest.mark.parametrize("kind", FILES)
def test_every_format_gives_the_same_cells(kind: str) -> None:
    pytest.importorskip(NEEDS.get(kind, "ase"))
    expected = read_extxyz(FIXTURES / "cu.extxyz")  # 8 decimals

    found = READERS[reader_of(kind)](FIXTURES / FILES[kind])

    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        assert one.energy == pytest.approx(other.energy, abs=1e-8)
        np.testing.assert_allclose(one.positions, other.positions, atol=2e-8)
        np.testing.assert_allclose(one.cell, other.cell, atol=1e-8)
        np.testing.assert_allclose(one.forces, other.forces, atol=2e-8)
        if kind != "pyiron-h5-mg":
            np.testing.assert_allclose(one.stress, other.stress, atol=2e-8)
        assert one.pbc == (True, True, True)
        if kind in NAMED:
            assert (one.config_id, one.group_name) == (other.config_id, "rattled")


def altered(tmp_path: Path, name: str, *changes: tuple[str, str]) -> Path:
    """A copy of a text fixture with some text replaced."""
    text = (FIXTURES / name).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / name).write_text(text)
    return tmp_path / name


OUTCARS = {
    "unfinished": ([(" General timing", " general timing")], "configuration 2: the run did not finish"),
    "no step": ([("TOTAL-FORCE", "TOTAL-SOURCE")], "holds no ionic step"),
    "no cell": ([("direct lattice", "lost lattice")], "configuration 0: it cannot be read"),
    "stars": (
        [("(sigma->0) =        0.156059018", "(sigma->0) = **************")],
        "configuration 0: it cannot be read",
    ),
    "one energy lost": ([("FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)", "FREE")], "0 of 3 ionic steps"),
    "other number of atoms": ([("ions per type =               4", "ions per type = 5")], "configuration 0: it cannot"),
    "two species, one count": (
        [("  ISPIN", "  POTCAR: PAW_PBE Ni 1\n POTCAR: PAW_PBE Ni 1\n ISPIN")],
        "it cannot be read",
    ),
    "unknown element": ([("PAW_PBE Cu", "PAW_PBE Qq")], "configuration 0: it cannot be read"),
}


@pytest.mark.parametrize(("changes", "message"), OUTCARS.values(), ids=OUTCARS)
def test_damaged_outcar_is_refused(tmp_path: Path, changes: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        READERS["outcar"](altered(tmp_path, "OUTCAR", *changes))
    assert "OUTCAR" in str(caught.value) and "\n" not in str(caught.value)


def test_outcar_takes_no_constraints_from_a_poscar_beside_it(tmp_path: Path) -> None:
    (tmp_path / "POSCAR").write_text("not a POSCAR")

    assert len(READERS["outcar"](altered(tmp_path, "OUTCAR"))) == 3


VASPRUNS = {
    "cut": ([("</modeling>", "")], "it is no complete XML"),
    "no step": ([("calculation>", "lost>")], "holds no ionic step"),
    "no initial structure": ([("initialpos", "finalpos")], "configuration 0: it cannot be read"),
    "words": ([("<c>Cu</c>", "<c>Qq</c>")], "configuration 0: it cannot be read"),
    "entities": ([("<modeling>", '<!DOCTYPE a [<!ENTITY b "c">]>\n<modeling>')], "declares entities"),
    "energy is no number": ([('<i name="e_fr_energy">0.1', '<i name="e_fr_energy">nan 0.1')], "configuration 0"),
    "energy is not finite": ([('<i name="e_0_energy">', '<i name="e_0_energy">inf</i><i name="x">')], "not finite"),
}


@pytest.mark.parametrize(("changes", "message"), VASPRUNS.values(), ids=VASPRUNS)
def test_damaged_vasprun_is_refused(tmp_path: Path, changes: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        READERS["vasprun"](altered(tmp_path, "vasprun.xml", *changes))
    assert "vasprun.xml" in str(caught.value) and "\n" not in str(caught.value)


def test_sqlite_file_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "songs.db"
    connection = sqlite3.connect(path)
    connection.execute("create table songs (title text)")
    connection.commit()
    connection.close()
    before = path.read_bytes()

    with pytest.raises(DatasetError, match="no database of ASE"):
        READERS["ase-db"](path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("name", "kind"), [("cu.db", "ase-db"), ("cu.aselmdb", "ase-lmdb")])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_cut_database_is_refused(tmp_path: Path, name: str, kind: str, share: float) -> None:
    pytest.importorskip(NEEDS.get(kind, "ase"))
    data = (FIXTURES / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(share * len(data))])

    with pytest.raises(DatasetError, match=name):
        READERS[kind](tmp_path / name)


def test_database_row_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cu.db"
    path.write_bytes((FIXTURES / "cu.db").read_bytes())
    connection = sqlite3.connect(path)
    connection.execute("update systems set positions = substr(positions, 1, 40) where id = 2")
    connection.commit()
    connection.close()

    with pytest.raises(DatasetError, match=r"cu\.db, configuration 1"):
        READERS["ase-db"](path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"no zlib", "configuration 0: not JSON packed with zlib"),
        ([1, 2], "configuration 0: it holds a "),
        ({"numbers": [29]}, "configuration 0: it has no positions"),
        (GOOD_ROW | {"numbers": [-1]}, "-1 is not a chemical element"),
        (GOOD_ROW | {"positions": [[0, 0]]}, "positions has 2 numbers"),
        (GOOD_ROW | {"numbers": [2.5]}, "whole numbers"),
        (GOOD_ROW | {"pbc": [True]}, "pbc is not three"),
    ],
    ids=["not packed", "a list", "no positions", "negative number", "flat positions", "fractions", "one pbc"],
)  # fmt: skip
def test_damaged_lmdb_row_is_refused(tmp_path: Path, row: object, message: str) -> None:
    lmdb = pytest.importorskip("lmdb")
    path = tmp_path / "rows.aselmdb"
    with lmdb.open(str(path), subdir=False, map_size=1 << 20) as environment, environment.begin(write=True) as writing:
        writing.put(b"1", row if isinstance(row, bytes) else zlib.compress(json.dumps(row).encode()))
        writing.put(b"nextid", zlib.compress(b"2"))

    with pytest.raises(DatasetError, match=message):
        READERS["ase-lmdb"](path)


def table(name: str) -> dict[str, list[object]]:
    """A parquet fixture as columns."""
    return pq.read_table(FIXTURES / name).to_pydict()


def write_table(tmp_path: Path, columns: dict[str, list[object]]) -> Path:
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


@pytest.mark.parametrize(
    ("drop", "message"), [("z", "lacks the column 'z'"), ("fy", "but lacks 'fy'"), ("cell_bz", "but lacks 'cell_bz'")]
)
def test_long_table_without_a_column_is_refused(tmp_path: Path, drop: str, message: str) -> None:
    columns = table("cu-long.parquet")
    del columns[drop]

    with pytest.raises(DatasetError, match=message):
        READERS["parquet"](write_table(tmp_path, columns))


def test_long_table_whose_energy_differs_between_atoms_is_refused(tmp_path: Path) -> None:
    columns = table("cu-long.parquet")
    columns["energy"][5] = 0.0

    with pytest.raises(DatasetError, match="configuration 1: 'energy' differs"):
        READERS["parquet"](write_table(tmp_path, columns))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("positions", [0.0] * 11, "positions has 11 numbers"),
        ("forces", [0.0] * 9, r"forces has shape \(3, 3\)"),
        ("numbers", [29, 29, 29, 200], "200 is not a chemical element"),
        ("config_id", "cu-0", "id 'cu-0' is that of configuration 0"),
        ("cell", None, "it has no cell"),
        ("stress", [1.0, 2.0], "stress has shape"),
    ],
)
def test_damaged_record_is_refused(tmp_path: Path, name: str, value: object, message: str) -> None:
    columns = table("cu-records.parquet")
    columns[name][1] = value

    with pytest.raises(DatasetError, match=f"configuration 1: .*{message}"):
        READERS["parquet"](write_table(tmp_path, columns))


def test_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingestion, "MAX_BYTES", 100)

    with pytest.raises(DatasetError, match="are read"):
        read_extxyz(FIXTURES / "cu.extxyz")


def test_extxyz_reads_other_names_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "gap.xyz"
    path.write_text(
        '2\nlattice="3 0 0 0 3 0 0 0 3" Properties=Z:I:1:pos:R:3:force:R:3 energy=-5 config_type=sia '
        'virial="27 0 0 0 0 0 0 0 54"\n74 0 0 0 1 0 0\n74 1.5 1.5 1.5 -1 0 0\n'
    )
    (found,) = read_extxyz(path)

    assert (found.energy, found.group_name, found.numbers.tolist()) == (-5.0, "sia", [74, 74])
    np.testing.assert_allclose(found.stress, [-1, 0, -2, 0, 0, 0])  # minus virial over 27 Å^3
    assert found.forces is not None and found.forces[0, 0] == 1


@pytest.mark.parametrize(("name", "value"), [("dft_energy", -7.0), ("REF_energy", 3.0)])
def test_a_database_with_a_second_energy_is_refused(tmp_path: Path, name: str, value: float) -> None:
    atoms = Atoms("Ni", cell=[3, 3, 3], pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-5.0)
    with connect(tmp_path / "two.db") as database:
        database.write(atoms, **{name: value})

    with pytest.raises(DatasetError, match=f"configuration 0: it holds '{name}' .* beside 'energy'"):
        READERS["ase-db"](tmp_path / "two.db")


@pytest.mark.parametrize("apart", [0.0, 0.5])
def test_a_table_with_a_second_energy_is_read_where_both_say_the_same(tmp_path: Path, apart: float) -> None:
    columns = table("cu-long.parquet")
    columns["mace_energy"] = [energy + apart for energy in columns["energy"]]
    path = write_table(tmp_path, columns)

    if not apart:
        assert len(READERS["parquet"](path)) == 3
        return
    with pytest.raises(DatasetError, match="'mace_energy'"):
        READERS["parquet"](path)


def test_text_that_is_no_utf8_in_a_table_is_refused(tmp_path: Path) -> None:
    columns = {"config_id": ["a"], "element": ["Cu"], "x": [0.0], "y": [0.0], "z": [0.0]}
    pq.write_table(pa.table(columns | {"group": [b"\xff\xfe"]}), tmp_path / "t.parquet", compression="none")
    table = pq.read_table(tmp_path / "t.parquet")
    bad = table.set_column(5, "group", table["group"].combine_chunks().view(pa.string()))
    pq.write_table(bad, tmp_path / "t.parquet")
    with pytest.raises(DatasetError, match="is not a parquet file"):
        READERS["parquet"](tmp_path / "t.parquet")


def test_a_damaged_page_of_lmdb_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    content = bytearray((FIXTURES / FILES["ase-lmdb"]).read_bytes())
    refused = 0
    for place in range(4096 * 2, len(content), 64):
        damaged = bytearray(content)
        damaged[place : place + 24] = b"\xff" * 24
        (tmp_path / "d.aselmdb").write_bytes(damaged)
        try:
            READERS["ase-lmdb"](tmp_path / "d.aselmdb")
        except DatasetError:
            refused += 1
    assert refused


def test_a_damaged_schema_of_sqlite_is_one_sentence(tmp_path: Path) -> None:
    content = (FIXTURES / FILES["ase-db"]).read_bytes()
    assert content.count(b"TABLE systems (") == 1
    (tmp_path / "d.db").write_bytes(content.replace(b"TABLE systems (", b"TABLE systems ,", 1))
    with pytest.raises(DatasetError) as caught:
        READERS["ase-db"](tmp_path / "d.db")
    assert "\n" not in str(caught.value)
