"""The only writer of the results store: records in, one complete DuckDB file out.

A build goes into a file of its own; `publish` then moves the link `results.duckdb` to it in one step, so a reader
sees the old build or the new one, never half of one.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.cells.drawings import Drawing
from engine.errors import StoreError
from engine.learning_curves import ClusterError, Fit
from engine.records import Configuration, RunRecord, flat
from engine.registry.datasets import Dataset
from engine.registry.ensembles import Ensemble
from engine.registry.leakage import counted_pairs, leakages
from engine.registry.levels_of_theory import LevelOfTheory, load_levels
from engine.registry.models import Model
from engine.registry.published_vacancies import counted_vacancies
from engine.registry.reactions import Reaction
from engine.registry.training_sets import all_inside, load_training_sets
from engine.relaxed_vacancies import RelaxedVacancy
from engine.store.connection import SCHEMA_VERSION
from engine.store.environments import (
    Environments,
    add_novelty,
    class_table,
    insert_class_metrics,
    sample_table,
)
from engine.store.parts import Parts, fingerprint
from engine.store.ranking import Comparable
from engine.store.reactions import dataset_reactions, listed_reactions, reaction_tables
from engine.store.results import DatasetResults
from engine.store.rows import (
    Cost,
    Results,
    Run,
    columns,
    configuration_row,
    leakage_row,
    summarised_configurations,
)
from engine.store.scoring import Frame

SCHEMA = Path(__file__).with_name("schema.sql")

SETTINGS_OF_BUILD: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "1GB",
    "checkpoint_threshold": "1TB",  # each checkpoint writes row groups anew that are not full, and leaves holes
}

MAX_LOG = 1 << 29
"""Bytes of the log of a build from which on what is there is brought into the file."""

MOST_HOLES = 0.1
"""Share of a finished file that may be free: tables that grow in turns leave holes at each checkpoint."""

ROW_GROUP = 16384
"""Rows of a row group; lists of forces of so many configurations are 30 MB."""


class StoreBuilder:
    """Fills one new DuckDB file.

    Args:
        path: File to create.
        git_commit: Of the code that builds, for display.
        version: Name of the build that the app shows.
        before: A finished store, of which parts are taken over that would come out the same; None for none.

    Raises:
        StoreError: The file exists.
    """

    def __init__(self, path: Path, git_commit: str = "", *, version: str = "", before: Path | None = None) -> None:
        if path.exists():
            raise StoreError(f"{path} exists; a build never changes a finished store.")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._ensembles: set[str] = set()
        self._frame: Frame | None = None
        self._levels: set[str] = set()
        self._models: list[Model] = []
        self._reactions: list[Reaction] = []
        self.connection = _opened(path)
        self.parts = Parts(self.connection, before)
        self._marks: dict[str, dict[str, str]] = {}
        self.connection.execute(SCHEMA.read_text(encoding="utf-8"))
        now = datetime.now(UTC).replace(tzinfo=None)
        self.insert(
            "store_info",
            [{"schema_version": SCHEMA_VERSION, "data_version": version or path.stem.removeprefix("results-"),
              "built_at": now, "git_commit": git_commit}],
        )  # fmt: skip

    def add_models(self, models: Iterable[Model]) -> None:
        """Write the model registry, and the training sets and levels of theory that it refers to."""
        self._models = list(models)
        self.insert(
            "models",
            [
                columns(model, "model_id", "family", "label", "n_training_structures", "n_parameters", "license",
                        "paper_row", "source", "conservative", "gate", "note")
                | columns(model.level, "functional", "energy_reference", "d3")
                | {"training_sets": list(model.training_labels), "trained_on": sorted(all_inside(model.training_sets)),
                   "elements": list(model.elements), "level_of_theory": model.level.level_id,
                   "runnable": model.is_runnable, "reason": model.not_runnable,
                   "checkpoint": ", ".join(file.name for file in model.files)}
                for model in self._models
            ],
        )  # fmt: skip
        self.insert(
            "training_sets",
            [
                columns(one, "training_set_id", "label", "n_structures", "source", "note")
                | {"elements": list(one.elements), "contains": list(one.contains),
                   "level_of_theory": one.level.level_id if one.level else None}
                for one in load_training_sets().values()
            ],
        )  # fmt: skip
        self._add_levels([*load_levels().values(), *(model.level for model in self._models)])

    def add_dataset(
        self, dataset: Dataset, configurations: Sequence[Configuration], reason: str = "", mark: str = ""
    ) -> None:
        """Write a dataset and its configurations; none where it is not here, with the reason.

        The models must be there already, since what they saw of the dataset is written with it. `mark` is the
        fingerprint of its files and registry entry.
        """
        inside = [c for c in configurations if c.group_name not in dataset.groups_outside]
        self._reactions += dataset_reactions(dataset, configurations)
        frame = self._frame_of(dataset, configurations) if configurations else None
        size = {
            "n_configs": len(inside),
            "n_atoms": sum(c.n_atoms for c in inside),
            "n_clusters": frame and len(set(frame.clusters[frame.inside].tolist())),
            "has_crystal": frame and frame.has_crystal,
            "is_one_composition": frame and frame.is_one_composition,
        }
        self._add_dataset_row(dataset, size, reason, is_summary=False)
        self._add_leakage(dataset, {c.group_name for c in configurations})
        if self.parts.take("dataset", dataset.dataset_id, mark):
            return
        clusters = [f"{dataset.dataset_id} {k}" for k in frame.clusters] if frame else []
        lowest = min((c.energy / c.n_atoms for c in inside if c.energy is not None), default=None)
        rows = [configuration_row(dataset, c, name, lowest) for c, name in zip(configurations, clusters, strict=True)]
        self.insert("configurations", rows)
        self.parts.note("dataset", dataset.dataset_id, mark)

    def take_whole(
        self, dataset: Dataset, configurations: Sequence[Configuration], ensembles: Iterable[Ensemble], mark: str
    ) -> bool:
        """Take over a dataset with all of its results and environments, if all that it is made of is as before."""
        dataset_id = dataset.dataset_id
        if not self.parts.take("whole", dataset_id, mark):
            return False
        self._reactions += dataset_reactions(dataset, configurations)
        size = self.parts.row("datasets", dataset_id)
        names = ("n_configs", "n_atoms", "n_clusters", "has_crystal", "is_one_composition")
        self._add_dataset_row(dataset, {name: size[name] for name in names}, "", is_summary=False)
        self._add_leakage(dataset, {c.group_name for c in configurations})
        self._add_ensembles_of(dataset_id, ensembles)
        return True

    def n_models(self, dataset_id: str) -> int:
        """How many models have predictions on a dataset."""
        sql = "select count(distinct model_id) from predictions where dataset_id = $dataset"
        return int(self.connection.execute(sql, {"dataset": dataset_id}).fetchall()[0][0])

    def add_summary(self, dataset: Dataset, summary: Mapping[str, pa.Table], reason: str) -> None:
        """Write a dataset that is here as a summary alone (`engine.store.summary`), with what the page says of that.

        What models saw of it follows from the registry as it is now.
        """
        (size,) = summary["datasets"].drop_columns(["dataset_id"]).to_pylist()
        self._add_dataset_row(dataset, size, reason, is_summary=True)
        self._add_leakage(dataset, set(summary["configurations"]["group_name"].to_pylist()))
        for table, rows in summary.items():
            if table == "ensembles":
                self._add_ensemble_rows(rows.to_pylist())
            elif table == "configurations":
                self.insert(table, summarised_configurations(dataset, summary))
            elif table != "datasets":
                self.insert(table, rows)

    def add_runs(self, runs: Iterable[Run]) -> None:
        """Write where predictions come from."""
        self.insert("runs", [asdict(run) for run in runs])

    def add_costs(self, costs: Iterable[Cost]) -> None:
        """Write measured costs."""
        self.insert("costs", [asdict(cost) | {"measured_at": cost.measured_at or None} for cost in costs])

    def add_vacancies(self, rows: Iterable[tuple[RelaxedVacancy, RunRecord]]) -> None:
        """Write vacancies that models relaxed, each beside the published value of its metal and structure."""
        published = {(one.element, one.structure): one for one in counted_vacancies()}
        self.insert(
            "relaxed_vacancies",
            [
                asdict(row)
                | columns(record, "hardware", "packages")
                | {"started_at": record.started_at or None, "published": one.value(row.quantity),
                   "published_volume": one.volume}
                for row, record in rows
                if (one := published.get((row.element, row.structure))) is not None
            ],
        )  # fmt: skip

    def add_learning(self, errors: Iterable[ClusterError], fits: Iterable[Fit]) -> None:
        """Write learning curves of potentials that were trained here."""
        self.insert("learning_errors", [asdict(row) for row in errors])
        self.insert("learning_fits", [asdict(row) for row in fits])

    def add_drawings(self, drawn: Iterable[tuple[Drawing, NDArray[np.uint8]]]) -> None:
        """Write structures to look at, each with the class of every atom as a place in `CLASSES`."""
        self.insert(
            "drawn_defects",
            [
                {"position": place, "numbers": one.atoms.numbers.tolist(), "positions": flat(one.atoms.positions),
                 "cell": flat(one.atoms.cell.array), "classes": classes.tolist()}
                | columns(one, "name", "label", "rule")
                for place, (one, classes) in enumerate(drawn)
            ],
        )  # fmt: skip

    def add_claims(self, claims: Iterable[Mapping[str, Any]]) -> None:
        """Write statements of the paper beside what is measured here."""
        self.insert("claims", list(claims))

    def add_results(
        self, dataset: Dataset, configurations: Sequence[Configuration], results: Sequence[Results],
        ensembles: Iterable[Ensemble] = (), comparable: Comparable | None = None, mark: str = "",
    ) -> int:  # fmt: skip
        """Write predictions of some models on one dataset, with errors, metrics, ranks and ensemble spread.

        A prediction counts for a configuration of its id and its geometry alone: labels may be replaced together with
        the atoms that they belong to, and the old predictions then say nothing of the new atoms.

        Args:
            dataset: The dataset.
            configurations: All of its configurations.
            results: Predictions by model.
            ensembles: Whose spread is wanted.
            comparable: Pairs of model and dataset that may be ranked; without it all may.
            mark: Fingerprint of the dataset; empty where nobody knows, so that nothing is taken over.

        Returns:
            How many models have results.
        """
        work = DatasetResults(self, self._frame_of(dataset, configurations), mark)
        work.score(results)
        self._marks[dataset.dataset_id] = work.marks
        seen = counted_pairs(self._models, dataset, {c.group_name for c in configurations})
        work.rank(comparable or Comparable(), seen)
        ensembles = list(ensembles)
        spreads = [one for one in map(work.spread, ensembles) if one is not None]
        self._add_ensembles_of(dataset.dataset_id, ensembles)
        for model_id in work.scored:
            work.calibrate(model_id, spreads, frozenset(group for model, group in seen if model == model_id))
        return len(work.scored)

    def add_environments(
        self, dataset: Dataset, configurations: Sequence[Configuration], found: Mapping[str, Environments],
        setting: str, atoms_per_group: int, mark: str = "",
    ) -> None:  # fmt: skip
        """Write local environments of a dataset whose results are there, and force errors by their class.

        Args:
            dataset: The dataset.
            configurations: All of its configurations.
            found: Environments by config_id.
            setting: Of the SOAP vectors, in words.
            atoms_per_group: Most atoms of a group that have one.
            mark: Fingerprint of the dataset.
        """
        dataset_id = dataset.dataset_id
        if not self.parts.take("environments", dataset_id, mark):
            self.insert("environment_classes", class_table(dataset_id, found))
            self.insert("environments", sample_table(dataset_id, configurations, found, dataset.groups_outside))
            row = {"dataset_id": dataset_id, "setting": setting, "atoms_per_group": atoms_per_group}
            self.insert("environment_settings", [row])
            self.parts.note("environments", dataset_id, mark)
        new = []
        for model_id, model_mark in self._marks.get(dataset_id, {}).items():
            together = fingerprint(mark, model_mark) if mark and model_mark else ""
            if not self.parts.take("classes", dataset_id, together, model_id):
                new.append(model_id)
                self.parts.note("classes", dataset_id, together, model_id)
        insert_class_metrics(self.connection, dataset_id, new)
        log = Path(f"{self.path}.wal")
        if log.is_file() and log.stat().st_size > MAX_LOG:
            self.connection.execute("checkpoint")

    def add_novelty(self) -> None:
        """Write how far each sampled atom is from those of other clusters; all datasets must be there."""
        add_novelty(self.connection)

    def add_reactions(self, comparable: Comparable | None = None) -> None:
        """Write defect energies and their errors; all datasets and results must be there.

        Args:
            comparable: Pairs of model and dataset that may be ranked; without it all may.
        """
        reactions = [*self._reactions, *listed_reactions()]
        for table, rows in reaction_tables(self.connection, reactions, comparable or Comparable()).items():
            self.insert(table, rows)

    def finish(self) -> None:
        """Close the file, written anew where much of it is free; nothing can be added after."""
        self.connection.execute("checkpoint")
        anew = self._written_anew()
        self.connection.execute("use memory")
        self.connection.close()
        if anew is not None:
            anew.replace(self.path)

    def _written_anew(self) -> Path | None:
        """The file without holes, beside it; None where it has few, or the disk has no room for two."""
        sizes = "select free_blocks, total_blocks from pragma_database_size() where database_name = 'store'"
        ((free, total),) = self.connection.execute(sizes).fetchall()
        if free <= MOST_HOLES * total:
            return None
        anew = Path(f"{self.path}.anew")
        anew.unlink(missing_ok=True)
        try:
            _attach(self.connection, anew, "anew")
            self.connection.execute("copy from database store to anew")
            self.connection.execute("checkpoint anew")
        except duckdb.Error:
            return None
        return anew

    def _add_levels(self, levels: Iterable[LevelOfTheory]) -> None:
        """Write levels of theory that are not there yet."""
        new = {level.level_id: level for level in levels if level.level_id not in self._levels}
        self._levels |= new.keys()
        self.insert("levels_of_theory", [asdict(level) for level in new.values()])

    def _add_ensembles_of(self, dataset_id: str, ensembles: Iterable[Ensemble]) -> None:
        """Write the ensembles that have members on a dataset and are not there yet."""
        here = self.connection.execute(
            "select ensemble_id from ensemble_members where dataset_id = $dataset", {"dataset": dataset_id}
        ).fetchall()
        names = {name for (name,) in here}
        self._add_ensemble_rows(
            columns(one, "ensemble_id", "label", "source", "relation") | {"model_ids": list(one.models)}
            for one in ensembles
            if one.ensemble_id in names
        )

    def _add_ensemble_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write ensembles that are not there yet."""
        new = {row["ensemble_id"]: row for row in rows if row["ensemble_id"] not in self._ensembles}
        self._ensembles |= new.keys()
        self.insert("ensembles", list(new.values()))

    def _add_dataset_row(self, dataset: Dataset, size: Mapping[str, Any], reason: str, *, is_summary: bool) -> None:
        """Write what the registry says of a dataset, and its size."""
        self._add_levels([dataset.level])
        self.insert(
            "datasets",
            [
                columns(dataset, "dataset_id", "label", "license", "paper_row", "source", "citation", "description",
                        "n_configs_paper", "comparable", "comparable_note", "reference_checked", "force_noise",
                        "noise_note")
                | columns(dataset.level, "functional", "code", "energy_reference", "potentials", "spin", "hubbard_u")
                | {"elements": list(dataset.elements), "level_of_theory": dataset.level.level_id,
                   "leakage": dataset.leakage_note or "None known.", "energy_noise_per_atom": dataset.energy_noise,
                   "available": bool(size["n_configs"]), "reason": reason, "is_summary": is_summary,
                   "stands_in_for": ", ".join(map(str, dataset.stands_in_for))}
                | dict(size)
            ],
        )  # fmt: skip

    def _add_leakage(self, dataset: Dataset, groups: set[str]) -> None:
        """Write what the models saw of a dataset and its groups."""
        self.insert("leakage", [leakage_row(dataset, *found) for found in leakages(self._models, dataset, groups)])

    def _frame_of(self, dataset: Dataset, configurations: Sequence[Configuration]) -> Frame:
        """Frame of a dataset; the last one is kept, since configurations and results come one after the other."""
        if self._frame is None or self._frame.dataset != dataset or self._frame.configurations is not configurations:
            self._frame = Frame(dataset, configurations)
        return self._frame

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Append rows; columns go by name, so their order does not matter, and one that a row lacks is null."""
        if not isinstance(rows, pa.Table):
            names = dict.fromkeys(name for row in rows for name in row)
            rows = pa.table({name: [row.get(name) for row in rows] for name in names})
        incoming = rows
        if incoming.num_rows == 0:
            return
        self.connection.register("incoming", incoming)
        self.connection.execute(f"insert into {table} by name select * from incoming")
        self.connection.unregister("incoming")


def _opened(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection of bounded memory to a new file, whose tables need no other name than their own.

    Row groups are small, so that lists of one of them fit into memory and readers skip what they do not need.
    """
    connection = duckdb.connect(config=SETTINGS_OF_BUILD | {"temp_directory": f"{path}.tmp"})
    _attach(connection, path, "store")
    connection.execute("use store")
    return connection


