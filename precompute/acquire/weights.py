"""Weights of models: how they come in, where they lie, and what identifies them."""

import functools
import hashlib
from pathlib import Path

from engine.data_folder import DataFolder
from engine.errors import FetchError
from engine.registry.models import Model
from engine.shards import fingerprint
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


def checkpoint_path(model: Model, folder: DataFolder) -> str:
    """Local path for the family's `load`: a file, a directory where there are several, empty where none.

    Raises:
        FetchError: A file is missing or is not what the registry or the first fetch says.
    """
    downloads = [file for file in model.files if file.package_file is None]
    for file in downloads:
        path = folder.weights(model.model_id) / file.name
        if not path.is_file() or (file.archive_member and not unpacked(path, file.archive_member).exists()):
            raise FetchError(
                f"Weights of '{model.model_id}' are not here. Run: python -m precompute fetch --model {model.model_id}"
            )
        if _checksum(path, path.stat().st_mtime_ns) != (file.sha256 or recorded_sha256(path)):
            raise FetchError(f"{path} is not the file that the registry names; delete it and fetch it again.")
    if not downloads:
        return ""
    target = folder.weights(model.model_id)
    if len(downloads) > 1:
        return str(target)
    path = target / downloads[0].name
    return str(unpacked(path, downloads[0].archive_member) if downloads[0].archive_member else path)


def checkpoint_sha256(model: Model, folder: DataFolder) -> str:
    """Digest of a checkpoint: of its file, or of the list of its files; empty where it has none.

    Where the registry knows no checksum, the one that the first fetch recorded counts.
    """
    found = {
        file.name: file.sha256 or recorded_sha256(folder.weights(model.model_id) / file.name) for file in model.files
    }
    if len(found) <= 1:
        return next(iter(found.values()), "")
    listing = "\n".join(f"{sha256}  {name}" for name, sha256 in sorted(found.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def model_fingerprint(model: Model, folder: DataFolder) -> str:
    """Name of everything but the configuration that decides a prediction of this model."""
    return fingerprint(model.family, checkpoint_sha256(model, folder), model.options)


@functools.lru_cache(maxsize=256)
def _checksum(path: Path, modified: int) -> str:
    """Checksum of a file, computed once for each state of it: a page asks for every model at once."""
    return sha256_of(path)
