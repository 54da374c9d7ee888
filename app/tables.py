"""Tables that pages share, in display units."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.elements.lib.mutable_expander_container import ExpanderContainer

from app.links import structure_link
from app.wording import NOTHING
from engine.quantities import QUANTITIES


def view_data(
    table: pd.DataFrame,
    key: str,
    heads: Mapping[str, Any] | None = None,
    *,
    label: str = "View data",
    height: int | Literal["auto", "content"] = "auto",
    note: str = "",
) -> None:
    """The table behind a chart, for reading without the picture; made when it is opened, as a `drawer` is.

    Args:
        table: What to show, in display units.
        key: Of the widget, without `data-`.
        heads: As those of `table_view`.
        label: Of what is opened.
        height: As that of `table_view`.
        note: Small lines below the table.
    """
    place = st.expander(label, key=f"view-{key}", on_change="rerun")
    if place.open:
        with place:
            table_view(table, f"data-{key}", heads, height)
            if note:
                st.caption(note)


def drawer(label: str, key: str, holds: Sequence[str] = ()) -> ExpanderContainer:
    """A part of the page that is made when it is opened: the library of tables is 260 kB of a first visit.

    Args:
        label: What is in it.
        key: Of the widget, and of the address that opens it (`true`).
        holds: Parameters of the address that choices in it have; a link with one of them opens it too.

    Returns:
        The container; what belongs into it is to be made only where its `open` says so.
    """
    if key not in st.session_state and any(name in st.query_params for name in holds):
        st.session_state[key] = True
    return st.expander(label, key=key, on_change="rerun", bind="query-params")


def drawers(parts: Iterable[tuple[str, str, Sequence[str], Callable[[], None]]]) -> None:
    """Drawers one below the other, each made when it is opened.

    Args:
        parts: Label, key and parameters of each as `drawer` has them, and what draws its content.
    """
    for label, key, holds, draw in parts:
        place = drawer(label, key, holds)
        if place.open:
            with place:
                draw()


def table_view(
    table: pd.DataFrame,
    key: str,
    heads: Mapping[str, Any] | None = None,
    height: int | Literal["auto", "content"] = "auto",
) -> None:
    """A read-only table whose empty cells show a dash.

    Args:
        table: What to show, in display units.
        key: Of the widget.
        heads: Heads or settings of columns, before those that `column_config` knows.
        height: Pixels, `content` for all rows, or `auto` for ten.
    """
    st.dataframe(
        table,
        hide_index=True,
        key=key,
        height=height,
        placeholder=NOTHING,
        column_config=column_config(table) | dict(heads or {}),
    )


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table in display units: each column of `QUANTITIES` times its factor."""
    scaled = {
        name: table[name] * QUANTITIES[name].factor
        for name in table.columns
        if name in QUANTITIES and QUANTITIES[name].factor != 1.0
    }
    return table.assign(**scaled)


@functools.cache
def _heads() -> dict[str, Any]:
    """Heads of the columns that are no quantities, by name."""
    return {
        "label": st.column_config.TextColumn("Model"),
        "dataset_label": st.column_config.TextColumn("Dataset"),
        "origin": st.column_config.TextColumn("Origin"),
        "source": st.column_config.TextColumn("Source"),
        "config_id": st.column_config.TextColumn("Configuration"),
        "group_name": st.column_config.TextColumn("Group"),
        "formula": st.column_config.TextColumn("Formula"),
        "system": st.column_config.TextColumn("Host and solute"),
        "environment": st.column_config.TextColumn("Defect"),
        "place": st.column_config.TextColumn("Place"),
        "added": st.column_config.TextColumn("Added"),
        "dataset_id": st.column_config.TextColumn("Dataset"),
        "model_id": st.column_config.TextColumn("Model"),
        "element": st.column_config.TextColumn("Element"),
        "reason": st.column_config.TextColumn("Reason", width="large"),
        "ranks": st.column_config.TextColumn(
            "Rank", help="95 % interval; models that cannot be told apart have the same first number."
        ),
        "why_no_rank": st.column_config.TextColumn("Why no rank", width="medium"),
        "occasion": st.column_config.TextColumn("Timed on"),
        "setting": st.column_config.TextColumn("Measured on", width="medium"),
        "is_ranked": st.column_config.CheckboxColumn("Ranked"),
        "is_seen": st.column_config.CheckboxColumn("Trained on this"),
        "seen_reason": st.column_config.TextColumn("Trained on this, why", width="large"),
        "why": st.column_config.TextColumn("Why there are none", width="large"),
    }


def column_config(table: pd.DataFrame) -> dict[str, Any]:
    """Heads with units, and at most four significant digits, for the columns that `QUANTITIES` knows."""
    settings = {name: head for name, head in _heads().items() if name in table.columns}
    for name in set(table.columns) & set(QUANTITIES):
        quantity = QUANTITIES[name]
        settings[name] = st.column_config.NumberColumn(
            quantity.title(), help=quantity.description or None, format=_number_format(table[name])
        )
    return settings


def _number_format(values: pd.Series) -> str:
    """Digits that suit the size of the column's values; integers stay whole."""
    if pd.api.types.is_integer_dtype(values):
        return "localized"
    # Half of the forces can vanish by symmetry, so the median may say nothing of the column.
    magnitude = float(np.nanquantile(np.abs(values.to_numpy(dtype=float)), 0.75)) if values.notna().any() else 1.0
    if magnitude >= 100:
        return "%.0f"
    return "%.1f" if magnitude >= 10 else "%.2f" if magnitude >= 0.1 else "%.4f"


def chosen_row(
    table: pd.DataFrame,
    key: str,
    heads: Mapping[str, Any] | None = None,
    *,
    columns: Sequence[str] | None = None,
    height: int | Literal["content"] | None = None,
) -> pd.Series:
    """A table with one row always chosen, the first at the start; returns that row.

    Args:
        table: At least one row, in display units.
        key: Of the widget.
        heads: Heads or settings of columns, before those that `column_config` knows.
        columns: Columns to show; all by default.
        height: Pixels or `content`; ten rows by default.
    """
    state = st.dataframe(
        table,
        hide_index=True,
        key=key,
        placeholder=NOTHING,
        column_config=column_config(table) | dict(heads or {}),
        column_order=columns,
        on_select="rerun",
        selection_mode="single-row-required",
        selection_default={"selection": {"rows": [0]}},
        height=height or min(35 * (len(table) + 1) + 3, 388),
    )
    rows = state["selection"]["rows"] or [0]
    return table.iloc[min(rows[0], len(table) - 1)]


def configuration_table(table: pd.DataFrame, key: str, model_id: str) -> None:
    """Configurations in display units; the chosen row (the first at the start) has a link to its structure.

    Args:
        table: dataset_id, config_id and more.
        key: Of the table.
        model_id: Model to show on the structure.
    """
    place = st.container(horizontal=True, vertical_alignment="center")
    row = chosen_row(table, key)
    with place:
        structure_link(row["dataset_id"], row["config_id"], model_id)
        st.caption("Choose a row to open another one.")
