"""Uncertainty: deviation of an ensemble against the error of its mean."""

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, export, furniture, selection, tables, wording
from app.figures import error_plots
from app.sections import agreement as agreement_section
from app.sections import intervals, novelty, pooled_uncertainty
from app.sections.agreement import CHOSEN
from engine.quantities import significant
from engine.queries import agreement, catalog, spread, training
from engine.queries.scope import Scope


def show() -> None:
    """Deviation against error of one ensemble, their rank correlation, and the most uncertain ones."""
    chosen = selection.selection()
    label = wording.place(chosen.scope)
    slot = furniture.header(
        f"Uncertainty: {chosen.quantity} on {label}",
        "Does the disagreement of an ensemble tell where its mean is wrong?",
    )
    here = agreement.ensembles_on(chosen.dataset_id)
    models = agreement.choosable_models(chosen.dataset_id)
    if here.empty and len(models) < 2:
        _no_ensemble(label)
        return
    here = here.assign(seen=[_seen_members(row.model_ids, chosen.scope) for row in here.itertuples()])
    here = here.sort_values(["has_atoms", "seen"], key=_places, kind="stable")
    ensemble = _choice(here, models, chosen)
    if ensemble is None:
        return
    if ensemble["has_atoms"]:
        _headline(ensemble, chosen)
        _chart(ensemble, chosen, slot)
    furniture.captions(wording.seen_note(ensemble["seen"]))
    with st.expander("Members and definitions"):
        _definitions(ensemble)
    _drawers(here, ensemble, chosen)


def _drawers(here: pd.DataFrame, ensemble: pd.Series, chosen: selection.Selection) -> None:
    """The parts that are made when they are opened; a link with one of their choices opens them."""
    name = str(ensemble["ensemble_id"])
    samples = agreement_section.parameters(chosen.quantity)
    if not ensemble["has_atoms"]:  # else the chart of them is what the page opens on
        st.session_state.setdefault("agreement", True)
    parts: list[tuple[str, str, Sequence[str], Callable[[], None]]] = [
        (agreement_section.TITLE, "agreement", samples, lambda: agreement_section.show(ensemble, chosen)),
        (intervals.TITLE, "intervals", ("by",), lambda: intervals.show(here, name, chosen)),
        (novelty.TITLE, "novelty", (), lambda: novelty.show(ensemble, chosen)),
    ]
    if ensemble["has_atoms"]:
        pooled = ("spread", f"apart-{name}")
        parts += [
            ("Most uncertain configurations", "uncertain", (), lambda: _most_uncertain(name, chosen)),
            (pooled_uncertainty.TITLE, "pooled", pooled, lambda: pooled_uncertainty.show(ensemble, chosen)),
        ]
    tables.drawers(parts)


def _places(values: pd.Series) -> pd.Series:
    """Sort keys: ensembles with numbers atom by atom first, then those without members trained on the data."""
    return ~values if values.dtype == bool else values.map(len) > 0


def _choice(here: pd.DataFrame, models: Sequence[str], chosen: selection.Selection) -> pd.Series | None:
    """The ensemble that the address or the visitor asks for; None while fewer than two models are chosen."""
    labels = dict(zip(here["ensemble_id"], here["label"], strict=True))
    if len(models) > 1:
        labels[CHOSEN] = "Models that I choose"
    ids = list(labels)
    address.heed("ensemble", ids, labels.__getitem__)
    with furniture.controls():
        ensemble_id = st.selectbox(
            "Ensemble", ids, format_func=labels.__getitem__, key="ensemble", bind="query-params", width=340
        )
        if ensemble_id != CHOSEN:
            return here[here["ensemble_id"] == ensemble_id].iloc[0]
        names = wording.model_labels()
        address.heed_many("members", models, lambda name: names.get(name, name))
        members = st.multiselect(
            "Members", list(models), default=list(models)[:3], key="members", bind="query-params",
            format_func=lambda name: names.get(name, name), placeholder="at least two models", width=520,
        )  # fmt: skip
    if len(members) < 2:
        furniture.empty("An ensemble has at least two models", "Choose two or more members above.")
        return None
    return pd.Series(
        {"ensemble_id": CHOSEN, "label": f"{len(members)} chosen models", "model_ids": sorted(members),
         "all_ids": sorted(members), "has_atoms": False, "weights": None, "source": "",
         "weights_source": "Inverse to the force RMSE on the other half of the clusters.",
         "seen": _seen_members(members, chosen.scope)}
    )  # fmt: skip


def _seen_members(model_ids: Sequence[str], scope: Scope) -> pd.DataFrame:
    """Members that were trained on the configurations, with the reason."""
    known = training.seen(scope)
    known = known[known["is_seen"] & known["model_id"].isin(model_ids)]
    return known.assign(label=known["model_id"].map(wording.model_labels()))


def _no_ensemble(label: str) -> None:
    known = sorted(wording.dataset_label(name) for name in agreement.datasets_with_ensembles())
    furniture.empty(
        f"No ensemble has numbers for {label}",
        f"Choose one of these datasets at the left: {', '.join(known)}."
        if known
        else "An ensemble needs at least two models on the same dataset. Run `python -m precompute run` for "
        "them and "
        "then `python -m precompute build`.",
    )


