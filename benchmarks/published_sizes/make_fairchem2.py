"""Write a UMA of its published size with random weights: `make_fairchem2.py NAME TARGET`."""

import sys
from pathlib import Path

from sizes import asked, report, trainable

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "tests" / "tiny")]

import tiny_fairchem2  # noqa: E402


def main() -> None:
    """Write the checkpoint in the package's inference format."""
    name, architecture, folder = asked()
    tasks = architecture.pop("tasks")
    widths = {"sphere_channels": 128, "hidden_channels": 128, "edge_channels": 128, "cutoff": 6.0}
    options = {**tiny_fairchem2.backbone(tasks), **widths, **architecture}
    network = tiny_fairchem2.write(folder / f"{name}.pt", tasks, options, model_id=name)
    report(name, f"{name}.pt", trainable(network), task_name="omat")


if __name__ == "__main__":
    main()
