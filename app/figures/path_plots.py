"""Relaxations step by step, and energies over volume with the curves through them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.figures import base
from app.figures.base import Ink
from engine.numerics.equation_of_state import EquationOfState


def relaxation_paths(table: pd.DataFrame, fmax: float, ink: Ink, title: str, source: str) -> go.Figure:
    """Energy above the last step and largest force, one line per model.

    Args:
        table: model, step, energy_above (meV/atom) and max_force (eV/Å).
        fmax: The force below which a relaxation ends, eV/Å.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    figure = base.base_figure(ink, title, source, 480, left=90)
    figure.set_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.08)
    for number, (model, rows) in enumerate(table.groupby("model", sort=False)):
        colour = base.SERIES_COLOURS[number % len(base.SERIES_COLOURS)]
        for place, column, unit in ((1, "energy_above", "meV/atom"), (2, "max_force", "eV/Å")):
            figure.add_trace(
                go.Scatter(
                    x=rows["step"],
                    y=rows[column],
                    mode="lines+markers",
                    name=str(model),
                    legendgroup=str(model),
                    showlegend=place == 1,
                    line={"color": colour, "width": 1.5},
                    marker={"symbol": base.SERIES_SYMBOLS[number % len(base.SERIES_SYMBOLS)], "size": 5},
                    hovertemplate=f"{model}, step %{{x}}: %{{y:.4g}} {unit}<extra></extra>",
                ),
                row=place,
                col=1,
            )
    figure.add_hline(y=fmax, line={"color": ink.muted, "dash": "dot"}, row=2, col=1)
    figure.update_yaxes(title="Energy above the end<br>(meV/atom)", row=1, col=1)
    figure.update_yaxes(title="Largest force<br>(eV/Å)", type="log", row=2, col=1)
    figure.update_xaxes(title="Step", row=2, col=1)
    _legend(figure, table["model"].nunique())
    return figure


def energy_curves(
    table: pd.DataFrame, curves: Mapping[str, EquationOfState], ink: Ink, title: str, source: str
) -> go.Figure:
    """Energies over volume as points, each model from its own lowest, and the fitted curves as lines.

    Args:
        table: model, volume (Å³/atom), energy_above (meV/atom above the model's zero) and n_atoms.
        curves: Of the models that have one, for the whole cell (Å³, eV).
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    figure = base.base_figure(ink, title, source, 440)
    for number, (model, rows) in enumerate(table.groupby("model", sort=False)):
        colour = base.SERIES_COLOURS[number % len(base.SERIES_COLOURS)]
        figure.add_trace(
            go.Scatter(
                x=rows["volume"],
                y=rows["energy_above"],
                mode="markers",
                name=str(model),
                legendgroup=str(model),
                marker=base.series_marker(number, 0.9) | {"size": 8},
                hovertemplate=f"{model}: %{{x:.3f}} Å³/atom, %{{y:.2f}} meV/atom<extra></extra>",
            )
        )
        curve = curves.get(str(model))
        if curve is None:
            continue
        n_atoms = int(rows["n_atoms"].iloc[0])
        volumes = np.linspace(rows["volume"].min(), rows["volume"].max(), 120)
        heights = 1000 * (curve.energies(volumes * n_atoms) - curve.energy) / n_atoms
        figure.add_trace(
            go.Scatter(
                x=volumes, y=heights, mode="lines", legendgroup=str(model), showlegend=False, hoverinfo="skip",
                line={"color": colour, "width": 1.5},
            )
        )  # fmt: skip
    figure.update_xaxes(title="Volume (Å³/atom)")
    figure.update_yaxes(title="Energy above the minimum (meV/atom)")
    _legend(figure, table["model"].nunique())
    return figure


def _legend(figure: go.Figure, n_models: int) -> None:
    figure.update_layout(showlegend=True)
    base.legend_above(figure, n_models)
