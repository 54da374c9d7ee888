"""Write a random ACE potential for W and Mo of 10 kB: python tests/tiny/tiny_ace.py OUT_DIR."""

import json
import sys
from pathlib import Path

import numpy as np
from pyace import ACEBBasisSet, create_multispecies_basis_config

SHAPE = {
    "elements": ["W", "Mo"],
    "embeddings": {
        "ALL": {
            "npot": "FinnisSinclairShiftedScaled",
            "fs_parameters": [1, 1, 1, 0.5],
            "ndensity": 2,
            "rho_core_cut": 100_000,
            "drho_core_cut": 250,
        }
    },
    "bonds": {
        "ALL": {
            "radbase": "SBessel",
            "radparameters": [5.25],
            "rcut": 5.0,
            "dcut": 0.01,
            "r_in": 1.0,
            "delta_in": 0.5,
            "core-repulsion": [100.0, 5.0],
        }
    },
    "functions": {
        "UNARY": {"nradmax_by_orders": [4, 2, 1], "lmax_by_orders": [0, 2, 1]},
        "BINARY": {"nradmax_by_orders": [3, 1, 1], "lmax_by_orders": [0, 1, 1]},
    },
}


def main() -> None:
    basis = ACEBBasisSet(create_multispecies_basis_config(SHAPE))
    basis.all_coeffs = np.random.default_rng(0).normal(0, 0.3, len(basis.all_coeffs)).tolist()
    basis.save(str(Path(sys.argv[1]) / "tiny_ace.yaml"))
    print(json.dumps({"checkpoint": "tiny_ace.yaml", "options": {}}))


if __name__ == "__main__":
    main()
