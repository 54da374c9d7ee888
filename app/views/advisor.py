"""Advisor: which model to take for elements, a kind of defect, a size and a machine, and what error to expect."""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import furniture, links, selection, tables, wording
from app.figures import advice_plots
from app.sections import advice_cards, advisor_request
from app.sections.advisor_request import Request
from engine.quantities import METRICS, QUANTITIES, significant
from engine.queries import configurations, evidence
from engine.queries.advice import BEST, Advice, advice
from engine.queries.evidence import NOMINAL, OTHER, PART, tier_label
from engine.queries.scope import Scope
from engine.registry.kinds import label as kind_label

_ROWS = 24  # models in the figure

CAUSES = {
    "behind": "Larger error", "elements": "Other elements", "licence": "Licence", "forces": "Direct forces",
    "none": "No evidence", "level": "Other level of theory", "seen": "Trained on the evidence",
    "share": "Another sample", "failed": "Failed", "far": "Not run near",
}  # fmt: skip


def show() -> None:
    """The request, the three best models, why not the others, and how far such advice holds."""
    slot = furniture.header(
        "Advisor",
        "Which model should you take, and what error should you expect? Say what you want to simulate.",
    )
    asked = advisor_request.draw()
    furniture.say_unheeded(selection.selection().scope)
    if not asked.elements:
        furniture.empty("Which elements?", "Choose at least one element above.")
        return
    found = advice(asked.elements, asked.kind, asked.quantity, asked.licence, only_conservative=asked.only_conservative)
    if found.tier is None:
        furniture.empty(
            f"No evidence for {_what(asked)}",
            "No model that fits your conditions has errors on enough configurations near this, so nothing can be "
            "recommended. Choose any kind, other elements or fewer conditions.",
        )
        _others(found, asked)
        return
    st.markdown(_answer(found, asked))
    _links(found, asked)
    advice_cards.show(found, asked)
    _chart(found, asked, slot)
    _others(found, asked)
    _tiers(found, asked)
    _coverage(found, asked)


def _what(asked: Request) -> str:
    """What was asked for, such as `grain boundary of W`."""
    kind = kind_label(asked.kind).lower() if asked.kind else "structures"
    return f"{kind} of {'-'.join(asked.elements)}"


def _answer(found: Advice, asked: Request) -> str:
    """The advice in a few sentences."""
    best = found.models.iloc[0]
    n = int(found.models["rmse"].notna().sum())
    tied = int((found.models["rank"] == best["rank"]).sum()) - 1
    apart = (
        "ahead of all others beyond doubt" if not tied and n > 1
        else f"not told apart from {tied} other{'s' * (tied != 1)}" if tied else "the only one that can be compared"
    )  # fmt: skip
    datasets = wording.listed((wording.dataset_label(name) for name in found.dataset_ids), 4)
    expected = advice_cards.error_text(best.to_dict(), asked.quantity)
    text = (
        f"For **{_what(asked)}**: **{best['label']}**, {apart} of {n} compared models. "
        f"Expected {asked.quantity} error: {expected}.\n\nThe models were compared by "
        f"{'force' if asked.quantity == 'force' else 'aligned energy'} RMSE on the nearest evidence, "
        f"**{tier_label(found.tier or 0, asked.kind)}**: the {found.n_shared:,} configurations of {datasets} that all "
        f"of them share, in {found.n_clusters} independent cluster{'s' * (found.n_clusters != 1)}."
    )
    sizes = found.tiers.set_index("tier").loc[found.tier]
    notes = []
    if found.wide_tier is not None:
        notes.append("So few clusters tell no models apart; ranks on the next tier stand beside them.")
    if found.tier in (OTHER, PART):
        notes.append("Nothing with just these elements is near enough, so the advice rests on other metals.")
    if asked.n_atoms > 2 * sizes["n_atoms_hi"]:
        notes.append(f"No evidence is as large as {asked.n_atoms:,} atoms: it has at most {sizes['n_atoms_hi']:,}.")
    return " ".join([text, *notes])


def _links(found: Advice, asked: Request) -> None:
    """Links to the pages that show the evidence itself."""
    model_id, dataset_id = str(found.models["model_id"].iloc[0]), found.dataset_ids[0]
    kinds = (asked.kind,) if asked.kind and found.tier != evidence.SAME_ELEMENTS else ()
    elements = asked.elements if found.tier != OTHER else ()
    scope = Scope.of(dataset_id, kinds=kinds, elements=elements)
    place = {"model": [model_id], **scope.to_address()}
    with st.container(horizontal=True):
        for file, label, icon in (
            ("views/defects.py", "All models by kind", ":material/category:"),
            (links.PARITY_PAGE, "Its errors", ":material/scatter_plot:"),
            (links.STRUCTURE_PAGE, "Its structures", ":material/deployed_code:"),
        ):
            st.page_link(file, label=label, icon=icon, query_params=place, width="content")
        st.page_link(links.PREDICT_PAGE, label="Try your own structure", icon=":material/play_circle:", width="content")
    _worst_atom(found, asked)


