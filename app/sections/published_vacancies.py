"""Published vacancy energies beside those that models relax to, and beside those of our small unrelaxed cells."""

import pandas as pd
import streamlit as st

from app import address, furniture, tables, wording
from app.figures import reaction_plots
from engine.queries import reactions, relaxed_vacancies
from engine.queries.scope import Scope
from engine.registry.published_vacancies import SOURCE, STABLE_FROM
from engine.registry.reaction_rules import OWN_DATASET

MOST_MODELS = 5  # in the chart; more hide each other, and the table has all
_ENERGIES = {"formation": "Formation energy", "migration": "Migration energy"}


TITLE = "Relaxed vacancies beside published ones"


def show(model_ids: tuple[str, ...]) -> None:
    """Parity and errors of models that relaxed published vacancies, and our unrelaxed ones beside the published.

    Args:
        model_ids: Models of the sidebar that have vacancy energies.
    """
    address.heed("vacancy", _ENERGIES, _ENERGIES.__getitem__)
    energy = st.segmented_control(
        "Energy", list(_ENERGIES), default="formation", required=True, format_func=_ENERGIES.__getitem__,
        key="vacancy", bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    is_migration = energy == "migration"
    agreement = relaxed_vacancies.agreement_of_models(is_migration=is_migration)
    if agreement["n"].sum():
        _parity(agreement, model_ids, energy)
        _models(agreement, is_migration)
        _failed(is_migration)
        _method(is_migration)
    else:
        furniture.empty(
            f"No {_ENERGIES[energy].lower()} relaxed by a model",
            "Run `python -m precompute vacancies --model chgnet-0.3.0"
            f"{' --migration' if is_migration else ''}` and then `python -m precompute build`.",
        )
    _unrelaxed(model_ids)


def _parity(agreement: pd.DataFrame, model_ids: tuple[str, ...], energy: str) -> None:
    """The chart of the sidebar's models, and of those that relaxed most."""
    by_size = agreement.sort_values("n", ascending=False, kind="stable")
    known = by_size.loc[by_size["n"] > 0, "model_id"].tolist()
    asked = [name for name in model_ids if name in known]
    shown = [*asked, *(name for name in known if name not in asked)][:MOST_MODELS]
    table = relaxed_vacancies.relaxed_vacancies(is_migration=energy == "migration")
    table = table[table["model_id"].isin(shown) & table["error"].notna()]
    table = table.sort_values("model_id", key=lambda ids: ids.map(shown.index), kind="stable")
    title = f"Vacancy {_ENERGIES[energy].lower()}: relaxed by models against published"
    n = f"{len(table):,} energies of {table['element'].nunique()} metals"
    origin = furniture.provenance_beside("defect-energies", title, shown, "published vacancies", n, SOURCE)
    furniture.figure(
        lambda ink: reaction_plots.relaxed_vacancies(table, _ENERGIES[energy], ink, title, origin.source_line()),
        table,
        origin,
        f"{title}, {n}; the table below holds errors by model.",
        key="relaxed-vacancies",
    )
    lacking = [wording.model_labels()[name] for name in model_ids if name not in known]
    st.caption(
        "Full symbols: fcc. Hollow symbols: hcp. Dashed: agreement. The models of the sidebar come first, then those "
        "that relaxed most." + (f" {', '.join(lacking)} relaxed none." if lacking else "")
    )


def _models(agreement: pd.DataFrame, is_migration: bool) -> None:
    """Errors by model."""
    ranked = agreement[agreement["rank_lo"].notna()]
    table = agreement.assign(
        ranks=wording.intervals(agreement["rank_lo"], agreement["rank_hi"]),
        volume_error=100 * agreement["volume_error"].astype(float),
    )
    columns = ["label", "ranks", "mae", "mae_lo", "mae_hi", "mean_error", "largest_error", "mae_shared", "n"]
    columns += ["n_elements", "n_failed", "volume_error", "functional", "reason"]
    heads = {
        "mae": "MAE (eV)", "mae_lo": "95 % from", "mae_hi": "to", "mean_error": "Mean error (eV)",
        "largest_error": "Largest (eV)", "mae_shared": "MAE on shared (eV)", "n": "Energies", "n_elements": "Metals",
        "n_failed": "Failed", "volume_error": "Volume (%)", "functional": "Functional", "reason": "Why no rank",
    }  # fmt: skip
    if len(ranked) > 1:
        quantity = "migration" if is_migration else "formation"
        st.markdown(
            f"Ranked by mean absolute error on the **{int(ranked['n_shared'].iloc[0])} {quantity} energies** that all "
            f"{len(ranked)} ranked models have. Models that cannot be told apart share a rank."
        )
    tables.table_view(table[columns].round(3), "relaxed-vacancy-models", heads)


def _failed(is_migration: bool) -> None:
    """What no relaxation gave an energy for, with the reason."""
    table = relaxed_vacancies.relaxed_vacancies(is_migration=is_migration)
    failed = table[table["status"] != "ok"]
    if len(failed):
        shown = failed[["label", "element", "structure", "quantity", "reason"]]
        tables.view_data(shown, "vacancies-failed", label=f"Relaxations that failed ({len(failed)})")
    columns = ["label", "element", "structure", "quantity", "n_sites", "published", "energy", "error"]
    columns += ["unrelaxed_energy", "largest_displacement", "n_steps"]
    heads = {"published": "Published", "energy": "Relaxed", "unrelaxed_energy": "Before atoms moved"}
    heads |= {"error": "Error", "structure": "Lattice", "quantity": "Energy of", "n_sites": "Sites"}
    heads |= {"largest_displacement": "Largest displacement (Å)", "n_steps": "Steps"}
    shown = table.loc[table["status"] == "ok", columns].round(3)
    tables.view_data(shown, "vacancies-relaxed", heads, label="All relaxed vacancies (eV)")


def _method(is_migration: bool) -> None:
    """How the numbers came about."""
    text = (
        f"Published: {SOURCE}. Of its rows count those with a formation energy above {STABLE_FROM} eV: below it the "
        "crystal hardly holds together (noble gases, metals in a lattice that is not theirs). Of a metal with two rows "
        "the spin-polarised one counts. Each model first relaxes the perfect crystal with its cell, then a supercell "
        "of 32 (fcc) or 36 (hcp) sites without one atom, at fixed cell, to forces below 0.01 eV/Å. The formation "
        "energy is E(N − 1 atoms) − (N − 1) E(crystal)/atom. "
    )
    if is_migration:
        text += (
            "For the migration energy a neighbour of the vacancy is put half-way on its jump; symmetry keeps it there "
            "while the others relax. hcp has two jumps, between layers and within a layer. That the state has one "
            "unstable direction alone is not checked. "
        )
    text += "Bounds and ranks draw metals, whose fcc and hcp crystals count as one. "
    sizes = relaxed_vacancies.effect_of_size()
    if len(sizes) and not is_migration:
        most = sizes.iloc[0]
        text += (
            f"Supercells of 108 and 96 sites change {len(sizes)} formation energies of "
            f"{' and '.join(sizes['label'].unique())} by {sizes['change'].abs().median():.3f} eV in the median, and "
            f"most in {most['structure']} {most['element']} ({most['change']:+.2f} eV). "
        )
    st.caption(text + "`python -m precompute vacancies --model ID` computes more.")


def _unrelaxed(model_ids: tuple[str, ...]) -> None:
    """Published energies beside our unrelaxed ones and those of models on the same cells."""
    st.markdown("**Beside our small unrelaxed cells**")
    table = reactions.vacancies(model_ids)
    both = table[table["reference"].notna()]
    labels = {"reference": "our DFT, unrelaxed"} | {m: wording.model_labels()[m] for m in model_ids}
    if len(both):
        _chart(both, labels, model_ids)
    st.caption(
        f"{len(table.drop_duplicates(['element', 'structure']))} metals and structures are published, of which many "
        "are not the ground state. Our vacancies are unrelaxed and in cells of 8 or 16 sites, where a vacancy is a "
        "neighbour of its own images. They need not agree with relaxed ones in large cells. Models are evaluated on "
        "our cells without relaxation."
    )
    heads = {"published": "Formation, published", "migration": "Migration, published", "place": "Cell of ours"}
    heads |= {"is_magnetic": "Magnetic", "is_converged": "Our label converged"} | labels
    columns = ["element", "structure", "published", "migration", "place", "reference", "is_converged", *model_ids]
    shown = table[columns].round(3).rename(columns=labels)
    tables.view_data(shown, "vacancies-published", heads, label="Published vacancy energies (eV)")


def _chart(both: pd.DataFrame, labels: dict[str, str], model_ids: tuple[str, ...]) -> None:
    """Published and own energies of each metal, ours from the larger cell."""
    largest = both.sort_values("place").drop_duplicates("element").sort_values("published")
    # 16 sites sort before 8 by their text, so the first row of a metal is the larger cell
    title = "Vacancy formation energy: published (relaxed) beside ours (unrelaxed)"
    origin = furniture.provenance(
        "defect-energies", title, model_ids, Scope.of(OWN_DATASET), f"{len(largest)} metals in the same structure"
    )
    furniture.figure(
        lambda ink: reaction_plots.vacancies(largest, labels, ink, title, origin.source_line()),
        largest,
        origin,
        f"{title}, metal by metal.",
        key="vacancies",
    )
