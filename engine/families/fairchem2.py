# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = [
#     "fairchem-core==2.24.0", "ase==3.29.0", "e3nn==0.6.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0",
# ]
#
# [tool.uv]
# override-dependencies = [
#     # kernels of the reduced precision that is not used here
#     "cuda-python ; sys_platform == 'never'", "nvidia-cutlass-dsl ; sys_platform == 'never'",
#     "nvalchemi-toolkit-ops ; sys_platform == 'never'",
#     # datasets, training, clusters
#     "ase-db-backends ; sys_platform == 'never'", "clusterscope ; sys_platform == 'never'",
#     "lmdb ; sys_platform == 'never'", "numba ; sys_platform == 'never'", "orjson ; sys_platform == 'never'",
#     "tensorboard ; sys_platform == 'never'", "wandb ; sys_platform == 'never'",
#     "websockets ; sys_platform == 'never'",
# ]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""fairchem-core 2: UMA, universal models for atoms (arXiv:2506.23971), and what else its inference format holds."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.stress import full_3x3_to_voigt_6_stress

REACH = 6.0  # Å, the graph's cutoff
SEED = 0


def load(checkpoint: str, device: str, task_name: str | None = None) -> Calculator:
    """Load one inference checkpoint (.pt); eV, eV/Å, eV/Å³.

    Runs in full single precision. The package's default would merge UMA's experts for one composition, compile the
    model for it and round matrix products on a GPU, which suits long simulations of one system. Edges are turned
    into frames by random angles, which moves results in the last digits; here each call draws from the same seed.

    Args:
        checkpoint: A .pt file in the package's inference format; it is a pickle, and the package offers no other
            way to read it.
        device: cpu or cuda.
        task_name: What the answer is like: the name of a training set, omat for crystals (PBE). Needed where the
            checkpoint knows several.

    Raises:
        ValueError: The checkpoint does not know the task.
        RuntimeError: It knows several and none was asked for.
    """
    with _without_wandb():
        from fairchem.core import FAIRChemCalculator
        from fairchem.core.units.mlip_unit import InferenceSettings, load_predict_unit

    class SeededCalculator(FAIRChemCalculator):
        def calculate(self, atoms: Atoms, properties: Sequence[str], system_changes: Sequence[str]) -> None:
            with _same_angles(self):
                # The package writes charge and spin into the atoms that it is given.
                super().calculate(atoms.copy(), properties, system_changes)

    settings = InferenceSettings(tf32=False, activation_checkpointing=False, merge_mole=False, compile=False)
    unit = load_predict_unit(checkpoint, inference_settings=settings, device=device, seed=SEED)
    return SeededCalculator(unit, task_name=task_name)


def batch_graphs(calculator: Any, systems: Sequence[Atoms]) -> Any:
    """The joint graph of several systems."""
    from fairchem.core.datasets.atomic_data import atomicdata_list_to_batch

    copies = [atoms.copy() for atoms in systems]
    for atoms in copies:
        calculator.predictor.validate_atoms_data(atoms, calculator.task_name)
    return atomicdata_list_to_batch([calculator.a2g(atoms) for atoms in copies])


def batch(calculator: Any, systems: Sequence[Atoms], graphs: Any = None) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems, as one joint graph."""
    joint = batch_graphs(calculator, systems) if graphs is None else graphs
    with _same_angles(calculator):
        found = calculator.predictor.predict(joint)
    energies, forces, stresses = (found[name].detach().cpu().numpy() for name in ("energy", "forces", "stress"))
    return [
        {"energy": float(energy), "forces": force, "stress": full_3x3_to_voigt_6_stress(stress)}
        for energy, force, stress in zip(
            energies.reshape(-1),
            np.split(forces, np.cumsum([len(atoms) for atoms in systems])[:-1]),
            stresses.reshape(-1, 3, 3),
            strict=True,
        )
    ]


@contextmanager
def _without_wandb() -> Iterator[None]:
    """Put an empty module in the place of wandb during the import; the package uses it in training alone."""
    sys.modules["wandb"] = ModuleType("wandb")
    try:
        yield
    finally:
        del sys.modules["wandb"]


@contextmanager
def _same_angles(calculator: Any) -> Iterator[None]:
    """Draw the same random angles in every call, without touching the random numbers of anyone else."""
    import torch

    device = torch.device(calculator.predictor.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(SEED)
        yield
