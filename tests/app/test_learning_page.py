"""The page of learning curves on a study by hand: what it says, draws and refuses."""

import shutil
from pathlib import Path

import duckdb
import pytest

from engine.learning_curves import CLUSTERS, OTHER_GROUPS
from tests.app.opening import open_app, open_link, table_with, text_of

PAGE = "views/learning.py"


@pytest.fixture
def learnt_store(evidence_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of evidence with curves on its cells of W: off by 0.4 eV/Å with 10 of them, by 0.05 with 100.

    All of its models are off by 0.1 to 0.3 eV/Å, so they are passed in between. `trained` was trained on them.
    """
    shutil.copytree(evidence_folder, tmp_path / "data", symlinks=True)
    path = (tmp_path / "data" / "results.duckdb").resolve()
    assert path.is_relative_to(tmp_path)  # a copy of its own
    with duckdb.connect(str(path)) as con:
        con.execute("update models set elements = range(89)::varchar[]")  # universal ones
        con.execute("update models set elements = ['W'] where model_id = 'direct'")
        for training, share, force in ((CLUSTERS, 0.1, 0.4), (CLUSTERS, 1.0, 0.05), (OTHER_GROUPS, 1.0, 0.5)):
            con.execute(
                """
                insert into learning_errors select dataset_id, 'a potential', 'dft', $t, 0, $s, min(config_id),
                    any_value(group_name), count(*), sum(n_atoms), 0, count(*) * $f * $f / 1e4,
                    3 * sum(n_atoms) * $f * $f
                from configurations where dataset_id = 'w-gb' group by dataset_id, cluster_name
                """,
                {"t": training, "s": share, "f": force},
            )
            con.execute(
                "insert into learning_fits values "
                "('w-gb', 'a potential', 'dft', $t, 0, $s, '0', $n, 5, 100, 1000, 10000, 10, 1)",
                {"t": training, "s": share, "n": int(100 * share)},
            )
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_the_page_says_how_many_models_are_beaten_and_from_which_size_on(learnt_store):
    at = open_link(PAGE, {"quantity": ["Force"], "numbers": ["true"]})
    assert not at.exception, at.exception
    text = text_of(at)
    assert "With 100 configurations the potential is off by 50" in text
    assert "beats 4 of 4 universal" in text  # not the one that was trained on them, nor the specialised one
    table = table_with(at, "n_train_lo").set_index("label")
    assert set(table.index) == {"First", "Second", "Third", "R2Scan", "Direct", "Trained"}
    assert table["n_train"].between(10, 100).all()
    assert "all other groups of structures: 500" in text
    assert len(at.get("plotly_chart")) == 3


def test_energies_have_a_switch_that_the_address_keeps(learnt_store):
    at = open_link(PAGE, {"quantity": ["Energy"], "energies": ["raw"]})
    assert not at.exception, at.exception
    assert at.segmented_control(key="energies").value == "raw"
    at = open_link(PAGE, {"quantity": ["Energy"], "energies": ["shifted"]})
    assert "shifted" in text_of(at)


def test_a_store_without_studies_says_how_to_make_one(store):
    at = open_app(PAGE)
    assert "No learning curves yet" in text_of(at)
    assert "precompute train" in text_of(at)
