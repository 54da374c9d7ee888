"""The dataset registry: sound as it stands, and strict about what it accepts."""

from pathlib import Path

import pytest
from ase.data import chemical_symbols

from engine.errors import RegistryError
from engine.readers.formats import read
from engine.registry.datasets import DATASETS_PATH, get_dataset, load_datasets
from engine.registry.models import load_models

EMBEDDED = Path(__file__).parents[2] / "data" / "embedded"

ENTRY = """\
[toy]
label = "Toy"
description = "Two atoms."
elements = ["W"]
functional = "PBE"
code = "VASP"
potentials = "W_pv"
energy_reference = "mp"
comparable = true
comparable_note = "Same settings."
license = "MIT"
citation = "Nobody (2025)."
source = "https://example.org"
files = [{ name = "toy.xyz", reader = "extxyz", url = "https://example.org/toy.xyz" }]
"""


def test_every_row_of_table_2_is_there_once() -> None:
    rows = {d.paper_row: d.n_configs_paper for d in load_datasets(DATASETS_PATH).values() if d.paper_row is not None}

    assert sorted(rows) == list(range(1, 15))
    assert [rows[r] for r in range(1, 15)] == [
        1436, 1030, 1018, 1050, 1026, 262, 17210, 347, 348, 998, 1257, 600, 17654, 409
    ]  # fmt: skip


def test_every_set_can_be_had_or_says_why_not() -> None:
    for dataset in load_datasets(DATASETS_PATH).values():
        if dataset.is_available:
            whole = dataset.mirror_files or dataset.original_files or dataset.is_embedded
            assert whole, dataset.dataset_id
            assert dataset.original_files or dataset.is_embedded or "From a mirror only" in dataset.file_note


def test_every_row_without_data_has_a_stand_in_or_says_so() -> None:
    datasets = load_datasets(DATASETS_PATH).values()
    stood_in_for = {row for d in datasets if d.is_available for row in d.stands_in_for}

    assert {d.paper_row for d in datasets if not d.is_available and d.paper_row} <= stood_in_for


def test_w_g_counts_the_paper_configurations_only() -> None:
    w_g = get_dataset("w-g")

    assert (w_g.n_configs, w_g.n_configs_paper, w_g.groups_outside) == (1129, 1026, ("dimer", "short_range"))
    assert w_g.original_files == w_g.mirror_files


def test_published_predictions_are_of_known_models() -> None:
    models = [p.model for p in get_dataset("w-g").published_predictions]

    assert len(models) == len(set(models)) == 19
    assert set(models) <= set(load_models())
    assert sum(load_models()[m].paper_row is not None for m in models) == 9


def test_embedded_set_is_what_its_entry_says() -> None:
    (file,) = get_dataset("open-defects").files
    configurations = read(EMBEDDED / file.embedded, file.reader)

    elements = {chemical_symbols[number] for c in configurations for number in c.numbers}
    assert elements <= set(get_dataset("open-defects").elements)
    assert all(c.energy is not None and c.forces is not None for c in configurations)


def test_unknown_id_names_the_closest() -> None:
    with pytest.raises(RegistryError, match=r"'mo_snap' is not in engine/registry/datasets; closest: 'mo-snap'"):
        get_dataset("mo_snap")


def test_entry_becomes_a_dataset(tmp_path: Path) -> None:
    path = tmp_path / "datasets.toml"
    path.write_text(ENTRY + 'groups_outside = ["dimer"]\n')

    toy = load_datasets(path)["toy"]

    assert (toy.elements, toy.groups_outside, toy.paper_row) == (("W",), ("dimer",), None)
    assert [f.name for f in toy.original_files] == ["toy.xyz"]
    assert toy.mirror_files == ()


