"""The sidebar's choices, and the switches that several pages share."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from app import address, conditions
from app.links import DATASETS_ADDRESS, model_link
from app.wording import (
    SEEN,
    SEEN_SWITCH,
    STATES,
    counts,
    dataset_label,
    has_crystal,
    judged,
    model_labels,
    seen_in_training,
    source_name,
    summary_note,
)
from engine.errors import ScopeError, StoreError
from engine.quantities import ALIGNMENTS, METRICS
from engine.queries import catalog, comparability, error_metrics
from engine.queries.scope import ALL, Scope, unknown_values
from engine.store.connection import cached

MOST_COMPARED = 4

ALIGNMENT_LABELS = {"raw": "Raw", "per_element": "Aligned", "crystal": "Crystal"}
"""What the switch shows; Streamlit wants these in the address too."""

CHOICES = ("model", "compare", "dataset", "quantity", "seen")
"""The shared choices, by key."""

_LEFT_MODEL = "model-left"  # the model before the last change of the dataset, where it had to change too

_EMPTY_STORE = "The results store holds no predictions yet. Run: make demo"


@dataclass(frozen=True)
class Selection:
    """The sidebar's choices, which every page obeys.

    Attributes:
        model_id: Chosen model.
        compare: Up to four more models, in the order chosen.
        scope: Chosen dataset, under the sidebar's conditions.
        quantity: `energy` or `force`.
        with_seen: Whether models are ranked on data that they were trained on.
    """

    model_id: str
    compare: tuple[str, ...]
    scope: Scope
    quantity: str
    with_seen: bool = False

    @property
    def dataset_id(self) -> str:
        """Chosen dataset."""
        return self.scope.dataset_id


def selection() -> Selection:
    """The choices made in the sidebar.

    Raises:
        ScopeError: The address names a group, element or model that there is not, or something that is no window.
    """
    state = st.session_state
    others = tuple(model for model in state["compare"] if model != state["model"])
    return Selection(state["model"], others, _scope(state["dataset"]), state["quantity"], state["seen"])


def _scope(dataset_id: str) -> Scope:
    """The dataset under the sidebar's conditions, and the group and models of the address."""
    known = {
        "group": catalog.groups(dataset_id)["group_name"].tolist(),
        "with": catalog.models()["model_id"].tolist(),
    }
    asked = {name: st.query_params.get_all(name) for name in known if name in st.query_params}
    return conditions.from_state(dataset_id, asked, known)


def sidebar(page: str, heeded: Collection[str] = CHOICES) -> None:
    """The shared choices; each is a parameter of the address, so that a link reproduces the page.

    Args:
        page: Address of the page that is shown, below the root.
        heeded: Choices that change the page; the others are shown grey.

    Raises:
        StoreError: No model has numbers for any dataset.
        ScopeError: The address asks for something that there is not; the choices are drawn all the same.
    """
    model_ids, dataset_ids = _with_numbers()
    if not model_ids:
        raise StoreError(_EMPTY_STORE)
    if page == DATASETS_ADDRESS:
        dataset_ids = catalog.datasets()["dataset_id"].tolist()
    left = st.session_state.get("dataset", dataset_ids[0])
    if left not in dataset_ids:
        del st.session_state["dataset"]  # chosen on the page of all datasets
    unknown = _unknown_in_address(model_ids, dataset_ids)  # before the widgets, which take the address over
    is_other_page = st.session_state.get("address", page) != page
    unknown_conditions = conditions.take_address(is_other_page=is_other_page)
    _follow_link(page, {"model": model_ids, "dataset": dataset_ids, "quantity": list(METRICS)})
    first_model = _default_model(tuple(model_ids), dataset_ids[0])
    _name_model(first_model, dataset_ids)
    with st.sidebar:
        st.selectbox(
            "Model",
            model_ids,
            index=model_ids.index(first_model),
            key="model",
            bind="query-params",
            disabled="model" not in heeded,
            help="Models that were run on at least one dataset.",
        )
        st.multiselect(
            "Compare with",
            model_ids,
            key="compare",
            bind="query-params",
            max_selections=MOST_COMPARED,
            disabled="compare" not in heeded,
            placeholder=f"up to {MOST_COMPARED} models",
        )
        st.selectbox(
            "Dataset",
            dataset_ids,
            key="dataset",
            bind="query-params",
            on_change=_follow_dataset,
            disabled="dataset" not in heeded,
        )
        conditions.draw(st.session_state["dataset"], has_unknown=bool(unknown_conditions))
        left_place = st.container()
        _what_counts(heeded)
        if set(heeded) != set(CHOICES):
            st.caption("Grey: choices that this page does not depend on.")
        model_id, dataset_id = st.session_state["model"], st.session_state["dataset"]
        if left not in dataset_ids:
            st.caption(f":material/warning: No model has numbers for {dataset_label(left)}, so it is not shown here.")
        if (before := st.session_state.pop(_LEFT_MODEL, None)) is not None:
            who = model_labels()[before]
            st.caption(f":material/swap_horiz: {who} was not run there: now the best model that was.")
        st.caption(_described(model_id, dataset_id))
        model_link(model_id)
        with st.expander(f"About {dataset_label(dataset_id)}"):
            st.markdown(_about_dataset(dataset_id, model_id))
    if unknown or unknown_conditions:
        raise ScopeError(" ".join([*unknown, *unknown_conditions]))
    with left_place:
        conditions.say_left(selection().scope)


