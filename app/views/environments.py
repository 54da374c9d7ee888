"""Environments: local environments of datasets, how far they lie from those of others, and errors by class."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, furniture, selection, tables, wording
from app.figures import environment_plots
from app.links import structure_link
from app.sections import environment_errors
from engine.queries import catalog, environments, reference_data
from engine.queries.environments import EnvironmentMap
from engine.queries.scope import ALL, Scope

COLOURS = {
    "dataset_id": "Dataset",
    "group_name": "Group",
    "class_name": "Class",
    "force_error": "Force error",
    "deviation": "Disagreement",
}
MOST_SETS = 14  # rows of the matrix of shares outside; more cannot be read


def show() -> None:
    """The map, how much of one set lies outside another, and force errors by class of environment."""
    chosen = selection.selection()
    slot = furniture.header(
        "Environments",
        "Which local environments does a dataset have, how many of them lie outside another dataset, and on which is a "
        "model wrong?",
    )
    described = environments.described_datasets()
    if described.empty:
        furniture.empty(
            "No environments are described",
            "Run `python -m precompute describe` and then `python -m precompute build`.",
        )
        return
    fitted, projected, colour_by = _controls(chosen, described["dataset_id"].tolist())
    ensemble_id = _ensemble(fitted)
    within = chosen.scope.on()
    if missing := [name for name in (*fitted, *projected) if environments.sampled(within.on(name))[0].empty]:
        furniture.empty(
            f"No sampled environment fits in {_labels(missing)}",
            f"Take it out above, or remove a condition at the left: {', '.join(within.restrictions()) or 'none'}.",
        )
        return
    found = environments.environment_map(
        within.on(*fitted), within.on(*projected) if projected else None, chosen.model_id, ensemble_id
    )
    _map(found, colour_by, fitted, projected, chosen, slot)
    row = described.iloc[0]
    st.caption(
        f"{row['setting']}. The components are fitted on {_labels(fitted)}. The map shows a random sample of at most "
        f"{row['atoms_per_group']} atoms of each group of a dataset, each atom with the same chance."
    )
    st.caption(
        "Rebuilds figure 10a of the paper: a map of W environments in W-g and in the W parts of OMat24, sAlex and "
        "MPtrj. What differs: the training sets are not here, lengths are scaled so that all metals share one map, and "
        "the paper does not state its SOAP setting."
    )
    _outside(fitted, projected, within)
    environment_errors.show(chosen)


def _controls(chosen: selection.Selection, known: Sequence[str]) -> tuple[list[str], list[str], str]:
    """The union to fit on, others to project, and what colours tell."""
    first = chosen.dataset_id if chosen.dataset_id in known else known[0]
    key = f"fit-{first}"
    address.heed_many(key, known)
    address.heed_many("project", known)
    address.heed("colour", COLOURS, COLOURS.__getitem__)
    with furniture.controls():
        fitted = st.multiselect(
            "Fitted on", known, default=[first], key=key, bind="query-params", max_selections=6, width=340,
            help="The principal components are those of the sampled atoms of these datasets together.",
        )  # fmt: skip
        fitted = fitted or [first]
        projected = st.multiselect(
            "Projected", [name for name in known if name not in fitted], key="project", bind="query-params",
            max_selections=6, placeholder="no other dataset", width=340,
            disabled=len(known) == len(fitted),
        )  # fmt: skip
        colour_by = st.segmented_control(
            "Colour", list(COLOURS), default="group_name", required=True, format_func=COLOURS.__getitem__,
            key="colour", bind="query-params",
        )  # fmt: skip
    return fitted, [name for name in projected if name not in fitted], colour_by


def _ensemble(dataset_ids: Sequence[str]) -> str:
    """The first ensemble with numbers for one of the datasets; empty without one."""
    known = catalog.ensembles()
    here = known[[bool(set(ids) & set(dataset_ids)) for ids in known["dataset_ids"]]]
    return str(here["ensemble_id"].iloc[0]) if len(here) else ""


def _labels(dataset_ids: Sequence[str]) -> str:
    return " + ".join(wording.dataset_label(dataset_id) for dataset_id in dataset_ids)


def _map(
    found: EnvironmentMap, colour_by: str, fitted: Sequence[str], projected: Sequence[str],
    chosen: selection.Selection, slot: DeltaGenerator,
) -> None:  # fmt: skip
    labels = {dataset_id: wording.dataset_label(dataset_id) for dataset_id in (*fitted, *projected)}
    title = f"Local environments of {_labels([*fitted, *projected])} by {COLOURS[colour_by].lower()}"
    if colour_by == "force_error":
        title += f" of {wording.model_labels()[chosen.model_id]}"
    models = [chosen.model_id] if colour_by == "force_error" else []
    n = f"{len(found.atoms):,} sampled atoms"
    scope = chosen.scope.on(*fitted, *projected)
    origin = furniture.provenance("environments", title, models, scope, n)
    key = "-".join(["map", scope.describe(), str(len(fitted)), colour_by, chosen.model_id])
    furniture.figure(
        lambda ink: environment_plots.environment_map(found, colour_by, labels, ink, title, origin.source_line()),
        found.atoms,
        origin,
        f"{title}: two principal components of SOAP vectors of {n}. Clicking an atom names it below.",
        key=key,
        slot=slot,
        on_select="rerun",
    )
    if colour_by in ("force_error", "deviation") and found.atoms[colour_by].isna().all():
        st.caption("All atoms are grey: there is no number of this kind for these datasets.")
    _clicked(found, key, chosen.model_id)
    tables.view_data(found.atoms, "environments")


def _clicked(found: EnvironmentMap, key: str, model_id: str) -> None:
    """The clicked atom, or the one with the largest force error, with a link to its structure."""
    place = furniture.clicked(key)
    atoms = found.atoms
    if place:
        is_it = (atoms["dataset_id"] == place[0]) & (atoms["config_id"] == place[1]) & (atoms["atom_index"] == place[2])
        row = atoms[is_it].iloc[0]
        which = "Clicked"
    else:
        row = atoms.loc[atoms["force_error"].idxmax() if atoms["force_error"].notna().any() else atoms.index[0]]
        which = "Click an atom to open another one; this one has the largest force error"
    error = "" if pd.isna(row["force_error"]) else f", force error {1000 * row['force_error']:.0f} meV/Å"
    with st.container(horizontal=True, vertical_alignment="center"):
        structure_link(row["dataset_id"], row["config_id"], model_id, atom=int(row["atom_index"]))
        st.caption(f"{which}: {row['element']} in {row['group_name']}, {row['class_name']}{error}")


def _outside(fitted: Sequence[str], projected: Sequence[str], within: Scope) -> None:
    """Shares outside between datasets, or between the groups of the only one."""
    dataset_ids = [*fitted, *projected]
    st.subheader("How much of one set lies outside another?", anchor=False)
    if len(dataset_ids) > 1:
        names = [wording.dataset_label(dataset_id) for dataset_id in dataset_ids]
        scopes = [within.on(dataset_id) for dataset_id in dataset_ids]
    else:
        groups = reference_data.groups(dataset_ids[0], within.narrowed(group=ALL))
        names = groups.loc[groups["in_dataset"], "group_name"].tolist()[:MOST_SETS]
        scopes = [within.on(dataset_ids[0]).narrowed(group=name) for name in names]
    shares = environments.outside_shares(tuple(scopes))
    if shares.empty:
        furniture.empty("One set only", "Choose a second dataset above: the share compares two sets.")
        return
    sizes = shares.groupby("one")["n_one"].first()
    names = [f"{name} ({sizes.get(k, 0):,})" for k, name in enumerate(names)]
    title = f"Share outside, %: {_labels(dataset_ids)}"
    origin = furniture.provenance("environments", title, [], within.on(*dataset_ids), f"{sizes.sum():,} sampled atoms")
    table = shares.assign(one=[names[k] for k in shares["one"]], other=[names[k] for k in shares["other"]])
    furniture.figure(
        lambda ink: environment_plots.outside_matrix(shares, names, ink, title, origin.source_line()),
        table,
        origin,
        f"{title}. Rows are the sets whose environments are counted; numbers of sampled atoms in brackets.",
        key="outside",
    )
    st.caption(
        "Each number is the share of the row's environments that lie outside the set of the column. An environment is "
        "outside where its distance to the nearest one of the other set is beyond the 99th percentile of "
        "nearest-neighbour distances inside that other set. Distances are those of full SOAP vectors, not those on the "
        "map. Atoms that symmetry makes equal are not neighbours there. A sample of few environments covers little, so "
        "much lies outside a small set."
    )
    tables.view_data(table, "outside")


show()
