"""From a registry entry to a worker: weights on disk, fingerprint, command."""

import hashlib
import json
from pathlib import Path

from engine.errors import FetchError, RegistryError
from engine.models import Model
from engine.shards import FAMILIES, fingerprint
from precompute import environments
from precompute.data_folder import DataFolder
from precompute.environments import WorkerCommand
from precompute.fetching import fetch_file, sha256_of


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
        except FetchError as error:
            raise FetchError(f"{model.model_id}: {error}{' ' + model.gate if model.gate else ''}") from error
        lines.append(f"{model.model_id}: {file.name} ({how})")
    return lines


def checkpoint_path(model: Model, folder: DataFolder) -> str:
    """Local path for the family's `load`: a file, a directory where there are several, empty where none.

    Raises:
        FetchError: A file is missing or is not what the registry says.
    """
    downloads = [file for file in model.files if file.package_file is None]
    for file in downloads:
        path = folder.weights(model.model_id) / file.name
        if not path.is_file():
            raise FetchError(
                f"Weights of '{model.model_id}' are not here. Run: python -m precompute fetch --model {model.model_id}"
            )
        if file.sha256 and sha256_of(path) != file.sha256:
            raise FetchError(f"{path} is not the file that the registry names; delete it and fetch it again.")
    if not downloads:
        return ""
    folder_path = folder.weights(model.model_id)
    return str(folder_path / downloads[0].name if len(downloads) == 1 else folder_path)


def checkpoint_sha256(model: Model) -> str:
    """Digest of a checkpoint: of its file, or of the list of its files; empty where it has none."""
    if len(model.files) <= 1:
        return model.files[0].sha256 if model.files else ""
    listing = "\n".join(f"{file.sha256}  {file.name}" for file in sorted(model.files, key=lambda f: f.name))
    return hashlib.sha256(listing.encode()).hexdigest()


def model_fingerprint(model: Model) -> str:
    """Name of everything but the configuration that decides a prediction of this model."""
    return fingerprint(model.family, checkpoint_sha256(model), model.options)


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


def worker_command(model: Model, folder: DataFolder, device: str, n_threads: int = 1) -> WorkerCommand:
    """Command that starts a worker with this model.

    Raises:
        RegistryError: The model cannot run in this release.
        WorkerEnvError: Its environment is not built.
        FetchError: Its weights are not here.
    """
    if not model.is_runnable:
        raise RegistryError(f"Model '{model.model_id}' cannot run: {model.not_runnable}")
    package_file = next((f.package_file for f in model.files if f.package_file is not None), "")
    pins = environments.header(model.family).get("dependencies", [])
    assert isinstance(pins, list)
    arguments = (
        "--model", model.model_id,
        "--family", model.family,
        "--checkpoint", checkpoint_path(model, folder),
        "--checkpoint-sha256", checkpoint_sha256(model),
        "--package-file", package_file,
        "--packages", ",".join(pin.partition("==")[0].partition("[")[0] for pin in pins),
        "--options", json.dumps(model.options, sort_keys=True),
        "--fingerprint", model_fingerprint(model),
        "--device", device,
    )  # fmt: skip
    return environments.python_command(
        model.family, folder.root, "precompute.worker", arguments, device=device, n_threads=n_threads
    )
