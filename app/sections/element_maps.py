"""Two models by element side by side, one minus the other, and the best model of each element."""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, furniture, selection, tables, wording
from app.figures import base
from app.figures import element_maps as figures
from engine.queries import element_maps, error_metrics
from engine.queries.scope import Scope

ONE, PAIR, DIFFERENCE, WINNERS = "one model", "two models", "difference", "winners"
VIEWS = (ONE, PAIR, DIFFERENCE, WINNERS)
_UNITS = {"energy": "meV/atom", "force": "meV/Å"}


def view_switch() -> str:
    """Which of the views is shown."""
    address.heed("view", VIEWS, str.capitalize)
    return st.segmented_control(
        "View", VIEWS, default=ONE, required=True, format_func=str.capitalize, key="view", bind="query-params",
        help="One model with its configurations; two side by side; the first minus the second; the model with the "
        "smallest error on each element.",
    )  # fmt: skip


def maps_part(view: str, chosen: selection.Selection, slot: DeltaGenerator) -> None:
    """One of the views of several models, over the sidebar's dataset.

    Args:
        view: Not `ONE`.
        chosen: The sidebar's choices.
        slot: Where the Export menu goes.
    """
    groups = element_maps.boundary_groups((chosen.dataset_id,), chosen.scope)
    address.heed_switch("boundaries")
    with furniture.controls():
        alignment = selection.alignment_switch()
        boundaries = st.toggle(
            "Grain boundaries only", key="boundaries", bind="query-params", disabled=groups.empty,
            help="Groups of structures with grain boundaries: " + (", ".join(groups["group_name"]) or "none here"),
        )  # fmt: skip
    boundaries = boundaries and len(groups) > 0
    ranked = element_maps.ranked_models(
        alignment, chosen.dataset_id, chosen.quantity, with_seen=chosen.with_seen, within=chosen.scope
    )
    if not ranked:
        furniture.empty(
            f"No ranked model on {wording.place(chosen.scope)}",
            "No model's numbers can be compared with this dataset as they are. Choose Aligned, or another dataset.",
        )
        return
    place = wording.place(chosen.scope) + (", grain boundaries" if boundaries else "")
    if view == WINNERS:
        _winners(ranked, alignment, chosen, place, boundaries, slot)
    else:
        _pair(view, ranked, alignment, chosen, place, boundaries, slot)


def _models(ranked: tuple[str, ...], chosen: selection.Selection) -> tuple[str, str]:
    """Two models: the sidebar's and the first to compare with it, or the worst and the best as in the paper."""
    if chosen.compare:
        return chosen.model_id, chosen.compare[0]
    others = [name for name in (ranked[0], ranked[-1]) if name != ranked[-1]]
    return ranked[-1], others[0] if others else chosen.model_id


def _pair(
    view: str, ranked: tuple[str, ...], alignment: str, chosen: selection.Selection, place: str, boundaries: bool,
    slot: DeltaGenerator,
) -> None:  # fmt: skip
    first, second = _models(ranked, chosen)
    errors = element_maps.element_errors(alignment, chosen.scope, (first, second), boundaries=boundaries)
    names = dict(zip((first, second), element_maps.names_of((first, second)), strict=True))
    table = element_maps.differences(errors, first, second, chosen.quantity) if len(errors) else pd.DataFrame()
    if table.empty or first == second:
        furniture.empty(
            "No element in common",
            f"{names[first]} and {names[second]} share no results on {place}. Choose others at the left: the model and "
            "the first of “Compare with” are shown.",
        )
        return
    _cite(f"{names[first]} and {names[second]}", place, table)
    scope = chosen.scope.shared_by((first, second))
    n = f"{int(table['n_configs'].sum()):,} (element, configuration) pairs"
    if view == DIFFERENCE:
        title = f"{chosen.quantity.capitalize()} RMSE, {names[first]} minus {names[second]}"
        origin = furniture.provenance("element-difference", title, (first, second), scope, n)
        furniture.figure(
            lambda ink: figures.difference_map(table, chosen.quantity, ink, title, origin.source_line()),
            table, origin, f"Periodic table of {title} on {place}.", key="element-difference", slot=slot, width=820,
        )  # fmt: skip
        better = int((table["difference"] < 0).sum())
        st.caption(
            f"Blue: {names[first]} is better, on {better} of {len(table)} elements; orange: {names[second]} is. "
            "Colours end at the 95th percentile of the sizes."
        )
    else:
        _side_by_side(table, (first, second), names, chosen.quantity, scope, n, slot)
    pairs = error_metrics.dataset_metrics("raw", chosen.scope.on(chosen.dataset_id))
    pairs = pairs[pairs["model_id"].isin((first, second))]
    is_raw = chosen.quantity == "energy" and alignment == "raw"
    furniture.captions(_whence(chosen), wording.why_not(wording.judged(pairs, is_raw=is_raw)), wording.seen_note(pairs))
    _table(table, names, (first, second), chosen.quantity)


