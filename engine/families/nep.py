# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["calorine==4.1", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1"]
#
# [tool.uv]
# override-dependencies = ["matplotlib ; sys_platform == 'never'"]  # ASE draws with it
# ///
"""NEP: neuroevolution potentials of GPUMD (doi:10.1103/PhysRevB.104.104309), on the CPU through calorine.

calorine comes as source only: building the environment compiles its evaluator, which takes a C++17 compiler.
"""

from pathlib import Path

from ase.calculators.calculator import Calculator

REACH = 6.0  # Å, the radial cutoff of UNEP-v1


def load(checkpoint: str, device: str) -> Calculator:
    """Load one nep.txt file, evaluated in double precision on the CPU; eV, eV/Å, eV/Å³.

    Args:
        checkpoint: The text file that GPUMD's training program writes.
        device: cpu or cuda.

    Raises:
        ValueError: The potential reaches further than REACH.
    """
    from calorine.calculators import CPUNEP

    with Path(checkpoint).open(encoding="utf-8") as lines:
        cutoffs = next(line.split()[1:-2] for line in lines if line.startswith("cutoff"))  # then two list sizes
    furthest = max(map(float, cutoffs))
    if furthest > REACH:
        raise ValueError(f"{Path(checkpoint).name} reaches {furthest} Å, vacuum is made for {REACH} Å.")
    return CPUNEP(checkpoint)
