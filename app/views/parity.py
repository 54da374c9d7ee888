"""Parity: predictions against the reference, and where they differ."""

import dataclasses
from functools import partial

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, drawn_figures, export, furniture, selection, tables, theme, wording
from app.figures import base, error_plots
from app.sections import energy_overlay
from engine.quantities import ALIGNMENTS, METRICS, QUANTITIES, significant
from engine.queries import configurations, error_metrics, error_pairs
from engine.queries.error_pairs import Axes, Density
from engine.queries.ranks import ranks
from engine.queries.scope import Scope


def show() -> None:
    """Numbers first, then the residual (or parity) chart, then the configurations of a box drawn on it."""
    chosen = selection.selection()
    model, dataset = wording.model_labels()[chosen.model_id], wording.dataset_label(chosen.dataset_id)
    slot = furniture.header(
        f"Parity: {model} on {dataset}",
        "Where does the prediction differ from the reference? Drag a box on the chart to list its configurations.",
    )
    scope, axes, by_group = _controls(chosen)
    chosen = dataclasses.replace(chosen, scope=scope)
    metrics = error_metrics.dataset_metrics(axes.alignment, scope, quantity=axes.quantity)
    row = metrics[metrics["model_id"] == chosen.model_id]
    if row.empty or not row["n_configs"].iloc[0]:
        furniture.not_run(chosen)
        return
    _headline(row.iloc[0], chosen)
    is_raw = axes.quantity == "energy" and axes.alignment == "raw"
    pairs = metrics[metrics["model_id"].isin([chosen.model_id, *chosen.compare])]
    pairs = wording.judged(pairs, is_raw=is_raw)
    furniture.captions(
        wording.energy_meaning(axes.alignment) if axes.quantity == "energy" else "",
        wording.one_composition_note(chosen.dataset_id, axes.alignment) if axes.quantity == "energy" else "",
        wording.energy_note(pairs) if axes.quantity == "energy" and axes.alignment == "per_element" else "",
        wording.why_not(pairs),
        wording.seen_note(pairs),
        wording.level_note(pairs),
    )
    samples = {
        model_id: error_pairs.residuals(model_id, scope, axes) for model_id in (chosen.model_id, *chosen.compare)
    }
    if samples[chosen.model_id] is None:
        if chosen.quantity == "force" and furniture.no_atoms(chosen.dataset_id):
            return
        furniture.empty("No samples", f"This model gave no {chosen.quantity} for these configurations.")
        return
    known = [found for found in samples.values() if found is not None]
    frame = error_plots.frame_of(known, axes.quantity, axes.view)
    apart = set(pairs.loc[~pairs["comparable"], "model_id"])
    seen = set(pairs.loc[pairs["is_seen"], "model_id"])
    figures = {
        model_id: _figure(
            chosen,
            model_id,
            found,
            axes,
            frame,
            is_comparable=model_id not in apart,
            is_seen=model_id in seen,
            by_group=by_group,
        )
        for model_id, found in samples.items()
        if found is not None
    }
    _main_chart(chosen, samples[chosen.model_id], *figures[chosen.model_id], axes, slot)
    _comparison(chosen, samples, figures, axes)
    if axes.quantity == "energy":
        energy_overlay.show(chosen, scope, axes.alignment, sorted(seen))


def _controls(chosen: selection.Selection) -> tuple[Scope, Axes, bool]:
    """The choices of the page: a group, what the chart shows, and whether colours tell groups."""
    address.heed("view", ["residual", "parity"], str.capitalize)
    address.heed_switch("full", "groups")
    with furniture.controls():
        view = st.segmented_control(
            "View",
            ["residual", "parity"],
            default="residual",
            required=True,
            format_func=str.capitalize,
            key="view",
            bind="query-params",
        )
        alignment = selection.alignment_switch() if chosen.quantity == "energy" else "raw"
        scope = selection.group_choice(chosen.scope)
        full_range = st.toggle(
            "Full range",
            key="full",
            bind="query-params",
            help="Show the outermost 0.05 % at each side as well.",
        )
        by_group = chosen.quantity == "energy" and st.toggle(
            "Colour by group",
            value=True,
            key="groups",
            bind="query-params",
            help="Of structures, as the dataset has them.",
        )
    return scope, Axes(chosen.quantity, alignment, view, full_range), by_group


