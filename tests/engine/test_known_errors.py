"""Known errors by elements and kind, the models to begin with, and intervals by the spread of chosen models."""

import numpy as np
import pandas as pd
import pytest

from engine.numerics.conformal import FLOORS
from engine.queries import known_errors, nearest_environments, spread_intervals
from engine.queries.environments import sampled
from engine.queries.known_errors import default_models, shared_training
from engine.queries.scope import ALL, Scope
from engine.store import connection


def test_errors_are_those_of_the_atoms_of_that_kind_and_these_elements_alone(store):
    atoms = connection.frame(
        """
        select e.config_id, 3 * e.n_atoms as n, (f.error_x ** 2 + f.error_y ** 2 + f.error_z ** 2)::double as squared
        from force_errors f join configurations e using (dataset_id, config_id)
        where f.model_id = 'morse' and e.kind = 'vacancy' and e.elements = ['Cu'] and e.in_dataset
        """
    )
    [row] = known_errors.known_errors(("Cu",), "vacancy", ("morse",)).to_dict("records")
    assert row["rmse"] == pytest.approx(1000 * np.sqrt(atoms["squared"].sum() / 3 / len(atoms)), rel=1e-5)
    assert (row["n_configs"], row["dataset_ids"]) == (4, ("al-cu",))


def test_models_are_compared_on_what_they_share(store):
    both = known_errors.known_errors(("Al", "Cu", "Fe"), ALL, ("emt", "morse")).set_index("model_id")
    # EMT has no iron: 24 configurations of Al and Cu are shared, Morse has two of Fe more.
    assert both["n_configs"].to_dict() == {"emt": 24, "morse": 26}
    assert set(both["n_shared"]) == {24}
    alone = known_errors.known_errors(("Al", "Cu"), ALL, ("morse",)).set_index("model_id")
    assert both.loc["morse", "rmse_shared"] == pytest.approx(alone.loc["morse", "rmse"])
    assert list(both.index) == ["emt", "morse"]


def test_models_that_share_nothing_are_not_compared(store):
    compared, shared = known_errors._comparable({"a": {"1", "2"}, "b": {"3"}, "c": {"3", "4", "5"}})
    assert (compared, shared) == (["c"], {"3", "4", "5"})  # a and b share nothing, nor do a and c
    assert known_errors._comparable({"a": {"1", "2"}, "b": {"2"}}) == (["a", "b"], {"2"})


def test_elements_that_nobody_has_give_no_row(store):
    assert known_errors.known_errors(("Xe",), ALL, ("emt", "morse")).empty


def known(*rows: tuple[str, float, bool]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["model_id", "rmse_shared", "is_compared"])


def test_defaults_are_the_best_of_each_training_set():
    # CHGNet and SevenNet-0 saw MPtrj; Nequix-OMat-1 saw OMat24; TensorNet saw MatPES.
    table = known(
        ("sevennet-0", 50.0, True), ("chgnet-0.3.0", 60.0, True), ("nequix-omat-1", 70.0, True),
        ("tensornet-matpes-pbe-2025.1", 80.0, True),
    )  # fmt: skip
    best = ["sevennet-0", "nequix-omat-1", "tensornet-matpes-pbe-2025.1"]
    assert default_models(table, list(table["model_id"])) == best


def test_a_bad_model_does_not_join_for_its_training_data_alone():
    table = known(("sevennet-0", 50.0, True), ("chgnet-0.3.0", 60.0, True), ("nequix-omat-1", 151.0, True))
    assert default_models(table, list(table["model_id"])) == ["sevennet-0", "chgnet-0.3.0"]


def test_models_of_another_functional_are_no_default_where_two_of_the_usual_one_are_there():
    # DIEP and the MatPES TensorNet of that name saw r2SCAN alone; EMT is a fit to no functional.
    other = [("diep-fold1", 40.0, True), ("tensornet-matpes-r2scan-2025.1", 45.0, True), ("emt", 48.0, True)]
    usual = [("sevennet-0", 100.0, True), ("nequix-omat-1", 140.0, True)]
    table = known(*other, *usual)
    assert default_models(table, list(table["model_id"])) == ["sevennet-0", "nequix-omat-1"]
    one = known(*other, usual[0])
    assert default_models(one, list(one["model_id"])) == ["sevennet-0", "diep-fold1"]
    none = known(*other)
    assert default_models(none, list(none["model_id"])) == ["diep-fold1", "emt"]


