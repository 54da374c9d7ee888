"""How often 95 % bounds hold the value that they are bounds of: a simulation with real errors.

    python -m benchmarks.coverage [--dataset open-defects] [--draws 400] [--clusters 36 --clusters 12]

The errors of every model that has a result for all of a dataset are taken for the whole population, so its RMSE is
known. Its clusters (metals, or cells and trajectories: engine/numerics/clusters.py) are drawn at random with
replacement, bounds are made of the draw alone, and the share of draws whose bounds hold the RMSE of the population is
printed, for the mean over models and for the worst, with the median factor from lower to upper bound:

- configurations: 2.5 % and 97.5 % quantiles of resampled configurations, each for itself
- clusters: the same, of resampled clusters
- bootstrap-t: resampled clusters in units of their own standard error
- ours: `engine.numerics.metrics.rmse_bounds`

For ranks: how often the intervals of `engine.numerics.ranks.rank_intervals` hold the rank in the population, and how
many of the pairs that they tell apart are the other way round there. Embedded predictions need no data folder; other
datasets take the predictions that were imported.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from engine.data_folder import EMBEDDED, DataFolder, embedded_predictions
from engine.numerics.metrics import draws, rmse_bounds
from engine.numerics.ranks import rank_intervals
from engine.readers.extxyz import read_extxyz
from engine.records import Configuration, read_predictions
from engine.registry.datasets import Dataset, get_dataset
from engine.registry.models import load_models
from engine.store.scoring import Frame, Score
from precompute.acquire.datasets import configurations_of

FloatArray = NDArray[np.float64]
N_RESAMPLES = 400
QUANTILES = (0.025, 0.975)


def main() -> int:
    """Print coverage of energy and force bounds, and of ranks."""
    arguments = _parser().parse_args()
    dataset = get_dataset(arguments.dataset)
    frame = Frame(dataset, _configurations(dataset))
    models = dict(_complete(frame))
    if not models:
        print(f"No model has a result for all of '{dataset.dataset_id}' here.", file=sys.stderr)
        return 1
    n_clusters = len(np.unique(frame.clusters[frame.inside]))
    print(f"{dataset.dataset_id}: {frame.inside.sum()} configurations in {n_clusters} clusters, {len(models)} models")
    for quantity in ("energy", "force"):
        totals, counts = _sums(frame, models, quantity)
        for n_drawn in arguments.clusters or [n_clusters]:
            _report(quantity, n_drawn, totals, counts, frame.clusters[frame.inside], arguments.draws)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="open-defects")
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--clusters", type=int, action="append", help="clusters in a draw; all there are")
    return parser


def _configurations(dataset: Dataset) -> list[Configuration]:
    embedded = [file.embedded for file in dataset.files if file.embedded]
    if embedded:
        return [c for name in embedded for c in read_extxyz(EMBEDDED / name)]
    return configurations_of(dataset, DataFolder.default())


def _complete(frame: Frame) -> Iterator[tuple[str, Score]]:
    """Models with an energy and forces for every configuration that counts."""
    folder = DataFolder.default()
    for model_id in load_models():
        for path in (embedded_predictions(frame.dataset_id, model_id), folder.imported(frame.dataset_id, model_id)):
            if path.is_file():
                known = [p for p in read_predictions(path) if (p.config_id, p.geometry_hash) in frame.index]
                score = Score(frame, model_id, known)
                if (np.isfinite(score.raw) & np.isfinite(score.force_sums["force_rmse"]))[frame.inside].all():
                    yield model_id, score
                break


def _sums(frame: Frame, models: Mapping[str, Score], quantity: str) -> tuple[FloatArray, FloatArray]:
    """Sums of squared errors, shape (n_models, n_configs), and their counts; energies are aligned."""
    inside = frame.inside
    if quantity == "force":
        counts = 3.0 * frame.n_atoms[inside]
        return np.array([counts * s.force_sums["force_rmse"][inside] ** 2 for s in models.values()]), counts
    known = np.array([np.nan_to_num(s.aligned[inside]) ** 2 for s in models.values()])
    return known, np.ones(int(inside.sum()))


def _report(
    quantity: str, n_drawn: int, squares: FloatArray, counts: FloatArray, clusters: NDArray[np.int64], n_draws: int
) -> None:
    """Print how often bounds of one kind hold, from draws of some clusters."""
    rng = np.random.default_rng(1)
    members = [np.flatnonzero(clusters == one) for one in np.unique(clusters)]
    truth = np.sqrt(squares.sum(axis=1) / counts.sum())
    true_rank = 1 + (truth[:, None] < truth[None, :]).sum(axis=0)
    found: dict[str, list[FloatArray]] = {}
    is_held, n_sure, n_wrong = [], 0, 0
    for _ in range(n_draws):
        drawn = [members[k] for k in rng.integers(len(members), size=n_drawn)]
        rows, labels = np.concatenate(drawn), np.repeat(np.arange(n_drawn), [len(one) for one in drawn])
        for name, bounds in _bounds(squares[:, rows], counts[rows], labels).items():
            found.setdefault(name, []).append(bounds)
        ranks = rank_intervals(squares[:, rows], counts[rows], labels, n_resamples=N_RESAMPLES)
        is_held.append((ranks.rank <= true_rank) & (true_rank <= ranks.high))
        is_sure = ranks.high[:, None] < ranks.rank[None, :]
        n_sure += int(is_sure.sum())
        n_wrong += int((is_sure & (truth[:, None] > truth[None, :])).sum())
    for name, bounds in ((name, np.array(one)) for name, one in found.items()):
        holds = ((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).mean(axis=0)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            factor = np.nanmedian(bounds[:, 1] / bounds[:, 0])
        print(f"{quantity:7} {n_drawn:4} {name:15} {holds.mean():.3f} worst {holds.min():.2f} factor {factor:.2f}")
    held, wrong = np.mean(is_held), n_wrong / max(n_sure, 1)
    print(
        f"{quantity:7} {n_drawn:4} {'ranks':15} {held:.3f} worst {np.mean(is_held, axis=0).min():.2f} wrong {wrong:.4f}"
    )


def _bounds(squares: FloatArray, counts: FloatArray, clusters: NDArray[np.int64]) -> dict[str, FloatArray]:
    """Lower and upper bounds of every model by every method, shape (2, n_models)."""
    totals = np.array([np.bincount(clusters, one) for one in squares]).T
    sizes = np.bincount(clusters, counts)
    return {
        "configurations": _quantiles(squares.T, counts),
        "clusters": _quantiles(totals, sizes),
        "bootstrap-t": _studentised(totals, sizes),
        "ours": np.array([rmse_bounds(one, counts, clusters) for one in squares]).T,
    }


def _quantiles(totals: FloatArray, sizes: FloatArray) -> FloatArray:
    weights = draws(len(sizes), N_RESAMPLES)
    return np.asarray(np.quantile(np.sqrt((weights @ totals) / (weights @ sizes)[:, None]), QUANTILES, axis=0))


def _studentised(totals: FloatArray, sizes: FloatArray) -> FloatArray:
    """Bootstrap-t on the logarithm; errors of a ratio of sums are those of the residuals, total - ratio x size."""
    weights = draws(len(sizes), N_RESAMPLES)
    ratio = totals.sum(axis=0) / sizes.sum()
    error = np.sqrt(((totals - ratio * sizes[:, None]) ** 2).sum(axis=0)) / sizes.sum() / ratio
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        drawn = (weights @ sizes)[:, None]
        ratios = (weights @ totals) / drawn
        variances = (
            weights @ totals**2 - 2.0 * ratios * (weights @ (totals * sizes[:, None]))
            + ratios**2 * (weights @ sizes**2)[:, None]
        )  # fmt: skip
        steps = np.log(ratios / ratio) / (np.sqrt(np.maximum(variances, 0.0)) / drawn / ratios)
        low, high = np.nanquantile(steps, QUANTILES, axis=0)
        return np.array([np.sqrt(ratio) * np.exp(-0.5 * high * error), np.sqrt(ratio) * np.exp(-0.5 * low * error)])


if __name__ == "__main__":
    sys.exit(main())
