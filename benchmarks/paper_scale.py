"""A load test at the paper's size: python -m benchmarks.paper_scale --mirror DIR --data DIR [--scale 0.1].

Makes a data folder with as many configurations, atoms and models as the paper has (54,084, 7.5 million, 26), or a part
of it, builds its store and prints sizes and times. Configurations are real ones of the mirror, repeated as needed,
those of the larger cells. Predictions are their labels with a disturbance of each model's own: **no model was run**.
Datasets are called `load-test-...`, and every run says that its numbers are a load test, so none of them can pass as
data.

With `--add-model` one more model joins a folder that was made before; with `--build-only` only the store is written.
"""

import argparse
import dataclasses
import json
import os
import resource
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np

from engine.data_folder import DataFolder, using
from engine.records import Configuration, Prediction, RunRecord, write_configurations, write_predictions
from engine.registry.datasets import get_dataset
from engine.registry.models import load_models
from engine.store.builder import ROW_GROUP
from precompute.acquire.datasets import configurations_of, fetch_dataset
from precompute.acquire.fetching import sha256_of
from precompute.acquire.user_registry import write_entries
from precompute.jobs.build import build

SOURCES = {
    1436: "zr-gb-castep",
    1030: "mo-snap",
    1018: "nb-bcc-ace",
    1050: "ta-bcc-ace",
    1026: "w-g",
    262: "w-szlachta",
    17210: "mg-mgcu",
    347: "lial",
    348: "wbe-fitsnap",
    998: "nimo-snap",
    1257: "ni-snap",
    600: "crmnfeconi-small",
    17654: "nbmotaw-snap",
    409: "zr-i-cs-gb-castep",
}
"""Sizes of the paper's datasets, and what stands in for each. They are stretched to the paper's sum."""

PAPER_CONFIGS = 54_084

MEAN_ATOMS = 139
"""Of a configuration; the paper's 7.33 million atoms in 54,084 configurations are 135."""

NOTE = "LOAD TEST: labels with a disturbance, no model was run. These numbers say nothing about any model."

ONE_MORE = "sevennet-0"


def parts(scale: float) -> Iterator[tuple[str, int]]:
    """Source and number of configurations of each dataset."""
    total = sum(SOURCES)
    for size, source in SOURCES.items():
        yield source, max(2, round(size * PAPER_CONFIGS / total * scale))


def repeated(source: Sequence[Configuration], n: int) -> list[Configuration]:
    """Real configurations of the larger cells of a source, as often as needed, each copy with an id of its own."""
    ranked = sorted((c for c in source if c.forces is not None and c.energy is not None), key=lambda c: -c.n_atoms)
    means = np.cumsum([c.n_atoms for c in ranked]) / np.arange(1, len(ranked) + 1)
    chosen = ranked[: max(1, int((means >= MEAN_ATOMS).sum()))]
    chosen = chosen[: max(n, 1)]
    return [dataclasses.replace(chosen[k % len(chosen)], config_id=f"load-test-{k:05d}") for k in range(n)]


def disturbed(c: Configuration, model_id: str, generator: np.random.Generator) -> Prediction:
    """Labels of a configuration as a model of that name might miss them, in the precision that models have."""
    size = 0.02 + 0.2 * (zlib.crc32(model_id.encode()) % 97) / 97
    assert c.forces is not None and c.energy is not None  # chosen so
    forces = c.forces * (1 - 0.3 * size) + generator.normal(0.0, size, c.forces.shape)
    return Prediction(
        c.config_id,
        c.geometry_hash,
        "ok",
        energy=c.energy + float(generator.normal(0.0, 0.1 * size)) * c.n_atoms,
        forces=forces.astype(np.float32).astype(float),
        stress=generator.normal(0.0, 0.01, 6).astype(np.float32).astype(float),
        wall_seconds=0.0,
    )


def make(folder: DataFolder, mirror: Path, scale: float) -> None:
    """Write datasets and predictions; what is there already stays."""
    sources = DataFolder(folder.root / "sources")
    tables = {}
    for source, n in parts(scale):
        dataset = get_dataset(source)
        print(fetch_dataset(dataset, sources, mirror), flush=True)
        dataset_id = f"load-test-{source}"
        cells = repeated(configurations_of(dataset, sources), n)
        path = folder.configurations(dataset_id)
        write_configurations(path, cells)
        tables[dataset_id] = {
            "label": f"LOAD TEST {dataset.label}", "functional": "not stated", "code": "not stated",
            "potentials": "not stated", "energy_reference": "own", "spin": "not stated", "license": "not stated",
            "citation": "none", "source": NOTE, "description": NOTE, "elements": list(dataset.elements),
            "comparable": True, "comparable_note": NOTE, "reference_checked": True, "leakage_note": "None.",
            "n_configs": len(cells), "file_note": NOTE,
            "files": [{"name": path.name, "reader": "extxyz", "sha256": sha256_of(path), "added": True,
                       "stored_sha256": sha256_of(path)}],
        }  # fmt: skip
        for model_id in models():
            predict(folder, dataset_id, model_id, cells)
        print(f"{dataset_id}: {n} configurations, {sum(c.n_atoms for c in cells)} atoms", flush=True)
    write_entries(folder.root / "datasets.toml", NOTE, tables)


