"""`python -m precompute train`: fit a specialised potential to a dataset of one metal, or study how it learns.

`--save-as ID` fits to all of the dataset and registers the potential among the user's models, where `run`, `predict`
and the app find it; it counts as trained on the dataset, so it is never ranked there. `--study` makes learning curves
(`precompute/jobs/learning_study.py`), which the next build takes in.
"""

import argparse
import dataclasses
import os
import platform
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from engine.data_folder import DataFolder, embedded_predictions
from engine.errors import SettingsError
from engine.learning_curves import DFT_LABELS, ClusterError, Fit, write_learning
from engine.numerics.clusters import cluster_labels
from engine.records import Configuration, Prediction, RunRecord
from engine.registry.datasets import Dataset, get_dataset
from engine.registry.kinds import kind_of
from engine.registry.levels_of_theory import LevelOfTheory
from engine.registry.models import get_model
from engine.shards import merged
from precompute.acquire.datasets import configurations_of
from precompute.acquire.trained_models import register_trained
from precompute.acquire.weights import Checkpoint
from precompute.jobs.learning_study import N_SEEDS, SHARES, Data, curve, near_equilibrium, other_groups, trained_on_all
from precompute.jobs.potentials import FAMILY, Labels, Snap, design_of
from precompute.progress import say

LEAST_CONFIGURATIONS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--save-as", metavar="ID", help="fit to all of the dataset and register the potential")
    parser.add_argument("--study", action="store_true", help="make learning curves")
    parser.add_argument(
        "--labels", metavar="MODEL", default=DFT_LABELS,
        help="learn predictions of this model instead of DFT labels (distillation); tested against DFT all the same",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=int, default=N_SEEDS, metavar="N", help=f"of the study: splits and orders (default {N_SEEDS})"
    )
    parser.add_argument("--cutoff", type=float, default=Snap.cutoff, metavar="R", help="Å (default 5)")
    parser.add_argument("--two-j", type=int, default=Snap.two_j, metavar="N", help="2 to 8, even (default 6)")


def main(arguments: argparse.Namespace) -> int:
    """Fit a potential to a dataset of one metal, or study how its error falls with the number of DFT labels."""
    if len(arguments.dataset) != 1 or not (arguments.save_as or arguments.study):
        raise SettingsError("train needs one --dataset ID, and --save-as ID or --study.")
    if arguments.two_j not in range(2, 9, 2) or not 2.0 <= arguments.cutoff <= 6.0 or arguments.seeds < 1:
        raise SettingsError("--two-j is 2, 4, 6 or 8, --cutoff between 2 and 6 Å, and --seeds at least 1.")
    folder, dataset = DataFolder.default(), get_dataset(arguments.dataset[0])
    snap = Snap(arguments.cutoff, arguments.two_j)
    configurations = _trainable(dataset, folder)
    data = _data(dataset, configurations, snap, arguments.labels, folder)
    if arguments.study:
        study(data, range(arguments.seeds), folder)
    if arguments.save_as:
        _save(arguments.save_as, dataset, data, snap, arguments.labels, folder)
    return 0


def study(data: Data, seeds: Sequence[int], folder: DataFolder, shares: Sequence[float] = SHARES) -> Path:
    """Make the learning curves of a dataset and write them.

    Args:
        data: The dataset, with one kind of labels to learn.
        seeds: Of the splits.
        folder: Data folder.
        shares: Of what may be trained on, rising to 1.

    Returns:
        The folder with the files.
    """
    started, begun = datetime.now(UTC), time.process_time()
    errors: list[ClusterError] = []
    fits: list[Fit] = []
    for step, found in _steps(data, seeds, shares):
        for some_errors, some_fits in found:
            errors += some_errors
            fits += some_fits
        say(f"{data.dataset_id}: {step}")
    record = RunRecord(
        origin="computed",
        device="cpu",
        hardware=f"{platform.machine()} ({os.cpu_count()} cores)",
        packages=f"numpy {version('numpy')}, scipy {version('scipy')}",
        python=platform.python_version(),
        wall_seconds=time.process_time() - begun,
        started_at=started.isoformat(timespec="seconds"),
    )
    target = folder.learning / data.dataset_id / data.learnt[0]
    write_learning(target, errors, fits, record)
    say(f"{target}: {len(fits)} potentials, {len(errors)} errors, {record.wall_seconds:.0f} s of CPU time")
    return target


def _steps(
    data: Data, seeds: Sequence[int], shares: Sequence[float]
) -> Iterator[tuple[str, Iterator[tuple[list[ClusterError], list[Fit]]]]]:
    """Parts of a study with their names."""
    for seed in seeds:
        yield f"seed {seed}, whole clusters left out", curve(data, seed, shares=shares)
    if DFT_LABELS not in data.learnt:
        return  # what distillation loses shows on the same clusters
    yield "random configurations left out", curve(data, seeds[0], is_random=True, shares=shares)
    yield "groups left out", other_groups(data)
    yield "trained near equilibrium", near_equilibrium(data)


