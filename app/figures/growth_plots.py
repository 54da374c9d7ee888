"""Time of a step against the number of atoms, a line per model."""

import pandas as pd
import plotly.graph_objects as go

from app.figures import base
from app.figures.base import Ink
from engine.quantities import significant

ATOMS_TITLE = "Atoms in the cell"
STEP_TITLE = "Time of one step (ms)"


def growth(table: pd.DataFrame, ink: Ink, title: str, source: str) -> go.Figure:
    """Lines of models that were timed on several cells, the slowest first in the legend.

    Args:
        table: Rows of `queries.timings.growth`.
        ink: Theme.
        title: Title of the figure.
        source: Provenance line.
    """
    figure = base.base_figure(ink, title, source, 420)
    last = table.sort_values("n_atoms").groupby("model_id").last()
    order = (last["ms_per_step"] / last["n_atoms"]).sort_values(ascending=False).index
    for number, model_id in enumerate(order):
        rows = table[table["model_id"] == model_id].sort_values("n_atoms")
        label, exponent = rows["label"].iloc[0], rows["exponent"].iloc[0]
        has_random_weights = bool(rows["has_random_weights"].any())
        dash = base.SERIES_DASHES[number % len(base.SERIES_DASHES)]
        figure.add_trace(
            go.Scatter(
                x=rows["n_atoms"], y=rows["ms_per_step"], mode="lines+markers",
                name=f"{label} ({exponent:.2f})",
                line={"color": base.model_colour(model_id), "width": 1.5, "dash": dash},
                marker={
                    "size": 8, "color": base.model_colour(model_id),
                    "symbol": base.SERIES_SYMBOLS[number % len(base.SERIES_SYMBOLS)] + "-open" * has_random_weights,
                },
                hovertext=[
                    f"<b>{label}</b><br>{row.n_atoms:,} atoms: {significant(row.ms_per_step)} ms per step<br>"
                    f"timed on {row.occasion}<br>grows as atoms^{exponent:.2f}"
                    + "<br>timed with random weights" * has_random_weights
                    for row in rows.itertuples()
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )  # fmt: skip
    base.log_axis(figure, "x", base.log_span(table["n_atoms"], table["n_atoms"], 0.05), ATOMS_TITLE)
    base.log_axis(figure, "y", base.log_span(table["ms_per_step"], table["ms_per_step"], 0.05), STEP_TITLE)
    base.legend_above(figure, len(order))
    figure.update_layout(dragmode=False)
    return figure
