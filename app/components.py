"""Pieces that every page shares: the sidebar's choices, headings, figures with data, tables, empty states."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import charts, export
from engine import queries
from engine.errors import StoreError
from engine.quantities import ALIGNMENTS, METRICS, QUANTITIES, significant

FAVICON = str(Path(__file__).parent / "static" / "favicon.svg")
STRUCTURE_PAGE = "views/structure.py"
NOTHING = "–"

_EMPTY_STORE = "The results store holds no predictions yet. Run: make demo"


@dataclass(frozen=True)
class Selection:
    """The sidebar's choices, which every page obeys.

    Attributes:
        model_id: Chosen model.
        compare: Up to four more models, in the order chosen.
        dataset_id: Chosen dataset.
        quantity: `energy` or `force`.
    """

    model_id: str
    compare: tuple[str, ...]
    dataset_id: str
    quantity: str


def selection() -> Selection:
    """The choices made in the sidebar."""
    state = st.session_state
    others = tuple(model for model in state["compare"] if model != state["model"])
    return Selection(state["model"], others, state["dataset"], state["quantity"])


def sidebar() -> None:
    """The shared choices; each is a parameter of the address, so that a link reproduces the page.

    Raises:
        StoreError: No model has numbers for any dataset.
    """
    model_ids, dataset_ids = _with_numbers()
    if not model_ids:
        raise StoreError(_EMPTY_STORE)
    labels = model_labels()
    with st.sidebar:
        st.selectbox(
            "Model",
            model_ids,
            index=model_ids.index(_default_model(model_ids, dataset_ids[0])),
            key="model",
            bind="query-params",
            help="Models that were run on at least one dataset.",
        )
        st.multiselect(
            "Compare with",
            model_ids,
            key="compare",
            bind="query-params",
            max_selections=4,
            placeholder="up to 4 models",
        )
        st.selectbox("Dataset", dataset_ids, key="dataset", bind="query-params")
        st.segmented_control(
            "Quantity",
            list(METRICS),
            default="energy",
            required=True,
            format_func=str.capitalize,
            key="quantity",
            bind="query-params",
            width="stretch",
        )
        st.caption(_described(st.session_state["model"], st.session_state["dataset"], labels))


def _with_numbers() -> tuple[list[str], list[str]]:
    """Models and datasets to choose from; what failed everywhere is among them, what was not run is not."""
    models, datasets = queries.models(), queries.datasets()
    return (
        models.loc[models["n_tried"] > 0, "model_id"].tolist(),
        datasets.loc[datasets["n_models"] > 0, "dataset_id"].tolist(),
    )


def _default_model(model_ids: Sequence[str], dataset_id: str) -> str:
    """The model with the smallest force error on the first dataset, among those run on all of it."""
    metrics = queries.dataset_metrics("raw")
    metrics = metrics[(metrics["dataset_id"] == dataset_id) & metrics["is_complete"]]
    ranked = metrics.dropna(subset=["force_rmse_mev_per_ang"]).sort_values("force_rmse_mev_per_ang")
    return ranked["model_id"].iloc[0] if len(ranked) else model_ids[0]


def _described(model_id: str, dataset_id: str, labels: dict[str, str]) -> str:
    metrics = queries.dataset_metrics("raw")
    row = metrics[(metrics["model_id"] == model_id) & (metrics["dataset_id"] == dataset_id)]
    if row.empty:
        return f"{labels[model_id]} has not been run on {dataset_label(dataset_id)}."
    origin, source = row["origin"].iloc[0], row["source"].iloc[0]
    if origin == "imported":
        note = f" {row['note'].iloc[0]}" if row["note"].iloc[0] else ""
        return f"{labels[model_id]} on {dataset_label(dataset_id)}: imported from {source_name(source)}.{note}"
    return f"{labels[model_id]} on {dataset_label(dataset_id)}: computed by this project."


def model_labels() -> dict[str, str]:
    """Label of every registered model."""
    models = queries.models()
    return dict(zip(models["model_id"], models["label"].fillna(models["model_id"]), strict=True))


def dataset_label(dataset_id: str) -> str:
    """Label of a dataset, the id where it has none."""
    datasets = queries.datasets()
    found = datasets.loc[datasets["dataset_id"] == dataset_id, "label"]
    return str(found.iloc[0]) if len(found) and pd.notna(found.iloc[0]) else dataset_id


def source_name(source: object, *, link: bool = True) -> str:
    """A source in few characters: repository or host of an address, as a Markdown link to it."""
    text = str(source) if isinstance(source, str) else ""
    found = re.match(r"https?://(?:www\.)?(?:github\.com/([^/]+/[^/]+)|([^/]+))", text)
    if found is None:
        return text
    name = found[1] or found[2]
    return f"[{name}]({text})" if link else name


def citation(dataset_id: str) -> str:
    """Whom to cite for a dataset; empty where the registry does not say."""
    datasets = queries.datasets()
    found = datasets.loc[datasets["dataset_id"] == dataset_id, "citation"]
    return str(found.iloc[0]) if len(found) and pd.notna(found.iloc[0]) else ""


def ink() -> charts.Ink:
    """Colours of the theme that the browser shows now."""
    return charts.ink_of(st.context.theme.type)


def provenance(page: str, title: str, models: Iterable[str], datasets: Sequence[str], n: str) -> export.Provenance:
    """Origin of a figure; it cites the dataset where there is only one."""
    return export.Provenance(
        page=page,
        title=title,
        models=tuple(models),
        datasets=tuple(datasets),
        n=n,
        data_version=queries.store_info().data_version,
        citation=citation(datasets[0]) if len(datasets) == 1 else "",
    )


# Page furniture


def header(title: str, lead: str) -> DeltaGenerator:
    """Title and the page's question; returns the place at its right for the Export menu."""
    left, right = st.columns([6, 1], vertical_alignment="bottom")
    left.title(title, anchor=False)
    st.markdown(lead)
    return right.container(horizontal=True, horizontal_alignment="right")


