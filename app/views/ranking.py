"""Ranking: models over a union of chosen datasets, and the best model of each."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, furniture, links, selection, tables, wording
from app.figures import base, ranking_plots
from app.sections import best_models
from engine.numerics.comparison import alignment_of
from engine.numerics.metrics import MIN_CLUSTERS
from engine.quantities import METRICS, QUANTITIES
from engine.queries import catalog, unions
from engine.queries.scope import Scope
from engine.queries.unions import MEAN, POOLED, UnionRanking

RANKING, BEST = "ranking", "best of each"
_NAMES = {POOLED: "Pooled", MEAN: "Mean over datasets"}


def show() -> None:
    """The choice of datasets, and either the ranking over their union or the best model of each."""
    chosen = selection.selection()
    slot = furniture.header(
        "Ranking",
        "Which models are the best over the datasets that matter to you, and which of them cannot be told apart?",
    )
    dataset_ids = _union()
    address.heed("part", [RANKING, BEST], str.capitalize)
    with furniture.controls():
        part = st.segmented_control(
            "Show", [RANKING, BEST], default=RANKING, required=True, format_func=str.capitalize, key="part",
            bind="query-params", help="Ranking: over all chosen datasets together. Best of each: dataset by dataset.",
        )  # fmt: skip
        alignment = _alignment(dataset_ids, chosen.scope)
        how = _average() if part == RANKING and len(dataset_ids) > 1 else POOLED
    if not dataset_ids:
        furniture.empty("No dataset is chosen", "Choose at least one above, or take those of the paper.")
    elif part == BEST:
        best_models.best_part(dataset_ids, alignment, chosen, slot)
    else:
        _ranking(dataset_ids, alignment, how, chosen, slot)


# Choices


def _union() -> tuple[str, ...]:
    """The datasets of the address; by default those that the paper keeps."""
    options = _options()
    address.heed_many("union", options)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen = st.multiselect(
            "Union of datasets",
            options,
            default=list(unions.default_union()),
            key="union",
            bind="query-params",
            help="The default is the datasets that stand in for those of the paper's ranking, as far as models have "
            "results on all of them. The paper leaves out W-s, RANDSPG (Mg) and CrCoNi.",
        )
        st.button("As the paper", on_click=_choose, args=(unions.default_union(),), help="What the page begins with.")
        st.button("All", on_click=_choose, args=(tuple(options),), help="All datasets with numbers.")
    ruled = sorted(unions.ruled_by_few())
    if ruled:
        names = wording.listed(wording.dataset_label(name) for name in ruled)
        st.caption(
            f"Not chosen at first: {names}, where some models break down on a few cells that would rule the pool."
        )
    return tuple(name for name in options if name in chosen)


def _options() -> list[str]:
    datasets = catalog.datasets()
    return [str(name) for name in datasets.loc[datasets["n_models"] > 0, "dataset_id"]]


def _choose(dataset_ids: Sequence[str]) -> None:
    st.session_state["union"] = list(dataset_ids)


def _alignment(dataset_ids: tuple[str, ...], within: Scope) -> str:
    """How energies are compared; raw by default, as in the paper, where some models are comparable on every dataset."""
    crystals = bool(dataset_ids) and all(wording.has_crystal(name) for name in dataset_ids)
    options = ["raw", "per_element", *(["crystal"] if crystals else [])]
    begin = "raw"
    if dataset_ids and unions.union_ranking("raw", dataset_ids, "energy", within=within).ranked.empty:
        begin = "per_element"
    address.heed("zero", selection.ALIGNMENT_LABELS, selection.ALIGNMENT_LABELS.__getitem__)
    state = st.session_state
    if state.get("zero", begin) not in options or (state.get("zero") and state.get("zero_began", begin) != begin):
        state["zero"] = begin
    state["zero_began"] = begin
    return st.segmented_control(
        "Energies", options, default=begin, required=True,
        format_func=selection.ALIGNMENT_LABELS.__getitem__,
        key="zero", bind="query-params",
        help="The paper compares raw energies. Aligned removes the offset per element of each model on each dataset; "
        "Crystal counts from perfect crystals, where all chosen datasets have them.",
    )  # fmt: skip


def _average() -> str:
    address.heed("average", _NAMES, _NAMES.__getitem__)
    return st.segmented_control(
        "Average", [POOLED, MEAN], default=POOLED, required=True, format_func=_NAMES.__getitem__, key="average",
        bind="query-params", help="Pooled counts each configuration (energies) or force component alike, as the paper "
        "does, so that large datasets dominate. The mean over datasets counts each dataset alike.",
    )  # fmt: skip


# Ranking


def _ranking(
    dataset_ids: tuple[str, ...], alignment: str, how: str, chosen: selection.Selection, slot: DeltaGenerator
) -> None:
    found = {
        quantity: unions.union_ranking(
            alignment_of(quantity, alignment), dataset_ids, quantity, with_seen=chosen.with_seen, within=chosen.scope
        )
        for quantity in METRICS
    }
    _differs(found, dataset_ids)
    with st.container(horizontal=True, gap="medium"):
        for quantity, ranking in found.items():
            with st.container(width=500):
                # The chosen quantity is the one that the page's Export menu saves.
                _chart(ranking, chosen.scope, quantity, how, alignment, slot if quantity == chosen.quantity else None)
    st.caption(
        f"Red and hatched: trained on MPtrj alone. {base.IMPORTED_MARK} imported. Numbers at names: 95 % interval of "
        "the rank by a paired bootstrap over clusters of configurations. Models that cannot be told apart have the "
        "same "
        "first number. Lines: 95 % bounds."
        + (f" Diamonds: {ranking_plots.AVERAGES[MEAN if how == POOLED else POOLED]}." if len(dataset_ids) > 1 else "")
    )
    ranking = found[chosen.quantity]
    _datasets(ranking, chosen.quantity)
    _table(found, chosen, how)
    seen = ranking.models.loc[ranking.models["is_seen"], ["label", "is_seen", "seen_reason"]]
    furniture.captions(wording.seen_note(seen, with_seen=chosen.with_seen) if len(seen) else "")
    furniture.warn_of_leakage(dataset_ids)


def _differs(found: dict[str, UnionRanking], dataset_ids: tuple[str, ...]) -> None:
    """Cite the paper's figure and say which data and models differ."""
    energy, force = found["energy"], found["force"]
    counts = " and ".join(
        f"{len(ranking.ranked)} models on {ranking.n_configs:,} configurations ({quantity})"
        for quantity, ranking in (("energy", energy), ("force", force))
    )
    names = wording.listed(wording.dataset_label(name) for name in dataset_ids)
    furniture.rebuilds(
        "5",
        f"{names} {'stands' if len(dataset_ids) == 1 else 'stand'} in for the paper's ten datasets, of which MoNbTaW "
        "makes 69 % of the configurations. Here are "
        f"{counts} in place of 26 models. Ranks are intervals.",
    )


