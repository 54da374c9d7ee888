"""Elements: errors of models by element."""

from typing import Any

import pandas as pd
import streamlit as st
from ase.data import chemical_symbols
from streamlit.delta_generator import DeltaGenerator

from app import address, furniture, selection, tables, wording
from app.figures import base, periodic_table
from app.sections import element_maps
from engine.quantities import METRICS, QUANTITIES
from engine.queries import catalog, configurations, error_metrics, reference_data
from engine.queries.scope import Scope

BOTH = "both"

_COUNTS = {"raw": "n_raw", "per_element": "n_aligned", "crystal": "n_crystal"}  # of configurations with such an error


def show() -> None:
    """The periodic table of one model, and the configurations of the element that was clicked."""
    chosen = selection.selection()
    top = st.container()  # the title depends on the switch below it
    view = element_maps.view_switch()
    if view != element_maps.ONE:
        with top:
            slot = furniture.header("Elements", "Which of the models can be trusted for which elements?")
        element_maps.maps_part(view, chosen, slot)
        return
    model = wording.model_labels()[chosen.model_id]
    with top:
        slot = furniture.header(
            f"Elements: {model}",
            "For which elements can the model be trusted? Click on a tile for its configurations.",
        )
    with furniture.controls():
        alignment = selection.alignment_switch()
        address.heed("show", [BOTH, *METRICS], str.capitalize)
        address.heed_switch("pooled", "rescale")
        shown = st.segmented_control(
            "Show",
            [BOTH, *METRICS],
            default=BOTH,
            required=True,
            format_func=str.capitalize,
            key="show",
            bind="query-params",
        )
        everything = st.toggle("All datasets", value=True, key="pooled", bind="query-params")
        rescale = st.toggle(
            "Rescale colours",
            key="rescale",
            bind="query-params",
            help="Colours have fixed limits, so that pictures of models can be compared. This switch fits them to one "
            "model.",
        )
    scope = _scope(chosen, chosen.model_id) if everything else chosen.scope
    table = error_metrics.element_metrics(chosen.model_id, scope)
    if table.empty:
        furniture.not_run(chosen)
        return
    columns = _columns(shown, alignment)
    element = _element(table)
    is_raw = METRICS["energy"].rmse in columns.values()
    pairs = wording.judged(_pairs(chosen.model_id, scope), is_raw=is_raw)
    table = table.assign(n_energy=table[_COUNTS[alignment]], why_none=f"no error: {wording.no_energy(alignment)}")
    _table(chosen, table, columns, scope, element, pairs, rescale, slot)
    if everything and alignment == "per_element":
        _one_composition(pairs)
    else:
        furniture.captions(wording.one_composition_note(chosen.dataset_id, alignment))
    _compared(chosen, table, columns, everything)
    _configurations(chosen, element, alignment, scope)


def _one_composition(pairs: pd.DataFrame) -> None:
    """Names the datasets whose aligned energies are the scatter of the raw ones, where they are pooled."""
    datasets = catalog.datasets()
    ids = datasets.loc[datasets["is_one_composition"].eq(True), "dataset_id"]
    if names := wording.listed(pairs.loc[pairs["dataset_id"].isin(ids), "dataset_label"]):
        st.caption(
            f":material/warning: One alloy in one composition: {names}. Aligned errors there are the scatter of the "
            "raw errors and say nothing about formation energies."
        )


def _scope(chosen: selection.Selection, *model_ids: str) -> Scope:
    """All datasets, without those that one of the models was trained on unless the sidebar brings them in.

    Datasets without numbers of any of the models are not named; where none would be left, all of them count.
    """
    everything = chosen.scope.on()
    metrics = error_metrics.dataset_metrics("raw", everything)
    metrics = metrics[metrics["model_id"].isin(model_ids)]
    seen = set(metrics.loc[metrics["is_seen"], "dataset_id"])
    unseen = [name for name in metrics["dataset_id"].unique() if name not in seen]
    return everything if chosen.with_seen or not seen else everything.on(*unseen)


def _place(scope: Scope) -> str:
    """The scope in words; several datasets are all that the models were not trained on."""
    if len(scope.dataset_ids) < 2:
        return wording.place(scope)
    return f"{wording.place(scope.on())} but those trained on"


