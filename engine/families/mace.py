# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = [
#     "mace-torch==0.3.16", "e3nn==0.4.4",
#     "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0",
# ]
#
# [tool.uv]
# override-dependencies = [  # what only training and command lines import
#     "configargparse ; sys_platform == 'never'", "gitpython ; sys_platform == 'never'",
#     "prettytable ; sys_platform == 'never'", "python-hostlist ; sys_platform == 'never'",
#     "pyyaml ; sys_platform == 'never'",
# ]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""MACE: higher-order equivariant message passing (arXiv:2206.07697).

Its checkpoints are whole pickled modules and the package reads them as such, so one can run code of its own when it
is loaded: the registry pins the checksum of every one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator

REACH = 6.0  # Å, r_max of the foundation models


def load(checkpoint: str, device: str, head: str | None = None) -> Calculator:
    """Load one .model file in double precision; eV, eV/Å, eV/Å³.

    Args:
        checkpoint: What `mace_mp` takes as a model file.
        device: cpu or cuda.
        head: Level of theory of a multi-head model, such as omat_pbe; None where there is one only.

    Raises:
        ValueError: The model has no such head, or needs one to be named, or reaches further than REACH.
    """
    from ase.data import chemical_symbols
    from mace.calculators import mace_mp
    from mace.tools import AtomicNumberTable

    class NamedElements(AtomicNumberTable):
        def z_to_index(self, atomic_number: int) -> int:
            if atomic_number not in self.zs:
                raise ValueError(f"the model does not know {chemical_symbols[atomic_number]}")
            return super().z_to_index(atomic_number)

    # A Path, since the package takes a text for a pattern of file names.
    calculator = mace_mp(model=Path(checkpoint), device=device, default_dtype="float64", head=head)
    if head is not None and calculator.head != head:
        # The package would go on with the last head it has, at another level of theory.
        raise ValueError(
            f"{Path(checkpoint).name} has no head {head!r}; heads: {', '.join(calculator.available_heads)}."
        )
    if calculator.r_max > REACH:
        raise ValueError(f"{Path(checkpoint).name} reaches {calculator.r_max} Å, vacuum is made for {REACH} Å.")
    calculator.z_table = NamedElements(calculator.z_table.zs)
    return calculator


def batch_graphs(calculator: Any, systems: Sequence[Atoms]) -> Any:
    """One graph of separate parts, on the CPU."""
    from mace.data import AtomicData, KeySpecification, config_from_atoms
    from mace.tools import torch_geometric, torch_tools

    keys = KeySpecification(info_keys=calculator.info_keys, arrays_keys=calculator.arrays_keys)
    with torch_tools.default_dtype(calculator.default_dtype):
        graphs = [
            AtomicData.from_config(
                config_from_atoms(atoms, key_specification=keys, head_name=calculator.head),
                z_table=calculator.z_table,
                cutoff=calculator.r_max,
                heads=calculator.available_heads,
            )
            for atoms in systems
        ]
    return torch_geometric.Batch.from_data_list(graphs)


def batch(calculator: Any, systems: Sequence[Atoms], graphs: Any = None) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems, as one graph of separate parts."""
    import numpy as np
    from ase.stress import full_3x3_to_voigt_6_stress

    joint = batch_graphs(calculator, systems) if graphs is None else graphs
    output = calculator.models[0](joint.to(calculator.device).to_dict(), compute_stress=True)
    energies, forces, stresses = (output[key].detach().cpu().numpy() for key in ("energy", "forces", "stress"))
    ends = np.cumsum([len(atoms) for atoms in systems])[:-1]
    return [
        {"energy": float(energy), "forces": force, "stress": full_3x3_to_voigt_6_stress(stress)}
        for energy, force, stress in zip(energies, np.split(forces, ends), stresses, strict=True)
    ]
