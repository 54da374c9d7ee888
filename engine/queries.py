"""Reads of the results store: every SQL statement of the app, but for those of dataset_queries.py.

Energies and forces come back in the store's units (eV, Å) unless a column's name says otherwise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine import comparison, results
from engine import interactions as matching
from engine.errors import StoreError
from engine.records import Configuration as Configuration  # pages name these types
from engine.records import Prediction as Prediction
from engine.results import cached, store_path

FloatArray = NDArray[np.float64]

POINTS_LIMIT = 2000
BOX_LIMIT = 200
N_BINS = 200
QUANTILE_BINS = 40  # along x; a divisor of N_BINS
FRAME_SAMPLES = 200_000  # samples that fix the limits of a chart; all of them take seconds to sort
LINE_SAMPLES = 100  # in a bin, for a quantile line that means something

METRIC_COLUMNS = (
    "energy_rmse_mev_per_atom",
    "energy_rmse_mev_per_atom_lo",
    "energy_rmse_mev_per_atom_hi",
    "energy_mae_mev_per_atom",
    "force_rmse_mev_per_ang",
    "force_rmse_mev_per_ang_lo",
    "force_rmse_mev_per_ang_hi",
    "force_mae_mev_per_ang",
    "force_slope",
)


@dataclass(frozen=True)
class StoreInfo:
    """Which build of the data is shown."""

    data_version: str
    built_at: str
    git_commit: str


@dataclass(frozen=True)
class Density:
    """Binned pairs (x, y) with lines of quantiles of y along x.

    Attributes:
        x_edges: Shape (n_bins + 1,).
        y_edges: Shape (n_bins + 1,).
        counts: Shape (n_bins, n_bins), rows along y; NaN where a bin is empty.
        line_x: Centres of the bins that carry the quantile lines, shape (n_lines,).
        lines: 5, 50 and 95 % quantiles of y, shape (3, n_lines).
        n_total: Number of pairs.
        n_outside: Pairs beyond the edges.
    """

    x_edges: FloatArray
    y_edges: FloatArray
    counts: NDArray[np.float32]
    line_x: FloatArray
    lines: FloatArray
    n_total: int
    n_outside: int


@dataclass(frozen=True)
class Box:
    """A rectangle drawn on a chart, in the units of its axes."""

    x0: float
    x1: float
    y0: float
    y1: float


# What there is


@cached
def store_info() -> StoreInfo:
    """Version, time and commit of the build."""
    row = results.row("select data_version, strftime(built_at, '%Y-%m-%d %H:%M'), git_commit from store_info")
    if row is None:
        raise StoreError(f"{store_path()} holds no store_info row. Run: make demo")
    return StoreInfo(*(value or "unknown" for value in row))


@cached
def models() -> pd.DataFrame:
    """All registered models with the numbers of datasets: `n_tried` run on, `n_datasets` with a result."""
    return results.frame(
        """
        select m.*, coalesce(d.n_datasets, 0) as n_datasets, coalesce(d.n_tried, 0) as n_tried
        from models m
        left join (
            select model_id, count(distinct dataset_id) as n_tried,
                count(distinct dataset_id) filter (n_configs > 0) as n_datasets
            from dataset_metrics where group_name = 'all' group by model_id
        ) d using (model_id)
        order by lower(family), lower(label)
        """
    )


@cached
def datasets() -> pd.DataFrame:
    """All registered datasets with `n_models`, the number of models that were run on them."""
    return results.frame(
        """
        select d.*, coalesce(m.n_models, 0) as n_models
        from datasets d
        left join (
            select dataset_id, count(distinct model_id) as n_models from dataset_metrics
            where group_name = 'all' group by dataset_id
        ) m using (dataset_id)
        order by n_models desc, coalesce(paper_row, 1000), dataset_id
        """
    )


@cached
def groups(dataset_id: str) -> pd.DataFrame:
    """Groups of structures of a dataset: group_name, in_dataset, n_configs; the largest first."""
    return results.frame(
        """
        select group_name, bool_or(in_dataset) as in_dataset, count(*) as n_configs
        from configurations where dataset_id = $dataset group by group_name
        order by in_dataset desc, n_configs desc, group_name
        """,
        {"dataset": dataset_id},
    )


@cached
def totals() -> dict[str, int]:
    """Sizes of the store: configurations, predictions that are there, and failed ones."""
    row = results.row(
        """
        select (select count(*) from configurations where in_dataset) as n_configs,
            (select coalesce(sum(n_atoms), 0) from configurations where in_dataset) as n_atoms,
            count(*) filter (where status = 'ok') as n_ok,
            count(*) filter (where status <> 'ok') as n_failed
        from predictions
        """
    )
    assert row is not None  # an aggregate without grouping always gives one row
    return dict(zip(("n_configs", "n_atoms", "n_ok", "n_failed"), map(int, row), strict=True))


@cached
def runs() -> pd.DataFrame:
    """Where each (model, dataset) pair's predictions came from, one row a run, with its n_configs and n_failed."""
    return results.frame(
        """
        select r.model_id, r.dataset_id, m.label, d.label as dataset_label, r.origin, r.source, r.note,
            coalesce(p.n_configs, 0) as n_configs, coalesce(p.n_failed, 0) as n_failed, r.device, r.hardware,
            r.n_threads, r.dtype, r.d3, r.options, r.packages, r.started_at, r.wall_seconds, r.checkpoint_sha256,
            r.run_id
        from runs r
        left join models m using (model_id)
        left join datasets d using (dataset_id)
        left join (
            select run_id, count(*) filter (status = 'ok') as n_configs,
                count(*) filter (status <> 'ok') as n_failed
            from predictions group by run_id
        ) p using (run_id)
        order by r.dataset_id, r.model_id, r.started_at, r.run_id
        """
    )


