# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["nequix==0.4.5", "jax==0.10.2", "jaxlib==0.10.2", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1"]
#
# [tool.uv]
# override-dependencies = [
#     "jax==0.10.2",  # without its cuda12 extra: 5 GB that only a GPU machine needs
#     "wandb ; sys_platform == 'never'", "wandb-osh ; sys_platform == 'never'",  # training logs
# ]
#
# [tool.defect-atlas]
# accelerator = { cpu = [], cuda = ["jax[cuda12]==0.10.2"] }
# ///
"""Nequix: a compact NequIP in JAX (arXiv:2508.16067); its .nqx files are read without pickle."""

import math
from typing import Any

from ase.calculators.calculator import Calculator

REACH = 6.0  # Å, the graph's cutoff
CHUNK = 256  # edges whose messages fit into a core's cache
EDGES_PER_OCTAVE = 4


def load(checkpoint: str, device: str) -> Calculator:
    """Load one .nqx file; eV, eV/Å, eV/Å³.

    JAX compiles once for each shape, 10 s to 30 s on one core, and the package's calculator makes a new shape for
    almost every configuration. Here graphs are padded to powers of two in atoms and of 2^(1/4) in edges, which
    costs 9 % on average and needs a handful of shapes. Padding does not change a number.
    """
    import jraph
    from nequix.calculator import NequixCalculator
    from nequix.model import NequixConvolution

    class PaddedNequixCalculator(NequixCalculator):
        def _pad_graph_jax(self, graph: Any, numbers_changed: bool = False) -> Any:
            n_node = 2 ** math.ceil(math.log2(max(int(graph.n_node[0]) + 1, 16)))
            steps = math.ceil(EDGES_PER_OCTAVE * math.log2(max(int(graph.n_edge[0]), CHUNK)))
            n_edge = CHUNK * math.ceil(2 ** (steps / EDGES_PER_OCTAVE) / CHUNK)
            return jraph.pad_with_graphs(graph, n_node=n_node, n_edge=n_edge, n_graph=2)

    if device == "cpu":
        NequixConvolution.__call__ = _convolve_in_chunks
    return PaddedNequixCalculator(model_path=checkpoint, backend="jax", use_kernel=False)


def _convolve_in_chunks(
    layer: Any, features: Any, species: Any, sh: Any, radial_basis: Any, senders: Any, receivers: Any
) -> Any:
    """The package's message passing layer, summed over chunks of edges instead of all edges at once.

    The messages of all edges of 54 atoms take 70 MB in each layer, far more than a cache holds, and every step of
    the layer reads and writes them. In chunks, computed anew for the gradient, they never leave the cache: 0.87 s
    instead of 1.4 s on one core for 54 atoms of W. Sums run in another order, so results agree to single precision
    only (tests/engine/test_families.py compares them).
    """
    import e3nn_jax as e3nn
    import jax
    import jax.numpy as jnp

    nodes = layer.linear_1(features)

    def messages_of(sent: Any, harmonics: Any, radial: Any) -> Any:
        product = e3nn.tensor_product(
            e3nn.IrrepsArray(nodes.irreps, sent),
            e3nn.IrrepsArray(sh.irreps, harmonics),
            filter_ir_out=layer.tp_irreps,
        )
        return product * jax.vmap(layer.radial_mlp)(radial)

    def add_chunk(total: Any, chunk: Any) -> Any:
        harmonics, radial, sender, receiver = chunk
        message = jax.checkpoint(lambda node, h, r: messages_of(node[sender], h, r).array)
        return total.at[receiver].add(message(nodes.array, harmonics, radial)), None

    irreps = jax.eval_shape(messages_of, nodes.array[:1], sh.array[:1], radial_basis[:1]).irreps
    chunks = [a.reshape((-1, CHUNK, *a.shape[1:])) for a in (sh.array, radial_basis, senders, receivers)]
    total, _ = jax.lax.scan(add_chunk, jnp.zeros((features.shape[0], irreps.dim), nodes.array.dtype), chunks)
    gathered = e3nn.IrrepsArray(irreps, total) / jnp.sqrt(jax.lax.stop_gradient(layer.avg_n_neighbors))
    skip = layer.skip(species, features) if layer.index_weights else layer.skip(features)
    updated = layer.linear_2(gathered) + skip
    if layer.layer_norm is not None:
        updated = layer.layer_norm(updated)
    return e3nn.gate(updated, even_act=jax.nn.silu, odd_act=jax.nn.tanh, even_gate_act=jax.nn.silu)


def batch_graphs(calculator: Any, systems: Any) -> Any:
    """The joint graph of several systems.

    It is padded as the calculator pads, and to as many graphs as atoms, so that the number of systems makes no new
    shape.
    """
    import jraph
    from nequix.data import dict_to_graphstuple, preprocess_graph

    graphs = [preprocess_graph(atoms, calculator.atom_indices, calculator.cutoff, False) for atoms in systems]
    joint = jraph.batch_np([dict_to_graphstuple(graph) for graph in graphs])
    n_node = 2 ** math.ceil(math.log2(max(int(joint.n_node.sum()) + 1, 16)))
    steps = math.ceil(EDGES_PER_OCTAVE * math.log2(max(int(joint.n_edge.sum()), CHUNK)))
    n_edge = CHUNK * math.ceil(2 ** (steps / EDGES_PER_OCTAVE) / CHUNK)
    return jraph.pad_with_graphs(joint, n_node=n_node, n_edge=n_edge, n_graph=n_node)


def batch(calculator: Any, systems: Any, graphs: Any = None) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems, as one joint graph."""
    import equinox
    import numpy as np
    from ase.stress import full_3x3_to_voigt_6_stress

    padded = batch_graphs(calculator, systems) if graphs is None else graphs
    energies, forces, stresses = (np.array(a) for a in equinox.filter_jit(calculator.model)(padded))
    ends = np.cumsum([len(atoms) for atoms in systems])
    return [
        {
            "energy": energies[i].item(),
            "forces": forces[end - len(atoms) : end],
            "stress": full_3x3_to_voigt_6_stress(stresses[i]),
        }
        for i, (atoms, end) in enumerate(zip(systems, ends, strict=True))
    ]
