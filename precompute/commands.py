"""The commands of `python -m precompute`: each takes parsed arguments and returns an exit status."""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from engine.data_folder import DataFolder
from engine.errors import FetchError, RegistryError, SettingsError
from engine.numerics.scaling import time_exponent
from engine.readers.readings import Upload
from engine.registry.datasets import Dataset, select_datasets
from engine.registry.models import Model, families, get_model, select_models
from engine.relaxations import RelaxationOptions
from engine.shards import merged
from engine.store.rows import Cost
from precompute.acquire.datasets import configurations_of, datasets_here, fetch_dataset
from precompute.acquire.imports import import_file, import_published
from precompute.acquire.user_models import ModelDescription, external_model, register, variant
from precompute.acquire.weights import Checkpoint, fetch_weights
from precompute.jobs import bench as measuring
from precompute.jobs import embedding
from precompute.jobs.build import build as build_store
from precompute.jobs.describe import describe as describe_environments
from precompute.jobs.prediction import predict_upload, prediction_line, read_file
from precompute.jobs.reaction_tables import reaction_tables
from precompute.jobs.relaxation import numbers, relax_structure, write_structures
from precompute.jobs.tables import (
    markdown_kinds,
    markdown_matrix,
    markdown_query,
    markdown_rows,
    markdown_table,
)
from precompute.progress import say
from precompute.workers import worker_envs
from precompute.workers.worker_envs import why_not_runnable

DEFAULT_DATASET = "open-defects"
N_REASONS, REASON_LENGTH = 3, 90  # of a line of `status`


def fetch(arguments: argparse.Namespace) -> int:
    """Bring in datasets and model weights, from a mirror directory or by URL."""
    folder, mirror = DataFolder.default(), _mirror(arguments)
    if not arguments.dataset + arguments.model:
        raise SettingsError("fetch needs --dataset ID or --model ID.")
    for dataset in select_datasets(arguments.dataset):
        with _forgiving("all" in arguments.dataset):
            say(fetch_dataset(dataset, folder, mirror))
    for model in select_models(arguments.model):
        if "all" in arguments.model and not model.is_runnable:
            say(f"{model.model_id}: skipped. {model.not_runnable}")
            continue
        with _forgiving("all" in arguments.model):
            for line in fetch_weights(model, folder, mirror):
                say(line)
    return 0


def models(arguments: argparse.Namespace) -> int:
    """List models: id, family, row of the paper's Table 1, and whether each runs here or why not."""
    folder = DataFolder.default()
    rows = []
    for model in select_models(arguments.model or ["all"]):
        reason = why_not_runnable(model, folder)
        rows.append(
            {
                "model_id": model.model_id,
                "family": model.family,
                "paper_row": model.paper_row,
                "runs_here": not reason,
                "reason": reason,
                "license": model.license,
                "gate": model.gate,
            }
        )
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return 0
    print(f"{'model':32} {'family':10} {'row':>3}  runs here")
    for row in rows:
        print(f"{row['model_id']:32} {row['family']:10} {row['paper_row'] or '':>3}  {row['reason'] or 'yes'}")
    print(f"{sum(bool(row['runs_here']) for row in rows)} of {len(rows)} models run here")
    return 0


def envs(arguments: argparse.Namespace) -> int:
    """Build the Python environments of model families (all that have a lock, unless named)."""
    chosen = arguments.family or families()
    for family in chosen:
        if arguments.lock:
            say(f"{family}: locked in {worker_envs.lock(family).name}")
        else:
            built = worker_envs.build(family, DataFolder.default().root, device=arguments.device)
            say(f"{family}: {'built' if built else 'up to date'}")
    return 0


def import_(arguments: argparse.Namespace) -> int:
    """Take in predictions computed elsewhere: FILE of one model, or all published ones that are known."""
    folder = DataFolder.default()
    datasets = select_datasets(arguments.dataset)
    if not datasets:
        raise SettingsError("import needs --dataset ID.")
    if arguments.file is not None:
        if len(datasets) != 1 or len(arguments.model) != 1:
            raise SettingsError("import FILE needs exactly one --dataset and one --model.")
        say(_import_one(datasets[0], arguments, folder))
        return 0
    skipped = [d.dataset_id for d in datasets if not d.published_predictions] if arguments.dataset == ["all"] else []
    if skipped:
        say(f"skipped, since no published predictions are known: {', '.join(skipped)}")
    for dataset in datasets:
        if dataset.dataset_id in skipped:
            continue
        for line in import_published(dataset, folder, _mirror(arguments)):
            say(line)
    return 0