@cached
def coverage() -> pd.DataFrame:
    """How much of every dataset every model was run on, and why it was not.

    Returns:
        One row per pair of model and dataset: model_id, label, family, dataset_id, dataset_label, n_configs (with a
        result), n_failed, n_expected (of the dataset), origin, source, and `why`: empty where the model was run,
        else why it was not, with the next step.
    """
    return results.frame(
        """
        select m.model_id, m.label, m.family, d.dataset_id, d.label as dataset_label,
            coalesce(x.n_configs, 0) as n_configs, coalesce(x.n_failed, 0) as n_failed,
            d.n_configs as n_expected, r.origin, r.source,
            case when x.model_id is not null then ''
                when not d.available then d.reason
                when not m.runnable then m.reason
                else 'Not run yet. Run: python -m precompute run --model ' || m.model_id || ' --dataset '
                    || d.dataset_id end as why
        from models m
        cross join datasets d
        left join (
            select model_id, dataset_id, n_configs, n_failed from dataset_metrics
            where group_name = 'all' and alignment = 'raw'
        ) x using (model_id, dataset_id)
        left join (
            select model_id, dataset_id, string_agg(distinct origin, ' + ' order by origin) as origin,
                string_agg(distinct source, '; ' order by source) as source
            from runs group by model_id, dataset_id
        ) r using (model_id, dataset_id)
        order by m.model_id, d.dataset_id
        """
    )


@cached
def claims() -> pd.DataFrame:
    """Statements of the paper beside what was measured here."""
    return results.frame(
        """
        select claim_id, text, paper_value, measured_value, unit, verdict, dataset_id from claims
        order by claim_id
        """
    )


# Metrics


@cached
def dataset_metrics(alignment: str, group: str = "all") -> pd.DataFrame:
    """Errors of every model on every dataset, with the origin of the numbers.

    Args:
        alignment: `raw` or `per_element`.
        group: A group of structures, or `all` for the whole dataset.

    Returns:
        One row per (dataset, model): the columns of `dataset_metrics`, the model's and the dataset's label, family,
        training_sets, energy_noise_per_atom and force_noise of the dataset (missing where not measured), `origin`
        (`computed`, `imported` or both), `source` and `note` of imported numbers, `n_own` (the same as n_configs
        here), `n_expected` (configurations of the group) and `is_ranked` (it was run on each of them and failed on
        few).
    """
    return results.frame(
        """
        select x.*, m.label, m.family, m.training_sets, m.n_parameters, m.paper_row,
            d.label as dataset_label, d.energy_noise_per_atom, d.force_noise, r.origin, r.source, r.note,
            x.n_configs as n_own, c.n_expected,
            x.n_configs + x.n_failed >= c.n_expected
                and x.n_failed <= $max_failed * (x.n_configs + x.n_failed) as is_ranked
        from dataset_metrics x
        join models m using (model_id)
        join datasets d using (dataset_id)
        join (
            select dataset_id, count(*) as n_expected from configurations
            where ($group = 'all' and in_dataset) or group_name = $group group by dataset_id
        ) c using (dataset_id)
        left join (
            select dataset_id, model_id, string_agg(distinct origin, ' + ' order by origin) as origin,
                string_agg(distinct source, '; ' order by source) filter (origin = 'imported') as source,
                string_agg(distinct note, '; ' order by note) filter (origin = 'imported') as note
            from runs group by dataset_id, model_id
        ) r using (dataset_id, model_id)
        where x.alignment = $alignment and x.group_name = $group
        order by x.dataset_id, x.model_id
        """,
        {"alignment": alignment, "group": group, "max_failed": comparison.MAX_FAILED_SHARE},
    )


# Configurations that each of some models has a result for.
_SHARED = """select dataset_id, config_id from errors where list_contains($models, model_id)
    group by dataset_id, config_id having count(*) = len($models)"""


def shared_metrics(
    alignment: str,
    *,
    dataset_id: str | None = None,
    group: str = "all",
    model_ids: tuple[str, ...] | None = None,
) -> pd.DataFrame:
    """Errors of models on the configurations that they share, dataset by dataset, so that they can be ranked.

    Args:
        alignment: `raw` or `per_element`, whose offsets are fitted to the shared configurations.
        dataset_id: One dataset; None for all of them.
        group: A group of structures, or `all` for the whole dataset.
        model_ids: The models to compare; None for all of them.

    Returns:
        As `dataset_metrics`. Where `is_ranked`, `n_configs` and the metrics are those of the shared configurations
        and `n_own` counts all that the model has a result for. A model that shares too few with the others, or
        failed on too many, is not ranked and keeps its own numbers.
    """
    own = dataset_metrics(alignment, group)
    ids = sorted(own["dataset_id"].unique()) if dataset_id is None else [dataset_id]
    parts = [_shared_on(name, alignment, group, model_ids) for name in ids]
    return pd.concat(parts, ignore_index=True) if parts else own


@cached
def _shared_on(dataset_id: str, alignment: str, group: str, model_ids: tuple[str, ...] | None) -> pd.DataFrame:
    """The part of `shared_metrics` that belongs to one dataset."""
    own = dataset_metrics(alignment, group)
    own = own[own["dataset_id"] == dataset_id]
    if model_ids is not None:
        own = own[own["model_id"].isin(model_ids)]
    has_all = own["n_configs"] == own["n_expected"]
    if (has_all | (own["n_configs"] == 0)).all():
        return own.assign(is_ranked=has_all)
    places = results.frame(
        """
        with places as (
            select config_id, row_number() over (order by config_id) as place
            from configurations where dataset_id = $dataset and (($group = 'all' and in_dataset) or group_name = $group)
        )
        select e.model_id, list(p.place) as places
        from errors e join places p using (config_id)
        where e.dataset_id = $dataset and list_contains($models, e.model_id)
        group by e.model_id order by e.model_id
        """,
        {"dataset": dataset_id, "group": group, "models": own["model_id"].tolist()},
    )
    failed = dict(zip(own["model_id"], own["n_failed"], strict=True))
    known = dict(zip(places["model_id"], places["places"], strict=True))
    chosen, n_configs = comparison.choose_models(known, failed)
    own = own.assign(is_ranked=own["model_id"].isin(chosen))
    if all(len(known[model_id]) == n_configs for model_id in chosen):
        return own
    ranked = own[own["is_ranked"]].drop(columns=["n_configs", *METRIC_COLUMNS])
    metrics = _metrics_where_shared(dataset_id, chosen, alignment, group)
    return pd.concat([ranked.merge(metrics, on="model_id"), own[~own["is_ranked"]]])[own.columns]