def _headline(row: pd.Series, chosen: selection.Selection) -> None:
    metric, n = METRICS[chosen.quantity], f"n_{chosen.quantity}"
    values = [
        (
            wording.seen_marked(QUANTITIES[metric.rmse].title(), row["is_seen"]),
            significant(row[metric.rmse]),
            f"95 %: {wording.bounds(row, metric.rmse)}, n = {row[n]:,.0f}",
        ),
        (QUANTITIES[metric.mae].title(), significant(row[metric.mae]), f"n = {row[n]:,.0f} configurations"),
        (
            "Configurations",
            f"{row['n_configs']:,.0f}",
            f"of {row['n_expected']:,.0f}, {base.lacking(row) or '0 failed'}",
        ),
        ("Origin", str(row["origin"]), wording.SEEN if row["is_seen"] else wording.source_name(row["source"])),
    ]
    if chosen.quantity == "force":
        note = "below 1: too soft" if row["force_slope"] < 1 else "above 1: too stiff"
        values.insert(2, ("Slope of forces", significant(row["force_slope"]), f"{note}, n = {row[n]:,.0f}"))
    furniture.numbers(values)


def _figure(
    chosen: selection.Selection,
    model_id: str,
    samples: error_plots.Samples,
    axes: Axes,
    frame: error_plots.Frame,
    *,
    is_comparable: bool,
    is_seen: bool,
    by_group: bool,
) -> tuple[partial[go.Figure], export.Provenance]:
    """How to draw one model's figure, still without colours and height, and where it comes from."""
    words = f", {ALIGNMENTS[axes.alignment]}" if chosen.quantity == "energy" else ""
    words += "" if is_comparable else f" {base.OWN_MARK}"
    title = (
        f"{chosen.quantity.capitalize()} {axes.view}{words}: "
        f"{wording.seen_marked(wording.model_labels()[model_id], is_seen)} on "
        f"{wording.place(chosen.scope)}"
    )
    n = samples.n_total if isinstance(samples, Density) else len(samples)
    count = f"{n:,} {METRICS[chosen.quantity].noun}{_part_of(model_id, chosen.scope, axes.alignment)}"
    origin = furniture.provenance("parity", title, [model_id], chosen.scope, count)
    draw = partial(
        error_plots.residual,
        samples,
        chosen.quantity,
        title=title,
        source=origin.source_line(),
        view=axes.view,
        frame=frame,
        noise=wording.noise_of(chosen.dataset_id, chosen.quantity) if is_comparable else None,
        is_comparable=is_comparable,
        colour=base.model_colour(model_id),
        by_group=by_group,
    )
    return draw, origin


def _part_of(model_id: str, scope: Scope, alignment: str) -> str:
    """A note where a model was not run on all configurations."""
    metrics = error_metrics.dataset_metrics(alignment, scope)
    row = metrics[metrics["model_id"] == model_id].iloc[0]
    if row["n_configs"] == row["n_expected"]:
        return ""
    return f" from {row['n_configs']:,} of {row['n_expected']:,} configurations"


def _main_chart(
    chosen: selection.Selection,
    samples: error_plots.Samples,
    draw: partial[go.Figure],
    origin: export.Provenance,
    axes: Axes,
    slot: DeltaGenerator,
) -> None:
    table = error_plots.table_of(samples)
    with slot:
        export.menu(draw, table, origin, key="parity", widths=drawn_figures.drawn(draw, theme.ink()).widths)
    _chart_and_box(draw, table, origin, chosen, axes)
    if isinstance(samples, Density) and samples.n_outside:
        st.caption(f"{samples.n_outside:,} of {origin.n} lie outside the frame; the switch “Full range” shows them.")
    tables.view_data(table, "parity")


