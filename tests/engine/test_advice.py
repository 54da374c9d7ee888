"""Advice on a store whose numbers are worked out by hand (`conftest.build_evidence_store`)."""

import numpy as np
import pytest

from engine.queries.advice import advice, largest
from engine.queries.evidence import OTHER, SAME_ELEMENTS, SAME_KIND


def causes(found) -> dict[str, str]:
    return dict(zip(found.models["model_id"], found.models["cause"], strict=True))


def test_models_are_ranked_on_the_nearest_tier_and_every_other_one_has_one_reason(evidence_store):
    found = advice(("W",), "grain-boundary")
    assert found.tier == SAME_KIND
    assert (found.n_shared, found.n_clusters, found.dataset_ids) == (20, 20, ("w-gb",))
    assert found.models["model_id"].tolist()[:4] == ["first", "direct", "second", "third"]
    assert causes(found) == {
        "first": "", "second": "", "direct": "", "third": "behind", "trained": "seen", "r2scan": "level",
        "molybdenum": "elements",
    }  # fmt: skip
    models = found.models.set_index("model_id")
    # Root mean square of 0.01 ... 0.20: sqrt(sum k^2 / 20) = sqrt(2870 / 20) = 11.98.
    assert models.loc["first", "rmse"] == pytest.approx(0.01 * np.sqrt(2870 / 20), rel=1e-5)
    assert models["rank"].dropna().tolist() == [1, 2, 2, 4]
    assert models.loc["third", "reason"] == "Its error is 3.00 times that of the best model."
    assert models.loc["trained", "reason"] == "It was trained on these configurations. (w-gb)"
    assert models.loc["molybdenum", "reason"] == "It was not trained on W."
    assert (models.loc["trained", "force_tier"], models.loc["trained", "force_datasets"]) == (OTHER, "mo-gb")


def test_conditions_on_the_model_are_heeded(evidence_store):
    assert causes(advice(("W",), "grain-boundary", only_conservative=True))["direct"] == "forces"
    found = advice(("W",), "grain-boundary", licence="permissive")
    assert found.tier is None
    assert causes(found)["first"] == "licence"  # LGPL is not permissive
    assert causes(advice(("W",), "grain-boundary", licence="commercial"))["direct"] == "licence"


def test_what_no_model_has_evidence_for_says_so(evidence_store):
    found = advice(("W",), "vacancy")
    assert found.tier == SAME_ELEMENTS
    none = advice(("Cu",), "vacancy")
    assert none.tier is None
    assert none.n_shared == 0
    assert none.models["force_high"].isna().all()
    assert set(none.models["cause"]) == {"none", "elements"}
    assert none.tiers["n_configs"].sum() == 0


def test_few_clusters_tell_no_models_apart_and_the_next_tier_does(evidence_store):
    found = advice(("W",), "dislocation")
    assert (found.tier, found.n_shared, found.n_clusters) == (SAME_KIND, 24, 2)
    models = found.models.set_index("model_id")
    assert models.index[0] == "third"
    assert set(models["rank"].dropna()) == {1}
    assert models.loc["third", "force_unit"] == "configuration"
    # 22 clusters of W: the two of screws hold 24 of 44 configurations, so `first` is ahead by the twenty others.
    assert (found.wide_tier, found.n_wide_clusters) == (SAME_ELEMENTS, 22)
    assert models["wide_rank"].notna().sum() == 4


def test_all_datasets_count_unless_many_more_models_share_one(evidence_store):
    found = advice(("Mo", "W"), "grain-boundary")  # four models share both datasets, and one more that of Mo
    assert (found.n_shared, found.dataset_ids) == (32, ("mo-gb", "w-gb"))
    assert causes(found)["trained"] == "seen"
    assert largest([(4, 32, True), (5, 12, True), (6, 12, True), (7, 11, False)]) == 2
    assert largest([(0, 0, False), (1, 20, True)]) == 0  # one model alone is no comparison worth another dataset
