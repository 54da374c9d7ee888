# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = [
#     "diep==2.0.0", "torch-geometric==2.8.1", "pandas==3.1.1", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1",
#     "torch==2.13.0",
# ]
#
# [tool.uv]
# override-dependencies = [
#     "lightning ; sys_platform == 'never'", "torchmetrics ; sys_platform == 'never'",  # training
# ]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""DIEP: a graph network over pairs and triplets with integrals of electron-ion terms; its weights are in its wheel."""

from ase.calculators.calculator import Calculator

REACH = 5.0  # Å, the graph's cutoff


def load(checkpoint: str, device: str) -> Calculator:
    """Load one model directory (model.json, model.pt, state.pt), all read without pickle; eV, eV/Å, eV/Å³.

    Args:
        checkpoint: The directory; empty for the model of the wheel.
        device: cpu or cuda.

    Raises:
        ValueError: The model reaches further than REACH.
    """
    from diep.pretrained import make_calculator

    calculator = make_calculator(checkpoint or None, device=device)
    if calculator.cutoff > REACH:
        raise ValueError(f"{checkpoint} has a cutoff of {calculator.cutoff} Å, more than {REACH} Å")
    return calculator
