"""Golden numbers of the store, by hand, on two configurations that are easy to follow."""

import dataclasses

import duckdb
import numpy as np
import pytest

from engine.errors import StoreError
from engine.numerics.comparison import UNRANKED
from engine.records import Configuration, Prediction
from engine.registry.datasets import Dataset, get_dataset
from engine.registry.ensembles import Ensemble
from engine.registry.models import get_model
from engine.store.builder import StoreBuilder, publish
from engine.store.ranking import Comparable
from engine.store.rows import Results

IDENTITY = 10 * np.eye(3)


def atoms(name: str, numbers: list[int], energy: float, group: str = "bulk") -> Configuration:
    n = len(numbers)
    positions = np.arange(3.0 * n).reshape(n, 3)
    return Configuration(
        name, group, np.array(numbers), positions, IDENTITY, (True, True, True), energy, np.zeros((n, 3))
    )


def of_w(name: str, positions: list[list[float]], energy: float, group: str = "bulk", edge: float = 10.0):
    n = len(positions)
    return Configuration(
        name, group, np.full(n, 74), np.array(positions), edge * np.eye(3), (True,) * 3, energy, np.zeros((n, 3))
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
    offsets = built.execute("select element, offset_energy from element_offsets where model_id = 'emt'").fetchall()
    assert dict(offsets) == pytest.approx({"W": 0.2, "Mo": -0.1})  # W: mean of 0.1 and 0.3
    # Three errors less two offsets leave one independent number, and Mo's offset is its own error.
    assert metric(built, "energy_rmse_mev_per_atom", alignment="per_element") is None
    note = metric(built, "energy_note", alignment="per_element")
    assert note == "2 offsets fitted to 3 configurations leave no error to be seen."


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


def test_rank_correlations_leave_out_atoms_that_symmetry_leaves_no_force(tmp_path, dataset):
    """Two members on six atoms, two of them without a force; both deviations and errors rise along the other four."""
    cell = of_w("w", [[k, 0, 0] for k in range(6)], -78.0)
    size = np.array([0.0, 0.0, 0.1, 0.2, 0.3, 0.4])
    members = {}
    for model_id, scale in (("chgnet-0.3.0", 1.0), ("emt", 3.0)):  # deviation is the size, error twice that
        forces = np.stack([scale * size, np.zeros(6), np.zeros(6)], axis=1)
        members[model_id] = [Prediction("w", cell.geometry_hash, "ok", energy=-78.0, forces=forces)]
    builder = StoreBuilder(tmp_path / "results-2.duckdb")
    results = [Results(model_id, [(p, "run") for p in found]) for model_id, found in members.items()]
    builder.add_results(dataset, [cell], results, [Ensemble("two", "Two", tuple(members), "raw", "test")])
    rows = builder.connection.execute("select is_zero_by_symmetry from uncertainties").fetchall()
    assert rows == [([True, True, False, False, False, False],)]
    rows = builder.connection.execute(
        "select n_samples, n_zero, spearman, n_within from ensemble_metrics where quantity = 'force'"
    ).fetchall()
    assert rows == [(4, 2, pytest.approx(1.0), 0)]  # four atoms are too few for a correlation within


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


def test_a_file_with_many_holes_is_written_anew_before_it_is_finished(tmp_path):
    sizes = {}
    for name in ("plain", "with-holes"):
        builder = StoreBuilder(tmp_path / f"results-{name}.duckdb", version="1")
        if name == "with-holes":
            builder.connection.execute("create table gone as select random() as x from range(2_000_000)")
            builder.connection.execute("checkpoint")
            builder.connection.execute("drop table gone")
        builder.finish()
        sizes[name] = builder.path.stat().st_size
        with duckdb.connect(str(builder.path), read_only=True) as con:
            assert con.execute("select data_version from store_info").fetchall() == [("1",)]
            assert con.execute("select count(*) from force_errors").fetchall() == [(0,)]  # a view
    assert sizes["with-holes"] < 1.1 * sizes["plain"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results-plain.duckdb", "results-with-holes.duckdb"]


def test_a_finished_store_is_never_written_again(tmp_path):
    StoreBuilder(tmp_path / "results-1.duckdb").finish()
    with pytest.raises(StoreError, match="exists"):
        StoreBuilder(tmp_path / "results-1.duckdb")


def test_predictions_of_atoms_that_moved_are_never_scored(tmp_path, dataset):
    old = [of_w(f"w-{k}", [[0, 0, 0], [0.1 * k, 2, 2]], -26.0) for k in range(12)]
    new = [of_w(f"w-{k}", [[0, 0, 0], [0.1 * k, 2.5, 2]], -20.0) for k in range(12)]
    stale, fresh = [predicted(c, -26.0) for c in old], [predicted(c, c.energy + 0.2) for c in new[:3]]
    con = scored(tmp_path, dataset, new, {"emt": [*stale, *fresh]})
    assert metric(con, "n_configs") == 3  # not 12, and not 24
    assert metric(con, "energy_rmse_mev_per_atom") == pytest.approx(
        100.0
    )  # 0.2 eV on two atoms; stale ones are off by 3
    assert con.execute("select count(*) from predictions").fetchall() == [(3,)]


def test_a_model_with_stale_predictions_only_has_no_numbers(tmp_path, dataset):
    old, new = of_w("w", [[0, 0, 0]], -13.0), of_w("w", [[0, 0, 1]], -13.0)
    con = scored(tmp_path, dataset, [new], {"emt": [predicted(old, -13.0)]})
    assert con.execute("select count(*) from dataset_metrics").fetchall() == [(0,)]


def scored(tmp_path, dataset: Dataset, cells, predictions, comparable=None) -> duckdb.DuckDBPyConnection:
    builder = StoreBuilder(tmp_path / "results-2.duckdb", version="2")
    builder.add_dataset(dataset, cells)
    results = [Results(model_id, [(p, "run") for p in found]) for model_id, found in predictions.items()]
    builder.add_results(dataset, cells, results, comparable=comparable)
    builder.finish()
    return duckdb.connect(str(tmp_path / "results-2.duckdb"), read_only=True)


def test_aligned_errors_are_about_the_offset_of_all_others(tmp_path, dataset):
    cells = [of_w(str(k), [[0, 0, 0]], -13.0, edge=3.0 + k) for k in range(4)]
    con = scored(
        tmp_path, dataset, cells, {"emt": [predicted(c, -13.0 + e) for c, e in zip(cells, (1, 2, 3, 6), strict=True)]}
    )
    # 1 - (2 + 3 + 6)/3 = -8/3, 2 - 10/3 = -4/3, 3 - 3 = 0, 6 - 2 = 4: sqrt((64 + 16 + 0 + 144) / 9 / 4) = 2.494438
    assert metric(con, "energy_rmse_mev_per_atom", alignment="per_element") == pytest.approx(2494.438, abs=1e-3)
    assert metric(con, "n_energy", alignment="per_element") == 4


def test_errors_against_the_perfect_crystal_are_those_of_formation_energies(tmp_path, dataset):
    crystal, defect = of_w("w-0", [[0, 0, 0]], -13.0), of_w("w-1", [[0, 0, 0], [2, 2, 2]], -24.0, "vacancy")
    dataset = dataclasses.replace(dataset, crystal_groups=("bulk",))
    con = scored(tmp_path, dataset, [crystal, defect], {"emt": [predicted(crystal, -12.0), predicted(defect, -21.0)]})
    # Formation energies: -24 + 2 x 13 = 2 eV by the reference, -21 + 2 x 12 = 3 eV by the model: 0.5 eV an atom.
    assert metric(con, "energy_rmse_mev_per_atom", alignment="crystal") == pytest.approx(500.0)
    assert metric(con, "n_energy", alignment="crystal") == 1
    assert con.execute("select has_crystal from datasets").fetchall() == [(True,)]


def test_models_that_differ_by_less_than_their_doubt_share_a_rank(tmp_path, dataset):
    cells = [of_w(str(k), [[0, 0, 0]], -13.0, edge=3.0 + k) for k in range(8)]
    signs = [1, -1, 1, -1, 1, -1, 1, -1]
    shifts = {
        "a": [0.1 + 0.01 * s for s in signs], "b": [0.1 - 0.01 * s for s in signs], "worse": [0.3] * 8,
        "r2scan": [0.0] * 8,
    }  # fmt: skip
    predictions = {
        m: [predicted(c, -13.0 + e) for c, e in zip(cells, found, strict=True)] for m, found in shifts.items()
    }
    pairs = {(model_id, "hand") for model_id in ("a", "b", "worse")}
    con = scored(tmp_path, dataset, cells, predictions, Comparable(pairs, pairs))
    rows = con.execute(
        """select model_id, rank, rank_lo, rank_hi, n_configs, n_clusters, reason from ranks
        where quantity = 'energy' and alignment = 'raw' and group_name = 'all' order by model_id"""
    ).fetchall()
    assert rows[:2] == [("a", 1, 1, 2, 8, 8, None), ("b", 1, 1, 2, 8, 8, None)]
    assert rows[2] == ("r2scan", None, None, None, None, None, UNRANKED["level"])
    assert rows[3] == ("worse", 3, 3, 3, 8, 8, None)


def test_an_alloy_of_one_composition_is_marked(tmp_path, dataset):
    cells = [atoms("x", [42, 74], -20.0), atoms("y", [42, 42, 74, 74], -40.0)]
    con = scored(tmp_path, dataset, cells, {"emt": [predicted(c, c.energy) for c in cells]})
    assert con.execute("select is_one_composition from datasets").fetchall() == [(True,)]


def test_means_over_kinds_are_not_ruled_by_the_largest(tmp_path, dataset):
    cells = [of_w(f"b{k}", [[0, 0, 0]], -13.0, edge=3.0 + k) for k in range(3)] + [
        of_w("v", [[0, 0, 0]], -13.0, "gb", 9.0)
    ]
    con = scored(
        tmp_path,
        dataset,
        cells,
        {"emt": [predicted(c, -13.0 + e) for c, e in zip(cells, (0.1, 0.1, 0.1, 0.5), strict=True)]},
    )
    # 100 meV/atom in bulk, 500 in the boundary: 300 on the mean over kinds, sqrt((3 + 25) / 4) * 100 = 264.6 pooled.
    rows = con.execute(
        """select macro_energy_rmse_mev_per_atom, n_energy_cells, n_force_cells
        from macro_metrics where alignment = 'raw'"""
    ).fetchall()
    assert rows == [(pytest.approx(300.0), 2, 0)]  # reference forces are zero


def test_forces_without_energies_are_scored_and_leave_energies_open(tmp_path, dataset):
    cells = [atoms("w-0", [74, 74], -26.0), atoms("w-1", [74, 74], -25.0), atoms("mo-0", [42], -10.0)]
    whole = [predicted(c, c.energy, 0.3) for c in cells]
    forces = [dataclasses.replace(predicted(c, 0.0, 0.1), energy=None) for c in cells[:2]]
    con = scored(tmp_path, dataset, cells, {"emt": whole, "chgnet-0.3.0": forces})
    # 12 components of 0.1 eV/Å
    assert metric(con, "force_rmse_mev_per_ang", model="chgnet-0.3.0") == pytest.approx(100.0)
    for column, expected in (("energy_rmse_mev_per_atom", None), ("n_energy", 0), ("n_force", 2), ("n_configs", 2)):
        assert metric(con, column, model="chgnet-0.3.0") == expected
    assert con.execute("select model_id from element_offsets group by model_id").fetchall() == [("emt",)]


def test_a_model_of_forces_alone_does_not_narrow_the_ranks_of_energies(tmp_path, dataset):
    cells = [of_w(f"w-{i}", [[0, 0, 0], [2.7 + i / 10, 0, 0]], -26.0 + i) for i in range(4)]
    whole = [predicted(c, c.energy + 0.1, 0.3) for c in cells]
    forces = [dataclasses.replace(predicted(c, 0.0, 0.1), energy=None) for c in cells]
    con = scored(tmp_path, dataset, cells, {"emt": whole, "chgnet-0.3.0": forces})
    query = (
        "select quantity, model_id, rank, cause from ranks where group_name = 'all' and alignment = 'raw' order by 1, 2"
    )
    assert con.execute(query).fetchall() == [
        ("energy", "chgnet-0.3.0", None, "numbers"),
        ("energy", "emt", 1, None),
        ("force", "chgnet-0.3.0", 1, None),
        ("force", "emt", 1, None),  # one cluster tells them not apart
    ]
