# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["matgl==4.1.2", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0"]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""M3GNet, TensorNet and QET of matgl (doi:10.1038/s43588-022-00349-3, arXiv:2306.06482, arXiv:2511.07249)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator

REACH = 6.0  # Å; M3GNet, TensorNet and QET of matgl end at 5 Å to 6 Å


def load(checkpoint: str, device: str, before_v3: bool = False) -> Calculator:
    """Load one model directory (model.json, model.pt, state.pt), all read without pickle; eV, eV/Å, eV/Å³.

    Args:
        checkpoint: The directory.
        device: cpu or cuda.
        before_v3: The weights were trained by a matgl before 3.0, whose messages went the other way.

    Raises:
        ValueError: The weights are of an older model than the package's, and `before_v3` is not given.
    """
    import matgl
    from matgl.ext.ase import PESCalculator

    potential = matgl.load_model(checkpoint).to(device)
    saved = json.loads((Path(checkpoint) / "model.json").read_text(encoding="utf-8"))["kwargs"]["model"]
    if before_v3:
        _sum_as_before_v3(potential.model, is_dgl=saved["@module"].endswith("_dgl"))
    elif saved["@model_version"] < type(potential.model).__version__:
        raise ValueError(f"weights of an older {saved['@class']}, which this matgl computes otherwise: say before_v3")
    # matgl's own default is GPa and 3 x 3.
    return PESCalculator(potential, stress_unit="eV/A3", use_voigt=True)


def _sum_as_before_v3(model: Any, is_dgl: bool) -> None:
    """Make a model sum the messages of edges as matgl did when its weights were trained.

    Messages were functions of (source, destination) and summed at the destination; since 3.0 they are summed at the
    source. matgl says that older weights are no longer valid, but loads them: elements come out right or nearly so,
    compounds wrong by up to 4 eV/atom. Here each layer in question sees its edges reversed and the weights of the two
    atoms exchanged, so its messages are what they were and arrive where they did.

    Args:
        model: M3GNet, TensorNet or QET.
        is_dgl: A TensorNet or QET of the DGL code, which summed at the destination in every layer, not only the first.

    Raises:
        ValueError: The model is of another kind.
    """
    import torch

    def exchange_atoms(linear: Any, width: int) -> None:
        first, second, rest = linear.weight.data.split([width, width, linear.in_features - 2 * width], dim=1)
        linear.weight.data = torch.cat([second, first, rest], dim=1)

    def reverse(function: Any, n_before: int = 0) -> Any:
        return lambda *a: function(*a[:n_before], a[n_before].flip(0), *a[n_before + 1 :])

    if hasattr(model, "graph_layers"):
        for convolution in (block.conv for block in model.graph_layers):
            for branch in (convolution.node_update_func.layers, convolution.node_update_func.gates):
                exchange_atoms(branch[0], model.embedding.layer_node_embedding.embedding_dim)
            convolution.node_update_ = reverse(convolution.node_update_)
        return
    if not hasattr(model, "tensor_embedding"):
        raise ValueError(f"how {type(model).__name__} summed messages before matgl 3.0 is not known here")
    embedding = model.tensor_embedding
    exchange_atoms(embedding.emb2, embedding.units)
    embedding.forward = reverse(embedding.forward, n_before=1)
    if is_dgl:
        for layer in model.layers:
            layer.message = reverse(layer.message)
    if is_dgl and hasattr(model, "elec_pot"):
        # An atom's potential was that of its own charge at its neighbours' places.
        potential_of = model.elec_pot.forward
        model.elec_pot.forward = lambda g, charge, sigma: charge * potential_of(g, torch.ones_like(charge), sigma)


def batch_graphs(calculator: Any, systems: Sequence[Atoms]) -> tuple[list[Any], Any, Any]:
    """The graph of each system, all of them as one, and their lattices."""
    import torch
    from torch_geometric.data import Batch

    graphs, lattices, _ = zip(*(calculator._atoms2graph.get_graph(atoms) for atoms in systems), strict=True)
    return list(graphs), Batch.from_data_list(list(graphs)), torch.cat([one.reshape(1, 3, 3) for one in lattices])


def batch(
    calculator: Any, systems: Sequence[Atoms], graphs: tuple[list[Any], Any, Any] | None = None
) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems, as one joint graph."""
    import torch
    from ase.stress import full_3x3_to_voigt_6_stress

    potential = calculator.potential
    single, joint, lattice = batch_graphs(calculator, systems) if graphs is None else graphs
    options = {}
    if calculator.compute_charge:
        charges = [atoms.get_initial_charges().sum() for atoms in systems]
        options = {"total_charge": torch.tensor(charges, dtype=lattice.dtype)}
    # Energies of elements are added system by system: in the joint sum, atom after atom, single precision drifts.
    references, potential.element_refs = potential.element_refs, None
    try:
        found = potential(joint, lattice, **options)
    finally:
        potential.element_refs = references
    energies, forces, stresses = (tensor.detach().cpu() for tensor in found[:3])
    return [
        {
            "energy": (energy if references is None else energy + references(graph).cpu()).item(),
            "forces": force.numpy(),
            "stress": full_3x3_to_voigt_6_stress(stress.numpy()) * calculator.conversion_factor,
        }
        for graph, energy, force, stress in zip(
            single,
            energies.reshape(-1),
            forces.split([graph.num_nodes for graph in single]),
            stresses.reshape(-1, 3, 3),
            strict=True,
        )
    ]