def _worst_atom(found: Advice, asked: Request) -> None:
    """Link to the worst atom in 3D, of the best model that has errors on structures whose atoms are here."""
    compared = found.models.loc[found.models["rmse"].notna(), "model_id"].astype(str).tolist()
    others = found.models.loc[found.models["rmse"].isna(), "model_id"].astype(str).tolist()
    worst = configurations.worst_atom((*compared, *others), asked.elements, asked.kind or "")
    if worst is None:
        return
    best, labels = compared[0] if compared else worst.model_id, wording.model_labels()
    links.structure_link(
        worst.dataset_id, worst.config_id, worst.model_id, atom=worst.atom_index, label="The worst atom in 3D"
    )
    notes = [
        f"The worst atom: {significant(1e3 * worst.force_error)} meV/Å of {labels[worst.model_id]} in a structure of "
        f"kind {kind_label(worst.kind).lower()} of {wording.dataset_label(worst.dataset_id)}."
    ]
    if asked.kind and worst.kind != asked.kind:
        notes.append(f"No {kind_label(asked.kind).lower()} of {'-'.join(asked.elements)} is here with its atoms.")
    if worst.model_id != best:
        notes.append(
            f"There are no forces of {labels[best]} on structures whose atoms are here; the next best model with "
            "such forces is shown."
        )
    furniture.captions(" ".join(notes))


def _chart(found: Advice, asked: Request, slot: DeltaGenerator) -> None:
    """Intervals of the compared models."""
    quantity = asked.quantity
    table = found.models[found.models["rmse"].notna()].head(_ROWS)
    unit = QUANTITIES[METRICS[quantity].rmse].unit
    title = f"Expected {quantity} error for {_what(asked)}"
    shown = pd.DataFrame({
        "model_id": table["model_id"], "label": table["label"], "is_best": table["cause"].eq(""),
        "rank": table["rank"], "rank_hi": table["rank_hi"],
        **{name: 1e3 * table[f"{quantity}_{name}"] for name in ("median", "high")}, "rmse": 1e3 * table["rmse"],
        "tier": [tier_label(tier, asked.kind) if pd.notna(tier) else "no evidence"
                 for tier in table[f"{quantity}_tier"]],
    }).reset_index(drop=True)  # fmt: skip
    n = f"{found.n_shared:,} shared configurations"
    origin = furniture.provenance("advisor", title, shown["model_id"], Scope.of(*found.dataset_ids), n)
    furniture.figure(
        lambda ink: advice_plots.expected_errors(shown, quantity, ink, title, origin.source_line()),
        shown,
        origin,
        f"{title}: intervals of {len(shown)} models; the drawers below hold the same numbers.",
        key="advice",
        slot=slot,
    )
    st.caption(
        f"Bars: {100 * NOMINAL:.0f} % of configurations are expected below the end, in {unit}, from each model's own "
        "nearest evidence; line: half of them. Dot: RMSE on the shared configurations, by which models are ordered. "
        "Grey numbers: 95 % interval of the rank. Coloured: recommended."
        + (f" The first {_ROWS} of {found.models['rmse'].notna().sum()}." if len(shown) == _ROWS else "")
    )


def _others(found: Advice, asked: Request) -> None:
    """Each model that is not recommended, with one reason."""
    others = found.models[found.models["cause"] != ""]
    st.subheader(f"Why not the other {len(others)}", anchor=False)
    unit = QUANTITIES[METRICS[asked.quantity].rmse].unit
    table = pd.DataFrame({
        "label": others["label"], "cause": others["cause"].map(CAUSES), "reason": others["reason"],
        "ranks": wording.intervals(others["rank"], others["rank_hi"]), "rmse": 1e3 * others["rmse"],
        "force_high": 1e3 * others["force_high"], "energy_high": 1e3 * others["energy_high"],
    })  # fmt: skip
    if found.wide_tier is not None:
        table.insert(4, "wide_ranks", wording.intervals(others["wide_rank"], others["wide_rank_hi"]))
    heads = {
        "label": st.column_config.TextColumn("Model", width=220, pinned=True),
        "cause": st.column_config.TextColumn("Why not", width="small"),
        "reason": st.column_config.TextColumn("Reason", width="large"),
        "wide_ranks": st.column_config.TextColumn(
            f"Rank on {tier_label(found.wide_tier, asked.kind) if found.wide_tier is not None else ''}"
        ),
        "rmse": st.column_config.NumberColumn(f"RMSE where compared ({unit})", format="%.2f"),
        "force_high": st.column_config.NumberColumn("90 % of force errors below (meV/Å)", format="%.1f"),
        "energy_high": st.column_config.NumberColumn("90 % of energy errors below (meV/atom)", format="%.2f"),
    }
    counts = others["cause"].map(CAUSES).value_counts()
    st.caption("; ".join(f"{cause}: {n}" for cause, n in counts.items()) + f". The best {BEST} are not listed.")
    drawer = tables.drawer("The reason against each", "reasons")
    if drawer.open:
        with drawer:
            tables.table_view(table, "advice-others", heads)


