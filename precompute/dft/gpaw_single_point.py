"""One DFT single point: reads one job file, writes one result file. Run by the GPAW environment.

    python gpaw_single_point.py JOB.json RESULT.json LOG.txt

The job holds everything that defines the calculation (structure, mesh, settings), so this script
has no options and no defaults. It imports nothing of the repository: the GPAW environment holds
GPAW, ASE and numpy only. The result appears under its final name when it is complete.
"""

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def main(job_path: Path, result_path: Path, log_path: Path) -> None:
    """Compute the job and write its result atomically.

    Args:
        job_path: JSON written by `precompute.dft.run`; lengths in Å.
        result_path: Where the result goes; written as a temporary file first, then renamed.
        log_path: GPAW's own text output.
    """
    die_with_parent()
    result = compute(json.loads(job_path.read_text()), log_path)
    temporary = result_path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(result) + "\n")
    temporary.replace(result_path)


def die_with_parent() -> None:
    """Stop when the process that started this one dies: a killed run leaves no orphans."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def compute(job: dict[str, Any], log_path: Path) -> dict[str, Any]:
    """Run the self-consistent calculation, then forces and stress.

    Args:
        job: The job file's content.
        log_path: GPAW's own text output.

    Returns:
        The result file's content: the job's fingerprint, labels in eV, eV/Å and eV/Å^3 (ASE
        signs), and what the calculation took.
    """
    from ase import Atoms

    atoms = Atoms(
        job["numbers"],
        positions=job["positions"],
        cell=job["cell"],
        pbc=True,
        magmoms=job["initial_magnetic_moments"],
    )
    wall_start, cpu_start = time.perf_counter(), time.process_time()
    atoms.calc = calculator(job, log_path)
    labels = {
        # The free energy is the one whose derivatives the forces are.
        "energy": atoms.get_potential_energy(force_consistent=True),
        "energy_sigma0": atoms.get_potential_energy(),
        "forces": atoms.get_forces().tolist(),
    }
    if job["computes_stress"]:
        labels["stress"] = atoms.get_stress(voigt=False).tolist()
    if job["settings"]["spin_polarized"]:
        labels["magnetic_moment"] = atoms.get_magnetic_moment()
        labels["magnetic_moments"] = atoms.get_magnetic_moments().tolist()
    return {
        "config_id": job["config_id"],
        "fingerprint": job["fingerprint"],
        "labels": labels,
        "scf": scf_summary(atoms.calc),
        "wall_seconds": round(time.perf_counter() - wall_start, 2),
        "cpu_seconds": round(time.process_time() - cpu_start, 2),
        "versions": versions(),
    }


def calculator(job: dict[str, Any], log_path: Path) -> Any:
    """The GPAW calculator that the job describes.

    Args:
        job: The job file's content.
        log_path: GPAW's own text output.

    Returns:
        A plane-wave GPAW calculator.
    """
    from gpaw import GPAW, PW

    settings = job["settings"]
    return GPAW(
        mode=PW(settings["cutoff_ev"]),
        xc=settings["functional"],
        setups=settings["setup"],
        kpts={"size": job["kpoints"], "gamma": True},
        occupations={"name": "fermi-dirac", "width": settings["smearing_ev"]},
        spinpol=settings["spin_polarized"],
        # Without the point group, time reversal still halves the mesh.
        symmetry={"point_group": job["use_point_group"]},
        convergence={
            "energy": settings["energy_tolerance_ev_per_electron"],
            "density": settings["density_tolerance_electrons"],
            "eigenstates": settings["eigenstates_tolerance_ev2"],
        },
        maxiter=settings["max_iterations"],
        txt=str(log_path),
    )


def scf_summary(calc: Any) -> dict[str, Any]:
    """Size and outcome of the self-consistent cycle.

    Args:
        calc: The calculator after its run.

    Returns:
        Counts of iterations, irreducible k-points and bands, and whether it converged (GPAW
        raises when it does not, so a result file always says true).
    """
    return {
        "converged": True,
        "n_iterations": int(calc.get_number_of_iterations()),
        "n_irreducible_kpoints": len(calc.get_ibz_k_points()),
        "n_bands": int(calc.get_number_of_bands()),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that determine the numbers.

    Returns:
        Package name to version.
    """
    from importlib.metadata import version

    return {name: version(name) for name in ("gpaw", "gpaw-data", "ase", "numpy", "scipy")}


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
