"""Force errors and softening by class of local environment."""

import pandas as pd
import streamlit as st

from app import address, furniture, selection, tables, wording
from app.figures import environment_plots
from engine.queries import catalog, environments, reference_data

MOST_MODELS = 8  # bars of more than these cannot be told apart; the table has all

_QUANTITIES = {
    "force_rmse_mev_per_ang": "Force RMSE (meV/Å)",
    "force_slope": "Slope of predicted over reference forces",
}

_BOUNDS = (
    " Bars of force errors have 95 % bounds over independent clusters of configurations, for classes with atoms in at "
    "least six clusters."
)
_NO_BOUNDS = (
    " These numbers have no bounds: the class occurs in fewer than six independent clusters, or the summary in the "
    "repository is from before bounds by class."
)


def show(chosen: selection.Selection) -> None:
    """Force RMSE and slope of models by class of environment, and of the chosen model by group and class.

    Args:
        chosen: The sidebar's choices.
    """
    st.subheader("Which atoms do models get wrong?", anchor=False)
    is_narrowed = not chosen.scope.is_summarised
    table = (
        environments.class_metrics_in(chosen.scope)
        if is_narrowed
        else environments.class_metrics(chosen.dataset_id, chosen.scope.group)
    )
    if table.empty and is_narrowed and furniture.no_atoms(chosen.dataset_id):
        return
    if table.empty:
        furniture.empty(
            "No force errors by class",
            f"{wording.place(chosen.scope)} has no model with forces, or its environments are not described. Run "
            "`python -m precompute build`.",
        )
        return
    address.heed("by-class", _QUANTITIES, _QUANTITIES.__getitem__)
    column = st.segmented_control(
        "Show", list(_QUANTITIES), default="force_rmse_mev_per_ang", required=True,
        format_func=_QUANTITIES.__getitem__, key="by-class", bind="query-params",
    )  # fmt: skip
    table = table.assign(label=[wording.seen_marked(row.label, row.is_seen) for row in table.itertuples()])
    _bars(_shown(table, chosen), column, chosen)
    st.caption(_definitions())
    counts = environments.class_counts(chosen.scope)
    listed = ", ".join(f"{row.n_atoms:,} {row.class_name}" for row in counts.itertuples())
    st.caption(f"Atoms of {wording.place(chosen.scope)}: {listed}. All atoms count here, not only the sampled ones.")
    bounds = ["force_rmse_mev_per_ang_lo", "force_rmse_mev_per_ang_hi"]
    columns = ["label", "class_name", "n_configs", "n_clusters", "n_atoms", *bounds, *_QUANTITIES]
    tables.view_data(table[columns], "classes-of-models", {"class_name": "Class"}, label="All models by class")
    _by_group(chosen)


def _shown(table: pd.DataFrame, chosen: selection.Selection) -> pd.DataFrame:
    """The chosen models, and the best on the most atoms until there are enough; the best of all first."""
    sums = table.assign(square=table["n_atoms"] * table["force_rmse_mev_per_ang"] ** 2).groupby("model_id")
    totals = sums[["square", "n_atoms"]].sum()
    is_fair = ~table.groupby("model_id")["is_seen"].first() | chosen.with_seen
    order = totals[totals["n_atoms"].eq(totals["n_atoms"].max()) & is_fair]
    order = (order["square"] / order["n_atoms"]).sort_values().index.tolist()
    asked = [name for name in (chosen.model_id, *chosen.compare) if name in set(table["model_id"])]
    models = [*asked, *(name for name in order if name not in asked)][:MOST_MODELS]
    return table[table["model_id"].isin(models)].sort_values("model_id", key=lambda ids: ids.map(models.index))


def _bars(shown: pd.DataFrame, column: str, chosen: selection.Selection) -> None:
    title = f"{_QUANTITIES[column]} by local environment on {wording.place(chosen.scope)}"
    n = f"{environments.class_counts(chosen.scope)['n_atoms'].sum():,} atoms"
    models = list(dict.fromkeys(shown["model_id"]))
    origin = furniture.provenance("environments", title, models, chosen.scope, n)
    furniture.figure(
        lambda ink: environment_plots.class_bars(shown, column, _QUANTITIES[column], ink, title, origin.source_line()),
        shown,
        origin,
        f"{title}, a group of bars for each of {len(models)} models.",
        key="class-bars",
    )
    shares = shown.groupby("model_id")["n_atoms"].sum()
    part = (
        " The models have results for different numbers of atoms: do not rank them by these bars."
        if shares.nunique() > 1
        else ""
    )
    st.caption(
        "Shown are the models of the sidebar. After them come the models with the smallest force error that have "
        "results "
        f"for the most atoms and were not trained on these data.{part}"
        + (_BOUNDS if shown["force_rmse_mev_per_ang_lo"].notna().any() else _NO_BOUNDS)
    )
    furniture.captions(wording.seen_note(shown.drop_duplicates("model_id")))


def _definitions() -> str:
    return (
        "Surface: the neighbours within two nearest-neighbour distances lie to one side (mean direction longer than "
        "0.2). Bulk-like: adaptive common-neighbour analysis finds fcc, hcp or bcc. Liquid-like: neither of them, and "
        "the averaged bond order q6 of the first shell is below 0.3, as in melts and in crystals of other kinds such "
        "as "
        "A15 or hydrides. Defect core: all other atoms, around vacancies, interstitials, boundaries and solutes, and "
        "in "
        "a lattice that vibrates strongly. pyscal3 computes the classes, without regard to elements. A slope below 1 "
        "is "
        "softening: forces are too small."
    )


def _by_group(chosen: selection.Selection) -> None:
    """Slope and force RMSE of the chosen model, group by group and class by class."""
    table = environments.softening(chosen.dataset_id, chosen.model_id)
    if not chosen.scope.is_summarised:
        inside = reference_data.groups(chosen.dataset_id, chosen.scope)["group_name"]
        table = table[table["group_name"].isin(inside)]
        furniture.say_unheeded(chosen.scope, "The table below is over whole groups; their configurations do not heed")
    label = wording.model_labels()[chosen.model_id]
    st.markdown(f"**{label} by group and class on {wording.dataset_label(chosen.dataset_id)}**")
    if table.empty:
        furniture.empty(f"No forces of {label} here", "Choose another model at the left.")
        return
    outside = catalog.groups(chosen.dataset_id).set_index("group_name")["in_dataset"].eq(False)
    names = {name: f"{name} (outside the dataset)" for name in outside[outside].index} | {"all": "whole dataset"}
    table = table.assign(group_name=table["group_name"].map(lambda name: names.get(name, name)))
    tables.view_data(table, "softening", {"class_name": "Class"})