def _metrics_where_shared(dataset_id: str, model_ids: list[str], alignment: str, group: str) -> pd.DataFrame:
    """model_id, n_configs and metrics of models on the configurations that they share."""
    named = {"dataset": dataset_id, "group": group, "models": model_ids}
    shared = f"""select c.* from configurations c join ({_SHARED}) using (dataset_id, config_id)
        where c.dataset_id = $dataset and (($group = 'all' and c.in_dataset) or c.group_name = $group)"""
    errors = results.frame(
        f"""
        select e.model_id, e.config_id, c.cluster_name, e.n_atoms, e.energy_error_per_atom, e.force_rmse, e.force_mae,
            e.reference_dot_predicted, e.reference_dot_reference
        from errors e join ({shared}) c using (dataset_id, config_id)
        where list_contains($models, e.model_id)
        order by e.model_id, e.config_id
        """,
        named,
    )
    elements: list[str] = []
    if alignment == "per_element":
        atoms = results.frame(
            f"""
            select config_id, number::varchar as element, count(*) / any_value(n_atoms) as share
            from (select config_id, n_atoms, unnest(numbers) as number from ({shared}))
            group by config_id, number order by config_id, number
            """,
            named,
        )
        shares = atoms.pivot(index="config_id", columns="element", values="share").fillna(0.0)
        elements = shares.columns.tolist()
        errors = errors.merge(shares, on="config_id")
    rows = [
        {"model_id": model_id} | comparison.metrics_of(part, alignment, elements)
        for model_id, part in errors.groupby("model_id")
    ]
    return pd.DataFrame(rows, columns=["model_id", "n_configs", *METRIC_COLUMNS])


@cached
def element_metrics(model_id: str, dataset_id: str | None = None, shared_with: tuple[str, ...] = ()) -> pd.DataFrame:
    """Errors of one model by element.

    Args:
        model_id: The model.
        dataset_id: One dataset; None pools the configurations of all of them.
        shared_with: Only configurations for which these models have a result as well.

    Returns:
        element, n_configs, energy_rmse_mev_per_atom, energy_rmse_mev_per_atom_aligned,
        force_rmse_mev_per_ang, n_failed. An element whose configurations all failed has n_configs 0 and no
        errors.
    """
    parameters: dict[str, Any] = {"model": model_id, "dataset": dataset_id}
    is_shared = ""
    if shared_with:
        parameters["models"] = sorted({model_id, *shared_with})
        is_shared = f"and (dataset_id, config_id) in ({_SHARED})"
    return results.frame(
        f"""
        with failed as (
            select element, count(*) as n_failed
            from (
                select unnest(c.elements) as element
                from predictions p join configurations c using (dataset_id, config_id)
                where p.model_id = $model and p.status <> 'ok' and c.in_dataset
                    and ($dataset is null or p.dataset_id = $dataset)
            )
            group by element
        ), energies as (
            select element, count(*) as n_configs,
                1000 * sqrt(avg(energy_error_per_atom ** 2)) as energy_rmse_mev_per_atom,
                1000 * sqrt(avg(energy_error_per_atom_aligned ** 2)) as energy_rmse_mev_per_atom_aligned
            from (
                select unnest(c.elements) as element, e.energy_error_per_atom, e.energy_error_per_atom_aligned
                from errors e join configurations c using (dataset_id, config_id)
                where e.model_id = $model and e.in_dataset and ($dataset is null or e.dataset_id = $dataset)
                    {is_shared}
            )
            group by element
        ), forces as (
            select element,
                1000 * sqrt(avg(error_x::double * error_x + error_y::double * error_y + error_z::double * error_z) / 3)
                    as force_rmse_mev_per_ang
            from force_errors
            where model_id = $model and in_dataset and ($dataset is null or dataset_id = $dataset)
                {is_shared}
            group by element
        )
        select element, coalesce(n_configs, 0) as n_configs, energy_rmse_mev_per_atom,
            energy_rmse_mev_per_atom_aligned, force_rmse_mev_per_ang, coalesce(n_failed, 0) as n_failed
        from energies full join forces using (element) full join failed using (element)
        order by element
        """,
        parameters,
    )


@cached
def n_shared(model_ids: tuple[str, ...], dataset_id: str | None = None) -> int:
    """Number of configurations that each of some models has a result for, in one dataset or in all of them."""
    row = results.row(
        f"""
        select count(*) from ({_SHARED}) join configurations c using (dataset_id, config_id)
        where c.in_dataset and ($dataset is null or dataset_id = $dataset)
        """,
        {"models": list(model_ids), "dataset": dataset_id},
    )
    assert row is not None  # an aggregate without grouping always gives one row
    return int(row[0])


@cached
def n_shared_elements(model_ids: tuple[str, ...], dataset_id: str) -> int:
    """Number of elements in the configurations that `n_shared` counts: each has an offset of its own."""
    row = results.row(
        f"""
        select count(distinct element) from (
            select unnest(c.elements) as element
            from ({_SHARED}) join configurations c using (dataset_id, config_id)
            where c.in_dataset and dataset_id = $dataset
        )
        """,
        {"models": list(model_ids), "dataset": dataset_id},
    )
    assert row is not None  # an aggregate without grouping always gives one row
    return int(row[0])


@cached
def group_metrics(model_id: str) -> pd.DataFrame:
    """Errors of one model by group of structures, the largest force RMSE first; energies are aligned.

    Returns:
        dataset_id, dataset_label, group_name, in_dataset, n_configs, n_failed, n_expected (configurations of the
        group), energy_rmse_mev_per_atom, force_rmse_mev_per_ang, force_slope.
    """
    return results.frame(
        """
        select x.dataset_id, d.label as dataset_label, x.group_name, c.in_dataset, x.n_configs, x.n_failed,
            c.n_expected, x.energy_rmse_mev_per_atom, x.force_rmse_mev_per_ang, x.force_slope
        from dataset_metrics x
        join datasets d using (dataset_id)
        join (
            select dataset_id, group_name, bool_or(in_dataset) as in_dataset, count(*) as n_expected
            from configurations group by dataset_id, group_name
        ) c using (dataset_id, group_name)
        where x.model_id = $model and x.alignment = 'per_element'
        order by x.force_rmse_mev_per_ang desc nulls last, x.dataset_id, x.group_name
        """,
        {"model": model_id},
    )


