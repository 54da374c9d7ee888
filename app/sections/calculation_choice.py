"""What is computed of a visitor's structure: a single point, a relaxation or an equation of state, with options."""

from collections.abc import Sequence

import streamlit as st

from app import address
from engine.relaxations import CELLS, OPTIMIZERS, RelaxationOptions
from engine.volume_scans import FEWEST, LARGEST_RANGE, LEAST_RANGE, MOST, VolumeScan
from precompute.live.calculations import (
    CALCULATION_SECONDS,
    EQUATION_OF_STATE,
    LARGEST_FORCE,
    LEAST_FORCE,
    MOST_STEPS,
    RELAX,
    SINGLE_POINT,
    TASKS,
    Calculation,
)

LABELS = {SINGLE_POINT: "Single point", RELAX: "Relaxation", EQUATION_OF_STATE: "Equation of state"}
_MEANINGS = {
    SINGLE_POINT: "Energy and forces of the structure as it is.",
    RELAX: "Atoms follow their forces until these are small.",
    EQUATION_OF_STATE: "Energies at several volumes, for lattice constant and bulk modulus.",
}
_OPTIMIZER_LABELS = {"fire": "FIRE", "bfgs": "BFGS"}


def choose() -> Calculation:
    """The task and its options; each is in the address."""
    address.heed("task", TASKS, LABELS.__getitem__)
    task = st.segmented_control(
        "Compute", TASKS, default=SINGLE_POINT, required=True, format_func=LABELS.__getitem__, key="task",
        bind="query-params", help="  \n".join(f"**{LABELS[task]}** {text}" for task, text in _MEANINGS.items()),
    )  # fmt: skip
    if task == RELAX:
        return Calculation(RELAX, _relaxation())
    if task == EQUATION_OF_STATE:
        return Calculation(EQUATION_OF_STATE, scan=_scan())
    return Calculation()


def is_drawn() -> bool:
    """Whether a visitor has the choices before them already."""
    return "task" in st.session_state


def to_address(calculation: Calculation) -> dict[str, str]:
    """Parameters of the address with which the choices begin with a calculation; none for a single point."""
    if calculation.task == RELAX:
        one = calculation.relaxation
        return {
            "task": LABELS[RELAX], "cell": one.cell, "optimizer": _OPTIMIZER_LABELS[one.optimizer],
            "fmax": f"{one.fmax:g}", "steps": str(one.steps),
        }  # fmt: skip
    if calculation.task == EQUATION_OF_STATE:
        scan = calculation.scan
        return {
            "task": LABELS[EQUATION_OF_STATE], "range": str(round(100 * scan.strain)), "volumes": str(scan.n_volumes)
        }  # fmt: skip
    return {}


def _relaxation() -> RelaxationOptions:
    address.heed("optimizer", OPTIMIZERS, _OPTIMIZER_LABELS.__getitem__)
    address.heed("cell", CELLS)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        cell = st.segmented_control(
            "Cell", CELLS, default="fixed", required=True, key="cell", bind="query-params",
            help="free: lengths and angles follow the stress to zero pressure (FrechetCellFilter of ASE).",
        )  # fmt: skip
        optimizer = st.segmented_control(
            "Optimizer", OPTIMIZERS, default="fire", required=True, format_func=_OPTIMIZER_LABELS.__getitem__,
            key="optimizer", bind="query-params", help="BFGS needs fewer steps, but they grow with the cube of atoms.",
        )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="bottom"):
        fmax = st.number_input(
            "Largest force (eV/Å)", LEAST_FORCE, LARGEST_FORCE, 0.01, 0.01, format="%.3f", key="fmax",
            bind="query-params", width=170,
        )  # fmt: skip
        steps = st.number_input("Steps at most", 1, MOST_STEPS, 200, 50, key="steps", bind="query-params", width=150)
    st.caption(f"A relaxation ends after {CALCULATION_SECONDS:.0f} s with what it has reached.")
    return RelaxationOptions(float(fmax), int(steps), str(cell), str(optimizer))


def _scan() -> VolumeScan:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        percent = st.number_input(
            "Volumes up to ± (%)", int(100 * LEAST_RANGE), int(100 * LARGEST_RANGE), 6, 1, key="range",
            bind="query-params", width=170,
        )  # fmt: skip
        n_volumes = st.number_input(
            "Number of volumes", FEWEST, MOST, 9, 1, key="volumes", bind="query-params", width=170
        )
    st.caption(
        "Energies of the cell at evenly spaced volumes, fractional coordinates kept, and a third-order "
        f"Birch-Murnaghan curve through them (ASE). A scan may take {CALCULATION_SECONDS:.0f} s per model."
    )
    return VolumeScan(int(n_volumes), percent / 100)


def command(calculation: Calculation, model_ids: Sequence[str]) -> str:
    """The command that computes the same from a file of the structure.

    Args:
        calculation: Of a job.
        model_ids: Models that are done.
    """
    models = " ".join(f"--model {model_id}" for model_id in model_ids)
    if calculation.task == RELAX:
        one = calculation.relaxation
        options = f"--fmax {one.fmax:g} --steps {one.steps} --cell {one.cell} --optimizer {one.optimizer}"
        return f"python -m precompute relax FILE {models} {options}"
    if calculation.task == EQUATION_OF_STATE:
        scan = calculation.scan
        return (
            f"python -m precompute equation-of-state FILE {models} --strain {scan.strain:g} --volumes {scan.n_volumes}"
        )
    return f"python -m precompute predict FILE {models}"