def _what_counts(heeded: Collection[str]) -> None:
    """Which error is shown, and whether data that a model was trained on count."""
    st.segmented_control(
        "Quantity",
        list(METRICS),
        default="energy",
        required=True,
        format_func=str.capitalize,
        key="quantity",
        bind="query-params",
        disabled="quantity" not in heeded,
        width="stretch",
    )
    st.toggle(
        SEEN_SWITCH,
        key="seen",
        bind="query-params",
        disabled="seen" not in heeded,
        help="Errors on data that a model was trained on are no test of it. Such models are marked "
        f"“{SEEN}” and left out of headlines, rankings and fronts; this brings them in.",
    )


def _unknown_in_address(model_ids: Sequence[str], dataset_ids: Sequence[str]) -> list[str]:
    """Warn of values in the address that a shared choice does not have; entries without numbers are no choice."""
    sentences = address.unknown("quantity", {name.capitalize(): name for name in METRICS})
    if not sentences:
        address.heed("quantity", METRICS, str.capitalize)
    sentences += address.unknown("seen", {name.capitalize(): name for name in address.SWITCH})
    known = {"model": model_ids, "compare": model_ids, "dataset": dataset_ids}
    registered = {
        "model": set(catalog.models()["model_id"]),
        "compare": set(catalog.models()["model_id"]),
        "dataset": set(catalog.datasets()["dataset_id"]),
    }
    asked = {name: st.query_params.get_all(name) for name in known}
    for name, options in known.items():
        # A dataset that was looked at on the page of all datasets is no request of the address.
        empty = [value for value in asked[name] if value in registered[name] and value not in options]
        if empty and name not in st.session_state and not _came_from_elsewhere():
            sentences.append(f"{name}={', '.join(empty)}: there are no numbers of it here. Choose another one.")
    if len(asked["compare"]) > MOST_COMPARED:
        sentences.append(
            f"compare: {len(asked['compare'])} models are named, and at most {MOST_COMPARED} are compared."
        )
    return [*sentences, *unknown_values(asked, registered)]


def _came_from_elsewhere() -> bool:
    """Whether another page of the app was shown before in this session."""
    return "address" in st.session_state


def choose_dataset(dataset_id: str) -> None:
    """Take a dataset into the sidebar; called before the next run."""
    st.session_state["dataset"] = dataset_id
    _follow_dataset()


def _follow_dataset() -> None:
    """Forget the group, which belongs to its dataset, and a model that was not run on the new one."""
    st.query_params.pop("group", None)
    state = st.session_state
    state.pop(_LEFT_MODEL, None)
    if "model" in state and (best := _best_instead(state["model"], state["dataset"])):
        state[_LEFT_MODEL] = state["model"]
        state["model"] = best


