"""Two models on the same configurations, by hand, by brute force, and against the ranks of the store."""

import numpy as np
import pytest
from scipy.stats import binomtest

from engine.errors import MetricError
from engine.numerics.duels import duel
from engine.numerics.ranks import rank_intervals
from engine.queries import duels
from engine.queries.scope import Scope

HAND, FORMATION = Scope.of("hand"), Scope.of("formation")


def test_a_duel_worked_out_by_hand():
    found = duel(np.array([3.0, 1.0, 2.0, 0.0]), np.array([4.0, 1.0, 1.0, 2.0]), np.array([1, 1, 1, 3]), np.arange(4))
    assert (found.n_wins, found.n_ties, found.win_rate) == (2, 1, 0.625)
    # (9 + 1 + 4 + 0) / 6 and (16 + 1 + 1 + 12) / 6
    assert [found.rmse_first, found.rmse_second] == pytest.approx([np.sqrt(14 / 6), np.sqrt(5)])
    assert found.difference == pytest.approx(found.rmse_first - found.rmse_second)
    assert np.isnan(
        [found.difference_lo, found.difference_hi, found.win_rate_lo, found.win_rate_hi]
    ).all()  # 4 clusters


def test_errors_that_differ_by_rounding_are_equal():
    found = duel(np.array([0.0, 0.005]), np.array([0.004, 0.5]), np.ones(2), np.arange(2), least=0.01)
    assert (found.n_wins, found.n_ties) == (1, 1)


def test_bounds_are_those_of_a_bootstrap_by_brute_force():
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(25), rng.integers(1, 7, size=25))
    counts = 3.0 * rng.integers(1, 9, size=len(clusters))
    difficulty = rng.gamma(1.0, size=25)[clusters]
    first = difficulty * rng.uniform(0.5, 1.5, size=len(clusters))
    second = 1.1 * difficulty * rng.uniform(0.5, 1.5, size=len(clusters))
    differences, rates = [], []
    for _ in range(4000):
        rows = np.concatenate([np.flatnonzero(clusters == k) for k in rng.choice(25, size=25)])
        a, b = (np.sqrt((counts * x**2)[rows].sum() / counts[rows].sum()) for x in (first, second))
        differences.append(a - b)
        rates.append((first[rows] < second[rows]).mean())
    found = duel(first, second, counts, clusters)
    spread = np.std(differences)
    wanted = np.quantile(differences, [0.025, 0.975])
    assert [found.difference_lo, found.difference_hi] == pytest.approx(wanted, abs=0.15 * spread)
    assert [found.win_rate_lo, found.win_rate_hi] == pytest.approx(np.quantile(rates, [0.025, 0.975]), abs=0.02)


def test_a_difference_is_beyond_doubt_where_the_ranks_tell_two_models_apart():
    rng = np.random.default_rng(11)
    clusters = np.repeat(np.arange(15), 4)
    verdicts = set()
    for scale in np.linspace(1.0, 1.6, 13):
        first = rng.gamma(2.0, size=60)
        second = scale * first * rng.uniform(0.6, 1.4, size=60)
        found = duel(first, second, np.ones(60), clusters)
        ranked = rank_intervals(np.array([first**2, second**2]), np.ones(60), clusters)
        is_apart = bool(ranked.rank.max() > 1)
        assert is_apart == (found.difference_hi < 0 or found.difference_lo > 0)
        verdicts.add(is_apart)
    assert verdicts == {True, False}


@pytest.mark.parametrize("n", [6, 20])
def test_a_model_that_wins_everywhere_has_the_bound_of_clopper_and_pearson(n):
    wins = duel(np.ones(n), np.full(n, 2.0), np.ones(n), np.arange(n))
    exact = binomtest(n, n).proportion_ci(0.95, method="exact")
    assert [wins.win_rate_lo, wins.win_rate_hi] == pytest.approx([exact.low, exact.high])
    loses = duel(np.full(n, 2.0), np.ones(n), np.ones(n), np.arange(n))
    assert [loses.win_rate_lo, loses.win_rate_hi] == pytest.approx([1 - exact.high, 1 - exact.low])


@pytest.mark.parametrize(("first", "second"), [([], []), ([1.0], [1.0, 2.0]), ([np.nan], [1.0])])
def test_what_cannot_be_compared_is_refused(first, second):
    with pytest.raises(MetricError):
        duel(np.array(first), np.array(second), np.ones(len(first)), np.arange(len(first)))


def test_only_configurations_that_both_predicted_count(sampled_store):
    # `full` did all 120 cells and `sample` 100 of them, with errors of 0.1 and 0.2 eV/Å there.
    found = duels.overall("full", "sample", HAND, "force", "raw")
    assert (found.n_configs, found.n_wins, found.n_ties) == (100, 100, 0)
    assert [found.rmse_first, found.rmse_second] == pytest.approx([100.0, 200.0])
    swapped = duels.overall("sample", "full", HAND, "force", "raw")
    assert (swapped.n_wins, swapped.difference) == (0, pytest.approx(100.0))


def test_offsets_rest_on_the_same_configurations_for_both(sampled_store):
    # On the shared cells each model is off by one constant per element, so nothing is left; the 20 cells with an error
    # of 0.5 eV, which `full` alone has, would leave an offset behind.
    table = duels.pairs("full", "sample", HAND, "energy", "per_element")
    assert table[["first", "second"]].to_numpy() == pytest.approx(np.zeros((100, 2)), abs=1e-6)
    assert duels.overall("full", "sample", HAND, "energy", "per_element").n_ties == 100


def test_conditions_kinds_and_datasets(crystal_store):
    kinds = duels.by_kind("near", "far", FORMATION, "force", "raw").set_index("kind")
    assert kinds.loc["vacancy", ["n_configs", "n_wins"]].tolist() == [8, 8]
    assert kinds.loc["vacancy", "difference"] == pytest.approx(100.0 - 400.0)
    assert kinds.loc["bulk", ["n_wins", "n_ties"]].tolist() == [1, 0]
    sets = duels.by_dataset("near", "far", FORMATION, "force", "raw").set_index("dataset_id")
    assert sets["n_configs"].to_dict() == {"formation": 9, "plain": 2}
    narrowed = duels.by_dataset("near", "far", FORMATION.narrowed(elements=("Mo",)), "force", "raw")
    assert narrowed["dataset_id"].tolist() == ["plain"]


def test_costs_count_only_where_both_were_timed_on_one_occasion(sampled_store, monkeypatch):
    found = duels.costs_together("full", "sample")
    assert found[["n_atoms", "us_first", "us_second"]].to_numpy().tolist() == [[32, 10.0, 40.0]]
    assert duels.costs_together("full", "fragile").empty  # which nobody timed
    costs = duels.catalog.costs()
    on_another_day = costs["occasion"].where(costs["model_id"] != "full", "another day")
    monkeypatch.setattr(duels.catalog, "costs", lambda: costs.assign(occasion=on_another_day))
    assert duels.costs_together.__wrapped__("full", "sample").empty


def test_a_duel_begins_with_the_best_of_the_cheap(sampled_store):
    # `full` takes 10 µs and `sample`, the only one that shares as many configurations with another, 40.
    assert duels.default_opponent("sample", HAND, "force") == "full"
    assert duels.default_opponent("full", HAND, "force") == "sample"


def test_the_opponent_shares_most_and_errs_least(sampled_store):
    found = duels.opponents("full", HAND, "force")
    shared = dict(zip(found["model_id"], found["n_shared"], strict=True))
    assert list(shared.items()) == [("sample", 100), ("trained", 95), ("fragile", 90), ("few", 10)]