def _whence(chosen: selection.Selection) -> str:
    if chosen.compare:
        return "Errors are over the configurations that both have a result for."
    return (
        "Errors are over the configurations that both have a result for. The two models are the worst and the best of "
        "the ranked ones; “Compare with” at the left shows the sidebar's model and another one."
    )


def _side_by_side(
    table: pd.DataFrame, models: tuple[str, str], names: dict[str, str], quantity: str, scope: Scope, n: str,
    slot: DeltaGenerator,
) -> None:  # fmt: skip
    with st.container(horizontal=True, gap="medium"):
        for column, model_id in zip(("first", "second"), models, strict=True):
            title = f"{quantity.capitalize()} RMSE: {names[model_id]}"
            origin = furniture.provenance(f"element-{column}", title, [model_id], scope, n)
            cells = table[["element", "n_configs"]].assign(error=table[column])
            with st.container(width=500):
                furniture.figure(
                    lambda ink, cells=cells, title=title, origin=origin: figures.error_map(  # type: ignore[misc]
                        cells, quantity, base.LIMITS[quantity], ink, title, origin.source_line()
                    ),
                    table, origin, f"Periodic table of {title}.", key=f"element-{column}",
                    slot=slot if column == "first" else None,
                )  # fmt: skip


def _winners(
    ranked: tuple[str, ...], alignment: str, chosen: selection.Selection, place: str, boundaries: bool,
    slot: DeltaGenerator,
) -> None:  # fmt: skip
    errors = element_maps.element_errors(alignment, chosen.scope, ranked, boundaries=boundaries)
    table = element_maps.winners(errors, chosen.quantity)
    if table.empty:
        furniture.empty(f"No errors on {place}", "Choose another dataset, or take a condition out of the address.")
        return
    _cite(f"the best of {len(ranked)} ranked models", place, table)
    counts = element_maps.wins(table)
    marks = figures.letters(counts)
    title = f"Smallest {chosen.quantity} RMSE on each element: {place}"
    n = f"{int(table['n_configs'].sum()):,} (element, configuration) pairs that {len(ranked)} models share"
    origin = furniture.provenance("element-winners", title, counts["model_id"], chosen.scope, n)
    furniture.figure(
        lambda ink: figures.winner_map(table, marks, chosen.quantity, ink, title, origin.source_line()),
        table, origin, f"Periodic table of {title}; the table below holds the same.", key="element-winners", slot=slot,
    )  # fmt: skip
    close = int((table["second"] < 1.1 * table["error"]).sum())
    st.caption(
        f"Errors are over the configurations that all {len(ranked)} ranked models have a result for. On {close} of "
        f"{len(table)} elements the next model is within 10 %. An element's configurations are too few, and too alike, "
        "to say beyond doubt which of two such models is better. The pointer names the next model."
    )
    unit = _UNITS[chosen.quantity]
    heads = {
        "label": "Best model",
        "error": st.column_config.NumberColumn(f"RMSE ({unit})", format="%.1f"),
        "second_label": "Next",
        "second": st.column_config.NumberColumn(f"Its RMSE ({unit})", format="%.1f"),
    }
    tables.table_view(table[["element", "n_configs", *heads]], "winners", heads)


def _cite(what: str, place: str, table: pd.DataFrame) -> None:
    furniture.rebuilds(
        "2",
        f"{what} on {len(table)} elements of {place} in place of CHGNet and eqV2-31M-omat-mp-salex on the grain "
        "boundaries of 56 elements (GB-56), whose cells are not public.",
    )


def _table(table: pd.DataFrame, names: dict[str, str], models: tuple[str, str], quantity: str) -> None:
    heads = {
        name: st.column_config.NumberColumn(f"{text} ({_UNITS[quantity]})", format="%.1f")
        for name, text in zip(
            ("first", "second", "difference"), (names[models[0]], names[models[1]], "Difference"), strict=True
        )
    }
    tables.view_data(table, "element-maps", heads)
