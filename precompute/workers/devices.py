"""GPUs of this machine, and the places at which workers run."""

import os
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.errors import SettingsError
from precompute.workers.worker_envs import uses_gpu

MIB_GB = 2**20 / 1e9

_QUERY = "index,uuid,name,memory.total,memory.free,driver_version"


@dataclass(frozen=True)
class Gpu:
    """One GPU as the driver names it.

    Attributes:
        index: Its number at the driver.
        uuid: What CUDA_VISIBLE_DEVICES may call it, whatever the order of numbers.
        name: Name of the product.
        total_gb: Its memory, GB.
        free_gb: Memory that nobody uses now, GB.
        driver: Version of the driver.
    """

    index: str
    uuid: str
    name: str
    total_gb: float
    free_gb: float
    driver: str


@dataclass(frozen=True)
class Place:
    """Where one worker runs, and which models go there.

    Attributes:
        device: auto, cpu or cuda.
        gpu: UUID of the one GPU that it sees; empty for what the environment shows.
        takes: `any` model, those whose family can use a GPU (`gpu`), or the others (`other`).
        gpu_share: Part of the GPU's memory that belongs to it.
    """

    device: str
    gpu: str = ""
    takes: str = "any"
    gpu_share: float = 1.0

    def suits(self, family: str) -> bool:
        """Whether models of a family go here."""
        return self.takes == "any" or (self.takes == "gpu") == uses_gpu(family)


def gpus(environment: Mapping[str, str] | None = None) -> tuple[Gpu, ...]:
    """GPUs that this process may use, in the order of CUDA_VISIBLE_DEVICES; none without a working NVIDIA driver.

    Args:
        environment: Instead of that of this process.
    """
    environment = os.environ if environment is None else environment
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return ()
    command = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        return ()
    rows = [[part.strip() for part in line.split(",")] for line in asked.stdout.splitlines() if line.strip()]
    found = [
        Gpu(index, uuid, name, float(total) * MIB_GB, float(free) * MIB_GB, driver)
        for index, uuid, name, total, free, driver in rows
    ]
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(found)
    # As CUDA reads it: numbers or beginnings of UUIDs, up to the first that is neither.
    chosen = []
    for name in filter(None, (part.strip() for part in visible.split(","))):
        named = [gpu for gpu in found if name == gpu.index or (not name.isdecimal() and gpu.uuid.startswith(name))]
        if not named:
            break
        chosen.append(named[0])
    return tuple(chosen)


def places(
    device: str,
    *,
    jobs: int | None = None,
    per_device: int = 1,
    cpu_jobs: int | None = None,
    found: Sequence[Gpu] | None = None,
    n_cores: int | None = None,
    families: Collection[str] = (),
) -> tuple[Place, ...]:
    """Places for the workers of a run: one per GPU where there are any, else one per core.

    Beside GPUs the cores that are left take the models whose families know no GPU, such as EAM and SNAP.

    Args:
        device: auto, cpu or cuda.
        jobs: Most places in all; GPUs come first.
        per_device: Workers that share each GPU, for small models that do not fill it; each has its part of the memory.
        cpu_jobs: Places on cores beside GPUs that take any model; by default the cores left, for other families.
        found: GPUs instead of `gpus()`.
        n_cores: Instead of those of this machine.
        families: Of the models to run; a place that suits none of them is left out before `jobs` are counted.

    Raises:
        SettingsError: A GPU is asked for and there is none, or a number makes no sense.
    """
    if min(value for value in (jobs, per_device, 1 if cpu_jobs is None else cpu_jobs + 1) if value is not None) < 1:
        raise SettingsError("--jobs and --per-device count from 1, --cpu-jobs from 0.")
    n_cores = n_cores or len(os.sched_getaffinity(0))
    cards = () if device == "cpu" else gpus() if found is None else tuple(found)
    if device == "cuda" and not cards:
        raise SettingsError("No GPU is visible. Run: python -m precompute doctor")
    if not cards:
        return (Place("cpu"),) * (jobs or n_cores)
    on_gpus = tuple(
        Place("cuda", card.uuid, "any" if device == "cuda" else "gpu", 1 / per_device)
        for _ in range(per_device)
        for card in cards
    )
    if cpu_jobs is not None:
        beside = (Place("cpu"),) * cpu_jobs
    elif device == "cuda":
        beside = ()
    else:
        beside = (Place("cpu", takes="other"),) * max(1, n_cores - len(on_gpus))
    useful = [place for place in on_gpus + beside if not families or any(map(place.suits, families))]
    return tuple(useful[:jobs])


def alone(shared: Sequence[Place]) -> tuple[Place, ...]:
    """One place per device, with all of its memory, for what did not fit beside others."""
    by_device = {(place.device, place.gpu): replace(place, gpu_share=1.0) for place in shared}
    return tuple(by_device.values())
