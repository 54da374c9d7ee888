"""Members of archives: found by name wherever they lie, and never written anywhere else."""

import io
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from engine.data_folder import DataFolder
from engine.errors import FetchError
from engine.registry.datasets import DataFile, get_dataset
from precompute.acquire import archives
from precompute.acquire.archives import unpack, unpack_members, unpacked
from precompute.acquire.datasets import fetch_dataset

FIXTURES = Path(__file__).parents[1] / "fixtures" / "readers"


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(("write", "name"), [(write_zip, "a.zip"), (write_tar, "a.tar.gz")], ids=["zip", "tar"])
def test_members_are_found_by_name_alone(tmp_path: Path, write, name: str) -> None:
    archive = write(tmp_path / name, {"deep/down/b.xyz": b"2", "a.xyz": b"1", "readme.txt": b"x"})

    found = unpack_members(archive, "*.xyz")

    assert [(path.name, path.read_bytes()) for path in found] == [("a.xyz", b"1"), ("b.xyz", b"2")]
    assert unpack_members(archive, "*.xyz") == found


@pytest.mark.parametrize(("write", "name"), [(write_zip, "a.zip"), (write_tar, "a.tar.gz")], ids=["zip", "tar"])
def test_member_that_leads_elsewhere_stays_inside(tmp_path: Path, write, name: str) -> None:
    (tmp_path / "in").mkdir()
    archive = write(tmp_path / "in" / name, {"../../evil.xyz": b"1", "/etc/other.xyz": b"2"})

    assert {path.parent for path in unpack_members(archive, "*.xyz")} == {archive.with_name(name + ".members")}
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("members", "message"),
    [({"a.txt": b"1"}, "holds no '\\*.xyz'; it holds a.txt"), ({"x/a.xyz": b"1", "y/a.xyz": b"2"}, "'a.xyz' twice")],
)
def test_archive_without_what_is_asked_is_refused(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    with pytest.raises(FetchError, match=message):
        unpack_members(write_zip(tmp_path / "a.zip", members), "*.xyz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_archive_that_explodes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SMALL", 1000)
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.xyz", b"0" * (1 << 20))

    with pytest.raises(FetchError, match="unpacks to 1 MB"):
        unpack_members(archive, "*.xyz")


def test_junk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"junk")

    with pytest.raises(FetchError, match=r"a\.zip cannot be unpacked"):
        unpack_members(tmp_path / "a.zip", "*")


def dataset(file: DataFile):
    """W-g's entry with another file."""
    import dataclasses

    return dataclasses.replace(get_dataset("w-g"), dataset_id="toy", files=(file,), n_configs_source=None)


def test_dataset_in_an_archive_gets_a_group_for_each_file(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    text = (FIXTURES / "cu.extxyz").read_text().replace(" group=rattled", "")
    other = text.replace("config_id=cu-", "config_id=other-")
    write_zip(mirror / "t.zip", {"s/Cu.xyz": text.encode(), "s/Other.xyz": other.encode()})
    toy = dataset(DataFile("t.zip", "extxyz", url="https://example.org/t.zip", member="*.xyz"))
    folder = DataFolder(tmp_path / "data")

    assert fetch_dataset(toy, folder, mirror) == "toy: 6 configurations"
    assert fetch_dataset(toy, folder, mirror) == "toy: up to date"


def test_file_without_an_address_names_its_page(tmp_path: Path) -> None:
    toy = dataset(DataFile("cu.extxyz", "extxyz", page="https://example.org/page"))
    folder = DataFolder(tmp_path / "data")

    with pytest.raises(
        FetchError, match=r"download it from https://example\.org/page and give its folder with --mirror"
    ):
        fetch_dataset(toy, folder, None)
    assert fetch_dataset(toy, folder, FIXTURES) == "toy: 3 configurations"


def test_mg_container_is_read_from_an_archive(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    data = (FIXTURES / "Everything.h5").read_bytes()
    write_tar(mirror / "structures_packed.tar.gz", {"structures_packed/structures/Everything.h5": data})

    assert fetch_dataset(get_dataset("mg-randspg"), DataFolder(tmp_path / "data"), mirror).endswith("3 configurations")


def archive(path: Path, kind: str, names: list[str]) -> Path:
    return {"zip": write_zip, "tar": write_tar}[kind](path, {name: name.encode() for name in names})


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_one_directory_of_an_archive_is_unpacked(kind, tmp_path):
    path = archive(tmp_path / "model.archive", kind, ["top/model/a.bin", "top/model/b/c.bin", "top/other.bin"])
    unpack(path, "top/model")
    found = unpacked(path, "top/model")
    assert sorted(p.relative_to(found).as_posix() for p in found.rglob("*.bin")) == ["a.bin", "b/c.bin"]
    assert not unpacked(path, "top/other.bin").exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_only_entry_of_an_archive_needs_no_name(kind, tmp_path):
    path = archive(tmp_path / "model.archive", kind, ["any name/saved_model.pb", "any name/variables/v"])
    unpack(path, "*")
    assert unpacked(path, "*").name == "any name"
    two = archive(tmp_path / "two.archive", kind, ["a", "b"])
    with pytest.raises(FetchError, match=r"holds no '\*'"):
        unpack(two, "*")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_cannot_write_outside_its_folder(kind, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    path = archive(folder / "evil", kind, ["m/a", "m/../../../out"])
    with suppress(FetchError):  # refused, or unpacked without the dots
        unpack(path, "m")
    assert [p for p in tmp_path.rglob("*") if not p.is_relative_to(folder)] == []
    assert not (tmp_path.parent / "out").exists()


def test_an_archive_without_the_member_is_refused(tmp_path):
    path = archive(tmp_path / "model.zip", "zip", ["readme"])
    with pytest.raises(FetchError, match="holds no 'model'; it holds readme"):
        unpack(path, "model")
    path.write_bytes(b"not an archive")
    with pytest.raises(FetchError, match="cannot be unpacked"):
        unpack(path, "model")
