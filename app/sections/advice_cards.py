"""Cards of the recommended models: what error to expect and why, what it costs, and how to begin."""

import textwrap
from typing import Any

import pandas as pd
import streamlit as st

from app import furniture, links, wording
from app.sections.advisor_request import OWN_MACHINE, Request
from engine.quantities import METRICS, QUANTITIES, interval, significant
from engine.queries import catalog, timings, training
from engine.queries.advice import Advice
from engine.queries.evidence import NOMINAL, OTHER, tier_label
from engine.queries.scope import Scope
from engine.registry import snippets
from engine.registry.models import load_models

_PER = {"force": "of configurations, RMSE of their forces", "energy": "of configurations, per atom and aligned"}


def show(found: Advice, asked: Request) -> None:
    """A card for each of the best models.

    Args:
        found: With at least one compared model.
        asked: The request.
    """
    best = found.models[(found.models["cause"] == "") & found.models["rmse"].notna()]
    facts = catalog.models().set_index("model_id")
    costs = timings.estimates(asked.machine, asked.n_atoms, asked.n_steps).set_index("model_id")
    for place, row in enumerate(best.to_dict("records")):
        model_id = row["model_id"]
        with st.container(border=True):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.subheader(f"{place + 1}. {row['label']}", anchor=False)
                links.model_link(model_id)
            furniture.details([
                ("Expected force error", error_text(row, "force")),
                ("Expected energy error", error_text(row, "energy")),
                ("Evidence", _evidence(row, found, asked)),
                ("Rank", _rank(row, found, asked)),
                (f"{asked.n_steps:,} steps of {asked.n_atoms:,} atoms", _time(costs, model_id, asked)),
                ("Memory", _memory(costs, model_id, asked)),
                ("Training data", _training(facts.loc[model_id], found, model_id)),
                ("Licence and weights", _weights(facts.loc[model_id], model_id)),
            ])  # fmt: skip
            _begin(model_id, asked)


def error_text(row: dict[str, Any], quantity: str) -> str:
    """An interval with its nominal coverage, in display units; says so where there is none."""
    if pd.isna(row[f"{quantity}_high"]):
        return "No evidence: too few configurations near."
    unit = QUANTITIES[METRICS[quantity].rmse].unit
    high, median = (significant(1e3 * row[f"{quantity}_{name}"]) for name in ("high", "median"))
    return f"**0 to {high} {unit}** for {100 * NOMINAL:.0f} % {_PER[quantity]}; half of them below {median}"


def _evidence(row: dict[str, Any], found: Advice, asked: Request) -> str:
    """How near, how many and from where, for each quantity; once where both are the same."""
    texts = {}
    for quantity in ("force", "energy"):
        if pd.isna(row[f"{quantity}_tier"]):
            continue
        datasets = [wording.dataset_label(name) for name in row[f"{quantity}_datasets"].split(", ")]
        unit = (
            "for a new independent cluster"
            if row[f"{quantity}_unit"] == "cluster"
            else "for further configurations of these clusters, no others"
        )
        clusters = "cluster" if row[f"{quantity}_n_clusters"] == 1 else "clusters"
        texts[quantity] = (
            f"{tier_label(row[f'{quantity}_tier'], asked.kind)}: {row[f'{quantity}_n_configs']:,} configurations in "
            f"{row[f'{quantity}_n_clusters']:,} {clusters} of {wording.listed(datasets, 3)}; {unit}"
        )
    if len(set(texts.values())) == 1:
        text = next(iter(texts.values()))
        return text[0].upper() + text[1:]
    return "  \n".join(f"{'Forces' if quantity == 'force' else 'Energies'}, {text}" for quantity, text in texts.items())


def _rank(row: dict[str, Any], found: Advice, asked: Request) -> str:
    """Place among the compared models; that of a wider tier where clusters here are too few."""
    n = int(found.models["rmse"].notna().sum())
    unit = QUANTITIES[METRICS[asked.quantity].rmse].unit
    text = f"{interval(row['rank'], row['rank_hi'])} of {n}, RMSE {significant(1e3 * row['rmse'])} {unit}"
    if found.wide_tier is not None and pd.notna(row["wide_rank"]):
        wide = tier_label(found.wide_tier, asked.kind)
        few = f"{found.n_clusters} cluster{'s' * (found.n_clusters != 1)}"
        text += (
            f"; {few} cannot tell models apart. On {wide} ({found.n_wide_clusters} clusters): "
            f"{interval(row['wide_rank'], row['wide_rank_hi'])}"
        )
    return text


