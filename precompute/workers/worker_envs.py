"""Worker environments: one locked Python environment per model family, built with uv.

`engine/families/<family>.py` names the pins, `<family>.lock` holds every package that follows from them with its
hashes, `<data>/worker_envs/<family>/` is the environment. Packages that differ between CPU and GPU machines
(PyTorch, JAX's CUDA plugin) are pinned in the header's `accelerator` table and installed last: for a GPU those of
`<family>.cuda.lock`, with the CUDA libraries that follow from them; for a CPU the build of the user's own source.
`worker_command` starts a model in its family's environment.
"""

import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Required, TypedDict, Unpack

from engine.data_folder import ROOT, DataFolder
from engine.errors import RegistryError, WorkerEnvError
from engine.files import write_text
from engine.registry.models import FAMILIES, FULL_PRECISION, Model, families
from precompute.acquire.weights import Checkpoint
from precompute.workers import confinement
from precompute.workers.confinement import RUNS_CODE, is_trusted, without_network

_HEADER = re.compile(r"^# /// script\n(?P<body>(?:#.*\n)+?)# ///$", re.MULTILINE)

# One thread a worker, one worker a core: two threads that share a core made SevenNet up to 12 times slower.
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "DP_INTRA_OP_PARALLELISM_THREADS",
    "DP_INTER_OP_PARALLELISM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)

# What a worker sees of the environment; anything else may be a secret.
_PASSED_ON = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TMP", "TEMP", "SYSTEMROOT",
    "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "CUDA_PATH", "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES", "XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "TF_FORCE_GPU_ALLOW_GROWTH", "PYTORCH_CUDA_ALLOC_CONF",
}  # fmt: skip

ALLOCATED = 0.9
"""Of its share of a GPU, what the allocator of a worker may take; the rest is for CUDA's own context and libraries."""

CONFINEMENT = "precompute.workers.confinement"
# Installed from the header's accelerator table, so not in the lock.
ACCELERATED = ("torch", "tensorflow", "tensorflow-cpu")


def header(family: str) -> dict[str, object]:
    """Read the PEP 723 header of a family's file.

    Raises:
        WorkerEnvError: There is no such family, or its file has no header.
    """
    path = FAMILIES / f"{family}.py"
    if not path.is_file():
        raise WorkerEnvError(
            f"Model family '{family}' has no file in engine/families yet; families: {', '.join(families())}."
        )
    match = _HEADER.search(path.read_text(encoding="utf-8"))
    if match is None:
        raise WorkerEnvError(f"{path.name} has no '# /// script' header with its pins.")
    lines = (line.removeprefix("#").removeprefix(" ") for line in match["body"].splitlines())
    return tomllib.loads("\n".join(lines))


def environment_path(family: str, data: Path) -> Path:
    """Folder of a family's environment, whether or not it is built."""
    return data / "worker_envs" / family


def python_path(family: str, data: Path) -> Path:
    """The environment's Python."""
    folder = environment_path(family, data)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_built(family: str, data: Path) -> bool:
    """Whether the environment is complete and made from the current lock, for whatever device."""
    return bool(built_for(family, data))


def built_for(family: str, data: Path) -> str:
    """Kind of device that the environment is for, cpu or cuda; empty where it is absent, half done or outdated."""
    path = environment_path(family, data) / ".complete"
    stamp = path.read_text() if path.is_file() else ""
    kinds = ("cpu", "cuda") if uses_gpu(family) else ("cpu",)
    return next((kind for kind in kinds if stamp == _stamp(family, kind)), "")


def lock(family: str) -> Path:
    """Resolve a family's pins into `<family>.lock` with hashes of every file, and what a GPU adds into its CUDA lock.

    Raises:
        WorkerEnvError: The pins have no solution, or uv cannot reach its index.
    """
    path = FAMILIES / f"{family}.lock"
    header(family)
    unlocked = [word for package in ACCELERATED for word in ("--no-emit-package", package)]
    _uv(
        "pip", "compile", "--quiet", "--generate-hashes", "--python-version", "3.11", "--upgrade", *unlocked,
        "--no-header", "--no-annotate", "--output-file", str(path), str(FAMILIES / f"{family}.py"),
    )  # fmt: skip
    if wanted := _accelerator(header(family), "cuda"):
        _lock_cuda(family, wanted)
    return path