def _left_out(chosen: selection.Selection, scope: Scope) -> str:
    """Which datasets the pooled numbers leave out, since the model was trained on them."""
    pairs = _pairs(chosen.model_id, chosen.scope.on())
    pairs = pairs[pairs["is_seen"] & ~pairs["dataset_id"].isin(scope.dataset_ids)]
    if pairs.empty or not scope.dataset_ids or scope == chosen.scope:
        return ""
    return (
        f":material/school: Left out, since the model was trained on them: {wording.listed(pairs['dataset_label'])}. "
        f"The switch “{wording.SEEN_SWITCH}” at the left brings them in. {' '.join(pairs['seen_reason'].unique())}"
    )


def _columns(shown: str, alignment: str) -> dict[str, str]:
    energy = METRICS["energy"].rmse + {"raw": "", "per_element": "_aligned", "crystal": "_crystal"}[alignment]
    columns = {"energy": energy, "force": METRICS["force"].rmse}
    return columns if shown == BOTH else {shown: columns[shown]}


def _element(table: pd.DataFrame) -> str:
    """The element of the address, else the one with most configurations."""
    address.heed("el", chemical_symbols[1:])
    default = table.sort_values("n_configs", ascending=False)["element"].iloc[0]
    return str(st.query_params.get("el", default))


def _table(
    chosen: selection.Selection,
    table: pd.DataFrame,
    columns: dict[str, str],
    scope: Scope,
    element: str,
    pairs: pd.DataFrame,
    rescale: bool,
    slot: DeltaGenerator,
) -> None:
    model = wording.model_labels()[chosen.model_id]
    place = _place(scope)
    title = f"{' and '.join(QUANTITIES[c].label for c in columns.values())} by element: {model}, {place}"
    title = wording.seen_marked(title, pairs["is_seen"].any())
    datasets = pairs["dataset_id"].tolist()
    n_configs = int(table["n_configs"].sum())
    origin = furniture.provenance(
        "elements", title, [chosen.model_id], scope.on(*datasets), f"{n_configs:,} (element, configuration) pairs"
    )
    grey = {
        "energy": _grey(pairs[~pairs["comparable"]]) | _grey(_barred(chosen, scope, "energy")),
        "force": _grey(_barred(chosen, scope, "force")),
    }
    framed = element if element in set(table["element"]) else None
    meant = {q: ~table["element"].isin(grey[q]) for q in columns}
    limits = {q: _own_limits(table.loc[meant[q], c], base.LIMITS[q]) for q, c in columns.items()} if rescale else None
    furniture.figure(
        lambda ink: periodic_table.periodic_table(
            table, columns, ink, title, origin.source_line(), selected=framed, limits=limits, grey=grey
        ),
        table.drop(columns=["n_energy", "why_none"]),
        origin,
        f"Periodic table of {title}; the table below holds the same numbers.",
        key="periodic-table",
        slot=slot,
        on_select=_choose_element,
    )
    st.caption(
        "Pale: no data. A dash: no such error; the pointer says why. Small number: configurations. Line above a tile: "
        "the share of the element's configurations that have a result, where it is not all. Hatched: all failed. "
        f"Colours are logarithmic. {_coverage(pairs)}"
    )
    furniture.captions(
        wording.why_not(pairs) if len(scope.dataset_ids) == 1 else _other_zeros(pairs),
        wording.seen_note(pairs.assign(label=pairs["dataset_label"])),
        wording.level_note(_barred(chosen, scope, "force").assign(comparable=True)),
        _left_out(chosen, scope),
        wording.noise_note(chosen.dataset_id),
    )
    tables.view_data(table.drop(columns=["n_raw", "n_aligned", "n_crystal", "why_none"]), "elements")


def _coverage(here: pd.DataFrame) -> str:
    """How many configurations the table counts."""
    pooled = here[["n_configs", "n_failed", "n_outside", "n_expected"]].sum()
    sets = f"of the {len(here)} datasets that it was run on" if len(here) > 1 else "of the dataset"
    return f"{wording.counts(pooled)} configurations {sets}."


def _other_zeros(pairs: pd.DataFrame) -> str:
    """Names the datasets that make raw energy errors of the model meaningless; the reasons would fill the page."""
    names = ", ".join(pairs.loc[~pairs["comparable"], "dataset_label"])
    if not names:
        return ""
    return f":material/warning: {wording.GREY} Here the elements of {names}. {wording.WHERE_WHY}"


