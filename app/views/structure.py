"""Structure: errors of a model atom by atom in one configuration, beside the ensemble's deviation.

The selected atom is a parameter of the address. Viewer, chart and table all show it and all may set it;
whichever was used last wins. A chart or table remembers its own selection, so a choice made elsewhere gives
it a new key.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from app import address, export, furniture, links, selection, wording
from app.figures import atoms, base
from app.sections import configuration_facts, structure_report
from app.sections.every_model import every_model
from app.structures import files, parts
from app.structures.atomview import DEVIATION_COLORS, Arrow, AtomColors, atomview, largest_arrows
from app.structures.shown import Sight
from engine.numerics.uncertainty import is_zero_by_symmetry
from engine.quantities import METRICS, significant
from engine.queries import catalog, configurations, spread
from engine.queries.scope import Scope
from engine.records import Prediction

LIST_LIMIT = 5000
N_ARROWS = 12
LEAST_ARROW = 1e-3  # eV/Å; below it a force error is rounding
CHART_WIDTH = 410
FOCUS_SHARE = 0.1
COLORS = {"error": "Error", "uncertainty": "Uncertainty", "force": "Force", "element": "Element"}


def show() -> None:
    """Choice of a configuration, its facts, the linked viewer, chart and table, and every model's errors."""
    chosen = selection.selection()
    top = st.container()  # the title depends on the order, which the switch below it sets
    controls = st.container(horizontal=True, vertical_alignment="bottom")
    with controls:
        alignment = selection.alignment_switch()
        order, ranking = _ranking(chosen, alignment)
    config_id = _config_id(chosen, ranking)
    model = wording.model_labels()[chosen.model_id]
    if config_id is None:
        with top:
            furniture.header("Structure", "Which atoms does a model get wrong?")
        furniture.not_run(chosen)
        return
    with top:
        slot = furniture.header(
            f"Structure: {config_id}", f"Which atoms does {model} get wrong, and did the ensemble know?"
        )
    configuration = configurations.configuration(chosen.dataset_id, config_id)
    if configuration is None:
        if furniture.no_atoms(chosen.dataset_id):
            return
        furniture.empty(
            f"No configuration '{config_id}' in {wording.dataset_label(chosen.dataset_id)}",
            "Take `cfg` out of the address, or choose the dataset that it belongs to at the left.",
        )
        return
    with controls:
        _configuration_controls(chosen, order, ranking, config_id)
        ensemble_id, ensemble = _ensemble(chosen.dataset_id)
        save = st.container(width="content")
    prediction = configurations.prediction(chosen.dataset_id, chosen.model_id, config_id)
    _say_what_is_missing(chosen, model, prediction)
    is_ok = prediction is not None and prediction.status == "ok"
    sight = Sight(
        chosen.dataset_id,
        chosen.model_id,
        configuration,
        prediction if is_ok else None,
        _deviation(ensemble_id, chosen.dataset_id, config_id, configuration.n_atoms),
        ensemble,
    )
    address.heed("color", COLORS, COLORS.__getitem__)
    address.heed_switch("arrows", "focus")
    parts.say_no_atom(configuration.n_atoms)
    configuration_facts.show(sight, alignment)
    _linked_views(sight, slot, save, _within(ensemble_id, ensemble, chosen.dataset_id))
    every_model(chosen, config_id)
    st.page_link(
        links.PREDICT_PAGE,
        label="Predict this structure live with other models",
        icon=":material/play_circle:",
        query_params={"from": f"{chosen.dataset_id}/{config_id}"},
    )


# Which configuration


def _ranking(chosen: selection.Selection, alignment: str) -> tuple[str, pd.DataFrame]:
    """What the configurations are ordered by, and they in that order.

    It begins with forces, since atoms are shown by them, whatever quantity other pages are about; where the model has
    no force errors here there are energies alone.
    """

    def ordered(order: str) -> pd.DataFrame:
        return configurations.worst_configurations(chosen.model_id, chosen.scope, order, alignment, limit=LIST_LIMIT)

    address.heed("order", METRICS, str.capitalize)
    by_force = ordered("force")
    options = ["force", "energy"] if by_force["force_rmse"].notna().any() else ["energy"]
    if st.session_state.get("order", options[0]) not in options:
        st.session_state["order"] = options[0]
    order: str = st.segmented_control(
        "Worst first, by", options, default=options[0], required=True, format_func=str.capitalize, key="order",
        bind="query-params", help="Error of the sidebar's model by which the configurations are ordered.",
    )  # fmt: skip
    return order, by_force if order == "force" else ordered(order)


