"""Our workers against a plain ASE loop, family by family: one machine, one run, the same atoms and weights.

    python -m benchmarks.throughput [--family chgnet ...] [--device cpu] [--output benchmarks/throughput.json]

For every family whose environment is built: a pretrained model that can run here, else the small checkpoint
with random weights of `tests/tiny` (whose per-atom times say nothing about the real models, but whose ratios show the
overheads). The workload is the same for all: rattled bcc W with Mo, 24 cells of 2 atoms, 24 of 16, 8 of 54.

- plain: what a person would write - the package's calculator in a loop, PyTorch's own number of threads
- plain, 1 thread: the same with one thread
- one at a time: our worker, one thread, no batches
- batched: our worker, one thread, batches of up to the worker's own number of edges
- workers: one batched worker per core, one thread each

Start-up is left out and every side is warmed up on the same cells first, since compiled models pay once per shape.

Rows go into the output file one by one; each replaces that of the same family and device, all others stay. A family
that fails is printed with its reason, keeps its old row, and makes the exit status 1 after the others have run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from ase.build import bulk

from engine.data_folder import ROOT, DataFolder
from engine.records import Configuration, read_predictions, write_configurations
from engine.registry.models import families, load_models
from precompute.acquire.weights import Checkpoint
from precompute.workers import worker_envs
from precompute.workers.process import Worker
from precompute.workers.worker_envs import family_command, why_not_runnable
from tests.tiny.making import has_tiny, make_tiny

PREFERRED = {  # the model of a family that stands for it
    "chgnet": "chgnet-0.3.0",
    "sevennet": "sevennet-0",
    "nequix": "nequix-omat-1",
    "matgl": "tensornet-matpes-pbe-2025.1",
    "nep": "nep-unep-v1",
}

PLAIN_LOOP = """
import importlib, json, sys, time
from pathlib import Path
from ase import Atoms
from engine.records import read_configurations
family, device, checkpoint, options, source, answer = sys.argv[1:]
load = importlib.import_module(f"engine.families.{family}").load
if family == "nequix":  # our adapter replaces its calculator by a faster one
    from nequix.calculator import NequixCalculator
    load = lambda checkpoint, device: NequixCalculator(model_path=checkpoint, backend="jax", use_kernel=False)
calculator = load(checkpoint, device, **json.loads(options))
systems = [Atoms(c.numbers, c.positions, cell=c.cell, pbc=c.pbc) for c in read_configurations(Path(source))]
for repeat in range(2):
    began = time.perf_counter()
    energies = []
    for atoms in systems:
        calculator.reset()
        atoms.calc = calculator
        energies.append(float(atoms.get_potential_energy()))
        atoms.get_forces()
        if "stress" in calculator.implemented_properties:
            atoms.get_stress()
    seconds = time.perf_counter() - began
