import argparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.data_folder import DataFolder
from engine.errors import FetchError, PredictionError
from engine.records import Configuration, read_predictions, read_run_record, write_configurations
from engine.registry.datasets import get_dataset, load_datasets
from engine.registry.models import get_model
from precompute.acquire.imports import import_file, import_published
from precompute.commands import import_

DATASET, MODEL = get_dataset("w-g"), get_model("mace-omat-0")


@pytest.fixture
def folder(tmp_path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    cells = [
        Configuration(f"w-{i}", "bulk", np.array([74, 74]), np.zeros((2, 3)) + i, np.eye(3), (True,) * 3)
        for i in range(3)
    ]
    write_configurations(made.configurations("w-g"), cells)
    return made


def parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def row(name="w-0", energy=-26.0, n_atoms=2):
    return {"config_id": name, "energy": energy, "forces": np.zeros((n_atoms, 3)).tolist()}


def test_imported_numbers_carry_their_origin(folder, tmp_path):
    path = parquet(tmp_path / "p.parquet", [row("w-1"), row("w-0")])
    line = import_file(DATASET, MODEL, path, folder, source="a colleague", note="Size is inferred.")
    stored = folder.imported("w-g", "mace-omat-0")
    assert [p.config_id for p in read_predictions(stored)] == ["w-0", "w-1"]
    assert read_run_record(stored).origin == "imported"
    record = read_run_record(stored)
    assert (record.source, record.note, record.options) == ("a colleague", "Size is inferred.", "")
    assert "1 configurations have none" in line


def test_extended_xyz_is_taken_too(folder, tmp_path):
    path = tmp_path / "p.xyz"
    path.write_text(
        '2\nLattice="1 0 0 0 1 0 0 0 1" Properties=species:S:1:pos:R:3:forces:R:3 config_id=w-0 energy=-26.0\n'
        "W 0 0 0 0 0 0.5\nW 1 0 -0.0001 0 0 -0.5\n"  # a periodic image, rounded
    )
    import_file(DATASET, MODEL, path, folder)
    (prediction,) = read_predictions(folder.imported("w-g", "mace-omat-0"))
    assert prediction.energy == -26.0
    np.testing.assert_array_equal(prediction.forces[:, 2], [0.5, -0.5])


def test_predictions_of_moved_atoms_are_refused(folder, tmp_path):
    path = tmp_path / "p.xyz"
    path.write_text(
        '2\nLattice="1 0 0 0 1 0 0 0 1" Properties=species:S:1:pos:R:3 config_id=w-0 energy=-26.0\nW 0 0 0\nW 0.1 0 0\n'
    )
    with pytest.raises(PredictionError, match="positions are not those"):
        import_file(DATASET, MODEL, path, folder)
    hashed = parquet(tmp_path / "p.parquet", [row() | {"geometry_hash": "0" * 16}])
    with pytest.raises(PredictionError, match="positions are not those"):
        import_file(DATASET, MODEL, hashed, folder)
    assert not folder.imported("w-g", "mace-omat-0").exists()


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([row("w-0"), row("unknown")], "no such configuration"),
        ([row(), row()], "occurs twice"),
        ([row(energy=float("nan"))], "energy is nan"),
        ([row(n_atoms=3)], "forces of 3 atoms"),
        ([{"id": "w-0"}], "no columns config_id and energy"),
    ],
    ids=["unknown", "twice", "nan", "atoms", "columns"],
)
def test_what_does_not_fit_is_refused_whole(folder, tmp_path, rows, problem):
    with pytest.raises(PredictionError, match=problem):
        import_file(DATASET, MODEL, parquet(tmp_path / "p.parquet", rows), folder)
    assert not folder.imported("w-g", "mace-omat-0").exists()


def test_a_file_that_is_no_table_is_refused(folder, tmp_path):
    (tmp_path / "p.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(PredictionError, match="is not a parquet file"):
        import_file(DATASET, MODEL, tmp_path / "p.parquet", folder)


def test_published_predictions_need_a_mirror_and_say_so(folder):
    with pytest.raises(FetchError, match="--mirror"):
        list(import_published(DATASET, folder, None))


@pytest.mark.parametrize("mirror", [None, "."])
def test_import_of_all_passes_over_datasets_without_published_predictions(folder, monkeypatch, capsys, mirror):
    monkeypatch.setattr(DataFolder, "default", classmethod(lambda cls: folder))
    without = [d.dataset_id for d in load_datasets().values() if not d.published_predictions]
    arguments = argparse.Namespace(dataset=["all"], file=None, mirror=mirror)
    # The files of those that have some are not at hand here, so it ends there, and not before.
    with pytest.raises(FetchError):
        import_(arguments)
    assert all(dataset_id in capsys.readouterr().err for dataset_id in without[:1])


def test_forces_alone_are_predictions(folder, tmp_path):
    published = pa.schema(
        [("config_id", pa.string()), ("energy", pa.float64()), ("forces", pa.list_(pa.list_(pa.float32())))]
    )
    rows = [row("w-1", energy=None), row("w-2", energy=None)]
    pq.write_table(pa.Table.from_pylist(rows, schema=published), tmp_path / "p.parquet")
    line = import_file(DATASET, MODEL, tmp_path / "p.parquet", folder)
    stored = read_predictions(folder.imported("w-g", "mace-omat-0"))
    assert [(p.status, p.energy) for p in stored] == [("ok", None), ("ok", None)]
    assert all(p.forces is not None and p.forces.shape == (2, 3) for p in stored)
    assert line == "w-g, mace-omat-0: 2 predictions of forces alone imported, 1 configurations have none"


def test_an_energy_that_one_row_alone_lacks_is_refused(folder, tmp_path):
    path = parquet(tmp_path / "p.parquet", [row("w-0"), row("w-1", energy=None)])
    with pytest.raises(PredictionError, match=r"row 1 \('w-1'\): energy is None"):
        import_file(DATASET, MODEL, path, folder)


def test_forces_alone_need_forces_in_every_row(folder, tmp_path):
    path = parquet(tmp_path / "p.parquet", [row("w-0"), row("w-1") | {"forces": None}])
    with pytest.raises(PredictionError, match="neither an energy nor forces"):
        import_file(DATASET, MODEL, path, folder, energy_key="none")
    with pytest.raises(PredictionError, match="it would be none"):
        import_file(DATASET, MODEL, path, folder, energy_key="none", forces_key="none")


def test_forces_of_extended_xyz_alone_are_asked_for(folder, tmp_path):
    path = tmp_path / "p.xyz"
    path.write_text(
        '2\nLattice="1 0 0 0 1 0 0 0 1" Properties=species:S:1:pos:R:3:forces:R:3 config_id=w-0\n'
        "W 0 0 0 0 0 0.5\nW 0 0 0 0 0 -0.5\n"
    )
    with pytest.raises(PredictionError, match="--energy-key NAME, or none"):
        import_file(DATASET, MODEL, path, folder)
    assert "forces alone" in import_file(DATASET, MODEL, path, folder, energy_key="none")