def _config_id(chosen: selection.Selection, ranking: pd.DataFrame) -> str | None:
    """The configuration of the address, else the first of the list."""
    asked = st.query_params.get("cfg")
    if asked or ranking.empty:
        return asked
    worst = str(ranking["config_id"].iloc[0])
    st.query_params["cfg"] = worst
    return worst


def _open(config_id: str) -> None:
    """Show another configuration; called before the next run."""
    st.query_params["cfg"] = config_id
    st.query_params.pop("atom", None)


def _configuration_controls(chosen: selection.Selection, order: str, ranking: pd.DataFrame, config_id: str) -> None:
    """The choice of a configuration and the steps to its neighbours in the list."""
    ranked = ranking["config_id"].tolist()
    options = ranked if config_id in ranked else [config_id, *ranked]
    names = {
        name: f"{rank}. {name} · {group}"
        for rank, (name, group) in enumerate(zip(ranked, ranking["group_name"], strict=True), start=1)
    }
    position = options.index(config_id)
    key = f"cfg-{chosen.dataset_id}-{chosen.model_id}-{order}-{position}-{config_id}"
    st.selectbox(
        f"Configuration, worst {order} of {len(ranking):,} first",
        options,
        index=position,
        format_func=lambda name: names.get(name, f"{name} (no {order} error)"),
        key=key,
        on_change=lambda: _open(st.session_state[key]),
        width=300,
    )
    st.button(
        "Worse", disabled=position == 0, help="The next worse configuration",
        on_click=_open, args=(options[max(position - 1, 0)],),
    )  # fmt: skip
    st.button(
        "Better", disabled=position + 1 >= len(options), help="The next better configuration",
        on_click=_open, args=(options[min(position + 1, len(options) - 1)],),
    )  # fmt: skip


def _say_what_is_missing(chosen: selection.Selection, model: str, prediction: Prediction | None) -> None:
    if prediction is None:
        furniture.empty(
            f"{model} has not been run on this configuration",
            "The reference is shown alone. Choose another model at the left. Run "
            f"`python -m precompute run --model {chosen.model_id} --dataset {chosen.dataset_id}` and then "
            "`python -m precompute build`.",
        )
    elif prediction.status != "ok":
        furniture.empty(f"{model} failed on this configuration", f"{prediction.reason}. The reference is shown alone.")


# What is drawn


def _ensemble(dataset_id: str) -> tuple[str | None, str]:
    ensembles = catalog.ensembles()
    here = ensembles[[dataset_id in ids for ids in ensembles["dataset_ids"]]]
    if here.empty:
        return None, ""
    labels = dict(zip(here["ensemble_id"], here["label"], strict=True))
    address.heed("ensemble", labels, labels.__getitem__)
    ensemble_id = st.selectbox(
        "Uncertainty from",
        list(labels),
        format_func=labels.__getitem__,
        key="ensemble",
        bind="query-params",
        width=240,
    )
    return ensemble_id, labels[ensemble_id]


def _deviation(ensemble_id: str | None, dataset_id: str, config_id: str, n_atoms: int) -> NDArray[np.float64] | None:
    found = spread.uncertainty(ensemble_id, dataset_id, config_id) if ensemble_id else None
    return found[1] if found is not None and len(found[1]) == n_atoms else None


def _within(ensemble_id: str | None, ensemble: str, dataset_id: str) -> str:
    """How well the ensemble's deviation ranks the atoms of one configuration, to be said where it colours them."""
    rho, n = spread.spearman_within(ensemble_id, Scope.of(dataset_id)) if ensemble_id else (float("nan"), 0)
    return wording.within_note(ensemble, wording.dataset_label(dataset_id), rho, n)


