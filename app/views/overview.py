"""Overview: errors of each model on each dataset, with their origin."""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, furniture, links, selection, tables, wording
from app.figures import base, tile_maps
from engine.numerics.comparison import UNRANKED
from engine.quantities import ALIGNMENTS, METRICS, QUANTITIES, significant
from engine.queries import catalog, error_metrics, reference_data, specialised
from engine.queries.ranks import ranks
from engine.queries.scope import Scope

_ROWS = 24  # of the matrix, at first


def show() -> None:
    """Four numbers, the matrix, the ranking on the chosen dataset, and what has not been run."""
    chosen = selection.selection()
    slot = furniture.header(
        "Overview",
        "How close does each universal potential come to DFT for defects in metals? "
        "Root mean square error per model and dataset.",
    )
    links.advisor_link("Which model for my metal and defect?")
    metric = METRICS[chosen.quantity]
    address.heed_switch("rows")
    controls = furniture.controls()
    with controls:
        alignment = selection.alignment_switch()
        is_shared = selection.comparison_switch()
    read = error_metrics.shared_metrics if is_shared else error_metrics.dataset_metrics
    # Forces know no alignment, and datasets without crystals have them too.
    of_matrix = alignment if chosen.quantity == "energy" or alignment != "crystal" else "raw"
    metrics = read(of_matrix, chosen.scope.on(), quantity=chosen.quantity, with_seen=chosen.with_seen)
    metrics = metrics.assign(source=[wording.source_name(s, link=False) or None for s in metrics["source"]])
    metrics = wording.judged(metrics, is_raw=chosen.quantity == "energy" and alignment == "raw")
    _headline(metrics, chosen, metric.rmse, of_matrix, is_shared)
    _matrix(_shown(metrics, metric.rmse, chosen, controls), chosen, of_matrix, is_shared, slot)
    here = read(alignment, chosen.scope, quantity=chosen.quantity, with_seen=chosen.with_seen)
    here = here.assign(source=[wording.source_name(s, link=False) or None for s in here["source"]])
    _ranking(here, chosen, alignment, is_shared)
    _not_run(error_metrics.dataset_metrics("raw"))


def _intervals(here: pd.DataFrame, chosen: selection.Selection, alignment: str, is_shared: bool) -> pd.DataFrame:
    """Ranks on shared configurations; otherwise on those shared by all models that were run on the whole dataset."""
    ids = None if is_shared else tuple(sorted(here.loc[here["is_ranked"], "model_id"]))
    return ranks(alignment, chosen.scope, chosen.quantity, ids, with_seen=chosen.with_seen)


def _headline(metrics: pd.DataFrame, chosen: selection.Selection, column: str, alignment: str, is_shared: bool) -> None:
    here = metrics[(metrics["dataset_id"] == chosen.dataset_id) & metrics["is_ranked"]]
    here = here[here["comparable"]].dropna(subset=[column]).sort_values(column)
    found = _intervals(here, chosen, alignment, is_shared)
    totals, quantity = catalog.totals(chosen.scope.on()), QUANTITIES[column]
    place = wording.place(chosen.scope)
    best = here.iloc[0] if len(here) else None
    furniture.numbers(
        [
            (
                f"Lowest {quantity.symbol} on {place} ({quantity.unit})",
                significant(best[column]) if best is not None else "–",
                f"{wording.marked(best['label'], best['origin'], best['is_seen'])}, "
                f"95 %: {wording.bounds(best, column)}, n = {best['n_configs']:,} of {best['n_expected']:,}; "
                f"{wording.tied(found, best['model_id'])}"
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
                base.lacking(totals) or "none failed",
            ),
        ]
    )


def _shown(
    metrics: pd.DataFrame, column: str, chosen: selection.Selection, controls: DeltaGenerator
) -> pd.DataFrame:  # fmt: skip
    """The metrics of the models that come first and of the chosen ones, or of all where the switch says so."""
    order = _ordered(metrics, column, chosen.dataset_id)["model_id"]
    if len(order) > _ROWS:
        with controls:
            everything = st.toggle(
                f"All {len(order)} models",
                key="rows",
                bind="query-params",
                help=f"Without it the {_ROWS} models that come first: those with the smallest errors on the dataset at "
                "the left, then those that are near the best of another dataset, and the chosen ones.",
            )
        if not everything:
            return metrics[metrics["model_id"].isin([*order.head(_ROWS), chosen.model_id, *chosen.compare])]
    return metrics


def _ordered(metrics: pd.DataFrame, column: str, dataset_id: str) -> pd.DataFrame:
    """Models with numbers, those with the lowest error on the chosen dataset first.

    Those without a rank there follow by their smallest ratio to the best model of another dataset, and those that were
    made for few elements after the universal ones.
    """
    ranked = metrics[metrics["is_ranked"] & metrics["comparable"]]
    here = ranked[ranked["dataset_id"] == dataset_id].set_index("model_id")[column]
    best = ranked[column] / ranked.groupby("dataset_id")[column].transform("min")
    ratio = best.groupby(ranked["model_id"]).min()
    models = metrics.drop_duplicates("model_id")[["model_id", "label"]]
    registered = catalog.models()
    few = registered.loc[registered["elements"].map(len) <= specialised.FEW, "model_id"]
    return (
        models.assign(
            error=models["model_id"].map(here),
            ratio=models["model_id"].map(ratio),
            is_last=models["model_id"].map(ratio).isna() | models["model_id"].isin(few),
        )
        .sort_values(["error", "is_last", "ratio", "label"])
        .drop(columns=["error", "is_last", "ratio"])
    )


