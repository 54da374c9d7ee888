"""Which models predict a visitor's structure: the best known ones to begin with, each with its measured error."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import address, furniture, tables, wording
from app.structures import parts
from engine.quantities import significant
from engine.queries import known_errors
from engine.queries.known_errors import default_models, shared_training
from engine.queries.scope import ALL
from engine.registry import kinds
from engine.registry.training_sets import load_training_sets
from precompute.live.predictor import MAX_MODELS_PER_JOB
from precompute.live.tasks import LiveModel

_KEY = "models"


def kind_of_structure(elements: tuple[str, ...], name: str, known_kind: str) -> str:
    """The kind whose errors count: as the benchmark says, else as the name tells, unless the visitor says otherwise.

    Args:
        elements: Of the structure.
        name: Of the structure.
        known_kind: Of a structure of the benchmark; empty for any other.

    Returns:
        Id of a kind, or `all`.
    """
    guess = known_kind or kinds.kind_by_name(name)
    guess = ALL if guess == kinds.OTHER else guess
    options = [ALL, *kinds.load_kinds()]
    [first] = address.begin_with("kind", options, options, [guess])[:1]
    chosen = st.selectbox(
        "Kind of structure",
        options,
        index=options.index(first),
        format_func=lambda kind: "not known: all kinds" if kind == ALL else kinds.label(kind),
        key=f"kind-{'-'.join(elements)}-{name}",
        help="Errors are shown of benchmark structures of this kind. It begins as the name of the structure tells.",
    )
    address.keep("kind", [chosen], [guess])
    return chosen


def to_address(model_ids: Sequence[str]) -> dict[str, list[str]]:
    """Parameter of the address with which the choice begins with some models."""
    return {_KEY: list(model_ids)}


def choose(
    models: Sequence[LiveModel], elements: tuple[str, ...], kind: str, notes: DeltaGenerator
) -> list[str]:  # fmt: skip
    """Ids of the chosen models, with their known errors and a warning of shared training data.

    Args:
        models: All of the registry.
        elements: Of the structure; none where there is no structure.
        kind: Id of a kind, or `all`.
        notes: Where errors, warning and absent models go.
    """
    ready = {model.model_id: model for model in models if not model.why_not and set(elements) <= set(model.elements)}
    known = known_errors.known_errors(elements, kind, tuple(sorted(ready)))
    ranked = {model_id: place for place, model_id in enumerate(known["model_id"])}
    options = sorted(ready, key=lambda model_id: (ranked.get(model_id, len(ranked)), ready[model_id].label))
    defaults = default_models(known, options)
    with st.container(key="live-models"):
        chosen = st.multiselect(
            "Models",
            options,
            default=address.begin_with(_KEY, options, [model.model_id for model in models], defaults),
            format_func=lambda model_id: ready[model_id].label,
            key=f"live-models-of-{'-'.join(elements)}",
            max_selections=MAX_MODELS_PER_JOB,
            placeholder="choose at least one",
            help="It begins with the models that run here and err least on these elements and this kind, of different "
            "training data where there are such. Two or more models give a spread.",
        )
    address.keep(_KEY, chosen, defaults)
    with notes:
        if common := shared_training(chosen):
            names = wording.listed([load_training_sets()[key].label for key in common])
            st.warning(
                f"All chosen models share training data ({names}). Where they agree, they may all be wrong in the "
                "same way: their spread does not show an error that the data bring.",
                icon=":material/group_work:",
            )
        _say_known(known, chosen, ready, elements, kind)
        _say_absent(models, elements)
    if not options:
        nothing = "No model can run here yet" if not elements else f"No model here knows {', '.join(elements)}"
        furniture.empty(nothing, "Build a worker environment: `python -m precompute envs chgnet`.")
    return chosen


def _say_known(
    known: pd.DataFrame, chosen: Sequence[str], ready: Mapping[str, LiveModel], elements: tuple[str, ...], kind: str
) -> None:
    """One line per chosen model, and a table of all that run here."""
    if not elements:
        return
    rows = {str(row.model_id): row for row in known.itertuples()}
    what = f"{'all kinds' if kind == ALL else kinds.label(kind).lower()}, of {', '.join(elements)} alone"
    lines = []
    for model_id in chosen:
        row, label = rows.get(model_id), ready[model_id].label
        if row is None:
            lines.append(f"**{label}**: no known error ({what})")
            continue
        places = wording.listed([wording.dataset_label(name) for name in row.dataset_ids])
        n_configs = f"{row.n_configs:,} configurations"
        lines.append(f"**{label}**: {significant(row.rmse)} meV/Å on {n_configs} ({what}; {places})")
    if lines:
        st.caption("Known force error (RMSE)  \n" + "  \n".join(lines))
    if len(known):
        label = f"Known errors of all {len(known)} models that run here"
        tables.drawers([(label, "known", (), lambda: _table(known, ready, what))])


def _table(known: pd.DataFrame, ready: Mapping[str, LiveModel], what: str) -> None:
    number, n_shared = st.column_config.NumberColumn, int(known["n_shared"].max())
    st.dataframe(
        pd.DataFrame(
            {
                "model": [ready[name].label for name in known["model_id"]],
                "rmse_shared": known["rmse_shared"],
                "rmse": known["rmse"],
                "n_configs": known["n_configs"],
                "training": [" + ".join(ready[name].training_sets) for name in known["model_id"]],
            }
        ),
        hide_index=True,
        key="known-errors",
        height=parts.table_height(known),
        column_config={
            "model": st.column_config.TextColumn("Model", pinned=True),
            "rmse_shared": number(f"Force RMSE on the same {n_shared:,} (meV/Å)", format="%.1f"),
            "rmse": number("on all its own (meV/Å)", format="%.1f"),
            "n_configs": number("that are"),
            "training": "Training data",
        },
    )
    st.caption(
        f"Configurations: {what}. Models are compared on those that all of them have; what a model was trained on "
        "does not count."
    )


def _say_absent(models: Sequence[LiveModel], elements: tuple[str, ...]) -> None:
    """Models that cannot be chosen, with the reason."""
    rows = []
    for model in models:
        missing = [symbol for symbol in elements if symbol not in set(model.elements)]
        reason = model.why_not or (f"It does not know {', '.join(missing)}." if missing else "")
        rows += [(model.label, reason)] if reason else []
    if rows:
        table = pd.DataFrame(rows, columns=["Model", "Reason"])
        tables.view_data(table, "absent-models", label=f"{len(rows)} registered models cannot run here", height=240)
