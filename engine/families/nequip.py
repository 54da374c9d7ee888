# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["nequip==0.19.1", "e3nn==0.6.0", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0"]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""NequIP: equivariant message passing (doi:10.1038/s41467-022-29939-5), models in packaged files, .nequip.zip.

A packaged file holds the model's own code beside its weights, and loading runs that code. The registry therefore
states the checksum of each, which `fetch`, the parent process and the worker compare before `load` is called.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator

REACH = 6.0  # Å, the longest cutoff of the published models; that of NequIP-OAM-S is 4.5


def load(checkpoint: str, device: str) -> Calculator:
    """Load one packaged model; eV, eV/Å, eV/Å³.

    Raises:
        ValueError: The file is no packaged model, or the model reaches further than REACH.
    """
    from nequip.integrations.ase import NequIPCalculator

    class RoundedCalculator(NequIPCalculator):
        """The package widens results of a model in single precision, which would pass for a model in double."""

        def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = None) -> None:
            super().calculate(atoms, properties, system_changes)
            self.results["forces"] = _rounded(self, self.results["forces"])

    if not checkpoint.endswith(".nequip.zip"):
        # The package takes any other name for a training checkpoint, which is a pickle.
        raise ValueError(f"{Path(checkpoint).name} is no packaged model, whose name ends in .nequip.zip")
    calculator = RoundedCalculator._from_saved_model(checkpoint, device=device, chemical_species_to_atom_type_map=True)
    cutoff = float(calculator.model.metadata["r_max"])
    if cutoff > REACH:
        raise ValueError(f"{Path(checkpoint).name} has a cutoff of {cutoff} Å, more than {REACH} Å")
    return calculator


def _rounded(calculator: Any, forces: Any) -> Any:
    """Forces in the precision that the model has."""
    return forces.astype(calculator.model.metadata["model_dtype"])


def batch_graphs(calculator: Any, systems: Sequence[Atoms]) -> Any:
    """The joint graph of several systems."""
    from nequip.data import AtomicDataDict

    return AtomicDataDict.batched_from_list([calculator.atoms_to_data(atoms) for atoms in systems])


def batch(calculator: Any, systems: Sequence[Atoms], graphs: Any = None) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems, as one joint graph."""
    import numpy as np
    from ase.stress import full_3x3_to_voigt_6_stress
    from nequip.data import AtomicDataDict

    joint = batch_graphs(calculator, systems) if graphs is None else graphs
    output = calculator.call_model(joint)
    energies, forces, stresses = (
        output[key].detach().cpu().numpy()
        for key in (AtomicDataDict.TOTAL_ENERGY_KEY, AtomicDataDict.FORCE_KEY, AtomicDataDict.STRESS_KEY)
    )
    ends = np.cumsum([len(atoms) for atoms in systems])[:-1]
    return [
        {"energy": energy.item(), "forces": _rounded(calculator, force), "stress": full_3x3_to_voigt_6_stress(stress)}
        for energy, force, stress in zip(energies, np.split(forces, ends), stresses, strict=True)
    ]
