"""The sidebar's choices, and the switches that several pages share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from app.links import DATASETS_ADDRESS, model_link
from app.wording import STATES, counts, dataset_label, judged, model_labels, source_name
from engine.errors import StoreError
from engine.quantities import ALIGNMENTS, METRICS
from engine.queries import catalog, comparability, error_metrics

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
        dataset_ids = catalog.datasets()["dataset_id"].tolist()
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
    models, datasets = catalog.models(), catalog.datasets()
    return (
        models.loc[models["n_tried"] > 0, "model_id"].tolist(),
        datasets.loc[datasets["n_models"] > 0, "dataset_id"].tolist(),
    )


def _default_model(model_ids: Sequence[str], dataset_id: str) -> str:
    """The model with the smallest force error on the first dataset, on the configurations that models share."""
    metrics = error_metrics.shared_metrics("raw", dataset_id=dataset_id)
    ranked = metrics[metrics["is_ranked"]].dropna(subset=["force_rmse_mev_per_ang"])
    best = ranked.sort_values("force_rmse_mev_per_ang")["model_id"]
    return str(best.iloc[0]) if len(best) else model_ids[0]


def _described(model_id: str, dataset_id: str, labels: dict[str, str]) -> str:
    metrics = error_metrics.dataset_metrics("raw")
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
    row = catalog.datasets().set_index("dataset_id").loc[dataset_id]
    judged = comparability.compatibility().set_index(["model_id", "dataset_id"]).loc[(model_id, dataset_id)]
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
    metrics = error_metrics.dataset_metrics("raw")
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
