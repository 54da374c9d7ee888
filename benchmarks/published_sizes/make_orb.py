"""Write an Orb of its published size with random weights: `make_orb.py NAME TARGET`.

The package's own functions build the networks; without a file they keep the weights that they begin with.
"""

import sys
from pathlib import Path

import torch
from sizes import asked, report, trainable

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "tiny"))

import tiny_orb


def main() -> None:
    """Write the weights alone, as the package's files have them."""
    name, architecture, folder = asked()
    torch.manual_seed(0)
    network = tiny_orb.architecture(architecture["model_name"])
    torch.save(network.state_dict(), folder / f"{name}.ckpt")
    report(name, f"{name}.ckpt", trainable(network), model_name=architecture["model_name"])


if __name__ == "__main__":
    main()
