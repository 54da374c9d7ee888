"""Make a family's small checkpoint with random weights, in the family's own environment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from engine.data_folder import ROOT, DataFolder
from precompute.workers import worker_envs


def has_tiny(family: str) -> bool:
    """Whether the family has a checkpoint to make; EMT has none."""
    return (ROOT / "tests" / "tiny" / f"tiny_{family}.py").is_file()


def make_tiny(family: str, folder: DataFolder, target: Path) -> dict[str, Any]:
    """Write the checkpoint below a folder.

    Returns:
        What the family's script says of it: `checkpoint` (here as a whole path), `options` for `load`, and where they
        differ from the default `conservative` and `rotation_invariant`.
    """
    done = subprocess.run(
        [worker_envs.python_path(family, folder.root), ROOT / "tests" / "tiny" / f"tiny_{family}.py", target],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    made: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return made | {"checkpoint": str(target / made["checkpoint"]) if made["checkpoint"] else ""}