_ERROR_COLUMNS = """e.dataset_id, e.config_id, e.group_name, c.formula, e.n_atoms, e.energy_error_per_atom,
    e.energy_error_per_atom_aligned, e.force_rmse, e.force_max_error"""

_BADNESS = {
    ("energy", "raw"): "abs(e.energy_error_per_atom)",
    ("energy", "per_element"): "abs(e.energy_error_per_atom_aligned)",
    ("force", "raw"): "e.force_rmse",
    ("force", "per_element"): "e.force_rmse",
}


@cached
def worst_configurations(
    model_id: str,
    quantity: str,
    alignment: str,
    dataset_id: str | None = None,
    element: str | None = None,
    group: str = "all",
    limit: int = BOX_LIMIT,
) -> pd.DataFrame:
    """Configurations by falling error of one model.

    Args:
        model_id: The model.
        quantity: `energy` or `force`.
        alignment: `raw` or `per_element`.
        dataset_id: One dataset; None for all of them.
        element: Only configurations that contain it.
        group: A group of structures; `all` for the datasets themselves, without the groups outside them.
        limit: Most rows to return.

    Returns:
        dataset_id, config_id, group_name, formula, n_atoms, and the errors of the store's `errors` table.
    """
    return results.frame(
        f"""
        select {_ERROR_COLUMNS}
        from errors e join configurations c using (dataset_id, config_id)
        where e.model_id = $model and ($dataset is null or e.dataset_id = $dataset)
            and ($element is null or list_contains(c.elements, $element))
            and (($group = 'all' and e.in_dataset) or e.group_name = $group)
        order by {_BADNESS[quantity, alignment]} desc nulls last, e.dataset_id, e.config_id
        limit $limit
        """,
        {"model": model_id, "dataset": dataset_id, "element": element, "group": group, "limit": limit},
    )


@cached
def failures(model_id: str | None = None, dataset_id: str | None = None, element: str | None = None) -> pd.DataFrame:
    """Failed predictions: dataset_id, model_id, config_id, group_name, formula, n_atoms, reason."""
    return results.frame(
        """
        select p.dataset_id, p.model_id, p.config_id, c.group_name, c.formula, c.n_atoms, p.reason
        from predictions p left join configurations c using (dataset_id, config_id)
        where p.status <> 'ok' and ($model is null or p.model_id = $model)
            and ($dataset is null or p.dataset_id = $dataset)
            and ($element is null or list_contains(c.elements, $element))
        order by p.dataset_id, p.model_id, p.config_id
        limit 2000
        """,
        {"model": model_id, "dataset": dataset_id, "element": element},
    )


@cached
def failure_counts(model_id: str) -> pd.DataFrame:
    """Failures of one model by reason: dataset_id, dataset_label, reason, n_failed, config_id (one of them)."""
    return results.frame(
        """
        select p.dataset_id, d.label as dataset_label, p.reason, count(*) as n_failed, min(p.config_id) as config_id
        from predictions p join datasets d using (dataset_id)
        where p.model_id = $model and p.status <> 'ok'
        group by p.dataset_id, d.label, p.reason
        order by n_failed desc, p.dataset_id, p.reason
        """,
        {"model": model_id},
    )


@cached
def costs() -> pd.DataFrame:
    """The columns of `costs` with label and family; of equal settings the newest."""
    return results.frame(
        """
        select k.model_id, m.label, m.family, k.device, k.hardware, k.n_threads, k.n_atoms, k.batch,
            k.ms_per_step,
            k.us_per_atom_step, k.peak_memory_mb, k.origin, k.measured_at
        from costs k join models m using (model_id)
        where k.us_per_atom_step > 0
        qualify row_number() over (
            partition by k.model_id, k.device, k.hardware, k.n_threads, k.n_atoms, k.batch
            order by k.measured_at desc
        ) = 1
        order by k.device, k.us_per_atom_step
        """
    )


# Residuals: pairs of reference and error

_ENERGY_PAIRS = """select reference_energy_per_atom as reference, {column} as error, config_id, group_name,
    null as atom_index, null as axis, rowid as sample_key from errors where {within}"""
_FORCE_PAIRS = """select reference_{axis}::double as reference, error_{axis}::double as error, config_id,
    null as group_name, atom_index, '{axis}' as axis, rowid as sample_key from force_errors where {within}"""
_ENERGY_ERROR = {"raw": "energy_error_per_atom", "per_element": "energy_error_per_atom_aligned"}
_Y = {"residual": "error", "parity": "reference + error"}


def _pairs(quantity: str, alignment: str, group: str) -> str:
    """Statement that gives the pairs of one model on one dataset; `all` keeps to the dataset itself."""
    within = "dataset_id = $dataset and model_id = $model and " + (
        "in_dataset"
        if group == "all"
        else "config_id in (select config_id from configurations where dataset_id = $dataset and group_name = $group)"
    )
    if quantity == "energy":
        return _ENERGY_PAIRS.format(column=_ENERGY_ERROR[alignment], within=within)
    return " union all ".join(_FORCE_PAIRS.format(axis=axis, within=within) for axis in "xyz")


def _bindings(model_id: str, dataset_id: str, group: str) -> dict[str, Any]:
    """DuckDB refuses parameters that a statement does not use, so `group` is bound only where it is one."""
    named = {"model": model_id, "dataset": dataset_id}
    return named if group == "all" else named | {"group": group}


@cached
def residuals(
    model_id: str,
    dataset_id: str,
    quantity: str,
    alignment: str,
    group: str = "all",
    view: str = "residual",
    full_range: bool = False,
) -> Density | pd.DataFrame | None:
    """Errors of one model against the reference: single samples if they are few, else binned in the store.

    Args:
        model_id: The model.
        dataset_id: The dataset.
        quantity: `energy` (eV/atom) or `force` (Cartesian components, eV/Å).
        alignment: `raw` or `per_element`; forces have no alignment.
        group: A group of structures, or `all` for the dataset itself.
        view: `residual` (error against reference) or `parity` (prediction against reference).
        full_range: Edges at the extremes, not at the 0.05 and 99.95 % quantiles.

    Returns:
        Below `POINTS_LIMIT` samples a data frame of reference, error, config_id, group_name, atom_index and
        axis; otherwise their density. None where there are no samples.
    """
    named = _bindings(model_id, dataset_id, group)
    samples = _pairs(quantity, alignment, group)
    pairs = f"select reference as x, {_Y[view]} as y, sample_key from ({samples})"
    edges = _edges(pairs, named, 0.0 if full_range else 0.0005, square=view == "parity")
    if edges is None:
        return None
    x_edges, y_edges, n_total = edges
    if n_total >= POINTS_LIMIT:
        return _binned(pairs, named, x_edges, y_edges, n_total)
    return results.frame(
        f"""
        select p.reference, p.error, p.config_id, c.group_name, p.atom_index, p.axis
        from ({samples}) p
        join (select config_id, group_name from configurations where dataset_id = $dataset) c
            using (config_id)
        where isfinite(p.reference) and isfinite(p.error)
        order by p.config_id, p.atom_index, p.axis
        """,
        named,
    )


