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

from app import charts, export, tilechart
from engine import dataset_queries, queries
from engine.errors import StoreError
from engine.quantities import ALIGNMENTS, METRICS, QUANTITIES, significant

FAVICON = str(Path(__file__).parent / "static" / "favicon.svg")
DATASETS_ADDRESS = "datasets"
STRUCTURE_PAGE = "views/structure.py"
MODEL_PAGE = "views/model.py"
PARITY_PAGE = "views/parity.py"
NOTHING = "–"
GREY = f"{charts.OWN_MARK} and grey: raw energies that cannot be compared with the reference; use Aligned."
WHERE_WHY = "Why: Datasets, Compatibility."
ENOUGH_PER_ELEMENT = 5  # configurations for each fitted offset; with fewer, alignment hides errors
# Of `engine.compatibility`, each with its sign.
STATES = {
    name: f"{tilechart.STATE_MARKS[name]} {text}"
    for name, text in {"yes": "comparable", "care": "with care", "no": "only aligned"}.items()
}

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


def sidebar(address: str) -> None:
    """The shared choices; each is a parameter of the address, so that a link reproduces the page.

    Args:
        address: Path of the page that is shown.

    Raises:
        StoreError: No model has numbers for any dataset.
    """
    model_ids, dataset_ids = _with_numbers()
    if not model_ids:
        raise StoreError(_EMPTY_STORE)
    if address == DATASETS_ADDRESS:
        dataset_ids = queries.datasets()["dataset_id"].tolist()
    if st.session_state.get("dataset", dataset_ids[0]) not in dataset_ids:
        del st.session_state["dataset"]  # chosen on the page of all datasets
    _follow_link(address, {"model": model_ids, "dataset": dataset_ids})
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
        chosen = selection()
        st.caption(_described(chosen.model_id, chosen.dataset_id, labels))
        model_link(chosen.model_id)
        with st.expander(f"About {dataset_label(chosen.dataset_id)}"):
            _about_dataset(chosen.dataset_id, chosen.model_id)


def _follow_link(address: str, options: Mapping[str, Sequence[str]]) -> None:
    """Take the choices of a link from another page of the app.

    Streamlit gives a widget's own value precedence over the address, and adds that value to those of the link; so
    the value that differs is the link's.
    """
    came_from = st.session_state.get("address", address)
    st.session_state["address"] = address
    if address == came_from:
        return
    for key, known in options.items():
        for asked in st.query_params.get_all(key):
            if asked in known and asked != st.session_state.get(key):
                st.session_state[key] = asked
                break


def _with_numbers() -> tuple[list[str], list[str]]:
    """Models and datasets to choose from; what failed everywhere is among them, what was not run is not."""
    models, datasets = queries.models(), queries.datasets()
    return (
        models.loc[models["n_tried"] > 0, "model_id"].tolist(),
        datasets.loc[datasets["n_models"] > 0, "dataset_id"].tolist(),
    )


def _default_model(model_ids: Sequence[str], dataset_id: str) -> str:
    """The model with the smallest force error on the first dataset, on the configurations that models share."""
    metrics = queries.shared_metrics("raw", dataset_id=dataset_id)
    ranked = metrics[metrics["is_ranked"]].dropna(subset=["force_rmse_mev_per_ang"])
    best = ranked.sort_values("force_rmse_mev_per_ang")["model_id"]
    return str(best.iloc[0]) if len(best) else model_ids[0]


def _described(model_id: str, dataset_id: str, labels: dict[str, str]) -> str:
    metrics = queries.dataset_metrics("raw")
    rows = metrics[(metrics["model_id"] == model_id) & (metrics["dataset_id"] == dataset_id)]
    if rows.empty:
        return f"{labels[model_id]} has not been run on {dataset_label(dataset_id)}."
    row = rows.iloc[0]
    who = "computed by this project."
    if row["origin"] == "imported":
        who = f"imported from {source_name(row['source'])}."
        who += f" {row['note']}" if row["note"] else ""
    return f"{labels[model_id]} on {dataset_label(dataset_id)}: {counts(row)} configurations, {who}"


def _about_dataset(dataset_id: str, model_id: str) -> None:
    """What a dataset is, and what a comparison of a model with it can mean."""
    row = queries.datasets().set_index("dataset_id").loc[dataset_id]
    judged = dataset_queries.compatibility().set_index(["model_id", "dataset_id"]).loc[(model_id, dataset_id)]
    if not row["n_configs"]:
        st.markdown(f"{row['description']}\n\n**Not here** {row['reason']}")
        return
    st.markdown(
        f"{row['description']}\n\n"
        f"**Size** {row['n_configs']:,} configurations, {row['n_atoms']:,} atoms of {', '.join(row['elements'])}\n\n"
        f"**Reference** {row['functional']}, {row['code']}; {row['potentials'] or 'settings not stated'}\n\n"
        f"**Raw energies** of {model_labels()[model_id]}: {STATES[judged['state']]}. {judged['state_reason']}\n\n"
        f"**Seen in training** {row['leakage'] or 'not checked'}\n\n"
        f"**Licence** {row['license']}; cite {row['citation']}"
    )