def _attach(connection: duckdb.DuckDBPyConnection, path: Path, name: str) -> None:
    quoted = str(path).replace("'", "''")
    connection.execute(f"attach '{quoted}' as {name} (row_group_size {ROW_GROUP})")


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn errors of the database inside a block into one of ours.

    Raises:
        StoreError: In place of any `duckdb.Error`.
    """
    try:
        yield
    except duckdb.Error as error:
        raise StoreError(f"{path} cannot be written ({error}); check the disk and build again.") from error


def verify(path: Path) -> None:
    """Make sure that a finished file opens, is of this schema and holds a dataset.

    Raises:
        StoreError: It does not open, has another schema, or holds no dataset.
    """
    with database_errors(path), duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("select schema_version, (select count(*) from datasets) from store_info").fetchall()
    if len(found) != 1 or found[0][0] != SCHEMA_VERSION or not found[0][1]:
        raise StoreError(f"{path} is no complete store (found {found}); nothing was published, build again.")


def publish(path: Path, link: Path, keep: int = 2) -> None:
    """Move the link to a finished build, and delete all but the newest builds.

    Args:
        path: The finished file, in the folder of the link.
        link: `results.duckdb`.
        keep: How many builds stay, since a reader may still hold the one before.
    """
    temporary = link.with_name(f"{link.name}.{os.getpid()}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(path.name)
    os.replace(temporary, link)
    for old in sorted(link.parent.glob("results-*.duckdb"))[:-keep]:
        if old != path:
            old.unlink()
