"""Solutes: does a model know how strongly a defect attracts a solute?"""

import dataclasses
from collections.abc import Sequence

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, export, furniture, selection, tables, wording
from app.figures import interaction_plots
from app.sections import defect_gallery
from engine.numerics.comparison import UNRANKED
from engine.quantities import QUANTITIES, significant
from engine.queries import interactions
from engine.queries.scope import Scope
from engine.registry.interactions import SETS

ALL = interactions.ALL_INTERACTIONS
KINDS = {"system": "Host and solute", "environment": "Defect"}


def show() -> None:
    """Agreement in numbers, parity, how errors of the parts cancel, and the interactions one by one."""
    chosen = selection.selection()
    slot = furniture.header(
        "Solutes",
        "Does a model know how strongly a defect attracts a solute? An interaction energy is a difference of total "
        "energies, in which errors of a model may cancel or add up.",
    )
    furniture.say_unheeded(chosen.scope)
    address.heed("set", SETS)
    with furniture.controls():
        set_id = st.selectbox(
            "Interactions",
            list(SETS),
            key="set",
            bind="query-params",
            width=170,
        )
        known = interactions.interactions(set_id)
        kinds = {column: _kind(known, column, label, set_id) for column, label in KINDS.items()}
        is_shared = selection.comparison_switch()
    if known["reference_interaction"].isna().all():
        _not_here(known)
        defect_gallery.show(chosen)
        return
    agreement = interactions.interaction_agreement(set_id, **kinds, is_shared=is_shared, with_seen=chosen.with_seen)
    with_numbers = agreement[agreement["n_interactions"] > 0]
    shown = [name for name in (chosen.model_id, *chosen.compare) if name in set(with_numbers["model_id"])]
    if chosen.model_id in shown:
        _headline(with_numbers.set_index("model_id").loc[chosen.model_id])
    else:
        _not_run(chosen.model_id, known, agreement)
    if shown:
        energies = interactions.interaction_energies(set_id, tuple(shown), **kinds)
        _charts(energies, shown, known, set_id, slot)
    if len(with_numbers):
        _models(with_numbers, is_shared, chosen.with_seen)
    if shown:
        _systems(interactions.interaction_breakdown(set_id, tuple(shown), **kinds), len(shown) == 1)
        _list(energies[energies["model_id"] == shown[0]], shown[0])
    _definitions()
    defect_gallery.show(chosen)


def _kind(known: pd.DataFrame, column: str, label: str, set_id: str) -> str:
    """Choice of one system or kind of defect; its options belong to the set, and so does its key."""
    options = [ALL, *known[column].unique()]
    address.heed(f"{column}-{set_id}", options)
    choice: str = st.selectbox(label, options, key=f"{column}-{set_id}", bind="query-params", width=160)
    return choice


def _datasets(known: pd.DataFrame) -> list[str]:
    return sorted(set(known["dataset_id"]))


def _flags(known: pd.DataFrame) -> str:
    return " ".join(f"--dataset {dataset_id}" for dataset_id in _datasets(known))


def _not_here(known: pd.DataFrame) -> None:
    labels = " and ".join(wording.dataset_label(dataset_id) for dataset_id in _datasets(known))
    furniture.empty(
        "No reference values",
        f"The store lacks parts of every interaction energy of {labels}, of `{known['interaction_id'].iloc[0]}` for "
        "example. "
        f"Run `python -m precompute fetch {_flags(known)}` and then `python -m precompute build`.",
    )


def _not_run(model_id: str, known: pd.DataFrame, agreement: pd.DataFrame) -> None:
    """Empty state of a model without a complete interaction energy."""
    label = wording.model_labels()[model_id]
    row = agreement[agreement["model_id"] == model_id]
    failed = int(row["n_failed"].iloc[0]) if len(row) else 0
    others = agreement.loc[agreement["n_own"] > 0, "label"].tolist()
    listed = (
        f" Models with numbers: {', '.join(others[:6])}{' and others' if len(others) > 6 else ''}." if others else ""
    )
    why = (
        f"The model failed on a part of {failed:,} of them; its page lists the reasons."
        if failed
        else f"The model has not been run on all parts of any of them. Run `python -m precompute run --interactions "
        f"--model {model_id} {_flags(known)}`, which leaves out everything else of these datasets, and then "
        "`python -m precompute build`."
    )
    furniture.empty(f"No interaction energies of {label} here", why + listed)


def _headline(row: pd.Series) -> None:
    shown = tables.shown(row.to_frame().T.infer_objects()).iloc[0]
    baseline = significant(shown["sign_baseline"])
    values = [
        ("interaction_rmse", f"MAE {significant(shown['interaction_mae'])} meV"),
        ("interaction_bias", "predicted minus reference"),
        ("sign_agreement", f"attracts or repels like the reference; always the same answer: {baseline} %"),
        ("interaction_spearman", "of predicted and reference values"),
        ("cancellation", "median; below 1 errors cancel"),
    ]
    n = f", n = {row['n_interactions']:,}"
    numbers = [(QUANTITIES[name].title(), significant(shown[name]), below + n) for name, below in values]
    numbers[0] = (wording.seen_marked(numbers[0][0], row["is_seen"]), *numbers[0][1:])
    failed = f", {row['n_failed']:,} with a failed part" if row["n_failed"] else ""
    numbers.append(("Interactions", f"{row['n_interactions']:,}", f"of {row['n_expected']:,}{failed}"))
    furniture.numbers(numbers)


