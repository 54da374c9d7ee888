"""The archive of Open Defects: whole, the same bytes each time, with the metadata that a DOI takes."""

import hashlib
import json
import zipfile

import pytest

from engine.data_folder import EMBEDDED
from engine.errors import SettingsError
from engine.readers.extxyz import read_extxyz
from engine.version import VERSION
from precompute.jobs import archive

DAY = "2026-11-26"


@pytest.fixture(scope="module")
def files():
    return archive.contents(DAY)


def test_two_archives_are_the_same_bytes_and_their_checksums_hold(files, tmp_path):
    for number in range(2):
        archive.write(tmp_path / f"{number}.zip", files if number else dict(reversed(archive.contents(DAY).items())))
    assert (tmp_path / "0.zip").read_bytes() == (tmp_path / "1.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "0.zip") as opened:
        read = {name: opened.read(name) for name in opened.namelist()}
    folder = f"open-defects-{VERSION}/"
    lines = read.pop(f"{folder}SHA256SUMS").decode().splitlines()
    assert dict(line.split("  ")[::-1] for line in lines) == {
        name.removeprefix(folder): hashlib.sha256(data).hexdigest() for name, data in read.items()
    }


def test_it_has_the_labels_their_card_and_nothing_that_is_not_ours(files):
    assert files["open-defects.extxyz"] == (EMBEDDED / "open-defects.extxyz").read_bytes()
    assert files["README.md"] == (EMBEDDED / "README.md").read_bytes()
    assert "predictions/open-defects/chgnet-0.3.0.parquet" in files
    assert "CC-BY-4.0" in files["LICENSE.txt"].decode()
    assert not [name for name in files if name.startswith("summaries")]


def test_the_metadata_have_what_datacite_and_zenodo_require(files):
    datacite = json.loads(files["metadata/datacite.json"])
    # Mandatory properties of DataCite's schema 4, without the DOI, which the repository mints.
    assert {"creators", "titles", "publisher", "publicationYear", "types", "schemaVersion"} <= datacite.keys()
    assert datacite["types"]["resourceTypeGeneral"] == "Dataset"
    assert datacite["publicationYear"] == "2026"
    configurations = read_extxyz(EMBEDDED / "open-defects.extxyz")
    assert datacite["sizes"][0] == f"{len(configurations)} configurations"
    assert [one["relatedIdentifier"] for one in datacite["relatedIdentifiers"]][:1] == ["10.1063/5.0182685"]
    zenodo = json.loads(files["metadata/zenodo.json"])
    # Those that Zenodo's deposit refuses to go without.
    assert {"upload_type", "publication_date", "title", "creators", "description", "access_right"} <= zenodo.keys()
    assert zenodo["license"] == "cc-by-4.0"  # required where access is open
    assert zenodo["version"] == datacite["version"] == VERSION


def test_what_is_no_date_is_refused():
    with pytest.raises(SettingsError, match="YYYY-MM-DD"):
        archive.contents("26.11.2026")
