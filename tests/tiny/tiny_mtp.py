"""Write a random moment tensor potential for W and Mo of 2 kB: python tests/tiny/tiny_mtp.py OUT_DIR."""

import json
import sys
from pathlib import Path

import numpy as np

N_SPECIES, N_RADIAL, N_BASIS = 2, 2, 6
# A basic moment is (radial function, powers of x, y and z); a product is (moment, moment, factor, where it is added).
SCALARS = [(0, 0, 0, 0), (1, 0, 0, 0)]
VECTOR = [(0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
TENSOR = [(0, 2, 0, 0), (0, 1, 1, 0), (0, 1, 0, 1), (0, 0, 2, 0), (0, 0, 1, 1), (0, 0, 0, 2)]
BASIC = [*SCALARS, *VECTOR, *TENSOR]
SQUARES = [(11, range(2, 5), (1, 1, 1)), (12, range(5, 11), (1, 2, 2, 1, 2, 1))]
PRODUCTS = [
    (i, i, factor, out) for out, members, factors in SQUARES for i, factor in zip(members, factors, strict=True)
]
PRODUCTS += [(0, 1, 1, 13), (0, 11, 1, 14)]
INVARIANTS = [0, 1, 11, 12, 13, 14]


def braces(values: object) -> str:
    """Nested lists as MLIP writes them."""
    if isinstance(values, (list, tuple, np.ndarray)):
        return "{" + ", ".join(map(braces, values)) + "}"
    return f"{values:.15e}" if isinstance(values, float) else str(values)


def main() -> None:
    rng = np.random.default_rng(0)
    lines = [
        "MTP", "version = 1.1.0", "potential_name = tiny", "scaling = 1.0e-01",
        f"species_count = {N_SPECIES}", "potential_tag = ", "radial_basis_type = RBChebyshev",
        "\tmin_dist = 1.8", "\tmax_dist = 5.0", f"\tradial_basis_size = {N_BASIS}",
        f"\tradial_funcs_count = {N_RADIAL}", "\tradial_coeffs",
    ]  # fmt: skip
    for first in range(N_SPECIES):
        for second in range(N_SPECIES):
            lines.append(f"\t\t{first}-{second}")
            lines += ["\t\t\t" + braces(rng.normal(0, 0.3, N_BASIS)) for _ in range(N_RADIAL)]
    lines += [
        f"alpha_moments_count = {len(BASIC) + 4}",
        f"alpha_index_basic_count = {len(BASIC)}",
        f"alpha_index_basic = {braces(BASIC)}",
        f"alpha_index_times_count = {len(PRODUCTS)}",
        f"alpha_index_times = {braces(PRODUCTS)}",
        f"alpha_scalar_moments = {len(INVARIANTS)}",
        f"alpha_moment_mapping = {braces(INVARIANTS)}",
        f"species_coeffs = {braces([-5.0, -4.0])}",
        f"moment_coeffs = {braces(rng.normal(0, 1, len(INVARIANTS)))}",
    ]
    (Path(sys.argv[1]) / "tiny.mtp").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(json.dumps({"checkpoint": "tiny.mtp", "options": {"species": ["W", "Mo"]}}))


if __name__ == "__main__":
    main()