def _matrix(
    metrics: pd.DataFrame, chosen: selection.Selection, alignment: str, is_shared: bool, slot: DeltaGenerator
) -> None:
    column = METRICS[chosen.quantity].rmse
    datasets = catalog.datasets()
    datasets = datasets[datasets["n_models"] > 0]
    is_defined = datasets["has_crystal"].eq(True) | (alignment != "crystal")
    datasets = datasets[["dataset_id", "label"]].assign(nothing=is_defined.map({True: "not run", False: "no crystal"}))
    fits = datasets["dataset_id"].isin(reference_data.counts_by_dataset(chosen.scope.on()))
    datasets = datasets.assign(nothing=datasets["nothing"].where(fits, "no configuration fits"))
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
        cells.drop(columns=["row", "column", "state", "nothing"]),
        origin,
        f"Matrix of {title} for {metrics['model_id'].nunique()} models and {len(datasets)} datasets; "
        "the table below holds the same numbers.",
        key="matrix",
        slot=slot,
        on_select=_open_cell,
        width=max(680, 330 + 150 * len(datasets)) if len(datasets) < 5 else "stretch",
    )
    st.caption(
        "Click on a cell for its parity chart. Coloured: ranked in its column. † and italics: numbers imported from "
        "another group. Red frame: some configurations failed. Hatched: all failed. Pale: not run. Grey, in brackets "
        "or with a star: over other configurations than the rest of its column, so not ranked. A dash: no such error. "
        f"○: {base.OUTSIDE}, all of its configurations have elements that the model was not made for. "
        + (f"{wording.LEVEL}. " if (cells["cause"].eq("level") & cells["comparable"]).any() else "")
        + ("Columns are compared on the configurations that their models share. " if is_shared else "")
        + (f"{wording.GREY} The pointer says why. " if not cells["comparable"].all() else "")
        + ("No crystal: the dataset has no perfect crystal to count energies from. " if alignment == "crystal" else "")
        + _far_off(cells, column, chosen.quantity)
        + (_seen_in_matrix(chosen) if cells["is_seen"].any() else "")
    )
    bounds = [f"{column}_lo", f"{column}_hi"]
    tables.view_data(
        cells.assign(why_no_rank=cells["cause"].map(UNRANKED))[
            ["label", "dataset_label", column, *bounds, "n_configs", "n_own", "n_expected", "n_failed", "is_ranked",
             "why_no_rank", "is_seen", "origin"]
        ],
        "matrix",
    )  # fmt: skip
    if st.session_state.pop("open_parity", False):
        st.switch_page(links.PARITY_PAGE, query_params={})


def _seen_in_matrix(chosen: selection.Selection) -> str:
    """What the mark of a cell means for its place in the columns."""
    if chosen.with_seen:
        return f"{wording.SEEN}, and ranked since the switch at the left is on."
    return f"{wording.SEEN}: grey and not ranked; the switch “{wording.SEEN_SWITCH}” at the left brings them in."


def _far_off(cells: pd.DataFrame, column: str, quantity: str) -> str:
    """Names the datasets on which even the best ranked model is of no use, which may be a matter of the labels."""
    limit, unit = base.LIMITS[quantity][1], QUANTITIES[column].unit
    best = cells[cells["is_ranked"] & cells["comparable"]].groupby("dataset_label")[column].min()
    names = [f"{name} ({significant(value)})" for name, value in best[best > limit].items()]
    if not names:
        return ""
    return (
        f"No ranked model is below {limit:.0f} {unit} on {wording.listed(names)}: labels or structures are unlike "
        "those that models learn from; the page Datasets says what they are. "
    )


def _open_cell() -> None:
    """Take the clicked cell's model and dataset into the sidebar, and ask for the parity page."""
    cell = furniture.clicked("matrix")
    if cell:
        st.session_state["model"] = cell[0]
        selection.choose_dataset(cell[1])
        st.session_state["open_parity"] = True


