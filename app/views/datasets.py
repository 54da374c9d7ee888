"""Datasets: the data that models are tested on, and the meaning of a comparison with them.

The page shows the sidebar's dataset. On this page the sidebar offers every dataset of the registry, present or not.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, export, furniture, links, selection, tables, wording
from app.figures import base, dataset_plots
from app.sections import alignment_change, all_data, compatibility
from app.structures.atomview import atomview
from app.structures.shown import Sight
from engine.queries import catalog, configurations, reference_data
from engine.queries.scope import Scope

CONTENTS, ALL, ALIGNMENT, COMPATIBILITY = "contents", "all data", "alignment", "compatibility"
PARTS = (CONTENTS, ALL, ALIGNMENT, COMPATIBILITY)


def show() -> None:
    """One of four parts: contents of a dataset, all datasets at once, effect of alignment, compatibility."""
    datasets = catalog.datasets()
    chosen = selection.selection()
    dataset = datasets.set_index("dataset_id", drop=False).loc[chosen.dataset_id]
    slot = furniture.header(
        f"Datasets: {dataset['label']}",
        "Which data are the models tested on, how were they computed, and what can a comparison with them mean?",
    )
    address.heed("part", PARTS, str.capitalize)
    address.heed_switch("alone", "together")
    with furniture.controls():
        part = st.segmented_control(
            "Show", PARTS, default=CONTENTS, required=True, format_func=str.capitalize, key="part", bind="query-params",
            help="What datasets hold; energies and forces of all of them; what alignment of energies changed; which "
            "models' raw energies can be compared.",
        )  # fmt: skip
    if part == ALL:
        all_data.all_data_part(datasets, chosen.scope.on(), slot)
    elif part == ALIGNMENT:
        alignment_change.alignment_part(dataset, slot)
    elif part == COMPATIBILITY:
        compatibility.compatibility_part(dataset, datasets, slot)
    else:
        _contents(dataset, datasets, chosen.scope, slot)


def _is_here(datasets: pd.DataFrame) -> pd.Series:
    return datasets["available"].fillna(False).astype(bool)


# What is in it


def _contents(dataset: pd.Series, datasets: pd.DataFrame, scope: Scope, slot: DeltaGenerator) -> None:
    _headline(datasets, scope)
    _elements(dataset, scope, slot)
    _list(datasets)
    st.subheader(str(dataset["label"]), anchor=False)
    st.markdown(dataset["description"])
    _card(dataset, datasets)
    if dataset["n_configs"]:
        _distributions(dataset)
        label = "Groups of structures, and one of each in 3D"
        tables.drawers([(label, "structures", (), lambda: _groups(dataset, scope))])


def _headline(datasets: pd.DataFrame, scope: Scope) -> None:
    totals = catalog.totals(scope.on())
    counts = reference_data.element_counts(scope.on())
    n_table = datasets["n_configs_paper"].sum()
    furniture.numbers(
        [
            ("Datasets here", f"{_is_here(datasets).sum()}", f"of {len(datasets)} in the registry"),
            (
                "Configurations",
                f"{totals['n_configs']:,}",
                f"54,084 in the paper, whose Table 2 adds up to {n_table:,.0f}",
            ),
            ("Atoms", f"{totals['n_atoms']:,}", "7,326,684 in the paper"),
            ("Elements", f"{len(counts)}", f"most often {', '.join(counts['element'].head(3))}"),
        ]
    )


def _elements(dataset: pd.Series, within: Scope, slot: DeltaGenerator) -> None:
    """The periodic table with counts of configurations."""
    is_alone = st.toggle(
        "Chosen dataset only", key="alone", bind="query-params", help="Otherwise all datasets together, with the "
        "elements of the chosen one framed."
    )  # fmt: skip
    scope = within if is_alone else within.on()
    table = reference_data.element_counts(scope)
    if table.empty:
        _nothing(dataset)
        return
    place = wording.place(scope)
    title = f"Configurations with each element: {place}"
    origin = furniture.provenance("elements-of", title, [], scope, f"{int(table['n_atoms'].sum()):,} atoms")
    framed = [] if is_alone else list(dataset["elements"])
    furniture.figure(
        lambda ink: dataset_plots.element_table(table, ink, title, origin.source_line(), framed=framed),
        table,
        origin,
        f"Periodic table of {title}, {len(table)} elements; the table below holds the same numbers.",
        key="element-counts",
        slot=slot,
    )
    tables.view_data(table, "element-counts")


def _nothing(dataset: pd.Series) -> None:
    """Why a dataset is not here, and the next step."""
    reason = dataset["reason"] or "It holds no configurations."
    if dataset["n_configs_paper"] > 0:
        reason += f" The paper has {dataset['n_configs_paper']:,.0f} configurations."
    furniture.empty(f"{dataset['label']} is not here", reason)


def _list(datasets: pd.DataFrame) -> None:
    """All datasets; a row opens its dataset."""
    is_here = _is_here(datasets)
    table = datasets.assign(
        state=is_here.map({True: "here", False: "not here"}),
        elements=datasets["elements"].map(
            lambda names: ", ".join(names) if len(names) < 9 else f"{len(names)} elements"
        ),
        n_configs=datasets["n_configs"].where(is_here).astype("Int64"),
        n_atoms=datasets["n_atoms"].where(is_here).astype("Int64"),
    )
    heads: dict[str, Any] = {
        "label": st.column_config.TextColumn("Dataset", pinned=True, width=200),
        "state": "State",
        "elements": "Elements",
        "n_configs": st.column_config.NumberColumn("Configurations", format="localized"),
        "n_atoms": st.column_config.NumberColumn("Atoms", format="localized"),
        "functional": "Functional",
        "code": "Code",
        "energy_reference": "Zero of energy",
        "n_models": st.column_config.NumberColumn("Models with numbers"),
        "paper_row": st.column_config.NumberColumn("Row of Table 2", format="%d"),
        "n_configs_paper": st.column_config.NumberColumn("Configurations in the paper", format="localized"),
        "stands_in_for": "In place of rows",
        "reason": st.column_config.TextColumn("Why it is not here", width="large"),
    }
    ids = table["dataset_id"].tolist()

    def open_row() -> None:
        rows = st.session_state["dataset-list"]["selection"]["rows"]
        if rows:
            selection.choose_dataset(ids[rows[0]])

    with st.expander(f"All {len(ids)} datasets: {is_here.sum()} here", expanded=True):
        st.caption("Choose a row, or a dataset at the left.")
        st.dataframe(
            table,
            hide_index=True,
            key="dataset-list",
            height=300,
            placeholder=wording.NOTHING,
            column_config=heads,
            column_order=list(heads),
            on_select=open_row,
            selection_mode="single-row",
        )


def _card(dataset: pd.Series, datasets: pd.DataFrame) -> None:
    if not dataset["n_configs"]:
        _nothing(dataset)
    size = f"{dataset['n_configs']:,} configurations, {dataset['n_atoms']:,} atoms" if dataset["n_configs"] else "none"
    furniture.details(
        [
            ("Id", f"`{dataset['dataset_id']}`"),
            ("Here", size),
            ("In the paper", _in_paper(dataset)),
            ("Stands in for", _rows_of_paper(dataset["stands_in_for"], datasets)),
            ("In its place", _stand_ins(dataset, datasets)),
            ("Elements", ", ".join(dataset["elements"])),
            ("Level of theory", f"{dataset['functional']}, {dataset['code']}"),
            ("Pseudopotentials and settings", dataset["potentials"]),
            ("Spin and +U", f"spin {dataset['spin']}, {_plus_u(dataset['hubbard_u'])}"),
            ("Zero of energy", f"{wording.ZEROS[dataset['energy_reference']]}. {dataset['comparable_note']}"),
            ("Noise of the labels", wording.noise_measured(dataset["dataset_id"])),
            ("Seen in training", wording.seen_in_training(dataset)),
            ("Licence", dataset["license"]),
            ("Cite", dataset["citation"]),
            ("Source", wording.source_name(dataset["source"])),
        ]
    )


def _plus_u(is_used: bool | None) -> str:
    if pd.isna(is_used):
        return "+U not stated"
    return "with +U" if is_used else "no +U"


def _in_paper(dataset: pd.Series) -> str:
    if pd.isna(dataset["paper_row"]):
        return "not one of its datasets"
    return f"row {dataset['paper_row']:.0f} of Table 2, {dataset['n_configs_paper']:,.0f} configurations"


def _rows_of_paper(rows: str | None, datasets: pd.DataFrame) -> str:
    """Labels of the paper's datasets that were named by row, such as `1, 6`."""
    labels = {f"{row.paper_row:.0f}": row.label for row in datasets.itertuples() if pd.notna(row.paper_row)}
    named = [row.strip() for row in (rows or "").split(",") if row.strip()]
    return ", ".join(f"{labels.get(row, 'row')} ({row})" for row in named)


