"""Tables of the store as Markdown, for reports and the README."""

from collections.abc import Iterator

import pandas as pd

from engine import queries


def markdown_table(dataset_id: str) -> Iterator[str]:
    """Errors of every model on one dataset, best force RMSE first.

    Yields:
        Lines of a Markdown table; energies in meV/atom, forces in meV/Å, with 95 % bootstrap bounds.

    Raises:
        StoreError: There is no store.
    """
    raw = _of(queries.dataset_metrics("raw"), dataset_id)
    aligned = _of(queries.dataset_metrics("per_element"), dataset_id)
    yield "| model | training | n | failed | E RMSE raw | E RMSE aligned | F RMSE | slope | origin |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for model_id, row in raw.sort_values("force_rmse_mev_per_ang").iterrows():
        yield " | ".join(
            (
                f"| {row['label']}",
                " + ".join(row["training_sets"]),
                f"{row['n_configs']:d}",
                f"{row['n_failed']:d}",
                _bounded(row, "energy_rmse_mev_per_atom", 2),
                _bounded(aligned.loc[model_id], "energy_rmse_mev_per_atom", 2),
                _bounded(row, "force_rmse_mev_per_ang", 1),
                f"{row['force_slope']:.3f}",
                f"{row['origin']} |",
            )
        )


def _of(metrics: pd.DataFrame, dataset_id: str) -> pd.DataFrame:
    return metrics[metrics["dataset_id"] == dataset_id].set_index("model_id")


def _bounded(row: pd.Series, column: str, digits: int) -> str:
    """A value with its 95 % bounds."""
    value, low, high = (row[f"{column}{end}"] for end in ("", "_lo", "_hi"))
    if pd.isna(value):
        return "-"
    bounds = "" if pd.isna(low) else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{value:.{digits}f}{bounds}"
