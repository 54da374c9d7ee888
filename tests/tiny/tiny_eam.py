"""Write an embedded-atom potential for W and Mo of 0.3 MB: python tests/tiny/tiny_eam.py OUT_DIR.

Not random: pair energies are of Morse's form, densities fall exponentially, the embedding energy is a parabola, and
everything goes to zero smoothly at the cutoff. The file knows the mixed pair, which those of Zhou do not.
"""

import json
import sys
from pathlib import Path

import numpy as np

CUTOFF = 5.0
N_ROWS = 1500
HIGHEST_DENSITY = 60.0
ATOMS = {  # number, mass, lattice constant, density at the nearest neighbours
    "W": (74, 183.84, 3.165, 1.0),
    "Mo": (42, 95.95, 3.147, 0.8),
}
PAIRS = {("W", "W"): (0.5, 2.75), ("Mo", "W"): (0.6, 2.73), ("Mo", "Mo"): (0.4, 2.70)}  # depth eV, distance Å


def lines(values: np.ndarray) -> str:
    return "".join(f"{value:24.16e}\n" for value in values)


def setfl() -> str:
    """A file in LAMMPS's setfl format: embedding and density of each element, then r times each pair energy."""
    r = np.arange(N_ROWS) * CUTOFF / (N_ROWS - 1)
    density = np.arange(N_ROWS) * HIGHEST_DENSITY / (N_ROWS - 1)
    smooth = (1 - (r / CUTOFF) ** 2) ** 3
    text = "Made up for tests\n\n\n2 W Mo\n"
    text += f"{N_ROWS} {density[1]:.16e} {N_ROWS} {r[1]:.16e} {CUTOFF}\n"
    for number, mass, lattice, height in ATOMS.values():
        text += f"{number} {mass} {lattice} bcc\n"
        text += lines(0.01 * density**2 - 0.4 * density)
        text += lines(height * np.exp(-1.5 * (r - 2.7)) * smooth)
    for depth, distance in PAIRS.values():
        fall = np.exp(-1.4 * (r - distance))
        text += lines(r * depth * (fall**2 - 2 * fall) * smooth)
    return text


if __name__ == "__main__":
    (Path(sys.argv[1]) / "tiny.eam.alloy").write_text(setfl(), encoding="utf-8")
    print(json.dumps({"checkpoint": "tiny.eam.alloy", "options": {}}))