json.dump({"seconds": seconds, "energies": energies}, open(answer, "w"))
"""


def workload() -> list[Configuration]:
    """The cells, small to large; fixed by a seed."""
    found = []
    for n_cells, cells in ((24, (1, 1, 1)), (24, (2, 2, 2)), (8, (3, 3, 3))):
        for k in range(n_cells):
            atoms = bulk("W", "bcc", a=3.17, cubic=True).repeat(cells)
            atoms.symbols[:: 2 + k % 3] = "Mo"
            atoms.rattle(0.05, seed=k)
            name = f"{len(atoms):02d}-{k:02d}"
            found.append(
                Configuration(name, "g", atoms.numbers, atoms.positions, np.array(atoms.cell), (True, True, True))
            )
    return found


def chosen(family: str, folder: DataFolder, scratch: Path) -> tuple[str, str, dict]:
    """Label, checkpoint and options of the model that stands for a family."""
    models = [m for m in load_models().values() if m.family == family and not why_not_runnable(m, folder)]
    models.sort(key=lambda m: m.model_id != PREFERRED.get(family))
    if models and (family in PREFERRED or not has_tiny(family)):
        return models[0].model_id, Checkpoint(models[0], folder).path, dict(models[0].options)
    tiny = make_tiny(family, folder, scratch)
    return "random, small", tiny["checkpoint"], tiny["options"]


def plain_loop(family: str, model: tuple[str, dict], source: Path, scratch: Path, folder: DataFolder, **how) -> dict:
    """Seconds and energies of the plain loop."""
    script, answer = scratch / "loop.py", scratch / "loop.json"
    script.write_text(PLAIN_LOOP)
    command = worker_envs.python_command(
        family, folder.root, "none", (), device=how["device"], n_threads=how["n_threads"]
    )
    env = dict(command.env)
    if how["n_threads"] == 0:  # the package decides
        env = {k: v for k, v in env.items() if not k.endswith(("NUM_THREADS", "_THREADS", "OP_PARALLELISM_THREADS"))}
        env.pop("XLA_FLAGS", None)
    arguments = [family, how["device"], model[0], json.dumps(model[1]), str(source), str(answer)]
    subprocess.run([command.argv[0], script, *arguments], env=env, cwd=ROOT, check=True, capture_output=True)
    return json.loads(answer.read_text())


def workers(family: str, model: tuple[str, dict], n: int, scratch: Path, folder: DataFolder, **how) -> dict:
    """Seconds and energies of n workers that share the cells, and where they ran."""
    cells = workload()
    parts = [cells[i::n] for i in range(n)]
    arguments = (
        "--model", "bench", "--checkpoint", model[0], "--options", json.dumps(model[1]),
        "--max-edges", str(how["max_edges"]),
    )  # fmt: skip
    command = family_command(family, folder, arguments, device=how["device"])
    started = [Worker(command, scratch / "log") for _ in parts]
    seconds, energies = 0.0, {}
    try:
        for i, part in enumerate(parts):
            write_configurations(scratch / f"in-{i}.parquet", part)
            started[i].start()
        for _ in range(2):  # the first warms up
            threads = [
                threading.Thread(target=w.request, args=(scratch / f"in-{i}.parquet", scratch / f"out-{i}.parquet"))
                for i, w in enumerate(started)
            ]
            began = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.perf_counter() - began
    finally:
        for worker in started:
            worker.kill()
    for i in range(n):
        energies |= {p.config_id: p.energy for p in read_predictions(scratch / f"out-{i}.parquet")}
    return {
        "seconds": seconds,
        "energies": [energies[c.config_id] for c in cells],
        "hardware": started[0].record["hardware"],
        "packages": started[0].record["packages"],
    }


def measure(family: str, folder: DataFolder, device: str) -> dict:
    """One row of the table."""
    cells = workload()
    n_atoms = sum(c.n_atoms for c in cells)
    with tempfile.TemporaryDirectory(prefix="throughput-") as name:
        scratch = Path(name)
        label, checkpoint, options = chosen(family, folder, scratch)
        model, source = (checkpoint, options), scratch / "cells.parquet"
        write_configurations(source, cells)
        n_cores = os.cpu_count() or 1
        sides = {
            "plain": plain_loop(family, model, source, scratch, folder, device=device, n_threads=0),
            "plain, 1 thread": plain_loop(family, model, source, scratch, folder, device=device, n_threads=1),
            "one at a time": workers(family, model, 1, scratch, folder, device=device, max_edges=1),
            "batched": workers(family, model, 1, scratch, folder, device=device, max_edges=0),
        }
        if device == "cpu":
            sides["workers"] = workers(family, model, n_cores, scratch, folder, device=device, max_edges=0)
    reference = np.array(sides["plain"]["energies"])
    sizes = np.array([c.n_atoms for c in cells])
    differences = [np.abs((np.array(s["energies"]) - reference) / sizes).max() for s in sides.values()]
    if not np.isfinite(differences).all():  # the time of a cell that failed says nothing
        raise RuntimeError("not every cell has an energy")
    return {
        "family": family,
        "model": label,
        "device": device,
        "hardware": sides["batched"]["hardware"],
        "packages": sides["batched"]["packages"],
        "n_atoms": n_atoms,
        "ms_per_atom": {name: side["seconds"] * 1e3 / n_atoms for name, side in sides.items()},
        "largest_difference_ev_per_atom": float(max(differences)),
    }


def markdown(rows: list[dict]) -> str:
    """The table, times in ms per atom."""
    names = list(rows[0]["ms_per_atom"])
    head = ["family", "model", *names, "workers over plain" if "workers" in names else "batched over plain"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        times = row["ms_per_atom"]
        gain = times["plain"] / times[names[-1]]
        cells = [row["family"], row["model"], *(f"{times[n]:.2f}" for n in names), f"{gain:.1f} x faster"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def merged(old: list[dict], row: dict) -> list[dict]:
    """Rows sorted by family and device, with one that replaces its predecessor."""
    by_key = {(r["family"], r["device"]): r for r in [*old, row]}
    return [by_key[key] for key in sorted(by_key)]


def reason_of(error: Exception) -> str:
    """What went wrong, in a line; of another process, the last one that it wrote."""
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        return error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return f"{type(error).__name__}: {error}"


def main() -> None:
    """Measure and print; keep the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--family", action="append", default=[])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    folder, output = DataFolder.default(), arguments.output
    rows = json.loads(output.read_text()) if output and output.exists() else []
    failed = []
    for family in arguments.family or [f for f in families() if worker_envs.is_built(f, folder.root)]:
        if family == "emt":  # knows neither W nor Mo
            continue
        try:
            row = measure(family, folder, arguments.device)
        except Exception as error:  # whatever it is, the other families can be measured
            failed.append(family)
            print(f"{family} failed: {reason_of(error)}", file=sys.stderr, flush=True)
            continue
        print(json.dumps(row), flush=True)
        rows = merged(rows, row)
        if output:
            output.write_text(json.dumps(rows, indent=1) + "\n")
    if shown := [row for row in rows if row["device"] == arguments.device]:
        print(markdown(shown))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
