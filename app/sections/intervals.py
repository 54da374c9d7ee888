"""Calibrated intervals of a model's error: how often they hold on what was left out, and on other datasets."""

import pandas as pd
import streamlit as st

from app import address, furniture, tables, wording
from app.figures import agreement_plots
from app.selection import Selection
from engine.queries import intervals
from engine.queries.intervals import NOMINAL, TOLERANCE
from engine.queries.scope import Scope
from engine.registry import kinds

_PLAIN = "none"
_UNITS = {"force": "meV/Å", "energy": "meV/atom"}


TITLE = "Intervals of the error, calibrated"


def show(ensembles: pd.DataFrame, ensemble_id: str, chosen: Selection) -> None:
    """Coverage of 90 % intervals by model on a dataset, and from one dataset to the next.

    Args:
        ensembles: Rows of `queries.agreement.ensembles_on` for the dataset.
        ensemble_id: That the page shows; intervals use its deviation unless another is chosen.
        chosen: The sidebar's choices.
    """
    st.markdown(
        "The size of a model's error is divided by the ensemble's standard deviation. Quantiles of that ratio over "
        f"configurations with references turn a new deviation into an interval that is to hold {100 * NOMINAL:.0f} % "
        "of errors (split-conformal). The calibration leaves out what it is tested on."
    )
    labels = dict(zip(ensembles["ensemble_id"], ensembles["label"], strict=True)) | {_PLAIN: "no deviation"}
    address.heed("by", labels, labels.__getitem__)
    first = ensemble_id if ensemble_id in labels else _PLAIN
    with furniture.controls():
        by = st.selectbox(
            "Normalised by", list(labels), index=list(labels).index(first), format_func=labels.__getitem__, key="by",
            bind="query-params", width=340,
        )  # fmt: skip
    own = "" if by == _PLAIN else by
    here = intervals.held_out(chosen.dataset_id, chosen.quantity, own)
    if here.empty:
        place = wording.dataset_label(chosen.dataset_id)
        furniture.empty(
            "No interval is calibrated here",
            f"{place} has fewer than 10 clusters, and fewer than 20 configurations of "
            "any kind, with errors of this quantity. Choose another dataset, quantity or deviation.",
        )
        return
    best = _here(here, own, labels[by], chosen)
    _elsewhere(own, labels[by], chosen, best)


def _here(here: pd.DataFrame, own: str, by_label: str, chosen: Selection) -> str:
    """Chart, words and table of the dataset; returns the model with the narrowest intervals."""
    labels = wording.model_labels()
    by_kind = intervals.by_kind(chosen.dataset_id, chosen.quantity, own).set_index("model_id")
    whole = here[here["kind"] == intervals.ALL].set_index("model_id")
    names = sorted({*whole.index, *by_kind.index})
    table = pd.DataFrame({"model_id": names, "label": [labels.get(name, name) for name in names]})
    is_cluster = whole["unit"].eq("cluster")
    for name in ("coverage", "held_out_lo", "held_out_hi"):
        table[name] = table["model_id"].map(whole.loc[is_cluster, name]).astype(float)
    table["by_kind"] = table["model_id"].map(by_kind["coverage"]).astype(float)
    of_configs = whole.loc[~is_cluster, "coverage_configs"]  # too few clusters: all kinds, further configurations
    table["by_kind"] = table["by_kind"].fillna(table["model_id"].map(of_configs).astype(float))
    table["by_config"] = table["model_id"].map(whole["coverage_configs"]).astype(float)
    for name in ("median_low", "median_high", "n_clusters", "n_configs"):
        table[name] = table["model_id"].map(whole[name]).astype(float)
    table = table.sort_values("median_high").reset_index(drop=True)
    place = wording.dataset_label(chosen.dataset_id)
    title = f"Held-out coverage of {100 * NOMINAL:.0f} % intervals: {chosen.quantity} errors on {place}"
    n = f"{int(table['n_configs'].max()):,} configurations, {int(table['n_clusters'].max()):,} clusters, by {by_label}"
    origin = furniture.provenance("uncertainty-coverage", title, names, Scope.of(chosen.dataset_id), n)
    furniture.figure(
        lambda ink: agreement_plots.coverages(table, NOMINAL, TOLERANCE, ink, title, origin.source_line()),
        table,
        origin,
        f"{title}; the band is within {100 * TOLERANCE:.0f} points of {100 * NOMINAL:.0f} %.",
        key="coverages",
    )
    st.markdown(words(table, wording.dataset_label(chosen.dataset_id)))
    _table(table, here, chosen)
    return str(table["model_id"].iloc[0])


