# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["mattersim==1.2.3", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0"]
#
# [tool.uv]
# override-dependencies = [
#     "atomate2 ; sys_platform == 'never'", "emmet-core ; sys_platform == 'never'",  # workflows, databases
#     "mp-api ; sys_platform == 'never'", "azure-identity ; sys_platform == 'never'",
#     "azure-storage-blob ; sys_platform == 'never'", "pydantic ; sys_platform == 'never'",
#     "phonopy ; sys_platform == 'never'", "phono3py ; sys_platform == 'never'",  # phonons
#     "seekpath ; sys_platform == 'never'",
#     "torchvision ; sys_platform == 'never'", "torchaudio ; sys_platform == 'never'",  # never imported
#     "wandb ; sys_platform == 'never'",  # training logs
# ]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""MatterSim: M3GNet trained over wide temperatures and pressures (arXiv:2405.04967); checkpoints are plain tensors."""

from collections.abc import Sequence
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator

REACH = 5.0  # Å, the graph's cutoff


def load(checkpoint: str, device: str) -> Calculator:
    """Load one .pth file; eV, eV/Å, eV/Å³.

    Raises:
        ValueError: The checkpoint lacks weights of its own architecture, or reaches further than REACH.
    """
    import torch
    from mattersim.forcefield.potential import M3Gnet, MatterSimCalculator, Potential

    saved = torch.load(checkpoint, map_location=device, weights_only=True)
    model = M3Gnet(device=device, **saved["model_args"])
    # The package's own loader leaves weights that the file lacks at random and says nothing. Only tables that follow
    # from the architecture may be absent.
    missing, _ = model.load_state_dict(saved["model"], strict=False)
    needed = {name for name, _ in model.named_parameters()} | {"normalizer.scale", "normalizer.shift"}
    if lost := sorted(needed & set(missing)):
        raise ValueError(f"{checkpoint} has no {', '.join(lost)}")
    if model.model_args["cutoff"] > REACH:
        raise ValueError(f"{checkpoint} has a cutoff of {model.model_args['cutoff']} Å, more than {REACH} Å")
    model.eval().requires_grad_(False)
    return MatterSimCalculator(potential=Potential(model, device=device), device=device, args_dict={})


def batch_graphs(calculator: Calculator, systems: Sequence[Atoms]) -> Any:
    """The graphs of several systems in a loader of one batch."""
    from mattersim.forcefield.potential import build_dataloader

    potential = calculator.potential  # type: ignore[attr-defined]
    sizes = {key: potential.model.model_args[key] for key in ("cutoff", "threebody_cutoff")}
    return build_dataloader(list(systems), batch_size=len(systems), only_inference=True, **sizes)


def batch(calculator: Calculator, systems: Sequence[Atoms], graphs: Any = None) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems, as one joint graph."""
    from ase.stress import full_3x3_to_voigt_6_stress

    potential = calculator.potential  # type: ignore[attr-defined]
    loader = batch_graphs(calculator, systems) if graphs is None else graphs
    energies, forces, stresses = potential.predict_properties(loader, include_forces=True, include_stresses=True)
    return [
        # The package's own factor from GPa to eV/Å³.
        {"energy": e, "forces": f, "stress": calculator.stress_weight * full_3x3_to_voigt_6_stress(s)}  # type: ignore[attr-defined]
        for e, f, s in zip(energies, forces, stresses, strict=True)
    ]