@st.fragment
def _chart_and_box(
    draw: partial[go.Figure],
    table: pd.DataFrame,
    origin: export.Provenance,
    chosen: selection.Selection,
    axes: Axes,
) -> None:
    """Only this part runs again when a box is drawn."""
    state = furniture.figure(
        draw,
        table,
        origin,
        f"{origin.title}, n = {origin.n}. Dragging a box lists configurations.",
        key="-".join(["parity", chosen.model_id, chosen.scope.describe(), axes.quantity, axes.view, axes.alignment]),
        on_select="rerun",
        selection_mode="box",
        has_menu=False,
    )
    boxes = state["selection"]["box"]
    if not boxes:
        st.subheader(f"Worst configurations by {chosen.quantity} error", anchor=False)
        worst = configurations.worst_configurations(chosen.model_id, chosen.scope, axes.quantity, axes.alignment)
        tables.configuration_table(tables.shown(worst), "worst", chosen.model_id)
        return
    factor = QUANTITIES[METRICS[chosen.quantity].error].factor if axes.view == "residual" else 1.0
    (x0, x1), (y0, y1) = sorted(boxes[0]["x"]), sorted(boxes[0]["y"])
    box = error_pairs.Box(x0, x1, y0 / factor, y1 / factor)
    boxed = error_pairs.configurations_in_box(chosen.model_id, chosen.scope, axes, box)
    st.subheader("Worst configurations in the box", anchor=False)
    if boxed.empty:
        furniture.empty("The box is empty", "Drag it over a coloured part of the chart.")
        return
    limit = f" (the {configurations.BOX_LIMIT} worst are listed)" if len(boxed) == configurations.BOX_LIMIT else ""
    st.caption(f"{len(boxed)} configurations{limit}: x {x0:.4g} to {x1:.4g}, y {y0:.4g} to {y1:.4g}")
    tables.configuration_table(tables.shown(boxed), "boxed", chosen.model_id)


def _comparison(
    chosen: selection.Selection,
    samples: dict[str, error_plots.Samples | None],
    figures: dict[str, tuple[partial[go.Figure], export.Provenance]],
    axes: Axes,
) -> None:
    """The same figure, smaller and in the same limits, for each model to compare."""
    if not chosen.compare:
        return
    st.subheader("Compared with, in the same limits", anchor=False)
    _numbers_side_by_side(chosen, axes.alignment)
    columns = st.columns(2)
    for k, model_id in enumerate(chosen.compare):
        with columns[k % 2]:
            if model_id not in figures:
                furniture.empty(wording.model_labels()[model_id], "No numbers for this dataset.")
                continue
            draw, origin = figures[model_id]
            table = error_plots.table_of(samples[model_id])
            smaller = partial(draw, height=400)
            furniture.figure(smaller, table, origin, origin.title, key=f"compare-{model_id}")


def _numbers_side_by_side(chosen: selection.Selection, alignment: str) -> None:
    """Errors of the shown models over the configurations that they share; the charts show all of each model."""
    models = tuple(sorted((chosen.model_id, *chosen.compare)))
    metrics = error_metrics.shared_metrics(
        alignment, chosen.scope, models, quantity=chosen.quantity, with_seen=chosen.with_seen
    )
    st.markdown(wording.comparison_note(metrics))
    found = ranks(alignment, chosen.scope, chosen.quantity, models, with_seen=chosen.with_seen)
    is_raw = chosen.quantity == "energy" and alignment == "raw"
    metrics = wording.with_ranks(wording.judged(metrics, is_raw=is_raw), found)
    columns = ["ranks", "label", *(name for m in METRICS.values() for name in (m.rmse, m.mae)), "force_slope"]
    table = metrics.sort_values(["is_ranked", METRICS[chosen.quantity].rmse], ascending=[False, True])
    table = table[columns].assign(
        label=[wording.seen_marked(row.label, row.is_seen) for row in table.itertuples()],
        why_no_rank=table["why_no_rank"],
        n_of=[f"{row.n_configs:,} of {row.n_expected:,}" for row in table.itertuples()],
    )
    tables.table_view(table, "side-by-side", {"n_of": "Configurations"}, height="content")
    if (metrics["n_own"] > metrics["n_configs"]).any():
        st.caption("The charts show all configurations of each model; n in their last line says how many.")


show()
