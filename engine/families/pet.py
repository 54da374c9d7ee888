# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = [
#     "metatrain==2026.4.1", "metatomic-torch==0.1.19", "metatomic-ase==0.1.4", "vesin==0.6.2",
#     "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0",
# ]
#
# [tool.uv]
# override-dependencies = [
#     "hf-xet ; sys_platform == 'never'",  # downloads
# ]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""PET: point edge transformer, the models of upet (arXiv:2601.16195).

Nothing in the architecture makes an energy independent of the orientation of the crystal: it is learned, and holds
as well as the training made it. Forces are the gradient of the energy all the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.stress import full_3x3_to_voigt_6_stress

REACH = 10.0  # Å, the cutoff of size XL; smaller sizes end at 7.5 Å to 9 Å


def load(checkpoint: str, device: str) -> Calculator:
    """Load one .ckpt file in the precision it has; eV, eV/Å, eV/Å³.

    Raises:
        ValueError: The model reaches further than REACH.
    """
    import torch
    from metatomic_ase import MetatomicCalculator
    from metatrain.utils.data import DatasetInfo, TargetInfo
    from metatrain.utils.io import model_from_checkpoint

    # What a checkpoint holds beside tensors and plain values; nothing else is unpickled.
    with torch.serialization.safe_globals([DatasetInfo, TargetInfo, torch.ScriptObject]):
        stored = torch.load(checkpoint, weights_only=True, map_location="cpu")
    model = model_from_checkpoint(stored, context="export").export()
    for parameter in model.parameters():
        parameter.requires_grad = False  # else every force would also cost a gradient for training
    reach = max(options.cutoff for options in model.requested_neighbor_lists())
    if reach > REACH:
        raise ValueError(f"{Path(checkpoint).name} reaches {reach} Å, vacuum is made for {REACH} Å.")
    # A skin would keep the neighbour list of the system before, and with it the order of its sums.
    return MetatomicCalculator(model, device=device, uncertainty_threshold=None, neighbor_skin=0.0)


def batch(calculator: Any, systems: Sequence[Atoms]) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems by one call of the model."""
    found = calculator.compute_energy(list(systems), compute_forces_and_stresses=True)
    return [
        {"energy": float(energy), "forces": forces, "stress": full_3x3_to_voigt_6_stress(stress)}
        for energy, forces, stress in zip(found["energy"], found["forces"], found["stress"], strict=True)
    ]
