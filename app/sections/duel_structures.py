"""Configurations of a duel: error against error, and the atoms of one in two viewers with one camera and one scale."""

from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from app import furniture, links, selection, tables, wording
from app.figures import duel_plots
from app.sections import structure_report
from app.structures import parts
from app.structures.atomview import AtomColors, atomview
from app.structures.shown import Sight
from engine.quantities import ALIGNMENTS, METRICS, QUANTITIES, significant
from engine.queries import configurations, duels
from engine.queries.scope import Scope
from engine.registry.kinds import label

Pair = tuple[str, str]

LISTED = 5000
VIEWER_HEIGHT = 400


def show(chosen: selection.Selection, ids: Pair, names: Pair, alignment: str) -> None:
    """The chart of all shared configurations, a choice of one, and its atoms.

    Args:
        chosen: The sidebar's choices.
        ids: The two models.
        names: Their labels.
        alignment: Of energies.
    """
    table = duels.pairs(*ids, chosen.scope, chosen.quantity, alignment)
    table = table.sort_values(["margin", "config_id"], ascending=[False, True], ignore_index=True)
    config_id = _config_id(table)
    st.subheader("Configuration by configuration", anchor=False)
    _chart(chosen, ids, names, alignment, table, config_id)
    shown = table[["config_id", "kind", "group_name", "formula", "n_atoms", "first", "second", "margin"]]
    unit = QUANTITIES[METRICS[chosen.quantity].rmse].unit
    number = partial(st.column_config.NumberColumn, format="%.2f")
    heads = {
        "kind": "Kind", "n_atoms": "Atoms", "first": number(f"{names[0]} ({unit})"),
        "second": number(f"{names[1]} ({unit})"), "margin": number(f"{names[1]} less {names[0]} ({unit})"),
    }  # fmt: skip
    tables.view_data(shown, "duel-pairs", heads)
    _side_by_side(chosen, ids, names, table, config_id)


def _config_id(table: pd.DataFrame) -> str:
    """The configuration of the address; otherwise the one on which the two differ most."""
    asked = st.query_params.get("cfg", "")
    if asked in set(table["config_id"]):
        return asked
    if asked:
        st.caption(
            f":material/warning: cfg={parts.plain(asked)}: the two models share no configuration of that name here."
        )
    return str(table.loc[table["margin"].abs().idxmax(), "config_id"])


def _open(config_id: str) -> None:
    """Show another configuration; called before the next run."""
    st.query_params["cfg"] = config_id
    st.query_params.pop("atom", None)


