# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["chgnet==0.4.2", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0"]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""CHGNet: charge-informed graph network (doi:10.1038/s42256-023-00716-3); weights are in its wheel."""

from ase.calculators.calculator import Calculator

REACH = 6.0  # Å, the atom graph's cutoff


def load(checkpoint: str, device: str, model_name: str) -> Calculator:
    """Load one of the checkpoints of the chgnet wheel; eV, eV/Å, eV/Å³."""
    from chgnet.model.dynamics import CHGNetCalculator
    from chgnet.model.model import CHGNet

    model = CHGNet.load(model_name=model_name, use_device=device, verbose=False)
    # An isolated atom has no edge; with "ignore" it gets CHGNet's own composition energy instead of an error.
    return CHGNetCalculator(model, use_device=device, on_isolated_atoms="ignore")
