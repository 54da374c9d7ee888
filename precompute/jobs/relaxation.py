"""`python -m precompute relax`: some models relax one structure; no store is needed."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from ase.io import write

from engine.data_folder import DataFolder
from engine.errors import EngineError
from engine.files import replacing
from engine.records import Configuration
from engine.registry.models import Model
from engine.relaxations import Relaxation, RelaxationOptions
from precompute.workers.pool import Pool
from precompute.workers.process import RELAX


def relax_structure(
    configuration: Configuration, models: Sequence[Model], folder: DataFolder, device: str, options: RelaxationOptions
) -> Iterator[tuple[Model, Relaxation]]:
    """Relax a structure with each model; one that cannot gives a failed relaxation with the reason.

    Args:
        configuration: Where to begin.
        models: From the registry; one that does not know an element is not asked.
        folder: With worker environments and weights.
        device: auto, cpu or cuda.
        options: How to relax.
    """
    symbols = {chemical_symbols[number] for number in configuration.numbers.tolist()}
    key = (configuration.config_id, configuration.geometry_hash)
    for model in models:
        if unknown := model.unknown_elements(symbols):
            yield model, Relaxation(*key, "failed", f"{model.label} does not know {', '.join(unknown)}.")
            continue
        try:
            with Pool(folder, device=device) as pool, pool.borrow(model) as loaded:
                (found,) = loaded.evaluate([configuration], task=RELAX, options=asdict(options)).relaxations
        except EngineError as error:
            found = Relaxation(*key, "failed", str(error))
        yield model, found


def numbers(model: Model, found: Relaxation) -> dict[str, Any]:
    """A relaxation as plain numbers for JSON; eV, eV/Å, eV/Å³, Å."""
    if found.forces is None or found.positions is None or found.cell is None or found.trajectory is None:
        return {"model_id": model.model_id, "status": "failed", "reason": found.reason}
    way, n_atoms = found.trajectory, len(found.forces)
    return {
        "model_id": model.model_id,
        "n_atoms": n_atoms,
        "status": "ok",
        "is_converged": found.is_converged,
        "n_steps": found.n_steps,
        "energy": found.energy,
        "energy_per_atom": (found.energy or 0.0) / n_atoms,
        "energy_gain": float(way.energies[0] - way.energies[-1]),
        "max_force": float(way.max_forces[-1]),
        "largest_displacement": float(np.linalg.norm(found.positions - way.positions[0], axis=1).max()),
        "positions": found.positions.tolist(),
        "cell": found.cell.tolist(),
        "forces": found.forces.tolist(),
        "stress": None if found.stress is None else found.stress.tolist(),
        "wall_seconds": found.wall_seconds,
        "trajectory": {name: getattr(way, name).tolist() for name in ("steps", "energies", "max_forces")},
    }


def write_structures(path: Path, given: Configuration, found: Sequence[tuple[Model, Relaxation]]) -> int:
    """Write relaxed structures as extended XYZ, one frame per model, with energy, forces and stress.

    Returns:
        Number of frames; without any, no file is written.

    Raises:
        OSError: It cannot be written.
    """
    frames = []
    for model, relaxation in found:
        if relaxation.status != "ok":
            continue
        end = relaxation.relaxed(given)
        atoms = Atoms(end.numbers, end.positions, cell=end.cell, pbc=end.pbc)
        atoms.info |= {"model_id": model.model_id, "is_converged": relaxation.is_converged}
        atoms.calc = SinglePointCalculator(
            atoms, energy=relaxation.energy, forces=relaxation.forces, stress=relaxation.stress
        )
        frames.append(atoms)
    if frames:
        with replacing(path) as temporary:
            write(temporary, frames, format="extxyz")
    return len(frames)
