# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["sevenn==0.13.0", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0"]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""SevenNet: scalable equivariant network (doi:10.1021/acs.jctc.4c00190); weights are in its wheel."""

from ase.calculators.calculator import Calculator

REACH = 6.0  # Å, the graph's cutoff


def load(checkpoint: str, device: str, model_name: str, modal: str | None = None) -> Calculator:
    """Load one of the checkpoints of the sevenn wheel; eV, eV/Å, eV/Å³.

    Args:
        checkpoint: Not used: the wheel carries the weights.
        device: cpu or cuda.
        model_name: The package's keyword, such as 7net-0.
        modal: Fidelity head of a multi-fidelity model, PBE or R2SCAN.
    """
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator(model_name, device=device, modal=modal)
