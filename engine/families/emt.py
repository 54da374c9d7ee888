# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1"]
# ///
"""EMT: ASE's effective medium theory for Al, Cu, Ag, Au, Ni, Pd, Pt (doi:10.1016/0039-6028(96)00816-3).

It is the quickest real potential there is; tests use it as the reference adapter.
"""

from ase.calculators.calculator import Calculator

REACH = 6.0  # Å; EMT's neighbour list ends below this for every element it has


def load(checkpoint: str, device: str) -> Calculator:
    """Make ASE's EMT calculator; there is no checkpoint and no device but the CPU."""
    from ase.calculators.emt import EMT

    return EMT()
