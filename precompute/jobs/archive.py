"""`python -m precompute archive`: Open Defects as one ZIP to deposit, with checksums and the metadata of a DOI.

The same files, version and date give the same bytes on every machine: names are sorted, times are fixed, and nothing is
compressed, since results of compressors differ between their versions.
"""

import argparse
import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from engine.data_folder import EMBEDDED, ROOT
from engine.errors import SettingsError
from engine.files import replacing
from engine.readers.extxyz import read_extxyz
from engine.records import Configuration
from engine.registry.datasets import Dataset, get_dataset
from engine.version import VERSION
from precompute.progress import say

DATASET = "open-defects"
LEFT_OUT = ("summaries",)  # results on data of others, which are not ours to deposit
CREATOR = "The Defect Atlas developers"
SPDX = {"CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/legalcode"}
KEYWORDS = (
    "density functional theory", "crystal defects", "metals", "alloys", "machine-learning interatomic potentials",
    "benchmark",
)  # fmt: skip
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a ZIP can hold
_MODE = 0o100644 << 16


def main(arguments: argparse.Namespace) -> int:
    """Write Open Defects as a ZIP that a repository of data takes: files, card, licence, checksums, metadata."""
    folder = Path(arguments.output)
    day = arguments.date or datetime.now(UTC).date().isoformat()
    files = contents(day)
    path = folder / f"{name()}.zip"
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        write(temporary, files)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    say(f"{path}: {len(files)} files, {path.stat().st_size / 1e6:.1f} MB, sha256 {digest}")
    return 0


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    sub.add_argument("--output", metavar="DIR", default=".", help="folder of the ZIP (default: this one)")
    sub.add_argument("--date", metavar="YYYY-MM-DD", default="", help="of publication (default: today, UTC)")


def name() -> str:
    """Name of the archive and of the one folder in it."""
    return f"{DATASET}-{VERSION}"


def contents(day: str) -> dict[str, bytes]:
    """Every file of the archive by its path in the folder.

    Args:
        day: Date of publication, YYYY-MM-DD.

    Raises:
        SettingsError: It is no date.
    """
    try:
        published = date.fromisoformat(day)
    except ValueError as error:
        raise SettingsError(f"--date {day}: expected YYYY-MM-DD.") from error
    files = {
        path.relative_to(EMBEDDED).as_posix(): path.read_bytes()
        for path in sorted(EMBEDDED.rglob("*"))
        if path.is_file() and path.relative_to(EMBEDDED).parts[0] not in LEFT_OUT
    }
    dataset = get_dataset(DATASET)
    configurations = read_extxyz(EMBEDDED / f"{DATASET}.extxyz")
    files["LICENSE.txt"] = _licence(dataset).encode()
    metadata = {"datacite": datacite(dataset, configurations, published), "zenodo": zenodo(dataset, published)}
    for kind, found in metadata.items():
        files[f"metadata/{kind}.json"] = (json.dumps(found, indent=2, ensure_ascii=False) + "\n").encode()
    sums = [f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n" for path in sorted(files)]
    return files | {"SHA256SUMS": "".join(sums).encode()}


def write(path: Path, files: Mapping[str, bytes]) -> None:
    """Write the ZIP.

    Args:
        path: The file.
        files: Contents by path.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file_name in sorted(files):
            about = zipfile.ZipInfo(f"{name()}/{file_name}", _EPOCH)
            about.external_attr, about.create_system = _MODE, 3
            archive.writestr(about, files[file_name])


def datacite(dataset: Dataset, configurations: list[Configuration], published: date) -> dict[str, object]:
    """Metadata in DataCite's schema 4; the repository that mints the DOI adds `doi` and `url`.

    Args:
        dataset: Its entry in the registry.
        configurations: All of them, for the numbers.
        published: Date of publication.
    """
    n_atoms = sum(one.n_atoms for one in configurations)
    return {
        "creators": [{"name": CREATOR, "nameType": "Organizational"}],
        "titles": [{"title": _title(dataset)}],
        "publisher": {"name": CREATOR},
        "publicationYear": f"{published.year}",
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": "DFT energies and forces"},
        "subjects": [{"subject": word} for word in KEYWORDS],
        "dates": [{"date": published.isoformat(), "dateType": "Issued"}],
        "language": "en",
        "version": VERSION,
        "sizes": [f"{len(configurations)} configurations", f"{n_atoms} atoms"],
        "formats": ["chemical/x-xyz", "application/vnd.apache.parquet", "text/csv", "text/markdown"],
        "rightsList": [
            {
                "rightsIdentifier": dataset.license.lower(),
                "rightsIdentifierScheme": "SPDX",
                "schemeUri": "https://spdx.org/licenses/",
                "rightsUri": SPDX[dataset.license],
            }
        ],
        "descriptions": [{"description": _description(dataset), "descriptionType": "Abstract"}],
        "relatedIdentifiers": [
            {"relatedIdentifier": doi, "relatedIdentifierType": "DOI", "relationType": "References"} for doi in _dois()
        ],
        "schemaVersion": "http://datacite.org/schema/kernel-4",
    }


def zenodo(dataset: Dataset, published: date) -> dict[str, object]:
    """The same facts as Zenodo's deposit takes them (`.zenodo.json`).

    Args:
        dataset: Its entry in the registry.
        published: Date of publication.
    """
    return {
        "upload_type": "dataset",
        "title": _title(dataset),
        "creators": [{"name": CREATOR}],
        "description": _description(dataset),
        "access_right": "open",
        "license": dataset.license.lower(),
        "publication_date": published.isoformat(),
        "version": VERSION,
        "language": "eng",
        "keywords": list(KEYWORDS),
        "related_identifiers": [{"identifier": doi, "relation": "references"} for doi in _dois()],
    }


def _title(dataset: Dataset) -> str:
    return f"{dataset.label}: density functional theory of small defect cells in metals and alloys"


def _description(dataset: Dataset) -> str:
    return (
        f"{dataset.description} Predictions of machine-learning potentials on the same cells come with them. "
        f"README.md is the data card. {dataset.noise_note}"
    )


def _licence(dataset: Dataset) -> str:
    code = (ROOT / "LICENSE").read_text(encoding="utf-8").splitlines()[2]
    return (
        f"{dataset.label} is licensed under {dataset.license}: {SPDX[dataset.license]}\n{code}\n"
        "Whoever passes it on names the creators, links the licence and says what was changed.\n"
    )


def _dois() -> list[str]:
    """Publications that the data card cites, in its order."""
    card = (EMBEDDED / "README.md").read_text(encoding="utf-8").rpartition("## Licence and citation")[2]
    return re.findall(r"doi:(10\.\S+?)[.,;]?(?=\s|$)", card)