def words(table: pd.DataFrame, place: str) -> str:
    """How many models hold what is promised, and which do not.

    Args:
        table: label, coverage on new clusters, by_kind and by_config, one row per model, shares.
        place: Name of the dataset.
    """
    sentences = []
    for column, what in (
        ("coverage", "new clusters (other cells and trajectories of the dataset)"),
        ("by_kind", "new configurations of the same trajectories, kind by kind where they are enough"),
    ):
        known = table[table[column].notna()]
        if known.empty:
            continue
        is_near = (known[column] - NOMINAL).abs() <= TOLERANCE + 1e-9
        low, high = 100 * known[column].min(), 100 * known[column].max()
        sentence = (
            f"On {what}, {100 * NOMINAL:.0f} % intervals hold {low:.1f} to {high:.1f} % of errors; "
            f"{int(is_near.sum())} of {len(known)} models are within {100 * TOLERANCE:.0f} points."
        )
        if not is_near.all():
            failing = known.loc[~is_near].sort_values(column)
            told = [f"{row.label} ({100 * getattr(row, column):.0f} %)" for row in failing.itertuples()]
            sentence += f" **They fail** for {wording.listed(told)}."
        sentences.append(sentence)
    uneven = table.loc[table["coverage"].notna(), "by_config"]
    if (uneven - NOMINAL).abs().max() > TOLERANCE:
        sentences.append(
            "Every cluster weighs the same there. Counted by configuration, the intervals of all kinds together hold "
            f"{100 * uneven.min():.0f} to {100 * uneven.max():.0f} %, since long trajectories err otherwise than many "
            "small clusters: where the kind is known, its own interval is the one to use."
        )
    if not table["coverage"].notna().any():
        sentences.append(f"{place} has fewer than 10 clusters, so nothing is promised of new ones.")
    return "\n\n".join(sentences)


def _table(table: pd.DataFrame, here: pd.DataFrame, chosen: Selection) -> None:
    unit = _UNITS[chosen.quantity]
    shown = pd.DataFrame(
        {
            "label": table["label"],
            "low": 1000 * table["median_low"],
            "high": 1000 * table["median_high"],
            "coverage": 100 * table["coverage"],
            "by_kind": 100 * table["by_kind"],
        }
    )
    heads = {
        "low": st.column_config.NumberColumn(f"Median interval from ({unit})", format="%.3g"),
        "high": st.column_config.NumberColumn(f"to ({unit})", format="%.3g"),
        "coverage": st.column_config.NumberColumn("Holds on new clusters (%)", format="%.1f"),
        "by_kind": st.column_config.NumberColumn("Holds on new configurations (%)", format="%.1f"),
    }
    tables.table_view(shown, "intervals", heads)
    rows = here[(here["kind"] != intervals.ALL) & (here["model_id"] == chosen.model_id)]
    if rows.empty:
        rows = here[(here["kind"] != intervals.ALL) & (here["model_id"] == table["model_id"].iloc[0])]
    if rows.empty:
        return
    label = wording.model_labels().get(rows["model_id"].iloc[0], rows["model_id"].iloc[0])
    st.markdown(f"**{label}, kind by kind**")
    by_kind = pd.DataFrame(
        {
            "kind": [kinds.label(kind) for kind in rows["kind"]], "unit": rows["unit"], "n_units": rows["n_units"],
            "low": 1000 * rows["median_low"], "high": 1000 * rows["median_high"],
            "by_kind": 100 * rows["coverage_configs"],
        }
    )  # fmt: skip
    heads |= {
        "kind": st.column_config.TextColumn("Kind"),
        "unit": st.column_config.TextColumn("Left out"),
        "n_units": st.column_config.NumberColumn("Of them"),
        "by_kind": st.column_config.NumberColumn("Holds on what was left out (%)", format="%.1f"),
    }
    tables.table_view(by_kind, "interval-kinds", heads, height="content")
    st.caption(
        "A kind with 10 clusters or more is tested on clusters that were left out. One with fewer, but 20 "
        "configurations or more, is tested on blocks of consecutive configurations: its interval is for further "
        "configurations of the same trajectories, and promises nothing of others."
    )


