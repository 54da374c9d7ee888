"""The model registry: sound as it stands, and strict about what it accepts."""

from pathlib import Path

import pytest

from engine.errors import RegistryError
from engine.registry.models import EXTERNAL, get_model, load_models, select_models

FAMILIES = Path(__file__).parents[2] / "engine" / "families"

ENTRY = """\
[toy-1]
label = "Toy"
family = "nequix"
files = [{ name = "toy.nqx", sha256 = "", url = "https://example.org/toy.nqx" }]
training_sets = ["mptrj"]
license = "MIT"
source = "https://example.org"
level_of_theory = "mp-pbe"
conservative = true
"""


def test_every_row_of_table_1_is_there_once() -> None:
    rows = [m.paper_row for m in load_models().values() if m.paper_row is not None]

    assert sorted(rows) == list(range(1, 27))


def test_counts_are_those_of_table_1() -> None:
    by_row = {m.paper_row: m for m in load_models().values()}

    assert [by_row[r].n_training_structures for r in (1, 3, 15, 16, 26)] == [
        1_580_000, 12_000_000, 101_000_000, 102_000_000, 113_000_000
    ]  # fmt: skip
    assert [by_row[r].n_parameters for r in (1, 4, 6, 7, 24)] == [
        413_000, 9_060_000, 4_550_000, 25_200_000, 12_600_000
    ]  # fmt: skip
    assert [r for r in range(1, 27) if by_row[r].n_parameters is None] == [2, 8, 9, 21]  # "unknown"


def test_every_runnable_model_has_its_family_and_a_way_to_its_files() -> None:
    for model in select_models(["all"]):
        if model.is_runnable:
            assert (FAMILIES / f"{model.family}.py").is_file(), model.model_id
            assert all(file.url or file.sha256 for file in model.files), model.model_id


def test_at_least_45_models_can_run() -> None:
    assert sum(model.is_runnable for model in load_models().values()) >= 45


def test_all_of_table_1_can_run() -> None:
    assert [m.model_id for m in load_models().values() if m.paper_row and not m.is_runnable] == []


def test_direct_force_models_are_orb_and_eqv2() -> None:
    direct = {m.model_id for m in load_models().values() if not m.conservative and m.family != EXTERNAL}

    assert direct == {i for i in load_models() if i.startswith(("eqv2-", "orb-")) and "conservative" not in i}


def test_dispersion_is_marked_on_energies() -> None:
    assert all((m.level.energy_reference == "mp-d3") == m.level.d3 for m in load_models().values())


def test_unknown_id_names_the_closest() -> None:
    with pytest.raises(RegistryError, match=r"'chgnet-0\.3' is not in engine/registry/models; closest: 'chgnet-0\."):
        get_model("chgnet-0.3")


def test_selection_keeps_order_and_drops_repeats() -> None:
    assert [m.model_id for m in select_models(["nequix-mp-1", "emt", "nequix-mp-1"])] == [
        "nequix-mp-1",
        "emt",
    ]
    assert len(select_models(["emt", "all"])) == len(load_models())