def _edges(
    pairs: str, named: dict[str, Any], tail: float, *, square: bool, n_bins: int = N_BINS
) -> tuple[FloatArray, FloatArray, int] | None:
    """Edges of the bins, at about the quantiles `tail` and 1 - `tail`; the same on both axes if `square`."""
    finite = f"({pairs}) where isfinite(x) and isfinite(y)"
    count = results.row(f"select count(*) from {finite}", named)
    n_total = int(count[0]) if count else 0
    if not n_total:
        return None
    if tail:
        named = named | {"low": tail, "high": 1.0 - tail}
        ends = "quantile_cont(x, [$low, $high]), quantile_cont(y, [$low, $high])"
        stride = n_total // FRAME_SAMPLES
        if stride > 1:
            finite += f" and hash(sample_key) % {stride} = 0"  # bound as a parameter it takes 20 times as long
    else:
        ends = "[min(x), max(x)], [min(y), max(y)]"
    row = results.row(f"select {ends} from {finite}", named)
    assert row is not None  # an aggregate without grouping always gives one row
    (x0, x1), (y0, y1) = row
    if square:
        x0 = y0 = min(x0, y0)
        x1 = y1 = max(x1, y1)
    return _linspace(x0, x1, n_bins), _linspace(y0, y1, n_bins), n_total


def _linspace(low: float, high: float, n_bins: int) -> FloatArray:
    """Edges with a margin of 2 %, and of finite width where all values are equal."""
    margin = 0.02 * (high - low) or 1e-3 * max(abs(high), 1e-3)
    return np.linspace(low - margin, high + margin, n_bins + 1)


def _binned(pairs: str, named: dict[str, Any], x_edges: FloatArray, y_edges: FloatArray, n_total: int) -> Density:
    """Count the pairs per bin, by one integer per bin: grouping by two columns takes half as long again.

    Pairs above and below the frame are counted in a row of their own at each end, for the quantile lines.
    """
    n_x, n_y = len(x_edges) - 1, len(y_edges) - 1
    frame = named | {
        "x0": x_edges[0],
        "dx": x_edges[1] - x_edges[0],
        "x1": x_edges[-1],
        "y0": y_edges[0],
        "dy": y_edges[1] - y_edges[0],
        "y1": y_edges[-1],
    }
    bins = results.frame(
        f"""
        select {n_x} * case when y < $y0 then 0 when y >= $y1 then {n_y + 1}
                else 1 + floor((y - $y0) / $dy)::integer end
            + least({n_x - 1}, floor((x - $x0) / $dx)::integer) as bin, count(*) as n
        from ({pairs}) where isfinite(y) and x >= $x0 and x < $x1 group by bin order by bin
        """,
        frame,
    )
    counts = np.zeros((n_y + 2, n_x))
    counts.flat[bins["bin"].to_numpy()] = bins["n"].to_numpy()
    line_x, lines = _quantile_lines(counts, x_edges, y_edges)
    inside = counts[1:-1]
    shown = np.where(inside > 0, inside, np.nan).astype(np.float32)
    return Density(x_edges, y_edges, shown, line_x, lines, n_total, n_total - int(inside.sum()))


