"""From a registry entry to a worker: weights on disk, fingerprint, command."""

import functools
import hashlib
import json
from pathlib import Path

from engine.errors import FetchError, RegistryError
from engine.models import Model
from engine.shards import FAMILIES, fingerprint
from precompute import environments
from precompute.archives import unpack, unpacked
from precompute.data_folder import DataFolder
from precompute.environments import WorkerCommand
from precompute.fetching import fetch_file, recorded_sha256, sha256_of


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


def why_not_runnable(model: Model, folder: DataFolder) -> str:
    """One sentence why the model cannot run on this machine now; empty where it can."""
    if not model.is_runnable:
        return model.not_runnable
    if not (FAMILIES / f"{model.family}.py").is_file():
        return f"Model family '{model.family}' has no file in engine/families yet."
    if not environments.is_built(model.family, folder.root):
        return f"Worker env '{model.family}' is not built. Run: python -m precompute envs {model.family}"
    try:
        checkpoint_path(model, folder)
    except FetchError as error:
        return str(error)
    return ""


def worker_command(
    model: Model,
    folder: DataFolder,
    device: str,
    n_threads: int = 1,
    *,
    offline: bool = False,
    memory_gb: float = 0.0,
    max_edges: int = 0,
) -> WorkerCommand:
    """Command that starts a worker with this model.

    Args:
        model: From the registry.
        folder: The data folder.
        device: auto, cpu or cuda.
        n_threads: Threads of the numerical libraries.
        offline: Start it where the operating system offers no network at all.
        memory_gb: Address space that the worker may use; 0 for all there is.
        max_edges: Edges in one batch; 0 lets the worker choose, 1 evaluates one system at a time.

    Raises:
        RegistryError: The model cannot run in this release.
        WorkerEnvError: Its environment is not built.
        FetchError: Its weights are not here.
    """
    if not model.is_runnable:
        raise RegistryError(f"Model '{model.model_id}' cannot run: {model.not_runnable}")
    package_file = next((f.package_file for f in model.files if f.package_file is not None), "")
    arguments = (
        "--model", model.model_id,
        "--checkpoint", checkpoint_path(model, folder),
        "--checkpoint-sha256", checkpoint_sha256(model, folder),
        "--package-file", package_file,
        "--options", json.dumps(model.options, sort_keys=True),
        "--fingerprint", model_fingerprint(model, folder),
        "--d3", "yes" if model.d3 else "no",
        "--memory-gb", str(memory_gb),
        "--max-edges", str(max_edges),
    )  # fmt: skip
    return family_command(model.family, folder, arguments, device=device, n_threads=n_threads, offline=offline)


def family_command(
    family: str,
    folder: DataFolder,
    arguments: tuple[str, ...],
    *,
    device: str,
    n_threads: int = 1,
    offline: bool = False,
) -> WorkerCommand:
    """Command that starts a worker of a family, whatever its checkpoint.

    Raises:
        WorkerEnvError: The family's environment is not built.
    """
    pins = environments.header(family).get("dependencies", [])
    assert isinstance(pins, list)
    packages = ",".join(pin.partition("==")[0].partition("[")[0] for pin in pins)
    arguments = ("--family", family, "--packages", packages, "--device", device, *arguments)
    return environments.python_command(
        family, folder.root, "precompute.worker", arguments, device=device, n_threads=n_threads, offline=offline
    )