def test_a_page_begins_with_models_where_no_error_is_known():
    assert default_models(known(), ["chgnet-0.3.0", "sevennet-0"]) == ["chgnet-0.3.0", "sevennet-0"]
    assert default_models(known(), []) == []


def test_shared_training_is_what_all_have():
    assert shared_training(["chgnet-0.3.0", "sevennet-0"]) == ["mptrj"]
    assert shared_training(["chgnet-0.3.0", "sevennet-0", "nequix-omat-1"]) == []
    assert shared_training(["chgnet-0.3.0"]) == []
    assert shared_training(["sevennet-22may2024", "sevennet-0"]) == ["mptrj"]  # two extracts of one source


def test_an_interval_by_spread_holds_the_middle_of_the_ratios(store):
    found = spread_intervals.spread_interval("morse", ("emt", "morse"), ("Cu",), ALL)
    table = connection.frame(
        """
        select c.config_id, a.error_x as ax, a.error_y as ay, a.error_z as az, b.error_x as bx, b.error_y as byy,
            b.error_z as bz
        from force_errors a join force_errors b using (dataset_id, config_id, atom_index)
        join configurations c using (dataset_id, config_id)
        where a.model_id = 'emt' and b.model_id = 'morse' and dataset_id = 'al-cu' and c.in_dataset
        """
    )
    emt, morse = table[["ax", "ay", "az"]].to_numpy(float), table[["bx", "byy", "bz"]].to_numpy(float)
    deviation = np.linalg.norm(emt - morse, axis=1) / 2  # of two, the standard deviation is half their distance
    ratio = np.linalg.norm(morse, axis=1) / (deviation + FLOORS["force"])
    assert (found.n_configs, found.unit, found.n_atoms) == (24, "configuration", len(table))
    inside = pd.Series((ratio >= found.low) & (ratio <= found.high)).groupby(table["config_id"]).mean()
    assert inside.mean() == pytest.approx(0.9, abs=0.02)
    low, high = found.of(deviation)
    assert np.mean((np.linalg.norm(morse, axis=1) >= low) & (np.linalg.norm(morse, axis=1) <= high)) > 0.85
    assert 0.7 < found.coverage <= 1.0


def test_no_interval_without_two_models_or_without_evidence(store):
    assert spread_intervals.spread_interval("emt", ("emt",), ("Cu",), ALL) is None
    assert spread_intervals.spread_interval("emt", ("emt", "morse"), ("Xe",), ALL) is None


def test_the_nearest_environment_of_a_sampled_atom_is_itself(store):
    atoms, vectors = sampled(Scope())
    place = int(np.flatnonzero(atoms["element"] == "Cu")[3])
    row = atoms.iloc[place]
    error = connection.row(
        """
        select sqrt(error_x ** 2 + error_y ** 2 + error_z ** 2)::double from force_errors
        where model_id = 'morse' and dataset_id = $d and config_id = $c and atom_index = $a
        """,
        {"d": row["dataset_id"], "c": row["config_id"], "a": int(row["atom_index"])},
    )
    found = nearest_environments.nearest(vectors[place], "Cu", "morse")
    assert (found["config_id"].iloc[0], int(found["atom_index"].iloc[0])) == (row["config_id"], int(row["atom_index"]))
    assert found["distance"].iloc[0] == pytest.approx(0.0, abs=1e-6)
    assert found["force_error"].iloc[0] == pytest.approx(error[0])
    assert found["distance"].is_monotonic_increasing
    assert set(found["element"]) == {"Cu"}
    others = nearest_environments.nearest(vectors[place], "Cu", "morse", beside=row["config_id"])
    assert row["config_id"] not in set(others["config_id"])


def test_no_environment_is_near_where_the_model_has_no_errors(store):
    assert nearest_environments.nearest(np.zeros(3), "Cu", "chgnet-0.3.0").empty