def controls() -> DeltaGenerator:
    """A row for the page's own widgets."""
    return st.container(horizontal=True, vertical_alignment="bottom", gap="medium")


def alignment_switch() -> str:
    """`raw` or `per_element`, the same switch with the same address parameter on every page."""
    return st.segmented_control(
        "Energies",
        list(ALIGNMENTS),
        default="raw",
        required=True,
        format_func=lambda name: {"raw": "Raw", "per_element": "Aligned"}[name],
        key="align",
        bind="query-params",
        help="Aligned removes the least-squares energy offset per element of each model on each dataset. "
        "DFT set-ups differ in these offsets, so a raw error can be a matter of reference alone.",
    )


def numbers(values: Sequence[tuple[str, str, str]]) -> None:
    """A row of label, value and a small line below."""
    for column, (label, value, below) in zip(st.columns(len(values)), values, strict=True):
        with column.container(gap="xsmall"):
            st.metric(label, value)
            st.caption(below or "\u2007")


def empty(title: str, reason: str) -> None:
    """Say in place of a chart why there is nothing, and what to do next."""
    with st.container(border=True):
        st.markdown(f"**{title}**")
        st.markdown(reason)


def not_run(chosen: Selection) -> None:
    """Empty state of a model that has no numbers for the dataset; names models that have."""
    metrics = queries.dataset_metrics("raw")
    others = metrics.loc[(metrics["dataset_id"] == chosen.dataset_id) & (metrics["n_configs"] > 0), "label"]
    listed = ", ".join(others.head(6)) + (" and others" if len(others) > 6 else "")
    model, dataset = model_labels()[chosen.model_id], dataset_label(chosen.dataset_id)
    empty(
        f"No numbers of {model} for {dataset}",
        f"Choose another model or dataset at the left ({dataset} has numbers of {listed or 'no model'}), or "
        "run "
        f"`python -m precompute run --model {chosen.model_id} --dataset {chosen.dataset_id}` and then "
        "`python -m precompute build`.",
    )


def figure(
    make: export.MakeFigure,
    table: pd.DataFrame,
    origin: export.Provenance,
    alt: str,
    *,
    key: str,
    slot: DeltaGenerator | None = None,
    on_select: Callable[[], None] | Literal["rerun", "ignore"] = "ignore",
    selection_mode: Literal["points", "box"] = "points",
    width: int | Literal["stretch"] = "stretch",
) -> Any:
    """A chart with its data below and, in `slot`, the Export menu.

    Args:
        make: Draws the figure in given colours.
        table: The numbers behind it.
        origin: Provenance, for files and the camera.
        alt: What the chart shows, in a sentence, for those who cannot see it.
        key: Of the widget; a new key forgets a selection.
        slot: Where the Export menu goes; none is shown without it.
        on_select: `rerun` or a callback, which make the chart clickable.
        selection_mode: `points` or `box`.
        width: Pixels, or `stretch`.

    Returns:
        What `st.plotly_chart` returns.
    """
    if slot is not None:
        with slot:
            export.menu(make, table, origin)
    return st.plotly_chart(
        make(ink()),
        width=width,
        theme=None,
        key=key,
        alt=alt,
        config=export.camera(origin),
        on_select=on_select,
        selection_mode=selection_mode,
    )


