# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = [
#     "fairchem-core==1.10.0", "ase==3.29.0", "e3nn==0.6.0", "torch==2.13.0", "torch-geometric==2.8.1",
#     "numpy==1.26.4", "pyarrow==25.0.1",  # the package's limit of numpy, and the last pyarrow that takes it
#     "scipy==1.13.1",  # later ones lack sph_harm
# ]
#
# [tool.uv]
# override-dependencies = [
#     "torch==2.13.0",  # the package asks for 2.4; the other families run on this one
#     "pymatgen ; sys_platform == 'never'",  # graphs are made by the models themselves
#     "hydra-core ; sys_platform == 'never'", "tensorboard ; sys_platform == 'never'",  # training
#     "torchtnt ; sys_platform == 'never'", "wandb ; sys_platform == 'never'",  # training
# ]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""fairchem-core 1: EquiformerV2 of OMat24 (arXiv:2410.12771), also with DeNS, and eSEN-30M (arXiv:2502.12147).

Version 2 of the package reads none of these checkpoints. EquiformerV2 predicts forces and stress directly: they are
no derivatives of its energy. eSEN differentiates.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

REACH = 12.0  # Å, the longest edge of EquiformerV2, which keeps the 20 nearest neighbours; eSEN's end at 6 Å
SEED = 0
# What checkpoints name: importing registers it. The package's own search would import all of its models, some of
# which need extensions that have to be compiled.
MODULES = (
    "equiformer_v2.equiformer_v2_dens", "equiformer_v2.trainers.dens_trainer",
    "esen.esen", "esen.esen_dens", "esen.trainers.trainer",
)  # fmt: skip


def load(checkpoint: str, device: str) -> Calculator:
    """Load one trainer checkpoint (.pt); eV, eV/Å, eV/Å³.

    Both architectures turn every edge into a frame about a random axis, which moves results in the last digits of
    single precision; here each call draws from the same seed.

    Args:
        checkpoint: A .pt file as the package's trainers write it.
        device: cpu or cuda.

    Raises:
        RuntimeError: The weights do not fit the model that the checkpoint describes.
    """
    with _stand_ins():
        from fairchem.core import OCPCalculator
        from fairchem.core.common.registry import registry

        for name in MODULES:
            importlib.import_module(f"fairchem.core.models.{name}")
    registry.register("imports_setup", True)

    class SeededCalculator(OCPCalculator):
        def calculate(self, atoms: Atoms, properties: Sequence[str], system_changes: Sequence[str]) -> None:
            _without_neighbours(self, atoms)
            with _same_frames(self):
                super().calculate(atoms, properties, system_changes)
            self.results["stress"] = full_3x3_to_voigt_6_stress(self.results["stress"])

    with _pickle_where_needed(checkpoint):
        calculator = SeededCalculator(checkpoint_path=checkpoint, cpu=device == "cpu", seed=SEED)
    # The package records every step for gradients by the weights, which only training needs: gigabytes.
    calculator.trainer.model.requires_grad_(False)
    return calculator


def batch_graphs(calculator: Any, systems: Sequence[Atoms]) -> tuple[list[bool], Any]:
    """Which systems have edges, and one graph of these, None where none has.

    Raises:
        ValueError: An atom has no neighbour, and the model needs one.
    """
    from fairchem.core.datasets import data_list_collater

    has_edges = [not _without_neighbours(calculator, atoms).all() for atoms in systems]
    joint = [calculator.a2g.convert(atoms) for atoms, joins in zip(systems, has_edges, strict=True) if joins]
    return has_edges, data_list_collater(joint, otf_graph=True) if joint else None


