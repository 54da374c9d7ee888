"""Defects: errors of models by kind of structures, on one dataset or pooled over several."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, conditions, furniture, links, selection, tables, wording
from app.figures import tile_maps
from engine.numerics.comparison import alignment_of
from engine.quantities import ALIGNMENTS, METRICS, QUANTITIES, significant
from engine.queries import catalog, kinds, reference_data, unions
from engine.queries.scope import Scope
from engine.registry.kinds import load_kinds

ONE, POOLED = "one", "pooled"
LEAST_FORCE = 1e-3  # eV/Å; where reference forces are smaller, symmetry makes them zero
_OVER = {ONE: "The dataset at the left", POOLED: "Datasets pooled"}


def show() -> None:
    """The matrix of models and kinds, the best model of each kind in a sentence, and what the kinds mean."""
    chosen = selection.selection()
    slot = furniture.header(
        "Defects",
        "Which model is the best for a kind of defect? Root mean square error by kind of structures; click on a cell "
        "for its configurations.",
    )
    scope, alignment = _controls(chosen)
    found = {
        quantity: kinds.kind_errors(alignment_of(quantity, alignment), scope, quantity, with_seen=chosen.with_seen)
        for quantity in METRICS
    }
    errors = found[chosen.quantity]
    if errors.empty:
        furniture.empty(
            f"No model has errors on {wording.place(scope)}",
            "Choose another dataset at the left or above, or remove a condition under “Which configurations”.",
        )
        return
    _matrix(_cells(errors, alignment, chosen.quantity), scope, alignment, chosen, slot)
    _best(found, scope, alignment)
    _meanings(scope)
    if st.session_state.pop("open_parity_of_kind", False):
        st.switch_page(links.PARITY_PAGE, query_params={})


def _controls(chosen: selection.Selection) -> tuple[Scope, str]:
    """The page's own choices: datasets, and how energies are compared."""
    options = catalog.datasets().query("n_models > 0")["dataset_id"].tolist()
    address.heed("over", _OVER, _OVER.__getitem__)
    address.heed_many("pool", options)
    with furniture.controls():
        over = st.segmented_control(
            "Over", list(_OVER), default=ONE, required=True, format_func=_OVER.__getitem__, key="over",
            bind="query-params",
            help="Pooled: over the configurations of all chosen datasets together, which only models with results on "
            "each of them can be ranked on.",
        )  # fmt: skip
        alignment = selection.alignment_switch()
    if over == ONE:
        return chosen.scope, alignment
    begin = list(unions.default_union())
    pool = st.multiselect(
        "Pooled", options, default=begin, key="pool", bind="query-params",
        help="It begins with datasets that most models have results on, as the page Ranking does.",
    )  # fmt: skip
    return chosen.scope.on(*(pool or begin)), alignment


def _cells(errors: pd.DataFrame, alignment: str, quantity: str) -> pd.DataFrame:
    """The cells of the matrix: kinds take the place of datasets."""
    column = METRICS[quantity].rmse
    barred = _barred(errors) if alignment == "raw" and quantity == "energy" else {}
    reasons = [barred.get((row.model_id, row.kind), "") for row in errors.itertuples()]
    metrics = errors.assign(
        dataset_id=errors["kind"], dataset_label=errors["kind_label"], source="", note="", energy_note="",
        cause=errors["cause"].replace("missing", "share"), why_not=reasons, comparable=[not text for text in reasons],
        **{column: errors["rmse"], f"{column}_lo": errors["rmse_lo"], f"{column}_hi": errors["rmse_hi"]},
    )  # fmt: skip
    columns = errors.drop_duplicates("kind")[["kind", "kind_label", "n_expected"]]
    heads = columns.assign(
        label=[f"{row.kind_label} ({row.n_expected:,})" for row in columns.itertuples()], nothing="no result"
    ).rename(columns={"kind": "dataset_id"})
    return tile_maps.matrix_cells(metrics, _ordered(errors), heads[["dataset_id", "label", "nothing"]])


