"""`precompute run` against a plain ASE loop: CHGNet 0.3.0 on the first configurations of W-g, one machine, one script.

    python benchmarks/chgnet_runner.py --mirror DIR [--configs 100]

Both sides compute energy, forces and stress of the same atoms with the same package, weights and environment. The
plain loop is what a person would write: one process, PyTorch's own number of threads. Start-up is the time for imports
and the model; it is measured inside the loop's script, and for the workers it is what remains of the wall time when the
longest worker's computing time is taken off.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from engine.datasets import get_dataset
from engine.models import get_model
from engine.records import read_predictions, read_run_record, write_configurations
from precompute import environments, runner
from precompute.data_folder import ROOT, DataFolder
from precompute.datasets import configurations_of, fetch_dataset

PLAIN_LOOP = """
import sys, time
began = time.perf_counter()
import json
import numpy as np
from ase import Atoms
from chgnet.model.dynamics import CHGNetCalculator
from engine.records import read_configurations
configurations = read_configurations(__import__("pathlib").Path(sys.argv[1]))
calculator = CHGNetCalculator(use_device="cpu")
ready = time.perf_counter()
energies = {}
for c in configurations:
    atoms = Atoms(c.numbers, c.positions, cell=c.cell, pbc=c.pbc)
    atoms.calc = calculator
    energies[c.config_id] = float(atoms.get_potential_energy())
    atoms.get_forces(), atoms.get_stress()
end = time.perf_counter()
json.dump({"start_up": ready - began, "computing": end - ready, "energies": energies}, open(sys.argv[2], "w"))
"""


def plain_loop(source: Path, scratch: Path, data: Path) -> dict:
    """Time the plain loop in CHGNet's environment."""
    script, answer = scratch / "loop.py", scratch / "loop.json"
    script.write_text(PLAIN_LOOP)
    env = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")} | {"PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    python = environments.python_path("chgnet", data)
    subprocess.run([python, script, source, answer], env=env, check=True, stdout=subprocess.DEVNULL)
    return json.loads(answer.read_text()) | {"wall": time.perf_counter() - began}


def our_run(configurations: list, folder: DataFolder, scratch: Path) -> dict:
    """Time the runner in a fresh data folder."""
    (scratch / "worker_envs").symlink_to((folder.root / "worker_envs").resolve())
    fresh = DataFolder(scratch)
    began = time.perf_counter()
    task, _ = runner.plan(get_model("chgnet-0.3.0"), {"w-g": configurations}, fresh)
    runner.run([task], fresh, device="cpu")
    wall = time.perf_counter() - began
    computing: dict[str, float] = defaultdict(float)
    energies = {}
    for path in scratch.glob("predictions/*/*/*/*.parquet"):
        record = read_run_record(path)
        computing[record["pid"]] += float(record["wall_seconds"])
        energies |= {p.config_id: p.energy for p in read_predictions(path)}
    longest = max(computing.values())
    return {"wall": wall, "computing": longest, "start_up": wall - longest, "n_workers": len(computing),
            "energies": energies}  # fmt: skip


def main() -> None:
    """Run both sides, check that they agree, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mirror", type=Path)
    parser.add_argument("--configs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    folder = DataFolder.default()
    fetch_dataset(get_dataset("w-g"), folder, arguments.mirror)
    configurations = configurations_of(get_dataset("w-g"), folder, arguments.configs)
    rows = []
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            write_configurations(scratch / "in.parquet", configurations)
            loop = plain_loop(scratch / "in.parquet", scratch, folder.root)
        with tempfile.TemporaryDirectory() as name:
            ours = our_run(configurations, folder, Path(name))
        worst = max(abs(ours["energies"][k] - loop["energies"][k]) for k in loop["energies"])
        rows.append((loop, ours, worst))
    n_atoms = sum(c.n_atoms for c in configurations)
    print(f"{len(configurations)} configurations, {n_atoms} atoms; largest energy difference {rows[0][2]:.1e} eV")
    print("| | wall, s | start-up, s | computing, s |")
    print("|---|---|---|---|")
    for loop, ours, _ in rows:
        print(f"| plain ASE loop | {loop['wall']:.1f} | {loop['start_up']:.1f} | {loop['computing']:.1f} |")
        label = f"precompute run, {ours['n_workers']} workers"
        print(f"| {label} | {ours['wall']:.1f} | {ours['start_up']:.1f} | {ours['computing']:.1f} |")


if __name__ == "__main__":
    main()
