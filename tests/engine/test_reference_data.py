"""Expected numbers are worked out by hand from four small cells."""

from pathlib import Path

import numpy as np
import pytest

from engine.queries import catalog, comparability, reference_data
from engine.queries.scope import EVERYTHING, Scope
from engine.records import Configuration, Prediction
from engine.registry.datasets import Dataset
from engine.registry.levels_of_theory import LevelOfTheory
from engine.registry.models import Model
from engine.store.builder import StoreBuilder, publish
from engine.store.rows import Results, Run


def _cell(name: str, group: str, numbers: list[int], energy: float, force: float) -> Configuration:
    """Atoms far apart, all with the same force along z."""
    n = len(numbers)
    forces = np.tile([0.0, 0.0, force], (n, 1))
    return Configuration(
        name, group, np.array(numbers), np.arange(3.0 * n).reshape(n, 3), 9.0 * np.eye(3), (True,) * 3, energy, forces
    )


CELLS = [
    _cell("a", "alloy", [74, 42, 42, 42], -40.0, 1.0),
    _cell("b", "alloy", [74, 42], -18.0, 3.0),
    _cell("c", "alloy", [74, 42], -17.0, 2.0),
    _cell("d", "pure", [74], -9.5, 0.0),
    _cell("e", "dimer", [74, 74], 2.0, 9.0),
]
# Errors of the total energies, eV. `shifted` is off by 0.3 eV for each W atom and exact otherwise.
ERRORS = {
    "shifted": [0.3, 0.3, 0.3, 0.3, 0.6],
    "noisy": [0.4, -0.2, 0.2, -0.1, 0.0],
}


