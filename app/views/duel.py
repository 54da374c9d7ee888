"""Duel: two models on the same configurations, and the atoms of one of them side by side."""

from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, furniture, selection, tables, wording
from app.figures import duel_plots
from app.sections import duel_structures
from engine.numerics.duels import Duel
from engine.quantities import ALIGNMENTS, METRICS, QUANTITIES, significant
from engine.queries import catalog, duels, error_metrics
from engine.queries.scope import Scope

Names = tuple[str, str]


def show() -> None:
    """Numbers first, then who wins where, error against error, and one configuration in two viewers."""
    chosen = selection.selection()
    top = st.container()
    with furniture.controls():
        second = _opponent(chosen)
        alignment = selection.alignment_switch() if chosen.quantity == "energy" else "raw"
    labels = wording.model_labels()
    if second is None:
        with top:
            furniture.header("Duel", "Which of two models is better on the same configurations?")
        furniture.not_run(chosen)
        return
    ids, names = (chosen.model_id, second), (labels[chosen.model_id], labels[second])
    with top:
        slot = furniture.header(
            f"Duel: {names[0]} against {names[1]}",
            "Which of two models is better on the same configurations, and does the cheaper one do?",
        )
    found = duels.overall(*ids, chosen.scope, chosen.quantity, alignment)
    if found is None:
        furniture.empty(
            f"{names[0]} and {names[1]} share no {chosen.quantity} errors on {wording.place(chosen.scope)}",
            "Choose another opponent above, another dataset at the left, or remove a condition.",
        )
        return
    costs = duels.costs_together(*ids)
    _headline(found, names, chosen.quantity, costs)
    _notes(chosen, ids, alignment)
    kinds = duels.by_kind(*ids, chosen.scope, chosen.quantity, alignment)
    datasets = duels.by_dataset(*ids, chosen.scope, chosen.quantity, alignment)
    _cheaper(found, kinds, datasets, names, costs)
    _rates(chosen, alignment, ids, names, kinds, datasets, slot)
    duel_structures.show(chosen, ids, names, alignment)


def _opponent(chosen: selection.Selection) -> str | None:
    """The second model; its options change with model and dataset, so the address is kept by hand."""
    known = catalog.models()["model_id"].tolist()
    options = duels.opponents(chosen.model_id, chosen.scope, chosen.quantity)
    begin = duels.default_opponent(chosen.model_id, chosen.scope, chosen.quantity)
    asked = address.begin_with("against", options["model_id"], known, [begin] if begin else [])
    refused = [name for name in st.query_params.get_all("against") if name not in set(options["model_id"])]
    if not asked or begin is None:
        return None
    labels = wording.model_labels()
    ids = options["model_id"].tolist()
    shared = dict(zip(ids, options["n_shared"], strict=True))
    second: str = st.selectbox(
        "Against", ids, index=ids.index(asked[0]), width=340,
        format_func=lambda name: f"{labels[name]} ({shared[name]:,} shared)",
        key=f"against-{chosen.model_id}-{chosen.scope.describe()}-{chosen.quantity}",
        help="Models with results for configurations that the model at the left has results for too. It begins with "
        "the best of those that take less than half its time, where any was timed together with it.",
    )  # fmt: skip
    for name in refused:
        st.caption(f":material/warning: {labels[name]} shares nothing with {labels[chosen.model_id]} here.")
    address.keep("against", [second], [begin])
    return second


def _headline(found: Duel, names: Names, quantity: str, costs: pd.DataFrame) -> None:
    unit = QUANTITIES[METRICS[quantity].rmse].unit
    n = f"n = {found.n_configs:,} in {found.n_clusters} clusters"
    few = f"{found.n_clusters} clusters, too few for bounds"
    has_bounds = pd.notna(found.difference_lo)
    difference = (
        f"95 %: {significant(found.difference_lo)} to {significant(found.difference_hi)}" if has_bounds else few
    )
    rate = f"95 %: {found.win_rate_lo:.0%} to {found.win_rate_hi:.0%}" if has_bounds else few
    values = [
        (f"RMSE of {names[0]} ({unit})", significant(found.rmse_first), n),
        (f"RMSE of {names[1]} ({unit})", significant(found.rmse_second), n),
        (f"Difference of RMSEs ({unit})", significant(found.difference), difference),
        (f"{names[0]} has the smaller error", f"{found.win_rate:.0%}", rate),
    ]
    if len(costs):
        row = costs.iloc[0]
        ratio = row["us_first"] / row["us_second"]
        below = f"{row['device'].upper()}, {row['n_atoms']} atoms, one occasion"
        values.append((f"Time of {names[0]} over {names[1]}", f"{significant(ratio)} ×", below))
    furniture.numbers(values)


def _notes(chosen: selection.Selection, ids: tuple[str, str], alignment: str) -> None:
    """What must be known of the two models before the numbers are believed."""
    is_raw = chosen.quantity == "energy" and alignment == "raw"
    metrics = error_metrics.dataset_metrics(alignment, chosen.scope, quantity=chosen.quantity)
    rows = wording.judged(metrics[metrics["model_id"].isin(ids)], is_raw=is_raw)
    furniture.captions(
        "Both models are compared on the configurations that both predicted. Errors that differ by no more than "
        f"{duels.LEAST:g} {QUANTITIES[METRICS[chosen.quantity].rmse].unit} count as equal, and equal ones count half. "
        "Bounds: bootstrap over clusters of configurations, with the same draws for both models.",
        wording.energy_meaning(alignment) if chosen.quantity == "energy" else "",
        wording.one_composition_note(chosen.dataset_id, alignment) if chosen.quantity == "energy" else "",
        wording.why_not(rows),
        wording.seen_note(rows),
        wording.level_note(rows),
    )