def judged(metrics: pd.DataFrame, *, is_raw: bool) -> pd.DataFrame:
    """Say of each pair of model and dataset whether its numbers may be compared with the dataset's as they are.

    Args:
        metrics: model_id, dataset_id and more.
        is_raw: Whether the numbers are raw energies; of aligned energies and forces all may.

    Returns:
        The rows with `comparable` and `why_not`, the reason; empty where they may.
    """
    if not is_raw:
        return metrics.assign(comparable=True, why_not="")
    joined = metrics.merge(dataset_queries.compatibility(), on=["model_id", "dataset_id"], how="left")
    comparable = joined["state"].ne("no")
    why_not = joined["state_reason"].where(~comparable, "")
    return joined.drop(columns=["state", "state_reason"]).assign(comparable=comparable, why_not=why_not)


def why_not(judged_pairs: pd.DataFrame) -> str:
    """Which pairs hold raw energies that cannot be compared, with the reasons; empty where all can.

    Args:
        judged_pairs: label and dataset_label, with what `judged` adds.
    """
    others = judged_pairs[~judged_pairs["comparable"]]
    if others.empty:
        return ""
    reasons = [
        f"{', '.join(part['label'].unique())} on {', '.join(part['dataset_label'].unique())}: {reason}"
        for reason, part in others.groupby("why_not", sort=False)
    ]
    return f":material/warning: {GREY} {' '.join(reasons)}"


def captions(*texts: str) -> None:
    """Small lines below a chart or table; empty ones are left out."""
    for text in filter(None, texts):
        st.caption(text)


def noise_of(dataset_id: str, quantity: str) -> float | None:
    """Noise of a dataset's own energies or forces in display units; None where nobody measured it."""
    column = METRICS[quantity].noise
    value = queries.datasets().set_index("dataset_id").loc[dataset_id, column]
    return None if pd.isna(value) else float(value) * QUANTITIES[column].factor


def noise_note(dataset_id: str) -> str:
    """How good the DFT labels of a dataset are themselves, and how that was measured; empty where not known."""
    known = [(noise_of(dataset_id, quantity), QUANTITIES[metric.noise].unit) for quantity, metric in METRICS.items()]
    values = [f"{significant(value, 2)} {unit}" for value, unit in known if value is not None]
    if not values:
        return ""
    how = queries.datasets().set_index("dataset_id").loc[dataset_id, "noise_note"]
    return (
        f"The DFT labels of {dataset_label(dataset_id)} are good to about {' and '.join(values)}; models that come "
        f"closer to them than that are not told apart. {how}"
    )


def few_for_offsets(here: pd.DataFrame) -> str:
    """A warning where alignment fits nearly as many offsets as there are data; empty where it does not.

    Args:
        here: Ranked rows of one dataset as `queries.shared_metrics` gives them, with aligned energies.
    """
    ranked = here[here["is_ranked"]]
    if ranked.empty:
        return ""
    n_configs = int(ranked["n_configs"].min())
    n_elements = queries.n_shared_elements(tuple(sorted(ranked["model_id"])), str(ranked["dataset_id"].iloc[0]))
    if n_configs >= ENOUGH_PER_ELEMENT * n_elements:
        return ""
    offsets = "1 offset is" if n_elements == 1 else f"{n_elements} offsets are"
    return (
        f":material/warning: {offsets} fitted to {n_configs:,} configurations: aligned errors are smaller than they "
        "would be on more data, and single offsets mean little."
    )


def warn_of_leakage(dataset_ids: Sequence[str]) -> None:
    """Say which models may have been trained on a dataset, since their errors on it are no test."""
    datasets = queries.datasets()
    for row in datasets[datasets["dataset_id"].isin(dataset_ids)].itertuples():
        if row.leakage and not str(row.leakage).startswith("None"):
            st.caption(f":material/warning: {row.label} and training data: {row.leakage}")


def model_link(model_id: str) -> None:
    """Link to the page of a model."""
    st.page_link(
        MODEL_PAGE,
        label=f"About {model_labels()[model_id]}",
        icon=":material/badge:",
        query_params={"id": model_id},
    )


def counts(row: pd.Series) -> str:
    """How many configurations a model's numbers rest on, such as `200 of 4,513` or `20 of 47, 27 failed`."""
    n, n_expected, n_failed = int(row["n_configs"]), int(row["n_expected"]), int(row["n_failed"])
    text = f"{n:,}" if n == n_expected else f"{n:,} of {n_expected:,}"
    return f"{text}, {n_failed:,} failed" if n_failed else text


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
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title(title, anchor=False, width="stretch")
        slot = st.container(width="content")
    st.markdown(lead)
    return slot


def controls() -> DeltaGenerator:
    """A row for the page's own widgets."""
    return st.container(horizontal=True, vertical_alignment="bottom", gap="medium")


