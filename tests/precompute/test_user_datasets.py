"""Datasets that a user adds: known to every command afterwards, or refused without a trace."""

import dataclasses
import gzip
import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from engine.data_folder import DataFolder
from engine.errors import DatasetError, EngineError, FetchError, RegistryError, SettingsError
from engine.records import Prediction, read_configurations, write_predictions
from engine.registry.datasets import get_dataset, load_datasets
from engine.registry.models import get_model
from precompute.acquire.datasets import configurations_of, fetch_dataset
from precompute.acquire.user_datasets import Description, Keys, add, find_format, remove
from precompute.acquire.weights import Checkpoint
from precompute.commands import _status
from precompute.jobs import runner
from precompute.jobs.build import build

ROOT = Path(__file__).parents[2]
FIXTURES = Path(__file__).parents[1] / "fixtures" / "readers"
CU = FIXTURES / "cu.extxyz"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    """A data folder with one dataset in it already."""
    root = tmp_path / "data"
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(root))
    add(CU, "first", DataFolder(root))
    return DataFolder(root)


def digest(folder: DataFolder) -> dict[str, str]:
    """Contents of the data folder."""
    files = (path for path in sorted(folder.root.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def frame(comment: str = "", rows: str = "W 0 0 0 0 0 0\nW 1.6 1.6 1.6 0 0 0\n", count: str = "2") -> str:
    """One frame of W with a cell, forces and what is given."""
    head = 'Lattice="3.2 0 0 0 3.2 0 0 0 3.2" Properties=species:S:1:pos:R:3:forces:R:3'
    return f"{count}\n{head} {comment}\n{rows}"


def walk(energy: float = 1.0, forces: float = 1.0, per_atom: bool = False) -> str:
    """Steps of a crystal whose energy is half a spring constant times the squared displacements, in other units."""
    text = ""
    rng = np.random.default_rng(0)
    start = bulk("W", "bcc", a=3.2, cubic=True) * (2, 2, 2)
    moved, drift = rng.normal(scale=0.05, size=(16, 3)), rng.normal(scale=0.01, size=(16, 3))
    for _ in range(10):
        moved = moved + drift - drift.mean(axis=0)
        gone = moved - moved.mean(axis=0)
        rows = np.hstack([start.positions + gone, -3 * gone * forces])
        total = (-200 + 1.5 * float(np.sum(gone**2))) * energy / (16 if per_atom else 1)
        lines = "".join("W " + " ".join(f"{value:.9f}" for value in row) + "\n" for row in rows)
        text += f'16\nLattice="6.4 0 0 0 6.4 0 0 0 6.4" Properties=species:S:1:pos:R:3:forces:R:3 energy={total:.9f}\n'
        text += lines
    return text


GOOD = frame("energy=-25")
MALFORMED: dict[str, tuple[str, bytes | str, str]] = {
    # name: (file name, contents, what is said)
    "empty": ("x.xyz", "", "x.xyz is empty"),
    "white space": ("x.xyz", "\n \n", "in no format"),
    "binary junk": ("x.xyz", bytes(range(1, 250, 3)), "x.xyz"),
    "binary after a count": ("x.xyz", b"2\n\xff\xfe\x00\n", "not UTF-8"),
    "Latin-1": ("x.xyz", frame("energy=-25 who=Byggmästar").encode("latin-1"), "not UTF-8"),
    "UTF-16": ("x.xyz", GOOD.encode("utf-16"), "x.xyz"),
    "a web page": ("x.xyz", "<!doctype html><html></html>", "in no format"),
    "pickle": ("x.pkl", pickle.dumps({"energy": 1}), "is a pickle"),
    "pickle, gzipped": ("x.pckl.gzip", gzip.compress(pickle.dumps([1])), "is a pickle"),
    "zip archive": ("x.zip", b"PK\x03\x04" + b"0" * 50, "is a zip archive"),
    "gzip cut": ("x.xyz.gz", gzip.compress(GOOD.encode())[:-9], "cannot be read"),
    "gzip that explodes": ("x.xyz.gz", gzip.compress(b"1\n\n" + b"0" * (40 << 20)), "no table of numbers"),
    "count in words": ("x.xyz", GOOD + "two\n", "configuration 1: expected a number of atoms"),
    "count of zero": ("x.xyz", "0\n\n", "configuration 0: expected a number of atoms"),
    "huge count": ("x.xyz", frame("energy=-25", count="999999999999"), "the file ends after 2 of 999999999999"),
    "count of 5000 digits": ("x.xyz", "1" * 5000 + "\n\n", "configuration 0: expected a number of atoms"),
    "count too small": ("x.xyz", frame("energy=-25", count="1"), "configuration 1: expected a number of atoms"),
    "cut": ("x.xyz", (GOOD + GOOD)[:-20], "configuration 1"),
    "row too short": ("x.xyz", frame("energy=-25", "W 0 0 0 0 0 0\nW 1 1 1\n"), "atom 1 has 4 columns"),
    "row too long": ("x.xyz", frame("energy=-25", "W 0 0 0 0 0 0\nW 1 1 1 0 0 0 0\n"), "atom 1 has 8 columns"),
    "NaN energy": ("x.xyz", frame("energy=nan"), "energy holds a value that is not finite"),
    "infinite force": ("x.xyz", frame("energy=-25", "W 0 0 0 inf 0 0\nW 1.6 1.6 1.6 0 0 0\n"), "forces holds a value"),
    "NaN position": ("x.xyz", frame("energy=-25", "W nan 0 0 0 0 0\nW 1.6 1.6 1.6 0 0 0\n"), "positions holds"),
    "overflowing number": ("x.xyz", frame("energy=1e999"), "not finite"),
    "energy in words": ("x.xyz", frame("energy=low"), "energy is not made of numbers"),
    "unknown element": ("x.xyz", GOOD.replace("W 0", "Xq 0"), "'Xq' is not a chemical element"),
    "negative atomic number": (
        "x.xyz",
        GOOD.replace("species:S", "Z:I").replace("W ", "-74 "),
        "'-74' is not a chemical",
    ),
    "atomic number 200": ("x.xyz", GOOD.replace("species:S", "Z:I").replace("W ", "200 "), "200 is not a chemical"),
    "zero cell": ("x.xyz", GOOD.replace("3.2 0 0 0 3.2 0 0 0 3.2", "0 0 0 0 0 0 0 0 0"), "its cell spans fewer"),
    "flat cell": ("x.xyz", GOOD.replace("3.2 0 0 0 3.2 0 0 0 3.2", "3 0 0 3 0 0 0 0 3"), "its cell spans fewer"),
    "periodic without a cell": ("x.xyz", '1\npbc="T T T" energy=-1\nW 0 0 0\n', "its cell spans fewer"),
    "short cell": ("x.xyz", GOOD.replace("3.2 0 0 0 3.2 0 0 0 3.2", "3 3 3"), "is not nine numbers"),
    "skew stress": ("x.xyz", frame('energy=-25 stress="0 9 0 0 0 0 0 0 0"'), "stress is not symmetric"),
    "short stress": ("x.xyz", frame('energy=-25 stress="1 2"'), "stress has shape"),
    "absurd stress": ("x.xyz", frame('energy=-25 stress="5e4 0 0 0 0 0"'), "no stress in eV/Å³"),
    "virial of a molecule": ("x.xyz", '1\nenergy=-1 virial="1 0 0 0 1 0 0 0 1"\nW 0 0 0\n', "has a virial but"),
    "repeated id": ("x.xyz", frame("energy=-25 config_id=a") * 2, "id 'a' is that of configuration 0"),
    "id like a path": ("x.xyz", frame("energy=-25 config_id=../../a"), "looks like a path"),
    "id with a control character": ("x.xyz", frame("energy=-25 config_id=a\x07b"), "holds a control character"),
    "id without end": ("x.xyz", frame("energy=-25 config_id=" + "a" * 300), "has 300 characters"),
    "group like a path": ("x.xyz", frame("energy=-25 group=a/../b"), "looks like a path"),
    "no energies": ("x.xyz", frame(), "none has an energy"),
    "energies on some": ("x.xyz", frame("energy=-25 config_id=a") + frame("config_id=b"), "'b' has no energy"),
    "energies under another key": ("x.xyz", frame("dft_energy=-25"), "--reference-key dft_energy"),
    "overlapping atoms": ("x.xyz", GOOD.replace("1.6 1.6 1.6", "0 0 0.1"), "atoms overlap"),
    "cell in nm": ("x.xyz", GOOD.replace("3.2", "0.32").replace("1.6 1.6 1.6", "0.16 0.16 0.16"), "x.xyz"),
    "forces of fixed atoms": ("x.xyz", frame("energy=-25", "W 0 0 0 1 1 1\nW 1.6 1.6 1.6 0 0 0\n"), "do not add up"),
    "energies in meV": ("x.xyz", walk(energy=1e3), "energies in meV"),
    "energies in Hartree": ("x.xyz", walk(energy=1 / 27.2114), "energies in Hartree"),
    "forces in Ry/bohr": ("x.xyz", walk(forces=0.0388938), "forces in Ry/bohr"),
    "forces upside down": ("x.xyz", walk(forces=-1), "the sign is opposite"),
    "energies per atom": ("x.xyz", walk(per_atom=True), "it looks like energies per atom"),
    "JSON of something else": ("x.json", "[1, 2]", "is a list in JSON"),
    "JSON cut": ("x.json", (FIXTURES / "cu-snap.json").read_text()[:900], "is not JSON"),
    "JSON nested without end": ("x.json", "[" * 100_000, "is a list in JSON"),
    "JSON database of something else": ("x.json", '{"a": 1}', "x.json"),
    "SQLite junk": ("x.db", b"SQLite format 3\x00" + b"a" * 500, "damaged SQLite"),
    "parquet junk": ("x.parquet", b"PAR1" + b"a" * 50 + b"PAR1", "not a parquet file"),
    "XML junk": ("x.xml", "<?xml version='1.0'?><a>", "no complete XML"),
    "OUTCAR cut": ("OUTCAR", (FIXTURES / "OUTCAR").read_text()[:3000], "did not finish"),
}


@pytest.mark.parametrize(("name", "contents", "said"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_file_is_refused_without_a_trace(
    folder: DataFolder, tmp_path: Path, name: str, contents: bytes | str, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    before = digest(folder)

    with pytest.raises(EngineError) as caught:
        add(path, "second", folder)

    message = str(caught.value)
    assert said in message and name in message
    assert "\n" not in message
    assert digest(folder) == before
    assert list(load_datasets())[-1] == "first"


def test_the_same_walk_in_the_right_units_is_added(folder: DataFolder, tmp_path: Path) -> None:
    (tmp_path / "walk.xyz").write_text(walk())
    lines: list[str] = []

    assert add(tmp_path / "walk.xyz", "walk", folder, show=lines.append) == "walk: 10 configurations added"
    assert any("Forces against energies  ok       energy changes 1 times as predicted" in line for line in lines)


BAD_IDS = ["", ".", "..", "../x", "/etc/x", "A", "a b", "a_b", "a.b", "a\x00b", "a\n", "é", "-a", "a" * 81]


@pytest.mark.parametrize("dataset_id", BAD_IDS, ids=repr)
def test_id_that_is_no_id_is_refused(folder: DataFolder, dataset_id: str) -> None:
    before = digest(folder)

    with pytest.raises(RegistryError, match="kebab-case"):
        add(CU, dataset_id, folder)
    assert digest(folder) == before


def test_id_of_this_project_is_taken(folder: DataFolder) -> None:
    with pytest.raises(RegistryError, match=r"'w-g' is a dataset of engine/registry/datasets; choose"):
        add(CU, "w-g", folder)


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (Description(label="a\x1b[31m"), "--label holds a control character"),
        (Description(source="x" * 1001), "--source has 1001 characters"),
    ],
)
def test_text_that_cannot_be_shown_is_refused(folder: DataFolder, description: Description, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        add(CU, "second", folder, description=description)


def test_added_dataset_is_what_its_file_says(folder: DataFolder) -> None:
    said = Description(label='My "Cu", Å', functional="PBE", energy_reference="mp", license="CC-BY-4.0", source="me")
    said = dataclasses.replace(said, spin="unpolarised", hubbard_u=False)
    add(CU, "mine", folder, description=said)

    mine = get_dataset("mine")

    assert (mine.label, mine.level.functional, mine.license, mine.source) == ('My "Cu", Å', "PBE", "CC-BY-4.0", "me")
    assert (mine.elements, mine.n_configs, mine.comparable, mine.is_added) == (("Cu",), 3, True, True)
    assert (mine.level.spin, mine.level.hubbard_u) == ("unpolarised", False)
    assert [c.config_id for c in configurations_of(mine, folder)] == ["cu-0", "cu-1", "cu-2"]
    assert fetch_dataset(mine, folder, None) == "mine: added by you, up to date"


def test_adding_again_changes_nothing_and_a_change_needs_consent(folder: DataFolder, tmp_path: Path) -> None:
    before = digest(folder)
    changed = tmp_path / "cu.extxyz"
    changed.write_text(CU.read_text() + "\n")

    assert add(CU, "first", folder) == "first: up to date"
    with pytest.raises(RegistryError, match="its file has changed; give --replace"):
        add(changed, "first", folder)
    with pytest.raises(RegistryError, match="differs in label; give --replace"):
        add(CU, "first", folder, description=Description(label="Other"))
    assert digest(folder) == before

    add(changed, "first", folder, description=Description(label="Other"), replace=True)
    assert get_dataset("first").label == "Other"


def changed_copy(tmp_path: Path) -> Path:
    """The fixture with other numbers: every atom a little elsewhere."""
    path = tmp_path / "cu.extxyz"
    path.write_text(CU.read_text().replace("Cu       0.08", "Cu       0.09"))
    return path


def test_a_replacement_killed_between_its_two_files_is_noticed_and_mended(folder: DataFolder, tmp_path: Path) -> None:
    program = (
        "import os; from pathlib import Path; from precompute.acquire import user_datasets as u; "
        "from engine.data_folder import DataFolder; u.write_entries = lambda *a: os.kill(os.getpid(), 9); "
        f"u.add(Path({str(changed_copy(tmp_path))!r}), 'first', DataFolder.default(), replace=True)"
    )
    old = read_configurations(folder.configurations("first"))

    killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)

    assert killed.returncode == -9  # other rows lie under the old entry now
    assert read_configurations(folder.configurations("first"))[0].geometry_hash != old[0].geometry_hash
    with pytest.raises(FetchError, match="not those that were added"):
        configurations_of(get_dataset("first"), folder)
    with pytest.raises(FetchError, match="--id first --replace"):
        fetch_dataset(get_dataset("first"), folder, None)
    assert add(CU, "first", folder) == "first: 3 configurations added"
    assert [c.geometry_hash for c in configurations_of(get_dataset("first"), folder)] == [c.geometry_hash for c in old]


def test_configurations_that_were_cut_are_not_up_to_date(folder: DataFolder) -> None:
    stored = folder.configurations("first")
    stored.write_bytes(stored.read_bytes()[:-100])

    with pytest.raises(FetchError, match="checksum"):
        configurations_of(get_dataset("first"), folder)
    assert add(CU, "first", folder) == "first: 3 configurations added"
    assert len(configurations_of(get_dataset("first"), folder)) == 3


def test_after_a_replacement_with_moved_atoms_only_what_moved_is_run_again(folder: DataFolder, tmp_path: Path) -> None:
    emt, before = get_model("emt"), configurations_of(get_dataset("first"), folder)
    done = [Prediction(c.config_id, c.geometry_hash, "ok", energy=0.0) for c in before]
    target = folder.predictions("first", "emt", Checkpoint(emt, folder).fingerprint)
    write_predictions(target / "a.parquet", done)
    add(changed_copy(tmp_path), "first", folder, replace=True)
    after = configurations_of(get_dataset("first"), folder)
    moved = [c.config_id for c, old in zip(after, before, strict=True) if c.geometry_hash != old.geometry_hash]

    task, n_done = runner.plan(emt, {"first": after}, folder)

    assert moved == ["cu-0", "cu-2"]
    assert ({c.config_id for shard, _ in task.shards for c in shard.configurations}, n_done) == (set(moved), 1)
    again = [Prediction(c.config_id, c.geometry_hash, "ok", energy=0.0) for c in after if c.config_id in moved]
    write_predictions(target / "b.parquet", again)
    assert runner.plan(emt, {"first": after}, folder)[1] == 3  # five rows there are, three of them of these structures
    assert _status(get_dataset("first"), emt, folder)["n_done"] == 3


def test_removed_dataset_is_gone(folder: DataFolder) -> None:
    add(CU, "second", folder)
    remove("second", folder)

    assert set(digest(folder)) == {"datasets.toml", "datasets/first.parquet"}
    with pytest.raises(RegistryError, match="'second' is not in"):
        get_dataset("second")
    with pytest.raises(RegistryError, match="No dataset 'w-g' was added"):
        remove("w-g", folder)


def test_entry_that_this_project_takes_over_names_the_way_out(folder: DataFolder) -> None:
    registry = folder.root / "datasets.toml"
    registry.write_text(registry.read_text().replace("[first]", "[w-g]"))

    with pytest.raises(RegistryError, match="add-dataset --remove w-g"):
        load_datasets()
    remove("w-g", folder)
    assert get_dataset("w-g").paper_row == 5


def test_keys_of_labels_can_be_named(folder: DataFolder, tmp_path: Path) -> None:
    text = CU.read_text().replace(" energy=", " dft_energy=").replace(":forces:", ":dft_forces:")
    (tmp_path / "x.xyz").write_text(text)

    add(tmp_path / "x.xyz", "keyed", folder, keys=Keys("dft_energy", "dft_forces"))

    first = configurations_of(get_dataset("keyed"), folder)[0]
    assert first.energy == configurations_of(get_dataset("first"), folder)[0].energy
    assert first.forces is not None
    with pytest.raises(SettingsError, match="concern extended XYZ only"):
        add(FIXTURES / "OUTCAR", "other", folder, keys=Keys("dft_energy"))


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("cu.extxyz", "extxyz"), ("OUTCAR", "outcar"), ("vasprun.xml", "vasprun"), ("cu.db", "ase-db"),
        ("cu-database.json", "ase-db"), ("cu.aselmdb", "ase-lmdb"), ("cu-long.parquet", "parquet"),
        ("cu-snap.json", "snap-json"),
    ],
)  # fmt: skip
def test_format_is_found_without_the_name(tmp_path: Path, name: str, reader: str) -> None:
    path = tmp_path / ("OUTCAR.gz" if name == "OUTCAR" else "unnamed.gz")
    path.write_bytes((FIXTURES / name).read_bytes())

    assert find_format(path) == reader


def test_gzipped_file_is_read_as_what_is_in_it(folder: DataFolder, tmp_path: Path) -> None:
    for name in ("cu.extxyz", "OUTCAR", "vasprun.xml"):
        path = tmp_path / f"{name}.gz"
        path.write_bytes(gzip.compress((FIXTURES / name).read_bytes()))
        assert add(path, name.lower().replace(".", "-"), folder).endswith("3 configurations added")


def test_missing_file_is_refused(folder: DataFolder, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.xyz is not a file"):
        add(tmp_path / "gone.xyz", "second", folder)
    with pytest.raises(DatasetError, match="is not a file"):
        add(tmp_path, "second", folder)


def test_added_dataset_is_in_the_store(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.queries import catalog

    build(folder)

    rows = catalog.datasets().set_index("dataset_id")
    assert rows.loc["first", "n_configs"] == 3
    assert bool(rows.loc["first", "available"])


def test_command_line_adds_and_other_commands_know(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k != "DEFECT_ATLAS_DATA"}
        command = [sys.executable, "-m", "precompute", *arguments, "--data", str(tmp_path / "data")]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    refused = run("add-dataset", str(FIXTURES / "make.py"), "--id", "mine")
    added = run("add-dataset", str(CU), "--id", "mine", "--label", "Mine")
    status = run("status", "--dataset", "mine", "--model", "emt", "--json")

    assert refused.returncode == 1 and refused.stderr.startswith("error: make.py is in no format")
    assert added.returncode == 0 and "Distances                ok" in added.stdout
    assert added.stdout.endswith("mine: 3 configurations added\n")
    assert '"n_configs": 3' in status.stdout


def test_one_process_sees_what_another_adds(folder: DataFolder) -> None:
    assert "later" not in load_datasets()
    code = (
        "from pathlib import Path; from precompute.acquire.user_datasets import add; "
        f"from engine.data_folder import DataFolder; add(Path({str(CU)!r}), 'later', DataFolder.default())"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)

    assert "later" in load_datasets()


def test_descriptions_of_an_entry_are_all_of_its_fields() -> None:
    from engine.registry.datasets import Dataset
    from engine.registry.levels_of_theory import LevelOfTheory

    fields = {field.name for kind in (Dataset, LevelOfTheory) for field in dataclasses.fields(kind)}
    assert {field.name for field in dataclasses.fields(Description)} <= fields
