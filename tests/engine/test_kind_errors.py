"""Errors and ranks by kind of structures, on stores whose numbers can be worked out by head."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from engine.queries import best_models, error_metrics, kinds, ranks, reference_data, training
from engine.queries.scope import Scope
from engine.queries.unions import union_ranking
from engine.records import Configuration, Prediction
from engine.registry.datasets import SeenBy
from engine.registry.kinds import KindRule
from engine.store.builder import StoreBuilder, publish
from engine.store.rows import Results
from precompute.jobs.tables import markdown_kinds
from tests import conftest

GOOD, BAD = "good", "bad"  # in grain boundaries `good` is off by 0.1 and `bad` by 0.3; on surfaces it is the reverse


@pytest.fixture
def kinds_store(tmp_path, monkeypatch):
    """Two datasets, each with eight grain boundaries and eight surfaces of W; `trained` saw the first one's surfaces.

    Every cell has one atom and a volume of its own, so it is a cluster of its own.
    """
    errors = {GOOD: {"gb": 0.1, "slab": 0.3}, BAD: {"gb": 0.3, "slab": 0.1}, "trained": {"gb": 0.2, "slab": 0.0}}
    builder = StoreBuilder(tmp_path / "results-kinds.duckdb")
    models = [conftest._model(name, name.title(), ("snap-mo",) if name == "trained" else ()) for name in errors]
    builder.add_models(models)
    for place, dataset_id in enumerate(("one", "two")):
        dataset = dataclasses.replace(
            conftest._dataset(dataset_id, dataset_id.title(), ("W",)),
            kinds=(KindRule("surface", ("slab",)), KindRule("grain-boundary", ("gb",))),
            seen_by=(SeenBy("snap-mo", "certain", "Fitted to the slabs.", groups=("slab",)),) if not place else (),
        )
        cells = [
            Configuration(
                f"{group}-{k}", group, np.array([74]), np.zeros((1, 3)), (3.0 + k + 10 * place) * np.eye(3),
                (True,) * 3, energy=0.1 * k, forces=np.full((1, 3), 1.0 + k),
            )
            for group in ("gb", "slab")
            for k in range(8)
        ]  # fmt: skip
        builder.add_dataset(dataset, cells)
        results = []
        for model_id, off in errors.items():
            run = conftest._run(model_id, dataset_id, "computed")
            builder.add_runs([run])
            rows = [
                (
                    Prediction(
                        c.config_id, c.geometry_hash, "ok", energy=c.energy + off[c.group_name],
                        forces=c.forces + off[c.group_name],
                    ),
                    run.run_id,
                )
                for c in cells
            ]  # fmt: skip
            results.append(Results(model_id, rows))
        builder.add_results(dataset, cells, results)
    builder.finish()
    publish(tmp_path / "results-kinds.duckdb", tmp_path / "results.duckdb")
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))


def by_model(errors: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Rows of one kind by model."""
    return errors[errors["kind"] == kind].set_index("model_id")


@pytest.mark.parametrize("quantity", ["energy", "force"])
def test_each_kind_has_errors_bounds_and_ranks_of_its_own(kinds_store, quantity):
    errors = kinds.kind_errors("raw", Scope.of("one"), quantity)
    assert errors["kind"].unique().tolist() == ["surface", "grain-boundary"]  # in the order of the vocabulary
    boundaries = by_model(errors, "grain-boundary")
    # All errors of a model are equal, so its bounds are its error; 0.1, 0.2 and 0.3 are told apart.
    for name in ("rmse", "rmse_lo", "rmse_hi"):
        assert boundaries[name].to_dict() == pytest.approx({GOOD: 100.0, "trained": 200.0, BAD: 300.0})
    assert boundaries["rank"].to_dict() == boundaries["rank_hi"].to_dict() == {GOOD: 1, "trained": 2, BAD: 3}
    assert boundaries[["n_configs", "n_expected", "n_clusters"]].drop_duplicates().to_numpy().tolist() == [[8, 8, 8]]
    surfaces = by_model(errors, "surface")
    assert surfaces.loc[[BAD, GOOD], "rank"].tolist() == [1, 2]


