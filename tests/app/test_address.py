"""What an address asks of each page: options by id or by name, and wrong values named instead of replaced."""

from urllib.parse import parse_qs

import pytest

from app.main import PAGES
from tests.app.opening import open_app, start_at, text_of

CHOICES = {
    "": ("align", "on", "rows"),
    "ranking": ("part", "union", "zero"),
    "ranking?union=al-cu&union=fe": ("average",),
    "ranking?part=Best of each": ("by",),
    "ranking?part=Best of each&by=Group of structures&union=al-cu&union=fe": ("of",),
    "elements": ("show", "el", "pooled", "rescale", "view"),
    "elements?view=Two models": ("boundaries",),
    "parity": ("view", "full", "groups", "group"),
    "cost": ("machine",),
    "uncertainty": ("ensemble", "spread", "apart-emt-morse", "samples-energy", "measure", "above-energy_aligned", "by"),
    "uncertainty?ensemble=chosen": ("members",),
    "defect-energies": ("kind", "of", "unconverged"),
    "environments": ("fit-al-cu", "project", "colour", "by-class"),
    "datasets": ("part", "alone"),
    "datasets?part=Compatibility": ("registry",),
    "models": ("absent", "unrun", "state", "family", "paper"),
    "about": ("chapter",),
    "structure": ("ensemble", "order", "color", "arrows", "focus"),
}
SHARED = ("model", "compare", "dataset", "quantity", "seen", "atoms", "energy", "forces", "elements", "with", "group")
WRONG = [(page, name) for page, names in CHOICES.items() for name in names]


def _page(url_path: str) -> str:
    return next(entry.file for entry in PAGES if entry.url_path == url_path)


@pytest.mark.parametrize(("page", "name"), WRONG, ids=lambda value: value or "overview")
def test_a_wrong_value_of_a_choice_is_named(store, page, name):
    path, _, rest = page.partition("?")
    asked = parse_qs(rest) | {name: ["nonsense"]}
    at = open_app(_page(path), **asked) if path else start_at(**asked)
    assert not at.exception, at.exception
    assert f"{name}=nonsense" in text_of(at)


@pytest.mark.parametrize(
    ("page", "asked", "kind", "value"),
    [
        ("ranking", {"union": "fe"}, "multiselect", ["fe"]),
        ("ranking", {"part": "best of each"}, "segmented_control", "best of each"),
        ("ranking", {"part": "best of each", "by": "kinds"}, "segmented_control", "kinds"),
        ("elements", {"view": "two models"}, "segmented_control", "two models"),
        ("environments", {"project": "fe"}, "multiselect", ["fe"]),
        ("environments", {"colour": "dataset_id"}, "segmented_control", "dataset_id"),
        ("environments", {"fit-al-cu": "fe"}, "multiselect", ["fe"]),
        ("uncertainty", {"spread": "standard_deviation"}, "segmented_control", "standard_deviation"),
        ("uncertainty", {"apart-emt-morse": "al-cu"}, "multiselect", ["al-cu"]),
        ("uncertainty", {"measure": "weighted"}, "segmented_control", "weighted"),
        ("uncertainty", {"samples-energy": "energy"}, "segmented_control", "energy"),
        ("uncertainty", {"by": "none"}, "selectbox", "none"),
    ],
    ids=str,
)
def test_choices_of_pages_are_taken_by_id(store, page, asked, kind, value):
    at = open_app(_page(page), **asked)
    assert not at.exception, at.exception
    assert getattr(at, kind)(key=list(asked)[-1]).value == value


@pytest.mark.parametrize("name", SHARED)
def test_a_wrong_value_of_a_shared_choice_is_named(store, name):
    at = start_at(**{name: "nonsense"})
    assert not at.exception, at.exception
    assert f"{name}=nonsense" in text_of(at)
    assert not at.get("plotly_chart")


@pytest.mark.parametrize("entry", [e for e in PAGES if e.url_path], ids=lambda entry: entry.title)
def test_every_page_names_wrong_values_of_shared_choices(store, entry):
    at = open_app(entry.file, compare="nonsense", quantity="nonsense")
    assert not at.exception, at.exception
    assert "compare=nonsense" in text_of(at)
    assert "quantity=nonsense" in text_of(at)
    assert not at.get("plotly_chart")


@pytest.mark.parametrize(
    ("page", "parameters"),
    [
        ("models", {"id": "nonsense"}),
        ("structure", {"cfg": "nonsense"}),
        ("structure", {"atom": "nonsense"}),
        ("structure", {"atom": "99999"}),
        ("predict", {"from": "al-cu/nonsense"}),
        ("", {"model": "mace-mp-0"}),
        ("", {"dataset": "gb-56"}),
    ],
    ids=str,
)
def test_what_is_not_here_is_named(store, page, parameters):
    at = open_app(_page(page), **parameters) if page else start_at(**parameters)
    assert not at.exception, at.exception
    assert next(iter(parameters.values())) in text_of(at)


@pytest.mark.parametrize("value", ["force", "Force"])
def test_the_quantity_of_an_address_is_taken_by_id_and_by_name(crystal_store, value):
    at = start_at(quantity=value, align="crystal", on="own")
    assert not at.exception, at.exception
    assert at.segmented_control(key="quantity").value == "force"
    assert at.segmented_control(key="align").value == "crystal"
    assert at.segmented_control(key="on").value == "own"
    at.segmented_control(key="quantity").set_value("energy").run()
    assert at.segmented_control(key="quantity").value == "energy"


def test_energies_that_a_dataset_does_not_have_are_said_to_be_missing(store):
    at = start_at(align="crystal")
    assert "has no perfect crystal to count energies from" in text_of(at)
