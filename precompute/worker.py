"""One model in one process, run by the Python of the family's own environment.

Loads the model once, then answers requests until its input ends. A request is one JSON object on a line of
standard input; replies are JSON lines on standard output, which everything else that a package prints is kept off:

    {"input": "configurations.parquet", "output": "predictions.parquet", "skip": {"config_id": "reason"}}
    -> {"event": "ready", "record": {...}}                    once, when the model is loaded
    -> {"event": "start", "config_id": "..."}                 before each configuration
    -> {"event": "done", "output": "...", "n": 12, "n_failed": 1, "seconds": 3.2, "peak_memory_mb": 900}
    -> {"event": "error", "message": "..."}                   a request that could not be read or written

This module may import `engine.records` and the family's file, and nothing else of ours.
"""

import argparse
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from engine.records import Configuration, FloatArray, Prediction, read_configurations, write_predictions

Reply = Callable[..., None]


def periodic_atoms(configuration: Configuration, reach: float) -> tuple[Atoms, bool]:
    """Atoms in a full three-dimensional periodic cell.

    Some packages silently return wrong energies for partly periodic cells, so every direction without periodicity
    gets a lattice vector at right angles to the others, long enough that no atom reaches its images.

    Args:
        configuration: As stored.
        reach: Longest distance at which two atoms of the model share an edge, Å.

    Returns:
        The atoms, and whether vacuum was added (the cell's volume, hence the stress, then means nothing).

    Raises:
        ValueError: A direction is marked periodic but has no lattice vector.
    """
    cell = configuration.cell.copy()
    positions = configuration.positions
    open_axes = [axis for axis in range(3) if not configuration.pbc[axis]]
    for axis in range(3):
        if axis not in open_axes and np.linalg.norm(cell[axis]) < 1e-6:
            raise ValueError(f"periodic along lattice vector {axis + 1}, which has no length")
    kept = [cell[axis] for axis in range(3) if axis not in open_axes]
    for axis in open_axes:
        direction = _perpendicular(kept)
        extent = np.ptp(positions @ direction) if len(positions) else 0.0
        cell[axis] = direction * (extent + 2 * reach + 1.0)
        kept.append(cell[axis])
    if abs(np.linalg.det(cell)) < 1e-6:
        raise ValueError("lattice vectors span no volume")
    return Atoms(numbers=configuration.numbers, positions=positions, cell=cell, pbc=True), bool(open_axes)


def _perpendicular(vectors: list[FloatArray]) -> FloatArray:
    """Unit vector at right angles to up to two vectors."""
    if len(vectors) == 2:
        normal = np.cross(vectors[0], vectors[1])
        if np.linalg.norm(normal) < 1e-8:
            raise ValueError("two lattice vectors are parallel")
        return np.asarray(normal / np.linalg.norm(normal))
    # The axis that the given vectors share least with, made orthogonal to them.
    basis, _ = np.linalg.qr(np.array([*vectors, *np.eye(3)]).T)
    return np.asarray(basis[:, len(vectors)])


def predict(calculator: Calculator, configuration: Configuration, reach: float) -> Prediction:
    """Energy, forces and stress of one configuration, or the reason why there are none."""
    started = time.perf_counter()
    try:
        atoms, padded = periodic_atoms(configuration, reach)
        energy, forces, stress = _evaluate(calculator, atoms)
    except Exception as error:  # the one broad except: whatever a package raises becomes a row
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
        return Prediction(configuration.config_id, configuration.geometry_hash, "failed", reason)
    seconds = time.perf_counter() - started
    if problem := _problem(energy, forces, stress, len(atoms)):
        return Prediction(configuration.config_id, configuration.geometry_hash, "failed", problem)
    return Prediction(
        configuration.config_id,
        configuration.geometry_hash,
        "ok",
        energy=energy,
        forces=forces,
        stress=None if padded else stress,
        wall_seconds=seconds,
    )


