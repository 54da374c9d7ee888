"""The list of all models with its filters, and how much of each dataset each model was run on."""

from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, furniture, tables, wording
from app.figures import base, tile_maps
from engine.queries import catalog
from engine.queries.scope import Scope

ANY, WITH_NUMBERS, CAN_RUN, CANNOT_RUN = "any", "numbers", "can-run", "cannot-run"
STATES = {ANY: "All", WITH_NUMBERS: "With numbers", CAN_RUN: "Has a loader", CANNOT_RUN: "No loader yet"}
MARKS = {"no-data": "–", "cannot-run": "✕", "not-run": ""}


def filtered(models: pd.DataFrame) -> pd.DataFrame:
    """The models that fit the search and the filters."""
    names = sorted(models["family"].unique())
    address.heed_many("family", names)
    address.heed("state", STATES, STATES.__getitem__)
    address.heed_switch("paper")
    with furniture.controls():
        words = st.text_input(
            "Search", key="find", bind="query-params", placeholder="name, id or training set", width=240
        )
        families = st.multiselect("Family", names, key="family", bind="query-params", width=240)
        state = st.segmented_control(
            "State", list(STATES), default=ANY, required=True, format_func=STATES.__getitem__, key="state",
            bind="query-params",
        )  # fmt: skip
        is_of_paper = st.toggle(
            "Table 1 of the paper only",
            key="paper",
            bind="query-params",
            help="The 26 models of Shuang et al. (2025).",
        )
    text = models["label"] + " " + models["model_id"] + " " + models["training_sets"].map(" ".join)
    keep = pd.Series(True, index=models.index)
    for word in words.lower().split():
        keep &= text.str.lower().str.contains(word, regex=False)
    runs = models["runnable"].fillna(False).astype(bool)
    keep &= {ANY: True, WITH_NUMBERS: models["n_datasets"] > 0, CAN_RUN: runs, CANNOT_RUN: ~runs}[state]
    if families:
        keep &= models["family"].isin(families)
    if is_of_paper:
        keep &= models["paper_row"].notna()
    return models[keep].sort_values("paper_row") if is_of_paper else models[keep]


def model_list(models: pd.DataFrame) -> None:
    """All models in a table; a row opens the page of its model."""
    table = models.assign(
        training=models["training_sets"].map(" + ".join),
        runs=models["runnable"].fillna(False).map({True: "yes", False: "no"}),
    )
    heads: dict[str, Any] = {
        "label": st.column_config.TextColumn("Model", pinned=True, width=220),
        "family": "Family",
        "paper_row": st.column_config.NumberColumn("Row of Table 1", format="%d"),
        "n_datasets": st.column_config.NumberColumn("Datasets with numbers"),
        "runs": st.column_config.TextColumn(
            "Has a loader", help="Whether its weights are on this machine too: `python -m precompute models` says so."
        ),
        "training": "Training data",
        "n_training_structures": st.column_config.NumberColumn("Training structures", format="compact"),
        "n_parameters": st.column_config.NumberColumn("Parameters", format="compact"),
        "functional": "Functional",
        "conservative": st.column_config.CheckboxColumn("Forces are gradients"),
        "license": "Licence",
        "model_id": "Id",
    }
    ids = table["model_id"].tolist()

    def open_row() -> None:
        rows = st.session_state["models"]["selection"]["rows"]
        if rows:
            st.query_params["id"] = ids[rows[0]]

    def open_named() -> None:
        if st.session_state["open"]:
            st.query_params["id"] = st.session_state["open"]

    labels = wording.model_labels()
    st.selectbox(
        f"Open one of {len(ids)} models, or choose its row",
        ids,
        index=None,
        format_func=labels.__getitem__,
        key="open",
        placeholder="type a name",
        on_change=open_named,
        width=400,
    )
    st.dataframe(
        table,
        hide_index=True,
        key="models",
        height=min(35 * (len(table) + 1) + 3, 460),
        placeholder=wording.NOTHING,
        column_config=heads,
        column_order=list(heads),
        on_select=open_row,
        selection_mode="single-row",
    )


def coverage(models: pd.DataFrame, slot: DeltaGenerator) -> None:
    """Which model was run on how much of which dataset, and why not."""
    address.heed_switch("absent", "unrun")
    with furniture.controls():
        everything = st.toggle(
            "Datasets that are not here too", key="absent", bind="query-params",
            help="Datasets of the registry that are not public, not fetched or not read yet.",
        )  # fmt: skip
        unrun = st.toggle(
            "Models without numbers too", key="unrun", bind="query-params",
            help="Models that were run on no dataset here. The table above has all models.",
        )  # fmt: skip
    with_numbers = models[models["n_datasets"] > 0]
    models = models if unrun or with_numbers.empty else with_numbers
    datasets = catalog.datasets()
    is_here = datasets["available"].fillna(False).astype(bool)
    datasets = datasets if everything else datasets[is_here]
    if datasets.empty:
        furniture.empty("No dataset is here", "Run: `python -m precompute fetch --dataset open-defects`")
        return
    pairs = tile_maps.grid(models, datasets[["dataset_id", "label"]])
    known = catalog.coverage().drop(columns=["label", "dataset_label"])
    cells = pairs.merge(known, on=["model_id", "dataset_id"])
    reasons = _reasons(cells, datasets.loc[is_here, "dataset_id"].tolist(), models)
    cells = cells.assign(mark=reasons.map(MARKS))
    n_cells = int((cells["n_configs"] > 0).sum())
    title = "Configurations with a result, by model and dataset"
    origin = furniture.provenance(
        "coverage",
        title,
        models["model_id"],
        Scope.of(*datasets["dataset_id"]),
        f"{int(cells['n_configs'].sum()):,} predictions",
    )
    columns = ["label", "dataset_label", "n_configs", "n_failed", "n_expected", "origin", "source", "why"]
    table = cells[[*columns, "model_id", "dataset_id"]]
    furniture.figure(
        lambda ink: tile_maps.coverage(cells, ink, title, origin.source_line()),
        table,
        origin,
        f"{title}: {n_cells} of {len(cells)} pairs have results; the table below says why the others have none.",
        key="coverage",
        slot=slot,
        on_select=_open_cell,
    )
    st.caption(
        "Click on a cell for its model's page. Numbers: configurations with a result; the dataset has those in "
        "brackets. † and italics: imported. Red frame: some failed; "
        f"{MARKS['cannot-run']} hatched: all failed. ○: {base.OUTSIDE}, the model was not made for any of the "
        f"configurations. Pale {MARKS['cannot-run']}: the model has no loader yet. "
        f"{MARKS['no-data']}: the dataset is not here. Pale and blank: can be run, but was not. The pointer and the "
        "table give the reason."
    )
    tables.view_data(table[columns], "coverage")


def _reasons(cells: pd.DataFrame, here: list[str], models: pd.DataFrame) -> pd.Series:
    """Key of `MARKS` for cells without a run."""
    runs = models.loc[models["runnable"].fillna(False).astype(bool), "model_id"]
    reasons = pd.Series("not-run", index=cells.index)
    reasons[~cells["model_id"].isin(runs)] = "cannot-run"
    reasons[~cells["dataset_id"].isin(here)] = "no-data"
    return reasons


def _open_cell() -> None:
    """Open the page of the clicked cell's model."""
    cell = furniture.clicked("coverage")
    if cell:
        st.query_params["id"] = cell[0]
