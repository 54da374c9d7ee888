"""Tables of the store as Markdown, for reports and the README."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from engine.errors import StoreError
from engine.quantities import interval
from engine.queries import error_metrics, expressions
from engine.queries.ranks import ranks
from engine.queries.scope import Scope
from engine.queries.training import SEEN_MARK
from engine.store import connection


def markdown_table(dataset_id: str) -> Iterator[str]:
    """Errors of every model on one dataset, best force RMSE first; last those that were trained on it, with a mark.

    Yields:
        Lines of a Markdown table; energies in meV/atom, forces in meV/Å, with 95 % bounds; ranks by force RMSE as
        intervals; energies against the perfect crystal where the dataset has crystals.

    Raises:
        StoreError: There is no store.
    """
    raw = _of(error_metrics.dataset_metrics("raw"), dataset_id)
    aligned = _of(error_metrics.dataset_metrics("per_element"), dataset_id)
    crystal = _of(error_metrics.dataset_metrics("crystal"), dataset_id)
    heads = ["model", "training", "n", "failed", "E RMSE raw", "E RMSE aligned"]
    heads += [] if crystal.empty else ["E RMSE crystal"]
    heads += ["F RMSE", "F rank", "slope", "origin"]
    places = ranks("raw", Scope.of(dataset_id), "force").set_index("model_id")
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for model_id, row in raw.sort_values(["is_seen", "force_rmse_mev_per_ang"]).iterrows():
        yield " | ".join(
            (
                f"| {row['label']}" + (f" {SEEN_MARK}" if row["is_seen"] else ""),
                " + ".join(row["training_sets"]),
                f"{row['n_configs']:d}"
                + (f" of {row['n_expected']:d}" if row["n_configs"] < row["n_expected"] else ""),
                f"{row['n_failed']:d}",
                _bounded(row, "energy_rmse_mev_per_atom", 2),
                _bounded(aligned.loc[model_id], "energy_rmse_mev_per_atom", 2),
                *([] if crystal.empty else [_of_crystal(crystal, model_id)]),
                _bounded(row, "force_rmse_mev_per_ang", 1),
                _place(places, model_id),
                f"{row['force_slope']:.3f}",
                f"{row['origin']} |",
            )
        )
    yield from _legend(raw)
    yield ""
    yield "F rank: 95 % interval by a paired bootstrap over independent clusters of the shared configurations."
    for reason, part in places[places["reason"] != ""].groupby("reason", sort=False):
        yield f"No rank: {', '.join(raw.loc[part.index.intersection(raw.index), 'label'])}. {reason}"


def _of_crystal(crystal: pd.DataFrame, model_id: str) -> str:
    """Error against the perfect crystal; a dash where the model has none."""
    return _bounded(crystal.loc[model_id], "energy_rmse_mev_per_atom", 2) if model_id in crystal.index else "-"


def _place(places: pd.DataFrame, model_id: str) -> str:
    """Interval of a rank; a dash where there is none."""
    if model_id not in places.index or pd.isna(places.loc[model_id, "rank"]):
        return "-"
    return interval(float(places.loc[model_id, "rank"]), float(places.loc[model_id, "rank_hi"]))


def _legend(metrics: pd.DataFrame) -> Iterator[str]:
    """A line below the table that says what the mark means, where there is one."""
    if metrics["is_seen"].any():
        yield ""
        yield f"{SEEN_MARK} trained on this dataset, so no test of the model."


def _of(metrics: pd.DataFrame, dataset_id: str) -> pd.DataFrame:
    return metrics[metrics["dataset_id"] == dataset_id].set_index("model_id")


def _bounded(row: pd.Series, column: str, digits: int) -> str:
    """A value with its 95 % bounds."""
    value, low, high = (row[f"{column}{end}"] for end in ("", "_lo", "_hi"))
    if pd.isna(value):
        return "-"
    bounds = "" if pd.isna(low) else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{value:.{digits}f}{bounds}"


def markdown_matrix() -> Iterator[str]:
    """Force RMSE of every model on every dataset that any model was run on, in meV/Å, with coverage.

    A cell reads `156 (1026)`: the error over that many configurations; `156 (200 of 4513)` where the model was run on
    a sample, `, 3 failed` where some have no result, and `§` where the model was trained on the dataset. Cells of one
    column are comparable where they cover the same configurations; samples are nested, so the smaller is part of the
    larger.

    Yields:
        Lines of a Markdown table.

    Raises:
        StoreError: There is no store.
    """
    metrics = error_metrics.dataset_metrics("raw")
    datasets = metrics.groupby("dataset_id")["model_id"].nunique().sort_values(ascending=False).index
    yield "| model | " + " | ".join(datasets) + " |"
    yield "|" + "---|" * (len(datasets) + 1)
    by_pair = metrics.set_index(["model_id", "dataset_id"])
    for model_id in metrics.drop_duplicates("model_id").sort_values(["family", "model_id"])["model_id"]:
        cells = [_cell(by_pair.loc[(model_id, d)]) if (model_id, d) in by_pair.index else "" for d in datasets]
        yield f"| {model_id} | " + " | ".join(cells) + " |"
    yield from _legend(metrics)


def _cell(row: pd.Series) -> str:
    """Force RMSE and coverage of one model on one dataset."""
    tried = row["n_configs"] + row["n_failed"]
    share = f"{tried:d}" + (f" of {row['n_expected']:d}" if tried < row["n_expected"] else "")
    failed = f", {row['n_failed']:d} failed" if row["n_failed"] else ""
    value = "-" if pd.isna(row["force_rmse_mev_per_ang"]) else f"{row['force_rmse_mev_per_ang']:.0f}"
    mark = ("*" if row["origin"] != "computed" else "") + (SEEN_MARK if row["is_seen"] else "")
    return f"{value}{mark} ({share}{failed})"


def markdown_rows(statement: str) -> Iterator[str]:
    """Rows of one statement on the store, as numbers of a page are read; the store is open for reading only.

    Args:
        statement: SQL.

    Yields:
        Lines of a Markdown table.

    Raises:
        StoreError: There is no store, or no statement.
    """
    if not statement.strip(" ;\n"):
        raise StoreError('Expected one statement, such as "select * from datasets", got none.')
    yield from _lines(connection.frame(statement))


def _lines(rows: pd.DataFrame) -> Iterator[str]:
    """A table as Markdown, all digits of its numbers."""
    yield f"| {' | '.join(map(str, rows.columns))} |"
    yield "|" + "---|" * len(rows.columns)
    for row in rows.itertuples(index=False):
        yield f"| {' | '.join(map(_cell_text, row))} |"


def _cell_text(value: object) -> str:
    """A value in full; numpy would leave out the middle of a long array."""
    return str(value.tolist() if isinstance(value, np.ndarray) else value)


def markdown_query(text: str) -> Iterator[str]:
    """What a query of the app finds, as Markdown tables, each after its name where there are several.

    Args:
        text: As the pages print it, such as `catalog.costs()`.

    Raises:
        StoreError: There is no store, or no such query.
    """
    for name, found in expressions.as_tables(expressions.answer(text)):
        yield from (["", f"{name}:", ""] if name else [])
        yield from _lines(found)