def _quantile_lines(counts: FloatArray, x_edges: FloatArray, y_edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """5, 50 and 95 % quantiles of y in wider bins of x, interpolated within the bins of y.

    Args:
        counts: Shape (n_y + 2, n_x), with what lies below and above the frame in the first and last row.
        x_edges: Shape (n_x + 1,).
        y_edges: Shape (n_y + 1,).
    """
    width = (len(x_edges) - 1) // QUANTILE_BINS
    grouped = counts.reshape(len(counts), QUANTILE_BINS, width).sum(axis=2)
    centres = (x_edges[:-1:width] + x_edges[width::width]) / 2
    keep = grouped.sum(axis=0) >= LINE_SAMPLES
    below = np.cumsum(grouped, axis=0)[:-1]  # samples below each edge of y
    lines = [
        np.interp(np.array([0.05, 0.5, 0.95]) * total, cumulated, y_edges)
        for cumulated, total in zip(below.T[keep], grouped.sum(axis=0)[keep], strict=True)
    ]
    return centres[keep], np.array(lines).reshape(-1, 3).T


@cached
def configurations_in_box(
    model_id: str,
    dataset_id: str,
    quantity: str,
    alignment: str,
    box: Box,
    group: str = "all",
    view: str = "residual",
) -> pd.DataFrame:
    """The worst configurations of a rectangle of a residual or parity chart, at most `BOX_LIMIT`.

    Returns:
        config_id, group_name, formula, n_atoms, n_samples (in the rectangle), largest_error (signed, the
        store's unit), atom_index (of that error; null for energies), energy_error_per_atom, force_rmse.
    """
    return results.frame(
        f"""
        with boxed as (
            select config_id, atom_index, error
            from (select *, {_Y[view]} as y from ({_pairs(quantity, alignment, group)}))
            where reference between $x0 and $x1 and y between $y0 and $y1
        ), worst as (
            select config_id, count(*) as n_samples, arg_max(error, abs(error)) as largest_error,
                arg_max(atom_index, abs(error)) as atom_index
            from boxed group by config_id
        )
        select c.config_id, c.group_name, c.formula, c.n_atoms, w.n_samples, w.largest_error, w.atom_index,
            e.energy_error_per_atom, e.force_rmse
        from worst w
        join (select * from configurations where dataset_id = $dataset) c using (config_id)
        join (select * from errors where dataset_id = $dataset and model_id = $model) e using (config_id)
        order by abs(w.largest_error) desc, c.config_id limit {BOX_LIMIT}
        """,
        _bindings(model_id, dataset_id, group) | {"x0": box.x0, "x1": box.x1, "y0": box.y0, "y1": box.y1},
    )


# Uncertainty


@cached
def ensembles() -> pd.DataFrame:
    """Ensembles with numbers: ensemble_id, label, model_ids, source, dataset_ids."""
    return results.frame(
        """
        select e.ensemble_id, e.label, e.model_ids, e.source, u.dataset_ids
        from ensembles e
        join (
            select ensemble_id, list(distinct dataset_id order by dataset_id) as dataset_ids
            from uncertainties group by ensemble_id
        ) u using (ensemble_id)
        order by e.ensemble_id
        """
    )


_DEVIATIONS = {
    "energy": """select u.config_id, u.energy_deviation as deviation, u.energy_error as error,
        null as atom_index
        from uncertainties u join configurations c using (dataset_id, config_id)
        where u.ensemble_id = $ensemble and u.dataset_id = $dataset and c.in_dataset""",
    "force": """select u.config_id, unnest(u.force_deviation) as deviation, unnest(u.force_error) as error,
        generate_subscripts(u.force_deviation, 1) - 1 as atom_index
        from uncertainties u join configurations c using (dataset_id, config_id)
        where u.ensemble_id = $ensemble and u.dataset_id = $dataset and c.in_dataset""",
}


@cached
def energy_deviations(ensemble_id: str, dataset_id: str) -> pd.DataFrame:
    """Deviation and error (eV/atom) by configuration, with group_name, formula and n_atoms."""
    return results.frame(
        f"""
        select d.config_id, c.group_name, c.formula, c.n_atoms, d.deviation, d.error
        from ({_DEVIATIONS["energy"]}) d
        join (select * from configurations where dataset_id = $dataset) c using (config_id)
        order by d.error desc, d.config_id
        """,
        {"ensemble": ensemble_id, "dataset": dataset_id},
    )


@cached
def force_deviation_density(ensemble_id: str, dataset_id: str) -> Density | None:
    """Density of log10 error against log10 deviation (eV/Å) over atoms; zeros by symmetry are left out."""
    named = {"ensemble": ensemble_id, "dataset": dataset_id}
    pairs = f"""select log10(deviation) as x, log10(error) as y, hash(config_id, atom_index) as sample_key
        from ({_DEVIATIONS["force"]})
        where deviation > 1e-6 and error > 1e-6"""
    edges = _edges(pairs, named, 0.0005, square=False, n_bins=120)
    return None if edges is None else _binned(pairs, named, *edges)


@cached
def spearman(ensemble_id: str, dataset_id: str, quantity: str) -> tuple[float, int]:
    """Rank correlation of deviation with error, ties sharing their mean rank, and the number of samples."""
    row = results.row(
        f"""
        select corr(rank_deviation, rank_error), count(*)
        from (
            select rank() over (order by deviation) + (count(*) over (partition by deviation) - 1) / 2.0
                    as rank_deviation,
                rank() over (order by error) + (count(*) over (partition by error) - 1) / 2.0 as rank_error
            from ({_DEVIATIONS[quantity]}) where deviation is not null and error is not null
        )
        """,
        {"ensemble": ensemble_id, "dataset": dataset_id},
    )
    if row is None or row[0] is None:
        return float("nan"), int(row[1]) if row else 0
    return float(row[0]), int(row[1])


@cached
def most_uncertain(ensemble_id: str, dataset_id: str, limit: int = BOX_LIMIT) -> pd.DataFrame:
    """Configurations by falling largest force deviation (eV/Å), with energies in eV/atom."""
    return results.frame(
        """
        select c.config_id, c.group_name, c.formula, c.n_atoms,
            list_max(u.force_deviation) as force_deviation,
            list_max(u.force_error) as force_error, u.energy_deviation, u.energy_error
        from uncertainties u join configurations c using (dataset_id, config_id)
        where u.ensemble_id = $ensemble and u.dataset_id = $dataset and c.in_dataset
        order by force_deviation desc, c.config_id limit $limit
        """,
        {"ensemble": ensemble_id, "dataset": dataset_id, "limit": limit},
    )


# One configuration


def configuration(dataset_id: str, config_id: str) -> Configuration | None:
    """Atoms, cell and reference labels; None where the store has no such configuration."""
    row = results.row(
        """
        select config_id, group_name, numbers, positions, cell, pbc, energy, forces, stress
        from configurations where dataset_id = $dataset and config_id = $config
        """,
        {"dataset": dataset_id, "config": config_id},
    )
    if row is None:
        return None
    name, group, numbers, positions, cell, pbc, energy, forces, stress = row
    return Configuration(
        config_id=name,
        group_name=group,
        numbers=np.asarray(numbers, dtype=np.int64),
        positions=np.asarray(positions, dtype=float).reshape(-1, 3),
        cell=np.asarray(cell, dtype=float).reshape(3, 3),
        pbc=(bool(pbc[0]), bool(pbc[1]), bool(pbc[2])),
        energy=energy,
        forces=None if forces is None else np.asarray(forces, dtype=float).reshape(-1, 3),
        stress=None if stress is None else np.asarray(stress, dtype=float),
    )


def prediction(dataset_id: str, model_id: str, config_id: str) -> Prediction | None:
    """What one model says of one configuration; None where it has not been run on it."""
    row = results.row(
        """
        select status, reason, energy, forces, stress, wall_seconds from predictions
        where dataset_id = $dataset and model_id = $model and config_id = $config
        """,
        {"dataset": dataset_id, "model": model_id, "config": config_id},
    )
    if row is None:
        return None
    status, reason, energy, forces, stress, wall_seconds = row
    return Prediction(
        config_id=config_id,
        geometry_hash="",
        status=status,
        reason=reason,
        energy=energy,
        forces=None if forces is None else np.asarray(forces, dtype=float).reshape(-1, 3),
        stress=None if stress is None else np.asarray(stress, dtype=float),
        wall_seconds=wall_seconds,
    )


def uncertainty(ensemble_id: str, dataset_id: str, config_id: str) -> tuple[float, FloatArray, FloatArray] | None:
    """Energy deviation (eV/atom), force deviation and force error per atom (eV/Å, shape (n_atoms,)).

    The errors are NaN where the dataset has no reference forces.
    """
    row = results.row(
        """
        select energy_deviation, force_deviation, force_error from uncertainties
        where ensemble_id = $ensemble and dataset_id = $dataset and config_id = $config
        """,
        {"ensemble": ensemble_id, "dataset": dataset_id, "config": config_id},
    )
    if row is None:
        return None
    deviation = np.asarray(row[1], dtype=float)
    error = np.full(len(deviation), np.nan) if row[2] is None else np.asarray(row[2], dtype=float)
    return float(row[0]), deviation, error


@cached
def models_on_configuration(dataset_id: str, config_id: str) -> pd.DataFrame:
    """Errors of every model on one configuration, best forces first; failed ones last with their reason."""
    return results.frame(
        """
        select m.model_id, m.label, m.family, p.status, p.reason, e.energy_error_per_atom,
            e.energy_error_per_atom_aligned, e.force_rmse, e.force_max_error
        from predictions p
        join models m using (model_id)
        left join errors e using (dataset_id, model_id, config_id)
        where p.dataset_id = $dataset and p.config_id = $config
        order by e.force_rmse nulls last, m.model_id
        """,
        {"dataset": dataset_id, "config": config_id},
    )


# Interaction energies of solutes and defects

INTERACTION_SETS = matching.SETS  # pages name them
ALL_INTERACTIONS = "all"

_INTERACTION_COLUMNS = [
    "model_id",
    "label",
    "interaction_id",
    "system",
    "environment",
    "place",
    "added",
    "dataset_id",
    "config_id",
    "reference_interaction",
    "predicted_interaction",
    "interaction_error",
    "part_error_rss",
    "part_error_sum",
    "cancellation",
    "part_errors",
]
_AGREEMENT_COLUMNS = [
    "model_id",
    "label",
    "origin",
    "n_interactions",
    "n_own",
    "n_failed",
    "n_expected",
    "is_ranked",
    "interaction_rmse",
    "interaction_mae",
    "interaction_bias",
    "sign_agreement",
    "interaction_spearman",
    "cancellation",
]


@cached
def interactions(set_id: str) -> pd.DataFrame:
    """All interaction energies of a set, in the order of the matching table.

    Args:
        set_id: Key of `INTERACTION_SETS`.

    Returns:
        interaction_id, system, environment, place, added, n_parts, dataset_id and config_id of the cell with defect
        and solute, and reference_interaction (eV; NaN where the store lacks a part or its energy).
    """
    chosen = matching.interactions_of(set_id)
    _, reference = _parts_of(set_id)
    rows = []
    for one in chosen:
        is_known = reference.keys() >= set(one.keys)
        value = matching.interaction_energy(one, reference) if is_known else float("nan")
        rows.append(_described(one) | {"n_parts": len(one.parts), "reference_interaction": value})
    return pd.DataFrame(rows)


def interaction_energies(
    set_id: str,
    model_ids: tuple[str, ...] | None = None,
    *,
    system: str = ALL_INTERACTIONS,
    environment: str = ALL_INTERACTIONS,
) -> pd.DataFrame:
    """Interaction energies of models, of the interactions for which a model has a result for every part.

    Args:
        set_id: Key of `INTERACTION_SETS`.
        model_ids: Models; None for all of them.
        system: One host and solute; `all` for all of them.
        environment: One kind of defect; `all` for all of them.

    Returns:
        One row per model and interaction: model_id, label, the columns of `interactions` without n_parts,
        predicted_interaction, interaction_error, part_error_rss, part_error_sum (all eV), cancellation, and
        part_errors, a list of (config_id, coefficient, eV); see `engine.interactions.InteractionError`.
    """
    energies = _interaction_energies(set_id)
    if model_ids is not None:
        energies = energies[energies["model_id"].isin(model_ids)]
    return _of_kind(energies, system, environment)


@cached
def interaction_agreement(
    set_id: str,
    *,
    system: str = ALL_INTERACTIONS,
    environment: str = ALL_INTERACTIONS,
    is_shared: bool = True,
) -> pd.DataFrame:
    """How well models agree with the reference on the interactions of a set, or on those of one kind.

    Args:
        set_id: Key of `INTERACTION_SETS`.
        system: One host and solute; `all` for all of them.
        environment: One kind of defect; `all` for all of them.
        is_shared: Compare models on the interactions that all ranked ones have, by the rule of
            `engine.comparison.choose_models`; otherwise on all that each has.

    Returns:
        One row per model that was run on some part, ranked ones first and then by error: model_id, label, origin,
        n_interactions (that the numbers rest on), n_own, n_failed, n_expected, is_ranked, interaction_rmse,
        interaction_mae, interaction_bias (eV), sign_agreement, interaction_spearman, and cancellation (median).
    """
    known = _of_kind(interactions(set_id), system, environment)
    energies = interaction_energies(set_id, system=system, environment=environment)
    places = {name: number for number, name in enumerate(known["interaction_id"])}
    own = {
        str(model_id): np.array([places[name] for name in part["interaction_id"]], dtype=np.int64)
        for model_id, part in energies.groupby("model_id")
    }
    tried = _interactions_tried(set_id, known["interaction_id"].tolist())
    chosen, _ = comparison.choose_models(own, dict(zip(tried["model_id"], tried["n_failed"], strict=True)))
    shared = set.intersection(*(set(own[model_id].tolist()) for model_id in chosen)) if chosen else set()
    rows = []
    for row in tried.to_dict("records"):
        part = energies[energies["model_id"] == row["model_id"]]
        is_ranked = row["model_id"] in chosen
        n_own = len(part)
        if is_ranked and is_shared:
            part = part[part["interaction_id"].map(places).isin(shared)]
        counts = {"n_interactions": len(part), "n_own": n_own, "n_expected": len(known), "is_ranked": is_ranked}
        rows.append(row | counts | _agreement_of(part))
    table = pd.DataFrame(rows, columns=_AGREEMENT_COLUMNS)
    return table.sort_values(
        ["is_ranked", "interaction_rmse", "model_id"], ascending=[False, True, True], ignore_index=True
    )


@cached
def interaction_breakdown(
    set_id: str,
    model_ids: tuple[str, ...],
    *,
    system: str = ALL_INTERACTIONS,
    environment: str = ALL_INTERACTIONS,
) -> pd.DataFrame:
    """The same numbers by system and kind of defect, of some models on all interactions that each has.

    Args:
        set_id: Key of `INTERACTION_SETS`.
        model_ids: Models.
        system: One host and solute; `all` for all of them.
        environment: One kind of defect; `all` for all of them.

    Returns:
        One row per system, environment and model: label, system, environment, n_interactions, and the numbers of
        `interaction_agreement`.
    """
    energies = interaction_energies(set_id, model_ids, system=system, environment=environment)
    names = ["system", "environment", "label"]
    rows = [
        dict(zip(names, values, strict=True)) | {"n_interactions": len(part)} | _agreement_of(part)
        for values, part in energies.groupby(names)
    ]
    return pd.DataFrame(rows)


@cached
def _interaction_energies(set_id: str) -> pd.DataFrame:
    """Interaction energies of all models; the offsets in the parts' errors are fitted to the whole set."""
    chosen = matching.interactions_of(set_id)
    compositions, reference = _parts_of(set_id)
    predictions = _part_predictions(set_id)
    predictions = predictions[predictions["status"] == "ok"].dropna(subset=["energy"])
    rows = []
    for (model_id, label), part in predictions.groupby(["model_id", "label"]):
        keys = zip(part["dataset_id"], part["config_id"], strict=True)
        predicted = dict(zip(keys, part["energy"].tolist(), strict=True))
        for found in matching.interaction_errors(chosen, compositions, reference, predicted):
            rows.append({"model_id": model_id, "label": label} | _described(found.interaction) | _measured(found))
    return pd.DataFrame(rows, columns=_INTERACTION_COLUMNS)


def _of_kind(table: pd.DataFrame, system: str, environment: str) -> pd.DataFrame:
    """Rows of one system and one kind of defect, or of all."""
    for column, value in (("system", system), ("environment", environment)):
        if value != ALL_INTERACTIONS:
            table = table[table[column] == value]
    return table


def _described(one: matching.Interaction) -> dict[str, Any]:
    """Columns that name an interaction and the cell with defect and solute."""
    first = one.parts[0]
    return {
        "interaction_id": one.interaction_id,
        "system": one.system,
        "environment": one.environment,
        "place": one.place,
        "added": one.added,
        "dataset_id": first.dataset_id,
        "config_id": first.config_id,
    }


def _measured(found: matching.InteractionError) -> dict[str, Any]:
    """Columns of one model's value of an interaction."""
    parts = zip(found.interaction.parts, found.part_errors, strict=True)
    return {
        "reference_interaction": found.reference,
        "predicted_interaction": found.predicted,
        "interaction_error": found.error,
        "part_error_rss": found.root_sum_square,
        "part_error_sum": found.sum_absolute,
        "cancellation": found.cancellation,
        "part_errors": [(part.config_id, part.coefficient, error) for part, error in parts],
    }


def _agreement_of(part: pd.DataFrame) -> dict[str, float]:
    """Columns of `interaction_agreement` that are made of energies; none without any."""
    if part.empty:
        return {}
    found = matching.agreement(part["reference_interaction"].to_numpy(), part["predicted_interaction"].to_numpy())
    return {
        "interaction_rmse": found["rmse"],
        "interaction_mae": found["mae"],
        "interaction_bias": found["mean_error"],
        "sign_agreement": found["sign_agreement"],
        "interaction_spearman": found["spearman"],
        "cancellation": float(part["cancellation"].median()),
    }


def _bound_parts(set_id: str) -> dict[str, list[str]]:
    """The configurations that a set is made of, as two parallel lists to bind."""
    needed = matching.needed_configurations(matching.interactions_of(set_id))
    pairs = sorted((dataset_id, config_id) for dataset_id, ids in needed.items() for config_id in ids)
    return {"datasets": [dataset_id for dataset_id, _ in pairs], "configs": [config_id for _, config_id in pairs]}


_PARTS = "(select unnest($datasets) as dataset_id, unnest($configs) as config_id)"


def _parts_of(set_id: str) -> tuple[dict[matching.Key, matching.Composition], dict[matching.Key, float]]:
    """Compositions and reference energies of the parts of a set that the store holds."""
    table = results.frame(
        f"""
        select dataset_id, config_id, c.numbers, c.energy
        from configurations c join {_PARTS} using (dataset_id, config_id)
        where c.energy is not null
        order by dataset_id, config_id
        """,
        _bound_parts(set_id),
    )
    keys = list(zip(table["dataset_id"], table["config_id"], strict=True))
    atoms = {key: matching.composition(np.asarray(z)) for key, z in zip(keys, table["numbers"], strict=True)}
    return atoms, dict(zip(keys, table["energy"].tolist(), strict=True))


@cached
def _part_predictions(set_id: str) -> pd.DataFrame:
    """Predictions of all models for the parts of a set, failed ones too: energies only."""
    return results.frame(
        f"""
        select p.model_id, m.label, dataset_id, config_id, p.status, p.energy, r.origin
        from predictions p
        join {_PARTS} using (dataset_id, config_id)
        join models m using (model_id)
        left join runs r using (run_id)
        order by p.model_id, dataset_id, config_id
        """,
        _bound_parts(set_id),
    )


def _interactions_tried(set_id: str, interaction_ids: list[str]) -> pd.DataFrame:
    """model_id, label, origin and n_failed (interactions of which a part failed) of models run on some part."""
    predictions = _part_predictions(set_id)
    chosen = [one for one in matching.interactions_of(set_id) if one.interaction_id in set(interaction_ids)]
    wanted = {key for one in chosen for key in one.keys}
    rows = []
    for (model_id, label), part in predictions.groupby(["model_id", "label"]):
        keys = list(zip(part["dataset_id"], part["config_id"], strict=True))
        if not wanted.intersection(keys):
            continue
        failed = {key for key, status in zip(keys, part["status"], strict=True) if status != "ok"}
        n_failed = sum(not failed.isdisjoint(one.keys) for one in chosen)
        origin = " + ".join(sorted(set(part["origin"].dropna())))
        rows.append({"model_id": model_id, "label": label, "origin": origin, "n_failed": n_failed})
    return pd.DataFrame(rows, columns=["model_id", "label", "origin", "n_failed"])
