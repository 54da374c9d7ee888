"""Defect energies of the store as Markdown: ranks of models, energies one by one, means by metal."""

from collections.abc import Iterator, Sequence

import pandas as pd

from engine.quantities import interval, significant
from engine.queries import reactions
from engine.queries.scope import EVERYTHING, Scope
from engine.queries.training import SEEN_MARK


def reaction_tables(
    kind: str, dataset_ids: Sequence[str], model_ids: tuple[str, ...], labels: str = reactions.SHOWN
) -> Iterator[str]:
    """Tables of the defect energies of one kind; numbers are those of the page Defect energies.

    Args:
        kind: Key of `engine.registry.reactions.KINDS`.
        dataset_ids: Datasets; none means all that have such energies.
        model_ids: Models whose energies to print one by one; none for ranks of all models. Without datasets, the means
            by metal of each model follow.
        labels: Which labels count in ranks, `shown` or `all`.

    Yields:
        Lines of Markdown tables.
    """
    known = reactions.reaction_kinds()
    known = known[known["kind"] == kind]
    for row in known[known["dataset_id"].isin(dataset_ids) | (len(dataset_ids) == 0)].itertuples():
        yield f"{row.dataset_id}: {row.n_reference} energies ({row.unit}), {row.n_shown} not known to be unconverged"
        yield ""
        scope = Scope.of(str(row.dataset_id))
        if model_ids:
            yield from _energies(reactions.reaction_errors(scope, model_ids, kind))
        else:
            yield from _ranks(reactions.reaction_metrics(scope, kind, labels))
        yield ""
    if not dataset_ids:
        for model_id in model_ids:
            yield f"{model_id}: means by metal"
            yield ""
            yield from _metals(reactions.metal_errors(EVERYTHING, kind, model_id))
            yield ""


def _ranks(table: pd.DataFrame) -> Iterator[str]:
    heads = [
        "model",
        "rank",
        "n",
        "failed",
        "RMSE",
        "95 % bounds",
        "MAE",
        "mean error",
        "cancellation",
        "sign right, %",
    ]
    rows = (
        [
            row["label"] + (f" {SEEN_MARK}" if row["is_seen"] else ""),
            interval(row["rank_lo"], row["rank_hi"]),
            f"{row['n_reactions']} of {row['n_expected']}",
            f"{row['n_failed']}",
            significant(row["rmse"], 4),
            f"{significant(row['rmse_lo'], 4)} to {significant(row['rmse_hi'], 4)}",
            *(significant(row[name], 4) for name in ("mae", "mean_error", "cancellation")),
            significant(100 * row["sign_agreement"], 4),
        ]
        for _, row in table.iterrows()
    )
    yield from _markdown(heads, rows)


def _energies(table: pd.DataFrame) -> Iterator[str]:
    heads = ["energy", "system", "place", "model", "reference", "predicted", "error", "of the parts, meV", "converged"]
    rows = (
        [
            row["reaction_id"],
            row["system"],
            row["place"],
            row["model_id"],
            *(f"{row[name]:.4f}" for name in ("reference", "prediction", "error")),
            " ".join(f"{error:+.2f}" for error in row["part_errors"]),
            row["convergence_note"],
        ]
        for _, row in table.iterrows()
    )
    yield from _markdown(heads, rows)


def _metals(table: pd.DataFrame) -> Iterator[str]:
    heads = ["metal", "n", "shown to be converged or not tested", "mean reference", "mean error"]
    own = table[table["n_own"] > 0]
    rows = (
        [
            row["element"],
            f"{row['n_own']} of {row['n_reactions']}",
            f"{row['n_shown']}",
            f"{row['reference']:.4f}",
            f"{row['error']:.4f}",
        ]
        for _, row in own.iterrows()
    )
    yield from _markdown(heads, rows)


def _markdown(heads: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    """Lines of a table."""
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield f"| {' | '.join(row)} |"
