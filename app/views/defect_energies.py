"""Defect energies: how well models predict energies of defects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, furniture, selection, tables, wording
from app.figures import reaction_plots
from app.sections import defect_gallery, published_vacancies
from engine.quantities import significant
from engine.queries import catalog, reactions
from engine.queries.scope import Scope
from engine.registry.reactions import KINDS, SOLUTE_KINDS, Kind

LARGEST_TILE = {"eV": 0.5, "mJ/m²": 500.0, "meV/atom": 50.0}  # error at both ends of the colours
RANKED_SHOWN = 15  # models in the chart of the ranking; the table has all of them


@dataclass(frozen=True)
class Choice:
    """Choices of the page.

    Attributes:
        kind: Kind of defect energies.
        dataset_id: Dataset that errors and ranks are of.
        within: Conditions on the cells with a defect.
        labels: Which labels count in rankings, `shown` or `all`.
        n_shown: Defect energies whose label may be trusted.
        n_all: All with a reference value.
    """

    kind: Kind
    dataset_id: str
    within: Scope
    labels: str
    n_shown: int
    n_all: int

    @property
    def scope(self) -> Scope:
        """The cells with a defect of the dataset."""
        return self.within.on(self.dataset_id)

    @property
    def counted(self) -> str:
        """Labels that numbers rest on: all of them where none is shown to be converged."""
        return self.labels if self.n_shown else reactions.ALL_LABELS


def show() -> None:
    """Numbers of the chosen model, metals, parity over kinds, cancellation, ranking, vacancies, and the list."""
    chosen = selection.selection()
    slot = furniture.header(
        "Defect energies",
        "Does a model know what a defect costs? A defect energy is a difference of total energies, in which errors may "
        "cancel or add up. Atoms balance in it, so it needs no alignment.",
    )
    within = chosen.scope.on()
    known = reactions.reaction_kinds(within)
    known = known[known["n_models"] > 0]
    if known.empty:
        _nothing_here(chosen)
        return
    with furniture.controls():
        choice = _choice(known, chosen.dataset_id, within)
    metrics = reactions.reaction_metrics(choice.scope, choice.kind.kind_id, choice.counted, with_seen=chosen.with_seen)
    shown = [name for name in (chosen.model_id, *chosen.compare) if name in set(metrics["model_id"])]
    _labels_note(choice)
    if chosen.model_id in shown:
        _headline(metrics.set_index("model_id").loc[chosen.model_id], choice)
    else:
        _not_run(chosen.model_id, metrics, choice)
    if shown:
        _metals(choice, shown[0], slot)
    _ranking(metrics, choice, chosen.with_seen)
    _drawers(choice, tuple(shown), known, chosen)
    _definitions(choice)


def _drawers(choice: Choice, shown: tuple[str, ...], known: pd.DataFrame, chosen: selection.Selection) -> None:
    """The parts that are made when they are opened."""
    kind = choice.kind.label
    parts: list[tuple[str, str, Sequence[str], Callable[[], None]]] = []
    if shown:
        listed = f"{kind}, by error of {wording.model_labels()[shown[0]]}"
        parts += [
            ("All kinds: predicted against reference", "parity", (), lambda: _parity(choice, shown, known)),
            (f"{kind}: do errors of total energies cancel?", "cancel", (), lambda: _cancellation(choice, shown)),
            (listed, "list", (), lambda: _list(choice, shown[0])),
        ]
    if choice.kind.kind_id == "vacancy":
        title = published_vacancies.TITLE
        parts.append((title, "published", ("vacancy",), lambda: published_vacancies.show(shown)))
    tables.drawers([*parts, (defect_gallery.TITLE, "cells", (), lambda: defect_gallery.show(chosen))])


def _nothing_here(chosen: selection.Selection) -> None:
    """Empty state where no model has a defect energy; the address is checked all the same."""
    address.heed("kind", KINDS, lambda name: KINDS[name].label)
    address.heed("of", catalog.datasets()["dataset_id"], wording.dataset_label)
    address.heed_switch("unconverged")
    words = chosen.scope.restrictions()
    furniture.empty(
        "No defect energies",
        "No model has results for all parts of any defect energy"
        + (f" of a cell that fits: {', '.join(words)}. Remove a condition at the left, or run" if words else ". Run")
        + " `python -m precompute run --reactions --model "
        f"{chosen.model_id}` and then `python -m precompute build`.",
    )
    tables.drawers([(defect_gallery.TITLE, "cells", (), lambda: defect_gallery.show(chosen))])


def _choice(known: pd.DataFrame, dataset_id: str, within: Scope) -> Choice:
    """The page's own widgets: kind, dataset, and whether labels count that are not shown to be converged."""
    kinds = known["kind"].unique().tolist()
    address.heed("kind", kinds, lambda name: KINDS[name].label)
    address.heed_switch("unconverged")
    kind: str = st.selectbox(
        "Kind",
        kinds,
        format_func=lambda name: KINDS[name].label,  # what the address holds too
        key="kind",
        bind="query-params",
        width=300,
    )
    here = known[known["kind"] == kind].set_index("dataset_id")
    options = here.sort_values("n_models", ascending=False, kind="stable").index.tolist()
    first = dataset_id if dataset_id in options else options[0]
    if st.session_state.get("of", first) not in options:
        st.session_state["of"] = first
    address.heed("of", options, wording.dataset_label)
    of: str = st.selectbox(
        "Reference",
        options,
        index=options.index(first),
        format_func=wording.dataset_label,
        key="of",
        width=240,
        bind="query-params",
    )
    everything = st.toggle(
        "Rank on unconverged labels",
        key="unconverged",
        bind="query-params",
        help="Defect energies of Open Defects count in rankings where their label is shown to be within 20 meV or 5 % "
        "of a denser mesh of k-points. This switch includes the others.",
    )
    row = here.loc[of]
    labels = reactions.ALL_LABELS if everything else reactions.SHOWN
    return Choice(KINDS[kind], of, within, labels, int(row["n_shown"]), int(row["n_reference"]))