def _lock_cuda(family: str, wanted: list[str]) -> None:
    """Resolve what a GPU needs beyond the family's lock, at the versions of that lock."""
    base = FAMILIES / f"{family}.lock"
    locked = re.findall(r"^([A-Za-z0-9._-]+)==", base.read_text(), re.MULTILINE)
    without = [word for package in locked for word in ("--no-emit-package", package)]
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "requirements.in"
        source.write_text("\n".join(wanted) + "\n")
        _uv(
            "pip", "compile", "--quiet", "--generate-hashes", "--python-version", "3.11", "--upgrade", *without,
            "--python-platform", "x86_64-manylinux_2_28", "--no-header", "--no-annotate", "--constraint", str(base),
            "--output-file", str(_cuda_lock(family)), str(source), links=False,
        )  # fmt: skip


def _cuda_lock(family: str) -> Path:
    return FAMILIES / f"{family}.cuda.lock"


def build(family: str, data: Path, *, device: str = "auto") -> bool:
    """Build a family's environment unless it is built already.

    Args:
        family: Name of a file in `engine/families`.
        data: The data folder.
        device: cpu, cuda, or auto to look for an NVIDIA driver.

    Returns:
        True where something was built, False where the environment was up to date.

    Raises:
        WorkerEnvError: uv failed; its own message is kept.
    """
    options = header(family)
    if not (FAMILIES / f"{family}.lock").is_file():
        raise WorkerEnvError(
            f"engine/families/{family}.lock is missing. Run: python -m precompute envs --lock {family}"
        )
    kind = device_kind(device)
    if kind == "cuda" and not uses_gpu(family):
        kind = "cpu"
    if built_for(family, data) == kind:
        return False
    folder = environment_path(family, data)
    python = str(python_path(family, data))
    # Two uv installs that share a cache can block each other for minutes.
    with _exclusive(data / "worker_envs" / ".lock") as held:
        uv = functools.partial(_uv, held=held)
        if built_for(family, data) == kind:
            return False
        shutil.rmtree(folder, ignore_errors=True)
        uv("venv", "--quiet", "--python", "3.11", str(folder))
        uv(
            # A confined worker cannot write compiled modules into its environment.
            "pip", "install", "--quiet", "--python", python, "--no-deps", "--require-hashes", "--compile-bytecode",
            "--requirements", str(FAMILIES / f"{family}.lock"),
        )  # fmt: skip
        if kind == "cuda":
            uv(
                "pip", "install", "--quiet", "--python", python, "--no-deps", "--require-hashes",
                "--requirements", str(_cuda_lock(family)), links=False,
            )  # fmt: skip
        elif accelerator := _accelerator(options, "cpu"):
            uv("pip", "install", "--quiet", "--python", python, *_torch_backend(), *accelerator)
        write_text(folder / ".complete", _stamp(family, kind))
    return True


@dataclass(frozen=True)
class WorkerCommand:
    """How to start a worker process.

    Attributes:
        argv: Python, `-m`, a module of ours and its arguments, after what takes the network away, if anything does.
        env: All variables.
        cwd: Folder to start in.
        read: Files and folders that it may read beside those of every worker; None where it is not confined.
        write: Folders that it may write to beside its temporary one.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: Path
    read: tuple[str, ...] | None = None
    write: tuple[str, ...] = ()

    def confined(self) -> tuple[str, ...]:
        """The command as it is started: where the system can, without a network and without other people's files."""
        if self.read is None:
            return self.argv
        at = self.argv.index("-m") + 1
        rules = [word for path in self.read for word in ("--read", path)]
        rules += [word for path in self.write for word in ("--write", path)]
        network = () if at > 2 else without_network()
        return (*network, *self.argv[:at], CONFINEMENT, *rules, *self.argv[at:])


class Start(TypedDict, total=False):
    """Options of every worker process.

    Attributes:
        device: auto, cpu or cuda.
        n_threads: Threads of the numerical libraries; 1 where not given.
        offline: Whether to start it without any network.
        gpu: The one GPU that it sees, as CUDA_VISIBLE_DEVICES names it; empty for all that are visible here.
        gpu_share: Part of the GPU's memory that belongs to it, 1 where not given.
        matmul_precision: From MATMUL_PRECISIONS; single precision where not given.
        deterministic: Whether it must give the same bits every time.
    """

    device: Required[str]
    n_threads: int
    offline: bool
    gpu: str
    gpu_share: float
    matmul_precision: str
    deterministic: bool


