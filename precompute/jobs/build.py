"""Build the results store from configurations, predictions and costs on disk, and publish it."""

import fcntl
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.cells.drawings import Drawing, drawings
from engine.data_folder import (
    EMBEDDED,
    ROOT,
    DataFolder,
    embedded_predictions,
    embedded_summary,
    embedded_vacancies,
)
from engine.errors import StoreError
from engine.learning_curves import ClusterError, Fit, read_learning
from engine.numerics.local_environments import SOAP_SETTING, classify, scaled
from engine.records import Prediction, RunRecord, check_predictions, read_run_record
from engine.registry import compatibility
from engine.registry.datasets import Dataset, load_datasets
from engine.registry.ensembles import load_ensembles
from engine.registry.leakage import leakages
from engine.registry.models import Model, load_models
from engine.relaxed_vacancies import RelaxedVacancy
from engine.shards import done_keys, merged
from engine.store.builder import StoreBuilder, database_errors, publish, verify
from engine.store.claims import measure_claims
from engine.store.parts import code, fingerprint
from engine.store.ranking import Comparable
from engine.store.rows import Cost, Results, Run, run_id
from engine.store.summary import read_summary
from precompute.acquire.datasets import configurations_of
from precompute.acquire.fetching import sha256_of
from precompute.acquire.weights import Checkpoint
from precompute.jobs.bench import read_costs
from precompute.jobs.describe import PER_GROUP, SETTING, describe
from precompute.jobs.dft_times import dft_costs
from precompute.jobs.vacancies import merged as merged_vacancies


@dataclass(frozen=True)
class Built:
    """A published store.

    Attributes:
        path: The file.
        lines: One per dataset.
        left_out: One sentence per file that could not be read.
    """

    path: Path
    lines: list[str]
    left_out: list[str]