def clicked(key: str) -> list[Any]:
    """`customdata` of the point that was clicked on the chart of that key; empty without one.

    It arrives as a list, or as a dictionary with the positions as keys, depending on how Plotly sent the
    array.
    """
    points = st.session_state[key]["selection"]["points"]
    data = points[0].get("customdata", []) if points else []
    return list(data.values()) if isinstance(data, dict) else list(data)


def view_data(table: pd.DataFrame, key: str) -> None:
    """The table behind a chart, for reading without the picture."""
    with st.expander("View data"):
        table_view(table, f"data-{key}")


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


def column_config(table: pd.DataFrame) -> dict[str, Any]:
    """Heads with units, and at most four significant digits, for the columns that `QUANTITIES` knows."""
    settings: dict[str, Any] = {
        "label": st.column_config.TextColumn("Model"),
        "dataset_label": st.column_config.TextColumn("Dataset"),
        "origin": st.column_config.TextColumn("Origin"),
        "source": st.column_config.TextColumn("Source"),
        "config_id": st.column_config.TextColumn("Configuration"),
        "group_name": st.column_config.TextColumn("Group"),
        "formula": st.column_config.TextColumn("Formula"),
        "dataset_id": st.column_config.TextColumn("Dataset"),
        "model_id": st.column_config.TextColumn("Model"),
        "element": st.column_config.TextColumn("Element"),
        "reason": st.column_config.TextColumn("Reason", width="large"),
    }
    for name in set(table.columns) & set(QUANTITIES):
        quantity = QUANTITIES[name]
        settings[name] = st.column_config.NumberColumn(
            quantity.title(), help=quantity.description or None, format=_number_format(table[name])
        )
    return {name: setting for name, setting in settings.items() if name in table.columns}


def _number_format(values: pd.Series) -> str:
    """Digits that suit the size of the column's values; integers stay whole."""
    if pd.api.types.is_integer_dtype(values):
        return "localized"
    magnitude = float(np.nanmedian(np.abs(values.to_numpy(dtype=float)))) if values.notna().any() else 1.0
    if magnitude >= 100:
        return "%.0f"
    return "%.1f" if magnitude >= 10 else "%.2f" if magnitude >= 0.1 else "%.4f"


def configuration_table(table: pd.DataFrame, key: str, model_id: str, dataset_id: str | None = None) -> None:
    """Configurations in display units; the chosen row (the first at the start) has a link to its structure.

    Args:
        table: config_id and more; dataset_id unless given.
        key: Of the table.
        model_id: Model to show on the structure.
        dataset_id: Dataset of all rows.
    """
    place = st.container(horizontal=True, vertical_alignment="center")
    state = st.dataframe(
        table,
        hide_index=True,
        key=key,
        placeholder=NOTHING,
        column_config=column_config(table),
        on_select="rerun",
        selection_mode="single-row-required",
        selection_default={"selection": {"rows": [0]}},
        height=min(35 * (len(table) + 1) + 3, 388),
    )
    rows = state["selection"]["rows"] or [0]
    row = table.iloc[min(rows[0], len(table) - 1)]
    with place:
        st.page_link(
            STRUCTURE_PAGE,
            label=f"Open {row['config_id']} in Structure",
            icon=":material/deployed_code:",
            query_params={
                "dataset": dataset_id or row["dataset_id"],
                "cfg": row["config_id"],
                "model": model_id,
            },
        )
        st.caption("Choose a row to open another one.")


def bounds(row: pd.Series, column: str) -> str:
    """The 95 % bounds of a metric, such as `5.56 – 6.40`."""
    return f"{significant(row[f'{column}_lo'])} – {significant(row[f'{column}_hi'])}"


def marked(label: str, origin: object) -> str:
    """The label with a dagger where the numbers were imported."""
    return f"{label} {charts.IMPORTED_MARK}" if "imported" in str(origin) else label


def footer() -> None:
    """Version of the data, so that a screenshot says where it came from."""
    info = queries.store_info()
    st.divider()
    st.caption(
        f"Defect Atlas · data version `{info.data_version}`, built {info.built_at} UTC from commit "
        f"`{info.git_commit[:12]}` · errors are predicted minus reference (DFT); RMSE with 95 % bootstrap "
        "bounds"
    )