def _labels_note(choice: Choice) -> None:
    """A sentence on which labels are shown to be converged."""
    missing = choice.n_all - choice.n_shown
    if not missing:
        return
    if choice.labels == reactions.ALL_LABELS:
        text = f"all {choice.n_all:,} count, since the switch is on; {missing:,} are not shown to be converged."
    elif choice.n_shown:
        text = (
            f"numbers and ranks rest on the {choice.n_shown:,} of {choice.n_all:,} whose labels are shown to be "
            "converged. The switch above includes the others, which are hollow in the charts."
        )
    else:
        text = (
            f"none of the {choice.n_all:,} labels is shown to be converged, so no model is ranked. Numbers rest on all "
            "of them; the switch above ranks on them too."
        )
    st.caption(f":material/rule: {choice.kind.label}: {text}")


def _headline(row: pd.Series, choice: Choice) -> None:
    unit, kind = choice.kind.unit, choice.kind
    bounds = (
        f"95 %: {wording.bounds(row, 'rmse')}" if pd.notna(row["rmse_lo"]) else "too few metals or cells for bounds"
    )
    numbers = [
        (wording.seen_marked(f"RMSE ({unit})", row["is_seen"]), significant(row["rmse"]), bounds),
        (f"Mean error ({unit})", significant(row["mean_error"]), "predicted minus reference"),
        (f"MAE ({unit})", significant(row["mae"]), ""),
    ]
    if kind.kind_id in (*SOLUTE_KINDS, "divacancy", "hydrogen-site"):
        baseline = f"always the same answer: {significant(100 * row['sign_baseline'])} %"
        numbers.append(("Sign right (%)", significant(100 * row["sign_agreement"]), baseline))
    numbers.append(("Cancellation ratio", significant(row["cancellation"]), "median; below 1 errors cancel"))
    failed = f", {row['n_failed']:,} with a failed part" if row["n_failed"] else ""
    numbers.append(("Defect energies", f"{row['n_reactions']:,}", f"of {row['n_expected']:,}{failed}"))
    furniture.numbers(numbers)


def _not_run(model_id: str, metrics: pd.DataFrame, choice: Choice) -> None:
    """Empty state of a model without a complete defect energy of the kind."""
    furniture.empty(
        f"No such defect energies of {wording.model_labels()[model_id]}",
        "The model has results for all parts of none of them. Run `python -m precompute run --reactions --model "
        f"{model_id} --dataset {choice.dataset_id}`, which leaves out everything else, and then `python -m precompute "
        f"build`. Models with numbers: {wording.listed(metrics['label'])}.",
    )