def _trainable(dataset: Dataset, folder: DataFolder) -> list[Configuration]:
    """Configurations that count as the dataset and have energies and forces.

    Raises:
        SettingsError: They are too few, or of several elements.
    """
    found = [
        c
        for c in configurations_of(dataset, folder)
        if c.group_name not in dataset.groups_outside and c.energy is not None and c.forces is not None
    ]
    if len({number for c in found for number in np.unique(c.numbers).tolist()}) != 1:
        raise SettingsError(f"'{dataset.dataset_id}' has several elements; a potential is trained for one.")
    if len(found) < LEAST_CONFIGURATIONS:
        raise SettingsError(
            f"'{dataset.dataset_id}' has {len(found)} configurations with energies and forces; training takes "
            f"{LEAST_CONFIGURATIONS}."
        )
    return found


def _data(
    dataset: Dataset, configurations: Sequence[Configuration], snap: Snap, labels: str, folder: DataFolder
) -> Data:
    """What a fit needs of the configurations."""
    clusters = cluster_labels(
        [c.numbers for c in configurations], [c.positions for c in configurations], [c.cell for c in configurations]
    )
    first = {label: i for i, label in reversed(list(enumerate(clusters.tolist())))}
    known = {DFT_LABELS: _labels(configurations)}
    if labels != DFT_LABELS:
        known[labels] = _labels(_relabelled(configurations, _predictions(dataset, labels, folder), labels))
    return Data(
        dataset_id=dataset.dataset_id,
        config_ids=[c.config_id for c in configurations],
        groups=np.array([configurations[first[label]].group_name for label in clusters.tolist()]),
        kinds=np.array([kind_of(dataset.kinds, c.group_name, c.config_id) for c in configurations]),
        clusters=clusters,
        design=design_of(snap, dataset.elements[0], configurations, folder),
        labels=known,
        learnt=(labels,),
        potential=snap.name,
    )


def _labels(configurations: Sequence[Configuration]) -> Labels:
    energies = [c.energy / c.n_atoms for c in configurations if c.energy is not None]
    return Labels(
        np.array(energies), np.concatenate([c.forces.ravel() for c in configurations if c.forces is not None])
    )


def _predictions(dataset: Dataset, model_id: str, folder: DataFolder) -> dict[tuple[str, str], Prediction]:
    """Predictions of a model on a dataset: those computed here, else imported ones, else those of the repository."""
    model = get_model(model_id)
    paths = [
        *Checkpoint(model, folder).predictions(dataset.dataset_id),
        folder.imported(dataset.dataset_id, model_id),
        embedded_predictions(dataset.dataset_id, model_id),
    ]
    rows = merged([path for path in reversed(paths) if path.is_file()])
    return {key: prediction for key, (prediction, _) in rows.items()}


def _relabelled(
    configurations: Sequence[Configuration], predictions: dict[tuple[str, str], Prediction], model_id: str
) -> list[Configuration]:
    """Configurations with the predictions of a model in the place of their labels.

    Raises:
        SettingsError: A configuration has no prediction.
    """
    relabelled = []
    for c in configurations:
        found = predictions.get((c.config_id, c.geometry_hash))
        if found is None or found.energy is None or found.forces is None:
            raise SettingsError(f"{model_id} has no prediction for '{c.config_id}'; run it on the dataset first.")
        relabelled.append(dataclasses.replace(c, energy=found.energy, forces=found.forces))
    return relabelled


def _save(model_id: str, dataset: Dataset, data: Data, snap: Snap, labels: str, folder: DataFolder) -> None:
    """Fit to everything, write the potential, and register it."""
    coefficients, (weight, ridge) = trained_on_all(data, labels)
    level: LevelOfTheory = dataset.level if labels == DFT_LABELS else get_model(labels).level
    taught = "DFT labels" if labels == DFT_LABELS else f"labels of {labels}"
    note = (
        f"{snap.name}, trained here on {taught} of {len(data.config_ids)} configurations of {dataset.dataset_id}; "
        f"cross-validation chose weight {weight:g} Å and ridge {ridge:g}."
    )
    place = folder.weights(model_id)
    made = register_trained(
        model_id,
        folder,
        label=f"{snap.name.partition(',')[0]} ({dataset.label}{'' if labels == DFT_LABELS else f', {labels}'})",
        family=FAMILY,
        write=lambda: snap.write(place, dataset.elements[0], coefficients, note),
        elements=list(dataset.elements),
        level=level,
        fitted_to=[dataset.dataset_id],
        n_training_structures=len(data.config_ids),
        n_parameters=snap.n_coefficients + 1,
        note=note,
    )
    say(f"{made.model_id}: {note} Run: python -m precompute run --dataset ID --model {made.model_id}")