def build(folder: DataFolder, *, is_full: bool = False) -> Built:
    """Build a new store from everything on disk and move the link to it, one build at a time.

    What would come out as it is in the store before is taken over from there (`engine.store.parts`), unless `is_full`.

    Where a model has predictions of several origins for a dataset, the one that covers most configurations counts;
    origins are never mixed. A file that cannot be read is named and left out.

    Raises:
        StoreError: There is no dataset to build from, or the database cannot be written.
    """
    folder.root.mkdir(parents=True, exist_ok=True)
    with (folder.root / ".build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of the system, so that a killed build leaves no lock behind
        for pattern in ("results-*.building", "results-*.anew", "results-*.wal", "results.duckdb.*.new"):
            for left in folder.root.glob(pattern):
                left.unlink()
        for left in folder.root.glob("results-*.tmp"):
            shutil.rmtree(left)
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        path = folder.root / f"results-{stamp}.duckdb"
        before = None if is_full or not folder.store.exists() else folder.store.resolve()
        try:
            lines, left_out = _write(path, folder, stamp, before)
        except StoreError:
            if before is None:
                raise
            # The store before may be at fault: a damaged one must not keep a new one from being built.
            lines, left_out = _write(path, folder, stamp, None)
        publish(path, folder.store)
    return Built(path, lines, left_out)


def _write(path: Path, folder: DataFolder, stamp: str, before: Path | None) -> tuple[list[str], list[str]]:
    """Write a complete store to a file, or nothing."""
    partial = path.with_suffix(".building")
    try:
        with database_errors(partial):
            builder = StoreBuilder(partial, _commit(), version=stamp, before=before)
            lines, left_out = _fill(builder, folder)
            builder.finish()
            verify(partial)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
        for ending in (".wal", ".anew", ".anew.wal"):
            partial.with_name(partial.name + ending).unlink(missing_ok=True)
        shutil.rmtree(partial.with_name(partial.name + ".tmp"), ignore_errors=True)
    return lines, left_out


def _fill(builder: StoreBuilder, folder: DataFolder) -> tuple[list[str], list[str]]:
    models = load_models()
    builder.add_models(models.values())
    comparable = comparable_pairs(models.values(), load_datasets().values())
    lines: list[str] = []
    left_out: list[str] = []
    for dataset in load_datasets().values():
        if not folder.configurations(dataset.dataset_id).is_file():
            lines += _absent(builder, dataset, left_out)
            continue
        n_configs, n_models = _add_dataset(builder, dataset, list(models.values()), comparable, folder, left_out)
        lines.append(f"{dataset.dataset_id}: {n_configs} configurations, {n_models} models")
    if not lines:
        raise StoreError("No dataset is here to build from. Run: python -m precompute fetch --dataset open-defects")
    builder.add_novelty()
    builder.add_reactions(comparable)
    builder.add_vacancies(_vacancies(models.values(), folder, left_out))
    for errors, fits in _learning(folder, left_out):
        builder.add_learning(errors, fits)
    builder.add_drawings((one, _classes(one)) for one in drawings())
    builder.add_costs([*_costs(folder, left_out), *dft_costs()])
    builder.add_claims(measure_claims(builder.connection))
    return lines, left_out


def _add_dataset(
    builder: StoreBuilder, dataset: Dataset, models: Sequence[Model], comparable: Comparable, folder: DataFolder,
    left_out: list[str],
) -> tuple[int, int]:  # fmt: skip
    """Write a dataset that is here with all of its results, or take over what is as before; its size and models."""
    dataset_id, ensembles = dataset.dataset_id, list(load_ensembles().values())
    configurations = configurations_of(dataset, folder)
    mark = fingerprint(code(), dataset, sha256_of(folder.configurations(dataset_id)), SETTING)
    inputs = _Inputs(dataset, {(c.config_id, c.geometry_hash) for c in configurations}, folder, left_out, mark)
    results = [one for one in map(inputs.results, models) if one is not None]
    groups = {c.group_name for c in configurations}
    saw = [(model.model_id, group, leak.certainty) for model, group, leak in leakages(models, dataset, groups)]
    pairs = [comparable.models([one.model_id for one in results], dataset_id, is_raw=raw) for raw in (True, False)]
    whole = fingerprint(mark, [(one.model_id, one.fingerprint) for one in results], saw, pairs, ensembles)
    if builder.take_whole(dataset, configurations, ensembles, whole):
        return len(configurations), builder.n_models(dataset_id)
    builder.add_dataset(dataset, configurations, mark=mark)
    n_models = builder.add_results(dataset, configurations, results, ensembles, comparable, mark)
    environments = describe(dataset_id, configurations, folder)
    builder.add_environments(dataset, configurations, environments, SOAP_SETTING.describe(), PER_GROUP, mark)
    if inputs.are_sound:
        builder.parts.note("whole", dataset_id, whole)
    return len(configurations), n_models


def _absent(builder: StoreBuilder, dataset: Dataset, left_out: list[str]) -> list[str]:
    """Write a dataset whose configurations are not here: as its summary where one came with the repository.

    Returns:
        A line where there is a summary.
    """
    folder = embedded_summary(dataset.dataset_id)
    summary: Mapping[str, pa.Table] = {}
    if folder.is_dir():
        try:
            summary = read_summary(folder)
        except StoreError as error:
            left_out.append(str(error))
    if not summary:
        builder.add_dataset(dataset, [], _why_absent(dataset))
        return []
    builder.add_summary(
        dataset,
        summary,
        "A summary came with the repository; for structures and forces run: "
        f"python -m precompute fetch --dataset {dataset.dataset_id}",
    )
    n_models = len(set(summary["errors"]["model_id"].to_pylist()))
    return [f"{dataset.dataset_id}: summary of {summary['configurations'].num_rows} configurations, {n_models} models"]


def _why_absent(dataset: Dataset) -> str:
    if not dataset.is_available:
        return dataset.not_available
    return f"Not fetched. Run: python -m precompute fetch --dataset {dataset.dataset_id}"


def comparable_pairs(models: Iterable[Model], datasets: Iterable[Dataset]) -> Comparable:
    """Pairs that may be ranked, by what the registries say of their labels."""
    physics, raw = set(), set()
    levels = [(model.model_id, model.level) for model in models]
    for dataset in datasets:
        labels = compatibility.Labels(
            dataset.level,
            frozenset(dataset.elements),
            dataset.comparable,
            dataset.comparable_note,
            dataset.reference_checked,
        )
        for model_id, level in levels:
            if compatibility.has_same_physics(level, labels):
                physics.add((model_id, dataset.dataset_id))
            if compatibility.judge(level, labels).state != compatibility.NO:
                raw.add((model_id, dataset.dataset_id))
    return Comparable(physics, raw)


class _Inputs:
    """Files with predictions on one dataset, read only where their results cannot be taken over.

    Args:
        dataset: The dataset.
        known: Id and geometry of its configurations.
        folder: Where the files are.
        left_out: Takes a sentence for each file that cannot be read.
        mark: Fingerprint of the dataset.

    Attributes:
        are_sound: Whether every file could be read that was.
    """

    def __init__(
        self, dataset: Dataset, known: Collection[tuple[str, str]], folder: DataFolder, left_out: list[str], mark: str
    ) -> None:
        self._dataset, self._known, self._folder, self._left_out = dataset, known, folder, left_out
        self._mark = mark
        self.are_sound = True

    def results(self, model: Model) -> Results | None:
        """Results of a model with the fingerprint of their files; None where there is no file."""
        origins = self._origins(model)
        files = [path for paths in origins for path in paths]
        if not files:
            return None
        mark = fingerprint(self._mark, model.model_id, [[sha256_of(path) for path in paths] for paths in origins])
        return Results(model.model_id, fingerprint=mark, load=lambda: self._load(model, origins))

    def _load(
        self, model: Model, origins: Sequence[Sequence[Path]]
    ) -> tuple[list[tuple[Prediction, str]], list[Run], bool]:
        """Predictions and the runs that they are from; whether every file could be read."""
        before = len(self._left_out)
        chosen = _chosen(origins, self._known, self._left_out)
        is_sound = len(self._left_out) == before
        self.are_sound &= is_sound
        rows = _rows(self._dataset, model, chosen, self._known)
        used = {run for _, run in rows}
        return rows, [run for run in _runs(self._dataset, model, chosen) if run.run_id in used], is_sound

    def _origins(self, model: Model) -> list[list[Path]]:
        """Files computed on this machine, those of the repository, and imported ones."""
        dataset_id = self._dataset.dataset_id
        shipped = embedded_predictions(dataset_id, model.model_id)
        imported = self._folder.imported(dataset_id, model.model_id)
        computed = list(Checkpoint(model, self._folder).predictions(dataset_id))
        return [computed, *([path] if path.is_file() else [] for path in (shipped, imported))]


def _chosen(found: Iterable[Sequence[Path]], known: Collection[tuple[str, str]], left_out: list[str]) -> list[Path]:
    """Files with the predictions to use, all of one origin: the one that covers most configurations as they are now.

    Files computed on this machine come first where several cover the same; those of the repository follow, then
    imported ones.
    """
    origins = [paths for paths in (_readable(paths, left_out) for paths in found) if paths]
    if len(origins) < 2:  # nothing to compare, so no file is read for it
        return origins[0] if origins else []
    return max(origins, key=lambda paths: sum(key in known for key in done_keys(paths)))


def _readable(paths: Iterable[Path], left_out: list[str]) -> list[Path]:
    """Files that can be read to the end, page by page; the others are named."""
    good = []
    for path in paths:
        try:
            check_predictions(path)
        except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
            left_out.append(f"{path} cannot be read ({error}); delete it and run its model again")
        else:
            good.append(path)
    return good


def _run_id(dataset: Dataset, model: Model, record: RunRecord) -> str:
    pid = "" if record.pid is None else str(record.pid)
    return run_id(model.model_id, dataset.dataset_id, record.started_at, pid, record.hardware, record.file_sha256)


def _rows(
    dataset: Dataset, model: Model, paths: Iterable[Path], known: Collection[tuple[str, str]]
) -> list[tuple[Prediction, str]]:
    """Predictions of known geometries with their run; of two for one configuration the later file counts."""
    paths = list(paths)
    runs = {path: _run_id(dataset, model, read_run_record(path)) for path in paths}
    return [(prediction, runs[path]) for key, (prediction, path) in merged(paths).items() if key in known]


def _runs(dataset: Dataset, model: Model, paths: Iterable[Path]) -> Iterator[Run]:
    """One run per worker process or imported file, with the time of all its shards together."""
    records: dict[str, list[RunRecord]] = {}
    for path in paths:
        record = read_run_record(path)
        records.setdefault(_run_id(dataset, model, record), []).append(record)
    for key, shards in records.items():
        record = shards[-1]
        yield Run(
            run_id=key,
            model_id=model.model_id,
            dataset_id=dataset.dataset_id,
            origin=record.origin,
            device=record.device,
            hardware=record.hardware,
            packages=record.packages,
            checkpoint_sha256=record.checkpoint_sha256,
            started_at=record.started_at or None,
            source=record.source or "Defect Atlas",
            wall_seconds=sum(shard.wall_seconds or 0.0 for shard in shards) or None,
            n_threads=record.n_threads,
            dtype=" and ".join(sorted({shard.dtype for shard in shards} - {""})),
            d3="" if record.d3 is None else "yes" if record.d3 else "no",
            options=record.options,
            note=record.note,
        )


def _classes(drawing: Drawing) -> NDArray[np.uint8]:
    """Class of local environment of each atom."""
    atoms = drawing.atoms
    return classify(scaled(atoms.numbers, atoms.positions, atoms.cell.array, (True, True, True)))


def _vacancies(
    models: Iterable[Model], folder: DataFolder, left_out: list[str]
) -> Iterator[tuple[RelaxedVacancy, RunRecord]]:
    """Vacancies that models relaxed here, and those that came with the repository for what was not."""
    for model in models:
        shipped = embedded_vacancies(model.model_id)
        paths = [*([shipped] if shipped.is_file() else []), *Checkpoint(model, folder).vacancies]
        rows: dict[str, tuple[RelaxedVacancy, RunRecord]] = {}
        for path in paths:
            try:
                rows |= merged_vacancies([path])
            except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
                left_out.append(f"{path} cannot be read ({error}); delete it and relax the vacancy again")
        yield from (rows[name] for name in sorted(rows))


def _learning(folder: DataFolder, left_out: list[str]) -> Iterator[tuple[list[ClusterError], list[Fit]]]:
    """Learning curves made here, and those that came with the repository for what was not."""
    known = set()
    for place in (folder.learning, EMBEDDED / "learning"):
        for path in sorted(place.glob("*/*/errors.parquet")):
            key = path.parent.relative_to(place)
            if key in known:
                continue
            try:
                yield read_learning(path.parent)
            except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
                left_out.append(f"{path.parent} cannot be read ({error}); delete it and make the study again")
            else:
                known.add(key)


def _costs(folder: DataFolder, left_out: list[str]) -> Iterator[Cost]:
    """Costs measured here, and those that came with the repository for other machines."""
    seen = set()
    # Files from before names held the hardware may lie beside newer ones of the same.
    own = sorted(read_costs(folder.costs, left_out), key=lambda cost: cost.measured_at, reverse=True)
    for cost in [*own, *read_costs(EMBEDDED / "costs", left_out)]:
        key = (cost.model_id, cost.device, cost.hardware, cost.n_threads, cost.n_atoms, cost.origin, cost.is_queue)
        if key not in seen:
            seen.add(key)
            yield cost


def _commit() -> str:
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:  # no git on this machine
        return ""
    return asked.stdout.strip()
