"""Specialised and universal models on the configurations that all of them have."""

from pathlib import Path

import duckdb
import pytest

from engine.queries import specialised
from engine.queries.scope import Scope
from engine.store.builder import SCHEMA, publish
from engine.store.connection import SCHEMA_VERSION

SCOPE = Scope.of("w")
ELEMENTS = {"ace": 1, "good": 89, "bad": 89}


@pytest.fixture
def few_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four configurations: the specialised model lacks the last, on which the bad universal one is perfect."""
    path = tmp_path / "results-few.duckdb"
    con = duckdb.connect(str(path))
    con.execute(SCHEMA.read_text(encoding="utf-8"))
    con.execute("insert into store_info values ($v, 'few', null, '')", {"v": SCHEMA_VERSION})
    for model_id, n in ELEMENTS.items():
        elements = [f"E{k}" for k in range(n)]
        con.execute(
            "insert into models (model_id, label, elements) values ($m, $m, $e)", {"m": model_id, "e": elements}
        )
    force = {"ace": [0.3, 0.1, 0.2], "good": [0.1, 0.1, 0.1, 0.1], "bad": [0.4, 0.4, 0.4, 0.0]}
    for model_id, values in force.items():
        for k, value in enumerate(values):
            con.execute(
                "insert into errors (dataset_id, model_id, config_id, group_name, in_dataset, n_atoms, force_rmse, "
                "energy_error_per_atom_aligned) values ('w', $m, $c, $g, true, $n, $f, $f / 10)",
                {"m": model_id, "c": f"c{k}", "g": "gb" if k < 2 else "bulk", "n": 3 if k == 0 else 1, "f": value},
            )
    con.close()
    publish(path, tmp_path / "results.duckdb")
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))


def test_few_elements_make_a_model_specialised(few_store):
    known = specialised.models_with_forces(SCOPE).set_index("model_id")
    assert known["is_specialised"].to_dict() == {"ace": True, "good": False, "bad": False}
    assert known.loc["ace", "n_configs"] == 3


def test_errors_by_group_are_over_shared_configurations(few_store):
    table = specialised.group_errors(SCOPE, ("ace", "bad")).set_index(["group_name", "model_id"])
    # gb: three atoms with 0.3 and one with 0.1, so the mean square is (3 * 0.09 + 0.01) / 4 = 0.07.
    assert table.loc[("gb", "ace"), "force_rmse_mev_per_ang"] == pytest.approx(1000 * 0.07**0.5)
    # Energies count configurations: (0.03**2 + 0.01**2) / 2 = 0.0005.
    assert table.loc[("gb", "ace"), "energy_rmse_mev_per_atom"] == pytest.approx(1000 * 0.0005**0.5)
    assert table.loc[("bulk", "bad"), "n_configs"] == 1
    assert table.loc[("bulk", "bad"), "force_rmse_mev_per_ang"] == pytest.approx(400.0)


def test_the_best_universal_models_are_found_on_the_configurations_of_the_specialised_one(few_store):
    assert specialised.best_universal(SCOPE, "ace", 1) == ["good"]
    assert specialised.best_universal(SCOPE, "ace", 5) == ["good", "bad"]
