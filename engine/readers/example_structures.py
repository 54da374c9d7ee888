"""Small defect cells to try without a file."""

import numpy as np
from ase import Atoms

from engine.records import Configuration


def examples() -> dict[str, Configuration]:
    """Title to configuration, made anew at every call."""
    from ase.build import bulk, fcc111  # scipy's integrals come with it, which no page opens with

    tungsten = bulk("W", "bcc", a=3.185, cubic=True) * (3, 3, 3)
    del tungsten[0]
    tungsten.rattle(0.03, seed=1)
    copper = fcc111("Cu", (3, 3, 5), a=3.63, vacuum=7.0, periodic=True)
    del copper[-1]
    alloy = bulk("Mo", "bcc", a=3.2, cubic=True) * (3, 3, 3)
    alloy.symbols = np.random.default_rng(1).permutation(np.resize(["Mo", "Nb", "Ta", "W"], len(alloy)))
    alloy.rattle(0.05, seed=2)
    made = {
        "W, vacancy in 3 × 3 × 3 bcc": ("w-vacancy", tungsten),
        "Cu, (111) surface with a surface vacancy": ("cu-111-vacancy", copper),
        "MoNbTaW, random solid solution": ("monbtaw-random", alloy),
    }
    return {title: _configuration(name, atoms) for title, (name, atoms) in made.items()}


def _configuration(name: str, atoms: Atoms) -> Configuration:
    return Configuration(
        config_id=name,
        group_name="upload",
        numbers=np.asarray(atoms.numbers, dtype=np.int64),
        positions=np.asarray(atoms.positions, dtype=float),
        cell=np.asarray(atoms.cell.array, dtype=float),
        pbc=(bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
    )
