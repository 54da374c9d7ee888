"""The search takes plain words, symbols and names, and finds what they mean."""

import pytest

from engine.queries import search


@pytest.mark.parametrize(
    ("query", "elements", "kinds", "rest"),
    [
        ("tungsten", ("W",), (), ()),
        ("grain", (), ("grain-boundary",), ()),
        ("Grain boundaries of W", ("W",), ("grain-boundary",), ()),
        ("wolfram gb", ("W",), ("grain-boundary",), ()),
        ("tin", ("Sn",), (), ()),  # and not titanium
        ("titan", ("Ti",), (), ()),
        ("w", (), (), ("w",)),  # a symbol is written as a symbol
        ("hydrogen", (), ("hydrogen",), ()),
        ("gamma surface", (), ("stacking-fault",), ()),  # and not a surface
        ("point defects in iron", ("Fe",), ("divacancy", "interstitial", "vacancy"), ()),
        ("self-interstitial", (), ("interstitial",), ()),
        ("MACE vacancies", (), ("vacancy",), ("MACE",)),
        ("", (), (), ()),
    ],
)
def test_words_have_their_meaning(query, elements, kinds, rest):
    assert search.meaning(query) == search.Meaning(elements, kinds, rest)


def test_datasets_are_found_by_what_is_in_them_and_by_name(store):
    assert search.datasets("copper vacancy").to_dict("list") == {
        "dataset_id": ["al-cu"], "label": ["Al-Cu"], "n_configs": [4],
    }  # fmt: skip
    assert search.datasets("Al-Cu")["dataset_id"].tolist() == ["al-cu"]
    assert search.datasets("iron grain boundary").empty


def test_models_are_found_by_name_and_training(store):
    assert search.models("morse")["model_id"].tolist() == ["morse"]
    assert search.models("MACE vacancy")["model_id"].str.contains("mace").all()
    assert search.models("copper").empty
    assert search.models("mptrj")["model_id"].iloc[0] == "morse"  # the one with numbers


def test_a_meaning_is_described():
    assert search.describe(search.meaning("tungsten grain")) == "Grain boundary with W"
    assert search.describe(search.meaning("copper")) == "Configurations with Cu"
    assert search.describe(search.meaning("MACE")) == ""