def test_noise_of_the_labels_comes_with_how_it_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "datasets.toml"
    path.write_text(
        ENTRY + 'energy_noise = 0.002\ndefect_energy_noise = 0.01\nnoise_note = "Against denser k-points."\n'
    )

    toy = load_datasets(path)["toy"]

    assert (toy.energy_noise, toy.force_noise, toy.noise_note) == (0.002, None, "Against denser k-points.")
    assert toy.defect_energy_noise == 0.01


MIRROR = 'mirror = "datasets/toy.extxyz.gz"'
WRONG = {
    "unknown key": (ENTRY + "colour = 1\n", "'toy': unknown key 'colour'"),
    "missing key": (ENTRY.replace('functional = "PBE"\n', ""), "'toy': key 'functional' is missing"),
    "wrong type": (ENTRY.replace("true", '"yes"'), "comparable: expected bool, got 'yes'"),
    "unknown element": (ENTRY.replace('["W"]', '["Xy"]'), "'Xy' is not a chemical element"),
    "unknown reader": (ENTRY.replace('"extxyz"', '"castep"'), "reader: 'castep' is not one of"),
    "unknown reference": (ENTRY.replace('"mp"', '"vasp"'), "energy_reference: 'vasp' is not one of"),
    "no source of a file": (ENTRY.replace("url =", "group ="), "needs a url, a mirror or an embedded"),
    "mirror without checksum": (ENTRY.replace("url =", MIRROR + ", url ="), "a mirror needs a mirror_sha256"),
    "short checksum": (ENTRY.replace("url =", 'sha256 = "ab", url ='), "'ab' is not 64 hexadecimal digits"),
    "files and an excuse": (ENTRY + 'not_available = "Lost."\n', "needs either files, or not_available"),
    "neither": (ENTRY[: ENTRY.index("files")], "needs either files, or not_available"),
    "noise without a note": (
        ENTRY + "force_noise = 0.01\n",
        "noise_note, which says how it was measured, come together",
    ),
    "noise of zero": (ENTRY + 'energy_noise = 0.0\nnoise_note = "None."\n', "energy_noise are above zero"),
    "id with a dot": (ENTRY.replace("[toy]", '["toy.1"]'), r"'toy\.1': an id is kebab-case"),
    "row claimed twice": (
        ENTRY + "paper_row = 5\n" + ENTRY.replace("[toy]", "[toy-2]") + "paper_row = 5\n",
        "paper_row 5 is claimed by 'toy' and 'toy-2'",
    ),
    "bad predictions": (
        ENTRY + '[[toy.published_predictions]]\nmodel = "emt"\nmirror = "a"\nsha256 = "1"\nsource = "b"\n',
        "sha256 of 'a' is not 64 hexadecimal digits",
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_wrong_entry_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "datasets.toml"
    path.write_text(text)

    with pytest.raises(RegistryError, match=message):
        load_datasets(path)


def test_an_entry_names_a_level_of_theory_or_states_one_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "datasets.toml"
    path.write_text(ENTRY)
    own = load_datasets(path)["toy"].level
    named = get_dataset("w-g").level

    assert (own.level_id, own.functional, own.potentials) == ("toy", "PBE", "W_pv")
    assert (named.level_id, named.cutoff_ev) == ("shuang-2025", 520.0)


def test_an_entry_of_an_older_data_folder_still_reads(tmp_path: Path) -> None:
    path = tmp_path / "datasets.toml"
    path.write_text(ENTRY + 'leakage = "Not checked."\n')

    old = load_datasets(path)["toy"]

    assert (old.leakage_note, old.reference_checked, old.seen_by) == ("Not checked.", False, ())


def test_table_2_adds_up_to_less_than_the_text_of_the_paper_says() -> None:
    assert sum(d.n_configs_paper or 0 for d in load_datasets().values()) == 44_645  # the text has 54,084


def test_hosts_of_the_solutes_are_those_of_the_cited_source() -> None:
    solutes = get_dataset("solute-defects")
    assert "W" in solutes.elements and "Mo" not in solutes.elements