def _ranking(here: pd.DataFrame, chosen: selection.Selection, alignment: str, is_shared: bool) -> None:
    column = METRICS[chosen.quantity].rmse
    label = wording.place(chosen.scope)
    st.subheader(f"Ranking on {label} by {QUANTITIES[column].label}", anchor=False)
    here = wording.judged(here, is_raw=alignment == "raw")
    if here.empty:
        furniture.not_run(chosen)
        return
    if is_shared:
        st.markdown(wording.comparison_note(here))
    table = _ranked(here, chosen, alignment, is_shared)
    macro = _macro_columns(chosen)
    table = table.merge(_macro(table, alignment, chosen, macro), how="left")
    columns = _columns(table, macro)
    heads = {
        f"{metric.rmse}_bounds": f"95 % bounds, {QUANTITIES[metric.rmse].symbol}" for metric in METRICS.values()
    } | {
        "ranks": st.column_config.TextColumn(
            "#",
            width=56,
            pinned=True,
            help="95 % interval of the rank; models that cannot be told apart have the same first number.",
        ),
        "label": st.column_config.TextColumn("Model", width=220, pinned=True),
        "n_of": st.column_config.TextColumn("Configurations", help="In these numbers, of all in the dataset."),
        "training": "Training data",
        "note": st.column_config.TextColumn("What is inferred", width="large"),
        "why_not": st.column_config.TextColumn("Why raw energies cannot be compared", width="medium"),
    }
    for name in macro:
        heads[name] = st.column_config.NumberColumn(
            "Mean over metals and kinds", help=QUANTITIES[name].description, format="%.1f"
        )
    place = st.container(horizontal=True, vertical_alignment="center")
    row = tables.chosen_row(table[["model_id", *columns]], "ranking", heads, columns=columns, height=_height(table))
    with place:
        links.model_link(row["model_id"])
        st.caption("Choose a row for the page of another model.")
    _notes(here, chosen, alignment, is_shared)


def _height(table: pd.DataFrame) -> int:
    """Of the ranking in pixels; many models scroll in it."""
    return 35 * (min(len(table), _ROWS) + 1) + 3


def _ranked(here: pd.DataFrame, chosen: selection.Selection, alignment: str, is_shared: bool) -> pd.DataFrame:
    """Rows of the ranking in its order, in words."""
    column = METRICS[chosen.quantity].rmse
    has_meaning = here["comparable"] | (chosen.quantity != "energy")
    found = _intervals(here, chosen, alignment, is_shared)
    table = wording.with_ranks(here.assign(comparable=has_meaning), found).assign(comparable=here["comparable"])
    table = table.sort_values(["rank", "is_ranked", column], ascending=[True, False, True], na_position="last")
    rows = table.to_dict("records")
    bounds = {f"{m.rmse}_bounds": [wording.bounds(row, m.rmse) for row in rows] for m in METRICS.values()}
    return table.assign(
        label=[
            wording.marked(row.label, row.origin, row.is_seen, row.cause if row.comparable else "")
            for row in table.itertuples()
        ],
        n_of=[f"{row.n_configs:,} of {row.n_expected:,}" for row in table.itertuples()],
        training=table["training_sets"].map(" + ".join),
        **bounds,
    )


def _macro_columns(chosen: selection.Selection) -> list[str]:
    """Means over metals and kinds, of the whole dataset alone."""
    if chosen.scope != Scope.of(chosen.dataset_id):
        return []
    return [name for name in QUANTITIES if name.startswith(f"macro_{chosen.quantity}")]


def _macro(table: pd.DataFrame, alignment: str, chosen: selection.Selection, names: list[str]) -> pd.DataFrame:
    """The means of ranked models over equally many metals and kinds; a mean over fewer would be another number."""
    found = error_metrics.macro_metrics(alignment, chosen.dataset_id)
    n_cells = found[f"n_{chosen.quantity}_cells"].where(
        found["model_id"].isin(table.loc[table["is_ranked"], "model_id"])
    )
    return found.loc[n_cells == n_cells.max(), ["model_id", *names]]


def _columns(table: pd.DataFrame, macro: list[str]) -> list[str]:
    """Columns of the ranking in their order."""
    pairs = [name for metric in METRICS.values() for name in (metric.rmse, f"{metric.rmse}_bounds")]
    columns = ["ranks", "label", *pairs, *macro, "force_slope", "n_of", "n_clusters", "n_failed"]
    if table["why_no_rank"].ne("").any():
        columns.append("why_no_rank")
    if not table["comparable"].all():
        columns.insert(4, "why_not")
    return [*columns, "training", "origin", "source", "note"]


def _shared_words(is_shared: bool) -> str:
    """The configurations that ranks rest on, in words."""
    return "shared configurations" if is_shared else "those shared by all models that were run on the whole dataset"


def _notes(here: pd.DataFrame, chosen: selection.Selection, alignment: str, is_shared: bool) -> None:
    """The meaning of the ranking, and warnings."""
    st.caption(
        f"{base.IMPORTED_MARK} imported from the source in the last columns; the others were run here. "
        f"Numbers at the left: 95 % interval of the rank over {_shared_words(is_shared)}. A model with a dash there "
        "has the reason in its row. Means over metals and kinds count all configurations that a model has a result "
        "for. "
        "They are shown for ranked models with results for equally many metals and kinds."
    )
    furniture.captions(
        wording.seen_note(here, with_seen=chosen.with_seen),
        wording.level_note(here),
        wording.noise_note(chosen.dataset_id),
        wording.energy_note(here) if alignment == "per_element" else "",
        wording.one_composition_note(chosen.dataset_id, alignment),
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
    label = f"Not run yet: {len(missing)} of {len(models)} registered models"
    tables.view_data(table, "not-run", {"family": "Family", "paper_row": "Row of Table 1"}, label=label)


show()