def _grey(pairs: pd.DataFrame) -> set[str]:
    """Elements of the datasets of some pairs."""
    elements = catalog.datasets().set_index("dataset_id")["elements"]
    return {element for dataset_id in pairs["dataset_id"] for element in elements[dataset_id]}


def _barred(chosen: selection.Selection, scope: Scope, quantity: str) -> pd.DataFrame:
    """Datasets on which the model is not ranked, by its labels or its training; raw zeros are judged apart."""
    metrics = error_metrics.dataset_metrics("per_element", scope, quantity=quantity, with_seen=chosen.with_seen)
    return metrics[(metrics["model_id"] == chosen.model_id) & metrics["cause"].isin(error_metrics.NEVER)]


def _own_limits(values: pd.Series, otherwise: tuple[float, float]) -> tuple[float, float]:
    low, high = values.min(), values.max()
    return (low, high) if 0 < low < high else otherwise


def _pairs(model_id: str, scope: Scope) -> pd.DataFrame:
    """Rows of the model on the datasets of the scope that it was run on."""
    metrics = error_metrics.dataset_metrics("raw", scope)
    return metrics[metrics["model_id"] == model_id]


def _choose_element() -> None:
    tile = furniture.clicked("periodic-table")
    if tile:
        st.query_params["el"] = st.session_state["element"] = tile[0]


def _name_element() -> None:
    st.query_params["el"] = st.session_state["element"]


def _compared(chosen: selection.Selection, table: pd.DataFrame, columns: dict[str, str], everything: bool) -> None:
    """Side by side with the models to compare, element by element, over the configurations that all have."""
    if not chosen.compare:
        return
    models = (chosen.model_id, *chosen.compare)
    scope = _scope(chosen, *models) if everything else chosen.scope
    seen = error_metrics.dataset_metrics("raw", scope)
    seen = seen[seen["model_id"].isin(models) & seen["is_seen"]]
    labels = {k: wording.seen_marked(v, k in set(seen["model_id"])) for k, v in wording.model_labels().items()}
    st.subheader("Compared by element", anchor=False)
    shared = scope.shared_by(models)
    n = reference_data.n_configurations(shared)
    if not n:
        furniture.empty(
            "No configuration in common",
            f"No configuration has a result of each of these models: {', '.join(labels[model] for model in models)}. "
            "Choose others at the left, or all datasets.",
        )
        return
    st.markdown(
        f"Errors are over the **{n:,} configurations** of {_place(scope)} that all {len(models)} models have results "
        "for."
    )
    wide = pd.DataFrame({"element": table["element"]}).set_index("element")
    for model_id in models:
        one = error_metrics.element_metrics(model_id, shared).set_index("element")
        wide["n_configs"] = one["n_configs"]  # the same for all of them
        wide = wide.join(one[list(columns.values())].add_suffix(f" · {labels[model_id]}"), how="left")
    wide = wide[wide["n_configs"] > 0].astype({"n_configs": int})
    heads: dict[str, Any] = {
        name: st.column_config.NumberColumn(
            f"{QUANTITIES[name.split(' · ')[0]].title(symbol=True)} · {name.split(' · ')[1]}", format="%.1f"
        )
        for name in wide.columns
        if " · " in name
    }
    tables.table_view(wide.reset_index(), "compared", heads)
    furniture.captions(wording.seen_note(seen))


def _configurations(chosen: selection.Selection, element: str, alignment: str, scope: Scope) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader(f"Configurations with {element}, largest {chosen.quantity} error first", anchor=False)
        st.session_state["element"] = element  # of a link or a tile
        st.selectbox(
            "Element", chemical_symbols[1:], key="element", on_change=_name_element, width=110,
            help="The same as a click on a tile.",
        )  # fmt: skip
    with_element = scope.narrowed(elements=(element,))
    table = configurations.worst_configurations(chosen.model_id, with_element, chosen.quantity, alignment)
    if len(table):
        tables.configuration_table(tables.shown(table), "element-configurations", chosen.model_id)
        if len(table) == configurations.BOX_LIMIT:
            st.caption(f"The {configurations.BOX_LIMIT} worst are listed.")
    failed = catalog.failures(with_element, chosen.model_id)
    if len(failed):
        tables.view_data(failed, "element-failed", label=f"Failed: {len(failed)} configurations with {element}")
    if table.empty and failed.empty:
        furniture.empty(f"No configuration with {element}", "Choose another element or dataset.")


show()
