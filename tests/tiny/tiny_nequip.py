"""A small random NequIP of all elements in its packaged format, in float32: `python tiny_nequip.py OUT_DIR`."""

import json
import sys
from pathlib import Path

import torch
import yaml
from ase.data import chemical_symbols
from nequip.model import NequIPGNNModel
from nequip.scripts._package_utils import _EXTERNAL_MODULES, _INTERNAL_MODULES, _MOCK_MODULES
from nequip.utils.global_state import set_global_state

ELEMENTS = chemical_symbols[1:95]
NAME = "tiny.nequip.zip"


def build() -> torch.nn.Module:
    """Two layers; energies of elements differ, so that a wrong element shows."""
    set_global_state()
    return NequIPGNNModel(
        seed=0,
        model_dtype="float32",
        type_names=ELEMENTS,
        r_max=4.5,
        num_layers=2,
        l_max=1,
        parity=False,
        num_features=[8, 4],
        type_embed_num_features=4,
        radial_mlp_width=8,
        avg_num_neighbors=30.0,
        per_type_energy_scales=20.0,  # so that forces do not vanish
        per_type_energy_shifts={name: -10.0 - number / 100 for number, name in enumerate(ELEMENTS)},  # eV
    )


def main() -> None:
    """Write tiny.nequip.zip, laid out as the package's own exporter does, and say how to load it."""
    about = {
        "package_version_id": 2,
        "available_models": ["eager"],
        "atom_types": dict(enumerate(ELEMENTS)),
        "versions": {},
        "external_modules": {},
    }
    with torch.package.PackageExporter(Path(sys.argv[1]) / NAME) as exporter:
        exporter.mock([f"{name}.**" for name in _MOCK_MODULES])
        exporter.extern([f"{name}.**" for name in _EXTERNAL_MODULES])
        exporter.intern([f"{name}.**" for name in _INTERNAL_MODULES])
        exporter.save_text("model", "package_metadata.txt", yaml.dump(about))
        model = torch.nn.ModuleDict({"sole_model": build()})
        exporter.save_pickle("model", "eager_model.pkl", model, dependencies=True)
    print(json.dumps({"checkpoint": NAME, "options": {}}))


if __name__ == "__main__":
    main()