LEVELS = {name: LevelOfTheory(zero, "PBE", zero, code="VASP") for name, zero in (("shifted", "mp"), ("noisy", "none"))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("cells")
    dataset = Dataset(
        "cells", "Cells", "Four cells", ("Mo", "W"), LEVELS["shifted"], True, "Fits.", "MIT", "Nobody",
        "https://example.org", groups_outside=("dimer",),
    )  # fmt: skip
    builder = StoreBuilder(data / "results-cells.duckdb")
    builder.add_models(
        Model(model_id, model_id.title(), "emt", (), (), "MIT", "", level, True) for model_id, level in LEVELS.items()
    )
    builder.add_dataset(dataset, CELLS)
    results = []
    for model_id, errors in ERRORS.items():
        run = Run(model_id, model_id, "cells", "computed", "cpu", "", "", "", None, "", 1.0, 1, "", "", "")
        builder.add_runs([run])
        rows = [
            (Prediction(c.config_id, c.geometry_hash, "ok", energy=c.energy + error, forces=c.forces), run.run_id)
            for c, error in zip(CELLS, errors, strict=True)
        ]
        results.append(Results(model_id, rows))
    builder.add_results(dataset, CELLS, results)
    builder.finish()
    publish(data / "results-cells.duckdb", data / "results.duckdb")
    return data


@pytest.fixture
def cells(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(folder))


def test_elements_are_counted_by_configuration_and_by_atom(cells):
    counts = reference_data.element_counts(Scope.of("cells")).set_index("element")
    assert counts.loc["W"].to_dict() == {"n_configs": 4, "n_atoms": 4, "n_datasets": 1}
    assert counts.loc["Mo"].to_dict() == {"n_configs": 3, "n_atoms": 5, "n_datasets": 1}
    assert reference_data.element_counts().equals(reference_data.element_counts(Scope.of("cells")))
    assert reference_data.element_counts(Scope.of("none")).empty


def test_groups_say_what_they_are_made_of(cells):
    groups = reference_data.groups("cells").set_index("group_name")
    assert groups.index.tolist() == ["alloy", "pure", "dimer"]  # what does not count comes last
    alloy = groups.loc["alloy"]
    assert alloy["composition"] == "Mo 62 %, W 38 %"  # 5 and 3 of 8 atoms
    assert alloy[["n_configs", "n_atoms", "n_atoms_min", "n_atoms_max"]].tolist() == [3, 8, 2, 4]
    assert alloy[["energy_min", "energy_max"]].tolist() == [-10.0, -8.5]
    # 4 atoms with 1 eV/Å, 2 with 3 and 2 with 2: (4 + 18 + 8) / 8
    assert alloy["force_rms"] == pytest.approx(np.sqrt(30 / 8))
    assert groups.loc["pure", "composition"] == "W 100 %"


def test_a_representative_has_the_median_size_and_force(cells):
    table = reference_data.representatives("cells").set_index("group_name")
    # Sizes 2, 2, 4: the median is 2; of the two with 2 atoms the smaller force is the lower median.
    assert table["config_id"].to_dict() == {"alloy": "c", "pure": "d", "dimer": "e"}
    assert table.loc["alloy", "force_rms"] == pytest.approx(2.0)


def test_histograms_count_every_sample_of_the_dataset(cells):
    component = reference_data.histogram("force_component", Scope.of("cells"))
    length = reference_data.histogram("force_length", Scope.of("cells"))
    assert component.n_total == component.counts.sum() == 27  # 9 atoms
    assert component.counts[0] == 18 + 1  # x and y of all, z of the pure cell
    assert length.n_total == 9
    assert length.counts[[0, -1]].tolist() == [1, 2]  # the pure cell; both atoms with 3 eV/Å
    assert length.edges[[0, -1]].tolist() == [0.0, 3.0]
    assert len(length.counts) <= reference_data.N_BINS


def test_energies_count_from_the_lowest_of_the_dataset_also_in_a_group(cells):
    own = reference_data.histogram("energy", Scope.of("cells"))
    above = reference_data.histogram("energy_above", Scope.of("cells", group="pure"))
    assert own.edges[[0, -1]].tolist() == [-10.0, -8.5]
    assert above.edges.mean() == pytest.approx(0.5)  # -9.5 above -10
    assert above.counts.sum() == above.n_total == 1
    assert reference_data.histogram("energy_above", EVERYTHING).edges[0] == 0.0


def test_bins_of_sizes_are_whole_numbers(cells):
    sizes = reference_data.histogram("n_atoms", Scope.of("cells"))
    assert sizes.edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert sizes.counts.tolist() == [1, 2, 0, 1]


def test_nothing_has_no_histogram(cells):
    assert reference_data.histogram("energy", Scope.of("none")) is None


def test_alignment_changes_errors_but_four_cells_tell_no_model_from_another(cells):
    table = comparability.alignment_change(Scope.of("cells")).set_index("model_id")
    # Errors per atom of `shifted` are 0.3 times the share of W: 0.075, 0.15, 0.15, 0.3; those of `noisy` are
    # 0.1, -0.1, 0.1, -0.1.
    raw = table["energy_rmse_mev_per_atom"]
    assert raw["shifted"] == pytest.approx(1000 * np.sqrt((0.075**2 + 2 * 0.15**2 + 0.3**2) / 4))
    assert raw["noisy"] == pytest.approx(100.0)
    assert table.loc["shifted", "energy_rmse_mev_per_atom_aligned"] == pytest.approx(0.0, abs=1e-9)
    # Fewer than six clusters: every model may have every rank, so the two share the first.
    assert table[["rank_raw", "rank_aligned", "rank_change"]].T.to_dict("list") == {
        "shifted": [1, 1, 0],
        "noisy": [1, 1, 0],
    }
    assert table["state"].to_dict() == {"shifted": "yes", "noisy": "no"}


def test_offsets_are_those_that_were_removed(cells):
    offsets = comparability.element_offsets("cells").set_index("model_id")
    assert offsets.loc["shifted", ["Mo", "W"]].tolist() == pytest.approx([0.0, 0.3], abs=1e-9)
    assert offsets.loc["shifted", "n_configs"] == 4


def test_an_element_without_result_has_no_offset(store):
    offsets = comparability.element_offsets("fe").set_index("model_id")
    assert "emt" not in offsets.index  # it failed on all of them


def test_a_dataset_without_results_has_no_ranks(store):
    assert comparability.alignment_change(Scope.of("w-g")).empty
    assert comparability.element_offsets("w-g").empty


def test_every_pair_of_the_store_is_judged(store):
    table = comparability.compatibility()
    assert len(table) == len(catalog.models()) * len(catalog.datasets())
    assert set(table["state"]) == {"yes", "care", "no"}
    assert table["state_reason"].str.len().gt(0).all()
