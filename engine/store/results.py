"""Results of models on one dataset as rows of the store, each part made or taken over from the store before."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from engine.registry.ensembles import Ensemble
from engine.store.agreement import Samples, agreement_rows, calibration_rows, samples_of
from engine.store.parts import Parts, fingerprint
from engine.store.ranking import Comparable, Pairs, macro_rows, rank_rows
from engine.store.rows import Results, Run, prediction_table
from engine.store.scoring import Frame, Score
from engine.store.spread import correlation_rows, members_of, stored_rows, uncertainty_rows


class Writer(Protocol):
    """What writes: a store builder."""

    connection: duckdb.DuckDBPyConnection
    parts: Parts

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Append rows to a table."""

    def add_runs(self, runs: Iterable[Run]) -> None:
        """Write where predictions come from."""


class Spread:
    """Samples of an ensemble on a dataset, read from the store when they are needed.

    Args:
        frame: Of the dataset.
        ensemble_id: The ensemble.
        mark: Fingerprint of its part.
        connection: To the store that has its rows.
    """

    def __init__(self, frame: Frame, ensemble_id: str, mark: str, connection: duckdb.DuckDBPyConnection) -> None:
        self.ensemble_id, self.mark = ensemble_id, mark
        self._frame, self._connection = frame, connection

    @functools.cached_property
    def samples(self) -> list[Samples]:
        """What calibrations need."""
        found = samples_of(self._frame, stored_rows(self._connection, self.ensemble_id, self._frame.dataset_id))
        return [one.of_calibrations() for one in found if one.quantity in ("force", "energy_aligned")]


class DatasetResults:
    """Writes results on one dataset.

    Args:
        writer: Of the store.
        frame: What the models share.
        mark: Fingerprint of the dataset; empty where nobody knows, so that nothing is taken over.

    Attributes:
        scored: Errors by model, of those that have predictions.
        marks: Fingerprints of their predictions.
    """

    def __init__(self, writer: Writer, frame: Frame, mark: str) -> None:
        self._writer, self._frame, self._mark = writer, frame, mark
        self._parts, self._connection = writer.parts, writer.connection
        self.scored: dict[str, Score] = {}
        self.marks: dict[str, str] = {}

    def score(self, results: Sequence[Results]) -> None:
        """Write predictions and errors, one model at a time."""
        dataset_id = self._frame.dataset_id
        for result in sorted(results, key=lambda r: r.model_id):
            model_id = result.model_id
            if self._parts.take("predictions", dataset_id, result.fingerprint, model_id):
                score, mark = Score.stored(self._frame, model_id, self._connection), result.fingerprint
            else:
                score, mark = self._scored(result)
            if score.n_predictions:
                self.scored[model_id], self.marks[model_id] = score, mark

    def _scored(self, result: Results) -> tuple[Score, str]:
        """Write predictions and errors of one model; its score and fingerprint."""
        known, model_id = self._frame.index, result.model_id
        predictions, runs, is_sound = result.read()
        chosen = [(p, run_id) for p, run_id in predictions if (p.config_id, p.geometry_hash) in known]
        chosen.sort(key=lambda pair: known[pair[0].config_id, pair[0].geometry_hash])
        mark = result.fingerprint if is_sound else ""
        self._parts.note("predictions", self._frame.dataset_id, mark, model_id)
        score = Score(self._frame, model_id, [p for p, _ in chosen])
        if chosen:
            self._writer.add_runs(runs)
            self._writer.insert("predictions", prediction_table(self._frame.dataset_id, model_id, chosen))
            for table, rows in score.tables().items():
                self._writer.insert(table, rows)
        score.release(self._connection)
        return score, mark

    def rank(self, comparable: Comparable, seen: Pairs) -> None:
        """Write ranks of the models and their means over metals and groups."""
        dataset_id = self._frame.dataset_id
        fit = [comparable.models(sorted(self.scored), dataset_id, is_raw=is_raw) for is_raw in (True, False)]
        mark = self._together(self.marks.values(), self.marks, fit, set(seen))
        if self._parts.take("ranks", dataset_id, mark):
            return
        self._writer.insert("ranks", list(rank_rows(self._frame, self.scored, comparable, seen)))
        self._writer.insert("macro_metrics", list(macro_rows(self._frame, self.scored)))
        self._parts.note("ranks", dataset_id, mark)

    def spread(self, ensemble: Ensemble) -> Spread | None:
        """Write the spread of an ensemble beside its error; None where it has none."""
        frame, dataset_id, ensemble_id = self._frame, self._frame.dataset_id, ensemble.ensemble_id
        members = members_of(frame, ensemble, self.scored)
        if members is None:
            return None
        own = {model_id: self.marks[model_id] for model_id in ensemble.models if model_id in self.marks}
        mark = self._together(own.values(), ensemble, own)
        if self._parts.take("ensemble", dataset_id, mark, ensemble_id):
            return Spread(frame, ensemble_id, mark, self._connection)
        self._parts.note("ensemble", dataset_id, mark, ensemble_id)
        rows = uncertainty_rows(frame, ensemble, members)
        if not rows:
            return None
        insert = self._writer.insert
        insert("uncertainties", rows)
        insert("ensemble_metrics", list(correlation_rows(rows)))
        insert(
            "ensemble_members",
            [{"ensemble_id": ensemble_id, "dataset_id": dataset_id, "model_ids": members.model_ids,
              "weights": members.weights[frame.inside].mean(axis=0).tolist(), "weights_source": members.source}],
        )  # fmt: skip
        tables: dict[str, list[Mapping[str, Any]]] = {}
        for table, found in agreement_rows(frame, ensemble_id, samples_of(frame, rows)):
            tables.setdefault(table, []).append(found)
        for table, found_rows in tables.items():
            insert(table, found_rows)
        return Spread(frame, ensemble_id, mark, self._connection)

    def calibrate(self, model_id: str, spreads: Sequence[Spread], trained_on: frozenset[str]) -> None:
        """Write calibrated intervals of a model, by itself and with each ensemble.

        Args:
            model_id: The model.
            spreads: Ensembles that have some on the dataset.
            trained_on: Groups that the model was trained on.
        """
        own = self.marks[model_id]
        wanted: list[str] = []
        for ensemble_id, ensemble_mark in [("", own), *((one.ensemble_id, one.mark) for one in spreads)]:
            mark = self._together((own, ensemble_mark), own, ensemble_mark, trained_on)
            if not self._parts.take("calibrations", self._frame.dataset_id, mark, model_id, ensemble_id):
                self._parts.note("calibrations", self._frame.dataset_id, mark, model_id, ensemble_id)
                wanted.append(ensemble_id)
        if wanted:
            samples = {one.ensemble_id: one.samples for one in spreads if one.ensemble_id in wanted}
            rows = calibration_rows(self._frame, self.scored[model_id], samples, trained_on, is_own_wanted="" in wanted)
            self._writer.insert("calibrations", list(rows))

    def _together(self, marks: Iterable[str], *made_of: object) -> str:
        """Fingerprint of a part that follows from the dataset and others; empty where that of one is not known."""
        return fingerprint(self._mark, *made_of) if self._mark and all(marks) else ""