def _chart(
    ranking: UnionRanking, within: Scope, quantity: str, how: str, alignment: str, slot: DeltaGenerator | None
) -> None:
    ids = tuple(ranking.datasets["dataset_id"])
    if ranking.ranked.empty:
        furniture.empty(f"No ranking by {quantity}", _why_empty(ranking))
        return
    scope = within.on(*ids)
    words = f", {_words(alignment)}" if quantity == "energy" else ""
    column = QUANTITIES[METRICS[quantity].rmse]
    average = f", {ranking_plots.AVERAGES[how]}" if len(ids) > 1 else ""
    title = f"{column.label}{words}{average}: {_place(scope)}"
    origin = furniture.provenance(
        f"ranking-{quantity}", title, ranking.ranked["model_id"], scope, f"{ranking.n_configs:,} shared configurations"
    )
    furniture.figure(
        lambda ink: ranking_plots.ranking_bars(
            ranking.ranked, quantity, how, ink, title, origin.source_line(), with_other=len(ids) > 1
        ),
        _shown(ranking.models),
        origin,
        f"Bars of {title} for {len(ranking.ranked)} models; the table below holds the same numbers.",
        key=f"ranking-{quantity}",
        slot=slot,
    )


def _place(scope: Scope) -> str:
    """The datasets and what narrows them; their number where they are many."""
    many = ", ".join([f"{len(scope.dataset_ids)} datasets", *scope.restrictions()])
    return wording.place(scope) if len(scope.dataset_ids) < 3 else many


def _words(alignment: str) -> str:
    return {"raw": "raw", "per_element": "aligned", "crystal": "against the perfect crystal"}[alignment]


def _why_empty(ranking: UnionRanking) -> str:
    """Why no model can be ranked, and what to do."""
    counts = ranking.datasets[["label", "n_models"]].itertuples(index=False)
    each = ", ".join(f"{label}: {n} models" for label, n in counts)
    cause = ranking.models["cause"].mode()
    why = {
        "missing": "No model that may be ranked has results on all of the chosen datasets",
        "level": "Labels of models and datasets count from different zeros of energy; choose Aligned",
        "seen": f"All models were trained on some of these data; the switch “{wording.SEEN_SWITCH}” brings them in",
    }.get(cause.iloc[0] if len(cause) else "", "No model shares enough errors with the others")
    return f"{why} ({each}). Take a dataset out. Run more models: `python -m precompute run --model all`."


