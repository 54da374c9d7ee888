"""How well an ensemble's deviation agrees with its error: ranks, detection, size, and which ensemble does best."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app import address, furniture, tables, wording
from app.figures import agreement_plots
from app.selection import Selection
from engine.queries import agreement
from engine.queries.agreement import MEASURES
from engine.queries.scope import Scope
from engine.registry import kinds

MEASURE_WORDS = {"maximum": "Maximum", "standard": "Standard deviation", "weighted": "U"}
_SAMPLES = {
    "energy": {"energy_aligned": "Aligned", "energy": "As the ensemble counts them"},
    "force": {"force": "Atoms", "force_worst": "Configurations, by their worst atom"},
}
_FIRST_THRESHOLD = {"force": 0.1, "force_worst": 0.3, "energy": 0.01, "energy_aligned": 0.01}
CHOSEN = "chosen"
TITLE = "Does it rank errors, and does it have their size?"


@dataclass(frozen=True)
class Choice:
    """What the section shows.

    Attributes:
        quantity: One of `queries.agreement.QUANTITIES`.
        measure: One of `MEASURES`.
        threshold: Errors above it are to be told from smaller ones, eV/Å or eV/atom.
    """

    quantity: str
    measure: str
    threshold: float

    @property
    def unit(self) -> str:
        """Of what is shown."""
        return "meV/Å" if self.quantity.startswith("force") else "meV/atom"

    @property
    def noun(self) -> str:
        """What a sample is, in the plural."""
        return "atoms" if self.quantity == "force" else "configurations"


def parameters(quantity: str) -> tuple[str, ...]:
    """Parameters of the address that `controls` has for `energy` or `force`."""
    return (f"samples-{quantity}", "measure", *(f"above-{name}" for name in _SAMPLES[quantity]))


def controls(chosen: Selection) -> Choice:
    """The section's widgets; samples, measure and limit stand in the address."""
    samples = _SAMPLES[chosen.quantity]
    key = f"samples-{chosen.quantity}"
    address.heed(key, samples, samples.__getitem__)
    address.heed("measure", MEASURES, MEASURE_WORDS.__getitem__)
    with furniture.controls():
        quantity = st.segmented_control(
            "Samples", list(samples), default=next(iter(samples)), required=True, format_func=samples.__getitem__,
            key=key, bind="query-params",
        )  # fmt: skip
        measure = st.segmented_control(
            "Measure", list(MEASURES), default="standard", required=True, format_func=MEASURE_WORDS.__getitem__,
            key="measure", bind="query-params",
        )  # fmt: skip
        limits = [f"{1000 * value:g}" for value in agreement.thresholds(quantity)] or ["100"]
        first = f"{1000 * _FIRST_THRESHOLD[quantity]:g}"
        above = f"above-{quantity}"
        address.heed(above, limits)
        threshold = st.selectbox(
            f"A large error is above ({'meV/Å' if chosen.quantity == 'force' else 'meV/atom'})", limits,
            index=limits.index(first) if first in limits else 0, key=above, bind="query-params", width=220,
        )  # fmt: skip
    return Choice(quantity, measure, float(threshold) / 1000)


def show(ensemble: pd.Series, chosen: Selection) -> None:
    """Numbers, curves and tables of one ensemble on the dataset, and all ensembles beside it.

    Args:
        ensemble: Row of `queries.agreement.ensembles_on`, or `CHOSEN` with `model_ids`, and `label`.
        chosen: The sidebar's choices.
    """
    furniture.say_unheeded(chosen.scope, "This and the intervals are of the whole dataset and do not heed")
    choice = controls(chosen)
    is_chosen = ensemble["ensemble_id"] == CHOSEN
    models = tuple(ensemble["model_ids"])
    everything = agreement.measures(chosen.dataset_id, choice.quantity, choice.threshold)
    if is_chosen:
        table = agreement.chosen_measures(models, chosen.dataset_id, choice.quantity, choice.threshold)
    else:
        table = everything[everything["ensemble_id"] == ensemble["ensemble_id"]]
    if table.empty:
        furniture.empty(
            "No agreement to measure",
            f"{ensemble['label']} has no errors of this quantity on {wording.dataset_label(chosen.dataset_id)}; choose "
            "the other quantity at the left, or another ensemble.",
        )
        return
    row = table[(table["kind"] == "all") & (table["measure"] == choice.measure)].iloc[0]
    _numbers(row, choice)
    if is_chosen:
        found = agreement.chosen_curves(models, chosen.dataset_id, choice.quantity, choice.measure)
    else:
        known = agreement.curves(ensemble["ensemble_id"], chosen.dataset_id, choice.quantity, choice.measure)
        found = known or {}
    if found:
        _curves(found, ensemble, choice, chosen, row)
    _verdict(row, choice)
    _by_kind(table, choice)
    _comparison(everything, choice, chosen)


