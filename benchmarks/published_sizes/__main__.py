"""Time models whose checkpoints cannot be had, as networks of their published size with random weights.

    python -m benchmarks.published_sizes MODEL ... [--own MODEL] [--device cpu|cuda] [--data DIR] [--against-own]

The work of a step does not depend on the values of weights, as long as the network, the graph and the precision are
those of the model; on a CPU the time can, by subnormal numbers (`shuffled.py` measures it). `--against-own` times a
model's own checkpoint in the same round and prints the ratio; `all` with `--own` for each model whose weights are here
makes one front of costs. A model that fails is named, and the others follow. A cost is kept with the origin "random
weights"; the page Cost marks it, and statements about costs say so.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.published_sizes import sizes
from engine.data_folder import DataFolder
from engine.errors import EngineError
from engine.registry.models import CheckpointFile, Model, get_model
from engine.store.rows import RANDOM_WEIGHTS, Cost
from precompute.acquire.fetching import sha256_of
from precompute.jobs import bench
from precompute.workers import worker_envs

HERE = Path(__file__).parent


def row_of(model: Model) -> str:
    """Name of the row of the table that has a model's architecture.

    Raises:
        SystemExit: There is none.
    """
    for name, row in sizes.read().items():
        if model.model_id in row["stands_for"]:
            return name
    sys.exit(f"{sizes.TABLE.name} has no architecture of '{model.model_id}'.")


def make(name: str, family: str, target: Path, folder: DataFolder) -> dict[str, Any]:
    """Run the family's maker in its environment and give back what it says.

    Raises:
        SystemExit: The maker failed.
    """
    done = subprocess.run(
        [worker_envs.python_path(family, folder.root), HERE / f"make_{family}.py", name, target],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"make_{family}.py {name} failed: {done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return said


@contextmanager
def random_model(model: Model, folder: DataFolder) -> Iterator[Model]:
    """The model with random weights of its published size, for the length of a block; its files are deleted then."""
    name = row_of(model)
    target = folder.weights(f"random-weights-{model.model_id}")
    try:
        said = make(name, model.family, target, folder)
        files = tuple(
            CheckpointFile(str(path.relative_to(target)), sha256_of(path), url="made here")
            for path in sorted(target.rglob("*"))
            if path.is_file()
        )
        yield replace(model, model_id=target.name, files=files, options=said["options"], not_runnable="")
    finally:
        shutil.rmtree(target, ignore_errors=True)


def main() -> int:
    """Time each model and keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+", metavar="MODEL", help="an id of the registry; all for one of each network")
    parser.add_argument(
        "--own", action="append", default=[], metavar="MODEL", help="first a model with its own weights; repeatable"
    )
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--data", type=Path, metavar="DIR", help="data folder, with worker environments")
    parser.add_argument("--against-own", action="store_true", help="also time the model's own checkpoint")
    asked = parser.parse_args()
    folder = DataFolder(asked.data) if asked.data else DataFolder.default()
    setting = bench.Setting(asked.device, bench.new_occasion())
    networks = [row["stands_for"][0] for row in sizes.read().values()] if asked.model == ["all"] else asked.model
    failed = []
    for model_id in asked.own:
        try:
            (cost,) = bench.bench(get_model(model_id), folder, setting)
        except EngineError as error:
            failed.append(f"{model_id}: {error}")
        else:
            print(_line(cost), flush=True)
    for model in map(get_model, networks):
        try:
            with random_model(model, folder) as made:
                (cost,) = bench.measure(made, folder, setting)
        except (EngineError, SystemExit) as error:
            failed.append(f"{model.model_id}: {error}")
            continue
        for same in sizes.read()[row_of(model)]["stands_for"]:
            bench.keep(replace(cost, model_id=same, origin=RANDOM_WEIGHTS), folder)
        print(_line(replace(cost, model_id=model.model_id, origin=RANDOM_WEIGHTS)), flush=True)
        if asked.against_own:
            (own,) = bench.measure(model, folder, setting)
            print(f"{model.model_id}: random over own weights {cost.ms_per_step / own.ms_per_step:.3f}", flush=True)
    print("".join(f"failed: {reason}\n" for reason in failed), end="")
    return 1 if failed else 0


def _line(cost: Cost) -> str:
    """A measured cost in words."""
    return (
        f"{cost.model_id}: {cost.ms_per_step:.1f} ms per step, {cost.peak_memory_mb:.0f} MB, "
        f"yardstick {cost.yardstick_ms or 0.0:.1f} ms, {cost.origin} ({cost.hardware})"
    )


if __name__ == "__main__":
    sys.exit(main())