def test_a_model_is_unranked_on_the_kind_that_it_was_trained_on_alone(kinds_store):
    errors = kinds.kind_errors("raw", Scope.of("one"), "force")
    surfaces = by_model(errors, "surface")
    assert surfaces.loc["trained", ["is_seen", "is_ranked", "cause"]].tolist() == [True, False, "seen"]
    assert surfaces.loc["trained", "rmse"] == pytest.approx(0.0)  # its own number stays
    assert not by_model(errors, "grain-boundary").loc["trained", "is_seen"]
    with_seen = by_model(kinds.kind_errors("raw", Scope.of("one"), "force", with_seen=True), "surface")
    assert with_seen.loc["trained", "rank"] == 1
    narrowed = training.seen(Scope.of("one", kinds=("grain-boundary",)))
    assert narrowed.empty
    assert training.seen(Scope.of("one"))["is_seen"].tolist() == [True]


def test_pooled_kinds_count_all_datasets(kinds_store):
    errors = by_model(kinds.kind_errors("raw", Scope.of("one", "two"), "force"), "grain-boundary")
    assert errors.loc[GOOD, ["n_configs", "n_expected", "n_clusters"]].tolist() == [16, 16, 16]
    assert errors.loc[GOOD, "datasets"] == ("one", "two")
    assert errors.loc[GOOD, "rmse"] == pytest.approx(100.0)


def test_a_kind_that_is_a_group_has_the_numbers_of_the_group(kinds_store):
    kind, group = Scope.of("one", kinds=("grain-boundary",)), Scope.of("one", group="gb")
    for alignment, quantity in (("raw", "energy"), ("per_element", "energy"), ("raw", "force")):
        stored = ranks.ranks(alignment, group, quantity)
        made = ranks.ranks(alignment, kind, quantity)
        pd.testing.assert_frame_equal(made, stored)
        columns = ["model_id", "n_configs", *error_metrics.METRIC_COLUMNS]
        pd.testing.assert_frame_equal(
            error_metrics.dataset_metrics(alignment, kind)[columns],
            error_metrics.dataset_metrics(alignment, group)[columns],
            rtol=1e-5,
            check_dtype=False,
        )


def test_unions_and_best_models_heed_a_narrowed_scope(kinds_store):
    within = Scope.of("one", kinds=("surface",))
    found = union_ranking("raw", ("one", "two"), "force", within=within)
    assert found.n_configs == 16
    assert found.datasets["n_expected"].tolist() == [8, 8]
    assert found.ranked["model_id"].tolist() == [BAD, GOOD]  # `trained` saw these of the first dataset
    best = best_models.best_models("raw", Scope.of("one", "two", kinds=("grain-boundary",)), "force")
    assert best[["dataset_id", "model_id"]].to_numpy().tolist() == [["one", GOOD], ["two", GOOD]]
    assert best_models.best_by_kind("raw", "one", "force", within=within)["head"].tolist() == ["slab"]


def test_a_window_leaves_out_configurations_by_their_reference(kinds_store):
    # Energies of both groups are 0, 0.1 to 0.7 eV; forces have components of 1 to 8 eV/Å, lengths of sqrt(3) times it.
    assert reference_data.n_configurations(Scope.of("one", energy_above=(0.15, 0.35))) == 4
    assert reference_data.n_configurations(Scope.of("one", force_rms=(None, 2.5 * np.sqrt(3)))) == 4
    assert reference_data.n_known(Scope.of("one"), "force_rms") == 16


def test_leaders_name_the_best_and_those_not_told_apart(kinds_store, crystal_folder, monkeypatch):
    best = kinds.leaders(kinds.kind_errors("raw", Scope.of("one"), "force"))
    assert (best["grain-boundary"]["model_id"], best["grain-boundary"]["tied"]) == (GOOD, [])
    assert best["surface"]["model_id"] == BAD
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(crystal_folder))
    tied = kinds.leaders(kinds.kind_errors("raw", Scope.of("formation"), "force"))["vacancy"]
    # Both are off by 0.1 eV/Å in every component of the eight cells; the third is off by 0.4.
    assert (tied["rmse"], tied["n_configs"], tied["n_ranked"], tied["tied"]) == (pytest.approx(100.0), 8, 3, ["Nearly"])


def test_a_table_by_kind_prints_the_same_numbers(kinds_store):
    lines = list(markdown_kinds(["one"], ["grain-boundary"], "raw"))
    assert lines[0] == "Grain boundary: 8 configurations of one"
    assert lines[4].startswith("| Good | 8 | 100.00 (100.00 to 100.00) | 1 | 100.0 (100.0 to 100.0) | 1 |")
    assert not any("Surface" in line for line in lines)
    assert any(line.startswith("Surface") for line in markdown_kinds(["one", "two"], ["all"], "per_element"))
