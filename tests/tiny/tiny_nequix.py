"""A small random Nequix of all elements in its own format, in float32: `python tiny_nequix.py OUT_DIR`."""

import json
import sys
from pathlib import Path

import jax
from nequix.model import Nequix, save_model

ELEMENTS = list(range(1, 95))
ENERGY_OF_ATOM = -10.0  # eV


def main() -> None:
    """Write tiny_nequix.nqx and say how to load it."""
    config = {
        "cutoff": 5.0,
        "hidden_irreps": "8x0e + 4x1o + 4x2e",
        "lmax": 2,
        "n_layers": 2,
        "radial_basis_size": 4,
        "radial_mlp_size": 8,
        "radial_mlp_layers": 1,
        "radial_polynomial_p": 6.0,
        "mlp_init_scale": 4.0,
        "index_weights": False,
        "layer_norm": True,
        "shift": 0.0,
        "scale": 20.0,  # so that forces do not vanish
        "avg_n_neighbors": 30.0,
    }
    energies = [ENERGY_OF_ATOM] * len(ELEMENTS)
    model = Nequix(jax.random.key(0), n_species=len(ELEMENTS), atom_energies=energies, kernel=False, **config)
    about = {"atomic_numbers": ELEMENTS, "atom_energies": {str(z): ENERGY_OF_ATOM for z in ELEMENTS}}
    save_model(Path(sys.argv[1]) / "tiny_nequix.nqx", model, config | about)
    print(json.dumps({"checkpoint": "tiny_nequix.nqx", "options": {}}))


if __name__ == "__main__":
    main()