def _tiers(found: Advice, asked: Request) -> None:
    """What evidence there is, near and far."""
    drawer = tables.drawer("The evidence, near and far", "near")
    if not drawer.open:
        return
    with drawer:
        table = found.tiers.assign(is_used=found.tiers["tier"] == found.tier).drop(columns="tier")
        table["datasets"] = [
            wording.listed((wording.dataset_label(name) for name in text.split(", ") if name), 6)
            for text in table["datasets"]
        ]
        heads = {
            "label": st.column_config.TextColumn("Tier", pinned=True, width="medium"),
            "n_models": st.column_config.NumberColumn("Models with an interval"),
            "datasets": st.column_config.TextColumn("Datasets", width="large"),
            "n_atoms_lo": st.column_config.NumberColumn("Atoms, from"),
            "n_atoms_hi": st.column_config.NumberColumn("Atoms, to"),
            "is_used": st.column_config.CheckboxColumn("Compared here"),
        }
        tables.table_view(table, "advice-tiers", heads, height="content")
        st.caption(
            "Models are compared on the first tier in which three of them have an interval. An interval takes at least "
            "ten independent clusters, or twenty configurations of fewer clusters. Configurations that a model was "
            "trained on, or whose labels mean something else than its own, are no evidence, and forces that vanish by "
            "symmetry are none for forces. An expected error is that of the first tier that gives a model an interval."
        )


def _coverage(found: Advice, asked: Request) -> None:
    """How often intervals held on datasets that were left out, and how large they were."""
    st.subheader("How far to trust these intervals", anchor=False)
    parts = {quantity: evidence.coverage_by_tier(quantity) for quantity in ("force", "energy")}
    table = pd.concat([part.assign(quantity=quantity) for quantity, part in parts.items()], ignore_index=True)
    if table.empty:
        furniture.empty(
            "Not tested here", "It takes two datasets that are evidence for each other; this store has none."
        )
        return
    own = table[(table["quantity"] == asked.quantity)]
    low, high = 100 * own["coverage_lo"].min(), 100 * own["coverage_hi"].max()
    here = own[own["tier"] == found.tier]
    at_tier = " No dataset here tests the tier of this advice."
    if len(here):
        at_tier = f" On the tier of this advice: {_mean(here):.0f} %."
    st.markdown(
        f"They promise {100 * NOMINAL:.0f} % and do not keep it from one dataset to another: with each dataset left "
        f"out in turn and asked for as you did, {_mean(own):.0f} % of its {asked.quantity} errors lay inside on "
        f"average over datasets, and {low:.0f} to {high:.0f} % on single ones.{at_tier}"
    )
    shown = pd.DataFrame({
        "quantity": table["quantity"], "tier": table["label"], "unit": table["unit"],
        **{name: 100 * table[name] for name in ("coverage", "coverage_lo", "coverage_hi")},
        **{name: 1e3 * table[name] for name in ("median", "high", "true_high")},
        "n_datasets": table["n_datasets"], "n_configs": table["n_configs"],
    })  # fmt: skip
    heads = {
        "quantity": st.column_config.TextColumn("Errors of", width="small", pinned=True),
        "tier": st.column_config.TextColumn("Nearest evidence elsewhere", width="medium"),
        "unit": st.column_config.TextColumn("Unit", width="small"),
        "coverage": st.column_config.NumberColumn("Inside (%)", format="%.1f"),
        "coverage_lo": st.column_config.NumberColumn("Lowest dataset (%)", format="%.1f"),
        "coverage_hi": st.column_config.NumberColumn("Highest dataset (%)", format="%.1f"),
        "median": st.column_config.NumberColumn("Median expected (meV/Å, meV/atom)", format="%.1f"),
        "high": st.column_config.NumberColumn("Upper end (meV/Å, meV/atom)", format="%.1f"),
        "true_high": st.column_config.NumberColumn("True upper end (meV/Å, meV/atom)", format="%.1f"),
        "n_datasets": st.column_config.NumberColumn("Datasets"),
        "n_configs": st.column_config.NumberColumn("Configurations", format="localized"),
    }
    drawer = tables.drawer("How often they held, by the nearness of the evidence", "held")
    if not drawer.open:
        return
    with drawer:
        tables.table_view(shown, "advice-coverage", heads, height="content")
        _coverage_note()


def _coverage_note() -> None:
    """What the numbers of the table are."""
    st.caption(
        "Every combination of elements and kind in a dataset is asked for as if there were only the other datasets. "
        "Shares are means over models and then over datasets, sizes means over models and medians over datasets. Unit: "
        "what counts once, an independent cluster, or a configuration where clusters are fewer than ten. True upper "
        "end: where 90 % of the errors of the dataset that was left out did end."
    )


def _mean(tiers: pd.DataFrame) -> float:
    """Coverage over all datasets of some tiers, %."""
    return float(100 * (tiers["coverage"] * tiers["n_datasets"]).sum() / tiers["n_datasets"].sum())


show()