def _charts(
    energies: pd.DataFrame, shown: Sequence[str], known: pd.DataFrame, set_id: str, slot: DeltaGenerator
) -> None:
    systems = known["system"].unique().tolist()
    counts = energies.groupby("model_id").size()
    n = f"{counts.min():,}" if counts.nunique() == 1 else f"{counts.min():,} to {counts.max():,}"
    count = f"{n} of {len(known):,} interaction energies"
    table = energies.drop(columns="part_errors")

    title = f"Interaction energies: {SETS[set_id]}"
    origin = _provenance(title, shown, known, count)
    furniture.figure(
        lambda ink: interaction_plots.parity(energies, shown, systems, ink, title, origin.source_line()),
        table,
        origin,
        f"{title}; predicted against reference, one panel a model, n = {count}.",
        key="interaction-parity",
        slot=slot,
    )
    st.caption(
        "Dashed: a perfect model. Lines at zero: above and left of them, or below and right, the sign is wrong. "
        "All points of each model are shown."
    )
    title = "Do errors of total energies cancel in the interaction energy?"
    origin = _provenance(title, shown, known, count)
    furniture.figure(
        lambda ink: interaction_plots.cancellation(energies, shown, ink, title, origin.source_line()),
        table,
        origin,
        f"{title} Size of the error of each interaction energy against the root of the sum of squares of the errors "
        f"of its parts, n = {count}.",
        key="interaction-cancellation",
    )
    st.caption(
        "On the dashed line errors are as large as if those of the parts were independent; below it they cancel, above "
        f"it they add up. Errors below {interaction_plots.SMALLEST} meV are drawn there."
    )
    tables.view_data(tables.shown(table), "interactions")


def _provenance(title: str, shown: Sequence[str], known: pd.DataFrame, count: str) -> export.Provenance:
    """Origin of a figure; both datasets of a set come from one paper, which is cited once."""
    datasets = _datasets(known)
    origin = furniture.provenance("solutes", title, shown, Scope.of(*datasets), count)
    citations = {wording.citation(dataset_id) for dataset_id in datasets}
    return dataclasses.replace(origin, citation=citations.pop()) if len(citations) == 1 else origin


def _models(agreement: pd.DataFrame, is_shared: bool, with_seen: bool) -> None:
    st.subheader("Models", anchor=False)
    ranked = agreement[agreement["is_ranked"]]
    others = agreement[agreement["cause"] == "share"]
    if is_shared and len(ranked):
        n, n_expected = ranked["n_interactions"].iloc[0], ranked["n_expected"].iloc[0]
        st.markdown(
            f"Compared on the **{n:,} of {n_expected:,} interactions** that all {len(ranked)} ranked models have."
        )
    if is_shared and len(others):
        st.caption(
            f"Not ranked, since they share too few or failed on too many: {', '.join(others['label'])}. Their numbers "
            "are over their own interactions."
        )
    names = [
        "interaction_rmse",
        "interaction_mae",
        "interaction_bias",
        "sign_agreement",
        "sign_baseline",
        "interaction_spearman",
    ]
    table = tables.shown(agreement[["label", "origin", *names, "cancellation"]])
    table["label"] = [wording.marked(row.label, row.origin, row.is_seen, row.cause) for row in agreement.itertuples()]
    table["why_no_rank"] = agreement["cause"].map(UNRANKED).fillna("")
    table["n_of"] = [f"{row.n_interactions:,} of {row.n_expected:,}" for row in agreement.itertuples()]
    tables.table_view(table, "interaction-models", {"n_of": "Interactions"}, height="content")
    place = agreement.assign(dataset_label="these interactions", comparable=True)
    furniture.captions(wording.seen_note(agreement, with_seen=with_seen), wording.level_note(place))
    st.caption("Ranked models come first, by RMSE; how far their places can be trusted was not resampled here.")


def _systems(breakdown: pd.DataFrame, is_one_model: bool) -> None:
    """Agreement by system and kind of defect, of each shown model on all that it has."""
    st.subheader("By system and defect", anchor=False)
    names = ["interaction_rmse", "interaction_bias", "sign_agreement", "interaction_spearman", "cancellation"]
    columns = ["system", "environment", *([] if is_one_model else ["label"]), "n_interactions", *names]
    tables.table_view(tables.shown(breakdown[columns]), "interaction-systems", KINDS)


def _list(energies: pd.DataFrame, model_id: str) -> None:
    """Every interaction of one model, the largest error first, with a link to the cell with defect and solute."""
    label = wording.model_labels()[model_id]
    st.subheader(f"Interactions by error of {label}", anchor=False)
    order = energies["interaction_error"].abs().sort_values(ascending=False).index
    columns = ["system", "added", "environment", "place", "reference_interaction", "predicted_interaction"]
    columns += ["interaction_error", "part_error_rss", "part_error_sum", "cancellation", "config_id", "dataset_id"]
    tables.configuration_table(tables.shown(energies.loc[order, columns]), "interaction-list", model_id)


def _definitions() -> None:
    st.markdown(
        "**Definition.** E(int) = E(defect + solute) − E(defect) − [E(bulk + solute) − E(bulk)]; for several solutes "
        "the bracket is taken for each. Negative: the defect attracts. The atoms of each element balance, so the zero "
        "from which a model or a DFT set-up counts energies cancels exactly, and no alignment is needed. Models are "
        "evaluated at the geometries of the reference, which they do not relax.\n\n"
        "**Errors of the parts** are errors of total energies, times the coefficient, after the least-squares offset "
        "per element over all parts is removed. Their sum is the error of E(int), whatever the offsets are; how it is "
        "shared out among the parts, and so the ratio, depends on them.\n\n"
        "Which configurations make each energy: `engine/registry/interactions.csv`."
    )


show()