def _barred(errors: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Why raw energies of a model cannot be compared on a kind: those of one dataset at least count otherwise."""
    pairs = errors[["model_id", "kind", "datasets"]].explode("datasets").rename(columns={"datasets": "dataset_id"})
    pairs = wording.judged(pairs, is_raw=True)
    pairs = pairs[~pairs["comparable"]].drop_duplicates(["model_id", "kind"])
    return {(row.model_id, row.kind): row.why_not for row in pairs.itertuples()}


def _ordered(errors: pd.DataFrame) -> pd.DataFrame:
    """Models that are ranked on most kinds first, and among these those with the smaller mean place."""
    places = errors.assign(place=errors[errors["is_ranked"]].groupby("kind")["rmse"].rank(pct=True))
    found = places.groupby(["model_id", "label"], as_index=False).agg(
        n=("place", "count"), place=("place", "mean"), n_own=("n_own", "sum")
    )
    return found.sort_values(["n", "place", "n_own", "label"], ascending=[False, True, False, True])


def _matrix(
    cells: pd.DataFrame, scope: Scope, alignment: str, chosen: selection.Selection, slot: DeltaGenerator
) -> None:
    quantity = chosen.quantity
    column, n_kinds = METRICS[quantity].rmse, cells["dataset_id"].nunique()
    words = f", {ALIGNMENTS[alignment]}" if quantity == "energy" else ""
    place = wording.place(scope) if len(scope.dataset_ids) < 3 else wording.place(scope.on())
    title = f"{QUANTITIES[column].label}{words} ({QUANTITIES[column].unit}) by kind: {place}"
    n_configs = int(cells.groupby("dataset_id")["n_expected"].max().sum())
    n = f"{n_configs:,} configurations" + (f" of {n_kinds} kinds" if n_kinds > 1 else "")
    origin = furniture.provenance("defects", title, cells["model_id"].unique(), scope, n)
    furniture.figure(
        lambda ink: tile_maps.matrix(cells, quantity, ink, title, origin.source_line(), with_n=True),
        _shown(cells, column),
        origin,
        f"Matrix of {title} for {cells['model_id'].nunique()} models; the table below holds the same numbers.",
        key="kind-matrix",
        slot=slot,
        on_select=_open_cell,
        width=max(680, 330 + 150 * n_kinds) if n_kinds < tile_maps.FEW_COLUMNS else "stretch",
    )
    st.caption(
        "Click on a cell for the parity chart of its model and kind. Small numbers: configurations. Coloured: ranked "
        "in its column, on the configurations that all ranked models share. Grey or with a star: not ranked; the "
        f"pointer says why. {wording.SEEN}." + (f" {wording.GREY}" if not cells["comparable"].all() else "")
    )
    st.caption(f"The same numbers on the command line: `{_command(scope, alignment)}`.")
    tables.view_data(_shown(cells, column), "kind-matrix")


def _command(scope: Scope, alignment: str) -> str:
    """The command that prints the numbers of the page."""
    kept = [f"--kind {name}" for name in scope.kinds] or ["--kind all"]
    asked = [*kept, *(f"--dataset {name}" for name in scope.dataset_ids)]
    asked += [f"--only {name}={value}" for name, values in scope.to_address().items()
              for value in values if name not in ("dataset", "kinds")]  # fmt: skip
    return " ".join(["python -m precompute table", *asked, *([] if alignment == "raw" else [f"--align {alignment}"])])


def _shown(cells: pd.DataFrame, column: str) -> pd.DataFrame:
    """The cells with numbers, for the table and the file."""
    rows = cells[cells["n_configs"] > 0]
    return rows[["label", "kind_label", column, f"{column}_lo", f"{column}_hi"]].assign(
        ranks=wording.intervals(rows["rank"], rows["rank_hi"]),
        **rows[["n_configs", "n_own", "n_expected", "n_clusters", "n_failed", "is_seen", "origin"]],
        why_no_rank=rows["reason"],
    )


def _open_cell() -> None:
    """Take the clicked cell's model and kind into the sidebar, and ask for the parity page."""
    cell = furniture.clicked("kind-matrix")
    if not cell:
        return
    model_id, kind = str(cell[0]), str(cell[1])
    st.session_state["model"] = model_id
    st.session_state[conditions.key("kinds")] = [kind]
    if st.session_state.get("over") == POOLED and (dataset_id := _largest(model_id, kind)):
        selection.choose_dataset(dataset_id)
    st.session_state["open_parity_of_kind"] = True


def _largest(model_id: str, kind: str) -> str | None:
    """The pooled dataset with most configurations of a kind that a model has results for."""
    pool = st.session_state.get("pool") or []
    counts = reference_data.counts_by_dataset(Scope.of(*pool, kinds=(kind,), shared_with=(model_id,)))
    return next(iter(counts), None)


# The best of each kind


def _best(found: Mapping[str, pd.DataFrame], scope: Scope, alignment: str) -> None:
    """A sentence for each kind: the best models by energies and by forces, with bounds and counts."""
    st.subheader("The best model of each kind", anchor=False)
    leaders = {quantity: kinds.leaders(errors) for quantity, errors in found.items()}
    forces = reference_data.forces_by_kind(scope)
    for kind, part in found["force"].groupby("kind", sort=False):
        both = {q: leaders[q][str(kind)] for q in METRICS if str(kind) in leaders[q]}
        ids = part["datasets"].iloc[0]
        names = wording.listed(wording.dataset_label(name) for name in ids)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            has_forces = forces.get(str(kind), 0.0) > LEAST_FORCE
            text = _sentence(both, int(part["n_expected"].iloc[0]), alignment, has_forces=has_forces)
            st.markdown(f"**{part['kind_label'].iloc[0]}** {text} {names}.")
            if both and len(ids) == 1:
                best = both.get("force" if has_forces else "energy") or next(iter(both.values()))
                narrowed = scope.on(*ids).narrowed(kinds=(str(kind),))
                links.parity_link(f"Parity of {best['label']}", best["model_id"], narrowed)
    st.caption(
        "The named model has the lowest error over the configurations that all ranked models share. Those that a "
        "paired bootstrap over clusters of configurations cannot tell apart from it are counted behind it. With fewer "
        "than six independent clusters there are no bounds, and no model can be told apart from another."
    )


def _sentence(leaders: Mapping[str, Mapping[str, Any]], n_expected: int, alignment: str, *, has_forces: bool) -> str:
    """Energies and forces of one kind, up to the datasets."""
    if not leaders:
        return f"No model can be ranked on the {n_expected:,} configurations of"
    parts = []
    for quantity, best in leaders.items():
        words = f"energies ({ALIGNMENTS[alignment]})" if quantity == "energy" else "forces"
        if quantity == "force" and not has_forces:
            parts.append("forces vanish by symmetry, so they do not tell models apart")
            continue
        name = wording.marked(best["label"], best["origin"], best["is_seen"])
        unit = QUANTITIES[METRICS[quantity].rmse].unit
        parts.append(f"{words}: {name}, {significant(best['rmse'])} {unit} ({_bounds(best)}; {_apart(best)})")
    n = " and ".join(dict.fromkeys(f"{best['n_configs']:,}" for best in leaders.values()))
    return f"{'; '.join(parts)}; over {n} {'configuration' if n == '1' else 'configurations'} of"


def _apart(best: Mapping[str, Any]) -> str:
    """How many other ranked models cannot be told apart from the best."""
    n_tied, n_others = len(best["tied"]), best["n_ranked"] - 1
    if not n_others:
        return "the only ranked model"
    if n_tied == n_others:
        return f"not told apart from any of {n_others} others"
    return f"not told apart from {n_tied} of {n_others} others" if n_tied else f"ahead of all {n_others} others"


def _bounds(best: Mapping[str, Any]) -> str:
    n = best["n_clusters"]
    if pd.isna(best["rmse_lo"]):
        return f"{n} independent {'cluster' if n == 1 else 'clusters'}, too few for bounds"
    return f"95 %: {wording.bounds(best, 'rmse')}"


def _meanings(scope: Scope) -> None:
    """What each kind means, and how many configurations of which dataset are of it."""
    counts = reference_data.counts_by_kind(scope.narrowed(kinds=()))
    rows = [
        {
            "kind": kind.label,
            "meaning": kind.meaning,
            "n_configs": int(part["n_configs"].sum()),
            "datasets": ", ".join(
                f"{wording.dataset_label(r.dataset_id)} ({r.n_configs:,})" for r in part.itertuples()
            ),
        }
        for kind in load_kinds().values()
        if len(part := counts[counts["kind"] == kind.kind_id])
    ]
    heads: dict[str, Any] = {
        "kind": st.column_config.TextColumn("Kind", pinned=True),
        "meaning": st.column_config.TextColumn("What counts", width="large"),
        "n_configs": st.column_config.NumberColumn("Configurations", format="localized"),
        "datasets": st.column_config.TextColumn("Of", width="large"),
    }
    tables.view_data(
        pd.DataFrame(rows, columns=list(heads)), "kinds", heads, label="What the kinds mean", height="content",
        note=" ".join(["Each configuration has one kind, by its group.", *_notes(scope)]),
    )  # fmt: skip


def _notes(scope: Scope) -> list[str]:
    """What else is in the groups of a kind, where a dataset's entry says so."""
    found = reference_data.kind_notes(scope.dataset_ids)
    return [f"{wording.dataset_label(dataset_id)}, {kind}: {note}" for dataset_id, kind, note in found]


show()
