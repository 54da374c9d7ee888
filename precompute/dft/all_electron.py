"""Equations of state of Open Defects compared with all-electron ones, metal by metal.

The all-electron ones are those of the Delta project (WIEN2k, PBE; Lejaeghere et al., Science 351, aad3000, 2016), as
`ase.collections.dcdft` holds them: equilibrium volume, bulk modulus and its derivative of a Birch-Murnaghan equation.
The remaining difference is mostly that between PAW setups and all electrons.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.collections import dcdft
from ase.units import GPa
from scipy.optimize import least_squares

DELTA_FILE = "all-electron.csv"
COLUMNS = (
    "metal",
    "kpoints",
    "volume_ang3_per_atom",
    "all_electron_volume_ang3_per_atom",
    "volume_difference_percent",
    "bulk_modulus_gpa",
    "all_electron_bulk_modulus_gpa",
    "energy_difference_94_mev_per_atom",
    "energy_difference_106_mev_per_atom",
    "energy_difference_rms_mev_per_atom",
)


def birch_murnaghan(volume: float, equilibrium: float, modulus: float, derivative: float) -> float:
    """Energy above the equilibrium, third order.

    Args:
        volume: Å³/atom.
        equilibrium: Volume of the lowest energy, Å³/atom.
        modulus: Bulk modulus at the equilibrium, eV/Å³.
        derivative: Its derivative with respect to the pressure.

    Returns:
        eV/atom.
    """
    x = (equilibrium / volume) ** (2 / 3) - 1
    return float(9 * equilibrium * modulus / 16 * (x**3 * derivative + x**2 * (2 - 4 * x)))


def delta_rows(shipped: Iterable[Atoms]) -> list[dict[str, str | float]]:
    """Compare the perfect crystal at 94, 100 and 106 % of its volume with the all-electron equation of state.

    Args:
        shipped: The shipped configurations.

    Returns:
        One row per metal that has all three cells. The differences of energy are those of the rise from 100 % of the
        volume. Volume and bulk modulus are those of a fit with the all-electron derivative: three energies
        determine no more.
    """
    cells = {atoms.info["config_id"]: atoms for atoms in shipped}
    rows = []
    for name, small in cells.items():
        if not name.endswith("eos-01") or len(set(small.symbols)) > 1:
            continue
        large, middle = cells.get(name.replace("eos-01", "eos-02")), cells[small.info["parent_id"]]
        if large is not None:
            rows.append(_row(str(small.symbols[0]), [small, middle, large]))
    return rows


def card_line(row: Mapping[str, str]) -> str:
    """A metal's line in the data card.

    Args:
        row: A row of the table.

    Returns:
        Metal, difference of the equilibrium volume in per cent, both bulk moduli in GPa, and the energy differences at
        94 and 106 % of the volume in meV/atom.
    """
    shown = (
        "metal",
        "volume_difference_percent",
        "bulk_modulus_gpa",
        "all_electron_bulk_modulus_gpa",
        "energy_difference_94_mev_per_atom",
        "energy_difference_106_mev_per_atom",
    )
    return f"| {' | '.join(row[name] for name in shown)} |"


def write_delta(shipped: Iterable[Atoms], output: Path) -> None:
    """Write the table of all metals.

    Args:
        shipped: The shipped configurations.
        output: Folder of the shipped files.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(delta_rows(shipped))
    (output / DELTA_FILE).write_text(text.getvalue())


def _row(symbol: str, crystals: list[Atoms]) -> dict[str, str | float]:
    """One metal: the crystal at 94, 100 and 106 % of the volume."""
    entry = dcdft.data[symbol]
    all_electron = (entry["wien2k_volume"], entry["wien2k_B"] * GPa, entry["wien2k_Bp"])
    volumes = [atoms.get_volume() / len(atoms) for atoms in crystals]
    energies = np.array([atoms.info["REF_energy"] / len(atoms) for atoms in crystals])
    expected = np.array([birch_murnaghan(volume, *all_electron) for volume in volumes])
    low, _, high = 1e3 * (energies - energies[1] - expected + expected[1])

    def misfit(unknown: np.ndarray) -> list[float]:
        """Energies of an equation of state above those that were computed."""
        fitted = [birch_murnaghan(volume, unknown[0], unknown[1], all_electron[2]) for volume in volumes]
        return [one + unknown[2] - energy for one, energy in zip(fitted, energies - energies[1], strict=True)]

    equilibrium, modulus, _ = least_squares(misfit, [*all_electron[:2], 0.0], x_scale=[1.0, 0.1, 0.01], xtol=1e-14).x
    values = (
        equilibrium,
        all_electron[0],
        100 * (equilibrium / all_electron[0] - 1),
        modulus / GPa,
        all_electron[1] / GPa,
        low,
        high,
        float(np.sqrt((low**2 + high**2) / 2)),
    )
    digits = (3, 3, 2, 1, 1, 1, 1, 1)
    rounded = [round(float(value), digit) for value, digit in zip(values, digits, strict=True)]
    return dict(zip(COLUMNS, [symbol, crystals[1].info["kpoints"], *rounded], strict=True))
