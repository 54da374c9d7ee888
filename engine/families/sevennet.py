# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["sevenn==0.13.0", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0"]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""SevenNet: scalable equivariant network (doi:10.1021/acs.jctc.4c00190); the smaller weights are in its wheel."""

from collections.abc import Sequence
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator

REACH = 6.0  # Å, the graph's cutoff

# What SevenNet's checkpoints hold beside tensors: arrays of shifts and scales.
ALLOWED_GLOBALS = {
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
}


def load(checkpoint: str, device: str, model_name: str = "", modal: str | None = None) -> Calculator:
    """Load a checkpoint; eV, eV/Å, eV/Å³.

    Args:
        checkpoint: A .pth file; empty for one of the sevenn wheel.
        device: cpu or cuda.
        model_name: The package's keyword of a checkpoint of its wheel, such as 7net-0.
        modal: Fidelity head of a model with several, such as PBE, mpa or omat24.

    Raises:
        ValueError: The file refers to more than arrays, so unpickling it could run code.
    """
    import torch
    from sevenn.calculator import SevenNetCalculator

    if checkpoint:
        # The package unpickles without restriction, so what the pickle refers to is looked at first.
        found = set(torch.serialization.get_unsafe_globals_in_checkpoint(checkpoint)) - ALLOWED_GLOBALS
        if found:
            raise ValueError(f"the checkpoint refers to {', '.join(sorted(found))}, which is not allowed")
    return SevenNetCalculator(checkpoint or model_name, device=device, modal=modal)


def batch_graphs(calculator: Any, systems: Sequence[Atoms]) -> Any:
    """The joint graph of several systems, on the CPU."""
    from sevenn import _keys as keys
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.train.dataload import unlabeled_atoms_to_graph
    from torch_geometric.data import Batch

    graphs = [
        AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, calculator.cutoff, with_shift=False))
        for atoms in systems
    ]
    if calculator.modal:
        for graph in graphs:
            graph[keys.DATA_MODALITY] = calculator.modal
    return Batch.from_data_list(graphs)


def batch(calculator: Any, systems: Sequence[Atoms], graphs: Any = None) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems, as one joint graph."""
    from sevenn import _keys as keys

    joint = batch_graphs(calculator, systems) if graphs is None else graphs
    calculator.model.set_is_batch_data(True)
    try:
        output = calculator.model(joint.to(calculator.device))
    finally:
        calculator.model.set_is_batch_data(False)
    # Energies are summed system by system: in the joint sum, atom after atom, single precision drifts.
    energies, forces, stresses = (
        output[key].detach().cpu() for key in (keys.ATOMIC_ENERGY, keys.PRED_FORCE, keys.PRED_STRESS)
    )
    n_atoms = [len(atoms) for atoms in systems]
    return [
        {"energy": energy.sum().item(), "forces": force.numpy(), "stress": -stress.numpy()[[0, 1, 2, 4, 5, 3]]}
        for energy, force, stress in zip(energies.split(n_atoms), forces.split(n_atoms), stresses, strict=True)
    ]