def _import_one(dataset: Dataset, arguments: argparse.Namespace, folder: DataFolder) -> str:
    """Import one file, of a model that is known or that the user describes."""
    keys = {"energy_key": arguments.energy_key, "forces_key": arguments.forces_key, "source": arguments.source}
    (model_id,) = arguments.model
    if not arguments.external:
        try:
            model = get_model(model_id)
        except RegistryError as error:
            raise RegistryError(f"{error} To import a model of your own, add --external.") from error
        return import_file(dataset, model, Path(arguments.file), folder, **keys)
    description = ModelDescription(
        label=arguments.label,
        training_sets=tuple(arguments.training_set),
        functional=arguments.functional,
        energy_reference=arguments.energy_reference,
        conservative=not arguments.direct_forces,
        license=arguments.license,
        source=arguments.source or "not stated",
    )
    model = external_model(model_id, description, folder)
    line = import_file(dataset, model, Path(arguments.file), folder, **keys)
    register(model, description, folder)
    return line


def describe(arguments: argparse.Namespace) -> int:
    """Classify the local environments of datasets, which `build` does too where they are missing."""
    folder = DataFolder.default()
    for dataset in datasets_here(arguments.dataset or ["all"], folder)[0]:
        configurations = configurations_of(dataset, folder)
        found = describe_environments(dataset.dataset_id, configurations, folder)
        n_atoms, n_sampled = (sum(len(getattr(one, name)) for one in found.values()) for name in ("classes", "sampled"))
        say(f"{dataset.dataset_id}: {n_atoms:,} atoms, {n_sampled:,} of them with SOAP vectors")
    return 0


def build(arguments: argparse.Namespace) -> int:
    """Build the results store from everything on disk and publish it."""
    built = build_store(DataFolder.default(), is_full=arguments.full)
    for line in built.lines:
        say(line)
    for line in built.left_out:
        say(f"left out: {line}")
    say(f"published {built.path.name} ({built.path.stat().st_size / 1e6:.1f} MB)")
    return 1 if built.left_out else 0


def bench(arguments: argparse.Namespace) -> int:
    """Measure the cost of models on this machine (those not measured yet, unless --again)."""
    if min(arguments.cells, arguments.threads) < 1:
        raise SettingsError("--cells and --threads count from 1.")
    folder = DataFolder.default()
    setting = measuring.Setting(
        arguments.device, measuring.new_occasion(), arguments.threads, arguments.queue, arguments.drift
    )
    cells = measuring.ALL_CELLS if arguments.sizes else (arguments.cells,)
    for chosen in select_models(arguments.model or ["all"]):
        model = variant(chosen, arguments.matmul_precision, folder)
        left = [n for n in cells if arguments.again or not measuring.is_measured(model, folder, setting, n)]
        reason = why_not_runnable(model, folder)
        if not reason and not left:
            reason = "measured before; --again repeats it"
        if reason:
            say(f"{model.model_id}: skipped. {reason}")
            continue
        costs = []
        for cost in measuring.bench(model, folder, setting, left, arguments.seconds):
            say(_cost_line(cost))
            costs.append(cost)
        if len(costs) > 2:
            exponent = time_exponent(np.array([c.n_atoms for c in costs]), np.array([c.ms_per_step for c in costs]))
            say(f"{model.model_id}: time grows as atoms^{exponent:.2f} from {costs[0].n_atoms} to {costs[-1].n_atoms}")
    return 0


