"""Build the results store from configurations, predictions and costs on disk, and publish it."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from engine.data_folder import EMBEDDED, ROOT, DataFolder, embedded_predictions
from engine.errors import StoreError
from engine.records import Configuration, Prediction, read_predictions, read_run_record
from engine.registry.datasets import Dataset, load_datasets
from engine.registry.ensembles import load_ensembles
from engine.registry.models import Model, load_models
from engine.shards import FAMILIES, done_keys
from engine.store.builder import StoreBuilder, publish
from engine.store.claims import measure_claims
from engine.store.rows import Cost, Results, Run, run_id
from precompute.acquire.datasets import configurations_of
from precompute.acquire.weights import model_fingerprint


def build(folder: DataFolder) -> tuple[Path, list[str]]:
    """Build a new store from everything on disk and move the link to it.

    Where a model has predictions of several origins for a dataset, the one that covers most configurations counts;
    origins are never mixed.

    Returns:
        The file, and one line per dataset.

    Raises:
        StoreError: There is no dataset to build from.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    path = folder.root / f"results-{stamp}.duckdb"
    partial = path.with_suffix(".building")
    partial.unlink(missing_ok=True)
    builder = StoreBuilder(partial, _commit(), version=stamp)
    try:
        lines = _fill(builder, folder)
        builder.finish()
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.rename(path)
    publish(path, folder.store)
    return path, lines


def _fill(builder: StoreBuilder, folder: DataFolder) -> list[str]:
    models = load_models()
    builder.add_models(models.values())
    lines = []
    for dataset in load_datasets().values():
        if not folder.configurations(dataset.dataset_id).is_file():
            builder.add_dataset(dataset, [], _why_absent(dataset))
            continue
        configurations = configurations_of(dataset, folder)
        builder.add_dataset(dataset, configurations)
        results = []
        for model in models.values():
            chosen = _predictions(dataset, configurations, model, folder)
            if chosen:
                builder.add_runs(_runs(dataset, model, chosen))
                results.append(Results(model.model_id, _rows(dataset, model, chosen)))
        builder.add_results(dataset, configurations, results, load_ensembles().values())
        lines.append(f"{dataset.dataset_id}: {len(configurations)} configurations, {len(results)} models")
    if not lines:
        raise StoreError("No dataset is here to build from. Run: python -m precompute fetch --dataset open-defects")
    builder.add_costs(_costs(folder))
    builder.add_claims(measure_claims(builder.connection))
    return lines


def _why_absent(dataset: Dataset) -> str:
    if not dataset.is_available:
        return dataset.not_available
    return f"Not fetched. Run: python -m precompute fetch --dataset {dataset.dataset_id}"


def _predictions(
    dataset: Dataset, configurations: Sequence[Configuration], model: Model, folder: DataFolder
) -> list[Path]:
    """Files with the predictions to use, all of one origin: the one that covers most configurations.

    Of equals, those computed on this machine come first, then those of the repository, then imported ones.
    """
    computed: list[Path] = []
    if (FAMILIES / f"{model.family}.lock").is_file():
        target = folder.predictions(dataset.dataset_id, model.model_id, model_fingerprint(model, folder))
        computed = sorted(target.glob("*.parquet"))
    shipped = embedded_predictions(dataset.dataset_id, model.model_id)
    imported = folder.imported(dataset.dataset_id, model.model_id)
    origins = [paths for paths in (computed, *([path] for path in (shipped, imported) if path.is_file())) if paths]
    if len(origins) < 2:  # nothing to compare, so no file is read for it
        return origins[0] if origins else []
    known = {(c.config_id, c.geometry_hash) for c in configurations}
    return max(origins, key=lambda paths: len(known & done_keys(paths).keys()))


def _run_id(dataset: Dataset, model: Model, record: Mapping[str, str]) -> str:
    keys = ("started_at", "pid", "hardware", "file_sha256")
    parts = [record.get(key, "") for key in keys]
    return run_id(model.model_id, dataset.dataset_id, *parts)


def _rows(dataset: Dataset, model: Model, paths: Iterable[Path]) -> list[tuple[Prediction, str]]:
    """Predictions with their run; of two for one configuration the later file counts."""
    rows: dict[tuple[str, str], tuple[Prediction, str]] = {}
    for path in paths:
        run = _run_id(dataset, model, read_run_record(path))
        rows |= {(p.config_id, p.geometry_hash): (p, run) for p in read_predictions(path)}
    return list(rows.values())


def _runs(dataset: Dataset, model: Model, paths: Iterable[Path]) -> Iterator[Run]:
    """One run per worker process or imported file, with the time of all its shards together."""
    seconds: dict[str, float] = {}
    dtypes: dict[str, set[str]] = {}
    records: dict[str, dict[str, str]] = {}
    for path in paths:
        record = read_run_record(path)
        key = _run_id(dataset, model, record)
        records[key] = record
        seconds[key] = seconds.get(key, 0.0) + float(record.get("wall_seconds") or 0.0)
        dtypes.setdefault(key, set()).add(record.get("dtype", ""))
    for key, record in records.items():
        is_imported = record.get("origin") == "imported"  # a file that was taken in keeps its note as options
        yield Run(
            run_id=key,
            model_id=model.model_id,
            dataset_id=dataset.dataset_id,
            origin=record.get("origin", ""),
            device=record.get("device", ""),
            hardware=record.get("hardware", ""),
            packages=record.get("packages", ""),
            checkpoint_sha256=record.get("checkpoint_sha256", ""),
            started_at=record.get("started_at") or None,
            source=record.get("source") or "Defect Atlas",
            wall_seconds=seconds[key] or None,
            n_threads=int(record["n_threads"]) if record.get("n_threads") else None,
            dtype=" and ".join(sorted(dtypes[key] - {""})),
            d3=record.get("d3", ""),
            options="" if is_imported else record.get("options", ""),
            note=record.get("options", "") if is_imported else "",
        )


def _costs(folder: DataFolder) -> Iterator[Cost]:
    """Costs measured here, and those that came with the repository for other machines."""
    seen = set()
    for path in [*sorted(folder.costs.glob("*.json")), *sorted((EMBEDDED / "costs").glob("*.json"))]:
        cost = Cost(**json.loads(path.read_text()))
        key = (cost.model_id, cost.device, cost.hardware, cost.n_threads, cost.n_atoms)
        if key not in seen:
            seen.add(key)
            yield cost


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()