def python_command(
    family: str, data: Path, module: str, arguments: tuple[str, ...], **start: Unpack[Start]
) -> WorkerCommand:
    """Command that runs a module of ours in a family's environment.

    Raises:
        WorkerEnvError: The environment is not built, or the machine cannot take the network away (`offline`).
    """
    if not is_built(family, data):
        raise WorkerEnvError(f"Worker env '{family}' is not built. Run: python -m precompute envs {family}")
    n_threads = start.get("n_threads", 1)
    env = {key: value for key, value in os.environ.items() if key in _PASSED_ON}
    env |= {name: str(n_threads) for name in _THREADS}
    env |= {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        # Weights are on disk before a worker starts; nothing may be looked up at run time.
        "HF_HUB_OFFLINE": "1",
        "TF_USE_LEGACY_KERAS": "1",
        "MPLCONFIGDIR": str(data.resolve() / "cache" / "matplotlib"),  # a list of fonts costs seconds to make
        "JAX_COMPILATION_CACHE_DIR": str(data.resolve() / "cache" / "jax"),  # a shape costs 10 s to compile
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads={n_threads}",
    }
    if start["device"] == "cpu":
        env |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    else:
        # Several workers may share a GPU, so none takes all of its memory at its start.
        env = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"} | env
        env |= {"CUDA_VISIBLE_DEVICES": gpu} if (gpu := start.get("gpu")) else {}
        if (share := start.get("gpu_share", 1.0)) < 1:
            env = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{ALLOCATED * share:.4f}"} | env
        env |= _gpu_arithmetic(start.get("matmul_precision", FULL_PRECISION))
        if start.get("deterministic"):
            env |= {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "TF_DETERMINISTIC_OPS": "1"}
            env["XLA_FLAGS"] += " --xla_gpu_deterministic_ops=true"
    argv = (str(python_path(family, data).absolute()), "-m", module, *arguments)
    return WorkerCommand((*_offline(), *argv) if start.get("offline") else argv, env, ROOT)


def _gpu_arithmetic(matmul_precision: str) -> dict[str, str]:
    """What keeps products of matrices in the precision asked for.

    JAX and TensorFlow round factors to TF32 on GPUs that know it, unless they are told otherwise; PyTorch does so in
    convolutions.
    """
    if matmul_precision == FULL_PRECISION:
        return {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "float32"}
    return {"JAX_DEFAULT_MATMUL_PRECISION": "tensorfloat32"}


def why_not_runnable(model: Model, folder: DataFolder) -> str:
    """One sentence why the model cannot run on this machine now; empty where it can."""
    if not model.is_runnable:
        return model.not_runnable
    if not (FAMILIES / f"{model.family}.py").is_file():
        return f"Model family '{model.family}' has no file in engine/families yet."
    if not is_built(model.family, folder.root):
        return f"Worker env '{model.family}' is not built. Run: python -m precompute envs {model.family}"
    if not python_path(model.family, folder.root).exists():  # as where environments of another machine are mounted
        return (
            f"Worker env '{model.family}' leads to a Python that is not on this machine. "
            f"Build it here: python -m precompute envs {model.family}"
        )
    return Checkpoint(model, folder).why_not or _why_not_trusted(model)


def _why_not_trusted(model: Model) -> str:
    """Why weights that may run code are not loaded; empty where they are known, confined or trusted by the user."""
    is_known = all(file.sha256 for file in model.files)
    if is_known or model.family not in RUNS_CODE or confinement.is_possible() or is_trusted():
        return ""
    return (
        f"Its weights are {RUNS_CODE[model.family]}, so they can run code; nobody has pinned their checksum, and this "
        "machine cannot confine a worker (Landlock). Give --trust to run them as they are."
    )


def worker_command(
    model: Model,
    folder: DataFolder,
    device: str,
    n_threads: int = 1,
    *,
    offline: bool = False,
    memory_gb: float = 0.0,
    max_edges: int = 0,
    gpu: str = "",
    gpu_share: float = 1.0,
    deterministic: bool = False,
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
        gpu: The one GPU that it sees; empty for all that are visible here.
        gpu_share: Part of the GPU's memory that belongs to it.
        deterministic: Let it give the same bits every time, on a GPU too, or fail.

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
        "--gpu-share", f"{ALLOCATED * gpu_share if gpu_share < 1 else 1:.4f}",
        "--matmul-precision", model.matmul_precision,
        *(["--deterministic"] if deterministic else []),
    )  # fmt: skip
    return family_command(
        model.family, folder, arguments,
        device=device, n_threads=n_threads, offline=offline, gpu=gpu, gpu_share=gpu_share,
        matmul_precision=model.matmul_precision, deterministic=deterministic,
    )  # fmt: skip