def group_choice(scope: Scope, *, is_disabled: bool = False) -> Scope:
    """Choice of a group of structures; kept in the address by hand, since its options change with the dataset.

    Args:
        scope: Of one dataset; its group is the one that is shown at first.
        is_disabled: Whether the choice is shown grey.

    Returns:
        The scope with the chosen group.
    """
    groups = catalog.groups(scope.dataset_id)
    inside = groups.loc[groups["in_dataset"], "n_configs"].sum()
    names = {ALL: f"whole dataset ({inside:,})"} | {
        row.group_name: f"{row.group_name} ({row.n_configs:,}{'' if row.in_dataset else ', outside the dataset'})"
        for row in groups.itertuples()
    }
    options = list(names)
    choice: str = st.selectbox(
        "Group of structures",
        options,
        index=options.index(scope.group),
        format_func=lambda name: names[name],
        key=f"group-{scope.dataset_id}",
        disabled=is_disabled,
        width=280,
    )
    if choice == ALL:
        st.query_params.pop("group", None)
    else:
        st.query_params["group"] = choice
    return scope.narrowed(group=choice)


def _follow_link(page: str, options: Mapping[str, Sequence[str]]) -> None:
    """Take the choices of a link from another page of the app.

    Streamlit gives a widget's own value precedence over the address, and adds that value to those of the link; so
    the value that differs is the link's.
    """
    came_from = st.session_state.get("address", page)
    st.session_state["address"] = page
    if page == came_from:
        return
    for key, known in options.items():
        for asked in st.query_params.get_all(key):
            if asked in known and asked != st.session_state.get(key):
                st.session_state[key] = asked
                break


def _name_model(first: str, dataset_ids: Sequence[str]) -> None:
    """Where an address opens the app with a dataset and no model: name the best one there if the first was not run."""
    asked = st.query_params.get("dataset", "")
    if "model" in st.session_state or "model" in st.query_params or asked not in dataset_ids:
        return
    if best := _best_instead(first, asked):
        # In the address, which the widget takes over; set as its state, it would vanish from there.
        st.query_params["model"] = best
        st.rerun()


@cached
def _with_numbers() -> tuple[list[str], list[str]]:
    """Models and datasets to choose from, with those that failed everywhere and without those that were not run."""
    models, datasets = catalog.models(), catalog.datasets()
    return (
        models.loc[models["n_tried"] > 0, "model_id"].tolist(),
        datasets.loc[datasets["n_models"] > 0, "dataset_id"].tolist(),
    )


@cached
def _default_model(model_ids: tuple[str, ...], dataset_id: str) -> str:
    """The model with the smallest force error on the first dataset, on the configurations that models share."""
    return _best_model(dataset_id) or model_ids[0]


@cached
def _best_model(dataset_id: str) -> str:
    """The model with the smallest force error on a dataset; empty where none is ranked there."""
    metrics = error_metrics.shared_metrics("raw", Scope.of(dataset_id), quantity="force")
    ranked = metrics[metrics["is_ranked"]].dropna(subset=["force_rmse_mev_per_ang"])
    best = ranked.sort_values("force_rmse_mev_per_ang")["model_id"]
    return str(best.iloc[0]) if len(best) else ""


def _best_instead(model_id: str, dataset_id: str) -> str:
    """The best model on a dataset where the given one has no numbers there; else empty."""
    metrics = error_metrics.dataset_metrics("raw")
    has_numbers = ((metrics["model_id"] == model_id) & (metrics["dataset_id"] == dataset_id)).any()
    return "" if has_numbers else _best_model(dataset_id)


@cached
def _described(model_id: str, dataset_id: str) -> str:
    labels = model_labels()
    metrics = error_metrics.dataset_metrics("raw")
    rows = metrics[(metrics["model_id"] == model_id) & (metrics["dataset_id"] == dataset_id)]
    if rows.empty:
        return f"{labels[model_id]} has not been run on {dataset_label(dataset_id)}."
    row = rows.iloc[0]
    who = "computed by this project."
    if row["origin"] == "imported":
        who = f"imported from {source_name(row['source'])}."
        who += f" {row['note']}" if row["note"] else ""
    note = summary_note(dataset_id)
    return f"{labels[model_id]} on {dataset_label(dataset_id)}: {counts(row)} configurations, {who} {note}".strip()


