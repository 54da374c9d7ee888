"""Relaxations of a visitor's structure: trajectories to play and to download, and where each model ends."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import export, furniture, tables
from app.figures import path_plots
from app.structures import files, parts
from app.structures.atomview import AtomColors, atomview
from engine.records import Configuration
from engine.relaxations import Relaxation
from precompute.live.tasks import Job, TaskState

_PLAY_SECONDS = 0.5


def show(
    job: Job,
    tasks: Sequence[TaskState],
    labels: Mapping[str, str],
    origin: export.Provenance,
    right: DeltaGenerator,
    slot: DeltaGenerator,
) -> None:
    """Player at the right, chart and table below.

    Args:
        job: Whose task is a relaxation.
        tasks: Of its structure.
        labels: Of models by id.
        origin: Of the results.
        right: Where the picture goes.
        slot: Where the Export menu goes.
    """
    done = {task.model_id: task.relaxation for task in tasks if task.relaxation is not None}
    with right:
        model_id = st.segmented_control(
            "Model", list(done), default=next(iter(done)), required=True, format_func=labels.__getitem__, key="path",
            label_visibility="collapsed",
        )  # fmt: skip
        given, found = job.configuration, done[model_id]
        _player(given, found, model_id, labels[model_id])
        export.download(
            "Trajectory, extended XYZ", lambda: files.path_to_extxyz(given, found, model_id),
            origin.file_name(f"{model_id}.extxyz"), width="content",
        )  # fmt: skip
    points = points_of(done, labels)
    fmax = job.calculation.relaxation.fmax
    furniture.figure(
        lambda ink: path_plots.relaxation_paths(points, fmax, ink, origin.title, origin.source_line()),
        points,
        origin,
        f"Energy and largest force step by step, by {len(done)} models.",
        key="relaxation-paths",
        slot=slot,
    )
    table = table_of(job, tasks, labels)
    _show_table(table)
    export.download(
        "CSV, models", lambda: export.to_csv(table, origin), origin.file_name("models.csv"), width="content"
    )


def _player(given: Configuration, found: Relaxation, model_id: str, label: str) -> None:
    """Switch, slider and picture; only they run again while the trajectory plays."""
    assert found.trajectory is not None
    is_playing = st.toggle("Play", key="play", disabled=len(found.trajectory.steps) < 2)
    st.fragment(_frame, run_every=_PLAY_SECONDS if is_playing else None)(given, found, model_id, label, is_playing)


def _frame(given: Configuration, found: Relaxation, model_id: str, label: str, is_playing: bool) -> None:
    way = found.trajectory
    assert way is not None
    n_frames, key = len(way.steps), f"frame-{model_id}-{given.geometry_hash}"
    frame = min(int(st.session_state.get(key, n_frames - 1)), n_frames - 1)
    if is_playing:
        frame = (frame + 1) % n_frames
    st.session_state[key] = frame
    if n_frames > 1:
        st.slider("Frame", 0, n_frames - 1, key=key, label_visibility="collapsed")
    moved = np.linalg.norm(way.positions[frame] - way.positions[0], axis=1)
    atomview(
        given.numbers,
        way.positions[frame],
        way.cells[frame],
        key="path-view",
        alt=f"{given.config_id} at step {way.steps[frame]} of its relaxation by {label}.",
        colors=AtomColors(moved, "moved by", "Å", floor=max(0.01, _largest_move(found))),
        selected=parts.selected_atom(given.n_atoms),
        on_pick=parts.select_atom,
        filename=f"{given.config_id}-{model_id}-{way.steps[frame]}.png",
        height=440,
        camera=f"{given.geometry_hash}-path",
    )
    above = 1000 * (way.energies[frame] - way.energies[-1]) / given.n_atoms
    st.caption(
        f"Step {way.steps[frame]} of {found.n_steps}: {above:.2f} meV/atom above the end, largest force "
        f"{way.max_forces[frame]:.3f} eV/Å, no atom moved by more than {moved.max():.3f} Å."
    )


def _largest_move(found: Relaxation) -> float:
    """Longest way of an atom from its start, Å, so that all frames have the same colours."""
    assert found.trajectory is not None
    ways = found.trajectory.positions - found.trajectory.positions[0]
    return float(np.linalg.norm(ways, axis=2).max())


def points_of(done: Mapping[str, Relaxation], labels: Mapping[str, str]) -> pd.DataFrame:
    """Steps that are kept: model, step, energy_above the end (meV/atom), energy (eV) and max_force (eV/Å)."""
    rows = []
    for model_id, found in done.items():
        way = found.trajectory
        assert way is not None
        n_atoms = way.positions.shape[1]
        rows.append(
            pd.DataFrame(
                {
                    "model": labels[model_id], "step": way.steps,
                    "energy_above": 1000 * (way.energies - way.energies[-1]) / n_atoms, "energy": way.energies,
                    "max_force": way.max_forces,
                }
            )
        )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def table_of(job: Job, tasks: Sequence[TaskState], labels: Mapping[str, str]) -> pd.DataFrame:
    """One row per model that is done.

    Returns:
        model, end, n_steps, energy (eV), gain (eV), moved (Å), volume_change (%), max_force (eV/Å), seconds.
    """
    rows = []
    for task in tasks:
        found = task.relaxation
        if found is None or found.trajectory is None:
            continue
        way = found.trajectory
        volumes = np.abs(np.linalg.det(way.cells[[0, -1]]))
        rows.append(
            {
                "model": labels[task.model_id],
                "end": _end(job, found),
                "n_steps": found.n_steps,
                "energy": found.energy,
                "gain": float(way.energies[0] - way.energies[-1]),
                "moved": float(np.linalg.norm(way.positions[-1] - way.positions[0], axis=1).max()),
                "volume_change": 100 * float(volumes[1] / volumes[0] - 1) if volumes[0] else np.nan,
                "max_force": float(way.max_forces[-1]),
                "seconds": found.wall_seconds,
            }
        )
    return pd.DataFrame(rows)


def _end(job: Job, found: Relaxation) -> str:
    """Why a relaxation ended."""
    if found.is_converged:
        return "converged"
    options = job.calculation.relaxation
    return "steps used up" if found.n_steps >= options.steps else f"stopped after {options.seconds:.0f} s"


def _show_table(table: pd.DataFrame) -> None:
    number = st.column_config.NumberColumn
    heads = {
        "model": st.column_config.TextColumn("Model", pinned=True),
        "end": "End",
        "n_steps": number("Steps"),
        "energy": number("Energy (eV)", format="%.3f"),
        "gain": number("Energy gained (eV)", format="%.3f"),
        "moved": number("Farthest move of an atom (Å)", format="%.3f"),
        "volume_change": number("Change of volume (%)", format="%+.2f"),
        "max_force": number("Largest |F| (eV/Å)", format="%.4f"),
        "seconds": number("Time (s)", format="%.2f"),
    }
    tables.table_view(table, "path-table", heads, height="content")