def batch(
    calculator: Any, systems: Sequence[Atoms], graphs: tuple[list[bool], Any] | None = None
) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems as one graph; those without edges alone.

    Raises:
        ValueError: An atom has no neighbour, and the model needs one.
    """
    has_edges, joint = batch_graphs(calculator, systems) if graphs is None else graphs
    joined = [atoms for atoms, joins in zip(systems, has_edges, strict=True) if joins]
    together = iter(_batch_joint(calculator, joined, joint))
    results = []
    for atoms, joins in zip(systems, has_edges, strict=True):
        if joins:
            results.append(next(together))
        else:
            calculator.calculate(atoms, ["energy", "forces", "stress"], all_changes)
            results.append(dict(calculator.results))
    return results


def _batch_joint(calculator: Any, systems: Sequence[Atoms], graph: Any) -> list[dict[str, Any]]:
    """Evaluate systems that all have edges by their one graph."""
    if not systems:
        return []
    with _same_frames(calculator):
        found = calculator.trainer.predict(graph, per_image=False, disable_tqdm=True)
    energies, forces, stresses = (found[name].cpu().numpy() for name in ("energy", "forces", "stress"))
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
def _stand_ins() -> Iterator[None]:
    """Put stand-ins in the place of modules that the package imports and inference hardly needs, during the import.

    torch_scatter is a compiled extension of which one function is used; the logger is for training and would
    import wandb and tensorboard.
    """
    import torch_geometric  # noqa: F401  # before the stand-ins, else it takes them for the real extension

    torch_scatter, logger = ModuleType("torch_scatter"), ModuleType("fairchem.core.common.logger")
    torch_scatter.scatter = _scatter  # type: ignore[attr-defined]
    logger.WandBSingletonLogger = None  # type: ignore[attr-defined]
    modules = {module.__name__: module for module in (torch_scatter, logger)}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def _scatter(values: Any, index: Any, dim: int = 0, reduce: str = "sum") -> Any:
    """Sum or mean of the rows of each index, as torch_scatter.scatter has it where the models call it.

    Args:
        values: Tensor of shape (n, ...).
        index: Row of the result that each row of `values` goes to, shape (n,).
        dim: 0.
        reduce: sum or mean; the mean of no rows is zero.
    """
    if dim != 0 or reduce not in ("sum", "mean") or len(index) != len(values):
        raise NotImplementedError(f"scatter with {dim=}, {reduce=}, {len(index)} indices of {len(values)} rows")
    rows = int(index.max()) + 1
    total = values.new_zeros((rows, *values.shape[1:])).index_add_(0, index, values)
    if reduce == "sum":
        return total
    counts = index.bincount(minlength=rows).clamp(min=1).to(values.dtype)
    return total / counts.view(-1, *[1] * (values.dim() - 1))


@contextmanager
def _pickle_where_needed(checkpoint: str) -> Iterator[None]:
    """Let `torch.load` read a trainer's checkpoint that holds more than tensors and plain values.

    The package cannot be told how to load. Files with nothing else in them keep PyTorch's safe default.
    """
    import torch

    name = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    if torch.serialization.get_unsafe_globals_in_checkpoint(checkpoint):
        os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


@contextmanager
def _same_frames(calculator: Any) -> Iterator[None]:
    """Draw the same random frames in every call, without touching the random numbers of anyone else."""
    import torch

    device = calculator.trainer.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(SEED)
        yield


def _without_neighbours(calculator: Any, atoms: Atoms) -> NDArray[np.bool_]:
    """Which atoms have no edge, shape (n_atoms,).

    EquiformerV2 cannot evaluate a graph without edges, and its stress head fails or not depending on which atom of
    a graph has none: a system would fail alone and get a number beside others. eSEN takes such atoms, but skips
    its layers where the whole graph has no edge, which changes the energy.

    Raises:
        ValueError: There is such an atom, and the model predicts forces directly.
    """
    model = calculator.trainer.model
    backbone = getattr(model, "backbone", model)
    alone = np.ones(len(atoms), dtype=bool)
    if (atoms.cell.lengths() <= backbone.cutoff).any():
        alone[:] = False  # every atom has its own image for a neighbour
    for radius in (backbone.cutoff / 2, backbone.cutoff):  # the shorter one settles most
        if alone.any():
            alone[neighbor_list("i", atoms, radius)] = False
    if alone.any() and getattr(backbone, "direct_forces", True):
        number = int(np.flatnonzero(alone)[0]) + 1
        raise ValueError(f"atom {number} has no neighbour within {backbone.cutoff:g} Å, which this model needs")
    return alone