def models() -> list[str]:
    """The models of the paper's Table 1."""
    return [model.model_id for model in load_models().values() if model.paper_row]


def predict(folder: DataFolder, dataset_id: str, model_id: str, cells: Sequence[Configuration]) -> None:
    """Write disturbed labels as predictions that are marked as a load test."""
    path = folder.imported(dataset_id, model_id)
    if path.is_file():
        return
    generator = np.random.default_rng(zlib.crc32(f"{dataset_id} {model_id}".encode()))
    record = RunRecord(origin="imported", model_id=model_id, source=NOTE, note=NOTE, dtype="float32")
    write_predictions(path, (disturbed(c, model_id, generator) for c in cells), record)


def own_size(store: Path) -> int:
    """Bytes of the rows on datasets of the load test alone, without summaries that come with the repository."""
    copy = store.with_suffix(".own")
    copy.unlink(missing_ok=True)
    try:
        with duckdb.connect(config={"checkpoint_threshold": "1TB"}) as con:
            con.execute(f"attach '{store}' as whole (read_only)")
            con.execute(f"attach '{copy}' as own (row_group_size {ROW_GROUP})")
            columns = "select table_name from duckdb_columns() join duckdb_tables() using (database_name, table_name)"
            tables = con.execute(f"{columns} where database_name = 'whole' and column_name = 'dataset_id'").fetchall()
            for (table,) in tables:
                rows = f"select * from whole.{table} where dataset_id like 'load-test-%'"
                con.execute(f"create table own.{table} as {rows}")
        return copy.stat().st_size
    finally:
        copy.unlink(missing_ok=True)


def measured(folder: DataFolder) -> dict[str, float | int | str]:
    """Build the store, and measure it against the bytes that the models gave, in float32."""
    started = time.monotonic()
    built = build(folder)
    seconds = time.monotonic() - started
    n_vectors = n_configs = n_atoms = 0
    with duckdb.connect(str(built.path), read_only=True) as con:
        row = con.execute(
            """select count(*), sum(len(forces)) // 3 from predictions where dataset_id like 'load-test-%'"""
        ).fetchone()
        assert row is not None
        n_configs, n_vectors = row
        row = con.execute("select sum(n_atoms) from configurations where dataset_id like 'load-test-%'").fetchone()
        assert row is not None
        (n_atoms,) = row
    payload = 4 * (3 * n_vectors + 7 * n_configs)  # force vectors, an energy and six stresses
    size = built.path.stat().st_size
    return {
        "atoms": n_atoms,
        "predictions": n_configs,
        "force_vectors": n_vectors,
        "payload_mb": round(payload / 1e6, 1),
        "store_mb": round(size / 1e6, 1),
        "ratio": round(size / payload, 3),
        "ratio_without_summaries": round(own_size(built.path) / payload, 3),
        "build_s": round(seconds, 1),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "cores": os.cpu_count() or 0,
    }


def main() -> None:
    """Make, build and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirror", type=Path, metavar="DIR", help="mirror of public datasets")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder of the load test")
    parser.add_argument("--scale", type=float, default=0.1, help="part of the paper's number of configurations")
    parser.add_argument("--add-model", action="store_true", help=f"give {ONE_MORE} predictions too, then build")
    parser.add_argument("--make-only", action="store_true", help="write files and build nothing")
    parser.add_argument("--build-only", action="store_true", help="build from the files that are there")
    arguments = parser.parse_args()
    folder = DataFolder(arguments.data.resolve())
    with using(folder):
        if arguments.add_model:
            for path in sorted(folder.root.glob("datasets/load-test-*.parquet")):
                dataset = get_dataset(path.stem)
                predict(folder, path.stem, ONE_MORE, configurations_of(dataset, folder))
        elif not arguments.build_only:
            if arguments.mirror is None:
                parser.error("--mirror is needed to make a folder")
            make(folder, arguments.mirror, arguments.scale)
        if not arguments.make_only:
            print(json.dumps(measured(folder)))


if __name__ == "__main__":
    main()
