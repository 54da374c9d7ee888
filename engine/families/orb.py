# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["orb-models==0.5.5", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0"]
#
# [tool.uv]
# override-dependencies = [
#     "cached-path ; sys_platform == 'never'",  # downloads from five kinds of clouds; see `load`
# ]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""Orb v2 and v3: graph networks without built-in rotational symmetry (arXiv:2410.22570, arXiv:2504.06231).

Three properties of these models show in defects. Energies change a little when a crystal is turned. Models with 20
neighbours take 20 out of shells of equal distance (6 of 12 in a perfect bcc crystal), so the order of atoms decides
there; the others stop at 120, which no metal at normal density reaches within 6 Å. And an energy is the number of
atoms times a nonlinear function of the mean over all atoms, so it is no sum over distant parts.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator

REACH = 6.0  # Å, the graph's cutoff


def load(checkpoint: str, device: str, model_name: str) -> Calculator:
    """Load one .ckpt file, read without pickled code; eV, eV/Å, eV/Å³.

    Forces and stress of conservative models are both gradients of the energy; those of direct models are not.

    Args:
        checkpoint: Local file.
        device: cpu or cuda.
        model_name: The package's name of the architecture and its number of neighbours, such as orb-v3-direct-20-omat.

    Raises:
        ValueError: The file has no weights for the energy, the forces or the stress of this architecture.
    """
    # The package imports a downloader with over 30 dependencies, and asks it for the path of a file that is here.
    if "cached_path" not in sys.modules:
        sys.modules["cached_path"] = stand_in = ModuleType("cached_path")
        vars(stand_in)["cached_path"] = Path

    import torch
    from orb_models.forcefield.calculator import ORBCalculator
    from orb_models.forcefield.pretrained import ORB_PRETRAINED_MODELS

    # This precision sets torch's default dtype to float32 and its matrix products to "highest": both are its defaults.
    model = ORB_PRETRAINED_MODELS[model_name](
        weights_path=checkpoint, device=device, precision="float32-highest", compile=False
    )
    # The package leaves a head that the file lacks at its random start.
    names = {"energy": "graph_head.", "forces": "node_head.", "stress": "stress_head."}  # as v2 files call them
    keys = torch.load(checkpoint, map_location="cpu", weights_only=True).keys()
    for head in set(names) & set(model.heads):
        if not any(key.startswith((f"heads.{head}.mlp.", f"{names[head]}mlp.")) for key in keys):
            raise ValueError(f"{Path(checkpoint).name} has no {head} of {model_name}: it is another model's file.")
    # The neighbour search of the CPU on every device, so that neighbours at equal distance are chosen alike.
    return ORBCalculator(model, device=device, edge_method="knn_scipy")


def batch_graphs(calculator: Any, systems: Sequence[Atoms]) -> Any:
    """One graph of separate parts, on the CPU."""
    from orb_models.forcefield import base
    from orb_models.forcefield.atomic_system import ase_atoms_to_atom_graphs

    graphs = [
        ase_atoms_to_atom_graphs(
            atoms, system_config=calculator.system_config, edge_method=calculator.edge_method, device="cpu"
        )
        for atoms in systems
    ]
    return base.batch_graphs(graphs)


def batch(calculator: Any, systems: Sequence[Atoms], graphs: Any = None) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems, as one graph of separate parts."""
    import numpy as np

    joint = batch_graphs(calculator, systems) if graphs is None else graphs
    output = calculator.model.predict(joint.to(calculator.device))
    prefix = "grad_" if calculator.conservative else ""
    energies, forces, stresses = (
        output[key].detach().cpu().numpy() for key in ("energy", f"{prefix}forces", f"{prefix}stress")
    )
    ends = np.cumsum([len(atoms) for atoms in systems])[:-1]
    return [
        {"energy": float(energy), "forces": force, "stress": stress}
        for energy, force, stress in zip(energies, np.split(forces, ends), stresses, strict=True)
    ]
