"""Ranks and crystal energies as pages read them, on stores made by hand."""

import itertools

import pandas as pd
import pytest

from engine.queries import configurations, error_metrics
from engine.queries.error_pairs import Axes, residuals
from engine.queries.ranks import ranks
from engine.queries.scope import Scope

FORMATION = Scope.of("formation")


def _by_model(table):
    return table.set_index("model_id")


def test_errors_against_the_crystal_are_read_made_and_pooled(crystal_store):
    stored = _by_model(error_metrics.dataset_metrics("crystal"))
    made = _by_model(error_metrics.dataset_metrics("crystal", FORMATION.narrowed(elements=("W",))))
    for table in (stored, made):
        # The crystal is off by 0.1 eV as well: what is left is 0.01 and 0.3 eV on each vacancy.
        found = table["energy_rmse_mev_per_atom"].to_dict()
        assert found == pytest.approx({"near": 10.0, "nearly": 10.0, "far": 300.0})
        assert table.loc["near", ["n_configs", "n_energy", "n_force"]].tolist() == [9, 8, 9]
    assert set(stored["dataset_id"]) == {"formation"}
    tungsten = error_metrics.element_metrics("far", FORMATION).set_index("element").loc["W"]
    assert tungsten["energy_rmse_mev_per_atom_crystal"] == pytest.approx(300.0)
    assert tungsten[["n_raw", "n_crystal"]].tolist() == [9, 8]


def test_single_configurations_have_errors_against_the_crystal(crystal_store):
    worst = configurations.worst_configurations("far", FORMATION, "energy", "crystal")
    assert worst["energy_error_per_atom_crystal"].tolist()[:8] == pytest.approx([0.3] * 8)
    pairs = residuals("far", FORMATION, Axes(alignment="crystal"))
    assert pairs["error"].dropna().tolist() == pytest.approx([0.3] * 8)


def test_models_that_cannot_be_told_apart_share_an_interval(crystal_store):
    found = _by_model(ranks("crystal", FORMATION, "energy"))
    assert found[["rank", "rank_hi"]].T.to_dict("list") == {"near": [1, 2], "nearly": [1, 2], "far": [3, 3]}
    assert found["n_configs"].tolist() == [8, 8, 8]


SETTINGS = list(itertools.product(("raw", "per_element", "crystal"), ("energy", "force"), ("all", "vacancy")))


@pytest.mark.parametrize(("alignment", "quantity", "group"), SETTINGS)
def test_ranks_made_of_single_errors_are_those_of_the_store(crystal_store, alignment, quantity, group):
    scope = FORMATION.narrowed(group=group)
    stored = ranks(alignment, scope, quantity)
    made = ranks(alignment, scope, quantity, ("far", "near", "nearly"))
    assert made.to_dict("records") == stored.to_dict("records")


@pytest.mark.parametrize("quantity", ["energy", "force"])
def test_ranks_of_samples_are_those_of_the_store_and_rest_on_what_is_shown(sampled_store, quantity):
    for alignment in ("raw", "per_element"):
        scope = Scope.of("hand")
        stored = ranks(alignment, scope, quantity)
        made = ranks(alignment, scope, quantity, tuple(stored["model_id"]))
        assert made.to_dict("records") == stored.to_dict("records")
        shared = _by_model(error_metrics.shared_metrics(alignment, scope, quantity=quantity))
        ranked = _by_model(stored).dropna(subset="rank")
        assert ranked["n_configs"].to_dict() == shared.loc[shared["is_ranked"], "n_configs"].to_dict()


def test_a_model_without_a_rank_says_why(sampled_store):
    found = _by_model(ranks("raw", Scope.of("hand"), "force"))
    assert found["cause"].to_dict() == {"few": "share", "fragile": "share", "full": "", "sample": "", "trained": "seen"}
    assert found.loc["trained", "reason"] == "It was trained on these configurations."
    with_seen = _by_model(ranks("raw", Scope.of("hand"), "force", with_seen=True))
    assert with_seen.loc["trained", ["rank", "n_configs"]].tolist() == [1, 95]


def test_models_whose_labels_mean_something_else_do_not_change_what_is_shared(sampled_store, monkeypatch):
    monkeypatch.setattr(error_metrics, "_unfit", lambda alignment, quantity: [("sample", "hand")])
    shared = _by_model(error_metrics.shared_metrics("raw", Scope.of("hand", elements=("Mo", "W"))))
    assert shared.loc["full", "n_configs"] == 120
    assert shared.loc["sample", "cause"] == "level"


def test_means_over_metals_and_kinds_are_read(crystal_store):
    found = _by_model(error_metrics.macro_metrics("crystal", "formation"))
    assert found.loc["far", "macro_energy_rmse_mev_per_atom"] == pytest.approx(300.0)
    assert found.loc["far", ["n_energy_cells", "n_force_cells"]].tolist() == [1, 2]


def test_missing_aligned_errors_say_why(crystal_store):
    metrics = error_metrics.dataset_metrics("per_element", Scope.of("plain"))
    assert metrics["energy_rmse_mev_per_atom"].isna().all()
    assert set(metrics["energy_note"]) == {"2 offsets fitted to 2 configurations leave no error to be seen."}
    of_elements = error_metrics.dataset_metrics("per_element", Scope.of("plain", elements=("Mo",)))
    assert set(of_elements["energy_note"]) == set(metrics["energy_note"])


@pytest.mark.parametrize("alignment", ["raw", "per_element", "crystal"])
@pytest.mark.parametrize("scope", [Scope(elements=("Mo",)), FORMATION.narrowed(elements=("W",)), FORMATION])
def test_counts_alone_say_the_same_as_the_errors(crystal_store, alignment, scope):
    metrics = error_metrics.dataset_metrics(alignment, scope, quantity="force")
    counts = error_metrics.dataset_counts(alignment, scope, quantity="force")
    names = [
        "dataset_id", "model_id", "n_configs", "n_energy", "n_force", "n_failed", "n_outside", "n_own", "n_expected",
        "is_seen", "is_ranked", "cause",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(counts[names], metrics[names])
    assert len(counts) or alignment == "crystal"  # no crystal has molybdenum