def _numbers(row: pd.Series, choice: Choice) -> None:
    limit = f"{1000 * choice.threshold:g} {choice.unit}"
    values = [
        ("Spearman ρ", f"{row['spearman']:.3f}", _between(row, "spearman")),
        (f"AUROC of errors above {limit}", _share(row["auroc"], 3), _between(row, "auroc")),
        (f"Error below the {_word(choice)}", _percent(row["coverage"]), _percents(row, "coverage")),
        ("RMS deviation", f"{1000 * row['sharpness']:.3g} {choice.unit}", f"RMS error {1000 * row['rms_error']:.3g}"),
        ("Samples", f"{int(row['n_samples']):,}", f"{choice.noun}, {int(row['n_clusters'])} clusters"),
    ]
    furniture.numbers(values)


def _curves(
    found: Mapping[str, NDArray[np.float64]], ensemble: pd.Series, choice: Choice, chosen: Selection, row: pd.Series
) -> None:
    word = _word(choice)
    title = f"Reliability and rejection: {ensemble['label']}"
    n = f"{int(row['n_samples']):,} {choice.noun}"
    models, scope = list(ensemble["model_ids"]), Scope.of(chosen.dataset_id)
    origin = furniture.provenance("uncertainty-size", title, models, scope, n)
    axes = (
        f"RMS {word if choice.measure == 'weighted' else word.lower()} ({choice.unit})",
        f"RMS error ({choice.unit})",
    )
    table = pd.DataFrame({name: pd.Series(1000 * values) for name, values in found.items() if name != "kept"})
    table.insert(2, "left_out_percent", pd.Series(100 * (1 - found["kept"])))
    furniture.figure(
        lambda ink: agreement_plots.size_and_use(found, axes, 1000.0, ink, title, origin.source_line()),
        table,
        origin,
        f"{title}. Left: RMS error of bins of rising deviation; right: RMS error when samples are left out.",
        key="size-and-use",
    )
    tables.view_data(table, "size-and-use")


def _verdict(row: pd.Series, choice: Choice) -> None:
    """What the numbers mean, in words."""
    ratio = row["rms_error"] / row["sharpness"] if row["sharpness"] else float("nan")
    size = (
        f"has about the size of the error ({ratio:.2g} times)"
        if 0.8 <= ratio <= 1.25
        else f"is {'smaller' if ratio > 1 else 'larger'} than the error, which is {ratio:.2g} times as large"
    )
    rank = "ranks errors well" if row["spearman"] >= 0.8 else "ranks errors in part"
    rank = "hardly ranks errors" if row["spearman"] < 0.4 else rank
    below = _percent(row["coverage"])
    st.markdown(
        f"The {_word(choice)} {rank} (ρ = {row['spearman']:.2f}) and {size}: {below} of errors are below it. "
        "It is no bound of the error; the calibrated intervals below are."
    )


def _by_kind(table: pd.DataFrame, choice: Choice) -> None:
    here = table[table["measure"] == choice.measure]
    if len(here) < 2:
        return
    st.markdown("**By kind of structure**")
    tables.table_view(
        _shown(here, choice).drop(columns="relation", errors="ignore"),
        "agreement-kinds",
        _heads(choice),
        height="content",
    )


