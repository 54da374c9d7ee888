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

from ase.calculators.calculator import Calculator

REACH = 6.0  # Å, the graph's cutoff


EDGES_PER_OCTAVE = 4


def load(checkpoint: str, device: str) -> Calculator:
    """Load one .nqx file; eV, eV/Å, eV/Å³.

    JAX compiles once for each shape, 10 s to 30 s on one core. The package's calculator makes a new shape for almost
    every configuration; here graphs are padded to powers of two in atoms and of 2^(1/4) in edges, which costs 9 % on
    average and needs a handful of shapes. Padding does not change a number.
    """
    import jraph
    from nequix.calculator import NequixCalculator

    class PaddedNequixCalculator(NequixCalculator):
        def _pad_graph_jax(self, graph, numbers_changed=False):  # type: ignore[no-untyped-def]
            n_node = 2 ** math.ceil(math.log2(max(int(graph.n_node[0]) + 1, 16)))
            steps = math.ceil(EDGES_PER_OCTAVE * math.log2(max(int(graph.n_edge[0]), 256)))
            n_edge = math.ceil(2 ** (steps / EDGES_PER_OCTAVE))
            return jraph.pad_with_graphs(graph, n_node=n_node, n_edge=n_edge, n_graph=2)

    return PaddedNequixCalculator(model_path=checkpoint, backend="jax", use_kernel=False)