def _viewer_controls(sight: Sight) -> tuple[str, bool, bool]:
    has_error, has_force = sight.force_errors is not None, sight.configuration.forces is not None
    available = {
        "error": has_error,
        "uncertainty": sight.deviation is not None,
        "force": has_force,
        "element": True,
    }
    options = [name for name, is_there in available.items() if is_there]
    _say_without_colour(options)
    with st.container(horizontal=True, vertical_alignment="center"):
        color = st.segmented_control(
            "Colour atoms by",
            options,
            default=options[0],
            required=True,
            format_func=COLORS.__getitem__,
            key="color",
            bind="query-params",
            label_visibility="collapsed",
        )
        arrows = st.toggle(
            "Error arrows", key="arrows", bind="query-params", disabled=not has_error,
            help=f"Predicted minus reference force of the {N_ARROWS} atoms where it is largest.",
        )  # fmt: skip
        focus = st.toggle(
            "Shrink the rest", key="focus", bind="query-params", disabled=color == "element",
            help="Draw the tenth of the atoms with the largest values in full size and the others small.",
        )  # fmt: skip
    return color, arrows and has_error, focus and color != "element"


def _say_without_colour(options: Sequence[str]) -> None:
    """Warn where the address asks for a colour that this configuration has no values for."""
    asked = {*st.query_params.get_all("color"), st.session_state.get("color")}
    for name in COLORS.keys() - set(options):
        if asked & {name, COLORS[name]}:
            st.caption(f":material/warning: There is no {COLORS[name].lower()} to colour these atoms by.")


# The three linked views


def _select(atom: int | None, source: str) -> None:
    """Take a choice into the address, and make the views that did not make it forget theirs."""
    parts.select_atom(atom)
    rounds = st.session_state.setdefault("atom_rounds", {"chart": 0, "table": 0})
    for view in rounds:
        rounds[view] += view != source


def _round(view: str) -> int:
    return int(st.session_state.setdefault("atom_rounds", {"chart": 0, "table": 0})[view])


@st.fragment
def _linked_views(sight: Sight, slot: DeltaGenerator, save: DeltaGenerator, within: str) -> None:
    """Only this part runs again when an atom or a colour is chosen."""
    selected = parts.selected_atom(sight.configuration.n_atoms)
    table = sight.atom_table()
    # Not columns: below some width the chart goes under the viewer.
    furniture.least_width("viewer", 440)
    with st.container(horizontal=True):
        with st.container(width="stretch", key="viewer"):
            color, has_arrows, has_focus = _viewer_controls(sight)
            colors = sight.atom_colors(color)
            _viewer(sight, colors, selected, has_arrows, has_focus)
            furniture.captions(within if color == "uncertainty" else "")
        with st.container(width=CHART_WIDTH):
            _chart(sight, table, selected, slot)
    _downloads(sight, colors, table, save)
    _table(sight, table, selected)


def _viewer(sight: Sight, colors: AtomColors | None, selected: int | None, has_arrows: bool, has_focus: bool) -> None:
    c = sight.configuration
    arrows: tuple[Arrow, ...] = ()
    scale = 1.0
    if has_arrows and sight.force_errors is not None and np.abs(sight.force_errors).max() > LEAST_ARROW:
        color = "#56b4e9" if st.context.theme.type == "dark" else "#0072b2"
        color = "#d55e00" if colors is not None and colors.colormap == DEVIATION_COLORS else color
        arrows, scale = largest_arrows(sight.force_errors, color, N_ARROWS)
    faint = None
    if has_focus and colors is not None:
        faint = colors.values < np.nanquantile(colors.values, 1 - FOCUS_SHARE)
    what = f"coloured by {colors.label}" if colors else "coloured by element"
    atomview(
        c.numbers,
        c.positions,
        c.cell,
        key="structure-view",
        alt=f"{sight.formula}, {c.n_atoms} atoms in their cell, {what}. The table below has the same values.",
        colors=colors,
        selected=selected,
        on_pick=lambda atom: _select(atom, "viewer"),
        arrows=arrows,
        faint=faint,
        filename=_origin(sight).file_name("png"),
        height=430,
    )
    if arrows:
        st.caption(
            f"Arrows: predicted minus reference force of the {len(arrows)} worst atoms; 1 Å of arrow is "
            f"{significant(1000 * scale)} meV/Å."
        )


_AXES = {
    "force_error": "Force error |ΔF| (meV/Å)",
    "force_deviation": "Ensemble deviation dev(F) (meV/Å)",
    "reference_force": "Reference force |F| (eV/Å)",
}


