"""Does the time of a step depend on the values of weights? A model against itself with its weights shuffled.

    PYTHON benchmarks/published_sizes/shuffled.py FAMILY CHECKPOINT OPTIONS_AS_JSON [ROUNDS] [flush]

PYTHON is that of the family's environment; PyTorch families alone. Own and shuffled weights take turns, step by step,
and each is first in every second. On a CPU the clock is that of the process, which others lengthen less. Prints one
line of JSON: median milliseconds of both, the ratio of medians, and the middle half of the ratios of pairs.

On a CPU values matter by one way: numbers below 1e-38 (subnormals) take a processor many times as long. `flush` makes
them zero. Of CHGNet 0.3.0 the shuffled network took 0.75 times as long as the trained one, 0.96 times with `flush`, and
the trained one against itself 0.91: its subnormals cost a quarter. TensorNet-MatPES-PBE had 1.00 and SevenNet-0 0.89,
on a busy machine with two cores.
"""

import copy
import importlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.build import bulk

sys.path.insert(0, str(Path(__file__).parents[2]))

N_WARM_UP, N_CELLS, RATTLE = 2, 5, 0.05  # as precompute/jobs/bench.py


def shuffle(network: torch.nn.Module) -> None:
    """Put the numbers of each tensor of weights into random places; their distribution stays."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in network.parameters():
            order = torch.randperm(weights.numel(), generator=generator).to(weights.device)
            weights.copy_(weights.flatten()[order].view_as(weights))


def network_of(calculator: Any) -> torch.nn.Module:
    """The module that holds a calculator's weights.

    Raises:
        SystemExit: There is none where families have it.
    """
    for name in ("model", "models", "potential", "trainer"):
        found = getattr(calculator, name, None)
        found = found[0] if isinstance(found, list) else found
        found = found if isinstance(found, torch.nn.Module) else getattr(found, "model", None)
        if isinstance(found, torch.nn.Module):
            return found
    sys.exit("this calculator shows no torch module")


def milliseconds(calculator: Any, atoms: Any) -> float:
    """Time of energy, forces and stress: of the processor on a CPU, which other processes do not lengthen."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    started = clock()
    calculator.calculate(atoms, ["energy", "forces", "stress"], ["positions", "numbers", "cell", "pbc"])
    return 1e3 * (clock() - started)


def main() -> None:
    """Time both in turn."""
    family, checkpoint, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 10
    torch.set_num_threads(1)
    torch.set_flush_denormal("flush" in sys.argv[5:])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    load = importlib.import_module(f"engine.families.{family}").load
    own, shuffled = (load(checkpoint, device, **copy.deepcopy(options)) for _ in range(2))
    shuffle(network_of(shuffled))
    cell = bulk("W", "bcc", a=3.165).repeat(N_CELLS)
    random = np.random.default_rng(0)
    pairs = []
    for k in range(N_WARM_UP + rounds):
        atoms = cell.copy()
        atoms.positions += random.normal(scale=RATTLE, size=atoms.positions.shape)
        turns = (own, shuffled) if k % 2 else (shuffled, own)  # the second finds warmer caches
        times = [milliseconds(calculator, atoms) for calculator in turns]
        pairs.append(tuple(times if k % 2 else times[::-1]))
    is_changed = abs(own.results["energy"] - shuffled.results["energy"]) > 1e-3
    if not is_changed:
        sys.exit("shuffled weights gave the same energy")
    a, b = (statistics.median(column) for column in zip(*pairs[N_WARM_UP:], strict=True))
    quarters = statistics.quantiles([y / x for x, y in pairs[N_WARM_UP:]], n=4)
    print(json.dumps({"family": family, "own_ms": a, "shuffled_ms": b, "ratio": b / a, "middle_half": quarters[::2]}))


if __name__ == "__main__":
    main()
