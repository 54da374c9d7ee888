"""Weights of models: how they come in, where they lie, and what identifies them."""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from engine.data_folder import DataFolder
from engine.errors import FetchError
from engine.registry.models import CheckpointFile, Model
from engine.shards import FAMILIES, fingerprint
from precompute.acquire.archives import unpack, unpacked
from precompute.acquire.fetching import fetch_file, recorded_sha256, sha256_of


def fetch_weights(model: Model, folder: DataFolder, mirror: Path | None) -> list[str]:
    """Bring in the files of a checkpoint; how each came, in one line per file.

    Raises:
        FetchError: A file cannot be had or its checksum is wrong.
    """
    lines = []
    for file in model.files:
        if file.package_file is not None:
            lines.append(f"{model.model_id}: {file.name} is carried by its package")
            continue
        mirrored = mirror / file.mirror if mirror and file.mirror else None
        target = folder.weights(model.model_id) / file.name
        try:
            how = fetch_file(target, sha256=file.sha256, url=file.url, mirrored=mirrored)
            if file.archive_member:
                unpack(target, file.archive_member)
        except FetchError as error:
            raise FetchError(f"{model.model_id}: {error}{' ' + model.gate if model.gate else ''}") from error
        lines.append(f"{model.model_id}: {file.name} ({how})")
    return lines


@dataclass(frozen=True)
class Checkpoint:
    """Everything about the weights of one model in one data folder; each part is found once, when asked for.

    Args:
        model: From the registry.
        folder: The data folder.
    """

    model: Model
    folder: DataFolder

    @functools.cached_property
    def path(self) -> str:
        """For the family's `load`: a file, a directory where there are several, empty where there is none.

        Raises:
            FetchError: A file is missing or is not what the registry or the first fetch says.
        """
        if self.why_not:
            raise FetchError(self.why_not)
        downloads = self._downloads
        if len(downloads) != 1:
            return str(self.folder.weights(self.model.model_id)) if downloads else ""
        path = self._place(downloads[0])
        return str(unpacked(path, downloads[0].archive_member) if downloads[0].archive_member else path)

    @functools.cached_property
    def sha256(self) -> str:
        """Digest of the file, or of the list of files; empty where there is none.

        Where the registry knows no checksum, the one that the first fetch recorded counts.
        """
        found = {file.name: file.sha256 or recorded_sha256(self._place(file)) for file in self.model.files}
        if len(found) <= 1:
            return next(iter(found.values()), "")
        listing = "\n".join(f"{sha256}  {name}" for name, sha256 in sorted(found.items()))
        return hashlib.sha256(listing.encode()).hexdigest()

    @functools.cached_property
    def fingerprint(self) -> str:
        """Name of everything but the configuration that decides a prediction of this model."""
        return fingerprint(self.model.family, self.sha256, self.model.options)

    @property
    def package_file(self) -> str:
        """`package/file` where a wheel carries the weights, else empty."""
        return next((file.package_file for file in self.model.files if file.package_file is not None), "")

    @functools.cached_property
    def why_not(self) -> str:
        """One sentence why the weights cannot be loaded; empty where they can."""
        for file in self._downloads:
            path = self._place(file)
            if not path.is_file() or (file.archive_member and not unpacked(path, file.archive_member).exists()):
                model_id = self.model.model_id
                return f"Weights of '{model_id}' are not here. Run: python -m precompute fetch --model {model_id}"
            if _checksum(path, path.stat().st_mtime_ns) != (file.sha256 or recorded_sha256(path)):
                return f"{path} is not the file that the registry names; delete it and fetch it again."
        return ""

    def predictions(self, dataset_id: str) -> list[Path]:
        """Files of this model's predictions on a dataset, computed here; none for a family without a lock."""
        if not (FAMILIES / f"{self.model.family}.lock").is_file():
            return []
        return sorted(self.folder.predictions(dataset_id, self.model.model_id, self.fingerprint).glob("*.parquet"))

    @property
    def _downloads(self) -> list[CheckpointFile]:
        return [file for file in self.model.files if file.package_file is None]

    def _place(self, file: CheckpointFile) -> Path:
        return self.folder.weights(self.model.model_id) / file.name


@functools.lru_cache(maxsize=256)
def _checksum(path: Path, modified: int) -> str:
    """Checksum of a file, computed once for each state of it: a page asks for every model at once."""
    return sha256_of(path)
