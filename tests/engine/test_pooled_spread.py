"""Spread and error pooled over datasets, with some of them apart."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from engine.numerics.uncertainty import standard_deviations
from engine.queries import pooled_spread
from engine.store.builder import SCHEMA, publish
from engine.store.connection import SCHEMA_VERSION

# Dataset, energy deviation, standard deviation and error of its configurations, eV/atom.
ENERGIES = {
    "w": [(1.0, 0.5, 0.7), (2.0, 1.0, 1.5), (3.0, 2.0, 2.5)],
    "mg": [(1.0, 0.5, 9.0), (2.0, 1.0, 8.0), (3.0, 2.0, 7.0)],
}


@pytest.fixture
def two_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One set in which spread ranks errors, and one, row 7 of Table 2, in which it ranks them upside down."""
    path = tmp_path / "results-two.duckdb"
    con = duckdb.connect(str(path))
    con.execute(SCHEMA.read_text(encoding="utf-8"))
    con.execute("insert into store_info values ($v, 'two', null, '')", {"v": SCHEMA_VERSION})
    for name, rows in ENERGIES.items():
        row = None if name == "w" else 7
        con.execute("insert into datasets (dataset_id, paper_row) values ($d, $r)", {"d": name, "r": row})
        for k, (deviation, standard, error) in enumerate(rows):
            con.execute(
                "insert into uncertainties (ensemble_id, dataset_id, config_id, energy_deviation, energy_error, "
                "force_deviation, force_error, is_zero_by_symmetry, energy_standard_deviation, "
                "force_standard_deviation) values ('e', $d, $c, $dev, $err, [0.2, 0.0], [0.3, 0.0], [false, true], "
                "$std, [0.1, 0.0])",
                {"d": name, "c": f"c{k}", "dev": deviation, "err": error, "std": standard},
            )
    con.close()
    publish(path, tmp_path / "results.duckdb")
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))


def test_a_set_kept_apart_does_not_count_among_the_pooled(two_sets):
    table = pooled_spread.agreement("e", "energy", ("mg",)).set_index("part")
    assert list(table.index) == ["everything", "pooled", "mg"]
    assert table.loc["pooled", "spearman_deviation"] == pytest.approx(1.0)
    assert table.loc["mg", "spearman_deviation"] == pytest.approx(-1.0)
    assert table.loc["everything", "n_samples"] == 6


def test_errors_beyond_the_spread_are_counted_by_each_measure(two_sets):
    row = pooled_spread.agreement("e", "energy", ("mg",)).set_index("part").loc["pooled"]
    assert row["beyond_deviation"] == 0.0  # 0.7 < 1, 1.5 < 2, 2.5 < 3
    assert row["beyond_standard_deviation"] == 1.0  # 0.7 > 0.5, 1.5 > 1, 2.5 > 2


def test_forces_that_symmetry_makes_zero_do_not_count(two_sets):
    assert pooled_spread.samples("e", "force")["atom_index"].tolist() == [0] * 6


def test_mg_of_the_paper_is_kept_apart_by_default(two_sets):
    assert pooled_spread.apart_by_default("e") == ["mg"]


def test_the_standard_deviation_of_forces_is_over_members():
    forces = np.array([[[3.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]])
    # Distances from the mean (1, 0, 0) are 2, 1 and 1: sqrt((4 + 1 + 1) / 3).
    energy, force = standard_deviations(np.array([0.0, 0.0, 3.0]), forces)
    assert energy == pytest.approx(2**0.5)
    assert force == pytest.approx([2**0.5])
