"""Data & methods: definitions, reference data, provenance, failures and downloads."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app import address, export, furniture, selection, tables, wording
from engine.quantities import ALIGNMENTS
from engine.queries import catalog, error_metrics
from engine.store import connection

DEFINITIONS = """
- **Reference** is the DFT value that comes with a dataset. It has errors of its own. Errors are predicted minus
  reference.
- **Energy RMSE** (meV/atom): root mean square over configurations of (E<sub>pred</sub> − E<sub>ref</sub>) /
  N.
- **Force RMSE** (meV/Å): root mean square over all Cartesian components of all atoms.
- **Aligned**: the least-squares energy offset per element of that model on that dataset is removed first. DFT
  set-ups differ in these offsets (pseudopotentials, functional), so that a raw energy error can be one of
  reference alone.
- **Aligned errors are leave-one-out**: a configuration is judged by the offsets that all others give. There is none
  where the others do not fix the offsets.
- **Relative to the perfect crystal**: model and reference both count energies from their own perfect crystals of the
  same elements, where a dataset has them. No offset is fitted, so a systematic error of defects stays visible.
- **95 % bounds**: Student's t on the logarithm of the RMSE over clusters of configurations that are not independent
  (one metal, or one cell and trajectory). There are none for fewer than six clusters. In simulations the bounds cover
  78 to 94 %, less than 95 %, where a few clusters dominate the error; `python -m benchmarks.coverage` shows it.
- **Ranks** are intervals by a paired bootstrap over clusters; models that cannot be told apart share a rank.
- **Slope of forces**: least squares through the origin, predicted against reference; below 1 the model is too
  soft.
- **dev(E)**, **dev(F)**: largest distance of a member of an ensemble from its mean, per atom; for forces the
  norm of the vector.
- **Cost** (ms per atom and step): energy and forces of one configuration, warm, divided by the number of
  atoms.
- **Shared configurations**: models may have been run on different parts of a dataset, such as a sample. Rankings run
  over the configurations for which every ranked model has a result; offsets and bounds are those of these
  configurations. A model that failed on more than a tenth, or leaves fewer than about 90 shared ones, is not ranked.
- **§ trained on this**: training data of the model hold configurations of the dataset, certainly or likely. Its errors
  there are no test of it, so headlines, rankings and Pareto fronts leave it out. The configurations that models share
  do not depend on it. The switch at the left brings it in. The registry says which training sets hold which groups.
- **Missing** means not run, **failed** means run without a result, and **out of scope** means that the configuration
  has elements that the model was not made for. None of them is zero; all are counted.
