"""Errors of every model on one configuration."""

import pandas as pd
import streamlit as st

from app import furniture, selection, tables, wording
from engine.queries import configurations, error_metrics

_WITHOUT_BAR = 9  # rows of the table that are shown without a scroll bar


def every_model(chosen: selection.Selection, config_id: str) -> None:
    """Errors of all models, best forces first; behind them those that are not ranked on the dataset.

    Args:
        chosen: Choices of the sidebar.
        config_id: The configuration.
    """
    dataset_id = chosen.dataset_id
    table = tables.shown(configurations.models_on_configuration(dataset_id, config_id))
    if table.empty:
        return
    table = table.assign(cause=_causes(table, chosen), dataset_id=dataset_id)
    table = table.assign(dataset_label=wording.dataset_label(dataset_id), comparable=True)
    table = table.sort_values("cause", key=lambda causes: causes.ne(""), kind="stable")
    st.subheader("Every model on this configuration", anchor=False)
    columns = ["label", "energy_error_per_atom", "energy_error_per_atom_aligned"]
    columns += ["energy_error_per_atom_crystal"] if wording.has_crystal(dataset_id) else []
    columns += ["force_rmse", "force_max_error"]
    columns += ["reason"] if table["reason"].notna().any() else []
    labels = [wording.marked(row.label, "", row.is_seen, row.cause) for row in table.itertuples()]
    tables.table_view(
        table.assign(label=labels)[columns],
        "configuration-models",
        {"label": st.column_config.TextColumn("Model", width="medium")},
        height=353 if len(table) > _WITHOUT_BAR else "content",
    )
    st.caption("n = 1 configuration: the order of models here is no ranking of them.")
    furniture.captions(
        wording.seen_note(table, with_seen=chosen.with_seen), wording.level_note(table), _other_zeros(table)
    )


def _causes(table: pd.DataFrame, chosen: selection.Selection) -> list[str]:
    """Why each model is not ranked, by its labels or its training."""
    metrics = error_metrics.dataset_metrics("raw", chosen.scope.on(chosen.dataset_id), quantity="force")
    level = set(metrics.loc[metrics["cause"] == "level", "model_id"])
    return [
        "level" if row.model_id in level else "seen" if row.is_seen and not chosen.with_seen else ""
        for row in table.itertuples()
    ]


def _other_zeros(table: pd.DataFrame) -> str:
    """Which models count raw energies from another zero."""
    others = wording.judged(table.drop(columns="comparable"), is_raw=True).query("not comparable")
    if others.empty:
        return ""
    names = "any model here" if len(others) == len(table) else ", ".join(others["label"])
    return (
        f":material/warning: Raw energies of {names} cannot be compared with the reference; use Aligned. "
        f"{wording.WHERE_WHY}"
    )
