"""Overview: how wrong is each model on each dataset, and who made the numbers?"""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import furniture, links, selection, tables, wording
from app.figures import base, tile_maps
from engine.quantities import ALIGNMENTS, METRICS, QUANTITIES, significant
from engine.queries import catalog, error_metrics


def show() -> None:
    """Four numbers, the matrix, the ranking on the chosen dataset, and what has not been run."""
    chosen = selection.selection()
    slot = furniture.header(
        "Overview",
        "How far does each universal potential come to DFT for defects in metals? "
        "Root mean square error per model and dataset.",
    )
    metric = METRICS[chosen.quantity]
    with furniture.controls():
        alignment = selection.alignment_switch()
        is_shared = selection.comparison_switch()
    read = error_metrics.shared_metrics if is_shared else error_metrics.dataset_metrics
    metrics = read(alignment, chosen.scope.on(), with_seen=chosen.with_seen)
    metrics = metrics.assign(source=[wording.source_name(s, link=False) or None for s in metrics["source"]])
    metrics = wording.judged(metrics, is_raw=chosen.quantity == "energy" and alignment == "raw")
    _headline(metrics, chosen, metric.rmse)
    _matrix(metrics, chosen, alignment, is_shared, slot)
    _ranking(metrics, chosen, alignment, is_shared)
    _not_run(metrics)


def _headline(metrics: pd.DataFrame, chosen: selection.Selection, column: str) -> None:
    here = metrics[(metrics["dataset_id"] == chosen.dataset_id) & metrics["is_ranked"]]
    here = here[here["comparable"]].dropna(subset=[column]).sort_values(column)
    totals, quantity = catalog.totals(), QUANTITIES[column]
    place = wording.place(chosen.scope)
    best = here.iloc[0] if len(here) else None
    furniture.numbers(
        [
            (
                f"Lowest {quantity.symbol} on {place} ({quantity.unit})",
                significant(best[column]) if best is not None else "–",
                f"{wording.marked(best['label'], best['origin'], best['is_seen'])}, "
                f"95 %: {wording.bounds(best, column)}, n = {best['n_configs']:,} of {best['n_expected']:,}"
                if best is not None
                else "no model's numbers can be compared as they are",
            ),
            (
                "Models with numbers",
                f"{metrics['model_id'].nunique()}",
                f"of {len(catalog.models())} registered",
            ),
            ("Reference configurations", f"{totals['n_configs']:,}", f"{totals['n_atoms']:,} atoms"),
            (
                "Predictions",
                f"{totals['n_ok']:,}",
                f"{totals['n_failed']:,} more failed" if totals["n_failed"] else "none failed",
            ),
        ]
    )


def _ordered(metrics: pd.DataFrame, column: str, dataset_id: str) -> pd.DataFrame:
    """Models with numbers, those with the lowest error on the chosen dataset first."""
    here = metrics[(metrics["dataset_id"] == dataset_id) & metrics["is_ranked"]]
    models = metrics.drop_duplicates("model_id")[["model_id", "label"]]
    return (
        models.assign(rank=models["model_id"].map(here.set_index("model_id")[column]))
        .sort_values(["rank", "label"])
        .drop(columns="rank")
    )


def _matrix(
    metrics: pd.DataFrame, chosen: selection.Selection, alignment: str, is_shared: bool, slot: DeltaGenerator
) -> None:
    column = METRICS[chosen.quantity].rmse
    datasets = catalog.datasets()
    datasets = datasets.loc[datasets["n_models"] > 0, ["dataset_id", "label"]]
    cells = tile_maps.matrix_cells(metrics, _ordered(metrics, column, chosen.dataset_id), datasets)
    words = f", {ALIGNMENTS[alignment]}" if chosen.quantity == "energy" else ""
    words += ", shared configurations" if is_shared and (cells["n_configs"] < cells["n_own"]).any() else ""
    title = f"{QUANTITIES[column].label}{words} ({QUANTITIES[column].unit})"
    origin = furniture.provenance(
        "overview",
        title,
        metrics["model_id"].unique(),
        chosen.scope.on(*datasets["dataset_id"]),
        f"{int(cells['n_configs'].sum()):,} predictions",
    )
    furniture.figure(
        lambda ink: tile_maps.matrix(cells, chosen.quantity, ink, title, origin.source_line()),
        cells.drop(columns=["row", "column", "state"]),
        origin,
        f"Matrix of {title} for {metrics['model_id'].nunique()} models and {len(datasets)} datasets; "
        "the table below holds the same numbers.",
        key="matrix",
        slot=slot,
        on_select=_open_cell,
        width=max(680, 330 + 150 * len(datasets)) if len(datasets) < 5 else "stretch",
    )
    st.caption(
        "Click on a cell for its parity chart. † and italics: numbers imported from another group. "
        "Red frame: some configurations failed. Hatched: all failed. Pale: not run. In brackets or with a star: "
        "over other configurations than the rest of its column, so not ranked. "
        + ("Columns are compared on the configurations that their models share. " if is_shared else "")
        + (f"{wording.GREY} The pointer says why. " if not cells["comparable"].all() else "")
        + (_seen_in_matrix(chosen) if cells["is_seen"].any() else "")
    )
    tables.view_data(
        cells[
            [
                "label",
                "dataset_label",
                column,
                f"{column}_lo",
                f"{column}_hi",
                "n_configs",
                "n_own",
                "n_expected",
                "n_failed",
                "is_seen",
                "origin",
            ]
        ],
        "matrix",
    )
    if st.session_state.pop("open_parity", False):
        st.switch_page(links.PARITY_PAGE, query_params={})


