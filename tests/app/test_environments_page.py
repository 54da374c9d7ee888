"""The page of local environments: map, shares outside, errors by class."""

import json

import pytest

from engine.queries import environments
from engine.queries.scope import Scope
from tests.app.opening import open_app, table_with, text_of

PAGE = "views/environments.py"


def test_the_page_opens_with_map_shares_and_classes(store):
    at = open_app(PAGE)
    assert not at.exception, at.exception
    assert len(at.get("plotly_chart")) == 3
    assert "figure 10a of the paper" in text_of(at)
    assert set(table_with(at, "share")["one"].str.split(" ").str[0]) == {"rattled", "vacancy"}


@pytest.mark.parametrize("colour", ["dataset_id", "class_name", "force_error", "deviation"])
def test_every_colour_draws_all_sampled_atoms(store, colour):
    at = open_app(PAGE)
    at.segmented_control(key="colour").set_value(colour).run()
    assert not at.exception, at.exception
    spec = json.loads(at.get("plotly_chart")[0].proto.spec)
    n_drawn = sum(len(trace["customdata"]) for trace in spec["data"] if "customdata" in trace)
    assert n_drawn == len(environments.sampled(Scope.of("al-cu"))[0])


def test_a_second_dataset_is_projected_and_compared(store):
    at = open_app(PAGE)
    at.multiselect(key="project").set_value(["fe"]).run()
    assert not at.exception, at.exception
    assert set(table_with(at, "is_fitted")["dataset_id"]) == {"al-cu", "fe"}
    assert sorted(table_with(at, "share")["one"].str.split(" ").str[0]) == ["Al-Cu", "Fe"]


def test_a_store_without_environments_names_the_command(sampled_store):
    assert "python -m precompute describe" in text_of(open_app(PAGE))


def test_groups_outside_the_dataset_are_not_on_the_map(store):
    atoms, vectors = environments.sampled(Scope.of("al-cu"))
    assert len(atoms) == len(vectors)
    assert "dimer" not in set(atoms["group_name"])
    assert len(environments.sampled(Scope.of("al-cu", group="dimer"))[0]) == 2


def test_errors_by_class_add_up_to_those_of_the_dataset(store):
    classes = environments.class_metrics("al-cu")
    classes = classes[classes["model_id"] == "morse"]
    mean_square = (classes["n_atoms"] * classes["force_rmse_mev_per_ang"] ** 2).sum() / classes["n_atoms"].sum()
    whole = environments.connection.row(
        "select force_rmse_mev_per_ang from dataset_metrics where model_id = 'morse' and dataset_id = 'al-cu' "
        "and group_name = 'all' and alignment = 'raw'"
    )
    assert mean_square**0.5 == pytest.approx(whole[0], rel=1e-4)
