"""Tiers and intervals on a store whose numbers are worked out by hand (`conftest.build_evidence_store`)."""

import pytest

from engine.queries.evidence import (
    OTHER,
    PART,
    SAME_ELEMENTS,
    SAME_KIND,
    coverage_by_tier,
    evidence,
    left_out,
    pools,
    tier_of,
)


@pytest.mark.parametrize(
    ("elements", "kind", "tier"),
    [
        ({"W", "Ta"}, "surface", SAME_KIND),
        ({"W", "Ta"}, "vacancy", SAME_ELEMENTS),
        ({"W"}, "surface", PART),
        ({"W"}, "vacancy", None),
        ({"W", "Ta", "H"}, "surface", OTHER),
        ({"Cu"}, "surface", OTHER),
        ({"Cu"}, "vacancy", None),
    ],
    ids=lambda value: "".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_a_tier_follows_from_elements_and_kind_alone(elements, kind, tier):
    assert tier_of({"Ta", "W"}, "surface", elements, kind) == tier


def test_the_interval_of_twenty_clusters_is_their_nineteenth_error(evidence_store):
    # ceil(0.9 (20 + 1)) = 19 and ceil(0.5 (20 + 1)) = 11; errors are 0.01, 0.02, ... 0.20 eV/Å.
    found = evidence("force")
    tier, interval = found.nearest(found.model_ids.index("first"), pools(found.tiers({"W"}, "grain-boundary")))
    assert tier == SAME_KIND
    assert interval.high == pytest.approx(0.19, abs=1e-6)
    assert interval.median == pytest.approx(0.11, abs=1e-6)
    assert (interval.unit, interval.n_configs, interval.n_clusters) == ("cluster", 20, 20)
    assert interval.dataset_ids == ("w-gb",)


def test_an_alloy_takes_its_evidence_from_its_elements(evidence_store):
    found = evidence("force")
    number = found.model_ids.index("first")
    tier, interval = found.nearest(number, pools(found.tiers({"W", "Mo"}, "grain-boundary")))
    assert (tier, interval.n_configs, interval.dataset_ids) == (PART, 32, ("mo-gb", "w-gb"))
    assert found.nearest(number, pools(found.tiers({"W", "Mo"}, "vacancy"))) is None


def test_configurations_that_are_no_test_are_no_evidence(evidence_store):
    found = evidence("force")
    assert "r2scan" not in found.model_ids
    trained = found.model_ids.index("trained")
    assert found.nearest(trained, pools(found.tiers({"W"}, "grain-boundary")))[0] == OTHER
    assert {cell.dataset_id for cell in found.barred["trained", "seen"]} == {"w-gb"}


def test_left_out_datasets_are_compared_with_the_interval_of_the_others(evidence_store):
    table = left_out("force").set_index("dataset_id")
    # From W: first, second, third and direct up to 0.19, 0.38, 0.57 and 0.38 eV/Å; errors on Mo are 0.1 and 0.5.
    assert table.loc["mo-gb", "coverage"] == pytest.approx((10 + 10 + 12 + 10) / 12 / 4)
    assert table.loc["mo-gb", "high"] == pytest.approx((0.19 + 0.38 + 0.57 + 0.38) / 4, abs=1e-6)
    assert table.loc["mo-gb", "n_models"] == 4
    # Of ten errors of 0.1 and two of 0.5 the quantile at 0.9 (place 9.9 of 11) lies 0.9 of the way between the two.
    assert table.loc["mo-gb", "true_high"] == pytest.approx(0.1 + 0.9 * 0.4, abs=1e-6)
    # From Mo: ceil(0.9 (12 + 1)) = 12, the largest of twelve, 0.5; of W, 16 of 20 errors of the third lie below.
    assert table.loc["w-gb", "high"] == pytest.approx(0.5, abs=1e-6)
    assert table.loc["w-gb", "coverage"] == pytest.approx((20 + 20 + 16 + 20) / 20 / 4)
    (row,) = coverage_by_tier("force").itertuples()
    assert (row.tier, row.n_datasets, row.n_configs) == (OTHER, 2, 32)
    assert row.coverage == pytest.approx((table["coverage"].sum()) / 2)