"""


def show() -> None:
    """Everything that is needed to judge and to repeat the numbers."""
    furniture.header("Data & methods", "What the numbers mean, where they come from, and what is missing.")
    furniture.say_unheeded(selection.selection().scope)
    parts = {
        "Definitions": _definitions,
        "Datasets": _datasets,
        "Provenance": _runs,
        "Failures": _failures,
        "Paper": _paper,
        "Downloads": _downloads,
    }
    address.heed("chapter", list(parts))
    tabs = st.tabs(list(parts), key="chapter", on_change="rerun", bind="query-params")
    for tab, draw in zip(tabs, parts.values(), strict=True):
        if tab.open:
            with tab:
                draw()


def _definitions() -> None:
    st.markdown(DEFINITIONS, unsafe_allow_html=True)


def _table(table: pd.DataFrame, key: str, heads: Mapping[str, Any], nothing: str) -> None:
    if table.empty:
        furniture.empty("Nothing here", nothing)
        return
    tables.table_view(table, key, heads, height="content" if len(table) < 40 else 600)


def _datasets() -> None:
    table = catalog.datasets()
    is_here = table["available"].fillna(False).astype(bool)
    table = table.assign(
        elements=table["elements"].map(", ".join),
        n_configs=table["n_configs"].where(is_here),
        n_atoms=table["n_atoms"].where(is_here),
        leakage=[wording.seen_in_training(row) for _, row in table.iterrows()],
        status=table["reason"].fillna("not available").where(~is_here, "available"),
    )
    heads = {
        "label": st.column_config.TextColumn("Dataset", width=190, pinned=True),
        "dataset_id": st.column_config.TextColumn("Id", width=140),
        "status": "Status",
        "n_models": "Models with numbers",
        "n_configs": st.column_config.NumberColumn("Configurations", format="localized"),
        "n_atoms": st.column_config.NumberColumn("Atoms", format="localized"),
        "elements": "Elements",
        "functional": "Functional",
        "code": "Code",
        "potentials": st.column_config.TextColumn("Potentials and settings", width="medium"),
        "energy_reference": "Energy reference",
        "comparable": st.column_config.CheckboxColumn(
            "Raw energies comparable", help="With models of the Materials Project's energy reference."
        ),
        "comparable_note": st.column_config.TextColumn("Why, or why not", width="medium"),
        "leakage": st.column_config.TextColumn("Seen in training by", width="medium"),
        "license": "Licence",
        "paper_row": "Row of Table 2",
        "stands_in_for": "Stands in for",
        "source": "Source",
        "citation": "Citation",
        "description": "Description",
    }
    _table(table[list(heads)], "datasets", heads, "The registry of datasets is empty.")


def _runs() -> None:
    table = catalog.runs()
    table = table.assign(source=[wording.source_name(source, link=False) for source in table["source"]])
    heads = {
        "model_id": st.column_config.TextColumn("Model", pinned=True),
        "dataset_id": "Dataset",
        "origin": "Origin",
        "source": "Source",
        "n_configs": "Configurations",
        "n_failed": "Failed",
        "note": st.column_config.TextColumn("What is inferred", width="medium"),
        "device": "Device",
        "hardware": "Hardware",
        "n_threads": "Threads",
        "dtype": "Precision",
        "d3": "D3 in training",
        "options": "Options",
        "packages": "Packages",
        "started_at": st.column_config.DatetimeColumn("Started", format="YYYY-MM-DD HH:mm"),
        "wall_seconds": st.column_config.NumberColumn("Wall time (s)", format="%.0f"),
        "checkpoint_sha256": "Checkpoint, SHA-256",
        "run_id": "Run",
    }
    _table(table[list(heads)], "runs", heads, "No run is in this build.")


def _failures() -> None:
    table = catalog.failures()
    if len(table):
        counts = table.groupby(["dataset_id", "model_id", "reason"], dropna=False).size().rename("n_failed")
        st.caption("By reason")
        _table(counts.reset_index().sort_values("n_failed", ascending=False), "failure-counts", {}, "")
        st.caption("By configuration")
    _table(table, "failures", {}, "No configuration has failed in this build.")


def _paper() -> None:
    """The way to the statements, which have a page of their own."""
    st.markdown(
        "The page Claims has the paper's statements, measured again on this build. It says which numbers disagree, "
        "which "
        "agree, and which cannot be tested and why. It also lists where the paper contradicts itself."
    )
    st.page_link("views/claims.py", label="Open Claims", icon=":material/fact_check:")


def _csv(read: Callable[[], pd.DataFrame]) -> bytes:
    return str(read().to_csv(index=False)).encode()


def _downloads() -> None:
    info = catalog.store_info()
    path = connection.store_path()
    st.markdown(
        f"Everything that the app shows comes from one DuckDB file, `{path.name}` "
        f"({path.stat().st_size / 1e6:,.0f} MB), version `{info.data_version}`. It is in the data folder of "
        "the server; "
        "`duckdb.connect(path, read_only=True)` opens it."
    )
    contents: dict[str, Callable[[], pd.DataFrame]] = {
        "dataset_metrics": lambda: pd.concat(map(error_metrics.dataset_metrics, ALIGNMENTS)),
        "models": catalog.models,
        "datasets": catalog.datasets,
        "runs": catalog.runs,
        "coverage": catalog.coverage,
    }
    with st.container(horizontal=True):
        for name, read in contents.items():
            export.download(f"{name}.csv", partial(_csv, read), f"{name}_{info.data_version}.csv", width="content")


show()