def _cost_line(cost: Cost) -> str:
    """A measured cost in words."""
    quartiles = "" if cost.ms_low is None else f" (quartiles {cost.ms_low:.1f} to {cost.ms_high:.1f})"
    drift = "" if cost.drift_mev_per_atom_ps is None else f", drift {cost.drift_mev_per_atom_ps:.2f} meV/atom per ps"
    return (
        f"{cost.model_id}: {cost.ms_per_step:.1f} ms{quartiles} per step of {cost.n_atoms} atoms, "
        f"{cost.us_per_atom_step:.0f} µs per atom, {cost.batch} at once, {cost.peak_memory_mb:.0f} MB, "
        f"loaded in {cost.load_seconds or 0.0:.1f} s{drift} ({cost.hardware})"
    )


def predict(arguments: argparse.Namespace) -> int:
    """Predict one structure file with one or more models."""
    if not arguments.model:
        raise SettingsError("predict needs --model ID.")
    models, upload = select_models(arguments.model), _looked_at(Path(arguments.file))
    rows = list(predict_upload(upload, models, DataFolder.default(), arguments.device))
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            print(prediction_line(row))
    return 0 if all(row["status"] == "ok" for row in rows) else 1


def _looked_at(path: Path) -> Upload:
    """Read a structure file and print its checks."""
    upload = read_file(path)
    for check in upload.checks:
        say(f"{'' if check.is_fine else 'warning: '}{check.name}: {check.text}")
    return upload


def relax(arguments: argparse.Namespace) -> int:
    """Relax one structure file with one or more models; fails where one does not converge."""
    if not arguments.model:
        raise SettingsError("relax needs --model ID.")
    try:
        options = RelaxationOptions(arguments.fmax, arguments.steps, arguments.cell, arguments.optimizer)
    except ValueError as error:
        raise SettingsError(f"{error}.") from error
    models, configuration = select_models(arguments.model), _looked_at(Path(arguments.file)).configuration
    found = list(relax_structure(configuration, models, DataFolder.default(), arguments.device, options))
    rows = [numbers(*one) for one in found]
    if arguments.output:
        n_frames = write_structures(Path(arguments.output), configuration, found)
        say(f"{arguments.output}: {n_frames} frames" if n_frames else "nothing was relaxed, so nothing is written")
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            print(_relaxation_line(row))
    return 0 if all(relaxation.is_converged for _, relaxation in found) else 1


