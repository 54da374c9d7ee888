# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1"]
# ///
"""EAM: tabulated embedded-atom potentials (doi:10.1103/PhysRevB.29.6443) in LAMMPS's setfl format, read by ASE.

A file knows the elements that it tabulates, and a mixture only where it tabulates the mixed pairs.
"""

from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

REACH = 7.9  # Å; of Zhou's sixteen metals Pb reaches furthest, 7.83 Å


def load(checkpoint: str, device: str) -> Calculator:
    """Load setfl files; eV, eV/Å, eV/Å³. Runs on the CPU whatever the device.

    ASE reads and interpolates the tables. Its own loop over atoms takes 5 ms an atom, more than some neural networks,
    so the sums are done here over all pairs at once, up to ten times as fast.

    Args:
        checkpoint: One `.eam.alloy` file, or a directory of them; each configuration goes to the file that knows all
            of its elements.
        device: cpu or cuda.

    Raises:
        ValueError: There is no such file, or one reaches further than REACH.
    """
    from ase.calculators.eam import EAM

    path = Path(checkpoint)
    files = sorted(path.glob("*.eam.alloy")) if path.is_dir() else [path]
    tables = [EAM(potential=str(file), form="alloy") for file in files]
    if not tables:
        raise ValueError(f"{path} has no .eam.alloy file.")
    furthest = max(table.cutoff for table in tables)
    if furthest > REACH:
        raise ValueError(f"{path.name} reaches {furthest} Å, vacuum is made for {REACH} Å.")

    class EmbeddedAtoms(Calculator):
        def calculate(self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes) -> None:
            super().calculate(atoms, properties, system_changes)
            symbols = set(atoms.symbols)
            table = next((t for t in tables if symbols <= set(t.elements)), None)
            if table is None:
                known = ", ".join(" ".join(t.elements) for t in tables)
                unknown = symbols - {e for t in tables for e in t.elements}
                why = f"no file knows {', '.join(sorted(unknown))}" if unknown else "these files have no cross terms"
                raise ValueError(f"{atoms.symbols}: {why}; files for: {known}.")
            self.results = _evaluate(table, atoms)

    calculator = EmbeddedAtoms()
    calculator.implemented_properties = ["energy", "forces", "stress"]
    return calculator


def _evaluate(table: Any, atoms: Atoms) -> dict[str, Any]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of atoms that one table knows."""
    import numpy as np
    from ase.neighborlist import neighbor_list
    from ase.stress import full_3x3_to_voigt_6_stress

    kind = np.array([table.elements.index(symbol) for symbol in atoms.symbols])
    first, second, distance, vector = neighbor_list("ijdD", atoms, table.cutoff)
    n_atoms, n_pairs = len(atoms), len(first)

    # Density that an atom of each kind spreads over its pair's distance, and its slope.
    spread, spread_slope = np.zeros((2, len(table.elements), n_pairs))
    for k in set(kind):
        spread[k] = table.electron_density[k](distance)
        spread_slope[k] = table.d_electron_density[k](distance)
    pairs = np.arange(n_pairs)
    density = np.bincount(first, spread[kind[second], pairs], minlength=n_atoms)

    energy, slope = 0.0, np.zeros(n_atoms)
    for k in set(kind):
        members = kind == k
        energy += table.embedded_energy[k](density[members]).sum()
        slope[members] = table.d_embedded_energy[k](density[members])
    pull = slope[first] * spread_slope[kind[second], pairs] + slope[second] * spread_slope[kind[first], pairs]
    for a in set(kind):
        for b in set(kind):
            members = (kind[first] == a) & (kind[second] == b)
            energy += table.phi[a, b](distance[members]).sum() / 2
            pull[members] += table.d_phi[a, b](distance[members])

    along = vector * (pull / distance)[:, None]
    forces = np.array([np.bincount(first, along[:, axis], minlength=n_atoms) for axis in range(3)]).T
    stress = along.T @ vector / (2 * atoms.get_volume())
    return {"energy": float(energy), "forces": forces, "stress": full_3x3_to_voigt_6_stress(stress)}
