"""Levels of theory: one noun for what models learnt and how datasets were computed."""

import pytest

from engine.errors import RegistryError
from engine.registry.datasets import load_datasets
from engine.registry.levels_of_theory import load_levels, make_level
from engine.registry.models import load_models
from engine.registry.training_sets import all_inside, elements_of, load_training_sets


def test_models_and_datasets_share_one_registry():
    levels = load_levels()
    used = {m.level.level_id for m in load_models().values()} | {d.level.level_id for d in load_datasets().values()}
    assert used <= levels.keys()
    assert (levels["mp-pbe"].cutoff_ev, levels["mp-pbe"].hubbard_u, levels["mp-pbe"].spin) == (520.0, True, "polarised")


def test_what_a_source_does_not_state_is_absent():
    level = load_levels()["mvl-settings"]
    assert (level.cutoff_ev, level.hubbard_u, level.spin, level.scf_criterion) == (None, None, "not stated", "")


def test_every_level_is_used():
    models, sets, datasets = load_models().values(), load_training_sets().values(), load_datasets().values()
    used = {one.level.level_id for one in (*models, *sets, *datasets) if one.level}
    assert load_levels().keys() - used == set()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"energy_reference": "vasp"}, "toy: energy_reference: 'vasp' is not one of"),
        ({"spin": "up"}, "toy: spin: 'up' is not one of"),
        ({"cutoff": 520.0}, "toy: unknown key 'cutoff'"),
        ({"hubbard_u": "yes"}, "toy: hubbard_u: expected bool"),
    ],
    ids=["reference", "spin", "key", "type"],
)
def test_a_wrong_level_is_refused_by_name(changed, message):
    with pytest.raises(RegistryError, match=message):
        make_level("toy", {"functional": "PBE", "energy_reference": "mp", **changed}, "toy")


def test_training_sets_hold_what_they_contain():
    assert {"mptrj", "omat24"} <= all_inside(["openlam"])
    assert all_inside(["alex"]) == {"alex", "salex"}
    assert elements_of(["snap-nimo"]) == ("Ni", "Mo")
    assert len(elements_of(["mptrj"])) == 89
    assert elements_of(["oc20"]) == ()