def _cheaper(found: Duel, kinds: pd.DataFrame, datasets: pd.DataFrame, names: Names, costs: pd.DataFrame) -> None:
    """Where the model that costs less time has the smaller error; said with its certainty."""
    if costs.empty:
        st.markdown(
            f"**Cost:** no timing. {names[0]} and {names[1]} were not timed together on one occasion, so none is "
            "called the cheaper one."
        )
        return
    row = costs.iloc[0]
    is_first = bool(row["us_first"] < row["us_second"])
    cheap, dear = names if is_first else names[::-1]
    times = sorted((row["us_first"], row["us_second"]))
    head = (
        f"**{cheap} is the cheaper one:** {significant(times[0] / 1000)} against {significant(times[1] / 1000)} ms per "
        f"atom and step ({row['device'].upper()}, {row['n_threads']} thread{'s' * int(row['n_threads'] != 1)}, "
        f"{row['n_atoms']} atoms, timed on one occasion)."
    )
    parts = [
        _places(table, column, is_first=is_first)
        for table, column in ((kinds, "kind_label"), (datasets, "dataset_label"))
    ]
    sure, likely = ([name for part in parts for name in part[k]] for k in (0, 1))
    sentences = [
        f"It wins beyond doubt on {wording.listed(sure)}."
        if sure
        else f"Nowhere does it win beyond doubt over {dear}.",
        f"It wins more often than not, within the bounds of chance, on {wording.listed(likely)}." if likely else "",
    ]
    share = found.win_rate if is_first else 1.0 - found.win_rate
    st.markdown(" ".join([head, f"It has the smaller error on {share:.0%} of the configurations.", *sentences]))


def _places(table: pd.DataFrame, column: str, *, is_first: bool) -> tuple[list[str], list[str]]:
    """Parts that one model wins beyond doubt, and those that it wins within the bounds of chance."""
    rate = table["win_rate"] if is_first else 1.0 - table["win_rate"]
    low = table["win_rate_lo"] if is_first else 1.0 - table["win_rate_hi"]
    is_sure = low > 0.5
    return table.loc[is_sure, column].tolist(), table.loc[~is_sure & (rate > 0.5), column].tolist()


def _rates(
    chosen: selection.Selection,
    alignment: str,
    ids: tuple[str, str],
    names: Names,
    kinds: pd.DataFrame,
    datasets: pd.DataFrame,
    slot: DeltaGenerator,
) -> None:
    """The figure of win rates by dataset and by kind, with its numbers."""
    words = f", {ALIGNMENTS[alignment]}" if chosen.quantity == "energy" else ""
    title = f"{chosen.quantity.capitalize()} errors{words}: how often {names[0]} beats {names[1]}"
    place = wording.place(Scope.of(chosen.dataset_id))
    table = pd.concat([
        datasets.assign(head=[f"{row.dataset_label} ({row.n_configs:,})" for row in datasets.itertuples()],
                        part="dataset", of=datasets["dataset_label"]),
        kinds.assign(head=[f"{row.kind_label} ({row.n_configs:,})" for row in kinds.itertuples()],
                     part=f"kind, on {place}", of=kinds["kind_label"]),
    ], ignore_index=True)  # fmt: skip
    n = int(datasets["n_configs"].sum())
    origin = furniture.provenance(
        "duel", title, ids, chosen.scope.on(*datasets["dataset_id"]), f"{n:,} shared configurations"
    )
    heads = _heads(names, QUANTITIES[METRICS[chosen.quantity].rmse].unit)
    shown = table[list(heads)]
    st.subheader("Who wins where", anchor=False)
    furniture.figure(
        lambda ink: duel_plots.win_rates(table, names, chosen.quantity, ink, title, origin.source_line()),
        shown,
        origin,
        f"{title}, by dataset and by kind of structures on {place}; the table below holds the same numbers.",
        key="win-rates",
        slot=slot,
    )
    st.caption(
        f"By dataset, and below by kind of structures on {place}. Filled: the bounds leave out one half. At the right: "
        f"configurations that {names[0]} wins, equal ones, and those that {names[1]} wins. Without bounds: fewer than "
        "six independent clusters. Datasets and kinds are not corrected for their number: of twenty equal ones, one "
        "would seem different."
    )
    tables.view_data(shown, "duel-parts", heads)


def _heads(names: Names, unit: str) -> dict[str, Any]:
    """Columns of the table of parts, with their heads."""
    return {
        "part": "By", "of": "Configurations of",
        "n_configs": st.column_config.NumberColumn("n", format="localized"),
        "n_clusters": "Clusters",
        "n_wins": f"Wins of {names[0]}", "n_ties": "Equal",
        **{
            name: st.column_config.NumberColumn(f"{label} ({unit})", format="%.2f")
            for name, label in (
                ("rmse_first", f"RMSE of {names[0]}"), ("rmse_second", f"RMSE of {names[1]}"),
                ("difference", "Difference"), ("difference_lo", "lower 95 %"), ("difference_hi", "upper 95 %"),
            )
        },
        **{
            name: st.column_config.NumberColumn(label, format="percent")
            for name, label in (
                ("win_rate", f"{names[0]} wins"), ("win_rate_lo", "wins, lower 95 %"),
                ("win_rate_hi", "wins, upper 95 %"),
            )
        },
    }  # fmt: skip


show()