def _chart(
    chosen: selection.Selection, ids: Pair, names: Pair, alignment: str, table: pd.DataFrame, config_id: str
) -> None:
    """Error against error; a click opens the configuration."""
    sizes = table[["first", "second"]]
    drawn = table[(sizes.max(axis=1) > duels.LEAST) & (sizes.min(axis=1) > 0)].sort_values(["kind", "config_id"])
    drawn = drawn.assign(kind_label=drawn["kind"].map(label))
    n_left = len(table) - len(drawn)
    stride = -(-len(drawn) // duel_plots.MOST_POINTS)
    drawn = drawn.iloc[:: max(stride, 1)]
    if drawn.empty:
        furniture.empty("No point to draw", f"All errors on the shared configurations are below {duels.LEAST:g}.")
        return
    words = f" ({ALIGNMENTS[alignment]})" if chosen.quantity == "energy" else ""
    title = f"{chosen.quantity.capitalize()} error{words} on {wording.place(chosen.scope)}: {names[0]} and {names[1]}"
    origin = furniture.provenance("duel-errors", title, ids, chosen.scope, f"{len(drawn):,} configurations")
    key = "duel-errors-" + "-".join([*ids, chosen.scope.describe(), chosen.quantity, alignment, config_id])

    def picked() -> None:
        if point := furniture.clicked(key):
            _open(str(point[0]))

    furniture.figure(
        lambda ink: duel_plots.error_pairs(
            drawn, names, chosen.quantity, ink, title, origin.source_line(), marked=config_id
        ),
        drawn.drop(columns="cluster_name"),
        origin,
        f"{title}; each point is a configuration, and above the diagonal {names[0]} has the smaller error.",
        key=key,
        on_select=picked,
    )
    furniture.captions(
        "Click on a point for its atoms below; the ring marks the configuration that is open.",
        f"{n_left:,} configurations are not drawn, since both errors are below {duels.LEAST:g} or one is exactly zero: "
        "symmetry makes their forces vanish."
        if n_left and chosen.quantity == "force"
        else "",
        f"One in {stride} is drawn; all numbers rest on all of them." if stride > 1 else "",
    )


def _choice(table: pd.DataFrame, names: Pair, config_id: str, unit: str) -> None:
    """The choice of a configuration, ordered from what the first model wins to what the second one wins."""
    listed = table if len(table) <= LISTED else pd.concat([table.head(LISTED // 2), table.tail(LISTED // 2)])
    options = listed["config_id"].tolist()
    if config_id not in options:
        options = [config_id, *options]
    position = options.index(config_id)
    words = {
        row.config_id: f"{row.config_id} · {row.kind} · {significant(row.first)} and {significant(row.second)} {unit}"
        for row in listed.itertuples()
    }
    key = f"duel-cfg-{position}-{config_id}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            f"Configuration, from what {names[0]} wins by most to what {names[1]} wins by most", options,
            index=position, format_func=lambda name: words.get(name, name), key=key, width=520,
            on_change=lambda: _open(st.session_state[key]),
        )  # fmt: skip
        st.button(f"Best of {names[0]}", on_click=_open, args=(str(table["config_id"].iloc[0]),))
        st.button(f"Best of {names[1]}", on_click=_open, args=(str(table["config_id"].iloc[-1]),))


@st.fragment
def _viewers(sights: tuple[Sight, Sight], names: Pair, largest: float) -> None:
    """The two pictures; only this part runs again when an atom is chosen."""
    selected = parts.selected_atom(sights[0].configuration.n_atoms)
    for column, sight, name in zip(st.columns(2), sights, names, strict=True):
        c, colors = sight.configuration, sight.atom_colors("error")
        with column:
            st.markdown(f"**{name}**")
            if colors is None:
                furniture.empty("No forces", f"{name} or the reference has no forces for this configuration.")
                continue
            rms = float(np.sqrt(np.mean(colors.values**2) / 3))
            shared = AtomColors(colors.values, colors.label, colors.unit, top_value=largest)
            atomview(
                c.numbers, c.positions, c.cell,
                key=f"duel-view-{'first' if sight is sights[0] else 'second'}",
                alt=f"{sight.formula}, {c.n_atoms} atoms, coloured by |ΔF| of {name} on the scale of both pictures.",
                colors=shared,
                selected=selected, on_pick=parts.select_atom, height=VIEWER_HEIGHT, link="duel",
                filename=f"duel_{sight.dataset_id}_{c.config_id}_{sight.model_id}.png",
            )  # fmt: skip
            st.caption(
                f"Force RMSE {significant(rms)} meV/Å, largest |ΔF| {significant(float(colors.values.max()))} meV/Å"
            )
            scope = Scope.of(sight.dataset_id)
            origin = furniture.provenance("duel", c.config_id, [sight.model_id], scope, f"{c.n_atoms} atoms")
            structure_report.button(sight, shared, origin, f"duel-{sight.model_id}")
    st.caption(
        "Both pictures turn together and share one colour scale, which ends at the larger of the two 99th percentiles. "
        "A click on an atom marks it in both."
    )
    atoms = _atoms(sights)
    if atoms is not None:
        number = partial(st.column_config.NumberColumn, format="%.1f")
        heads = {
            f"force_error_{which}": number(f"|ΔF| of {name} (meV/Å)")
            for which, name in zip(("first", "second"), names, strict=True)
        }
        label = "Atoms, the largest difference first"
        tables.view_data(atoms, "duel-atoms", parts.atom_columns() | heads, label=label)


def _atoms(sights: tuple[Sight, Sight]) -> pd.DataFrame | None:
    """Error of both models on every atom; None where one has no forces."""
    errors = [sight.atom_colors("error") for sight in sights]
    if errors[0] is None or errors[1] is None:
        return None
    table = sights[0].atom_table()[["atom", "element"]].sort_values("atom", ignore_index=True)
    first, second = (np.asarray(one.values, dtype=float) for one in errors if one is not None)
    order = np.argsort(-np.abs(first - second), kind="stable")
    return table.assign(force_error_first=first, force_error_second=second).iloc[order].reset_index(drop=True)


def _side_by_side(chosen: selection.Selection, ids: Pair, names: Pair, table: pd.DataFrame, config_id: str) -> None:
    st.subheader(f"Both on {config_id}", anchor=False)
    _choice(table, names, config_id, QUANTITIES[METRICS[chosen.quantity].rmse].unit)
    configuration = configurations.configuration(chosen.dataset_id, config_id)
    if configuration is None:
        furniture.no_atoms(chosen.dataset_id)
        return
    parts.say_no_atom(configuration.n_atoms)
    found = [configurations.prediction(chosen.dataset_id, model_id, config_id) for model_id in ids]
    sights = tuple(
        Sight(chosen.dataset_id, model_id, configuration, one if one and one.status == "ok" else None, None, "")
        for model_id, one in zip(ids, found, strict=True)
    )
    tops = [colors.top() for sight in sights if (colors := sight.atom_colors("error")) is not None]
    _viewers((sights[0], sights[1]), names, max(tops, default=1.0))
    for model_id, name in zip(ids, names, strict=True):
        links.structure_link(chosen.dataset_id, config_id, model_id, label=f"Open in Structure with {name}")