def _stand_ins(dataset: pd.Series, datasets: pd.DataFrame) -> str:
    """Datasets that are here and stand in for this one of the paper."""
    if pd.isna(dataset["paper_row"]) or dataset["n_configs"]:
        return ""
    row = f"{dataset['paper_row']:.0f}"
    here = datasets[_is_here(datasets)]
    found = [other.label for other in here.itertuples() if row in (other.stands_in_for or "").split(", ")]
    return ", ".join(found) or "nothing yet"


# Distributions


def _distributions(dataset: pd.Series) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader("Energies, forces and sizes", anchor=False, width="stretch")
        slot = st.container(width="content")
    with furniture.controls():
        is_pooled = st.toggle(
            "All datasets together", key="together", bind="query-params",
            help="Energies then count from the lowest of each dataset.",
        )  # fmt: skip
        chosen = selection.group_choice(selection.selection().scope, is_disabled=is_pooled)
    scope = selection.selection().scope.on() if is_pooled else chosen
    panels = _panels(scope, is_relative=is_pooled or dataset["energy_reference"] == "own")
    if not panels:
        furniture.empty("No energies and forces", "The source has none for these configurations.")
        return
    place = wording.place(scope)
    title = f"Reference data: {place}"
    n = panels[-1].histogram.n_total
    origin = furniture.provenance("distributions", title, [], scope, f"{n:,} configurations")

    def draw(ink: base.Ink) -> go.Figure:
        return dataset_plots.histograms(panels, ink, title, origin.source_line())

    table = _counts(panels)
    furniture.figure(
        draw,
        table,
        origin,
        f"Histograms of {', '.join(panel.title for panel in panels)} of {place}; the table below holds the counts.",
        key=f"distributions-{scope.describe()}",
        slot=slot,
    )
    st.caption(
        "These are DFT reference data alone. 0.1 % of the samples lie beyond the axes at each end; brackets give their "
        "number."
    )
    tables.view_data(table, "distributions")


