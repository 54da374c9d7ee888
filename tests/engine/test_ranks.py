"""Ranks with their doubt, and means over kinds."""

import numpy as np
import pytest

from engine.errors import MetricError
from engine.numerics.ranks import SURE, macro_rmse, rank_intervals


def brute_force(squares: np.ndarray, counts: np.ndarray, clusters: np.ndarray, n: int) -> tuple[list[int], list[int]]:
    """Ranks by drawing clusters one by one, and by comparing two models at a time."""
    rng = np.random.default_rng(7)
    names = np.unique(clusters)
    wins = np.zeros((len(squares), len(squares)))
    for _ in range(n):
        rows = np.concatenate([np.flatnonzero(clusters == name) for name in rng.choice(names, size=len(names))])
        means = squares[:, rows].sum(axis=1) / counts[rows].sum()
        wins += means[:, None] < means[None, :]
    is_sure = wins / n >= SURE
    return (1 + is_sure.sum(axis=0)).tolist(), (len(squares) - is_sure.sum(axis=1)).tolist()


def test_ranks_are_those_of_a_bootstrap_by_brute_force():
    rng = np.random.default_rng(5)
    clusters = np.repeat(np.arange(20), rng.integers(1, 6, size=20))
    counts = 3.0 * rng.integers(1, 9, size=len(clusters))
    difficulty = rng.gamma(1.0, size=20)[clusters]
    scales = np.array([1.0, 1.05, 1.3, 2.5, 4.0])
    squares = counts * difficulty * scales[:, None] * rng.uniform(0.7, 1.3, size=(5, len(clusters)))
    found = rank_intervals(squares, counts, clusters)
    assert (found.rank.tolist(), found.high.tolist()) == brute_force(squares, counts, clusters, 3000)
    assert found.n_clusters == 20


def test_pairs_are_told_apart_though_their_intervals_overlap():
    # Difficulty spreads over two orders of magnitude, but the second is worse by a tenth on each single cluster.
    difficulty = np.logspace(-1, 1, 12)
    found = rank_intervals(np.array([difficulty, 1.1 * difficulty]), np.ones(12), np.arange(12))
    assert found.rank.tolist() == [1, 2]


def test_models_that_win_by_turns_share_a_rank():
    a, b = np.tile([1.0, 2.0], 6), np.tile([2.0, 1.0], 6)
    found = rank_intervals(np.array([a, b, a + b + 9]), np.ones(12), np.arange(12))
    assert (found.rank.tolist(), found.high.tolist()) == ([1, 1, 3], [2, 2, 3])


def test_neighbours_do_not_make_a_difference_sure():
    # One win in ten cells of one cluster, against a loss in each of six others.
    a, b = np.r_[np.full(10, 1.0), np.full(6, 2.0)], np.r_[np.full(10, 2.0), np.full(6, 1.5)]
    alone = rank_intervals(np.array([a, b]), np.ones(16), np.arange(16))
    together = rank_intervals(np.array([a, b]), np.ones(16), np.r_[np.zeros(10), np.arange(1, 7)])
    assert alone.rank.tolist() == [1, 2]
    assert together.rank.tolist() == [1, 1]


def test_few_clusters_tell_nothing_apart():
    found = rank_intervals(np.array([[1.0] * 5, [9.0] * 5]), np.ones(5), np.arange(5))
    assert (found.rank.tolist(), found.high.tolist()) == ([1, 1], [2, 2])


def test_what_is_not_a_number_is_never_ranked():
    with pytest.raises(MetricError, match="not finite"):
        rank_intervals(np.array([[1.0, np.nan]]), np.ones(2), np.arange(2))


def test_a_mean_over_kinds_by_hand():
    # RMSEs 1 (of three), 3 and 5: mean 3; pooled it would be sqrt((3 + 9 + 25) / 5) = 2.72.
    squares = np.array([1.0, 1.0, 1.0, 9.0, 25.0])
    mean, low, high, n_cells = macro_rmse(squares, np.ones(5), np.array(list("aaabc")), np.arange(5))
    assert (mean, n_cells) == (pytest.approx(3.0), 3)
    assert np.isnan([low, high]).all()  # five clusters are too few


def test_bounds_of_a_mean_over_kinds_by_jackknife():
    # Six metals with one kind each. Without one of them the means are (21 - k)/5 = 4, 3.8, ... 3 for RMSEs 1 to 6.
    mean, low, high, _ = macro_rmse(np.arange(1.0, 7) ** 2, np.ones(6), np.arange(6), np.arange(6))
    without = np.log((21.0 - np.arange(1.0, 7)) / 5)
    step = 2.570582 * np.sqrt(5 / 6 * ((without - without.mean()) ** 2).sum())
    assert mean == pytest.approx(3.5)
    assert (low, high) == (pytest.approx(3.5 * np.exp(-step)), pytest.approx(3.5 * np.exp(step)))


def test_without_configurations_there_is_no_mean():
    assert np.isnan(macro_rmse(*[np.empty(0)] * 4)[0])