def _metals(choice: Choice, model_id: str, slot: DeltaGenerator) -> None:
    kind = choice.kind
    table = reactions.metal_errors(choice.within, kind.kind_id, model_id)
    label = wording.model_labels()[model_id]
    title = f"{kind.label}: mean error of {label} by metal"
    n_metals = int((table["n_own"] > 0).sum())
    count = f"{int(table['n_own'].sum()):,} (metal, defect energy) pairs of {n_metals} metals"
    origin = furniture.provenance("defect-energies", title, [model_id], choice.within, count)
    limit = LARGEST_TILE[kind.unit]
    furniture.figure(
        lambda ink: reaction_plots.metals(table, kind.unit, limit, ink, title, origin.source_line()),
        table,
        origin,
        f"Periodic table of the {title}; the table below holds the same numbers.",
        key="reaction-metals",
        slot=slot,
        width=820,
    )
    st.caption(
        "Blue: the model's energy is too low. Red: it is too high. All datasets count. A grey metal without a number "
        "has "
        "such energies, but none of this model. Labels that are not shown to be converged count too; the pointer gives "
        "their number."
    )
    tables.view_data(table, "reaction-metals")


def _ranking(metrics: pd.DataFrame, choice: Choice, with_seen: bool) -> None:
    st.subheader(f"Models by {choice.kind.label.lower()}", anchor=False)
    if choice.counted != choice.labels:
        metrics = metrics.assign(rank=pd.NA, rank_lo=np.nan, rank_hi=np.nan)
    ranked = metrics[metrics["rank"].notna()]
    names = [wording.marked(row.label, row.origin, row.is_seen) for row in metrics.itertuples()]
    metrics = metrics.assign(head=names, ranks=wording.intervals(metrics["rank_lo"], metrics["rank_hi"]))
    charted = (metrics[metrics["rank"].notna()] if len(ranked) else metrics).head(RANKED_SHOWN)
    if len(ranked):
        n, n_clusters = int(ranked["n_reactions"].iloc[0]), int(ranked["n_clusters"].iloc[0])
        st.markdown(
            f"Compared on the **{n:,} of {choice.n_all:,} defect energies** that all {len(ranked)} ranked models have, "
            f"from {n_clusters} independent metals or cells. Models that cannot be told apart share a rank."
            + (" With so few none can be told apart." if n_clusters < 6 else "")
        )
    title = f"{choice.kind.label}: RMSE and ranks on {wording.dataset_label(choice.dataset_id)}"
    origin = furniture.provenance(
        "defect-energies", title, charted["model_id"], choice.scope, f"{choice.n_all:,} defect energies"
    )
    furniture.figure(
        lambda ink: reaction_plots.ranking(charted, choice.kind.unit, ink, title, origin.source_line()),
        charted.drop(columns=["reason"]),
        origin,
        f"{title}; the table below holds the same numbers.",
        key="reaction-ranking",
    )
    columns = ["head", "ranks", "n_reactions", "rmse", "rmse_lo", "rmse_hi", "mae", "mean_error", "cancellation"]
    if choice.kind.kind_id in SOLUTE_KINDS:
        columns += ["sign_agreement", "sign_baseline", "spearman"]
    unit = choice.kind.unit
    heads = {"head": "Model", "rmse": f"RMSE ({unit})", "rmse_lo": "95 % from", "rmse_hi": "to", "mae": f"MAE ({unit})"}
    heads |= {"mean_error": f"Mean error ({unit})", "reason": "Why no rank"}
    settings = {name: st.column_config.Column(text) for name, text in heads.items()}
    table = tables.shown(metrics[[*columns, "reason"]]).round(4)
    tables.table_view(table, "reaction-models", settings)
    furniture.captions(wording.seen_note(metrics, with_seen=with_seen))


