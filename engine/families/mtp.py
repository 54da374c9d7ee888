# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["motep==0.2.0", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1"]
#
# [tool.uv]
# override-dependencies = ["matplotlib ; sys_platform == 'never'"]  # ASE draws with it
# ///
"""MTP: moment tensor potentials (doi:10.1137/15M1054183) in the text format of MLIP-2, through motep's C extension."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator, all_changes

REACH = 6.0  # Å; cutoffs of the registry's potentials end at 5.2 Å


def load(checkpoint: str, device: str, species: Sequence[str]) -> Calculator:
    """Load one .mtp file, evaluated in double precision on the CPU; eV, eV/Å, eV/Å³.

    Args:
        checkpoint: The file.
        device: cpu or cuda.
        species: Element of each type in the file, which names none itself.

    Raises:
        ValueError: The file has another number of species, or reaches further than REACH.
    """
    from ase.data import atomic_numbers
    from motep.calculator import MTP
    from motep.io.mlip.mtp import read_mtp

    data = read_mtp(checkpoint)
    name = Path(checkpoint).name
    if data.species_count != len(species):
        raise ValueError(f"{name} is for {data.species_count} species, not for {', '.join(species)}.")
    if data.radial_basis.max > REACH:
        raise ValueError(f"{name} reaches {data.radial_basis.max} Å, vacuum is made for {REACH} Å.")
    data.species = [atomic_numbers[symbol] for symbol in species]

    class OneSystemMTP(MTP):
        def calculate(self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes) -> None:
            self.engine.neighbor_list = None  # it would go on with the last system's number of atoms
            super().calculate(atoms, properties, system_changes)

    return OneSystemMTP(data, engine="cext")