def _comparison(everything: pd.DataFrame, choice: Choice, chosen: Selection) -> None:
    here = everything[(everything["kind"] == "all") & (everything["measure"] == choice.measure)]
    known = agreement.ensembles_on(chosen.dataset_id).set_index("ensemble_id")
    if len(here) < 2:
        return
    st.markdown("**Models of one family, and of several**")
    named = here.assign(
        label=here["ensemble_id"].map(known["label"]),
        relation=here["ensemble_id"].map(known["relation"]),
        n_members=here["ensemble_id"].map(known["model_ids"].map(len)),
    ).sort_values("spearman", ascending=False)
    shown = _shown(named, choice).drop(columns="kind")
    first = ["label", "relation", "n_members"]
    tables.table_view(
        pd.concat([named[first].reset_index(drop=True), shown.reset_index(drop=True)], axis=1), "agreement-ensembles",
        _heads(choice), height="content",
    )  # fmt: skip
    st.caption(
        "Members of one family make the same errors, so they agree where all are wrong: their deviation is smaller "
        "than the error more often than that of several families."
    )


def _shown(table: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    """Rows in display units, with bounds in words."""
    return pd.DataFrame(
        {
            "kind": [kinds.label(kind) for kind in table["kind"]],
            "n_samples": table["n_samples"].to_numpy(),
            "n_clusters": table["n_clusters"].to_numpy(),
            "rho_text": [_with_bounds(row, "spearman") for _, row in table.iterrows()],
            "auroc_text": [_with_bounds(row, "auroc") for _, row in table.iterrows()],
            "share_above": 100 * table["share_above"].to_numpy(dtype=float),
            "coverage": 100 * table["coverage"].to_numpy(dtype=float),
            "sharpness": 1000 * table["sharpness"].to_numpy(dtype=float),
            "rms_error": 1000 * table["rms_error"].to_numpy(dtype=float),
        }
    )


def _heads(choice: Choice) -> dict[str, object]:
    limit = f"{1000 * choice.threshold:g} {choice.unit}"
    return {
        "label": st.column_config.TextColumn("Ensemble"),
        "relation": st.column_config.TextColumn("Members are of"),
        "n_members": st.column_config.NumberColumn("Members"),
        "kind": st.column_config.TextColumn("Kind"),
        "n_samples": st.column_config.NumberColumn(choice.noun.capitalize()),
        "n_clusters": st.column_config.NumberColumn("Clusters"),
        "rho_text": st.column_config.TextColumn("ρ (95 %)"),
        "auroc_text": st.column_config.TextColumn(f"AUROC above {limit} (95 %)"),
        "share_above": st.column_config.NumberColumn(f"Errors above {limit} (%)", format="%.1f"),
        "coverage": st.column_config.NumberColumn("Errors below deviation (%)", format="%.0f"),
        "sharpness": st.column_config.NumberColumn(f"RMS deviation ({choice.unit})", format="%.3g"),
        "rms_error": st.column_config.NumberColumn(f"RMS error ({choice.unit})", format="%.3g"),
    }


def _word(choice: Choice) -> str:
    """The measure inside a sentence."""
    return {"maximum": "maximum deviation", "standard": "standard deviation", "weighted": "U"}[choice.measure]


def _with_bounds(row: pd.Series, name: str) -> str:
    bounds = _between(row, name)
    return _share(row[name], 2) + (f" ({bounds})" if bounds else "")


def _between(row: pd.Series, name: str) -> str:
    low, high = row[f"{name}_lo"], row[f"{name}_hi"]
    return "" if pd.isna(low) else f"{low:.2f} to {high:.2f}"


def _percents(row: pd.Series, name: str) -> str:
    low, high = row[f"{name}_lo"], row[f"{name}_hi"]
    return "" if pd.isna(low) else f"{100 * low:.0f} to {100 * high:.0f} %"


def _percent(value: float) -> str:
    return wording.NOTHING if pd.isna(value) else f"{100 * value:.0f} %"


def _share(value: float, digits: int) -> str:
    return wording.NOTHING if pd.isna(value) else f"{value:.{digits}f}"
