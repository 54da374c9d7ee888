"""Specialised: potentials that were fitted to few elements beside universal ones, group by group."""

import pandas as pd
import streamlit as st

from app import address, furniture, selection, tables, wording
from app.figures import group_plots
from engine.quantities import METRICS, QUANTITIES, significant
from engine.queries import catalog, specialised

N_UNIVERSAL = 3
MOST = 6
LEAST_FORCE = 1.0  # meV/Å; smaller errors of all models are those of forces that symmetry makes zero


def show() -> None:
    """Errors by group of specialised and universal models on the configurations that all of them have."""
    chosen = selection.selection()
    place = wording.place(chosen.scope)
    slot = furniture.header(
        f"Specialised: models on {place}",
        "Does a potential that was fitted to few elements beat universal ones on these elements?",
    )
    known = specialised.models_with_forces(chosen.scope)
    few = known[known["is_specialised"]]
    if few.empty or known["is_specialised"].all():
        _none(place, chosen.dataset_id, has_few=not few.empty)
        return
    first = _first(few, chosen)
    models = _models(known, first, chosen)
    errors = specialised.group_errors(chosen.scope, tuple(sorted(models)))
    if errors.empty:
        furniture.empty(
            "These models share no configuration",
            "A specialised model is shown on the elements that it was fitted to. Remove one above.",
        )
        return
    table = errors.merge(known.drop(columns=["n_configs", "dataset_id"]), on="model_id")
    table["label"] = [wording.seen_marked(row.label, row.is_seen) for row in table.itertuples()]
    if chosen.quantity == "force":
        table = _moving(table)
    table = table.sort_values("model_id", key=lambda ids: ids.map(models.index), kind="stable")
    n_shared = int(errors.groupby("model_id")["n_configs"].sum().max())
    title = f"{chosen.quantity.capitalize()} RMSE by group on {place}"
    origin = furniture.provenance(
        "specialised", title, models, chosen.scope, f"{n_shared:,} configurations that all {len(models)} models have"
    )
    furniture.figure(
        lambda ink: group_plots.group_errors(table, chosen.quantity, ink, title, origin.source_line()),
        table,
        origin,
        f"{title}: one mark for each of {len(models)} models and group; open diamonds are specialised models.",
        key="specialised",
        slot=slot,
    )
    st.caption(
        f"Open diamonds: fitted to at most {specialised.FEW} elements. All marks of a row are over the same "
        "configurations, their number in brackets. Energies have each model's offset per element removed."
    )
    _verdict(table, chosen.quantity, with_seen=chosen.with_seen)
    furniture.captions(wording.seen_note(table.drop_duplicates("model_id")))
    st.caption(
        "Rebuilds figure 9 of the paper: eqV2-31M-omat-mp-salex beside ACE and MTP22 on grain boundaries of W and on "
        "MoNbTaW. What differs: the paper's four grain-boundary sets are not public, so groups of the datasets here "
        "stand in for them. Other models stand in where those two were not run."
    )
    _training(table)


def _moving(table: pd.DataFrame) -> pd.DataFrame:
    """Groups in which forces do not vanish by symmetry, where every model is right."""
    column = METRICS["force"].rmse
    return table[table.groupby("group_name")[column].transform("max") >= LEAST_FORCE]


def _none(place: str, dataset_id: str, *, has_few: bool) -> None:
    lacking = "universal" if has_few else "specialised"
    furniture.empty(
        f"No {lacking} model has forces on {place}",
        f"Choose another dataset at the left. Run one: `python -m precompute run --dataset {dataset_id} --model ID` "
        "and then `python -m precompute build`; `python -m precompute models` lists the ids.",
    )


def _first(few: pd.DataFrame, chosen: selection.Selection) -> list[str]:
    """Specialised models to begin with: those of the sidebar, else the one with most configurations that fits."""
    asked = [name for name in (chosen.model_id, *chosen.compare) if name in set(few["model_id"])]
    fair = few[~few["is_seen"]] if (~few["is_seen"]).any() else few
    return asked or fair["model_id"].head(2).tolist()


def _models(known: pd.DataFrame, first: list[str], chosen: selection.Selection) -> list[str]:
    """Choice of models; universal ones to begin with are those of the sidebar and the best on the same cells."""
    labels = dict(zip(known["model_id"], known["label"], strict=True))
    asked = [name for name in chosen.compare if name in labels and name not in first]
    best = specialised.best_universal(chosen.scope, first[0], N_UNIVERSAL)
    default = list(dict.fromkeys([*first, *asked, *best]))[:MOST]
    options = known.sort_values(["is_specialised", "label"], ascending=[False, True])["model_id"].tolist()
    begin = address.begin_with("models", options, catalog.models()["model_id"], default)[:MOST]
    with furniture.controls():
        picked: list[str] = st.multiselect(
            "Models", options, default=begin, format_func=labels.__getitem__, max_selections=MOST,
            key=f"specialised-{chosen.scope.describe()}-{'-'.join(default)}",
            help="The figure is over the configurations that all of these models have forces for.",
        )  # fmt: skip
    address.keep("models", picked or default, default)
    return picked or default


def _verdict(table: pd.DataFrame, quantity: str, *, with_seen: bool) -> None:
    """In how many groups a universal model has the smallest error, among models that may be compared."""
    column = METRICS[quantity].rmse
    unit = QUANTITIES[column].unit
    fair = table if with_seen else table[~table["is_seen"]]
    if fair["is_specialised"].nunique() < 2:
        st.markdown("No verdict: without models that were trained on these data, one of the two kinds is missing.")
        return
    best = fair.loc[fair.dropna(subset=[column]).groupby("group_name")[column].idxmin()]
    wins = best[~best["is_specialised"]]
    others = best.loc[best["is_specialised"], ["group_name", "label", "n_configs", column]]
    listed = ", ".join(
        f"{row.group_name} ({row.label}, {significant(row[-1])} {unit}, n = {row.n_configs})"
        for row in others.itertuples()
    )
    st.markdown(
        f"**In {len(wins)} of {len(best)} groups the smallest {quantity} error is that of a universal model.**"
        + (f" Specialised models lead in {listed}." if listed else "")
    )


def _training(table: pd.DataFrame) -> None:
    """What the shown models were fitted to."""
    models = table.drop_duplicates("model_id")
    shown = models[["label", "is_specialised", "n_elements", "training_sets", "is_seen", "seen_reason"]]
    shown = shown.assign(training_sets=shown["training_sets"].where(shown["training_sets"].ne(""), wording.NOTHING))
    heads = {
        "is_specialised": st.column_config.CheckboxColumn("Specialised"),
        "n_elements": "Elements", "training_sets": "Training sets",
    }  # fmt: skip
    tables.table_view(shown, "specialised-models", heads, height="content")
    tables.view_data(table, "specialised")


show()
