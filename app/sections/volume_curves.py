"""Equations of state of a visitor's crystal: energies over volume, bulk moduli, and where a fit is refused."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import export, furniture, tables
from app.figures import path_plots
from precompute.live.tasks import TaskState


def show(
    tasks: Sequence[TaskState], labels: Mapping[str, str], origin: export.Provenance, slot: DeltaGenerator
) -> None:
    """Chart and table of the models that are done.

    Args:
        tasks: Of a job whose task is an equation of state.
        labels: Of models by id.
        origin: Of the results.
        slot: Where the Export menu goes.
    """
    done = [task for task in tasks if task.scan is not None]
    points = points_of(done, labels)
    curves = {labels[task.model_id]: task.scan.curve for task in done if task.scan and task.scan.curve}
    furniture.figure(
        lambda ink: path_plots.energy_curves(points, curves, ink, origin.title, origin.source_line()),
        points,
        origin,
        f"Energy over volume by {len(done)} models, with Birch-Murnaghan curves.",
        key="volume-curves",
        slot=slot,
    )
    table = table_of(done, labels)
    number = st.column_config.NumberColumn
    heads = {
        "model": st.column_config.TextColumn("Model", pinned=True),
        "volume": number("V₀ (Å³/atom)", format="%.3f"),
        "change": number("V₀ from the given (%)", format="%+.2f"),
        "energy_per_atom": number("E₀ (eV/atom)", format="%.4f"),
        "bulk_modulus": number("B₀ (GPa)", format="%.1f"),
        "derivative": number("B₀′", format="%.2f"),
        "residual": number("Residual of the fit (meV/atom)", format="%.3f"),
        "reason": st.column_config.TextColumn("Why no fit", width="large"),
    }
    tables.table_view(table, "volume-table", heads, height="content")
    st.caption(
        "Fractional coordinates are kept at every volume, so atoms that would move inside the cell make the crystal "
        "look stiffer. The residual is the root mean square distance of the energies from the curve."
    )
    export.download("CSV, fits", lambda: export.to_csv(table, origin), origin.file_name("fits.csv"), width="content")


def points_of(done: Sequence[TaskState], labels: Mapping[str, str]) -> pd.DataFrame:
    """Energies by model: model, volume (Å³/atom), energy_above (meV/atom), energy (eV) and n_atoms.

    Zero is the minimum of a model's curve, or its lowest energy where it has none.
    """
    rows: list[pd.DataFrame] = []
    for task in done:
        scan = task.scan
        assert scan is not None
        zero = scan.curve.energy if scan.curve else float(scan.energies.min())
        rows.append(
            pd.DataFrame(
                {
                    "model": labels[task.model_id], "volume": scan.volumes / scan.n_atoms,
                    "energy_above": 1000 * (scan.energies - zero) / scan.n_atoms, "energy": scan.energies,
                    "n_atoms": scan.n_atoms,
                }
            )
        )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def table_of(done: Sequence[TaskState], labels: Mapping[str, str]) -> pd.DataFrame:
    """One row per model: volume, its change (%), energy_per_atom, bulk_modulus (GPa), derivative, residual, reason."""
    rows: list[dict[str, Any]] = []
    for task in done:
        scan = task.scan
        assert scan is not None
        row: dict[str, Any] = {"model": labels[task.model_id]}
        if (curve := scan.curve) is not None:
            given = float(np.mean(scan.volumes))  # the range is the same to both sides
            row |= {
                "volume": curve.volume / scan.n_atoms, "change": 100 * (curve.volume / given - 1),
                "energy_per_atom": curve.energy / scan.n_atoms, "bulk_modulus": curve.bulk_modulus_gpa,
                "derivative": curve.derivative, "residual": 1000 * curve.residual / scan.n_atoms,
            }  # fmt: skip
        rows.append(row | {"reason": scan.reason})
    names = ["model", "volume", "change", "energy_per_atom", "bulk_modulus", "derivative", "residual", "reason"]
    return pd.DataFrame(rows).reindex(columns=names)
