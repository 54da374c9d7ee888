"""Which models were trained on which datasets, computed from training sets."""

import dataclasses

import pytest

from engine.errors import RegistryError
from engine.queries import catalog
from engine.registry.datasets import SeenBy, get_dataset, load_datasets
from engine.registry.leakage import Leakage, leakage, leakages
from engine.registry.models import get_model, load_models


def certainty(model_id: str, dataset_id: str, group: str = "all") -> str | None:
    found = leakage(get_model(model_id), get_dataset(dataset_id), group)
    return found.certainty if found else None


@pytest.mark.parametrize(
    ("model_id", "dataset_id", "expected"),
    [
        ("ace-w", "w-g", "certain"),
        ("ace-w-4-percent", "w-g", "certain"),
        ("sevennet-0", "w-g", None),
        ("snap-mo-2017", "mo-snap", "certain"),
        ("mtp-mo-2020", "mo-mlearn", "certain"),
        ("snap-monbtaw-2020", "nbmotaw-snap", "certain"),
        ("mtp-monbtaw-2021", "nbmotaw-snap", "likely"),
        ("snap-ni-2020", "ni-snap", "likely"),
        ("snap-nimo-2018", "mo-snap", "likely"),
        ("snap-nimo-2018", "nimo-snap", "certain"),
        ("qsnap-li-2020", "li-mlearn", "certain"),
        ("nep-monbtavw", "monbtavw-tabgap", "likely"),
        ("nep-unep-v1", "unep-v1-test", "not known"),
        ("sevennet-0", "gbdb", "not known"),
        ("sevennet-0", "open-defects", None),
        ("emt", "mattersim-metals", None),
    ],
)
def test_a_pair_is_known(model_id, dataset_id, expected):
    assert certainty(model_id, dataset_id) == expected


def test_groups_are_told_apart():
    assert certainty("sevennet-0", "mattersim-metals", "mptrj_random") == "certain"
    assert certainty("sevennet-0", "mattersim-metals", "high_TP_mpf") is None
    assert certainty("orb-v2", "mattersim-metals", "alexandria_random") == "likely"
    assert certainty("nequix-omat-1", "mattersim-metals", "alexandria_random") == "not known"
    assert certainty("snap-mo-2017", "mo-snap", "vacancy") is None
    assert certainty("mattersim-v1.0.0-5m", "mattersim-metals", "high_TP_mpf") == "not known"


def test_a_set_inside_another_counts():
    # OpenLAM holds MPtrj, which holds the group.
    assert certainty("dpa-3.1-3m-omat24", "mattersim-metals", "mptrj_random") == "certain"


def test_the_surest_record_decides_and_all_are_named():
    found = leakage(get_model("orb-v2"), get_dataset("mattersim-metals"))
    assert (found.certainty, found.groups) == ("certain", ("mptrj_highest_stress", "mptrj_random"))
    assert found.reason.startswith("MPtrj (groups mptrj_highest_stress, mptrj_random), certain: ")
    assert "Alex (groups alexandria_random), likely: " in found.reason


def test_what_lies_outside_a_dataset_does_not_count_for_it():
    seen = SeenBy("w-g", "certain", "Said so.", ("dimer",))
    dataset = dataclasses.replace(get_dataset("w-g"), seen_by=(seen,))
    assert leakage(get_model("ace-w"), dataset) is None
    assert leakage(get_model("ace-w"), dataset, "dimer") == Leakage(
        "certain", ("dimer",), "W-g (groups dimer), certain: Said so."
    )


def test_rows_are_written_for_the_dataset_and_for_its_groups():
    models = [get_model("ace-w"), get_model("sevennet-0")]
    found = [(m.model_id, group) for m, group, _ in leakages(models, get_dataset("w-g"), {"gb", "dimer"})]
    assert found == [("ace-w", "all"), ("ace-w", "dimer"), ("ace-w", "gb")]


def test_every_group_that_is_named_belongs_to_its_dataset_and_every_set_to_the_registry():
    for dataset in load_datasets().values():
        for seen in dataset.seen_by:
            assert seen.why.endswith("."), dataset.dataset_id
            assert any(seen.training_set in m.training_sets for m in load_models().values()), seen.training_set


def test_the_store_answers_for_pages(store):
    table = catalog.leakage().set_index(["model_id", "dataset_id", "group_name"])
    assert table.loc[("ace-w", "w-g", "all"), "certainty"] == "certain"
    assert ("sevennet-0", "w-g", "all") not in table.index


def test_an_unknown_certainty_is_refused(tmp_path):
    path = tmp_path / "datasets.toml"
    path.write_text(
        """[toy]
label = "Toy"
description = "Two atoms."
elements = ["W"]
level_of_theory = "mo-snap"
comparable = true
comparable_note = "Fits."
seen_by = [{ training_set = "mptrj", certainty = "sure", why = "So." }]
license = "MIT"
citation = "None."
source = "https://example.org"
not_available = "Lost."
"""
    )
    with pytest.raises(RegistryError, match="certainty of 'mptrj': 'sure' is not one of"):
        load_datasets(path)
