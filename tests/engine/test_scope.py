"""Which configurations a scope holds, in a store whose datasets, groups and sizes are known."""

import pytest

from engine.errors import ScopeError
from engine.queries import configurations, error_metrics, error_pairs, reference_data
from engine.queries.error_pairs import Axes
from engine.queries.scope import EVERYTHING, Scope
from engine.store import connection

FULL_ADDRESS = {
    "dataset": ["al-cu", "fe"],
    "group": ["vacancy"],
    "kinds": ["vacancy"],
    "elements": ["Al"],
    "atoms": ["8:64"],
    "energy": [":0.5"],
    "forces": ["0.01:"],
    "with": ["emt"],
}


@pytest.mark.parametrize(
    ("scope", "n"),
    [
        (EVERYTHING, 26),  # 12 cells of Al, 12 of Cu, two of Fe; the dimer does not count
        (Scope.of("al-cu"), 24),
        (Scope.of("al-cu", "fe"), 26),
        (Scope.of("al-cu", group="vacancy"), 8),
        (Scope(group="dimer"), 1),
        (Scope(kinds=("vacancy",)), 8),  # by the name of the group, since the test's datasets name no kinds
        (Scope(kinds=("vacancy", "displaced"), elements=("Fe",)), 2),
        (Scope(kinds=("cluster",)), 0),  # the dimer is outside its dataset
        (Scope(group="dimer", kinds=("cluster",)), 1),
        (Scope(elements=("Al", "Fe")), 14),
        (Scope.of("al-cu", n_atoms=(32, None)), 16),  # cells with a vacancy have 31
        (Scope.of("al-cu", energy_above=(None, 0.0)), 1),
        (Scope.of("al-cu", force_rms=(0.0, None)), 24),
        (Scope(shared_with=("emt", "morse")), 24),  # EMT failed on iron
        (Scope.of("none"), 0),
    ],
)
def test_a_scope_holds_the_configurations_that_fit(store, scope, n):
    assert reference_data.n_configurations(scope) == n


def test_windows_of_force_part_the_dataset(store):
    n_weak = reference_data.n_configurations(Scope.of("al-cu", force_rms=(None, 0.5)))
    n_strong = reference_data.n_configurations(Scope.of("al-cu", force_rms=(0.5, None)))
    assert 0 < n_weak < 24
    assert n_weak + n_strong == 24


def test_values_are_bound_and_not_part_of_the_statement():
    scope = Scope.of("x' or 1=1 --", group="g'", elements=("W",))
    assert "'" not in scope.predicate("c")
    assert scope.bindings()["scope_dataset_0"] == "x' or 1=1 --"


def test_order_and_repetition_make_no_other_scope():
    assert Scope(elements=("W", "Mo", "W")) == Scope(elements=("Mo", "W"))
    assert Scope.of("a", "a") == Scope.of("a")


def test_an_address_gives_the_scope_back():
    scope = Scope.from_address(FULL_ADDRESS)
    assert scope.to_address() == FULL_ADDRESS
    assert Scope.from_address(scope.to_address()) == scope
    assert Scope.from_address({}) == EVERYTHING


def test_a_scope_says_in_words_what_it_holds():
    words = Scope.from_address(FULL_ADDRESS).describe({"al-cu": "Al-Cu"})
    assert words == (
        "Al-Cu + fe, group vacancy, vacancy, with Al, 8 to 64 atoms, at most 0.5 eV/atom above the lowest energy of "
        "the dataset, RMS force of at least 0.01 eV/Å, with a result of each of emt"
    )
    assert EVERYTHING.describe() == "all datasets"


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"group": ["gb"]}, "group=gb"),
        ({"group": ["bulk", "all"]}, "expected one group"),
        ({"atoms": ["many"]}, "atoms=many"),
        ({"atoms": [":"]}, "expected lowest:highest"),
        ({"energy": ["2:1"]}, "lowest value is above"),
    ],
)
def test_what_an_address_cannot_mean_is_refused_by_name(parameters, named):
    with pytest.raises(ScopeError, match=named):
        Scope.from_address(parameters, {"group": ["bulk"]})


def test_a_scope_of_several_datasets_has_no_one_dataset():
    with pytest.raises(ScopeError, match="a \\+ b"):
        _ = Scope.of("a", "b").dataset_id


@pytest.mark.parametrize("alignment", ["raw", "per_element"])
@pytest.mark.parametrize("group", ["all", "vacancy"])
def test_metrics_of_single_errors_equal_the_stored_ones(store, alignment, group):
    scope = Scope.of("al-cu", group=group)
    stored = error_metrics.dataset_metrics(alignment, scope).set_index("model_id")
    made = error_metrics.metrics_in(scope, alignment).set_index("model_id")
    for name in ("n_configs", "energy_rmse_mev_per_atom", "force_rmse_mev_per_ang", "force_mae_mev_per_ang"):
        assert made[name].to_dict() == pytest.approx(stored[name].to_dict(), rel=1e-5)
    bounds = ["force_rmse_mev_per_ang_lo", "force_rmse_mev_per_ang_hi"]  # of a few cells, which have none
    assert made[bounds].isna().all(axis=None)
    assert stored[bounds].isna().all(axis=None)


def test_a_condition_changes_the_metrics_and_their_counts(sampled_store):
    rows = error_metrics.dataset_metrics("raw", Scope(shared_with=("full", "sample"))).set_index("model_id")
    # The 100 shared configurations have errors of 0.1 eV/atom; the other 20 of `full` have 0.5.
    assert rows.loc["full", ["n_configs", "n_expected"]].tolist() == [100, 100]
    assert rows.loc["full", "energy_rmse_mev_per_atom"] == pytest.approx(100.0)


def test_a_union_of_datasets_pools_pairs_and_lists(store):
    both = Scope.of("al-cu", "fe")
    points = error_pairs.residuals("morse", both, Axes("energy"))
    assert points.groupby("dataset_id").size().to_dict() == {"al-cu": 24, "fe": 2}
    worst = configurations.worst_configurations("morse", both, "energy", "raw")
    assert set(worst["dataset_id"]) == {"al-cu", "fe"}


def test_the_bindings_of_a_scope_are_those_that_its_predicate_uses(store):
    for scope in (EVERYTHING, Scope.from_address(FULL_ADDRESS), Scope(n_atoms=(None, 8))):
        connection.row(f"select count(*) from configurations c where {scope.predicate('c')}", scope.bindings())
