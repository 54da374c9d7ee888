"""Energies and forces of all datasets on one axis each, and dataset by dataset."""

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import furniture, tables, wording
from app.figures import base, stacked_histograms
from engine.queries import distributions
from engine.queries.distributions import DatasetHistograms
from engine.queries.scope import Scope

_AXES = {"energy": "Reference energy (eV/atom)", "force": "Length of the reference force (eV/Å)"}
_NOUNS = {"energy": "configurations", "force": "atoms"}


def all_data_part(datasets: pd.DataFrame, within: Scope, slot: DeltaGenerator) -> None:
    """Both distributions, with the positive energies marked.

    Args:
        datasets: As `catalog.datasets` gives them.
        within: Conditions that configurations must fit.
        slot: Where the Export menu of the energies goes.
    """
    here = datasets[datasets["n_configs"] > 0]
    if here.empty:
        furniture.empty("No dataset is here", "Run: `python -m precompute fetch --dataset open-defects`")
        return
    far = set(distributions.far_datasets())
    ids = [name for name in here["dataset_id"] if name not in far]
    scopes = {"energy": within.on(*(ids or here["dataset_id"])), "force": within.on(*here["dataset_id"])}
    found = {kind: distributions.dataset_histograms(kind, scope) for kind, scope in scopes.items()}
    sets = "the dataset" if len(here) == 1 else f"the {len(here)} datasets"
    furniture.rebuilds(
        "1 (h, i)",
        f"{sets} here, with {here['n_configs'].sum():,} configurations and {here['n_atoms'].sum():,} atoms, stand in "
        "for the paper's 14 with 54,084 and 7,326,684. Tiles below the bars show each dataset by itself.",
    )
    own = set(here.loc[here["energy_reference"] == "own", "dataset_id"])
    with st.container(horizontal=True, gap="medium"):
        for kind, one in found.items():
            if one is not None:
                with st.container(width=500):
                    _chart(kind, one, scopes[kind], own, slot if kind == "energy" else None)
    names = wording.listed(wording.dataset_label(name) for name in far)
    words = within.restrictions()
    furniture.captions(
        f":material/filter_alt: Configurations that fit: {', '.join(words)}." if words else "",
        "Energies are absolute values of the sources, over their whole range. The box marks energies above zero. "
        "Counts are logarithmic: darker tiles hold more samples.",
        f"{base.OWN_MARK} counts energies from a zero of its own." if own & set(ids) else "",
        f":material/warning: Energies without these sets, which count all electrons: {names}." if far & set(ids) != far
        else "",
    )  # fmt: skip
    if found["energy"] is not None:
        _table(found)


def _label(dataset_id: str, own: set[str], kind: str) -> str:
    mark = f" {base.OWN_MARK}" if kind == "energy" and dataset_id in own else ""
    return f"{wording.dataset_label(dataset_id)}{mark}"


def _chart(kind: str, found: DatasetHistograms, scope: Scope, own: set[str], slot: DeltaGenerator | None) -> None:
    labels = [_label(name, own, kind) for name in found.dataset_ids]
    place = f"{len(labels)} datasets" if len(labels) > 1 else wording.dataset_label(found.dataset_ids[0])
    title = f"{'Energies' if kind == 'energy' else 'Forces'} of {place}"
    n = f"{int(found.totals.sum()):,} {_NOUNS[kind]}"
    origin = furniture.provenance(f"all-{kind}", title, [], scope.on(*found.dataset_ids), n)
    table = pd.DataFrame(found.counts.T, columns=list(found.dataset_ids))
    table.insert(0, "from", found.edges[:-1])
    table.insert(1, "to", found.edges[1:])
    furniture.figure(
        lambda ink: stacked_histograms.by_dataset(
            found, labels, _NOUNS[kind], _AXES[kind], ink, title, origin.source_line()
        ),
        table,
        origin,
        f"Histogram of {_AXES[kind]} of {len(labels)} datasets, together and one by one.",
        key=f"all-{kind}",
        slot=slot,
    )


def _table(found: dict[str, DatasetHistograms | None]) -> None:
    """Largest values and numbers above zero, dataset by dataset."""
    parts = []
    for kind, one in found.items():
        if one is not None:
            columns = {f"n_{kind}": one.totals, f"largest_{kind}": one.largest}
            columns |= {"n_positive": one.n_positive} if kind == "energy" else {}
            parts.append(pd.DataFrame(columns, index=list(one.dataset_ids)))
    table = pd.concat(parts, axis=1)
    table.insert(0, "dataset_label", [wording.dataset_label(str(name)) for name in table.index])
    whole = [name for name in table.columns if name.startswith("n_")]
    table = table.astype(dict.fromkeys(whole, "Int64"))
    number = st.column_config.NumberColumn
    heads = {
        "n_energy": number("Configurations with an energy", format="localized"),
        "largest_energy": number("Highest energy (eV/atom)", format="%.2f"),
        "n_positive": number("Energies above zero", format="localized"),
        "n_force": number("Atoms with a force", format="localized"),
        "largest_force": number("Largest force (eV/Å)", format="%.1f"),
    }
    order = table["n_positive"].fillna(-1).to_numpy(dtype=int)
    tables.view_data(table.iloc[np.argsort(-order, kind="stable")], "all", heads)
