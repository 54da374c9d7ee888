# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["chgnet==0.4.2", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0"]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""CHGNet: charge-informed graph network (doi:10.1038/s42256-023-00716-3); weights are in its wheel."""

from collections.abc import Sequence
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator

REACH = 6.0  # Å, the atom graph's cutoff


def load(checkpoint: str, device: str, model_name: str = "") -> Calculator:
    """Load a checkpoint; eV, eV/Å, eV/Å³.

    Args:
        checkpoint: A .pth.tar file as CHGNet's trainer writes it; empty for one of the chgnet wheel.
        device: cpu or cuda.
        model_name: The wheel's name of its checkpoint, such as 0.3.0.
    """
    import torch
    from chgnet.model.dynamics import CHGNetCalculator
    from chgnet.model.model import CHGNet

    if checkpoint:
        # CHGNet.from_file does the same, but lets the file run code.
        model = CHGNet.from_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    else:
        model = CHGNet.load(model_name=model_name, use_device=device, verbose=False)
    # An isolated atom has no edge; with "ignore" it gets CHGNet's own composition energy instead of an error.
    return CHGNetCalculator(model, use_device=device, on_isolated_atoms="ignore")


def batch_graphs(calculator: Any, systems: Sequence[Atoms]) -> list[Any]:
    """The graph of each system, on the CPU."""
    from pymatgen.io.ase import AseAtomsAdaptor

    return [calculator.model.graph_converter(AseAtomsAdaptor.get_structure(atoms)) for atoms in systems]


def batch(calculator: Any, systems: Sequence[Atoms], graphs: list[Any] | None = None) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems, as one joint graph."""
    from ase.stress import full_3x3_to_voigt_6_stress

    model = calculator.model
    graphs = batch_graphs(calculator, systems) if graphs is None else graphs
    found: dict[int, dict[str, Any]] = {}
    # A graph without any angle skips the layers on angles by itself, but not in a batch with one that has some, and
    # its energy would change (by 0.15 eV/atom for Mg with CHGNet 0.2.0): the two kinds go apart.
    for has_angles in (True, False):
        members = [i for i, graph in enumerate(graphs) if (len(graph.bond_graph) > 0) == has_angles]
        if members:
            answers = model.predict_graph([graphs[i] for i in members], task="efs", batch_size=len(members))
            found |= dict(zip(members, [answers] if len(members) == 1 else answers, strict=True))
    return [
        {
            "energy": found[i]["e"] * (len(atoms) if model.is_intensive else 1),
            "forces": found[i]["f"],
            "stress": full_3x3_to_voigt_6_stress(found[i]["s"]) * calculator.stress_weight,
        }
        for i, atoms in enumerate(systems)
    ]
