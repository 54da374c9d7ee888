"""What error to expect of each model on a visitor's structure: intervals with the coverage that they had elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app import wording
from app.structures.live_results import LiveResults
from engine.numerics.uncertainty import standard_deviations
from engine.quantities import significant
from engine.queries import intervals, spread_intervals
from engine.queries.intervals import ELSEWHERE, NOMINAL, SAME_KIND, Expected
from engine.queries.spread_intervals import SpreadInterval
from engine.registry import kinds

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class AtomErrors:
    """Expected size of one model's force error, atom by atom.

    Attributes:
        low: Lower ends, shape (n_atoms,), eV/Å.
        high: Upper ends, shape (n_atoms,), eV/Å.
        interval: What they are made of.
    """

    low: FloatArray
    high: FloatArray
    interval: SpreadInterval


def by_atom(results: LiveResults, model_id: str, elements: tuple[str, ...], kind: str) -> AtomErrors | None:
    """Intervals by the spread of the models that are done; None for one model, or without evidence.

    Args:
        results: Of the structure.
        model_id: Whose error it is.
        elements: Of the structure.
        kind: Id of a kind, or `all`.
    """
    members = tuple(sorted(results.forces))
    if len(members) < 2:
        return None
    interval = spread_intervals.spread_interval(model_id, members, elements, kind)
    if interval is None:
        return None
    forces = np.stack([results.forces[name] for name in members])
    low, high = interval.of(standard_deviations(np.zeros(len(members)), forces)[1])
    return AtomErrors(low, high, interval)


def show(model_ids: Sequence[str], labels: Mapping[str, str], elements: tuple[str, ...], kind: str) -> list[str]:
    """Interval of each model for any atom of such a structure, with nominal and measured coverage beside it.

    Args:
        model_ids: Models that are done.
        labels: Of models by id.
        elements: Of the structure.
        kind: Id of a kind, or `all`.

    Returns:
        A sentence or more for each model.
    """
    st.subheader("Error to expect", anchor=False)
    asked = None if kind == intervals.ALL else kind
    found = {name: intervals.expected_error(name, elements, asked, None) for name in model_ids}
    away = elsewhere()
    lines = [sentence(labels[name], one, kind, away.get(name)) for name, one in found.items()]
    st.markdown("\n".join(f"- {line}" for line in lines))
    if asked is None:
        st.caption("All kinds of structures count. Choose the “Kind of structure” of yours for intervals of that kind.")
    return lines


def sentence(label: str, expected: Expected, kind: str, away: tuple[float, float, int] | None) -> str:
    """The interval of one model in words.

    Args:
        label: Of the model.
        expected: Its interval, eV/Å.
        kind: Id of the structure's kind, or `all`.
        away: Mean and lowest coverage of its intervals on datasets that they were not made from, and the number of
            pairs; None where it was not measured.
    """
    if not expected.is_known:
        return f"**{label}**: no interval; no dataset here tells its error on these elements."
    where = {
        SAME_KIND: f"{kinds.label(kind).lower()} in datasets with these elements",
        ELSEWHERE: "**other elements only**",
    }.get(expected.evidence, "all kinds in datasets with these elements")
    of = wording.listed([wording.dataset_label(name) for name in expected.dataset_ids])
    held = "" if np.isnan(expected.coverage) else f", measured {100 * expected.coverage:.0f} % on what was left out"
    words = (
        f"**{label}**: expect {span(expected.low, expected.high)} here, {100 * expected.nominal:.0f} % of atoms{held} "
        f"({where}: n = {expected.n_configs:,} configurations of {of})."
    )
    if away is not None:
        mean, lowest, n_pairs = away
        words += (
            f" On a dataset that it was not made from, such an interval held {100 * mean:.0f} % on average and "
            f"{100 * lowest:.0f} % at worst ({n_pairs} pairs)."
        )
    else:
        words += " What it holds on other datasets was not measured."
    return words


def span(low: float, high: float) -> str:
    """An interval of force errors (eV/Å) in words.

    Example:
        >>> span(0.06, 0.11), span(0.06, float("inf"))
        ('60.0 to 110 meV/Å', 'more than 60.0 meV/Å')
    """
    if not np.isfinite(high):
        return f"more than {significant(1000 * low)} meV/Å"
    return f"{significant(1000 * low)} to {significant(1000 * high)} meV/Å"


def elsewhere() -> dict[str, tuple[float, float, int]]:
    """By model: mean and lowest coverage of intervals on datasets that they were not made from, number of pairs."""
    found = intervals.transfer("force", "")
    found = found[found["from_dataset"] != found["to_dataset"]]
    return {
        str(name): (float(part["coverage"].mean()), float(part["coverage"].min()), len(part))
        for name, part in found.groupby("model_id")
    }


def atom_note(errors: AtomErrors, label: str, n_models: int) -> str:
    """What the colour of an atom promises."""
    interval = errors.interval
    what = "this kind" if interval.evidence == SAME_KIND else "all kinds"
    of = wording.listed([wording.dataset_label(name) for name in interval.dataset_ids])
    return (
        f"Colour: upper end of the interval that is to hold {100 * NOMINAL:.0f} % of the force errors of {label}, by "
        f"the standard deviation of these {n_models} models on each atom. It held {100 * interval.coverage:.0f} % on "
        f"{interval.unit}s left out (n = {interval.n_configs:,} configurations, {interval.n_atoms:,} atoms, {what}, "
        f"{of}); on structures unlike these it may hold far less."
    )


def with_atoms(table: pd.DataFrame, errors: AtomErrors | None) -> pd.DataFrame:
    """A table of atoms with expected_low and expected_high of one model (meV/Å) where there are such."""
    if errors is None:
        return table
    places = table["atom"].to_numpy(dtype=int)
    return table.assign(expected_low=1000 * errors.low[places], expected_high=1000 * errors.high[places])