def test_entry_becomes_a_model(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(ENTRY)

    toy = load_models(path)["toy-1"]

    assert (toy.files[0].name, toy.files[0].package_file, toy.training_sets) == ("toy.nqx", None, ("mptrj",))
    assert (toy.options, toy.n_parameters, toy.is_runnable) == ({}, None, True)


WRONG = {
    "unknown key": (ENTRY + "colour = 1\n", "'toy-1': unknown key 'colour'"),
    "missing key": (ENTRY.replace('label = "Toy"\n', ""), "'toy-1': key 'label' is missing"),
    "wrong type": (ENTRY.replace('"Toy"', "1"), "'toy-1': label: expected str, got 1"),
    "text for a list": (ENTRY.replace('["mptrj"]', '"mptrj"'), "training_sets: expected a list"),
    "number in a list": (ENTRY.replace('["mptrj"]', "[1]"), r"training_sets\[0\]: expected str"),
    "true for a count": (ENTRY + "n_parameters = true\n", "n_parameters: expected int, got True"),
    "unknown key in a file": (ENTRY.replace("url =", "uri ="), r"files\[0\]: unknown key 'uri'"),
    "unknown family": (ENTRY.replace('"nequix"', '"nequim"'), "family: 'nequim' is not one of"),
    "option of another family": (ENTRY + 'options = { modal = "PBE" }\n', "family nequix: 'modal' is not"),
    "unknown level": (ENTRY.replace('"mp-pbe"', '"mp-pb"'), "'toy-1'.*'mp-pb' is not in.*closest: 'mp-pbe'"),
    "no level": (ENTRY.replace('level_of_theory = "mp-pbe"\n', ""), "'toy-1': key 'level_of_theory' is missing"),
    "unknown training set": (ENTRY.replace('"mptrj"', '"mptr"'), "'toy-1'.*'mptr' is not in.*closest: 'mptrj'"),
    "no elements": (ENTRY.replace('"mptrj"', '"oc20"'), "'toy-1': needs elements"),
    "stranger": (ENTRY + 'elements = ["H-Xx"]\n', "'toy-1': 'Xx' is not a chemical element"),
    "range that ends before it begins": (ENTRY + 'elements = ["Bi-H"]\n', "'toy-1': 'Bi-H' is no range"),
    "two sources": (ENTRY.replace("url =", 'package_file = "a/b", url ='), "either a url or a package_file"),
    "no source": (
        ENTRY.replace(', url = "https://example.org/toy.nqx"', ""),
        "either a url or a package_file",
    ),
    "packed code without a checksum": (
        ENTRY.replace("toy.nqx", "toy.nequip.zip").replace("nequix", "nequip"),
        "'toy.nequip.zip' runs its own code when it is loaded, so state its sha256",
    ),
    "short checksum": (ENTRY.replace('sha256 = ""', 'sha256 = "ab"'), "not 64 hexadecimal digits"),
    "capitals in the id": (ENTRY.replace("toy-1", "Toy_1"), "'Toy_1': an id is kebab-case"),
    "row claimed twice": (
        ENTRY + "paper_row = 1\n" + ENTRY.replace("toy-1", "toy-2") + "paper_row = 1\n",
        "paper_row 1 is claimed by 'toy-1' and 'toy-2'",
    ),
    "not TOML": ("[toy-1\n", r"models\.toml cannot be read"),
    "entry that is no table": ("toy = 1\n", "'toy': expected a table"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_wrong_entry_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(text)

    with pytest.raises(RegistryError, match=message):
        load_models(path)


def test_a_file_holds_one_family(tmp_path: Path) -> None:
    (tmp_path / "mace.toml").write_text(ENTRY)

    with pytest.raises(RegistryError, match=r"'toy-1': family 'nequix' has a file of its own, nequix\.toml"):
        load_models(tmp_path)


def test_an_id_stands_in_one_file(tmp_path: Path) -> None:
    (tmp_path / "emt.toml").write_text(ENTRY)
    (tmp_path / "nequix.toml").write_text(ENTRY)

    with pytest.raises(RegistryError, match=r"'toy-1' is an entry of emt\.toml and of nequix\.toml"):
        load_models(tmp_path)


def test_every_model_says_which_elements_it_knows() -> None:
    models = load_models()

    assert {m.family for m in models.values() if not m.elements} == {EXTERNAL}
    assert models["sevennet-0"].unknown_elements(["Po", "W", "At", "Rn", "Fr", "Ra", "Am"]) == [
        "Po", "At", "Rn", "Fr", "Ra", "Am"
    ]  # fmt: skip
    assert len(models["sevennet-0"].elements) == 89
    assert models["chgnet-r2scan"].unknown_elements(["Yb", "W"]) == ["Yb"]


def test_baselines_know_their_own_elements() -> None:
    known = {m.model_id: " ".join(m.elements) for m in load_models().values() if m.family in ("snap", "ace", "nep")}

    assert (known["ace-w"], known["snap-nimo-2018"], known["qsnap-li-2020"]) == ("W", "Ni Mo", "Li")
    assert known["nep-monbtavw"] == "V Nb Mo Ta W"
