"""Write a random NEP for W and Mo of 5 kB, with a repulsive core: python tests/tiny/tiny_nep.py OUT_DIR."""

import json
import sys
from pathlib import Path

import numpy as np

ELEMENTS = ("W", "Mo")
N_RADIAL, N_ANGULAR = 3, 2  # radial functions of either kind
N_BASIS = 5
L_MAX = 4
N_NEURONS = 6


def main() -> None:
    rng = np.random.default_rng(0)
    n_descriptors = N_RADIAL + N_ANGULAR * (L_MAX + 2)  # one more for the four-body and for the five-body terms each
    n_pairs = len(ELEMENTS) ** 2
    header = [
        f"nep4_zbl {len(ELEMENTS)} {' '.join(ELEMENTS)}",
        "zbl 1.0 2.0",
        "cutoff 5.5 4.5 120 80",
        f"n_max {N_RADIAL - 1} {N_ANGULAR - 1}",
        f"basis_size {N_BASIS - 1} {N_BASIS - 1}",
        f"l_max {L_MAX} 2 1",
        f"ANN {N_NEURONS} 0",
    ]
    numbers = np.concatenate(
        [
            rng.normal(0, 1, len(ELEMENTS) * (n_descriptors + 2) * N_NEURONS),  # of each element's own network
            [5.0],  # minus the energy where every neuron is silent
            rng.normal(0, 1, n_pairs * N_BASIS * (N_RADIAL + N_ANGULAR)),
            np.full(n_descriptors, 0.5),  # scales of the descriptors
        ]
    )
    text = "\n".join([*header, *(f"{value:15.7e}" for value in numbers)]) + "\n"
    (Path(sys.argv[1]) / "tiny_nep.txt").write_text(text, encoding="utf-8")
    print(json.dumps({"checkpoint": "tiny_nep.txt", "options": {}}))


if __name__ == "__main__":
    main()