def _seen_in_matrix(chosen: selection.Selection) -> str:
    """What the mark of a cell means for its place in the columns."""
    if chosen.with_seen:
        return f"{wording.SEEN}, and ranked all the same."
    return f"{wording.SEEN}: grey and not ranked; the switch “{wording.SEEN_SWITCH}” at the left brings them in."


def _open_cell() -> None:
    """Take the clicked cell's model and dataset into the sidebar, and ask for the parity page."""
    cell = furniture.clicked("matrix")
    if cell:
        st.session_state["model"] = cell[0]
        selection.choose_dataset(cell[1])
        st.session_state["open_parity"] = True


def _ranking(metrics: pd.DataFrame, chosen: selection.Selection, alignment: str, is_shared: bool) -> None:
    column = METRICS[chosen.quantity].rmse
    label = wording.place(chosen.scope)
    st.subheader(f"Ranking on {label} by {QUANTITIES[column].label}", anchor=False)
    here = metrics[metrics["dataset_id"] == chosen.dataset_id].drop(columns=["comparable", "why_not"])
    here = wording.judged(here, is_raw=alignment == "raw")
    if here.empty:
        furniture.not_run(chosen)
        return
    if is_shared:
        st.markdown(wording.comparison_note(here))
    has_meaning = here["comparable"] | (chosen.quantity != "energy")
    here = here.assign(has_rank=here["is_ranked"] & here[column].notna() & has_meaning)
    here = here.sort_values(["has_rank", "is_ranked", column], ascending=[False, False, True])
    is_ranked = here["has_rank"]
    table = here.assign(
        rank=is_ranked.cumsum().where(is_ranked).astype("Int64"),
        label=[wording.marked(row.label, row.origin, row.is_seen) for row in here.itertuples()],
        n_of=[f"{row.n_configs:,} of {row.n_expected:,}" for row in here.itertuples()],
        training=here["training_sets"].map(" + ".join),
        **{f"{m.rmse}_bounds": [wording.bounds(row, m.rmse) for _, row in here.iterrows()] for m in METRICS.values()},
    )
    pairs = [name for metric in METRICS.values() for name in (metric.rmse, f"{metric.rmse}_bounds")]
    columns = ["rank", "label", *pairs, "force_slope", "n_of", "n_failed", "training", "origin", "source", "note"]
    if not table["comparable"].all():
        columns.insert(4, "why_not")
    heads = {f"{metric.rmse}_bounds": "95 % bounds" for metric in METRICS.values()} | {
        "rank": st.column_config.NumberColumn("#", width=40, pinned=True),
        "label": st.column_config.TextColumn("Model", width=220, pinned=True),
        "n_of": st.column_config.TextColumn("Configurations", help="In these numbers, of all in the dataset."),
        "training": "Training data",
        "note": st.column_config.TextColumn("What is inferred", width="large"),
        "why_not": st.column_config.TextColumn("Why raw energies cannot be compared", width="medium"),
    }
    place = st.container(horizontal=True, vertical_alignment="center")
    row = tables.chosen_row(table[["model_id", *columns]], "ranking", heads, columns=columns, height="content")
    with place:
        links.model_link(row["model_id"])
        st.caption("Choose a row for the page of another model.")
    st.caption(
        f"{base.IMPORTED_MARK} imported from the source in the last columns; the others were run here. "
        "Models without a number at the left are over other configurations than the rest, were trained on the data, or "
        "their raw energies cannot be compared."
    )
    furniture.captions(
        wording.seen_note(here, with_seen=chosen.with_seen),
        wording.noise_note(chosen.dataset_id),
        wording.few_for_offsets(here, chosen.scope) if alignment == "per_element" else "",
    )
    furniture.warn_of_leakage([chosen.dataset_id])


def _not_run(metrics: pd.DataFrame) -> None:
    """Models without any number, with the registry's reason; those that failed are in the matrix instead."""
    models = catalog.models()
    missing = models[~models["model_id"].isin(metrics["model_id"])]
    if missing.empty:
        return
    runnable = "Can be run: python -m precompute run --model " + missing["model_id"]
    table = missing[["label", "family", "paper_row"]].assign(
        reason=missing["reason"].where(missing["reason"].fillna("") != "", runnable)
    )
    with st.expander(f"Not run yet: {len(missing)} of {len(models)} registered models"):
        tables.table_view(table, "not-run", {"family": "Family", "paper_row": "Row of Table 1"})


show()
