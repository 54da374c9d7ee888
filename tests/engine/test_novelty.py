"""Novelty of environments, and the flag of it with a deviation: against scipy and scikit-learn, and by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

from engine.errors import MetricError
from engine.numerics.novelty import fit_flag, nearest_distances
from engine.queries import novelty
from engine.queries.environments import sampled
from engine.queries.scope import Scope
from engine.store import connection


def test_distances_are_those_of_scipy_without_ones_own_cluster():
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(2300, 4)), rng.integers(0, 30, 2300)
    expected = cdist(points, points)
    expected[labels[:, None] == labels[None]] = np.inf
    found = nearest_distances(points, points, apart=(labels, labels))
    np.testing.assert_allclose(found, expected.min(axis=1), atol=1e-7)
    assert np.isinf(nearest_distances(points[:2], points[:0])).all()


def atoms(n: int = 600):
    """Errors that follow the deviation alone; distances are chance."""
    rng = np.random.default_rng(1)
    deviations = 10 ** rng.uniform(-2, 0, n)
    errors = deviations * 10 ** rng.normal(0, 0.2, n)
    return rng.uniform(0, 0.1, n), deviations, errors, np.repeat(np.arange(20), n // 20)


def test_a_flag_holds_what_it_finds_on_left_out_clusters():
    distances, deviations, errors, clusters = atoms()
    flag = fit_flag(distances, deviations, errors, clusters, 0.1)
    large = errors > 0.1
    statistic = mannwhitneyu(deviations[large], deviations[~large]).statistic
    assert flag.auroc_deviation == pytest.approx(statistic / large.sum() / (~large).sum())
    assert flag.base_rate == pytest.approx(large.mean())
    assert flag.auroc_distance == pytest.approx(0.5, abs=0.06)
    assert abs(flag.weights[0]) < 0.3 * flag.weights[1]
    # The rule fitted to all atoms is nearly that of the folds, so its own hits are near the measured ones.
    on = flag.on(distances, deviations)
    assert (on & large).sum() / on.sum() == pytest.approx(flag.precision, abs=0.03)
    assert (on & large).sum() / large.sum() == pytest.approx(flag.recall, abs=0.03)


def test_errors_that_a_deviation_tells_apart_are_all_found():
    distances, deviations, _, clusters = atoms()
    flag = fit_flag(distances, deviations, np.where(deviations > 0.1, 1.0, 0.01), clusters, 0.1)
    assert (flag.auroc, flag.auroc_deviation) == pytest.approx((1.0, 1.0), abs=1e-3)
    assert min(flag.precision, flag.recall) > 0.95


def test_too_few_atoms_or_clusters_give_no_flag():
    distances, deviations, errors, clusters = atoms()
    assert fit_flag(distances, deviations, errors, clusters // 5, 0.1) is None
    assert fit_flag(distances, deviations, errors, clusters, 100.0) is None
    with pytest.raises(MetricError, match="not finite"):
        fit_flag(np.full_like(distances, np.inf), deviations, errors, clusters, 0.1)


def test_sampled_atoms_of_the_store_have_a_distance_to_other_clusters(store):
    found = novelty.relation("morse", ("emt", "morse"))
    table, vectors = sampled(Scope.of("al-cu"))
    assert int(found.bins["n_atoms"].sum()) == len(table)
    assert found.dataset_ids == ("al-cu",)
    assert found.bins["distance"].is_monotonic_increasing
    assert found.bins["distance"].iloc[-1] > 0.01
    assert novelty.novelty(vectors[:3]) == pytest.approx(0.0, abs=1e-6)
    assert (novelty.novelty(vectors[:1], beside=table["config_id"].iloc[0]) > 0).all()
    assert np.isnan(novelty.novelty(np.zeros((2, 3)))).all()


def test_the_build_stores_the_distance_to_other_clusters_as_scipy_finds_it(store):
    table = connection.frame(
        """
        select e.dataset_id || c.cluster_name as cluster, e.novelty, e.soap from environments e
        join configurations c using (dataset_id, config_id)
        where e.in_dataset order by e.dataset_id, e.config_id, e.atom_index
        """
    )
    vectors, clusters = np.stack(table["soap"].to_list()).astype(float), table["cluster"].to_numpy()
    expected = cdist(vectors, vectors)
    expected[clusters[:, None] == clusters[None]] = np.inf
    np.testing.assert_allclose(table["novelty"], expected.min(axis=1), atol=1e-6)
    np.testing.assert_array_equal(sampled(Scope())[1], np.stack(table["soap"].to_list()))  # as Arrow reads them


def test_models_without_errors_have_no_relation(store):
    found = novelty.relation("chgnet-0.3.0", ("chgnet-0.3.0", "emt"))
    assert found.flag is None
    assert isinstance(found.bins, pd.DataFrame)
    assert found.bins.empty