def _elsewhere(own: str, by_label: str, chosen: Selection, best: str) -> None:
    """From one dataset to the next, for the model of the sidebar or the best, and how often this fails for all."""
    found = intervals.transfer(chosen.quantity, own)
    away = found[found["from_dataset"] != found["to_dataset"]]
    if away.empty:
        return
    st.markdown("**On other datasets**")
    models = away["model_id"].unique()
    model_id = next((name for name in (chosen.model_id, best) if name in models), str(models[0]))
    mine = found[found["model_id"] == model_id]
    datasets = sorted(mine["from_dataset"].unique())
    grid = mine.pivot(index="from_dataset", columns="to_dataset", values="coverage").reindex(
        index=datasets, columns=datasets
    )
    label = wording.model_labels().get(model_id, model_id)
    title = f"Coverage of {100 * NOMINAL:.0f} % intervals out of their dataset: {label}, {chosen.quantity}"
    n = f"{len(datasets)} datasets, by {by_label}; the diagonal is what was left out"
    origin = furniture.provenance("uncertainty-elsewhere", title, [model_id], Scope.of(*datasets), n)
    table = mine.drop(columns="model_id").assign(coverage=100 * mine["coverage"])
    furniture.figure(
        lambda ink: agreement_plots.transfer_map(
            grid.to_numpy(dtype=float), [wording.dataset_label(name) for name in datasets], NOMINAL, ink, title,
            origin.source_line(),
        ),
        table,
        origin,
        f"{title}: share of errors inside the interval, calibrated on the row and tested on the column.",
        key="transfer",
    )  # fmt: skip
    st.markdown(transfer_words(label, mine[mine["from_dataset"] != mine["to_dataset"]], away, len(models)))
    tables.view_data(table, "transfer")


def transfer_words(label: str, mine: pd.DataFrame, away: pd.DataFrame, n_models: int) -> str:
    """What becomes of the promise on another dataset.

    Args:
        label: Of the model.
        mine: Its rows of `queries.intervals.transfer` from one dataset to another.
        away: Those of all models.
        n_models: How many these are.
    """
    near = (mine["coverage"] - NOMINAL).abs() <= TOLERANCE
    low = mine["coverage"] < NOMINAL - TOLERANCE
    worst = mine.sort_values("coverage").iloc[0]
    sentences = [
        f"Calibrated on one dataset and tested on another, the {100 * NOMINAL:.0f} % intervals of {label} are within "
        f"{100 * TOLERANCE:.0f} points in {int(near.sum())} of {len(mine)} pairs."
    ]
    if low.any():
        sentences.append(
            f"**They fail** in {int(low.sum())}, where they hold too few errors; at worst "
            f"{100 * worst['coverage']:.0f} % in place of {100 * NOMINAL:.0f} % ({_pair(worst)})."
        )
    if n_models > 1:
        share = (away["coverage"] < NOMINAL - TOLERANCE).mean()
        sentences.append(f"Over {n_models} models, {100 * share:.0f} % of {len(away)} pairs hold too few.")
    sentences.append("So an interval counts for the elements and kinds that it was calibrated on, and for no others.")
    return " ".join(sentences)


def _pair(row: pd.Series) -> str:
    return f"from {wording.dataset_label(row['from_dataset'])} to {wording.dataset_label(row['to_dataset'])}"