def _datasets(ranking: UnionRanking, quantity: str) -> None:
    """The share of each dataset, since the largest dominates the pooled error."""
    table = ranking.datasets
    if len(table) > 1 and table["share"].max() > 0:
        largest = table.loc[table["share"].idxmax()]
        what = "configurations" if quantity == "energy" else "force components"
        st.markdown(f"**{largest['label']}** makes {100 * largest['share']:.0f} % of the pooled {what}.")
    few = table[(table["n_configs"] > 0) & (table["n_clusters"] < MIN_CLUSTERS)]["label"]
    none = table[(table["n_configs"] == 0) & ranking.n_configs]["label"]
    levels = table["level_of_theory"].nunique()
    furniture.captions(
        f":material/warning: {levels} levels of theory are pooled. A model is not ranked where its labels mean "
        "something else than those of any of them." if levels > 1 else "",
        f":material/warning: Fewer than {MIN_CLUSTERS} independent clusters: {wording.listed(few)}. With them the mean "
        "over datasets cannot tell models apart." if len(few) and len(table) > 1 else "",
        f":material/warning: No such error: {wording.listed(none)}." if len(none) else "",
    )  # fmt: skip
    heads = {
        "label": st.column_config.TextColumn("Dataset", pinned=True),
        "n_configs": st.column_config.NumberColumn("Shared configurations", format="localized"),
        "n_expected": st.column_config.NumberColumn("Of", format="localized"),
        "share": st.column_config.NumberColumn("Share of the pool (%)", format="%.1f"),
        "n_models": st.column_config.NumberColumn("Models with results"),
        "level_of_theory": "Level of theory",
    }
    shown = table.assign(share=100 * table["share"])[[*list(heads)[:4], "n_clusters", *list(heads)[4:]]]
    label = f"Datasets: {ranking.n_configs:,} of {table['n_expected'].sum():,} configurations are shared"
    tables.view_data(shown, "union-datasets", heads, label=label)


def _shown(models: pd.DataFrame) -> pd.DataFrame:
    """The numbers for a file: without lists."""
    return models.assign(training_sets=models["training_sets"].map(" + ".join)).drop(columns="family")


def _table(found: dict[str, UnionRanking], chosen: selection.Selection, how: str) -> None:
    """Both averages and ranks of the chosen quantity; models without a rank come last, with the reason."""
    ranking, unit = found[chosen.quantity], QUANTITIES[METRICS[chosen.quantity].rmse].unit
    models = ranking.models.sort_values([f"{how}_rmse", "label"], na_position="last", ignore_index=True)
    if models.empty:
        return
    table = models.assign(
        label=[wording.marked(row.label, row.origin, row.is_seen) for row in models.itertuples()],
        training=models["training_sets"].map(" + ".join),
        reason=models["reason"].replace("", None),
        **{f"{name}_ranks": wording.intervals(models[f"{name}_rank"], models[f"{name}_rank_hi"]) for name in _NAMES},
        **{f"{name}_bounds": [wording.bounds(row, f"{name}_rmse") for _, row in models.iterrows()] for name in _NAMES},
    )
    heads = {"label": st.column_config.TextColumn("Model", width=220, pinned=True)}
    for name, words in _NAMES.items() if len(ranking.datasets) > 1 else [(POOLED, "RMSE")]:
        heads[f"{name}_ranks"] = st.column_config.TextColumn(f"# {words.lower()}" if words != "RMSE" else "#")
        heads[f"{name}_rmse"] = st.column_config.NumberColumn(f"{words} ({unit})", format="%.2f")
        heads[f"{name}_bounds"] = st.column_config.TextColumn("95 % bounds")
    heads |= {
        "n_own": st.column_config.NumberColumn("Results on the union", format="localized"),
        "n_failed": st.column_config.NumberColumn("Failed", format="localized"),
        "training": st.column_config.TextColumn("Training data"),
        "reason": st.column_config.TextColumn("Why no rank", width="large"),
    }
    st.subheader(f"All models by {chosen.quantity}", anchor=False)
    place = st.container(horizontal=True, vertical_alignment="center")
    row = tables.chosen_row(table[["model_id", *heads]], "union-models", heads, columns=list(heads))
    with place:
        links.model_link(row["model_id"])
        first = chosen.scope.on(ranking.datasets.iloc[0, 0])
        links.parity_link("Its errors, dataset by dataset", row["model_id"], first)
        st.caption("Choose a row for another model. The Export menu above has the table as CSV.")


show()