_CSV = {"force_deviation": "force_deviation_mev_per_ang", "reference_force": "reference_force_ev_per_ang"}
"""Names of the abscissa in files."""


def _chart(sight: Sight, table: pd.DataFrame, selected: int | None, slot: DeltaGenerator) -> None:
    x = next((name for name in ("force_deviation", "reference_force") if name in table), None)
    if "force_error" not in table or x is None:
        furniture.empty(
            "No error per atom",
            "The chart needs reference forces and a prediction of the model for this configuration.",
        )
        return
    points = table[["atom", "element"]].assign(x=table[x], y=table["force_error"])
    model = wording.model_labels()[sight.model_id]
    moving = points[~_at_rest(sight)[points["atom"]]]
    rho = moving["x"].corr(moving["y"], method="spearman") if len(moving) > 2 else float("nan")
    left_out = f", without {len(points) - len(moving)} at rest by symmetry" if len(moving) < len(points) else ""
    origin = _origin(sight, f"{len(points)} atoms, Spearman ρ = {significant(rho, 2)}{left_out}")
    title = f"Error per atom, {model}"
    key = f"atoms-{sight.dataset_id}-{sight.configuration.config_id}-{sight.model_id}-{x}-{_round('chart')}"

    def make(ink: base.Ink) -> go.Figure:
        return atoms.atom_scatter(
            points,
            ink,
            title,
            origin.source_line(),
            x_title=_AXES[x],
            y_title=_AXES["force_error"],
            selected=selected,
            colour=ink.muted,
        )

    def picked() -> None:
        point = furniture.clicked(key)
        _select(int(point[0]) if point else None, "chart")

    furniture.figure(
        make,
        points.rename(columns={"x": _CSV[x], "y": "force_error_mev_per_ang"}),
        origin,
        f"{title}: {_AXES['force_error']} against {_AXES[x]}, {origin.n}.",
        key=key,
        slot=slot,
        on_select=picked,
    )


def _at_rest(sight: Sight) -> NDArray[np.bool_]:
    """Atoms whose force symmetry makes zero: every model is right there, so they say nothing of a correlation."""
    c, p = sight.configuration, sight.prediction
    if p is None or p.forces is None:
        return np.zeros(c.n_atoms, dtype=bool)
    return is_zero_by_symmetry(p.forces[None], c.forces)


def _table(sight: Sight, table: pd.DataFrame, selected: int | None) -> None:
    st.subheader("Atoms", anchor=False)
    key = f"atom-table-{sight.configuration.config_id}-{sight.model_id}-{_round('table')}"

    def picked() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        _select(int(table["atom"].iloc[rows[0]]) if rows else None, "table")

    rows = table.index[table["atom"] == selected].tolist()
    st.dataframe(
        table,
        hide_index=True,
        key=key,
        height=parts.table_height(table),
        on_select=picked,
        selection_mode="single-row",
        selection_default={"selection": {"rows": rows}},
        column_config=parts.atom_columns(),
    )
    st.caption("Choose a row, a point of the chart or an atom of the picture. The other two follow.")


# Files


def _origin(sight: Sight, n: str = "") -> export.Provenance:
    c = sight.configuration
    return furniture.provenance(
        f"structure-{c.config_id}",
        c.config_id,
        [sight.model_id],
        Scope.of(sight.dataset_id),
        n or f"{c.n_atoms} atoms",
    )


def _downloads(sight: Sight, colors: AtomColors | None, table: pd.DataFrame, place: DeltaGenerator) -> None:
    c, origin = sight.configuration, _origin(sight)
    version = catalog.store_info().data_version

    def page() -> str:
        title = f"{c.config_id}: {sight.formula}, {wording.model_labels()[sight.model_id]}"
        return files.to_html(
            c.numbers, c.positions, c.cell, colors=colors, title=title, source=" · ".join(origin.parts())
        )

    with place, st.popover("Save", icon=":material/download:", help="Save this structure"):
        save = export.download
        save("Extended XYZ, with forces", lambda: sight.to_extxyz(version), origin.file_name("extxyz"))
        save("HTML, 3D, offline", page, origin.file_name("html"))
        save("CSV, atoms", lambda: export.to_csv(table, origin), origin.file_name("csv"))
        structure_report.button(sight, colors, origin, "structure")
        st.caption("The picture's own PNG button saves the view as it is.")


show()