def _evaluate(calculator: Calculator, atoms: Atoms) -> tuple[float, FloatArray, FloatArray | None]:
    """One evaluation; asking for each property in turn would make some calculators compute twice."""
    wanted = ["energy", "forces"]
    if "stress" in calculator.implemented_properties:
        wanted.append("stress")
    calculator.calculate(atoms, wanted, all_changes)
    results = calculator.results
    stress = results.get("stress")
    if stress is not None and np.shape(stress) == (3, 3):
        stress = full_3x3_to_voigt_6_stress(stress)
    return (
        float(np.asarray(results["energy"]).item()),
        np.array(results["forces"], dtype=float),
        None if stress is None else np.array(stress, dtype=float),
    )


def _problem(energy: float, forces: FloatArray, stress: FloatArray | None, n_atoms: int) -> str:
    """Why a result is no number to keep; empty where it is fine."""
    if not np.isfinite(energy):
        return f"energy is {energy}"
    if forces.shape != (n_atoms, 3):
        return f"forces have shape {forces.shape}, expected ({n_atoms}, 3)"
    if not np.isfinite(forces).all():
        return "a force is not finite"
    if stress is not None and (stress.shape != (6,) or not np.isfinite(stress).all()):
        return "stress is not six finite numbers"
    return ""


def serve(calculator: Calculator, reach: float, record: dict[str, str], reply: Reply) -> None:
    """Answer requests on standard input until it ends."""
    for line in sys.stdin:
        started = time.perf_counter()
        try:
            request = json.loads(line)
            skip = request.get("skip", {})
            predictions = []
            for configuration in read_configurations(Path(request["input"])):
                reply(event="start", config_id=configuration.config_id)
                if configuration.config_id in skip:
                    predictions.append(
                        Prediction(
                            configuration.config_id,
                            configuration.geometry_hash,
                            "failed",
                            skip[configuration.config_id],
                        )
                    )
                else:
                    predictions.append(predict(calculator, configuration, reach))
            seconds = time.perf_counter() - started
            write_predictions(Path(request["output"]), predictions, record | {"wall_seconds": f"{seconds:.3f}"})
        except Exception as error:  # a bad request must not end a worker that holds a loaded model
            reply(event="error", message=f"{type(error).__name__}: {error}")
            continue
        reply(
            event="done",
            output=request["output"],
            n=len(predictions),
            n_failed=sum(p.status == "failed" for p in predictions),
            seconds=seconds,
            peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )


def run_record(arguments: argparse.Namespace, checkpoint_sha256: str, device: str) -> dict[str, str]:
    """Where numbers come from: packages, weights, device and hardware."""
    packages = {
        distribution.metadata["Name"].lower(): distribution.version
        for distribution in importlib.metadata.distributions()
    }
    wanted = [*arguments.packages.split(","), "torch", "jax", "e3nn", "numpy", "ase"]
    return {
        "model_id": arguments.model,
        "fingerprint": arguments.fingerprint,
        "origin": "computed",
        "device": device,
        "hardware": _hardware(device),
        "n_threads": os.environ.get("OMP_NUM_THREADS", ""),
        "packages": ", ".join(f"{n} {packages[n]}" for n in dict.fromkeys(wanted) if n in packages),
        "pid": str(os.getpid()),  # tells two workers apart that started in the same second
        "python": platform.python_version(),
        "checkpoint_sha256": checkpoint_sha256,
        "options": arguments.options,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


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
    return "cpu"


def verify_package_file(file: str, sha256: str) -> str:
    """Check weights that a wheel carries before anything loads them; their checksum.

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
    if device == "cuda" and importlib.util.find_spec("torch"):
        import torch

        return str(torch.cuda.get_device_name())
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name} ({os.cpu_count()} cores)"


def _limit_threads() -> None:
    """PyTorch ignores OMP_NUM_THREADS for its own pool when a package has set it before."""
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
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    return parser.parse_args()


def main() -> int:
    """Load the model, say so, serve."""
    channel = _protocol_channel()

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
        calculator = family.load(arguments.checkpoint, device, **json.loads(arguments.options))
        _limit_threads()
    except Exception as error:
        traceback.print_exc()
        reply(event="error", message=f"{type(error).__name__}: {error}")
        return 1
    record = run_record(arguments, checkpoint_sha256, device)
    reply(event="ready", record=record)
    serve(calculator, family.REACH, record, reply)
    return 0


if __name__ == "__main__":
    sys.exit(main())