def _parity(choice: Choice, model_ids: tuple[str, ...], known: pd.DataFrame) -> None:
    errors = reactions.reaction_errors(choice.scope, model_ids)
    present = [name for name in known["kind"].unique() if name in set(errors["kind"])]
    names = {name: f"{KINDS[name].label} ({KINDS[name].unit})" for name in present}
    title = f"Predicted against reference defect energies, {wording.dataset_label(choice.dataset_id)}"
    origin = furniture.provenance(
        "defect-energies", title, model_ids, choice.scope, f"{errors['reaction_id'].nunique():,} defect energies"
    )
    table = errors.drop(columns="part_errors")
    furniture.figure(
        lambda ink: reaction_plots.parity(errors, names, ink, title, origin.source_line()),
        table,
        origin,
        f"{title}, one panel a kind.",
        key="reaction-parity",
    )
    st.caption(f"Dashed: a perfect model. {reaction_plots.UNCONVERGED.capitalize()}.")
    tables.view_data(table.drop(columns=["model_id", "convergence_note"]), "reaction-parity")


def _cancellation(choice: Choice, model_ids: tuple[str, ...]) -> None:
    errors = reactions.reaction_errors(choice.scope, model_ids, choice.kind.kind_id)
    if errors.empty:
        return
    title = f"{choice.kind.label}: do errors of total energies cancel?"
    origin = furniture.provenance(
        "defect-energies", title, model_ids, choice.scope, f"{errors['reaction_id'].nunique():,} defect energies"
    )
    furniture.figure(
        lambda ink: reaction_plots.cancellation(errors, ink, title, origin.source_line()),
        errors.drop(columns="part_errors"),
        origin,
        f"{title} Size of each error against the size that independent errors of its parts would give.",
        key="reaction-cancellation",
    )
    st.caption(
        "On the dashed line an error is as large as independent errors of its parts would make it. Below the line the "
        f"parts' errors cancel, above it they add up. Errors below {reaction_plots.SMALLEST} meV are drawn at "
        f"{reaction_plots.SMALLEST} meV."
    )
    if choice.kind.kind_id in SOLUTE_KINDS:
        _breakdown(choice, model_ids)


def _breakdown(choice: Choice, model_ids: tuple[str, ...]) -> None:
    """Errors by host, solute and defect."""
    st.subheader("By system and defect", anchor=False)
    table = reactions.breakdown(choice.scope, choice.kind.kind_id, model_ids)
    unit = choice.kind.unit
    heads = {"rmse": f"RMSE ({unit})", "mean_error": f"Mean error ({unit})", "unit": None}
    tables.table_view(tables.shown(table).round(4), "reaction-systems", heads)


def _list(choice: Choice, model_id: str) -> None:
    """Every defect energy of one model, the largest error first, with a link to the cell with the defect."""
    unit = choice.kind.unit
    errors = reactions.reaction_errors(choice.scope, (model_id,), choice.kind.kind_id)
    order = errors["error"].abs().sort_values(ascending=False).index
    columns = ["system", "added", "environment", "place", "reference", "prediction", "error", "error_rss_mev"]
    columns += ["cancellation", "is_converged", "convergence_note", "config_id", "dataset_id"]
    if not errors["added"].any():
        columns = [name for name in columns if name not in ("added", "environment")]
    table = errors.loc[order, columns].round({"reference": 4, "prediction": 4, "error": 4})
    heads = {name: f"{name.capitalize()}, {unit}" for name in ("reference", "prediction", "error")}
    table = table.rename(columns=heads | {"system": "System", "is_converged": "Converged", "convergence_note": "Label"})
    tables.configuration_table(table, "reaction-list", model_id)


def _definitions(choice: Choice) -> None:
    lines = [f"- **{kind.label}** ({kind.unit}): {kind.definition}." for kind in KINDS.values()]
    dataset = f"--dataset {choice.dataset_id}"
    with st.expander("Definitions, and the command that prints these numbers"):
        st.markdown(
            "\n".join(lines)
            + "\n\nModels are evaluated at the geometries of the reference, without relaxation. The error of a part is "
            "that of its total energy times its coefficient, after removal of the least-squares offset per element "
            "over "
            "all parts. The errors of the parts add up to the error of the defect energy, whatever the offsets are.\n\n"
            f"`python -m precompute table --reactions {choice.kind.kind_id} {dataset}` prints the ranking. `--model "
            "ID` "
            "prints the energies one by one; without `--dataset` it prints the means by metal over all datasets. "
            "`--labels all` includes labels that are not shown to be converged. The columns part_configs and "
            "coefficients of the store's table `reactions` say which cells make each energy."
        )


show()