def _headline(ensemble: pd.Series, chosen: selection.Selection) -> None:
    values = []
    size = catalog.datasets().set_index("dataset_id").loc[chosen.dataset_id]
    for quantity, noun, total in (
        ("energy", "configurations", size["n_configs"]),
        ("force", "atoms", size["n_atoms"]),
    ):
        rho, n = spread.spearman(ensemble["ensemble_id"], chosen.scope, quantity)
        n_of = f"{n:,}" if n == total else f"{n:,} of {total:,}"
        head = wording.seen_marked(f"Spearman ρ, {quantity}", len(ensemble["seen"]))
        values.append((head, significant(rho, 2), f"n = {n_of} {noun}"))
    within, n_within = spread.spearman_within(ensemble["ensemble_id"], chosen.scope)
    if n_within:
        head = wording.seen_marked("Spearman ρ, within one configuration", len(ensemble["seen"]))
        values.append((head, significant(within, 2), f"mean ρ of forces, {n_within:,} of them"))
    below = f"{len(ensemble['seen'])} {wording.SEEN}" if len(ensemble["seen"]) else str(ensemble["label"])
    values.append(("Members", f"{len(ensemble['model_ids'])}", below))
    furniture.numbers(values)


def _chart(ensemble: pd.Series, chosen: selection.Selection, slot: DeltaGenerator) -> None:
    label = wording.seen_marked(ensemble["label"], len(ensemble["seen"]))
    title = (
        f"{chosen.quantity.capitalize()} error of the ensemble mean against deviation: {label} on "
        f"{wording.place(chosen.scope)}"
    )
    rho, n = spread.spearman(ensemble["ensemble_id"], chosen.scope, chosen.quantity)
    noun = "configurations" if chosen.quantity == "energy" else "atoms"
    origin = furniture.provenance(
        "uncertainty",
        title,
        list(ensemble["model_ids"]),
        chosen.scope,
        f"{n:,} {noun}, Spearman ρ = {significant(rho, 2)}",
    )
    drawn = _energies if chosen.quantity == "energy" else _forces
    make, table = drawn(ensemble["ensemble_id"], chosen.scope, title, origin.source_line())
    if make is None:
        furniture.empty("No samples", "This ensemble has no numbers of this quantity for the dataset.")
        return
    furniture.figure(
        make,
        table,
        origin,
        f"{title}; Spearman rank correlation {significant(rho, 2)} over {n:,} {noun}.",
        key="deviation",
        slot=slot,
    )
    tables.view_data(table, "deviation")


def _energies(ensemble_id: str, scope: Scope, title: str, source: str) -> tuple[export.MakeFigure | None, pd.DataFrame]:
    table = spread.energy_deviations(ensemble_id, scope)
    positive = table[(table["deviation"] > 0) & (table["error"] > 0)]
    if positive.empty:
        return None, table
    return (lambda ink: error_plots.deviation_points(positive, ink, title, source)), table


def _forces(ensemble_id: str, scope: Scope, title: str, source: str) -> tuple[export.MakeFigure | None, pd.DataFrame]:
    density = spread.force_deviation_density(ensemble_id, scope)
    if density is None:
        return None, pd.DataFrame()
    lines = pd.DataFrame(
        {
            "log10_deviation": density.line_x,
            "log10_error_5": density.lines[0],
            "log10_error_50": density.lines[1],
            "log10_error_95": density.lines[2],
        }
    )
    return (lambda ink: error_plots.deviation_density(density, ink, title, source)), lines


def _definitions(ensemble: pd.Series) -> None:
    labels = wording.model_labels()
    seen = set(ensemble["seen"]["model_id"])
    members = ", ".join(wording.seen_marked(labels.get(name, name), name in seen) for name in ensemble["model_ids"])
    absent = [labels.get(name, name) for name in ensemble["all_ids"] if name not in set(ensemble["model_ids"])]
    lacks = f" Without {wording.listed(absent)}, which has no numbers here." if absent else ""
    st.markdown(
        f"**Members:** {members}.{lacks} Only configurations with a result of all members count.\n\n"
        "dev(E) = max over members k of |Eₖ − ⟨E⟩| per atom, and dev(Fᵢ) = max over k of ‖Fᵢₖ − ⟨Fᵢ⟩‖ for "
        "atom i. "
        "The error is that of the ensemble mean against the reference. Below the dashed line the deviation is larger "
        "than the error. With a rank correlation of 1 the deviation would sort configurations by their error exactly. "
        "Atoms with forces zero by symmetry are left out, since every model is right there. Within one configuration "
        "the "
        "deviation ranks atoms less well than over a whole dataset: it tells bad structures from good ones rather than "
        "bad atoms.\n\n"
        "U = √(Σ wₖ maxᵢ ‖Fᵢₖ − ⟨Fᵢ⟩‖²) after Liu et al. (2025); for one atom without the maximum. Its weights are "
        "inverse to the force RMSE of the members, with sum 1. "
        f"{ensemble['weights_source']}"
    )


def _most_uncertain(ensemble_id: str, chosen: selection.Selection) -> None:
    table = tables.shown(spread.most_uncertain(ensemble_id, chosen.scope))
    if table.empty:
        furniture.empty("No configuration", f"The ensemble has no numbers for {wording.place(chosen.scope)}.")
        return
    tables.configuration_table(table, "most-uncertain", chosen.model_id)


show()
