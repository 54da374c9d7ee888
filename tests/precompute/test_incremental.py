"""A build takes over what would come out as it is in the store before, and makes the rest: on embedded DFT data."""

import duckdb
import pytest

from benchmarks.compare_stores import compare
from engine.data_folder import EMBEDDED, DataFolder
from engine.records import read_configurations, write_configurations
from engine.registry.datasets import get_dataset
from engine.registry.models import get_model
from engine.store.builder import StoreBuilder
from engine.store.ranking import Comparable
from precompute.acquire.datasets import fetch_dataset
from precompute.jobs.build import _add_dataset

MODELS = ("chgnet-0.3.0", "nequix-mp-1", "nequix-omat-1")
ONE_MORE = "nequix-oam-1"  # the third of the ensemble of Nequix models

DATASET = "open-defects"


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Stores in turn: three models, one more beside them, the same again, and all four from nothing."""
    folder = DataFolder(tmp_path_factory.mktemp("data"))
    assert EMBEDDED.is_dir()
    fetch_dataset(get_dataset(DATASET), folder, None)
    path = folder.configurations(DATASET)
    small = [c for c in read_configurations(path) if c.n_atoms <= 16]
    write_configurations(path, small[:: max(1, len(small) // 60)])

    def built(name, model_ids, before=None):
        builder = StoreBuilder(folder.root / f"{name}.duckdb", before=before)
        models = [get_model(model_id) for model_id in model_ids]
        builder.add_models(models)
        left_out: list[str] = []
        _, n_models = _add_dataset(builder, get_dataset(DATASET), models, Comparable(), folder, left_out)
        assert (n_models, left_out) == (len(model_ids), [])
        builder.finish()
        return builder

    first = built("first", MODELS)
    more = built("more", (*MODELS, ONE_MORE), first.path)
    again = built("again", (*MODELS, ONE_MORE), more.path)
    full = built("full", (*MODELS, ONE_MORE))
    return {"first": first, "more": more, "again": again, "full": full}


@pytest.mark.parametrize("name", ["more", "again"])
def test_an_incremental_build_equals_a_full_one_row_for_row(stores, name):
    found = list(compare(stores["full"].path, stores[name].path))
    different = [str(one) for one in found if not (one.is_equal and one.has_same_columns)]
    assert not different
    n_rows = {one.table: one.n_rows[1] for one in found}
    assert all(n_rows[table] for table in ("predictions", "errors", "uncertainties", "class_sums", "ranks"))


def test_a_new_model_costs_its_own_part_and_its_place_among_the_others(stores):
    made = stores["more"].parts.made
    assert [name for kind, _, name in made if kind in ("predictions", "classes")] == [ONE_MORE, ONE_MORE]
    assert [name for kind, _, name in made if kind == "ensemble"] == ["nequix"]
    kinds = {kind for kind, _, _ in made}
    assert kinds == {"predictions", "classes", "ranks", "ensemble", "calibrations", "whole"}
    # Intervals of the new model by itself, and of all four by the new ensemble.
    names = {name for kind, _, name in made if kind == "calibrations"}
    assert names == {f"{ONE_MORE} ", *(f"{model} nequix" for model in (*MODELS, ONE_MORE))}


def test_nothing_is_made_again_where_nothing_changed(stores):
    assert stores["again"].parts.made == []
    assert stores["again"].parts.taken == [("whole", DATASET, "")]


def test_a_store_of_another_schema_is_left_alone(stores, tmp_path):
    old = tmp_path / "old.duckdb"
    with duckdb.connect(str(old)) as con:
        con.execute("create table store_info (schema_version integer)")
        con.execute("insert into store_info values (8)")
    builder = StoreBuilder(tmp_path / "new.duckdb", before=old)
    assert not builder.parts.take("whole", DATASET, "any")
    builder.finish()