def family_command(
    family: str, folder: DataFolder, arguments: tuple[str, ...], **start: Unpack[Start]
) -> WorkerCommand:
    """Command that starts a worker of a family, whatever its checkpoint.

    Raises:
        WorkerEnvError: The family's environment is not built.
    """
    pins = header(family).get("dependencies", [])
    assert isinstance(pins, list)
    packages = [pin.partition("==")[0].partition("[")[0] for pin in pins]
    given = ("--family", family, "--packages", ",".join(packages), "--device", start["device"], *arguments)
    command = python_command(family, folder.root, "precompute.workers.worker", given, **start)
    if is_trusted():
        return command
    checkpoint = arguments[arguments.index("--checkpoint") + 1] if "--checkpoint" in arguments else ""
    write = (command.env["JAX_COMPILATION_CACHE_DIR"], command.env["MPLCONFIGDIR"])
    for cache in write:
        Path(cache).mkdir(parents=True, exist_ok=True)
    read = (str(Path(checkpoint).resolve()),) if checkpoint else ()
    return dataclasses.replace(command, read=read, write=write)


def _offline() -> tuple[str, ...]:
    """The same prefix for a user who insists on it."""
    if not without_network():
        raise WorkerEnvError(
            "This machine cannot start a process without a network (unshare --net); leave out --offline: "
            "workers refuse connections anyway."
        )
    return without_network()


def has_nvidia_driver() -> bool:
    """Whether this machine has a working NVIDIA driver, asked without importing a framework."""
    program = shutil.which("nvidia-smi")
    return program is not None and subprocess.run([program, "-L"], capture_output=True, check=False).returncode == 0


def uses_gpu(family: str) -> bool:
    """Whether the packages of a family can compute on a GPU."""
    return bool(_accelerator(header(family), "cuda"))


def _accelerator(options: dict[str, object], kind: str) -> list[str]:
    """Requirements of the header for a kind of device, cpu or cuda."""
    tool = options.get("tool", {})
    assert isinstance(tool, dict)
    return list(tool.get("defect-atlas", {}).get("accelerator", {}).get(kind, []))


def device_kind(device: str) -> str:
    """Which kind of device an environment is for: cpu or cuda; auto looks for an NVIDIA driver."""
    return "cuda" if device == "cuda" or (device == "auto" and has_nvidia_driver()) else "cpu"


def _torch_backend() -> list[str]:
    """Options for uv's source of PyTorch on a CPU: a folder that the user configured, or PyTorch's own index."""
    return [] if _find_links() else ["--torch-backend", "cpu"]


def _find_links() -> str:
    """Folder of wheels from uv's or pip's settings; uv does not read pip's."""
    if "UV_FIND_LINKS" in os.environ:
        return os.environ["UV_FIND_LINKS"]
    for key in ("global.find-links", ":env:.find-links"):
        asked = subprocess.run(
            [sys.executable, "-m", "pip", "config", "get", key], capture_output=True, text=True, check=False
        )
        if asked.returncode == 0:
            return asked.stdout.strip()
    return ""


def _uv(*arguments: str, links: bool = True, held: int | None = None) -> None:
    """Run uv; raise a WorkerEnvError with its message where it fails.

    Args:
        arguments: Of the command line.
        links: Whether packages may come from the user's folder of wheels, which may hold builds for CPUs.
        held: Open file of a lock that uv keeps too: it outlives a command that is killed, and nobody else may write
            into the same environment until it has ended.
    """
    env = {key: value for key, value in os.environ.items() if key != "UV_FIND_LINKS"}
    if links and (find_links := _find_links()):
        env["UV_FIND_LINKS"] = find_links
    program = uv_program()
    if program is None:
        raise WorkerEnvError("uv is not installed. Run: pip install -r requirements.txt")
    done = subprocess.run(
        [program, *arguments], env=env, capture_output=True, text=True, check=False,
        pass_fds=() if held is None else (held,),
    )  # fmt: skip
    if done.returncode != 0:
        raise WorkerEnvError(f"uv {' '.join(arguments[:2])} failed: {done.stderr.strip()[-800:]}")


def uv_program() -> str | None:
    """Path of uv: of the one beside this Python, else of any; None where there is none."""
    return shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")


def _stamp(family: str, kind: str) -> str:
    """Digest of what an environment was made from: the locks and the pins that depend on the device."""
    digest = hashlib.sha256((FAMILIES / f"{family}.lock").read_bytes())
    if kind == "cuda":
        digest.update(_cuda_lock(family).read_bytes())
    digest.update(repr(header(family).get("tool")).encode())
    return digest.hexdigest()


@contextmanager
def _exclusive(path: Path) -> Iterator[int]:
    """A lock for one process at a time and its children; the number of its open file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()
