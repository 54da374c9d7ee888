# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["python-ace==0.4.0rc1", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1"]
#
# [tool.uv]
# override-dependencies = ["matplotlib ; sys_platform == 'never'"]  # ASE draws with it
# ///
"""ACE: the atomic cluster expansion (doi:10.1103/PhysRevB.99.014104) as pacemaker fits it, through python-ace.

python-ace is under the Academic Software License, which allows academic, non-commercial use only.
"""

from pathlib import Path

from ase.calculators.calculator import Calculator

REACH = 6.0  # Å; the registry's potentials end at 5 Å


def load(checkpoint: str, device: str) -> Calculator:
    """Load one .yaml potential, evaluated in double precision on the CPU; eV, eV/Å, eV/Å³.

    Args:
        checkpoint: The file; python-ace knows the format from the end of its name.
        device: cpu or cuda.

    Raises:
        ValueError: The potential reaches further than REACH.
    """
    from pyace import PyACECalculator

    calculator = PyACECalculator(checkpoint)
    if calculator.cutoff > REACH:
        raise ValueError(f"{Path(checkpoint).name} reaches {calculator.cutoff} Å, vacuum is made for {REACH} Å.")
    return calculator
