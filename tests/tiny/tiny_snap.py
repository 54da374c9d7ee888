"""Write a random quadratic SNAP for W and Mo of 10 kB: python tests/tiny/tiny_snap.py OUT_DIR."""

import json
import sys
from pathlib import Path

import numpy as np

TWO_J = 4
ELEMENTS = {"W": (0.5, 1.0), "Mo": (0.48, 0.7)}  # half the cutoff in units of rcutfac, weight


def n_descriptors(two_j: int) -> int:
    """Bispectrum components of an atom: triples j1 >= j2, j >= j1 that add up as angular momenta do."""
    return sum(
        1
        for j1 in range(two_j + 1)
        for j2 in range(j1 + 1)
        for j in range(j1 - j2, min(two_j, j1 + j2) + 1, 2)
        if j >= j1
    )


def main() -> None:
    folder = Path(sys.argv[1]) / "tiny_snap"
    folder.mkdir()
    rng = np.random.default_rng(0)
    n_linear = n_descriptors(TWO_J)
    n_quadratic = n_linear * (n_linear + 1) // 2
    text = f"# made up for tests\n{len(ELEMENTS)} {1 + n_linear + n_quadratic}\n"
    for symbol, (radius, weight) in ELEMENTS.items():
        coefficients = [-5.0, *rng.normal(0, 0.05, n_linear), *rng.normal(0, 1e-4, n_quadratic)]
        text += f"{symbol} {radius} {weight}\n" + "".join(f"{value:.16g}\n" for value in coefficients)
    (folder / "tiny.snapcoeff").write_text(text, encoding="utf-8")
    parameters = {
        "rcutfac": 4.9,
        "twojmax": TWO_J,
        "rfac0": 0.99363,
        "rmin0": 0,
        "diagonalstyle": 3,
        "quadraticflag": 1,
    }
    text = "".join(f"{key} {value}\n" for key, value in parameters.items())
    (folder / "tiny.snapparam").write_text(text, encoding="utf-8")
    print(json.dumps({"checkpoint": folder.name, "options": {"bzeroflag": 0}}))


if __name__ == "__main__":
    main()
