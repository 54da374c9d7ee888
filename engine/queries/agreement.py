"""How well deviations of ensembles agree with errors: measured at build time, or now for models chosen on the page."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from engine.numerics import agreement
from engine.numerics.agreement import IntArray
from engine.numerics.uncertainty import MESH_FORCE, ZERO_FORCE, cross_fitted_weights
from engine.queries.error_metrics import FloatArray
from engine.store import connection
from engine.store.connection import cached

MEASURES = ("maximum", "standard", "weighted")
QUANTITIES = ("energy", "energy_aligned", "force", "force_worst")
ENOUGH = 20  # samples, for an agreement


@cached
def ensembles_on(dataset_id: str) -> pd.DataFrame:
    """Ensembles with results on a dataset.

    Returns:
        ensemble_id, label, source, relation, model_ids (members here), all_ids (of the registry), weights,
        weights_source, and has_atoms: whether the store has its numbers atom by atom.
    """
    return connection.frame(
        """
        select e.ensemble_id, e.label, e.source, e.relation, m.model_ids, e.model_ids as all_ids, m.weights,
            m.weights_source, e.ensemble_id in (
                select u.ensemble_id from uncertainties u where u.dataset_id = $dataset) as has_atoms
        from ensemble_members m join ensembles e using (ensemble_id)
        where m.dataset_id = $dataset order by e.ensemble_id
        """,
        {"dataset": dataset_id},
    )


@cached
def datasets_with_ensembles() -> list[str]:
    """Datasets on which some ensemble has results."""
    found = connection.frame("select distinct dataset_id from ensemble_members order by dataset_id")
    return list(found["dataset_id"])


@cached
def measures(dataset_id: str, quantity: str, threshold: float) -> pd.DataFrame:
    """Agreement of every ensemble on a dataset, by kind of structure and measure.

    Args:
        dataset_id: The dataset.
        quantity: One of `QUANTITIES`.
        threshold: Of errors that are to be told from smaller ones, one of `thresholds`.

    Returns:
        Columns of `agreements`, with share_above, auroc and its bounds for that threshold; eV/Å or eV/atom.
    """
    return connection.frame(
        """
        select a.*, d.share_above, d.auroc, d.auroc_lo, d.auroc_hi
        from agreements a left join detections d
            on (d.ensemble_id, d.dataset_id, d.kind, d.quantity, d.measure)
                = (a.ensemble_id, a.dataset_id, a.kind, a.quantity, a.measure)
            and abs(d.threshold - $threshold) < 1e-6
        where a.dataset_id = $dataset and a.quantity = $quantity
        order by a.ensemble_id, a.kind <> 'all', a.kind, a.measure
        """,
        {"dataset": dataset_id, "quantity": quantity, "threshold": threshold},
    )


@cached
def thresholds(quantity: str) -> list[float]:
    """Limits that the store has an AUROC for, eV/Å or eV/atom."""
    found = connection.frame(
        "select distinct threshold from detections where quantity = $quantity order by threshold",
        {"quantity": quantity},
    )
    return [float(value) for value in found["threshold"].round(6)]


@cached
def curves(ensemble_id: str, dataset_id: str, quantity: str, measure: str) -> dict[str, FloatArray] | None:
    """Reliability diagram and rejection curves of an ensemble on a dataset, eV/Å or eV/atom; None without samples.

    Returns:
        bin_deviations and bin_errors, shape (n_bins,); kept, rejection and best_rejection, shape (n_shares,).
    """
    names = ("bin_deviations", "bin_errors", "kept", "rejection", "best_rejection")
    row = connection.row(
        f"""
        select {", ".join(names)} from agreement_curves
        where ensemble_id = $ensemble and dataset_id = $dataset and quantity = $quantity and measure = $measure
        """,
        {"ensemble": ensemble_id, "dataset": dataset_id, "quantity": quantity, "measure": measure},
    )
    return None if row is None else {name: np.asarray(values) for name, values in zip(names, row, strict=True)}


@cached
def choosable_models(dataset_id: str) -> list[str]:
    """Models whose forces on a dataset are in the store, so that an ensemble of them can be made; none of a summary."""
    found = connection.frame(
        """
        select distinct model_id from predictions
        where dataset_id = $dataset and forces is not null order by model_id
        """,
        {"dataset": dataset_id},
    )
    return list(found["model_id"])


@cached
def chosen_samples(model_ids: tuple[str, ...], dataset_id: str) -> dict[str, pd.DataFrame]:
    """Deviations and errors of an ensemble of any models on a dataset: `force` by atom, `force_worst` by configuration.

    Weights of U are inverse to the force RMSE on the other half of the clusters. Forces that symmetry makes zero, and
    configurations that some member lacks, are left out.

    Returns:
        By quantity config and cluster (both integers), maximum, standard, weighted and error, eV/Å; none where the
        models share no configuration.
    """
    table = connection.frame(
        """
        select p.config_id, p.model_id, p.forces, c.forces as labels, c.cluster_name
        from predictions p join configurations c using (dataset_id, config_id)
        where p.dataset_id = $dataset and list_contains($models, p.model_id) and p.forces is not null
            and c.forces is not null and c.in_dataset
        qualify count(*) over (partition by p.config_id) = $n
        order by p.config_id, p.model_id
        """,
        {"dataset": dataset_id, "models": list(model_ids), "n": len(model_ids)},
    )
    if table.empty:
        return {}
    n_models = len(model_ids)
    first = table.iloc[::n_models]
    sizes = np.array([len(one) // 3 for one in first["labels"]])
    config = np.repeat(np.arange(len(first)), sizes)
    clusters = pd.factorize(first["cluster_name"])[0].astype(np.int64)
    members = [np.concatenate(table["forces"].iloc[k::n_models].to_numpy()) for k in range(n_models)]
    forces = np.stack(members).reshape(n_models, -1, 3)
    labels = np.concatenate(first["labels"].to_numpy()).reshape(-1, 3)
    return _samples(forces, labels, config, clusters)


def _samples(forces: FloatArray, labels: FloatArray, config: IntArray, clusters: IntArray) -> dict[str, pd.DataFrame]:
    """Rows of `chosen_samples`; forces are (n_models, n_atoms, 3), config and clusters lead from atom to cluster."""
    squares = np.sum((forces - forces.mean(axis=0)) ** 2, axis=2)
    starts = np.searchsorted(config, np.arange(len(clusters)))
    errors: FloatArray = np.sum((forces - labels) ** 2, axis=2)
    weights = cross_fitted_weights(
        np.add.reduceat(errors, starts, axis=1).T, 3.0 * np.bincount(config).astype(float), clusters
    )  # fmt: skip
    error = np.linalg.norm(forces.mean(axis=0) - labels, axis=1)
    is_zero = np.linalg.norm(forces, axis=2).max(axis=0) < ZERO_FORCE
    is_zero &= np.linalg.norm(labels, axis=1) < MESH_FORCE
    table = pd.DataFrame(
        {
            "config": config,
            "cluster": clusters[config],
            "maximum": np.sqrt(squares.max(axis=0)),
            "standard": np.sqrt(squares.mean(axis=0)),
            "weighted": np.sqrt(np.sum(weights[config].T * squares, axis=0)),
            "error": error,
        }
    )[~is_zero]
    worst = table.groupby("config").max()
    largest = np.maximum.reduceat(squares, starts, axis=1).T
    worst["weighted"] = np.sqrt((weights * largest).sum(axis=1))[worst.index]
    return {"force": table, "force_worst": worst.reset_index()}


@cached
def chosen_measures(model_ids: tuple[str, ...], dataset_id: str, quantity: str, threshold: float) -> pd.DataFrame:
    """Agreement of an ensemble of any models on a dataset, in the columns of `measures`; no rows without samples.

    Args:
        model_ids: At least two models.
        dataset_id: The dataset.
        quantity: `force` or `force_worst`.
        threshold: eV/Å.
    """
    samples = chosen_samples(model_ids, dataset_id).get(quantity)
    if samples is None or len(samples) < ENOUGH:
        return pd.DataFrame()
    rows = []
    for measure in MEASURES:
        deviation, error = (samples[name].to_numpy(dtype=float) for name in (measure, "error"))
        found = agreement.agreement(deviation, error, samples["cluster"].to_numpy(), [threshold])
        (detection,) = found.detections
        rows.append(
            {
                "kind": "all", "measure": measure, "quantity": quantity, "n_samples": found.n_samples,
                "n_clusters": found.n_clusters, "spearman": found.spearman, "coverage": found.coverage,
                "sharpness": found.sharpness, "rms_error": found.rms_error, "share_above": detection.share_above,
                "auroc": detection.auroc,
            }
            | _ends("spearman", found.spearman_bounds)
            | _ends("coverage", found.coverage_bounds)
            | _ends("auroc", detection.bounds)
        )  # fmt: skip
    return pd.DataFrame(rows)


@cached
def chosen_curves(model_ids: tuple[str, ...], dataset_id: str, quantity: str, measure: str) -> dict[str, FloatArray]:
    """Curves of an ensemble of any models, as `curves` has them."""
    samples = chosen_samples(model_ids, dataset_id)[quantity]
    deviation, error = (samples[name].to_numpy(dtype=float) for name in (measure, "error"))
    bins, errors = agreement.reliability(deviation, error)
    found, best = agreement.rejection(deviation, error)
    return {
        "bin_deviations": bins, "bin_errors": errors, "kept": agreement.KEPT, "rejection": found,
        "best_rejection": best,
    }  # fmt: skip


def _ends(name: str, bounds: Sequence[float]) -> dict[str, float]:
    return {f"{name}_lo": bounds[0], f"{name}_hi": bounds[1]}
