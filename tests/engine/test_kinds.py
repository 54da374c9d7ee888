"""Kinds of structures: the vocabulary, the kind of every group of every dataset, and what the store has of them."""

import gzip
import os
import re
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.errors import RegistryError
from engine.registry.datasets import load_datasets
from engine.registry.kinds import KindRule, check_rules, kind_by_name, kind_of, load_kinds
from engine.store.connection import SETTINGS

MIRROR = os.environ.get("DEFECT_ATLAS_MIRROR", "")
EMBEDDED = Path(__file__).parents[2] / "data" / "embedded"

VOCABULARY = [
    "bulk", "strained", "displaced", "vacancy", "divacancy", "interstitial", "surface", "stacking-fault",
    "grain-boundary", "dislocation", "liquid", "solute", "hydrogen", "crack", "cluster", "other",
]  # fmt: skip


def groups_of_text(path):
    """Configurations by group in a file of extended XYZ, which names it in the line of comments."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return Counter(found[1] for line in lines if (found := re.search(r"\bgroup=(\S+)", line)))


def test_the_vocabulary_is_the_one_that_pages_and_addresses_use():
    assert list(load_kinds()) == VOCABULARY
    assert all(kind.label and kind.meaning.endswith(".") for kind in load_kinds().values())


@pytest.mark.skipif(not MIRROR, reason="no mirror directory: set DEFECT_ATLAS_MIRROR")
@pytest.mark.parametrize("dataset", [d for d in load_datasets().values() if d.mirror_files], ids=lambda d: d.dataset_id)
def test_every_group_of_the_mirror_has_its_kind_in_the_registry(dataset):
    groups = Counter()
    for file in dataset.mirror_files:
        groups += groups_of_text(Path(MIRROR) / file.mirror)
    assert groups
    assert not [name for name in groups if not any(rule.fits_group(name) for rule in dataset.kinds)]


@pytest.mark.parametrize("dataset_id", ["open-defects", *(p.name for p in (EMBEDDED / "summaries").glob("*-*"))])
def test_every_group_that_comes_with_the_repository_has_its_kind_in_the_registry(dataset_id):
    if dataset_id == "open-defects":
        groups = groups_of_text(EMBEDDED / "open-defects.extxyz")
    else:
        groups = set(
            pq.read_table(EMBEDDED / "summaries" / dataset_id / "configurations.parquet")["group_name"].to_pylist()
        )
    rules = load_datasets()[dataset_id].kinds
    assert groups
    assert not [name for name in groups if not any(rule.fits_group(name) for rule in rules)]


@pytest.mark.parametrize(
    ("dataset_id", "group", "config_id", "kind"),
    [
        ("w-g", "gb", "W_g_0005", "grain-boundary"),
        ("w-g", "defect_genome", "W_g_0000", "other"),
        ("wbe-fitsnap", "vacancy", "WBe_fitsnap_Divacancy_Divacancy_21", "divacancy"),
        ("wbe-fitsnap", "vacancy", "WBe_fitsnap_Defect_Vacancy_Be_10", "vacancy"),
        ("fe-fitsnap", "vacancy_interstitial", "Fe_fitsnap_point_def_config_7", "divacancy"),  # 126 of 128 atoms
        ("fe-fitsnap", "vacancy_interstitial", "Fe_fitsnap_point_def_config_1", "interstitial"),  # 129 of 128
        ("ta-fitsnap", "eos", "Ta_fitsnap_Volume_BCC_BCC_3.3", "strained"),
        ("ta-fitsnap", "eos", "Ta_fitsnap_Volume_A15_A15_4.0", "other"),
        ("zr-gb-castep", "gb_vacancy", "dft_s_s13-tlA-gb-v1_step0of36", "grain-boundary"),
    ],
)
def test_a_configuration_has_one_kind(dataset_id, group, config_id, kind):
    assert kind_of(load_datasets()[dataset_id].kinds, group, config_id) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("AIMD_NVT", "displaced"), ("gb", "grain-boundary"), ("gb_vacancy", "grain-boundary"), ("edge", "dislocation"),
        ("hedgehog", "other"), ("disordered", "other"), ("ordered", "bulk"), ("tri_vacancy", "divacancy"),
        ("aimd_W_H", "hydrogen"), ("training", "other"),
    ],
)  # fmt: skip
def test_groups_of_a_visitor_get_a_kind_by_their_names(name, kind):
    assert kind_by_name(name) == kind


@pytest.mark.parametrize("rule", [KindRule("grain", ("gb",)), KindRule("surface", ("surface",), ids="(")])
def test_a_rule_of_an_unknown_kind_or_a_broken_expression_is_refused(rule):
    with pytest.raises(RegistryError, match="toy"):
        check_rules([rule], "toy")


def read(folder, columns):
    """Columns of the configurations of `al-cu`, by id."""
    with duckdb.connect(str((folder / "results.duckdb").resolve()), read_only=True, config=SETTINGS) as connection:
        sql = f"select config_id, {columns} from configurations where dataset_id = 'al-cu' order by config_id"
        return connection.execute(sql).df().set_index("config_id")


def test_the_store_has_the_energy_above_the_lowest_and_the_force_of_each_configuration(store_folder):
    found = read(store_folder, "energy, n_atoms, forces, in_dataset, kind, energy_above, force_rms")
    per_atom = found["energy"] / found["n_atoms"]
    assert found["energy_above"].to_numpy() == pytest.approx(per_atom - per_atom[found["in_dataset"]].min())
    forces = np.array(found.loc["al-01", "forces"]).reshape(-1, 3)
    assert found.loc["al-01", "force_rms"] == pytest.approx(np.sqrt(np.mean(np.linalg.norm(forces, axis=1) ** 2)))
    assert found["kind"].value_counts().to_dict() == {"displaced": 16, "vacancy": 8, "cluster": 1}


def test_a_summary_gives_the_same_columns_without_forces(store_folder, summary_store):
    whole, summarised = (read(folder, "kind, energy_above, force_rms") for folder in (store_folder, summary_store))
    assert summarised["kind"].to_dict() == whole["kind"].to_dict()
    for name in ("energy_above", "force_rms"):
        assert summarised[name].to_numpy() == pytest.approx(whole[name].to_numpy(), rel=1e-5, abs=1e-9)