def alignment_switch() -> str:
    """`raw` or `per_element`, the same switch with the same address parameter on every page.

    It begins with raw energies, but where those of no model can be compared with the sidebar's dataset. A dataset
    that begins otherwise than the one before sets the switch, so that the address leads to the same page again.
    """
    begin = _first_alignment(st.session_state["dataset"])
    if st.session_state.get("align") and st.session_state.get("align_began", begin) != begin:
        st.session_state["align"] = begin
    st.session_state["align_began"] = begin
    return st.segmented_control(
        "Energies",
        list(ALIGNMENTS),
        default=begin,
        required=True,
        format_func=lambda name: {"raw": "Raw", "per_element": "Aligned"}[name],
        key="align",
        bind="query-params",
        help="Aligned removes the least-squares energy offset per element of each model on each dataset. "
        "DFT set-ups differ in these offsets, so a raw error can be a matter of reference alone. A dataset with which "
        "no model's raw energies can be compared begins with Aligned.",
    )


def _first_alignment(dataset_id: str) -> str:
    """Aligned where raw energies of none of the models with numbers can be compared."""
    metrics = queries.dataset_metrics("raw")
    here = judged(metrics.loc[metrics["dataset_id"] == dataset_id, ["model_id", "dataset_id"]], is_raw=True)
    return "raw" if here.empty or here["comparable"].any() else "per_element"


def comparison_switch() -> bool:
    """Whether models are compared on the configurations that they share; the same switch on every page."""
    choice = st.segmented_control(
        "Compare on",
        ["shared", "own"],
        default="shared",
        required=True,
        format_func=lambda name: {"shared": "Shared configurations", "own": "All of each model"}[name],
        key="on",
        bind="query-params",
        help="Models may have results for different parts of a dataset. An error over other configurations says "
        "nothing of the better model, so rankings run over those that all ranked models have a result for.",
    )
    return bool(choice == "shared")


def comparison_note(here: pd.DataFrame) -> str:
    """On which configurations the models of one dataset are compared, and which are left out.

    Args:
        here: Rows of one dataset as `queries.shared_metrics` gives them.
    """
    ranked, others = here[here["is_ranked"]], here[~here["is_ranked"]]
    parts = []
    if len(ranked):
        n, n_expected = int(ranked["n_configs"].min()), int(ranked["n_expected"].iloc[0])
        if n < n_expected and len(ranked) == 1:
            parts.append(f"Only {ranked['label'].iloc[0]} is ranked, on {n:,} of {n_expected:,} configurations.")
        elif n < n_expected:
            fewest = ranked.loc[ranked["n_own"].idxmin()]
            parts.append(
                f"Compared on the **{n:,} of {n_expected:,} configurations** for which all {len(ranked)} ranked models "
                f"have a result; {fewest['label']} has the fewest, {fewest['n_own']:,}."
            )
        else:
            parts.append(f"Compared on all {n:,} configurations.")
    if len(others):
        listed = "; ".join(f"{row['label']} ({counts(row)})" for _, row in others.iterrows())
        parts.append(f"Not ranked, since they share too few or failed on too many: {listed}.")
    return " ".join(parts)


def numbers(values: Sequence[tuple[str, str, str]]) -> None:
    """A row of label, value and a small line below; it wraps in a narrow window, so that no digit is cut."""
    with st.container(horizontal=True, gap="medium"):
        for label, value, below in values:
            with st.container(width="content", gap=None):
                st.metric(label, value, width="content")
                st.caption(below or "\u2007", width="content")


def details(values: Sequence[tuple[str, str]]) -> None:
    """Label and text (Markdown) side by side, as many in a row as there is room for; empty ones are left out."""
    with st.container(horizontal=True, gap="small"):
        for label, text in values:
            if text:
                with st.container(width=225, gap=None):
                    st.caption(label)
                    st.markdown(text)


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
        "system": st.column_config.TextColumn("Host and solute"),
        "environment": st.column_config.TextColumn("Defect"),
        "place": st.column_config.TextColumn("Place"),
        "added": st.column_config.TextColumn("Added"),
        "dataset_id": st.column_config.TextColumn("Dataset"),
        "model_id": st.column_config.TextColumn("Model"),
        "element": st.column_config.TextColumn("Element"),
        "reason": st.column_config.TextColumn("Reason", width="large"),
        "why": st.column_config.TextColumn("Why there are none", width="large"),
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
    """A table of which one row is always chosen, the first at the start; returns that row.

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


def configuration_table(table: pd.DataFrame, key: str, model_id: str, dataset_id: str | None = None) -> None:
    """Configurations in display units; the chosen row (the first at the start) has a link to its structure.

    Args:
        table: config_id and more; dataset_id unless given.
        key: Of the table.
        model_id: Model to show on the structure.
        dataset_id: Dataset of all rows.
    """
    place = st.container(horizontal=True, vertical_alignment="center")
    row = chosen_row(table, key)
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
    """The 95 % bounds of a metric, such as `5.56 – 6.40`; one dash where there are none."""
    if pd.isna(row[f"{column}_lo"]) and pd.isna(row[f"{column}_hi"]):
        return NOTHING
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
