"""Energies of defects of a job that came with a perfect crystal."""

from dataclasses import dataclass

import numpy as np

from engine.errors import MetricError
from engine.numerics.defect_energy import defect_energy, n_crystals
from engine.volume_scans import volume
from precompute.live.tasks import Job, TaskState

NEAR_WHOLE = 0.01
"""Relative distance of the ratio of volumes from a whole number that counts as one."""


@dataclass(frozen=True)
class DefectEnergy:
    """Energy of a defect by one model.

    Attributes:
        energy: E(defect) - sum of n_i mu_i, eV; None where there is none.
        reason: Why there is none; empty where there is one, or none was asked for.
    """

    energy: float | None = None
    reason: str = ""


def energy(job: Job, task: TaskState, crystal: TaskState) -> DefectEnergy:
    """The energy of a job's structure above its perfect crystal, both computed in the same way.

    Args:
        job: With a perfect crystal.
        task: Of one model, on the structure.
        crystal: Of the same model, on the crystal.
    """
    if job.crystal is None:
        return DefectEnergy()
    if reason := imbalance(job):
        return DefectEnergy(reason=reason)
    for one, what in ((task, "the structure"), (crystal, "the perfect crystal")):
        if one.is_open:
            return DefectEnergy(reason=f"{what} is not done yet")
        if one.prediction is None or one.prediction.energy is None:
            return DefectEnergy(reason=f"{what} has no energy: {one.message or one.state}")
        if one.relaxation is not None and not one.relaxation.is_converged:
            return DefectEnergy(reason=f"{what} did not converge in {one.relaxation.n_steps} steps")
    assert task.prediction is not None and crystal.prediction is not None
    assert task.prediction.energy is not None and crystal.prediction.energy is not None
    return DefectEnergy(
        defect_energy(job.configuration.numbers, task.prediction.energy, job.crystal.numbers, crystal.prediction.energy)
    )


def imbalance(job: Job) -> str:
    """Why a job's two structures give no energy of a defect, whatever their energies; empty where they do."""
    if job.crystal is None:
        return ""
    try:
        n_crystals(job.configuration.numbers, job.crystal.numbers)
    except MetricError as error:
        return str(error)
    return ""


def volume_ratio(job: Job) -> float | None:
    """Volume of the structure's cell over that of the crystal's; None where one of them has none."""
    if job.crystal is None or not all(job.configuration.pbc) or not all(job.crystal.pbc):
        return None
    return volume(job.configuration) / volume(job.crystal)


def is_strained(ratio: float) -> bool:
    """Whether a ratio of volumes is no whole number, so that the energy has a part of strain, or of vacuum.

    Example:
        >>> is_strained(8.01), is_strained(8.3)
        (False, True)
    """
    return bool(abs(ratio - np.round(ratio)) > NEAR_WHOLE * ratio) or ratio < 1 - NEAR_WHOLE
