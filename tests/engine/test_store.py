"""Golden numbers of the store, by hand, on two configurations that are easy to follow."""

import dataclasses

import duckdb
import numpy as np
import pytest

from engine.errors import StoreError
from engine.records import Configuration, Prediction
from engine.registry.datasets import Dataset, get_dataset
from engine.registry.ensembles import Ensemble
from engine.registry.models import get_model
from engine.store.builder import StoreBuilder, publish
from engine.store.rows import Results

IDENTITY = 10 * np.eye(3)


def atoms(name: str, numbers: list[int], energy: float, group: str = "bulk") -> Configuration:
    n = len(numbers)
    positions = np.arange(3.0 * n).reshape(n, 3)
    return Configuration(
        name, group, np.array(numbers), positions, IDENTITY, (True, True, True), energy, np.zeros((n, 3))
    )


def predicted(configuration: Configuration, energy: float, force: float = 0.0) -> Prediction:
    forces = np.full((configuration.n_atoms, 3), force)
    return Prediction(configuration.config_id, configuration.geometry_hash, "ok", energy=energy, forces=forces)


@pytest.fixture
def dataset() -> Dataset:
    noise = {"energy_noise": 0.002, "force_noise": 0.015, "noise_note": "Against denser k-points."}
    return dataclasses.replace(get_dataset("w-g"), dataset_id="hand", groups_outside=("dimer",), **noise)


@pytest.fixture
def built(tmp_path, dataset) -> duckdb.DuckDBPyConnection:
    """Two W cells of 2 atoms, one of Mo, a dimer outside the dataset; model A does all, B fails once."""
    cells = [
        atoms("w-0", [74, 74], -26.0),
        atoms("w-1", [74, 74], -25.0),
        atoms("mo-0", [42], -10.0),
        atoms("d-0", [74, 74], 5.0, group="dimer"),
    ]
    shifts = zip(cells, (0.2, 0.6, -0.1, 9.0), (0.1, -0.1, 0.3, 7.0), strict=True)
    a = [predicted(c, c.energy + e, f) for c, e, f in shifts]
    b = [predicted(cells[0], -26.0), Prediction("w-1", cells[1].geometry_hash, "failed", "no edge")]
    builder = StoreBuilder(tmp_path / "results-1.duckdb", version="1")
    builder.add_models([get_model("emt"), get_model("chgnet-0.3.0")])
    builder.add_dataset(dataset, cells)
    ensemble = Ensemble("two", "Two", ("chgnet-0.3.0", "emt"), "raw", "test")
    results = [Results("emt", [(p, "r1") for p in a]), Results("chgnet-0.3.0", [(p, "r2") for p in b])]
    builder.add_results(dataset, cells, results, [ensemble])
    builder.add_dataset(dataclasses.replace(dataset, dataset_id="empty"), [], "not fetched")
    builder.finish()
    return duckdb.connect(str(tmp_path / "results-1.duckdb"), read_only=True)


def metric(con: duckdb.DuckDBPyConnection, column: str, model: str = "emt", **where: str) -> float:
    where = {"group_name": "all", "alignment": "raw"} | where
    conditions = " and ".join(f"{key} = ?" for key in where)
    query = f"select {column} from dataset_metrics where model_id = ? and {conditions}"
    return con.execute(query, [model, *where.values()]).fetchall()[0][0]


def test_energy_rmse_is_per_atom_over_configurations(built):
    # errors per atom 0.1, 0.3, -0.1 eV: sqrt((1 + 9 + 1) / 3) * 100 = 191.485 meV/atom
    assert metric(built, "energy_rmse_mev_per_atom") == pytest.approx(191.4854, abs=1e-3)
    assert metric(built, "energy_mae_mev_per_atom") == pytest.approx(500 / 3, abs=1e-3)


def test_force_rmse_is_over_all_components(built):
    # 12 components of 0.1 and 3 of 0.3 eV/Å: sqrt((12 * 0.01 + 3 * 0.09) / 15) = 0.161245
    assert metric(built, "force_rmse_mev_per_ang") == pytest.approx(161.2452, abs=1e-3)


def test_alignment_removes_one_offset_per_element(built):
    # W: 0.1 and 0.3 lose their mean 0.2; Mo loses -0.1: sqrt((0.01 + 0.01 + 0) / 3) = 81.650 meV/atom
    assert metric(built, "energy_rmse_mev_per_atom", alignment="per_element") == pytest.approx(81.6497, abs=1e-3)
    offsets = built.execute("select element, offset_energy from element_offsets where model_id = 'emt'").fetchall()
    assert dict(offsets) == pytest.approx({"W": 0.2, "Mo": -0.1})


def test_groups_outside_the_dataset_do_not_count(built):
    assert metric(built, "n_configs") == 3
    assert metric(built, "energy_rmse_mev_per_atom", group_name="dimer") == pytest.approx(4500.0)
    assert built.execute("select n_configs, n_atoms from datasets where dataset_id = 'hand'").fetchall() == [(3, 5)]


def test_failures_are_counted_and_give_no_number(built):
    assert metric(built, "n_failed", model="chgnet-0.3.0") == 1
    assert metric(built, "n_configs", model="chgnet-0.3.0") == 1
    row = built.execute("select energy, forces, reason from predictions where status = 'failed'").fetchall()
    assert row == [(None, None, "no edge")]


def test_element_metrics_split_atoms_by_element(built):
    rows = built.execute(
        "select element, n_configs, force_rmse_mev_per_ang from element_metrics where model_id = 'emt' order by element"
    ).fetchall()
    assert rows == [("Mo", 1, pytest.approx(300.0)), ("W", 2, pytest.approx(100.0))]


def test_an_ensemble_covers_what_all_members_can_do(built):
    rows = built.execute("select config_id, energy_deviation, energy_error, force_error from uncertainties").fetchall()
    # energies per atom -13.0 and -12.9: mean -12.95, deviation 0.05, error 0.05; mean force 0.05 in x, y and z
    assert rows == [("w-0", pytest.approx(0.05), pytest.approx(0.05), pytest.approx([0.05 * 3**0.5] * 2))]


def test_a_dataset_that_is_not_here_says_why(built):
    rows = built.execute("select available, reason from datasets where dataset_id = 'empty'").fetchall()
    assert rows == [(False, "not fetched")]


def test_the_noise_of_the_labels_is_stored(built):
    rows = built.execute(
        "select energy_noise_per_atom, force_noise, noise_note from datasets where dataset_id = 'hand'"
    ).fetchall()
    assert rows == [(0.002, 0.015, "Against denser k-points.")]


def test_spin_and_hubbard_u_are_stored_as_far_as_they_are_known(built):
    rows = built.execute("select spin, hubbard_u from datasets where dataset_id = 'hand'").fetchall()
    assert rows == [("polarised", None)]


def test_publishing_moves_the_link_in_one_step(tmp_path):
    for name in ("results-1.duckdb", "results-2.duckdb", "results-3.duckdb"):
        StoreBuilder(tmp_path / name).finish()
        publish(tmp_path / name, tmp_path / "results.duckdb")
        assert (tmp_path / "results.duckdb").resolve().name == name
    assert sorted(p.name for p in tmp_path.glob("results-*")) == ["results-2.duckdb", "results-3.duckdb"]


def test_a_finished_store_is_never_written_again(tmp_path):
    StoreBuilder(tmp_path / "results-1.duckdb").finish()
    with pytest.raises(StoreError, match="exists"):
        StoreBuilder(tmp_path / "results-1.duckdb")
