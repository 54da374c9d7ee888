# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["matgl==4.1.2", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0"]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""M3GNet and TensorNet of matgl (doi:10.1038/s43588-022-00349-3, arXiv:2306.06482)."""

from ase.calculators.calculator import Calculator

REACH = 6.0  # Å; M3GNet and TensorNet of matgl end at 5 Å to 6 Å


def load(checkpoint: str, device: str) -> Calculator:
    """Load one model directory (model.json, model.pt, state.pt); eV, eV/Å, eV/Å³."""
    import matgl
    from matgl.ext.ase import PESCalculator

    potential = matgl.load_model(checkpoint)
    # matgl's own default is GPa and 3 x 3.
    return PESCalculator(potential, stress_unit="eV/A3", use_voigt=True)
