"""Relaxation of one configuration with one loaded model, by the optimizers of ASE.

Every step goes through `Evaluator.predict`, so that it is padded, checked and measured as a single point is. This
module runs in the environments of the families.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE
from ase.optimize.optimize import Optimizer

from engine.records import Configuration
from engine.relaxations import Relaxation, RelaxationOptions, Trajectory
from precompute.workers.evaluation import Evaluator

Announce = Callable[[int, float, float], None]
"""Told of each step: its number, the energy (eV) and the largest force on an atom (eV/Å)."""

_OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"fire": FIRE, "bfgs": BFGS}


class StepError(Exception):
    """The model has no numbers for a step; the message is the reason of the failed row."""


class _Surface(Calculator):
    """The energy surface of an evaluator around one configuration, as ASE's optimizers ask for it."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012 - the name and the kind are ASE's

    def __init__(self, evaluator: Evaluator, configuration: Configuration, *, needs_stress: bool) -> None:
        super().__init__()
        self._evaluator, self._configuration, self._needs_stress = evaluator, configuration, needs_stress

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        moved = dataclasses.replace(
            self._configuration, positions=atoms.positions.copy(), cell=np.array(atoms.cell), geometry_hash=""
        )
        (found,) = self._evaluator.predict([moved])
        if found.status != "ok":
            raise StepError(found.reason)
        if found.stress is None and self._needs_stress:
            raise StepError("a free cell needs three periodic directions and a model that gives stress")
        self.results = {"energy": found.energy, "forces": found.forces}
        self.results |= {} if found.stress is None else {"stress": found.stress}


def relax(
    evaluator: Evaluator,
    configuration: Configuration,
    options: RelaxationOptions,
    announce: Announce = lambda step, energy, max_force: None,
) -> Relaxation:
    """Follow the forces until they are small, or the steps or the time are used up.

    Args:
        evaluator: A loaded model.
        configuration: Start of the relaxation.
        options: Limits, cell and optimizer.
        announce: Told of each step.

    Returns:
        Relaxed structure, converged or not, or the reason of a failure.
    """
    started = time.perf_counter()
    atoms = Atoms(configuration.numbers, configuration.positions, cell=configuration.cell, pbc=configuration.pbc)
    atoms.calc = _Surface(evaluator, configuration, needs_stress=options.cell == "free")
    frames: list[tuple[Any, ...]] = []
    try:
        for is_converged in _optimizer(atoms, options).irun(fmax=options.fmax, steps=options.steps):
            results = atoms.calc.results
            max_force = np.linalg.norm(results["forces"], axis=1).max(initial=0.0)
            frames.append((results["energy"], max_force, atoms.positions.copy(), np.array(atoms.cell), is_converged))
            announce(len(frames) - 1, float(results["energy"]), float(max_force))
            if options.seconds and time.perf_counter() - started > options.seconds:
                break
    except Exception as error:  # whatever an optimizer or a package raises becomes a row
        reason = str(error) if isinstance(error, StepError) else f"{type(error).__name__}: {error}"[:300]
        at_step = f" (at step {len(frames)})" if frames else ""
        return Relaxation(configuration.config_id, configuration.geometry_hash, "failed", reason + at_step)
    energies, max_forces, positions, cells, converged = map(np.array, zip(*frames, strict=True))
    return Relaxation(
        configuration.config_id,
        configuration.geometry_hash,
        "ok",
        energy=float(results["energy"]),
        forces=results["forces"],
        stress=results.get("stress"),
        wall_seconds=time.perf_counter() - started,
        positions=positions[-1],
        cell=cells[-1],
        n_steps=len(frames) - 1,
        is_converged=bool(converged[-1]),
        trajectory=Trajectory(np.arange(len(frames)), energies, max_forces, positions, cells).thinned(),
    )


def _optimizer(atoms: Atoms, options: RelaxationOptions) -> Optimizer:
    moving = FrechetCellFilter(atoms) if options.cell == "free" else atoms
    return _OPTIMIZERS[options.optimizer](moving, logfile=None)