def _panels(scope: Scope, *, is_relative: bool) -> list[dataset_plots.Panel]:
    """Histograms with samples."""
    energy = ("energy_above", "Energy above the lowest of the dataset (eV/atom)")
    kind, title = energy if is_relative else ("energy", "Energy (eV/atom)")
    wanted = (
        (kind, title, "configurations", False),
        ("force_component", "Force component (eV/Å)", "force components", True),
        ("force_length", "Length of the force (eV/Å)", "atoms", True),
        ("n_atoms", "Atoms in a configuration", "configurations", False),
    )
    panels = []
    for kind, title, noun, is_log in wanted:
        found = reference_data.histogram(kind, scope)
        if found is not None:
            panels.append(dataset_plots.Panel(title, noun, found, is_log))
    return panels


def _counts(panels: Sequence[dataset_plots.Panel]) -> pd.DataFrame:
    """The bins of all histograms, one below the other."""
    parts = [
        pd.DataFrame(
            {
                "what": panel.title,
                "from": panel.histogram.edges[:-1],
                "to": panel.histogram.edges[1:],
                "n": panel.histogram.counts,
            }
        )
        for panel in panels
    ]
    return pd.concat(parts, ignore_index=True)


# Groups and structures


def _groups(dataset: pd.Series, within: Scope) -> None:
    dataset_id = dataset["dataset_id"]
    within = within.on()
    typical = reference_data.representatives(dataset_id, within)[["group_name", "config_id"]]
    table = reference_data.groups(dataset_id, within).merge(typical, on="group_name")
    kinds = reference_data.kinds_of_groups(dataset_id)
    table.insert(1, "kind", table["group_name"].map(kinds))
    number = st.column_config.NumberColumn
    heads: dict[str, Any] = {
        "group_name": st.column_config.TextColumn("Group", pinned=True),
        "in_dataset": st.column_config.CheckboxColumn(
            "Counts", help="Some groups are kept but do not count as the dataset, such as dimers."
        ),
        "kind": st.column_config.TextColumn("Kind", help="Of structures; the page Defects says what each means."),
        "composition": st.column_config.TextColumn("Composition", help="Shares of all atoms of the group."),
        "n_atoms": number("Atoms", format="localized"),
        "n_atoms_min": "Fewest atoms",
        "n_atoms_max": "Most atoms",
        "energy_min": number("Lowest energy (eV/atom)", format="%.3f"),
        "energy_max": number("Highest energy (eV/atom)", format="%.3f"),
        "force_rms": number("Force, RMS (eV/Å)", format="%.2f", help="Root mean square of the length on an atom."),
        "config_id": "Shown below",
    }
    row = tables.chosen_row(table, f"groups-{dataset_id}", heads)
    if within.restrictions():
        st.caption(f"Configurations that fit: {', '.join(within.restrictions())}.")
    _structure(dataset, row)


def _structure(dataset: pd.Series, row: pd.Series) -> None:
    """The representative of one group in 3D."""
    configuration = configurations.configuration(dataset["dataset_id"], row["config_id"])
    if configuration is None:
        furniture.no_atoms(dataset["dataset_id"])
        return
    sight = Sight(dataset["dataset_id"], "", configuration, None, None, "")
    origin = furniture.provenance(
        f"structure-{row['config_id']}",
        row["config_id"],
        [],
        Scope.of(dataset["dataset_id"]),
        f"{configuration.n_atoms} atoms",
    )
    st.markdown(
        f"**{row['group_name']}**: {sight.formula}, {configuration.n_atoms} atoms, `{row['config_id']}`. This "
        "structure "
        f"has the median number of atoms of the {row['n_configs']:,} configurations of the group, and the median force "
        "among those of that size. Choose a row for another group."
    )
    atomview(
        configuration.numbers,
        configuration.positions,
        configuration.cell,
        key="dataset-structure",
        alt=f"{sight.formula}, {configuration.n_atoms} atoms in their cell, coloured by element.",
        filename=origin.file_name("png"),
        height=380,
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        export.download(
            "Extended XYZ",
            lambda: sight.to_extxyz(catalog.store_info().data_version),
            origin.file_name("extxyz"),
            width="content",
        )
        if dataset["n_models"]:
            links.structure_link(dataset["dataset_id"], row["config_id"])


show()
