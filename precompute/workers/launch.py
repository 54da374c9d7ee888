"""From a registry entry to a worker: weights on disk, fingerprint, command."""

import json

from engine.data_folder import DataFolder
from engine.errors import RegistryError
from engine.registry.models import Model
from engine.shards import FAMILIES
from precompute.acquire.weights import Checkpoint
from precompute.workers import worker_envs
from precompute.workers.worker_envs import WorkerCommand


def why_not_runnable(model: Model, folder: DataFolder) -> str:
    """One sentence why the model cannot run on this machine now; empty where it can."""
    if not model.is_runnable:
        return model.not_runnable
    if not (FAMILIES / f"{model.family}.py").is_file():
        return f"Model family '{model.family}' has no file in engine/families yet."
    if not worker_envs.is_built(model.family, folder.root):
        return f"Worker env '{model.family}' is not built. Run: python -m precompute envs {model.family}"
    return Checkpoint(model, folder).why_not


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
    checkpoint = Checkpoint(model, folder)
    arguments = (
        "--model", model.model_id,
        "--checkpoint", checkpoint.path,
        "--checkpoint-sha256", checkpoint.sha256,
        "--package-file", checkpoint.package_file,
        "--options", json.dumps(model.options, sort_keys=True),
        "--fingerprint", checkpoint.fingerprint,
        "--d3", "yes" if model.level.d3 else "no",
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
    pins = worker_envs.header(family).get("dependencies", [])
    assert isinstance(pins, list)
    packages = ",".join(pin.partition("==")[0].partition("[")[0] for pin in pins)
    arguments = ("--family", family, "--packages", packages, "--device", device, *arguments)
    return worker_envs.python_command(
        family, folder.root, "precompute.workers.worker", arguments, device=device, n_threads=n_threads, offline=offline
    )