def embed(arguments: argparse.Namespace) -> int:
    """Put predictions, costs, vacancies, learning curves or summaries into the repository (for its maintainers)."""
    folder = DataFolder.default()
    if arguments.vacancies:
        for model in select_models(arguments.model or ["all"]):
            if path := embedding.embed_vacancies(model, folder):
                say(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")
        return 0
    if arguments.learning:
        for dataset in select_datasets(arguments.dataset):
            for path in embedding.embed_learning(dataset, folder):
                say(f"{path.parent.name}/{path.name}: {path.stat().st_size / 1e3:.0f} kB")
        return 0
    if arguments.summary:
        for dataset in select_datasets(arguments.dataset or [DEFAULT_DATASET]):
            written = embedding.embed_summary(
                dataset, folder, with_vectors=not arguments.without_vectors, is_added=arguments.add
            )
            size = sum(path.stat().st_size for path in written)
            say(f"{dataset.dataset_id}: {size / 1e3:.0f} kB")
        return 0
    for dataset in select_datasets(arguments.dataset or [DEFAULT_DATASET]):
        for model in select_models(arguments.model or ["all"]):
            if model.is_runnable and (path := embedding.embed(dataset, model, folder)):
                say(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")
    for model in select_models(arguments.model or ["all"]):
        for path in embedding.embed_costs(model, folder):
            say(path.name)
    return 0


def table(arguments: argparse.Namespace) -> int:
    """Print the errors of all models on datasets as a Markdown table, from the built store."""
    if arguments.matrix or arguments.query:
        for line in markdown_query(arguments.query) if arguments.query else markdown_matrix():
            print(line)
        return 0
    if arguments.kind:
        names = tuple(dataset.dataset_id for dataset in select_datasets(arguments.dataset or [DEFAULT_DATASET]))
        for line in markdown_kinds(names, arguments.kind, arguments.align, arguments.only):
            print(line)
        return 0
    if arguments.reactions:
        models = tuple(model.model_id for model in select_models(arguments.model))
        datasets = tuple(dataset.dataset_id for dataset in select_datasets(arguments.dataset))
        for line in reaction_tables(arguments.reactions, datasets, models, arguments.labels):
            print(line)
        return 0
    for dataset in select_datasets(arguments.dataset or [DEFAULT_DATASET]):
        for line in markdown_table(dataset.dataset_id):
            print(line)
    return 0


def sql(arguments: argparse.Namespace) -> int:
    """Print the rows of one statement on the built store as a Markdown table; nothing can be written."""
    for line in markdown_rows(arguments.statement):
        print(line)
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Show what is done, failed and missing, per dataset and model."""
    folder = DataFolder.default()
    rows = [
        _status(dataset, model, folder)
        for dataset in datasets_here(arguments.dataset or ["all"], folder)[0]
        for model in select_models(arguments.model or ["all"])
    ]
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        if row["n_done"] or row["n_stale"]:
            done = f"{row['n_done']:6}/{row['n_configs']:<6}"
            print(f"{row['dataset_id']:24} {row['model_id']:28} {done} {_troubles(row)}".rstrip())
    return 0


def _troubles(row: Mapping[str, Any]) -> str:
    """Failures with their most frequent reasons, and files that do not count, in one line."""
    reasons = Counter(row["reasons"]).most_common()
    words = [f"{n} x {_shortened(reason)}" for reason, n in reasons[:N_REASONS]]
    words += [f"{len(reasons) - N_REASONS} more reasons (--json lists them)"] * (len(reasons) > N_REASONS)
    failed = f"{row['n_failed']} failed: {'; '.join(words)}" if words else ""
    stale = f"{row['n_stale']} files of other weights, pins or code do not count" if row["n_stale"] else ""
    return "; ".join(filter(None, (failed, stale)))


def _shortened(reason: str) -> str:
    """The beginning of a reason."""
    return reason if len(reason) <= REASON_LENGTH else f"{reason[:REASON_LENGTH]}..."


def _status(dataset: Dataset, model: Model, folder: DataFolder) -> dict[str, Any]:
    """One row of `status`."""
    configurations, checkpoint = configurations_of(dataset, folder), Checkpoint(model, folder)
    known = {(c.config_id, c.geometry_hash) for c in configurations}
    rows = merged(checkpoint.predictions(dataset.dataset_id))
    found = [prediction for key, (prediction, _) in rows.items() if key in known]
    reasons = Counter(prediction.reason or "" for prediction in found if prediction.status == "failed")
    return {
        "dataset_id": dataset.dataset_id,
        "model_id": model.model_id,
        "n_configs": len(configurations),
        "n_done": len(found),
        "n_failed": sum(reasons.values()),
        "reasons": dict(reasons),
        "n_stale": len(checkpoint.stale(dataset.dataset_id)),
    }


@contextmanager
def _forgiving(is_one_of_all: bool) -> Iterator[None]:
    """Print and leave out a member of `all` that cannot be had; raise where it was named."""
    try:
        yield
    except FetchError as error:
        if not is_one_of_all:
            raise
        say(f"skipped: {error}")


def _mirror(arguments: argparse.Namespace) -> Path | None:
    given = arguments.mirror or os.environ.get("DEFECT_ATLAS_MIRROR")
    if not given:
        return None
    path = Path(given)
    if not path.is_dir():
        raise SettingsError(f"Mirror directory '{given}' does not exist.")
    return path


def _relaxation_line(row: Mapping[str, Any]) -> str:
    """One model's relaxation as a line of text."""
    if row["status"] != "ok":
        return f"{row['model_id']:28} failed: {row['reason']}"
    end = "converged" if row["is_converged"] else "not converged, give it more --steps"
    return (
        f"{row['model_id']:28} {row['energy']:.6f} eV   {row['energy_per_atom']:.6f} eV/atom   "
        f"{row['energy_gain']:.6f} eV below the start   largest force {row['max_force']:.4f} eV/Å   "
        f"largest displacement {row['largest_displacement']:.3f} Å   {row['n_steps']} steps, {end}"
    )