def _time(costs: pd.DataFrame, model_id: str, asked: Request) -> str:
    """Wall time from the nearest measured size, or how to measure it."""
    if asked.machine == OWN_MACHINE or model_id not in costs.index:
        return f"Not timed here. Run: `python -m precompute bench --model {model_id}`"
    row = costs.loc[model_id]
    return (
        f"**{duration(float(row['wall_seconds']))}** in proportion to the atoms, from "
        f"{significant(row['us_per_atom_step'] * QUANTITIES['us_per_atom_step'].factor)} ms per atom and step measured "
        f"on {row['nearest']:,} atoms (timed: {row['sizes']})"
    )


def _memory(costs: pd.DataFrame, model_id: str, asked: Request) -> str:
    """Peak memory on a line through the measured sizes; unknown where they do not tell."""
    if asked.machine == OWN_MACHINE or model_id not in costs.index:
        return "Not known: not measured here"
    row = costs.loc[model_id]
    if pd.isna(row["peak_memory_mb"]):
        return f"Not known: measured on {row['sizes']} atoms alone"
    return f"{significant(row['peak_memory_mb'] / 1e3, 2)} GB, on a line through {row['sizes']} atoms"


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    Example:
        >>> duration(0.02), duration(90), duration(7200), duration(400_000)
        ('0.0200 s', '90.0 s', '2.00 h', '4.63 days')
    """
    for unit, size in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size or (unit == "days" and seconds >= size):
            return f"{significant(seconds / size)} {unit}"
    return f"{significant(seconds)} s"


def _training(model: pd.Series, found: Advice, model_id: str) -> str:
    """Training sets, and what is known of leakage into the evidence."""
    sets = " + ".join(model["training_sets"]) or "none"
    seen = training.seen(Scope.of(*found.dataset_ids))
    own = seen[seen["model_id"] == model_id]
    datasets = wording.listed(wording.dataset_label(name) for name in found.dataset_ids)
    if own.empty:
        return f"{sets}. Not known to hold anything of {datasets}."
    return f"{sets}. {' '.join(own['seen_reason'])}"


def _weights(model: pd.Series, model_id: str) -> str:
    """Licence, whether the weights can be had, and what kind of forces they give."""
    forces = "Conservative forces." if model["conservative"] else "Forces are predicted directly, not conservative."
    known = load_models().get(model_id)
    available = snippets.availability(known) if known is not None else "Not in the registry of this release."
    return f"{model['license']}. {available} {forces}"


@st.fragment
def _begin(model_id: str, asked: Request) -> None:
    """Ready text for ASE, LAMMPS and the command line; filled when opened, as the commands of a page are."""
    model = load_models().get(model_id)
    if model is None or not model.is_runnable:
        return
    drawer = st.expander(
        "Begin with it: ASE, LAMMPS, command line", icon=":material/code:", key=f"begin-{model_id}", on_change="rerun"
    )
    if not drawer.open:
        return
    with drawer:
        ase, lammps, ours = st.tabs(["ASE", "LAMMPS", "Command line"])
        with ase:
            script = snippets.ase_script(model)
            st.caption(
                "What this project runs, with the versions it was tested with. `uv run` installs what the head of the "
                "script lists; these are its last lines, and yours to change:"
            )
            last = script.partition('if __name__ == "__main__":')[2].partition("\n")[2]
            st.code(textwrap.dedent(last), language="python")
            st.download_button(
                "Download the whole script", script, f"{model_id}.py", "text/x-python", key=f"script-{model_id}",
                on_click="ignore", icon=":material/download:",
            )  # fmt: skip
            with st.expander("The whole script"):
                st.code(script, language="python", height=360)
        with lammps:
            text = snippets.lammps_input(model, asked.elements)
            if text:
                st.code(text, language="text", wrap_lines=True)
            else:
                st.markdown("No pair style of LAMMPS for this family and these elements is known to us.")
        with ours:
            st.code(snippets.commands(model), language="bash")


def is_far(found: Advice) -> bool:
    """Whether models are compared on other elements than those that were asked for."""
    return found.tier == OTHER