@cached
def _about_dataset(dataset_id: str, model_id: str) -> str:
    """Facts about a dataset, and the meaning of a comparison of a model with it."""
    row = catalog.datasets().set_index("dataset_id", drop=False).loc[dataset_id]
    judged = comparability.compatibility().set_index(["model_id", "dataset_id"]).loc[(model_id, dataset_id)]
    if not row["n_configs"]:
        return f"{row['description']}\n\n**Not here** {row['reason']}"
    return (
        f"{row['description']}\n\n"
        f"**Size** {row['n_configs']:,} configurations, {row['n_atoms']:,} atoms of {', '.join(row['elements'])}\n\n"
        f"**Reference** {row['functional']}, {row['code']}; {row['potentials'] or 'settings not stated'}\n\n"
        f"**Raw energies** of {model_labels()[model_id]}: {STATES[judged['state']]}. {judged['state_reason']}\n\n"
        f"**Seen in training** {seen_in_training(row)}\n\n"
        f"**Licence** {row['license']}; cite {row['citation']}"
    )


def alignment_switch() -> str:
    """`raw`, `per_element` or `crystal`, the same switch with the same address parameter on every page.

    It begins with raw energies, or with aligned ones where no model's raw energies can be compared with the sidebar's
    dataset. It is set again when a new dataset begins otherwise, so that the address leads to the same page again.
    `crystal` is offered where the dataset has perfect crystals; without them it becomes `per_element`.
    """
    dataset_id = st.session_state["dataset"]
    begin = _first_alignment(dataset_id)
    _say_without_crystal(dataset_id, ALIGNMENT_LABELS["crystal"])
    address.heed("align", ALIGNMENT_LABELS, ALIGNMENT_LABELS.__getitem__)
    options = [name for name in ALIGNMENTS if name != "crystal" or has_crystal(dataset_id)]
    if st.session_state.get("align", begin) not in options:
        st.session_state["align"] = "per_element"
    if st.session_state.get("align") and st.session_state.get("align_began", begin) != begin:
        st.session_state["align"] = begin
    st.session_state["align_began"] = begin
    return st.segmented_control(
        "Energies",
        options,
        default=begin,
        required=True,
        format_func=ALIGNMENT_LABELS.__getitem__,
        key="align",
        bind="query-params",
        help="Aligned removes the least-squares energy offset per element of each model on each dataset. "
        "DFT set-ups differ in these offsets, so a raw error can be a matter of reference alone. Crystal counts the "
        "energies of model and reference from their own perfect crystals, where a dataset has them. A dataset with "
        "which no model's raw energies can be compared begins with Aligned.",
    )


def _say_without_crystal(dataset_id: str, name: str) -> None:
    """Warn where the address or an earlier choice asks for energies that the dataset does not have."""
    asked = [*st.query_params.get_all("align"), st.session_state.get("align")]
    if not has_crystal(dataset_id) and {"crystal", name} & set(asked):
        st.caption(f":material/warning: {dataset_label(dataset_id)} has no perfect crystal to count energies from.")


@cached
def _first_alignment(dataset_id: str) -> str:
    """Aligned where raw energies of none of the models with numbers can be compared."""
    metrics = error_metrics.dataset_metrics("raw")
    here = judged(metrics.loc[metrics["dataset_id"] == dataset_id, ["model_id", "dataset_id"]], is_raw=True)
    return "raw" if here.empty or here["comparable"].any() else "per_element"


def comparison_switch() -> bool:
    """Whether models are compared on the configurations that they share; the same switch on every page."""
    names = {"shared": "Shared configurations", "own": "All of each model"}
    address.heed("on", names, names.__getitem__)
    choice = st.segmented_control(
        "Compare on",
        list(names),
        default="shared",
        required=True,
        format_func=names.__getitem__,
        key="on",
        bind="query-params",
        help="Models may have results for different parts of a dataset. An error over other configurations does "
        "not say which model is better, so rankings run over those that all ranked models have a result for.",
    )
    return bool(choice == "shared")
